"""The field given the observations, on windows: precisions, factors, and products without a matrix."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.factors.dissection import DissectionFactor
from sparsegmrf.factors.dissection.factor import Refactorizer
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Tile, Window
from sparsegmrf.large._raster import Raster
from sparsegmrf.models import Model, Sum
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import BoolArray, FloatArray, Shape

_SINGULAR = 1e13
"""A variance times the diagonal of its precision from which on it is one over a rounding error."""

_SHAPES = 4
"""Windows whose analysis is kept."""


@dataclass(frozen=True, eq=False)
class Upper:
    """Factor of a natural cut, its diagonal, and the unknowns that it says nothing about."""

    factor: DissectionFactor
    diagonal: FloatArray
    loose: BoolArray

    @classmethod
    def of_whole(cls, factor: DissectionFactor) -> "Upper":
        """Return that of a window that is the raster, where nothing is cut."""
        diagonal = factor._precision.diagonal()
        return cls(factor, diagonal, np.zeros(diagonal.shape, dtype=bool))


@dataclass(frozen=True, eq=False)
class Posterior:
    """``P = Q + a w a^T`` on any window, ``w`` being the weights of observations and ``a`` the model's combination."""

    cuts: Cuts
    raster: Raster
    analyses: "Analyses" = field(default_factory=lambda: Analyses(), repr=False)

    @property
    def shape(self) -> Shape:
        """Height and width of the raster."""
        return self.cuts.shape

    @property
    def combination(self) -> FloatArray | None:
        """Weights of stacked fields; None of a single one."""
        return self.cuts.model.combination

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of all unknowns: ``(H, W)``, or ``(H, W, C)`` of stacked fields."""
        return self.shape if self.combination is None else (*self.shape, len(self.combination))

    def precision(self, window: Window, *, natural: bool = False) -> SymmetricStencil:
        """Return ``P_TT``, or the natural cut, of a window; the identity where the model has no value."""
        Q = self.cuts.natural(window) if natural else self.cuts.dirichlet(window)
        return self.given(Q, window)

    def given(self, Q: SymmetricStencil, window: Window) -> SymmetricStencil:
        """Return a precision on a window given the observations there."""
        weight = self.raster.seen(window).weight
        if self.combination is None:
            P = Q.plus_diagonal(weight)
        else:
            planes = np.stack([Q.plane(k) for k in range(len(Q.offsets))])
            planes[0] += weight[..., np.newaxis, np.newaxis] * np.outer(self.combination, self.combination)
            P = Q._with_planes(planes)
        outside = self.outside(window)
        return P if outside is None else decoupled(P, outside)

    def outside(self, window: Window) -> BoolArray | None:
        """Return the unknowns of a window at which the model has no value, ``(h, w)`` or ``(h, w, C)``, or None."""
        return _outside(self.cuts.model.cropped(*window.slices), window.shape)

    def lower_factor(self, window: Window) -> DissectionFactor:
        """Return the factor of ``P_TT``."""
        return self.analyses.factor(self.precision(window))

    def upper_factor(self, window: Window) -> "Upper | None":
        """Return the factor of the natural cut; None where it is singular.

        An unknown that no row is left of and no observation is part of the window by its place alone: it is taken out
        and unbounded.
        """
        P = self.precision(window, natural=True)
        diagonal = P.diagonal()
        loose = np.asarray(diagonal == 0.0)
        try:
            factor = self.analyses.factor(decoupled(P, loose) if loose.any() else P)
        except NotPositiveDefiniteError:
            return None
        return Upper(factor, diagonal, loose)

    def whole_or_upper(self, window: Window) -> "Upper | None":
        """Return the factor of the natural cut, which is that of the precision where the window is the raster."""
        return Upper.of_whole(self.lower_factor(window)) if window.shape == self.shape else self.upper_factor(window)

    def variance(self, factor: DissectionFactor) -> FloatArray:
        """Return the variances of what is observed, ``(h, w)``."""
        centre = factor.selected_inverse().plane(0)
        if self.combination is None:
            return centre
        return np.asarray(np.einsum("...cd,c,d->...", centre, self.combination, self.combination))

    def upper_variance(self, upper: "Upper") -> FloatArray:
        """Return the variances under a natural cut, ``(h, w)``; infinite where they are one over rounding errors."""
        found, free, size = self.variance(upper.factor), ~upper.loose, upper.diagonal
        if self.combination is not None:
            free = np.asarray(free.all(axis=-1))
            size = size.sum(axis=-1) / float(self.combination @ self.combination)
        return np.where(free & (found * size < _SINGULAR), found, np.inf)

    def product(self, x: FloatArray, core: Window) -> FloatArray:
        """Return ``P x`` on a core, for images ``(k, h, w[, C])`` on the window around it."""
        window = self.cuts.around(core)
        place = (slice(None), *core.within(window))
        found = (self.cuts.dirichlet(window) @ x)[place]
        found += self.spread(self.raster.seen(core).weight * self.total(x[place]))
        outside = self.outside(core)
        return found if outside is None else np.where(outside, x[place], found)

    def total(self, x: FloatArray) -> FloatArray:
        """Return ``a^T x`` for unknowns ``(..., h, w[, C])``: what is observed."""
        return x if self.combination is None else np.asarray(x @ self.combination)

    def spread(self, value: FloatArray) -> FloatArray:
        """Return ``a v`` for images ``(..., h, w)``."""
        return value if self.combination is None else np.asarray(value[..., np.newaxis] * self.combination)

    def lifted(self, value: FloatArray) -> FloatArray:
        """Return the least unknowns whose ``a^T x`` are images ``(..., h, w)``."""
        if self.combination is None:
            return value
        return self.spread(value / float(self.combination @ self.combination))


class Analyses:
    """Analyses of windows of the last few shapes: cuts of one window, and tiles of one size, are eliminated alike.

    Memory waits for factors of the last shape alone.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Shape, bytes], Refactorizer[DissectionFactor]] = OrderedDict()

    def factor(self, P: SymmetricStencil) -> DissectionFactor:
        """Return the factor of a precision on a window."""
        key = (P.shape, P.offsets.tobytes())
        for other, kept in self._kept.items():
            if other != key:
                kept.free()
        if key in self._kept:
            self._kept.move_to_end(key)
            again = self._kept[key](P)
            if again is not None:
                return again
        factor = DissectionFactor(P)
        self._kept[key] = factor.refactorizer()
        if len(self._kept) > _SHAPES:
            self._kept.popitem(last=False)
        return factor

    def __reduce__(self) -> tuple[object, ...]:
        return Analyses, ()


def product(posterior: Posterior, x: FloatArray, tiles: Sequence[Tile], out: FloatArray) -> None:
    """Write ``P x`` of the whole raster, core by core."""
    for tile in tiles:
        around = x[(slice(None), *posterior.cuts.around(tile.core).slices)]
        out[(slice(None), *tile.core.slices)] = posterior.product(around, tile.core)


def _outside(model: Model, shape: Shape) -> BoolArray | None:
    if isinstance(model, Sum):
        found = [
            (_outside(each, shape), 1 if each.combination is None else len(each.combination)) for each in model.models
        ]
        if all(mask is None for mask, _ in found):
            return None
        planes = [np.zeros(shape, dtype=bool) if mask is None else mask for mask, count in found for _ in range(count)]
        return np.stack(planes, axis=-1) if len(planes) > 1 else planes[0]
    mask = getattr(model, "mask", None)
    if mask is None and getattr(model, "is_intrinsic", False):
        mask = getattr(model, "barrier", None)
    return mask if mask is not None and mask.any() else None
