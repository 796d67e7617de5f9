"""Posterior of a series given its modes: scores smoothed in time, then one image after the other."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sparsegmrf.inference._progress import evaluated, stage
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.stacks._modes_em import Modes, Series, coefficient_variance
from sparsegmrf.stacks._modes_images import Given, image_given
from sparsegmrf.stacks._modes_local import LocalField
from sparsegmrf.stacks._modes_scores import ScoreKernel, Scores, smooth
from sparsegmrf.stacks._modes_spread import rows_of
from sparsegmrf.typing import FloatArray


@dataclass(frozen=True)
class WeightedSeries:
    """Images in order of time, some without pixels; Student's weights ``(T, n)`` and scales ``(T,)`` of the noise."""

    series: Series
    weights: FloatArray
    scales: FloatArray


@dataclass(frozen=True)
class SeriesPosterior:
    """Means and variances ``(T, n)`` and draws ``(S, T, n)`` of the signal."""

    mean: FloatArray
    variance: FloatArray
    samples: FloatArray


def posterior(
    modes: Modes, local: LocalField, data: WeightedSeries, count: int, rng: np.random.Generator
) -> SeriesPosterior:
    """Return the posterior of all dates given modes and local field."""
    with stage("predicting", len(data.series.days) * (2 if modes.kernel.rank else 1)):
        return _posterior(modes, local, data, count, rng)


def _posterior(
    modes: Modes, local: LocalField, data: WeightedSeries, count: int, rng: np.random.Generator
) -> SeriesPosterior:
    """Return the posterior; a date is told twice where there are modes, with its scores and with its image."""
    series, days = data.series, data.series.days
    first, information, scores = _scores_of(modes, local, data)
    draws = _draws(modes.kernel, days, information, scores.mean, count, rng)
    deviation = np.sqrt(modes.noise)
    mean, variance = np.empty_like(series.values), np.empty_like(series.values)
    samples = np.empty((count, *series.values.shape))

    def put(t: int, given: Given, season: FloatArray) -> None:
        standard, square = given.moments(scores.mean[t], scores.covariance[t])
        mean[t] = season + deviation * standard
        variance[t] = modes.noise * square
        if count:
            samples[:, t] = season + deviation * given.draw(draws[t].T, rng)

    _each_image(modes, local, data, first, put)
    return SeriesPosterior(mean, variance, samples)


def left_out(modes: Modes, local: LocalField, data: WeightedSeries) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance ``(T, n)`` of the signal where each value is predicted by all others.

    Exact given the modes with their uncertainty, the local field, and weights and scales of the noise.
    """
    first, _, scores = _scores_of(modes, local, data)
    deviation = np.sqrt(modes.noise)
    mean, variance = np.empty_like(data.series.values), np.empty_like(data.series.values)

    def put(t: int, given: Given, season: FloatArray) -> None:
        standard, square = given.left_out(scores.mean[t], scores.covariance[t])
        mean[t], variance[t] = season + deviation * standard, modes.noise * square

    _each_image(modes, local, data, first, put)
    return mean, variance


def _scores_of(modes: Modes, local: LocalField, data: WeightedSeries) -> tuple[Scores, FloatArray, Scores]:
    """Return the scores without local fields, what each image says of them with these, and their posterior then."""
    days = data.series.days
    first = smooth_scores(modes.kernel, days, *modes.information(data.series, data.weights, data.scales))
    information, shift = local_information(modes, local, data, first)
    return first, information, smooth_scores(modes.kernel, days, information, shift)


def local_information(
    modes: Modes, local: LocalField, data: WeightedSeries, scores: Scores
) -> tuple[FloatArray, FloatArray]:
    """Return what every image says of the scores, its local field integrated out; see `smooth`.

    `scores` are those without local fields, from which the variance that is due to the coefficients is taken.
    """
    count, rank = len(data.scales), modes.kernel.rank
    information, shift = np.zeros((count, rank, rank)), np.zeros((count, rank))

    def put(t: int, given: Given, _: FloatArray) -> None:
        if given.image.seen.any():
            information[t], shift[t] = given.information()

    if rank:
        _each_image(modes, local, data, scores, put)
    return information, shift


def smooth_scores(kernel: ScoreKernel, days: FloatArray, information: FloatArray, shift: FloatArray) -> Scores:
    """Return the posterior of the scores, of none if there are no modes."""
    if kernel.rank == 0:
        return Scores(np.zeros((len(days), 0)), np.zeros((len(days), 0, 0)), kernel)
    return smooth(kernel, days, information, shift)


def _each_image(
    modes: Modes,
    local: LocalField,
    data: WeightedSeries,
    scores: Scores,
    work: Callable[[int, Given, FloatArray], None],
) -> None:
    """Work on one date after the other, given its image and season ``(n,)``; a date's factor goes with it."""
    series, make = data.series, Refactorizer()
    count, pixels = series.values.shape
    for some in rows_of(0, count, pixels):
        season = modes.seasonal(series.days[some])
        uncertain = coefficient_variance(series.days[some], modes, scores.at(some))
        residuals = series.values[some] - season
        for k, t in enumerate(range(some.start, some.stop)):
            scale = float(data.scales[t])
            work(t, image_given(modes, local, residuals[k], data.weights[t], uncertain[k], scale, make), season[k])
            evaluated()


def _draws(
    kernel: ScoreKernel,
    days: FloatArray,
    information: FloatArray,
    mean: FloatArray,
    count: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw scores ``(T, r, count)`` from their posterior: a draw of the prior, less what its own data say of it."""
    if kernel.rank == 0 or count == 0:
        return np.zeros((len(days), kernel.rank, count))
    prior = kernel.draw(days, count, rng)
    values, axes = np.linalg.eigh(information)
    roots = axes * np.sqrt(np.where(values > 0.0, values, 0.0))[:, None, :]
    shift = information @ prior + roots @ rng.standard_normal(prior.shape)
    return np.asarray(mean[..., None] + prior - smooth(kernel, days, information, shift).mean)
