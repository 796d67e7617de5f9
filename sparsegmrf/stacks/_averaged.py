"""The precision of a stack whose observations weigh alike at all pixels of a date: solved by cosines and in time."""

import numpy as np
import scipy.fft

from sparsegmrf._threads import get_num_threads
from sparsegmrf.stacks._precision import StackPrecision
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray

_AXES = (-2, -1)


class AveragedPrecision:
    """A precision near that of a stack, each weight replaced by the mean of its date and each stencil by its mean.

    In the basis of cosines a mean stencil is diagonal, with ``q = sum_o m_o cos(a i) cos(b j)`` over its offsets ``o =
    (a, b)``: positive wherever the stencil is positive definite, as these are its Rayleigh quotients with waves. For
    each pair of frequencies there is left a block tridiagonal system over dates, ``J_r q_r`` of each field and the mean
    weights between these, with the coefficients, which all dates see, as its border. Time and memory grow as ``U n``.

    Parameters
    ----------
    precision : StackPrecision
        Whose means are taken.
    """

    def __init__(self, precision: StackPrecision) -> None:
        self.precision = precision
        R, U, n = precision.n_fields, precision.n_dates, precision.n_pixels
        self._weight = precision.weight.mean(axis=1)
        symbols = np.array([_symbol(Q) for Q in precision.Q])
        self._beside = np.array([J.beside for J in precision.J])  # (R, U - 1)
        self._symbols = symbols
        self._inverse = np.empty((U, R, R, n))  # of what is left of a date when those before are eliminated
        for u in range(U):
            S = np.full((R, R, n), self._weight[u])
            for r, J in enumerate(precision.J):
                S[r, r] += J.diagonal[u] * symbols[r]
            if u:
                E = self._beside[:, u - 1, np.newaxis] * symbols
                S -= E[:, np.newaxis] * self._inverse[u - 1] * E
            self._inverse[u] = _inverse(S)
        K = len(precision.coefficients)
        self._coupling = np.empty((K, R * U, n))  # T^-1 G
        self._last = np.empty((K, K, n))
        G = self._weight[:, np.newaxis] * precision.basis
        self._border = np.tile(G, (R, 1))  # (R U, K), the same at all frequencies
        if K:
            right = np.broadcast_to(self._border.T[:, :, np.newaxis], self._coupling.shape)
            self._coupling[...] = self._over_dates(right)
            C = np.empty((K, K, n))
            C[...] = (precision.basis.T @ G)[:, :, np.newaxis]
            for k, Q in enumerate(precision.coefficients):
                C[k, k] += _symbol(Q)
            C -= np.einsum("un,kud->knd", self._border, self._coupling)
            self._last = _inverse(C)

    def solve(self, b: FloatArray) -> FloatArray:
        """Return the inverse times ``(k, R U + K, n)``."""
        shape, (height, width) = b.shape, self.precision.shape
        images = b.reshape(*shape[:-1], height, width)
        waves = scipy.fft.dctn(images, norm="ortho", axes=_AXES, workers=get_num_threads()).reshape(shape)
        many = self.precision.n_fields * self.precision.n_dates
        found = np.empty(shape)
        found[:, :many] = self._over_dates(waves[:, :many])
        if shape[1] > many:
            rest = waves[:, many:] - np.einsum("uk,xud->xkd", self._border, found[:, :many], optimize=True)
            c = np.einsum("kld,xld->xkd", self._last, rest)
            found[:, many:] = c
            for k in range(c.shape[1]):
                found[:, :many] -= self._coupling[k] * c[:, k, np.newaxis]
        images = found.reshape(images.shape)
        back = scipy.fft.idctn(images, norm="ortho", axes=_AXES, overwrite_x=True, workers=get_num_threads())
        return np.asarray(back.reshape(shape))

    def _over_dates(self, b: FloatArray) -> FloatArray:
        """Return the inverse of the part of the fields times ``(k, R U, n)``."""
        R, U = self.precision.n_fields, self.precision.n_dates
        x = np.array(b).reshape(len(b), R, U, -1)
        for u in range(U):
            if u:
                x[:, :, u] -= self._beside[:, u - 1, np.newaxis] * self._symbols * x[:, :, u - 1]
            x[:, :, u] = self._left(u, x[:, :, u])
        for u in reversed(range(U - 1)):
            later = self._beside[:, u, np.newaxis] * self._symbols * x[:, :, u + 1]
            x[:, :, u] -= self._left(u, later)
        return x.reshape(b.shape)

    def _left(self, u: int, y: FloatArray) -> FloatArray:
        if len(self._symbols) == 1:
            return np.asarray(self._inverse[u, 0] * y)
        return np.asarray(np.einsum("rsd,ksd->krd", self._inverse[u], y))


def _symbol(Q: SymmetricStencil) -> FloatArray:
    """Return the Rayleigh quotients of a stencil with cosine waves, all rows and columns of them, ``(n,)``."""
    rows, columns = (np.pi * np.arange(side) / side for side in Q.shape)
    found = np.zeros(Q.shape)
    for k, (a, b) in enumerate(Q.offsets.tolist()):
        twice = 2.0 if k else 1.0
        found += twice * float(Q.plane(k).mean()) * np.cos(a * rows)[:, np.newaxis] * np.cos(b * columns)
    return found.ravel()


def _inverse(S: FloatArray) -> FloatArray:
    """Return the inverses of symmetric matrices ``(m, m, n)``."""
    if len(S) == 1:
        return 1.0 / S
    return np.ascontiguousarray(np.moveaxis(np.linalg.inv(np.moveaxis(S, -1, 0)), 0, -1))
