"""Variances and traces of per-pixel Cholesky factors with their derivatives, and solves on a part of the image.

Factors and images are those of `sparsegmrf.factors.cholesky_operations`, float64. ``S = (L L^T)^-1``.
"""

from collections.abc import Iterator

import numpy as np

from sparsegmrf import _memory, _threads
from sparsegmrf.factors._factor import Factor
from sparsegmrf.factors._rolling import covariances
from sparsegmrf.factors.cholesky_operations import Factors, radius_of
from sparsegmrf.factors.choose import factorize
from sparsegmrf.kernels import cholesky_covariance
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.stencil._offsets import later_offsets
from sparsegmrf.typing import BoolArray, FloatArray, IntArray

_CENTRE: IntArray = np.zeros((1, 2), dtype=np.int64)


def whitening_stencil(diagonal: FloatArray, weights: FloatArray, cross: FloatArray) -> TriangularStencil:
    """Return ``A = L^T`` of one factor, ``(C, H, W)``, ``(C, K, H, W)`` and ``(P, H, W)``, as a stencil."""
    channels, height, width = diagonal.shape
    offsets = later_offsets(radius_of(weights.shape[1]))
    if channels == 1:
        return TriangularStencil(offsets, diagonal[0], list(weights[0]), (height, width))
    blocks = np.zeros((len(offsets) + 1, height, width, channels, channels))
    for c in range(channels):
        blocks[0, ..., c, c] = diagonal[c]
        blocks[1:, ..., c, c] = weights[c]
    if len(cross):
        upper = np.triu_indices(channels, 1)
        blocks[0][..., upper[0], upper[1]] = np.moveaxis(cross, 0, -1)
    return TriangularStencil(offsets, blocks[0], list(blocks[1:]), (height, width), channels=channels)


def marginal_variances(diagonal: FloatArray, weights: FloatArray, cross: FloatArray) -> FloatArray:
    """Return the diagonals of ``S`` as images ``(B, C, H, W)``, in intensity^2.

    The rolling window of `TriangularFactor.selected_inverse`, factor by factor.
    """
    result = np.empty_like(diagonal)
    for b in range(len(diagonal)):
        plane = covariances(whitening_stencil(diagonal[b], weights[b], cross[b]), _CENTRE)[0]
        result[b] = plane if plane.ndim == 2 else np.moveaxis(np.diagonal(plane, axis1=-2, axis2=-1), -1, 0)
    return result


def marginal_variances_backward(diagonal: FloatArray, weights: FloatArray, cross: FloatArray, g: FloatArray) -> Factors:
    """Return the gradient of ``sum g S_uu`` with respect to the factors; `g` ``(B, C, H, W)``.

    The recursion of the covariances in a band, ``n (r W + r) C`` numbers for a factor of ``n`` unknowns, and its
    reverse. Factors go in parallel.
    """
    radius = radius_of(weights.shape[2])
    result = (np.zeros_like(diagonal), np.zeros_like(weights), np.zeros_like(cross))
    band = _band(diagonal, radius, 2)

    def task(first: int, last: int) -> None:
        for b in range(first, last):
            factor = (diagonal[b], weights[b], cross[b])
            S, A = _covariances(radius, band, factor), np.zeros((diagonal[b].size, 2 * band + 1))
            A[:, band] = np.moveaxis(g[b], 0, -1).ravel()
            cholesky_covariance.band_covariances_reversed(radius, band, *factor, S, A, *(part[b] for part in result))

    _threads.run_over(task, len(diagonal), 1)
    return result


def traces(of: Factors, under: Factors) -> FloatArray:
    """Return ``tr(Q S)`` for pairs of factors, ``(B,)``: ``Q = L L^T`` of the first and ``S`` of the second."""
    radii = radius_of(of[1].shape[2]), radius_of(under[1].shape[2])
    band = _band(of[0], max(radii), 1)
    result = np.empty(len(of[0]))

    def task(first: int, last: int) -> None:
        for b in range(first, last):
            S = _covariances(radii[1], band, _item(under, b))
            result[b] = cholesky_covariance.trace_of_product(radii[0], band, *_item(of, b), S)

    _threads.run_over(task, len(result), 1)
    return result


