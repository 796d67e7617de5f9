"""The dissection tree of a raster, cut where its rectangles are no larger than a tile, and what each node takes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsegmrf.factors.dissection._classes import Beyond, Key, boundary_pixels, split
from sparsegmrf.large._geometry import Window
from sparsegmrf.typing import IntArray, Shape


@dataclass(frozen=True)
class Node:
    """A rectangle of the tree: a leaf, whose pixels are all eliminated, or a separator between two halves.

    Attributes
    ----------
    number : int
        Place in the order of work; halves come before their parent.
    key : (int, ...)
        Class of the rectangle.
    corner : (int, int)
        Its first pixel in the raster.
    halves : tuple of int
        Numbers of its two halves, in the order of the dissection; none of a leaf.
    own : Window
        Pixels that are eliminated here.
    window : Window
        These, and the pixels that the stencil couples to them.
    """

    number: int
    key: Key
    corner: tuple[int, int]
    halves: tuple[int, ...]
    own: Window
    window: Window

    @property
    def beyond(self) -> Beyond:
        """Pixels of the window above, left, below and right of a leaf."""
        return self.key[2:]

    @property
    def first(self) -> tuple[int, int]:
        """The rectangle's first pixel in the window; outside of it on a long way down."""
        return (self.corner[0] - self.window.top, self.corner[1] - self.window.left)


@dataclass(frozen=True, eq=False)
class TreePlan:
    """The tree of a raster down to its tiles.

    Attributes
    ----------
    shape : (int, int)
        Of the raster.
    offsets : ndarray (K, 2)
        Of the precision.
    channels : int
        Unknowns per pixel.
    leaf_pixels : int
        Most pixels of a leaf.
    nodes : tuple of Node
        In the order of work, the root last: of two halves first the one that takes more memory on its way.
    """

    shape: Shape
    offsets: IntArray
    channels: int
    leaf_pixels: int
    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, shape: Shape, offsets: IntArray, channels: int, tile: int) -> "TreePlan":
        """Return the tree whose leaves have at most ``tile^2`` pixels."""
        made = _Unfolding(shape, offsets, tile * tile)
        made.visit((*shape, 0, 0, 0, 0), (0, 0))
        return cls(shape, offsets, channels, tile * tile, tuple(made.nodes))

    @property
    def leaves(self) -> tuple[Node, ...]:
        """The tiles."""
        return tuple(node for node in self.nodes if not node.halves)

    @cached_property
    def parents(self) -> dict[int, int]:
        """Number of the parent of each node but the root."""
        return {half: node.number for node in self.nodes for half in node.halves}

    def sizes(self, node: Node) -> tuple[int, int]:
        """Return the unknowns that a node eliminates, and those of its boundary."""
        return node.own.n_pixels * self.channels, self._boundary_of(node.key) * self.channels

    @cached_property
    def front_bytes(self) -> int:
        """Bytes of fronts when they are most: the one that is worked on, and updates of its path that wait."""
        most = live = 0
        for node in self.nodes:
            s, b = self.sizes(node)
            if node.halves:  # upwards panel and update, downwards covariance and its products
                most = max(most, live + s * (s + b) + b * b + _packed(b), (s + b) ** 2 + s * b + _packed(b))
                live -= sum(_packed(self.sizes(self.nodes[half])[1]) for half in node.halves)
            live += _packed(b)
            most = max(most, live)
        return 8 * most

    @cached_property
    def panel_bytes(self) -> int:
        """Bytes of the separators' columns of the factor, which the way back needs."""
        return 8 * sum(s * (s + b) for node in self.nodes if node.halves for s, b in [self.sizes(node)])

    @cached_property
    def _boundaries(self) -> dict[Key, int]:
        return {key: len(boundary_pixels(key, self.offsets)) for key in {node.key for node in self.nodes}}

    def _boundary_of(self, key: Key) -> int:
        return self._boundaries[key]


class _Unfolding:
    """Halves rectangles, deepest first."""

    def __init__(self, shape: Shape, offsets: IntArray, leaf_pixels: int) -> None:
        rows, columns = np.abs(offsets).max(axis=0)
        self.shape, self.offsets, self.reach = shape, offsets, (int(rows), int(columns))
        self.leaf_pixels = leaf_pixels
        self.nodes: list[Node] = []
        self._waiting: dict[Key, int] = {}
        self._peaks: dict[Key, int] = {}

    def visit(self, key: Key, corner: tuple[int, int]) -> int:
        """Add a rectangle behind its halves; return its number."""
        halves = split(key, self.reach, self.leaf_pixels)
        order = sorted(range(len(halves)), key=lambda k: self._update(halves[k][0]) - self._peak(halves[k][0]))
        numbers = [0] * len(halves)
        for k in order:
            half, (row, column) = halves[k]
            numbers[k] = self.visit(half, (corner[0] + row, corner[1] + column))
        height, width = key[:2]
        own = Window(corner[0], corner[0] + height, corner[1], corner[1] + width)
        if halves:
            row, column = halves[1][1]
            strip = (own.top + row - self.reach[0], own.top + row) if row else (own.top, own.bottom)
            across = (own.left + column - self.reach[1], own.left + column) if column else (own.left, own.right)
            own = Window(*strip, *across)
        self.nodes.append(Node(len(self.nodes), key, corner, tuple(numbers), own, self._around(own)))
        return len(self.nodes) - 1

    def _around(self, own: Window) -> Window:
        rows, columns = self.reach
        return Window(
            max(0, own.top - rows),
            min(self.shape[0], own.bottom + rows),
            max(0, own.left - columns),
            min(self.shape[1], own.right + columns),
        )

    def _update(self, key: Key) -> int:
        if key not in self._waiting:
            self._waiting[key] = _packed(len(boundary_pixels(key, self.offsets)))
        return self._waiting[key]

    def _peak(self, key: Key) -> int:
        """Return the numbers in the updates that wait at most on the way to a rectangle's own."""
        if key not in self._peaks:
            halves = sorted(
                (half for half, _ in split(key, self.reach, self.leaf_pixels)),
                key=lambda half: self._update(half) - self._peak(half),
            )
            waiting = most = 0
            for half in halves:
                most = max(most, waiting + self._peak(half))
                waiting += self._update(half)
            self._peaks[key] = max(most, waiting + self._update(key))
        return self._peaks[key]


def _packed(order: int) -> int:
    return order * (order + 1) // 2
