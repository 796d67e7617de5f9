"""The unknowns of a stack, a field at every date and coefficients that are the same at all, and their precision."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.stacks._chain import Tridiagonal
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, Shape


@dataclass(frozen=True, eq=False)
class StackPrecision:
    """Precision of the unknowns ``x = (f, c)`` given observations of ``A x = f_u + sum_k B[u, k] c_k``.

    Without observations it is ``J (x) Q`` of the field and ``Q_k`` of each coefficient; of observations
    ``A^T W A`` is added, ``W`` being diagonal.

    Attributes
    ----------
    J : Tridiagonal
        Over dates.
    Q : SymmetricStencil, (H, W)
        Over pixels.
    coefficients : tuple of SymmetricStencil
        ``Q_k``, K of them.
    basis : ndarray, (U, K)
        ``B``.
    weight : ndarray, (U, n)
        The diagonal of ``W``: inverse variances of observations, zero where there is none.
    """

    J: Tridiagonal
    Q: SymmetricStencil
    coefficients: tuple[SymmetricStencil, ...]
    basis: FloatArray
    weight: FloatArray

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.Q.shape

    @property
    def n_dates(self) -> int:
        """Dates at which the field is unknown."""
        return len(self.basis)

    @property
    def n_pixels(self) -> int:
        """Pixels of an image."""
        return self.shape[0] * self.shape[1]

    @property
    def n_unknowns(self) -> int:
        """Dates and coefficients: unknowns of a pixel."""
        return self.n_dates + len(self.coefficients)

    def observe(self, x: FloatArray) -> FloatArray:
        """Return ``A x``, ``(..., U, n)``, for unknowns ``(..., U + K, n)``."""
        U = self.n_dates
        return np.asarray(x[..., :U, :] + np.einsum("uk,...kp->...up", self.basis, x[..., U:, :]))

    def spread(self, y: FloatArray) -> FloatArray:
        """Return ``A^T y`` for ``(..., U, n)``."""
        return np.concatenate([y, np.einsum("uk,...up->...kp", self.basis, y)], axis=-2)

    def prior_times(self, x: FloatArray) -> FloatArray:
        """Return the precision without observations times unknowns ``(U + K, n)``."""
        U = self.n_dates
        found = np.empty_like(x)
        found[:U] = on_images(self.Q, self.J @ x[:U])
        for k, Q in enumerate(self.coefficients):
            found[U + k] = on_images(Q, x[U + k])
        return found


def on_images(Q: SymmetricStencil, x: FloatArray) -> FloatArray:
    """Return ``Q x`` for vectors ``(..., n)``."""
    return np.asarray((Q @ x.reshape(*x.shape[:-1], *Q.shape)).reshape(x.shape))
