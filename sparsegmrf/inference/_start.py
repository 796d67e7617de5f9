"""Where fits start: at what tiles of the image say, first the best-observed one, then several together."""

from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError, SparseGMRFError
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._null_vectors import UnfixedLevelError
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._search import Ended, Ending, maximize, tried
from sparsegmrf.typing import BoolArray, FloatArray, IntArray

_TILE = 128
"""Side in pixels of the tile."""
_PROBE = 48
"""Side in pixels of the tile on which points to start from are compared."""
_STEPS = (-2.0, -1.0, 1.0, 2.0)
"""How far these are from the start, each working parameter by itself."""
_RUNNING = 1.5
"""How far an working parameter must have moved from its start to count as running away."""
_BETTER = 1e-3
"""Nats by which the end of a second search must be better."""
_WORTH = 4
"""How many times larger the image must be."""
_SHARE = 0.25
"""Share of the image's tiles that are searched together."""
_NEAR_ENOUGH = 0.5
"""Newton step in standard errors at which their search ends: a quarter of one of the whole image."""


class Found(NamedTuple):
    """A searched problem: what was evaluated of it, where the search started, how it ended, and its tolerance."""

    memo: Memo
    start: FloatArray
    ended: Ended
    tolerance: float


def find_start(problem: Problem, tolerance: float) -> tuple[Memo, FloatArray]:
    """Return where to search from: of a large image at what its best-observed tile says, searched to a tolerance."""
    memo = Memo(problem.objective)
    if not isinstance(memo.objective, Objective):
        return memo, memo.objective.origin
    return memo, start_of(problem, memo, search_tile(problem, tolerance))


def search(memo: Memo, start: FloatArray, tolerance: float) -> Found:
    """Search from a start, and where a parameter runs away, from its other side as well.

    Noise that runs to zero is no reason for it. Of a larger image the tile has been searched from both sides.
    """
    try:
        memo(start)
    except (NotPositiveDefiniteError, np.linalg.LinAlgError) as error:
        raise ArgumentError(
            f"model must have a likelihood where its search starts, got a precision that rounding makes singular: "
            f"{error} Start from other parameters, or give more noise, or a trend that takes the level."
        ) from error
    ended = maximize(memo, start, tolerance)
    height, width = memo.objective.shape
    if ended.converged or ended.ending is Ending.NO_NOISE or height * width > _WORTH * _TILE**2:
        return Found(memo, start, ended, tolerance)
    moved = ended.at - start
    other = start - _STEPS[-1] * np.sign(moved) * (np.abs(moved) > _RUNNING)
    if np.array_equal(other, start) or not np.isfinite(tried(memo, other).value):
        return Found(memo, start, ended, tolerance)
    again = maximize(memo, other, tolerance)
    better = memo(again.at).value > memo(ended.at).value + _BETTER
    return Found(memo, other, again, tolerance) if better else Found(memo, start, ended, tolerance)


def search_tile(problem: Problem, tolerance: float) -> Found | None:
    """Search the same problem on the best-observed tile of a large image; None where that would not help.

    Working parameters mean the same on the tile: it is in the unit of the whole.
    """
    whole = problem.objective
    assert isinstance(whole, Objective)
    tile = _on_tile(problem, _TILE, whole) if whole.names else None
    if tile is None:
        return None
    memo = Memo(tile[1])
    start = _likeliest(*tile, memo)
    if not np.isfinite(tried(memo, start).value):
        return None
    found = search(memo, start, tolerance)
    return _on_several(problem, whole, found) if found.ended.converged else found


def _on_several(problem: Problem, whole: Objective, found: Found) -> Found:
    """Search on from the end of one tile on several together, if that ends at a maximum.

    Estimates of a share ``f`` of the image are ``sqrt(1 / f)`` standard errors of those of the whole off.
    """
    tiles = problem.on_tiles(_TILE, _SHARE, whole.frame.rest + whole.frame.levels[:, np.newaxis, np.newaxis])
    if tiles is None:
        return found
    memo = Memo(Objective.of(tiles, whole))
    if not np.isfinite(tried(memo, found.ended.at).value):
        return found
    several = Found(memo, found.ended.at, maximize(memo, found.ended.at, _NEAR_ENOUGH), _NEAR_ENOUGH)
    return several if several.ended.converged else found


