"""Offsets: integer pairs, and where they stand relative to the centre in raster order."""

import numpy as np

from sparsegmrf.errors import StencilError
from sparsegmrf.typing import IntArray

LARGEST = 2**31 - 1  # so that an index plus an offset cannot overflow


def as_offsets(value: object, name: str = "offsets") -> IntArray:
    """Return a read-only ``(K, 2)`` array of distinct integer offsets ``(di, dj)``."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise StencilError(f"{name} must be a list of integer pairs (di, dj), got {value!r}.") from None
    if array.size == 0:
        array = array.reshape(0, 2).astype(np.int64)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise StencilError(
            f"{name} must be a list of integer pairs (di, dj), got shape {array.shape} and dtype {array.dtype}."
        )
    if array.size and (array.max() > LARGEST or array.min() < -LARGEST):
        raise StencilError(f"{name} must be at most {LARGEST} pixels in either direction, got {array.tolist()}.")
    result = np.array(array, dtype=np.int64, order="C")
    pairs = list(map(tuple, result.tolist()))
    if len(set(pairs)) < len(pairs):
        again = min(pair for pair in pairs if pairs.count(pair) > 1)
        raise StencilError(f"{name} must be distinct, got {again} more than once.")
    result.flags.writeable = False
    return result


def check_later(offsets: IntArray) -> None:
    """Refuse offsets that do not hold the centre, or hold an earlier one."""
    sign = raster_sign(offsets)
    if (sign < 0).any():
        raise StencilError(
            f"offsets must be the centre and later in raster order, got {tuple(offsets[sign < 0][0].tolist())}, which "
            "is earlier; pass its mirror image, the matrix is symmetric."
        )
    if not (sign == 0).any():
        raise StencilError("offsets must contain the centre (0, 0), got none; its coefficient is the diagonal.")


def later_offsets(radius: int) -> IntArray:
    """Return the ``K = 2 r (r + 1)`` offsets within `radius` that are later in raster order, in raster order.

    Examples
    --------
    >>> later_offsets(1).tolist()
    [[0, 1], [1, -1], [1, 0], [1, 1]]
    """
    reach = range(-radius, radius + 1)
    offsets = [(di, dj) for di in range(radius + 1) for dj in reach if (di, dj) > (0, 0)]
    return np.array(offsets, dtype=np.int64).reshape(-1, 2)


def distinct_offsets(offsets: IntArray) -> tuple[IntArray, IntArray]:
    """Return the distinct offsets in raster order, and which of these each one is."""
    order = raster_order(offsets)
    ordered = offsets[order]
    new = np.ones(len(offsets), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    which = np.empty(len(offsets), dtype=np.int64)
    which[order] = np.cumsum(new) - 1
    return ordered[new], which


def raster_sign(offsets: IntArray) -> IntArray:
    """Return -1, 0 or 1 for offsets earlier than, at, or later than the centre in raster order."""
    return np.where(offsets[:, 0] != 0, np.sign(offsets[:, 0]), np.sign(offsets[:, 1])).astype(np.int64)


def raster_order(offsets: IntArray) -> IntArray:
    """Return the permutation that sorts offsets by row, then column."""
    return np.lexsort((offsets[:, 1], offsets[:, 0])).astype(np.int64)


def reach(offsets: IntArray) -> tuple[int, int]:
    """Return how many rows and columns the offsets reach."""
    if not len(offsets):
        return (0, 0)
    rows, columns = np.abs(offsets).max(axis=0)
    return (int(rows), int(columns))
