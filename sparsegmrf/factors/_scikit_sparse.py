"""CHOLMOD as scikit-sparse 0.4 and 0.5 give it, under one interface."""

import re
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg

from sparsegmrf.errors import MissingLibraryError
from sparsegmrf.typing import FloatArray, IntArray

_REMEDY = 'install the system package libsuitesparse-dev, then pip install "sparsegmrf[cholmod]".'


class IndefiniteError(Exception):
    """Elimination met a pivot that is not positive.

    Attributes
    ----------
    unknown : int
        The unknown.
    pivot : float
        Its pivot, ``Q_uu - Q_ud Q_dd^-1 Q_du`` with ``d`` what was eliminated before.
    """

    def __init__(self, unknown: int, pivot: float) -> None:
        super().__init__(unknown, pivot)
        self.unknown, self.pivot = unknown, pivot


class Numbers(ABC):
    """A numeric factor, ``P Q P^T = L L^T``."""

    order: IntArray
    """Unknowns in the order of elimination."""
    pivots: FloatArray
    """Squares of the diagonal of ``L``."""

    @abstractmethod
    def lower(self) -> sp.csc_matrix:
        """Return ``L`` by columns with sorted rows, zeros that elimination fills in included."""

    @abstractmethod
    def solve(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(n, k)``."""

    @abstractmethod
    def solve_transposed(self, e: FloatArray) -> FloatArray:
        """Return ``L^-T e`` for ``(n, k)``."""


class Analysis(ABC):
    """A fill-reducing ordering and the pattern of the factor."""

    @abstractmethod
    def factorized(self, matrix: sp.csc_matrix) -> Numbers:
        """Return the factor of a matrix of the pattern analysed.

        Raises
        ------
        IndefiniteError
            If a pivot is not positive.
        """


def analyse(matrix: sp.csc_matrix, ordering: str) -> Analysis:
    """Return the analysis of a symmetric matrix by the scikit-sparse that is installed.

    Raises
    ------
    MissingLibraryError
        If none is, or one that is neither 0.4 nor 0.5.
    """
    cholmod = _scikit_sparse()
    if hasattr(cholmod, "Factor"):
        return _Analysis04(cholmod, cholmod.analyze(matrix, ordering_method=ordering))
    return _Analysis05(cholmod, cholmod.CholeskyFactor(_own(matrix), order=ordering))


@dataclass(frozen=True, eq=False)
class _Analysis04(Analysis):
    cholmod: ModuleType
    symbolic: Any

    def factorized(self, matrix: sp.csc_matrix) -> Numbers:
        try:
            numeric = self.symbolic.cholesky(matrix)
        except self.cholmod.CholmodNotPositiveDefiniteError as error:
            column, order = int(error.column), error.factor.P()
            raise IndefiniteError(int(order[column]), self._failed_pivot(error.factor, column, matrix)) from None
        return _Numbers04(numeric)

    def _failed_pivot(self, factor: Any, column: int, matrix: sp.csc_matrix) -> float:
        """Return ``Q_cc - |L[c, :c]|^2`` of a factorization that stopped at ``c = column``."""
        try:
            L = factor.L()
        except self.cholmod.CholmodNotPositiveDefiniteError:
            # A simplicial L D L^T stops only at a zero, which stands in D.
            return float(factor.D()[column])
        unknown = int(factor.P()[column])
        return float(matrix[unknown, unknown] - L[column, :column].power(2).sum())


class _Numbers04(Numbers):
    def __init__(self, numeric: Any) -> None:
        self._numeric = numeric
        self.order, self.pivots = numeric.P().astype(np.int64), numeric.D()

    def lower(self) -> sp.csc_matrix:
        L = self._numeric.L()
        L.sort_indices()
        return L

    def solve(self, b: FloatArray) -> FloatArray:
        return np.asarray(self._numeric.solve_A(b))

    def solve_transposed(self, e: FloatArray) -> FloatArray:
        return np.asarray(self._numeric.solve_Lt(e, use_LDLt_decomposition=False))


@dataclass(frozen=True, eq=False)
class _Analysis05(Analysis):
    """An analysis that is never factorized itself: CHOLMOD would take the supernodes out of it for good."""

    cholmod: ModuleType
    symbolic: Any

    def factorized(self, matrix: sp.csc_matrix) -> Numbers:
        numeric = self.symbolic.copy()
        try:
            numeric.factorize(_own(matrix), ldl=False)
        except self.cholmod.CholmodNotPositiveDefiniteError as error:
            told = re.search(r"column (\d+)", str(error))  # it stands nowhere else
            if told is None:
                raise
            column, order = int(told[1]), self.symbolic.get_perm()
            raise IndefiniteError(int(order[column]), self._failed_pivot(order[: column + 1], matrix)) from None
        return _Numbers05(numeric)

    def _failed_pivot(self, order: IntArray, matrix: sp.csc_matrix) -> float:
        """Return the pivot of the last unknown after the others, of which CHOLMOD leaves no factor."""
        done, unknown = order[:-1], order[-1]
        column = matrix[:, [unknown]].toarray().ravel()
        if not len(done):
            return float(column[unknown])
        leading = matrix[done][:, done]
        before = self.cholmod.CholeskyFactor(_own(leading))
        before.factorize(_own(leading), ldl=False)
        return float(column[unknown] - column[done] @ _solved(before, column[done]))


class _Numbers05(Numbers):
    def __init__(self, numeric: Any) -> None:
        self._numeric = numeric
        self.order = numeric.get_perm().astype(np.int64)
        self.pivots = numeric.factor.diagonal() ** 2

    def lower(self) -> sp.csc_matrix:
        # `factor` has all entries where `L` lacks zeros, which the selected inverse needs the places of.
        view = self._numeric.factor
        end = view.indptr[-1]
        L = sp.csc_matrix((view.data[:end].copy(), view.indices[:end].copy(), view.indptr.copy()), shape=view.shape)
        L.sort_indices()
        return L

    def solve(self, b: FloatArray) -> FloatArray:
        return _solved(self._numeric, b)

    def solve_transposed(self, e: FloatArray) -> FloatArray:
        return np.asarray(scipy.sparse.linalg.spsolve_triangular(self._upper, e, lower=False))

    @cached_property
    def _upper(self) -> sp.csr_matrix:
        return sp.csr_matrix(self.lower().T)


def _solved(factor: Any, b: FloatArray) -> FloatArray:
    with warnings.catch_warnings():  # of conditions beyond 1e13, which intrinsic fields have
        warnings.simplefilter("ignore")
        return np.asarray(factor.solve(np.array(b, order="F")))  # its own: refused if read only


def _own(matrix: sp.csc_matrix) -> sp.csc_array:
    """Return a copy: scikit-sparse 0.5 refuses arrays that are read only, and changes others."""
    return sp.csc_array((matrix.data.copy(), matrix.indices.copy(), matrix.indptr.copy()), shape=matrix.shape)


def _scikit_sparse() -> ModuleType:
    """Return ``sksparse.cholmod``, or say how to install it."""
    try:
        from sksparse import cholmod
    except ImportError as error:
        raise MissingLibraryError(
            f"CholmodFactor needs scikit-sparse, which cannot be imported ({error}); {_REMEDY}", name="sksparse"
        ) from error
    if not (hasattr(cholmod, "Factor") or hasattr(cholmod, "CholeskyFactor")):
        raise MissingLibraryError(
            f"CholmodFactor needs scikit-sparse 0.4.16 or 0.5, got another version; {_REMEDY}", name="sksparse"
        )
    module: ModuleType = cholmod
    return module
