"""Factors of a precision behind one contract."""

from sparsegmrf.linalg._factor import Factor
from sparsegmrf.linalg.dense import DenseFactor

__all__ = ["DenseFactor", "Factor"]
