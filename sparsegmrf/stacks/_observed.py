"""The observations of a stack: one image for each date that differs, and what several of one date say beyond that."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sparsegmrf.typing import FloatArray, IntArray, Shape


@dataclass(frozen=True, eq=False)
class StackData:
    """Observations by date, in order.

    Attributes
    ----------
    days : ndarray, (U,)
        Dates in order, all different, in days.
    shape : (int, int)
        Height and width in pixels.
    values : ndarray, (U, n)
        Observations, of several at one date their weighted mean; zero where there is none.
    weight : ndarray, (U, n)
        Sums of the weights ``lambda`` of what was observed: the variance there is that of the noise over it.
    basis : ndarray, (U, K)
        Functions of the date whose coefficients differ between pixels.
    groups : tuple of tuple of int
        Coefficients that have one deviation.
    covariates : ndarray, (p, U, n)
        Of the trend.
    count : int
        Number of observations.
    within : float
        Weighted squares of observations of one date and pixel about their mean.
    log_weights : float
        Sum of ``log lambda``.
    """

    days: FloatArray
    shape: Shape
    values: FloatArray
    weight: FloatArray
    basis: FloatArray
    groups: tuple[tuple[int, ...], ...]
    covariates: FloatArray
    count: int
    within: float
    log_weights: float

    @property
    def gaps(self) -> FloatArray:
        """Days between dates."""
        return np.diff(self.days)

    @property
    def n_dates(self) -> int:
        """Dates that differ."""
        return len(self.days)

    @property
    def n_pixels(self) -> int:
        """Pixels of an image."""
        return self.shape[0] * self.shape[1]

    def by_coefficient(self, deviations: Sequence[float]) -> list[float]:
        """Return the deviation of each coefficient."""
        found = [0.0] * self.basis.shape[1]
        for deviation, members in zip(deviations, self.groups, strict=True):
            for k in members:
                found[k] = deviation
        return found

    def weighted(self, images: FloatArray, weights: FloatArray, index: IntArray) -> "StackData":
        """Return the data of images ``(T, n)`` with weights, zero where missing; ``index`` has the date of each."""
        U, n = self.n_dates, self.n_pixels
        known = np.where(weights > 0.0, images, 0.0)
        total, sums = np.zeros((U, n)), np.zeros((U, n))
        np.add.at(total, index, weights)
        np.add.at(sums, index, weights * known)
        values = np.divide(sums, total, out=np.zeros((U, n)), where=total > 0.0)
        within = float(np.sum(weights * (known - values[index]) ** 2))
        seen = weights[weights > 0.0]
        return replace(
            self,
            values=values,
            weight=total,
            count=len(seen),
            within=within,
            log_weights=float(np.log(seen).sum()),
        )
