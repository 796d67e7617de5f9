"""Fit and prediction of a stack that has been read, in the order of its images."""

import logging
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import ConvergenceError
from sparsegmrf.inference._progress import stage
from sparsegmrf.stacks._fit import StackFit
from sparsegmrf.stacks._images import Images
from sparsegmrf.stacks._options import FillOptions
from sparsegmrf.stacks._outliers import screen, unlike_the_season
from sparsegmrf.stacks._plan import StackPlan, plan_stack, tiled
from sparsegmrf.stacks._predict import predict
from sparsegmrf.stacks._problem import StackProblem
from sparsegmrf.stacks._read import Stack
from sparsegmrf.stacks._scoring import scored
from sparsegmrf.stacks._search import search
from sparsegmrf.stacks._series import fill_series
from sparsegmrf.stacks._series_fit import SeriesFit
from sparsegmrf.stacks._size import Size
from sparsegmrf.typing import BoolArray, FloatArray

_log = logging.getLogger("sparsegmrf.stacks")
_ROUNDS = 3
"""How often at most observations are screened by the model and it is fitted again."""


class Filled(NamedTuple):
    """Images at the dates given and asked for, the fit, what was screened out, the seam of tiles, the means' error."""

    images: Images
    fit: StackFit | SeriesFit
    screened: BoolArray
    seam: float
    error: float


def fill_stack(stack: Stack, options: FillOptions, more: FloatArray, count: int, stream: np.random.Generator) -> Filled:
    """Return what a stack says of its images and of more days, with draws."""
    options = options.resolved(stack)
    nothing = np.zeros(stack.values.shape, dtype=bool)
    own = options.series_model()
    if own is not None:
        return Filled(*fill_series(own, stack, more, count, stream), nothing, 0.0, 0.0)
    first, ground = options.problem(stack, nothing)
    bad = nothing if options.outliers is None else unlike_the_season(first)
    asked = first if not bad.any() else options.problem(stack, bad)[0]
    size, plan = plan_of(stack, asked, options, more, count)
    _log.info("stack: %s", plan)
    likelihood, ended = search(asked, list(plan.fit_windows), plan.make)
    for _ in range(0 if options.outliers is None else _ROUNDS):
        reached = asked.model_of(likelihood.numbers.values(ended.at), asked.start)
        with stage("screening", len(plan.tiles), counts="tiles"):
            new = screen(asked, reached, plan)
        if not new.any():
            break
        bad = bad | new
        asked = asked.without(new).starting_at(reached)
        likelihood, ended = search(asked, list(plan.fit_windows), plan.make, warm=True)
    values = likelihood.numbers.values(ended.at)
    by_score = None
    if plan.scored is not None and values:
        try:
            with stage("scoring"):
                by_score = scored(asked, plan.scored, values)
            values = by_score.values
        except ConvergenceError as error:
            _log.warning("stack: parameters are those of the windows alone: %s", error)
            plan = replace(plan, scored=None)
    reached = asked.model_of(values, asked.start)
    if not plan.is_exact:
        plan = tiled(plan, replace(size, model=reached), options.core, options.halo, count)
        _log.info("stack: %s", plan)
    found = predict(asked, reached, plan, more, count, stream)
    fit = StackFit.of(asked, likelihood, ended, plan, (found.coefficients, found.covariance), ground, by_score)
    if not fit.converged:
        _log.warning("stack: %s", fit.reason)
    everything = np.concatenate([stack.days, more])
    index = np.searchsorted(np.unique(everything), everything)
    images = Images(
        found.mean[index] * asked.unit + asked.level,
        found.variance[index] * asked.unit**2,
        np.full((len(index), 1, 1), fit.model.noise_variance),
        found.draws[:, index] * asked.unit + asked.level,
    )
    return Filled(images, fit, bad, found.seam, found.error)


def plan_of(
    stack: Stack, problem: StackProblem, options: FillOptions, more: FloatArray, count: int
) -> tuple[Size, StackPlan]:
    """Return how a problem is computed, and the unknowns of a pixel."""
    dates = len(np.unique(np.concatenate([stack.days, more])))
    maps, trend = sum(map(len, problem.seasons.groups)), len(problem.seasons.names)
    size = Size(dates, maps, problem.start, trend)
    seen = problem.observed.sum(axis=0)
    return size, plan_stack(size, stack.shape, seen, options.method, options.core, options.halo, count)
