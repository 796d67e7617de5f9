"""Factor of the precision of the missing pixels of an image, and what it takes from that of the observed ones.

With ``m`` the missing and ``o`` the observed pixels of ``N(mu, Q^-1)``, the observed ones have the precision
``S_oo^-1 = Q_oo - Q_om Q_mm^-1 Q_mo``. Only missing pixels next to observed ones enter it, the boundary below.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import SuperLU, splu

from sparsegmrf import _frozen
from sparsegmrf._memory import refuse_if_too_large
from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import BoolArray, FloatArray, IntArray, Shape

_ENTRIES = 2**22
"""Numbers that a block of right-hand sides, or of windows, may hold."""


@dataclass(frozen=True, eq=False, init=False)
class MissingFactor:
    """Sparse factorization of ``Q_mm``, ``Q`` with one unknown per pixel.

    Parameters
    ----------
    precision : SymmetricStencil
        ``Q`` in 1/intensity^2.
    missing : ndarray of bool, (H, W)
        True where a pixel is missing; at least one.

    Raises
    ------
    NotPositiveDefiniteError
        If ``Q_mm`` is not positive definite.

    Examples
    --------
    >>> Q = SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 3))
    >>> factor = MissingFactor(Q, np.array([[False, True, False]]))
    >>> factor.filled(np.array([[1.0, 0.0, 3.0]])).tolist()
    [[1.0, 2.0, 3.0]]
    """

    missing: BoolArray
    _precision: SymmetricStencil
    _pixels: IntArray
    _boundary: IntArray  # places of the boundary among the missing pixels
    _component: IntArray  # of each missing pixel
    _lu: SuperLU

    def __init__(self, precision: SymmetricStencil, missing: BoolArray) -> None:
        pixels = np.flatnonzero(missing)
        rows = precision.tocsr()[pixels]
        inside = rows[:, pixels]
        touched = np.diff(rows.indptr) > np.diff(inside.indptr)
        _, component = connected_components(inside, directed=False)
        _frozen.assign(
            self,
            missing=missing,
            _precision=precision,
            _pixels=pixels,
            _boundary=np.flatnonzero(touched),
            _component=component,
            _lu=_factorized(sp.csc_array(inside), pixels, precision.shape),
        )

    @property
    def boundary(self) -> IntArray:
        """Number of each missing pixel that ``Q`` couples to an observed one, ``(H, W)``; -1 elsewhere."""
        number = np.full(self.missing.shape, -1)
        number.ravel()[self._pixels[self._boundary]] = np.arange(len(self._boundary))
        return number

    def filled(self, residual: FloatArray) -> FloatArray:
        """Return ``x - mu`` with the conditional means ``-Q_mm^-1 Q_mo (x_o - mu_o)`` at the missing pixels."""
        result = np.where(self.missing, 0.0, residual)
        result.ravel()[self._pixels] = -self._lu.solve((self._precision @ result).ravel()[self._pixels])
        return result

    def covariances(self, reach: tuple[int, int]) -> sp.csr_array:
        """Return the entries of ``Q_mm^-1`` between pixels of the boundary up to `reach` rows and columns apart.

        Connected parts of the missing pixels share right-hand sides: there are as many solves as the largest boundary
        of one part has pixels.

        Raises
        ------
        TooLargeError
            If there are more entries than memory holds.
        """
        number, count = self.boundary, len(self._boundary)
        rows, cols = np.divmod(self._pixels[self._boundary], number.shape[1])
        windows = _windows(number, reach)
        pairs = _pairs_within(number >= 0, rows, cols, reach)
        refuse_if_too_large(
            24 * pairs, f"{pairs} covariances of missing pixels", "take a smaller template, or a window of the image"
        )
        part = self._component[self._boundary]
        colour = _rank_within(part)
        order = np.argsort(colour, kind="stable")  # columns that share a right-hand side stand together
        first = np.searchsorted(colour[order], np.arange(int(colour.max(initial=-1)) + 2))
        size = max(1, _ENTRIES // len(self._pixels))
        blocks = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))]
        for low in range(0, len(first) - 1, size):
            columns = order[first[low] : first[min(low + size, len(first) - 1)]]
            right = np.zeros((len(self._pixels), min(size, len(first) - 1 - low)))
            right[self._boundary[columns], colour[columns] - low] = 1.0
            solved = self._lu.solve(right)[self._boundary]
            step = max(1, _ENTRIES // windows[0, 0].size)
            for some in (columns[k : k + step] for k in range(0, len(columns), step)):
                there = windows[rows[some], cols[some]].reshape(len(some), -1)
                own, other = np.nonzero(there >= 0)
                i, j = there[own, other], some[own]
                same = part[i] == part[j]
                i, j = i[same], j[same]
                blocks.append((i, j, solved[i, colour[j] - low]))
        first_of, second_of, values = zip(*blocks, strict=True)
        at_entry = (np.concatenate(first_of), np.concatenate(second_of))
        return sp.csr_array((np.concatenate(values), at_entry), shape=(count, count))


def diagonal_of_observed(Q: SymmetricStencil, missing: BoolArray) -> FloatArray:
    """Return the diagonal of ``Q_oo - Q_om Q_mm^-1 Q_mo`` as an image, zero at missing pixels.

    Raises
    ------
    NotPositiveDefiniteError, TooLargeError
        As for `MissingFactor` and its `MissingFactor.covariances`.
    """
    factor = MissingFactor(Q, missing)
    a, b = (2 * np.abs(Q.offsets).max(axis=0)).tolist()
    rim = factor._pixels[factor._boundary]
    columns = Q.tocsr()[:, rim]  # Q_.b of the boundary
    lost = np.asarray((columns @ factor.covariances((a, b))).multiply(columns).sum(axis=1)).ravel()
    return np.where(missing, 0.0, Q.diagonal() - lost.reshape(missing.shape))


def _factorized(Q: sp.csc_array, pixels: IntArray, shape: Shape) -> SuperLU:
    lu = splu(Q, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    pivots = lu.U.diagonal()
    if not pivots.min() > 0.0:
        worst = int(np.argmin(pivots))
        i, j = divmod(int(pixels[np.argsort(lu.perm_c)[worst]]), shape[1])
        raise NotPositiveDefiniteError(
            f"the precision of the missing pixels is not positive definite: pivot {pivots[worst]:g} at pixel {(i, j)}.",
            (i, j),
            float(pivots[worst]),
        )
    return lu


def _rank_within(part: IntArray) -> IntArray:
    """Return how many earlier entries have the same value."""
    order = np.argsort(part, kind="stable")
    _, first, number = np.unique(part[order], return_index=True, return_inverse=True)
    rank = np.empty(len(part), dtype=np.int64)
    rank[order] = np.arange(len(part)) - first[number]
    return rank


def _windows(number: IntArray, reach: tuple[int, int]) -> IntArray:
    """Return the windows around all pixels as a view ``(H, W, window)``; -1 off the image."""
    padded = np.pad(number, ((reach[0], reach[0]), (reach[1], reach[1])), constant_values=-1)
    return np.lib.stride_tricks.sliding_window_view(padded, (2 * reach[0] + 1, 2 * reach[1] + 1))


def _pairs_within(marked: BoolArray, i: IntArray, j: IntArray, reach: tuple[int, int]) -> int:
    """Return how many marked pixels lie in windows around pixels, all together."""
    (a, b), (height, width) = reach, marked.shape
    sums = np.pad(marked.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    low, high = np.maximum(i - a, 0), np.minimum(i + a + 1, height)
    left, right = np.maximum(j - b, 0), np.minimum(j + b + 1, width)
    return int((sums[high, right] - sums[low, right] - sums[high, left] + sums[low, left]).sum())
