"""The four products of a triangular stencil: ``A x``, ``A^T x``, ``A^-1 b``, ``A^-T b``, in threads."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from sparsegmrf import _threads
from sparsegmrf._graph import run_graph
from sparsegmrf._validate import read_only
from sparsegmrf.kernels import triangular
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import TriangularStencil
from sparsegmrf.typing import FloatArray, IntArray

_BAND = 128
_SPAN = 1024
_TILE = 2**16
"""Unknowns in a tile, at least: below, starting a task costs as much as solving it."""


@dataclass(frozen=True, eq=False)
class Recursion:
    """A triangular stencil or its transpose as the kernels read it.

    Term ``t`` couples pixel ``p`` to its neighbour ``(di, dj)[t]``; the coefficient is ``values[base[t] + step[t]*p]``.
    With earlier neighbours elimination starts at the first pixel, with later ones (`backward`) at the last.
    """

    lattice: Lattice
    di: IntArray
    dj: IntArray
    base: IntArray
    step: IntArray
    values: FloatArray
    transposed: bool
    backward: bool

    @classmethod
    def of(cls, A: TriangularStencil, *, transposed: bool = False) -> "Recursion":
        """Read a stencil, the diagonal first, then shared weights, then planes."""
        pool = A.pool
        sign = -1 if transposed else 1
        di, dj = sign * np.vstack([np.zeros((1, 2), dtype=np.int64), A.offsets]).T
        # Entry (p, q) of A^T is A[q, p]: the coefficient of the neighbour q.
        base = pool.start + (pool.step * (di * A.shape[1] + dj) if transposed else 0)
        order = np.concatenate([[0], 1 + np.argsort(pool.step[1:], kind="stable")]).astype(np.int64)
        order = order[(np.abs(di) < A.shape[0])[order] & (np.abs(dj) < A.shape[1])[order]]
        return cls(
            A.lattice,
            *(di[order], dj[order], base[order], pool.step[order]),
            pool.values,
            transposed,
            backward=A.is_causal == transposed,
        )

    def multiply(self, x: FloatArray, out: FloatArray) -> None:
        """Set `out` to ``A x``, both ``(batch, n)`` and apart in memory."""
        (height, width), channels = self.lattice.shape, self.lattice.channels
        x = read_only(x)
        rows = max(1, 2 * _TILE // (width * channels))
        group = max(1, rows // height)
        stencil = (self.di, self.dj, self.base, self.step, read_only(self.values))

        def task(items: tuple[int, int], band: tuple[int, int]) -> None:
            rows_of_items = (*items, *band, height, width)
            if channels == 1:
                triangular.multiply_rows(*rows_of_items, *stencil, x, out)
            else:
                triangular.multiply_block_rows(*rows_of_items, channels, self.transposed, *stencil, x, out)

        batch, bands = _threads.ranges(len(x), group), _threads.ranges(height, rows)
        _threads.run([partial(task, items, band) for items in batch for band in bands])

    def solve(self, b: FloatArray, out: FloatArray, made_by: Sequence[_threads.Task] = (), block: int = 1) -> None:
        """Set `out` to ``A^-1 b``, both ``(batch, n)``; `out` may be `b`.

        Tiles are bands of rows cut into spans of sheared columns ``j + shear*i``. Seen so, no neighbour has a larger
        row or column: a tile needs the one before it in its band and the one above. Where `b` is still to be made,
        task ``k`` of `made_by` makes its numbers ``k*block ... (k + 1)*block``, and a band is solved while they are
        fresh in cache.
        """
        (height, width), channels = self.lattice.shape, self.lattice.channels
        b = read_only(b)
        shear = self._shear()
        band, span, group = _tile(height, width, channels)
        stencil = (self.di, self.dj, self.base, self.step, read_only(self.values))

        def task(items: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> None:
            tile = (*items, *rows, *columns, shear, self.backward, height, width)
            if channels == 1:
                triangular.solve_tile(*tile, *stencil, b, out)
            else:
                triangular.solve_block_tile(*tile, channels, self.transposed, *stencil, b, out)

        spans = _threads.ranges(width + shear * (height - 1), span)
        plan = _Pipeline(made_by, block)
        for items in _threads.ranges(len(b), group):
            above: dict[int, int] = {}
            for rows in _threads.ranges(height, band):
                first, last = (row * width * channels for row in self._in_memory(rows))
                needs = plan.making(items[0] * b.shape[1] + first, (items[1] - 1) * b.shape[1] + last)
                own: dict[int, int] = {}
                for at, columns in enumerate(spans):
                    if not _meets_image(rows, columns, shear, width):
                        continue
                    # Narrow sheared bands need not overlap: then the first tile comes after all of the band above.
                    over = [above[at]] if at in above else [] if own else list(above.values())[-1:]
                    own[at] = plan.add(partial(task, items, rows, columns), [*needs, *over])
                    needs = [own[at]]
                above = own
        run_graph(plan.tasks, plan.needs)

    def _in_memory(self, rows: tuple[int, int]) -> tuple[int, int]:
        """Turn rows in elimination order into image rows."""
        height = self.lattice.shape[0]
        return (height - rows[1], height - rows[0]) if self.backward else rows

    def _shear(self) -> int:
        """Return the smallest ``s >= 0`` with ``dj <= s*(-di)`` for neighbours in other rows, in elimination order."""
        sign = -1 if self.backward else 1
        other = self.di != 0
        rows_back, columns_on = -sign * self.di[other], sign * self.dj[other]
        return int(max(0, (-(-columns_on // rows_back)).max(initial=0)))


class _Pipeline:
    """Tasks in the order in which one thread would run them: a band's numbers are made right before it is solved."""

    def __init__(self, made_by: Sequence[_threads.Task], block: int) -> None:
        self.made_by, self.block = made_by, block
        self.made: dict[int, int] = {}
        self.tasks: list[_threads.Task] = []
        self.needs: list[list[int]] = []

    def add(self, task: _threads.Task, needs: list[int]) -> int:
        self.tasks.append(task)
        self.needs.append(needs)
        return len(self.tasks) - 1

    def making(self, first: int, last: int) -> list[int]:
        """Return the tasks that make numbers ``first ... last``, added where they are not yet."""
        blocks = range(first // self.block, -(-last // self.block)) if self.made_by else range(0)
        for k in blocks:
            if k not in self.made:
                self.made[k] = self.add(self.made_by[k], [])
        return [self.made[k] for k in blocks]


def _tile(height: int, width: int, channels: int) -> tuple[int, int, int]:
    """Return rows and sheared columns of a tile, and how many whole images make one task."""
    size = height * width * channels
    if size <= 2 * _TILE:
        return height, height * width, max(1, 2 * _TILE // size)
    band = min(height, _BAND)
    least = _TILE // (band * channels) if height < _BAND else _SPAN // 2
    span = min(width, max(1, least, min(_SPAN, width // 2)))
    return max(band, _TILE // (span * channels)), span, 1


def _meets_image(rows: tuple[int, int], columns: tuple[int, int], shear: int, width: int) -> bool:
    return columns[0] < width + shear * (rows[1] - 1) and columns[1] > shear * rows[0]
