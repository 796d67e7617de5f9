"""What a fitted stack says at every pixel and date: mean, variances, draws."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from sparsegmrf.inference._progress import stage
from sparsegmrf.stacks._conjugate import ConjugateFactor
from sparsegmrf.stacks._evidence import Evidence, StackModel, precision_of, solved
from sparsegmrf.stacks._plan import StackPlan
from sparsegmrf.stacks._problem import StackProblem, cropped
from sparsegmrf.stacks._windows import Window, each
from sparsegmrf.typing import FloatArray

_FAINT = 1e-6
"""Variance of maps over that of the noise below which they are left out of deviations."""
_PROBE = 32
"""Side in pixels on which the variance of a map is looked at."""


class Predicted(NamedTuple):
    """Images at the dates that differ, in order, in the problem's unit.

    Attributes
    ----------
    mean, variance : ndarray, (U, H, W)
        Of seasons, trend and field.
    draws : ndarray, (k, U, H, W)
    coefficients, covariance : ndarray, (p,) and (p, p)
        Of the trend; of tiles, the means over them.
    loglik : float
        Of the whole; NaN of tiles.
    seam : float
        Largest difference of deviations by neighbouring tiles beyond the border of a core, relative to them.
    error : float
        Bound of the error of means in standard deviations, of what is solved for by iterations.
    """

    mean: FloatArray
    variance: FloatArray
    draws: FloatArray
    coefficients: FloatArray
    covariance: FloatArray
    loglik: float
    seam: float = 0.0
    error: float = 0.0


def predict(
    problem: StackProblem, model: StackModel, plan: StackPlan, more: FloatArray, count: int, rng: np.random.Generator
) -> Predicted:
    """Return what a model says of a stack, also at dates without an image."""
    if plan.is_exact:
        data = problem.data(more=more.tolist())
        passes = 2 * data.n_dates if plan.method == "sweep" else None  # eliminated, and their covariances selected
        with stage("predicting", passes, counts="dates"):
            return _at_once(Evidence.of(model, data, plan.make), count, rng)
    with stage("predicting"):
        return _in_tiles(problem, model, plan, more, count, rng)


def _at_once(evidence: Evidence, count: int, rng: np.random.Generator) -> Predicted:
    data = evidence.data
    mean, variance = moments(evidence)
    draws = _draws(evidence, mean, count, rng)
    images = (data.n_dates, *data.shape)
    return Predicted(
        mean.reshape(images),
        variance.reshape(images),
        draws.reshape(count, *images),
        *evidence.of_beta,
        evidence.loglik,
    )


def _draws(evidence: Evidence, mean: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Return draws ``(k, U, n)``, the trend's coefficients being drawn as well."""
    if not count:
        return np.zeros((0, *mean.shape))
    beta, covariance = evidence.of_beta
    own = evidence.precision.observe(evidence.factor.draw(count, rng))
    root = np.linalg.cholesky(covariance) if len(beta) else covariance
    shares = rng.standard_normal((count, len(beta))) @ root.T
    return np.asarray(mean + own + np.einsum("ki,iup->kup", shares, evidence.left))


def moments(evidence: Evidence) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of seasons, trend and field, ``(U, n)``, those of the trend's coefficients included."""
    return mean_of(evidence), evidence.factor.covariances().variance + trend_variance(evidence)


def mean_of(evidence: Evidence) -> FloatArray:
    """Return the mean of seasons, trend and field, ``(U, n)``."""
    return np.asarray(evidence.trend + evidence.precision.observe(evidence.unknowns))


def trend_variance(evidence: Evidence) -> FloatArray:
    """Return what the trend's coefficients add to variances, ``(U, n)``."""
    return np.asarray(np.einsum("iup,ij,jup->up", evidence.left, evidence.of_beta[1], evidence.left, optimize=True))


