"""Symmetric matrices as planes: what is read off a stencil's coefficients, offset by offset."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from sparsegmrf._edges import along, has, wraps
from sparsegmrf._validate import finite, real_array
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.stencil._boundary import neumann_centre
from sparsegmrf.stencil._coefficients import Pool, block_shape, drop_off_image, pooled
from sparsegmrf.stencil._offsets import distinct_offsets
from sparsegmrf.stencil._stencil import Stencil
from sparsegmrf.stencil.symbol import lowest, symbol_at
from sparsegmrf.typing import ArrayLike, Boundary, FloatArray, IntArray, Offset


class SymmetricPlanes(Stencil):
    """Centre and later offsets in raster order with their coefficients, and the rule at the border."""

    _boundary: Boundary

    @property
    def boundary(self) -> Boundary:
        """The rule at the border, or the (rows, columns) pair of rules."""
        return self._boundary

    @cached_property
    def pool(self) -> Pool:
        """Coefficients as kernels read them, with the boundary rule worked into the centre; read-only."""
        pool, lattice = self._pool, self._lattice
        if has(self._boundary, "neumann"):
            rest = [pool.coefficient(k, lattice) for k in range(1, len(self._offsets))]
            pool = pooled([neumann_centre(pool, self._offsets, lattice, self._boundary), *rest], lattice)
        if len(set(wraps(self._boundary))) == 1:
            return pool
        # Kernels wrap both axes or none: what crosses the closed one has the coefficient zero.
        return pooled([self._on_image(pool.coefficient(k, lattice), k) for k in range(len(self._offsets))], lattice)

    @property
    def is_wrapped(self) -> bool:
        """Whether rows or columns wrap."""
        return has(self._boundary, "torus")

    def coefficient(self, k: int) -> FloatArray:
        """Return coefficient `k` as given: a number, block, plane or plane of blocks (read-only view)."""
        return self._pool.coefficient(k, self._lattice)

    def plane(self, k: int) -> FloatArray:
        """Return ``Q[p, p + o_k]`` as a plane, ``(H, W)`` or ``(H, W, C, C)``; zero where it points off the image."""
        plane = self._on_image(self.pool.coefficient(k, self._lattice), k)
        return np.array(np.broadcast_to(plane, (*self.shape, *block_shape(self._lattice))))

    def diagonal(self) -> FloatArray:
        """Return the diagonal as an image ``(H, W)`` or ``(H, W, C)``, without what a small torus folds onto it."""
        centre = self.plane(0)
        return centre if self.channels == 1 else np.ascontiguousarray(np.diagonal(centre, axis1=-2, axis2=-1))

    def symbol(self, frequencies: ArrayLike) -> FloatArray:
        """Return ``q(w) = q_0 + 2 sum_k q_k cos(o_k . w)`` of a homogeneous stencil; the boundary rule plays no part.

        It is evaluated as ``q(0) - 4 sum_k q_k sin^2(o_k . w / 2)``, which loses no digits near frequency zero.

        Parameters
        ----------
        frequencies : array_like, (..., 2)
            Row and column frequency in radians per pixel.

        Returns
        -------
        ndarray, (...)
            In the units of the coefficients.

        Raises
        ------
        StencilError
            If a coefficient is per pixel, or there are several unknowns per pixel.
        ArgumentError
            If the frequencies are not finite pairs.

        Examples
        --------
        >>> from sparsegmrf import SymmetricStencil
        >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (8, 8))
        >>> stencil.symbol([[0.0, 0.0], [3.141592653589793, 0.0]]).round(9).tolist()
        [0.1, 4.1]
        """
        offsets, weights = self._homogeneous_terms()
        points = finite("frequencies", real_array("frequencies", frequencies))
        if points.ndim == 0 or points.shape[-1] != 2:
            raise ArgumentError(
                f"frequencies must have shape (..., 2), row and column frequency last, got {points.shape}."
            )
        return symbol_at(offsets, weights, points[..., 0], points[..., 1])

    def min_symbol(self) -> float:
        """Return the smallest value of the symbol over all frequencies.

        A stencil that is cut off by the border is positive definite on every lattice if this is positive, and on some
        large enough lattice only if it is not negative.

        Returns
        -------
        float
            In the units of the coefficients, to rounding: the lowest points of a grid finer than the shortest wave are
            polished by Newton's method.

        Raises
        ------
        StencilError
            If a coefficient is per pixel, or there are several unknowns per pixel.

        Examples
        --------
        >>> from sparsegmrf import SymmetricStencil
        >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (8, 8))
        >>> round(stencil.min_symbol(), 12)
        0.1
        """
        return lowest(*self._homogeneous_terms())

    def _homogeneous_terms(self) -> tuple[IntArray, FloatArray]:
        """Return offsets ``(K, 2)`` and numbers ``(K,)`` of a homogeneous stencil with one unknown per pixel."""
        if not self.is_homogeneous or self.channels > 1:
            kind = f"{self.channels} unknowns per pixel" if self.channels > 1 else "a coefficient per pixel"
            raise StencilError(f"a symbol needs one shared number per offset, got {kind}.")
        return self.offsets, np.array([float(self.coefficient(k)) for k in range(len(self.offsets))])

    def _check_partner(self, other: "SymmetricPlanes") -> None:
        if not isinstance(other, SymmetricPlanes):
            raise ArgumentError(
                f"other must be a SymmetricStencil, got {type(other).__name__}; plus_diagonal adds to the diagonal."
            )
        if other._lattice != self._lattice:
            raise ArgumentError(
                f"other must be on the lattice of this stencil, {self.shape} with channels={self.channels}, got "
                f"{other.shape} with channels={other.channels}."
            )
        if wraps(self._boundary) != wraps(other._boundary):
            raise ArgumentError(f"other must have the boundary {self._boundary!r}, got {other._boundary!r}.")

    def _inner_term(self, k: int, other: "SymmetricPlanes", other_k: int) -> float:
        """Sum the products of two coefficients over the pixels whose neighbour exists."""
        pair = (self.pool.coefficient(k, self._lattice), other.pool.coefficient(other_k, self._lattice))
        block, pixels = block_shape(self._lattice), self._pixels(k)
        count = len(range(*pixels[0].indices(self.shape[0]))) * len(range(*pixels[1].indices(self.shape[1])))
        if all(coefficient.ndim == len(block) for coefficient in pair):
            return count * float(np.sum(pair[0] * pair[1]))
        a, b = (np.broadcast_to(coefficient, (*self.shape, *block))[pixels] for coefficient in pair)
        return float(np.einsum("ijcd,ijcd->i" if block else "ij,ij->i", a, b).sum())

    def _pixels(self, k: int) -> tuple[slice, slice]:
        """Return the rows and columns of the pixels that have a neighbour at offset `k`: all along axes that wrap."""
        return self._lattice.with_neighbour(self._leaving(k))

    def _drop_off_image(self, plane: FloatArray, k: int) -> None:
        """Set to zero, in place, what points off the image at offset `k`: nothing along axes that wrap."""
        drop_off_image(plane, self._leaving(k), self._lattice)

    def _on_image(self, coefficient: FloatArray, k: int) -> FloatArray:
        """Return a coefficient as a plane that is zero where it points off the image; shared if it never does."""
        leaves = self._leaving(k) != (0, 0)
        if not leaves:
            return coefficient
        plane = np.array(np.broadcast_to(coefficient, (*self.shape, *block_shape(self._lattice))))
        self._drop_off_image(plane, k)
        return plane

    def _leaving(self, k: int) -> Offset:
        """Return offset `k` without its steps along axes that wrap."""
        return along(self._offset(k), self._boundary, "dirichlet", "neumann")

    def _offset(self, k: int) -> Offset:
        return (int(self._offsets[k, 0]), int(self._offsets[k, 1]))


def combined(numbers: Sequence[float], stencils: Sequence[SymmetricPlanes]) -> tuple[IntArray, FloatArray, bool]:
    """Return the offsets and coefficients of ``sum_m numbers[m] stencils[m]``, and whether all pixels share them."""
    first = stencils[0]
    for other in stencils[1:]:
        first._check_partner(other)
    offsets, which = distinct_offsets(np.vstack([stencil.offsets for stencil in stencils]))
    place = iter(which.tolist())
    block = block_shape(first.lattice)
    shared = all(stencil.is_homogeneous and stencil.boundary == first.boundary for stencil in stencils)
    total = np.zeros((len(offsets), *(() if shared else first.shape), *block))
    for number, stencil in zip(numbers, stencils, strict=True):
        for k in range(len(stencil.offsets)):
            if shared:
                total[next(place)] += number * stencil.coefficient(k)
            else:
                pixels = stencil._pixels(k)
                plane = np.broadcast_to(stencil.pool.coefficient(k, stencil.lattice), (*stencil.shape, *block))
                total[next(place)][pixels] += number * plane[pixels]
    return offsets, total, shared
