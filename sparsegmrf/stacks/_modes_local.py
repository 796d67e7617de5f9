"""The field of each date that no mode has: its correlation over a few pixels, and images given the modes."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from sparsegmrf.factors import Factor, factorize
from sparsegmrf.models import Matern
from sparsegmrf.stacks._modes_em import DEGREES
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import BoolArray, FloatArray, Shape

Make = Callable[[SymmetricStencil], Factor]

TAIL = float((student.ppf(0.95, DEGREES) / norm.ppf(0.95)) ** 2)
"""Variance of the normal distribution whose central 90% are those of the noise, Student's t of unit scale."""

_LAGS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (0, 3), (3, 0))
KAPPA2 = np.geomspace(0.02, 8.0, 25)
TORUS = 128
_LARGEST_SHARES = {1: 0.7, 2: 0.95}
"""By order: residuals of images that took part in finding the modes are more alike from pixel to pixel than those of
others, and a field of first order, rough itself, does not tell its own from noise as one of second order does."""
_BETTER = 0.5
"""Squared errors of the correlations of second order over those of first below which the smoother field is taken."""


@dataclass(frozen=True)
class LocalField:
    """Field of one date in units of its pixels' noise: a share of the variance, with the precision ``(kappa^2 + G)^a``.

    ``G`` is the lattice's Laplacian. The rest of the variance is noise.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    kappa2 : float
        In 1/pixels^2.
    share : float
        Of the field in the variance of what the modes leave, from 0 to 1.
    order : int
        ``a``, 1 or 2: rough as an exponential covariance, or smooth.
    """

    shape: Shape
    kappa2: float
    share: float
    order: int = 1

    @cached_property
    def precision(self) -> SymmetricStencil:
        """Precision of the field of unit variance far from the border."""
        if self.order == 2:
            return Matern(range=math.sqrt(8.0 / self.kappa2)).stencil(self.shape)
        scale = float(_covariances(np.array([self.kappa2]), ((0, 0),))[0, 0])
        coefficients = [scale * (4.0 + self.kappa2), -scale, -scale]
        return SymmetricStencil([(0, 0), (0, 1), (1, 0)], coefficients, self.shape, boundary="neumann")

    @cached_property
    def prior(self) -> Factor:
        """Factor of the precision."""
        return factorize(self.precision)

    def given(self, weights: FloatArray, scale: float, make: Make = factorize) -> "GivenModes":
        """Return the posterior given noisy observations of precision `weights` ``(n,)``, at a date of this scale."""
        if self.share == 0.0:
            return GivenModes(None, weights)
        variance = self.share * scale
        if not weights.any():  # nothing is seen
            return GivenModes(self.prior, weights, variance)
        planes = [self.precision.plane(k) / variance for k in range(len(self.precision.offsets))]
        planes[0] = planes[0] + weights.reshape(self.shape)
        return GivenModes(make(SymmetricStencil(self.precision.offsets, planes, self.shape)), weights)


@dataclass(frozen=True)
class GivenModes:
    """Posterior ``N(M^-1 D (z - F h), M^-1)`` of a local field given the scores ``h``, with ``M = Q + D``.

    The factor is that of ``unit M``, and none where there is no local field.
    """

    factor: Factor | None
    weights: FloatArray
    unit: float = 1.0

    @cached_property
    def variance(self) -> FloatArray:
        """Diagonal of ``M^-1``."""
        if self.factor is None:
            return np.zeros_like(self.weights)
        return np.asarray(self.unit * self.factor.marginal_variance().ravel())

    def kriged(self, residuals: FloatArray) -> FloatArray:
        """Return ``M^-1 D`` times residuals ``(..., n)``."""
        if self.factor is None or not self.weights.any():
            return np.zeros_like(residuals)
        images = (self.weights * residuals).reshape(*residuals.shape[:-1], *self.factor.lattice.shape)
        solved: FloatArray = self.factor.solve(images)
        return solved.reshape(residuals.shape)

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Draw deviations ``(count, n)`` from the posterior's mean."""
        shape = (count, self.weights.size)
        if self.factor is None:
            return np.zeros(shape)
        noise = rng.standard_normal((count, *self.factor.lattice.shape))
        return np.asarray(np.sqrt(self.unit) * self.factor.unwhiten(noise).reshape(shape))


