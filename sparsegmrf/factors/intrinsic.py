"""Factor of a positive semi-definite precision: as many pixels deleted as there are null vectors, then projected."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import SuperLU, splu

from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._form import Form, on_offsets
from sparsegmrf.factors._null_space import NullSpace, largest_row
from sparsegmrf.factors.choose import factorize
from sparsegmrf.factors.restricted import RestrictedForm
from sparsegmrf.lattice import Lattice, at_neighbours
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, IntArray, Offset


@dataclass(frozen=True, eq=False)
class IntrinsicForm(Form):
    """Positive semi-definite precision and its null space.

    Attributes
    ----------
    precision : SymmetricStencil
        ``Q`` in 1/intensity^2.
    null : NullSpace
        Its null space, as `NullSpace.of` makes it.
    """

    precision: SymmetricStencil
    null: NullSpace

    @property
    def lattice(self) -> Lattice:
        """The pixel grid, with the domain of the field."""
        return self.null.lattice

    @property
    def null_vectors(self) -> sp.csr_array:
        """Orthonormal null vectors as columns, ``(n, r)``."""
        return self.null.vectors

    @property
    def of_ones(self) -> tuple[float | None, ...]:
        """Zero, where the null vectors of every part begin with a constant."""
        return (0.0 if self._has_free_levels else None,) * self.lattice.channels

    @property
    def levels(self) -> tuple[IntArray | None, ...]:
        """The connected parts, -1 outside the domain; None: there is one, everywhere."""
        if not self._has_free_levels or self._is_whole:
            return (None,) * self.lattice.channels
        inside = ~self.lattice.outside
        parts = np.full(self.lattice.size, -1, dtype=np.int64)
        parts[inside] = np.unique(self.null.labels[inside], return_inverse=True)[1]
        return (parts.reshape(self.lattice.shape),)

    @property
    def _is_whole(self) -> bool:
        """Whether all of the lattice is one part."""
        return self.lattice.is_complete and not self.null.labels.any()

    @cached_property
    def _has_free_levels(self) -> bool:
        """Whether the first null vector of every part is a constant; of unknowns stacked at a pixel it is not said."""
        if not len(self.null.basis) or self.lattice.channels > 1:
            return False
        first, inside = self.null.basis[0], ~self.lattice.outside
        if self._is_whole:
            return bool(np.ptp(first) <= _CONSTANT * abs(first[0]))
        at, part = np.unique(self.null.labels[inside], return_index=True, return_inverse=True)[1:]
        values = first[inside]
        return bool((np.abs(values - values[at][part]) <= _CONSTANT * np.abs(values)).all() and values.all())

    @property
    def stencil(self) -> SymmetricStencil:
        """The precision as a stencil."""
        return self.precision

    @property
    def parts(self) -> tuple[RestrictedForm]:
        """The precision with pixels deleted."""
        return (self.rest,)

    @cached_property
    def pins(self) -> IntArray:
        """Unknowns ``S``, one per null vector."""
        return self.null.pins()

    @property
    def rest(self) -> RestrictedForm:
        """The precision of the unknowns in the domain but ``S``."""
        free = np.array(self.domain)
        free.ravel()[self.pins] = False
        return RestrictedForm(decoupled(self.precision, ~free), self.lattice.restricted(free))

    def times(self, number: float) -> "IntrinsicForm":
        """Return ``number * Q``."""
        return IntrinsicForm(self.precision * number, self.null)

    def with_offsets(self, offsets: IntArray) -> "IntrinsicForm":
        """Return the same precision on more offsets."""
        return IntrinsicForm(on_offsets(self.precision, offsets), self.null)

    def factor(self, factorize: Callable[[Any], Factor], method: Method) -> "IntrinsicFactor":
        """Return the factor made of that of the precision with pixels deleted."""
        return IntrinsicFactor(self, method=method)


_CONSTANT = 1e-12
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
    precision : SymmetricStencil or IntrinsicForm
        ``Q`` in 1/intensity^2; a form knows its null space.
    null_space : {"constants", "planes"} or array_like, (r, H, W) or (r, H, W, C)
        Images that span the null space on every connected part, as for `IntrinsicGMRF`.
    method : str or callable
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
        precision: SymmetricStencil | IntrinsicForm,
        null_space: "str | ArrayLike" = "constants",
        method: Method = "auto",
        *,
        domain: ArrayLike | None = None,
    ) -> None:
        if isinstance(precision, IntrinsicForm):
            form = precision
        else:
            form = IntrinsicForm(precision, NullSpace.of(precision, null_space, domain))
        self._precision, self._null, self._pins = form.precision, form.null, form.pins
        V_S = form.null_vectors[form.pins]
        self._V_S: SuperLU | None = splu(sp.csc_array(V_S)) if len(form.pins) else None
        try:
            self._rest = factorize(form.rest, method)
        except NotPositiveDefiniteError as error:
            raise NotPositiveDefiniteError(
                f"the precision is not positive definite off its null space of {self._null.rank} vectors: with as many "
                f"pixels deleted, pivot {error.pivot:g} at pixel {error.pixel}; give the whole null space, or correct "
                "the coefficients.",
                error.pixel,
                error.pivot,
            ) from None
        self._check_definite()

    @property
    def lattice(self) -> Lattice:
        """The pixel grid, with the domain of the field."""
        return self._null.lattice

    @property
    def null_vectors(self) -> sp.csr_array:
        """Orthonormal null vectors as columns, ``(n, r)``."""
        return self._null.vectors

    @property
    def pinned(self) -> BoolArray:
        """Which unknowns hold no white number: the pinned ones, and those outside the domain."""
        return ~self._rest.domain

    @property
    def logdet(self) -> float:
        """Generalized log-determinant: the sum of the logarithms of the positive eigenvalues, in nats."""
        if self._V_S is None:
            return self._rest.logdet
        pivots = np.abs(np.concatenate([self._V_S.L.diagonal(), self._V_S.U.diagonal()]))
        return self._rest.logdet - 2.0 * float(np.log(pivots).sum())

    @property
    def nbytes(self) -> int:
        """Bytes of the inner factor and of the null vectors."""
        V = self._null.vectors
        return self._rest.nbytes + int(V.data.nbytes + V.indices.nbytes + V.indptr.nbytes)

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances under the constraint, ``P G P``, on the precision's offsets as a stencil."""
        selected = self._rest.selected_inverse()
        planes = np.empty((len(selected.offsets), *self.shape, *2 * (self.lattice.channels,)))
        for k, (di, dj) in enumerate(selected.offsets.tolist()):
            planes[k] = selected.plane(k).reshape(planes[k].shape) + self._correction((di, dj))
            selected._drop_off_image(planes[k], k)
        return selected._with_planes(planes)

    def marginal_variance(self) -> FloatArray:
        """Return the diagonal of ``P G P`` as an image, in intensity^2."""
        correction = 2.0 * np.einsum("dn,dn->n", self._null.basis, self._mixed)
        return np.asarray(self._rest.marginal_variance() + correction.reshape(self.lattice.image_shape))

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        if self._V_S is not None:  # x - V V_S^-1 x_S is zero on S and has the same quadratic form
            x = x - (self._null.vectors @ self._V_S.solve(np.ascontiguousarray(x[:, self._pins].T))).T
        return self._rest.whiten_vectors(x)

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        return self._null.project(self._rest.unwhiten_vectors(e))

    def unwhiten_in_place(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``; `e` may be overwritten."""
        return self._null.project(self._rest.unwhiten_in_place(e))

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return self._null.project(self._rest.solve_vectors(self._null.project(b)))

    @cached_property
    def _mixed(self) -> FloatArray:
        """Images ``N`` with ``P G P - G = V N^T + N V^T`` on each part: ``N = -G V + V (V^T G V) / 2``."""
        null = self._null
        GV = self._rest.solve_vectors(null.basis)
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
        if not quotient > _SINGULAR * largest_row(self._precision, self.lattice):
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
