"""What a fitted stack says at every pixel and date: mean, variances, draws."""

from typing import NamedTuple

import numpy as np

from sparsegmrf.stacks._evidence import Evidence, StackModel, solved
from sparsegmrf.stacks._plan import StackPlan
from sparsegmrf.stacks._problem import StackProblem, cropped
from sparsegmrf.stacks._windows import Window, each
from sparsegmrf.typing import FloatArray


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
        Largest difference of means by neighbouring tiles beyond the border of a core, in standard deviations.
    """

    mean: FloatArray
    variance: FloatArray
    draws: FloatArray
    coefficients: FloatArray
    covariance: FloatArray
    loglik: float
    seam: float


def predict(
    problem: StackProblem, model: StackModel, plan: StackPlan, more: FloatArray, count: int, rng: np.random.Generator
) -> Predicted:
    """Return what a model says of a stack, also at dates without an image."""
    if plan.is_exact:
        evidence = Evidence.of(model, problem.data(more=more.tolist()), plan.make)
        return _at_once(evidence, count, rng)
    return _in_tiles(problem, model, plan, more)


def _at_once(evidence: Evidence, count: int, rng: np.random.Generator) -> Predicted:
    data = evidence.data
    mean, variance = moments(evidence)
    draws = np.zeros((0, *mean.shape))
    if count:
        beta, covariance = evidence.of_beta
        e = rng.standard_normal((count, *evidence.unknowns.shape))
        own = evidence.precision.observe(evidence.factor.unwhiten(e))
        root = np.linalg.cholesky(covariance) if len(beta) else covariance
        shares = rng.standard_normal((count, len(beta))) @ root.T
        draws = mean + own + np.einsum("ki,iup->kup", shares, evidence.left)
    images = (data.n_dates, *data.shape)
    return Predicted(
        mean.reshape(images),
        variance.reshape(images),
        draws.reshape(count, *images),
        *evidence.of_beta,
        evidence.loglik,
        0.0,
    )


def moments(evidence: Evidence) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of seasons, trend and field, ``(U, n)``, those of the trend's coefficients included."""
    mean = evidence.trend + evidence.precision.observe(evidence.unknowns)
    variance = evidence.factor.covariances().variance
    of_trend = np.einsum("iup,ij,jup->up", evidence.left, evidence.of_beta[1], evidence.left)
    return mean, variance + of_trend


def _in_tiles(problem: StackProblem, model: StackModel, plan: StackPlan, more: FloatArray) -> Predicted:
    """Predict core by core, and compare neighbours one pixel beyond each core, where the other's word counts."""
    days = np.unique(np.concatenate([problem.days, more]))
    mean, variance = np.empty((len(days), *problem.shape)), np.empty((len(days), *problem.shape))
    beyond, shared = [], pooled(problem, model, plan)

    def of(window: Window) -> tuple[FloatArray, FloatArray]:
        return _of_window(problem, model, plan, window, more, shared)

    for (core, window), found in zip(plan.tiles, each(of, [window for _, window in plan.tiles]), strict=True):
        inner = within(core, window)
        mean[:, core.rows, core.columns] = found[0][:, inner.rows, inner.columns]
        variance[:, core.rows, core.columns] = found[1][:, inner.rows, inner.columns]
        rim = _rim(core, window)
        local = within(rim, window)
        beyond.append((rim, found[0][:, local.rows, local.columns]))
    seams = [
        np.abs(theirs - mean[:, rim.rows, rim.columns]) / np.sqrt(variance[:, rim.rows, rim.columns])
        for rim, theirs in beyond
    ]
    return Predicted(
        mean,
        variance,
        np.zeros((0, *mean.shape)),
        *shared,
        float("nan"),
        float(max(seam.max() for seam in seams)),
    )


def _of_window(
    problem: StackProblem,
    model: StackModel,
    plan: StackPlan,
    window: Window,
    more: FloatArray,
    shared: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray]:
    data = problem.data(window.rows, window.columns, more.tolist())
    evidence = Evidence.of(cropped(model, window.rows, window.columns), data, plan.make, shared)
    mean, variance = moments(evidence)
    return mean.reshape(-1, *data.shape), variance.reshape(-1, *data.shape)


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