def traces_backward(of: Factors, under: Factors, g: FloatArray) -> tuple[Factors, Factors]:
    """Return the gradients of ``sum_b g_b tr(Q_b S_b)`` with respect to both factors."""
    radii = radius_of(of[1].shape[2]), radius_of(under[1].shape[2])
    band = _band(of[0], max(radii), 2)
    first_gradient, second_gradient = _zeros_like(of), _zeros_like(under)

    def task(first: int, last: int) -> None:
        for b in range(first, last):
            S, A = _covariances(radii[1], band, _item(under, b)), np.zeros((of[0][b].size, 2 * band + 1))
            cholesky_covariance.trace_of_product_reversed(
                float(g[b]), radii[0], band, *_item(of, b), S, A, *_item(first_gradient, b)
            )
            cholesky_covariance.band_covariances_reversed(
                radii[1], band, *_item(under, b), S, A, *_item(second_gradient, b)
            )

    _threads.run_over(task, len(g), 1)
    return first_gradient, second_gradient


def solve_missing(
    diagonal: FloatArray, weights: FloatArray, cross: FloatArray, missing: BoolArray, b: FloatArray
) -> FloatArray:
    """Return ``Q_uu^-1 b_u`` on the missing unknowns ``u`` of images, zero elsewhere; ``Q = L L^T``.

    Parameters
    ----------
    diagonal, weights, cross : ndarray
        The factors.
    missing : ndarray of bool, (N, C, H, W)
        Image ``n`` belongs to factor ``n % B``; a mask that comes again is factorized once.
    b : ndarray, (N, C, H, W)
        Right-hand sides; observed unknowns are not read.
    """
    result = np.zeros_like(b)
    for f in range(len(diagonal)):
        Q = whitening_stencil(diagonal[f], weights[f], cross[f]).gram()
        for items in _alike(missing, f, len(diagonal)):
            unknown = missing[items[0]]
            if unknown.any():
                right = np.moveaxis(np.where(unknown, b[items], 0.0), 1, -1)
                factor = _factor_of_missing(Q, np.moveaxis(unknown, 0, -1))
                solution = factor.solve(right[..., 0] if Q.channels == 1 else right)
                result[items] = solution[:, np.newaxis] if Q.channels == 1 else np.moveaxis(solution, -1, 1)
    return np.where(missing, result, 0.0)


def _factor_of_missing(Q: SymmetricStencil, missing: BoolArray) -> Factor:
    return factorize(decoupled(Q, ~missing[..., 0] if Q.channels == 1 else ~missing), "dissection")


def _alike(missing: BoolArray, first: int, factors: int) -> Iterator[list[int]]:
    """Yield the images of a factor in groups of one mask."""
    groups: dict[bytes, list[int]] = {}
    for n in range(first, len(missing), factors):
        groups.setdefault(missing[n].tobytes(), []).append(n)
    yield from groups.values()


def _covariances(radius: int, band: int, factor: Factors) -> FloatArray:
    S = np.zeros((factor[0].size, 2 * band + 1))
    cholesky_covariance.band_covariances(radius, band, *factor, S)
    return S


def _item(factors: Factors, b: int) -> Factors:
    return factors[0][b], factors[1][b], factors[2][b]


def _zeros_like(factors: Factors) -> Factors:
    return np.zeros_like(factors[0]), np.zeros_like(factors[1]), np.zeros_like(factors[2])


def _band(diagonal: FloatArray, radius: int, arrays: int) -> int:
    """Return how far the band reaches; refuse one that does not fit into memory."""
    _, channels, height, width = diagonal.shape
    band: int = min((radius * width + radius) * channels, height * width * channels - 1)
    at_once = min(len(diagonal), _threads.get_num_threads())
    needed = 8 * arrays * at_once * height * width * channels * (2 * band + 1)
    _memory.refuse_if_too_large(
        needed,
        f"the covariances of {channels} x {height} x {width} unknowns within reach",
        "estimate by samples: p.log_prob(x) - q.log_prob(x) averaged over x = p.rsample(...), "
        "or x.var(0) for a variance",
    )
    return band
