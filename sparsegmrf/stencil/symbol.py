"""Symbol of a homogeneous stencil: what it multiplies a plane wave by, far from any border."""

from functools import lru_cache

import numpy as np

from sparsegmrf.typing import BoolArray, FloatArray, IntArray

_GRID = 32
_STARTS = 6
_STEPS = 60


def symbol_at(offsets: IntArray, weights: FloatArray, rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Return the symbol at row and column frequencies that broadcast; `offsets` has the centre first."""
    result = np.full(np.broadcast_shapes(rows.shape, columns.shape), weights[0] + 2.0 * float(weights[1:].sum()))
    for (di, dj), weight in zip(offsets[1:].tolist(), weights[1:], strict=True):
        angle = di * rows if not dj else dj * columns if not di else di * rows + dj * columns
        result -= 4.0 * weight * np.sin(angle / 2.0) ** 2
    return result


def lowest(offsets: IntArray, weights: FloatArray) -> float:
    """Return the minimum of the symbol."""
    return lowest_at(offsets, weights)[0]


def lowest_at(offsets: IntArray, weights: FloatArray) -> tuple[float, FloatArray]:
    """Return the minimum of the symbol, and a frequency ``(2,)`` at which it is reached.

    The lowest points of a grid, each lower than the next ones, are polished. What was asked last is remembered: a model
    asks more than once at a point.
    """
    pairs = np.ascontiguousarray(offsets, dtype=np.int64)
    value, row, column = _lowest(pairs.tobytes(), np.ascontiguousarray(weights, dtype=np.float64).tobytes())
    return value, np.array([row, column])


@lru_cache(maxsize=64)
def _lowest(offset_bytes: bytes, weight_bytes: bytes) -> tuple[float, float, float]:
    offsets, weights = np.frombuffer(offset_bytes, dtype=np.int64).reshape(-1, 2), np.frombuffer(weight_bytes)
    reach = int(np.abs(offsets).max(initial=1))
    angles = np.linspace(-np.pi, np.pi, _GRID * max(1, reach), endpoint=False)
    half = np.append(angles[angles >= 0.0], np.pi)  # the symbol is even
    grid = symbol_at(offsets, weights, half[:, np.newaxis], angles[np.newaxis])
    rows, columns = np.nonzero(_is_lowest_nearby(grid))
    best = np.argsort(grid[rows, columns], kind="stable")[:_STARTS]
    starts = np.stack([half[rows[best]], angles[columns[best]]], axis=1)
    values, frequencies = _polished(offsets, weights, starts)
    k = int(np.argmin(values))
    return float(values[k]), float(frequencies[k, 0]), float(frequencies[k, 1])


def _is_lowest_nearby(grid: FloatArray) -> BoolArray:
    """Return where none of the next points is lower; columns go around."""
    upper, lower = (np.pad(grid, side, constant_values=np.inf) for side in (((1, 0), (0, 0)), ((0, 1), (0, 0))))
    left, right = np.roll(grid, 1, axis=1), np.roll(grid, -1, axis=1)
    return np.asarray((grid <= upper[:-1]) & (grid <= lower[1:]) & (grid <= left) & (grid <= right))


def _polished(offsets: IntArray, weights: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Descend from points ``(n, 2)`` by Newton's method with the absolute values of the curvatures.

    Steps that do not descend are halved.
    """
    value = symbol_at(offsets, weights, w[:, 0], w[:, 1])
    floor = 1e-12 * float(np.abs(weights).sum()) + np.finfo(float).tiny
    moving = np.arange(len(w))
    for _ in range(_STEPS):
        gradient, hessian = _slopes(offsets, weights, w[moving])
        curvatures, directions = np.linalg.eigh(hessian)
        slopes = np.einsum("nij,ni->nj", directions, gradient)
        scaled = slopes / np.maximum(np.abs(curvatures), floor)
        descends = np.einsum("nj,nj->n", slopes, scaled) > 1e-4 * floor  # twice the expected one, far above rounding
        step = -np.einsum("nij,nj->ni", directions, scaled)[descends]
        moving = moving[descends]
        step /= np.maximum(1.0, np.abs(step).max(axis=1, initial=0.0) * _GRID / np.pi)[:, np.newaxis]
        moving = moving[_descended(offsets, weights, w, value, moving, step)]
        if not len(moving):
            break
    return value, w


def _descended(
    offsets: IntArray, weights: FloatArray, w: FloatArray, value: FloatArray, moving: IntArray, step: FloatArray
) -> BoolArray:
    """Move some of the points and their values by steps, halved until they descend; return which of them have."""
    done = np.zeros(len(moving), dtype=bool)
    while not done.all() and np.abs(step[~done]).max() >= 1e-17:
        tried = w[moving] + step
        lower = symbol_at(offsets, weights, tried[:, 0], tried[:, 1])
        better = ~done & (lower < value[moving])
        w[moving[better]], value[moving[better]] = tried[better], lower[better]
        done |= better
        step = np.where(done[:, np.newaxis], step, step / 2.0)
    return done


def _slopes(offsets: IntArray, weights: FloatArray, w: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return gradients ``(n, 2)`` and Hessians ``(n, 2, 2)`` of the symbol at frequencies ``(n, 2)``."""
    phases = w @ offsets.T
    gradient = -2.0 * (weights * np.sin(phases)) @ offsets
    hessian = -2.0 * np.einsum("nk,ki,kj->nij", weights * np.cos(phases), offsets, offsets)
    return np.asarray(gradient, dtype=np.float64), np.asarray(hessian, dtype=np.float64)
