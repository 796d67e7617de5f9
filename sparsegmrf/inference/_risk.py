"""Risks that a linear predictor stands for: relative rates of counts, probabilities of successes."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._scores import half_width
from sparsegmrf.likelihoods import Likelihood
from sparsegmrf.typing import FloatArray


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
        The risk at the mode of the linear predictor.
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
    limit = finite("threshold", real_array("threshold", threshold), "give a risk for every pixel")
    if limit.shape not in ((), mean.shape[-2:], mean.shape):
        raise ArgumentError(f"threshold must be a number or an image of shape {mean.shape[-2:]}, got {limit.shape}.")
    return np.asarray(ndtr((mean - likelihood.link(limit)) / np.sqrt(variance)))
