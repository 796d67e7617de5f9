"""Exact Gaussian Markov random fields on images: sparse precisions, fast factors, samples and variances."""

from sparsegmrf._threads import get_num_threads, set_num_threads
from sparsegmrf.errors import (
    ArgumentError,
    FileError,
    NotPositiveDefiniteError,
    SparseGMRFError,
    StencilError,
    TooLargeError,
    UnstableWarning,
)
from sparsegmrf.lattice import Lattice
from sparsegmrf.linalg import CholmodFactor, DenseFactor, Factor
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil

__all__ = [
    "ArgumentError",
    "CholmodFactor",
    "DenseFactor",
    "Factor",
    "FileError",
    "Lattice",
    "NotPositiveDefiniteError",
    "SparseGMRFError",
    "StencilError",
    "SymmetricStencil",
    "TooLargeError",
    "TriangularStencil",
    "UnstableWarning",
    "get_num_threads",
    "set_num_threads",
]
