"""Rasters on dask: the same tiles as named tasks, lazy in and lazy out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from sparsegmrf import _libraries, _threads
from sparsegmrf._validate import finite_number
from sparsegmrf.errors import ArgumentError
from sparsegmrf.large._brackets import Bracket, bracket
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Tile, Window, overlap_of
from sparsegmrf.large._noise import Normals
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._raster import Raster
from sparsegmrf.large._solver import squares_of, times
from sparsegmrf.large._tiling import fitting, on_probes
from sparsegmrf.large._trend import Sums, Trend
from sparsegmrf.large._work import Coefficients, Products, images_of, right_hand_side
from sparsegmrf.models import Model
from sparsegmrf.typing import FloatArray

_KEPT = 3
"""Directions to which new ones are made conjugate."""
_ROOM = 3
"""By what a halo may be multiplied while a tile grows."""
_HEADROOM = 4.0


@dataclass(frozen=True, eq=False)
class LazyResult:
    """What tiles say of a raster, to be computed by dask.

    Images are of the kind given, dask arrays or DataArrays on these, with its chunks, coordinates and attributes.

    Attributes
    ----------
    mean, std, std_lower, std_upper : (H, W)
        As of `TiledResult`.
    mean_error : dask array, ()
        As of `TiledResult`.
    samples : (k, H, W)
        Draws given the observations.
    coefficients : dask array, (p,)
        Of the trend's covariates `names`, in intensity and intensity per pixel from the middle of the raster.
    widths : dask array, (tiles,)
        Largest relative difference of the bounds in each tile.
    names : tuple of str
        Of the covariates whose coefficients are estimated.
    tiles : tuple of Tile
        As they are to begin with.
    model : Model
        The field.
    """

    mean: Any
    std: Any
    std_lower: Any
    std_upper: Any
    mean_error: Any
    samples: Any
    coefficients: Any
    widths: Any
    names: tuple[str, ...]
    tiles: tuple[Tile, ...]
    model: Model


def is_lazy(image: Any) -> bool:
    """Return whether an image is a dask array, or a DataArray on one."""
    return hasattr(getattr(image, "data", image), "__dask_graph__") and hasattr(image, "chunks")


def check_lazy(mask: object, noise_variance: object, loglik: bool, scratch: object) -> None:
    """Refuse what is not done on dask."""
    if not isinstance(mask, str):
        raise ArgumentError('mask must be "nan" with a dask array; mark pixels before: image.where(~mask).')
    if np.ndim(noise_variance) or callable(noise_variance):  # type: ignore[arg-type]
        raise ArgumentError("noise_variance must be a number with a dask array, got an image or a function.")
    if loglik or scratch is not None:
        raise ArgumentError(
            "loglik and scratch must be left out with a dask array, whose images dask keeps; give fill a function that "
            "reads it for these."
        )


def fill_lazily(
    image: Any,
    model: Model,
    noise_variance: Any,
    covariates: Any,
    *,
    count: int,
    normals: Normals,
    tolerance: float,
    mean_tolerance: float,
    core: int | None,
    halo: int | None,
    memory: float | None,
    upper: bool,
    passes: int,
) -> LazyResult:
    """Return the lazy result for a raster whose model and noise are known; see `fill`."""
    da, delayed = _libraries.library("dask.array"), _libraries.library("dask").delayed
    data = getattr(image, "data", image)
    if not hasattr(data, "__dask_graph__"):
        data = image
    shape, variance = (int(data.shape[0]), int(data.shape[1])), finite_number("noise_variance", noise_variance)
    raster = Raster.of(lambda rows, columns: np.asarray(data[rows, columns]), shape, "nan", variance)
    cuts = Cuts.of(model, shape)
    if upper:
        cuts.check_rows()
    tiling = on_probes(cuts, raster, tolerance, core=core, halo=halo, memory=memory)
    tiles = tiling.tiles
    token = _libraries.library("dask.base").tokenize(data, model, variance, covariates, tiles, count, normals, passes)
    call = _Caller(delayed, token[:12])
    setting = delayed(_Setting(cuts, variance, count, normals, tolerance, tiling.memory, upper), pure=True)
    seen = [call("read", t.number, _read, data[t.core.slices]) for t in tiles]
    asked = Trend.asked(covariates, cuts.model, shape)
    names = asked.names
    trend = call(
        "trend", 0, _trend, asked, [call("sums", t.number, _sums, setting, t, asked, seen[t.number]) for t in tiles]
    )
    largest = [_largest(cuts, tile, tiling.memory) for tile in tiles]
    near = [_touching(tiles, each.window) for each in largest]
    beside = [_touching(tiles, cuts.around(tile.core)) for tile in tiles]

    def patches(numbers: Sequence[int], parts: Sequence[Any]) -> list[Any]:
        return [[tiles[number].core, parts[number]] for number in numbers]

    b = [call("right", t.number, _right, setting, t, patches(beside[t.number], seen), trend) for t in tiles]
    firsts = [
        call(
            "bounds",
            t.number,
            _first,
            setting,
            t,
            largest[t.number],
            patches(near[t.number], seen),
            patches(near[t.number], b),
        )
        for t in tiles
    ]
    brackets, d = [each[0] for each in firsts], [each[1] for each in firsts]
    states = [call("state", t.number, _State.of, b[t.number]) for t in tiles]
    scalars: Any = None
    for number in range(passes):
        if number:
            r = [call(f"residual{number}", t.number, _residual, states[t.number]) for t in tiles]
            d = [
                call(
                    f"correct{number}",
                    t.number,
                    _correct,
                    setting,
                    brackets[t.number],
                    patches(near[t.number], seen),
                    patches(near[t.number], r),
                    scalars,
                )
                for t in tiles
            ]
        made = [
            call(
                f"product{number}",
                t.number,
                _product,
                setting,
                t,
                states[t.number],
                patches(beside[t.number], seen),
                patches(beside[t.number], d),
                d[t.number],
            )
            for t in tiles
        ]
        scalars = call(f"step{number}", 0, _step, [each[1] for each in made], scalars, mean_tolerance, trend)
        states = [
            call(f"update{number}", t.number, _update, states[t.number], d[t.number], made[t.number], scalars)
            for t in tiles
        ]
    x = [call("solution", t.number, _solution, states[t.number]) for t in tiles]
    ends = [
        call(
            "end",
            t.number,
            _end,
            setting,
            brackets[t.number],
            patches(near[t.number], seen),
            patches(beside[t.number], x),
            b[t.number],
            trend,
        )
        for t in tiles
    ]
    final = call("coefficients", 0, _coefficients, ends, brackets, shape)
    images = [
        call("images", t.number, _images, setting, brackets[t.number], seen[t.number], x[t.number], final, trend)
        for t in tiles
    ]
    whole = _assembled(da, images, tiles, 4 + count)
    whole = whole.rechunk({1: data.chunks[0], 2: data.chunks[1]})
    label = partial(_labelled, image)
    return LazyResult(
        mean=label(whole[0]),
        std=label(whole[1]),
        std_lower=label(whole[2]),
        std_upper=label(whole[3]),
        mean_error=da.from_delayed(call("error", 0, _error, final), shape=(), dtype=float),
        samples=_labelled_draws(image, whole[4:]),
        coefficients=da.from_delayed(call("beta", 0, _beta, final, trend), shape=(len(names),), dtype=float),
        widths=da.from_delayed(call("widths", 0, _widths, brackets), shape=(len(tiles),), dtype=float),
        names=names,
        tiles=tiles,
        model=model,
    )


@dataclass(frozen=True, eq=False)
class _Setting:
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
        return Posterior(self.cuts, Raster(self.cuts.shape, _Patches(seen), None, self.variance))


class _Patches:
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


class _State(NamedTuple):
    """Solution, residual and earlier directions on a core."""

    solution: FloatArray
    residual: FloatArray
    kept: tuple[tuple[FloatArray, FloatArray], ...]

    @classmethod
    def of(cls, right: FloatArray) -> "_State":
        """Return the state before the first pass."""
        return cls(np.zeros(right.shape), right, ())


class _Scalars(NamedTuple):
    """What all tiles share after a pass: shares of earlier directions, the step, squares, and whether it is the end."""

    shares: FloatArray
    step: FloatArray
    squares: tuple[FloatArray, ...]
    energies: tuple[FloatArray, ...]
    ends: bool


class _End(NamedTuple):
    """What a tile adds to the coefficients and the bound of the error."""

    products: Products
    squares: FloatArray


class _Final(NamedTuple):
    """Coefficients of the trend, and bounds of the energies of all errors."""

    coefficients: Coefficients
    bounds: FloatArray


class _Caller:
    """Makes tasks with names that say what they do; each runs in the one thread that dask gives it."""

    def __init__(self, delayed: Any, token: str) -> None:
        self.delayed, self.token = delayed, token

    def __call__(self, name: str, number: int, function: Callable[..., Any], *arguments: Any) -> Any:
        task = self.delayed(_Alone(function), pure=False)
        return task(*arguments, dask_key_name=f"gmrf-{name}-{self.token}-{number}")


@dataclass(frozen=True)
class _Alone:
    """A function that is run as a task of the package's own: what it starts runs in its own thread."""

    function: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        found: list[Any] = []
        _threads.as_task(lambda: found.append(self.function(*arguments)))
        return found[0]


