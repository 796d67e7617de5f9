"""Symmetric stencils: a precision (or covariance) matrix as planes on the centre and the later offsets."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import scipy.sparse as sp

from sparsegmrf import _frozen, _threads
from sparsegmrf._edges import as_boundary, cut_off, has, wraps
from sparsegmrf._validate import finite, finite_number, images, read_only, real_array
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.kernels import stencil_product
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import _assembly
from sparsegmrf.stencil._boundary import check_neumann
from sparsegmrf.stencil._coefficients import (
    Pool,
    as_coefficient,
    block_shape,
    freeze,
    pool_of_planes,
    pooled,
    symmetric_blocks,
)
from sparsegmrf.stencil._offsets import as_offsets, check_later, raster_order
from sparsegmrf.stencil._planes import SymmetricPlanes, combined
from sparsegmrf.typing import ArrayLike, Boundary, FloatArray, IntArray, Offsets, Shape

_PIXELS = 2**16


class SymmetricStencil(SymmetricPlanes):
    """Symmetric sparse matrix on a lattice, given by its rows' centre and later neighbours.

    ``Q[p, p + o_k]`` is coefficient ``k`` at pixel ``p``, and ``Q[p + o_k, p]`` its transpose. A coefficient that
    points off the image is ignored: the end of a row is never coupled to the start of the next.

    Parameters
    ----------
    offsets : sequence of (int, int)
        ``(di, dj)`` in pixels: the centre ``(0, 0)`` and offsets later in raster order, in any order.
    coefficients : sequence
        Per offset a number, a ``(C, C)`` block, an ``(H, W)`` plane, or an ``(H, W, C, C)`` plane of blocks; in units
        of 1/intensity^2 for a precision. They are copied.
    shape : (int, int)
        Height and width in pixels.
    channels : int
        Unknowns per pixel ``C``.
    boundary : {"dirichlet", "neumann", "torus"} or (str, str)
        ``"dirichlet"`` cuts the stencil off at the border; ``"neumann"`` adds the coefficient of each missing neighbour
        to the centre (needs coefficients that are shared by all pixels, except the centre's); ``"torus"`` wraps. A pair
        is for rows and columns: ``("neumann", "torus")`` is a cylinder, whose last column is next to the first. A
        neighbour that leaves across a side without flux is missing, whatever the other side's rule.

    Raises
    ------
    StencilError
        If the centre is missing, an offset is earlier in raster order or repeated, a coefficient has the wrong shape,
        a centre block is not symmetric to 1e-12 of the largest (rounding below that is averaged out), or a neighbour
        coefficient that is per pixel or not symmetric is combined with ``"neumann"``.
    ArgumentError
        If a coefficient that is on the image is NaN or infinite, or `shape` is not a shape.

    Examples
    --------
    >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (2, 3), boundary="neumann")
    >>> stencil.tocsr().toarray()[0].round(2).tolist()
    [2.1, -1.0, 0.0, -1.0, 0.0, 0.0]
    """

    def __init__(
        self,
        offsets: Offsets,
        coefficients: Sequence[ArrayLike] | FloatArray,
        shape: Shape,
        *,
        channels: int = 1,
        boundary: Boundary = "dirichlet",
    ) -> None:
        lattice = Lattice(shape, channels)
        given = as_offsets(offsets)
        check_later(given)
        if len(coefficients) != len(given):
            raise StencilError(f"coefficients must have one entry per offset ({len(given)}), got {len(coefficients)}.")
        order = raster_order(given)
        named = [as_coefficient(f"coefficients[{k}]", coefficients[k], lattice) for k in order]
        self._offsets, self._lattice = read_only(given[order]), lattice
        self._boundary, self._pool = as_boundary("boundary", boundary), pooled(named, lattice)
        self._check_values(order)

    @classmethod
    def from_planes(
        cls, offsets: Offsets, planes: ArrayLike, *, boundary: Boundary = "dirichlet"
    ) -> "SymmetricStencil":
        """Return the matrix whose entries ``Q[p, p + o_k]`` are given as planes, such as covariances.

        Parameters
        ----------
        offsets : sequence of (int, int)
            As for the constructor.
        planes : array_like, (K, H, W) or (K, H, W, C, C)
            One plane per offset, in 1/intensity^2 for a precision; copied. What points off the image is ignored.
        boundary : {"dirichlet", "torus"} or (str, str)
            Whether the image is cut off at its border or wraps; a pair for rows and columns.

        Raises
        ------
        StencilError
            As for the constructor.
        ArgumentError
            If `planes` has another number of axes, or an entry on the image is NaN or infinite.

        Examples
        --------
        >>> Q = SymmetricStencil.from_planes([(0, 0), (0, 1)], [[[2.0, 3.0]], [[-1.0, 0.0]]])
        >>> Q.tocsr().toarray().tolist()
        [[2.0, -1.0], [-1.0, 3.0]]
        """
        array = real_array("planes", planes)
        if array.ndim not in (3, 5) or array.shape[3:4] != array.shape[4:5]:
            raise ArgumentError(f"planes must have shape (K, H, W) or (K, H, W, C, C), got {array.shape}.")
        boundary = as_boundary("boundary", boundary, ("dirichlet", "torus"))
        channels = array.shape[3] if array.ndim == 5 else 1
        if channels == 1:
            array = array.reshape(array.shape[:3])
        return cls(offsets, array, (array.shape[1], array.shape[2]), channels=channels, boundary=boundary)

    @classmethod
    def _from_planes(
        cls, offsets: IntArray, planes: FloatArray, lattice: Lattice, boundary: Boundary = "dirichlet"
    ) -> "SymmetricStencil":
        """Wrap planes ``(K, H, W[, C, C])`` that were just made, without copy or check; zero off the image."""
        pool = pool_of_planes(planes, lattice)
        return _frozen.make(cls, _offsets=read_only(offsets), _pool=pool, _lattice=lattice, _boundary=boundary)

    @classmethod
    def from_csr(
        cls, Q: sp.sparray | sp.spmatrix, shape: Shape, *, channels: int = 1, reach: int = 5
    ) -> "SymmetricStencil":
        """Read a symmetric sparse matrix whose entries couple near pixels only.

        The upper triangle is taken. An offset whose entries are all equal is stored as one shared coefficient; entries
        stored as zero do not couple pixels.

        Parameters
        ----------
        Q : scipy.sparse array or matrix, (H*W*C, H*W*C)
            Symmetric, pixel-major; any format and index type. Repeated entries are summed.
        shape : (int, int)
            Height and width in pixels.
        channels : int
            Unknowns per pixel.
        reach : int
            Largest row or column distance in pixels that still counts as a stencil; a wider entry, such as the one
            that couples the end of a row to the start of the next, is refused.

        Raises
        ------
        StencilError
            If `Q` has another size, is not symmetric to 1e-12 of its largest entry, or couples pixels farther apart
            than `reach`; the message names the first offending pair.
        ArgumentError
            If an entry is NaN or infinite.

        Examples
        --------
        >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (2, 3))
        >>> SymmetricStencil.from_csr(stencil.tocsr(), (2, 3)).is_homogeneous
        True
        """
        lattice = Lattice(shape, channels)
        offsets, coefficients = _assembly.coefficients_of(Q, lattice, reach)
        return cls(offsets, coefficients, shape, channels=channels)

    def _check_values(self, order: IntArray) -> None:
        lattice = self._lattice
        self._pool.values.flags.writeable = True
        for k in range(len(self._offsets)):
            coefficient = self._pool.coefficient(k, lattice)
            if self._pool.step[k]:
                self._drop_off_image(coefficient, k)
            finite(f"coefficients[{order[k]}]", coefficient)
        if lattice.channels > 1:
            centre = self._pool.coefficient(0, lattice)
            centre[...] = symmetric_blocks(f"coefficients[{order[0]}], the centre,", centre)
        self._pool.values.flags.writeable = False
        if has(self._boundary, "neumann"):
            check_neumann(self._pool, [f"coefficients[{k}]" for k in order], lattice)

    def tocsr(self) -> sp.csr_array:
        """Assemble the matrix.

        Returns
        -------
        scipy.sparse.csr_array, (H*W*C, H*W*C)
            With sorted column indices, int32 while they fit and int64 beyond; the pattern is kept where a coefficient
            is zero.
        """
        matrix = self._wrapped_csr()
        if len(set(wraps(self._boundary))) == 1:
            return matrix
        ones = [np.ones((*self.shape, *block_shape(self._lattice)))] * len(self._offsets)
        coupled = SymmetricStencil(
            self._offsets, ones, self.shape, channels=self.channels, boundary=cut_off(self._boundary)
        )
        return _assembly.entries(matrix, coupled._wrapped_csr().data > 0.0)

    def _wrapped_csr(self) -> sp.csr_array:
        """Assemble the matrix; where one axis wraps with zeros for what would wrap around the other."""
        later = np.arange(len(self._offsets), dtype=np.int64)
        source = np.concatenate([later[:0:-1], later])
        mirrored = np.arange(len(source)) < len(later) - 1
        offsets = np.where(mirrored[:, np.newaxis], -self._offsets[source], self._offsets[source])
        terms = _assembly.Terms.of(offsets, self.pool, source, mirrored)
        return _assembly.assemble(self._lattice, terms, self.pool.values, torus=self.is_wrapped)

    def __matmul__(self, x: ArrayLike) -> FloatArray:
        """Return ``Q x`` for images ``(..., H, W)`` or ``(..., H, W, C)`` without forming the matrix."""
        array = images("x", x, self._lattice.image_shape)
        flat = array.reshape(-1, self._lattice.size)
        result = np.empty_like(flat)
        (height, width), channels, torus = self.shape, self.channels, self.is_wrapped
        offsets, pool = self._offsets, self.pool

        def multiply(item_first: int, item_last: int, first: int, last: int) -> None:
            x, y = flat[item_first:item_last], result[item_first:item_last]
            if channels == 1:
                kernel = stencil_product.multiply_torus_rows if torus else stencil_product.multiply_rows
                kernel(first, last, height, width, offsets, pool.start, pool.step, pool.values, x, y)
            else:
                stencil_product.multiply_block_rows(
                    first, last, height, width, channels, torus, offsets, pool.start, pool.step, pool.values, x, y
                )

        items = _threads.ranges(len(flat), max(1, _PIXELS // self._lattice.n_pixels))
        rows = _threads.ranges(height, _threads.rows_per_task(width))
        _threads.run([partial(multiply, *item, *row) for item in items for row in rows])
        return result.reshape(array.shape)

    def plus_diagonal(self, value: ArrayLike) -> "SymmetricStencil":
        """Return ``Q + diag(value)``, for instance the precision after observing some pixels.

        Parameters
        ----------
        value : float or array_like, (H, W) or (H, W, C)
            What is added to the diagonal, in the matrix's units.

        Returns
        -------
        SymmetricStencil
            With the same boundary rule; coefficients that were shared stay shared, except the centre's under an image.

        Raises
        ------
        ArgumentError
            If `value` is not finite or neither a number nor one image.

        Examples
        --------
        >>> stencil = SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 3))
        >>> stencil.plus_diagonal([[1.0, 0.0, 0.0]]).diagonal().tolist()
        [[3.0, 2.0, 2.0]]
        """
        lattice = self._lattice
        added = finite("value", real_array("value", value))
        if added.shape not in ((), lattice.image_shape):
            raise ArgumentError(
                f"value must be a number or an image of shape {lattice.image_shape}, got {added.shape}."
            )
        if self.channels > 1:
            added = added[..., np.newaxis] * np.eye(self.channels)
        rest = [self.coefficient(k) for k in range(1, len(self._offsets))]
        return self._with_pool(pooled([self.coefficient(0) + added, *rest], lattice))

    def inner(self, other: "SymmetricStencil") -> float:
        """Return ``trace(Q S)``, the sum over all matrix entries of ``Q * S``.

        With ``S`` a selected inverse and ``Q`` the derivative of a precision this is the trace in the gradient of a
        log-likelihood.

        Parameters
        ----------
        other : SymmetricStencil
            ``S`` on the same lattice, with all offsets of this stencil: an offset that a selected inverse lacks is
            unknown, not zero. Where a torus is so small that offsets meet at one pixel, each plane of ``S`` is read
            as the matrix entry it stands at, as a selected inverse means it.

        Raises
        ------
        ArgumentError
            If `other` is on another lattice, or they do not wrap alike.
        StencilError
            If `other` lacks an offset of this stencil.

        Examples
        --------
        >>> Q = SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 3))
        >>> Q.inner(Q)
        16.0
        """
        self._check_partner(other)
        place = {other._offset(k): k for k in range(len(other._offsets))}
        missing = [self._offset(k) for k in range(len(self._offsets)) if self._offset(k) not in place]
        if missing:
            raise StencilError(
                f"other must have every offset of this stencil, got none at {missing[0]}; call inner on the stencil "
                "with fewer offsets, or take the selected inverse of a precision that has this offset."
            )
        terms = [self._inner_term(k, other, place[self._offset(k)]) for k in range(len(self._offsets))]
        return float(terms[0] + 2.0 * sum(terms[1:]))

    def __mul__(self, factor: float) -> "SymmetricStencil":
        """Return ``factor * Q`` for a finite number."""
        number = finite_number("factor", factor)
        pool = self._pool
        return self._with_pool(freeze(Pool(number * pool.values, pool.start, pool.step)))

    __rmul__ = __mul__
    __array_ufunc__ = None  # so that a NumPy number on the left leaves the product to __rmul__

    def __add__(self, other: "SymmetricStencil") -> "SymmetricStencil":
        """Return ``Q + R`` for a stencil on the same lattice; what all pixels share in both stays shared.

        Raises
        ------
        ArgumentError
            If `other` is no stencil, is on another lattice, or they do not wrap alike.

        Examples
        --------
        >>> Q = SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 3))
        >>> (Q + 0.5 * Q).diagonal().tolist()
        [[3.0, 3.0, 3.0]]
        """
        return self._combination([1.0, 1.0], [self, other])

    def __sub__(self, other: "SymmetricStencil") -> "SymmetricStencil":
        """Return ``Q - R``, as for ``Q + R``."""
        return self._combination([1.0, -1.0], [self, other])

    def __neg__(self) -> "SymmetricStencil":
        """Return ``-Q``."""
        return -1.0 * self

    def __repr__(self) -> str:
        kind = "homogeneous" if self.is_homogeneous else "per pixel"
        return (
            f"SymmetricStencil({len(self._offsets)} offsets, shape={self.shape}, channels={self.channels}, "
            f"boundary={self._boundary!r}, {kind})"
        )

    @classmethod
    def _combination(cls, numbers: Sequence[float], stencils: Sequence["SymmetricStencil"]) -> "SymmetricStencil":
        """Return ``sum_m numbers[m] stencils[m]``; what is shared by all pixels in every term stays shared."""
        first = stencils[0]
        offsets, coefficients, shared = combined(numbers, stencils)
        if shared:
            return cls(offsets, coefficients, first.shape, channels=first.channels, boundary=first.boundary)
        return cls._from_planes(offsets, coefficients, first.lattice, cut_off(first.boundary))

    def _with_planes(self, planes: FloatArray) -> "SymmetricStencil":
        """Wrap planes ``(K, H, W[, C, C])`` as `_from_planes` does, on the offsets of this stencil."""
        return self._from_planes(self._offsets, planes, self._lattice, cut_off(self._boundary))

    def _with_pool(self, pool: Pool) -> "SymmetricStencil":
        same = {"_offsets": self._offsets, "_lattice": self._lattice, "_boundary": self._boundary}
        return _frozen.make(type(self), _pool=pool, **same)
