"""Where the solves read and write, and how they are cut into tasks: what depends on the tree but not on its numbers."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from sparsegmrf.factors.dissection._analysis import LANES, Analysis, Groups
from sparsegmrf.factors.dissection._classes import NodeClass
from sparsegmrf.factors.dissection._numbers import front_starts
from sparsegmrf.factors.dissection._programs import expand
from sparsegmrf.factors.dissection._tree import Level
from sparsegmrf.kernels.dissection_columns import NODE_ELIMINATED, NODE_UPDATED
from sparsegmrf.kernels.dissection_front_solve import (
    ITEM_COLUMNS,
    ITEM_ELIMINATED,
    ITEM_END,
    ITEM_FIRST,
    ITEM_HALF_MAP,
    ITEM_HALF_ORDER,
    ITEM_INSTANCES,
    ITEM_ORDER,
    ITEM_PANEL,
    ITEM_PER_HALF,
    ITEM_SHIFTS,
)
from sparsegmrf.kernels.dissection_lane_solve import (
    BLOCK_AROUND,
    BLOCK_COLUMNS,
    BLOCK_END,
    BLOCK_FACTOR,
    BLOCK_FILLED,
    BLOCK_FIRST,
    BLOCK_NODES,
    BLOCK_NODES_END,
    BLOCK_OWN,
    BLOCK_POSITIONS,
    BLOCK_SHIFTS,
    BLOCK_TILES,
)
from sparsegmrf.typing import IntArray

WIDTH = 4
"""Vectors of right-hand sides that the lane kernels take at a time."""

PARTS = 4
"""Times `WIDTH` vectors that go through a tile together, to use a piece of the factor for all while it is in cache."""

COLUMNS = 16
"""Right-hand sides that the front kernels take at a time."""

_TASK = 2**18
"""Entries of the factor that make a task: some tenths of a millisecond."""

Cut = list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Places:
    """First unknowns of nodes in the images and of their boundaries in the vectors of updates.

    The instances of one distinct node stand together, in the order of the distinct nodes; tiles in that of the groups.

    Attributes
    ----------
    origins, updates : ndarray (nodes,)
        First unknown of the node; first entry of what it adds to its boundary.
    halves : ndarray (nodes, 2)
        `updates` of its halves.
    first, count : ndarray
        First of the instances of each distinct node (group of tiles), and how many there are.
    """

    origins: IntArray
    updates: IntArray
    halves: IntArray
    first: IntArray
    count: IntArray


class SolveTables:
    """Tables for the solve kernels, for any number of images."""

    def __init__(self, analysis: Analysis, levels: list[Level], groups: Groups) -> None:
        self.analysis, self.levels, self.groups = analysis, levels, groups
        self.size = analysis.lattice.size
        boundary = analysis.order - analysis.eliminated
        ends = np.cumsum(np.concatenate([boundary[level.cls] for level in levels]))
        self.updates_size = int(ends[-1])
        starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        self._updates = np.split(starts, np.cumsum([len(level.cls) for level in levels])[:-1])
        self.root_update, self.root_order = int(self._updates[0][0]), int(boundary[-1])
        self._lay_out_programs()
        self._lay_out_fronts()

    @cached_property
    def tiles(self) -> Places:
        """The tiles."""
        distinct, (group, lane) = self.levels[-1].distinct, self._lanes
        members = self.groups.member[group, lane]
        rank = np.empty(len(members), dtype=np.int64)
        rank[members] = np.arange(len(members))
        count = np.bincount(group, np.bincount(distinct)[members], minlength=len(self.groups.cls)).astype(np.int64)
        return self._places(len(self.levels) - 1, np.argsort(rank[distinct], kind="stable"), count)

    @cached_property
    def fronts(self) -> Places:
        """The nodes above the tiles, level by level from the image down."""
        parts = [
            self._places(depth, np.argsort(level.distinct, kind="stable"), np.bincount(level.distinct))
            for depth, level in enumerate(self.levels[:-1])
        ]
        if not parts:
            none = np.zeros(0, dtype=np.int64)
            return Places(none, none, none.reshape(0, 2), none, none)
        count = np.concatenate([part.count for part in parts])
        return Places(
            np.concatenate([part.origins for part in parts]),
            np.concatenate([part.updates for part in parts]),
            np.concatenate([part.halves for part in parts]),
            np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.int64),
            count,
        )

    @property
    def _lanes(self) -> tuple[IntArray, IntArray]:
        """Groups and lanes that stand for a tile."""
        group, lane = np.nonzero(np.arange(LANES) < self.groups.filled[:, np.newaxis])
        return group, lane

    def _places(self, depth: int, order: IntArray, count: IntArray) -> Places:
        level = self.levels[depth]
        width, channels = self.analysis.lattice.shape[1], self.analysis.lattice.channels
        origins = (level.pixel[order, 0] * width + level.pixel[order, 1]) * channels
        below = self._updates[depth + 1] if depth + 1 < len(self.levels) else np.zeros(0, dtype=np.int64)
        halves = below[level.child[order]] if len(below) else np.zeros((len(order), 2), dtype=np.int64)
        first = np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.int64)
        return Places(origins, self._updates[depth][order], halves, first, count.astype(np.int64))

    def _lay_out_programs(self) -> None:
        """Put the programs of all classes of tiles into one table each; `program_of` is indexed by class."""
        programs, classes = self.analysis.programs, self.analysis.classes
        self.nodes = np.vstack([each.nodes for each in programs.values()])
        self.positions = np.concatenate([each.positions for each in programs.values()])
        shifts = [self._tile_shifts(classes[cls]) for cls in programs]
        self.tile_shifts = np.concatenate(shifts)
        self.program_of = np.zeros((len(classes), BLOCK_COLUMNS), dtype=np.int64)
        self.factor_size = np.zeros(len(classes), dtype=np.int64)
        node = position = shift = 0
        for (cls, program), mine in zip(programs.items(), shifts, strict=True):
            row = self.program_of[cls]
            row[BLOCK_NODES], row[BLOCK_NODES_END] = node, node + len(program.nodes)
            row[BLOCK_POSITIONS], row[BLOCK_SHIFTS] = position, shift
            row[BLOCK_OWN], row[BLOCK_AROUND] = len(mine) - program.order, program.order
            self.factor_size[cls] = program.factor_size
            node, position, shift = node + len(program.nodes), position + len(program.positions), shift + len(mine)
        own, around = self.program_of[:, BLOCK_OWN], self.program_of[:, BLOCK_AROUND]
        self.tile_unknowns = int((2 * own + around).max())
        self.tile_order = int((self.nodes[:, NODE_ELIMINATED] + self.nodes[:, NODE_UPDATED]).max())

    def _lay_out_fronts(self) -> None:
        """Tabulate the nodes above the tiles: one row per distinct node, and where each level's begin."""
        analysis, upper = self.analysis, self.levels[:-1]
        cls = np.concatenate([level.cls[level.first] for level in upper] or [np.zeros(0, dtype=np.int64)])
        used, which = np.unique(cls, return_inverse=True)
        shifts = [self._shifts(analysis.classes[each].front) for each in used]
        starts = np.concatenate([[0], np.cumsum([len(each) for each in shifts])]).astype(np.int64)
        self.front_shifts = np.concatenate(shifts or [np.zeros(0, dtype=np.int64)])
        children = np.array([each.children or (0, 0) for each in analysis.classes], dtype=np.int64)
        boundary = analysis.order - analysis.eliminated
        panels, _ = front_starts(analysis, self.levels)
        rows = np.zeros((len(cls), ITEM_COLUMNS), dtype=np.int64)
        rows[:, ITEM_PANEL] = np.concatenate(panels or [np.zeros(0, dtype=np.int64)])
        rows[:, ITEM_ELIMINATED] = analysis.eliminated[cls]
        rows[:, ITEM_ORDER] = analysis.order[cls]
        rows[:, ITEM_SHIFTS] = starts[which.reshape(-1)]
        rows[:, ITEM_HALF_MAP::ITEM_PER_HALF] = analysis.tables.map_start[cls]
        rows[:, ITEM_HALF_ORDER::ITEM_PER_HALF] = boundary[children[cls]]
        self.front_rows = rows
        self.level_start = np.concatenate([[0], np.cumsum([len(level.first) for level in upper])]).astype(np.int64)
        self.front_order = int(rows[:, ITEM_ORDER].max(initial=0))

    def _tile_shifts(self, tile: NodeClass) -> IntArray:
        """Return the shifts of a tile's own unknowns in raster order, then its boundary's."""
        rows, columns = (each.ravel() for each in np.indices(tile.key[:2]))
        return self._shifts(np.vstack([np.column_stack([rows, columns]), tile.boundary]))

    def _shifts(self, pixels: IntArray) -> IntArray:
        """Return the unknowns of pixels, relative to the first unknown of their node."""
        return expand(pixels[:, 0] * self.analysis.lattice.shape[1] + pixels[:, 1], self.analysis.lattice.channels)


