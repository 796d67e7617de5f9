"""Precision and factor of unknowns that are combinations of others at their own pixel."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf._validate import read_only
from sparsegmrf.factors._factor import Factor, Method
from sparsegmrf.factors._form import Form
from sparsegmrf.factors.restricted import RestrictedForm
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._congruent import congruent
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import BoolArray, Boundary, FloatArray


@dataclass(frozen=True, eq=False)
class CongruentForm(Form):
    """Precision of ``x_p = M u_p`` that is known by the precision of ``u``, some of which may be held at zero.

    What is observed of several fields at a pixel is one of the ``u``: its weight, however large, leaves the others
    their digits, and where it is known without noise it drops out.

    Attributes
    ----------
    inner : SymmetricStencil or Form
        Precision of ``u``; a `RestrictedForm` holds some of them.
    matrix : ndarray, (C, C)
        ``M``.
    """

    inner: SymmetricStencil | Form
    matrix: FloatArray

    @classmethod
    def holding(cls, P: SymmetricStencil, M: FloatArray, place: int, held: BoolArray | None) -> "CongruentForm":
        """Return the form in which one of the ``u``, that at `place`, is held at zero at some pixels ``(H, W)``."""
        if held is None or not held.any():
            return cls(P, M)
        out = np.zeros(P.lattice.image_shape, dtype=bool)
        out[..., place] = held
        return cls(RestrictedForm(decoupled(P, out), P.lattice.restricted(~out)), M)

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return Lattice(self.inner.lattice.shape, self.inner.lattice.channels)

    @property
    def stencil(self) -> SymmetricStencil:
        """The precision as a stencil; that of the unknowns left, with the identity in the place of the others."""
        inner = self.inner.stencil if isinstance(self.inner, Form) else self.inner
        return congruent(inner, np.asarray(np.linalg.inv(self.matrix), dtype=np.float64))

    @property
    def offsets(self) -> Any:
        """Offsets on which covariances are wanted."""
        return self.inner.offsets

    @property
    def boundary(self) -> Boundary:
        """The rule at the border, or the (rows, columns) pair of rules."""
        return self.inner.boundary

    @property
    def parts(self) -> tuple[SymmetricStencil | Form]:
        """The inner precision."""
        return (self.inner,)

    def factor(self, factorize: Callable[[Any], Factor], method: Method) -> "CongruentFactor":
        """Return the factor made of that of the inner precision."""
        return CongruentFactor(factorize(self.inner), self.matrix)


class CongruentFactor(Factor):
    """Factor of ``x_p = M u_p``, made of that of ``u``: ``A = B M^-1`` where ``B`` whitens ``u``.

    Parameters
    ----------
    inner : Factor
        Factor of ``u``, with ``C`` unknowns per pixel. Those outside its domain are zero, and `logdet` is that of the
        others, on the scale of ``x``.
    matrix : ndarray, (C, C)
        ``M``.

    Examples
    --------
    >>> from sparsegmrf.factors import DenseFactor
    >>> inner = DenseFactor(SymmetricStencil([(0, 0)], [4.0 * np.eye(2)], (1, 1), channels=2))
    >>> CongruentFactor(inner, np.array([[1.0, -1.0], [0.0, 1.0]])).marginal_variance().tolist()
    [[[0.5, 0.25]]]
    """

    method = "congruent"

    def __init__(self, inner: Factor, matrix: FloatArray) -> None:
        self._inner, self._matrix = inner, matrix
        self._inverse = np.asarray(np.linalg.inv(matrix), dtype=np.float64)

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return Lattice(self._inner.lattice.shape, self._inner.lattice.channels)

    @property
    def inner(self) -> Factor:
        """Factor of ``u``."""
        return self._inner

    @property
    def matrix(self) -> FloatArray:
        """``M``."""
        return self._matrix

    @property
    def rank(self) -> int:
        """Number of unknowns that are not held."""
        return self._inner.rank

    @property
    def logdet(self) -> float:
        """Log-determinant of the precision, in nats."""
        return self._inner.logdet - 2.0 * self.lattice.n_pixels * float(np.linalg.slogdet(self._matrix)[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the inner factor."""
        return self._inner.nbytes

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances on the precision's own offsets as a stencil."""
        return congruent(self._inner.selected_inverse(), self._matrix.T)

    @property
    def relative_error(self) -> float:
        """Bound on the error of variances relative to themselves; see `Factor.relative_error`."""
        return self._inner.relative_error

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        return self._inner.whiten_vectors(read_only(self._each(x, self._inverse)))

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        return self._each(self._inner.unwhiten_vectors(e), self._matrix)

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return self._each(self._inner.solve_vectors(read_only(self._each(b, self._matrix.T))), self._matrix)

    def _each(self, vectors: FloatArray, matrix: FloatArray) -> FloatArray:
        """Return the unknowns of every pixel times a matrix."""
        channels = len(matrix)
        return np.asarray((vectors.reshape(-1, channels) @ matrix.T).reshape(vectors.shape))


def total_and_rest(Q: SymmetricStencil, weights: FloatArray) -> FloatArray:
    """Return the matrix ``M`` of ``x_p = M u_p`` where one of the ``u`` is ``w^T x_p`` and the others are as in ``x``.

    The total takes the place of the unknown with the smallest precision for its weight, so that nothing large is added
    to the precisions of the others.
    """
    place = place_of_total(Q.diagonal().reshape(-1, Q.channels).max(axis=0), weights)
    M = np.eye(len(weights))
    M[place] = -weights / weights[place]
    M[place, place] = 1.0 / weights[place]
    return M


def place_of(weights: FloatArray, M: FloatArray) -> int:
    """Return which of the ``u`` is the total."""
    return int(np.argmax(np.abs(weights @ M)))


def place_of_total(largest: FloatArray, weights: FloatArray) -> int:
    """Return which unknown the total takes the place of, given the largest precisions of each."""
    return int(np.argmin(np.divide(largest, weights**2, out=np.full(len(largest), np.inf), where=weights != 0.0)))
