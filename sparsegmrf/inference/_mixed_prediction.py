"""Mixtures of predictions: moments, draws and functionals, over points of an integral or over fields."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sparsegmrf.inference._linear_estimate import LinearEstimate
from sparsegmrf.inference._mixture import Mixture
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.typing import BoolArray, FloatArray


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MixedPrediction(Prediction):
    """What observations say of every pixel, and of new measurements, as a mixture: the parameters integrated out, say.

    As a `Prediction` it has `mean`, `variance`, `predictive_variance` and `samples`, those of the mixtures.

    Attributes
    ----------
    mixture : Mixture
        At every pixel of the field with its trend, a component for each prediction: ``(K, H, W)``.
    predictive_mixture : Mixture
        Of a new measurement there.
    """

    mixture: Mixture
    predictive_mixture: Mixture

    def without(self, unknown: BoolArray) -> "MixedPrediction":
        """Return the prediction with NaN at some pixels ``(H, W)``."""
        plain = super().without(unknown)
        both = [
            Mixture(each.weights, np.where(unknown, np.nan, each.means), np.where(unknown, np.nan, each.stds))
            for each in (self.mixture, self.predictive_mixture)
        ]
        return dataclasses.replace(
            self,
            mean=plain.mean,
            variance=plain.variance,
            predictive_variance=plain.predictive_variance,
            samples=plain.samples,
            mixture=both[0],
            predictive_mixture=both[1],
        )


def mixed_prediction(
    weights: FloatArray, predict: Callable[[int, int], Prediction], count: int, stream: np.random.Generator
) -> MixedPrediction:
    """Return mean, variances and draws of a mixture of what ``predict(k, draws)`` says, by weights ``(K,)``.

    A draw is a whole field of one component, which is drawn by the weights: what goes on from pixel to pixel is that of
    a field, as it would not be if every pixel chose anew.
    """
    owners = stream.choice(len(weights), size=count, p=weights)
    found = [predict(k, int(np.count_nonzero(owners == k))) for k in range(len(weights))]
    means = np.stack([each.mean for each in found])
    mixture = Mixture(weights, means, np.stack([each.std for each in found]))
    measured = Mixture(weights, means, np.stack([each.predictive_std for each in found]))
    draws = np.empty((count, *means.shape[1:]))
    for k, each in enumerate(found):
        draws[owners == k] = each.samples
    return MixedPrediction(
        mean=mixture.mean,
        variance=mixture.std**2,
        predictive_variance=measured.std**2,
        samples=draws,
        relative_error=max(each.relative_error for each in found),
        mixture=mixture,
        predictive_mixture=measured,
    )


def mixed_estimate(weights: FloatArray, found: Sequence[LinearEstimate]) -> LinearEstimate:
    """Return estimates and covariance of a mixture: ``sum_k w_k (C_k + (f_k - f)(f_k - f)^T)``."""
    estimates = np.array([np.ravel(each.estimate) for each in found])
    mean = weights @ estimates
    off, inner = estimates - mean, np.tensordot(weights, np.array([each.covariance for each in found]), 1)
    size = np.shape(found[0].estimate)
    return dataclasses.replace(
        found[0],
        estimate=mean.reshape(size) if size else float(mean[0]),
        covariance=inner + (off.T * weights) @ off,
    )
