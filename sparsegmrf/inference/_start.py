"""Where fits start: at what the best-observed tile of the image says."""

from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import NotPositiveDefiniteError, TooLargeError
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._problem import make_objective, make_result
from sparsegmrf.inference._search import NOISE_IS_GONE, maximize
from sparsegmrf.inference.fit_result import FitResult
from sparsegmrf.typing import BoolArray, FloatArray

_TILE = 128
"""Side in pixels of the tile."""
_PROBE = 48
"""Side in pixels of the tile on which points to start from are compared."""
_STEPS = (-2.0, -1.0, 1.0, 2.0)
"""How far these are from the start, each unconstrained number by itself."""
_WORTH = 4
"""How many times larger the image must be."""


class Searched(NamedTuple):
    """A problem, the end of its search, whether it ended well, and why it ended."""

    objective: Objective
    at: FloatArray
    converged: bool
    reason: str


def fit_from_tile(objective: Objective, tolerance: float) -> FitResult:
    """Fit an objective, a large image from the fit of its best-observed tile."""
    start = start_of(objective, search_tile(objective, tolerance))
    return make_result(objective, *maximize(objective, start, tolerance))


def search_tile(objective: Objective, tolerance: float) -> Searched | None:
    """Search the same problem on the best-observed tile of a large image; None where that would not help."""
    tile = _tile_of(objective, _TILE)
    if tile is None:
        return None
    return Searched(tile, *maximize(tile, _likeliest(tile), tolerance))


def start_of(objective: Objective, tile: Searched | None) -> FloatArray:
    """Return what the tile's search says; where there was none or it failed, the likeliest of some points.

    Of a tile that shows no noise all but the noise counts.
    """
    if tile is not None and tile.reason == NOISE_IS_GONE:
        return np.append(tile.at[:-1], objective.start(objective.model, None)[-1])
    return tile.at if tile is not None and tile.converged else _likeliest(objective)


def _likeliest(objective: Objective) -> FloatArray:
    """Return the best of some points about the objective's own start, by likelihoods of a small tile.

    The unconstrained numbers are moved one after the other, the noise first.
    """
    tile = _tile_of(objective, _PROBE) or objective
    at = objective.start(objective.model, None)
    if not len(at):
        return at
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
        return objective.value(at)
    except (NotPositiveDefiniteError, TooLargeError):
        return -np.inf


def _tile_of(objective: Objective, side: int) -> Objective | None:
    """Return the same problem on the best-observed tile with a constant for a trend, or None if it tells too little."""
    data = objective.data
    rows, columns = best_tile(data.observed, side)
    values, missing = data.values[rows, columns], ~data.observed[rows, columns]
    seen = values[~missing]
    if values.size * _WORTH > data.values.size or len(seen) * 2 < values.size or np.ptp(seen) == 0.0:
        return None
    noise: object = "estimate" if objective.estimated else None
    if noise is None and data.weight.any():
        noise = 1.0 / np.where(missing, 1.0, data.weight[rows, columns])
    fixed = [name for name in objective.model.parameters if name not in objective.free]
    method = "reml" if objective.restricted else "ml"
    trend = "constant" if objective.trend.names else None
    return make_objective(objective.model, values, missing, noise, trend, method, fixed, values.shape, objective.priors)


def best_tile(observed: BoolArray, side: int) -> tuple[slice, slice]:
    """Return the square with the most observed pixels."""
    height, width = (min(side, each) for each in observed.shape)
    total = np.pad(observed, ((1, 0), (1, 0))).cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    count = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    i, j = np.unravel_index(np.argmax(count), count.shape)
    return slice(int(i), int(i) + height), slice(int(j), int(j) + width)
