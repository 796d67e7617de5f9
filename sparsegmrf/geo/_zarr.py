"""Zarr groups of images on the ground of a raster, block by block, as xarray and rioxarray have them."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf._files import PathLike, replacing
from sparsegmrf._libraries import library
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.geo._convert import coordinates_of
from sparsegmrf.geo._windows import RasterWindows, Source

_CHUNK = 512
"""Side in pixels of the chunks."""
_BLOCK = 1024
"""Side in pixels of what is written at a time: whole chunks."""


def check_ground(raster: RasterWindows) -> None:
    """Refuse a raster whose place coordinates of rows and columns do not say.

    Raises
    ------
    ArgumentError
        If it is turned, or placed by ground control points or polynomials.
    """
    transform, points = raster.georeference["transform"], raster.georeference["gcps"][0]
    turned = transform.b != 0.0 or transform.d != 0.0
    if turned or points or raster.georeference.get("rpcs") is not None:
        raise ArgumentError(
            "out must be a directory of GeoTIFFs for a raster that is turned or placed by control points, got a Zarr "
            "group, which has a coordinate per row and column."
        )


def write_zarr(
    path: PathLike, sources: Mapping[str, tuple[Source, str]], draws: list[Source], like: RasterWindows, about: str
) -> None:
    """Write images on the ground of a raster as one Zarr group with coordinates, block by block.

    The group appears under its name once it is complete and what was written has been read again. It is of format 3
    with a Zarr library that knows it, has no consolidated metadata, and coordinates and ``spatial_ref`` as rioxarray
    writes them.

    Parameters
    ----------
    path : path
        The group, which must not exist.
    sources : dict of (function, str)
        By name of the variable what returns rows and columns of it, twice the same, and its long name.
    draws : list of function
        Of the variable ``samples``, if there are any.
    like : RasterWindows
        The raster, open.
    about : str
        JSON that says how they were made: an attribute of the group.

    Raises
    ------
    ArgumentError
        If the raster is turned, or placed by control points.
    FileError
        If the group exists, its directory does not, or it cannot be written.
    """
    check_ground(like)
    if Path(path).exists():
        raise FileError(f"path must be a Zarr group that does not exist yet, got {path}; remove it, or take another.")
    with replacing(path) as temporary:
        try:
            _create(temporary, sources, len(draws), like, about)
            for rows, columns in _blocks(like.shape):
                place = {"y": rows, "x": columns}
                _on(sources, draws, like, rows, columns).to_zarr(temporary, region=place, consolidated=False)
            _check(temporary, sources, draws, like)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _blocks(shape: tuple[int, int]) -> list[tuple[slice, slice]]:
    return [
        (slice(top, min(top + _BLOCK, shape[0])), slice(left, min(left + _BLOCK, shape[1])))
        for top in range(0, shape[0], _BLOCK)
        for left in range(0, shape[1], _BLOCK)
    ]


def _create(path: Path, sources: Mapping[str, tuple[Source, str]], count: int, like: RasterWindows, about: str) -> None:
    """Write what the group is of: sizes, coordinates and attributes, and no values."""
    xarray, da = library("xarray"), library("dask.array")
    height, width = like.shape
    chunks = (min(_CHUNK, height), min(_CHUNK, width))
    empty = da.full(like.shape, np.nan, dtype=like.dtype, chunks=chunks)
    attributes = {"units": like.unit} if like.unit else {}
    variables: dict[str, Any] = {
        name: (("y", "x"), empty, {"long_name": long_name, **attributes}) for name, (_, long_name) in sources.items()
    }
    if count:
        several = da.full((count, *like.shape), np.nan, dtype=like.dtype, chunks=(1, *chunks))
        variables["samples"] = (("sample", "y", "x"), several, {"long_name": "draws", **attributes})
    dataset = xarray.Dataset(
        variables,
        coords=coordinates_of(like.georeference["transform"], like.georeference["crs"], like.shape),
        attrs={**like.tags, "sparsegmrf": about},
    )
    for variable in dataset.data_vars.values():
        sides = chunks if variable.ndim == 2 else (1, *chunks)
        variable.encoding = {"chunks": sides, "_FillValue": np.nan, "grid_mapping": "spatial_ref"}
    version = 3 if int(library("zarr").__version__.split(".")[0]) > 2 else 2
    dataset.to_zarr(path, compute=False, mode="w-", zarr_format=version, consolidated=False)


def _on(
    sources: Mapping[str, tuple[Source, str]], draws: list[Source], like: RasterWindows, rows: slice, columns: slice
) -> Any:
    """Return a block of all images."""
    found: dict[str, Any] = {
        name: (("y", "x"), source(rows, columns).astype(like.dtype)) for name, (source, _) in sources.items()
    }
    if draws:
        values = np.array([draw(rows, columns) for draw in draws]).astype(like.dtype)
        found["samples"] = (("sample", "y", "x"), values)
    return library("xarray").Dataset(found)


def _check(path: Path, sources: Mapping[str, tuple[Source, str]], draws: list[Source], like: RasterWindows) -> None:
    with library("xarray").open_zarr(path, consolidated=False, chunks=None) as written:
        for rows, columns in _blocks(like.shape):
            for name, variable in _on(sources, draws, like, rows, columns).data_vars.items():
                found = written[name].isel(y=rows, x=columns).values
                if not np.array_equal(found, variable.values, equal_nan=True):
                    raise OSError(f"what stands in rows {rows.start} to {rows.stop - 1} is not what was written")
