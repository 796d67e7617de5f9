"""The unknowns of a stack, fields at every date and coefficients that are the same at all, and their precision."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.stacks._chain import Tridiagonal
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, Shape


@dataclass(frozen=True, eq=False)
class StackPrecision:
    """Precision of the unknowns ``x = (f, c)`` given observations of ``A x = sum_r f_ru + sum_k B[u, k] c_k``.

    Without observations it is ``J_r (x) Q_r`` of each field and ``Q_k`` of each coefficient; of observations
    ``A^T W A`` is added, ``W`` being diagonal. Unknowns are in the order of fields, of each its dates, and
    coefficients: ``(R U + K, n)``.

    Attributes
    ----------
    J : tuple of Tridiagonal
        Over dates, one for each of the R fields.
    Q : tuple of SymmetricStencil, (H, W)
        Over pixels, of each field.
    coefficients : tuple of SymmetricStencil
        ``Q_k``, K of them.
    basis : ndarray, (U, K)
        ``B``.
    weight : ndarray, (U, n)
        The diagonal of ``W``: inverse variances of observations, zero where there is none.
    """

    J: tuple[Tridiagonal, ...]
    Q: tuple[SymmetricStencil, ...]
    coefficients: tuple[SymmetricStencil, ...]
    basis: FloatArray
    weight: FloatArray

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.Q[0].shape

    @property
    def n_dates(self) -> int:
        """Dates at which the fields are unknown."""
        return len(self.basis)

    @property
    def n_fields(self) -> int:
        """Fields at every date."""
        return len(self.Q)

    @property
    def n_pixels(self) -> int:
        """Pixels of an image."""
        return self.shape[0] * self.shape[1]

    @property
    def n_unknowns(self) -> int:
        """Fields at all dates and coefficients: unknowns of a pixel."""
        return self.n_fields * self.n_dates + len(self.coefficients)

    @property
    def seen(self) -> FloatArray:
        """``A`` of the unknowns of a pixel, ``(U, R U + K)``."""
        return np.hstack([np.tile(np.eye(self.n_dates), self.n_fields), self.basis])

    def dates_of(self, field: int) -> slice:
        """Return where the unknowns of a field stand."""
        return slice(field * self.n_dates, (field + 1) * self.n_dates)

    def apart(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return fields ``(..., R, U, n)`` and coefficients ``(..., K, n)`` of unknowns."""
        many = self.n_fields * self.n_dates
        fields = x[..., :many, :].reshape(*x.shape[:-2], self.n_fields, self.n_dates, x.shape[-1])
        return fields, x[..., many:, :]

    def observe(self, x: FloatArray) -> FloatArray:
        """Return ``A x``, ``(..., U, n)``, for unknowns ``(..., R U + K, n)``."""
        fields, coefficients = self.apart(x)
        return np.asarray(fields.sum(axis=-3) + np.einsum("uk,...kp->...up", self.basis, coefficients))

    def spread(self, y: FloatArray) -> FloatArray:
        """Return ``A^T y`` for ``(..., U, n)``."""
        return np.concatenate([y] * self.n_fields + [np.einsum("uk,...up->...kp", self.basis, y)], axis=-2)

    def prior_times(self, x: FloatArray) -> FloatArray:
        """Return the precision without observations times unknowns ``(R U + K, n)``."""
        found, many = np.empty_like(x), self.n_fields * self.n_dates
        for r, (J, Q) in enumerate(zip(self.J, self.Q, strict=True)):
            own = self.dates_of(r)
            found[own] = on_images(Q, J @ x[own])
        for k, Q in enumerate(self.coefficients):
            found[many + k] = on_images(Q, x[many + k])
        return found


def on_images(Q: SymmetricStencil, x: FloatArray) -> FloatArray:
    """Return ``Q x`` for vectors ``(..., n)``."""
    return np.asarray((Q @ x.reshape(*x.shape[:-1], *Q.shape)).reshape(x.shape))
