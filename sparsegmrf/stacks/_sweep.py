"""A factorization date by date: dense blocks over the pixels of an image, tridiagonal over dates."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import scipy.linalg

from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.stacks._chain import Tridiagonal
from sparsegmrf.stacks._factor import Covariances, StackFactor, as_stencil, planes_of
from sparsegmrf.stacks._precision import StackPrecision
from sparsegmrf.typing import FloatArray


class SweepFactor(StackFactor):
    """Block Cholesky factor over dates, with the coefficients, which all dates see, eliminated last.

    With ``P_u = J_uu Q + W_u``, ``j_u`` beside the diagonal of ``J`` and ``G_u`` what couples a date to the
    coefficients,

        S_u = P_u - j_(u-1)^2 Q S_(u-1)^-1 Q,    b_u = G_u - j_(u-1) Q S_(u-1)^-1 b_(u-1),

    and the coefficients are left with ``C - sum_u b_u^T S_u^-1 b_u``. The inverse is selected from the last date to the
    first (Takahashi's recursion on blocks). Time grows as ``U n^3``, memory as ``U (K + 1) n^2``.

    Parameters
    ----------
    precision : StackPrecision
        Of any number of dates, on an image of some hundred pixels.

    Raises
    ------
    NotPositiveDefiniteError
        If a block is not positive definite.
    """

    def __init__(self, precision: StackPrecision) -> None:
        self.precision = precision
        n, U, K = precision.n_pixels, precision.n_dates, len(precision.coefficients)
        self._Q = precision.Q.tocsr()
        dense = self._Q.toarray()
        J, W = precision.J, precision.weight
        self._roots: list[FloatArray] = []  # lower L_u with S_u = L_u L_u^T
        self._coupling: list[FloatArray] = []  # S_u^-1 b_u, (n, K n)
        rest = self._of_coefficients()
        for u in range(U):
            S = J.diagonal[u] * dense
            S.flat[:: n + 1] += W[u]
            new = self._to_coefficients(u)
            if u:
                j = J.beside[u - 1]
                S -= j * j * self._between(self._roots[-1])
                if K:
                    new -= j * (self._Q @ self._coupling[-1])
            self._roots.append(self._root(S, f"date {u}"))
            if K:
                half = scipy.linalg.solve_triangular(self._roots[-1], new, lower=True)
                rest -= half.T @ half
                new = _from_white(self._roots[-1], half)
            self._coupling.append(new)
        self._last = self._root((rest + rest.T) / 2.0, "the coefficients") if K else np.zeros((0, 0))
        self.logdet = 2.0 * float(sum(np.log(np.diagonal(L)).sum() for L in [*self._roots, self._last]))

    def solve(self, b: FloatArray) -> FloatArray:
        """Return ``P^-1 b`` for ``(k, U + K, n)``."""
        U, n = self.precision.n_dates, self.precision.n_pixels
        right = np.array(np.moveaxis(b, 0, -1))  # (U + K, n, k)
        fields, J = right[:U], self.precision.J
        rest = right[U:].reshape(-1, len(b))
        halves: list[FloatArray] = []
        for u in range(U):
            if u:
                fields[u] -= J.beside[u - 1] * (self._Q @ halves[-1])
            rest -= self._coupling[u].T @ fields[u]
            halves.append(scipy.linalg.cho_solve((self._roots[u], True), fields[u]))
        c = scipy.linalg.cho_solve((self._last, True), rest) if len(rest) else rest
        return self._back(halves, c, n)

    def unwhiten(self, e: FloatArray) -> FloatArray:
        """Return draws ``(k, U + K, n)`` of ``N(0, P^-1)`` for standard normals."""
        U, n = self.precision.n_dates, self.precision.n_pixels
        white = np.moveaxis(e, 0, -1)
        rest = white[U:].reshape(-1, len(e))
        halves = [_from_white(L, white[u]) for u, L in enumerate(self._roots)]
        return self._back(halves, _from_white(self._last, rest) if len(rest) else rest, n)

    def covariances(self, weights: Sequence[Tridiagonal]) -> Covariances:
        """Return the covariances that gradients and variances need, of the field weighted over dates."""
        precision = self.precision
        n, K, B = precision.n_pixels, len(precision.coefficients), precision.basis
        variance = np.empty((precision.n_dates, n))
        sums = [np.zeros((n, n)) for _ in weights]
        blocks = self._of_last.reshape(K, n, K, n)
        of_c = np.einsum("kplp->pkl", blocks)  # of a pixel's coefficients with each other
        for u, Z, with_c, crossed in self._backward():
            for M, total in zip(weights, sums, strict=True):
                total += M.diagonal[u] * Z
                if crossed is not None:
                    total += M.beside[u] * (crossed + crossed.T)
            between = np.einsum("pkp->pk", with_c.reshape(n, K, n))
            variance[u] = np.diagonal(Z) + 2.0 * between @ B[u] + np.einsum("pkl,k,l->p", of_c, B[u], B[u])
        return Covariances(
            [as_stencil(planes_of(total, precision.Q), precision.Q) for total in sums],
            [as_stencil(planes_of(blocks[k, :, k], Q), Q) for k, Q in enumerate(precision.coefficients)],
            variance,
        )

    def of_dates(self) -> Iterator[tuple[int, FloatArray]]:
        """Yield each date with the covariance ``(n, n)`` of what is observed there, the last date first."""
        n, K, B = self.precision.n_pixels, len(self.precision.coefficients), self.precision.basis
        blocks = self._of_last.reshape(K, n, K, n)
        for u, Z, with_c, _ in self._backward():
            between = np.einsum("pkq,k->pq", with_c.reshape(n, K, n), B[u])
            yield u, Z + between + between.T + np.einsum("kplq,k,l->pq", blocks, B[u], B[u], optimize=True)

    def _backward(self) -> Iterator[tuple[int, FloatArray, FloatArray, FloatArray | None]]:
        """Yield by date, the last first, its covariances: with itself, with coefficients, and with the next date.

        With ``F = S^-1 j Q`` and ``V = S^-1 b``, ``Z_(u,u+1) = -F Z_(u+1,u+1) - V Z_(c,u+1)``,
        ``Z_(u,c) = -F Z_(u+1,c) - V Z_cc`` and ``Z_uu = S^-1 - Z_(u,u+1) F^T - Z_(u,c) V^T``.
        """
        Z, with_c = np.zeros((0, 0)), np.zeros((0, 0))
        last = self.precision.n_dates - 1
        for u in range(last, -1, -1):
            own, V, crossed = _inverse(self._roots[u]), self._coupling[u], None
            if u < last:
                F = self.precision.J.beside[u] * (own @ self._Q)
                crossed = -(F @ Z) - V @ with_c.T
                with_c = -(F @ with_c) - V @ self._of_last
                Z = own - crossed @ F.T - with_c @ V.T
            else:
                with_c = -V @ self._of_last
                Z = own - with_c @ V.T
            yield u, Z, with_c, crossed

    @cached_property
    def _of_last(self) -> FloatArray:
        """Covariance of the coefficients, ``(K n, K n)``."""
        return _inverse(self._last)

    def _back(self, halves: list[FloatArray], c: FloatArray, n: int) -> FloatArray:
        """Substitute back from the last date, ``halves`` being ``S_u^-1`` of what the sweep has left."""
        U, J = self.precision.n_dates, self.precision.J
        found = np.empty((U + len(self.precision.coefficients), n, c.shape[1]))
        found[U:] = c.reshape(-1, n, c.shape[1])
        for u in reversed(range(U)):
            found[u] = halves[u] - self._coupling[u] @ c
            if u < U - 1:
                found[u] -= J.beside[u] * scipy.linalg.cho_solve((self._roots[u], True), self._Q @ found[u + 1])
        return np.moveaxis(found, -1, 0)

    def _between(self, L: FloatArray) -> FloatArray:
        """Return ``Q S^-1 Q``."""
        half = scipy.linalg.solve_triangular(L, self._dense, lower=True)
        return np.asarray(half.T @ half)

    @cached_property
    def _dense(self) -> FloatArray:
        return np.asarray(self._Q.toarray())

    def _of_coefficients(self) -> FloatArray:
        """Return the block ``C`` of the coefficients: their precisions, and what observations add."""
        precision = self.precision
        n, K, B = precision.n_pixels, len(precision.coefficients), precision.basis
        C = np.zeros((K, n, K, n))
        for k, Q in enumerate(precision.coefficients):
            C[k, :, k] = Q.tocsr().toarray()
        added = np.einsum("uk,ul,up->klp", B, B, precision.weight)
        C[:, np.arange(n), :, np.arange(n)] += np.moveaxis(added, -1, 0)
        return C.reshape(K * n, K * n)

    def _to_coefficients(self, u: int) -> FloatArray:
        """Return what couples a date to the coefficients, ``B[u, k] W_u`` beside each other."""
        n, K = self.precision.n_pixels, len(self.precision.coefficients)
        found = np.zeros((n, K, n))
        found[np.arange(n), :, np.arange(n)] = self.precision.weight[u][:, np.newaxis] * self.precision.basis[u]
        return found.reshape(n, K * n)

    def _root(self, S: FloatArray, where: str) -> FloatArray:
        try:
            L = np.asarray(np.linalg.cholesky(S), dtype=np.float64)
        except np.linalg.LinAlgError:
            pivot = float(np.linalg.eigvalsh(S)[0])
            raise NotPositiveDefiniteError(
                f"the precision of a stack is not positive definite at {where}: its least eigenvalue is {pivot:g}; the "
                "field is too smooth, or too long in time, for double precision.",
                (0, 0),
                pivot,
            ) from None
        return L


def _from_white(L: FloatArray, e: FloatArray) -> FloatArray:
    return np.asarray(scipy.linalg.solve_triangular(L, e, lower=True, trans="T"))


def _inverse(L: FloatArray) -> FloatArray:
    """Return ``(L L^T)^-1``."""
    if not len(L):
        return np.zeros((0, 0))
    found, _ = scipy.linalg.lapack.dpotri(L, lower=1)
    lower = np.tril(found)
    return np.asarray(lower + np.tril(lower, -1).T)
