"""Dense Cholesky factor: the oracle, for tests and tiny images."""

import numpy as np
import scipy.linalg

from sparsegmrf._edges import along
from sparsegmrf.errors import TooLargeError
from sparsegmrf.factors._factor import Factor
from sparsegmrf.factors._matrix import Matrix, matrix_of, not_positive, structure_of
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, Shape

LARGEST = 4096


class DenseFactor(Factor):
    """Dense factor ``Q = L L^T`` with ``A = L^T``; refuses more than 4096 unknowns.

    Parameters
    ----------
    precision : SymmetricStencil, TriangularStencil or scipy sparse array
        The precision, or with a `TriangularStencil` the whitening matrix ``A`` of ``Q = A^T A``.
    shape : (int, int), optional
        Height and width; needed with a sparse array only, whose selected inverse then has the centre only.
    channels : int, optional
        Unknowns per pixel of a sparse array (1 if not given); a stencil knows its own.

    Raises
    ------
    ArgumentError
        If `shape` or `channels` are not the stencil's own, or `shape` is missing.
    TooLargeError
        Beyond 4096 unknowns: the dense matrix would hold more than 4096^2 numbers.
    NotPositiveDefiniteError
        If a pivot is not positive; carries the pixel and the pivot.
    """

    method = "dense"

    def __init__(
        self,
        precision: Matrix,
        shape: Shape | None = None,
        *,
        channels: int | None = None,
    ) -> None:
        self._lattice, self._offsets, self._boundary = structure_of(precision, shape, channels)
        size = self._lattice.size
        if size > LARGEST:
            raise TooLargeError(
                f"DenseFactor takes at most {LARGEST} unknowns, got {size}; it is for tests and tiny images, "
                "use another method."
            )
        self._L = _cholesky(matrix_of(precision, self._lattice).toarray(), self._lattice)

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._lattice

    @property
    def logdet(self) -> float:
        """Log-determinant of ``Q``."""
        return 2.0 * float(np.log(np.diagonal(self._L)).sum())

    @property
    def nbytes(self) -> int:
        """Bytes of the dense factor."""
        return self._L.nbytes

    def covariance(self) -> FloatArray:
        """Return the dense covariance ``Q^-1``, ``(n, n)``."""
        inverse = scipy.linalg.solve_triangular(self._L, np.eye(self._lattice.size), lower=True)
        return np.asarray(inverse.T @ inverse)

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances on the precision's offsets as a stencil."""
        lattice = self._lattice
        (height, width), channels = lattice.shape, lattice.channels
        dense = self.covariance().reshape(height, width, channels, height, width, channels)
        planes = np.zeros((len(self._offsets), height, width, channels, channels))
        for plane, (di, dj) in zip(planes, self._offsets.tolist(), strict=True):
            leaving = along((di, dj), self._boundary, "dirichlet")
            rows, columns = np.mgrid[lattice.with_neighbour(leaving)]
            plane[rows, columns] = dense[rows, columns, :, (rows + di) % height, (columns + dj) % width, :]
        return SymmetricStencil._from_planes(self._offsets, planes, lattice, self._boundary)

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        return np.ascontiguousarray(x @ self._L)

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        return np.ascontiguousarray(scipy.linalg.solve_triangular(self._L, e.T, lower=True, trans="T").T)

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return np.ascontiguousarray(scipy.linalg.cho_solve((self._L, True), b.T).T)


def _cholesky(matrix: FloatArray, lattice: Lattice) -> FloatArray:
    factor, info = scipy.linalg.lapack.dpotrf(matrix, lower=True, clean=True)
    if info > 0:
        column = info - 1
        pivot = float(matrix[column, column] - factor[column, :column] @ factor[column, :column])
        raise not_positive(lattice, column, pivot)
    return np.ascontiguousarray(factor)
