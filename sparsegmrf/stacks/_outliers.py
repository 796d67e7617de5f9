"""Observations that contradict the other dates: clouds that nobody has marked."""

import numpy as np

from sparsegmrf.stacks._evidence import Evidence, StackModel
from sparsegmrf.stacks._plan import StackPlan
from sparsegmrf.stacks._problem import StackProblem, cropped
from sparsegmrf.stacks._windows import Window, each
from sparsegmrf.typing import BoolArray, FloatArray

_ROBUST = 5.0
"""Robust deviations from the season before the fit."""
_SCORE = 4.5
"""Standard deviations from what the other dates say."""
_TO_SIGMA = 1.4826
"""Standard deviation over the median of absolute deviations, of a normal distribution."""
_PASSES = 20
_HUBER = 1.345


def unlike_the_season(problem: StackProblem) -> BoolArray:
    """Return the observations ``(T, H, W)`` far from a robust season and level of their pixel.

    The season that all pixels share is fitted by Huber's M-estimator, a pixel's own level is the median of what is
    left, and the scale that of all pixels together: 1.4826 times the median of absolute deviations.
    """
    days, observed = problem.days, problem.observed
    seasons = problem.seasons
    shared = seasons.basis(days) if seasons.harmonics else np.ones((len(days), 1))
    T, (height, width) = len(days), problem.shape
    y, seen = problem.values.reshape(T, -1), observed.reshape(T, -1)
    left = y - (shared @ _robust(shared, y, seen))[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        levels = np.array([np.median(left[on, p]) if on.any() else 0.0 for p, on in enumerate(seen.T)])
    left = left - levels
    scale = _TO_SIGMA * float(np.median(np.abs(left[seen])))
    return np.asarray((np.abs(left) > _ROBUST * scale) & seen).reshape(T, height, width)


def _robust(X: FloatArray, y: FloatArray, seen: BoolArray) -> FloatArray:
    """Return Huber's coefficients of functions of the date ``(T, K)`` for all pixels together."""
    counts, beta = seen.sum(axis=1), np.zeros(X.shape[1])
    weight = seen.astype(np.float64)
    for _ in range(_PASSES):
        gram = X.T @ (weight.sum(axis=1)[:, np.newaxis] * X)
        beta = np.linalg.lstsq(gram, X.T @ (weight * y).sum(axis=1), rcond=None)[0]
        left = y - (X @ beta)[:, np.newaxis]
        scale = max(_TO_SIGMA * float(np.median(np.abs(left[seen]))), np.finfo(float).tiny)
        weight = np.where(seen, np.minimum(1.0, _HUBER * scale / np.maximum(np.abs(left), 1e-300)), 0.0)
    return beta if counts.any() else np.zeros(X.shape[1])


def screen(problem: StackProblem, model: StackModel, plan: StackPlan) -> BoolArray:
    """Return the observations over 4.5 standard deviations from their prediction by all other dates.

    With the observations of a date left out together a cloud does not vouch for itself.
    """
    found = np.zeros(problem.observed.shape, dtype=bool)

    def of(tile: tuple[Window, Window]) -> BoolArray:
        return _of_tile(problem, model, plan, *tile)

    for (core, _), bad in zip(plan.tiles, each(of, plan.tiles, "tiles"), strict=True):
        found[:, core.rows, core.columns] = bad
    return found


def _of_tile(problem: StackProblem, model: StackModel, plan: StackPlan, core: Window, window: Window) -> BoolArray:
    """Return which observations ``(T, h, w)`` of a core are too far from what the other dates of its window say."""
    data = problem.data(*window)
    evidence = Evidence.of(cropped(model, *window), data, plan.make)
    i, j = core.rows.start - window.rows.start, core.columns.start - window.columns.start
    own = (slice(None), slice(i, i + core.shape[0]), slice(j, j + core.shape[1]))
    index = np.searchsorted(data.days, problem.days)

    def of_core(by_date: FloatArray) -> FloatArray:
        return by_date.reshape(-1, *data.shape)[index][own]

    difference, variance = (of_core(by_date) for by_date in evidence.without_own_date(plan.make))
    # Of several observations of a date each differs from their mean besides.
    values = problem.values[:, core.rows, core.columns]
    several = np.maximum(of_core(data.weight), 1.0)
    spread = variance + model.noise_variance * (1.0 - 1.0 / several)
    far = np.abs(difference + values - of_core(data.values)) > _SCORE * np.sqrt(spread)
    return np.asarray(far & problem.observed[:, core.rows, core.columns])
