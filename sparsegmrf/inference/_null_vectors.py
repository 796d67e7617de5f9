"""Null vectors of a prior as images of what is observed."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._observations import pixels_of
from sparsegmrf.inference._parts import Parts, by_part
from sparsegmrf.lattice import Lattice
from sparsegmrf.typing import BoolArray, FloatArray, IntArray

_COLLINEAR = 1e-9


class UnfixedLevelError(ArgumentError):
    """Observations do not fix the null vectors of a field."""


@dataclass(frozen=True, eq=False)
class NullVectors:
    """Images ``N`` that the field adds at no cost, and their part on the observed pixels.

    Those of parts of the lattice that do not touch stand in one image; every operation is that on each part by itself.

    Attributes
    ----------
    count : int
        Number of null vectors ``r``.
    images : ndarray, (d, H, W)
        Null vectors, orthonormal on each part; of stacked fields what they add to the sum that is observed.
    parts : Parts
        The part of each pixel.
    domain : ndarray of bool, (H, W)
        Pixels that have a value.
    member : int
        Field that the first one belongs to, of stacked ones.
    observed : ndarray of bool, (H, W)
        Observed pixels.
    basis : ndarray, (d, m)
        Orthonormal basis of the images on these, on each part.
    logdet : float
        ``logdet(N_o^T N_o)``.
    """

    count: int
    images: FloatArray
    parts: Parts
    domain: BoolArray
    member: int
    observed: BoolArray
    basis: FloatArray
    logdet: float
    _rank: IntArray
    _seen_parts: Parts
    _mix: FloatArray

    @classmethod
    def of(cls, field: GMRF, observed: BoolArray, combination: FloatArray | None) -> "NullVectors":
        """Return the null vectors of a field, or of fields stacked per pixel whose weighted sum is observed.

        Raises
        ------
        ArgumentError
            If the observed pixels do not fix them.
        """
        V, member = field.null_vectors, 0
        if combination is not None and V.shape[1]:  # each belongs to one field
            member = int(V.tocsc().indices[0]) % len(combination)
            V = seen_of(V, combination)
        images, parts, rank = by_part(V)
        pixels = np.flatnonzero(observed)
        seen = parts.at(pixels)
        basis, triangles = seen.orthonormal(images[:, pixels], rank)
        pivots = np.abs(np.diagonal(triangles, axis1=1, axis2=2))
        wrong = pivots.min(axis=1, initial=1.0) < _COLLINEAR
        if wrong.any():
            raise UnfixedLevelError(_unfixed(parts, wrong, seen, V.shape[1], field.lattice))
        return cls(
            V.shape[1],
            images.reshape(-1, *observed.shape),
            parts,
            domain_of(field.lattice),
            member,
            observed,
            basis,
            2.0 * float(np.log(pivots).sum()),
            rank,
            seen,
            np.asarray(np.linalg.inv(triangles), dtype=np.float64),
        )

    def unfixed_without(self, held: BoolArray) -> BoolArray:
        """Return the pixels ``(H, W)`` of the parts whose null vectors are not fixed without pixels held out."""
        pixels = np.flatnonzero(self.observed & ~held)
        flat = self.images.reshape(len(self.images), -1)
        _, triangles = self.parts.at(pixels).orthonormal(flat[:, pixels], self._rank)
        wrong = np.abs(np.diagonal(triangles, axis1=1, axis2=2)).min(axis=1, initial=1.0) < _COLLINEAR
        return np.asarray(wrong[self.parts.labels].reshape(held.shape) & self.domain)

    @property
    def holds_constants(self) -> bool:
        """Whether a level is among them."""
        return bool(self.count) and bool(np.abs(self.remainder(np.ones((1, *self.observed.shape)))).max() < _COLLINEAR)

    def lifted(self, image: FloatArray, combination: FloatArray) -> FloatArray:
        """Return fields ``(H, W, C)`` that add up to an element ``(H, W)`` of the null space; zero if it has none."""
        fields = np.zeros((*image.shape, len(combination)))
        if self.count:
            fields[..., self.member] = image / combination[self.member]
        return fields

    def remainder(self, images: FloatArray) -> FloatArray:
        """Return what the null vectors leave of images ``(K, H, W)`` on the domain; zero outside."""
        if not self.count or not len(images):
            return np.where(self.domain, images, 0.0)
        flat = images.reshape(len(images), -1)
        own = np.where(self.domain, self.images, 0.0).reshape(len(self.images), -1)
        gram = self.parts.products(own, own)
        empty = np.diagonal(gram, axis1=1, axis2=2) == 0.0
        gram[:, range(len(own)), range(len(own))] += empty
        shares = np.linalg.solve(gram, self.parts.products(own, flat)).transpose(0, 2, 1)
        left = images - self.parts.combined(np.ascontiguousarray(shares), own).reshape(images.shape)
        return np.where(self.domain, left, 0.0)

    def seen(self, images: FloatArray) -> FloatArray:
        """Return what they leave of images ``(K, H, W)`` on the observed pixels, ``(m, K)``."""
        X = pixels_of(images, self.observed)
        if self.count:
            X = self._seen_parts.without(self.basis, X)
        return X.T

    def contrasts(self, values: FloatArray) -> FloatArray:
        """Return what they leave of values ``(m,)`` of the observed pixels."""
        return self._seen_parts.without(self.basis, values[np.newaxis])[0] if self.count else values

    def nearest(self, values: FloatArray) -> FloatArray:
        """Return the element ``(H, W)`` of the null space nearest to values ``(m,)`` of the observed pixels."""
        found: FloatArray = self._nearest(values[np.newaxis])[0]
        return found

    def without_their_part(self, images: FloatArray) -> FloatArray:
        """Return images less the combinations of null vectors nearest to them on the observed pixels."""
        if not self.count or not len(images):
            return images
        return np.asarray(images - self._nearest(pixels_of(images, self.observed)))

    def weighted_remainder(self, values: FloatArray, weight: FloatArray) -> FloatArray:
        """Return what they leave of values ``(K, m)`` of observed pixels of some weights, times the weights' roots."""
        root = np.sqrt(weight)
        if not self.count:
            return root * values
        basis, _ = self._seen_parts.orthonormal(root * self.basis, self._rank)
        return self._seen_parts.without(basis, root * values)

    def sees_like(self, other: "NullVectors", tolerance: float) -> bool:
        """Return whether what the two leave of the same observed pixels is the same."""
        if self.count != other.count or not np.array_equal(self._seen_parts.labels, other._seen_parts.labels):
            return False
        left = self._seen_parts.without(self.basis, other.basis) if self.count else other.basis
        return bool(np.linalg.norm(left) <= tolerance * np.linalg.norm(other.basis))

    def _nearest(self, values: FloatArray) -> FloatArray:
        """Return the elements ``(K, H, W)`` of the null space nearest to values ``(K, m)``."""
        shares = self._mix @ self._seen_parts.products(self.basis, values)
        flat = self.images.reshape(len(self.images), -1)
        found = self.parts.combined(np.ascontiguousarray(shares.transpose(0, 2, 1)), flat)
        return found.reshape(len(values), *self.observed.shape)


