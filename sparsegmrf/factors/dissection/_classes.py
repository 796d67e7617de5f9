"""Symbolic analysis by classes: congruent sub-rectangles of a lattice share one elimination structure.

A node is a rectangle. It eliminates its pixels ``S`` (a separator strip, or all pixels of a leaf) and updates its
boundary ``B`` (pixels outside the rectangle that the stencil couples to it). All of that depends only on the
rectangle's size and on how much image lies beyond each of its sides, clipped to the stencil's reach: its class.
"""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.typing import IntArray, Shape

Key = tuple[int, int, int, int, int, int]
"""Height, width, and pixels of image above, left, below and right of a rectangle, clipped to the reach."""

Beyond = tuple[int, int, int, int]
"""The last four of a key."""


@dataclass(frozen=True, eq=False)
class NodeClass:
    """Structure shared by all congruent nodes; positions are relative to the rectangle's first pixel.

    Attributes
    ----------
    key : tuple of int
        What distinguishes the class.
    front : ndarray (S + B, 2)
        Row and column of the front's pixels: first those eliminated here, then the boundary.
    eliminated : int
        Number of pixels eliminated here.
    children : tuple of int
        Classes of the two halves; empty for a leaf.
    origins : ndarray (2, 2)
        First pixels of the halves.
    maps : tuple of ndarray
        Per half, the front position of each of its boundary pixels.
    assembly : ndarray (entries, 6)
        Matrix entries assembled here: front row, front column, coefficient, row and column of the pixel that owns the
        coefficient, and whether the block is to be transposed.
    """

    key: Key
    front: IntArray
    eliminated: int
    children: tuple[int, ...]
    origins: IntArray
    maps: tuple[IntArray, ...]
    assembly: IntArray

    @property
    def boundary(self) -> IntArray:
        """Row and column of the boundary pixels."""
        return self.front[self.eliminated :]


def node_classes(shape: Shape, offsets: IntArray, leaf_pixels: int, beyond: Beyond = (0, 0, 0, 0)) -> list[NodeClass]:
    """Return all classes of the dissection of an image, children before parents, the whole image last.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    offsets : ndarray (K, 2)
        The centre and the offsets later in raster order.
    leaf_pixels : int
        A rectangle of at most this many pixels is eliminated as a whole.
    beyond : (int, int, int, int)
        Pixels above, left, below and right of the image, which is a part of a larger one, clipped to the reach.
    """
    return _Classes(offsets, leaf_pixels).of((*shape, *beyond))


def classes_of_separator(key: Key, offsets: IntArray, leaf_pixels: int) -> list[NodeClass]:
    """Return the class of one node, behind those of its halves, of which there is nothing but the boundary."""
    return _Classes(offsets, leaf_pixels).alone(key)


def boundary_pixels(key: Key, offsets: IntArray) -> IntArray:
    """Return row and column of the pixels around a rectangle that the stencil couples to it."""
    return _Classes(offsets, 1)._boundary(key)


