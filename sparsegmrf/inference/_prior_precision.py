"""Products with a prior precision that keep their digits on images that are nearly constant."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.errors import LostDigitsError
from sparsegmrf.factors._form import Form
from sparsegmrf.factors.congruent import place_of_total
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._observations import Observations
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import BoolArray, FloatArray, IntArray

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
    rounding leaves nothing. ``Q x = Q (x - c) + c Q 1`` with the mean ``c`` of ``x``, on parts that do not touch their
    own, and the known ``Q 1`` has all digits.

    Attributes
    ----------
    stencil : SymmetricStencil
        ``Q``, (C unknowns per pixel). Unknowns outside the domain of the field, which has no value there, are free by
        themselves: nothing is observed of them, so that what they add to a likelihood is known.
    of_ones : tuple of float or None
        For each unknown of a pixel the value of ``Q 1`` everywhere, where it is known; None: by the stencil.
    levels : tuple of (ndarray of int, (H, W)) or None
        For each unknown of a pixel the parts that have a level each, -1 outside the domain; None: all is one.
    outside : ndarray of bool, (H, W) or (H, W, C), or None
        Unknowns outside the domain; None: there are none.
    logdet_outside : float
        Their part in the log-determinant of `stencil`.
    """

    stencil: SymmetricStencil
    of_ones: tuple[float | None, ...] = (None,)
    levels: tuple[IntArray | None, ...] = (None,)
    outside: BoolArray | None = None
    logdet_outside: float = 0.0

    @classmethod
    def of(cls, stencil: SymmetricStencil, field: GMRF) -> "PriorPrecision":
        """Return the precision of a field, which may know its eigenvalues."""
        nothing = (None,) * field.channels
        of_ones, levels = (field.given.of_ones, field.given.levels) if isinstance(field.given, Form) else (nothing,) * 2
        if field.lattice.is_complete:
            return cls(stencil, of_ones, levels)
        filled, logdet = with_outside(stencil, field.lattice)
        return cls(filled, of_ones, levels, ~np.asarray(field.lattice.domain), logdet)

    def without_level(self, x: FloatArray) -> FloatArray:
        """Return unknowns less their averages where a field's level is free, so that ``Q`` makes the same of both."""
        return x if 0.0 not in self.of_ones else x - self._levels_of(x, [own == 0.0 for own in self.of_ones])

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
        weights = np.ones(1) if data.combination is None else data.combination
        for c, (weight, own) in enumerate(zip(weights.tolist(), self.of_ones, strict=True)):
            sizes, said = self._by_part(diagonal[..., c], data.weight, c)
            level = said * weight * weight + (own or 0.0)
            lost = (said > 0.0) & (_EPSILON * sizes > _LOST * level)
            if own is not None and lost.any():
                raise LostDigitsError(
                    "model must vary beside the noise, got a precision of a pixel given its neighbours that is "
                    f"{np.max(sizes[lost] / level[lost]):.1e} times what the observations say of the level, of which "
                    f"rounding leaves nothing beyond {_LOST / _EPSILON:.0e}. Leave the field out, or give it more "
                    "variance."
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

    def _by_part(self, diagonal: FloatArray, weight: FloatArray, channel: int) -> tuple[FloatArray, FloatArray]:
        """Return the largest coefficient on each part of an unknown, and the mean of the observations' weights."""
        labels = self.levels[channel]
        if labels is None:
            return np.array([diagonal.max()]), np.array([float(weight.sum()) / weight.size])
        inside = labels >= 0
        part = labels[inside]
        largest = np.zeros(int(part.max()) + 1)
        np.maximum.at(largest, part, diagonal[inside])
        return largest, np.bincount(part, weight[inside]) / np.bincount(part)

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
        known = [own is not None for own in self.of_ones]
        if not any(known):
            return np.asarray(self.stencil @ x)
        means = self._levels_of(x, known)
        values = np.array([own or 0.0 for own in self.of_ones])
        return np.asarray(self.stencil @ (x - means) + means * (values if len(values) > 1 else values[0]))

    def _levels_of(self, x: FloatArray, wanted: list[bool]) -> FloatArray:
        """Return the averages of images ``(..., H, W[, C])`` on the parts of each unknown wanted; else zero."""
        stacked = len(self.of_ones) > 1
        means = x.mean(axis=(-3, -2) if stacked else (-2, -1), keepdims=True)
        means = np.where(wanted, means, 0.0) if stacked else means
        if all(labels is None for labels in self.levels):
            return means
        means = np.array(np.broadcast_to(means, x.shape))
        for c, (labels, each) in enumerate(zip(self.levels, wanted, strict=True)):
            if labels is not None and each:
                (means[..., c] if stacked else means)[...] = _means_on(labels, x[..., c] if stacked else x)
        return means


def with_outside(Q: SymmetricStencil, lattice: Lattice) -> tuple[SymmetricStencil, float]:
    """Return a precision whose unknowns outside a domain are free by themselves, and their log-determinant.

    They have the largest coefficient of their kind, so that rounding is that of the others.
    """
    outside = ~np.asarray(lattice.domain)
    diagonal = np.where(outside, 0.0, Q.diagonal()).reshape(*lattice.shape, lattice.channels)
    own = diagonal.max(axis=(0, 1))
    own = np.where(own > 0.0, own, 1.0)
    counts = outside.reshape(-1, lattice.channels).sum(axis=0)
    return decoupled(Q, outside, own if lattice.channels > 1 else float(own[0])), float(counts @ np.log(own))


def _means_on(labels: IntArray, x: FloatArray) -> FloatArray:
    """Return the averages of images ``(..., H, W)`` on parts, as images; zero where the label is -1."""
    inside = labels >= 0
    part = labels[inside]
    sizes, found = np.bincount(part), np.zeros(x.shape)
    for image, means in zip(x.reshape(-1, *labels.shape), found.reshape(-1, *labels.shape), strict=True):
        means[inside] = (np.bincount(part, image[inside]) / sizes)[part]
    return found
