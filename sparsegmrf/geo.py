"""GeoTIFF through rasterio and NetCDF through xarray: what places the pixels on the ground is kept.

Both libraries are optional: ``pip install "sparsegmrf[geo]"``.
"""

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf._files import PathLike, replacing
from sparsegmrf._validate import integer_at_least, real_array
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.typing import ArrayLike, FloatArray

LIBRARIES = ("rasterio", "xarray")
"""Libraries of the extra, imported when a file of theirs is read or written."""

_STORAGE = ("zlib", "complevel", "shuffle")


@dataclass(frozen=True, eq=False)
class GeoTiff:
    """One band of a GeoTIFF, and what other rasters of the same ground need.

    Attributes
    ----------
    image : ndarray, (H, W)
        Stored values times scale plus offset, in `unit`; NaN where the file has no data (nodata value, mask, NaN).
    band : int
        Number of the band, from 0.
    name, unit : str
        Description and unit of the band; empty if the file has none.
    nodata : float or None
        Stored value that stands for no data.
    dtype : numpy.dtype
        Type of the stored values.
    georeference : dict
        ``crs``, ``transform``, ground control points and the ``AREA_OR_POINT`` tag, as rasterio has them.
    """

    image: FloatArray
    band: int
    name: str
    unit: str
    nodata: float | None
    dtype: np.dtype[Any]
    georeference: dict[str, Any]

    def write(self, path: PathLike, image: ArrayLike, name: str = "") -> None:
        """Write images of the same ground as a GeoTIFF of floats, whole or not at all.

        Values are written as they are, so that the file needs no scale or offset: as float32 if that holds the
        values of the file read, or else as float64. NaN becomes the nodata value of the file read, if it had one and no
        image takes it; otherwise NaN is the nodata value.

        Parameters
        ----------
        path : path
            The file.
        image : array_like, (H, W) or (K, H, W)
            One or several bands, in `unit`.
        name : str
            Description of the bands.

        Raises
        ------
        ArgumentError
            If the shape is another one.
        FileError
            If the directory does not exist.
        """
        rasterio = _library("rasterio")
        array = real_array("image", image)
        if array.ndim not in (2, 3) or array.shape[-2:] != self.image.shape:
            raise ArgumentError(f"image must have the pixels of the file read, {self.image.shape}, got {array.shape}.")
        bands = array[np.newaxis] if array.ndim == 2 else array
        nodata = np.nan if self.nodata is None or bool((bands == self.nodata).any()) else self.nodata
        dtype = np.result_type(self.dtype, np.float32)
        with replacing(path) as temporary, _without_georeference(rasterio):
            profile = {"driver": "GTiff", "dtype": dtype, "compress": "deflate", "BIGTIFF": "IF_SAFER"}
            height, width = self.image.shape
            placed = {key: self.georeference[key] for key in ("crs", "transform")}
            with rasterio.open(
                temporary, "w", count=len(bands), height=height, width=width, nodata=nodata, **profile, **placed
            ) as target:
                points, crs = self.georeference["gcps"]
                if points:
                    target.gcps = (points, crs)
                target.update_tags(AREA_OR_POINT=self.georeference["area_or_point"])
                target.write(np.where(np.isnan(bands), nodata, bands).astype(dtype))
                for k in range(1, len(bands) + 1):
                    target.set_band_description(k, name if len(bands) == 1 else f"{name} {k}".strip())
                target.units = [self.unit] * len(bands)


def read_geotiff(path: PathLike, *, band: int | None = None) -> GeoTiff:
    """Read one band of a GeoTIFF, or of any other raster that rasterio opens.

    Parameters
    ----------
    path : path
        The file.
    band : int, optional
        Number of the band, from 0; may be left out if there is one only.

    Returns
    -------
    GeoTiff

    Raises
    ------
    ModuleNotFoundError
        If rasterio is not installed.
    FileError
        If the file cannot be read.
    ArgumentError
        If there is no such band, or there are several and none is chosen.

    Examples
    --------
    >>> import rasterio, tempfile
    >>> profile = {"driver": "GTiff", "count": 1, "height": 2, "width": 3, "dtype": "int16", "nodata": -9999}
    >>> ground = {"crs": "EPSG:32633", "transform": rasterio.Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with rasterio.open(folder + "/elevation.tif", "w", **profile, **ground) as target:
    ...         target.write(np.array([[[310, 312, -9999], [309, 311, 315]]], dtype=np.int16))
    ...     source = read_geotiff(folder + "/elevation.tif")
    ...     source.write(folder + "/doubled.tif", 2.0 * source.image)
    ...     read_geotiff(folder + "/doubled.tif").image.tolist()
    [[620.0, 624.0, nan], [618.0, 622.0, 630.0]]
    """
    rasterio = _library("rasterio")
    _check_file(path)
    try:
        with _without_georeference(rasterio), rasterio.open(path) as source:
            k = _chosen("bands", Path(path).name, source.count, band)
            stored = source.read(k + 1, masked=True)
            values = np.asarray(real_array("image", stored.data)) * source.scales[k] + source.offsets[k]
            return GeoTiff(
                image=np.where(np.ma.getmaskarray(stored), np.nan, values),
                band=k,
                name=source.descriptions[k] or "",
                unit=source.units[k] or "",
                nodata=source.nodatavals[k],
                dtype=stored.dtype,
                georeference={
                    "crs": source.crs,
                    "transform": source.transform,
                    "gcps": source.gcps,
                    "area_or_point": source.tags().get("AREA_OR_POINT", "Area"),
                },
            )
    except rasterio.errors.RasterioError as error:
        raise _unreadable(path, "a raster", error) from error


