"""Rasters on dask: the same tiles as named tasks, lazy in and lazy out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sparsegmrf import _libraries, _threads
from sparsegmrf._validate import finite_number
from sparsegmrf.errors import ArgumentError
from sparsegmrf.large import _tasks
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Tile, Window
from sparsegmrf.large._loglik import is_closed
from sparsegmrf.large._noise import Normals
from sparsegmrf.large._raster import Raster, Reader
from sparsegmrf.large._run import Options
from sparsegmrf.large._tiling import fitting, on_probes
from sparsegmrf.large._trend import Trend
from sparsegmrf.models import Model

_ROOM = 3
"""By what a halo may be multiplied while a tile grows."""


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
    loglik_interval : dask array, (2,), or None
        Bounds of the log-density of the observations in nats, where they were asked for.
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
    loglik_interval: Any
    names: tuple[str, ...]
    tiles: tuple[Tile, ...]
    model: Model


def is_lazy(image: Any) -> bool:
    """Return whether an image is a dask array, or a DataArray on one."""
    return hasattr(getattr(image, "data", image), "__dask_graph__") and hasattr(image, "chunks")


def check_lazy(mask: object, noise_variance: object, scratch: object, progress: object) -> None:
    """Refuse what is not done on dask."""
    if not isinstance(mask, str):
        raise ArgumentError('mask must be "nan" with a dask array; mark pixels before: image.where(~mask).')
    if callable(noise_variance):
        raise ArgumentError("noise_variance must be a number or an array with a dask array, got a function.")
    if scratch is not None or progress is not None:
        raise ArgumentError(
            "scratch and progress must be left out with a dask array: dask keeps the images, and tells how far it is "
            "by dask.diagnostics.ProgressBar or its dashboard."
        )


def fill_lazily(
    image: Any,
    model: Model,
    noise_variance: Any,
    covariates: Any,
    options: Options,
    *,
    passes: int,
) -> LazyResult:
    """Return the lazy result for a raster whose model and noise are known; see `fill`."""
    da = _libraries.library("dask.array")
    _check_arrays_of_tasks(da)
    data = _array_of(da, image)
    shape = (int(data.shape[0]), int(data.shape[1]))
    variance = (
        _array_of(da, noise_variance) if np.ndim(noise_variance) else finite_number("noise_variance", noise_variance)
    )
    raster = Raster.of(*(_read(data), shape, "nan", _read(variance) if np.ndim(variance) else variance))
    cuts = options.cuts(model, shape)
    tiling = on_probes(cuts, raster, options.tolerance, core=options.core, halo=options.halo, memory=options.memory)
    setting = _tasks.Setting(
        cuts,
        None if np.ndim(variance) else variance,
        options.n_samples,
        Normals(options.rng),
        options.tolerance,
        options.mean_tolerance,
        tiling.memory,
        options.upper,
        len(tiling.tiles),
    )
    graph = _Graph.of([data, *([variance] if np.ndim(variance) else [])], setting, tiling.tiles, passes)
    asked = Trend.asked(covariates, cuts.model, shape)
    built = graph.build(asked, loglik=is_closed(cuts) if options.loglik else None)
    whole = graph.images(da, built.images, 4 + options.n_samples)
    whole = whole.rechunk({1: data.chunks[0], 2: data.chunks[1]})
    label = partial(_labelled, image)
    return LazyResult(
        mean=label(whole[0]),
        std=label(whole[1]),
        std_lower=label(whole[2]),
        std_upper=label(whole[3]),
        mean_error=graph.numbers(da, "error", (), _tasks.error_of, built.final),
        samples=_labelled_draws(image, whole[4:]),
        coefficients=graph.numbers(da, "beta", (len(asked.names),), _tasks.beta_of, built.final, built.trend),
        widths=graph.numbers(da, "widths", (len(tiling.tiles),), _tasks.widths_of, built.ends),
        loglik_interval=built.parts
        and graph.numbers(da, "interval", (2,), _tasks.interval_of, graph.setting, built.parts, built.final),
        names=asked.names,
        tiles=tiling.tiles,
        model=model,
    )


def _check_arrays_of_tasks(da: Any) -> None:
    """Refuse a dask that makes no arrays of tasks: with query planning, blocks are of arrays alone (2026.8)."""
    try:
        da.from_delayed(_libraries.library("dask").delayed(1.0), shape=(), dtype=float)
    except NotImplementedError as error:
        raise ArgumentError(
            "dask must make arrays of tasks, which this release does not with query planning; start with "
            "DASK_ARRAY__QUERY_PLANNING=False in the environment, or give fill a function that reads the raster."
        ) from error


def _array_of(da: Any, image: Any) -> Any:
    """Return the dask array of an image, or one on an array."""
    data = getattr(image, "data", image) if hasattr(image, "dims") else image
    return data if hasattr(data, "__dask_graph__") else da.asarray(data)


def _read(data: Any) -> Reader:
    return lambda rows, columns: np.asarray(data[rows, columns])


@dataclass(frozen=True, eq=False)
class _Graph:
    """Makes the tasks of a raster, some for each tile and some that are shared, as a graph of dask's form.

    Attributes
    ----------
    tasks : dict
        By key.
    data : list of dask array
        The raster, and the noise variance if it is one, with cores for chunks.
    token : str
        What sets the names of these tasks apart from those of another raster.
    setting : str
        Key of what every task knows.
    tiles : tuple of Tile
        To begin with.
    near, beside : list of list of int
        By tile, the cores that its largest window shows, and those that the neighbours of its core are in.
    largest : list of Tile
        The tiles with the largest halos that they may have.
    passes : int
        Over the tiles.
    """

    tasks: dict[Any, Any]
    data: list[Any]
    token: str
    setting: str
    tiles: tuple[Tile, ...]
    near: list[list[int]]
    beside: list[list[int]]
    largest: list[Tile]
    passes: int

    @classmethod
    def of(cls, data: list[Any], setting: _tasks.Setting, tiles: tuple[Tile, ...], passes: int) -> "_Graph":
        """Return the graph's maker for a raster."""
        cuts, normals = setting.cuts, setting.normals
        given = (cuts.model, setting.variance, setting.count, normals, setting.tolerance, setting.mean_tolerance)
        token = _libraries.library("dask.base").tokenize(data, given, setting.upper, tiles, passes)[:12]
        largest = [_largest(setting.cuts, tile, setting.memory) for tile in tiles]
        near = [_touching(tiles, each.window) for each in largest]
        beside = [_touching(tiles, setting.cuts.around(tile.core)) for tile in tiles]
        cores = [each.rechunk(_sides(tiles)) for each in data]
        key = f"gmrf-setting-{token}"
        return cls({key: setting}, cores, token, key, tiles, near, beside, largest, passes)

    def images(self, da: Any, parts: list[Any], count: int) -> Any:
        """Return images ``(k, H, W)`` as a dask array whose chunks are the cores."""
        rows, columns = _sides(self.tiles)
        name = f"gmrf-image-{self.token}"
        chunks = {(name, 0, *divmod(number, len(columns))): part for number, part in enumerate(parts)}
        return self._array(da, name, chunks, ((count,), rows, columns))

    def numbers(self, da: Any, name: str, shape: tuple[int, ...], function: Callable[..., Any], *arguments: Any) -> Any:
        """Return a dask array of one chunk that a task makes."""
        key = self.once(name, function, *arguments)
        name = f"gmrf-array-{name}-{self.token}"
        return self._array(da, name, {(name, *(0 for _ in shape)): key}, tuple((length,) for length in shape))

    def _array(self, da: Any, name: str, chunks: dict[Any, Any], sizes: tuple[tuple[int, ...], ...]) -> Any:
        graphs = _libraries.library("dask.highlevelgraph").HighLevelGraph
        layer = graphs.from_collections(name, {**self.tasks, **chunks}, dependencies=self.data)
        return da.Array(layer, name, chunks=sizes, dtype=float)

    def build(self, asked: Trend, *, loglik: bool | None) -> "_Built":
        """Return what all tasks lead to.

        Parameters
        ----------
        asked : Trend
            Before anything is estimated.
        loglik : bool, optional
            Whether a transform knows the determinant of the field; None if no log-likelihood is wanted.
        """
        setting, tiles = self.setting, self.tiles
        seen = self.each("read", _tasks.read_block, *(_flat(data.__dask_keys__()) for data in self.data))
        sums = self.each("sums", _tasks.sums_of, setting, tiles, asked, seen)
        trend = self.once("trend", _tasks.trend_of, asked, sums)
        near, beside = self.patches(self.near, seen), self.patches(self.beside, seen)
        b = self.each("right", _tasks.right_of, setting, tiles, beside, trend)
        first = self.each("bounds", _tasks.first_of, setting, tiles, self.largest, near, self.patches(self.near, b))
        corrections = [self.each("correct0", _tasks.direction_of, first)]
        left = self._after(0, None, b, beside, corrections)
        for number in range(1, self.passes):
            around = self.patches(self.near, left)
            corrections.append(self.each(f"correct{number}", _tasks.correction_of, setting, first, near, around, trend))
            left = self._after(number, left, b, beside, corrections)
        own = [list(each) for each in zip(*corrections, strict=True)]
        weights = self.once("weights", _tasks.weights_of, self.each("products", _tasks.products_of, left, own))
        x = self.each("solution", _tasks.solution_of, own, weights)
        ends = self.each("end", _tasks.end_of, setting, first, near, self.patches(self.beside, x), b, trend)
        final = self.once("coefficients", _tasks.coefficients_of, ends, asked.shape)
        parts = None
        if loglik is not None:
            parts = self.each("likelihood", _tasks.likelihood_of, setting, first, near, trend, loglik)
        images = self.each("images", _tasks.images_on, setting, first, seen, x, final, trend)
        return _Built(images, final, ends, trend, parts)

    def _after(
        self, number: int, left: list[Any] | None, b: list[Any], beside: list[Any], corrections: list[Any]
    ) -> list[Any]:
        """Return what is left after a pass."""
        own = [list(each) for each in zip(*corrections, strict=True)]
        around = self.patches(self.beside, corrections[-1])
        before = b if left is None else left
        return self.each(f"left{number}", _tasks.left_of, self.setting, self.tiles, before, beside, around, own)

    def each(self, name: str, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return a task for each tile; of arguments that are lists, or the tiles, each has its own."""
        return [
            self._call(
                name, number, function, [each[number] if isinstance(each, list | tuple) else each for each in arguments]
            )
            for number in range(len(self.tiles))
        ]

    def once(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return a task that all tiles share."""
        return self._call(name, 0, function, arguments)

    def patches(self, numbers: list[list[int]], parts: Sequence[Any]) -> list[Any]:
        """Return for each tile some cores with what they have."""
        return [[[self.tiles[k].core, parts[k]] for k in shown] for shown in numbers]

    def _call(self, name: str, number: int, function: Callable[..., Any], arguments: Sequence[Any]) -> str:
        """Return the key of a task, which says what it does; it runs in the one thread that dask gives it."""
        key = f"gmrf-{name}-{self.token}-{number}"
        self.tasks[key] = (_Alone(function), *arguments)
        return key


@dataclass(frozen=True, eq=False)
class _Built:
    """Keys of tasks: images, ends and parts of the log-likelihood by tile, and what tiles share."""

    images: list[str]
    final: str
    ends: list[str]
    trend: str
    parts: list[str] | None


@dataclass(frozen=True)
class _Alone:
    """A function that is run as a task of the package's own: what it starts runs in its own thread."""

    function: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        found: list[Any] = []
        _threads.as_task(lambda: found.append(self.function(*arguments)))
        return found[0]


def _sides(tiles: Sequence[Tile]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return heights and widths of rows and columns of cores."""
    rows = [tile.core.shape[0] for tile in tiles if not tile.core.left]
    columns = [tile.core.shape[1] for tile in tiles if not tile.core.top]
    return tuple(rows), tuple(columns)


def _flat(keys: list[list[Any]]) -> list[Any]:
    return [key for row in keys for key in row]


def _largest(cuts: Cuts, tile: Tile, memory: int) -> Tile:
    """Return the tile with the largest halo that it may have."""
    return fitting(cuts, tile.with_halo(_ROOM * tile.halo, cuts.shape), memory)


def _touching(tiles: Sequence[Tile], window: Window) -> list[int]:
    return [tile.number for tile in tiles if tile.core.shared(window) is not None]


def _labelled(image: Any, values: Any) -> Any:
    """Return a dask array under the labels of a DataArray, if it was one."""
    return image.copy(data=values) if hasattr(image, "dims") else values


def _labelled_draws(image: Any, values: Any) -> Any:
    if not hasattr(image, "dims"):
        return values
    return image.expand_dims(sample=values.shape[0]).copy(data=values) if values.shape[0] else values
