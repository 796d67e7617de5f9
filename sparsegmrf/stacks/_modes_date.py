"""One more image by modes that are learnt already."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.stacks._modes import Learnt, ModesModel
from sparsegmrf.stacks._modes_em import Series, coefficient_variance, expected_squares, weigh
from sparsegmrf.stacks._modes_images import image_given
from sparsegmrf.stacks._modes_local import TAIL
from sparsegmrf.stacks._modes_posterior import WeightedSeries, local_information, smooth_scores
from sparsegmrf.stacks._modes_scores import Scores
from sparsegmrf.typing import FloatArray

_ROUNDS = 5


@dataclass(frozen=True)
class DateFill:
    """Mean and variance of the surface ``(H, W)`` at one date, and the variance of the noise; see `ModesFill`."""

    mean: FloatArray
    variance: FloatArray
    noise_variance: FloatArray


def scores_at(learnt: Learnt, days: FloatArray) -> Scores:
    """Return what the series says of the scores at other days ``(A,)``, each by itself."""
    model, learned, series = learnt.model, learnt.learned, learnt.series
    data = WeightedSeries(series, learned.weights, learned.scales)
    information, shift = local_information(model.modes, model.local, data, learned.scores)
    everything = np.concatenate([series.days, days])
    order = np.argsort(everything, kind="stable")
    none = np.zeros((len(days), *information.shape[1:]))
    information = np.concatenate([information, none])[order]
    shift = np.concatenate([shift, none[..., 0]])[order] if shift.shape[1] else np.zeros((len(order), 0))
    scores = smooth_scores(model.modes.kernel, everything[order], information, shift)
    rows = np.argsort(order, kind="stable")[len(series.days) :]
    return scores.at(rows)


def fill_date(model: ModesModel, day: float, prior: Scores, image: FloatArray) -> DateFill:
    """Fill an image ``(H, W)`` given what other dates say of its scores (of one date, by `scores_at`)."""
    modes = model.modes
    days = np.array([day])
    flat = (image.reshape(1, -1) - model.centre) / model.unit
    series = Series(np.where(np.isfinite(flat), flat, 0.0), np.isfinite(flat), days)
    weights, scales = series.seen.astype(float), model.usual_scales(days)
    scores = prior
    for _ in range(_ROUNDS if series.seen.any() else 0):
        information, shift = modes.information(series, weights, scales)
        scores = _updated(prior, information[0], shift[0])
        squares = expected_squares(series, modes, scores)
        weights, scales = weigh(squares, series.seen, modes.noise, scales)
    uncertain = coefficient_variance(days, modes, scores)[0]
    residuals = (series.values - modes.seasonal(days))[0]
    given = image_given(modes, model.local, residuals, weights[0], uncertain, float(scales[0]))
    if series.seen.any():
        scores = _updated(prior, *given.information())
    mean, variance = given.moments(scores.mean[0], scores.covariance[0])
    shape = model.shape
    noise = TAIL * (1.0 - model.local.share) * scales[0] * modes.noise
    return DateFill(
        model.centre + model.unit * (modes.seasonal(days)[0] + np.sqrt(modes.noise) * mean).reshape(shape),
        model.unit**2 * (modes.noise * variance).reshape(shape),
        model.unit**2 * noise.reshape(shape),
    )


def _updated(prior: Scores, information: FloatArray, shift: FloatArray) -> Scores:
    """Return moments of one date's scores: ``C = C_0 (I + P C_0)^-1``, ``m = m_0 + C (b - P m_0)``."""
    before = prior.covariance[0]
    after = before @ np.linalg.inv(np.eye(len(before)) + information @ before)
    covariance = np.asarray((after + after.T) / 2.0, dtype=np.float64)
    mean = prior.mean[0] + covariance @ (shift - information @ prior.mean[0])
    return Scores(mean[None], covariance[None], prior.kernel)
