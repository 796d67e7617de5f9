"""Factors of a precision behind one contract."""

from sparsegmrf.linalg._factor import Factor
from sparsegmrf.linalg.cholmod import CholmodFactor
from sparsegmrf.linalg.dense import DenseFactor

__all__ = ["CholmodFactor", "DenseFactor", "Factor"]
