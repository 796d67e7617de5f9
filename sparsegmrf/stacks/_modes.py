"""Long series of images: seasons, modes that are learnt from the series, and a field of every date.

Pixel ``p`` of date ``t`` is

``y_tp = x_t^T beta_p + h_t^T w_p + u_tp + noise_tp``.

``x_t`` is a constant and waves of the year, ``w`` are modes, images that keep coming back, and ``h_t`` how much there
is of them at a date: sums of Ornstein-Uhlenbeck processes over years and over weeks, and of what a date has by itself.
``u_t`` is a Gaussian Markov random field of the date, correlated over a few pixels; it and the noise are in proportion
to the pixel's noise and the date's scale. The noise is Student's t, so that clouds which nobody marked weigh little.
All pixels that are seen at any date inform all others.

Modes, their number and everything else are estimated from the series by variational Bayes (`_modes_em.py`), which
takes gaps as they are and carries the uncertainty of the modes into the variances, and then beside the local field
(`_modes_refine.py`), which is no independent noise. Given the modes, the posterior of
scores and fields is exact: a smoother in time of ``r`` scores, and one sparse factor a date with ``r`` solves. The
modes are a low rank, the fields are sparse.
"""

import logging
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import finite, generator, integer_at_least, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks._modes_em import (
    YEAR,
    Learned,
    Modes,
    Series,
    learn,
)
from sparsegmrf.stacks._modes_local import TAIL, LocalField
from sparsegmrf.stacks._modes_plan import plan_modes
from sparsegmrf.stacks._modes_posterior import WeightedSeries, left_out, posterior
from sparsegmrf.stacks._modes_refine import refine
from sparsegmrf.typing import ArrayLike, FloatArray, IntArray, Seed, Shape

_log = logging.getLogger("sparsegmrf.stacks")
_SEASON_DAYS = 45.0


class ModesParameters(NamedTuple):
    """Estimates: waves of the year, modes kept, the field's ``kappa^2`` in 1/pixels^2 and share of the variance."""

    harmonics: int
    rank: int
    kappa2: float
    share: float


@dataclass(frozen=True, eq=False)
class ModesFill:
    """A filled series: the dates of the images, then those asked for.

    Attributes
    ----------
    mean : (T + A, H, W) array
        Expected surface, in intensity.
    variance : (T + A, H, W) array
        Its variance, in intensity^2.
    noise_variance : (T + A, H, W) array
        Variance of the normal whose central 90% are those of the noise of a measurement, in intensity^2.
    samples : (S, T + A, H, W) array
        Draws of the surface.
    parameters : ModesParameters
        Estimates.
    learnt : Learnt
        The model, and the series it was learnt from.
    """

    mean: FloatArray
    variance: FloatArray
    noise_variance: FloatArray
    samples: FloatArray
    parameters: ModesParameters
    learnt: "Learnt"


@dataclass(frozen=True, eq=False)
class ModesModel:
    """Modes and local field learnt from a series, and the intensities that stand for 0 and 1."""

    shape: Shape
    modes: Modes
    local: LocalField
    centre: float
    unit: float
    scales: FloatArray
    days: FloatArray
    """Of the dates it was learnt from, and the scales of their noise."""

    @property
    def parameters(self) -> ModesParameters:
        """Return the estimates; a mode counts that moves pixels by a hundredth of the noise or more."""
        modes = self.modes
        size = np.sqrt((modes.loadings**2).mean(axis=0) * modes.kernel.marginal)
        rank = int((size > 0.01 * np.sqrt(np.median(modes.noise))).sum())
        return ModesParameters(modes.harmonics, rank, self.local.kappa2, self.local.share)

    @property
    def images(self) -> FloatArray:
        """Modes that count ``(rank, H, W)`` times the deviation of their scores, in intensity, the largest first."""
        modes = self.modes
        found = self.unit * (modes.loadings * np.sqrt(modes.kernel.marginal)).T
        order = np.argsort(-(found**2).mean(axis=1), kind="stable")[: self.parameters.rank]
        return found[order].reshape(-1, *self.shape)

    def usual_scales(self, days: FloatArray) -> FloatArray:
        """Return the median scale of the noise in the season of each day."""
        apart = np.abs((days[:, None] - self.days + YEAR / 2) % YEAR - YEAR / 2)
        return np.array([np.median(self.scales[near]) if near.any() else 1.0 for near in apart <= _SEASON_DAYS])


