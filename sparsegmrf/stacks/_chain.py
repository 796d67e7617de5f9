"""The field's correlation in time, ``exp(-|t - s| / ell)``: the precision of a first-order Markov chain."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.linalg

from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import FloatArray

_LEAST_CHANGE = 1e-9
"""Least ``1 - rho^2`` between neighbouring dates: below it the differences of dates have no digits."""


class Tridiagonal(NamedTuple):
    """A symmetric tridiagonal matrix over dates: its diagonal ``(U,)`` and what stands beside it ``(U - 1,)``."""

    diagonal: FloatArray
    beside: FloatArray

    def __matmul__(self, x: FloatArray) -> FloatArray:
        """Return the product with arrays ``(..., U, n)``."""
        y = self.diagonal[:, np.newaxis] * x
        y[..., 1:, :] += self.beside[:, np.newaxis] * x[..., :-1, :]
        y[..., :-1, :] += self.beside[:, np.newaxis] * x[..., 1:, :]
        return np.asarray(y)

    @property
    def banded(self) -> FloatArray:
        """The upper band as LAPACK has it, ``(2, U)``."""
        found = np.zeros((2, len(self.diagonal)))
        found[0, 1:], found[1] = self.beside, self.diagonal
        return found

    def solve(self, x: FloatArray) -> FloatArray:
        """Return ``J^-1 x`` for ``(U, n)``."""
        if not len(self.beside):
            return x / self.diagonal[:, np.newaxis]
        return np.asarray(scipy.linalg.solveh_banded(self.banded, x))


@dataclass(frozen=True, eq=False)
class Chain:
    """Precision of a field's values at dates: that of an Ornstein-Uhlenbeck process of variance one.

    With ``rho_i = exp(-d_i / ell)`` over the gap ``d_i`` to the next date, ``a_i = rho_i^2 / (1 - rho_i^2)``, the
    diagonal is ``1 + a_(i-1) + a_i`` and beside it stands ``-rho_i / (1 - rho_i^2)``.

    Attributes
    ----------
    gaps : ndarray, (U - 1,)
        Days between dates, which are in order and differ.
    ell : float
        Days over which the correlation falls to 1/e; 0 if dates know nothing of each other.
    """

    gaps: FloatArray
    ell: float

    def __post_init__(self) -> None:
        if len(self.gaps) and float(self._change.min()) < _LEAST_CHANGE:
            raise ArgumentError(
                f"ell must leave neighbouring dates different, got {self.ell:g} days with dates {self.gaps.min():g} "
                "days apart; take a smaller one, or a single image of the mean."
            )

    @property
    def precision(self) -> Tridiagonal:
        """The precision ``J``."""
        a = np.exp(-2.0 * self._steps) / self._change
        diagonal = np.ones(len(self.gaps) + 1)
        diagonal[:-1] += a
        diagonal[1:] += a
        return Tridiagonal(diagonal, -np.exp(-self._steps) / self._change)

    @property
    def logdet(self) -> float:
        """``log det J = -sum log(1 - rho^2)``."""
        return -float(np.log(self._change).sum())

    @property
    def derivative(self) -> Tridiagonal:
        """Derivative of the precision by ``log ell``, which is not 0."""
        d, change = self._steps, self._change
        a = 2.0 * d * np.exp(-2.0 * d) / change**2  # d a / d log ell, as d rho / d log ell = d rho
        diagonal = np.zeros(len(self.gaps) + 1)
        diagonal[:-1] += a
        diagonal[1:] += a
        rho = np.exp(-d)
        return Tridiagonal(diagonal, -d * rho * (1.0 + rho * rho) / change**2)

    @property
    def logdet_derivative(self) -> float:
        """Derivative of the log-determinant by ``log ell``, which is not 0."""
        return float((2.0 * self._steps * np.exp(-2.0 * self._steps) / self._change).sum())

    def solve(self, x: FloatArray) -> FloatArray:
        """Return ``J^-1 x`` for ``(U, n)``."""
        return self.precision.solve(x)

    @property
    def _steps(self) -> FloatArray:
        return self.gaps / self.ell if self.ell else np.full(len(self.gaps), np.inf)

    @property
    def _change(self) -> FloatArray:
        """``1 - rho^2``."""
        return np.asarray(-np.expm1(-2.0 * self._steps))
