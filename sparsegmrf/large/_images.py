"""Images of the size of the raster: in memory, or in files of a folder."""

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from sparsegmrf.errors import FileError
from sparsegmrf.typing import FloatArray

Allocate: TypeAlias = Callable[[tuple[int, ...]], FloatArray]
"""Returns a new array of a shape, whatever is in it."""


def allocator(scratch: str | os.PathLike[str] | None) -> Allocate:
    """Return what makes images: arrays, or memory-mapped files in a folder, which go when nothing refers to them."""
    if scratch is None:
        return np.empty
    folder = os.fspath(scratch)

    def allocate(shape: tuple[int, ...]) -> FloatArray:
        if 0 in shape:
            return np.empty(shape)
        with tempfile.TemporaryFile(dir=folder) as file:  # has no name, and is there as long as the map is
            _reserve(file.fileno(), 8 * math.prod(shape), folder)
            return np.memmap(file, dtype=np.float64, mode="w+", shape=shape)

    return allocate


def _reserve(file: int, size: int, folder: str) -> None:
    """Take the space on disk now: a map that finds none later ends the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return  # a file system that does not know of it
        raise FileError(
            f"scratch must have room for images of {size / 1e9:.3g} GB, got {folder} with "
            f"{shutil.disk_usage(folder).free / 1e9:.3g} GB free; give another folder."
        ) from error
