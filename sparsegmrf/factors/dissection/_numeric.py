"""Numeric factorization: tiles in lanes, then one front after another up to the whole image."""

import threading
from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._graph import run_graph
from sparsegmrf.factors.dissection._analysis import LANES, Analysis, Groups
from sparsegmrf.factors.dissection._buffers import Buffers, Stored
from sparsegmrf.factors.dissection._numbers import FactorNumbers, front_starts
from sparsegmrf.factors.dissection._products import own_products
from sparsegmrf.factors.dissection._programs import TileProgram
from sparsegmrf.factors.dissection._tree import Level
from sparsegmrf.kernels import blas, dense_products, dissection_front_inverse, dissection_fronts, dissection_lanes
from sparsegmrf.kernels.dissection_columns import NODE_ELIMINATED, NODE_FACTOR, NODE_UPDATE, NODE_UPDATED
from sparsegmrf.stencil._coefficients import Pool
from sparsegmrf.typing import FloatArray, IntArray

_SPLIT = 2.5e8
"""A front of more arithmetic than this is factorized by several tasks."""

_PANEL = 256
"""Columns of a large front that one task works on."""

_STRIP = 64
"""Columns that LAPACK factorizes at a time; products, which are faster, do the rest."""


class NotPositiveError(Exception):
    """A pivot is not positive.

    Attributes
    ----------
    depth, node : int
        Level and distinct node.
    program_node : int
        Node of the tile's program, or -1 above the tiles.
    column : int
        Eliminated unknown of the node.
    pivot : float
        Value found.
    """

    def __init__(self, depth: int, node: int, program_node: int, column: int, pivot: float) -> None:
        super().__init__(depth, node, program_node, column, pivot)
        self.depth, self.node, self.program_node, self.column, self.pivot = depth, node, program_node, column, pivot


def factorize(
    analysis: Analysis,
    levels: list[Level],
    groups: Groups,
    pool: Pool,
    buffers: Buffers | None = None,
    *,
    single: bool = False,
) -> FactorNumbers:
    """Factorize, in memory of `buffers` if they are given; raises `NotPositiveError` at the first pivot that is not.

    All arithmetic is in double precision. With `single` each tile and each panel is rounded once it is done, and
    nothing that follows sees that: updates and `FactorNumbers.log_pivots` are those of double precision.
    """
    return eliminate(analysis, levels, groups, pool, Buffers() if buffers is None else buffers, single=single)[0]


def eliminate(
    analysis: Analysis,
    levels: list[Level],
    groups: Groups,
    pool: Pool,
    buffers: Buffers,
    given: tuple[FloatArray, FloatArray] | None = None,
    *,
    single: bool = False,
) -> tuple[FactorNumbers, FloatArray]:
    """Factorize, and return too what the root adds to its boundary, a packed lower triangle; nothing of a whole image.

    With the updates `given` of the two nodes of the last level these are not factorized.
    """
    starts, total = front_starts(analysis, levels)
    logs = [np.empty(len(level.first)) for level in levels]
    rounded = [np.empty(len(level.first)) for level in levels] if single else logs
    tiles, fronts = (buffers.array(size, single=single) for size in (groups.size * LANES, total))
    blocks = FactorNumbers(tiles, fronts, starts, logs, rounded)
    job = _Elimination(analysis, levels, groups, pool, blocks, buffers, given)
    # The tasks hold the job: were it to hold them still, only a garbage collection would free the blocks.
    tasks, job.tasks = job.tasks, []
    with one_blas_thread():
        run_graph(tasks, job.needs)
    return blocks, job.update()


