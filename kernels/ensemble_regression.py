"""Regressions of each pixel on its neighbours over an ensemble of images, and their exact leave-one-out densities.

The images are centred and turned, ``x[row, column, image]``, in blocks of rows. Points ``o_0, ..., o_K`` are the
neighbours and, last, the centre ``(0, 0)``; those of a pixel that are on the image are its *present* points. The
covariance of points ``a`` and ``b`` of pixel ``p`` is plane ``pair[a, b, 0]`` at ``p + pair[a, b, 1:]``. The matrix
that is factorized is ``M = c C + s T``: ``C`` the sample covariance of the present points, and ``T`` the target
``target[a, b] scale[p + o_a] scale[p + o_b]``.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from sparsegmrf.kernels.subroutine import subroutine

BUILT_ON = {"subroutine": "1d05a1f775f3"}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

CHUNK = 128  # images at a time; eight of their factors are multiplied before a logarithm is taken
SINGULAR = 1e-13  # share of a variance that must be left unpredicted: below it the rest is rounding error


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def fill_covariances(first: int, last: int, height: int, offsets: Ints, x: Floats, planes: Floats) -> None:
    """Fill rows ``first <= i < last`` of the planes ``(K, H, W)``: the mean of ``x_p x_q``, ``q = p + o_k``.

    Offsets have ``di >= 0``; `x` holds the rows from `first` on that they reach.
    """
    width, images = x.shape[1], x.shape[2]
    for i in range(first, last):
        for j in range(width):
            here = x[i - first, j]
            for k in range(len(offsets)):
                a = i + offsets[k, 0]
                b = j + offsets[k, 1]
                total = 0.0
                if a < height and 0 <= b < width:
                    there = x[a - first, b]
                    for n in range(images):
                        total += here[n] * there[n]
                planes[k, i, j] = total / images


@subroutine()
def _gather(i: int, j: int, points: Ints, pair: Ints, planes: Floats, present: Ints, C: Floats) -> int:
    """Write the present points and the lower triangle of their covariance; return how many there are."""
    height, width = planes.shape[1], planes.shape[2]
    m = 0
    for k in range(len(points)):
        if 0 <= i + points[k, 0] < height and 0 <= j + points[k, 1] < width:
            present[m] = k
            m += 1
    for a in range(m):
        for b in range(a + 1):
            at = pair[present[a], present[b]]
            C[a, b] = planes[at[0], i + at[1], j + at[2]]
    return m


@subroutine()
def _factorize(
    i: int,
    j: int,
    m: int,
    points: Ints,
    present: Ints,
    C: Floats,
    weight: float,
    shrinkage: float,
    target: Floats,
    scale: Floats,
    L: Floats,
) -> int:
    """Factorize ``weight C + shrinkage T = L L^T``; return the first point without own variance, or -1."""
    for a in range(m):
        ka = present[a]
        scale_a = scale[i + points[ka, 0], j + points[ka, 1]]
        for b in range(a + 1):
            kb = present[b]
            scale_b = scale[i + points[kb, 0], j + points[kb, 1]]
            L[a, b] = weight * C[a, b] + shrinkage * target[ka, kb] * scale_a * scale_b
        variance = L[a, a]
        for b in range(a):
            total = L[a, b]
            for k in range(b):
                total -= L[a, k] * L[b, k]
            L[a, b] = total / L[b, b]
        pivot = variance
        for k in range(a):
            pivot -= L[a, k] * L[a, k]
        if not pivot > SINGULAR * variance:
            return a
        L[a, a] = np.sqrt(pivot)
    return -1


@njit(cache=True, nogil=True)
def regress(
    first: int,
    last: int,
    points: Ints,
    pair: Ints,
    planes: Floats,
    shrinkage: float,
    target: Floats,
    scale: Floats,
    coefficients: Floats,
    variance: Floats,
    residual: Floats,
    present: Ints,
    C: Floats,
    L: Floats,
) -> int:
    """Regress the pixels of rows ``first <= i < last``; return the first that its neighbours predict exactly, or -1.

    Writes coefficients ``(K, H, W)``, zero for absent neighbours, the conditional variance under ``M`` and the mean
    squared residual under ``C``. Workspace: `present` (K+1), `C` and `L` (K+1, K+1).
    """
    width = planes.shape[2]
    for i in range(first, last):
        for j in range(width):
            m = _gather(i, j, points, pair, planes, present, C)
            if _factorize(i, j, m, points, present, C, 1.0 - shrinkage, shrinkage, target, scale, L) >= 0:
                return int(i * width + j)
            z = m - 1
            variance[i, j] = L[z, z] * L[z, z]
            # L_zz^T beta = l_y; row z of L is overwritten by (beta, -1)
            for a in range(z - 1, -1, -1):
                for b in range(a + 1, z):
                    L[z, a] -= L[b, a] * L[z, b]
                L[z, a] /= L[a, a]
            L[z, z] = -1.0
            for k in range(len(points) - 1):
                coefficients[k, i, j] = 0.0
            for a in range(z):
                coefficients[present[a], i, j] = L[z, a]
            squares = 0.0
            for a in range(m):
                squares += L[z, a] * L[z, a] * C[a, a]
                for b in range(a):
                    squares += 2.0 * L[z, a] * L[z, b] * C[a, b]
            residual[i, j] = squares
    return -1


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def leave_one_out(
    first: int,
    last: int,
    points: Ints,
    pair: Ints,
    planes: Floats,
    shrinkages: Floats,
    target: Floats,
    scale: Floats,
    centred: bool,
    x: Floats,
    scores: Floats,
    present: Ints,
    C: Floats,
    L: Floats,
    u: Floats,
    ratio: Floats,
) -> None:
    """Write the leave-one-out log-densities of rows ``first <= i < last``, summed over images: `scores` (S, H).

    Without image ``n`` the factorized matrix is ``M - b c c^T`` with ``c`` its centred points. With ``u = L^-1 c``,
    ``q = |u|^2`` and ``q_z`` without the centre's term ``u_y``, the conditional variance of the pixel is
    ``L_yy^2 (1 - b q) / (1 - b q_z)`` and its squared standardized residual ``g^2 u_y^2 / ((1 - b q)(1 - b q_z))``;
    ``g = N / (N - 1)`` and ``b = (1 - s) g / (N - 1)`` if the mean was estimated (`centred`), else ``g`` is 1 in both.
    Minus infinity where what is left is singular. Workspace: `u` (K+1, CHUNK), `ratio` (2, CHUNK).
    """
    width, images = x.shape[1], x.shape[2]
    gain = images / (images - 1.0) if centred else 1.0
    for s in range(len(shrinkages)):
        for i in range(first, last):
            scores[s, i] = 0.0
    for i in range(first, last):
        for j in range(width):
            m = _gather(i, j, points, pair, planes, present, C)
            z = m - 1
            for s in range(len(shrinkages)):
                shrinkage = shrinkages[s]
                weight = (1.0 - shrinkage) * images / (images - 1.0)
                b = (1.0 - shrinkage) * gain / (images - 1.0)
                if _factorize(i, j, m, points, present, C, weight, shrinkage, target, scale, L) >= 0:
                    scores[s, i] = -np.inf
                    continue
                logs = images * (np.log(2.0 * np.pi) + 2.0 * np.log(L[z, z]))
                squares = 0.0
                least = 1.0
                for start in range(0, images, CHUNK):
                    c = min(CHUNK, images - start)
                    without, whole = ratio[0], ratio[1]
                    for n in range(CHUNK):
                        without[n] = 1.0
                        whole[n] = 1.0
                    for a in range(m):
                        row = u[a]
                        source = x[i - first + points[present[a], 0], j + points[present[a], 1], start : start + c]
                        for n in range(c):
                            row[n] = source[n]
                        for k in range(0, a - a % 4, 4):
                            l0, l1, l2, l3 = L[a, k], L[a, k + 1], L[a, k + 2], L[a, k + 3]
                            u0, u1, u2, u3 = u[k], u[k + 1], u[k + 2], u[k + 3]
                            for n in range(c):
                                row[n] -= l0 * u0[n] + l1 * u1[n] + l2 * u2[n] + l3 * u3[n]
                        for k in range(a - a % 4, a):
                            factor = L[a, k]
                            other = u[k]
                            for n in range(c):
                                row[n] -= factor * other[n]
                        inverse = 1.0 / L[a, a]
                        for n in range(c):
                            row[n] *= inverse
                        if a < z:
                            for n in range(c):
                                without[n] -= b * row[n] * row[n]
                    last_row = u[z]
                    for n in range(c):
                        whole[n] = without[n] - b * last_row[n] * last_row[n]
                    for n in range(c):
                        least = min(least, whole[n])
                    for n in range(c):
                        squares += last_row[n] * last_row[n] / (whole[n] * without[n])
                    for n in range(CHUNK):
                        whole[n] /= without[n]
                    half = CHUNK // 2
                    while half >= CHUNK // 8:
                        for n in range(half):
                            whole[n] *= whole[n + half]
                        half //= 2
                    for n in range(CHUNK // 8):
                        logs += np.log(whole[n])
                if least > SINGULAR:
                    scores[s, i] -= 0.5 * (logs + gain * gain * squares)
                else:
                    scores[s, i] = -np.inf
