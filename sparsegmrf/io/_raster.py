"""One reader for rasters of every format."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from sparsegmrf._files import PathLike
from sparsegmrf._libraries import has, library
from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.geo import Fits, GeoTiff, NetCdf, read_fits, read_geotiff, read_netcdf
from sparsegmrf.geo._common import Bands, unreadable
from sparsegmrf.geo._geotiff import quiet
from sparsegmrf.io._photograph import TIFF_STARTS, needs_rasterio, read_photograph, read_tiff
from sparsegmrf.io._picture import picture_of, read_array, read_arrays
from sparsegmrf.io._request import Request
from sparsegmrf.typing import BoolArray

PHOTOGRAPHS = ("BIGGIF", "BMP", "GIF", "JP2OpenJPEG", "JPEG", "PNG", "PNM", "SGI", "TGA", "WEBP", "XPM")
"""Formats of rasterio that are read through imageio unless they are placed on the ground."""


class Raster(Protocol):
    """An image of a file with NaN where it is missing, and how to write others like it."""

    @property
    def image(self) -> Any:
        """Array or DataArray, (H, W) or (H, W, C)."""

    @property
    def missing(self) -> BoolArray:
        """Where the file says that a channel has no data, (H, W)."""

    @property
    def unit(self) -> str:
        """Unit of the intensities; empty if it is not known."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of files in which `write` keeps what places the pixels; none if nothing does."""

    @property
    def stack_suffix(self) -> str:
        """Suffix of files with a stack of images."""

    def write(self, path: Path, image: Any, name: str = "", *, unit: str | None = None, exact: bool = False) -> None:
        """Write an image of the same pixels, whole or not at all."""


@dataclass(frozen=True)
class Format:
    """A format: how a file of it is known by its suffix or its first bytes, and what reads it."""

    suffixes: tuple[str, ...]
    starts: tuple[bytes, ...]
    read: Callable[[Path, Request], Raster]

    def is_that_of(self, path: Path, start: bytes) -> bool:
        """Return whether a file has this format."""
        return path.name.lower().endswith(self.suffixes) or start.startswith(self.starts)


