"""What the tasks of a lazy raster do: each on what some cores show, with nothing but its arguments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsegmrf.large._brackets import Bracket, bracket
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Tile, Window, overlap_of
from sparsegmrf.large._noise import Normals
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._raster import Raster
from sparsegmrf.large._solver import HEADROOM, left_after, squares_of, times
from sparsegmrf.large._trend import Sums, Trend
from sparsegmrf.large._work import Coefficients, Products, images_of, right_hand_side
from sparsegmrf.typing import FloatArray

_KEPT = 3
"""Directions to which new ones are made conjugate."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What every task knows."""

    cuts: Cuts
    variance: float
    count: int
    normals: Normals
    tolerance: float
    memory: int
    upper: bool

    def posterior(self, seen: "list[Any]") -> Posterior:
        """Return the posterior on what some cores show of the raster."""
        return Posterior(self.cuts, Raster(self.cuts.shape, Patches(seen), None, self.variance))


class Patches:
    """Arrays of some cores, read by windows of the raster that these make up."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = [(window, array) for window, array in parts]

    def __call__(self, rows: slice, columns: slice) -> FloatArray:
        return self.on(Window(rows.start, rows.stop, columns.start, columns.stop), 0)

    def on(self, window: Window, axis: int = 1) -> FloatArray:
        """Return a window whose rows are an axis."""
        first = self.parts[0][1]
        found = np.full((*first.shape[:axis], *window.shape, *first.shape[axis + 2 :]), np.nan)
        lead = (slice(None),) * axis
        for core, array in self.parts:
            shared = core.shared(window)
            if shared is not None:
                found[(*lead, *shared.within(window))] = array[(*lead, *shared.within(core))]
        return found


class State(NamedTuple):
    """Solution, residual and earlier directions on a core."""

    solution: FloatArray
    residual: FloatArray
    kept: tuple[tuple[FloatArray, FloatArray], ...]

    @classmethod
    def of(cls, right: FloatArray) -> "State":
        """Return the state before the first pass."""
        return cls(np.zeros(right.shape), right, ())


class Scalars(NamedTuple):
    """What all tiles share after a pass: shares of earlier directions, the step, squares, and whether it is the end."""

    shares: FloatArray
    step: FloatArray
    squares: tuple[FloatArray, ...]
    energies: tuple[FloatArray, ...]
    ends: bool


class End(NamedTuple):
    """What a tile adds to the coefficients and the bound of the error."""

    products: Products
    squares: FloatArray


class Final(NamedTuple):
    """Coefficients of the trend, and bounds of the energies of all errors."""

    coefficients: Coefficients
    bounds: FloatArray


def read_block(block: Any) -> FloatArray:
    return np.asarray(block, dtype=np.float64)


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


def first_of(
    setting: Setting, tile: Tile, largest: Tile, seen: list[Any], right: list[Any]
) -> tuple[Bracket, FloatArray]:
    """Return the bounds of a tile, which grows within its largest window, and its first direction."""
    posterior, patches, made = setting.posterior(seen), Patches(right), []

    def use(tile: Tile, factor: Any) -> None:
        made.append(factor.solve(patches.on(tile.window))[(slice(None), *tile.place)])

    found = bracket(posterior, tile, setting.tolerance, setting.memory, upper=setting.upper, use=use, most=largest.halo)
    return found, made[0]


def residual_of(state: State) -> FloatArray:
    return state[1]


def solution_of(state: State) -> FloatArray:
    return state[0]


def correction_of(setting: Setting, own: Bracket, seen: list[Any], residual: list[Any], scalars: Scalars) -> FloatArray:
    tile, r = own.tile, Patches(residual).on(own.tile.window)
    if scalars.ends:
        return np.zeros((len(r), *tile.core.shape, *r.shape[3:]))
    factor = setting.posterior(seen).lower_factor(tile.window)
    return np.asarray(factor.solve(r)[(slice(None), *tile.place)])


def product_of(
    setting: Setting, tile: Tile, state: State, seen: list[Any], around: list[Any], d: FloatArray
) -> tuple[FloatArray, tuple[FloatArray, FloatArray, list[FloatArray]]]:
    """Return ``P d`` on a core, and its products with ``d``, of ``d`` with the residual, and with earlier ones."""
    window = setting.cuts.around(tile.core)
    Pd = setting.posterior(seen).product(Patches(around).on(window), tile.core)
    return Pd, (times(d, Pd), times(d, state[1]), [times(d, P_old) for _, P_old in state[2]])


def step_of(parts: list[Any], before: Scalars | None, tolerance: float, trend: tuple[Trend, float]) -> Scalars:
    """Return how far to go along a direction, once earlier ones are taken out of it."""
    squares, along = np.sum([part[0] for part in parts], axis=0), np.sum([part[1] for part in parts], axis=0)
    known = () if before is None else before.squares
    if before is not None and before.ends:
        zero = np.zeros(len(squares))
        return Scalars(np.zeros((len(known), len(squares))), zero, known, before.energies, True)
    crossed = np.array([np.sum([part[2][k] for part in parts], axis=0) for k in range(len(known))])
    crossed = crossed.reshape(len(known), len(squares))
    shares = crossed / np.array(known).reshape(crossed.shape)
    own = squares - np.sum(shares * crossed, axis=0)
    moved = own > 0.0
    step = np.divide(along, own, out=np.zeros(len(own)), where=moved)
    fallen = np.sqrt(np.maximum(step * along, 0.0))
    energies = (*(() if before is None else before.energies), fallen)
    ends = False
    if len(energies) > 1:
        sizes = np.ones(len(own))
        sizes[1 : 1 + len(trend[0].names)] = trend[1]
        left = left_after(energies[-2], energies[-1]) * sizes
        ends = bool(left.max() * HEADROOM * (1 + len(trend[0].names)) <= tolerance)
    kept = (*known, np.where(moved, own, 1.0))[-_KEPT:]
    return Scalars(shares, step, kept, energies, ends)


def updated(state: State, d: FloatArray, made: tuple[FloatArray, object], scalars: Scalars) -> State:
    """Return the state after a step along the direction made conjugate."""
    wide, Pd = (slice(None), *(np.newaxis,) * (d.ndim - 1)), made[0]
    for share, (old, P_old) in zip(scalars.shares, state[2], strict=True):
        d, Pd = d - share[wide] * old, Pd - share[wide] * P_old
    kept = state[2] if not scalars.step.any() else (*state[2], (d, Pd))[-_KEPT:]
    return State(state[0] + scalars.step[wide] * d, state[1] - scalars.step[wide] * Pd, kept)


def end_of(
    setting: Setting, own: Bracket, seen: list[Any], around: list[Any], b: FloatArray, trend: tuple[Trend, float]
) -> End:
    """Return what a tile says of the error once the residual is computed anew."""
    posterior, core, patches = setting.posterior(seen), own.tile.core, Patches(around)
    x = patches.on(core)
    r = b - posterior.product(patches.on(setting.cuts.around(core)), core)
    squares = np.full(len(b), np.inf)
    if setting.upper:
        squares = squares_of(posterior.whole_or_upper(own.tile.window), own.tile, r)
    return End(Products.of(posterior, core, trend[0], x, r, b), squares)


def coefficients_of(ends: list[Any], brackets: list[Bracket], shape: tuple[int, int]) -> Final:
    overlap = overlap_of([each.tile for each in brackets], shape)
    bounds = np.sqrt(overlap * np.sum([end[1] for end in ends], axis=0))
    total = sum((Products(*end[0]) for end in ends), Products.zero(len(ends[0][0][1])))
    return Final(total.coefficients(bounds), bounds)


def images_on(
    setting: Setting, own: Bracket, seen: FloatArray, x: FloatArray, final: Final, trend: tuple[Trend, float]
) -> FloatArray:
    posterior = setting.posterior([(own.tile.core, seen)])
    return images_of(posterior, own, x, final[0], trend[0], setting.normals, setting.count)


def error_of(final: Final) -> FloatArray:
    return np.asarray(final[0].error)


def beta_of(final: Final, trend: tuple[Trend, float]) -> FloatArray:
    return np.array(list(trend[0].coefficients(final[0].beta).values()))


def widths_of(brackets: list[Bracket]) -> FloatArray:
    return np.array([each.width for each in brackets])
