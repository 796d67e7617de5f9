"""Factor of the unknowns in a small domain: its connected parts, packed onto lattices of their own.

Of an image of which little is unknown, ``Q`` on the unknown pixels falls into many small blocks. They are moved side by
side, so that what is factorized is about as large as what is unknown, whatever lies between.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sparsegmrf._validate import read_only
from sparsegmrf.factors._factor import Factor
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, IntArray, Shape

_WORTH = 3
"""How many times smaller the packed lattices must be than that of the image."""
_LONG = 4
"""Height over width, or width over height, from which on parts are packed with others of their kind."""
_WIDTHS = 12
"""Widths of a lattice that are tried, each twice the one before."""


@dataclass(frozen=True, eq=False)
class Packing:
    """Unknowns moved onto a lattice of their own.

    Attributes
    ----------
    shape : (int, int)
        Of that lattice.
    pixels : ndarray, (m,)
        Flat indices of the unknowns on the lattice of the image.
    places : ndarray, (m,)
        Flat indices of the same on their own.
    """

    shape: Shape
    pixels: IntArray
    places: IntArray


def packings(Q: SymmetricStencil, lattice: Lattice) -> list[Packing] | None:
    """Return where the connected parts of a domain are moved; None where that would not save enough.

    `Q` couples no pixel of the domain to one outside. Parts that are long in one direction, such as bad columns, go
    with others of their kind.
    """
    if Q.channels > 1 or Q.is_wrapped or not 0 < lattice.n_free * _WORTH <= lattice.size:
        return None
    pixels = np.flatnonzero(lattice.domain)
    part = _parts(Q, pixels)
    order = np.argsort(part, kind="stable")
    pixels, part = pixels[order], part[order]
    starts = np.flatnonzero(np.diff(part, prepend=-1))
    rows, columns = np.divmod(pixels, Q.shape[1])
    top, left = np.minimum.reduceat(rows, starts), np.minimum.reduceat(columns, starts)
    height, width = np.maximum.reduceat(rows, starts) - top + 1, np.maximum.reduceat(columns, starts) - left + 1
    kind = np.where(height > _LONG * width, 1, np.where(width > _LONG * height, 2, 0))
    found = []
    for each in np.unique(kind):
        own = np.flatnonzero(kind == each)
        shape, down, across = _placed(height[own], width[own])
        shift_down, shift_across = np.zeros(len(kind), dtype=np.int64), np.zeros(len(kind), dtype=np.int64)
        shift_down[own], shift_across[own] = down - top[own], across - left[own]
        inside = kind[part] == each
        i = rows[inside] + shift_down[part[inside]]
        j = columns[inside] + shift_across[part[inside]]
        found.append(Packing(shape, pixels[inside], i * shape[1] + j))
    packed = sum(each.shape[0] * each.shape[1] for each in found)
    return found if packed * _WORTH <= lattice.size else None


class PackedFactor(Factor):
    """Factor of the unknowns in a domain, moved together; the others have no variance, no white number and no part.

    Parameters
    ----------
    precision : SymmetricStencil
        ``Q`` in 1/intensity^2, one unknown per pixel, which couples no pixel of the domain to one outside.
    lattice : Lattice
        Its lattice, with the domain.
    moved : list of Packing
        Where the unknowns go.
    factorize : callable
        Makes the factor of a stencil.

    Examples
    --------
    >>> from sparsegmrf.factors import DissectionFactor
    >>> stencil = SymmetricStencil([(0, 0)], np.full((1, 8, 8), 4.0), (8, 8))
    >>> domain = np.zeros((8, 8), dtype=bool)
    >>> domain[2, 5] = True
    >>> lattice = Lattice((8, 8), domain=domain)
    >>> factor = PackedFactor(stencil, lattice, packings(stencil, lattice), DissectionFactor)
    >>> factor.packed_shapes, factor.marginal_variance().sum()
    ([(1, 1)], np.float64(0.25))
    """

    method = "packed"

    def __init__(
        self,
        precision: SymmetricStencil,
        lattice: Lattice,
        moved: list[Packing],
        factorize: Callable[[Any], Factor],
    ) -> None:
        self._offsets, self._boundary = precision.offsets, precision.boundary
        self._lattice, self._moved = lattice, moved
        # Between the parts stands a precision like theirs, whatever the unit, and is taken out of the determinant.
        self._between = float(precision.plane(0).ravel()[moved[0].pixels[0]])
        self._inner = [factorize(_moved_stencil(precision, each, self._between)) for each in moved]

    @property
    def lattice(self) -> Lattice:
        """The pixel grid, with the domain."""
        return self._lattice

    @property
    def packed_shapes(self) -> list[Shape]:
        """Heights and widths of the lattices that are factorized."""
        return [each.shape for each in self._moved]

    @property
    def logdet(self) -> float:
        """Log-determinant of the precision of the unknowns in the domain, in nats."""
        rest = sum(each.shape[0] * each.shape[1] - len(each.pixels) for each in self._moved)
        return float(sum(each.logdet for each in self._inner) - rest * np.log(self._between))

    @property
    def nbytes(self) -> int:
        """Bytes of the factors, and of where pixels are."""
        return sum(each.nbytes for each in self._inner) + sum(
            each.pixels.nbytes + each.places.nbytes for each in self._moved
        )

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances on the precision's own offsets as a stencil, zero outside the domain."""
        planes = np.zeros((len(self._offsets), self._lattice.size))
        for factor, moved in self._each():
            found = factor.selected_inverse()
            for k in range(len(planes)):
                planes[k, moved.pixels] = found.plane(k).ravel()[moved.places]
        shape = self._lattice.shape
        return SymmetricStencil._from_planes(self._offsets, planes.reshape(-1, *shape), Lattice(shape), self._boundary)

    def marginal_variance(self) -> FloatArray:
        """Return the variances as an image, in intensity^2, zero outside the domain."""
        variance = np.zeros(self._lattice.size)
        for factor, moved in self._each():
            variance[moved.pixels] = factor.marginal_variance().ravel()[moved.places]
        return variance.reshape(self._lattice.shape)

    @property
    def relative_error(self) -> float:
        """Bound on the error of variances relative to themselves; see `Factor.relative_error`."""
        return max(each.relative_error for each in self._inner)

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        return self._on_parts(x, lambda factor, own: factor.whiten_vectors(own))

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        return self._on_parts(e, lambda factor, own: factor.unwhiten_vectors(own))

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return self._on_parts(b, lambda factor, own: factor.solve_vectors(own))

    def _each(self) -> Iterator[tuple[Factor, Packing]]:
        return zip(self._inner, self._moved, strict=True)

    def _on_parts(self, x: FloatArray, operation: Callable[[Factor, FloatArray], FloatArray]) -> FloatArray:
        result = np.zeros(x.shape)
        for factor, moved in self._each():
            own = np.zeros((len(x), moved.shape[0] * moved.shape[1]))
            own[:, moved.places] = x[:, moved.pixels]
            result[:, moved.pixels] = operation(factor, read_only(own))[:, moved.places]
        return result


