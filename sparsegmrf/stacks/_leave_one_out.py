"""Observations of a stack predicted by all others, and dates by all other dates, from one factorization."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from sparsegmrf.stacks._evidence import Evidence, Make, StackModel
from sparsegmrf.stacks._observed import StackData
from sparsegmrf.stacks._plan import StackPlan
from sparsegmrf.stacks._predict import mean_of, pooled, trend_variance, within
from sparsegmrf.stacks._problem import StackProblem, cropped
from sparsegmrf.stacks._seasons import are_told_apart
from sparsegmrf.stacks._sweep import SweepFactor
from sparsegmrf.stacks._windows import Window, each
from sparsegmrf.typing import BoolArray, FloatArray

_DIGITS = 1e-7
"""Share of an observation's precision that the others leave to it, below which their difference has lost its digits."""


class DateDifference(NamedTuple):
    """What a date differs by, ``d`` with the covariance ``C``, from its prediction by all other dates.

    Attributes
    ----------
    square, degrees : float and int
        ``d^T C^-1 d``, and its observations: chi-squared with so many degrees of freedom.
    offset, offset_error : float
        Mean of ``d`` and its standard deviation.
    """

    square: float
    degrees: int
    offset: float
    offset_error: float


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Observations predicted by all others.

    Attributes
    ----------
    mean, std : ndarray, (T, H, W)
        Of the observation; NaN where there is none, or the others do not tell it.
    differences : dict of float to list of DateDifference
        By day, of each tile; none of a day without which the trend is not told.
    """

    mean: FloatArray
    std: FloatArray
    differences: dict[float, list[DateDifference]]


def leave_one_out(problem: StackProblem, model: StackModel, plan: StackPlan) -> LeftOut:
    """Return what all others say of every observation of a problem, in its unit."""
    images = problem.values.shape
    mean, std = np.full(images, np.nan), np.full(images, np.nan)
    differences: dict[float, list[DateDifference]] = {}
    shared = None if plan.is_exact else pooled(problem, model, plan)

    def of(tile: tuple[Window, Window]) -> tuple[FloatArray, FloatArray, dict[float, DateDifference]]:
        core, window = tile
        data = problem.data(*window)
        evidence = Evidence.of(cropped(model, *window), data, plan.make, shared)
        inner = within(core, window)
        own = (slice(None), inner.rows, inner.columns)
        index = np.searchsorted(data.days, problem.days)
        m, factor, extra = (by_date.reshape(-1, *data.shape)[index][own] for by_date in _without_one(evidence))
        values = problem.values[:, core.rows, core.columns]
        seen = problem.observed[:, core.rows, core.columns] & np.isfinite(factor)
        y = np.where(seen, values, np.nan)
        variance = model.noise_variance * factor + extra
        inside = np.zeros(data.shape, dtype=bool)
        inside[inner.rows, inner.columns] = True
        return (
            y - (y - m) * factor,
            np.where(seen, np.sqrt(variance), np.nan),
            _differences(evidence, plan.make, inside),
        )

    for (core, _), (predicted, deviation, by_day) in zip(plan.tiles, each(of, plan.tiles), strict=True):
        mean[:, core.rows, core.columns], std[:, core.rows, core.columns] = predicted, deviation
        for day, found in by_day.items():
            differences.setdefault(day, []).append(found)
    return LeftOut(mean, std, differences)


def _without_one(evidence: Evidence) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean ``m``, by what residuals grow without their own observation, and a variance besides, ``(U, n)``.

    With ``v`` the variance of what is observed given everything, the trend's coefficients included, and ``s`` that of
    the noise, the precision of an observation given the others is ``1/s - v/s^2``: the difference from their prediction
    is ``(y - m) / (1 - v/s)`` and its variance ``s / (1 - v/s)``. Coefficients that are shared with other windows are
    no matter of this observation: ``v`` is without them, and they add the variance of what is left of the covariates,
    which grows alike. NaN where the others do not tell an observation.
    """
    v, of_trend = evidence.factor.covariances().variance, trend_variance(evidence)
    v, extra = (v + of_trend, np.zeros_like(v)) if evidence.shared is None else (v, of_trend)
    share = 1.0 - v / evidence.model.noise_variance
    factor = np.divide(1.0, share, out=np.full(v.shape, np.nan), where=share > _DIGITS)
    return mean_of(evidence), factor, extra * factor**2


def _differences(evidence: Evidence, make: Make, inside: BoolArray) -> dict[float, DateDifference]:
    """Return by day ``d^T C^-1 d`` of the pixels inside, ``d`` what differs from the prediction by all other dates."""
    data, found = evidence.data, {}
    if isinstance(evidence.factor, SweepFactor):
        for u, D in evidence.factor.of_dates():
            on = data.weight[u] > 0.0
            picked = inside.ravel()[on]
            if picked.any() and (evidence.shared is not None or _is_told(data, u)):
                found[float(data.days[u])] = _difference(evidence, u, D, picked)
        return found
    for u, rest in _without_date(data):
        if _is_told(data, u):
            others = Evidence.of(evidence.model, rest, make)
            found[float(data.days[u])] = _difference_from(others, evidence, u)
    return found


def _difference(evidence: Evidence, u: int, D: FloatArray, picked: BoolArray) -> DateDifference:
    """Return the square of a date by the covariance ``D`` of what is observed there given all.

    ``M = W - W D W`` is the precision of its observations given the others, ``M^-1 W e`` what they differ by. ``D`` has
    the uncertainty of the trend where that is estimated from these observations.
    """
    on = evidence.data.weight[u] > 0.0
    w, given = evidence.precision.weight[u, on], D[np.ix_(on, on)]
    if evidence.shared is None:
        left = evidence.left[:, u, on]
        given = given + left.T @ evidence.of_beta[1] @ left
    C = np.linalg.inv(np.diag(w) - w[:, np.newaxis] * given * w)
    d, C = (C @ (w * evidence.noise[u, on]))[picked], C[np.ix_(picked, picked)]
    return DateDifference(float(d @ np.linalg.solve(C, d)), len(d), float(d.mean()), float(np.sqrt(C.mean())))


def _difference_from(others: Evidence, evidence: Evidence, u: int) -> DateDifference:
    """Return the same by two factorizations: ``d^T C^-1 d`` is what the squares of all and of all others differ by."""
    on = evidence.data.weight[u] > 0.0
    n = int(on.sum())
    d = evidence.data.values[u, on] - mean_of(others)[u, on]
    mean = np.zeros_like(others.data.weight)
    mean[u, on] = 1.0 / n
    a = others.precision.spread(mean)
    left = (others.left * mean).sum(axis=(1, 2))
    variance = float(np.sum(a * others.factor.solve(a[np.newaxis])[0]) + left @ others.of_beta[1] @ left)
    variance += float(np.sum(1.0 / evidence.precision.weight[u, on])) / n**2
    return DateDifference(evidence.square - others.square, n, float(d.mean()), float(np.sqrt(variance)))


def _without_date(data: StackData) -> Iterator[tuple[int, StackData]]:
    """Yield each date that has observations with the data that have none there."""
    for u in np.flatnonzero((data.weight > 0.0).any(axis=1)):
        weight = data.weight.copy()
        weight[u] = 0.0
        yield int(u), replace(data, weight=weight)


def _is_told(data: StackData, u: int) -> bool:
    """Return whether the trend is told without a date."""
    weight = data.weight.copy()
    weight[u] = 0.0
    return are_told_apart(data.covariates, weight)
