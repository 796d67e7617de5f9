"""Covariances of the coefficients of every pixel: a triangle of each, and work by ranges of pixels."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from sparsegmrf import _threads
from sparsegmrf.typing import FloatArray, IntArray

NUMBERS = 2**18
"""Of the matrices of some pixels that are worked on at a time: what a cache holds."""
PARTS = 8
"""Ranges whose sums are added up; a fixed number, so that results do not depend on threads."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Covariances ``(n, s, s)`` of the coefficients of pixels, ``turn^T S_p turn`` with symmetric ``S_p``.

    Attributes
    ----------
    packed : (n, s (s + 1) / 2) array
        Upper triangles of ``S_p``, row by row.
    turn : (s, s) array, optional
        None stands for the identity. A rotation of all pixels' coefficients is work on the few numbers of the dates.
    """

    packed: FloatArray
    turn: FloatArray | None = None

    @classmethod
    def of(cls, matrices: FloatArray) -> "Spread":
        """Return covariances as they are given."""
        return cls(pack(matrices))

    @property
    def mean(self) -> FloatArray:
        """Mean ``(s, s)`` over the pixels."""
        return self.turned(self.packed.mean(axis=0))

    def padded(self, size: int) -> "Spread":
        """Return covariances of more coefficients, the others being known exactly."""
        rows, columns = np.triu_indices(_size(self.packed))
        packed = np.zeros((len(self.packed), size * (size + 1) // 2))
        packed[:, _places(size)[rows, columns]] = self.packed
        return Spread(packed, self.turn)

    def rotated(self, turn: FloatArray) -> "Spread":
        """Return the covariances of coefficients that are multiplied by ``turn^T``."""
        return Spread(self.packed, turn if self.turn is None else self.turn @ turn)

    def turned(self, packed: FloatArray) -> FloatArray:
        """Return sums ``(..., s, s)`` of the covariances from such of triangles."""
        matrices = unpack(packed)
        return matrices if self.turn is None else np.asarray(self.turn.T @ matrices @ self.turn)

    def dual(self, matrices: FloatArray) -> FloatArray:
        """Return ``D`` with ``D @ packed.T`` the traces of symmetric ``(..., s, s)`` with the covariances."""
        return dual(matrices if self.turn is None else self.turn @ matrices @ self.turn.T)


def pack(matrices: FloatArray) -> FloatArray:
    """Return the upper triangles ``(..., s (s + 1) / 2)`` of matrices ``(..., s, s)``, row by row."""
    rows, columns = np.triu_indices(matrices.shape[-1])
    return np.asarray(matrices[..., rows, columns])


def unpack(packed: FloatArray) -> FloatArray:
    """Return symmetric matrices ``(..., s, s)`` from their upper triangles."""
    places = _places(_size(packed))
    return np.asarray(np.take(packed, places.ravel(), axis=-1).reshape(*packed.shape[:-1], *places.shape))


def dual(matrices: FloatArray) -> FloatArray:
    """Return packed symmetric matrices with what stands beside the diagonal doubled."""
    size = matrices.shape[-1]
    return pack(matrices * (2.0 - np.eye(size)))


def pairs(vectors: FloatArray) -> FloatArray:
    """Return ``v v^T`` of vectors ``(n, r)``, packed."""
    rows, columns = np.triu_indices(vectors.shape[1])
    return np.asarray(vectors[:, rows] * vectors[:, columns])


def blocks(first: int, last: int, size: int) -> Iterator[slice]:
    """Yield ranges of pixels whose matrices ``(s, s)`` are worked on at a time."""
    step = max(1, NUMBERS // max(1, size * size))
    for begin in range(first, last, step):
        yield slice(begin, min(begin + step, last))


def rows_of(first: int, last: int, width: int) -> Iterator[slice]:
    """Yield ranges of dates whose images of `width` numbers are worked on at a time."""
    step = max(1, NUMBERS // max(1, width))
    for begin in range(first, last, step):
        yield slice(begin, min(begin + step, last))


def over(work: Callable[[int, int], object], count: int) -> None:
    """Work on all of ``range(count)``, cut in parts, in threads."""
    _threads.run_over(work, count, _part(count))


def summed(work: Callable[[int, int], FloatArray], count: int) -> FloatArray:
    """Return the sum of what is made of the parts of ``range(count)``, in threads and in one order."""
    cut = _threads.ranges(count, _part(count))
    found: list[FloatArray] = [np.zeros(0)] * len(cut)

    def put(k: int) -> None:
        found[k] = work(*cut[k])

    _threads.run([partial(put, k) for k in range(len(cut))])
    total = found[0]
    for each in found[1:]:
        total += each
    return total


def _size(packed: FloatArray) -> int:
    return (math.isqrt(8 * packed.shape[-1] + 1) - 1) // 2


def _places(size: int) -> IntArray:
    """Return where the entries ``(s, s)`` of a symmetric matrix stand in its triangle."""
    rows, columns = np.triu_indices(size)
    places = np.empty((size, size), dtype=np.int64)
    places[rows, columns] = places[columns, rows] = np.arange(len(rows))
    return places


def _part(count: int) -> int:
    return max(1, -(-count // PARTS))
