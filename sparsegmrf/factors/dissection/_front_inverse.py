"""Selected inverse of one large front, by blocks of columns in threads.

``G = L_BS L_SS^-1``, ``Z_BS = -Z_BB G``, ``Z_SS = L_SS^-T L_SS^-1 - G^T Z_BS``: given ``L_SS^-1`` the columns of each
are independent. Blocks do not depend on the number of threads, nor do results.
"""

from collections.abc import Callable

import numpy as np

from sparsegmrf import _threads
from sparsegmrf.factors.dissection._buffers import Buffers
from sparsegmrf.kernels import blas, dense_products, dissection_front_inverse
from sparsegmrf.typing import FloatArray

LARGE = 2.5e8
"""Operations from which on a front is worked on by several threads."""

_COLUMNS = 256
"""Columns of a block."""


def invert_in_blocks(s: int, m: int, L: FloatArray, Z: FloatArray, buffers: Buffers) -> None:
    """Do what `invert_front` does for a front, of ``m`` unknowns, ``s`` of them eliminated, with a boundary."""
    dissection_front_inverse.invert_corner(s, m, blas.LETTERS, L, Z, np.empty(6, dtype=np.int32))
    _Blocks(s, m, L, Z, buffers).run()


class _Blocks:
    """Column-major views of one front; ``Z_SS`` holds ``L_SS^-1`` to begin with, zero above the diagonal."""

    def __init__(self, s: int, m: int, L: FloatArray, Z: FloatArray, buffers: Buffers) -> None:
        self.s, self.m, self.flat, self.buffers = s, m, Z, buffers
        self.L, self.Z = L.reshape(s, m).T, Z.reshape(m, m).T
        self.gains = buffers.workspace(s * (m - s))[: s * (m - s)]
        self.G = self.gains.reshape(s, m - s).T
        self.whole = None if dense_products.WIDE else _symmetric(self.Z[s:, s:])

    def run(self) -> None:
        """Work out one after another what all blocks need."""
        self._each(self._gain)
        dissection_front_inverse.square_corner(self.s, self.m, blas.LETTERS, self.flat, np.empty(6, dtype=np.int32))
        self._each(self._cross)
        self._each(self._corner)

    def _each(self, work: Callable[[int, int], None]) -> None:
        _threads.run_over(work, self.s, _COLUMNS)

    def _gain(self, first: int, last: int) -> None:
        s = self.s
        np.matmul(self.L[s:, first:], self.Z[first:s, first:last], out=self.G[:, first:last])

    def _cross(self, first: int, last: int) -> None:
        s, m, b = self.s, self.m, self.m - self.s
        if self.whole is not None:
            np.matmul(self.whole, self.G[:, first:last], out=self.Z[s:, first:last])
            np.negative(self.Z[s:, first:last], out=self.Z[s:, first:last])
            return
        workspace = self.buffers.workspace(dense_products.workspace(last - first))
        right = self.gains[first * b : last * b]
        dense_products.subtract_symmetric(
            b, last - first, self.flat, s * (m + 1), m, right, self.flat, s + first * m, m, workspace
        )

    def _corner(self, first: int, last: int) -> None:
        s = self.s
        self.Z[first:s, first:last] -= self.G[:, first:].T @ self.Z[s:, first:last]


def _symmetric(lower: FloatArray) -> FloatArray:
    """Return a matrix of which the lower triangle is given."""
    below = np.tril(lower)
    return below + np.tril(below, -1).T
