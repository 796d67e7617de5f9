"""Covariances between any pixels, and variances of linear functionals, by solves."""

from collections.abc import Iterator, Sequence

import numpy as np

from sparsegmrf._validate import finite, images, read_only
from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.typing import ArrayLike, FloatArray

_BLOCK = 16
"""Right-hand sides solved at a time: what the solves are fastest with, and what bounds their memory."""


def covariance_between(
    gmrf: GMRF, pixels_a: Sequence[tuple[int, int]], pixels_b: Sequence[tuple[int, int]]
) -> FloatArray:
    """Return the covariances of one list of pixels with another: entries of ``Q^-1``, by one solve per pixel.

    They are those of the field given: as for `variance_of`, a posterior takes the trend as known.

    Parameters
    ----------
    gmrf : GMRF
        Field with one channel, for instance a posterior of `condition`.
    pixels_a, pixels_b : sequence of (int, int)
        ``(row, column)`` of ``a`` and ``b`` pixels; the shorter list decides the number of solves.

    Returns
    -------
    ndarray, (a, b)
        In intensity^2.

    Raises
    ------
    ArgumentError
        If a pixel is not on the image, or the field has channels.

    Examples
    --------
    >>> from sparsegmrf import SymmetricStencil
    >>> field = GMRF.from_precision(SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 3)))
    >>> covariance_between(field, [(0, 0)], [(0, 1), (0, 2)]).round(6).tolist()
    [[0.5, 0.25]]
    """
    if gmrf.channels > 1:
        raise ArgumentError(f"gmrf must have one channel, got {gmrf.channels}; use GMRF.covariance_with.")
    rows, columns = (
        np.array([gmrf.lattice.flat_index(pixel) for pixel in pixels], dtype=np.int64)
        for pixels in (pixels_a, pixels_b)
    )
    if len(rows) > len(columns):
        return covariance_between(gmrf, pixels_b, pixels_a).T
    result = np.empty((len(rows), len(columns)))
    for first in range(0, len(rows), _BLOCK):
        block = rows[first : first + _BLOCK]
        unit = np.zeros((len(block), gmrf.lattice.size))
        unit[np.arange(len(block)), block] = 1.0
        solved = gmrf.factor.solve(unit.reshape(-1, *gmrf.shape)).reshape(len(block), -1)
        result[first : first + _BLOCK] = solved[:, columns]
    return result


def variance_of(gmrf: GMRF, weights: ArrayLike) -> FloatArray | float:
    """Return the variance of linear functionals ``sum_p w_p x_p``: ``w^T Q^-1 w = |A Q^-1 w|^2``, by one solve each.

    It is that of the field given. A posterior of `condition`, or `posterior()` of a fit, takes the trend as known; with
    the uncertainty of an estimated trend in it the variance is that of `FitResult.functional`.

    Parameters
    ----------
    gmrf : GMRF
        The field, for instance a posterior of `condition`.
    weights : array_like, (..., H, W) or (..., H, W, C)
        One image of weights per functional, dimensionless; ``1/N`` on the ``N`` pixels of a region for its mean.

    Returns
    -------
    float or ndarray, (...)
        In intensity^2; a float for a single image.

    Raises
    ------
    ArgumentError
        If `weights` has another shape or is not finite.

    Examples
    --------
    >>> from sparsegmrf import SymmetricStencil
    >>> field = GMRF.from_precision(SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 3)))
    >>> round(variance_of(field, [[0.5, 0.5, 0.0]]), 6)
    0.6875
    """
    given = finite("weights", images("weights", weights, gmrf.lattice.image_shape))
    flat = given.reshape(-1, *gmrf.lattice.image_shape)
    variances = np.concatenate([np.zeros(0), *(np.einsum("bn,bn->b", white, white) for white in _white(gmrf, flat))])
    batch = given.shape[: given.ndim - len(gmrf.lattice.image_shape)]
    return variances.reshape(batch) if batch else float(variances[0])


def whitened(gmrf: GMRF, weights: FloatArray) -> FloatArray:
    """Return ``A Q^-1 w`` of images of weights ``(K, ...)`` as rows ``(K, n)``, whose products are covariances."""
    return np.concatenate(list(_white(gmrf, weights))) if len(weights) else np.zeros((0, gmrf.lattice.size))


def _white(gmrf: GMRF, weights: FloatArray) -> Iterator[FloatArray]:
    """Yield ``A Q^-1 w`` by blocks.

    ``|A Q^-1 w|^2`` is never negative, and a sum that is known has no variance but the square of rounding.
    """
    for first in range(0, len(weights), _BLOCK):
        block = weights[first : first + _BLOCK]
        yield gmrf.factor.covariance_roots(read_only(block.reshape(len(block), gmrf.lattice.size)))