def domain_of(lattice: Lattice) -> BoolArray:
    """Return the pixels ``(H, W)`` that have a value: those at which all fields stacked there have one."""
    return np.asarray(lattice.domain if lattice.channels == 1 else lattice.domain.all(axis=-1))


def seen_of(V: sp.csr_array, combination: FloatArray) -> sp.csr_array:
    """Return what vectors of stacked fields, columns ``(n C, r)``, add to their weighted sum, ``(n, r)``."""
    total = sp.kron(sp.eye_array(V.shape[0] // len(combination)), combination[np.newaxis], format="csr")
    return sp.csr_array(total @ V)


def _unfixed(parts: Parts, wrong: BoolArray, seen: Parts, rank: int, lattice: Lattice) -> str:
    """Say what of the null space the observed pixels do not fix, and where."""
    count = len(seen.labels)
    if parts.count == 1:
        return (
            f"image must have enough observed pixels to fix the {rank} null vectors of the field, got "
            f"{count} observed; use a proper field, and in a sum of fields no two that are intrinsic."
        )
    first = int(np.flatnonzero(wrong)[0])
    pixels = np.flatnonzero((parts.labels == first) & domain_of(lattice).ravel())
    row, column = divmod(int(pixels[0]), lattice.shape[1])
    here = int(np.count_nonzero(seen.labels == first))
    more = int(np.count_nonzero(wrong)) - 1
    others = f", and so {more} more parts" if more > 1 else ", and so one more part" if more else ""
    return (
        f"image must have enough observed pixels to fix the level of the field on each of its {parts.count} connected "
        f"parts, got {here} on the part of {len(pixels)} pixels with pixel ({row}, {column}){others}: nothing says "
        "where it lies. Leave these pixels out of the model (mask= or barrier=), observe some, or use a proper field; "
        "of a sum one field can be intrinsic."
    )
