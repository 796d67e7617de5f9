"""Fields, and what is said of them: with a null space, under constraints, without borders, given counts."""

from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._constrain import ConstrainedGMRF
from sparsegmrf.inference._covariances import covariance_between, variance_of
from sparsegmrf.inference._laplace import LaplacePosterior
from sparsegmrf.inference._operators import BlockAverage, ObservationOperator, PointSpread
from sparsegmrf.intrinsic_gmrf import IntrinsicGMRF
from sparsegmrf.lattice import Lattice
from sparsegmrf.stationary_edge import StationaryEdgeField

__all__ = [
    "GMRF",
    "BlockAverage",
    "ConstrainedGMRF",
    "IntrinsicGMRF",
    "LaplacePosterior",
    "Lattice",
    "ObservationOperator",
    "PointSpread",
    "StationaryEdgeField",
    "covariance_between",
    "variance_of",
]
