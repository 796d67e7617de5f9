"""What is asked of a factorization of the unknowns of a stack, however it is made."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sparsegmrf.stacks._chain import Tridiagonal
from sparsegmrf.stacks._precision import StackPrecision
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray


class Covariances(NamedTuple):
    """Parts of the inverse of a precision.

    Attributes
    ----------
    of_fields : list of list of SymmetricStencil
        Of each field, for each of some matrices ``M`` over dates, ``sum_uv M[u, v] Z[u p, v q]`` over neighbouring
        pixels.
    of_coefficients : list of SymmetricStencil
        Of each coefficient, over neighbouring pixels.
    variance : ndarray, (U, n)
        The diagonal of ``A Z A^T``: variances of what is observed.
    """

    of_fields: list[list[SymmetricStencil]]
    of_coefficients: list[SymmetricStencil]
    variance: FloatArray


class StackFactor(ABC):
    """Factorization of a `StackPrecision`.

    Attributes
    ----------
    precision : StackPrecision
        What was factorized.
    logdet : float
        Its log-determinant; NaN where it is not known.
    """

    precision: StackPrecision
    logdet: float

    @abstractmethod
    def solve(self, b: FloatArray) -> FloatArray:
        """Return ``P^-1 b`` for ``(k, R U + K, n)``."""

    @abstractmethod
    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Return draws ``(count, R U + K, n)`` of ``N(0, P^-1)``."""

    @abstractmethod
    def covariances(self, weights: Sequence[Sequence[Tridiagonal]] = ()) -> Covariances:
        """Return the covariances that gradients and variances need, of each field weighted over dates."""


class RootFactor(StackFactor):
    """Factorization with a square root, by which standard normals become draws."""

    @abstractmethod
    def unwhiten(self, e: FloatArray) -> FloatArray:
        """Return draws ``(k, R U + K, n)`` of ``N(0, P^-1)`` for standard normals."""

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Return draws ``(count, R U + K, n)`` of ``N(0, P^-1)``."""
        return self.unwhiten(rng.standard_normal((count, self.precision.n_unknowns, self.precision.n_pixels)))


def planes_of(dense: FloatArray, Q: SymmetricStencil) -> FloatArray:
    """Return the entries ``[p, p + o]`` of a dense matrix ``(n, n)`` on the offsets of a stencil, ``(O, H, W)``."""
    height, width = Q.shape
    found = np.zeros((len(Q.offsets), height, width))
    cells = dense.reshape(height, width, height, width)
    rows, columns = np.arange(height), np.arange(width)
    for plane, (di, dj) in zip(found, Q.offsets.tolist(), strict=True):
        i = rows[max(0, -di) : height - max(0, di)]
        j = columns[max(0, -dj) : width - max(0, dj)]
        if len(i) and len(j):
            plane[np.ix_(i, j)] = cells[i[:, np.newaxis], j, i[:, np.newaxis] + di, j + dj]
    return found


def as_stencil(planes: FloatArray, Q: SymmetricStencil) -> SymmetricStencil:
    """Return covariances on the offsets of a stencil as one."""
    return SymmetricStencil.from_planes(Q.offsets, planes)
