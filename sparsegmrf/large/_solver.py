"""Posterior means by conjugate directions, the tiles as preconditioner, with a bound on what is left."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from sparsegmrf.factors.dissection import DissectionFactor
from sparsegmrf.large._geometry import Tile
from sparsegmrf.large._journal import Journal
from sparsegmrf.large._posterior import Posterior, Upper, product
from sparsegmrf.typing import FloatArray

HEADROOM = 4.0
"""How many times smaller than is tolerated an error must be by estimate before passes end and it is bounded."""
_ROWS = 256
"""Rows of an image that are worked on at a time."""
_KEPT = 6
"""Directions to which new ones are made conjugate."""


class Factors:
    """Factors of tiles, kept as far as memory allows."""

    def __init__(self, posterior: Posterior, memory: int) -> None:
        self.posterior, self.room = posterior, memory
        self._kept: OrderedDict[tuple[Tile, bool], DissectionFactor | Upper | None] = OrderedDict()

    def lower(self, tile: Tile) -> DissectionFactor:
        """Return the factor of the Dirichlet cut of a tile."""
        if (tile, False) not in self._kept:
            self.keep(tile, found := self.posterior.lower_factor(tile.window))
            return found
        found_before = self._kept[tile, False]
        assert isinstance(found_before, DissectionFactor)
        return found_before

    def upper(self, tile: Tile) -> Upper | None:
        """Return the factor of the natural cut of a tile, None where it is singular."""
        if (tile, True) in self._kept:
            kept = self._kept[tile, True]
            assert not isinstance(kept, DissectionFactor)
            return kept
        if tile.window.shape == self.posterior.shape:
            return Upper.of_whole(self.lower(tile))
        found = self.posterior.upper_factor(tile.window)
        size = 0 if found is None else found.factor.nbytes
        if size <= self.room:
            self.room -= size
            self._kept[tile, True] = found
        return found

    def keep(self, tile: Tile, factor: DissectionFactor) -> None:
        """Keep a factor of a Dirichlet cut if there is room."""
        if factor.nbytes <= self.room:
            self.room -= factor.nbytes
            self._kept[tile, False] = factor


class Solver:
    r"""Solutions of ``P x = b`` for several right-hand sides at once, improved by passes over the tiles.

    In each pass every tile ``T`` with a core ``C`` solves for the residual on its window, everything outside known, and
    keeps what it finds on its core: restricted Schwarz, whose error falls as ``exp(-mu h)`` with the halo ``h``. The
    direction ``d`` that is so found is made conjugate to earlier ones, and the step along it minimizes the energy
    ``|e|_P`` of the error: conjugate gradients with a preconditioner that need not be symmetric, and directions kept
    (Notay, 2000).

    The energy of the error is ``|e|_P^2 = r^T P^-1 r`` with the residual ``r``. For any pixel
    ``e_i = u^T P e`` with ``u = P^-1 1_i``, so that ``|e_i| <= |u|_P |e|_P = sd_i |e|_P``: the energy is the largest
    error in standard deviations that there can be. For an upper bound let ``r = sum_T r_T`` with ``r_T``
    zero outside the core, ``P^N_T`` the natural cuts of the windows and ``k`` the largest number of windows that any
    pixel is in. No row and no observation is in more than ``k`` of these, so that ``sum_T P^N_T <= k P``, and for ``x``
    with ``P x = r``

    .. math:: r^T x = \sum_T r_T^T x \le \sum_T |r_T|_{(P^N_T)^{-1}} |x|_{P^N_T}
              \le \Big(\sum_T r_T^T (P^N_T)^{-1} r_T\Big)^{1/2} (k\, x^T P x)^{1/2},

    while ``x^T P x = r^T x``, whence ``r^T P^-1 r <= k sum_T r_T^T (P^N_T)^-1 r_T``. With the cores themselves for
    windows it would be the bound without ``k``; the halos are worth more than ``k <= 4`` costs, as their cuts are
    farther away and the factors are there.

    References
    ----------
    X.-C. Cai, M. Sarkis (1999), A restricted additive Schwarz preconditioner for general sparse linear systems, SIAM J.
    Sci. Comput. 21. Y. Notay (2000), Flexible conjugate gradients, SIAM J. Sci. Comput. 22.
    """

    def __init__(
        self,
        posterior: Posterior,
        tiles: Sequence[Tile],
        right: FloatArray,
        allocate: Callable[[tuple[int, ...]], FloatArray],
    ) -> None:
        self.posterior, self.tiles, self.right = posterior, tiles, right
        self.allocate = allocate
        self.solution = allocate(right.shape)
        self.residual = allocate(right.shape)
        for tile in tiles:
            at = (slice(None), *tile.core.slices)
            self.solution[at], self.residual[at] = 0.0, right[at]
        self.passes = 0
        self.decrements: list[FloatArray] = []
        """By pass, how much the squared energy of each error has fallen, ``(k,)``."""
        self._kept: list[tuple[FloatArray, FloatArray, FloatArray]] = []

    def step(self, d: FloatArray) -> None:
        """Go along a direction, ``(k, H, W[, C])``, as far as the energy falls; it is overwritten."""
        Pd = self.allocate(d.shape)
        product(self.posterior, d, self.tiles, Pd)
        for old, P_old, squares in self._kept:
            share = times(d, P_old) / squares
            _subtract(d, share, old)
            _subtract(Pd, share, P_old)
        squares, along = times(d, Pd), times(d, self.residual)
        moved = squares > 0.0
        alpha = np.divide(along, squares, out=np.zeros(len(along)), where=moved)
        _subtract(self.solution, -alpha, d)
        _subtract(self.residual, alpha, Pd)
        self.decrements.append(alpha * along)
        self.passes += 1
        self._kept = [*self._kept[1 - _KEPT :], (d, Pd, np.where(moved, squares, 1.0))]

    def put(self, journal: Journal) -> None:
        """Keep what a later run needs to go on from this pass: the directions are found anew."""
        journal.put_image(f"solution-{self.passes}", self.solution)
        journal.put(f"passes-{self.passes}", tuple(self.decrements))
        for name in journal.names("solution-*.npy"):
            if name != f"solution-{self.passes}":
                journal.drop(f"{name}.npy")

    def taken_up(self, journal: Journal) -> bool:
        """Go on from the last pass that a journal has; return whether there is one."""
        for name in sorted(journal.names("passes-*.npz"), key=_number, reverse=True):
            solution, decrements = journal.image(f"solution-{_number(name)}"), journal.get(name)
            if solution is not None and decrements is not None:
                self.solution[...] = solution
                self.decrements, self.passes = list(decrements), _number(name)
                self.renew()
                return True
        return False

    def renew(self) -> None:
        """Compute the residual anew, so that no rounding of earlier passes is in it."""
        product(self.posterior, self.solution, self.tiles, self.residual)
        for tile in self.tiles:
            at = (slice(None), *tile.core.slices)
            self.residual[at] = self.right[at] - self.residual[at]

    def estimate(self) -> FloatArray:
        """Return about how large the energies of the errors are, ``(k,)``, as the last steps have it."""
        energies = [np.sqrt(np.maximum(each, 0.0)) for each in self.decrements[-2:]]
        return energies[0] if len(energies) < 2 else left_after(*energies)


def left_after(before: FloatArray, last: FloatArray) -> FloatArray:
    """Return about how large errors are whose last two steps had these energies, if that rate goes on."""
    rate = np.minimum(last / np.maximum(before, np.finfo(float).tiny), 0.99)
    return np.asarray(last * rate / (1.0 - rate))


def squares_of(upper: Upper | None, tile: Tile, residual: FloatArray) -> FloatArray:
    """Return ``r_T^T (P^N_T)^-1 r_T`` of residuals ``(k, h, w[, C])`` on a core; infinite where that is singular."""
    count = len(residual)
    if upper is None:
        return np.full(count, np.inf)
    b = np.zeros((count, *upper.diagonal.shape))
    b[(slice(None), *tile.place)] = residual
    return np.full(count, np.inf) if b[:, upper.loose].any() else times(b, upper.factor.solve(b))


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])


def times(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return inner products of images ``(k, H, W[, C])``, by rows as `_subtract`."""
    found = np.zeros(len(a))
    for k in range(len(a)):
        for first in range(0, a.shape[1], _ROWS):
            found[k] += np.vdot(a[k, first : first + _ROWS], b[k, first : first + _ROWS])
    return found


def _subtract(x: FloatArray, share: FloatArray, y: FloatArray) -> None:
    """Subtract ``share_k y_k`` from ``x_k``, in place and by rows, so that no image is copied."""
    for k, value in enumerate(share.tolist()):
        if value:
            for first in range(0, x.shape[1], _ROWS):
                x[k, first : first + _ROWS] -= value * y[k, first : first + _ROWS]
