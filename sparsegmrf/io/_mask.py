"""Masks and other values from files, laid on the images that they belong to."""

import warnings
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sparsegmrf._files import PathLike
from sparsegmrf.errors import ArgumentError, DataWarning, FileError
from sparsegmrf.geo import NetCdf, read_netcdf, read_zarr
from sparsegmrf.geo._zarr_in import is_store
from sparsegmrf.io._raster import Raster
from sparsegmrf.io._read import read
from sparsegmrf.typing import BoolArray, FloatArray

Array = TypeVar("Array", bound=npt.NDArray[Any])


def read_mask(
    path: PathLike,
    *,
    like: Raster | None = None,
    variable: str | None = None,
    valid: bool = False,
    name: str = "mask",
) -> BoolArray:
    """Read a mask ``(H, W)`` from an image file: every pixel that is not zero is missing.

    Missing is also what the mask itself has no data for, unless zero is its no-data value.

    Parameters
    ----------
    path : path
        The file, of any format that `read` knows.
    like : Raster, optional
        The image that is masked. A mask of other pixels is refused, and so is one that lies elsewhere, if both say
        where they lie; a NetCDF variable is laid along the image's dimensions.
    variable : str, optional
        Variable of a file with several; of NetCDF and Zarr at the date and level of the image, where it has these
        dimensions.
    valid : bool
        Whether pixels that are not zero are the valid ones, and all others missing.
    name : str
        What messages call it.

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
    mask = _one_image(name, path, like, variable)
    values = np.asarray(mask.image, dtype=np.float64)
    marked = values != 0.0
    if valid:
        marked = ~(marked & ~np.isnan(values))
    elif mask.nodata == 0.0:  # then zero is a number like any other, and read as NaN
        marked &= ~np.isnan(values)
    return marked if like is None else _laid_on(name, path, mask, marked, like)


def read_alongside(name: str, path: PathLike, like: Raster) -> FloatArray:
    """Return the values ``(H, W)`` of a file that go with the pixels of an image, laid on it as a mask is.

    Raises
    ------
    FileError
        If the file is missing or is no image.
    ArgumentError
        If it holds several channels or variables, or does not belong to the image.
    """
    raster = _one_image(name, path)
    return _laid_on(name, path, raster, np.asarray(raster.image, dtype=np.float64), like)


def _one_image(name: str, path: PathLike, like: Raster | None = None, variable: str | None = None) -> Raster:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # a mask may be of categories
            if isinstance(like, NetCdf) and variable is not None:
                reader = read_zarr if is_store(path) else read_netcdf
                return reader(path, variable=variable, at=like.place)
            return read(path, scale="none", variable=variable)
    except FileError:
        raise
    except ArgumentError as error:
        raise ArgumentError(
            f"{name} must be one image, got {path}, which cannot be read as one: {error} Write it to a file of its own."
        ) from error


def _laid_on(name: str, path: PathLike, raster: Raster, values: Array, like: Raster) -> Array:
    """Return values of a raster along the dimensions of another one, after comparing where the two lie."""
    shape = tuple(like.image.shape[:2])
    own, wanted = (tuple(getattr(each.image, "dims", ())) for each in (raster, like))
    if own and own == wanted[1::-1]:
        values = values.T
    if values.shape != shape:
        raise ArgumentError(f"{name} must have the shape of the image {shape}, got {path} of {values.shape}.")
    if type(raster) is type(like) and not like.same_ground(raster):
        raise ArgumentError(
            f"{name} must lie on the ground of the image, got {path}, whose coordinates are others; warp it onto the "
            "image first."
        )
    return values
