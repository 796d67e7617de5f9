"""What the tasks of a lazy raster do: each on what some cores show, with nothing but its arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from sparsegmrf.large._brackets import Bracket, bracket
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Tile, Window, overlap_of
from sparsegmrf.large._loglik import loglik_interval, part_of
from sparsegmrf.large._noise import Normals
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._raster import Raster, Reader
from sparsegmrf.large._solver import HEADROOM, left_after, squares_of, times
from sparsegmrf.large._trend import Sums, Trend
from sparsegmrf.large._work import Coefficients, Products, images_of, right_hand_side
from sparsegmrf.typing import FloatArray

_APART = 1e-10
"""Least eigenvalue of the scaled products of corrections that counts as more than rounding."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What every task knows; a noise variance of None is read with the values."""

    cuts: Cuts
    variance: float | None
    count: int
    normals: Normals
    tolerance: float
    mean_tolerance: float
    memory: int
    upper: bool
    tiles: int

    def posterior(self, seen: "list[Any]") -> Posterior:
        """Return the posterior on what some cores show of the raster: values and, if it is read, noise variance."""
        patches = Patches(seen)
        variance = patches.reader(1) if self.variance is None else self.variance
        return Posterior(self.cuts, Raster(self.cuts.shape, patches.reader(0), None, variance))


