"""Mixtures of Gaussian predictions, pixel by pixel."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sparsegmrf import _frozen
from sparsegmrf._validate import finite, finite_number, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import ArrayLike, FloatArray

_CLOSED = 1e-15
"""Width of a closed bracket, relative to the numbers between which a quantile is sought."""
_OF_ONE = 1e-9
"""By how much the sum of weights may differ from one."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """At every pixel the distribution ``sum_k w_k N(m_k, s_k^2)``; a deviation of zero is a value that is known.

    Parameters
    ----------
    weights : array_like, (K,)
        Not negative, of sum one.
    means, stds : array_like, (K, ...)
        Means and standard deviations of the components, in intensity; NaN in all of them where a pixel has no value.

    Raises
    ------
    ArgumentError
        If shapes differ, weights are negative or have another sum, or a standard deviation is negative.

    Examples
    --------
    >>> mixture = Mixture([0.5, 0.5], [[-1.0], [1.0]], [[1.0], [1.0]])
    >>> mixture.mean, mixture.std.round(4), mixture.quantile(0.9).round(4)
    (array([0.]), array([1.4142]), array([1.8495]))
    """

    weights: FloatArray
    means: FloatArray
    stds: FloatArray

    def __post_init__(self) -> None:
        weights = finite("weights", real_array("weights", self.weights))
        means, stds = real_array("means", self.means), real_array("stds", self.stds)
        if weights.ndim != 1 or not len(weights) or weights.min() < 0.0 or abs(weights.sum() - 1.0) > _OF_ONE:
            raise ArgumentError(
                f"weights must be numbers (K,) from 0 of sum 1, got shape {weights.shape} and sum {weights.sum()}."
            )
        if means.shape != stds.shape or means.shape[:1] != weights.shape:
            raise ArgumentError(
                f"means and stds must have one shape ({len(weights)}, ...), got {means.shape} and {stds.shape}."
            )
        if (stds < 0.0).any():
            raise ArgumentError(f"stds must not be negative, got {np.nanmin(stds)}.")
        _frozen.assign(self, weights=weights, means=means, stds=stds)

    @property
    def mean(self) -> FloatArray:
        """``sum_k w_k m_k``."""
        return np.tensordot(self.weights, self.means, axes=1)

    @property
    def std(self) -> FloatArray:
        """``sqrt(sum_k w_k (s_k^2 + (m_k - mean)^2))``."""
        return np.sqrt(np.tensordot(self.weights, self.stds**2 + (self.means - self.mean) ** 2, axes=1))

    def with_noise(self, variance: ArrayLike) -> "Mixture":
        """Return the mixture of measurements: the noise's variances, (K,) or (K, ...), added to the components'."""
        own = real_array("variance", variance)
        own = own.reshape(own.shape + (1,) * (self.stds.ndim - own.ndim)) if own.ndim else own
        return Mixture(self.weights, self.means, np.sqrt(self.stds**2 + own))

    def cdf(self, y: ArrayLike) -> FloatArray:
        """Return ``sum_k w_k F((y - m_k) / s_k)`` for values that broadcast with a pixel's."""
        from scipy.special import ndtr

        return np.tensordot(self.weights, ndtr(self._standardized(real_array("y", y))), axes=1)

    def log_density(self, y: ArrayLike) -> FloatArray:
        """Return ``log sum_k w_k f((y - m_k) / s_k) / s_k`` in nats; deviations must be positive."""
        from scipy.special import logsumexp

        self._refuse_known("log_density")
        z = self._standardized(real_array("y", y))
        each = -0.5 * z * z - np.log(self.stds) - 0.5 * np.log(2.0 * np.pi)
        return np.asarray(logsumexp(each, axis=0, b=self._of_each(self.weights)))

    def quantile(self, probability: float) -> FloatArray:
        """Return the smallest value whose `cdf` reaches a probability between 0 and 1, at every pixel.

        It lies between the least and the greatest quantile of the components, and is found by halving.

        Raises
        ------
        ArgumentError
            If the probability is not between 0 and 1.
        """
        from scipy.special import ndtri

        wanted = finite_number("probability", probability)
        if not 0.0 < wanted < 1.0:
            raise ArgumentError(f"probability must lie between 0 and 1, got {wanted:g}.")
        used = self.weights > 0.0
        each = self.means[used] + float(ndtri(wanted)) * self.stds[used]
        low, high = each.min(axis=0), each.max(axis=0)
        closed = _CLOSED * np.maximum(np.abs(low), np.abs(high))
        while (high - low > closed).any():
            middle = low + 0.5 * (high - low)
            reached = self.cdf(middle) >= wanted
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        return np.asarray(high)

    def crps(self, y: ArrayLike) -> FloatArray:
        """Return the continuous ranked probability score, in intensity; smaller is better.

        ``sum_k w_k A(y - m_k, s_k^2) - 1/2 sum_kl w_k w_l A(m_k - m_l, s_k^2 + s_l^2)``, where ``A(m, v)`` is the
        expectation of ``|X|`` for ``X ~ N(m, v)``.

        References
        ----------
        E. Grimit, T. Gneiting, V. Berrocal, N. Johnson (2006), The continuous ranked probability score for circular
        variables and its application to mesoscale forecast ensemble verification, QJRMS 132, eq. 6.
        """
        truth = real_array("y", y)
        total = np.zeros(self.means.shape[1:])
        for k, w in enumerate(self.weights):
            total = total + w * _expected_distance(truth - self.means[k], self.stds[k])
            for other, v in enumerate(self.weights[:k]):
                spread = np.hypot(self.stds[k], self.stds[other])
                total = total - w * v * _expected_distance(self.means[k] - self.means[other], spread)
            total = total - 0.5 * w * w * _expected_distance(np.zeros(()), np.sqrt(2.0) * self.stds[k])
        return np.asarray(total)

    def _standardized(self, y: FloatArray) -> FloatArray:
        """Return ``(y - m_k) / s_k``, infinite beside a value that is known and positive at it."""
        above = y - self.means
        known = np.broadcast_to(self.stds == 0.0, above.shape)
        z = np.divide(above, np.where(self.stds == 0.0, 1.0, self.stds))
        return np.where(known & ~np.isnan(above), np.where(above >= 0.0, np.inf, -np.inf), z)

    def _refuse_known(self, what: str) -> None:
        if (self.stds == 0.0).any():
            raise ArgumentError(f"stds must be positive for {what}, got a value that is known; leave such pixels out.")

    def _of_each(self, numbers: FloatArray) -> FloatArray:
        return numbers.reshape((-1,) + (1,) * (self.means.ndim - 1))


def _expected_distance(mean: FloatArray, std: npt.NDArray[np.float64]) -> FloatArray:
    """Return ``E|X| = 2 s f(m/s) + m (2 F(m/s) - 1)`` of ``X ~ N(m, s^2)``, ``|m|`` where ``s`` is zero."""
    from scipy.special import ndtr

    known = std == 0.0
    z = mean / np.where(known, 1.0, std)
    density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    return np.where(known, np.abs(mean), 2.0 * std * density + mean * (2.0 * ndtr(z) - 1.0))
