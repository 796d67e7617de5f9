"""Causal autoregressions: every pixel predicted from earlier ones in raster order."""

from sparsegmrf.autoregression.causal_ar import CausalAR, CausalARFit
from sparsegmrf.autoregression.order_selection import OrderSelection, select_order
from sparsegmrf.autoregression.stability import Stability

__all__ = ["CausalAR", "CausalARFit", "OrderSelection", "Stability", "select_order"]
