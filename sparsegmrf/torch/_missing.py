"""Solves on the missing pixels of images: banded where that is cheap, by nested dissection where it is not.

On a small image a banded factorization is over before the analysis of a dissection has begun. ``Q_uu`` is then a band
with its unknowns in raster order: ``n b^2`` operations for ``n`` missing unknowns, ``b`` of them within reach of one.
"""

import functools

import numpy as np
from scipy.linalg.lapack import dpbsv

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf.factors import cholesky_covariances as arrays
from sparsegmrf.factors.cholesky_operations import Factors, radius_of
from sparsegmrf.kernels import gram
from sparsegmrf.stencil._offsets import later_offsets
from sparsegmrf.stencil.triangular import _pairs
from sparsegmrf.typing import BoolArray, FloatArray, IntArray

_LARGEST_BAND = 2e8
"""Operations ``n b^2`` up to which the band is taken; a dissection needs as long for its analysis."""


def solve_missing(
    diagonal: FloatArray, weights: FloatArray, cross: FloatArray, missing: BoolArray, b: FloatArray
) -> FloatArray:
    """Return ``Q_uu^-1 b_u`` on the missing unknowns of images, zero elsewhere.

    Parameters and result are those of `sparsegmrf.factors.cholesky_covariances.solve_missing`.
    """
    groups: dict[tuple[int, bytes], list[int]] = {}
    for n, unknown in enumerate(missing):
        groups.setdefault((n % len(diagonal), unknown.tobytes()), []).append(n)
    result = np.zeros_like(b)
    precisions: dict[int, tuple[IntArray, FloatArray]] = {}
    for (f, _), items in groups.items():
        factor = diagonal[f : f + 1], weights[f : f + 1], cross[f : f + 1]
        number, bandwidth = _numbered(missing[items[0]], radius_of(weights.shape[2]))
        if (number.max() + 1) * bandwidth**2 > _LARGEST_BAND:
            result[items] = arrays.solve_missing(*factor, missing[items], b[items])
        elif number.max() >= 0:
            if f not in precisions:
                precisions[f] = _precision(*(part[0] for part in factor))
            band = _band(*precisions[f], number, bandwidth)
            result[items] = _solution(band, factor, number, b[items])
    return result


def _solution(band: FloatArray, factor: Factors, number: IntArray, b: FloatArray) -> FloatArray:
    """Return the solutions of images that miss the same unknowns."""
    missing = np.moveaxis(number, -1, 0) >= 0
    places = np.moveaxis(number, -1, 0)[missing]
    right = np.empty((len(places), len(b)), order="F")
    right[places] = b[:, missing].T
    with one_blas_thread():
        _, solution, failed = dpbsv(band, right, lower=1, overwrite_ab=1, overwrite_b=1)
    if failed:  # a pivot that is rounding: another order of elimination may have none, or names its pixel
        return arrays.solve_missing(*factor, np.broadcast_to(missing, b.shape), b)
    result = np.zeros_like(b)
    result[:, missing] = solution[places].T
    return result


def _numbered(missing: BoolArray, radius: int) -> tuple[IntArray, int]:
    """Return the numbers of the missing unknowns, ``(H, W, C)`` with -1 where observed, and how far apart pairs get.

    Numbers follow the rows, or the columns of images so wide that fewer unknowns then lie between neighbours. The
    precision couples pixels up to `radius` rows and ``2 radius`` columns apart.
    """
    channels, height, width = missing.shape
    by_columns = width > 2 * height
    order = (2, 1, 0) if by_columns else (1, 2, 0)
    unknown = missing.transpose(order)
    count = np.cumsum(unknown)
    ahead = 2 * radius * height + radius if by_columns else radius * width + 2 * radius
    ahead = min((ahead + 1) * channels - 1, count.size - 1)
    bandwidth = int((count[ahead:] - count[: count.size - ahead]).max())
    number = np.where(unknown, count.reshape(unknown.shape) - 1, -1)
    return (number.transpose(1, 0, 2) if by_columns else number), bandwidth


def _band(offsets: IntArray, planes: FloatArray, number: IntArray, bandwidth: int) -> FloatArray:
    """Return the lower band of ``Q_uu`` as LAPACK has it: entry ``(i, j)`` in row ``i - j``, column ``j``.

    The planes of ``Q`` are ``(M, H, W, C, C)``.
    """
    reach = np.abs(offsets).max(axis=0)
    beyond = np.pad(number, ((0, reach[0]), (reach[1], reach[1]), (0, 0)), constant_values=-1)
    row, column = np.nonzero((number >= 0).any(axis=-1))
    i = number[row, column][np.newaxis, :, :, np.newaxis]
    j = beyond[row + offsets[:, :1], column + reach[1] + offsets[:, 1:]][:, :, np.newaxis, :]
    both = (i >= 0) & (j >= 0)
    band = np.zeros((bandwidth + 1, int(number.max()) + 1), order="F")
    band[np.abs(i - j)[both], np.minimum(i, j)[both]] = planes[:, row, column][both]
    return band


def _precision(diagonal: FloatArray, weights: FloatArray, cross: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return the offsets of ``Q = L L^T``, centre and later, and its planes ``(M, H, W, C, C)``."""
    channels, height, width = diagonal.shape
    if channels > 1:
        Q = arrays.whitening_stencil(diagonal, weights, cross).gram()
        return Q.offsets, np.stack([Q.plane(k) for k in range(len(Q.offsets))])
    terms, offsets, triples, start, step = _products(radius_of(weights.shape[1]), height * width)
    planes = np.empty((len(offsets), height * width))
    values = np.concatenate([diagonal.ravel(), weights.ravel()])
    gram.fill_planes(0, height, height, width, terms, triples, start, step, values, planes)
    return offsets, planes.reshape(len(offsets), height, width, 1, 1)


@functools.lru_cache(maxsize=16)
def _products(radius: int, size: int) -> tuple[IntArray, IntArray, IntArray, IntArray, IntArray]:
    """Return what `gram.fill_planes` is told of factors of one channel: terms, offsets, triples, starts and steps."""
    terms = np.vstack([np.zeros((1, 2), dtype=np.int64), later_offsets(radius)])
    offsets, triples = _pairs(terms)
    return terms, offsets, triples, size * np.arange(len(terms)), np.ones(len(terms), dtype=np.int64)
