"""A factorization pixel by pixel: the dissection of the image, all dates of a pixel together."""

from collections.abc import Sequence

import numpy as np

from sparsegmrf.factors.dissection import DissectionFactor
from sparsegmrf.stacks._chain import Tridiagonal
from sparsegmrf.stacks._factor import Covariances, RootFactor
from sparsegmrf.stacks._precision import StackPrecision
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, IntArray


class LatticeFactor(RootFactor):
    """Dissection of a lattice with ``R U + K`` unknowns at each pixel: for few dates of larger images.

    Parameters
    ----------
    precision : StackPrecision
        On a lattice that does not wrap.

    Raises
    ------
    TooLargeError
        If the predicted memory exceeds what is available.
    NotPositiveDefiniteError
        If a pivot is not positive.
    """

    def __init__(self, precision: StackPrecision) -> None:
        self.precision = precision
        self._factor = DissectionFactor(stencil_of(precision), tile=_TILE)
        self.logdet = self._factor.logdet

    def solve(self, b: FloatArray) -> FloatArray:
        """Return ``P^-1 b`` for ``(k, R U + K, n)``."""
        return self._apart(self._factor.solve_vectors(self._together(b)))

    def unwhiten(self, e: FloatArray) -> FloatArray:
        """Return draws ``(k, R U + K, n)`` of ``N(0, P^-1)`` for standard normals."""
        return self._apart(self._factor.unwhiten_vectors(self._together(e)))

    def covariances(self, weights: Sequence[Sequence[Tridiagonal]] = ()) -> Covariances:
        """Return the covariances that gradients and variances need, of each field weighted over dates."""
        precision, U = self.precision, self.precision.n_dates
        many = precision.n_fields * U
        Z = self._factor.selected_inverse()
        planes = np.array([Z.plane(k) for k in range(len(Z.offsets))])
        of_fields: list[list[SymmetricStencil]] = []
        for r, matrices in enumerate(weights):
            Q, own = precision.Q[r], np.arange(many)[precision.dates_of(r)]
            near, next_to = planes[_places(Z.offsets, Q.offsets)], own[:-1]
            of_fields.append([])
            for M in matrices:
                summed = np.einsum("ohwu,u->ohw", near[..., own, own], M.diagonal)
                beside = near[..., next_to, next_to + 1] + near[..., next_to + 1, next_to]
                summed += np.einsum("ohwu,u->ohw", beside, M.beside)
                of_fields[-1].append(SymmetricStencil.from_planes(Q.offsets, summed))
        of_coefficients = []
        for k, Q in enumerate(precision.coefficients):
            own_planes = planes[_places(Z.offsets, Q.offsets)][..., many + k, many + k]
            of_coefficients.append(SymmetricStencil.from_planes(Q.offsets, own_planes))
        A = precision.seen
        variance = np.einsum("ui,hwij,uj->uhw", A, planes[0], A, optimize=True).reshape(U, precision.n_pixels)
        return Covariances(of_fields, of_coefficients, variance)

    def _together(self, x: FloatArray) -> FloatArray:
        return np.ascontiguousarray(np.swapaxes(x, 1, 2)).reshape(len(x), -1)

    def _apart(self, x: FloatArray) -> FloatArray:
        precision = self.precision
        return np.swapaxes(x.reshape(len(x), precision.n_pixels, precision.n_unknowns), 1, 2)


_TILE = 4
"""Side in pixels of tiles, whose kernels are made for few unknowns a pixel: above them BLAS does the work."""


def stencil_of(precision: StackPrecision) -> SymmetricStencil:
    """Return the precision as a stencil with ``R U + K`` unknowns per pixel."""
    U, C, (height, width) = precision.n_dates, precision.n_unknowns, precision.shape
    many = precision.n_fields * U
    members = [*precision.Q, *precision.coefficients]
    offsets = np.unique(np.concatenate([each.offsets for each in members]), axis=0)
    offsets = offsets[np.argsort((offsets != 0).any(axis=1), kind="stable")]  # the centre first
    planes = np.zeros((len(offsets), height, width, C, C))
    for r, (J, field) in enumerate(zip(precision.J, precision.Q, strict=True)):
        own = np.arange(many)[precision.dates_of(r)]
        next_to = own[:-1]
        for k, place in enumerate(_places(offsets, field.offsets)):
            Q = field.plane(k)[..., np.newaxis]
            planes[place][..., own, own] = Q * J.diagonal
            planes[place][..., next_to, next_to + 1] = Q * J.beside
            planes[place][..., next_to + 1, next_to] = Q * J.beside
    for number, each in enumerate(precision.coefficients):
        for k, place in enumerate(_places(offsets, each.offsets)):
            planes[place][..., many + number, many + number] = each.plane(k)
    A = precision.seen
    W = precision.weight.reshape(U, height, width)
    planes[0] += np.einsum("ui,uhw,uj->hwij", A, W, A, optimize=True)
    return SymmetricStencil.from_planes(offsets, planes)


def _places(offsets: IntArray, wanted: IntArray) -> IntArray:
    """Return where each of some offsets stands among others."""
    return np.array([int(np.flatnonzero((offsets == each).all(axis=1))[0]) for each in wanted], dtype=np.int64)
