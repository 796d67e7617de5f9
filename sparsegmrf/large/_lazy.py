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
from sparsegmrf.large._noise import Normals
from sparsegmrf.large._raster import Raster
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
    da = _libraries.library("dask.array")
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
    graph = _Graph.of(
        data, _tasks.Setting(cuts, variance, count, normals, tolerance, tiling.memory, upper), tiles, passes
    )
    asked = Trend.asked(covariates, cuts.model, shape)
    names, images, final, brackets, trend = asked.names, *graph.build(data, asked, mean_tolerance)
    whole = _assembled(da, images, tiles, 4 + count).rechunk({1: data.chunks[0], 2: data.chunks[1]})
    label = partial(_labelled, image)
    number = partial(da.from_delayed, dtype=float)
    return LazyResult(
        mean=label(whole[0]),
        std=label(whole[1]),
        std_lower=label(whole[2]),
        std_upper=label(whole[3]),
        mean_error=number(graph.once("error", _tasks.error_of, final), shape=()),
        samples=_labelled_draws(image, whole[4:]),
        coefficients=number(graph.once("beta", _tasks.beta_of, final, trend), shape=(len(names),)),
        widths=number(graph.once("widths", _tasks.widths_of, brackets), shape=(len(tiles),)),
        names=names,
        tiles=tiles,
        model=model,
    )


@dataclass(frozen=True, eq=False)
class _Graph:
    """Makes the tasks of a raster: some for each tile, and some that are shared.

    Attributes
    ----------
    delayed : callable
        Of dask.
    token : str
        What sets the names of these tasks apart from those of another raster.
    setting : delayed Setting
    tiles : tuple of Tile
        To begin with.
    near, beside : list of list of int
        By tile, the cores that its largest window shows, and those that the neighbours of its core are in.
    largest : list of Tile
        The tiles with the largest halos that they may have.
    passes : int
        Over the tiles.
    """

    delayed: Any
    token: str
    setting: Any
    tiles: tuple[Tile, ...]
    near: list[list[int]]
    beside: list[list[int]]
    largest: list[Tile]
    passes: int

    @classmethod
    def of(cls, data: Any, setting: _tasks.Setting, tiles: tuple[Tile, ...], passes: int) -> "_Graph":
        """Return the graph's maker for a raster."""
        delayed = _libraries.library("dask").delayed
        given = (setting.cuts.model, setting.variance, setting.count, setting.normals, setting.tolerance, setting.upper)
        token = _libraries.library("dask.base").tokenize(data, given, tiles, passes)[:12]
        largest = [_largest(setting.cuts, tile, setting.memory) for tile in tiles]
        near = [_touching(tiles, each.window) for each in largest]
        beside = [_touching(tiles, setting.cuts.around(tile.core)) for tile in tiles]
        return cls(delayed, token, delayed(setting, pure=True), tiles, near, beside, largest, passes)

    def build(self, data: Any, asked: Trend, tolerance: float) -> tuple[list[Any], Any, list[Any], Any]:
        """Return images by tile, the coefficients with bounds of errors, bounds by tile, and the trend."""
        setting, tiles = self.setting, self.tiles
        seen = self.each("read", _tasks.read_block, [data[tile.core.slices] for tile in tiles])
        sums = self.each("sums", _tasks.sums_of, setting, tiles, asked, seen)
        trend = self.once("trend", _tasks.trend_of, asked, sums)
        near, beside = self.patches(self.near, seen), self.patches(self.beside, seen)
        b = self.each("right", _tasks.right_of, setting, tiles, beside, trend)
        first = self.each("bounds", _tasks.first_of, setting, tiles, self.largest, near, self.patches(self.near, b))
        brackets, d = [each[0] for each in first], [each[1] for each in first]
        states, step = self.each("state", _tasks.State.of, b), None
        for number in range(self.passes):
            if number:
                r = self.patches(self.near, self.each(f"residual{number}", _tasks.residual_of, states))
                d = self.each(f"correct{number}", _tasks.correction_of, setting, brackets, near, r, step)
            around = self.patches(self.beside, d)
            made = self.each(f"product{number}", _tasks.product_of, setting, tiles, states, beside, around, d)
            step = self.once(f"step{number}", _tasks.step_of, [each[1] for each in made], step, tolerance, trend)
            states = self.each(f"update{number}", _tasks.updated, states, d, made, step)
        x = self.each("solution", _tasks.solution_of, states)
        ends = self.each("end", _tasks.end_of, setting, brackets, near, self.patches(self.beside, x), b, trend)
        final = self.once("coefficients", _tasks.coefficients_of, ends, brackets, asked.shape)
        return self.each("images", _tasks.images_on, setting, brackets, seen, x, final, trend), final, brackets, trend

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

    def _call(self, name: str, number: int, function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        """Return a task whose name says what it does; it runs in the one thread that dask gives it."""
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
