"""Symbol of a homogeneous stencil: what it multiplies a plane wave by, far from any border."""

import numpy as np

from sparsegmrf.typing import FloatArray, IntArray

_GRID = 64
_STARTS = 6
_STEPS = 60


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