def _in_tiles(
    problem: StackProblem, model: StackModel, plan: StackPlan, more: FloatArray, count: int, rng: np.random.Generator
) -> Predicted:
    """Predict means and draws of all pixels at once, and deviations core by core.

    Neighbours are compared one pixel beyond each core, where the other's word counts.
    """
    whole = Evidence.of(model, problem.data(more=more.tolist()), ConjugateFactor)
    mean, of_trend, draws, error = _solved(whole, count, rng)
    known = _without_faint_maps(problem, model)
    variance = np.empty_like(mean)

    def of(tile: tuple[Window, Window]) -> tuple[Window, FloatArray]:
        core, window = tile
        found = _variance_of(known, model, plan, window, more)
        inner, rim = within(core, window), _rim(core, window)
        local = within(rim, window)
        variance[:, core.rows, core.columns] = found[:, inner.rows, inner.columns]
        return rim, found[:, local.rows, local.columns].copy()

    with stage("tiles", len(plan.tiles), counts="tiles"):
        beyond = each(of, plan.tiles, "tiles")
    ratios = [theirs / variance[:, rim.rows, rim.columns] for rim, theirs in beyond]
    seam = max(float(np.abs(np.sqrt(ratio) - 1.0).max()) for ratio in ratios)
    variance += of_trend
    return Predicted(mean, variance, draws, *whole.of_beta, float("nan"), seam, error)


def _solved(whole: Evidence, count: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Return means, the trend's share of the variances, draws ``(k, U, H, W)``, and the largest error of a mean."""
    factor, data = whole.factor, whole.data
    assert isinstance(factor, ConjugateFactor)
    images = (data.n_dates, *data.shape)
    right = whole.precision.spread(whole.precision.weight * whole.residual)
    unknowns, error = factor.certified(right, whole.unknowns)
    mean = whole.trend + whole.precision.observe(unknowns)
    draws = _draws(whole, mean, count, rng)
    return mean.reshape(images), trend_variance(whole).reshape(images), draws.reshape(count, *images), error


def _variance_of(
    problem: StackProblem, model: StackModel, plan: StackPlan, window: Window, more: FloatArray
) -> FloatArray:
    """Return variances ``(U, h, w)`` of seasons and fields by the observations of a window."""
    data = problem.data(window.rows, window.columns, more.tolist())
    own = cropped(model, window.rows, window.columns)
    kept = replace(own, deviations=own.deviations[: len(data.groups)])
    return plan.make(precision_of(kept, data)).covariances().variance.reshape(-1, *data.shape)


def _without_faint_maps(problem: StackProblem, model: StackModel) -> StackProblem:
    """Return the problem without maps of the season if all of them together are a millionth of the noise's variance."""
    if not problem.seasons.groups:
        return problem
    corner = min(problem.shape[0], _PROBE), min(problem.shape[1], _PROBE)
    spread = model.coefficients.cropped(slice(0, corner[0]), slice(0, corner[1])).gmrf(corner).marginal_variance().max()
    total = sum(len(members) * sd**2 for members, sd in zip(problem.seasons.groups, model.deviations, strict=True))
    if total * float(spread) > _FAINT * model.noise_variance:
        return problem
    return replace(problem, seasons=replace(problem.seasons, harmonics=None))


def pooled(problem: StackProblem, model: StackModel, plan: StackPlan) -> tuple[FloatArray, FloatArray]:
    """Return the trend's coefficients of the windows of the fit taken together."""

    def of(window: Window) -> Evidence:
        return Evidence.of(cropped(model, *window), problem.data(*window), plan.make)

    return solved(each(of, plan.fit_windows))


def within(core: Window, window: Window) -> Window:
    """Return a core as its window counts."""
    i, j = window.rows.start, window.columns.start
    return Window(slice(core.rows.start - i, core.rows.stop - i), slice(core.columns.start - j, core.columns.stop - j))


def _rim(core: Window, window: Window) -> Window:
    """Return a core with one pixel around it, as far as its window goes."""
    rows = slice(max(core.rows.start - 1, window.rows.start), min(core.rows.stop + 1, window.rows.stop))
    columns = slice(max(core.columns.start - 1, window.columns.start), min(core.columns.stop + 1, window.columns.stop))
    return Window(rows, columns)
