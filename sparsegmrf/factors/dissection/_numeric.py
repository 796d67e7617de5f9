"""Numeric factorization: tiles in lanes, then one front after another up to the whole image."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._graph import run_graph
from sparsegmrf.factors.dissection._analysis import LANES, Analysis, Groups
from sparsegmrf.factors.dissection._buffers import Buffers
from sparsegmrf.factors.dissection._products import own_products
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


@dataclass(frozen=True, eq=False)
class FactorNumbers:
    """The numbers of a factor.

    Attributes
    ----------
    tiles : ndarray
        Lane factors, group after group (`Groups.start`, in vectors).
    fronts : ndarray
        Panels of the distinct nodes above the tiles, column-major ``m x S`` each.
    front_start : list of ndarray
        Per level, where the panel of each distinct node starts.
    log_pivots : list of ndarray
        Per level (the tiles last), the sum of the logarithms of each distinct node's pivots.
    """

    tiles: FloatArray
    fronts: FloatArray
    front_start: list[IntArray]
    log_pivots: list[FloatArray]

    def logdet(self, levels: list[Level]) -> float:
        """Return the log-determinant of what was eliminated."""
        return 2.0 * sum(
            float(np.bincount(level.distinct, minlength=len(logs)) @ logs)
            for level, logs in zip(levels, self.log_pivots, strict=True)
        )


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


def front_starts(analysis: Analysis, levels: list[Level]) -> tuple[list[IntArray], int]:
    """Lay the panels out level by level from the deepest up, in the order in which they are made."""
    starts: list[IntArray] = []
    total = 0
    for level in levels[-2::-1]:
        cls = level.cls[level.first]
        sizes = analysis.order[cls] * analysis.eliminated[cls]
        ends = total + np.cumsum(sizes)
        starts.append(ends - sizes)
        total = int(ends[-1])
    return starts[::-1], total


def factorize(
    analysis: Analysis, levels: list[Level], groups: Groups, pool: Pool, buffers: Buffers | None = None
) -> FactorNumbers:
    """Factorize, in memory of `buffers` if they are given; raises `NotPositiveError` at the first pivot that is not."""
    return eliminate(analysis, levels, groups, pool, Buffers() if buffers is None else buffers)[0]


def eliminate(
    analysis: Analysis,
    levels: list[Level],
    groups: Groups,
    pool: Pool,
    buffers: Buffers,
    given: tuple[FloatArray, FloatArray] | None = None,
) -> tuple[FactorNumbers, FloatArray]:
    """Factorize, and return too what the root adds to its boundary, a packed lower triangle; nothing of a whole image.

    With the updates `given` of the two nodes of the last level these are not factorized.
    """
    starts, total = front_starts(analysis, levels)
    logs = [np.empty(len(level.first)) for level in levels]
    blocks = FactorNumbers(buffers.array(groups.size * LANES), buffers.array(total), starts, logs)
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
        tiles = levels[-1]
        orders = (analysis.order - analysis.eliminated)[tiles.cls[tiles.first]]
        ends = np.cumsum(orders * (orders + 1) // 2)
        self.update_start = np.concatenate([[0], ends]).astype(np.int64)
        self.given = given
        self.updates = buffers.workspace(int(self.update_start[-1]) if given is None else 0)
        self.live: dict[tuple[int, int], FloatArray] = {}
        self.uses: dict[tuple[int, int], int] = {}
        self._plan()

    def _plan(self) -> None:
        made: dict[tuple[int, int], int] = {}
        bottom = len(self.levels) - 1
        for group in range(len(self.groups.cls)):
            for tile in self.groups.member[group, : self.groups.filled[group]]:
                made[bottom, int(tile)] = len(self.tasks)
            self.tasks.append(partial(self._factor_group, group))
            self.needs.append([])
        for depth, node, halves in self._depth_first():
            self._add_node(depth, node, halves, [made[depth + 1, half] for half in halves if (depth + 1, half) in made])
            made[depth, node] = len(self.tasks) - 1

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
        status = dissection_lanes.factor_tile(
            program.nodes,
            tables.maps,
            tables.assembly,
            self.analysis.lattice.channels,
            self.pool.start,
            self.pool.step,
            self.pool.values,
            origins,
            self.groups.start[group],
            self.blocks.tiles,
            slots,
        )
        if status >= 0:
            row, column, lane = status >> 32, (status & (2**32 - 1)) // LANES, status % LANES
            m = int(program.nodes[row, NODE_ELIMINATED] + program.nodes[row, NODE_UPDATED])
            place = self.groups.start[group] + program.nodes[row, NODE_FACTOR] + column * m - column * (column - 1) // 2
            pivot = float(self.blocks.tiles[place * LANES + lane])
            raise NotPositiveError(len(self.levels) - 1, int(members[lane]), row, column, pivot)
        logs = np.empty(LANES)
        dissection_lanes.log_pivots(program.nodes, self.groups.start[group], self.blocks.tiles, logs)
        filled = self.groups.filled[group]
        self.blocks.log_pivots[-1][members[:filled]] = logs[:filled]
        starts = np.where(np.arange(LANES) < filled, self.update_start[members], -1)
        size = program.order * (program.order + 1) // 2
        dissection_lanes.unpack_updates(slots, program.nodes[-1, NODE_UPDATE], size, starts, self.updates)

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
        s, m, L = self._panel(depth, node)
        U = self.buffers.workspace((m - s) ** 2)
        children = self.analysis.classes[cls].children
        orders = [len(self.analysis.classes[child].boundary) * lattice.channels for child in children]
        first, first_packed = self._update_of(depth + 1, halves[0])
        second, second_packed = self._update_of(depth + 1, halves[1])
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
            first_packed,
            orders[0],
            tables.map_start[cls, 0],
            second,
            second_packed,
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

    def _sizes(self, cls: int) -> tuple[int, int]:
        return int(self.analysis.eliminated[cls]), int(self.analysis.order[cls])

    def _panel(self, depth: int, node: int) -> tuple[int, int, FloatArray]:
        level = self.levels[depth]
        s, m = self._sizes(int(level.cls[level.first[node]]))
        start = int(self.blocks.front_start[depth][node])
        return s, m, self.blocks.fronts[start : start + s * m]

    def _update_of(self, depth: int, node: int) -> tuple[FloatArray, bool]:
        if depth == len(self.levels) - 1:
            if self.given is not None:
                return self.given[node], True
            return self.updates[self.update_start[node] : self.update_start[node + 1]], True
        return self.live[depth, node], False

    def update(self) -> FloatArray:
        """Return what the root adds to its boundary, a packed lower triangle."""
        order = int(self.analysis.order[-1] - self.analysis.eliminated[-1])
        packed = np.empty(order * (order + 1) // 2)
        if order:
            found, is_packed = self._update_of(0, 0)
            if is_packed:
                packed[:] = found[: len(packed)]
            else:
                runs = np.empty(order + 1, dtype=np.int64)
                dissection_front_inverse.gather_boundary(found, order, np.arange(order), packed, 0, runs)
        return packed

    def _release(self, depth: int, node: int) -> None:
        if depth < len(self.levels) - 1:
            with self.lock:
                self.uses[depth, node] -= 1
                finished = self.uses[depth, node] == 0
            if finished:
                del self.live[depth, node]


def _sizes() -> npt.NDArray[np.int32]:
    return np.empty(8, dtype=np.int32)