class Patches:
    """Images on some cores, read by windows of the raster that these make up."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = [(window, array) for window, array in parts]

    def reader(self, number: int) -> Reader:
        """Return what reads one of the images."""
        return lambda rows, columns: self.on(Window(rows.start, rows.stop, columns.start, columns.stop))[number]

    def on(self, window: Window) -> FloatArray:
        """Return the images ``(k, h, w[, C])`` on a window."""
        first = self.parts[0][1]
        found = np.full((len(first), *window.shape, *first.shape[3:]), np.nan)
        for core, array in self.parts:
            shared = core.shared(window)
            if shared is not None:
                found[(slice(None), *shared.within(window))] = array[(slice(None), *shared.within(core))]
        return found


First: TypeAlias = tuple[Bracket, FloatArray]
"""Bounds of a tile, and its first correction."""


class Left(NamedTuple):
    """What is left of a core after a pass, and what the pass adds to scalar products of the whole raster.

    Attributes
    ----------
    residual : ndarray, (k, h, w[, C])
    rows : tuple of ndarray, (j + 1, k)
        By pass ``j``, the products ``d_i^T P d_j`` with the corrections ``i <= j``.
    energies : tuple of ndarray, (k,)
        By pass, the product of correction and residual: the squared energy that it takes, about.
    """

    residual: FloatArray
    rows: tuple[FloatArray, ...]
    energies: tuple[FloatArray, ...]


class End(NamedTuple):
    """A tile as it is at the end, how wide its bounds are, and what it adds to coefficients and bound of the error."""

    tile: Tile
    width: float
    products: Products
    squares: FloatArray


class Final(NamedTuple):
    """Coefficients of the trend, and bounds of the energies of all errors."""

    coefficients: Coefficients
    bounds: FloatArray


def read_block(*blocks: Any) -> FloatArray:
    return np.stack([np.asarray(block, dtype=np.float64) for block in blocks])


def sums_of(setting: Setting, tile: Tile, asked: Trend, seen: FloatArray) -> Sums:
    return asked.sums(setting.posterior([(tile.core, seen)]).raster, tile.core)


def trend_of(asked: Trend, parts: list[Any]) -> tuple[Trend, float]:
    """Return the trend, and the root mean square of what it leaves, of whose order coefficients are."""
    sums = [Sums(*part) for part in parts]
    found = asked.with_sums(sums)
    left = sum(each.squares for each in sums) - float(found.taken @ np.sum([each.right for each in sums], axis=0))
    return found, float(np.sqrt(max(left, 0.0) / found.n_observed))


def right_of(setting: Setting, tile: Tile, seen: list[Any], trend: tuple[Trend, float]) -> FloatArray:
    return right_hand_side(setting.posterior(seen), tile.core, trend[0], setting.normals, setting.count)


def first_of(setting: Setting, tile: Tile, largest: Tile, seen: list[Any], right: list[Any]) -> First:
    """Return the bounds of a tile, which grows within its largest window, and its first direction."""
    posterior, patches, made = setting.posterior(seen), Patches(right), []

    def use(factor: Any) -> None:
        made.append(factor.solve(patches.on(tile.window))[(slice(None), *tile.place)])

    found = bracket(posterior, tile, setting.tolerance, setting.memory, upper=setting.upper, use=use, most=largest.halo)
    return found, made[0]


def direction_of(first: First) -> FloatArray:
    return first[1]


def correction_of(
    setting: Setting, own: First, seen: list[Any], left: list[Any], trend: tuple[Trend, float]
) -> FloatArray | None:
    """Return what a tile makes of the residual on its window, on its core; None where nothing is left to do."""
    tile = own[0].tile
    if tile.window.shape == setting.cuts.shape or _is_done(setting, [each for _, each in left], trend):
        return None
    r = Patches([(core, each[0]) for core, each in left]).on(tile.window)
    factor = setting.posterior(seen).lower_factor(tile.window)
    return np.asarray(factor.solve(r)[(slice(None), *tile.place)])


def _is_done(setting: Setting, near: list[Left], trend: tuple[Trend, float]) -> bool:
    """Return whether the error near a tile is as small as its share of what is tolerated, by how energies fall."""
    energies = [np.sqrt(np.maximum(sum(parts), 0.0)) for parts in zip(*(each[2] for each in near), strict=True)]
    if len(energies) < 2:
        return False
    p, share = len(trend[0].names), np.sqrt(len(near) / setting.tiles)
    sizes = np.ones(len(energies[0]))
    sizes[1 : 1 + p] = trend[1]
    return bool(np.max(left_after(*energies[-2:]) * sizes) * HEADROOM * (1 + p) <= setting.mean_tolerance * share)


def left_of(
    setting: Setting, tile: Tile, before: Left | FloatArray, seen: list[Any], around: list[Any], own: list[Any]
) -> Left:
    """Return what is left after a pass.

    Parameters
    ----------
    setting : Setting
    tile : Tile
    before : Left or ndarray
        What was left before; at first the right-hand sides.
    seen, around : list
        The raster, and the corrections of this pass, on the cores beside.
    own : list
        Corrections of the core, those of earlier passes first.
    """
    residual, rows, energies = before if isinstance(before, tuple) else Left(before, (), ())
    count, none = len(residual), np.zeros(len(residual))
    core, parts = tile.core, [(core, each) for core, each in around if each is not None]
    if not parts:
        return Left(residual, (*rows, np.zeros((len(own), count))), (*energies, none))
    d = Patches([(core, np.zeros(_on(residual, core.shape)) if each is None else each) for core, each in around])
    Pd = setting.posterior(seen).product(d.on(setting.cuts.around(core)), core)
    row = np.array([none if each is None else times(each, Pd) for each in own])
    energy = none if own[-1] is None else times(own[-1], residual)
    return Left(residual - Pd, (*rows, row), (*energies, energy))


def _on(like: FloatArray, shape: tuple[int, int]) -> tuple[int, ...]:
    return (len(like), *shape, *like.shape[3:])


def products_of(left: Left, own: list[Any]) -> tuple[FloatArray, FloatArray]:
    """Return what a core adds to ``d_i^T P d_j``, ``(k, n, n)``, and to ``d_i^T r`` with the residual at the end."""
    residual, rows, _ = left
    gram = np.zeros((len(residual), len(rows), len(rows)))
    for j, row in enumerate(rows):
        gram[:, : j + 1, j] = row.T
        gram[:, j, : j + 1] = row.T
    right = [np.zeros(len(residual)) if each is None else times(each, residual) for each in own]
    return gram, np.array(right).T


def weights_of(parts: list[Any]) -> FloatArray:
    """Return the weights ``(k, n)`` of the corrections whose sum has the least energy of the error.

    With all of weight 1 the residual is that of the passes one after the other, and small; what is added to these
    weights solves the normal equations for it, in the directions that the corrections tell apart.
    """
    gram, right = (np.sum([part[k] for part in parts], axis=0) for k in range(2))
    weights = np.ones(right.shape)
    for k, (G, h) in enumerate(zip(gram, right, strict=True)):
        size = np.sqrt(np.maximum(np.diagonal(G), 0.0))
        scale = np.divide(1.0, size, out=np.zeros(len(size)), where=size > 0.0)
        values, vectors = np.linalg.eigh(scale[:, np.newaxis] * G * scale)
        apart = values > _APART
        found = vectors[:, apart] @ ((vectors[:, apart].T @ (scale * h)) / values[apart])
        weights[k] += scale * found
    return weights


def solution_of(own: list[Any], weights: FloatArray) -> FloatArray:
    """Return the weighted sum of the corrections of a core."""
    found = np.zeros(own[0].shape)
    for each, share in zip(own, weights.T, strict=True):
        if each is not None:
            found += share[(slice(None), *(np.newaxis,) * (found.ndim - 1))] * each
    return found


def end_of(
    setting: Setting, own: First, seen: list[Any], around: list[Any], b: FloatArray, trend: tuple[Trend, float]
) -> End:
    """Return what a tile says of the error once the residual is computed anew."""
    posterior, tile, patches = setting.posterior(seen), own[0].tile, Patches(around)
    core = tile.core
    x = patches.on(core)
    r = b - posterior.product(patches.on(setting.cuts.around(core)), core)
    squares = np.full(len(b), np.inf)
    if setting.upper:
        squares = squares_of(posterior.whole_or_upper(tile.window), tile, r)
    return End(tile, own[0].width, Products.of(posterior, core, trend[0], x, r, b), squares)


def coefficients_of(parts: list[Any], shape: tuple[int, int]) -> Final:
    ends = [End(*part) for part in parts]
    bounds = np.sqrt(overlap_of([end.tile for end in ends], shape) * np.sum([end.squares for end in ends], axis=0))
    products = [Products(*end.products) for end in ends]
    return Final(sum(products, Products.zero(len(products[0].right))).coefficients(bounds), bounds)


def images_on(
    setting: Setting, own: First, seen: FloatArray, x: FloatArray, final: Final, trend: tuple[Trend, float]
) -> FloatArray:
    posterior = setting.posterior([(own[0].tile.core, seen)])
    return images_of(posterior, own[0], x, final[0], trend[0], setting.normals, setting.count)


def likelihood_of(
    setting: Setting, own: First, seen: list[Any], trend: tuple[Trend, float], closed: bool
) -> FloatArray:
    return part_of(setting.posterior(seen), own[0].tile, trend[0], closed=closed)


def interval_of(setting: Setting, parts: list[FloatArray], final: Final) -> FloatArray:
    return np.array(loglik_interval(setting.cuts, parts, final[0].explained, final[0].error))


def error_of(final: Final) -> FloatArray:
    return np.asarray(final[0].error)


def beta_of(final: Final, trend: tuple[Trend, float]) -> FloatArray:
    return np.array(list(trend[0].coefficients(final[0].beta).values()))


def widths_of(ends: list[Any]) -> FloatArray:
    return np.array([End(*end).width for end in ends])
