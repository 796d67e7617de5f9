"""Fields given pixel by pixel by a triangular factor, as networks predict them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sparsegmrf._validate import image_shape
from sparsegmrf.errors import ArgumentError
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil
from sparsegmrf.stencil._from_cholesky import whitening_of_cholesky
from sparsegmrf.typing import ArrayLike, FloatArray, Offsets, Shape

if TYPE_CHECKING:
    from sparsegmrf.gmrf import GMRF


@dataclass(frozen=True, eq=False)
class CholeskyField:
    """Field whose precision is made of a lower triangular matrix ``L``, given per pixel.

    ``"LLt"``: ``Q = L L^T``; pixel ``p`` holds column ``p``: ``L[p, p]`` and ``L[p + o_k, p]`` on later neighbours.
    ``"LtL"``: ``Q = L^T L``; pixel ``p`` holds row ``p``: ``L[p, p]`` and ``L[p, p + o_k]`` on earlier neighbours.
    The density is exact without a factorization, ``logdet Q = 2 sum log L[p, p]``. It has as many parameters as
    numbers, so that it has no named ones.

    Parameters
    ----------
    diagonal : float or array_like, (H, W)
        ``L[p, p]``, positive, in 1/intensity; with channels blocks, lower triangular.
    weights : sequence or array_like, (K, H, W)
        Per offset a number or plane, in 1/intensity; with channels blocks.
    offsets : sequence of (int, int)
        ``(di, dj)`` in pixels, later in raster order with ``"LLt"``, earlier with ``"LtL"``; by default
        right, lower left, below and lower right.
    convention : {"LLt", "LtL"}
        Which product is the precision.
    channels : int
        Unknowns per pixel.

    Raises
    ------
    StencilError
        On a lattice: if the offsets are on the wrong side, or an array has the wrong shape.
    ArgumentError
        On a lattice: if the diagonal is not positive, or a value is not finite.

    References
    ----------
    G. Dorta et al. (2018), Structured uncertainty prediction networks, CVPR.

    Examples
    --------
    >>> field = CholeskyField(1.0, [-0.3, -0.3], [(0, 1), (1, 0)]).gmrf((32, 32), mean=5.0)
    >>> round(field.logdet, 6), field.sample(rng=0).shape
    (0.0, (32, 32))
    """

    diagonal: ArrayLike = 1.0
    weights: Sequence[ArrayLike] | FloatArray = (0.0, 0.0, 0.0, 0.0)
    offsets: Offsets = ((0, 1), (1, -1), (1, 0), (1, 1))
    convention: Literal["LLt", "LtL"] = "LLt"
    channels: int = 1

    def whitening(self, shape: Shape | None = None) -> TriangularStencil:
        """Return ``A`` of ``Q = A^T A``: ``L^T`` or ``L``; the shape is that of the planes if there are any."""
        given = None if shape is None else image_shape(shape)
        A = whitening_of_cholesky(self.diagonal, self.weights, self.offsets, given, self.channels, self.convention)
        if given is not None and A.shape != given:
            raise ArgumentError(f"shape must be that of the planes, {A.shape}, got {given}.")
        return A

    def stencil(self, shape: Shape | None = None) -> SymmetricStencil:
        """Return the precision ``Q``, in 1/intensity^2."""
        return self.whitening(shape).gram()

    def gmrf(self, shape: Shape | None = None, mean: ArrayLike = 0.0) -> "GMRF":
        """Return the field, with mean in intensity."""
        from sparsegmrf.gmrf import GMRF

        return GMRF.from_whitening(self.whitening(shape), mean)
