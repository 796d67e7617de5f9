"""Planes of the product of two symmetric stencils with one unknown per pixel.

A term of a factor is an offset on either side: ``A[p, p + a]`` starts at ``values[start + step*p]`` where ``a`` is the
centre or later, and at ``values[start + step*(p + a)]`` where it is earlier and its mirror image is stored.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@njit(cache=True, nogil=True, fastmath={"contract"})
def add_rows(
    first: int,
    last: int,
    height: int,
    width: int,
    scale: float,
    triples: Ints,
    a_terms: Ints,
    a_values: Floats,
    b_terms: Ints,
    b_values: Floats,
    planes: Floats,
) -> None:
    """Add ``scale * A[p, p + a] B[p + a, p + a + b]`` to plane ``k`` on rows ``first <= i < last``; nothing wraps.

    `triples` are ``(k, term of A, term of B)``; terms are ``(di, dj, start, step, mirrored)``; planes are ``(K, n)``.
    """
    for t in range(len(triples)):
        k = triples[t, 0]
        a_di, a_dj, a_start, a_step, a_mirrored = a_terms[triples[t, 1]]
        b_di, b_dj, b_start, b_step, b_mirrored = b_terms[triples[t, 2]]
        low = max(0, -a_dj, -a_dj - b_dj)
        high = min(width, width - a_dj, width - a_dj - b_dj)
        to_a = a_di * width + a_dj
        to_b = to_a + b_di * width + b_dj
        for i in range(first, last):
            if i + a_di < 0 or i + a_di >= height or i + a_di + b_di < 0 or i + a_di + b_di >= height:
                continue
            p = i * width
            a_first = a_start + a_step * (p + to_a if a_mirrored else p)
            b_first = b_start + b_step * (p + to_b if b_mirrored else p + to_a)
            for j in range(low, high):
                planes[k, p + j] += scale * a_values[a_first + a_step * j] * b_values[b_first + b_step * j]


@njit(cache=True, nogil=True)
def add_rows_on_torus(
    first: int,
    last: int,
    height: int,
    width: int,
    scale: float,
    triples: Ints,
    a_terms: Ints,
    a_values: Floats,
    b_terms: Ints,
    b_values: Floats,
    planes: Floats,
) -> None:
    """As `add_rows`, with offsets that wrap around the image."""
    for t in range(len(triples)):
        k = triples[t, 0]
        a_di, a_dj, a_start, a_step, a_mirrored = a_terms[triples[t, 1]]
        b_di, b_dj, b_start, b_step, b_mirrored = b_terms[triples[t, 2]]
        for i in range(first, last):
            for j in range(width):
                p = i * width + j
                q = (i + a_di) % height * width + (j + a_dj) % width
                r = (i + a_di + b_di) % height * width + (j + a_dj + b_dj) % width
                a = a_values[a_start + a_step * (q if a_mirrored else p)]
                b = b_values[b_start + b_step * (r if b_mirrored else q)]
                planes[k, p] += scale * a * b
