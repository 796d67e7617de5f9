"""Inner products and combinations of images on each of several parts of them by itself."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sparsegmrf.inference._combinations import combined, products
from sparsegmrf.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Parts:
    """Sets of pixels on which vectors are taken by themselves: with one set they are plain vectors.

    Attributes
    ----------
    labels : ndarray of int, (m,)
        Part of each pixel.
    count : int
        Number of parts.
    """

    labels: IntArray
    count: int

    def at(self, pixels: IntArray) -> "Parts":
        """Return the parts of some pixels."""
        return Parts(self.labels[pixels], self.count)

    def members(self) -> list[IntArray]:
        """Return the pixels of each part."""
        ends = np.cumsum(np.bincount(self.labels, minlength=self.count))[:-1]
        return np.split(np.argsort(self.labels, kind="stable"), ends)

    def products(self, a: FloatArray, b: FloatArray) -> FloatArray:
        """Return the inner products ``(count, p, q)`` of vectors ``(p, m)`` and ``(q, m)``."""
        if self.count == 1:
            return products(a, b)[np.newaxis]
        found = np.empty((self.count, len(a), len(b)))
        for i, j in np.ndindex(found.shape[1:]):
            found[:, i, j] = np.bincount(self.labels, a[i] * b[j], minlength=self.count)
        return found

    def combined(self, weights: FloatArray, vectors: FloatArray) -> FloatArray:
        """Return ``sum_k w_k x_k``, vectors ``(q, m)``, of vectors ``(p, m)`` with weights ``(count, q, p)``."""
        if self.count == 1:
            return combined(weights[0], vectors)
        found = np.zeros((weights.shape[1], vectors.shape[1]))
        for k, vector in enumerate(vectors):
            found += weights[self.labels, :, k].T * vector
        return found

    def without(self, basis: FloatArray, vectors: FloatArray) -> FloatArray:
        """Return vectors ``(q, m)`` less their part in the span of vectors ``(p, m)`` orthonormal on each part."""
        return vectors - self.combined(self.products(vectors, basis), basis)

    def orthonormal(self, vectors: FloatArray, rank: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return ``Q`` and triangles ``R`` with ``V = Q R`` on each part, of its first `rank` vectors ``(p, m)``.

        Other vectors are zero in ``Q``, ``(p, m)``, and have the rows of the identity in ``R``, ``(count, p, p)``; so
        have those of a part with fewer pixels than vectors, whose diagonal is zero.
        """
        basis, triangles = np.zeros_like(vectors), np.tile(np.eye(len(vectors)), (self.count, 1, 1))
        for number, (pixels, count) in enumerate(zip(self.members(), rank.tolist(), strict=True)):
            if len(pixels) < count:
                triangles[number, range(count), range(count)] = 0.0
                continue
            q, r = np.linalg.qr(vectors[:count, pixels].T)
            basis[:count, pixels], triangles[number, :count, :count] = q.T, r
        return basis, triangles


def by_part(V: sp.csr_array) -> tuple[FloatArray, Parts, IntArray]:
    """Return vectors, columns ``(n, r)``, as few images ``(d, n)``, their parts, and how many vectors each part has.

    Vectors that have a pixel in common are on one part. A pixel of none is counted to the first, all images being zero.
    """
    n, r = V.shape
    columns = V.tocsc()
    columns.eliminate_zeros()
    touching = abs(columns.T) @ abs(columns)
    count, part = connected_components(touching, directed=False) if r else (1, np.zeros(0, dtype=np.int64))
    place = np.zeros(r, dtype=np.int64)  # of each vector among those of its part
    order = np.argsort(part, kind="stable")
    rank = np.bincount(part, minlength=count)
    place[order] = np.arange(r) - np.repeat(np.cumsum(rank) - rank, rank)
    images, labels = np.zeros((int(rank.max(initial=0)), n)), np.zeros(n, dtype=np.int64)
    entries = columns.tocoo()
    images[place[entries.col], entries.row] = entries.data
    labels[entries.row] = part[entries.col]
    return images, Parts(labels, count), rank
