"""Images of the size of the raster: in memory, or in files of a folder."""

import os
import tempfile
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

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
            return np.memmap(file, dtype=np.float64, mode="w+", shape=shape)

    return allocate
