"""Measurements of an image with their likelihood: sums over observed pixels of what it says pixel by pixel."""

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, ndtri_exp

from sparsegmrf._observed import observe
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._of_total import OfTotal
from sparsegmrf.likelihoods import Derivatives, Likelihood
from sparsegmrf.typing import BoolArray, FloatArray, Shape

Values = TypeVar("Values", bound=npt.NDArray[Any])


@dataclass(frozen=True, eq=False)
class Counts(OfTotal):
    """Independent measurements given a linear predictor ``eta``, an image.

    Attributes
    ----------
    given : Likelihood
        As it was given.
    likelihood : Likelihood
        The same with its own numbers for the observed pixels, ``(m,)`` in their order.
    values : ndarray, (H, W)
        ``y``, zero where missing.
    observed : ndarray of bool, (H, W)
        True where a pixel is observed.
    combination : ndarray, (C,), or None
        Weights of the fields stacked at a pixel whose sum is the linear predictor; None: there is one field.
    """

    given: Likelihood
    likelihood: Likelihood
    values: FloatArray
    observed: BoolArray
    combination: FloatArray | None = None

    @classmethod
    def of(cls, likelihood: Likelihood, y: object, mask: object, shape: Shape, name: str) -> "Counts":
        """Return checked measurements; messages call them `name`."""
        seen = observe(y, mask, name)
        if seen.shape != shape:
            raise ArgumentError(
                f"{name} must have the shape {shape} of the field, got {seen.shape}; crop or transpose it."
            )
        values, missing = seen.block(0, shape[0], 0.0)
        observed = ~missing if missing.size else np.ones(shape, dtype=bool)
        observed = likelihood.measured(values, observed, name)
        if not observed.any():
            raise ArgumentError(
                f"{name} must have an observed pixel, but all {observed.size} are missing; check the mask, and what "
                "could be counted."
            )
        values = np.where(observed, values, 0.0)
        return cls(likelihood, likelihood.on(values, observed, name), values, observed)

    @property
    def count(self) -> int:
        """Number of observed pixels ``m``."""
        return int(np.count_nonzero(self.observed))

    @property
    def extremes(self) -> list[tuple[str, BoolArray]]:
        """Values that send the linear predictor to infinity, in words, and where they are observed."""
        return [(value, self._image(where)) for value, where in self.likelihood.extremes(self._y)]

    def without(self, held: BoolArray) -> "Counts":
        """Return the measurements outside `held`."""
        kept = self.observed & ~held
        values = np.where(kept, self.values, 0.0)
        return Counts(self.given, self.given.on(values, kept, "image"), values, kept, self.combination)

    def first_guess(self) -> FloatArray:
        """Return the linear predictor that each measurement suggests by itself; zero where missing."""
        return self._image(self.likelihood.first_guess(self._y))

    def log_density(self, eta: FloatArray) -> float:
        """Return ``sum_p log p(y_p | eta_p)`` in nats, normalizing constants included; ``-inf`` past overflow."""
        with np.errstate(over="ignore"):
            return float(np.sum(self._image(self.likelihood.log_density(self._y, eta[self.observed]))))

    def divergence(self, eta: FloatArray, step: FloatArray) -> float:
        """Return by how much a step gains less than its slope says; not negative, ``inf`` past overflow."""
        with np.errstate(over="ignore"):
            lost = self.likelihood.divergence(self._y, eta[self.observed], step[self.observed])
            return float(np.sum(self._image(lost)))

    def derivatives(self, eta: FloatArray) -> Derivatives:
        """Return the derivatives at a linear predictor, zero where missing."""
        return Derivatives(*(self._image(each) for each in self.likelihood.derivatives(self._y, eta[self.observed])))

    def quantile_residuals(self, eta: FloatArray, v: FloatArray) -> FloatArray:
        """Return the standard normal quantiles of ``P(Y < y) + v P(Y = y)``; zero where missing.

        With `v` uniform on (0, 1) they are independent standard normals if `eta` is the linear predictor.
        """
        at, v = eta[self.observed], v[self.observed]
        less, more = self.likelihood.tails(self._y, at)
        with np.errstate(over="ignore"):
            log_density = self.likelihood.log_density(self._y, at)
        density = np.exp(log_density)
        below, above = less + v * density, more + (1.0 - v) * density
        upper = above < below
        share = np.where(upper, 1.0 - v, v)
        with np.errstate(divide="ignore"):
            from_tail = ndtri(np.where(upper, above, below))
            # Past underflow, 37 standard deviations out, the probability of the count itself stands for its tail.
            from_density = ndtri_exp(log_density + np.log(share))
        found = np.where(np.isfinite(from_tail), from_tail, from_density)
        return self._image(np.where(upper, -found, found))

    @property
    def _y(self) -> FloatArray:
        return self.values[self.observed]

    def _image(self, seen: Values) -> Values:
        """Return an image that is zero where nothing is observed."""
        image = np.zeros(self.observed.shape, dtype=seen.dtype)
        image[self.observed] = seen
        return cast(Values, image)
