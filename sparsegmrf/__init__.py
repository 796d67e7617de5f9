"""Exact Gaussian Markov random fields on images: sparse precisions, fast factors, samples and variances."""

from sparsegmrf._threads import get_num_threads, set_num_threads
from sparsegmrf.ar1 import ar1_precision
from sparsegmrf.errors import (
    ArgumentError,
    ConvergenceError,
    FileError,
    ImageLayoutError,
    NotFittedError,
    NotPositiveDefiniteError,
    SingularCovarianceError,
    SparseGMRFError,
    StencilError,
    TooLargeError,
    UnstableError,
    UnstableWarning,
)
from sparsegmrf.experiment import Experiment, Limit, experiment, limit_on_weight
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference import condition, covariance_between, leave_one_out, variance_of
from sparsegmrf.intrinsic_gmrf import IntrinsicGMRF
from sparsegmrf.lattice import Lattice
from sparsegmrf.linalg import (
    CholmodFactor,
    DenseFactor,
    DissectionFactor,
    Factor,
    IndependentFactor,
    IntrinsicFactor,
    Plan,
    SeparableFactor,
    SpectralFactor,
    SpectralForm,
    TriangularFactor,
    factorize,
    plan,
)
from sparsegmrf.models import CausalAR, FitReport, OrderRow, OrderSelection, Stability, select_order
from sparsegmrf.pixels import DenseGaussian, PixelGaussian
from sparsegmrf.stationary_edge import StationaryEdgeField
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil

__all__ = [
    "GMRF",
    "ArgumentError",
    "CausalAR",
    "CholmodFactor",
    "ConvergenceError",
    "DenseFactor",
    "DenseGaussian",
    "DissectionFactor",
    "Experiment",
    "Factor",
    "FileError",
    "FitReport",
    "ImageLayoutError",
    "IndependentFactor",
    "IntrinsicFactor",
    "IntrinsicGMRF",
    "Lattice",
    "Limit",
    "NotFittedError",
    "NotPositiveDefiniteError",
    "OrderRow",
    "OrderSelection",
    "PixelGaussian",
    "Plan",
    "SeparableFactor",
    "SingularCovarianceError",
    "SparseGMRFError",
    "SpectralFactor",
    "SpectralForm",
    "Stability",
    "StationaryEdgeField",
    "StencilError",
    "SymmetricStencil",
    "TooLargeError",
    "TriangularFactor",
    "TriangularStencil",
    "UnstableError",
    "UnstableWarning",
    "ar1_precision",
    "condition",
    "covariance_between",
    "experiment",
    "factorize",
    "get_num_threads",
    "leave_one_out",
    "limit_on_weight",
    "plan",
    "select_order",
    "set_num_threads",
    "variance_of",
]
