"""Products with a prior precision that keep their digits on images that are nearly constant."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.errors import LostDigitsError
from sparsegmrf.factors._form import Form
from sparsegmrf.factors.congruent import place_of_total
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._observations import Observations
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray

_EPSILON = float(np.finfo(float).eps)
_LOST = 1e-2
"""Rounding of the coefficients over the eigenvalue of the level; the likelihood's error in nats is a tenth of it."""
_LOST_BY_SUMS = 1e-3
"""The same where the eigenvalue is a sum of them; about the likelihood's error in nats."""
_LOST_APART = 1e-4
"""The same of the levels of stacked fields apart from their sum; a tenth of the likelihood's error in nats."""


@dataclass(frozen=True, eq=False)
class PriorPrecision:
    """A precision as a stencil, and what it makes of constants.

    The stencil of a field of a long range sends a constant to a small difference of its large coefficients, of which
    rounding leaves nothing. ``Q x = Q (x - c) + c Q 1`` with the mean ``c`` of ``x`` and the known ``Q 1`` has all
    digits.

    Attributes
    ----------
    stencil : SymmetricStencil
        ``Q``, (C unknowns per pixel).
    of_ones : tuple of float or None
        For each unknown of a pixel the value of ``Q 1`` everywhere, where it is known; None: by the stencil.
    """

    stencil: SymmetricStencil
    of_ones: tuple[float | None, ...] = (None,)

    @classmethod
    def of(cls, stencil: SymmetricStencil, field: GMRF) -> "PriorPrecision":
        """Return the precision of a field, which may know its eigenvalues."""
        return cls(stencil, field.given.of_ones if isinstance(field.given, Form) else (None,) * field.channels)

    def without_level(self, x: FloatArray) -> FloatArray:
        """Return unknowns less their averages where a field's level is free, so that ``Q`` makes the same of both."""
        if 0.0 not in self.of_ones:
            return x
        if len(self.of_ones) == 1:
            return np.asarray(x - x.mean())
        return np.asarray(x - np.where(np.array(self.of_ones) == 0.0, x.mean(axis=(0, 1)), 0.0))

    def check_digits(self, data: Observations) -> None:
        """Refuse a field whose level is rounding, beside the noise or in the precision itself.

        In ``Q + W`` the level has the eigenvalue ``m w / n`` and little of ``Q``, and in ``Q`` itself, where no
        transform knows it, what is left of the coefficients' sums: their rounding must be small beside either.

        Raises
        ------
        LostDigitsError
            If it is not.
        """
        diagonal = self.stencil.diagonal().reshape(*data.values.shape, -1)
        largest = diagonal.max(axis=(0, 1))
        said = float(data.weight.sum()) / data.weight.size
        weights = np.ones(1) if data.combination is None else data.combination
        for size, weight, own in zip(largest.tolist(), weights.tolist(), self.of_ones, strict=True):
            level = said * weight * weight + (own or 0.0)
            if own is not None and said and _EPSILON * size > _LOST * level:
                raise LostDigitsError(
                    "model must vary beside the noise, got a precision of a pixel given its neighbours that is "
                    f"{size / level:.1e} times what the observations say of the level, of which rounding leaves "
                    f"nothing beyond {_LOST / _EPSILON:.0e}. Leave the field out, or give it more variance."
                )
        self._check_levels_apart(largest, weights)
        if None not in self.of_ones:
            return
        sums = self.stencil @ np.ones(diagonal.shape).reshape(self.stencil.lattice.image_shape)
        level = np.abs(
            sums.reshape(diagonal.shape).mean(axis=(0, 1))
        )  # 1^T Q 1 / n, to which rows of both signs add up
        for size, own, sum_of_row in zip(largest.tolist(), self.of_ones, level.tolist(), strict=True):
            if own is None and _EPSILON * size > _LOST_BY_SUMS * sum_of_row:
                raise LostDigitsError(
                    "model must have a level of its own, got a precision whose coefficients add up to "
                    f"{sum_of_row / size:.1e} of the largest, which is rounding: its range is too long for its lattice "
                    "and smoothness. Take an intrinsic field, such as TensionSpline(), or a shorter range."
                )

    def _check_levels_apart(self, largest: FloatArray, weights: FloatArray) -> None:
        """Refuse stacked fields of whose levels rounding leaves nothing; the observations tell of one sum only.

        In terms of that sum and all fields but one the others' levels have the precisions ``q_c + (w_c / w_j)^2 q_j``.
        """
        if len(weights) == 1 or None in self.of_ones:
            return
        own = np.array(self.of_ones, dtype=np.float64)
        place = place_of_total(largest, weights)
        shares = (weights / weights[place]) ** 2
        sizes, levels = largest + shares * largest[place], own + shares * own[place]
        for size, level in np.delete(np.column_stack([sizes, levels]), place, axis=0).tolist():
            if level > 0.0 and _EPSILON * size > _LOST_APART * level:
                raise LostDigitsError(
                    "model must have levels that can be told from rounding, got a sum with a field whose level has "
                    f"{level / size:.1e} of the precision that a pixel has: its range is too long for its smoothness. "
                    "Take an intrinsic field, such as TensionSpline(), or a shorter range."
                )

    def times(self, x: FloatArray) -> FloatArray:
        """Return ``Q x`` for images ``(..., H, W[, C])``."""
        if all(value is None for value in self.of_ones):
            return np.asarray(self.stencil @ x)
        stacked = len(self.of_ones) > 1
        known = np.array([value is not None for value in self.of_ones])
        values = np.array([0.0 if value is None else value for value in self.of_ones])
        pixels = (-3, -2) if stacked else (-2, -1)
        means = x.mean(axis=pixels, keepdims=True)
        if not stacked:
            return np.asarray(self.stencil @ (x - means) + means * values[0])
        means = np.where(known, means, 0.0)
        return np.asarray(self.stencil @ (x - means) + means * values)
