"""Symbol of a homogeneous stencil: what it multiplies a plane wave by, far from any border."""

from typing import TYPE_CHECKING

import numpy as np

from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.typing import ArrayLike, FloatArray, IntArray

if TYPE_CHECKING:
    from sparsegmrf.stencil.symmetric import SymmetricStencil

_GRID = 64
_STARTS = 6
_STEPS = 60


def symbol(Q: "SymmetricStencil", frequencies: ArrayLike) -> FloatArray:
    """Return ``q(w) = q_0 + 2 sum_k q_k cos(o_k . w)`` of a homogeneous stencil.

    It is evaluated as ``q(0) - 4 sum_k q_k sin^2(o_k . w / 2)``, which loses no digits near frequency zero.

    Parameters
    ----------
    Q : SymmetricStencil
        Homogeneous, one unknown per pixel. The boundary rule plays no part.
    frequencies : array_like, (..., 2)
        Row and column frequency in radians per pixel.

    Returns
    -------
    ndarray, (...)
        In the units of the coefficients.

    Raises
    ------
    StencilError
        If a coefficient is per pixel, or there are several unknowns per pixel.
    ArgumentError
        If the frequencies are not finite pairs.

    Examples
    --------
    >>> from sparsegmrf import SymmetricStencil
    >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (8, 8))
    >>> symbol(stencil, [[0.0, 0.0], [3.141592653589793, 0.0]]).round(9).tolist()
    [0.1, 4.1]
    """
    offsets, weights = homogeneous_terms(Q)
    points = finite("frequencies", real_array("frequencies", frequencies))
    if points.ndim == 0 or points.shape[-1] != 2:
        raise ArgumentError(f"frequencies must have shape (..., 2), row and column frequency last, got {points.shape}.")
    return symbol_at(offsets, weights, points[..., 0], points[..., 1])


def min_symbol(Q: "SymmetricStencil") -> float:
    """Return the smallest value of the symbol over all frequencies.

    A stencil that is cut off by the border is positive definite on every lattice if this is positive, and on some
    large enough lattice only if it is not negative.

    Parameters
    ----------
    Q : SymmetricStencil
        Homogeneous, one unknown per pixel.

    Returns
    -------
    float
        In the units of the coefficients, to rounding: the lowest points of a grid finer than the shortest wave are
        polished by Newton's method.

    Raises
    ------
    StencilError
        If a coefficient is per pixel, or there are several unknowns per pixel.

    Examples
    --------
    >>> from sparsegmrf import SymmetricStencil
    >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (8, 8))
    >>> round(min_symbol(stencil), 12)
    0.1
    """
    return lowest(*homogeneous_terms(Q))


def homogeneous_terms(Q: "SymmetricStencil") -> tuple[IntArray, FloatArray]:
    """Return offsets ``(K, 2)`` and numbers ``(K,)`` of a homogeneous stencil with one unknown per pixel."""
    if not Q.is_homogeneous or Q.channels > 1:
        kind = f"{Q.channels} unknowns per pixel" if Q.channels > 1 else "a coefficient per pixel"
        raise StencilError(f"a symbol needs one shared number per offset, got {kind}.")
    return Q.offsets, np.array([float(Q.coefficient(k)) for k in range(len(Q.offsets))])


def symbol_at(offsets: IntArray, weights: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Return the symbol at row and column frequencies that broadcast; `offsets` has the centre first."""
    result = np.full(np.broadcast_shapes(rows.shape, columns.shape), weights[0] + 2.0 * float(weights[1:].sum()))
    for (di, dj), weight in zip(offsets[1:].tolist(), weights[1:], strict=True):
        result -= 4.0 * weight * np.sin((di * rows + dj * columns) / 2.0) ** 2
    return result


def lowest(offsets: IntArray, weights: FloatArray) -> float:
    """Return the minimum of the symbol: the best points of a grid, polished."""

    reach = int(np.abs(offsets).max(initial=1))
    angles = np.linspace(-np.pi, np.pi, _GRID * max(1, reach), endpoint=False)
    half = angles[angles >= 0.0]  # the symbol is even
    grid = symbol_at(offsets, weights, np.append(half, np.pi)[:, np.newaxis], angles[np.newaxis])
    best = np.argsort(grid, axis=None, kind="stable")[:_STARTS]
    least = float(grid.min())
    for i, j in np.column_stack(np.unravel_index(best, grid.shape)).tolist():
        least = min(least, _polished(offsets, weights, np.array([np.append(half, np.pi)[i], angles[j]])))
    return least


def _polished(offsets: IntArray, weights: FloatArray, w: FloatArray) -> float:
    """Descend by Newton's method with the absolute values of the curvatures, halving steps that do not descend."""
    value = _value(offsets, weights, w)
    floor = 1e-12 * float(np.abs(weights).sum()) + np.finfo(float).tiny
    for _ in range(_STEPS):
        curvatures, directions = np.linalg.eigh(_hessian(offsets, weights, w))
        slopes = directions.T @ _gradient(offsets, weights, w)
        scaled = slopes / np.maximum(np.abs(curvatures), floor)
        if slopes @ scaled <= 1e-4 * floor:  # twice the expected descent, far below rounding
            return value
        step = -directions @ scaled
        step /= max(1.0, float(np.abs(step).max()) * _GRID / np.pi)
        while (lower := _value(offsets, weights, w + step)) >= value:
            step /= 2.0
            if np.abs(step).max() < 1e-17:
                return value
        w, value = w + step, lower
    return value


def _value(offsets: IntArray, weights: FloatArray, w: FloatArray) -> float:
    return float(symbol_at(offsets, weights, w[0], w[1]))


def _gradient(offsets: IntArray, weights: FloatArray, w: FloatArray) -> FloatArray:
    return np.asarray(-2.0 * (weights * np.sin(offsets @ w)) @ offsets, dtype=np.float64)


def _hessian(offsets: IntArray, weights: FloatArray, w: FloatArray) -> FloatArray:
    return np.asarray(-2.0 * (offsets.T * (weights * np.cos(offsets @ w))) @ offsets, dtype=np.float64)
