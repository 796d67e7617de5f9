"""Sparse precisions fitted to ensembles of images, one number per entry."""

from sparsegmrf.ensembles.cholesky_field import CholeskyField, CholeskyFit
from sparsegmrf.ensembles.symmetric_field import SymmetricField, SymmetricFit

__all__ = ["CholeskyField", "CholeskyFit", "SymmetricField", "SymmetricFit"]
