"""Variables of Zarr stores, and arrays in them that are in no group."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf._address import name_of, url_of
from sparsegmrf._cf import OF_RANGE, OF_STORED_VALUES, missing_in
from sparsegmrf._files import PathLike
from sparsegmrf._libraries import library
from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError, DataWarning, FileError
from sparsegmrf.geo._common import Bands, unreadable
from sparsegmrf.geo._dimensions import Selection
from sparsegmrf.geo._netcdf import NetCdf
from sparsegmrf.geo._variables import bounds_of, chosen_variable, image_of, order_of, single, with_ancestors

_MARKERS = ("zarr.json", ".zgroup", ".zarray", ".zmetadata")
"""Files that make a directory a Zarr store."""


def is_store(path: PathLike) -> bool:
    """Return whether a path is that of a Zarr store: a directory of one, or by its suffix."""
    if url_of(path) is None and Path(path).is_dir():
        return any((Path(path) / marker).is_file() for marker in _MARKERS)
    return name_of(path).lower().endswith((".zarr", ".zarr.zip"))


def read_zarr(
    path: PathLike,
    *,
    variable: str | None = None,
    index: Bands = None,
    select: Selection | None = None,
    at: Mapping[str, int] | None = None,
) -> NetCdf:
    """Read one variable of a Zarr store, of format 2 or 3, as an image.

    Missing is what the attributes of the variable call so, as of NetCDF. Of format 2 the fill value of an array is
    missing, too, unless it is 0, which is that of arrays for which none was given.

    Parameters
    ----------
    path : path
        The store: a directory, a ``.zip`` file or a URL.
    variable, index, select, at
        As of `read_netcdf`; an array by itself has no name.

    Returns
    -------
    NetCdf

    Raises
    ------
    MissingLibraryError
        If xarray or zarr is not installed.
    FileError
        If the store cannot be read.
    ArgumentError
        As `read_netcdf`.
    """
    xarray, zarr, address = library("xarray"), library("zarr"), url_of(path)
    file = name_of(path)
    try:
        with ExitStack() as opened:
            source = _source(zarr, path, address)
            whole = zarr.open(source, mode="r")
            plain = {"mask_and_scale": False, "decode_timedelta": False, "decode_coords": "all"}
            if hasattr(whole, "shape"):
                groups = {"": _alone(xarray, whole)}
            else:
                options: dict[str, Any] = {**plain, "consolidated": False, "chunks": None}
                groups = {
                    name: opened.enter_context(xarray.open_zarr(source, group=name or None, **options))
                    for name in _groups(whole)
                }
            group, name = chosen_variable(groups, variable, file)
            dataset = with_ancestors(groups, group)
            image, place = image_of(dataset[name], select or {}, index, file, at)
            known = _decoded(image, file)
            bounds, dims = bounds_of(known, dataset, place), order_of(dataset[name], known)
            return NetCdf(known, dict(groups[""].attrs), bounds, is_zarr=True, place=single(place), dims=dims)
    except ArgumentError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise unreadable(path, "a Zarr store", error) from error


def _source(zarr: Any, path: PathLike, address: str | None) -> Any:
    if address is not None:
        return address
    if not Path(path).exists():
        raise FileError(f"path must be an existing Zarr store, got {path}, which is none.")
    if Path(path).is_dir():
        return str(Path(path))
    store = getattr(zarr, "storage", zarr).ZipStore
    return store(str(Path(path)), mode="r")


def _groups(group: Any, name: str = "") -> Iterator[str]:
    yield name
    for key, each in group.groups():
        yield from _groups(each, f"{name}/{key}".lstrip("/"))


def _alone(xarray: Any, array: Any) -> Any:
    """Return an array that is in no group as the variable of a data set."""
    names = getattr(array.metadata, "dimension_names", None) if hasattr(array, "metadata") else None
    names = names or array.attrs.get("_ARRAY_DIMENSIONS")
    given = names if names and None not in names else None
    last = (*(f"dim_{k}" for k in range(array.ndim - 2)), "row", "column")
    attributes = {key: value for key, value in dict(array.attrs).items() if key != "_ARRAY_DIMENSIONS"}
    if array.fill_value is not None and np.ndim(array.fill_value) == 0 and not hasattr(array.metadata, "node_type"):
        attributes.setdefault("_FillValue", array.fill_value)
    found = xarray.Variable(given or last[-array.ndim :], array[...], attributes)
    return xarray.Dataset({"image": found})


def _decoded(image: Any, file: str) -> Any:
    """Return an image in its unit, NaN where its attributes say that it is missing."""
    values = image.values
    real_array("image", values.ravel()[:0])
    attributes = dict(image.attrs)
    fill, format2 = attributes.get("_FillValue"), "filters" in image.encoding or "compressor" in image.encoding
    if fill is not None and np.ndim(fill) == 0 and fill == 0 and format2 and "missing_value" not in attributes:
        attributes.pop("_FillValue")
        zeros = int((values == 0).sum())
        if zeros:
            warnings.warn(
                f"{zeros} values of {image.name} in {file} are 0, the fill value of its array, which arrays of Zarr "
                "format 2 have where none was given; they are taken as measured. If 0 marks missing pixels, pass "
                "--nodata=0, or mask=(image == 0).",
                DataWarning,
                stacklevel=3,
            )
    missing = missing_in(values, attributes, netcdf=False)
    scale, offset = float(attributes.get("scale_factor", 1.0)), float(attributes.get("add_offset", 0.0))
    known = values
    if str(attributes.get("_Unsigned", "false")).lower() == "true" and values.dtype.kind == "i":
        known = known.view(values.dtype.str.replace("i", "u"))
    if (scale, offset) != (1.0, 0.0):
        known = known.astype(np.float64) * scale + offset
    if missing.any():
        known = np.where(missing, np.nan, known.astype(np.result_type(known, np.float32)))
    found = image.copy(data=known)
    found.attrs = {key: value for key, value in image.attrs.items() if key not in (*OF_RANGE, *OF_STORED_VALUES)}
    kept = {key: attributes[key] for key in OF_STORED_VALUES if key in attributes}
    mapping = {key: value for key, value in image.encoding.items() if key in ("grid_mapping", "coordinates")}
    found.encoding = {**mapping, **kept, "dtype": values.dtype}
    return found
