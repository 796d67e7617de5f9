"""Null space of a positive semi-definite precision: an orthonormal basis on each connected part of the lattice."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.restricted import check_uncoupled
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, IntArray

NAMES = ("constants", "planes")
TOLERANCE = 1e-10
"""Largest ``|Q v|`` of a null vector, relative to the norm of ``Q`` times the largest value of ``v``."""

_DEPENDENT = 1e-8
"""A vector that the ones before it leave less of than this share counts as dependent on them."""


@dataclass(frozen=True, eq=False)
class NullSpace:
    """Orthonormal basis ``V`` of the null space of ``Q``, with disjoint supports on parts that ``Q`` does not couple.

    Where ``Q v = 0``, each restriction of ``v`` to a connected part is in the null space too. So `d` images stand for
    up to `d` null vectors on every part, and ``V`` has at most `d` entries per unknown however many parts there are.

    Attributes
    ----------
    basis : ndarray, (d, n)
        Images that are orthonormal on each part; zero on a part where an image depends on those before it.
    labels : ndarray, (n,)
        Part to which each unknown belongs.
    columns : ndarray, (parts, d)
        Column of ``V`` made of basis image ``b`` on a part, -1 where there is none.
    lattice : Lattice
        The pixel grid, with the domain of the field.
    """

    basis: FloatArray
    labels: IntArray
    columns: IntArray
    lattice: Lattice

    @classmethod
    def of(
        cls, Q: SymmetricStencil, null_space: "str | ArrayLike" = "constants", domain: ArrayLike | None = None
    ) -> "NullSpace":
        """Split images that ``Q`` sends to zero into an orthonormal basis per connected part.

        Parameters
        ----------
        Q : SymmetricStencil
            Precision in 1/intensity^2, positive semi-definite.
        null_space : {"constants", "planes"} or array_like, (r, H, W) or (r, H, W, C)
            ``"constants"``: one constant per channel; ``"planes"``: also the images ``i`` and ``j``. Else images that
            span the null space on every connected part.
        domain : array_like of bool, (H, W) or (H, W, C), optional
            True where a pixel belongs to the field. ``Q`` must not couple the others to it.

        Raises
        ------
        ArgumentError
            If ``Q v`` is not zero for one of the images, `domain` has the wrong type or shape, or ``Q`` couples a
            pixel outside it.
        """
        if not isinstance(Q, SymmetricStencil):
            raise ArgumentError(
                f"Q must be a SymmetricStencil, got {type(Q).__name__}; read a sparse array with "
                "SymmetricStencil.from_csr."
            )
        lattice = Lattice(Q.shape, Q.channels, domain)
        check_uncoupled(Q, lattice)
        labels = _parts(Q)
        images = _images(Q, null_space).reshape(-1, lattice.size)
        images = np.where(lattice.outside, 0.0, images)
        _check_null(Q, images)
        basis, rank = _orthonormal(images, labels)
        present = np.arange(len(images)) < rank[:, np.newaxis]
        columns = np.where(present, np.cumsum(present).reshape(present.shape) - 1, -1)
        for array in (basis, labels, columns):
            array.flags.writeable = False
        return cls(basis, labels, columns, lattice)

    @classmethod
    def of_constants(cls, lattice: Lattice) -> "NullSpace":
        """Return the constants on a connected lattice with one unknown per pixel."""
        n = lattice.size
        basis, labels = np.full((1, n), 1.0 / np.sqrt(n)), np.zeros(n, dtype=np.int64)
        return cls(basis, labels, np.zeros((1, 1), dtype=np.int64), lattice)

    @property
    def rank(self) -> int:
        """Number of null vectors ``r``."""
        return int(np.count_nonzero(self.columns >= 0))

    @cached_property
    def vectors(self) -> sp.csr_array:
        """The orthonormal null vectors as columns, ``(n, r)``."""
        return self.spread(self.basis)

    def project(self, x: FloatArray) -> FloatArray:
        """Return ``(I - V V^T) x`` for ``(batch, n)``, zero outside the domain."""
        result: FloatArray = x - (self.vectors @ (self.vectors.T @ x.T)).T
        if not self.lattice.is_complete:
            result[:, self.lattice.outside] = 0.0
        return np.ascontiguousarray(result)

    def free(self) -> BoolArray:
        """Return which unknowns have a variance: those of parts with more unknowns than null vectors, in the domain.

        On a part with ``m`` unknowns and ``r`` null vectors an unknown is fixed where its row of ``V`` has norm 1.
        """
        leverage = np.einsum("dn,dn->n", self.basis, self.basis)
        free: BoolArray = ~self.lattice.outside & (leverage < 1.0 - _DEPENDENT)
        return free

    def spread(self, images: FloatArray) -> sp.csr_array:
        """Return the ``(n, r)`` matrix whose columns are the restrictions of `images` ``(d, n)`` to the parts."""
        if len(self.columns) == 1 and self.lattice.is_complete:  # every row is full
            kept = np.flatnonzero(self.columns[0] >= 0)
            index = np.int32 if images.size < np.iinfo(np.int32).max else np.int64
            ends = np.arange(images.shape[1] + 1, dtype=index) * index(len(kept))
            columns = np.tile(self.columns[0][kept].astype(index), images.shape[1])
            return sp.csr_array((images[kept].T.ravel(), columns, ends), shape=(images.shape[1], len(kept)))
        column = self.columns[self.labels].T
        image, row = np.nonzero((column >= 0) & ~self.lattice.outside)
        shape = (images.shape[1], self.rank)
        return sp.csr_array((images[image, row], (row, column[image, row])), shape=shape)

    def products(self, a: FloatArray, b: FloatArray) -> FloatArray:
        """Return the inner products of images ``(d, n)`` with images ``(e, n)`` on each part, ``(parts, d, e)``."""
        result = np.empty((len(self.columns), len(a), len(b)))
        for first in range(len(a)):
            for second in range(len(b)):
                result[:, first, second] = np.bincount(self.labels, a[first] * b[second], minlength=len(self.columns))
        return result

    def pins(self) -> IntArray:
        """Return as many unknowns ``S`` as null vectors, with ``V_S`` well conditioned: elimination by pivots.

        On each part the first pin is where the basis is largest, the next where it is largest once the first is
        projected out, and so on: for planes the corners of the image.
        """
        order = np.argsort(self.labels, kind="stable")
        part = self.labels[order]
        start = np.flatnonzero(np.diff(part, prepend=-1))
        rows = np.ascontiguousarray(self.basis.T[order])
        rank = np.count_nonzero(self.columns >= 0, axis=1)
        pins = []
        for step in range(len(self.basis)):
            square = np.einsum("nd,nd->n", rows, rows)
            largest = np.maximum.reduceat(square, start)
            hits = np.flatnonzero(square == largest[part])
            chosen = hits[np.unique(part[hits], return_index=True)[1]]
            active = rank > step
            pins.append(order[chosen[active]])
            direction = np.zeros((len(start), len(self.basis)))
            direction[active] = rows[chosen[active]] / np.sqrt(largest[active, np.newaxis])
            along = direction[part]
            rows -= np.einsum("nd,nd->n", rows, along)[:, np.newaxis] * along
        return np.sort(np.concatenate(pins)) if pins else np.empty(0, dtype=np.int64)


def _parts(Q: SymmetricStencil) -> IntArray:
    """Return the connected part of each unknown; a coefficient that is zero couples nothing."""
    if Q.is_homogeneous and Q.channels == 1:
        parts = Q.lattice.parts([Q.offsets[k] for k in range(len(Q.offsets)) if Q.coefficient(k)])
        if not (Q.is_wrapped and parts.any()):
            return parts.ravel()
    matrix = Q.tocsr()
    matrix.eliminate_zeros()
    return np.asarray(connected_components(matrix, directed=False)[1], dtype=np.int64)


def _images(Q: SymmetricStencil, null_space: "str | ArrayLike") -> FloatArray:
    """Return the images that a name stands for, or the images given, each scaled to a largest value of 1."""
    (height, width), channels = Q.shape, Q.channels
    if isinstance(null_space, str):
        if null_space not in NAMES:
            raise ArgumentError(f"null_space must be 'constants', 'planes' or images that span it, got {null_space!r}.")
        rows, columns = np.mgrid[:height, :width].astype(float)
        planes = [np.ones(Q.shape)]
        if null_space == "planes":
            planes += [rows - (height - 1) / 2.0, columns - (width - 1) / 2.0]
        images = np.array(planes)
        if channels > 1:
            images = (images[:, np.newaxis, ..., np.newaxis] * np.eye(channels)[:, np.newaxis, np.newaxis]).reshape(
                -1, *Q.lattice.image_shape
            )
    else:
        images = finite("null_space", real_array("null_space", null_space))
        if images.ndim == len(Q.lattice.image_shape):
            images = images[np.newaxis]
        if images.shape[1:] != Q.lattice.image_shape:
            raise ArgumentError(
                f"null_space must hold images of shape {Q.lattice.image_shape} along its first axis, got shape "
                f"{images.shape}."
            )
    largest = np.abs(images).max(axis=tuple(range(1, images.ndim)), keepdims=True, initial=0.0)
    used = np.flatnonzero(largest > 0.0)
    scaled: FloatArray = images[used] / largest[used]
    return scaled


def _check_null(Q: SymmetricStencil, images: FloatArray) -> None:
    """Refuse images that ``Q`` does not send to zero."""
    norm = largest_row(Q, Q.lattice)
    for image in images:
        product = np.abs(Q @ image.reshape(Q.lattice.image_shape)).ravel()
        worst = int(np.argmax(product))
        if product[worst] > TOLERANCE * norm:
            pixel = Q.lattice.pixel(worst // Q.channels)
            raise ArgumentError(
                f"null_space must be sent to zero by the precision, but Q v reaches {product[worst]:.3g} at pixel "
                f"{pixel} for an image v of largest value 1 (allowed: {TOLERANCE * norm:.3g}); a precision without "
                "this null vector goes to GMRF, or correct the coefficients at the border."
            )


def largest_row(Q: SymmetricStencil, lattice: Lattice) -> float:
    """Return an upper bound of the largest absolute row sum of ``Q``, without the rows of unknowns outside the domain.

    Those may be rows of the identity, whose ones say nothing of the field.
    """
    if not lattice.is_complete:
        kept = lattice.domain.reshape(*Q.shape, Q.channels)
        planes = (Q.plane(k).reshape(*kept.shape, Q.channels)[kept] for k in range(len(Q.offsets)))
        largest = [float(np.abs(plane).max(initial=0.0)) for plane in planes]
    else:
        largest = [float(np.abs(Q.pool.coefficient(k, Q.lattice)).max()) for k in range(len(Q.offsets))]
    return Q.channels * (largest[0] + 2.0 * sum(largest[1:]))


def _orthonormal(images: FloatArray, labels: IntArray) -> tuple[FloatArray, IntArray]:
    """Return images orthonormal on each part, those that are present first, and how many there are per part."""
    parts = int(labels.max()) + 1
    rank = np.zeros(parts, dtype=np.int64)
    basis = np.zeros_like(images)
    for image in images:
        before = np.sqrt(np.bincount(labels, image * image, minlength=parts))
        left = image.copy()
        for _ in range(2):  # once more, so that rounding leaves the basis orthogonal
            for done in basis:
                left -= np.bincount(labels, left * done, minlength=parts)[labels] * done
        after = np.sqrt(np.bincount(labels, left * left, minlength=parts))
        fresh = after > _DEPENDENT * before
        scale = np.where(fresh, 1.0 / np.where(fresh, after, 1.0), 0.0)
        left *= scale[labels]
        # The new vector of a part takes the first place that is free there.
        for place in np.unique(rank[fresh]).tolist():
            here = (fresh & (rank == place))[labels]
            basis[place][here] = left[here]
        rank[fresh] += 1
    return basis, rank