def estimate_local(shape: Shape, blocks: Iterable[tuple[FloatArray, BoolArray]]) -> LocalField:
    """Return the local field whose correlations at small lags fit those of standardized residuals best.

    They come in blocks of dates, ``(b, n)``, with what is seen.
    """
    total, count = np.zeros(1 + len(_LAGS)), np.zeros(1 + len(_LAGS))
    for residuals, seen in blocks:
        images = np.where(seen, residuals, 0.0).reshape(-1, *shape)
        masks = seen.reshape(images.shape)
        for k, lag in enumerate(((0, 0), *_LAGS)):
            found, pairs = _products(images, masks, lag)
            total[k] += found
            count[k] += pairs
    if not count[0]:
        return LocalField(shape, 1.0, 0.0)
    weights, variance = count[1:], total[0] / count[0]
    known = (weights > 0.0) & (variance > 0.0)
    target = np.divide(total[1:], weights * variance, out=np.zeros(len(_LAGS)), where=known)
    fits = {order: _fitted(order, target, weights, 1.0) for order in _LARGEST_SHARES}
    order = 2 if fits[2].loss < _BETTER * fits[1].loss else 1
    best = _fitted(order, target, weights, _LARGEST_SHARES[order])
    share = best.share
    if order == 2:  # the residuals' own variance falls short of what is expected by the field that the modes took up
        share = min(1.0 - (1.0 - share) * variance, _LARGEST_SHARES[order])
    return LocalField(shape, best.kappa2, max(share, 0.0) if weights.any() else 0.0, order)


class _Correlated(NamedTuple):
    kappa2: float
    share: float
    loss: float


def _fitted(order: int, target: FloatArray, weights: FloatArray, most: float) -> _Correlated:
    """Return the field of an order whose correlations times a share, at most some, are nearest to those wanted."""
    covariances = _covariances(KAPPA2, ((0, 0), *_LAGS), order)
    correlations = covariances[:, 1:] / covariances[:, :1]
    squares = (correlations**2) @ weights
    shares = np.clip((correlations @ (weights * target)) / np.where(squares > 0.0, squares, 1.0), 0.0, most)
    losses = ((target - shares[:, None] * correlations) ** 2) @ weights
    best = int(np.argmin(losses))
    return _Correlated(float(KAPPA2[best]), float(shares[best]), float(losses[best]))


def _products(images: FloatArray, masks: BoolArray, lag: tuple[int, int]) -> tuple[float, int]:
    """Return the sum of products of pixels that far apart, zero where nothing is seen, and their number."""
    rows, columns = lag
    height, width = images.shape[1:]
    first = (slice(0, max(height - rows, 0)), slice(max(0, -columns), max(width - max(0, columns), 0)))
    second = (slice(rows, height), slice(max(0, columns), width + min(0, columns)))
    both = masks[:, *first] & masks[:, *second]
    return float(np.einsum("tij,tij->", images[:, *first], images[:, *second])), int(np.count_nonzero(both))


def _covariances(kappa2: FloatArray, lags: tuple[tuple[int, int], ...], order: int = 1) -> FloatArray:
    """Return covariances ``(len(kappa2), len(lags))`` of the field of ``(kappa^2 + G)^order`` on a large torus."""
    angles = 2.0 * np.pi * np.arange(TORUS) / TORUS
    ladder = 2.0 - 2.0 * np.cos(angles)
    spectrum = 1.0 / (kappa2[:, None, None] + ladder[:, None] + ladder) ** order
    covariances = np.fft.irfft2(spectrum[..., : TORUS // 2 + 1], s=(TORUS, TORUS))
    return np.stack([covariances[:, lag[0], lag[1]] for lag in lags], axis=1)
