"""Whitening, its transpose and their inverses with a dissection factor ``P Q P^T = L L^T``, ``A = L^T P``.

With a node's eliminated unknowns ``S`` and boundary ``B`` the four passes over the tree are

- whiten: ``y_S = L_SS^T x_S + L_BS^T x_B``, every node on its own;
- unwhiten: ``x_S = L_SS^-T (e_S - L_BS^T x_B)``, from the image down to the tiles;
- transpose of unwhiten: ``y_S = L_SS^-1 f_S`` with ``f = [b_S; 0] + updates of the halves``, whose own update is
  ``f_B - L_BS y_S``, from the tiles up;
- transpose of whiten: ``x_S = L_SS y_S + f_S``, whose own update is ``f_B + L_BS y_S``.
"""

from collections import deque
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from sparsegmrf import _threads
from sparsegmrf._validate import read_only
from sparsegmrf.factors.dissection._analysis import LANES, Analysis, Groups
from sparsegmrf.factors.dissection._buffers import aligned
from sparsegmrf.factors.dissection._numbers import FactorNumbers
from sparsegmrf.factors.dissection._schedule import COLUMNS, PARTS, WIDTH, Schedule, SolveTables, schedule
from sparsegmrf.factors.dissection._tree import Level
from sparsegmrf.kernels import dissection_front_solve, dissection_lane_solve
from sparsegmrf.typing import FloatArray, IntArray

Workspace = tuple[FloatArray, FloatArray, FloatArray, IntArray]

_IMAGES = 64
"""Images of one pass over the tree: beyond, memory for updates would grow with the batch."""