def fill_modes(
    values: ArrayLike,
    days: ArrayLike,
    at: ArrayLike | None = None,
    *,
    n_samples: int = 0,
    rng: Seed = None,
    rank: int | None = None,
) -> ModesFill:
    """Fill the gaps of a series of images with seasons, modes and fields that are learnt from it.

    Parameters
    ----------
    values : (T, H, W) array
        Intensities; NaN where missing. Images without any pixel are allowed.
    days : (T,) array
        Days since any epoch, in any order.
    at : (A,) array, optional
        Days without image for which the surface is wanted as well.
    n_samples : int
        Draws from the posterior.
    rng : int or Generator, optional
        Of the draws.
    rank : int, optional
        Modes at most; the default goes by the number of images. Where there are too few for any, the model is a
        seasonal mean and fields.

    Returns
    -------
    ModesFill

    Raises
    ------
    ArgumentError
        If shapes do not fit, a day is not finite, or nothing is seen at any date.
    TooLargeError
        If the memory that is foreseen exceeds what is available.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> days = 16.0 * np.arange(60)
    >>> pattern = np.add.outer(np.arange(6.0), np.arange(6.0))
    >>> truth = np.sin(days / 58.0)[:, None, None] * pattern + rng.normal(size=60)[:, None, None]
    >>> values = np.where(rng.random(truth.shape) < 0.4, np.nan, truth)
    >>> filled = fill_modes(values, days)
    >>> filled.mean.shape, bool(np.abs(filled.mean - truth).mean() < 0.1)
    ((60, 6, 6), True)
    """
    stack, dates, wanted = _read(values, days, at)
    count = integer_at_least("n_samples", n_samples, 0)
    generator_ = generator(rng)
    most = None if rank is None else integer_at_least("rank", rank, 0)
    plan = plan_modes(np.isfinite(stack).reshape(len(stack), -1), stack.shape[1:], len(wanted), most, count)
    _log.info("modes: %s", plan)
    plan.refuse_if_too_large()
    with one_blas_thread():
        return _fill(learn_modes(stack, dates, most), dates, wanted, count, generator_)


