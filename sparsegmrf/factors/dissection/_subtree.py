"""Parts of the dissection tree of a larger lattice by themselves: a rectangle with all below it, and a single node.

Both are eliminated given the coefficients near them alone, and leave what they add to their boundary, the *update*, a
packed lower triangle. Every entry of the precision is assembled once, where the first of its two unknowns is
eliminated, so that covariances on the stencil come from the parts without overlap.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import read_only
from sparsegmrf.factors.dissection import _front_inverse, _numeric, _selected
from sparsegmrf.factors.dissection._analysis import LANES, Analysis, Groups, analyse, group_tiles
from sparsegmrf.factors.dissection._buffers import Buffers
from sparsegmrf.factors.dissection._classes import Beyond, Key, NodeClass, classes_of_separator, node_classes
from sparsegmrf.factors.dissection._plan import Plan, leaf_pixels, predict, tile_side
from sparsegmrf.factors.dissection._programs import tables
from sparsegmrf.factors.dissection._schedule import COLUMNS
from sparsegmrf.factors.dissection._solve import Solver
from sparsegmrf.factors.dissection._tree import Level, build
from sparsegmrf.factors.dissection.factor import not_positive
from sparsegmrf.kernels import dissection_front_inverse, dissection_front_solve
from sparsegmrf.kernels.dissection_front_solve import (
    ITEM_COLUMNS,
    ITEM_ELIMINATED,
    ITEM_END,
    ITEM_HALF_MAP,
    ITEM_HALF_ORDER,
    ITEM_ORDER,
    ITEM_PER_HALF,
)
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._coefficients import block_shape
from sparsegmrf.typing import FloatArray, IntArray, Shape

_KEPT = 16
"""Analyses of rectangles, and classes of nodes, that are kept: neighbours are mostly congruent."""


def plan_subtree(key: Key, offsets: IntArray, channels: int) -> Plan:
    """Predict what a rectangle takes that is eliminated by itself, coefficients differing between pixels."""
    lattice = Lattice(key[:2], channels)
    classes = node_classes(key[:2], offsets, leaf_pixels(offsets), key[2:])
    return predict(lattice, classes, tile_side(lattice, offsets, shared=False), shared=False)


class Subtree:
    """A rectangle of a larger lattice with its pixels eliminated: the factor of a whole, stopped at its boundary.

    Parameters
    ----------
    precision : SymmetricStencil
        On the rectangle and the pixels around it that are coupled to it.
    beyond : (int, int, int, int)
        How many pixels of this lattice lie above, left, below and right of the rectangle.

    Attributes
    ----------
    logdet : float
        What the rectangle adds to the log-determinant.
    update : ndarray, (B (B + 1) / 2,)
        What it adds to the precision of its boundary.

    Raises
    ------
    NotPositiveDefiniteError
        If a pivot is not positive.
    """

    def __init__(self, precision: SymmetricStencil, beyond: Beyond) -> None:
        lattice = precision.lattice
        self._analysis = _analysis(lattice.shape, lattice.channels, precision.offsets.tobytes(), beyond)
        self._levels = build(self._analysis.classes, self._analysis.depth, precision, self._analysis.origin)
        self._groups = group_tiles(self._analysis, self._levels[-1])
        try:
            self._blocks, self.update = _numeric.eliminate(
                self._analysis, self._levels, self._groups, precision.pool, Buffers()
            )
        except _numeric.NotPositiveError as failure:
            raise not_positive(precision, self._analysis, self._levels[failure.depth], failure) from None
        self.logdet = self._blocks.logdet(self._levels)
        self._solver: Solver | None = None

    @property
    def boundary(self) -> IntArray:
        """Row and column of the boundary's pixels in the precision's lattice, in the order of the update."""
        return np.asarray(self._analysis.classes[-1].boundary + np.array(self._analysis.origin))

    def forward(self, b: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return ``L^-1 b`` of images ``(R, n)`` of the lattice, and what it adds to the boundary, ``(R, B)``."""
        return self._solves().forward(b)

    def backward(self, y: FloatArray, around: FloatArray) -> FloatArray:
        """Return the solution given that on the boundary, ``(R, B)``: images, zero at what is not the solution's."""
        lattice = self._analysis.lattice
        x = np.zeros((len(y), *lattice.shape, lattice.channels))
        rows, columns = self.boundary.T
        x[:, rows, columns] = around.reshape(len(y), -1, lattice.channels)
        whole = x.reshape(len(y), -1)
        self._solves().backward(y, whole)
        return whole

    def covariances(self, around: FloatArray) -> FloatArray:
        """Return planes of covariances on the stencil, given that of the boundary as a packed lower triangle.

        They are zero where neither pixel is of the rectangle.
        """
        return _selected.selected_planes(self._analysis, self._levels, self._groups, self._blocks, around)

    def _solves(self) -> Solver:
        if self._solver is None:
            self._solver = Solver(self._analysis, self._levels, self._groups, self._blocks)
        return self._solver


