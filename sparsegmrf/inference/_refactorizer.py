"""Factors of precisions of one pattern, analysed once."""

from sparsegmrf.factors import Factor, Form, factorize
from sparsegmrf.gmrf import GMRF
from sparsegmrf.stencil import SymmetricStencil


class Refactorizer:
    """Factorizes precisions of one pattern one after the other, analysing the pattern once."""

    def __init__(self) -> None:
        self._last: Factor | None = None

    def __call__(self, precision: SymmetricStencil | Form) -> Factor:
        """Return the factor of a precision."""
        if isinstance(precision, Form):
            return precision.factor(self, "auto")
        again = None if self._last is None else self._last.refactorized(precision)
        self._last = factorize(precision) if again is None else again
        return self._last

    def of_field(self, field: GMRF) -> Factor:
        """Return the factor of a field; its own where that is no dissection of one stencil."""
        plain = isinstance(field.given, SymmetricStencil) and field.method == "dissection"
        return self(field.precision) if plain else field.factor
