"""Programs for congruent tiles: a class unfolded into its nodes in elimination order, with all offsets worked out."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsegmrf.factors.dissection._classes import NodeClass
from sparsegmrf.kernels.dissection_columns import (
    NODE_ASSEMBLY,
    NODE_ASSEMBLY_END,
    NODE_COLUMNS,
    NODE_ELIMINATED,
    NODE_FACTOR,
    NODE_HALF_MAP,
    NODE_HALF_UPDATE,
    NODE_HALF_UPDATED,
    NODE_PER_HALF,
    NODE_PIXEL,
    NODE_POSITIONS,
    NODE_UPDATE,
    NODE_UPDATED,
)
from sparsegmrf.typing import IntArray


@dataclass(frozen=True, eq=False)
class Tables:
    """Index tables of all classes as the kernels read them: unknowns instead of pixels, flat shifts instead of pairs.

    ``map_start[c, half]`` and ``assembly_start[c]`` say where class ``c``'s part begins; in pixels, its front is
    ``fronts[front_start[c] : front_start[c + 1]]``.
    """

    maps: IntArray
    map_start: IntArray
    assembly: IntArray
    assembly_start: IntArray
    fronts: IntArray
    front_start: IntArray
    eliminated: IntArray
    children: IntArray
    origins: IntArray
    descendants: IntArray


@dataclass(frozen=True, eq=False)
class Visits:
    """Nodes of an unfolded class in elimination order: class, place in the tree, first pixel relative to the tile."""

    cls: IntArray
    depth: IntArray
    half: IntArray
    row: IntArray
    column: IntArray


@dataclass(frozen=True, eq=False)
class TileProgram:
    """What the lane kernels do for one class of tiles; offsets count vectors.

    Attributes
    ----------
    nodes : ndarray (nodes, 14)
        See ``sparsegmrf.kernels.dissection_lanes``.
    visits : Visits
        Class and first pixel of each node.
    top : NodeClass
        Class of the tile itself.
    tables : Tables
        Of all classes.
    channels : int
        Unknowns per pixel.
    factor_size, slot_size : int
        Vectors of the factor and of the workspace for update matrices.
    """

    nodes: IntArray
    visits: Visits
    top: NodeClass
    tables: Tables
    channels: int
    factor_size: int
    slot_size: int

    @property
    def order(self) -> int:
        """Unknowns on the tile's boundary; its update matrix is left at ``nodes[-1, NODE_UPDATE]``."""
        return len(self.top.boundary) * self.channels

    @cached_property
    def positions(self) -> IntArray:
        """Tile position of each front unknown, node after node: own unknowns in raster order, then the boundary's."""
        tables, visits = self.tables, self.visits
        sizes = tables.front_start[visits.cls + 1] - tables.front_start[visits.cls]
        first = np.cumsum(sizes) - sizes
        entry = np.arange(int(sizes.sum())) + np.repeat(tables.front_start[visits.cls] - first, sizes)
        corner = np.column_stack([visits.row, visits.column])
        pixels = tables.fronts[entry] + np.repeat(corner, sizes, axis=0)
        return expand(_tile_places(self.top, pixels), self.channels)


def tables(classes: list[NodeClass], width: int, channels: int) -> Tables:
    """Flatten the classes' tables for an image `width` pixels wide."""
    maps = [expand(positions, channels) for each in classes for positions in each.maps]
    sizes = np.array([[len(positions) for positions in each.maps] or [0, 0] for each in classes])
    rows = np.vstack([each.assembly for each in classes])
    assembly = np.column_stack([rows[:, :3], rows[:, 3] * width + rows[:, 4], rows[:, 5]])
    descendants = np.ones(len(classes), dtype=np.int64)
    for cls, each in enumerate(classes):
        descendants[cls] += sum(int(descendants[child]) for child in each.children)
    return Tables(
        np.concatenate(maps) if maps else np.zeros(0, dtype=np.int64),
        _starts(sizes.ravel() * channels)[:-1].reshape(-1, 2),
        np.ascontiguousarray(assembly),
        _starts([len(each.assembly) for each in classes]),
        np.vstack([each.front for each in classes]),
        _starts([len(each.front) for each in classes]),
        np.array([each.eliminated for each in classes], dtype=np.int64),
        np.array([each.children or (-1, -1) for each in classes], dtype=np.int64),
        np.array([each.origins if each.children else np.zeros((2, 2)) for each in classes], dtype=np.int64),
        descendants,
    )


