"""What symmetric and triangular stencils have in common: offsets and coefficients on a lattice."""

from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil._coefficients import Pool
from sparsegmrf.stencil._offsets import reach
from sparsegmrf.typing import IntArray, Shape


class Stencil:
    """Offsets in raster order and their coefficients, shared by all pixels or in planes."""

    _lattice: Lattice
    _offsets: IntArray
    _pool: Pool

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._offsets.flags.writeable = False

    @property
    def offsets(self) -> IntArray:
        """Offsets ``(K, 2)`` in raster order, the centre first if it is one of them; read-only."""
        return self._offsets

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._lattice

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self._lattice.shape

    @property
    def channels(self) -> int:
        """Unknowns per pixel."""
        return self._lattice.channels

    @property
    def is_homogeneous(self) -> bool:
        """Whether every coefficient is shared by all pixels (up to the rule at the border)."""
        return not self._pool.step.any()

    @property
    def reach(self) -> tuple[int, int]:
        """Largest row and column distance of a neighbour, in pixels."""
        return reach(self._offsets)
