"""Models: named parameters that stand for a stencil on a lattice."""

from sparsegmrf.models._model import JointLimits, Model
from sparsegmrf.models.car import CAR
from sparsegmrf.models.causal_ar import CausalAR
from sparsegmrf.models.channels import Channels
from sparsegmrf.models.cholesky_field import CholeskyField, CholeskyFit
from sparsegmrf.models.intrinsic import Intrinsic
from sparsegmrf.models.matern import Matern
from sparsegmrf.models.order_selection import OrderRow, OrderSelection, select_order
from sparsegmrf.models.report import FitReport
from sparsegmrf.models.sar import SAR
from sparsegmrf.models.stability import Stability
from sparsegmrf.models.sum import Sum
from sparsegmrf.models.symmetric_field import SymmetricField, SymmetricFit
from sparsegmrf.models.tension_spline import TensionSpline

__all__ = [
    "CAR",
    "SAR",
    "CausalAR",
    "Channels",
    "CholeskyField",
    "CholeskyFit",
    "FitReport",
    "Intrinsic",
    "JointLimits",
    "Matern",
    "Model",
    "OrderRow",
    "OrderSelection",
    "Stability",
    "Sum",
    "SymmetricField",
    "SymmetricFit",
    "TensionSpline",
    "select_order",
]