def read(
    path: PathLike,
    *,
    channel: Bands = None,
    grey: bool = False,
    scale: str = "unit",
    variable: str | None = None,
    channel_axis: int | None = None,
) -> Raster:
    """Read an image from a file of any format, missing pixels as NaN.

    The format is known by the content of the file. GeoTIFF, and whatever else rasterio opens, has NaN where the
    no-data value, a mask, transparency or NaN says so; NetCDF where its conventions do; FITS where values are blank.
    Such values are in the unit of the file, scale and offset applied.

    Parameters
    ----------
    path : path
        The file.
    channel : int, sequence of int or "all", optional
        Channel, band, page, or position along a leading dimension such as time, from 0; or several of them, which make
        an image ``(H, W, C)``. May be left out if there is one only. Transparency is no channel.
    grey : bool
        Take the luminance ``0.2125 R + 0.7154 G + 0.0721 B`` of a colour image.
    scale : {"unit", "none"}
        With ``"unit"`` 8- and 16-bit counts of pictures that are placed nowhere are divided by 255 and 65535.
    variable : str, optional
        Variable of a NetCDF or ``.npz`` file, or extension of a FITS file; needed where several are images.
    channel_axis : int, optional
        Axis that holds the channels of a ``.npy`` or ``.npz`` file; other formats say so themselves. Needed where the
        first axis is the shortest.

    Returns
    -------
    Raster
        `GeoTiff`, `NetCdf`, `Fits` or `Picture`: its ``image`` is ``(H, W)`` or ``(H, W, C)``, ``missing`` is
        ``(H, W)``, ``unit`` a text, and ``write(path, image)`` writes another image on the same ground.

    Raises
    ------
    FileError
        If the file is missing or cannot be read.
    ArgumentError
        If there are several channels or variables and none is chosen, or not that one.
    ImageLayoutError
        If it cannot be told which axis of an array holds the channels.
    ModuleNotFoundError
        If the library for the format is not installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(folder + "/ramp.npy", np.arange(6.0).reshape(2, 3))
    ...     read(folder + "/ramp.npy").image.tolist()
    [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    one_of("scale", scale, ("unit", "none"))
    source, request = Path(path), Request(channel, grey, scale, variable, channel_axis)
    if source.is_dir():
        raise FileError(f"path must be an existing image file, got {path}, which is a directory.")
    if not source.is_file():
        raise FileError(
            f"path must be an existing image file (.tif, .nc, .fits, .png, .npy), got {path}, which is none."
        )
    try:
        with source.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise FileError(f"path must be an image file, got {path}, which cannot be read: {error.strerror}") from error
    for each in FORMATS:
        if each.is_that_of(source, start):
            return each.read(source, request)
    return _rasterio_first(source, request, start)


def read_mask(path: PathLike, *, like: Raster | None = None) -> BoolArray:
    """Read a mask ``(H, W)`` from an image file: every pixel that is not zero is missing.

    Missing is also what the mask itself has no data for, unless zero is its no-data value.

    Parameters
    ----------
    path : path
        The file, of any format that `read` knows.
    like : Raster, optional
        The image that is masked. A mask of other pixels is refused, and so is one that lies elsewhere, if both say
        where they lie; a NetCDF variable is laid along the image's dimensions.

    Returns
    -------
    ndarray of bool, (H, W)
        True where missing.

    Raises
    ------
    FileError
        If the file is missing or is no image.
    ArgumentError
        If it holds several channels or variables, or does not belong to the image.
    """
    try:
        mask = read(path, scale="none")
    except FileError:
        raise
    except ArgumentError as error:
        raise ArgumentError(
            f"mask must be one image, got {path}, which cannot be read as one: {error} Write it to a file of its own."
        ) from error
    marked = _is_marked(mask)
    if isinstance(like, NetCdf) and isinstance(mask, NetCdf) and mask.image.dims == like.image.dims[1::-1]:
        marked = marked.T
    if like is not None and marked.shape != tuple(like.image.shape[:2]):
        raise ArgumentError(
            f"mask must have the shape of the image {tuple(like.image.shape[:2])}, got {path} of {marked.shape}."
        )
    for kind in (GeoTiff, NetCdf, Fits):
        if isinstance(like, kind) and isinstance(mask, kind) and not cast(Any, like).same_ground(mask):
            raise ArgumentError(
                f"mask must lie on the ground of the image, got {path}, whose coordinates are others; warp it onto the "
                "image first."
            )
    return marked


def _is_marked(mask: Raster) -> BoolArray:
    nothing: object = None
    if isinstance(mask, GeoTiff):
        nothing = mask.nodata
    elif isinstance(mask, NetCdf):
        nothing = mask.image.encoding.get("_FillValue")
    elif isinstance(mask, Fits):
        nothing = mask.header.get("BLANK")
    values = np.asarray(mask.image, dtype=np.float64)
    marked = values != 0.0
    return np.asarray(marked & ~np.isnan(values)) if nothing is not None and nothing == 0 else marked


def _netcdf(path: Path, request: Request) -> Raster:
    request.refuse_grey(path.name)
    request.refuse_axis(path.name)
    return read_netcdf(path, variable=request.variable, index=request.channel)


def _fits(path: Path, request: Request) -> Raster:
    request.refuse_grey(path.name)
    request.refuse_axis(path.name)
    return read_fits(path, extension=request.variable, plane=request.channel)


FORMATS = (
    Format((".npy",), (b"\x93NUMPY",), read_array),
    Format((".npz",), (b"PK\x03\x04",), read_arrays),
    Format((".nc", ".nc4", ".cdf"), (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF\r\n\x1a\n"), _netcdf),
    Format((".fits", ".fit", ".fts", ".fits.gz", ".fits.fz"), (b"SIMPLE  =",), _fits),
)
"""Formats of one reader each; what is none of them is asked of rasterio, and then of imageio."""


def _rasterio_first(path: Path, request: Request, start: bytes) -> Raster:
    """Read what rasterio opens and says lies on the ground; the pictures among the rest as pictures."""
    is_tiff = start.startswith(TIFF_STARTS)
    picture = read_tiff if is_tiff else read_photograph
    if not has("rasterio"):
        if is_tiff and needs_rasterio(path):
            library("rasterio")
        return picture(path, request)
    rasterio = library("rasterio")
    try:
        with quiet(rasterio), rasterio.open(path) as source:
            placed = _is_placed(source)
            hidden = None if placed else _hidden(rasterio, source)
            if not placed and _is_decoded_better(source):
                return _decoded(rasterio, source, path, request, hidden)
    except rasterio.errors.RasterioError as error:
        if is_tiff and needs_rasterio(path):  # as a picture it would lose its ground and what is missing
            raise unreadable(path, "a raster", error) from error
        return picture(path, request)
    if not placed:
        return picture(path, request, hidden)
    request.refuse_grey(path.name)
    request.refuse_variable(path.name)
    request.refuse_axis(path.name)
    return read_geotiff(path, band=request.channel)


def _is_placed(source: Any) -> bool:
    """Return whether a raster lies on the ground, or has a unit, scale or no-data value: is more than a picture."""
    if source.crs or not source.transform.is_identity or source.gcps[0] or source.rpcs is not None:
        return True
    if source.driver != "GTiff":
        return source.driver not in PHOTOGRAPHS
    told: Mapping[str, str] = source.tags()
    return (
        any(value is not None for value in source.nodatavals)
        or any(scale != 1.0 for scale in source.scales)
        or any(offset != 0.0 for offset in source.offsets)
        or any(source.units)
        or any(source.descriptions)
        or any(key != "AREA_OR_POINT" and not key.startswith("TIFFTAG_") for key in told)
    )


def _is_decoded_better(source: Any) -> bool:
    """Return whether rasterio is to decode a picture: one page of a TIFF in any compression, colours of 16 bits."""
    if source.driver == "GTiff":
        described = source.tags().get("TIFFTAG_IMAGEDESCRIPTION", "")
        return not source.subdatasets and not described.startswith("ImageJ=")
    return bool(source.driver == "PNG" and source.count > 1 and source.dtypes[0] == "uint16")


def _decoded(rasterio: Any, source: Any, path: Path, request: Request, hidden: BoolArray | None) -> Raster:
    request.refuse_variable(path.name)
    request.refuse_axis(path.name)
    alpha = rasterio.enums.ColorInterp.alpha
    opacity = [k for k, kind in enumerate(source.colorinterp) if kind == alpha and source.count > 1]
    bands = [k for k in range(source.count) if k not in opacity]
    array = np.stack([source.read(k + 1) for k in bands], axis=-1)
    if source.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1":
        array = array != 0  # bits are no counts of 255
    return picture_of(
        array[..., 0] if len(bands) == 1 else array,
        replace(request, channel_axis=None if len(bands) == 1 else -1),
        path,
        ".tif",
        alpha=source.read(opacity[0] + 1) if opacity else None,
        hidden=hidden,
    )


def _hidden(rasterio: Any, source: Any) -> BoolArray | None:
    """Return what a mask hides; transparency is told by the picture itself."""
    flags = {flag for each in source.mask_flag_enums for flag in each}
    if flags <= {rasterio.enums.MaskFlags.all_valid}:
        return None
    return np.asarray(source.dataset_mask() == 0)
