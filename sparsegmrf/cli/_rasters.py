"""Rasters as the commands read and write them: what is made of a file is written in the format of that file."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tifffile

from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.geo import GeoTiff, NetCdf, read_geotiff, read_netcdf
from sparsegmrf.io import read_image, write_image
from sparsegmrf.typing import FloatArray

_NETCDF = (".nc", ".nc4", ".cdf")
_GEOTIFF = (33550, 33922, 34264, 34735, 42112, 42113)
"""TIFF tags: pixel scale, tie points, transformation, geokeys; GDAL's metadata (scale, offset) and no-data value."""


class Raster(Protocol):
    """An image with NaN where it is missing, and how to write others like it."""

    @property
    def image(self) -> Any:
        """Array or DataArray, (H, W)."""

    @property
    def unit(self) -> str:
        """Unit of the intensities."""

    @property
    def suffix(self) -> str:
        """Suffix of files with one image."""

    @property
    def stack_suffix(self) -> str:
        """Suffix of files with a stack of images."""

    def write(self, path: Path, values: Any, name: str) -> None:
        """Write an image or a stack of them, whole or not at all."""


@dataclass(frozen=True, eq=False)
class Plain:
    """Pixels placed nowhere."""

    image: FloatArray
    unit: str
    suffix: str
    stack_suffix: str = ".npy"

    def write(self, path: Path, values: Any, name: str) -> None:
        """Write every digit."""
        write_image(path, values)


@dataclass(frozen=True, eq=False)
class Placed:
    """A band of a GeoTIFF."""

    source: GeoTiff
    suffix: str = ".tif"
    stack_suffix: str = ".tif"

    @property
    def image(self) -> FloatArray:
        """The band."""
        return self.source.image

    @property
    def unit(self) -> str:
        """Unit of the band."""
        return self.source.unit or "intensity"

    def write(self, path: Path, values: Any, name: str) -> None:
        """Write on the same ground."""
        self.source.write(path, values, name)


@dataclass(frozen=True, eq=False)
class Gridded:
    """A variable of a NetCDF file."""

    source: NetCdf
    suffix: str = ".nc"
    stack_suffix: str = ".nc"

    @property
    def image(self) -> Any:
        """The variable, a DataArray."""
        return self.source.image

    @property
    def unit(self) -> str:
        """Unit of the variable."""
        return str(self.source.image.attrs.get("units", "intensity"))

    def write(self, path: Path, values: Any, name: str) -> None:
        """Write on the same grid."""
        self.source.write(path, values)


def read_raster(
    path: Path, *, channel: int | None = None, grey: bool = False, raw: bool = False, variable: str | None = None
) -> Raster:
    """Read a raster by what it is: NetCDF, GeoTIFF, arrays of an .npz file, or an image that is placed nowhere."""
    suffix = path.suffix.lower()
    if variable is not None and suffix not in (*_NETCDF, ".npz"):
        raise ArgumentError(f"variable is for NetCDF and .npz, got {variable} for {path.name}; leave it out.")
    placed = suffix in (".tif", ".tiff") and _is_geotiff(path)
    if grey and (placed or suffix in (*_NETCDF, ".npz")):
        raise ArgumentError(f"grey is for colour images, got {path.name}; choose a channel.")
    if suffix in _NETCDF:
        return Gridded(read_netcdf(path, variable=variable, index=channel))
    if placed:
        return Placed(read_geotiff(path, band=channel))
    if suffix == ".npz":
        return Plain(_array_of(path, variable), "intensity", ".npy")
    read = read_image(path, channel=channel, grey=grey, scale="none" if raw else "unit")
    unit = "intensity" if read.divisor == 1.0 else f"intensity (counts / {read.divisor:g})"
    return Plain(read.pixels, unit, ".npy" if suffix == ".npy" else ".tif")


def _is_geotiff(path: Path) -> bool:
    try:
        with tifffile.TiffFile(path) as file:
            tags = file.pages.first.tags
            return any(code in tags for code in _GEOTIFF)
    except (
        Exception
    ):  # decoders raise whatever they like; what is wrong with the file is told when it is read as an image
        return False


def _array_of(path: Path, variable: str | None) -> FloatArray:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise FileError(f"path must be an .npz file, got {path}, which cannot be read: {error}") from error
    images = [name for name, array in found.items() if array.ndim == 2]
    if variable is None and len(images) == 1:
        return real_array("image", found[images[0]])
    if variable not in images:
        given = "none" if variable is None else variable
        raise ArgumentError(f"variable must be one of {', '.join(images) or 'none'} of {path.name}, got {given}.")
    return real_array("image", found[variable])
