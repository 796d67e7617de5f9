"""Precisions of any kind as sparse matrices, for the factors that take these."""

from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

from sparsegmrf._edges import cut_off
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil
from sparsegmrf.stencil._assembly import symmetric_matrix
from sparsegmrf.typing import Boundary, IntArray, Shape

Matrix: TypeAlias = SymmetricStencil | TriangularStencil | sp.sparray | sp.spmatrix


def structure_of(precision: Matrix, shape: Shape | None, channels: int | None) -> tuple[Lattice, IntArray, Boundary]:
    """Return the lattice, the offsets (centre and later) of the selected inverse, and where they wrap."""
    if isinstance(precision, SymmetricStencil | TriangularStencil):
        if (shape is not None and tuple(shape) != precision.shape) or channels not in (None, precision.channels):
            raise ArgumentError(
                f"shape and channels must be left out, or be the stencil's own {precision.shape} and "
                f"{precision.channels}, got {shape} and {channels}."
            )
        if isinstance(precision, TriangularStencil):
            return precision.lattice, precision.gram_offsets, "dirichlet"
        return precision.lattice, precision.offsets, cut_off(precision.boundary)
    if not sp.issparse(precision) or shape is None:
        raise ArgumentError(
            f"precision must be a stencil, or a scipy sparse array together with shape, got {type(precision).__name__}."
        )
    return Lattice(shape, 1 if channels is None else channels), np.zeros((1, 2), dtype=np.int64), "dirichlet"


def matrix_of(precision: Matrix, lattice: Lattice) -> sp.csr_array:
    """Return the precision, or that of a whitening matrix, by rows; zeros cross a border if the other axis wraps."""
    if isinstance(precision, TriangularStencil):
        return precision.gram().tocsr()
    if isinstance(precision, SymmetricStencil):
        return precision._wrapped_csr()
    return symmetric_matrix("precision", precision, lattice)


def not_positive(lattice: Lattice, unknown: int, pivot: float) -> NotPositiveDefiniteError:
    """Return the error that tells the pivot of an unknown, and its pixel."""
    pixel = lattice.pixel(unknown // lattice.channels)
    where = pixel if lattice.channels == 1 else (*pixel, unknown % lattice.channels)
    return NotPositiveDefiniteError(
        f"the precision is not positive definite: pivot {pivot:g} at pixel {where}; the diagonal is too small for "
        "its neighbours.",
        where,
        pivot,
    )