def _parts(Q: SymmetricStencil, pixels: IntArray) -> IntArray:
    """Return the number of the connected part of each pixel of the domain, ``(m,)``."""
    number = np.zeros(Q.lattice.size, dtype=np.int64)
    number[pixels] = np.arange(len(pixels))
    first, second = [], []
    for k, (di, dj) in enumerate(Q.offsets.tolist()):
        coupled = np.flatnonzero(Q.plane(k).ravel()[pixels])  # to the pixel itself, or to another of the domain
        first.append(coupled)
        second.append(number[pixels[coupled] + di * Q.shape[1] + dj])
    i, j = np.concatenate(first), np.concatenate(second)
    graph = sp.csr_array((np.ones(len(i), dtype=bool), (i, j)), shape=(len(pixels), len(pixels)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _placed(height: IntArray, width: IntArray) -> tuple[Shape, IntArray, IntArray]:
    """Return the smallest lattice found for rectangles, and the corner of each: on shelves, tallest first."""
    order = np.lexsort((-width, -height))
    h, w = height[order], width[order]
    best: tuple[int, int] | None = None
    for k in range(_WIDTHS):
        total = int(w.max()) << k
        _, shelf_tops, bottom = _shelves(h, w, total)
        if best is None or total * bottom < best[0]:
            best = (total * bottom, total)
        if len(shelf_tops) == 1:
            break
    assert best is not None
    total = best[1]
    starts, tops, bottom = _shelves(h, w, total)
    shelf = np.searchsorted(starts, np.arange(len(h)), side="right") - 1
    ends = np.cumsum(w)
    across = ends - w - (ends - w)[starts][shelf]
    down, left = np.empty_like(height), np.empty_like(width)
    down[order], left[order] = tops[shelf], across
    return (bottom, int((across + w).max())), down, left


def _shelves(height: IntArray, width: IntArray, total: int) -> tuple[IntArray, IntArray, int]:
    """Return the first rectangle of each shelf `total` wide, the shelves' tops, and the bottom of the last."""
    ends = np.cumsum(width)
    starts, tops, bottom = [0], [0], int(height[0])
    while True:
        before = int(ends[starts[-1]] - width[starts[-1]])
        following = int(np.searchsorted(ends, before + total, side="right"))
        if following >= len(width):
            return np.array(starts), np.array(tops), bottom
        starts.append(following)
        tops.append(bottom)
        bottom += int(height[following])


def _moved_stencil(Q: SymmetricStencil, moved: Packing, between: float) -> SymmetricStencil:
    """Return the precision on the packed lattice, with pixels of a given precision between the parts."""
    planes = np.zeros((len(Q.offsets), moved.shape[0] * moved.shape[1]))
    planes[0] = between
    for k in range(len(planes)):
        planes[k, moved.places] = Q.plane(k).ravel()[moved.pixels]
    return SymmetricStencil._from_planes(Q.offsets, planes.reshape(-1, *moved.shape), Lattice(moved.shape))
