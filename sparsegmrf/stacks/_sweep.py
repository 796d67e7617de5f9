"""A factorization date by date: dense blocks over the pixels of an image, tridiagonal over dates."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.inference._progress import evaluated
from sparsegmrf.stacks._chain import Tridiagonal
from sparsegmrf.stacks._factor import Covariances, RootFactor, as_stencil, planes_of
from sparsegmrf.stacks._precision import StackPrecision
from sparsegmrf.typing import FloatArray


class _Eliminated(NamedTuple):
    """Of a date: lower ``L`` with ``S = L L^T``, ``(m, m)``, and ``S^-1 b``, ``(m, K n)``."""

    root: FloatArray
    coupling: FloatArray


class SweepFactor(RootFactor):
    """Block Cholesky factor over dates, with the coefficients, which all dates see, eliminated last.

    The ``m = R n`` unknowns of a date are its R fields one after the other. With ``P_u`` the blocks ``J_uu Q`` of the
    fields on the diagonal and ``W_u`` in all of them, ``C_u`` the blocks ``j_u Q`` with ``j_u`` beside the diagonal of
    ``J``, and ``G_u`` what couples a date to the coefficients,

        S_u = P_u - C_(u-1) S_(u-1)^-1 C_(u-1),    b_u = G_u - C_(u-1) S_(u-1)^-1 b_(u-1),

    and the coefficients are left with ``C - sum_u b_u^T S_u^-1 b_u``. The inverse is selected from the last date to the
    first (Takahashi's recursion on blocks). Time grows as ``U m^3``, memory as ``U m (m + K n)``.

    A long series needs no windows in time, whose error would be a halo's and unbounded where all dates share maps of a
    season: with segments of ``s`` dates only the last of each is kept, and the dates between are eliminated again from
    there, once a pass. Memory falls to ``s + U / s`` dates, and every number is the same.

    Parameters
    ----------
    precision : StackPrecision
        Of any number of dates, on an image of some hundred pixels.
    segment : int, optional
        Dates whose blocks are kept at a time; all by default.

    Raises
    ------
    NotPositiveDefiniteError
        If a block is not positive definite.
    """

    def __init__(self, precision: StackPrecision, segment: int | None = None) -> None:
        self.precision = precision
        U, K = precision.n_dates, len(precision.coefficients)
        self._step = U if segment is None else segment
        self._Q = [each.tocsr() for each in precision.Q]
        self._dense = [each.toarray() for each in self._Q]
        self._ends: list[_Eliminated] = []  # the last date of each segment
        self._now: tuple[int, list[_Eliminated]] = (0, [])  # a segment, and its dates
        rest, logdet = self._of_coefficients(), 0.0
        for first in range(0, U, self._step):
            dates = self._eliminated(first, rest)
            logdet += sum(2.0 * float(np.log(np.diagonal(each.root)).sum()) for each in dates)
            self._ends.append(dates[-1])
            self._now = (first // self._step, dates)
        self._last = self._root((rest + rest.T) / 2.0, "the coefficients") if K else np.zeros((0, 0))
        self.logdet = logdet + 2.0 * float(np.log(np.diagonal(self._last)).sum())

    def solve(self, b: FloatArray) -> FloatArray:
        """Return ``P^-1 b`` for ``(k, R U + K, n)``."""
        dates, rest = self._by_date(b)
        halves: list[FloatArray] = []
        for u, right in enumerate(dates):
            if u:
                right -= self._to_next(u - 1) @ halves[-1]
            date = self._date(u)
            rest -= date.coupling.T @ right
            halves.append(scipy.linalg.cho_solve((date.root, True), right))
        return self._back(halves, scipy.linalg.cho_solve((self._last, True), rest) if len(rest) else rest)

    def unwhiten(self, e: FloatArray) -> FloatArray:
        """Return draws ``(k, R U + K, n)`` of ``N(0, P^-1)`` for standard normals."""
        white, rest = self._by_date(e)
        halves = [_from_white(self._date(u).root, own) for u, own in enumerate(white)]
        return self._back(halves, _from_white(self._last, rest) if len(rest) else rest)

    def covariances(self, weights: Sequence[Sequence[Tridiagonal]] = ()) -> Covariances:
        """Return the covariances that gradients and variances need, of each field weighted over dates."""
        precision = self.precision
        n, R, K, B = precision.n_pixels, precision.n_fields, len(precision.coefficients), precision.basis
        variance = np.empty((precision.n_dates, n))
        sums = [[np.zeros((n, n)) for _ in matrices] for matrices in weights]
        blocks = self._of_last.reshape(K, n, K, n)
        of_c = np.einsum("kplp->pkl", blocks)  # of a pixel's coefficients with each other
        for u, Z, with_c, crossed in self._backward():
            for r, (matrices, totals) in enumerate(zip(weights, sums, strict=True)):
                own = slice(r * n, (r + 1) * n)
                for M, total in zip(matrices, totals, strict=True):
                    total += M.diagonal[u] * Z[own, own]
                    if crossed is not None:
                        total += M.beside[u] * (crossed[own, own] + crossed[own, own].T)
            between = np.einsum("rpkp->pk", with_c.reshape(R, n, K, n))
            variance[u] = np.einsum("rpsp->p", Z.reshape(R, n, R, n)) + 2.0 * between @ B[u]
            variance[u] += np.einsum("pkl,k,l->p", of_c, B[u], B[u])
        return Covariances(
            [
                [as_stencil(planes_of(total, Q), Q) for total in totals]
                for totals, Q in zip(sums, precision.Q, strict=False)
            ],
            [as_stencil(planes_of(blocks[k, :, k], Q), Q) for k, Q in enumerate(precision.coefficients)],
            variance,
        )

    def of_dates(self) -> Iterator[tuple[int, FloatArray]]:
        """Yield each date with the covariance ``(n, n)`` of what is observed there, the last date first."""
        n, R, K = self.precision.n_pixels, self.precision.n_fields, len(self.precision.coefficients)
        blocks, B = self._of_last.reshape(K, n, K, n), self.precision.basis
        for u, Z, with_c, _ in self._backward():
            between = np.einsum("rpkq,k->pq", with_c.reshape(R, n, K, n), B[u])
            of_fields = np.einsum("rpsq->pq", Z.reshape(R, n, R, n))
            of_c = np.einsum("kplq,k,l->pq", blocks, B[u], B[u], optimize=True)
            yield u, of_fields + between + between.T + of_c

    def _backward(self) -> Iterator[tuple[int, FloatArray, FloatArray, FloatArray | None]]:
        """Yield by date, the last first, its covariances: with itself, with coefficients, and with the next date.

        With ``F = S^-1 C`` and ``V = S^-1 b``, ``Z_(u,u+1) = -F Z_(u+1,u+1) - V Z_(c,u+1)``,
        ``Z_(u,c) = -F Z_(u+1,c) - V Z_cc`` and ``Z_uu = S^-1 - Z_(u,u+1) F^T - Z_(u,c) V^T``.
        """
        Z, with_c = np.zeros((0, 0)), np.zeros((0, 0))
        last = self.precision.n_dates - 1
        for u in range(last, -1, -1):
            date = self._date(u)
            own, V, crossed = _inverse(date.root), date.coupling, None
            if u < last:
                F = own @ self._to_next(u)
                crossed = -(F @ Z) - V @ with_c.T
                with_c = -(F @ with_c) - V @ self._of_last
                Z = own - crossed @ F.T - with_c @ V.T
            else:
                with_c = -V @ self._of_last
                Z = own - with_c @ V.T
            yield u, Z, with_c, crossed
            evaluated(what="dates")

    def _date(self, u: int) -> "_Eliminated":
        """Return the blocks of a date; those of another segment than the last one asked for are made anew."""
        number = u // self._step
        if self._now[0] != number:
            self._now = (number, [])  # before the new ones are made
            self._now = (number, self._eliminated(number * self._step))
        return self._now[1][u - number * self._step]

    def _eliminated(self, first: int, rest: FloatArray | None = None) -> "list[_Eliminated]":
        """Eliminate the dates of a segment, those before being known; what they take off `rest` is taken off there."""
        K, found = len(self.precision.coefficients), []
        before = self._ends[first // self._step - 1] if first else None
        for u in range(first, min(first + self._step, self.precision.n_dates)):
            S, new = self._of_date(u), self._to_coefficients(u)
            if before is not None:
                C = self._to_next(u - 1)
                self._take_off(S, C, before.root)
                if K:
                    new -= C @ before.coupling
            L = self._root(S, f"date {u}")
            if K:
                half = scipy.linalg.solve_triangular(L, new, lower=True)
                if rest is not None:
                    rest -= half.T @ half
                new = _from_white(L, half)
            before = _Eliminated(L, new)
            found.append(before)
            if rest is not None:  # for the first time
                evaluated(what="dates")
        return found

    @cached_property
    def _of_last(self) -> FloatArray:
        """Covariance of the coefficients, ``(K n, K n)``."""
        return _inverse(self._last)

    def _by_date(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return copies of fields by date ``(U, m, k)``, and coefficients ``(K n, k)``, of unknowns."""
        fields, coefficients = self.precision.apart(x)
        dates = np.array(np.moveaxis(fields, (0, 1, 2), (3, 1, 0)))  # (U, R, n, k)
        return dates.reshape(len(dates), -1, len(x)), np.array(np.moveaxis(coefficients, 0, -1)).reshape(-1, len(x))

    def _back(self, halves: list[FloatArray], c: FloatArray) -> FloatArray:
        """Substitute back from the last date, ``halves`` being ``S_u^-1`` of what the sweep has left."""
        precision, count = self.precision, c.shape[1]
        R, U, n = precision.n_fields, precision.n_dates, precision.n_pixels
        dates = np.empty((U, R * n, count))
        for u in reversed(range(U)):
            date = self._date(u)
            dates[u] = halves[u] - date.coupling @ c
            if u < U - 1:
                dates[u] -= scipy.linalg.cho_solve((date.root, True), self._to_next(u) @ dates[u + 1])
        fields = np.swapaxes(dates.reshape(U, R, n, count), 0, 1).reshape(R * U, n, count)
        return np.moveaxis(np.concatenate([fields, c.reshape(-1, n, count)]), -1, 0)

    def _of_date(self, u: int) -> FloatArray:
        """Return the block ``P_u`` of the fields of a date."""
        n, R = self.precision.n_pixels, self.precision.n_fields
        S = np.zeros((R, n, R, n))
        for r, (J, Q) in enumerate(zip(self.precision.J, self._dense, strict=True)):
            S[r, :, r] = J.diagonal[u] * Q
        S[:, np.arange(n), :, np.arange(n)] += self.precision.weight[u][:, np.newaxis, np.newaxis]
        return S.reshape(R * n, R * n)

    def _to_next(self, u: int) -> sp.csr_array:
        """Return ``C_u``, which couples a date to the next: ``j_u Q`` of each field."""
        blocks = [float(J.beside[u]) * Q for J, Q in zip(self.precision.J, self._Q, strict=True)]
        return sp.csr_array(sp.block_diag(blocks, format="csr")) if len(blocks) > 1 else blocks[0]

    def _take_off(self, S: FloatArray, C: sp.csr_array, root: FloatArray) -> None:
        """Take ``C S_u^-1 C`` of the date before off the block of a date: of the fields that know of it."""
        n = self.precision.n_pixels
        known = [np.arange(r * n, (r + 1) * n) for r, J in enumerate(self.precision.J) if J.beside.any()]
        if not known:
            return
        at = np.concatenate(known)
        half = scipy.linalg.solve_triangular(root, C[:, at].toarray(), lower=True)
        S[np.ix_(at, at)] -= half.T @ half

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
        """Return what couples a date to the coefficients, ``B[u, k] W_u`` beside each other, for each of its fields."""
        n, R, K = self.precision.n_pixels, self.precision.n_fields, len(self.precision.coefficients)
        found = np.zeros((R, n, K, n))
        own = self.precision.weight[u][:, np.newaxis] * self.precision.basis[u]
        found[:, np.arange(n), :, np.arange(n)] = own[:, np.newaxis]
        return found.reshape(R * n, K * n)

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
