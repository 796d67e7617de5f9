"""What a mixture of fitted fields predicts: moments, draws and functionals."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from sparsegmrf.inference._comparison import Candidate
from sparsegmrf.inference._linear_estimate import LinearEstimate
from sparsegmrf.inference._mixture import Mixture
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.typing import FloatArray


class MixedPrediction(NamedTuple):
    """A prediction, and the distributions of field and measurements at every pixel; None where it is of one fit."""

    prediction: Prediction
    mixture: Mixture | None
    predictive_mixture: Mixture | None


def predict_mixed(candidates: Sequence[Candidate], count: int, stream: np.random.Generator) -> MixedPrediction:
    """Return mean, variances and draws of the mixture of the candidates by their weights.

    A draw is a whole field of one candidate, which is drawn by the weights: what goes on from pixel to pixel is that of
    a field, as it would not be if every pixel chose anew.
    """
    if len(candidates) == 1:
        return MixedPrediction(candidates[0].fit.predict(n_samples=count, rng=stream), None, None)
    weights = np.array([each.weight for each in candidates])
    owners = stream.choice(len(candidates), size=count, p=weights)
    found = [
        each.fit.predict(n_samples=int(np.count_nonzero(owners == k)), rng=stream) for k, each in enumerate(candidates)
    ]
    mixture = Mixture(weights, np.stack([each.mean for each in found]), np.stack([each.std for each in found]))
    draws = np.empty((count, *mixture.means.shape[1:]))
    for k, each in enumerate(found):
        draws[owners == k] = each.samples
    new = Mixture(weights, mixture.means, np.stack([each.predictive_std for each in found]))
    error = max(each.relative_error for each in found)
    return MixedPrediction(Prediction(mixture.mean, mixture.std**2, new.std**2, draws, error), mixture, new)


def mixed_functional(candidates: Sequence[Candidate], weights: Any) -> LinearEstimate:
    """Return expectations and covariance of functionals: ``sum_k w_k (C_k + (f_k - f)(f_k - f)^T)``."""
    found = [each.fit.functional(weights) for each in candidates]
    shares = np.array([each.weight for each in candidates])
    estimates: FloatArray = np.stack([np.ravel(each.estimate) for each in found])
    mean = shares @ estimates
    off = estimates - mean
    inner = np.tensordot(shares, np.stack([each.covariance for each in found]), 1)
    first = found[0].estimate
    return dataclasses.replace(
        found[0],
        estimate=mean.reshape(np.shape(first)) if np.ndim(first) else float(mean[0]),
        covariance=inner + (off.T * shares) @ off,
    )
