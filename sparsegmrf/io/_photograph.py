"""PNG, JPEG and the like, and TIFF without a ground, through imageio."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegmrf._libraries import library
from sparsegmrf.errors import FileError, ImageLayoutError
from sparsegmrf.geo._common import unreadable
from sparsegmrf.io._picture import Picture, picture_of
from sparsegmrf.io._request import Request
from sparsegmrf.typing import BoolArray

TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""Classic and big files, both byte orders."""

_GEOTIFF = (33550, 33922, 34264, 34735, 42112, 42113)
"""TIFF tags: pixel scale, tie points, transformation, geokeys; GDAL's metadata (scale, offset) and no-data value."""
_ALPHA = (1, 2)
"""Values of the TIFF tag of extra samples that mean opacity."""
_MASK_PAGE = 4


def read_photograph(path: Path, request: Request, hidden: BoolArray | None = None) -> Picture:
    """Read a picture that is no TIFF."""
    request.refuse_variable(path.name)
    request.refuse_select(path.name)
    request.refuse_axis(path.name)
    try:
        iio = library("imageio.v3")
        array = np.asarray(iio.imread(path, plugin="pillow"))
        mode = str(iio.immeta(path, plugin="pillow").get("mode", ""))
    except ModuleNotFoundError:
        raise
    except Exception as error:  # decoders raise whatever they like; all of it means the same here
        raise FileError(
            "path must be a raster (GeoTIFF and what else rasterio opens, NetCDF, FITS, PNG, JPEG, TIFF, .npy or "
            f".npz), got {path}, which cannot be read as any of them."
        ) from error
    alpha, request = None, replace(request, channel_axis=-1)
    if array.ndim == 3 and array.shape[2] in (2, 4) and mode != "CMYK":
        array, alpha = array[..., :-1], array[..., -1]
        array = array[..., 0] if array.shape[2] == 1 else array
    is_colour = array.ndim == 3 and mode != "CMYK"
    return picture_of(array, request, path, ".tif", alpha=alpha, hidden=hidden, is_colour=is_colour)


def read_tiff(path: Path, request: Request, hidden: BoolArray | None = None) -> Picture:
    """Read a TIFF that is placed nowhere; its pages and its planes are channels."""
    request.refuse_variable(path.name)
    request.refuse_select(path.name)
    tifffile = library("tifffile")
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            axes, page = str(series.axes), series.keyframe
            array = np.asarray(series.asarray())
    except Exception as error:  # decoders raise whatever they like; all of it means the same here
        raise unreadable(path, "a whole TIFF", error) from error
    array, axes = _without_single_axes(array, axes)
    request = _laid_out(array, axes, request, path.name)
    alpha = None
    extra = [int(kind) for kind in page.extrasamples]
    if "S" in axes and array.ndim == 3 and any(kind in _ALPHA for kind in extra):
        moved = np.moveaxis(array, axes.index("S"), -1)
        opaque = moved.shape[2] - len(extra) + next(k for k, kind in enumerate(extra) if kind in _ALPHA)
        alpha = moved[..., opaque]
        moved = np.delete(moved, opaque, axis=2)
        array = moved[..., 0] if moved.shape[2] == 1 else moved
        request = replace(request, channel_axis=-1)
    is_colour = "S" in axes and getattr(page.photometric, "name", "") == "RGB"
    return picture_of(array, request, path, ".tif", alpha=alpha, hidden=hidden, is_colour=is_colour)


def needs_rasterio(path: Path) -> bool:
    """Return whether a TIFF says where it lies, or which pixels it lacks, in ways that rasterio reads."""
    if path.with_name(path.name + ".msk").is_file():
        return True
    try:
        with library("tifffile").TiffFile(path) as file:
            tags = file.pages.first.tags
            return any(code in tags for code in _GEOTIFF) or any(
                int(page.aspage().subfiletype) & _MASK_PAGE for page in file.pages
            )
    except ModuleNotFoundError:
        return True
    except Exception:  # what is wrong with the file is told when it is read as an image
        return False


def _without_single_axes(array: npt.NDArray[Any], axes: str) -> tuple[npt.NDArray[Any], str]:
    """Drop axes of length 1 other than those of the pixels."""
    single = [k for k, (size, axis) in enumerate(zip(array.shape, axes, strict=True)) if size == 1 and axis not in "YX"]
    kept = "".join(axis for k, axis in enumerate(axes) if k not in single)
    return np.squeeze(array, axis=tuple(single)), kept


def _laid_out(array: npt.NDArray[Any], axes: str, request: Request, name: str) -> Request:
    """Return the request with the axis that is neither row nor column, which the file tells."""
    if array.ndim != 3 or "Y" not in axes or "X" not in axes:
        return request
    axis = next(k for k, letter in enumerate(axes) if letter not in "YX")
    pages, rows, last = array.shape
    if axes[axis] == "Q" and last < min(pages, rows):
        # Pages for want of another way to store an array, whose channels may have come last.
        if request.channel_axis is None:
            raise ImageLayoutError(
                f"channel_axis is ambiguous for {name}, an array of shape {array.shape} stored as {pages} pages of "
                f"{rows} x {last} pixels; pass channel_axis 2 (--channel-axis 2) if its last axis holds the channels, "
                "or 0 if its pages do."
            )
        return request
    request.refuse_axis(name)
    return replace(request, channel_axis=axis)
