"""Lattices that wrap, folded flat: two pixels as far from a fold as each other become the unknowns of one."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparsegmrf._edges import cut_off, wraps
from sparsegmrf._validate import read_only
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._coefficients import block_shape
from sparsegmrf.stencil._offsets import distinct_offsets
from sparsegmrf.typing import BoolArray, Boundary, IntArray, Shape


class Side(NamedTuple):
    """Where the pixels of a side lie once it is folded, and on which of up to two sheets."""

    place: IntArray
    sheet: IntArray

    @classmethod
    def of(cls, length: int, around: bool) -> "Side":
        """Fold a side if it goes around."""
        place = np.arange(length)
        if not around:
            return cls(place, np.zeros(length, dtype=np.int64))
        return cls(np.minimum(place, length - 1 - place), (2 * place > length - 1).astype(np.int64))

    @property
    def length(self) -> int:
        """Pixels of the folded side."""
        return int(self.place.max()) + 1

    @property
    def sheets(self) -> int:
        """How many sheets lie on each other."""
        return int(self.sheet.max()) + 1


class Places(NamedTuple):
    """Where the coefficients of one offset stand in a folded stencil: indices, one per pixel that has a neighbour.

    `pixels` picks these pixels. A coefficient is the part ``[sheet, :, other, :]`` of a block at the folded pixel `at`,
    at the folded offset `step`; transposed where `turned`.
    """

    pixels: IntArray
    step: IntArray
    at: IntArray
    sheet: IntArray
    other: IntArray
    turned: BoolArray


@dataclass(frozen=True, eq=False)
class Fold:
    """A lattice with a ring of ``W`` columns (or rows, or both) as one of ``ceil(W / 2)`` that does not wrap.

    Columns ``j`` and ``W - 1 - j`` lie on each other, so that neighbours around the ring stay as near as they were: the
    last column lies on the first. Each pixel holds the unknowns of up to two pixels, four on a torus. Of an odd ring
    the middle column lies on nothing: the unknowns for it are decoupled and of variance one.

    Attributes
    ----------
    pattern : SymmetricStencil
        Lattice, offsets and boundary of what is folded.
    rows, columns : Side
    boundary : str or (str, str)
        Of what is folded, as it wraps.
    offsets : ndarray, (K, 2)
        Of the folded stencil: the centre and later ones.
    """

    pattern: SymmetricStencil
    rows: Side
    columns: Side
    boundary: Boundary
    offsets: IntArray

    @classmethod
    def of(cls, Q: SymmetricStencil, shape: Shape | None = None) -> "Fold":
        """Fold the lattice of a stencil that wraps, or another lattice for its offsets."""
        lattice = Lattice(Q.shape if shape is None else shape, Q.channels)
        around, ones = wraps(Q.boundary), [1.0] * len(Q.offsets)
        rule = cut_off(Q.boundary)
        pattern = SymmetricStencil(Q.offsets, ones, lattice.shape, channels=Q.channels, boundary=rule)
        rows, columns = (Side.of(side, wrapped) for side, wrapped in zip(lattice.shape, around, strict=True))
        # Larger lattices have the folded offsets of one that holds every neighbour of a fold.
        height, width = (
            min(side, 4 * reach + 4 + side % 2) for side, reach in zip(lattice.shape, Q.reach, strict=True)
        )
        if (height, width) != lattice.shape:
            return cls(pattern, rows, columns, Q.boundary, cls.of(Q, (height, width)).offsets)
        bare = cls(pattern, rows, columns, Q.boundary, np.zeros((0, 2), dtype=np.int64))
        steps = [bare.places(k).step for k in range(len(Q.offsets))]
        return cls(pattern, rows, columns, Q.boundary, read_only(distinct_offsets(np.concatenate(steps))[0]))

    @property
    def sheets(self) -> int:
        """How many pixels lie on each other."""
        return self.rows.sheets * self.columns.sheets

    @property
    def lattice(self) -> Lattice:
        """The folded lattice, with several unknowns per pixel."""
        return Lattice((self.rows.length, self.columns.length), self.sheets * self.pattern.channels)

    @property
    def unknowns(self) -> IntArray:
        """For each unknown of the lattice that wraps its index on the folded one, ``(n,)``."""
        pixels, channels = np.arange(self.pattern.lattice.n_pixels), self.pattern.channels
        at, sheet = self._lies(*np.divmod(pixels, self.pattern.shape[1]))
        return np.asarray((((at * self.sheets + sheet) * channels)[:, np.newaxis] + np.arange(channels)).ravel())

    def serves(self, Q: SymmetricStencil) -> bool:
        """Return whether a stencil has the lattice and the offsets of this fold."""
        own = self.pattern
        same = Q.lattice == own.lattice and cut_off(Q.boundary) == own.boundary
        return same and np.array_equal(Q.offsets, own.offsets)

    def places(self, k: int) -> Places:
        """Return where the coefficients of offset `k` stand."""
        here = np.zeros(self.pattern.shape, dtype=np.bool_)
        here[self.pattern._pixels(k)] = True
        pixels = np.flatnonzero(here)
        (height, width), (di, dj) = self.pattern.shape, self.pattern.offsets[k].tolist()
        i, j = np.divmod(pixels, width)
        a, b = (i + di) % height, (j + dj) % width
        step = np.column_stack([self.rows.place[a] - self.rows.place[i], self.columns.place[b] - self.columns.place[j]])
        turned = (step[:, 0] < 0) | ((step[:, 0] == 0) & (step[:, 1] < 0))
        step[turned] *= -1
        (begin, sheet), (end, other) = self._lies(i, j), self._lies(a, b)
        return Places(
            pixels,
            step,
            np.where(turned, end, begin),
            np.where(turned, other, sheet),
            np.where(turned, sheet, other),
            turned,
        )

    def fold(self, Q: SymmetricStencil) -> SymmetricStencil:
        """Return the matrix on the folded lattice."""
        blocks, lattice = np.zeros(self._grid), self.lattice
        unused = np.ones(lattice.size)
        unused[self.unknowns] = 0.0
        diagonal = np.arange(lattice.channels)
        centre = blocks[0].reshape(-1, lattice.channels, lattice.channels)
        centre[:, diagonal, diagonal] = unused.reshape(-1, lattice.channels)
        for k in range(len(Q.offsets)):
            pixels, step, at, sheet, other, turned = self.places(k)
            plane = self._plane_of(step)
            values = Q.plane(k).reshape(-1, Q.channels, Q.channels)[pixels]
            mirrored = np.swapaxes(values, -1, -2)
            # Neighbours both ways around a short ring meet at one place, so that each way is added by itself.
            for way, given in ((turned, mirrored), (~turned, values)):
                blocks[plane[way], at[way], sheet[way], :, other[way]] += given[way]
            if k:  # within a pixel the block has both the coefficient and its mirror image
                inside = plane == 0
                blocks[0, at[inside], other[inside], :, sheet[inside]] += mirrored[inside]
        planes = blocks.reshape(len(self.offsets), *lattice.shape, *block_shape(lattice))
        return SymmetricStencil._from_planes(self.offsets, planes, lattice)

    def unfold(self, S: SymmetricStencil) -> SymmetricStencil:
        """Return the entries of a matrix on the folded lattice that stand at the offsets of the one that wraps."""
        own = self.pattern
        blocks = np.stack([S.plane(k) for k in range(len(S.offsets))]).reshape(self._grid)
        result = np.zeros((len(own.offsets), own.lattice.n_pixels, own.channels, own.channels))
        for k, entries in enumerate(result):
            pixels, step, at, sheet, other, turned = self.places(k)
            values = blocks[self._plane_of(step), at, sheet, :, other]
            entries[pixels] = np.where(turned[:, np.newaxis, np.newaxis], np.swapaxes(values, -1, -2), values)
        return own._with_planes(result.reshape(len(own.offsets), *own.shape, *block_shape(own.lattice)))

    def pixel(self, folded: tuple[int, ...]) -> tuple[int, ...]:
        """Return the pixel, and with several the unknown of it, at a pixel and unknown of the folded lattice."""
        (i, j), c, own = folded[:2], folded[2] if len(folded) > 2 else 0, self.pattern
        pixel, channel = divmod(int(np.flatnonzero(self.unknowns == self.lattice.unknown((i, j), c))[0]), own.channels)
        where = own.lattice.pixel(pixel)
        return where if own.channels == 1 else (*where, channel)

    def _lies(self, i: IntArray, j: IntArray) -> tuple[IntArray, IntArray]:
        """Return the folded pixels at which pixels lie, and on which sheet."""
        at = self.rows.place[i] * self.columns.length + self.columns.place[j]
        return at, self.rows.sheet[i] * self.columns.sheets + self.columns.sheet[j]

    def _plane_of(self, step: IntArray) -> IntArray:
        """Return which folded offsets steps are."""
        far = np.abs(self.offsets).max(axis=0)
        table = np.zeros(2 * far + 1, dtype=np.int64)
        table[tuple((self.offsets + far).T)] = np.arange(len(self.offsets))
        return np.asarray(table[tuple((step + far).T)])

    @property
    def _grid(self) -> tuple[int, ...]:
        own, sheets = self.pattern.channels, self.sheets
        return (len(self.offsets), self.lattice.n_pixels, sheets, own, sheets, own)
