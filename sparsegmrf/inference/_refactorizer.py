"""Factors of precisions of one pattern, analysed once."""

from collections.abc import Callable

from sparsegmrf.factors import Factor, Form, factorize
from sparsegmrf.gmrf import GMRF
from sparsegmrf.stencil import SymmetricStencil


class Refactorizer:
    """Factorizes precisions of one pattern one after the other, analysing it once; the factors are the caller's.

    One that is dropped before the next is asked for leaves it its memory, see `Factor.refactorizer`. Factors by
    dissection are kept in double precision or in single.
    """

    def __init__(self, digits: str = "double") -> None:
        self._digits = digits
        self._again: Callable[[SymmetricStencil], Factor | None] | None = None

    def __call__(self, precision: SymmetricStencil | Form) -> Factor:
        """Return the factor of a precision."""
        if isinstance(precision, Form):
            return precision.factor(self, "auto")
        found = None if self._again is None else self._again(precision)
        if found is None:
            self._again = None  # with its memory
            found = factorize(precision, precision=self._digits)
            self._again = found.refactorizer()
        return found

    def of_field(self, field: GMRF) -> Factor:
        """Return the factor of a field; its own where that is no dissection of one stencil."""
        if isinstance(field.given, SymmetricStencil) and field.method == "dissection":
            return self(field.precision)
        if self._digits == "single" and isinstance(field.given, Form):
            return factorize(field.given, precision=self._digits)
        return field.factor
