"""Cores that make up a raster, and the windows around them."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sparsegmrf.typing import Shape


@dataclass(frozen=True)
class Window:
    """Rectangle of pixels: rows ``top`` to ``bottom - 1`` and columns ``left`` to ``right - 1``."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return (self.bottom - self.top, self.right - self.left)

    @property
    def n_pixels(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1]

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns as slices of the raster."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, margin: int, shape: Shape) -> "Window":
        """Return the window with a margin on all sides, clipped at the raster."""
        return Window(
            max(0, self.top - margin),
            min(shape[0], self.bottom + margin),
            max(0, self.left - margin),
            min(shape[1], self.right + margin),
        )

    def shared(self, other: "Window") -> "Window | None":
        """Return the pixels of both windows, None if there are none."""
        top, bottom = max(self.top, other.top), min(self.bottom, other.bottom)
        left, right = max(self.left, other.left), min(self.right, other.right)
        return Window(top, bottom, left, right) if top < bottom and left < right else None

    def joined(self, other: "Window") -> "Window":
        """Return the smallest window that holds both."""
        return Window(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )

    def within(self, outer: "Window") -> tuple[slice, slice]:
        """Return rows and columns as slices of a window that holds this one."""
        rows = slice(self.top - outer.top, self.bottom - outer.top)
        return rows, slice(self.left - outer.left, self.right - outer.left)


@dataclass(frozen=True)
class Tile:
    """A core, and the window on which it is computed: the core with its halo, clipped at the raster.

    Attributes
    ----------
    number : int
        Place of the core in raster order.
    core : Window
        Pixels whose results are this tile's.
    halo : int
        Pixels around the core.
    window : Window
        Core and halo.
    """

    number: int
    core: Window
    halo: int
    window: Window

    @classmethod
    def of(cls, number: int, core: Window, halo: int, shape: Shape) -> "Tile":
        """Return the tile of a core on a raster of a shape."""
        return cls(number, core, halo, core.grown(halo, shape))

    def with_halo(self, halo: int, shape: Shape) -> "Tile":
        """Return the tile with another halo."""
        return Tile.of(self.number, self.core, halo, shape)

    @property
    def place(self) -> tuple[slice, slice]:
        """The core as slices of the window."""
        return self.core.within(self.window)


def cores_of(shape: Shape, side: int) -> list[Window]:
    """Return cores of nearly the same size, in raster order, none larger than `side` pixels square.

    Examples
    --------
    >>> [each.shape for each in cores_of((10, 7), 4)]
    [(3, 3), (3, 4), (3, 3), (3, 4), (4, 3), (4, 4)]
    """
    rows, columns = (_cuts(length, side) for length in shape)
    return [
        Window(top, bottom, left, right)
        for top, bottom in itertools.pairwise(rows)
        for left, right in itertools.pairwise(columns)
    ]


def windows_of(shape: Shape, side: int) -> Iterator[Window]:
    """Return the windows of a fixed grid, in raster order, the last of each row and column being smaller."""
    for top in range(0, shape[0], side):
        for left in range(0, shape[1], side):
            yield Window(top, min(top + side, shape[0]), left, min(left + side, shape[1]))


def _cuts(length: int, side: int) -> list[int]:
    count = -(-length // side)
    return [length * k // count for k in range(count + 1)]


def overlap_of(tiles: "list[Tile]", shape: Shape) -> int:
    """Return the largest number of windows that a pixel is in."""
    rows = np.unique([edge for tile in tiles for edge in (tile.window.top, tile.window.bottom)])
    columns = np.unique([edge for tile in tiles for edge in (tile.window.left, tile.window.right)])
    count = np.zeros((len(rows), len(columns)), dtype=np.int64)
    for tile in tiles:
        top, bottom = np.searchsorted(rows, (tile.window.top, tile.window.bottom))
        left, right = np.searchsorted(columns, (tile.window.left, tile.window.right))
        count[top:bottom, left:right] += 1
    return int(count.max())
