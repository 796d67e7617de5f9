"""Standard normals in fixed-size blocks, one random stream per block, so that threads do not change the draw."""

import numpy as np

from sparsegmrf import _threads
from sparsegmrf.typing import FloatArray

_BLOCK = 2**16


def fill_standard_normal(rng: np.random.Generator, out: FloatArray) -> None:
    """Fill a contiguous array with independent standard normals.

    One seed is drawn from `rng` per call: the state of its bit generator reproduces the draw, and successive calls
    differ. Block ``k`` of the array then comes from the ``k``-th stream spawned from that seed.
    """
    seed = rng.integers(0, 2**32, size=8, dtype=np.uint32).tolist()
    flat = out.reshape(-1)

    def fill(first: int, last: int) -> None:
        stream = np.random.SeedSequence(seed, spawn_key=(first // _BLOCK,))
        np.random.Generator(np.random.SFC64(stream)).standard_normal(out=flat[first:last])

    _threads.run_over(fill, flat.size, _BLOCK)
