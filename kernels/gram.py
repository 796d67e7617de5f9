"""Planes of ``Q = A^T A`` of a triangular stencil.

Row ``r`` of ``A`` has terms ``t`` at offsets ``o_t`` (term 0 is the diagonal) whose coefficient starts at
``values[start[t] + step[t]*r]``. Its terms ``a`` and ``b`` add ``A[r, p]^T A[r, q]`` to ``Q[p, q]``, ``p = r + o_a``,
``q = r + o_b``; seen from ``p``: every triple ``(k, a, b)`` with ``o_b - o_a`` the `k`-th offset of ``Q`` reads row
``r = p - o_a`` where ``r`` and ``q`` are on the image. Nothing wraps.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True, fastmath={"contract"})
def fill_planes(
    first: int,
    last: int,
    height: int,
    width: int,
    offsets: Ints,
    triples: Ints,
    start: Ints,
    step: Ints,
    values: Floats,
    planes: Floats,
) -> None:
    """Fill rows ``first <= i < last`` of the planes ``(K, n)``; one unknown per pixel."""
    for i in range(first, last):
        planes[:, i * width : (i + 1) * width] = 0.0
        for triple in range(len(triples)):
            k, a, b = triples[triple, 0], triples[triple, 1], triples[triple, 2]
            r_row = i - offsets[a, 0]
            q_row = r_row + offsets[b, 0]
            if r_row < 0 or r_row >= height or q_row < 0 or q_row >= height:
                continue
            to_r = -offsets[a, 1]
            to_q = to_r + offsets[b, 1]
            low = max(0, -to_r, -to_q)
            high = min(width, width - to_r, width - to_q)
            for j in range(low, high):
                r = r_row * width + j + to_r
                planes[k, i * width + j] += values[start[a] + step[a] * r] * values[start[b] + step[b] * r]


@njit(cache=True, nogil=True)
def fill_block_planes(
    first: int,
    last: int,
    height: int,
    width: int,
    channels: int,
    offsets: Ints,
    triples: Ints,
    start: Ints,
    step: Ints,
    values: Floats,
    planes: Floats,
) -> None:
    """Fill rows ``first <= i < last`` of the planes ``(K, n, C, C)``; ``channels`` unknowns per pixel."""
    for i in range(first, last):
        planes[:, i * width : (i + 1) * width] = 0.0
        for triple in range(len(triples)):
            k, a, b = triples[triple, 0], triples[triple, 1], triples[triple, 2]
            r_row = i - offsets[a, 0]
            q_row = r_row + offsets[b, 0]
            if r_row < 0 or r_row >= height or q_row < 0 or q_row >= height:
                continue
            to_r = -offsets[a, 1]
            to_q = to_r + offsets[b, 1]
            for j in range(max(0, -to_r, -to_q), min(width, width - to_r, width - to_q)):
                r = r_row * width + j + to_r
                at_a = start[a] + step[a] * r
                at_b = start[b] + step[b] * r
                for c in range(channels):
                    for d in range(channels):
                        total = 0.0
                        for e in range(channels):
                            total += values[at_a + e * channels + c] * values[at_b + e * channels + d]
                        planes[k, i * width + j, c, d] += total