class Solver:
    """Products and solves with a factor for images ``(R, n)``, float64 and C-contiguous; arguments are not modified."""

    def __init__(self, analysis: Analysis, levels: list[Level], groups: Groups, blocks: FactorNumbers) -> None:
        self._tree = analysis, levels, groups
        self._blocks = replace(blocks, tiles=read_only(blocks.tiles), fronts=read_only(blocks.fronts))
        self._schedules: dict[int, Schedule] = {}

    def whiten(self, x: FloatArray) -> FloatArray:
        """Return ``A x``."""
        result = _like(x)
        for first, last in _threads.ranges(len(x), _IMAGES):
            work = _Pass(self._tables, self._blocks, self._schedule(last - first), x[first:last], result[first:last])
            _threads.run(
                [*(task for cut in work.transpose_fronts(False) for task in cut), *work.transpose_tiles(False)]
            )
        return result

    def unwhiten(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e``."""
        result = _like(e)
        self._unwhiten(e, result)
        return result

    def unwhiten_over(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` in the memory of `e`."""
        self._unwhiten(e, e)
        return e

    def whiten_transpose(self, y: FloatArray) -> FloatArray:
        """Return ``A^T y``."""
        return self._from_tiles_up(y, invert=False)

    def unwhiten_transpose(self, b: FloatArray) -> FloatArray:
        """Return ``A^-T b``."""
        return self._from_tiles_up(b, invert=True)

    def forward(self, b: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``A^-T b``, and what it adds to the boundary of the root, ``(R, B)``; of a part of a lattice."""
        added = np.empty((len(b), self._tables.root_order))
        return self._from_tiles_up(b, invert=True, added=added), added

    def backward(self, y: FloatArray, result: FloatArray) -> None:
        """Put ``A^-1 y`` into `result`, which holds the finished pixels on the boundary of the root."""
        self._unwhiten(y, result)

    def solve(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b = A^-1 A^-T b``."""
        return self.unwhiten_over(self.unwhiten_transpose(b))

    @cached_property
    def _tables(self) -> SolveTables:
        return SolveTables(*self._tree)

    def _schedule(self, images: int) -> Schedule:
        made = self._schedules.get(images)
        if made is None:
            made = schedule(self._tables, images)
            # One batch size and its remainder are what a caller comes back with.
            if len(self._schedules) > 2:
                self._schedules = {}
            self._schedules[images] = made
        return made

    def _unwhiten(self, e: FloatArray, result: FloatArray) -> None:
        for first, last in _threads.ranges(len(e), _IMAGES):
            work = _Pass(self._tables, self._blocks, self._schedule(last - first), e[first:last], result[first:last])
            for tasks in work.transpose_fronts(True):
                _threads.run(tasks)
            _threads.run(work.transpose_tiles(True))

    def _from_tiles_up(self, values: FloatArray, *, invert: bool, added: FloatArray | None = None) -> FloatArray:
        result = _like(values)
        for first, last in _threads.ranges(len(values), _IMAGES):
            part = values[first:last], result[first:last]
            work = _Pass(self._tables, self._blocks, self._schedule(last - first), *part)
            updates = np.empty((last - first) * self._tables.updates_size)
            _threads.run(work.factor_tiles(invert, updates))
            for tasks in work.factor_fronts(invert, updates):
                _threads.run(tasks)
            if added is not None:
                at, images = self._tables.root_update, last - first
                of_root = updates[at * images : (at + added.shape[1]) * images]
                added[first:last] = of_root.reshape(-1, images).T
        return result


class _Pass:
    """Tasks of one pass over the tree for up to `_IMAGES` images."""

    def __init__(
        self, tables: SolveTables, blocks: FactorNumbers, work: Schedule, values: FloatArray, result: FloatArray
    ) -> None:
        self.tables, self.blocks, self.work = tables, blocks, work
        self.values, self.result = read_only(values.reshape(-1)), result.reshape(-1)
        width = max((width for width, (_, cut) in work.blocks.items() if cut), default=1)
        columns = COLUMNS if (work.items[:, 6] - work.items[:, 5] > 1).any() else 1
        # Tile vectors, fronts, four columns' results, places.
        self.sizes = (
            tables.tile_unknowns * width * LANES * work.parts,
            max(tables.tile_order * width * LANES, tables.front_order * columns),
            4 * max(width * LANES, columns),
        )
        self.free: deque[Workspace] = deque()

    def transpose_tiles(self, invert: bool) -> list[_threads.Task]:
        """Whiten tiles, or unwhiten them."""
        return [
            partial(self._transpose_tiles, invert, width, first, last)
            for width, (_, cut) in self.work.blocks.items()
            for first, last in cut
        ]

    def transpose_fronts(self, invert: bool) -> list[list[_threads.Task]]:
        """Whiten the nodes above the tiles, or unwhiten them: tasks level by level, the image first."""
        return [[partial(self._transpose_fronts, invert, *run) for run in cut] for cut in self.work.cuts]

    def factor_tiles(self, invert: bool, updates: FloatArray) -> list[_threads.Task]:
        """Apply the transpose of whitening to tiles, or of unwhitening."""
        return [
            partial(self._factor_tiles, invert, updates, width, first, last)
            for width, (_, cut) in self.work.blocks.items()
            for first, last in cut
        ]

    def factor_fronts(self, invert: bool, updates: FloatArray) -> list[list[_threads.Task]]:
        """Do the same above the tiles: tasks level by level, the image last."""
        return [[partial(self._factor_fronts, invert, updates, *run) for run in cut] for cut in self.work.cuts[::-1]]

    def _transpose_tiles(self, invert: bool, width: int, first: int, last: int) -> None:
        tables = self.tables
        workspace = self._take()
        dissection_lane_solve.transpose_tiles(
            invert,
            width,
            self.work.blocks[width][0],
            first,
            last,
            tables.nodes,
            tables.positions,
            tables.tile_shifts,
            tables.tiles.origins,
            self.work.images,
            tables.size,
            self.blocks.tiles,
            self.values,
            self.result,
            *workspace,
        )
        self.free.append(workspace)

    def _factor_tiles(self, invert: bool, updates: FloatArray, width: int, first: int, last: int) -> None:
        tables = self.tables
        workspace = self._take()
        dissection_lane_solve.factor_tiles(
            invert,
            width,
            self.work.blocks[width][0],
            first,
            last,
            tables.nodes,
            tables.positions,
            tables.tile_shifts,
            tables.tiles.origins,
            self.work.images,
            tables.size,
            self.blocks.tiles,
            tables.tiles.updates,
            self.values,
            self.result,
            updates,
            *workspace,
        )
        self.free.append(workspace)

    def _transpose_fronts(self, invert: bool, first: int, last: int) -> None:
        tables = self.tables
        workspace = self._take()
        dissection_front_solve.transpose_fronts(
            invert,
            self.work.items,
            first,
            last,
            tables.front_shifts,
            tables.fronts.origins,
            self.work.images,
            tables.size,
            self.blocks.fronts,
            self.values,
            self.result,
            *workspace[1:],
        )
        self.free.append(workspace)

    def _factor_fronts(self, invert: bool, updates: FloatArray, first: int, last: int) -> None:
        tables = self.tables
        workspace = self._take()
        dissection_front_solve.factor_fronts(
            invert,
            self.work.items,
            first,
            last,
            tables.front_shifts,
            tables.fronts.origins,
            self.work.images,
            tables.size,
            tables.analysis.tables.maps,
            self.blocks.fronts,
            tables.fronts.updates,
            tables.fronts.halves,
            self.values,
            self.result,
            updates,
            *workspace[1:],
        )
        self.free.append(workspace)

    def _take(self) -> Workspace:
        """Return arrays that no other thread works in; what they hold does not matter."""
        try:
            return self.free.pop()
        except IndexError:
            w, f, T = (aligned(size) for size in self.sizes)
            return w, f, T, np.empty(2 * PARTS * WIDTH * LANES, dtype=np.int64)


def _like(images: FloatArray) -> FloatArray:
    """Return uninitialized images; pixels that eight numbers are written to at a time mostly begin a cache line."""
    return aligned(images.size).reshape(images.shape)
