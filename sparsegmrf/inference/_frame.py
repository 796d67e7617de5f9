"""Level and unit in which a problem is computed: the data less what null space and covariates take of them, of order 1.

What is observed is ``y = N + X beta + x + e`` with a free element ``N`` of the null space. With the least-squares part
``N_0 + X beta_0`` taken off and a power of two ``u``, ``(y - N_0 - X beta_0) / u`` follows the same law in other units
and with other coefficients, and nothing is squared that a level, a slope or a unit has made large or small.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._null_vectors import NullVectors
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._trend import Trend
from sparsegmrf.typing import FloatArray

_PASSES = 2
"""Regressions one after the other: the second finds what rounding has left of a steep slope."""
_LARGEST = 2.0**480
"""Largest spread of the data, and one over the least: variances are squares, and must be numbers too."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Level and unit of the data, and how what is computed in them is put back.

    Attributes
    ----------
    given : Observations
        As observed.
    covariates : ndarray, (p, H, W)
        Covariates that the field does not hold, as given.
    unit : float
        Intensity that counts as 1, a power of two.
    level : float
        What was taken off everywhere first, in intensity.
    rest : ndarray, (H, W)
        What was taken off then: ``N_0 + X beta_0`` at every pixel, less the level.
    removed : ndarray, (p,)
        ``beta_0``.
    steps : ndarray, (p,)
        Powers of two by which the covariates were divided.
    """

    given: Observations
    covariates: FloatArray
    unit: float
    level: float
    rest: FloatArray
    removed: FloatArray
    steps: FloatArray

    @classmethod
    def of(
        cls, given: Observations, trend: Trend, null: NullVectors, *, estimated: bool, unit: float | None
    ) -> tuple["Frame", Observations, Trend]:
        """Return the frame, and data and trend in it; without a unit given the data have one.

        Weights are put into the unit as well, unless the noise variance is estimated.
        """
        steps = np.array([_power_of_two(float(np.abs(column).max())) for column in trend.columns])
        X = trend.columns / steps[:, np.newaxis, np.newaxis]
        level, rest, beta = _least_squares(given, X, null)
        deviations = np.where(given.observed, given.values - level - rest, 0.0)
        if unit is None:
            unit = _unit_of(float(np.abs(deviations).max()))
        frame = cls(given, trend.columns, unit, level, rest, beta / steps, steps)
        weight = given.weight if estimated else given.weight * unit * unit
        data = dataclasses.replace(given, values=deviations / unit, weight=weight)
        return frame, data, trend.with_columns(null.without_their_part(X), null)

    @classmethod
    def as_given(cls, given: Observations, trend: Trend) -> "Frame":
        """Return the frame that changes nothing."""
        zero = np.zeros(len(trend.columns))
        return cls(given, trend.columns, 1.0, 0.0, np.zeros(given.values.shape), zero, zero + 1.0)

    @property
    def deviations(self) -> Observations:
        """The observations less what was taken off, in intensity."""
        values = np.where(self.given.observed, self.given.values - self.level - self.rest, 0.0)
        return dataclasses.replace(self.given, values=values)

    def put_back(self, deviations: FloatArray) -> FloatArray:
        """Return images ``(..., H, W)`` in intensity with what was taken off."""
        return np.asarray(deviations + self.rest + self.level)

    def inside(self, model: Any) -> Any:
        """Return the model of the field in this unit."""
        return model if self.unit == 1.0 else model.scaled(1.0 / self.unit)

    def outside(self, model: Any) -> Any:
        """Return the model of the field in intensity."""
        return model if self.unit == 1.0 else model.scaled(self.unit)

    def coefficients(self, beta: FloatArray) -> FloatArray:
        """Return the coefficients of the covariates as given."""
        return np.asarray(self.removed + self.unit * beta / self.steps)

    def covariance(self, of_beta: FloatArray) -> FloatArray:
        """Return the covariance of these coefficients."""
        by = self.unit / self.steps
        return np.asarray(of_beta * by[:, np.newaxis] * by)

    def errors(self, of_beta: FloatArray) -> FloatArray:
        """Return the standard errors of these coefficients."""
        return np.asarray(np.sqrt(np.diagonal(of_beta)) * (self.unit / self.steps))

    def trend(self, beta: FloatArray) -> FloatArray:
        """Return the covariates as given times their coefficients, ``(H, W)``."""
        return np.asarray(np.tensordot(self.coefficients(beta), self.covariates, 1))


def _least_squares(given: Observations, X: FloatArray, null: NullVectors) -> tuple[float, FloatArray, FloatArray]:
    """Return ``N_0 + X beta_0`` as a level and an image, and ``beta_0``.

    The level comes first: it is one number, and the deviations from it are exact.
    """
    observed = given.observed
    rest, beta = np.zeros(observed.shape), np.zeros(len(X))
    images = np.concatenate([null.images, X])
    if not len(images):
        return 0.0, rest, beta
    constant = [k for k, column in enumerate(X) if np.ptp(column) == 0.0]
    level = given.middle if constant or null.holds_constants else 0.0
    values = given.values[observed] - level
    A = images[:, observed].T
    lengths = np.linalg.norm(A, axis=0)
    q, r = np.linalg.qr(A / lengths)
    for _ in range(_PASSES):
        left = values - rest[observed]
        size = _power_of_two(float(np.abs(left).max()))
        found = np.linalg.solve(r, q.T @ (left / size)) / lengths * size
        rest += np.tensordot(found, images, 1)
        beta += found[len(null.images) :]
    if constant and not null.holds_constants:
        beta[constant[0]] += level / X[constant[0]].flat[0]
    return level, rest, beta


def _unit_of(size: float) -> float:
    if size and not 1.0 / _LARGEST <= size <= _LARGEST:
        raise ArgumentError(
            f"image must vary by between {1.0 / _LARGEST:.0e} and {_LARGEST:.0e}, so that its variance is a number, "
            f"got values up to {size:.3g} from their level and trend; divide it, as by {size:.0e}."
        )
    return _power_of_two(size)


def _power_of_two(size: float) -> float:
    """Return the power of two next to a size, 1 for zero."""
    return float(2.0 ** np.round(np.log2(size))) if size > 0.0 else 1.0
