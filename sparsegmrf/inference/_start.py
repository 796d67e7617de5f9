"""Where fits start: at what the best-observed tile of the image says."""

from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError, SparseGMRFError
from sparsegmrf.inference._conclusion import conclude
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._problem import make_result
from sparsegmrf.inference._search import Ended, Ending, maximize, tried
from sparsegmrf.inference.fit_result import FitResult
from sparsegmrf.typing import BoolArray, FloatArray

_TILE = 128
"""Side in pixels of the tile."""
_PROBE = 48
"""Side in pixels of the tile on which points to start from are compared."""
_STEPS = (-2.0, -1.0, 1.0, 2.0)
"""How far these are from the start, each unconstrained number by itself."""
_RUNNING = 1.5
"""How far an unconstrained number must have moved from its start to count as running away."""
_BETTER = 1e-3
"""Nats by which the end of a second search must be better."""
_WORTH = 4
"""How many times larger the image must be."""


class Searched(NamedTuple):
    """A problem, where its search started, and how it ended."""

    objective: Objective
    start: FloatArray
    ended: Ended


def fit_from_tile(objective: Objective, tolerance: float) -> FitResult:
    """Fit an objective, a large image from the fit of its best-observed tile."""
    return result_of(objective, start_of(objective, search_tile(objective, tolerance)), tolerance)


def result_of(objective: Objective, start: FloatArray, tolerance: float) -> FitResult:
    """Search from a start, and return the estimates at the end."""
    start, ended = search(objective, start, tolerance)
    return make_result(objective, ended.at, conclude(objective, ended, start, tolerance))


def search(objective: Objective, start: FloatArray, tolerance: float) -> tuple[FloatArray, Ended]:
    """Search from a start, and where a parameter runs away, from its other side as well. Returns start and end.

    Noise that runs to zero is no reason for it. Of a larger image the tile has been searched from both sides.
    """
    try:
        objective(start)
    except (NotPositiveDefiniteError, np.linalg.LinAlgError) as error:
        raise ArgumentError(
            f"model must have a likelihood where its search starts, got a precision that rounding makes singular: "
            f"{error} Start from other parameters, or give more noise, or a trend that takes the level."
        ) from error
    ended = maximize(objective, start, tolerance)
    if ended.converged or ended.ending is Ending.NO_NOISE or objective.data.values.size > _WORTH * _TILE**2:
        return start, ended
    moved = ended.at - start
    other = start - _STEPS[-1] * np.sign(moved) * (np.abs(moved) > _RUNNING)
    if np.array_equal(other, start) or not np.isfinite(tried(objective, other)[0]):
        return start, ended
    again = maximize(objective, other, tolerance)
    return (other, again) if objective(again.at)[0] > objective(ended.at)[0] + _BETTER else (start, ended)


def search_tile(objective: Objective, tolerance: float) -> Searched | None:
    """Search the same problem on the best-observed tile of a large image; None where that would not help."""
    if not objective.names:
        return None
    tile = _tile_of(objective, _TILE)
    if tile is None:
        return None
    start = _likeliest(tile)
    if not np.isfinite(tried(tile, start)[0]):
        return None
    return Searched(tile, *search(tile, start, tolerance))


def start_of(objective: Objective, tile: Searched | None) -> FloatArray:
    """Return what the tile's search says; where there was none or it failed, the likeliest of some points.

    Of a tile that shows no noise all but the noise counts.
    """
    if tile is not None and tile.ended.ending is Ending.NO_NOISE:
        return np.append(tile.ended.at[:-1], objective.origin[-1])
    if tile is not None and tile.ended.converged and np.isfinite(tried(objective, tile.ended.at)[0]):
        return tile.ended.at
    return _likeliest(objective)


def _likeliest(objective: Objective) -> FloatArray:
    """Return the best of some points about the objective's own start, by likelihoods of a small tile.

    The unconstrained numbers are moved one after the other, the noise first.
    """
    at = objective.origin
    if not len(at):
        return at
    tile = _tile_of(objective, _PROBE) or objective
    best = _value(tile, at)
    for k in reversed(range(len(at))):
        moved = [at + step * (np.arange(len(at)) == k) for step in _STEPS]
        values = [_value(tile, each) for each in moved]
        if max(values) > best:
            best = max(values)
            at = moved[int(np.argmax(values))]
    return at


def _value(objective: Objective, at: FloatArray) -> float:
    try:
        value = objective.value(at)
    except (SparseGMRFError, ArithmeticError, np.linalg.LinAlgError):
        return -np.inf
    return value if np.isfinite(value) else -np.inf


def _tile_of(objective: Objective, side: int) -> Objective | None:
    """Return the same problem on the best-observed tile with a constant for a trend, or None if it tells too little."""
    given = objective.frame.given
    rows, columns = best_tile(given.observed, side)
    tile = given.window(rows, columns)
    seen = objective.data.values[rows, columns][tile.observed]
    if tile.values.size * _WORTH > given.values.size or len(seen) * 2 < tile.values.size or np.ptp(seen) == 0.0:
        return None
    model = objective.model
    if hasattr(model, "cropped"):
        model = model.cropped(rows, columns)
    names = ("constant",) if objective.trend.names else ()
    found = Objective.of(
        model,
        objective.free,
        objective.scale,
        tile,
        objective.estimated,
        names,
        np.ones((len(names), *tile.values.shape)),
        restricted=objective.restricted,
        priors=objective.priors,
        unit=objective.frame.unit,
    )
    return found if found.data.count > len(found.free) + 1 + len(names) + found.trend.deficiency else None


def best_tile(observed: BoolArray, side: int) -> tuple[slice, slice]:
    """Return the square with the most observed pixels."""
    height, width = (min(side, each) for each in observed.shape)
    total = np.pad(observed, ((1, 0), (1, 0))).cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    count = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    i, j = np.unravel_index(np.argmax(count), count.shape)
    return slice(int(i), int(i) + height), slice(int(j), int(j) + width)
