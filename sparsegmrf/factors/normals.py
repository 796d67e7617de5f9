"""Standard normals in fixed-size blocks, one random stream per block, so that threads do not change the draw."""

from functools import partial

import numpy as np

from sparsegmrf import _threads
from sparsegmrf.typing import FloatArray

__all__ = ["BLOCK", "fill_standard_normal", "filling_tasks"]

BLOCK = 2**16
"""Numbers from one stream."""


def fill_standard_normal(rng: np.random.Generator, out: FloatArray) -> None:
    """Fill a contiguous array with independent standard normals.

    One seed is drawn from `rng` per call: the state of its bit generator reproduces the draw, and successive calls
    differ. Block ``k`` of the array then comes from the ``k``-th stream spawned from that seed.
    """
    _threads.run(filling_tasks(rng, out))


def filling_tasks(rng: np.random.Generator, out: FloatArray) -> list[_threads.Task]:
    """Return independent tasks that fill an array as `fill_standard_normal` does, one per `BLOCK` numbers."""
    seed = rng.integers(0, 2**32, size=8, dtype=np.uint32).tolist()
    flat = out.reshape(-1)
    return [partial(_fill, seed, flat, first, last) for first, last in _threads.ranges(flat.size, BLOCK)]


def _fill(seed: list[int], flat: FloatArray, first: int, last: int) -> None:
    stream = np.random.SeedSequence(seed, spawn_key=(first // BLOCK,))
    np.random.Generator(np.random.SFC64(stream)).standard_normal(out=flat[first:last])
