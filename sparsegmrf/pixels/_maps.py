"""One number per pixel: distances and densities written block by block into the result."""

from collections.abc import Callable

import numpy as np

from sparsegmrf import _threads
from sparsegmrf._validate import read_only
from sparsegmrf.kernels import pixel_distances
from sparsegmrf.pixels._layout import BLOCK, Pixels
from sparsegmrf.typing import FloatArray

LOG_DENSITY = ("log_density", "log-density in nats")
LOG_2PI = float(np.log(2.0 * np.pi))


def distance_map(
    image: Pixels, mean: FloatArray, L: FloatArray, finish: Callable[[FloatArray], object] | None = None
) -> FloatArray:
    """Return ``|L^-1 (x - mean)|^2`` per pixel, NaN where missing; `finish` changes a block of it in place."""
    out = np.empty(image.size)
    mean, L = read_only(mean), read_only(L)

    def block(first: int, last: int) -> None:
        x, target = image.block(first, last), out[first:last]
        distances_of_block(x, mean, L, target)
        usable = image.usable(first, last)
        if not np.isfinite(target if usable is None else target[usable]).all():
            image.refuse_infinite(first, x)
        if finish is not None:
            finish(target)
        if usable is not None:
            target[~usable] = np.nan

    _threads.run_over(block, image.size, BLOCK)
    return out.reshape(image.sites)


def distances_of_block(x: FloatArray, mean: FloatArray, L: FloatArray, out: FloatArray) -> None:
    """Write the squared distances of a block (C, m)."""
    pixel_distances.distances(read_only(x), mean, L, out, np.empty((len(x), pixel_distances.CHUNK)))


def projection_map(
    image: Pixels, mean: FloatArray, L: FloatArray, direction: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return ``|y|^2`` and ``direction . y`` with ``L y = x - mean`` per pixel, NaN where missing."""
    distance, along = np.empty(image.size), np.empty(image.size)
    mean, L, direction = read_only(mean), read_only(L), read_only(direction)

    def block(first: int, last: int) -> None:
        x = image.block(first, last)
        white = np.empty((len(x), pixel_distances.CHUNK))
        pixel_distances.projections(read_only(x), mean, L, direction, distance[first:last], along[first:last], white)
        usable = image.usable(first, last)
        here = distance[first:last]
        if not np.isfinite(here if usable is None else here[usable]).all():
            image.refuse_infinite(first, x)
        if usable is not None:
            distance[first:last][~usable] = np.nan
            along[first:last][~usable] = np.nan

    _threads.run_over(block, image.size, BLOCK)
    return distance.reshape(image.sites), along.reshape(image.sites)
