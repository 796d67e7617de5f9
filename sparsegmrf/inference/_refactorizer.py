"""Factors of precisions of one pattern, analysed once."""

import numpy as np

from sparsegmrf.gmrf import GMRF
from sparsegmrf.linalg import DissectionFactor, Factor, factorize
from sparsegmrf.stencil import SymmetricStencil


class Refactorizer:
    """Factorizes precisions of one pattern one after the other, analysing the pattern once."""

    def __init__(self) -> None:
        self._last: Factor | None = None

    def __call__(self, precision: SymmetricStencil) -> Factor:
        """Return the factor of a precision."""
        last = self._last
        if isinstance(last, DissectionFactor) and np.array_equal(last._precision.offsets, precision.offsets):
            self._last = last.refactorize(precision)
        else:
            self._last = factorize(precision)
        return self._last

    def of_field(self, field: GMRF) -> Factor:
        """Return the factor of a field; its own where that is no dissection."""
        return self(field.precision) if type(field) is GMRF and field.method == "dissection" else field.factor
