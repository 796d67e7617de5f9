"""How measurements are distributed given a field: Gaussian noise, counts, or a distribution of one's own."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
from scipy.special import betainc, expit, gammainc, gammaincc, gammaln, logit

from sparsegmrf._logit_normal import logit_normal_moments
from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray

__all__ = ["Binomial", "Derivatives", "Gaussian", "Likelihood", "Poisson"]

_LARGE = 100.0
"""Counts from which on Stirling's series has all digits."""


@dataclass(frozen=True, eq=False)
class Gaussian:
    """``y = eta + e`` with independent ``e ~ N(0, s)``.

    Parameters
    ----------
    noise_variance : "estimate", float, array_like (H, W) or None
        ``s`` in intensity^2: estimated, or known (one number or one per pixel), or None for an image observed exactly.
    """

    noise_variance: Literal["estimate"] | ArrayLike | None = "estimate"

    name: ClassVar[str] = "gaussian"


class Derivatives(NamedTuple):
    """Derivatives of a log-density by the linear predictor: ``l'``, ``W = -l''`` (not negative) and ``dW/deta``."""

    slope: FloatArray
    curvature: FloatArray
    rate: FloatArray


class Likelihood(ABC):
    """Distribution of independent measurements ``y`` given a linear predictor ``eta``, for fits and conditioning.

    The field is integrated out by Laplace's approximation, so that the density must be log-concave in ``eta``. An own
    distribution implements `log_density`, `derivatives` and `first_guess`; the rest has defaults. They take and
    return one array each, of what is observed.
    """

    name: ClassVar[str]
    """What it is called in tables and messages."""

    @abstractmethod
    def log_density(self, y: FloatArray, eta: FloatArray) -> FloatArray:
        """Return ``l = log p(y | eta)`` in nats, normalizing constants included."""

    @abstractmethod
    def derivatives(self, y: FloatArray, eta: FloatArray) -> Derivatives:
        """Return the derivatives of `log_density` by ``eta``."""

    @abstractmethod
    def first_guess(self, y: FloatArray) -> FloatArray:
        """Return the finite ``eta`` that each measurement suggests by itself."""

    def on(self, y: FloatArray, observed: BoolArray, name: str) -> Self:
        """Return the likelihood of an image, its own numbers at observed pixels; refuse measurements that cannot be.

        Parameters
        ----------
        y : ndarray, (H, W)
            Measurements, zero where missing.
        observed : ndarray of bool, (H, W)
            True where there is one.
        name : str
            What messages call `y`.

        Raises
        ------
        ArgumentError
            If a measurement has no density.
        """
        return self

    def measured(self, y: FloatArray, observed: BoolArray, name: str) -> BoolArray:
        """Return the observed pixels of an image at which something could be measured; the others count as missing.

        By default all of them. The arguments are those of `on`, which is given what is returned.
        """
        return observed

    def extremes(self, y: FloatArray) -> tuple[tuple[str, BoolArray], ...]:
        """Return values, in words, with which measurements send ``eta`` to infinity, and where they have them."""
        return ()

    def divergence(self, y: FloatArray, eta: FloatArray, step: FloatArray) -> FloatArray:
        """Return ``l(eta) + l'(eta) step - l(eta + step)``, not negative; by a closed form where there is one.

        The default is a difference, so that a search for the mode ends at half of the digits.
        """
        slope = self.derivatives(y, eta).slope
        return np.asarray(self.log_density(y, eta) + slope * step - self.log_density(y, eta + step))

    def tails(self, y: FloatArray, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``P(Y < y)`` and ``P(Y > y)``, of which `diagnose` makes residuals."""
        raise ArgumentError(
            f"result must have a likelihood with tails to be diagnosed, but {type(self).__name__} does not implement "
            "tails(y, eta)."
        )

    def inverse_link(self, eta: FloatArray) -> FloatArray:
        """Return the rate, or the probability, that a linear predictor stands for: the risk of one at risk."""
        raise self._has_no_risk()

    def link(self, risk: FloatArray) -> FloatArray:
        """Return the linear predictor of a rate, or of a probability; refuse what can be none."""
        raise self._has_no_risk()

    def risk_moments(self, mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of ``inverse_link(eta)`` with ``eta ~ N(mean, variance)``."""
        raise self._has_no_risk()

    def new_moments(self, mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return mean and variance of new measurements at every pixel, ``eta ~ N(mean, variance)`` integrated out.

        The likelihood is the one given, its own numbers images ``(H, W)``; NaN where these are not known.
        """
        raise self._has_no_risk()

    def _has_no_risk(self) -> ArgumentError:
        return ArgumentError(
            f"result must have a likelihood with a link for risks and new measurements, but {type(self).__name__} does "
            "not implement inverse_link(eta), link(risk), risk_moments(mean, variance) and new_moments(mean, variance)."
        )


@dataclass(frozen=True, eq=False)
class Poisson(Likelihood):
    """Counts ``y ~ Poisson(E exp(eta))``: ``l = y (eta + log E) - E exp(eta) - log y!``.

    Parameters
    ----------
    exposure : float or array_like, (H, W), optional
        ``E``: expected counts at a rate of one, such as areas, times or populations; 1 by default. Where it is zero
        nothing could be counted, and the pixel is missing. Read at missing pixels only for new counts there, where NaN
        stands for not known.
    """

    exposure: ArrayLike | None = None

    name = "poisson"

    def on(self, y: FloatArray, observed: BoolArray, name: str) -> Self:
        """Return the likelihood with the exposures of the observed pixels, ``(m,)``."""
        _refuse(name, "counts, whole numbers of zero or more", y, observed & ((y < 0.0) | (y % 1.0 != 0.0)))
        remedy = "mask the pixels of which it is not known"
        return replace(self, exposure=_image("exposure", self.exposure, observed, remedy)[observed])

    def measured(self, y: FloatArray, observed: BoolArray, name: str) -> BoolArray:
        """Return the observed pixels with exposure; refuse counts where there is none."""
        return _with_size("exposure", self.exposure, y, observed, name)

    def extremes(self, y: FloatArray) -> tuple[tuple[str, BoolArray], ...]:
        """Where nothing was counted."""
        return (("zero", y == 0.0),)

    def first_guess(self, y: FloatArray) -> FloatArray:
        """Return ``log((y + 1/2) / E)``."""
        return np.asarray(np.log((y + 0.5) / self._exposure))

    def log_density(self, y: FloatArray, eta: FloatArray) -> FloatArray:
        """Return the log-probability of every count.

        Of large counts ``-log(2 pi y) / 2 - 1/(12 y) + 1/(360 y^3) - 1/(1260 y^5) - y (e^t - 1 - t)`` with
        ``t = eta + log E - log y``: what is left of numbers as large as the count is not rounding.
        """
        small = y < _LARGE
        few, many = np.where(small, y, 0.0), np.where(small, _LARGE, y)
        direct = few * (eta + np.log(self._exposure)) - self._exposure * np.exp(eta) - gammaln(few + 1.0)
        t = eta + np.log(self._exposure) - np.log(many)
        stirling = (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * many**2)) / many**2) / many
        by_ratio = -0.5 * np.log(2.0 * np.pi * many) - stirling - many * (np.expm1(t) - t)
        return np.asarray(np.where(small, direct, by_ratio))

    def derivatives(self, y: FloatArray, eta: FloatArray) -> Derivatives:
        """Return ``y - E e^eta`` and twice ``E e^eta``."""
        expected = self._exposure * np.exp(eta)
        return Derivatives(y - expected, expected, expected)

    def divergence(self, y: FloatArray, eta: FloatArray, step: FloatArray) -> FloatArray:
        """Return ``E e^eta (e^step - 1 - step)``."""
        small = np.exp(eta) * (np.expm1(np.clip(step, -1.0, 1.0)) - step)
        large = np.exp(eta + step) - np.exp(eta) * (1.0 + step)
        return np.asarray(self._exposure * np.where(np.abs(step) < 1.0, small, large))

    def tails(self, y: FloatArray, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the probabilities of less and of more."""
        expected = self._exposure * np.exp(eta)
        return gammaincc(y, expected), gammainc(y + 1.0, expected)

    def inverse_link(self, eta: FloatArray) -> FloatArray:
        """Return the rate ``e^eta``, relative to the exposure."""
        return np.asarray(np.exp(eta))

    def link(self, risk: FloatArray) -> FloatArray:
        """Return the logarithm of a rate."""
        if not (risk > 0.0).all():
            raise ArgumentError(f"threshold must be a positive rate, got {float(np.min(risk)):g}.")
        return np.asarray(np.log(risk))

    def risk_moments(self, mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return those of a log-normal rate, ``m = e^(mean + v/2)`` and ``m^2 (e^v - 1)``."""
        with np.errstate(over="ignore"):  # a rate of which nothing is known
            expected = np.exp(mean + 0.5 * variance)
            return expected, expected * expected * np.expm1(variance)

    def new_moments(self, mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``E m`` and ``E m + E^2 s`` with mean and variance ``m, s`` of the rate."""
        m, s = self.risk_moments(mean, variance)
        return self._exposure * m, self._exposure * (m + self._exposure * s)

    @property
    def _exposure(self) -> FloatArray:
        return np.asarray(1.0 if self.exposure is None else self.exposure, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Binomial(Likelihood):
    """Counts ``y ~ Bin(n, s)`` with ``s = 1 / (1 + exp(-eta))``: ``l = log C(n, y) + y eta - n log(1 + e^eta)``.

    Parameters
    ----------
    trials : int or array_like, (H, W), optional
        ``n``; 1 by default: presence or absence. Where it is zero the pixel is missing. Read at missing pixels only for
        new counts there, where NaN stands for not known.
    """

    trials: ArrayLike | None = None

    name = "binomial"

    def on(self, y: FloatArray, observed: BoolArray, name: str) -> Self:
        """Return the likelihood with the trials of the observed pixels, ``(m,)``."""
        _refuse(name, "counts, whole numbers of zero or more", y, observed & ((y < 0.0) | (y % 1.0 != 0.0)))
        n = _image("trials", self.trials, observed, "mask the pixels of which they are not known")
        _refuse("trials", "whole numbers", n, n % 1.0 != 0.0)
        _refuse(name, "at most the trials (1 unless trials= is given)", y, observed & (y > n))
        return replace(self, trials=n[observed])

    def measured(self, y: FloatArray, observed: BoolArray, name: str) -> BoolArray:
        """Return the observed pixels with trials; refuse counts where there are none."""
        return _with_size("trials", self.trials, y, observed, name)

    def extremes(self, y: FloatArray) -> tuple[tuple[str, BoolArray], ...]:
        """Where no trial succeeded, and where all did."""
        return (("zero", y == 0.0), ("the number of trials", y == self._trials))

    def first_guess(self, y: FloatArray) -> FloatArray:
        """Return ``log((y + 1/2) / (n - y + 1/2))``."""
        return np.asarray(np.log((y + 0.5) / (self._trials - y + 0.5)))

    def log_density(self, y: FloatArray, eta: FloatArray) -> FloatArray:
        """Return the log-probability of every count."""
        n = self._trials
        choices = gammaln(n + 1.0) - gammaln(y + 1.0) - gammaln(n - y + 1.0)
        return np.asarray(choices - y * np.logaddexp(0.0, -eta) - (n - y) * np.logaddexp(0.0, eta))

    def derivatives(self, y: FloatArray, eta: FloatArray) -> Derivatives:
        """Return ``y - n s``, ``n s (1 - s)`` and ``n s (1 - s) (1 - 2 s)``."""
        success, failure = expit(eta), expit(-eta)
        curvature = self._trials * success * failure
        # y - n s as y (1 - s) - (n - y) s: exact at both ends.
        return Derivatives(y * failure - (self._trials - y) * success, curvature, curvature * (failure - success))

    def divergence(self, y: FloatArray, eta: FloatArray, step: FloatArray) -> FloatArray:
        """Return ``n (log(1 + e^(eta + step)) - log(1 + e^eta) - s step)``."""
        # log(1 + e^(eta + step)) - log(1 + e^eta) = log(1 + s (e^step - 1)), used where the step is small.
        success = expit(eta)
        small = np.log1p(success * np.expm1(np.clip(step, -1.0, 1.0)))
        moved = np.where(np.abs(step) < 1.0, small, np.logaddexp(0.0, eta + step) - np.logaddexp(0.0, eta))
        return np.asarray(self._trials * (moved - success * step))

    def tails(self, y: FloatArray, eta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the probabilities of less and of more."""
        # Each tail by the smaller of success and failure that it needs: no difference from one.
        n = self._trials
        less = betainc(n - y + 1.0, np.maximum(y, 1.0), expit(-eta))
        more = betainc(y + 1.0, np.maximum(n - y, 1.0), expit(eta))
        return np.where(y > 0.0, less, 0.0), np.where(y < n, more, 0.0)

    def inverse_link(self, eta: FloatArray) -> FloatArray:
        """Return the probability ``1 / (1 + e^-eta)``."""
        return np.asarray(expit(eta))

    def link(self, risk: FloatArray) -> FloatArray:
        """Return the logarithm of the odds of a probability."""
        if not ((risk > 0.0) & (risk < 1.0)).all():
            wrong = risk[~((risk > 0.0) & (risk < 1.0))]
            raise ArgumentError(f"threshold must be a probability between 0 and 1, got {float(wrong.flat[0]):g}.")
        return np.asarray(logit(risk))

    def risk_moments(self, mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return those of a logit-normal probability, by quadrature to rounding."""
        return logit_normal_moments(mean, variance)

    def new_moments(self, mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``n m`` and ``n (m (1 - m) - s) + n^2 s`` with mean and variance ``m, s`` of the probability."""
        m, s = self.risk_moments(mean, variance)
        return self._trials * m, self._trials * (m * (1.0 - m) + (self._trials - 1.0) * s)

    @property
    def _trials(self) -> FloatArray:
        return np.asarray(1.0 if self.trials is None else self.trials, dtype=np.float64)


def as_likelihood(
    likelihood: object, noise_variance: Any, left_out: Literal["estimate"] | None
) -> "Gaussian | Likelihood":
    """Return the likelihood that two arguments of a function stand for: itself, or Gaussian noise of a variance.

    `left_out` is what `noise_variance` is by default.

    Raises
    ------
    ArgumentError
        If both are given, or `likelihood` is none.
    """
    if likelihood is None:
        return Gaussian(noise_variance)
    if not isinstance(likelihood, Gaussian | Likelihood):
        raise ArgumentError(
            "likelihood must be a value such as Gaussian(), Poisson() or Binomial() of sparsegmrf.likelihoods, got "
            f"{likelihood!r}."
        )
    if noise_variance is not left_out and not (isinstance(noise_variance, str) and noise_variance == left_out):
        remedy = (
            "give it to Gaussian(noise_variance=...)"
            if isinstance(likelihood, Gaussian)
            else f"a {likelihood.name} likelihood has the variance of its distribution"
        )
        raise ArgumentError(f"noise_variance must be left out with likelihood=, got {noise_variance!r}; {remedy}.")
    return likelihood


def _with_size(name: str, size: object, y: FloatArray, observed: BoolArray, image: str) -> BoolArray:
    """Return the observed pixels at which exposure or trials are not zero; refuse counts at the others."""
    if size is None:
        return observed
    nothing = observed & (_sized(name, size, observed) == 0.0)
    impossible = nothing & (y != 0.0)
    if impossible.any():
        i, j = (int(index) for index in np.argwhere(impossible)[0])
        raise ArgumentError(
            f"{image} must be zero where {name} is zero, for nothing could be counted there, but "
            f"{np.count_nonzero(impossible)} counts are not, the first {float(y[i, j]):g} at pixel {(i, j)}; "
            f"correct {name}, or mask these pixels."
        )
    return np.asarray(observed & ~nothing)


def _image(name: str, value: object, observed: BoolArray, remedy: str) -> FloatArray:
    """Return a positive number per pixel, 1 by default and where nothing is observed."""
    size = _sized(name, 1.0 if value is None else value, observed)
    size = finite(name, np.where(observed, size, 1.0), remedy)
    _refuse(name, f"positive ({remedy})", size, size <= 0.0)
    return size


def _sized(name: str, value: object, observed: BoolArray) -> FloatArray:
    """Return a number, or one per pixel."""
    size = real_array(name, value)
    if size.shape not in ((), observed.shape):
        raise ArgumentError(f"{name} must be a number or an image of shape {observed.shape}, got {size.shape}.")
    return size


def _refuse(name: str, expected: str, values: FloatArray, wrong: BoolArray) -> None:
    """Refuse an image with the first value that is wrong."""
    if wrong.any():
        i, j = (int(index) for index in np.argwhere(wrong)[0])
        raise ArgumentError(f"{name} must be {expected}, got {float(values[i, j]):g} at pixel {(i, j)}.")
