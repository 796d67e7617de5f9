"""The formats: how a file of each is known, what reads it, and what writes an image that lies nowhere to it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo import (
    read_fits,
    read_netcdf,
    read_nifti,
    read_zarr,
    write_fits,
    write_netcdf,
    write_nifti,
    write_zarr,
)
from sparsegmrf.io._numpy import read_array, read_arrays
from sparsegmrf.io._photograph import TIFF_STARTS
from sparsegmrf.io._plain import Writer, write_array, write_arrays, write_png, write_tiff
from sparsegmrf.io._raster import Raster
from sparsegmrf.io._rasterio import rasterio_first
from sparsegmrf.io._request import Request


@dataclass(frozen=True)
class Format:
    """A format: how a file of it is known, what reads it, and what writes it.

    `read` and `write` of this package take one of one's own as ``format=``.

    Attributes
    ----------
    name : str
        What it is called in messages.
    suffixes : tuple of str
        Of its files, in lower case; the first one is that of new files.
    starts : tuple of bytes
        What its files begin with, which is asked before the suffix.
    read : callable
        Takes the file and what is wanted of it, a `Request`, and returns a `Raster`, as `picture_of` makes of an array.
    write : callable, optional
        Takes the file, an image that lies nowhere, its name and its unit; by `replacing` it is written whole or not at
        all.
    """

    name: str
    suffixes: tuple[str, ...]
    starts: tuple[bytes, ...]
    read: Callable[[Path, Request], Raster]
    write: Writer | None = None


def _netcdf(path: Path, request: Request) -> Raster:
    request.refuse_grey(path.name)
    request.refuse_axis(path.name)
    return read_netcdf(path, variable=request.variable, index=request.channel, select=request.select)


def _zarr(path: Path, request: Request) -> Raster:
    request.refuse_grey(path.name)
    request.refuse_axis(path.name)
    return read_zarr(path, variable=request.variable, index=request.channel, select=request.select)


def _nifti(path: Path, request: Request) -> Raster:
    request.refuse_grey(path.name)
    request.refuse_axis(path.name)
    request.refuse_variable(path.name)
    return read_nifti(path, plane=request.channel, select=request.select)


def _fits(path: Path, request: Request) -> Raster:
    request.refuse_grey(path.name)
    request.refuse_axis(path.name)
    request.refuse_select(path.name)
    return read_fits(path, extension=request.variable, plane=request.channel)


def check_format(format: object) -> None:
    """Refuse what is no format of one's own, nor None."""
    if format is not None and not isinstance(format, Format):
        raise ArgumentError(
            f"format must be a sparsegmrf.io.Format, got {format!r}; leave it out for those of the table."
        )


_HDF5 = b"\x89HDF\r\n\x1a\n"

FORMATS = (
    Format("GeoTIFF", (".tif", ".tiff"), TIFF_STARTS, rasterio_first, write_tiff),
    Format(
        *("NetCDF", (".nc", ".nc4", ".cdf"), (b"CDF\x01", b"CDF\x02", b"CDF\x05", _HDF5), _netcdf, write_netcdf),
    ),
    Format("Zarr", (".zarr", ".zarr.zip"), (), _zarr, write_zarr),
    Format("FITS", (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz"), (b"SIMPLE  =",), _fits, write_fits),
    Format("NIfTI", (".nii", ".nii.gz"), (), _nifti, write_nifti),
    Format("PNG", (".png",), (b"\x89PNG",), rasterio_first, write_png),
    Format("JPEG", (".jpg", ".jpeg"), (b"\xff\xd8\xff",), rasterio_first),
    Format("NumPy", (".npy",), (b"\x93NUMPY",), read_array, write_array),
    Format("NumPy archive", (".npz",), (b"PK\x03\x04",), read_arrays, write_arrays),
    Format("ESRI ASCII grid", (".asc",), (b"ncols",), rasterio_first),
    Format("ENVI", (".bsq", ".bil", ".bip"), (), rasterio_first),
    Format("HFA", (".img",), (b"EHFA_HEADER_TAG",), rasterio_first),
    Format("VRT", (".vrt",), (b"<VRTDataset",), rasterio_first),
    Format("NITF", (".ntf", ".nitf"), (b"NITF", b"NSIF"), rasterio_first),
    Format("JPEG 2000", (".jp2", ".j2k"), (b"\x00\x00\x00\x0cjP  ", b"\xff\x4f\xff\x51"), rasterio_first),
)
"""What is none of them is asked of rasterio, and then of imageio."""


def row_of(name: str) -> Format:
    """Return a format of the table."""
    return next(each for each in FORMATS if each.name == name)