def _read(block: Any) -> FloatArray:
    return np.asarray(block, dtype=np.float64)


def _sums(setting: _Setting, tile: Tile, asked: Trend, seen: FloatArray) -> Sums:
    return asked.sums(setting.posterior([(tile.core, seen)]).raster, tile.core)


def _trend(asked: Trend, parts: list[Any]) -> tuple[Trend, float]:
    """Return the trend, and the root mean square of what it leaves, of whose order coefficients are."""
    sums = [Sums(*part) for part in parts]
    found = asked.with_sums(sums)
    left = sum(each.squares for each in sums) - float(found.taken @ np.sum([each.right for each in sums], axis=0))
    return found, float(np.sqrt(max(left, 0.0) / found.n_observed))


def _right(setting: _Setting, tile: Tile, seen: list[Any], trend: tuple[Trend, float]) -> FloatArray:
    return right_hand_side(setting.posterior(seen), tile.core, trend[0], setting.normals, setting.count)


def _first(
    setting: _Setting, tile: Tile, largest: Tile, seen: list[Any], right: list[Any]
) -> tuple[Bracket, FloatArray]:
    """Return the bounds of a tile, which grows within its largest window, and its first direction."""
    posterior, patches, made = setting.posterior(seen), _Patches(right), []

    def use(tile: Tile, factor: Any) -> None:
        made.append(factor.solve(patches.on(tile.window))[(slice(None), *tile.place)])

    found = bracket(posterior, tile, setting.tolerance, setting.memory, upper=setting.upper, use=use, most=largest.halo)
    return found, made[0]