def start_of(problem: Problem, memo: Memo, tile: Found | None) -> FloatArray:
    """Return what the tile's search says; where there was none or it failed, the likeliest of some points.

    Of a tile that shows no noise all but the noise counts.
    """
    if tile is not None and tile.ended.ending is Ending.NO_NOISE:
        return _reaching(memo, np.append(tile.ended.at[:-1], memo.objective.origin[-1]))
    if tile is not None and tile.ended.converged and np.isfinite(tried(memo, tile.ended.at).value):
        return _reaching(memo, tile.ended.at)
    return _likeliest(problem, memo.objective, memo)


def _reaching(memo: Memo, at: FloatArray) -> FloatArray:
    """Return the likeliest of what a tile says and of models that it could hardly tell from that."""
    objective = memo.objective
    if not isinstance(objective, Objective):
        return at
    model, noise = objective.parameters_at(at)
    others = model.alike_nearby() if hasattr(model, "alike_nearby") else []
    held = set(objective.model.parameters) - set(objective.free)
    own = model.parameters
    points = [at]
    for other in others:
        if all(other.parameters[name] == own[name] for name in held):
            points.append(objective.start(other, noise if objective.estimated else None))
    values = [_value(memo, each) for each in points] if points[1:] else [0.0]
    return points[int(np.argmax(values))]


def _likeliest(problem: Problem, objective: Objective, memo: Memo) -> FloatArray:
    """Return the best of some points about the objective's own start, by likelihoods of a small tile.

    The working parameters are moved one after the other, the noise first.
    """
    at = objective.origin
    if not len(at):
        return at
    tile = _on_tile(problem, _PROBE, objective)
    small = memo if tile is None else Memo(tile[1])
    best = _value(small, at)
    for k in reversed(range(len(at))):
        moved = [at + step * (np.arange(len(at)) == k) for step in _STEPS]
        values = [_value(small, each) for each in moved]
        if max(values) > best:
            best = max(values)
            at = moved[int(np.argmax(values))]
    return at


def _value(memo: Memo, at: FloatArray) -> float:
    try:
        value = memo.value(at)
    except (SparseGMRFError, ArithmeticError, np.linalg.LinAlgError):
        return -np.inf
    return value if np.isfinite(value) else -np.inf


def _on_tile(problem: Problem, side: int, like: Objective) -> tuple[Problem, Objective] | None:
    """Return the same problem on the best-observed tile with a constant for a trend, or None if it tells too little.

    Its numbers are those of another objective: in the unit of that, with the same scale profiled.
    """
    masks = [each.observed for each in problem.images]
    rows, columns = best_tile(np.sum(masks, axis=0) if masks[1:] else masks[0], side)
    tile = problem.on_window(rows, columns)
    seen = np.concatenate([each.values[each.observed] for each in tile.images])
    whole, part = (len(each.images) * each.shape[0] * each.shape[1] for each in (problem, tile))
    if part * _WORTH > whole or len(seen) * 2 < part or np.ptp(seen) == 0.0:
        return None
    try:
        found = Objective.of(tile, like)
    except UnfixedLevelError:  # of a masked field the tile cuts off a part without observations
        return None
    least = len(found.free) + 1 + bool(problem.covariates.names) + found.trend.deficiency
    return (tile, found) if found.n_observed > least else None


def best_tile(observed: IntArray | BoolArray, side: int) -> tuple[slice, slice]:
    """Return the square with the most observed pixels, of which there may be several at a place."""
    height, width = (min(side, each) for each in observed.shape)
    if observed.min() == observed.max():
        return slice(0, height), slice(0, width)
    total = np.pad(observed, ((1, 0), (1, 0))).cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    count = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    i, j = np.unravel_index(np.argmax(count), count.shape)
    return slice(int(i), int(i) + height), slice(int(j), int(j) + width)
