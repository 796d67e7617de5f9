"""CHOLMOD through scikit-sparse: for any sparse positive definite matrix, and the cross-check of the other factors."""

from functools import cached_property, partial

import numpy as np
import scipy.sparse as sp

from sparsegmrf import _frozen, _threads
from sparsegmrf._edges import along, has
from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._factor import Factor
from sparsegmrf.factors._matrix import Matrix, matrix_of, not_positive, structure_of
from sparsegmrf.factors._scikit_sparse import Analysis, IndefiniteError, Numbers, analyse
from sparsegmrf.kernels import takahashi
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil
from sparsegmrf.stencil._coefficients import drop_off_image
from sparsegmrf.typing import Boundary, FloatArray, IntArray, Shape

ORDERINGS = ("default", "best", "amd", "colamd", "metis", "nesdis", "natural")
_ROWS = 64


class CholmodFactor(Factor):
    """Sparse factor ``P Q P^T = L L^T``, ``A = L^T P``, by CHOLMOD.

    Needs scikit-sparse (``pip install "sparsegmrf[cholmod]"`` and the system package ``libsuitesparse-dev``). The
    speed is that of the BLAS which CHOLMOD is linked to; with the reference BLAS it is about a third.

    Parameters
    ----------
    precision : SymmetricStencil, TriangularStencil or scipy sparse array
        The precision, or with a `TriangularStencil` the whitening matrix ``A`` of ``Q = A^T A``. A sparse array may
        have any symmetric pattern; its selected inverse has the centre only.
    shape : (int, int), optional
        Height and width in pixels; with a sparse array only.
    channels : int, optional
        Unknowns per pixel; with a sparse array only (1 if not given).
    ordering : {"default", "best", "amd", "colamd", "metis", "nesdis", "natural"}
        Fill-reducing ordering as CHOLMOD names it; ``"default"`` leaves the choice to CHOLMOD.

    Raises
    ------
    MissingLibraryError
        If scikit-sparse 0.4.16 or 0.5 is not installed.
    ArgumentError
        If a sparse array is not of the size of `shape`, not symmetric, or has entries that are not finite.
    NotPositiveDefiniteError
        If a pivot is not positive; carries the pixel and the pivot.

    References
    ----------
    Y. Chen, T. A. Davis, W. W. Hager, S. Rajamanickam (2008), Algorithm 887: CHOLMOD, ACM TOMS 35(3), 22. Selected
    inverse: K. Takahashi, J. Fagan, M.-S. Chin (1973), Formation of a sparse bus impedance matrix.

    Examples
    --------
    >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (3, 3))
    >>> factor = CholmodFactor(stencil)  # doctest: +SKIP
    >>> round(factor.logdet, 6)  # doctest: +SKIP
    11.799454
    """

    method = "cholmod"
    _offsets: IntArray
    _boundary: Boundary
    _lattice: Lattice
    _analysis: Analysis
    _pattern: tuple[IntArray, IntArray]
    _numeric: Numbers
    _order: IntArray
    _logdet: float

    def __init__(
        self,
        precision: Matrix,
        shape: Shape | None = None,
        *,
        channels: int | None = None,
        ordering: str = "default",
    ) -> None:
        lattice, offsets, boundary = structure_of(precision, shape, channels)
        matrix = _by_columns(matrix_of(precision, lattice))
        analysis = analyse(matrix, one_of("ordering", ordering, ORDERINGS))
        pattern = (matrix.indptr, matrix.indices)
        _frozen.assign(self, _offsets=offsets, _boundary=boundary, _lattice=lattice)
        _frozen.assign(self, _analysis=analysis, _pattern=pattern)
        _frozen.assign(self, **_numbers(analysis, matrix, lattice))

    def refactorize(self, precision: Matrix) -> "CholmodFactor":
        """Factorize other values on the same pattern, with the ordering and analysis kept.

        Parameters
        ----------
        precision : SymmetricStencil, TriangularStencil or scipy sparse array
            As for the constructor, of the same kind, shape, offsets and pattern.

        Returns
        -------
        CholmodFactor
            A new factor; this one stays as it is.

        Raises
        ------
        ArgumentError
            If the pattern differs.
        NotPositiveDefiniteError
            If a pivot is not positive.
        """
        stencil = isinstance(precision, SymmetricStencil | TriangularStencil)
        own = (None, None) if stencil else (self.shape, self._lattice.channels)
        lattice, offsets, boundary = structure_of(precision, *own)
        matrix = _by_columns(matrix_of(precision, lattice))
        same = (lattice, boundary) == (self._lattice, self._boundary) and np.array_equal(offsets, self._offsets)
        arrays = zip((matrix.indptr, matrix.indices), self._pattern, strict=True)
        if not (same and all(np.array_equal(new, old) for new, old in arrays)):
            raise ArgumentError(
                f"precision must have the pattern this factor was analysed for ({self._lattice}, "
                f"{len(self._pattern[1])} entries), got {lattice} and {matrix.nnz} entries; make a new CholmodFactor."
            )
        names = ("_offsets", "_boundary", "_lattice", "_analysis", "_pattern")
        kept = {name: getattr(self, name) for name in names}
        return _frozen.make(CholmodFactor, **kept, **_numbers(self._analysis, matrix, lattice))

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._lattice

    @property
    def permutation(self) -> IntArray:
        """Unknowns in the order of elimination: row ``k`` of ``P`` picks unknown ``permutation[k]``."""
        return self._order

    @property
    def logdet(self) -> float:
        """Log-determinant of ``Q``."""
        return self._logdet

    @cached_property
    def nbytes(self) -> int:
        """Bytes of ``L`` by columns: 8 per number, and row indices and column starts of 4 (8 beyond 2^31 entries).

        CHOLMOD's own copy, if supernodal, shares indices among columns but holds the upper triangles of the diagonal
        blocks too.
        """
        L = self._numeric.lower()
        return int(L.data.nbytes + L.indices.nbytes + L.indptr.nbytes)

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances on the precision's offsets as a stencil, by Takahashi's recursion."""
        L = self._columns
        indptr, indices = L.indptr, L.indices
        Z = np.empty_like(L.data)
        longest = int(np.diff(indptr).max())
        column = takahashi.invert_on_pattern(
            indptr, indices, L.data, Z, np.empty((longest, longest)), np.empty(longest)
        )
        if column >= 0:
            raise RuntimeError(f"CHOLMOD's factor lacks entries that column {column} fills in; please report this.")
        (height, width), channels = self.shape, self._lattice.channels
        planes = np.zeros((len(self._offsets), self._lattice.n_pixels * channels**2))
        around = has(self._boundary, "torus")
        place = np.argsort(self._order).astype(np.int64)

        def fill(plane: FloatArray, di: int, dj: int, first: int, last: int) -> None:
            unknown = takahashi.fill_plane(
                first, last, height, width, channels, di, dj, around, place, indptr, indices, Z, plane
            )
            if unknown >= 0:
                raise RuntimeError(f"CHOLMOD's factor lacks an entry of unknown {unknown}; please report this.")

        blocks = _threads.ranges(height, _ROWS)
        _threads.run(
            [
                partial(fill, plane, di, dj, first, last)
                for plane, (di, dj) in zip(planes, self._offsets.tolist(), strict=True)
                for first, last in blocks
            ]
        )
        for plane, (di, dj) in zip(planes, self._offsets.tolist(), strict=True):
            leaving = along((di, dj), self._boundary, "dirichlet")
            drop_off_image(plane.reshape(*self.shape, channels, channels), leaving, self._lattice)
        return SymmetricStencil._from_planes(self._offsets, planes, self._lattice, self._boundary)

    @cached_property
    def _columns(self) -> sp.csc_matrix:
        """``L`` by columns with sorted rows; a copy in addition to CHOLMOD's own."""
        return self._numeric.lower()

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        return np.ascontiguousarray((self._columns.T @ x[:, self._order].T).T)

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        field = self._numeric.solve_transposed(e.T)
        result = np.empty(e.shape)
        result[:, self._order] = field.T
        return result

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return np.ascontiguousarray(self._numeric.solve(b.T).T)


def _numbers(analysis: Analysis, matrix: sp.csc_matrix, lattice: Lattice) -> dict[str, object]:
    """Return the numeric factor, its permutation and log-determinant as attributes."""
    try:
        numeric = analysis.factorized(matrix)
    except IndefiniteError as error:
        raise not_positive(lattice, error.unknown, error.pivot) from None
    order, pivots = numeric.order, numeric.pivots
    # A simplicial L D L^T runs on over negative pivots.
    if not (pivots > 0.0).all():
        column = int(np.argmin(pivots > 0.0))
        raise not_positive(lattice, int(order[column]), float(pivots[column]))
    order.flags.writeable = False
    return {"_numeric": numeric, "_order": order, "_logdet": float(np.log(pivots).sum())}


def _by_columns(matrix: sp.csr_array) -> sp.csc_matrix:
    """Return a symmetric matrix as CHOLMOD takes it, without a copy."""
    # Its rows are its columns; scikit-sparse takes only the old matrix class without a warning.
    columns = sp.csc_matrix((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape, copy=False)
    columns.has_sorted_indices = True
    return columns