def _residual(state: _State) -> FloatArray:
    return state[1]


def _solution(state: _State) -> FloatArray:
    return state[0]


def _correct(setting: _Setting, own: Bracket, seen: list[Any], residual: list[Any], scalars: _Scalars) -> FloatArray:
    tile, r = own.tile, _Patches(residual).on(own.tile.window)
    if scalars.ends:
        return np.zeros((len(r), *tile.core.shape, *r.shape[3:]))
    factor = setting.posterior(seen).lower_factor(tile.window)
    return np.asarray(factor.solve(r)[(slice(None), *tile.place)])


def _product(
    setting: _Setting, tile: Tile, state: _State, seen: list[Any], around: list[Any], d: FloatArray
) -> tuple[FloatArray, tuple[FloatArray, FloatArray, list[FloatArray]]]:
    """Return ``P d`` on a core, and its products with ``d``, of ``d`` with the residual, and with earlier ones."""
    window = setting.cuts.around(tile.core)
    Pd = setting.posterior(seen).product(_Patches(around).on(window), tile.core)
    return Pd, (times(d, Pd), times(d, state[1]), [times(d, P_old) for _, P_old in state[2]])


def _step(parts: list[Any], before: _Scalars | None, tolerance: float, trend: tuple[Trend, float]) -> _Scalars:
    """Return how far to go along a direction, once earlier ones are taken out of it."""
    squares, along = np.sum([part[0] for part in parts], axis=0), np.sum([part[1] for part in parts], axis=0)
    known = () if before is None else before.squares
    if before is not None and before.ends:
        zero = np.zeros(len(squares))
        return _Scalars(np.zeros((len(known), len(squares))), zero, known, before.energies, True)
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
        rate = np.minimum(energies[-1] / np.maximum(energies[-2], np.finfo(float).tiny), 0.99)
        sizes = np.ones(len(own))
        sizes[1 : 1 + len(trend[0].names)] = trend[1]
        left = energies[-1] * rate / (1.0 - rate) * sizes
        ends = bool(left.max() * _HEADROOM * (1 + len(trend[0].names)) <= tolerance)
    kept = (*known, np.where(moved, own, 1.0))[-_KEPT:]
    return _Scalars(shares, step, kept, energies, ends)


