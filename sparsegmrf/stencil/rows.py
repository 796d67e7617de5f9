"""Rows of a matrix ``A`` with ``Q = A^T A``: what a precision says of neighbours, one square after another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sparsegmrf._validate import read_only
from sparsegmrf.errors import StencilError
from sparsegmrf.lattice import Lattice, at_neighbours
from sparsegmrf.stencil.symmetric import SymmetricStencil
from sparsegmrf.typing import BoolArray, FloatArray, IntArray, Offset, Shape

_ROUNDING = 64.0 * float(np.finfo(float).eps)
"""What a diagonal has more than its neighbours, over it, that counts as nothing."""


@dataclass(frozen=True, eq=False)
class Rows:
    """One row of ``A`` per pixel: ``(A x)_p = sum_k a_k[p] x[p + o_k]``.

    A row whose coefficients are all zero is none. A lattice may have several families of rows, ``Q`` being the sum of
    their ``A^T A``: a weighted difference per pair of neighbours, say, and a Laplacian per pixel.

    Attributes
    ----------
    offsets : ndarray, (K, 2)
        In pixels, earlier or later.
    planes : ndarray, (K, H, W)
        ``a_k``, zero where ``p + o_k`` is off the image; in 1/intensity.
    name : str
        What the family is, the same on every window of a lattice; different ones have different names.
    channel : int
        Which of the unknowns stacked at a pixel.
    """

    offsets: IntArray
    planes: FloatArray
    name: str
    channel: int = 0

    @classmethod
    def of(cls, terms: dict[Offset, FloatArray], shape: Shape, name: str) -> "Rows":
        """Return the rows of coefficients by offset, numbers or images; a row that would reach off the image is none.

        Examples
        --------
        >>> differences = Rows.of({(0, 0): -1.0, (0, 1): 1.0}, (1, 3), "differences")
        >>> differences.apply(np.array([[1.0, 4.0, 9.0]])).tolist()
        [[3.0, 5.0, 0.0]]
        """
        lattice = Lattice(shape)
        whole = np.ones(shape, dtype=bool)
        for offset in terms:
            whole &= ~lattice.without_neighbour(offset)
        planes = [np.where(whole, value, 0.0) for value in terms.values()]
        return cls(np.array(list(terms), dtype=np.int64), np.array(planes), name)

    @classmethod
    def of_symmetric(cls, S: SymmetricStencil) -> "Rows":
        """Return the rows of a symmetric matrix: ``A = S``, ``A^T A = S^2``."""
        check_cut_off(S)
        offsets, planes = [(0, 0)], [S.plane(0)]
        for k, (di, dj) in enumerate(S.offsets.tolist()):
            if (di, dj) != (0, 0):
                later = S.plane(k)
                offsets += [(di, dj), (-di, -dj)]
                planes += [later, at_neighbours(later, (-di, -dj))]  # what wraps is zero: it points off the image
        return cls(np.array(offsets, dtype=np.int64), np.array(planes), "pixel")

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return (self.planes.shape[1], self.planes.shape[2])

    def apply(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for images ``(..., H, W)``."""
        found, lattice = np.zeros(x.shape), Lattice(self.shape)
        for offset, plane in self._terms():
            here, there = lattice.pairs(offset)
            found[(..., *here)] += plane[here] * x[(..., *there)]
        return found

    def adjoint(self, e: FloatArray) -> FloatArray:
        """Return ``A^T e`` for images ``(..., H, W)``."""
        found, lattice = np.zeros(e.shape), Lattice(self.shape)
        for offset, plane in self._terms():
            here, there = lattice.pairs(offset)
            found[(..., *there)] += plane[here] * e[(..., *here)]
        return found

    def touching(self, pixels: BoolArray) -> BoolArray:
        """Return which rows, ``(H, W)``, have a coefficient at one of some pixels ``(H, W)``."""
        found, lattice = np.zeros(self.shape, dtype=bool), Lattice(self.shape)
        for offset, plane in self._terms():
            here, there = lattice.pairs(offset)
            found[here] |= (plane[here] != 0.0) & pixels[there]
        return found

    def only(self, kept: BoolArray) -> "Rows":
        """Return some of the rows."""
        return replace(self, planes=np.where(kept, self.planes, 0.0))

    def times_columns(self, scale: FloatArray) -> "Rows":
        """Return ``A diag(scale)`` for an image, or a number."""
        if not np.ndim(scale):
            return replace(self, planes=self.planes * float(scale))
        planes = np.array([plane * at_neighbours(scale, offset) for offset, plane in self._terms()])
        return replace(self, planes=planes)

    def times_rows(self, scale: FloatArray | float) -> "Rows":
        """Return ``diag(scale) A`` for an image, or a number."""
        return replace(self, planes=self.planes * scale)

    def plus_centre(self, value: FloatArray | float) -> "Rows":
        """Return ``A + diag(value)`` for rows whose first offset is the centre."""
        planes = self.planes.copy()
        planes[0] += value
        return replace(self, planes=planes)

    def times(self, S: SymmetricStencil) -> "Rows":
        """Return ``A S``."""
        right = Rows.of_symmetric(S)
        found: dict[Offset, FloatArray] = {}
        for (di, dj), plane in self._terms():
            for (a, b), coefficient in right._terms():
                # What wraps meets a plane that is zero there.
                part = plane * at_neighbours(coefficient, (di, dj))
                offset = (di + a, dj + b)
                found[offset] = found[offset] + part if offset in found else part
        return replace(self, offsets=np.array(list(found), dtype=np.int64), planes=np.array(list(found.values())))

    def called(self, name: str) -> "Rows":
        """Return the rows by another name."""
        return replace(self, name=name)

    def in_channel(self, channel: int) -> "Rows":
        """Return the rows as those of another one of stacked unknowns."""
        return replace(self, channel=channel)

    def _terms(self) -> list[tuple[Offset, FloatArray]]:
        return [((di, dj), plane) for (di, dj), plane in zip(self.offsets.tolist(), self.planes, strict=True)]


