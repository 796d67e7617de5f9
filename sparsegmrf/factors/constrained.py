"""Factor of a field under linear constraints, by conditioning the field's own factor on them (kriging)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import finite, images, read_only
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._constraint_rows import ConstraintRows
from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._form import Form
from sparsegmrf.factors._low_rank import minus_products
from sparsegmrf.factors._tall_qr import tall_qr
from sparsegmrf.factors.choose import Precision, stencil_of
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray

_IDENTIFIED = 1e-8
"""Smallest singular value of ``U V`` at which the constraints are taken to fix the null space."""


@dataclass(frozen=True, eq=False)
class ConstrainedForm(Form):
    """Precision of a field and the rows of linear constraints on it.

    Attributes
    ----------
    base : SymmetricStencil, TriangularStencil, Form or scipy sparse array
        Precision of the field without constraints, as `factorize` takes it.
    grid : Lattice
        Its lattice.
    C : ndarray, (k, H, W) or (k, H, W, C)
        Rows of the constraints, as images.
    """

    base: Precision
    grid: Lattice
    C: FloatArray

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self.grid

    @property
    def parts(self) -> tuple[Precision]:
        """The precision of the field without constraints."""
        return (self.base,)

    @property
    def stencil(self) -> SymmetricStencil:
        """The precision of the field without constraints: its quadratic form is that of the constrained one, too."""
        return stencil_of(self.base, self.grid)

    def factor(self, factorize: Callable[..., Factor], method: Method) -> "ConstrainedFactor":
        """Return the factor made of that of the field without constraints."""
        base = factorize(self.base, shape=self.grid.shape, channels=self.grid.channels)
        return ConstrainedFactor(base, self.C)


class ConstrainedFactor(Factor):
    """Factor of ``N(0, Q^-1)`` given ``C x = 0``: covariance ``S = G - G C^T (C G C^T)^-1 C G`` with ``G = Q^-1``.

    With whitened constraints ``W = A^-T C^T`` and an orthonormal basis ``Z`` of their columns, a symmetric reflection
    ``H`` takes ``Z`` to ``k`` unit vectors: `whiten` is ``H A x``, in which ``k`` pinned unknowns are zero and the
    others white, and `unwhiten` puts zeros there. ``solve(b)`` is ``S b``; `logdet` is minus the sum of the logarithms
    of the positive eigenvalues of ``S``, so that `whiten` and `logdet` give the density on ``C x = 0``.

    With a null space ``V`` of ``Q`` (``G = Q^+``) as many combinations of the constraints as it has vectors fix it, and
    the others do not see it; the projection ``T = I - V (C_1 V)^-1 C_1`` makes the first ones hold.

    Parameters
    ----------
    base : Factor
        Factor of the field without constraints.
    C : array_like, (k, H, W) or (k, H, W, C), or ConstraintRows
        Linearly independent constraints, dimensionless. Unknowns outside the domain are held at zero, whatever their
        weights; rows that were read are zero there.

    Raises
    ------
    ArgumentError
        If a row is zero in the domain, rows depend on each other, nothing is left free, or the null space is not fixed.

    References
    ----------
    H. Rue, L. Held, Gaussian Markov Random Fields (2005), section 2.3.3, eqs. 2.30 to 2.32.

    Examples
    --------
    >>> from sparsegmrf.factors import DenseFactor
    >>> factor = ConstrainedFactor(DenseFactor(SymmetricStencil([(0, 0)], [1.0], (1, 2))), [[[1.0, 1.0]]])
    >>> factor.marginal_variance().round(12).tolist(), factor.rank
    ([[0.5, 0.5]], 1)
    """

    method = "constrained"

    def __init__(self, base: Factor, C: ArrayLike | ConstraintRows) -> None:
        if base.rank + base.rank_deficiency != base.lattice.n_free:
            raise ArgumentError(
                f"base must be a factor whose null space is known, got {type(base).__name__} of rank {base.rank} for "
                f"{base.lattice.n_free} unknowns; constrain the unconstrained field, with all constraints together."
            )
        self._base = base
        self._rows = C if isinstance(C, ConstraintRows) else _rows(C, base.lattice)
        self._fixed = self._rows.fixed()
        with one_blas_thread():
            self._split(base.null_vectors)
            self._reflect()

    def _split(self, V: sp.csr_array) -> None:
        """Rotate the basis of the constraints: the first ones fix the null space, the others do not see it."""
        U, r = self._rows.basis, V.shape[1]
        if len(U) >= self._base.rank + r:
            raise ArgumentError(
                f"C must leave something unknown, got {len(U)} independent rows for {self._base.rank + r} unknowns."
            )
        seen = np.asarray((V.T @ U.T).T)
        least = float(np.linalg.svd(seen, compute_uv=False)[r - 1]) if 0 < r <= len(U) else 0.0
        if r and least < _IDENTIFIED:
            raise ArgumentError(
                f"C must fix the {r} null vectors of the field (its level on every connected part), but its {len(U)} "
                f"rows of unit length see them with a smallest singular value of {least:.2g}; add constraints such as "
                "a sum, or condition the field on observations first."
            )
        rotation, corner = scipy.linalg.qr(seen) if r else (np.eye(len(U)), np.zeros((0, 0)))
        self._rotation: FloatArray = rotation
        rotated = np.einsum("kj,kn->jn", rotation, U)
        self._level, self._others = rotated[:r], rotated[r:]
        self._V = np.ascontiguousarray(V.T.toarray())
        self._fix = np.linalg.inv(corner[:r])
        self._log_level = float(np.log(np.abs(np.diagonal(corner))).sum())

    def _reflect(self) -> None:
        """Whiten the constraints that do not see the null space, and find the reflection that pins them."""
        W = self._base.whiten_vectors(read_only(self._base.solve_vectors(read_only(self._others))))
        q, triangle = tall_qr(W.T)
        self._log_seen = float(np.log(np.abs(np.diagonal(triangle))).sum())
        # Any unknowns that hold a white number will do: rows of q that are not zero.
        self._pins = np.sort(np.argsort(-np.einsum("nk,nk->n", q, q), kind="stable")[: len(W)])
        left, _, right = np.linalg.svd(q[self._pins])
        turn = right.T @ left.T  # then the pinned rows of Z are symmetric and positive semi-definite
        Z = np.ascontiguousarray((q @ turn).T)
        self._half = np.linalg.inv(np.eye(len(W)) + Z[:, self._pins])
        self._images = self._base.unwhiten_vectors(read_only(Z))
        self._gain = turn.T @ np.linalg.inv(triangle.T)  # U_2 of these images is triangle^T turn
        Z[np.arange(len(W)), self._pins] += 1.0
        self._mirror = Z

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._base.lattice

    @property
    def base(self) -> Factor:
        """Factor of the field without constraints."""
        return self._base

    @property
    def rank(self) -> int:
        """Number of directions that stay free: unknowns in the domain less constraints."""
        return self._base.rank - len(self._others)

    @property
    def pinned(self) -> BoolArray:
        """Which unknowns hold no white number because of the constraints, as an image."""
        pinned = np.zeros(self.lattice.size, dtype=bool)
        pinned[self._pins] = True
        return pinned.reshape(self.lattice.image_shape)

    @property
    def logdet(self) -> float:
        """Minus the sum of the logarithms of the positive eigenvalues of the covariance, in nats."""
        return self._base.logdet + 2.0 * (self._log_seen + self._log_level)

    @property
    def nbytes(self) -> int:
        """Bytes of the base factor and of the images of the constraints."""
        held = (self._rows.basis, self._level, self._others, self._V, self._images, self._mirror)
        return self._base.nbytes + sum(array.nbytes for array in held)

    def mean_given(self, values: ArrayLike) -> FloatArray:
        """Return the mean of the field given ``C x = values``, the image nearest zero in the sense of ``Q``.

        Parameters
        ----------
        values : array_like, (k,)
            In intensity; of the part of ``C x`` that is in the domain.
        """
        given = self._rotation.T @ self._rows.in_basis(np.asarray(values, dtype=np.float64))
        r = len(self._level)
        field = np.zeros((1, self.lattice.size))
        for _ in range(2):  # once more takes off what rounding left
            missing = given - np.einsum("kn,n->k", np.concatenate([self._level, self._others]), field[0])
            step = np.einsum("k,kn->n", self._gain @ missing[r:], self._images)
            level = self._fix @ (missing[:r] - np.einsum("rn,n->r", self._level, step))
            field += step + np.einsum("r,rn->n", level, self._V)
        return field.reshape(self.lattice.image_shape)

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances under the constraints on the precision's own offsets as a stencil."""
        return minus_products(self._base.selected_inverse(), *self._products, zero=self._fixed)

    def marginal_variance(self) -> FloatArray:
        """Return the diagonal of the covariance as an image, in intensity^2; zero where the constraints fix a pixel."""
        left, right = self._products
        variance = self._base.marginal_variance().ravel() - np.einsum("mn,mn->n", left, right)
        variance[self._fixed] = 0.0
        return np.asarray(variance.reshape(self.lattice.image_shape))

    @property
    def relative_error(self) -> float:
        """Bound on the error of variances relative to themselves: what base variances have of theirs, to what is left.

        See `Factor.relative_error`.
        """
        error = self._base.relative_error
        if error == 0.0:
            return 0.0
        left, of_base = self.marginal_variance().ravel(), self._base.marginal_variance().ravel()
        free = left > 0.0
        return float(error * np.max(of_base[free] / left[free], initial=0.0))

    @cached_property
    def _products(self) -> tuple[FloatArray, FloatArray]:
        """Images ``a_m``, ``b_m`` with ``S = G - sum_m a_m b_m^T``.

        ``T X T^T = X - V N^T - N V^T`` with ``N = E - V F / 2``, ``E = X C_1^T (C_1 V)^-T``, ``F = (C_1 V)^-1 C_1 E``.
        """
        K, V = self._images, self._V
        if not len(V):
            return K, K
        X = self._base.solve_vectors(read_only(self._level)) - np.einsum(
            "rk,kn->rn", np.einsum("rn,kn->rk", self._level, K), K
        )
        E = self._fix @ X
        N = E - 0.5 * (self._fix @ (self._level @ E.T)).T @ V
        return np.concatenate([K, V, N]), np.concatenate([K, N, V])

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        white = self._mirrored(np.array(self._base.whiten_vectors(x)))
        white[:, self._pins] = 0.0
        return white

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        return self.unwhiten_in_place(np.array(e))

    def unwhiten_in_place(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``; `e` may be overwritten."""
        e[:, self._pins] = 0.0
        field = np.array(self._base.unwhiten_in_place(self._mirrored(e)))
        # What rounding left of the constraints is taken off by kriging.
        left = np.einsum("kn,bn->bk", self._others, field)
        field -= np.einsum("bk,kn->bn", left @ self._gain.T, self._images)
        return self._with_level(field)

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        seen = np.einsum("rn,bn->br", self._V, b) @ self._fix
        right = b - np.einsum("br,rn->bn", seen, self._level)
        solved = self._base.solve_vectors(read_only(right))
        solved = solved - np.einsum("bk,kn->bn", np.einsum("kn,bn->bk", self._images, right), self._images)
        return self._with_level(solved)

    def _with_level(self, x: FloatArray) -> FloatArray:
        """Return ``T x``."""
        if not len(self._V):
            return x
        level = np.einsum("rn,bn->br", self._level, x) @ self._fix.T
        return np.asarray(x - np.einsum("br,rn->bn", level, self._V))

    def _mirrored(self, e: FloatArray) -> FloatArray:
        """Return ``H e`` with ``H = I - Y (I + Z_S)^-1 Y^T``, ``Y = Z + E_S``; `e` is overwritten."""
        seen = np.einsum("kn,bn->bk", self._mirror, e) @ self._half
        e -= np.einsum("bk,kn->bn", seen, self._mirror)
        return e


def _rows(C: ArrayLike, lattice: Lattice) -> ConstraintRows:
    """Return constraints on the unknowns in the domain."""
    rows = finite("C", images("C", C, lattice.image_shape)).reshape(-1, lattice.size)
    return ConstraintRows.of(np.where(lattice.outside, 0.0, rows))
