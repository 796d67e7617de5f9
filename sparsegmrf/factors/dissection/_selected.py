"""Covariances on the stencil (the selected inverse): from the whole image down to the tiles, then tiles in lanes.

With ``Z`` the covariance of a front and ``G = L_BS L_SS^-1``: ``Z_BS = -Z_BB G`` and
``Z_SS = L_SS^-T L_SS^-1 - G^T Z_BS``, where ``Z_BB`` of a half is part of its parent's ``Z`` (Takahashi's recursion on
fronts). Identical nodes share a factor, not their covariances: these are worked out for every node of the image.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._graph import run_graph
from sparsegmrf.factors.dissection._analysis import LANES, Analysis, Groups
from sparsegmrf.factors.dissection._buffers import LARGE, Buffers, Stored, home_of
from sparsegmrf.factors.dissection._numbers import FactorNumbers
from sparsegmrf.factors.dissection._programs import TileProgram
from sparsegmrf.factors.dissection._tree import Level
from sparsegmrf.kernels import blas, dense_products, dissection_front_inverse, dissection_lane_inverse
from sparsegmrf.kernels.dissection_columns import NODE_ELIMINATED, NODE_HALF_MAP, NODE_PER_HALF, NODE_UPDATED
from sparsegmrf.kernels.dissection_lane_inverse import VISIT_COLUMNS, VISIT_COVARIANCE, VISIT_MAP, VISIT_PARENT
from sparsegmrf.stencil._coefficients import block_shape
from sparsegmrf.typing import FloatArray, IntArray


def selected_planes(
    analysis: Analysis,
    levels: list[Level],
    groups: Groups,
    blocks: FactorNumbers,
    around: FloatArray | None = None,
) -> FloatArray:
    """Return ``Q^-1[p, p + o_k]`` as planes ``(K, H, W)`` or ``(K, H, W, C, C)``; zero where that is off the image.

    Of a part of a lattice, given the covariance `around` it of the root's boundary, a packed lower triangle, they are
    zero wherever neither pixel is in the part.
    """
    lattice = analysis.lattice
    loop = home_of(blocks.tiles)
    if loop is not None:
        loop.free_workspaces()  # a loop of factorizations would hold them beside those of this
    planes = np.zeros((len(analysis.offsets), *lattice.shape, *block_shape(lattice)))
    job = _Inversion(analysis, levels, groups, blocks, planes.reshape(-1))
    if around is not None:
        alone = len(levels) == 1
        job.boundaries[0, 0] = np.concatenate([around, np.empty((LANES - 1) * len(around))]) if alone else around
    with one_blas_thread():
        tasks, job.tasks = job.tasks, []  # which hold the job: released with it
        run_graph(tasks, job.needs)
    return planes


@dataclass(frozen=True, eq=False)
class _Batch:
    """Up to eight congruent tiles of the image whose factors stand in the lanes of one group."""

    group: int
    tiles: IntArray


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where a tile's nodes find and keep covariances, see ``sparsegmrf.kernels.dissection_lane_inverse``.

    `slot_size` is the workspace in vectors and `largest` the largest front.
    """

    table: IntArray
    slot_size: int
    largest: int


@dataclass(frozen=True)
class Largest:
    """Numbers in the largest front, the largest ``G = L_BS L_SS^-1`` and the workspace of its products."""

    front: int
    gain: int
    workspace: int

    @classmethod
    def of(cls, s: IntArray, m: IntArray) -> "Largest":
        """Return those of fronts of ``m`` unknowns, ``s`` of them eliminated."""
        return cls(int((m * m).max()), int((s * (m - s)).max()), dense_products.workspace(int(s.max())))


