"""Products, solves and outer products of per-pixel Cholesky factors, a batch of multi-channel images at a time.

Column ``(p, c)`` of ``L`` holds ``d`` on the diagonal, ``w_k`` on the later neighbour ``p + o_k`` in the same channel,
and ``v_ce`` on channel ``e > c`` of the same pixel. Offsets are in raster order: ``(0, 1) ... (0, r)``, then
``(1, -r) ... (r, r)``. A weight that points off the image is never read. Arrays: ``d`` (B, C, H, W), ``w``
(B, C, K, H, W), ``v`` (B, P, H, W) with ``P = C(C-1)/2`` pairs ``c < e`` in the order of ``np.triu_indices(C, 1)``, or
0 for none; images (N, C, H, W), image ``n`` belongs to factor ``n % B``. Everything is float32 or everything float64.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"subroutine": "1d05a1f775f3"}

Floats = npt.NDArray[Any]

BAND = 32768  # numbers of a band of rows, which stays in the second-level cache


@subroutine()
def _pair(c: int, e: int, channels: int) -> int:
    """Position of the pair ``c < e``."""
    return c * (2 * channels - c - 1) // 2 + e - c - 1


@subroutine(fastmath={"contract"})
def _add(a: Floats, x: Floats, y: Floats) -> None:
    """``y += a x``."""
    for j in range(len(y)):
        y[j] += a[j] * x[j]


@subroutine()
def _clear(y: Floats) -> None:
    """``y = 0``."""
    for j in range(len(y)):
        y[j] = 0


@subroutine()
def _copy(x: Floats, y: Floats) -> None:
    """``y = x``."""
    for j in range(len(y)):
        y[j] = x[j]


@subroutine(fastmath={"contract"})
def _subtract(a: Floats, x: Floats, y: Floats) -> None:
    """``y -= a x``."""
    for j in range(len(y)):
        y[j] -= a[j] * x[j]


@njit(cache=True, nogil=True, fastmath={"contract"})
def multiply_transposed(
    first: int, last: int, radius: int, d: Floats, w: Floats, v: Floats, x: Floats, y: Floats
) -> None:
    """``y = L^T x`` on rows ``first <= n*H + i < last``: ``y_p = d_p x_p + sum_k w_pk x_{p+o_k} + sum_e v_pe x_pe``."""
    _, channels, height, width = x.shape
    for row in range(first, last):
        n = row // height
        i = row % height
        b = n % len(d)
        for c in range(channels):
            y_row = y[n, c, i]
            x_row = x[n, c, i]
            d_row = d[b, c, i]
            for j in range(width):
                y_row[j] = d_row[j] * x_row[j]
            if v.shape[1] > 0:
                for e in range(c + 1, channels):
                    _add(v[b, _pair(c, e, channels), i], x[n, e, i], y_row)
            k = 0
            for di in range(min(radius + 1, height - i)):
                source = x[n, c, i + di]
                for dj in range(1 if di == 0 else -radius, radius + 1):
                    low = max(0, -dj)
                    high = min(width, width - dj)
                    if low < high:
                        _add(w[b, c, k, i, low:high], source[low + dj : high + dj], y_row[low:high])
                    k += 1


@njit(cache=True, nogil=True, fastmath={"contract"})
def multiply(first: int, last: int, radius: int, d: Floats, w: Floats, v: Floats, x: Floats, y: Floats) -> None:
    """``y = L x`` on rows ``first <= n*H + i < last``: ``y_q = d_q x_q + sum_k (w_k x)_{q-o_k} + sum_e v_qe x_qe``."""
    _, channels, height, width = x.shape
    for row in range(first, last):
        n = row // height
        i = row % height
        b = n % len(d)
        for c in range(channels):
            y_row = y[n, c, i]
            x_row = x[n, c, i]
            d_row = d[b, c, i]
            for j in range(width):
                y_row[j] = d_row[j] * x_row[j]
            if v.shape[1] > 0:
                for e in range(c):
                    _add(v[b, _pair(e, c, channels), i], x[n, e, i], y_row)
            k = 0
            for di in range(min(radius, i) + 1):
                source = x[n, c, i - di]
                for dj in range(1 if di == 0 else -radius, radius + 1):
                    low = max(0, dj)
                    high = min(width, width + dj)
                    if low < high:
                        _add(w[b, c, k, i - di, low - dj : high - dj], source[low - dj : high - dj], y_row[low:high])
                    k += 1


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def solve_transposed(first: int, last: int, radius: int, d: Floats, w: Floats, v: Floats, b: Floats, x: Floats) -> None:
    """``x = L^-T b`` of images ``first <= n < last``, from the last row, pixel and channel to the first.

    Weights are copied a band of rows at a time, downwards: memory is fetched ahead on the way down only. Batches of
    small images gain a third to a half by it; an image alone loses up to a fifth.
    """
    _, channels, height, width = b.shape
    ratio = np.empty((radius, width), x.dtype)
    planes = w.shape[2]
    rows = min(height, max(1, BAND // (planes * width)))
    near = np.empty((rows, planes, width), x.dtype)
    top = 0
    for n in range(first, last):
        f = n % len(d)
        for c in range(channels - 1, -1, -1):
            for i in range(height - 1, -1, -1):
                if (height - 1 - i) % rows == 0:
                    top = max(0, i + 1 - rows)
                    for row in range(top, i + 1):
                        for k in range(planes):
                            _copy(w[f, c, k, row], near[row - top, k])
                x_row = x[n, c, i]
                _copy(b[n, c, i], x_row)
                if v.shape[1] > 0:
                    for e in range(c + 1, channels):
                        _subtract(v[f, _pair(c, e, channels), i], x[n, e, i], x_row)
                k = radius
                for di in range(1, min(radius + 1, height - i)):
                    source = x[n, c, i + di]
                    for dj in range(-radius, radius + 1):
                        low = max(0, -dj)
                        high = min(width, width - dj)
                        if low < high:
                            _subtract(near[i - top, k, low:high], source[low + dj : high + dj], x_row[low:high])
                        k += 1
                d_row = d[f, c, i]
                for j in range(width):
                    x_row[j] /= d_row[j]
                for m in range(1, min(radius, width - 1) + 1):
                    w_row = near[i - top, m - 1]
                    for j in range(width - m):
                        ratio[m - 1, j] = w_row[j] / d_row[j]
                _recur(True, radius, ratio, x_row)


@njit(cache=True, nogil=True, fastmath={"contract"}, error_model="numpy")
def solve(first: int, last: int, radius: int, d: Floats, w: Floats, v: Floats, b: Floats, x: Floats) -> None:
    """``x = L^-1 b`` of images ``first <= n < last``, from the first row, pixel and channel to the last."""
    _, channels, height, width = b.shape
    ratio = np.empty((radius, width), x.dtype)
    for n in range(first, last):
        f = n % len(d)
        for c in range(channels):
            for i in range(height):
                x_row = x[n, c, i]
                _copy(b[n, c, i], x_row)
                if v.shape[1] > 0:
                    for e in range(c):
                        _subtract(v[f, _pair(e, c, channels), i], x[n, e, i], x_row)
                k = radius
                for di in range(1, min(radius, i) + 1):
                    source = x[n, c, i - di]
                    for dj in range(-radius, radius + 1):
                        low = max(0, dj)
                        high = min(width, width + dj)
                        if low < high:
                            weight = w[f, c, k, i - di, low - dj : high - dj]
                            _subtract(weight, source[low - dj : high - dj], x_row[low:high])
                        k += 1
                d_row = d[f, c, i]
                for j in range(width):
                    x_row[j] /= d_row[j]
                for m in range(1, min(radius, width - 1) + 1):
                    w_row = w[f, c, m - 1, i]
                    for j in range(width - m):
                        ratio[m - 1, j + m] = w_row[j] / d_row[j + m]
                _recur(False, radius, ratio, x_row)


@subroutine(fastmath={"contract"})
def _recur(backward: bool, radius: int, ratio: Floats, x: Floats) -> None:
    """``x_j -= sum_m ratio_mj x_{j-m}`` in place, ``x_{j+m}`` if `backward`.

    The nearest neighbour enters last, so that one fused multiply-add per pixel is all that waits for the pixel before.
    """
    width = len(x)
    end = width - 1 if backward else 0
    x1 = x[end]
    x2 = x1
    for t in range(1, width):
        j = width - 1 - t if backward else t
        total = x[j]
        for m in range(min(radius, t), 2, -1):
            total -= ratio[m - 1, j] * x[j + m if backward else j - m]
        if radius > 1 and t > 1:
            total -= ratio[1, j] * x2
        total -= ratio[0, j] * x1
        x[j] = total
        x2 = x1
        x1 = total


@njit(cache=True, nogil=True, fastmath={"contract"})
def outer(first: int, last: int, radius: int, a: Floats, x: Floats, d: Floats, w: Floats, v: Floats) -> None:
    """``d = a x``, ``w_k = a_p x_{p+o_k}``, ``v_ce = a_pc x_pe`` on rows ``first <= b*H + i < last`` of the factors.

    Sums over the images of a factor; zero where a weight points off the image.
    """
    _, channels, height, width = x.shape
    for row in range(first, last):
        b = row // height
        i = row % height
        for c in range(channels):
            _clear(d[b, c, i])
            for k in range(w.shape[2]):
                _clear(w[b, c, k, i])
        for pair in range(v.shape[1]):
            _clear(v[b, pair, i])
        for n in range(b, len(x), len(d)):
            for c in range(channels):
                a_row = a[n, c, i]
                _add(a_row, x[n, c, i], d[b, c, i])
                if v.shape[1] > 0:
                    for e in range(c + 1, channels):
                        _add(a_row, x[n, e, i], v[b, _pair(c, e, channels), i])
                k = 0
                for di in range(min(radius + 1, height - i)):
                    source = x[n, c, i + di]
                    for dj in range(1 if di == 0 else -radius, radius + 1):
                        low = max(0, -dj)
                        high = min(width, width - dj)
                        if low < high:
                            _add(a_row[low:high], source[low + dj : high + dj], w[b, c, k, i, low:high])
                        k += 1
