"""Level and unit in which a problem is computed: the data less what null space and covariates take of them, of order 1.

What is observed is ``y = N + X beta + x + e`` with a free element ``N`` of the null space. With the least-squares part
``N_0 + X beta_0`` taken off and a power of two ``u``, ``(y - N_0 - X beta_0) / u`` follows the same law in other units
and with other coefficients, and nothing is squared that a level, a slope or a unit has made large or small.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._combinations import combined, products
from sparsegmrf.inference._null_vectors import NullVectors
from sparsegmrf.inference._observations import Observations, pixels_of
from sparsegmrf.inference._trend import Trend, power_of_two
from sparsegmrf.typing import FloatArray

_PASSES = 2
"""Regressions one after the other: the second finds what rounding has left of a steep slope."""
_LARGEST = 2.0**480
"""Largest spread of the data, and one over the least: variances are squares, and must be numbers too."""
_NOISIEST = 2.0**300
"""Largest unit that noise above the data makes: cubes of fields of order 1 in it are numbers."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Levels and unit of the data, and how what is computed in them is put back.

    Attributes
    ----------
    given : tuple of Observations
        As observed, image by image.
    basis : Trend
        Covariates that the field does not hold, and the combinations of them that are computed with.
    unit : float
        Intensity that counts as 1, a power of two.
    levels : ndarray, (R,)
        What was taken off everywhere first, in intensity.
    rest : ndarray, (R, H, W)
        What was taken off then: ``N_0 + X beta_0`` at every pixel, less the level.
    removed : ndarray, (p,)
        ``beta_0``, of the combinations.
    """

    given: tuple[Observations, ...]
    basis: Trend
    unit: float
    levels: FloatArray
    rest: FloatArray
    removed: FloatArray

    @classmethod
    def of(
        cls,
        given: tuple[Observations, ...],
        trend: Trend,
        nulls: Sequence[NullVectors],
        *,
        estimated: bool,
        unit: float | None,
    ) -> tuple["Frame", tuple["Replicate", ...], Trend]:
        """Return the frame, and the images and the trend in it; the unit is of the data, or of noise far above them.

        Weights are put into the unit as well, unless the noise variance is estimated.
        """
        X = trend.columns
        levels, rest, beta = _least_squares(given, X, nulls)
        frame = cls(given, trend, 1.0, levels, rest, beta)
        deviations = frame.deviations
        if unit is None:
            unit = _unit_of(max(float(np.abs(each.values).max()) for each in deviations))
            if not estimated:
                unit = max(unit, min(_NOISIEST, power_of_two(_noise_of(deviations))))
        parts = [
            Replicate(
                dataclasses.replace(
                    data, values=data.values / unit, weight=data.weight if estimated else data.weight * unit * unit
                ),
                null,
                np.where(null.domain, null.without_their_part(X), 0.0),
            )
            for data, null in zip(deviations, nulls, strict=True)
        ]
        frame = dataclasses.replace(frame, unit=unit)
        return frame, tuple(parts), trend.with_columns([each.columns for each in parts], nulls)

    @classmethod
    def as_given(
        cls, given: tuple[Observations, ...], trend: Trend, nulls: Sequence[NullVectors]
    ) -> tuple["Frame", tuple["Replicate", ...], Trend]:
        """Return the frame that changes nothing."""
        zero = np.zeros(len(trend.columns))
        count, shape = len(given), given[0].values.shape
        frame = cls(given, trend, 1.0, np.zeros(count), np.zeros((count, *shape)), zero)
        return frame, tuple(Replicate(*each, trend.columns) for each in zip(given, nulls, strict=True)), trend

    @property
    def deviations(self) -> tuple[Observations, ...]:
        """The observations less what was taken off, in intensity."""
        return tuple(
            dataclasses.replace(each, values=_observed(each, each.values - level - rest))
            for each, level, rest in zip(self.given, self.levels.tolist(), self.rest, strict=True)
        )

    def put_back(self, deviations: FloatArray, replicate: int) -> FloatArray:
        """Return images ``(..., H, W)`` in intensity with what was taken off an image."""
        return np.asarray(deviations + self.rest[replicate] + self.levels[replicate])

    def inside(self, model: Any) -> Any:
        """Return the model of the field in this unit."""
        return model if self.unit == 1.0 else model.scaled(1.0 / self.unit)

    def outside(self, model: Any) -> Any:
        """Return the model of the field in intensity."""
        return model if self.unit == 1.0 else model.scaled(self.unit)

    def coefficients(self, beta: FloatArray) -> FloatArray:
        """Return the coefficients of the covariates as given."""
        return self.basis.coefficients(self.removed + self.unit * beta)

    def covariance(self, of_beta: FloatArray) -> FloatArray:
        """Return the covariance of these coefficients."""
        by = self.unit * self.basis.mix
        return np.asarray(by @ of_beta @ by.T)

    def errors(self, of_beta: FloatArray) -> FloatArray:
        """Return the standard errors of these coefficients; squares in large units are no numbers."""
        sizes = np.abs(self.basis.mix).max(axis=1, initial=0.0)
        by = self.basis.mix / sizes[:, np.newaxis]
        return np.asarray(np.sqrt(np.diagonal(by @ of_beta @ by.T)) * (self.unit * sizes))

    def trend(self, beta: FloatArray) -> FloatArray:
        """Return the covariates as given times their coefficients, ``(H, W)``."""
        return self.basis.image(self.removed + self.unit * beta)


@dataclass(frozen=True, eq=False)
class Replicate:
    """One image of the field's law, in the frame: its data, null vectors as it sees them, and covariates.

    Of the covariates ``(p, H, W)`` the nearest combinations of null vectors are taken off.
    """

    data: Observations
    null: NullVectors
    columns: FloatArray


def _least_squares(
    given: tuple[Observations, ...], X: FloatArray, nulls: Sequence[NullVectors]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return ``N_0 + X beta_0`` as levels and images, and ``beta_0``.

    The level comes first: it is one number, and the deviations from it are exact. Null vectors are each image's own,
    the coefficients those of all.
    """
    rest, beta = np.zeros((len(given), *given[0].values.shape)), np.zeros(len(X))
    held = nulls[0].holds_constants
    constant = [k for k, column in enumerate(X) if np.ptp(column) == 0.0]
    levels = np.array([_middle([each]) for each in given]) if held else np.full(len(given), _middle(given))
    levels = levels if constant or held else np.zeros(len(given))
    if not len(X) and not nulls[0].count:
        return levels, rest, beta
    left = np.concatenate([null.seen(X) for null in nulls])
    lengths = np.linalg.norm(left, axis=0)
    q, r = np.linalg.qr(left / lengths)
    for _ in range(_PASSES):
        parts = [
            pixels_of(d.values - level - taken, d.observed) for d, level, taken in zip(given, levels, rest, strict=True)
        ]
        size = power_of_two(max(float(max(part.max(), -part.min())) for part in parts))
        parts = [part / size for part in parts]
        own = [null.contrasts(part) for null, part in zip(nulls, parts, strict=True)]
        found = np.linalg.solve(r, products(q.T, np.concatenate(own)[np.newaxis])[:, 0]) / lengths
        beta += found * size
        for image, null, part in zip(rest, nulls, parts, strict=True):
            trend = combined(found, X)
            image += size * (trend + null.nearest(part - pixels_of(trend, null.observed)) if null.count else trend)
    if constant and not held:
        beta[constant[0]] += levels[0] / X[constant[0]].flat[0]
    return levels, rest, beta


def _middle(given: Sequence[Observations]) -> float:
    """Return what lies half-way between the least and the largest observed value."""
    values = [each.seen for each in given]
    return float(0.5 * min(each.min() for each in values) + 0.5 * max(each.max() for each in values))


def _noise_of(images: Sequence[Observations]) -> float:
    """Return the standard deviation of the noise, as its precisions have it on average; zero where exact.

    Far above the data it is the scale on which fields are told from nothing.
    """
    weight = float(np.mean(np.concatenate([pixels_of(each.weight, each.observed) for each in images])))
    return float(1.0 / np.sqrt(weight)) if weight > 0.0 else 0.0


def _observed(data: Observations, values: FloatArray) -> FloatArray:
    """Return values of observed pixels, zero at the others."""
    return values if data.observed.all() else np.where(data.observed, values, 0.0)


def _unit_of(size: float) -> float:
    if size and not 1.0 / _LARGEST <= size <= _LARGEST:
        raise ArgumentError(
            f"image must vary by between {1.0 / _LARGEST:.0e} and {_LARGEST:.0e}, so that its variance is a number, "
            f"got values up to {size:.3g} from their level and trend; divide it, as by {size:.0e}."
        )
    return power_of_two(size)
