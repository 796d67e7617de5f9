"""Masks from files, laid on the images that they belong to."""

from typing import Any, cast

import numpy as np

from sparsegmrf._files import PathLike
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.geo import Fits, GeoTiff, NetCdf
from sparsegmrf.io._raster import Raster, read
from sparsegmrf.typing import BoolArray


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
