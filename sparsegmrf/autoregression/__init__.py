"""Causal autoregressions: every pixel predicted from earlier ones in raster order."""

from sparsegmrf.autoregression._ar1 import ar1_precision
from sparsegmrf.autoregression._experiment import Experiment, Limit, experiment, limit_on_weight
from sparsegmrf.autoregression.causal_ar import CausalAR, CausalARFit
from sparsegmrf.autoregression.order_selection import OrderSelection, select_order
from sparsegmrf.autoregression.stability import Stability

__all__ = [
    "CausalAR",
    "CausalARFit",
    "Experiment",
    "Limit",
    "OrderSelection",
    "Stability",
    "ar1_precision",
    "experiment",
    "limit_on_weight",
    "select_order",
]
