"""Images of the size of the raster: in memory, or in files of a folder."""

import errno
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from sparsegmrf.errors import FileError
from sparsegmrf.typing import FloatArray

_MAPPED = 2**26
"""Bytes of windows of one image after which its pages are given back."""

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
            size = 8 * math.prod(shape)
            _reserve(file.fileno(), size, folder)
            file.truncate(size)
            return MappedImage(shape, mmap.mmap(file.fileno(), size))

    return allocate


class MappedImage(np.ndarray):
    """An array in a file that is mapped, whose windows are read and written without its pages staying the process's.

    What was read or written remains in the system's cache of files, or on disk: memory is free for whoever asks. Pages
    are given back after so many bytes of windows.
    """

    _map: mmap.mmap | None
    _touched: int

    def __new__(cls, shape: tuple[int, ...], pages: mmap.mmap) -> "MappedImage":
        """Return the array of a map."""
        found = super().__new__(cls, shape, dtype=np.float64, buffer=pages)
        found._map, found._touched = pages, 0
        return found

    def __array_finalize__(self, obj: Any) -> None:
        """Views are counted by none."""
        self._map, self._touched = None, 0

    def __getitem__(self, key: Any) -> Any:
        """Return a window, an ordinary array on the same memory."""
        found = super().__getitem__(key)
        self._touch(getattr(found, "nbytes", 0))
        return found.view(np.ndarray) if isinstance(found, np.ndarray) else found

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write a window."""
        window = super().__getitem__(key)
        if isinstance(window, np.ndarray) and np.may_share_memory(window, self):
            window.view(np.ndarray)[...] = value
        else:  # single numbers, or places that are listed
            super().__setitem__(key, value)
        self._touch(getattr(window, "nbytes", 8))

    def _touch(self, size: int) -> None:
        self._touched += size
        if self._map is not None and self._touched > _MAPPED and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)  # of a shared map: nothing is lost, written or not
            self._touched = 0


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