class _Inversion:
    """One selected inversion as a graph of tasks: a task per node above the tiles, depth first, and one per batch."""

    def __init__(
        self,
        analysis: Analysis,
        levels: list[Level],
        groups: Groups,
        blocks: FactorNumbers,
        planes: FloatArray,
    ) -> None:
        self.analysis, self.levels, self.groups, self.blocks, self.planes = analysis, levels, groups, blocks, planes
        self.buffers = Buffers()
        self.layouts = {cls: _layout(program) for cls, program in analysis.programs.items()}
        self.batches = _batches(levels[-1], groups)
        self.lane_of = np.empty((len(levels[-1].cls), 2), dtype=np.int64)
        for number, batch in enumerate(self.batches):
            self.lane_of[batch.tiles] = np.column_stack(
                [np.full(len(batch.tiles), number), np.arange(len(batch.tiles))]
            )
        self.boundaries: dict[tuple[int, int], FloatArray] = {}
        self.lock = threading.Lock()
        above = np.unique(np.concatenate([level.cls for level in levels[:-1]] or [levels[0].cls]))
        self.largest = Largest.of(analysis.eliminated[above], analysis.order[above])
        self.tasks: list[Callable[[], None]] = []
        self.needs: list[list[int]] = []
        self._plan()

    def _plan(self) -> None:
        """Put each batch of tiles behind the last of the nodes it needs, so that few boundaries wait at a time."""
        above = np.full(len(self.levels[-1].cls), -1, dtype=np.int64)
        nodes = _depth_first(self.levels)
        for place, (depth, node, _) in enumerate(nodes):
            if depth == len(self.levels) - 2:
                above[self.levels[depth].child[node]] = place
        needed = [np.unique(above[batch.tiles]) for batch in self.batches]
        behind: dict[int, list[int]] = {}
        for number, places in enumerate(needed):
            behind.setdefault(int(places[-1]), []).append(number)
        made: dict[int, int] = {}
        for place, (depth, node, parent) in enumerate(nodes):
            made[place] = self._add(partial(self._invert_node, depth, node), [made[parent]] if depth else [])
            for number in behind.get(place, []):
                self._add(partial(self._invert_batch, number), [made[int(each)] for each in needed[number]])
        for number in behind.get(-1, []):
            self._add(partial(self._invert_batch, number), [])

    def _add(self, task: Callable[[], None], needs: list[int]) -> int:
        self.tasks.append(task)
        self.needs.append(needs)
        return len(self.tasks) - 1

    def _invert_node(self, depth: int, node: int) -> None:
        level, analysis = self.levels[depth], self.analysis
        lattice, tables, cls = analysis.lattice, analysis.tables, int(level.cls[node])
        s, m = int(analysis.eliminated[cls]), int(analysis.order[cls])
        Z = _workspace(self.buffers, m * m, self.largest.front)
        if depth or (0, 0) in self.boundaries:
            boundary = self.boundaries.pop((depth, node))
            dissection_front_inverse.unpack_boundary(s, m, boundary, Z)
            del boundary  # whose memory a half's may take
        if s > 0:
            start = int(self.blocks.front_start[depth][level.distinct[node]])
            invert_front(s, m, self.blocks.fronts[start : start + s * m], Z, self.buffers, self.largest)
        dissection_front_inverse.scatter_front(
            tables.assembly,
            tables.assembly_start[cls],
            tables.assembly_start[cls + 1],
            lattice.channels,
            m,
            level.pixel[node, 0] * lattice.shape[1] + level.pixel[node, 1],
            lattice.n_pixels,
            Z,
            self.planes,
        )
        for half, child in enumerate(analysis.classes[cls].children):
            first = int(tables.map_start[cls, half])
            positions = tables.maps[first : first + len(analysis.classes[child].boundary) * lattice.channels]
            self._hand_down(depth + 1, int(level.child[node, half]), Z, m, positions)

    def _hand_down(self, depth: int, node: int, Z: FloatArray, m: int, positions: IntArray) -> None:
        """Keep the covariance of a half's boundary for its own task; tiles of one batch share an array."""
        order = len(positions)
        packed = order * (order + 1) // 2
        lane, key, size = 0, (depth, node), packed
        if depth == len(self.levels) - 1:
            key, lane, size = (depth, int(self.lane_of[node, 0])), int(self.lane_of[node, 1]), packed * LANES
        with self.lock:
            if key not in self.boundaries:
                self.boundaries[key] = self.buffers.workspace(size)
            target = self.boundaries[key]
        runs = np.empty(order + 1, dtype=np.int64)
        dissection_front_inverse.gather_boundary(Z, m, positions, target, packed * lane, runs)

    def _invert_batch(self, number: int) -> None:
        batch = self.batches[number]
        cls = int(self.groups.cls[batch.group])
        lattice, tables = self.analysis.lattice, self.analysis.tables
        program, layout = self.analysis.programs[cls], self.layouts[cls]
        packed = program.order * (program.order + 1) // 2
        boundary = self.boundaries.pop((len(self.levels) - 1, number)) if packed else np.empty(0)
        for lane in range(len(batch.tiles), LANES):
            boundary[lane * packed : (lane + 1) * packed] = boundary[:packed]
        pixel = self.levels[-1].pixel[batch.tiles]
        Z = self.buffers.workspace(layout.slot_size * LANES)
        workspace = self.buffers.workspace((4 * layout.largest + 10) * LANES)
        dissection_lane_inverse.invert_tiles(
            program.nodes,
            layout.table,
            tables.maps,
            tables.assembly,
            lattice.channels,
            self.blocks.tiles,
            self.groups.start[batch.group],
            boundary,
            pixel[:, 0] * lattice.shape[1] + pixel[:, 1],
            len(batch.tiles),
            lattice.n_pixels,
            self.planes,
            Z,
            workspace[10 * LANES :],
            workspace[: 10 * LANES],
        )