def _update(state: _State, d: FloatArray, made: tuple[FloatArray, object], scalars: _Scalars) -> _State:
    """Return the state after a step along the direction made conjugate."""
    wide, Pd = (slice(None), *(np.newaxis,) * (d.ndim - 1)), made[0]
    for share, (old, P_old) in zip(scalars.shares, state[2], strict=True):
        d, Pd = d - share[wide] * old, Pd - share[wide] * P_old
    kept = state[2] if not scalars.step.any() else (*state[2], (d, Pd))[-_KEPT:]
    return _State(state[0] + scalars.step[wide] * d, state[1] - scalars.step[wide] * Pd, kept)


def _end(
    setting: _Setting, own: Bracket, seen: list[Any], around: list[Any], b: FloatArray, trend: tuple[Trend, float]
) -> _End:
    """Return what a tile says of the error once the residual is computed anew."""
    posterior, core, patches = setting.posterior(seen), own.tile.core, _Patches(around)
    x = patches.on(core)
    r = b - posterior.product(patches.on(setting.cuts.around(core)), core)
    squares = np.full(len(b), np.inf)
    if setting.upper:
        squares = squares_of(posterior.whole_or_upper(own.tile.window), own.tile, r)
    return _End(Products.of(posterior, core, trend[0], x, r, b), squares)


def _coefficients(ends: list[Any], brackets: list[Bracket], shape: tuple[int, int]) -> _Final:
    overlap = overlap_of([each.tile for each in brackets], shape)
    bounds = np.sqrt(overlap * np.sum([end[1] for end in ends], axis=0))
    total = sum((Products(*end[0]) for end in ends), Products.zero(len(ends[0][0][1])))
    return _Final(total.coefficients(bounds), bounds)


def _images(
    setting: _Setting, own: Bracket, seen: FloatArray, x: FloatArray, final: _Final, trend: tuple[Trend, float]
) -> FloatArray:
    posterior = setting.posterior([(own.tile.core, seen)])
    return images_of(posterior, own, x, final[0], trend[0], setting.normals, setting.count)


def _error(final: _Final) -> FloatArray:
    return np.asarray(final[0].error)


def _beta(final: _Final, trend: tuple[Trend, float]) -> FloatArray:
    return np.array(list(trend[0].coefficients(final[0].beta).values()))


def _widths(brackets: list[Bracket]) -> FloatArray:
    return np.array([each.width for each in brackets])


def _largest(cuts: Cuts, tile: Tile, memory: int) -> Tile:
    """Return the tile with the largest halo that it may have."""
    return fitting(cuts, tile.with_halo(_ROOM * tile.halo, cuts.shape), memory)


def _touching(tiles: Sequence[Tile], window: Window) -> list[int]:
    return [tile.number for tile in tiles if tile.core.shared(window) is not None]


def _assembled(da: Any, images: Sequence[Any], tiles: Sequence[Tile], count: int) -> Any:
    """Return images ``(k, H, W)`` as a dask array whose chunks are the cores."""
    columns = len({tile.core.left for tile in tiles})
    try:
        parts = [
            da.from_delayed(image, shape=(count, *tile.core.shape), dtype=float)
            for image, tile in zip(images, tiles, strict=True)
        ]
    except NotImplementedError as error:
        raise ArgumentError(
            "dask must make arrays of tasks, which this release does not with query planning; start with "
            "DASK_ARRAY__QUERY_PLANNING=False in the environment, or give fill a function that reads the raster."
        ) from error
    rows = [da.concatenate(parts[first : first + columns], axis=2) for first in range(0, len(parts), columns)]
    return da.concatenate(rows, axis=1)


def _labelled(image: Any, values: Any) -> Any:
    """Return a dask array under the labels of a DataArray, if it was one."""
    return image.copy(data=values) if hasattr(image, "dims") else values


def _labelled_draws(image: Any, values: Any) -> Any:
    if not hasattr(image, "dims"):
        return values
    return image.expand_dims(sample=values.shape[0]).copy(data=values) if values.shape[0] else values