def gram(rows: Sequence[Rows], channels: int = 1) -> SymmetricStencil:
    """Return ``A^T A`` of families of rows on one lattice as a stencil.

    Parameters
    ----------
    rows : sequence of Rows
        At least one.
    channels : int
        Unknowns per pixel.
    """
    shape = rows[0].shape
    lattice = Lattice(shape)
    planes: dict[Offset, FloatArray] = {(0, 0): np.zeros((*shape, channels))}
    for family in rows:
        terms = family._terms()
        for a, of_a in terms:
            here, there = lattice.pairs(a)
            for b, of_b in terms:
                offset = (b[0] - a[0], b[1] - a[1])
                if offset >= (0, 0):
                    plane = planes.setdefault(offset, np.zeros((*shape, channels)))
                    plane[(*there, family.channel)] += of_a[here] * of_b[here]
    order = sorted(planes)
    stacked = np.array([planes[offset] for offset in order])
    blocks = stacked[..., 0] if channels == 1 else stacked[..., np.newaxis] * np.eye(channels)
    offsets = read_only(np.array(order, dtype=np.int64))
    return SymmetricStencil._from_planes(offsets, blocks, Lattice(shape, channels))


def dominant_rows(S: SymmetricStencil) -> list[Rows]:
    """Return the rows of a diagonally dominant matrix: ``sqrt|s_pq| (x_p + sign(s_pq) x_q)`` per pair, and a diagonal.

    ``x^T S x = sum_(p,q) |s_pq| (x_p + sign(s_pq) x_q)^2 + sum_p (s_pp - sum_q |s_pq|) x_p^2``.

    Raises
    ------
    StencilError
        If the diagonal of a pixel is less than the sum of the sizes of its neighbours' coefficients.
    """
    check_cut_off(S)
    centre = S.plane(0)
    rest, found = centre.copy(), []
    for k, (di, dj) in enumerate(S.offsets.tolist()):
        if (di, dj) == (0, 0):
            continue
        plane = S.plane(k)
        size = np.abs(plane)
        rest -= size
        rest -= at_neighbours(size, (-di, -dj))
        if size.any():
            root = np.sqrt(size)
            offsets = np.array([(0, 0), (di, dj)], dtype=np.int64)
            found.append(Rows(offsets, np.array([root, np.copysign(root, plane)]), f"pair {di} {dj}"))
    nothing = np.abs(rest) <= _ROUNDING * centre
    if (rest < 0.0)[~nothing].any():
        pixel = np.unravel_index(int(np.argmin(np.where(nothing, 0.0, rest))), rest.shape)
        at = int(pixel[0]), int(pixel[1])
        raise StencilError(
            "precision must have a diagonal of at least the sum of the sizes of the neighbours' coefficients to be a "
            f"sum of squares of pairs, got {centre[at]:.6g} against {centre[at] - rest[at]:.6g} at pixel {at}."
        )
    rest[nothing] = 0.0
    if rest.any() or not found:
        found.append(diagonal_rows(np.sqrt(rest)))
    return found


def diagonal_rows(root: FloatArray) -> Rows:
    """Return rows with one coefficient each, an image."""
    return Rows(np.zeros((1, 2), dtype=np.int64), root[np.newaxis], "alone")


def rows_of_power(S: SymmetricStencil, root: Sequence[Rows], exponent: int) -> list[Rows]:
    """Return rows of ``S^exponent`` for a whole exponent of at least 0, given those ``B`` of ``S = B^T B``.

    Those of ``S^j`` for ``S^2j``, and of ``B S^j`` for ``S^(2j + 1)``.
    """
    if exponent == 0:
        return [diagonal_rows(np.ones(S.shape))]
    if exponent % 2:
        found = list(root)
        for _ in range(exponent // 2):
            found = [each.times(S) for each in found]
        return found
    whole = Rows.of_symmetric(S)
    for _ in range(exponent // 2 - 1):
        whole = whole.times(S)
    return [whole]


def check_cut_off(S: SymmetricStencil) -> None:
    """Refuse what wraps, or has several unknowns per pixel."""
    if S.is_wrapped or S.channels > 1:
        raise StencilError(
            f"rows must be those of a matrix of one unknown per pixel that does not wrap, got {S!r}; take a boundary "
            "that ends at the image."
        )