class _Elimination:
    """One factorization as a graph of tasks: a task per group of tiles, then one per distinct node above."""

    def __init__(
        self,
        analysis: Analysis,
        levels: list[Level],
        groups: Groups,
        pool: Pool,
        blocks: FactorNumbers,
        buffers: Buffers,
        given: tuple[FloatArray, FloatArray] | None = None,
    ) -> None:
        self.analysis, self.levels, self.groups, self.pool, self.blocks = analysis, levels, groups, pool, blocks
        self.buffers, self.lock, self.own = buffers, threading.Lock(), own_products()
        self.tasks: list[Callable[[], None]] = []
        self.needs: list[list[int]] = []
        self.single = blocks.is_single
        self.panels: dict[tuple[int, int], FloatArray] = {}
        self.given = given is not None
        self.live = {} if given is None else {(len(levels) - 1, half): each for half, each in enumerate(given)}
        self.uses: dict[tuple[int, int], int] = {}
        self._plan()

    def _plan(self) -> None:
        """Put each group of tiles before the first node that needs one of them, so that few updates wait at a time."""
        made: dict[tuple[int, int], int] = {}
        bottom = len(self.levels) - 1
        group_of = {
            int(tile): group
            for group, (members, filled) in enumerate(zip(self.groups.member, self.groups.filled, strict=True))
            for tile in members[:filled]
        }
        for depth, node, halves in self._depth_first():
            for half in halves if depth + 1 == bottom and not self.given else ():
                if (bottom, half) not in made:
                    self._add_group(group_of[half], made)
            self._add_node(depth, node, halves, [made[depth + 1, half] for half in halves if (depth + 1, half) in made])
            made[depth, node] = len(self.tasks) - 1
        if bottom == 0:
            self._add_group(0, made)

    def _add_group(self, group: int, made: dict[tuple[int, int], int]) -> None:
        task = self._add(partial(self._factor_group, group), [])
        for tile in self.groups.member[group, : self.groups.filled[group]]:
            made[len(self.levels) - 1, int(tile)] = task

    def _add_node(self, depth: int, node: int, halves: tuple[int, int], needs: list[int]) -> None:
        """Add the tasks of one node: a single one, or for a large front one per panel and block of columns."""
        level = self.levels[depth]
        s, m = self._sizes(int(level.cls[level.first[node]]))
        if s * (s * s / 3 + (m - s) * m) < _SPLIT:
            self._add(partial(self._factor_node, depth, node, halves), needs)
            return
        latest = dict.fromkeys(range(0, s, _PANEL), self._add(partial(self._assemble_node, depth, node, halves), needs))
        for first in latest:
            latest[first] = self._add(partial(self._factor_panel, depth, node, first), [latest[first]])
            for later in range(first + _PANEL, s, _PANEL):
                needed = [latest[first], latest[later]]
                latest[later] = self._add(partial(self._update_panel, depth, node, first, later), needed)
        last = latest[max(latest)]
        ends = [self._add(partial(self._update_rest, depth, node, at), [last]) for at in range(0, m - s, _PANEL)]
        self._add(partial(self._finish_node, depth, node), ends or [last])

    def _add(self, task: Callable[[], None], needs: list[int]) -> int:
        self.tasks.append(task)
        self.needs.append(needs)
        return len(self.tasks) - 1

    def _depth_first(self) -> list[tuple[int, int, tuple[int, int]]]:
        """List the distinct nodes above the tiles, halves first."""
        order: list[tuple[int, int, tuple[int, int]]] = []
        seen: set[tuple[int, int]] = set()
        bottom = len(self.levels) - 1
        stack = [(0, 0, False)] if bottom > 0 else []
        while stack:
            depth, node, ready = stack.pop()
            level = self.levels[depth]
            halves = tuple(int(self.levels[depth + 1].distinct[child]) for child in level.child[level.first[node]])
            if ready:
                order.append((depth, node, (halves[0], halves[1])))
                for half in halves:
                    self.uses[depth + 1, half] = self.uses.get((depth + 1, half), 0) + 1
            elif (depth, node) not in seen:
                seen.add((depth, node))
                stack.append((depth, node, True))
                if depth + 1 < bottom:
                    stack.extend((depth + 1, half, False) for half in halves[::-1] if (depth + 1, half) not in seen)
        return order

    def _factor_group(self, group: int) -> None:
        cls, members = int(self.groups.cls[group]), self.groups.member[group]
        program, tables = self.analysis.programs[cls], self.analysis.tables
        tiles = self.levels[-1]
        pixel = tiles.pixel[tiles.first[members]]
        origins = pixel[:, 0] * self.analysis.lattice.shape[1] + pixel[:, 1]
        slots = self.buffers.workspace(max(1, program.slot_size) * LANES)
        start, factor = int(self.groups.start[group]), cast(FloatArray, self.blocks.tiles)
        if self.single:
            start, factor = 0, self.buffers.workspace(program.factor_size * LANES)
        status = dissection_lanes.factor_tile(
            program.nodes,
            tables.maps,
            tables.assembly,
            self.analysis.lattice.channels,
            self.pool.start,
            self.pool.step,
            self.pool.values,
            origins,
            start,
            factor,
            slots,
        )
        if status >= 0:
            row, column, lane = status >> 32, (status & (2**32 - 1)) // LANES, status % LANES
            m = int(program.nodes[row, NODE_ELIMINATED] + program.nodes[row, NODE_UPDATED])
            place = start + program.nodes[row, NODE_FACTOR] + column * m - column * (column - 1) // 2
            pivot = float(factor[place * LANES + lane])
            raise NotPositiveError(len(self.levels) - 1, int(members[lane]), row, column, pivot)
        filled = int(self.groups.filled[group])
        self._sum_pivots(program, start, factor, self.blocks.log_pivots, members[:filled])
        if self.single:
            first, size = int(self.groups.start[group]), program.factor_size
            stored = self.blocks.tiles[first * LANES : (first + size) * LANES]
            stored[:] = factor[: size * LANES]
            self._sum_pivots(program, 0, stored, self.blocks.rounded_log_pivots, members[:filled])
        size = program.order * (program.order + 1) // 2
        updates = self.buffers.workspace(size * filled)
        starts = np.where(np.arange(LANES) < filled, size * np.arange(LANES), -1)
        dissection_lanes.unpack_updates(slots, program.nodes[-1, NODE_UPDATE], size, starts, updates)
        for lane in range(filled):
            self.live[len(self.levels) - 1, int(members[lane])] = updates[lane * size : (lane + 1) * size]

    def _sum_pivots(
        self, program: TileProgram, start: int, factor: Stored, into: list[FloatArray], members: IntArray
    ) -> None:
        logs = np.empty(LANES)
        dissection_lanes.log_pivots(program.nodes, start, factor, logs)
        into[-1][members] = logs[: len(members)]

    def _factor_node(self, depth: int, node: int, halves: tuple[int, int]) -> None:
        self._assemble_node(depth, node, halves)
        s, m, L = self._panel(depth, node)
        self._eliminate(depth, node, 0, s)
        self._update(m, s, m - s, 0, s, L, self.live[depth, node], 0, m - s)
        self._finish_node(depth, node)

    def _assemble_node(self, depth: int, node: int, halves: tuple[int, int]) -> None:
        level, tables, lattice = self.levels[depth], self.analysis.tables, self.analysis.lattice
        instance = level.first[node]
        cls = int(level.cls[instance])
        if self.single:
            s, m = self._sizes(cls)
            self.panels[depth, node] = self.buffers.workspace(s * m)
        s, m, L = self._panel(depth, node)
        U = self.buffers.workspace((m - s) ** 2)
        children = self.analysis.classes[cls].children
        orders = [len(self.analysis.classes[child].boundary) * lattice.channels for child in children]
        first, second = (self.live[depth + 1, half] for half in halves)
        packed = depth + 2 == len(self.levels)
        dissection_fronts.assemble_node(
            tables.assembly,
            tables.assembly_start[cls],
            tables.assembly_start[cls + 1],
            lattice.channels,
            self.pool.start,
            self.pool.step,
            self.pool.values,
            level.pixel[instance, 0] * lattice.shape[1] + level.pixel[instance, 1],
            first,
            packed,
            orders[0],
            tables.map_start[cls, 0],
            second,
            packed,
            orders[1],
            tables.map_start[cls, 1],
            tables.maps,
            s,
            m,
            L,
            U,
            np.empty(max(orders) + 1, dtype=np.int64),
        )
        self.live[depth, node] = U
        for half in halves:
            self._release(depth + 1, half)

    def _factor_panel(self, depth: int, node: int, first: int) -> None:
        s, _, _ = self._panel(depth, node)
        self._eliminate(depth, node, first, min(first + _PANEL, s))

    def _update_panel(self, depth: int, node: int, first: int, later: int) -> None:
        s, m, L = self._panel(depth, node)
        self._update(m, later, min(_PANEL, s - later), first, _PANEL, L, L, later * m + later, m)

    def _update_rest(self, depth: int, node: int, first: int) -> None:
        s, m, L = self._panel(depth, node)
        b = m - s
        self._update(m, s + first, min(_PANEL, b - first), 0, s, L, self.live[depth, node], first * b + first, b)

    def _eliminate(self, depth: int, node: int, first: int, last: int) -> None:
        """Factorize columns ``first ... last`` of a panel, strip by strip."""
        _, m, L = self._panel(depth, node)
        for at in range(first, last, _STRIP):
            end = min(at + _STRIP, last)
            status = dissection_fronts.factor_panel(m, at, end - at, blas.LETTERS, blas.NUMBERS, L, _sizes())
            if status >= 0:
                raise NotPositiveError(depth, node, -1, status, float(L[status * m + status]))
            self._update(m, end, last - end, at, end - at, L, L, end * m + end, m)

    def _update(
        self,
        m: int,
        first: int,
        width: int,
        rank_first: int,
        rank: int,
        L: FloatArray,
        T: FloatArray,
        corner: int,
        leading: int,
    ) -> None:
        """Subtract ``L_2 L_1^T`` from `width` columns of T, see `dissection_fronts.update_columns`."""
        if width == 0 or rank == 0:
            return
        if self.own:
            W = self.buffers.workspace(dense_products.workspace(width))
            dense_products.subtract_outer(m, first, width, rank_first, rank, L, T, corner, leading, W)
        else:
            dissection_fronts.update_columns(
                m, first, width, rank_first, rank, blas.LETTERS, blas.NUMBERS, L, T, corner, leading, _sizes()
            )

    def _finish_node(self, depth: int, node: int) -> None:
        s, m, L = self._panel(depth, node)
        self.blocks.log_pivots[depth][node] = dissection_fronts.log_pivots(s, m, L)
        if self.single:
            stored = cast("npt.NDArray[np.float32]", self._stored(depth, node, s * m))
            dissection_fronts.round_panel(s, m, L, stored)
            del self.panels[depth, node]
            self.blocks.rounded_log_pivots[depth][node] = dissection_fronts.log_pivots(s, m, stored)

    def _sizes(self, cls: int) -> tuple[int, int]:
        return int(self.analysis.eliminated[cls]), int(self.analysis.order[cls])

    def _panel(self, depth: int, node: int) -> tuple[int, int, FloatArray]:
        """Return eliminated unknowns, all unknowns and the panel that is worked in."""
        level = self.levels[depth]
        s, m = self._sizes(int(level.cls[level.first[node]]))
        panel = self.panels[depth, node] if self.single else self._stored(depth, node, s * m)
        return s, m, cast(FloatArray, panel)

    def _stored(self, depth: int, node: int, size: int) -> Stored:
        start = int(self.blocks.front_start[depth][node])
        return self.blocks.fronts[start : start + size]

    def update(self) -> FloatArray:
        """Return what the root adds to its boundary, a packed lower triangle."""
        order = int(self.analysis.order[-1] - self.analysis.eliminated[-1])
        packed = np.empty(order * (order + 1) // 2)
        if order:
            found = self.live[0, 0]
            if len(self.levels) == 1:
                packed[:] = found[: len(packed)]
            else:
                runs = np.empty(order + 1, dtype=np.int64)
                dissection_front_inverse.gather_boundary(found, order, np.arange(order), packed, 0, runs)
        return packed

    def _release(self, depth: int, node: int) -> None:
        with self.lock:
            self.uses[depth, node] -= 1
            finished = self.uses[depth, node] == 0
        if finished:
            del self.live[depth, node]


def _sizes() -> npt.NDArray[np.int32]:
    return np.empty(8, dtype=np.int32)
