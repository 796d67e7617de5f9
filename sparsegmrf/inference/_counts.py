"""Likelihoods of counts given a field: their densities, derivatives and what they refuse."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.special import betainc, expit, gammainc, gammaincc, gammaln, ndtri, ndtri_exp

from sparsegmrf._observed import observe
from sparsegmrf._validate import finite, one_of, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import BoolArray, FloatArray, Shape

NAMES = ("poisson", "binomial")


class Derivatives(NamedTuple):
    """Derivatives of the log-likelihood by the linear predictor, pixel by pixel; zero where missing.

    ``slope`` is ``l'``, ``curvature`` is ``W = -l'' >= 0`` and ``rate`` is ``dW/deta``; each ``(H, W)``.
    """

    slope: FloatArray
    curvature: FloatArray
    rate: FloatArray


@dataclass(frozen=True, eq=False)
class CountLikelihood(ABC):
    """Independent counts given a linear predictor ``eta``, an image.

    Attributes
    ----------
    counts : ndarray, (H, W)
        ``y``, zero where missing.
    observed : ndarray of bool, (H, W)
        True where a pixel is observed.
    size : ndarray, (H, W)
        Exposure ``E`` or number of trials ``n``; 1 where missing.
    """

    counts: FloatArray
    observed: BoolArray
    size: FloatArray

    name: ClassVar[str]

    @property
    def count(self) -> int:
        """Number of observed pixels ``m``."""
        return int(np.count_nonzero(self.observed))

    @property
    @abstractmethod
    def extremes(self) -> tuple[BoolArray, ...]:
        """Where the count is the least possible one and, if there is a largest, where it is that."""

    @abstractmethod
    def first_guess(self) -> FloatArray:
        """Return the linear predictor that each count suggests by itself, kept finite by half a count."""

    @abstractmethod
    def _terms(self, eta: FloatArray) -> FloatArray:
        """Return the log-density of every count."""

    @abstractmethod
    def _derivatives(self, eta: FloatArray) -> Derivatives:
        """Return ``l'``, ``-l''`` and ``-l'''`` of every count."""

    @abstractmethod
    def _divergences(self, eta: FloatArray, step: FloatArray) -> FloatArray:
        """Return ``l(eta) + l'(eta) step - l(eta + step)`` of every count, without cancellation."""

    @abstractmethod
    def _tails(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the probabilities of less and of more than every count."""

    def log_density(self, eta: FloatArray) -> float:
        """Return ``sum_p log p(y_p | eta_p)`` in nats, normalizing constants included; ``-inf`` past overflow."""
        with np.errstate(over="ignore"):
            return float(np.sum(np.where(self.observed, self._terms(self._seen(eta)), 0.0)))

    def divergence(self, eta: FloatArray, step: FloatArray) -> float:
        """Return by how much a step gains less than its slope says; not negative, ``inf`` past overflow."""
        with np.errstate(over="ignore"):
            divergences = self._divergences(self._seen(eta), self._seen(step))
            return float(np.sum(np.where(self.observed, divergences, 0.0)))

    def derivatives(self, eta: FloatArray) -> Derivatives:
        """Return the derivatives at a linear predictor."""
        return Derivatives(*(np.where(self.observed, each, 0.0) for each in self._derivatives(self._seen(eta))))

    def quantile_residuals(self, eta: FloatArray, v: FloatArray) -> FloatArray:
        """Return the standard normal quantiles of ``P(Y < y) + v P(Y = y)``; zero where missing.

        With `v` uniform on (0, 1) they are independent standard normals if `eta` is the linear predictor.
        """
        less, more = self._tails(self._seen(eta))
        with np.errstate(over="ignore"):
            log_density = self._terms(self._seen(eta))
        density = np.exp(log_density)
        below, above = less + v * density, more + (1.0 - v) * density
        upper = above < below
        share = np.where(upper, 1.0 - v, v)
        with np.errstate(divide="ignore"):
            from_tail = ndtri(np.where(upper, above, below))
            # Past underflow, 37 standard deviations out, the probability of the count itself stands for its tail.
            from_density = ndtri_exp(log_density + np.log(share))
        found = np.where(np.isfinite(from_tail), from_tail, from_density)
        return np.where(self.observed, np.where(upper, -found, found), 0.0)

    def _seen(self, image: FloatArray) -> FloatArray:
        """Return an image that is zero where nothing is observed, where it may be of any size."""
        return np.where(self.observed, image, 0.0)


class Poisson(CountLikelihood):
    """``y ~ Poisson(E exp(eta))``: ``l = y (eta + log E) - E exp(eta) - log y!``."""

    name = "poisson"

    @property
    def extremes(self) -> tuple[BoolArray, ...]:
        """Where nothing was counted."""
        return (self.observed & (self.counts == 0.0),)

    def first_guess(self) -> FloatArray:
        """Return ``log((y + 1/2) / E)``."""
        return np.where(self.observed, np.log((self.counts + 0.5) / self.size), 0.0)

    def _derivatives(self, eta: FloatArray) -> Derivatives:
        expected = self.size * np.exp(eta)
        return Derivatives(self.counts - expected, expected, expected)

    def _terms(self, eta: FloatArray) -> FloatArray:
        terms = self.counts * (eta + np.log(self.size)) - self.size * np.exp(eta) - gammaln(self.counts + 1.0)
        return np.asarray(terms, dtype=np.float64)

    def _divergences(self, eta: FloatArray, step: FloatArray) -> FloatArray:
        small = np.exp(eta) * (np.expm1(np.clip(step, -1.0, 1.0)) - step)
        large = np.exp(eta + step) - np.exp(eta) * (1.0 + step)
        return np.asarray(self.size * np.where(np.abs(step) < 1.0, small, large), dtype=np.float64)

    def _tails(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        expected = self.size * np.exp(eta)
        return gammaincc(self.counts, expected), gammainc(self.counts + 1.0, expected)


class Binomial(CountLikelihood):
    """``y ~ Bin(n, s)`` with ``s = 1 / (1 + exp(-eta))``: ``l = log C(n, y) + y eta - n log(1 + e^eta)``."""

    name = "binomial"

    @property
    def extremes(self) -> tuple[BoolArray, ...]:
        """Where no trial succeeded, and where all did."""
        return (self.observed & (self.counts == 0.0), self.observed & (self.counts == self.size))

    def first_guess(self) -> FloatArray:
        """Return ``log((y + 1/2) / (n - y + 1/2))``."""
        return np.where(self.observed, np.log((self.counts + 0.5) / (self.size - self.counts + 0.5)), 0.0)

    def _derivatives(self, eta: FloatArray) -> Derivatives:
        success, failure = expit(eta), expit(-eta)
        curvature = self.size * success * failure
        # y - n s as y (1 - s) - (n - y) s: exact at both ends.
        slope = self.counts * failure - (self.size - self.counts) * success
        return Derivatives(slope, curvature, curvature * (failure - success))

    def _terms(self, eta: FloatArray) -> FloatArray:
        y, n = self.counts, self.size
        choices = gammaln(n + 1.0) - gammaln(y + 1.0) - gammaln(n - y + 1.0)
        return np.asarray(choices - y * np.logaddexp(0.0, -eta) - (n - y) * np.logaddexp(0.0, eta), dtype=np.float64)

    def _divergences(self, eta: FloatArray, step: FloatArray) -> FloatArray:
        # log(1 + e^(eta + step)) - log(1 + e^eta) = log(1 + s (e^step - 1)), used where the step is small.
        success = expit(eta)
        small = np.log1p(success * np.expm1(np.clip(step, -1.0, 1.0)))
        moved = np.where(np.abs(step) < 1.0, small, np.logaddexp(0.0, eta + step) - np.logaddexp(0.0, eta))
        return np.asarray(self.size * (moved - success * step), dtype=np.float64)

    def _tails(self, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        # Each tail by the smaller of success and failure that it needs: no difference from one.
        y, n = self.counts, self.size
        less = betainc(n - y + 1.0, np.maximum(y, 1.0), expit(-eta))
        more = betainc(y + 1.0, np.maximum(n - y, 1.0), expit(eta))
        return np.where(y > 0.0, less, 0.0), np.where(y < n, more, 0.0)


def count_likelihood(
    name: object, y: object, mask: object, exposure: object, trials: object, shape: Shape, argument: str
) -> CountLikelihood:
    """Return the checked likelihood of counts; messages call the counts `argument`."""
    kind = one_of("likelihood", name, NAMES)
    refused, value = ("trials", trials) if kind == "poisson" else ("exposure", exposure)
    if value is not None:
        remedy = 'give exposure=, or likelihood="binomial"' if kind == "poisson" else "give trials="
        raise ArgumentError(f'{refused} must be left out with likelihood="{kind}"; {remedy}.')
    seen = observe(y, mask, argument)
    if seen.shape != shape:
        raise ArgumentError(
            f"{argument} must have the shape {shape} of the field, got {seen.shape}; crop or transpose it."
        )
    counts, missing = seen.block(0, shape[0], 0.0)
    observed = ~missing if missing.size else np.ones(shape, dtype=bool)
    if not observed.any():
        raise ArgumentError(
            f"{argument} must have an observed pixel, but all {observed.size} are missing; check the mask."
        )
    _refuse(argument, "counts, whole numbers of zero or more", counts, (counts < 0.0) | (counts % 1.0 != 0.0))
    if kind == "poisson":
        return Poisson(counts, observed, _sizes("exposure", exposure, observed, "mask the pixels without exposure"))
    size = _sizes("trials", trials, observed, "mask the pixels without trials")
    _refuse("trials", "whole numbers", size, size % 1.0 != 0.0)
    _refuse(argument, "at most the trials (1 unless trials= is given)", counts, observed & (counts > size))
    return Binomial(counts, observed, size)


def refuse_sizes(exposure: object, trials: object) -> None:
    """Refuse what goes with counts only."""
    for name, value, kind in (("exposure", exposure, "poisson"), ("trials", trials, "binomial")):
        if value is not None:
            raise ArgumentError(f'{name} must be left out with likelihood="gaussian"; it goes with "{kind}".')


def _sizes(name: str, value: object, observed: BoolArray, remedy: str) -> FloatArray:
    """Return a positive number per pixel, 1 by default and where missing."""
    size = real_array(name, 1.0 if value is None else value)
    if size.shape not in ((), observed.shape):
        raise ArgumentError(f"{name} must be a number or an image of shape {observed.shape}, got {size.shape}.")
    size = finite(name, np.where(observed, size, 1.0), remedy)
    _refuse(name, f"positive ({remedy})", size, size <= 0.0)
    return size


def _refuse(name: str, expected: str, values: FloatArray, wrong: BoolArray) -> None:
    """Refuse an image with the first value that is wrong."""
    if wrong.any():
        i, j = (int(index) for index in np.argwhere(wrong)[0])
        raise ArgumentError(f"{name} must be {expected}, got {float(values[i, j]):g} at pixel {(i, j)}.")
