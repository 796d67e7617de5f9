"""Normals keyed by what they are for: the same whatever the windows, their order, and who asks."""

import hashlib

import numpy as np

from sparsegmrf._validate import generator
from sparsegmrf.large._geometry import Window
from sparsegmrf.typing import FloatArray, Seed

_SIDE = 64
"""Side in pixels of the blocks of a fixed grid, each of which has a stream of its own."""


class Normals:
    """Standard normals of any window of a raster, by draw and family, from Philox streams.

    The stream of a block of the raster's fixed grid has the seed as key, and place, family and draw as counter: what
    stands at a pixel depends on these alone.

    Parameters
    ----------
    rng : int, Generator or None
        Seed; of a generator two numbers are drawn.

    References
    ----------
    J. Salmon, M. Moraes, R. Dror, D. Shaw (2011), Parallel random numbers: as easy as 1, 2, 3, SC '11.
    """

    def __init__(self, rng: Seed) -> None:
        self._key = generator(rng).integers(0, 2**64, 2, dtype=np.uint64)

    def on(self, window: Window, draw: int, family: str) -> FloatArray:
        """Return normals of a window, ``(h, w)``."""
        found = np.empty(window.shape)
        word = int.from_bytes(hashlib.blake2b(family.encode(), digest_size=8).digest(), "little")
        for i in range(window.top // _SIDE, -(-window.bottom // _SIDE)):
            for j in range(window.left // _SIDE, -(-window.right // _SIDE)):
                block = Window(i * _SIDE, (i + 1) * _SIDE, j * _SIDE, (j + 1) * _SIDE)
                shared = block.shared(window)
                assert shared is not None
                found[shared.within(window)] = self._block(i, j, draw, word)[shared.within(block)]
        return found

    def vector(self, count: int, draw: int, family: str) -> FloatArray:
        """Return normals that belong to no pixel, at most 4096."""
        word = int.from_bytes(hashlib.blake2b(family.encode(), digest_size=8).digest(), "little")
        return self._block(0, 0, draw, word).ravel()[:count]

    def _block(self, i: int, j: int, draw: int, word: int) -> FloatArray:
        counter = np.array([0, (i << 32) | j, word, draw], dtype=np.uint64)
        stream = np.random.Generator(np.random.Philox(key=self._key, counter=counter))
        return stream.standard_normal((_SIDE, _SIDE))
