"""The precision of a field on a window of its lattice: as it stands there, and without what is shared with outside."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.large._geometry import Window
from sparsegmrf.lattice import Lattice
from sparsegmrf.models import Model
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._coefficients import drop_off_image
from sparsegmrf.stencil._offsets import reach
from sparsegmrf.stencil.rows import Rows, gram
from sparsegmrf.typing import BoolArray, Shape

_PROBE = 8
"""Side in pixels of the corner by which a model is looked at."""


@dataclass(frozen=True, eq=False)
class Cuts:
    """A model on a lattice, and what it is on windows of that.

    With ``Q = A^T A`` by rows and a window ``T`` there are two cuts:

    - *Dirichlet*: ``Q_TT``. Everything outside is known, so that variances given observations are bounds from below.
    - *natural*: ``A_T^T A_T`` with the rows that touch no pixel outside. Less is known than in truth: the precision
      minus that of the window and that of the rest by itself is the sum ``a a^T`` over the rows that were left out,
      which is positive semi-definite, so that variances are bounds from above, infinite ones where it is singular.

    Windows that end where the lattice does keep its border.
    """

    model: Model
    shape: Shape

    @classmethod
    def of(cls, model: Model, shape: Shape) -> "Cuts":
        """Return the cuts of a model, after checking its parameters on the lattice.

        Raises
        ------
        ArgumentError
            If the model wraps, or has channels that are no sum.
        """
        probe = min(shape[0], _PROBE), min(shape[1], _PROBE)
        found = model.on_lattice(shape)
        corner = found.cropped(slice(0, probe[0]), slice(0, probe[1])).build_stencil(probe)
        expected = 1 if found.combination is None else len(found.combination)
        if corner.is_wrapped:
            raise ArgumentError(
                f"model must end at the raster to be cut into tiles, got boundary={corner.boundary!r}, which wraps; "
                'take boundary="neumann", with some columns of the other side beside each side where that matters.'
            )
        if corner.channels != expected:
            raise ArgumentError(
                f"model must have one field, or be a Sum of fields, got {corner.channels} channels; take its spatial "
                "model with one channel."
            )
        return cls(found, shape)

    @property
    def channels(self) -> int:
        """Unknowns per pixel."""
        return 1 if self.model.combination is None else len(self.model.combination)

    def dirichlet(self, window: Window) -> SymmetricStencil:
        """Return ``Q_TT`` of a window."""
        outer = self.around(window)
        return _cropped(self._on(outer).build_stencil(outer.shape), window, outer)

    def derivatives(self, window: Window) -> dict[str, SymmetricStencil]:
        """Return by parameter the derivative of ``Q_TT`` of a window."""
        outer = self.around(window)
        found = self._on(outer).build_derivatives(outer.shape)
        return {name: _cropped(dQ, window, outer) for name, dQ in found.items()}

    def natural(self, window: Window, earlier: Window | None = None) -> SymmetricStencil:
        """Return ``A_T^T A_T`` of a window: rows that touch a pixel outside are left out.

        Parameters
        ----------
        window : Window
            The pixels ``T``.
        earlier : Window, optional
            A core. Then pixels outside that come before it, in the order of cores, count as known: rows that touch
            these are kept, without their coefficients there, and so none of its own that are earlier.

        Raises
        ------
        ArgumentError
            If the model has no rows.
        """
        outer = self.around(window)
        outside = np.ones(outer.shape, dtype=bool)
        outside[window.within(outer)] = False
        if earlier is not None:
            outside &= ~before(earlier, outer)
        kept = [each.only(~each.touching(outside)) for each in self._rows(outer)]
        return _cropped(gram(kept, self.channels), window, outer)

    def rows(self, window: Window) -> tuple[Window, list[Rows]]:
        """Return all rows that touch a window, and the larger window on which they stand.

        Raises
        ------
        ArgumentError
            If the model has no rows.
        """
        outer = self.around(window)
        wider = self.around(outer)
        return wider, self._rows(wider)

    @cached_property
    def _reach(self) -> int | None:
        """How far neighbours are that are coupled; None where that may differ between windows."""
        rows, columns = (slice(0, min(side, _PROBE)) for side in self.shape)
        corner = self.model.cropped(rows, columns)
        whole = self.model.cropped(slice(0, self.shape[0]), slice(0, self.shape[1]))
        return self._reach_of(corner, (rows.stop, columns.stop)) if whole is self.model else None

    @property
    def is_alike(self) -> bool:
        """Whether the model is the same everywhere, having no maps."""
        return self._reach is not None

    def reach_on(self, window: Window) -> int:
        """Return how far neighbours are that are coupled on a window."""
        if self._reach is not None:
            return self._reach
        return self._reach_of(self._on(window), window.shape)

    def check_rows(self) -> None:
        """Refuse a model without rows, judged by those of a corner."""
        self._rows(Window(0, min(self.shape[0], _PROBE), 0, min(self.shape[1], _PROBE)))

    def _reach_of(self, model: Model, shape: Shape) -> int:
        return max(reach(model.build_stencil(shape).offsets))

    def around(self, window: Window) -> Window:
        """Return a window so large that the precision of the model there is that of the lattice on the given one."""
        if self._reach is not None:
            return window.grown(self._reach, self.shape)
        margin = 1
        while True:
            outer = window.grown(margin, self.shape)
            needed = self._reach_of(self._on(outer), outer.shape)
            if needed <= margin or outer.shape == self.shape:
                return outer
            margin = needed

    def _rows(self, outer: Window) -> list[Rows]:
        try:
            return self._on(outer).build_rows(outer.shape)
        except StencilError as error:
            raise ArgumentError(
                f"model must be a sum of squares of neighbours for bounds from above and for draws, got "
                f"{type(self.model).__name__}, whose {error} Take a field that is (Matern, TensionSpline, SAR, "
                "Intrinsic, or CAR with interactions that add up to at most 1 over all neighbours), or upper=False."
            ) from error

    def _on(self, window: Window) -> Model:
        return self.model.cropped(*window.slices)


def _cropped(Q: SymmetricStencil, window: Window, outer: Window) -> SymmetricStencil:
    """Return the block of a window of a matrix on a larger one."""
    if outer == window:
        return Q
    rows, columns = window.within(outer)
    lattice = Lattice(window.shape, Q.channels)
    planes = np.array([Q.plane(k)[rows, columns] for k in range(len(Q.offsets))])
    for plane, (di, dj) in zip(planes, Q.offsets.tolist(), strict=True):
        drop_off_image(plane, (di, dj), lattice)
    return SymmetricStencil._from_planes(Q.offsets, planes, lattice)


def before(core: Window, outer: Window) -> BoolArray:
    """Return which pixels of a window belong to cores before one, in raster order of cores."""
    rows, columns = np.arange(outer.top, outer.bottom)[:, np.newaxis], np.arange(outer.left, outer.right)
    return np.asarray((rows < core.top) | ((rows < core.bottom) & (columns < core.left)))
