"""Models: named parameters that stand for a stencil on a lattice."""

from sparsegmrf.models._model import JointLimits, Model
from sparsegmrf.models.ar1 import AR1xAR1
from sparsegmrf.models.bym import BYM
from sparsegmrf.models.car import CAR
from sparsegmrf.models.channels import Channels
from sparsegmrf.models.independent import Independent
from sparsegmrf.models.intrinsic import Intrinsic
from sparsegmrf.models.matern import Matern
from sparsegmrf.models.sar import SAR
from sparsegmrf.models.sum import Sum
from sparsegmrf.models.tension_spline import TensionSpline

__all__ = [
    "BYM",
    "CAR",
    "SAR",
    "AR1xAR1",
    "Channels",
    "Independent",
    "Intrinsic",
    "JointLimits",
    "Matern",
    "Model",
    "Sum",
    "TensionSpline",
]
