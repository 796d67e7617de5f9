"""Precision and factor of the unknowns in a domain, which the others do not touch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf._validate import read_only
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._form import Form
from sparsegmrf.factors._low_rank import minus_products
from sparsegmrf.factors.packed import PackedFactor, packings
from sparsegmrf.lattice import Lattice, at_neighbours
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import FloatArray


@dataclass(frozen=True, eq=False)
class RestrictedForm(Form):
    """Precision of the unknowns in a domain, in a stencil or form that has diagonal rows at all others.

    Attributes
    ----------
    stencil : SymmetricStencil
        ``Q`` in 1/intensity^2.
    lattice : Lattice
        Its lattice, with the domain.
    """

    _inner: SymmetricStencil | Form
    _lattice: Lattice
    _logdet_outside: float = 0.0
    """Log-determinant of the diagonal rows, zero where they are those of the identity."""

    @classmethod
    def of(cls, Q: SymmetricStencil, lattice: Lattice) -> "RestrictedForm":
        """Return the form of a precision that may have any rows outside the domain.

        Raises
        ------
        ArgumentError
            If the domain is empty, or cuts through couplings.
        """
        check_uncoupled(Q, lattice)
        return cls(decoupled(Q, ~lattice.domain), lattice)

    @property
    def lattice(self) -> Lattice:
        """The pixel grid, with the domain."""
        return self._lattice

    @property
    def stencil(self) -> SymmetricStencil:
        """The precision as a stencil."""
        return self._inner.stencil if isinstance(self._inner, Form) else self._inner

    @property
    def parts(self) -> tuple[SymmetricStencil | Form]:
        """The stencil, or the form."""
        return (self._inner,)

    def factor(self, factorize: Callable[[Any], Factor], method: Method) -> Factor:
        """Return the factor made of that of the stencil, or of those of the domain's parts where it is small."""
        moved = None
        if method in ("auto", "dissection") and isinstance(self._inner, SymmetricStencil):
            moved = packings(self._inner, self._lattice)
        if moved is None:
            return RestrictedFactor(factorize(self._inner), self._lattice, self._logdet_outside)
        return PackedFactor(self.stencil, self._lattice, moved, factorize)


class RestrictedFactor(Factor):
    """Factor of the unknowns in a domain; the others have no variance, no white number and no part in `logdet`.

    Parameters
    ----------
    inner : Factor
        Factor of a precision that has diagonal rows outside the domain.
    lattice : Lattice
        Its lattice, with the domain.
    logdet_outside : float
        Log-determinant of these rows; zero for those of the identity.

    Examples
    --------
    >>> from sparsegmrf.factors import DenseFactor
    >>> inner = DenseFactor(SymmetricStencil([(0, 0)], [[[4.0, 1.0]]], (1, 2)))
    >>> factor = RestrictedFactor(inner, Lattice((1, 2), domain=[[True, False]]))
    >>> factor.marginal_variance().tolist(), factor.whiten([[3.0, 3.0]]).tolist(), factor.rank
    ([[0.25, 0.0]], [[6.0, 0.0]], 1)
    """

    method = "restricted"

    def __init__(self, inner: Factor, lattice: Lattice, logdet_outside: float = 0.0) -> None:
        self._inner, self._lattice, self._outside = inner, lattice, lattice.outside
        self._logdet_outside = logdet_outside

    @property
    def lattice(self) -> Lattice:
        """The pixel grid, with the domain."""
        return self._lattice

    @property
    def inner(self) -> Factor:
        """Factor of the precision with diagonal rows outside the domain."""
        return self._inner

    @property
    def logdet(self) -> float:
        """Log-determinant of the precision of the unknowns in the domain, in nats."""
        return self._inner.logdet - self._logdet_outside

    @property
    def nbytes(self) -> int:
        """Bytes of the inner factor and of the domain."""
        return self._inner.nbytes + self._outside.nbytes

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances on the precision's own offsets as a stencil, zero outside the domain."""
        none = np.zeros((0, self._lattice.size))
        return minus_products(self._inner.selected_inverse(), none, none, zero=self._outside)

    def marginal_variance(self) -> FloatArray:
        """Return the variances as an image, in intensity^2, zero outside the domain."""
        return np.where(self.domain, self._inner.marginal_variance(), 0.0)

    @property
    def relative_error(self) -> float:
        """Bound on the error of variances relative to themselves; see `Factor.relative_error`."""
        return self._inner.relative_error

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        return self._inner.whiten_vectors(self._inside(x))

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        return self.unwhiten_in_place(np.array(e))

    def unwhiten_in_place(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``; `e` may be overwritten."""
        # Whatever white numbers went into unknowns outside the domain, the others have their own.
        field = self._inner.unwhiten_in_place(e)
        field[:, self._outside] = 0.0
        return field

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return self._inner.solve_vectors(self._inside(b))

    def _inside(self, x: FloatArray) -> FloatArray:
        """Return vectors with zeros outside the domain, which stay zeros."""
        inside = np.array(x)
        inside[:, self._outside] = 0.0
        return read_only(inside)


def check_uncoupled(Q: SymmetricStencil, lattice: Lattice) -> None:
    """Refuse a domain that is empty, or that ``Q`` couples to the other unknowns."""
    if not lattice.n_free:
        raise ArgumentError("domain must contain a pixel, got none.")
    if lattice.is_complete:
        return
    inside = lattice.domain.reshape(*lattice.shape, lattice.channels)
    for k, (di, dj) in enumerate(Q.offsets.tolist()):
        plane = Q.plane(k).reshape(*inside.shape, lattice.channels)
        there = at_neighbours(inside, (di, dj))
        cut = np.argwhere((plane != 0.0) & (inside[..., np.newaxis] != there[..., np.newaxis, :]))
        if len(cut):
            i, j, channel, _ = cut[0].tolist()
            height, width = lattice.shape
            pixel = (i, j) if inside[i, j, channel] else ((i + di) % height, (j + dj) % width)
            raise ArgumentError(
                f"domain must not cut through couplings, but pixel {pixel} of it is coupled to pixels outside; set the "
                "coefficients of the precision between the two to zero."
            )