def invert_front(s: int, m: int, L: Stored, Z: FloatArray, buffers: Buffers, largest: Largest) -> None:
    """Work out the eliminated columns of a front's covariance from that of its boundary."""
    b = m - s
    sizes = np.empty(6, dtype=np.int32)
    dissection_front_inverse.invert_corner(s, m, blas.LETTERS, L, Z, sizes)
    if b == 0:
        dissection_front_inverse.square_corner(s, m, blas.LETTERS, Z, sizes)
        return
    gain = _workspace(buffers, s * b, largest.gain)
    workspace = buffers.workspace(largest.workspace)
    if dense_products.WIDE and L.dtype == np.float64:
        dense_products.multiply_triangular(s, m, cast(FloatArray, L), Z, gain, workspace)
    else:  # which reads numbers in single precision as they are
        dissection_front_inverse.gain(s, m, blas.LETTERS, blas.NUMBERS, L, Z, gain, sizes)
    dissection_front_inverse.square_corner(s, m, blas.LETTERS, Z, sizes)
    if dense_products.WIDE:
        dense_products.subtract_symmetric(b, s, Z, s * (m + 1), m, gain, Z, s, m, workspace)
        dense_products.subtract_gram(s, b, gain, Z, s, m, Z, m, workspace)
    else:
        dissection_front_inverse.subtract_boundary(s, m, blas.LETTERS, blas.NUMBERS, Z, gain, sizes)


def _workspace(buffers: Buffers, own: int, largest: int) -> FloatArray:
    """Return numbers for one node; all but those of large nodes are of one size, and exchangeable."""
    return buffers.workspace(max(own, min(largest, LARGE - 1)))


def _batches(tiles: Level, groups: Groups) -> list[_Batch]:
    """Put the tiles of the image into lanes: single ones as their group stands, else eight occurrences at a time."""
    order = np.argsort(tiles.distinct, kind="stable")
    ends = np.cumsum(np.bincount(tiles.distinct, minlength=len(tiles.first)))
    batches = []
    for group in range(len(groups.cls)):
        members = groups.member[group, : groups.filled[group]]
        found = [order[(ends[each - 1] if each else 0) : ends[each]] for each in members]
        instances = np.concatenate(found)
        batches += [_Batch(group, instances[at : at + LANES]) for at in range(0, len(instances), LANES)]
    return batches


def _depth_first(levels: list[Level]) -> list[tuple[int, int, int]]:
    """List depth, node and place in this list of the parent of all nodes above the tiles, parents first."""
    order: list[tuple[int, int, int]] = []
    stack = [(0, 0, -1)] if len(levels) > 1 else []
    while stack:
        depth, node, parent = stack.pop()
        place = len(order)
        order.append((depth, node, parent))
        if depth + 2 < len(levels):
            stack.extend((depth + 1, int(child), place) for child in levels[depth].child[node][::-1])
    return order


def _layout(program: TileProgram) -> _Layout:
    """Walk a tile's program backwards, parents first, with one slot per depth."""
    nodes = program.nodes
    depth = program.visits.depth
    order = nodes[:, NODE_ELIMINATED] + nodes[:, NODE_UPDATED]
    sizes = np.zeros(depth.max() + 1, dtype=np.int64)
    np.maximum.at(sizes, depth, order * (order + 1) // 2)
    ends = np.cumsum(sizes)
    table = np.full((len(nodes), VISIT_COLUMNS), -1, dtype=np.int64)
    table[:, VISIT_COVARIANCE] = (ends - sizes)[depth]
    latest = np.zeros(depth.max() + 1, dtype=np.int64)
    for node in range(len(nodes) - 1, -1, -1):
        latest[depth[node]] = node
        if depth[node]:
            parent = latest[depth[node] - 1]
            table[node, VISIT_PARENT] = parent
            behind = program.visits.half[node] * NODE_PER_HALF
            table[node, VISIT_MAP] = nodes[parent, NODE_HALF_MAP + behind]
    return _Layout(table, int(ends[-1]), int(order.max()))
