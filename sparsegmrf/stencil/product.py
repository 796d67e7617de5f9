"""Products of symmetric stencils, exact up to the border."""

from functools import partial

import numpy as np

from sparsegmrf import _threads
from sparsegmrf._edges import cut_off
from sparsegmrf._validate import read_only
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.kernels import symmetric_product
from sparsegmrf.lattice import at_neighbours
from sparsegmrf.stencil._offsets import distinct_offsets, raster_sign
from sparsegmrf.stencil.symmetric import SymmetricStencil
from sparsegmrf.typing import FloatArray, IntArray


def product(A: SymmetricStencil, B: SymmetricStencil, *, commute: bool = False) -> SymmetricStencil:
    """Multiply two symmetric stencils: ``(A B + B A) / 2``, which is ``A B`` where they commute.

    Powers of one stencil commute, and with ``K`` and its derivative ``E``: ``d(K^2) = 2 product(K, E)``.

    Parameters
    ----------
    A, B : SymmetricStencil
        On the same lattice with one unknown per pixel, that wrap alike.
    commute : bool
        Whether the caller knows that ``A B = B A``, as for powers of one stencil; halves the work.

    Returns
    -------
    SymmetricStencil
        With a plane per sum of two offsets: near the border the product differs from pixel to pixel even where both
        factors are homogeneous, and pixels that do not feel the border have equal numbers, bit by bit. On a torus the
        product of homogeneous stencils is homogeneous.

    Raises
    ------
    StencilError
        If there are several unknowns per pixel.
    ArgumentError
        If the lattices differ, or they do not wrap alike.

    Examples
    --------
    >>> G = SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 4), boundary="neumann")
    >>> product(G, G).tocsr().toarray().tolist()[:2]
    [[2.0, -3.0, 1.0, 0.0], [-3.0, 6.0, -4.0, 1.0]]
    """
    _check(A, B)
    torus = A.is_wrapped
    ours, theirs = _terms(A), _terms(B)
    offsets, triples = _sums(ours, theirs)
    if A.boundary == "torus" and A.is_homogeneous and B.is_homogeneous:
        weights = A.pool.values[ours[triples[:, 1], 2]] * B.pool.values[theirs[triples[:, 2], 2]]
        total = np.bincount(triples[:, 0], weights).astype(np.float64)
        return SymmetricStencil(offsets, total, A.shape, boundary="torus")
    height, width = A.shape
    planes = np.zeros((len(offsets), height * width))
    add = symmetric_product.add_rows_on_torus if torus else symmetric_product.add_rows
    rows = _threads.ranges(height, _threads.rows_per_task(width))

    def add_product(
        triples: IntArray, left: IntArray, X: SymmetricStencil, right: IntArray, Y: SymmetricStencil, scale: float
    ) -> None:
        def fill(first: int, last: int) -> None:
            add(first, last, height, width, scale, triples, left, X.pool.values, right, Y.pool.values, planes)

        _threads.run([partial(fill, *each) for each in rows])

    if A is B or commute:
        add_product(triples, ours, A, theirs, B, 1.0)
    else:
        add_product(triples, ours, A, theirs, B, 0.5)
        add_product(_sums(theirs, ours)[1], theirs, B, ours, A, 0.5)
    return SymmetricStencil._from_planes(
        offsets, planes.reshape(len(offsets), height, width), A.lattice, cut_off(A.boundary)
    )


def power(A: SymmetricStencil, exponent: int) -> SymmetricStencil:
    """Return ``A^exponent`` for an exponent of at least 1, by repeated squaring."""
    if exponent < 1:
        raise ArgumentError(f"exponent must be at least 1, got {exponent}.")
    if exponent == 1:
        return A
    half = power(A, exponent // 2)
    square = product(half, half)
    return square if exponent % 2 == 0 else product(square, A, commute=True)


def triple_product(A: SymmetricStencil, C: SymmetricStencil, B: SymmetricStencil) -> SymmetricStencil:
    """Return ``(A C B + B C A) / 2``; with ``A = B`` this is ``A C A``, with a diagonal ``C`` a weighted square."""
    return product(product(A, C), B) + product(product(B, C), A) - product(product(A, B), C)


def power_derivative(A: SymmetricStencil, E: SymmetricStencil, exponent: int) -> SymmetricStencil:
    """Return the derivative ``sum_i A^i E A^(exponent - 1 - i)`` of ``A^exponent`` in the direction ``E``."""
    if exponent == 1:
        return E
    lower = power_derivative(A, E, exponent - 1)
    return product(E, power(A, exponent - 1)) + product(A, lower)


def rescaled(Q: SymmetricStencil, scale: FloatArray) -> SymmetricStencil:
    """Return ``T Q T`` with ``T`` the diagonal matrix of an image `scale`, ``(H, W)``."""
    planes = np.stack([Q.plane(k) for k in range(len(Q.offsets))])
    for plane, (di, dj) in zip(planes, Q.offsets.tolist(), strict=True):
        plane *= scale
        plane *= at_neighbours(scale, (di, dj))  # off the image the plane is zero, whatever stands here
    return Q._with_planes(planes)


def weighted(Q: SymmetricStencil, weight: FloatArray) -> SymmetricStencil:
    """Return ``(D Q + Q D) / 2`` with the diagonal matrix ``D`` of an image, ``(H, W)``, or of a number."""
    if not weight.ndim:
        return Q * float(weight)
    planes = np.stack([Q.plane(k) for k in range(len(Q.offsets))])
    for plane, (di, dj) in zip(planes, Q.offsets.tolist(), strict=True):
        plane *= 0.5 * (weight + at_neighbours(weight, (di, dj)))  # off the image the plane is zero
    return Q._with_planes(planes)


def diagonal_stencil(value: FloatArray | float, like: SymmetricStencil) -> SymmetricStencil:
    """Return the diagonal matrix of a number or an image on the lattice of another stencil."""
    return SymmetricStencil([(0, 0)], [value], like.shape, boundary=like.boundary)


def _check(A: SymmetricStencil, B: SymmetricStencil) -> None:
    A._check_partner(B)
    if A.channels > 1:
        raise StencilError(f"stencils must have one unknown per pixel to be combined, got {A.channels}.")


def _terms(A: SymmetricStencil) -> IntArray:
    """Return ``(di, dj, start, step, mirrored)`` of all neighbours on both sides."""
    own = np.column_stack([A.offsets, A.pool.start, A.pool.step, np.zeros(len(A.offsets), dtype=np.int64)])
    mirrored = own[1:] * [-1, -1, 1, 1, 1] + [0, 0, 0, 0, 1]
    return read_only(np.vstack([own, mirrored]).astype(np.int64))


def _sums(ours: IntArray, theirs: IntArray) -> tuple[IntArray, IntArray]:
    """Return the later offsets of the product, and the triples that make them, in an order that is fixed."""
    a, b = (index.ravel() for index in np.mgrid[: len(ours), : len(theirs)])
    total = ours[a, :2] + theirs[b, :2]
    kept = raster_sign(total) >= 0
    offsets, k = distinct_offsets(total[kept])
    triples = np.column_stack([k, a[kept], b[kept]])
    return offsets, read_only(triples[np.argsort(k, kind="stable")].astype(np.int64))
