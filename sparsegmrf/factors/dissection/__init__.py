"""Exact Cholesky factor of any stencil precision by nested dissection of the image."""

from sparsegmrf.factors.dissection._plan import Plan, plan
from sparsegmrf.factors.dissection.factor import DissectionFactor
from sparsegmrf.factors.dissection.single import SingleFactor

__all__ = ["DissectionFactor", "Plan", "SingleFactor", "plan"]
