"""Risks that a linear predictor stands for: relative rates of counts, probabilities of successes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._mixture import Mixture
from sparsegmrf.inference._scores import half_width
from sparsegmrf.likelihoods import Likelihood
from sparsegmrf.typing import FloatArray

DRAW = "draw of the risk"
"""What draws given counts are."""


@dataclass(frozen=True, eq=False, repr=False)
class Risk:
    """Posterior of the risk at every pixel, ``(H, W)``, of several images ``(R, H, W)``.

    Of Poisson counts the rate relative to the exposure, ``exp(eta)``; of binomial ones the probability
    ``1 / (1 + exp(-eta))``, ``eta`` the field with its trend. NaN where a covariate is not known.

    Attributes
    ----------
    mean, std : ndarray, (H, W)
        Expectation and standard deviation.
    median : ndarray, (H, W)
        The risk at the mode of the linear predictor; with parameters integrated out, at its median.
    lower, upper : ndarray, (H, W)
        Ends of the interval that has equal probabilities below and above it.
    level : float
        Probability of the interval.
    """

    mean: FloatArray
    std: FloatArray
    median: FloatArray
    lower: FloatArray
    upper: FloatArray
    level: float

    def __repr__(self) -> str:
        return f"Risk(shape={self.mean.shape}, level={self.level:g})"


def risk(likelihood: Likelihood, mean: FloatArray, variance: FloatArray, level: float) -> Risk:
    """Return the risks of a linear predictor that is normal."""
    half = half_width(level) * np.sqrt(variance)
    expected, square = likelihood.risk_moments(mean, variance)
    return Risk(
        expected,
        np.sqrt(square),
        likelihood.inverse_link(mean),
        likelihood.inverse_link(mean - half),
        likelihood.inverse_link(mean + half),
        float(level),
    )


def exceedance(likelihood: Likelihood, mean: FloatArray, variance: FloatArray, threshold: object) -> FloatArray:
    """Return the probabilities with which risks are above a threshold, a number or one per pixel."""
    limit = likelihood.link(risk_limit(threshold, mean.shape))
    return np.asarray(ndtr((mean - limit) / np.sqrt(variance)))


def mixed_risk(likelihood: Likelihood, mixture: Mixture, level: float) -> Risk:
    """Return the risks of a linear predictor that is a mixture of normal ones.

    Mean and deviation are those of the mixture of risks; quantiles go through the link.
    """
    half_width(level)  # refuses what is no level
    tail = 0.5 * (1.0 - float(level))
    mean, variance = mixed_moments(mixture, likelihood.risk_moments)
    lower, median, upper = (likelihood.inverse_link(mixture.quantile(each)) for each in (tail, 0.5, 1.0 - tail))
    return Risk(mean, np.sqrt(variance), median, lower, upper, float(level))


def mixed_exceedance(likelihood: Likelihood, mixture: Mixture, threshold: object) -> FloatArray:
    """Return the probabilities with which risks are above a threshold, of a mixture of linear predictors."""
    limit = likelihood.link(risk_limit(threshold, mixture.means.shape[1:]))
    return np.tensordot(mixture.weights, ndtr((mixture.means - limit) / mixture.stds), 1)


def mixed_moments(
    mixture: Mixture, moments: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of what has ``moments(mean, variance)`` of a normal linear predictor."""
    means, variances = moments(mixture.means, mixture.stds**2)
    mean = np.tensordot(mixture.weights, means, 1)
    return mean, np.tensordot(mixture.weights, variances + (means - mean) ** 2, 1)


def risk_limit(threshold: object, shape: tuple[int, ...]) -> FloatArray:
    """Return a checked threshold of risks of a shape ``(H, W)`` or ``(R, H, W)``: a number or one per pixel."""
    limit = finite("threshold", real_array("threshold", threshold), "give a risk for every pixel")
    if limit.shape not in ((), shape[-2:], shape):
        raise ArgumentError(f"threshold must be a number or an image of shape {shape[-2:]}, got {limit.shape}.")
    return limit