@dataclass(frozen=True, eq=False)
class NetCdf:
    """One variable of a NetCDF file, and what other variables of the same grid need.

    Attributes
    ----------
    image : xarray.DataArray, (H, W)
        The variable, packed values unpacked, NaN where it has none; with its coordinates and grid mapping.
    attributes : dict
        Attributes of the whole file.
    """

    image: Any
    attributes: dict[str, Any]

    def write(self, path: PathLike, array: Any) -> None:
        """Write a variable of the same grid as NetCDF, whole or not at all.

        Floats keep the fill value and the compression of the variable read; what was packed in integers is written as
        floats.

        Parameters
        ----------
        path : path
            The file.
        array : xarray.DataArray
            Such as an image of the `FillResult` of `image`.

        Raises
        ------
        FileError
            If the directory does not exist.
        """
        written = array.copy(deep=False) if array.name is not None else array.rename("image")
        stored = self.image.encoding
        written.encoding = {**array.encoding, **{key: stored[key] for key in _STORAGE if key in stored}}
        fill_value = stored.get("_FillValue")
        if fill_value is not None and np.issubdtype(stored.get("dtype", np.float64), np.floating):
            written.encoding["_FillValue"] = np.nan if bool((array == fill_value).any()) else fill_value
        with replacing(path) as temporary:
            written.to_dataset().assign_attrs(self.attributes).to_netcdf(temporary)


def read_netcdf(path: PathLike, *, variable: str | None = None, index: int | None = None) -> NetCdf:
    """Read one variable of a NetCDF file as an image.

    Parameters
    ----------
    path : path
        The file.
    variable : str, optional
        Name of the variable; may be left out if one only has two dimensions or more.
    index : int, optional
        Position from 0 along a leading dimension, such as time, of a variable with three; may be left out if it is of
        length 1.

    Returns
    -------
    NetCdf

    Raises
    ------
    ModuleNotFoundError
        If xarray is not installed.
    FileError
        If the file cannot be read.
    ArgumentError
        If there is no such variable or it is no image, or there are several and none is chosen.

    Examples
    --------
    >>> import tempfile, xarray
    >>> stack = xarray.DataArray(np.arange(24.0).reshape(2, 3, 4), dims=("time", "lat", "lon"), name="sst")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     stack.to_netcdf(folder + "/sst.nc")
    ...     read_netcdf(folder + "/sst.nc", index=1).image.sizes["lon"]
    4
    """
    xarray = _library("xarray")
    _check_file(path)
    try:
        with xarray.open_dataset(path, decode_coords="all", decode_timedelta=False) as dataset:
            name = _chosen_variable(dataset, variable, Path(path).name)
            array = dataset[name]
            leading = [int(size) for size in array.shape[:-2]]
            if len(leading) > 1 and int(np.prod(leading)) > max(leading):
                raise ArgumentError(
                    f"{name} of {Path(path).name} must have two dimensions and at most one more, got "
                    f"{dict(array.sizes)}; write one slice to a file of its own first."
                )
            label = " and ".join(str(dim) for dim in array.dims[:-2]) or "leading dimension"
            k = _chosen(f"positions along {label}", f"{name} of {Path(path).name}", int(np.prod(leading)), index)
            chosen = {dim: k if size > 1 else 0 for dim, size in zip(array.dims[:-2], leading, strict=True)}
            image = array.isel(chosen).load()
            real_array("image", image.values.ravel()[:0])
            return NetCdf(image, dict(dataset.attrs))
    except ArgumentError:
        raise
    except (OSError, ValueError) as error:
        raise _unreadable(path, "a NetCDF file", error) from error


def _chosen_variable(dataset: Any, variable: str | None, file: str) -> str:
    images = [str(name) for name, array in dataset.data_vars.items() if array.ndim >= 2]
    if variable is None and len(images) == 1:
        return images[0]
    if variable not in images:
        given = "none" if variable is None else variable
        raise ArgumentError(
            f"variable must be one of {', '.join(images)} of {file}, got {given}."
            if images
            else f"variable must have two dimensions, but {file} has none that does."
        )
    return variable


def _chosen(what: str, name: str, count: int, number: int | None) -> int:
    if number is None and count == 1:
        return 0
    if number is None:
        raise ArgumentError(f"{name} has {count} {what}; choose one with channel 0 to {count - 1}.")
    if integer_at_least("channel", number, 0) >= count:
        raise ArgumentError(f"channel must be 0 to {count - 1} for {name} with {count} {what}, got {number}.")
    return number


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ModuleNotFoundError(
            f'this format needs {name}; install it with: pip install "sparsegmrf[geo]"', name=name
        ) from None


@contextmanager
def _without_georeference(rasterio: Any) -> Iterator[None]:
    """Let pass what rasterio has to say about a raster that is placed nowhere: it stays one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        yield


def _check_file(path: PathLike) -> None:
    if not Path(path).is_file():
        raise FileError(f"path must be an existing file, got {path}, which is none.")


def _unreadable(path: PathLike, kind: str, error: Exception) -> FileError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return FileError(f"path must be {kind}, got {path}, which cannot be read: {reason}")
