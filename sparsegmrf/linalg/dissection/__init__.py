"""Exact Cholesky factor of any stencil precision by nested dissection of the image."""

from sparsegmrf.linalg.dissection._plan import Plan, plan
from sparsegmrf.linalg.dissection.factor import DissectionFactor

__all__ = ["DissectionFactor", "Plan", "plan"]
