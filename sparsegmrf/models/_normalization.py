"""The number that makes sigma the standard deviation of a Matern field far from borders, and its derivatives."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.models._fractional import parsimonious, partial_fractions
from sparsegmrf.models._lattice_variance import (
    derivative_along,
    derivative_by_kappa2,
    lattice_variance,
)
from sparsegmrf.typing import FloatArray


@dataclass(frozen=True, eq=False)
class Normalization:
    """Variance of ``K^alpha``, or of the polynomial that a fractional one stands for, on the lattice without borders.

    With the partial fractions ``1/P(m) = sum_i w_i / (m - r_i)``, the variance of ``kappa^(2 alpha) P(K / kappa^2)`` is
    ``kappa^(2 - 2 alpha) sum_i w_i v(kappa^2 (1 - r_i))`` with the variance ``v(kappa^2)`` of ``kappa^2 + G``.
    """

    alpha: float

    @property
    def _is_polynomial(self) -> bool:
        return self.alpha != round(self.alpha)

    def variance(self, kappa2: FloatArray, conductances: FloatArray) -> FloatArray:
        """Return the variance."""
        if not self._is_polynomial:
            return lattice_variance(kappa2, conductances, self.alpha)
        total = np.zeros(np.broadcast_shapes(kappa2.shape, conductances.shape[:-1]))
        for root, weight in zip(*partial_fractions(parsimonious(self.alpha)), strict=True):
            total += (weight * lattice_variance(kappa2 * (1.0 - root), conductances, 1.0)).real
        return np.asarray(kappa2 ** (1.0 - self.alpha) * total)

    def by_kappa2(self, kappa2: FloatArray, conductances: FloatArray) -> FloatArray:
        """Return the derivative by ``kappa^2``, of the shape of the variance."""
        if not self._is_polynomial:
            return np.asarray(derivative_by_kappa2(kappa2, conductances, self.alpha))
        slope = np.zeros(np.broadcast_shapes(kappa2.shape, conductances.shape[:-1]))
        for root, weight in zip(*partial_fractions(parsimonious(self.alpha)), strict=True):
            shift = 1.0 - root
            slope += np.asarray(weight * shift * derivative_by_kappa2(kappa2 * shift, conductances, 1.0)).real
        own = (1.0 - self.alpha) / kappa2 * self.variance(kappa2, conductances)
        return np.asarray(own + kappa2 ** (1.0 - self.alpha) * slope)

    def along(self, kappa2: FloatArray, conductances: FloatArray, direction: FloatArray) -> float:
        """Return the derivative by a step of the conductances in a direction, one number."""
        if not self._is_polynomial:
            return float(derivative_along(kappa2, conductances, direction, self.alpha))
        slope = 0.0
        for root, weight in zip(*partial_fractions(parsimonious(self.alpha)), strict=True):
            part = derivative_along(kappa2 * (1.0 - root), conductances, direction, 1.0)
            slope += float((weight * part).real)
        return float(kappa2 ** (1.0 - self.alpha) * slope)
