"""Programs for congruent tiles: a class unfolded into its nodes in elimination order, with all offsets worked out."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsegmrf.linalg.dissection._classes import NodeClass
from sparsegmrf.typing import IntArray


@dataclass(frozen=True, eq=False)
class Tables:
    """Index tables of all classes as the kernels read them: unknowns instead of pixels, flat shifts instead of pairs.

    ``map_start[c, half]`` and ``assembly_start[c]`` say where class ``c``'s part begins.
    """

    maps: IntArray
    map_start: IntArray
    assembly: IntArray
    assembly_start: IntArray


@dataclass(frozen=True, eq=False)
class TileProgram:
    """What the lane kernels do for one class of tiles; offsets count vectors.

    Attributes
    ----------
    nodes : ndarray (nodes, 14)
        See ``sparsegmrf.kernels.dissection_lanes``.
    visits : list of Visit
        Class and first pixel of each node.
    classes : list of NodeClass
        All classes of the image.
    channels : int
        Unknowns per pixel.
    factor_size, slot_size : int
        Vectors of the factor and of the workspace for update matrices.
    """

    nodes: IntArray
    visits: "list[Visit]"
    classes: list[NodeClass]
    channels: int
    factor_size: int
    slot_size: int

    @property
    def top(self) -> NodeClass:
        """Class of the tile itself."""
        return self.classes[self.visits[-1].cls]

    @property
    def order(self) -> int:
        """Unknowns on the tile's boundary; its update matrix is left at ``nodes[-1, 3]``."""
        return len(self.top.boundary) * self.channels

    @cached_property
    def positions(self) -> IntArray:
        """Tile position of each front unknown, node after node: own unknowns in raster order, then the boundary's."""
        places = _TilePlaces(self.top, self.channels)
        fronts = [places.of(self.classes[each.cls].front + each.pixel) for each in self.visits]
        return np.concatenate(fronts)


def tables(classes: list[NodeClass], width: int, channels: int) -> Tables:
    """Flatten the classes' maps and assembly tables for an image `width` pixels wide."""
    maps = [expand(positions, channels) for each in classes for positions in each.maps]
    sizes = np.array([[len(positions) for positions in each.maps] or [0, 0] for each in classes])
    map_start = np.concatenate([[0], np.cumsum(sizes.ravel() * channels)])[:-1].reshape(-1, 2)
    rows = np.vstack([each.assembly for each in classes])
    assembly = np.column_stack([rows[:, :3], rows[:, 3] * width + rows[:, 4], rows[:, 5]])
    assembly_start = np.concatenate([[0], np.cumsum([len(each.assembly) for each in classes])])
    flat = np.concatenate(maps) if maps else np.zeros(0, dtype=np.int64)
    return Tables(flat, map_start, np.ascontiguousarray(assembly), assembly_start)


def tile_program(classes: list[NodeClass], root: int, tables: Tables, width: int, channels: int) -> TileProgram:
    """Unfold class `root` into a program."""
    visits = _elimination_order(classes, root)
    slots = _slots(classes, visits, channels)
    nodes = np.full((len(visits), 14), -1, dtype=np.int64)
    factor_size = 0
    filled = 0
    for row, visit in enumerate(visits):
        each = classes[visit.cls]
        s, m = each.eliminated * channels, len(each.front) * channels
        nodes[row, :4] = s, m - s, factor_size, slots[visit.depth, visit.half]
        for half, child in enumerate(each.children):
            child_order = len(classes[child].boundary) * channels
            first = tables.map_start[visit.cls, half]
            nodes[row, 4 + 3 * half : 7 + 3 * half] = slots[visit.depth + 1, half], child_order, first
        nodes[row, 10:12] = tables.assembly_start[visit.cls : visit.cls + 2]
        nodes[row, 12] = visit.row * width + visit.column
        nodes[row, 13] = filled
        filled += m
        factor_size += m * s - s * (s - 1) // 2
    return TileProgram(nodes, visits, classes, channels, factor_size, int(slots[-1, 0]))


def expand(positions: IntArray, channels: int) -> IntArray:
    """Turn pixel positions into unknown positions, the channels of a pixel together."""
    unknowns: IntArray = (positions[:, np.newaxis] * channels + np.arange(channels)).ravel()
    return unknowns


@dataclass(frozen=True)
class Visit:
    """One node of an unfolded class: where it stands in the tree and in the tile."""

    cls: int
    depth: int
    half: int
    row: int
    column: int

    @property
    def pixel(self) -> tuple[int, int]:
        """First pixel relative to the tile's."""
        return (self.row, self.column)


def _elimination_order(classes: list[NodeClass], root: int) -> list[Visit]:
    order: list[Visit] = []
    stack = [Visit(root, 0, 0, 0, 0)]
    while stack:
        visit = stack.pop()
        order.append(visit)
        each = classes[visit.cls]
        for half, child in enumerate(each.children):
            row, column = (int(step) for step in each.origins[half])
            stack.append(Visit(child, visit.depth + 1, half, visit.row + row, visit.column + column))
    return order[::-1]


def _slots(classes: list[NodeClass], visits: list[Visit], channels: int) -> IntArray:
    """Place one update matrix per depth and half, so that a node and its halves never collide; the last row ends."""
    depths = 1 + max(visit.depth for visit in visits)
    sizes = np.zeros((depths, 2), dtype=np.int64)
    for visit in visits:
        b = len(classes[visit.cls].boundary) * channels
        sizes[visit.depth, visit.half] = max(sizes[visit.depth, visit.half], b * (b + 1) // 2)
    ends = np.cumsum(sizes.ravel())
    starts = np.concatenate([[0], ends, [ends[-1]]])
    return starts.reshape(depths + 1, 2).astype(np.int64)


class _TilePlaces:
    """Positions in a tile's vector: its own unknowns in raster order, then its boundary's."""

    def __init__(self, top: NodeClass, channels: int) -> None:
        height, width = top.key[:2]
        self.channels = channels
        self.margin = int(np.abs(np.minimum(top.front.min(axis=0, initial=0), 0)).max()) + int(
            np.maximum(top.front.max(axis=0, initial=0) + 1 - (height, width), 0).max()
        )
        self.table = np.full((height + 2 * self.margin, width + 2 * self.margin), -1, dtype=np.int64)
        inside = slice(self.margin, self.margin + height), slice(self.margin, self.margin + width)
        self.table[inside] = np.arange(height * width).reshape(height, width)
        boundary = top.boundary + self.margin
        self.table[boundary[:, 0], boundary[:, 1]] = height * width + np.arange(len(boundary))

    def of(self, pixels: IntArray) -> IntArray:
        shifted = pixels + self.margin
        return expand(self.table[shifted[:, 0], shifted[:, 1]], self.channels)
