"""Rows of linear constraints ``C x = c``: whether they are independent, and an orthonormal basis of their span."""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._tall_qr import tall_qr
from sparsegmrf.typing import BoolArray, FloatArray, IntArray

DEPENDENT = 1e-10
"""A row of unit length that the others leave less of than this counts as dependent on them."""
_FIXED = 1e-12
_AGREE = 1e-8


@dataclass(frozen=True, eq=False)
class ConstraintRows:
    """Linearly independent rows ``C``, ``(k, n)``, as ``D^-1 C = R^T U`` with their lengths ``D``.

    Attributes
    ----------
    basis : ndarray, (k, n)
        Orthonormal rows ``U``.
    triangle : ndarray, (k, k)
        Upper triangular ``R``, of the rows in `order`.
    order : ndarray, (k,)
        Order of the rows, the largest remainder first.
    lengths : ndarray, (k,)
        Euclidean lengths ``D`` of the rows.
    """

    basis: FloatArray
    triangle: FloatArray
    order: IntArray
    lengths: FloatArray

    @classmethod
    def of(cls, C: FloatArray, values: FloatArray | None = None) -> "ConstraintRows":
        """Return the rows of ``C``; with the `values` of ``C x`` a message tells whether dependent rows contradict.

        Raises
        ------
        ArgumentError
            If a row is zero or depends on others.
        """
        lengths = np.linalg.norm(C, axis=1)
        if not lengths.all():
            row = int(np.argmin(lengths))
            raise ArgumentError(f"C must have a weight that is not zero in every row, got none in row {row}.")
        with one_blas_thread():
            q, r = tall_qr((C / lengths[:, np.newaxis]).T)
            turn, r, order = scipy.linalg.qr(r, pivoting=True)
            basis = np.ascontiguousarray((q @ turn).T)
        left = np.abs(np.diagonal(r))
        rank = int(np.count_nonzero(left > DEPENDENT))
        if rank < len(C):
            _refuse_dependent(r, order, rank, lengths, values)
        return cls(basis, r, order.astype(np.int64), lengths)

    @property
    def log_gram(self) -> float:
        """``logdet(C C^T)``."""
        return 2.0 * float(np.log(np.abs(np.diagonal(self.triangle))).sum() + np.log(self.lengths).sum())

    def in_basis(self, values: FloatArray) -> FloatArray:
        """Return ``U x`` where ``C x`` is `values`, ``(..., k)``."""
        scaled = (values / self.lengths)[..., self.order]
        solved = scipy.linalg.solve_triangular(self.triangle, scaled.reshape(-1, len(self.order)).T, trans="T")
        return np.asarray(solved.T.reshape(scaled.shape))

    def fixed(self) -> BoolArray:
        """Return which unknowns the constraints determine by themselves: unit vectors in their span, ``(n,)``."""
        fixed: BoolArray = np.einsum("kn,kn->n", self.basis, self.basis) > 1.0 - _FIXED
        return fixed


def _refuse_dependent(
    r: FloatArray, order: IntArray, rank: int, lengths: FloatArray, values: FloatArray | None
) -> None:
    """Say which row depends on others, and whether it contradicts them."""
    k = len(lengths)
    if rank == 0 or len(r) < k:
        raise ArgumentError(f"C must have fewer rows than there are unknown pixels, got {k} rows for {len(r)}.")
    row = int(order[rank])
    share = scipy.linalg.solve_triangular(r[:rank, :rank], r[:rank, rank])
    others = order[:rank]
    used = np.flatnonzero(np.abs(share) > _AGREE)
    among = ", ".join(str(each) for each in sorted(int(others[each]) for each in used))
    message = (
        f"C must have linearly independent rows, got {rank} independent ones of {k}: row {row} is a combination of "
        f"{among}"
    )
    if values is None:
        raise ArgumentError(f"{message}; leave it out.")
    implied = float(lengths[row] * (share @ (values / lengths)[others]))
    size = float(lengths[row] * (np.abs(share) @ np.abs(values / lengths)[others])) + abs(float(values[row]))
    if abs(implied - float(values[row])) > _AGREE * size:
        raise ArgumentError(
            f"{message}, which make its value {implied:.6g}, but c says {float(values[row]):.6g}: no image fulfils "
            "both; correct c, or leave the row out."
        )
    raise ArgumentError(f"{message} and says the same; leave it out.")
