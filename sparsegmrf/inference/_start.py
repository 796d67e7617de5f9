"""Where the fit of a large image starts: at what its best-observed tile says."""

from typing import NamedTuple

import numpy as np

from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._search import NOISE_IS_GONE, maximize
from sparsegmrf.inference.fit import make_objective, make_result
from sparsegmrf.inference.fit_result import FitResult
from sparsegmrf.typing import BoolArray, FloatArray

_TILE = 128
"""Side in pixels of the tile."""
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
    tile = _tile_of(objective)
    if tile is None:
        return None
    return Searched(tile, *maximize(tile, tile.start(tile.model, None), tolerance))


def start_of(objective: Objective, tile: Searched | None) -> FloatArray:
    """Return what the tile says, or the objective's own start where it says nothing or its search has failed.

    Of a tile that shows no noise all but the noise counts.
    """
    own = objective.start(objective.model, None)
    if tile is not None and tile.reason == NOISE_IS_GONE:
        return np.append(tile.at[:-1], own[-1])
    return tile.at if tile is not None and tile.converged else own


def _tile_of(objective: Objective) -> Objective | None:
    """Return the same problem on the best-observed tile with a constant for a trend, or None if it tells too little."""
    data = objective.data
    rows, columns = best_tile(data.observed, _TILE)
    values, missing = data.values[rows, columns], ~data.observed[rows, columns]
    seen = values[~missing]
    if values.size * _WORTH > data.values.size or len(seen) * 2 < values.size or np.ptp(seen) == 0.0:
        return None
    noise: object = "estimate" if objective.estimated else None
    if noise is None and data.weight.any():
        noise = 1.0 / np.where(missing, 1.0, data.weight[rows, columns])
    return make_objective(objective.model, values, missing, noise, "constant", "ml", (), values.shape)


def best_tile(observed: BoolArray, side: int) -> tuple[slice, slice]:
    """Return the square with the most observed pixels."""
    height, width = (min(side, each) for each in observed.shape)
    total = np.pad(observed, ((1, 0), (1, 0))).cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    count = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    i, j = np.unravel_index(np.argmax(count), count.shape)
    return slice(int(i), int(i) + height), slice(int(j), int(j) + width)