@dataclass(frozen=True, eq=False)
class Panel:
    """The eliminated columns of a node's front, column-major ``m x S``, and their part of the log-determinant."""

    numbers: FloatArray
    logdet: float


class Separator:
    """One node above the leaves: its structure, and what is done with its numbers.

    Parameters
    ----------
    lattice : Lattice
        A window that holds the separator and the pixels coupled to it.
    offsets : ndarray (K, 2)
        Of the precision.
    key : (int, ...)
        Class of the node.
    first : (int, int)
        First pixel of the node's rectangle in the window; it may be outside.
    leaf_pixels : int
        Most pixels of a rectangle that is not halved.
    """

    def __init__(self, lattice: Lattice, offsets: IntArray, key: Key, first: tuple[int, int], leaf_pixels: int) -> None:
        classes = _separator(key, offsets.tobytes(), leaf_pixels)
        flat = tables(classes, lattice.shape[1], lattice.channels)
        self._analysis = Analysis(lattice, offsets, classes, flat, 1, 0, leaf_pixels, {}, first)
        halves, one = np.arange(2, dtype=np.int64), np.zeros(1, dtype=np.int64)
        corner = np.array([first], dtype=np.int64)
        self._levels = [
            Level(np.array([2]), corner, halves.reshape(1, 2), one, one),
            Level(halves, corner + classes[2].origins, np.zeros((2, 2), dtype=np.int64), halves, halves),
        ]
        self.s, self.m = int(self._analysis.eliminated[2]), int(self._analysis.order[2])

    @property
    def front(self) -> IntArray:
        """Row and column of the front's pixels in the window, those of the separator first; many lie outside."""
        return np.asarray(self._analysis.classes[2].front + np.array(self._analysis.origin))

    def eliminate(self, precision: SymmetricStencil, halves: tuple[FloatArray, FloatArray]) -> tuple[Panel, FloatArray]:
        """Return the panel, and what the node adds to its boundary, given what its halves add.

        Raises
        ------
        NotPositiveDefiniteError
            If a pivot is not positive.
        """
        nothing = np.zeros(0, dtype=np.int64)
        groups = Groups(nothing, np.zeros((0, LANES), dtype=np.int64), nothing, nothing, 0)
        try:
            blocks, update = _numeric.eliminate(self._analysis, self._levels, groups, precision.pool, Buffers(), halves)
        except _numeric.NotPositiveError as failure:
            raise not_positive(precision, self._analysis, self._levels[0], failure) from None
        return Panel(cast(FloatArray, blocks.fronts), 2.0 * float(blocks.log_pivots[0][0])), update

    def forward(
        self, panel: Panel, b: FloatArray, halves: tuple[FloatArray, FloatArray]
    ) -> tuple[FloatArray, FloatArray]:
        """Return ``L_SS^-1 f_S``, ``(R, S)``, and what is added to the boundary, ``(R, B)``.

        ``f`` has the right-hand sides of the separator, ``(R, S)``, and what the halves add, ``(R, B)`` each.
        """
        R, s, m = len(b), self.s, self.m
        orders = [half.shape[1] for half in halves]
        starts = np.cumsum([0, *orders])
        updates = np.empty((starts[-1] + m - s) * R)
        for half, start, order in zip(halves, starts, orders, strict=False):
            updates[start * R : (start + order) * R] = half.T.reshape(-1)
        values = np.zeros((R, m))
        values[:, :s] = b
        result = np.zeros((R, m))
        dissection_front_solve.factor_fronts(
            True,
            self._item(R),
            0,
            1,
            np.arange(m),
            np.zeros(1, dtype=np.int64),
            R,
            m,
            self._analysis.tables.maps,
            read_only(panel.numbers),
            starts[2:].astype(np.int64),
            starts[np.newaxis, :2].astype(np.int64),
            read_only(values.reshape(-1)),
            result.reshape(-1),
            updates,
            *self._workspace(),
        )
        return result[:, :s].copy(), updates[starts[-1] * R :].reshape(m - s, R).T.copy()

    def backward(self, panel: Panel, y: FloatArray, around: FloatArray) -> FloatArray:
        """Return the solution on the front, ``(R, m)``, given ``L_SS^-1 f_S`` and the solution on the boundary."""
        R, s, m = len(y), self.s, self.m
        values, result = np.zeros((R, m)), np.zeros((R, m))
        values[:, :s], result[:, s:] = y, around
        dissection_front_solve.transpose_fronts(
            True,
            self._item(R),
            0,
            1,
            np.arange(m),
            np.zeros(1, dtype=np.int64),
            R,
            m,
            read_only(panel.numbers),
            read_only(values.reshape(-1)),
            result.reshape(-1),
            *self._workspace(),
        )
        return result

    def invert(self, panel: Panel, around: FloatArray) -> FloatArray:
        """Return the covariance of the front, column-major and lower, given the packed one of the boundary."""
        s, m = self.s, self.m
        Z = np.empty(m * m)
        dissection_front_inverse.unpack_boundary(s, m, around, Z)
        b = m - s
        with one_blas_thread():
            if b and s * (s * (s + b) + 2.0 * b * b) > _front_inverse.LARGE:
                _front_inverse.invert_in_blocks(s, m, panel.numbers, Z, Buffers())
            else:
                largest = _selected.Largest.of(np.array([s]), np.array([m]))
                _selected.invert_front(s, m, panel.numbers, Z, Buffers(), largest)
        return Z

    def covariances(self, Z: FloatArray) -> FloatArray:
        """Return planes of covariances on the stencil; zero where neither pixel is of the separator, or one beyond."""
        lattice, flat = self._analysis.lattice, self._analysis.tables
        planes = np.zeros((len(self._analysis.offsets), *lattice.shape, *block_shape(lattice)))
        row, column = self._analysis.origin
        dissection_front_inverse.scatter_front(
            flat.assembly,
            flat.assembly_start[2],
            flat.assembly_start[3],
            lattice.channels,
            self.m,
            row * lattice.shape[1] + column,
            lattice.n_pixels,
            Z,
            planes.reshape(-1),
        )
        return planes

    def positions(self, half: int) -> IntArray:
        """Return where in the front the boundary of a half is."""
        start = int(self._analysis.tables.map_start[2, half])
        return self._analysis.tables.maps[start : start + int(self._analysis.order[half])]

    def hand_down(self, Z: FloatArray, half: int) -> FloatArray:
        """Return the covariance of the boundary of a half as a packed lower triangle."""
        positions = self.positions(half)
        order = len(positions)
        packed = np.empty(order * (order + 1) // 2)
        runs = np.empty(order + 1, dtype=np.int64)
        dissection_front_inverse.gather_boundary(Z, self.m, positions, packed, 0, runs)
        return packed

    def _item(self, images: int) -> IntArray:
        item = np.zeros((1, ITEM_COLUMNS), dtype=np.int64)
        item[0, ITEM_ELIMINATED], item[0, ITEM_ORDER], item[0, ITEM_END] = self.s, self.m, images
        item[0, ITEM_HALF_MAP::ITEM_PER_HALF] = self._analysis.tables.map_start[2]
        item[0, ITEM_HALF_ORDER::ITEM_PER_HALF] = self._analysis.order[:2]
        return item

    def _workspace(self) -> tuple[FloatArray, FloatArray, IntArray]:
        return np.empty(self.m * COLUMNS), np.empty(4 * COLUMNS), np.empty(COLUMNS, dtype=np.int64)


@lru_cache(maxsize=_KEPT)
def _analysis(shape: Shape, channels: int, offsets: bytes, beyond: Beyond) -> Analysis:
    lattice, found = Lattice(shape, channels), np.frombuffer(offsets, dtype=np.int64).reshape(-1, 2)
    side = tile_side(lattice, found, shared=False)
    return analyse(lattice, found, tile=side, leaf=leaf_pixels(found), beyond=beyond)


@lru_cache(maxsize=_KEPT)
def _separator(key: Key, offsets: bytes, leaf_pixels: int) -> list[NodeClass]:
    return classes_of_separator(key, np.frombuffer(offsets, dtype=np.int64).reshape(-1, 2), leaf_pixels)
