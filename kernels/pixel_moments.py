"""Moments of the pixels of one block: weight, mean, scatter, and the third and fourth moments shrinkage asks for.

A block `x` (C, m) holds channels as rows, so that the loops run over pixels at unit stride.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]

CHUNK = 512


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def block_moments(
    x: Floats,
    weights: Floats,
    weighted: bool,
    mean: Floats,
    scatter: Floats,
    skew: Floats,
    sums: Floats,
    centred: Floats,
) -> None:
    """Fill the moments of a block, with ``u = x - mean`` and weights ``w`` (all 1 unless `weighted`).

    ``mean = sum w x / sum w``, ``scatter = sum w u u^T`` (lower triangle), ``skew = sum w |u|^2 u``,
    ``sums = (sum w, sum w |u|^4)``. The block is relative to a pivot near its pixels, so that a large mean costs no
    digits. Workspace: `centred` (C + 2, CHUNK).
    """
    channels, m = x.shape
    total = 0.0
    if weighted:
        for j in range(m):
            total += weights[j]
    else:
        total = float(m)
    sums[0] = total
    sums[1] = 0.0
    scatter[:, :] = 0.0
    skew[:] = 0.0
    if not total > 0.0:
        mean[:] = 0.0
        return
    for c in range(channels):
        row = x[c]
        moment = 0.0
        if weighted:
            for j in range(m):
                moment += weights[j] * row[j]
        else:
            for j in range(m):
                moment += row[j]
        mean[c] = moment / total
    for start in range(0, m, CHUNK):
        k = min(CHUNK, m - start)
        square = centred[channels]
        product = centred[channels + 1]
        for j in range(k):
            square[j] = 0.0
        for c in range(channels):
            row = x[c, start : start + k]
            u = centred[c]
            centre = mean[c]
            for j in range(k):
                u[j] = row[j] - centre
                square[j] += u[j] * u[j]
        for j in range(k):
            product[j] = square[j]
        if weighted:
            w = weights[start : start + k]
            for j in range(k):
                product[j] *= w[j]
        fourth = 0.0
        for j in range(k):
            fourth += product[j] * square[j]
        sums[1] += fourth
        for c in range(channels):
            u = centred[c]
            third = 0.0
            for j in range(k):
                third += product[j] * u[j]
            skew[c] += third
        for a in range(channels):
            left = centred[a]
            if weighted:
                w = weights[start : start + k]
                for j in range(k):
                    product[j] = w[j] * left[j]
                left = product
            for b in range(0, a + 1 - (a + 1) % 2, 2):
                b0 = centred[b]
                b1 = centred[b + 1]
                s0 = 0.0
                s1 = 0.0
                for j in range(k):
                    s0 += left[j] * b0[j]
                    s1 += left[j] * b1[j]
                scatter[a, b] += s0
                scatter[a, b + 1] += s1
            if a % 2 == 0:
                b0 = centred[a]
                s0 = 0.0
                for j in range(k):
                    s0 += left[j] * b0[j]
                scatter[a, a] += s0
