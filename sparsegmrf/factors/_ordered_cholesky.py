"""Sparse Cholesky factorization in a given order, and the order of a nested dissection."""

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import SuperLU, splu

from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.lattice import Lattice
from sparsegmrf.typing import FloatArray, IntArray

_LEAF = 64
"""Pixels of a rectangle that is not cut further."""


def dissection_rank(lattice: Lattice, reach: int) -> IntArray:
    """Return for each unknown when a nested dissection by strips `reach` pixels wide eliminates it, ``(n,)``."""
    height, width = lattice.shape
    rank = np.empty((height, width), dtype=np.int64)
    left, rectangles = height * width, [(0, height, 0, width)]
    while rectangles:
        top, bottom, first, last = rectangles.pop()
        rows, columns = bottom - top, last - first
        strip = (top, bottom, first, last)
        if rows * columns > _LEAF and max(rows, columns) > 2 * reach:
            if rows >= columns:
                cut = top + (rows - reach) // 2
                strip = (cut, cut + reach, first, last)
                rectangles += [(top, cut, first, last), (cut + reach, bottom, first, last)]
            else:
                cut = first + (columns - reach) // 2
                strip = (top, bottom, cut, cut + reach)
                rectangles += [(top, bottom, first, cut), (top, bottom, cut + reach, last)]
        i0, i1, j0, j1 = strip
        left -= (i1 - i0) * (j1 - j0)
        rank[i0:i1, j0:j1] = left + np.arange((i1 - i0) * (j1 - j0)).reshape(i1 - i0, j1 - j0)
    each = rank.reshape(-1, 1) * lattice.channels + np.arange(lattice.channels)
    return np.asarray(each.ravel())


class OrderedCholesky:
    """Cholesky factorization ``Q = L L^T`` without another order; `unknowns` are those of the rows, for messages."""

    def __init__(self, Q: sp.csr_array, lattice: Lattice, unknowns: IntArray) -> None:
        # A postorder of the elimination tree, which SuperLU makes, moves the entries of L and changes none.
        self._lu: SuperLU = splu(
            sp.csc_array(Q), permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )
        self._pivots = self._lu.U.diagonal()
        if not (self._pivots > 0.0).all():
            row = int(np.argmin(self._pivots[self._lu.perm_c]))
            pixel, channel = divmod(int(unknowns[row]), lattice.channels)
            where = (*divmod(pixel, lattice.shape[1]), *((channel,) if lattice.channels > 1 else ()))
            pivot = float(self._pivots.min())
            raise NotPositiveDefiniteError(
                f"the precision is not positive definite: pivot {pivot:g} at pixel {where}.", where, pivot
            )

    def solve(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for columns in the order."""
        return np.asarray(self._lu.solve(b))

    def transposed(self, x: FloatArray, first: int) -> FloatArray:
        """Return ``L_oo^T x_o`` for columns of all unknowns but the first, with ``U = D L^T``."""
        place = self._lu.perm_c[first:]
        spread = np.zeros((len(self._pivots), x.shape[1]))
        spread[place] = x
        rows = sp.csr_array(self._lu.U)[place]
        return np.asarray((rows @ spread) / np.sqrt(self._pivots[place])[:, np.newaxis])