def tile_program(classes: list[NodeClass], root: int, tables: Tables, width: int, channels: int) -> TileProgram:
    """Unfold class `root` into a program."""
    visits = _visits(tables, root)
    cls = visits.cls
    m = (tables.front_start[cls + 1] - tables.front_start[cls]) * channels
    s = tables.eliminated[cls] * channels
    slots = _slots(visits, m - s)
    factor = _starts(m * s - s * (s - 1) // 2)
    nodes = np.full((len(cls), NODE_COLUMNS), -1, dtype=np.int64)
    nodes[:, NODE_ELIMINATED] = s
    nodes[:, NODE_UPDATED] = m - s
    nodes[:, NODE_FACTOR] = factor[:-1]
    nodes[:, NODE_UPDATE] = slots[visits.depth, visits.half]
    inner = tables.children[cls, 0] >= 0
    for half in range(2):
        child = tables.children[cls[inner], half]
        order = (tables.front_start[child + 1] - tables.front_start[child] - tables.eliminated[child]) * channels
        behind = half * NODE_PER_HALF
        nodes[inner, NODE_HALF_UPDATE + behind] = slots[visits.depth[inner] + 1, half]
        nodes[inner, NODE_HALF_UPDATED + behind] = order
        nodes[inner, NODE_HALF_MAP + behind] = tables.map_start[cls[inner], half]
    nodes[:, NODE_ASSEMBLY] = tables.assembly_start[cls]
    nodes[:, NODE_ASSEMBLY_END] = tables.assembly_start[cls + 1]
    nodes[:, NODE_PIXEL] = visits.row * width + visits.column
    nodes[:, NODE_POSITIONS] = _starts(m)[:-1]
    return TileProgram(nodes, visits, classes[root], tables, channels, int(factor[-1]), int(slots[-1, 0]))


def expand(positions: IntArray, channels: int) -> IntArray:
    """Turn pixel positions into unknown positions, the channels of a pixel together."""
    unknowns: IntArray = (positions[:, np.newaxis] * channels + np.arange(channels)).ravel()
    return unknowns


def _starts(sizes: IntArray | list[int]) -> IntArray:
    """Return where parts of these sizes begin when they follow one another, and the end."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _visits(tables: Tables, root: int) -> Visits:
    """Unfold level by level; a node stands behind all its descendants, which follow those of earlier nodes."""
    size = int(tables.descendants[root])
    fields = np.zeros((5, size), dtype=np.int64)
    level = np.array([[root], [0], [0], [0], [0]], dtype=np.int64)
    first = np.zeros(1, dtype=np.int64)
    while level.shape[1]:
        cls, depth, _, row, column = level
        fields[:, first + tables.descendants[cls] - 1] = level
        inner = np.flatnonzero(tables.children[cls, 0] >= 0)
        children, origins = tables.children[cls[inner]], tables.origins[cls[inner]]
        level = np.hstack(
            [
                np.vstack(
                    [
                        children[:, half],
                        depth[inner] + 1,
                        np.full(len(inner), half),
                        row[inner] + origins[:, half, 0],
                        column[inner] + origins[:, half, 1],
                    ]
                )
                for half in range(2)
            ]
        )
        first = np.concatenate([first[inner], first[inner] + tables.descendants[children[:, 0]]])
    return Visits(*fields)


def _slots(visits: Visits, orders: IntArray) -> IntArray:
    """Place one update matrix per depth and half, so that a node and its halves never collide; the last row ends."""
    depths = 1 + int(visits.depth.max())
    sizes = np.zeros((depths, 2), dtype=np.int64)
    np.maximum.at(sizes, (visits.depth, visits.half), orders * (orders + 1) // 2)
    ends = np.cumsum(sizes.ravel())
    starts = np.concatenate([[0], ends, [ends[-1]]])
    return starts.reshape(depths + 1, 2).astype(np.int64)


def _tile_places(top: NodeClass, pixels: IntArray) -> IntArray:
    """Return positions in a tile's vector: its own pixels in raster order, then those of its boundary."""
    height, width = top.key[:2]
    low = np.minimum(top.front.min(axis=0, initial=0), 0)
    high = np.maximum(top.front.max(axis=0, initial=0) + 1, (height, width))
    table = np.full(high - low, -1, dtype=np.int64)
    table[-low[0] : height - low[0], -low[1] : width - low[1]] = np.arange(height * width).reshape(height, width)
    boundary = top.boundary - low
    table[boundary[:, 0], boundary[:, 1]] = height * width + np.arange(len(boundary))
    shifted = pixels - low
    places: IntArray = table[shifted[:, 0], shifted[:, 1]]
    return places
