"""Models: named parameters that stand for a stencil on a lattice."""

from sparsegmrf.models.causal_ar import CausalAR
from sparsegmrf.models.order_selection import OrderRow, OrderSelection, select_order
from sparsegmrf.models.report import FitReport
from sparsegmrf.models.stability import Stability

__all__ = ["CausalAR", "FitReport", "OrderRow", "OrderSelection", "Stability", "select_order"]
