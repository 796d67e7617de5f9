"""Factor of the precision of the missing pixels of an image, and what it takes from that of the observed ones.

With ``m`` the missing and ``o`` the observed pixels of ``N(mu, Q^-1)``, the observed ones have the precision
``S_oo^-1 = Q_oo - Q_om Q_mm^-1 Q_mo``. Only missing pixels next to observed ones enter it, the boundary below.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import SuperLU, splu

from sparsegmrf import _frozen
from sparsegmrf._memory import refuse_if_too_large
from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.factors._form import on_offsets
from sparsegmrf.factors._ordered_cholesky import OrderedCholesky, dissection_rank
from sparsegmrf.factors.choose import factorize
from sparsegmrf.lattice import at_neighbours
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import BoolArray, FloatArray, IntArray, Shape

_ENTRIES = 2**22
"""Numbers that a block of right-hand sides, or of windows, may hold."""
_FEW = 64
"""Pixels of a boundary for which solves are cheap."""
_DENSE = 2**27
"""Entries of the largest dense matrix."""
_SOLVED = 10**8
"""Numbers solved for from which on a selected inverse on more offsets is cheaper."""


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
    _matrix: sp.csr_array
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
            _matrix=inside,
            _lu=_factorized(sp.csc_array(inside), pixels, precision.shape),
        )

    @property
    def boundary(self) -> IntArray:
        """Number of each missing pixel that ``Q`` couples to an observed one, ``(H, W)``; -1 elsewhere."""
        number = np.full(self.missing.shape, -1)
        number.ravel()[self._pixels[self._boundary]] = np.arange(len(self._boundary))
        return number

    @property
    def solves(self) -> int:
        """Number of right-hand sides that `covariances` solves for."""
        part = self._component[self._boundary]
        rim = np.bincount(part, minlength=1)
        return int(np.delete(rim, self._with_interior(part)).max(initial=0))

    def filled(self, residual: FloatArray) -> FloatArray:
        """Return ``x - mu`` with the conditional means ``-Q_mm^-1 Q_mo (x_o - mu_o)`` at the missing pixels."""
        result = np.where(self.missing, 0.0, residual)
        result.ravel()[self._pixels] = -self._lu.solve((self._precision @ result).ravel()[self._pixels])
        return result

    def covariances(self, reach: tuple[int, int]) -> sp.csr_array:
        """Return the entries of ``Q_mm^-1`` between pixels of the boundary up to `reach` rows and columns apart.

        Connected parts of the missing pixels share right-hand sides: there are as many solves as the largest boundary
        of one part has pixels. Of a part with a large interior this is eliminated instead, and what is left for its
        boundary inverted.

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

        def pairs_of(columns: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
            """Yield the pairs of boundary pixels within reach, on one part, some columns at a time."""
            step = max(1, _ENTRIES // windows[0, 0].size)
            for some in (columns[k : k + step] for k in range(0, len(columns), step)):
                there = windows[rows[some], cols[some]].reshape(len(some), -1)
                own, other = np.nonzero(there >= 0)
                i, j = there[own, other], some[own]
                same = part[i] == part[j]
                yield i[same], j[same]

        blocks = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))]
        large = self._with_interior(part)
        for each in large:
            columns = np.flatnonzero(part == each)
            inverse = self._inverse_on_boundary(columns, each)
            place = np.full(count, -1)
            place[columns] = np.arange(len(columns))
            blocks += [(i, j, inverse[place[i], place[j]]) for i, j in pairs_of(columns)]
        for columns, colour, solved in self._solves(np.flatnonzero(~np.isin(part, large)), part):
            blocks += [(i, j, solved[i, colour[j]]) for i, j in pairs_of(columns)]
        first_of, second_of, values = zip(*blocks, strict=True)
        at_entry = (np.concatenate(first_of), np.concatenate(second_of))
        return sp.csr_array((np.concatenate(values), at_entry), shape=(count, count))

    def _with_interior(self, part: IntArray) -> IntArray:
        """Return the parts whose interior is large and whose boundary is not too large for a dense matrix."""
        rim = np.bincount(part, minlength=int(self._component.max()) + 1)
        size = np.bincount(self._component)
        return np.flatnonzero((rim > _FEW) & (rim**2 <= _DENSE) & (size > 2 * rim))

    def _inverse_on_boundary(self, boundary: IntArray, part: int) -> FloatArray:
        """Return ``Q_mm^-1`` on the boundary of one part, the interior eliminated first."""
        rim = self._boundary[boundary]
        inside = self._component == part
        inside[rim] = False
        lattice = self._precision.lattice
        rank = dissection_rank(lattice, int(np.abs(self._precision.offsets).max()))
        interior = np.flatnonzero(inside)
        interior = interior[np.argsort(rank[self._pixels[interior]])]
        order = np.concatenate([interior, rim])
        factor = OrderedCholesky(self._matrix[order][:, order], lattice, self._pixels[order])
        upper = factor.transposed(np.eye(len(rim)), len(interior))
        return np.asarray(scipy.linalg.cho_solve((upper, False), np.eye(len(rim))))

    def _solves(self, boundary: IntArray, part: IntArray) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
        """Yield some columns of ``Q_mm^-1``: their numbers, the place of each number, the rows of the boundary."""
        colour = np.zeros(len(part), dtype=np.int64)
        colour[boundary] = _rank_within(part[boundary])
        order = boundary[np.argsort(colour[boundary], kind="stable")]
        last = int(colour.max(initial=0)) + 1 if len(boundary) else 0
        size = max(1, _ENTRIES // len(self._pixels))
        for low in range(0, last, size):
            columns = order[slice(*np.searchsorted(colour[order], [low, low + size]))]
            right = np.zeros((len(self._pixels), min(size, last - low)))
            right[self._boundary[columns], colour[columns] - low] = 1.0
            yield columns, colour - low, self._lu.solve(right)[self._boundary]


def diagonal_of_observed(Q: SymmetricStencil, missing: BoolArray) -> FloatArray:
    """Return the diagonal of ``Q_oo - Q_om Q_mm^-1 Q_mo`` as an image, zero at missing pixels.

    Where gaps hang together in long chains, which have too many boundary pixels for solves, the entries of ``Q_mm^-1``
    between two neighbours of a pixel come from the selected inverse of a stencil that has their differences as offsets.

    Raises
    ------
    NotPositiveDefiniteError, TooLargeError
        As for `MissingFactor` and its `MissingFactor.covariances`.
    """
    factor = MissingFactor(Q, missing)
    if factor.solves * len(factor._pixels) > _SOLVED and not Q.is_wrapped:
        return np.where(missing, 0.0, Q.diagonal() - _lost_by_selected_inverse(Q, missing))
    a, b = (2 * np.abs(Q.offsets).max(axis=0)).tolist()
    rim = factor._pixels[factor._boundary]
    columns = Q.tocsr()[:, rim]  # Q_.b of the boundary
    lost = np.asarray((columns @ factor.covariances((a, b))).multiply(columns).sum(axis=1)).ravel()
    return np.where(missing, 0.0, Q.diagonal() - lost.reshape(missing.shape))


def _lost_by_selected_inverse(Q: SymmetricStencil, missing: BoolArray) -> FloatArray:
    """Return ``sum_ab Q[p, p + a] Q_mm^-1[p + a, p + b] Q[p, p + b]`` over missing neighbours of every pixel."""
    later = [(int(di), int(dj)) for di, dj in Q.offsets.tolist() if (di, dj) != (0, 0)]
    planes = {o: Q.plane(k) for k, o in enumerate(map(tuple, Q.offsets.tolist())) if o != (0, 0)}
    around = {o: planes[o] for o in later} | {(-i, -j): at_neighbours(planes[i, j], (-i, -j)) for i, j in later}
    coupling = {o: np.where(at_neighbours(missing, o), plane, 0.0) for o, plane in around.items()}
    steps = {(b[0] - a[0], b[1] - a[1]) for a in around for b in around} | set(later) | {(0, 0)}
    offsets = np.array(sorted(step for step in steps if step >= (0, 0)))
    inner = decoupled(Q, ~missing)
    wide = on_offsets(SymmetricStencil.from_planes(Q.offsets, [inner.plane(k) for k in range(len(Q.offsets))]), offsets)
    Z = factorize(wide).selected_inverse()
    place = {tuple(offset): k for k, offset in enumerate(Z.offsets.tolist())}
    lost = np.zeros(Q.shape)
    for a in around:
        for b in around:
            step = (b[0] - a[0], b[1] - a[1])
            if step >= (0, 0):  # the other half by symmetry
                twice = 1.0 if step == (0, 0) else 2.0
                lost += twice * coupling[a] * coupling[b] * at_neighbours(Z.plane(place[step]), a)
    return lost


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
