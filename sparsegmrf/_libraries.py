"""Optional libraries, imported when a file of theirs is read or written, and the extra that installs each."""

import importlib
from collections.abc import Mapping
from typing import Any

from sparsegmrf.errors import MissingLibraryError

EXTRAS: Mapping[str, str] = {
    "rasterio": "geo",
    "xarray": "geo",
    "dask": "large",
    "distributed": "large",
    "zarr": "large",
    "netCDF4": "geo",
    "astropy": "fits",
    "nibabel": "nifti",
    "imageio": "cli",
    "tifffile": "cli",
    "matplotlib": "cli",
    "rich": "cli",
    "IPython": "explore",
    "ipykernel": "explore",
    "ipympl": "explore",
    "ipywidgets": "explore",
    "nbformat": "explore",
    "voila": "explore",
}
"""Library and extra."""


def library(name: str, what: str = "this format") -> Any:
    """Return a module of an optional library; messages say what needs it.

    Raises
    ------
    MissingLibraryError
        If the library is not installed; its `name` is that of the library.
    """
    root = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != root:
            raise
        raise MissingLibraryError(
            f'{what} needs {root}; install it with: pip install "sparsegmrf[{EXTRAS[root]}]"', name=root
        ) from None


def has(name: str) -> bool:
    """Return whether an optional library is installed."""
    try:
        library(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return False
    return True


def plotting() -> Any:
    """Return `sparsegmrf.plot`, which lies above all that it draws and is imported when the first figure is.

    Raises
    ------
    MissingLibraryError
        If matplotlib is not installed.
    """
    library("matplotlib.figure", "a figure")
    return importlib.import_module("sparsegmrf.plot")