@dataclass(frozen=True, eq=False)
class Schedule:
    """Work for one number of images; neither the rows nor the cuts depend on the number of threads.

    Attributes
    ----------
    blocks : dict of (int, (ndarray, list))
        Per width, rows for ``dissection_lane_solve`` and their cut into tasks.
    parts : int
        Most `WIDTH` vectors in a block.
    items : ndarray
        Rows for ``dissection_front_solve``.
    cuts : list of list
        Per level above the tiles, its cut into tasks.
    """

    images: int
    blocks: dict[int, tuple[IntArray, Cut]]
    parts: int
    items: IntArray
    cuts: list[Cut]


def schedule(tables: SolveTables, images: int) -> Schedule:
    """Cut the work for `images` images."""
    items, level_of, cost = _items(tables, images)
    first_item = np.searchsorted(level_of, np.arange(len(tables.level_start)))
    cuts = [_cut(cost, int(first), int(last)) for first, last in pairwise(first_item)]
    return Schedule(images, *_blocks(tables, images), items, cuts)


def _blocks(tables: SolveTables, images: int) -> tuple[dict[int, tuple[IntArray, Cut]], int]:
    """Cut each group's work into blocks of vectors: of images, or of columns where all lanes hold one tile."""
    groups, tiles = tables.groups, tables.tiles
    alike = groups.filled == 1
    columns = np.where(alike, tiles.count * images, images)
    lanes = np.where(alike, LANES, 1)
    chunk = lanes * WIDTH * PARTS
    group, step = _chunks(columns, chunk)
    first = step * chunk[group]
    last = np.minimum(first + chunk[group], columns[group])
    rows = tables.program_of[groups.cls[group]]
    rows[:, BLOCK_FACTOR] = groups.start[group]
    rows[:, BLOCK_TILES] = tiles.first[group]
    rows[:, BLOCK_FILLED] = np.where(alike, 0, groups.filled)[group]
    rows[:, BLOCK_FIRST] = first
    rows[:, BLOCK_END] = last
    cost = tables.factor_size[groups.cls[group]] * LANES
    narrow = last - first <= lanes[group]
    parts = -(-(last - first) // (lanes[group] * WIDTH))
    result = {}
    for width, chosen in ((WIDTH, ~narrow), (1, narrow)):
        mine = np.ascontiguousarray(rows[chosen])
        result[width] = mine, _cut((cost * parts)[chosen], 0, len(mine))
    return result, int(parts.max(initial=1))


def _items(tables: SolveTables, images: int) -> tuple[IntArray, IntArray, IntArray]:
    """Return the rows of the work above the tiles, the level of each and its cost."""
    rows, fronts = tables.front_rows, tables.fronts
    columns = fronts.count * images
    size = np.maximum(rows[:, ITEM_ELIMINATED] * rows[:, ITEM_ORDER], 1)
    chunk = COLUMNS * np.maximum(1, _TASK // size)
    node, step = _chunks(columns, chunk)
    first = step * chunk[node]
    last = np.minimum(first + chunk[node], columns[node])
    work = rows[node]
    work[:, ITEM_INSTANCES] = fronts.first[node]
    work[:, ITEM_FIRST] = first
    work[:, ITEM_END] = last
    level = np.searchsorted(tables.level_start, node, side="right") - 1
    return work, level, size[node] * (-(-(last - first) // COLUMNS))


def _chunks(count: IntArray, chunk: IntArray) -> tuple[IntArray, IntArray]:
    """Cut ranges of `count` into chunks: return the range each belongs to and its number within it."""
    pieces = -(-count // chunk)
    which = np.repeat(np.arange(len(count)), pieces)
    before = np.cumsum(pieces) - pieces
    return which, np.arange(len(which)) - before[which]


def _cut(cost: IntArray, first: int, last: int) -> Cut:
    """Cut ``first ... last`` into runs that cost about `_TASK`."""
    if first == last:
        return []
    task = (np.cumsum(cost[first:last]) - cost[first:last]) // _TASK
    begins = first + np.flatnonzero(np.diff(task, prepend=-1))
    return list(zip(begins.tolist(), [*begins[1:].tolist(), last], strict=True))
