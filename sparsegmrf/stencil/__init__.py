"""Stencils: offsets and coefficients that stand for a sparse matrix on a lattice."""

from sparsegmrf.stencil.symmetric import SymmetricStencil
from sparsegmrf.stencil.triangular import TriangularStencil

__all__ = ["SymmetricStencil", "TriangularStencil"]
