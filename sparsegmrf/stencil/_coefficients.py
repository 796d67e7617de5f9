"""Coefficients of a stencil: per offset one block for all pixels, or one plane of blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsegmrf._validate import real_array
from sparsegmrf.errors import StencilError
from sparsegmrf.lattice import Lattice
from sparsegmrf.typing import FloatArray, IntArray, Offset


@dataclass(frozen=True, eq=False)
class Pool:
    """Coefficients as the kernels read them: offset ``k`` at pixel ``p`` starts at ``values[start[k] + step[k]*p]``.

    ``step[k]`` is 0 for a block shared by all pixels and ``C*C`` for a plane. The arrays are read-only.
    """

    values: FloatArray
    start: IntArray
    step: IntArray

    def __reduce__(self) -> tuple[object, ...]:
        # Copies and pickles of arrays are writable, and the kernels are compiled for read-only ones.
        return (_frozen, (self.values, self.start, self.step))

    def coefficient(self, k: int, lattice: Lattice) -> FloatArray:
        """Return coefficient `k` as a view: ``()`` or ``(C, C)`` where shared, else ``(H, W)`` or ``(H, W, C, C)``."""
        block = block_shape(lattice)
        shape = (*lattice.shape, *block) if self.step[k] else block
        first = int(self.start[k])
        return self.values[first : first + int(np.prod(shape, dtype=np.int64))].reshape(shape)


def block_shape(lattice: Lattice) -> tuple[int, ...]:
    """Return the shape of one coefficient: ``()`` for one channel, else ``(C, C)``."""
    return () if lattice.channels == 1 else (lattice.channels, lattice.channels)


def as_coefficient(name: str, value: object, lattice: Lattice) -> FloatArray:
    """Return a block or plane of the right shape; a number stands for that multiple of the identity block."""
    block = block_shape(lattice)
    array = real_array(name, value)
    if array.ndim == 0 and block:
        return float(array) * np.eye(lattice.channels)
    if array.shape not in (block, (*lattice.shape, *block)):
        expected = f"be a {block} block" if block else "be a number"
        raise StencilError(f"{name} must {expected} or a {(*lattice.shape, *block)} plane, got shape {array.shape}.")
    return array


def pooled(coefficients: Sequence[FloatArray], lattice: Lattice) -> Pool:
    """Copy coefficients into one array."""
    block = lattice.channels**2
    sizes = np.array([coefficient.size for coefficient in coefficients], dtype=np.int64)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    planes = [coefficient.ndim > len(block_shape(lattice)) for coefficient in coefficients]
    values = np.empty(int(start[-1]))
    for first, coefficient in zip(start, coefficients, strict=False):
        values[first : first + coefficient.size] = coefficient.ravel()
    return freeze(Pool(values, start[:-1].copy(), np.where(planes, block, 0).astype(np.int64)))


def pool_of_planes(planes: FloatArray, lattice: Lattice) -> Pool:
    """Wrap planes ``(K, H, W[, C, C])`` without a copy."""
    start = np.arange(len(planes), dtype=np.int64) * planes[0].size
    return freeze(Pool(planes.reshape(-1), start, np.full(len(planes), lattice.channels**2, dtype=np.int64)))


def drop_off_image(plane: FloatArray, offset: Offset, lattice: Lattice) -> None:
    """Set to zero, in place, the entries of a plane that point off the image."""
    rows, columns = lattice.with_neighbour(offset)
    plane[: rows.start] = 0.0
    plane[rows.stop :] = 0.0
    plane[:, : columns.start] = 0.0
    plane[:, columns.stop :] = 0.0


def symmetric_blocks(name: str, blocks: FloatArray) -> FloatArray:
    """Return blocks that are symmetric to 1e-12 of the largest entry made exactly so."""
    mirrored = np.swapaxes(blocks, -1, -2)
    gap = float(np.abs(blocks - mirrored).max())
    if gap > 1e-12 * float(np.abs(blocks).max()):
        raise StencilError(
            f"{name} must have symmetric blocks, got a difference of {gap:g} across the diagonal; "
            "pass (B + B.swapaxes(-1, -2)) / 2 if that is what you mean."
        )
    return (blocks + mirrored) / 2.0


def _frozen(values: FloatArray, start: IntArray, step: IntArray) -> Pool:
    return freeze(Pool(values, start, step))


def freeze(pool: Pool) -> Pool:
    """Return `pool` with its arrays made read-only."""
    for array in (pool.values, pool.start, pool.step):
        array.flags.writeable = False
    return pool