class _Classes:
    def __init__(self, offsets: IntArray, leaf_pixels: int) -> None:
        self.later = offsets[1:]
        self.all_offsets = np.vstack([self.later, -self.later])
        rows, columns = np.abs(offsets).max(axis=0)
        self.reach = (int(rows), int(columns))
        self.leaf_pixels = leaf_pixels
        self.index: dict[Key, int] = {}
        self.classes: list[NodeClass] = []

    def of(self, key: Key) -> list[NodeClass]:
        self._visit(key)
        return self.classes

    def alone(self, key: Key) -> list[NodeClass]:
        halves = split(key, self.reach, self.leaf_pixels)
        nothing = np.zeros((0, 6), dtype=np.int64)
        for half, _ in halves:
            self.classes.append(NodeClass(half, self._boundary(half), 0, (), nothing[:, :2], (), nothing))
        self.classes.append(self._build(key, (0, 1), [origin for _, origin in halves]))
        return self.classes

    def _visit(self, key: Key) -> int:
        if key not in self.index:
            halves = split(key, self.reach, self.leaf_pixels)
            children = tuple(self._visit(half) for half, _ in halves)
            self.classes.append(self._build(key, children, [origin for _, origin in halves]))
            self.index[key] = len(self.classes) - 1
        return self.index[key]

    def _build(self, key: Key, children: tuple[int, ...], origins: list[tuple[int, int]]) -> NodeClass:
        first = np.array(origins, dtype=np.int64).reshape(len(origins), 2)
        own = _separator(key, self.reach, origins[1]) if origins else _rectangle(0, key[0], 0, key[1])
        front = np.concatenate([own, self._boundary(key)])
        where = _Positions(front, self.reach)
        maps = tuple(
            where.of(self.classes[child].boundary + origin) for child, origin in zip(children, first, strict=True)
        )
        return NodeClass(key, front, len(own), children, first, maps, self._assembly(front, len(own), where))

    def _boundary(self, key: Key) -> IntArray:
        """List the pixels around a rectangle that the stencil couples to it, strip by strip, each along its length."""
        height, width, top, left, bottom, right = key
        ring = [
            _rectangle(-top, 0, 0, width, by_column=True),
            _rectangle(height, height + bottom, 0, width, by_column=True),
            _rectangle(0, height, -left, 0),
            _rectangle(0, height, width, width + right),
            _rectangle(-top, 0, -left, 0),
            _rectangle(-top, 0, width, width + right),
            _rectangle(height, height + bottom, -left, 0),
            _rectangle(height, height + bottom, width, width + right),
        ]
        pixels = np.concatenate(ring)
        near = pixels[:, np.newaxis] + self.all_offsets
        inside = np.logical_and(near >= 0, near < (height, width)).all(axis=-1)
        return pixels[np.any(inside, axis=1)]

    def _assembly(self, front: IntArray, eliminated: int, where: "_Positions") -> IntArray:
        """Tabulate the entries in eliminated columns: those between two front pixels, each pair once."""
        own = front[:eliminated]
        place = np.arange(eliminated)[:, np.newaxis]
        near = (own[:, np.newaxis] + self.all_offsets).reshape(-1, 2)
        other = where.of(near).reshape(eliminated, len(self.all_offsets))
        # A pair inside S is met from both of its pixels: keep the meeting from the earlier position.
        column, met = np.nonzero(other > place)
        later = met < len(self.later)
        table = np.zeros((eliminated + len(column), 6), dtype=np.int64)
        table[:eliminated, :2] = place
        table[:eliminated, 3:5] = own
        rest = table[eliminated:]
        rest[:, 0] = other[column, met]
        rest[:, 1] = column
        rest[:, 2] = 1 + met % max(1, len(self.later))
        rest[:, 3:5] = own[column] + np.where(later[:, np.newaxis], 0, self.all_offsets[met])
        rest[:, 5] = later
        ordered: IntArray = table[np.lexsort((table[:, 0], table[:, 1]))]
        return ordered


class _Positions:
    """Look-up of pixels in a front by their coordinates."""

    def __init__(self, front: IntArray, reach: tuple[int, int]) -> None:
        margin = np.array(reach) + 1
        self.low = front.min(axis=0, initial=0) - margin
        self.span = int((front.max(axis=0, initial=0) + margin - self.low)[1]) + 1
        codes = self._codes(front)
        self.order = np.argsort(codes)
        self.sorted = codes[self.order]

    def of(self, pixels: IntArray) -> IntArray:
        """Return positions, -1 for pixels that are not in the front."""
        if not len(self.sorted):
            return np.full(len(pixels), -1, dtype=np.int64)
        codes = self._codes(pixels)
        place = np.minimum(np.searchsorted(self.sorted, codes), len(self.sorted) - 1)
        found: IntArray = np.where(self.sorted[place] == codes, self.order[place], -1)
        return found

    def _codes(self, pixels: IntArray) -> IntArray:
        shifted = pixels - self.low
        codes: IntArray = shifted[:, 0] * self.span + shifted[:, 1]
        return codes


def split(key: Key, reach: tuple[int, int], leaf_pixels: int) -> list[tuple[Key, tuple[int, int]]]:
    """Return the two halves of a rectangle and their first pixels; nothing if it is a leaf."""
    height, width, top, left, bottom, right = key
    by_rows = height >= width
    side, gap = (height, reach[0]) if by_rows else (width, reach[1])
    if height * width <= leaf_pixels or side < gap + 2:
        return []
    first = (side - gap) // 2
    second = side - gap - first
    if by_rows:
        upper, lower = (first, width, top, left, gap, right), (second, width, gap, left, bottom, right)
        return [(upper, (0, 0)), (lower, (first + gap, 0))]
    before, after = (height, first, top, left, bottom, gap), (height, second, top, gap, bottom, right)
    return [(before, (0, 0)), (after, (0, first + gap))]


def _separator(key: Key, reach: tuple[int, int], second: tuple[int, int]) -> IntArray:
    """List the strip in front of the second half along its length."""
    height, width = key[:2]
    if second[0]:
        return _rectangle(second[0] - reach[0], second[0], 0, width, by_column=True)
    return _rectangle(0, height, second[1] - reach[1], second[1])


def _rectangle(top: int, bottom: int, left: int, right: int, *, by_column: bool = False) -> IntArray:
    """List the pixels of a rectangle by rows or by columns."""
    height, width = bottom - top, right - left
    pixels = np.empty((width, height, 2) if by_column else (height, width, 2), dtype=np.int64)
    rows, columns = np.arange(top, bottom), np.arange(left, right)
    pixels[..., 0] = rows if by_column else rows[:, np.newaxis]
    pixels[..., 1] = columns[:, np.newaxis] if by_column else columns
    return pixels.reshape(-1, 2)
