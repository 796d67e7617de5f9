"""Factor of a positive semi-definite precision: as many pixels deleted as there are null vectors, then projected."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import SuperLU, splu

from sparsegmrf import _frozen
from sparsegmrf._validate import read_only
from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.lattice import Lattice, at_neighbours
from sparsegmrf.linalg._composite import CompositeForm
from sparsegmrf.linalg._factor import Factor
from sparsegmrf.linalg._null_space import NullSpace, largest_row
from sparsegmrf.linalg.choose import factorize
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, IntArray, Offset


@dataclass(frozen=True, eq=False)
class IntrinsicForm(CompositeForm):
    """Positive semi-definite precision and its null space.

    Attributes
    ----------
    precision : SymmetricStencil
        ``Q`` in 1/intensity^2.
    null_space : NullSpace
        As `NullSpace.of` makes it.
    """

    precision: SymmetricStencil
    null_space: NullSpace

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self.precision.lattice

    @property
    def stencil(self) -> SymmetricStencil:
        """The precision as a stencil."""
        return self.precision

    @property
    def offsets(self) -> IntArray:
        """Offsets of the stencil."""
        return self.precision.offsets

    @property
    def parts(self) -> tuple[SymmetricStencil]:
        """The precision with pixels deleted."""
        return (self.rest,)

    @cached_property
    def pins(self) -> IntArray:
        """Unknowns ``S``, one per null vector."""
        return self.null_space.pins()

    @cached_property
    def pinned(self) -> BoolArray:
        """Unknowns that hold no white number, ``(n,)``: those of ``S`` and those outside the domain."""
        pinned = self.null_space.outside.copy()
        pinned[self.pins] = True
        return pinned

    @property
    def rest(self) -> SymmetricStencil:
        """The precision with the rows and columns of pinned unknowns replaced by the identity."""
        return decoupled(self.precision, self.pinned.reshape(self.lattice.image_shape))

    def times(self, number: float) -> "IntrinsicForm":
        """Return ``number * Q``."""
        return IntrinsicForm(self.precision * number, self.null_space)

    def factor(self, factorize: Callable[[Any], Factor]) -> "IntrinsicFactor":
        """Return the factor made of that of the precision with pixels deleted."""
        return IntrinsicFactor._of(self, factorize)


_SINGULAR = 8.0 * float(np.finfo(np.float64).eps)
"""Smallest Rayleigh quotient off the null space, relative to the norm of ``Q``, that is told from zero."""


class IntrinsicFactor(Factor):
    """Factor of a positive semi-definite ``Q`` with null space ``V`` (orthonormal), by deleting pixels.

    With ``r`` pinned unknowns ``S``: ``pdet Q = det Q_rest / det(V_S)^2``, where ``Q_rest`` has the rows and columns of
    ``S`` replaced by the identity. The covariance ``G`` of the field that is zero on ``S`` is a generalized inverse,
    and ``P G P`` with ``P = I - V V^T`` the pseudo-inverse. `whiten` takes off the null vectors that fit the pinned
    unknowns and holds zeros there; the other ``n - r`` numbers are white. `unwhiten` ignores what stands at pinned
    unknowns and gives an image orthogonal to the null space. Unknowns outside the domain are held at zero.

    Parameters
    ----------
    precision : SymmetricStencil
        ``Q`` in 1/intensity^2.
    null_space : {"constants", "planes"} or array_like, (r, H, W) or (r, H, W, C)
        Images that span the null space on every connected part, as for `IntrinsicGMRF`.
    method : str
        How to factorize ``Q_rest``, as for `factorize`.
    domain : array_like of bool, (H, W), optional
        Pixels of the field, as for `IntrinsicGMRF`.

    Raises
    ------
    ArgumentError
        If the null space is not one.
    NotPositiveDefiniteError
        If ``Q`` has a direction off the null space whose quadratic form is not positive.

    References
    ----------
    H. Rue, L. Held, Gaussian Markov Random Fields (2005), chapter 3.

    Examples
    --------
    >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (4, 4), boundary="neumann")
    >>> factor = IntrinsicFactor(stencil)
    >>> round(factor.logdet, 9), factor.rank
    (14.289028007, 15)
    """

    method = "intrinsic"

    def __init__(
        self,
        precision: SymmetricStencil,
        null_space: "str | ArrayLike" = "constants",
        method: str = "auto",
        *,
        domain: ArrayLike | None = None,
    ) -> None:
        form = IntrinsicForm(precision, NullSpace.of(precision, null_space, domain))
        self._build(form, lambda rest: factorize(rest, method))

    @classmethod
    def _of(cls, form: IntrinsicForm, factorize: Callable[[Any], Factor]) -> "IntrinsicFactor":
        factor = _frozen.make(cls)
        factor._build(form, factorize)
        return factor

    def _build(self, form: IntrinsicForm, factorize: Callable[[Any], Factor]) -> None:
        self._null, self._precision = form.null_space, form.stencil
        self._pins, self._pinned = form.pins, form.pinned
        self._V_S: SuperLU | None = splu(sp.csc_array(self._null.vectors[self._pins])) if len(self._pins) else None
        self._inner = self._factorize(form.rest, factorize)
        self._check_definite()

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._precision.lattice

    @property
    def rank(self) -> int:
        """Number of positive eigenvalues of ``Q``: unknowns of the field less null vectors."""
        return int(np.count_nonzero(~self._null.outside)) - self._null.rank

    @property
    def null_space(self) -> NullSpace:
        """The null space."""
        return self._null

    @property
    def inner(self) -> Factor:
        """Factor of ``Q_rest``."""
        return self._inner

    @property
    def pinned(self) -> BoolArray:
        """Which unknowns hold no white number: the pinned ones, and those outside the domain."""
        return self._pinned.reshape(self.lattice.image_shape).copy()

    @property
    def logdet(self) -> float:
        """Generalized log-determinant: the sum of the logarithms of the positive eigenvalues, in nats."""
        if self._V_S is None:
            return self._inner.logdet
        pivots = np.abs(np.concatenate([self._V_S.L.diagonal(), self._V_S.U.diagonal()]))
        return self._inner.logdet - 2.0 * float(np.log(pivots).sum())

    @property
    def nbytes(self) -> int:
        """Bytes of the inner factor and of the null vectors."""
        V = self._null.vectors
        return self._inner.nbytes + int(V.data.nbytes + V.indices.nbytes + V.indptr.nbytes)

    def project(self, x: ArrayLike) -> FloatArray:
        """Return ``P x``: the image without its part in the null space, and zero outside the domain."""
        return self._on_images("x", x, self._null.project)

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances under the constraint, ``P G P``, on the precision's offsets as a stencil."""
        selected, lattice = self._inner.selected_inverse(), self.lattice
        torus = selected.boundary == "torus"
        grid = (*lattice.shape, lattice.channels, lattice.channels)
        planes = np.empty((len(selected.offsets), *grid))
        identity = self._pinned.reshape(grid[:3])[..., np.newaxis] * np.eye(lattice.channels)
        for k, (di, dj) in enumerate(selected.offsets.tolist()):
            planes[k] = selected.plane(k).reshape(grid) + self._correction((di, dj))
            selected._drop_off_image(planes[k], k)
            if (di % lattice.shape[0], dj % lattice.shape[1]) == (0, 0) and (torus or not k):
                planes[k] -= identity
        return selected._with_planes(planes)

    def marginal_variance(self) -> FloatArray:
        """Return the diagonal of ``P G P`` as an image, in intensity^2."""
        diagonal = self._inner.marginal_variance().ravel() - self._pinned
        diagonal += 2.0 * np.einsum("dn,dn->n", self._null.basis, self._mixed)
        return diagonal.reshape(self.lattice.image_shape)

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        shifted = np.array(x)
        if self._V_S is not None:  # x - V V_S^-1 x_S is zero on S and has the same quadratic form
            shifted -= (self._null.vectors @ self._V_S.solve(np.ascontiguousarray(x[:, self._pins].T))).T
        shifted[:, self._pinned] = 0.0
        return self._inner.whiten_vectors(read_only(shifted))

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        # Pinned unknowns are decoupled: whatever white number went into them, the rest has its own.
        field = np.array(self._inner.unwhiten_in_place(np.array(e)))
        field[:, self._pinned] = 0.0
        return self._null.project(field)

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return self._null.project(self._generalized_inverse(self._null.project(b)))

    def _generalized_inverse(self, b: FloatArray) -> FloatArray:
        """Return ``G b``, which is zero on the pinned unknowns."""
        held = np.array(b)
        held[:, self._pinned] = 0.0
        return self._inner.solve_vectors(read_only(held))

    @cached_property
    def _mixed(self) -> FloatArray:
        """Images ``N`` with ``P G P - G = V N^T + N V^T`` on each part: ``N = -G V + V (V^T G V) / 2``."""
        null = self._null
        GV = self._generalized_inverse(null.basis)
        mixed = -GV
        inner = null.products(null.basis, GV)
        for first, second in np.ndindex(inner.shape[1:]):
            mixed[second] += 0.5 * inner[null.labels, first, second] * null.basis[first]
        return mixed

    def _correction(self, offset: Offset) -> FloatArray:
        """Return the plane of ``V N^T + N V^T`` at an offset, its border wrapped."""
        lattice, null = self.lattice, self._null
        grid = (*lattice.shape, lattice.channels)
        here = null.labels.reshape(grid)[..., :, np.newaxis]
        there = at_neighbours(null.labels.reshape(grid), offset)[..., np.newaxis, :]
        plane = np.zeros((*grid, lattice.channels))
        for v, n in zip(null.basis.reshape(-1, *grid), self._mixed.reshape(-1, *grid), strict=True):
            v_there, n_there = (at_neighbours(image, offset)[..., np.newaxis, :] for image in (v, n))
            plane += v[..., np.newaxis] * n_there + n[..., np.newaxis] * v_there
        return np.where(here == there, plane, 0.0)

    def _factorize(self, rest: SymmetricStencil, factorize: Callable[[Any], Factor]) -> Factor:
        try:
            return factorize(rest)
        except NotPositiveDefiniteError as error:
            raise NotPositiveDefiniteError(
                f"the precision is not positive definite off its null space of {self._null.rank} vectors: with as many "
                f"pixels deleted, pivot {error.pivot:g} at pixel {error.pixel}; give the whole null space, or correct "
                "the coefficients.",
                error.pixel,
                error.pivot,
            ) from None

    def _check_definite(self) -> None:
        """Refuse a further null vector, which may pass a factorization with a pivot of rounding errors.

        Two steps of inverse iteration find the direction that ``Q`` nearly sends to zero.
        """
        if self.rank == 0:
            return
        x = _unit(self._null.project(np.random.default_rng(0).standard_normal((1, self.lattice.size))))
        for _ in range(2):
            x = _unit(self.solve_vectors(x))
        image = x[0].reshape(self.lattice.image_shape)
        quotient = float(np.sum(image * (self._precision @ image)))
        if not quotient > _SINGULAR * largest_row(self._precision, self._null.outside):
            where = tuple(int(index) for index in np.unravel_index(np.argmax(np.abs(image)), image.shape))
            raise NotPositiveDefiniteError(
                f"the precision is not positive definite off its null space of {self._null.rank} vectors: a further "
                f"unit vector, largest at pixel {where}, has the quadratic form {quotient:.3g}; give the whole null "
                "space.",
                where,
                quotient,
            )


def _unit(x: FloatArray) -> FloatArray:
    """Return a vector over its length; the squares of a field in large units would be no numbers."""
    x = x / np.abs(x).max()
    return np.asarray(x / np.linalg.norm(x))
