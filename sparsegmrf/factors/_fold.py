"""Lattices that wrap, folded flat: two pixels as far from a fold as each other become the unknowns of one."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparsegmrf._edges import wraps
from sparsegmrf._validate import read_only
from sparsegmrf.lattice import Lattice, at_neighbours
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._coefficients import block_shape
from sparsegmrf.stencil._offsets import distinct_offsets
from sparsegmrf.typing import BoolArray, IntArray


class Places(NamedTuple):
    """Where the coefficients of one offset stand in a folded stencil: indices, one per pixel that has a neighbour.

    `pixels` picks these pixels. A coefficient is the part ``[sheet, :, other, :]`` of a block of plane `plane` at the
    folded pixel `at`, transposed where `turned`.
    """

    pixels: IntArray
    plane: IntArray
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
    lattice : Lattice
        The folded lattice, with several unknowns per pixel.
    unknowns : ndarray, (n,)
        For each unknown of the lattice that wraps its index on the folded one.
    offsets : ndarray, (K, 2)
        Of the folded stencil: the centre and later ones.
    places : tuple of Places
        By offset of the stencil that wraps.
    """

    lattice: Lattice
    unknowns: IntArray
    offsets: IntArray
    places: tuple[Places, ...]
    _source: SymmetricStencil

    @classmethod
    def of(cls, Q: SymmetricStencil) -> "Fold":
        """Fold the lattice of a stencil that wraps."""
        channels = Q.channels
        (rows, row_sheets), (columns, column_sheets) = (
            _folded(side, around) for side, around in zip(Q.shape, wraps(Q.boundary), strict=True)
        )
        sheets = int(row_sheets.max() + 1) * int(column_sheets.max() + 1)
        shape = (int(rows.max()) + 1, int(columns.max()) + 1)
        i, j = (np.broadcast_to(each, Q.shape) for each in (rows[:, np.newaxis], columns))
        sheet = row_sheets[:, np.newaxis] * int(column_sheets.max() + 1) + column_sheets
        unknowns = ((i * shape[1] + j) * sheets + sheet).ravel()[:, np.newaxis] * channels + np.arange(channels)
        steps, found = [], []
        for k, (di, dj) in enumerate(Q.offsets.tolist()):
            here = np.zeros(Q.shape, dtype=bool)
            here[Q._pixels(k)] = True
            pixels = np.flatnonzero(here)
            down, across = ((at_neighbours(each, (di, dj)) - each).ravel()[pixels] for each in (i, j))
            turned = (down < 0) | ((down == 0) & (across < 0))
            steps.append(np.where(turned[:, np.newaxis], -1, 1) * np.column_stack([down, across]))
            ends = [(i * shape[1] + j).ravel(), sheet.ravel()]
            begin = [each[pixels] for each in ends]
            end = [at_neighbours(each.reshape(Q.shape), (di, dj)).ravel()[pixels] for each in ends]
            at, first = (np.where(turned, b, a) for a, b in zip(begin, end, strict=True))
            found.append((pixels, at, first, np.where(turned, begin[1], end[1]), turned))
        offsets, plane = distinct_offsets(np.concatenate(steps))
        planes = np.split(plane, np.cumsum([len(each) for each in steps])[:-1])
        places = tuple(
            Places(pixels, plane, at, first, other, turned)
            for plane, (pixels, at, first, other, turned) in zip(planes, found, strict=True)
        )
        return cls(Lattice(shape, sheets * channels), read_only(unknowns.ravel()), read_only(offsets), places, Q)

    def serves(self, Q: SymmetricStencil) -> bool:
        """Return whether a stencil has the lattice and the offsets of this fold."""
        own = self._source
        same = Q.lattice == own.lattice and wraps(Q.boundary) == wraps(own.boundary)
        return same and np.array_equal(Q.offsets, own.offsets)

    def fold(self, Q: SymmetricStencil) -> SymmetricStencil:
        """Return the matrix on the folded lattice."""
        blocks = np.zeros(self._grid(Q))
        unused = np.ones(self.lattice.size)
        unused[self.unknowns] = 0.0
        per_pixel = blocks[0].reshape(-1, self.lattice.channels, self.lattice.channels)
        diagonal = np.arange(self.lattice.channels)
        per_pixel[:, diagonal, diagonal] = unused.reshape(-1, self.lattice.channels)
        for k, (pixels, plane, at, sheet, other, turned) in enumerate(self.places):
            values = Q.plane(k).reshape(-1, Q.channels, Q.channels)[pixels]
            mirrored = np.swapaxes(values, -1, -2)
            # Neighbours both ways around a short ring meet at one place, so that each way is added by itself.
            for way in (turned, ~turned):
                where = (plane[way], at[way], sheet[way], slice(None), other[way])
                blocks[where] += np.where(turned[way, np.newaxis, np.newaxis], mirrored[way], values[way])
            if k:  # within a pixel the block has both the coefficient and its mirror image
                inside = plane == 0
                where = (plane[inside], at[inside], other[inside], slice(None), sheet[inside])
                blocks[where] += mirrored[inside]
        planes = blocks.reshape(len(self.offsets), *self.lattice.shape, *block_shape(self.lattice))
        return SymmetricStencil._from_planes(self.offsets, planes, self.lattice)

    def unfold(self, S: SymmetricStencil) -> SymmetricStencil:
        """Return the entries of a matrix on the folded lattice that stand at the offsets of the one that wraps."""
        Q = self._source
        blocks = np.stack([S.plane(k) for k in range(len(S.offsets))]).reshape(self._grid(Q))
        result = np.zeros((len(Q.offsets), Q.lattice.n_pixels, Q.channels, Q.channels))
        for entries, (pixels, plane, at, sheet, other, turned) in zip(result, self.places, strict=True):
            values = blocks[plane, at, sheet, :, other]
            entries[pixels] = np.where(turned[:, np.newaxis, np.newaxis], np.swapaxes(values, -1, -2), values)
        return Q._with_planes(result.reshape(len(Q.offsets), *Q.shape, *block_shape(Q.lattice)))

    def pixel(self, folded: tuple[int, ...]) -> tuple[int, ...]:
        """Return the pixel, and with several the unknown of it, at a pixel and unknown of the folded lattice."""
        (i, j), c = folded[:2], folded[2] if len(folded) > 2 else 0
        found = int(np.flatnonzero(self.unknowns == self.lattice.unknown((i, j), c))[0])
        pixel, channel = divmod(found, self._source.channels)
        where = self._source.lattice.pixel(pixel)
        return where if self._source.channels == 1 else (*where, channel)

    def _grid(self, Q: SymmetricStencil) -> tuple[int, ...]:
        sheets = self.lattice.channels // Q.channels
        return (len(self.offsets), self.lattice.n_pixels, sheets, Q.channels, sheets, Q.channels)


def _folded(side: int, around: bool) -> tuple[IntArray, IntArray]:
    """Return where each pixel of a side lies once it is folded, and on which of two sheets."""
    place = np.arange(side)
    if not around:
        return place, np.zeros(side, dtype=np.int64)
    return np.minimum(place, side - 1 - place), (2 * place > side - 1).astype(np.int64)