@dataclass(frozen=True, eq=False)
class Learnt:
    """A model with the series it was learnt from, which has those dates only that have a pixel.

    `dates` are positions of these among the images.
    """

    model: ModesModel
    learned: Learned
    series: Series
    dates: IntArray

    def left_out(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return values, and mean and variance of each by all others, ``(len(dates), H, W)``, noise included."""
        model, scales = self.model, self.learned.scales
        mean, variance = left_out(model.modes, model.local, WeightedSeries(self.series, self.learned.weights, scales))
        variance = variance + TAIL * (1.0 - model.local.share) * scales[:, None] * model.modes.noise
        values = np.where(self.series.seen, self.series.values, np.nan)
        shape = (-1, *model.shape)
        found = (model.centre + model.unit * values, model.centre + model.unit * mean, model.unit**2 * variance)
        return found[0].reshape(shape), found[1].reshape(shape), found[2].reshape(shape)


def learn_modes(stack: FloatArray, days: FloatArray, rank: int | None = None) -> Learnt:
    """Learn modes and local field from images ``(T, H, W)``."""
    shape = (stack.shape[1], stack.shape[2])
    flat = stack.reshape(len(stack), -1)
    order = np.argsort(days, kind="stable")
    order = order[np.isfinite(flat[order]).any(axis=1)]
    values = flat[order]
    seen = np.isfinite(values)
    centre, unit = _standard(values[seen])
    values -= centre
    values /= unit
    values[~seen] = 0.0
    series = Series(values, seen, days[order])
    plan = plan_modes(seen, shape, rank=rank)
    learned, local = refine(series, learn(series, plan.rank, plan.harmonics), shape)
    model = ModesModel(shape, learned.modes, local, centre, unit, learned.scales, series.days)
    return Learnt(model, learned, series, order)


def _standard(known: FloatArray) -> tuple[float, float]:
    """Return the intensities that stand for 0 and 1, a median and the median distance from it; `known` is used up."""
    deviation = float(np.std(known))
    centre = float(np.median(known, overwrite_input=True))
    known -= centre
    np.abs(known, out=known)
    return centre, float(np.median(known, overwrite_input=True)) or deviation or 1.0


def _fill(learnt: Learnt, days: FloatArray, wanted: FloatArray, count: int, rng: np.random.Generator) -> ModesFill:
    """Return moments and draws at the days of the images and those wanted."""
    model = learnt.model
    everything = np.concatenate([days, wanted])
    order = np.argsort(everything, kind="stable")
    back = np.argsort(order, kind="stable")
    whole = _with_more_dates(learnt, back[learnt.dates], everything[order])
    result = posterior(model.modes, model.local, whole, count, rng)
    noise = (model.unit**2 * TAIL * (1.0 - model.local.share) * whole.scales[:, None]) * model.modes.noise
    in_order = np.array_equal(back, np.arange(len(back)))

    def images(vectors: FloatArray, unit: float, centre: float) -> FloatArray:
        vectors *= unit
        vectors += centre
        ordered = vectors if in_order else vectors[..., back, :]
        return ordered.reshape(*vectors.shape[:-1], *model.shape)

    return ModesFill(
        images(result.mean, model.unit, model.centre),
        images(result.variance, model.unit**2, 0.0),
        images(noise, 1.0, 0.0),
        images(result.samples, model.unit, model.centre),
        model.parameters,
        learnt,
    )


def _with_more_dates(learnt: Learnt, rows: IntArray, days: FloatArray) -> WeightedSeries:
    """Return the series with dates of which nothing is seen; its own dates go to some rows of all `days`."""
    series, learned = learnt.series, learnt.learned
    if len(rows) == len(days):
        return WeightedSeries(series, learned.weights, learned.scales)
    shape = (len(days), series.values.shape[1])
    data, seen, weights = np.zeros(shape), np.zeros(shape, dtype=bool), np.zeros(shape)
    data[rows], seen[rows], weights[rows] = series.values, series.seen, learned.weights
    scales = learnt.model.usual_scales(days)
    scales[rows] = learned.scales
    return WeightedSeries(Series(data, seen, days), weights, scales)


def _read(values: ArrayLike, days: ArrayLike, at: ArrayLike | None) -> tuple[FloatArray, FloatArray, FloatArray]:
    stack = real_array("values", values)
    if stack.ndim != 3 or 0 in stack.shape:
        raise ArgumentError(f"values must have shape (T, H, W) with at least one image and pixel, got {stack.shape}.")
    if np.isinf(stack).any():
        raise ArgumentError("values must be finite or NaN, got infinite ones; set them to NaN if they are missing.")
    if not np.isfinite(stack).any():
        raise ArgumentError("values must have a pixel that is seen, got NaN only; there is nothing to fill from.")
    dates = finite("days", real_array("days", days))
    if dates.shape != stack.shape[:1]:
        raise ArgumentError(f"days must have one day per image, ({len(stack)},), got {dates.shape}.")
    wanted = np.zeros(0) if at is None else finite("at", real_array("at", at))
    if wanted.ndim != 1:
        raise ArgumentError(f"at must be a vector of days, got shape {wanted.shape}.")
    return stack, dates, wanted
