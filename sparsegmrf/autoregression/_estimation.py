"""From summed products to weights, sigma and mean: least squares and Yule-Walker."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from sparsegmrf._validate import read_only
from sparsegmrf.autoregression._moments import Autocovariances, LaggedMoments
from sparsegmrf.autoregression._support import Support
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import FloatArray

LARGEST_CONDITION = 1e12
SMALLEST_RESIDUAL = 1e-13
"""Least share of the variance that must remain unpredicted: below it the residual is rounding error."""


@dataclass(frozen=True, eq=False)
class Estimates:
    """Weights, sigma and mean; covariance of the weights, error of the mean; what they reach, and how well posed."""

    weights: FloatArray
    sigma: float
    mean: float
    covariance: FloatArray
    mean_error: float
    n: int
    loglik: float
    condition_number: float


def least_squares(moments: LaggedMoments, support: Support) -> Estimates:
    """Minimize ``sum (x_p - m - sum_k w_k (x[p + o_k] - m))^2`` over weights and mean.

    With ``Z`` the centred neighbours and ``y`` the centred pixels: ``Z^T Z w = Z^T y``.
    """
    _check_count(moments.n, support)
    scatter, n = moments.scatter, moments.n
    _check_varies(float(scatter[0, 0]) / n, moments)
    weights, inverse, condition = _solve(scatter[1:, 1:], scatter[1:, 0], "neighbours")
    rss = _residual(scatter, weights)
    if rss <= SMALLEST_RESIDUAL * scatter[0, 0]:
        raise ArgumentError(
            f"image is predicted by its neighbours to rounding error (innovation variance {rss / n:.3g} of "
            f"{scatter[0, 0] / n:.3g}), so there is no sigma; pass an image that has innovations, or fewer offsets."
        )
    spread = rss / (n - len(weights) - 1)
    gain = _gain(weights)
    # m = (E[y] - w . E[z]) / (1 - sum w), all relative to the pivot
    mean = float(moments.mean[0] - weights @ (moments.mean[1:] - moments.mean[0]) / gain)
    # dm/dw_k = (m - E[z_k]) / (1 - sum w); E[y] - w . E[z] has variance s^2 / n, independent of w
    slope = mean - moments.mean[1:]
    covariance = spread * inverse
    mean_error = float(np.sqrt(spread / n + slope @ covariance @ slope)) / abs(gain)
    sigma = float(np.sqrt(rss / n))
    return _estimates(weights, sigma, mean, covariance, mean_error, moments, condition)


def yule_walker(moments: LaggedMoments, autocovariances: Autocovariances, support: Support) -> Estimates:
    """Solve ``sum_l c(o_k - o_l) w_l = c(o_k)``; ``sigma^2 = c(0) - sum_k w_k c(o_k)``."""
    _check_count(moments.n, support)
    offsets, n = support.offsets, moments.n
    variance = autocovariances(np.zeros(2, dtype=np.int64))
    _check_varies(variance, moments)
    matrix = np.array([[autocovariances(a - b) for b in offsets] for a in offsets]).reshape(len(offsets), len(offsets))
    right = np.array([autocovariances(a) for a in offsets])
    weights, inverse, condition = _solve(matrix, right, "autocovariances")
    sigma_squared = float(variance - weights @ right)
    if sigma_squared <= SMALLEST_RESIDUAL * variance:
        raise ArgumentError(
            "image has observed autocovariances that are not positive definite (innovation variance "
            f"{sigma_squared:.3g} of {variance:.3g}), as averages over pairs beside a mask may be; use "
            'method="least_squares".'
        )
    covariance = sigma_squared * inverse / n
    mean_error = float(np.sqrt(sigma_squared / n)) / abs(_gain(weights))
    sigma = float(np.sqrt(sigma_squared))
    return _estimates(weights, sigma, autocovariances.mean, covariance, mean_error, moments, condition)


def _estimates(
    weights: FloatArray,
    sigma: float,
    mean: float,
    covariance: FloatArray,
    mean_error: float,
    moments: LaggedMoments,
    condition: float,
) -> Estimates:
    # The residuals' mean is that of x_p - m - sum_k w_k (x[p + o_k] - m); zero with least squares.
    bias = float(moments.mean[0] - mean - weights @ (moments.mean[1:] - mean))
    squares = _residual(moments.scatter, weights) + moments.n * bias**2
    loglik = -0.5 * moments.n * float(np.log(2.0 * np.pi * sigma**2)) - 0.5 * squares / sigma**2
    covariance = read_only(covariance)
    return Estimates(weights, sigma, moments.pivot + mean, covariance, mean_error, moments.n, loglik, condition)


def _solve(matrix: FloatArray, right: FloatArray, what: str) -> tuple[FloatArray, FloatArray, float]:
    """Return ``matrix^-1 right``, ``matrix^-1`` and the condition number of `matrix` scaled to unit diagonal."""
    if not len(right):
        return np.empty(0), np.empty((0, 0)), 1.0
    scale = np.sqrt(np.maximum(np.diagonal(matrix), 0.0))
    if not (scale > 0.0).all():
        raise ArgumentError(
            f"image does not vary where its {what} lie, so the normal equations are singular (smallest diagonal entry "
            f"{float(np.diagonal(matrix).min()):g}); pass an image that varies there, or another support."
        )
    correlation = matrix / np.outer(scale, scale)
    eigenvalues = scipy.linalg.eigvalsh(correlation)
    least, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    if least * LARGEST_CONDITION <= largest:
        raise ArgumentError(
            f"image makes the normal equations of the {what} singular: eigenvalues from {least:.3g} to {largest:.3g}, "
            f"more than a factor {LARGEST_CONDITION:g} apart; the neighbours predict each other, take fewer of them"
            + (' or method="least_squares".' if what == "autocovariances" else ".")
        )
    factor = scipy.linalg.cho_factor(correlation, lower=True)
    weights = np.asarray(scipy.linalg.cho_solve(factor, right / scale)) / scale
    inverse = np.asarray(scipy.linalg.cho_solve(factor, np.eye(len(right)))) / np.outer(scale, scale)
    return weights, 0.5 * (inverse + inverse.T), largest / least


def _residual(scatter: FloatArray, weights: FloatArray) -> float:
    """``(1, -w)^T scatter (1, -w)``, the residual sum of squares about its mean."""
    combination = np.concatenate([[1.0], -weights])
    return float(combination @ scatter @ combination)


def _gain(weights: FloatArray) -> float:
    gain = 1.0 - float(weights.sum())
    if abs(gain) < 1e-12:
        raise ArgumentError(
            f"image is fitted by weights that sum to 1 (1 - sum = {gain:g}), so it has no mean to return to; subtract "
            "its trend, or take its differences."
        )
    return gain


def _check_count(n: int, support: Support) -> None:
    needed = len(support.offsets) + 2
    if n < needed:
        raise ArgumentError(
            f"image has {n} usable pixels (whole neighbourhood on the image and observed), but {len(support.offsets)} "
            f"weights, sigma and mean need at least {needed}; pass a larger image, a smaller support, or mask less."
        )


def _check_varies(variance: float, moments: LaggedMoments) -> None:
    mean = moments.pivot + float(moments.mean[0])
    if variance <= (1e-15 * mean) ** 2:
        raise ArgumentError(
            f"image is constant (variance {variance:g} about a mean of {mean:g}), so the normal equations are "
            "singular; pass an image that varies."
        )
