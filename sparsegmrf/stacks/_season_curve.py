"""The season of a pixel with its uncertainty, through a year."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks._conjugate import ConjugateFactor
from sparsegmrf.stacks._evidence import Evidence, StackModel
from sparsegmrf.stacks._modes import Learnt
from sparsegmrf.stacks._modes_em import YEAR, season_of
from sparsegmrf.stacks._plan import StackPlan
from sparsegmrf.stacks._problem import StackProblem
from sparsegmrf.typing import BoolArray, FloatArray, IntArray, Shape

_STEPS = 96
"""Parts of a year between which a curve is computed."""


@dataclass(frozen=True, eq=False)
class SeasonCurve:
    """What is known of a pixel's level and season, without fields that change in time, modes and noise.

    Attributes
    ----------
    pixel : (int, int)
        Row and column.
    days : ndarray, (D,)
        Days into a year, as the dates are counted: of dates from its first day.
    mean, std : ndarray, (D,)
        Expectation and standard deviation, in intensity; parameters are taken as known.
    seen, values : ndarray, (N,)
        Days into the year of the pixel's observations, and these.
    """

    pixel: tuple[int, int]
    days: FloatArray
    mean: FloatArray
    std: FloatArray
    seen: FloatArray
    values: FloatArray


def curve_of_field(problem: StackProblem, model: StackModel, plan: StackPlan, pixel: Any = None) -> SeasonCurve:
    """Return the season of a pixel by a fitted stack, exactly: trend, maps of its coefficients, and fields that stay.

    With ``B`` their functions of the date, ``X`` those of the trend and ``H`` what maps make of these, the curve is
    ``X beta + B c`` with the covariance ``B cov(c | beta) B^T + (X - B H) cov(beta) (X - B H)^T``.
    """
    i, j = pixel_of(pixel, problem.observed)
    data, seasons = problem.data(), problem.seasons
    evidence = Evidence.of(model, data, plan.make if plan.is_exact else ConjugateFactor)
    place, precision = i * problem.shape[1] + j, evidence.precision
    many = precision.n_fields * precision.n_dates
    days = np.linspace(0.0, seasons.year, _STEPS + 1)
    B = np.hstack([seasons.basis(days), np.ones((len(days), len(model.static)))])
    X = seasons.columns(days, np.array([i]), np.array([j]))[:, :, 0]
    beta, covariance = evidence.of_beta
    left = X - evidence.held[:, many:, place] @ B.T
    mean = beta @ X + B @ evidence.unknowns[many:, place]
    variance = np.einsum("id,ij,jd->d", left, covariance, left)
    if B.shape[1]:
        units = np.zeros((B.shape[1], precision.n_unknowns, precision.n_pixels))
        units[:, many:, place] = np.eye(B.shape[1])
        variance += np.einsum("dk,kl,dl->d", B, evidence.factor.solve(units)[:, many:, place], B)
    on, unit, level = problem.observed[:, i, j], problem.unit, problem.level
    return SeasonCurve(
        (i, j),
        days,
        mean * unit + level,
        np.sqrt(variance) * unit,
        problem.days[on] % seasons.year,
        problem.values[on, i, j] * unit + level,
    )


def curve_of_modes(learnt: Learnt, pixel: Any = None) -> SeasonCurve:
    """Return the season of a pixel by a series whose modes are learnt."""
    model, series = learnt.model, learnt.series
    i, j = pixel_of(pixel, series.seen.reshape(-1, *model.shape))
    modes, place = model.modes, i * model.shape[1] + j
    days = np.linspace(0.0, YEAR, _STEPS + 1)
    x = season_of(days, modes.harmonics)
    own = modes.spread.turned(modes.spread.packed[place])[: modes.fixed, : modes.fixed]
    on = series.seen[:, place]
    return SeasonCurve(
        (i, j),
        days,
        model.centre + model.unit * (x @ modes.mean[place, : modes.fixed]),
        model.unit * np.sqrt(np.einsum("dk,kl,dl->d", x, own, x)),
        series.days[on] % YEAR,
        model.centre + model.unit * series.values[on, place],
    )


def pixel_of(pixel: Any, observed: BoolArray) -> tuple[int, int]:
    """Return row and column of a pixel of images ``(T, H, W)``; by default of the first with the most observations.

    Raises
    ------
    ArgumentError
        If it is no pair of positions in the image.
    """
    shape: Shape = (observed.shape[1], observed.shape[2])
    if pixel is None:
        counts: IntArray = observed.sum(axis=0)
        i, j = np.unravel_index(int(np.argmax(counts)), shape)
        return int(i), int(j)
    try:
        row, column = pixel
    except (TypeError, ValueError):
        raise ArgumentError(f"pixel must be a pair (row, column), got {pixel!r}.") from None
    found = integer_at_least("pixel[0]", row, 0), integer_at_least("pixel[1]", column, 0)
    if found[0] >= shape[0] or found[1] >= shape[1]:
        raise ArgumentError(f"pixel must lie in the image of shape {shape}, counted from 0, got {found}.")
    return found
