"""Posterior of a series given its modes: scores smoothed in time, then one image after the other."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sparsegmrf.stacks._modes_em import Modes, Series, coefficient_variance
from sparsegmrf.stacks._modes_images import Given, image_given
from sparsegmrf.stacks._modes_local import LocalField
from sparsegmrf.stacks._modes_scores import ScoreKernel, Scores, smooth
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
    series, days = data.series, data.series.days
    scores, information, uncertain = _scores_of(modes, local, data)
    draws = _draws(modes.kernel, days, information, scores.mean, count, rng)
    season = modes.seasonal(days)
    deviation = np.sqrt(modes.noise)
    mean, variance = np.empty_like(series.values), np.empty_like(series.values)
    samples = np.empty((count, *series.values.shape))
    for t, given in enumerate(_images(modes, local, data, uncertain)):
        standard, square = given.moments(scores.mean[t], scores.covariance[t])
        mean[t] = season[t] + deviation * standard
        variance[t] = modes.noise * square
        if count:
            samples[:, t] = season[t] + deviation * given.draw(draws[t].T, rng)
    return SeriesPosterior(mean, variance, samples)


def left_out(modes: Modes, local: LocalField, data: WeightedSeries) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance ``(T, n)`` of the signal where each value is predicted by all others.

    Exact given the modes with their uncertainty, the local field, and weights and scales of the noise.
    """
    scores, _, uncertain = _scores_of(modes, local, data)
    season, deviation = modes.seasonal(data.series.days), np.sqrt(modes.noise)
    mean, variance = np.empty_like(season), np.empty_like(season)
    for t, given in enumerate(_images(modes, local, data, uncertain)):
        standard, square = given.left_out(scores.mean[t], scores.covariance[t])
        mean[t], variance[t] = season[t] + deviation * standard, modes.noise * square
    return mean, variance


def _scores_of(modes: Modes, local: LocalField, data: WeightedSeries) -> tuple[Scores, FloatArray, FloatArray]:
    """Return the posterior of the scores, what each image says of them, and the coefficients' part of the variance."""
    series, days = data.series, data.series.days
    precision = data.weights / (modes.noise * data.scales[:, None])
    first = smooth_scores(modes.kernel, days, *modes.information(series, precision))
    uncertain = coefficient_variance(days, modes, first)
    information, shift = local_information(modes, local, data, uncertain)
    return smooth_scores(modes.kernel, days, information, shift), information, uncertain


def local_information(
    modes: Modes, local: LocalField, data: WeightedSeries, uncertain: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return what every image says of the scores, its local field integrated out; see `smooth`."""
    count, rank = len(data.scales), modes.kernel.rank
    information, shift = np.zeros((count, rank, rank)), np.zeros((count, rank))
    if rank:
        for t, given in enumerate(_images(modes, local, data, uncertain)):
            if given.image.seen.any():
                information[t], shift[t] = given.information()
    return information, shift


def smooth_scores(kernel: ScoreKernel, days: FloatArray, information: FloatArray, shift: FloatArray) -> Scores:
    """Return the posterior of the scores, of none if there are no modes."""
    if kernel.rank == 0:
        return Scores(np.zeros((len(days), 0)), np.zeros((len(days), 0, 0)), kernel)
    return smooth(kernel, days, information, shift)


def _images(modes: Modes, local: LocalField, data: WeightedSeries, uncertain: FloatArray) -> Iterator[Given]:
    residuals = data.series.values - modes.seasonal(data.series.days)
    for t, scale in enumerate(data.scales):
        yield image_given(modes, local, residuals[t], data.weights[t], uncertain[t], float(scale))


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
