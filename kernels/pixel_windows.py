"""Squared Mahalanobis distance of every pixel from the pixels of a window around it, by sums that slide."""

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"subroutine": "1d05a1f775f3"}

Floats = npt.NDArray[np.float64]


@njit(cache=True, nogil=True, fastmath={"contract", "nsz"})
def window_distances(
    first: int,
    last: int,
    top: int,
    height: int,
    inner: tuple[int, int],
    outer: tuple[int, int],
    shrinkage: float,
    x: Floats,
    seen: Floats,
    out: Floats,
    columns: Floats,
    rows: Floats,
    L: Floats,
    y: Floats,
) -> None:
    """Fill image rows ``first <= i < last`` of `out` (last - first, W).

    `x` (C, rows, W) holds image rows from `top` on, relative to a pivot and 0 where `seen` (rows, W) is 0, else 1. The
    background is the outer window less the inner one, both moved inwards at borders, with its covariance divided by
    ``n - 1``. `shrinkage` is an amount, or -1 for the OAS rule. A pixel whose covariance cannot be factored with all
    digits gets -1, one that is not seen NaN. Workspace: `columns` and `rows` (2, M, W) with ``M = 1 + C + C(C + 1)/2``,
    `L` (C, C), `y` (C).
    """
    channels, _, width = x.shape
    terms = 1 + channels + channels * (channels + 1) // 2
    columns[:, :, :] = 0.0
    begin_of = np.array([-1, -1])
    end_of = np.array([-1, -1])
    for i in range(first, last):
        for which in range(2):
            tall, wide = (outer[0], outer[1]) if which == 0 else (inner[0], inner[1])
            begin = min(max(i - tall // 2, 0), height - tall)
            end = begin + tall
            if end_of[which] < 0:
                begin_of[which] = begin
                end_of[which] = begin
            while end_of[which] < end:
                _add_row(end_of[which] - top, 1.0, x, seen, columns[which])
                end_of[which] += 1
            while begin_of[which] < begin:
                _add_row(begin_of[which] - top, -1.0, x, seen, columns[which])
                begin_of[which] += 1
            for m in range(terms):
                source = columns[which, m]
                target = rows[which, m]
                total = 0.0
                for j in range(wide):
                    total += source[j]
                left = 0
                for j in range(width):
                    start = min(max(j - wide // 2, 0), width - wide)
                    if start > left:
                        total += source[left + wide] - source[left]
                        left = start
                    target[j] = total
        for j in range(width):
            if seen[i - top, j] == 0.0:
                out[i - first, j] = np.nan
                continue
            n = rows[0, 0, j] - rows[1, 0, j]
            if n < 1.5:
                out[i - first, j] = -1.0
                continue
            good = True
            m = 1 + channels
            trace = 0.0
            square = 0.0
            for a in range(channels):
                mean_a = (rows[0, 1 + a, j] - rows[1, 1 + a, j]) / n
                y[a] = x[a, i - top, j] - mean_a
                for b in range(a + 1):
                    moment = rows[0, m, j] - rows[1, m, j]
                    mean_b = (rows[0, 1 + b, j] - rows[1, 1 + b, j]) / n
                    L[a, b] = (moment - n * mean_a * mean_b) / (n - 1.0)
                    square += L[a, b] * L[a, b] * (1.0 if a == b else 2.0)
                    if a == b:
                        trace += L[a, a]
                        # Digits lost to the mean, and to what slid through the sums.
                        good = good and L[a, a] > 1e-9 * (rows[0, m, j] + rows[1, m, j]) / n
                    m += 1
            amount = shrinkage
            if amount < 0.0:
                amount = _oas(channels, n, trace * (n - 1.0) / n, square * ((n - 1.0) / n) ** 2)
            if amount > 0.0:
                good = trace > 0.0
                for a in range(channels):
                    for b in range(a):
                        L[a, b] *= 1.0 - amount
                    L[a, a] = (1.0 - amount) * L[a, a] + amount * trace / channels
            distance = 0.0
            for a in range(channels):
                variance = L[a, a]
                for b in range(a + 1):
                    total = L[a, b]
                    for c in range(b):
                        total -= L[a, c] * L[b, c]
                    if b < a:
                        L[a, b] = total / L[b, b]
                        y[a] -= L[a, b] * y[b]
                    else:
                        good = good and total > 1e-10 * variance
                        L[a, a] = np.sqrt(total) if total > 0.0 else 1.0
                y[a] /= L[a, a]
                distance += y[a] * y[a]
            out[i - first, j] = distance if good else -1.0


@subroutine(fastmath={"contract", "nsz"})
def _add_row(row: int, sign: float, x: Floats, seen: Floats, columns: Floats) -> None:
    channels, _, width = x.shape
    count = columns[0]
    for j in range(width):
        count[j] += sign * seen[row, j]
    m = 1 + channels
    for a in range(channels):
        xa = x[a, row]
        total = columns[1 + a]
        for j in range(width):
            total[j] += sign * xa[j]
        for b in range(a + 1):
            xb = x[b, row]
            product = columns[m]
            for j in range(width):
                product[j] += sign * xa[j] * xb[j]
            m += 1


@subroutine()
def _oas(channels: int, n: float, trace: float, square: float) -> float:
    """Return the amount of Chen et al. (2010) from ``tr S`` and ``|S|^2``."""
    mean_square = square / channels**2
    target = (trace / channels) ** 2
    spread = (n + 1.0) * (mean_square - target / channels)
    return 1.0 if spread <= 0.0 else min((mean_square + target) / spread, 1.0)
