"""Sums of products of a pixel and its earlier neighbours, over a block of image rows.

A block `x` (rows, width) is an excerpt of the image with enough rows above ``first`` to reach the neighbours; missing
pixels hold zero and are marked. Offsets ``(di, dj)`` have ``di <= 0``.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

CHUNK = 256


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def add_moments(
    first: int,
    offsets: Ints,
    masked: bool,
    x: Floats,
    missing: Bools,
    moments: Floats,
    window: Floats,
    usable: Floats,
) -> None:
    """Add ``z z^T`` of the block's equations to `moments`, ``z_p = (1, x[p + o_0], x[p + o_1], ...)``.

    The equations are the pixels from row `first` of the block on with every offset inside the block and, if `masked`,
    observed. Lower triangle only. Workspace: `window` (K, CHUNK) and `usable` (CHUNK).
    """
    rows, width = x.shape
    terms = len(offsets)
    up = 0
    left = 0
    right = 0
    for k in range(terms):
        up = max(up, -offsets[k, 0])
        left = max(left, -offsets[k, 1])
        right = max(right, offsets[k, 1])
    for i in range(max(first, up), rows):
        for start in range(left, width - right, CHUNK):
            m = min(CHUNK, width - right - start)
            if masked:
                for j in range(m):
                    usable[j] = 1.0
                for k in range(terms):
                    gone = missing[i + offsets[k, 0], start + offsets[k, 1] : start + offsets[k, 1] + m]
                    for j in range(m):
                        usable[j] = 0.0 if gone[j] else usable[j]
                count = 0.0
                for j in range(m):
                    count += usable[j]
                moments[0, 0] += count
                for k in range(terms):
                    source = x[i + offsets[k, 0], start + offsets[k, 1] : start + offsets[k, 1] + m]
                    target = window[k]
                    for j in range(m):
                        target[j] = usable[j] * source[j]
            else:
                moments[0, 0] += m
                for k in range(terms):
                    source = x[i + offsets[k, 0], start + offsets[k, 1] : start + offsets[k, 1] + m]
                    target = window[k]
                    for j in range(m):
                        target[j] = source[j]
            for a in range(terms):
                row = window[a]
                total = 0.0
                for j in range(m):
                    total += row[j]
                moments[a + 1, 0] += total
            # Tiles of two by two products: four sums from four loads.
            for a in range(0, terms - 1, 2):
                a0 = window[a]
                a1 = window[a + 1]
                for b in range(0, a + 1, 2):
                    b0 = window[b]
                    b1 = window[b + 1]
                    s00 = 0.0
                    s01 = 0.0
                    s10 = 0.0
                    s11 = 0.0
                    for j in range(m):
                        s00 += a0[j] * b0[j]
                        s01 += a0[j] * b1[j]
                        s10 += a1[j] * b0[j]
                        s11 += a1[j] * b1[j]
                    moments[a + 1, b + 1] += s00
                    moments[a + 2, b + 1] += s10
                    moments[a + 2, b + 2] += s11
                    if b < a:
                        moments[a + 1, b + 2] += s01
            if terms % 2:
                last = window[terms - 1]
                for b in range(terms):
                    row = window[b]
                    total = 0.0
                    for j in range(m):
                        total += last[j] * row[j]
                    moments[terms, b + 1] += total


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def add_pairs(first: int, offsets: Ints, x: Floats, observed: Floats, sums: Floats) -> None:
    """Add, per lag ``k``, the observed pairs ``(p, q = p + o_k)`` with ``p`` from row `first` of the block on.

    ``sums[:, k]`` gains ``sum x_p x_q``, ``sum x_p``, ``sum x_q`` and the number of pairs; `observed` is 1 or 0, `x` is
    0 where it is 0.
    """
    rows, width = x.shape
    for k in range(len(offsets)):
        low = max(0, -offsets[k, 1])
        high = min(width, width - offsets[k, 1])
        for i in range(max(first, -offsets[k, 0]), rows):
            m = high - low
            if m <= 0:
                continue
            xp = x[i, low:high]
            op = observed[i, low:high]
            xq = x[i + offsets[k, 0], low + offsets[k, 1] : high + offsets[k, 1]]
            oq = observed[i + offsets[k, 0], low + offsets[k, 1] : high + offsets[k, 1]]
            product = 0.0
            here = 0.0
            there = 0.0
            count = 0.0
            for j in range(m):
                product += xp[j] * xq[j]
                here += xp[j] * oq[j]
                there += xq[j] * op[j]
                count += op[j] * oq[j]
            sums[0, k] += product
            sums[1, k] += here
            sums[2, k] += there
            sums[3, k] += count
