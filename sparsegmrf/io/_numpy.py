"""Images in NumPy files, which say neither where they lie nor which axis holds their channels."""

import zipfile
from pathlib import Path

import numpy as np

from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.io._picture import Picture, picture_of
from sparsegmrf.io._request import Request


def read_array(path: Path, request: Request) -> Picture:
    """Read a ``.npy`` file, never unpickled."""
    request.refuse_variable(path.name)
    request.refuse_select(path.name)
    try:
        with path.open("rb") as file:
            array = np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise FileError(f"path must be an image as .npy, got {path}, which cannot be read: {_reason(error)}") from error
    return picture_of(array, request, path, ".npy")


def read_arrays(path: Path, request: Request) -> Picture:
    """Read an array of an ``.npz`` file."""
    request.refuse_grey(path.name)
    request.refuse_select(path.name)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"path must be an .npz file, got {path}, which cannot be read: {_reason(error)}") from error
    images = [name for name, array in found.items() if array.ndim == 2]
    stacks = [name for name, array in found.items() if array.ndim == 3]
    if request.channel is not None or not images:
        images += stacks
    if request.variable is None and len(images) == 1:
        return picture_of(found[images[0]], request, path, ".npy", raw=True)
    if request.variable not in (*images, *stacks):
        given = "none" if request.variable is None else request.variable
        raise ArgumentError(f"variable must be one of {', '.join(images) or 'none'} of {path.name}, got {given}.")
    return picture_of(found[request.variable], request, path, ".npy", raw=True)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
