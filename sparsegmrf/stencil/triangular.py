"""Triangular stencils: a whitening matrix whose rows hold a pixel and only earlier, or only later, neighbours."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from sparsegmrf import _threads
from sparsegmrf._validate import finite
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.kernels import gram
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import _assembly
from sparsegmrf.stencil._coefficients import Pool, as_coefficient, block_shape, drop_off_image, pooled
from sparsegmrf.stencil._offsets import as_offsets, raster_order, raster_sign
from sparsegmrf.stencil._stencil import Stencil
from sparsegmrf.stencil.symmetric import SymmetricStencil
from sparsegmrf.typing import ArrayLike, FloatArray, IntArray, Offsets, Shape


class TriangularStencil(Stencil):
    """Triangular matrix on a lattice: ``A[p, p] = d_p`` and ``A[p, p + o_k] = w_pk``.

    With earlier neighbours (causal) ``A`` is lower triangular, with later ones (anticausal, ``Q = L L^T``, ``A = L^T``)
    upper triangular. ``Q = A^T A``, so ``whiten(x) = A x`` and ``logdet Q = 2 sum log d_p``. A weight that points off
    the image is ignored: the field beyond the border is fixed at the mean.

    Parameters
    ----------
    offsets : sequence of (int, int)
        ``(di, dj)`` in pixels, all earlier or all later in raster order; may be empty (white field).
    diagonal : array_like
        Number, ``(C, C)`` block, ``(H, W)`` plane or ``(H, W, C, C)`` plane of blocks; positive, in 1/intensity.
        Blocks are lower triangular with earlier neighbours and upper triangular with later ones.
    weights : sequence
        Per offset a number, block, plane or plane of blocks, in units of 1/intensity. Copied.
    shape : (int, int)
        Height and width in pixels.
    channels : int
        Unknowns per pixel ``C``.

    Raises
    ------
    StencilError
        If offsets are on both sides or at the centre, or an array has the wrong shape or triangle.
    ArgumentError
        If the diagonal is not positive, or a value that is on the image is NaN or infinite.

    Examples
    --------
    >>> A = TriangularStencil([(0, -1), (-1, 0)], 1.0, [-0.4, -0.4], (2, 2))
    >>> A.tocsr().toarray().tolist()[3]
    [0.0, -0.4, -0.4, 1.0]
    """

    def __init__(
        self,
        offsets: Offsets,
        diagonal: ArrayLike,
        weights: Sequence[ArrayLike] | FloatArray,
        shape: Shape,
        *,
        channels: int = 1,
    ) -> None:
        lattice = Lattice(shape, channels)
        given = as_offsets(offsets)
        sign = raster_sign(given)
        if not ((sign > 0).all() or (sign < 0).all()):
            raise StencilError(
                "offsets must be all earlier or all later than the centre in raster order, got "
                f"{given.tolist()}; the centre's coefficient is the argument diagonal."
            )
        if len(weights) != len(given):
            raise StencilError(f"weights must have one entry per offset ({len(given)}), got {len(weights)}.")
        order = raster_order(given)
        named = [as_coefficient(f"weights[{k}]", weights[k], lattice) for k in order]
        self._lattice = lattice
        self._offsets = given[order]
        self._offsets.flags.writeable = False
        self._causal = bool((sign < 0).any())
        self._pool = pooled([as_coefficient("diagonal", diagonal, lattice), *named], lattice)
        self._check_values(order)

    def gram(self) -> SymmetricStencil:
        """Form the precision ``Q = A^T A``, exact up to the border.

        Returns
        -------
        SymmetricStencil
            With a plane per difference of two offsets of ``A``, in 1/intensity^2: near the border ``Q`` differs from
            pixel to pixel even where ``A`` is homogeneous.

        Examples
        --------
        >>> A = TriangularStencil([(0, -1)], 1.0, [-0.5], (1, 3))
        >>> A.gram().tocsr().toarray().tolist()
        [[1.25, -0.5, 0.0], [-0.5, 1.25, -0.5], [0.0, -0.5, 1.0]]
        """
        lattice, pool = self._lattice, self._pool
        (height, width), channels = lattice.shape, lattice.channels
        terms = np.vstack([np.zeros((1, 2), dtype=np.int64), self._offsets])
        differences, triples = _pairs(terms)
        block = block_shape(lattice)
        planes = np.empty((len(differences), lattice.n_pixels, *block))

        def fill(first: int, last: int) -> None:
            if channels == 1:
                gram.fill_planes(first, last, height, width, terms, triples, pool.start, pool.step, pool.values, planes)
            else:
                gram.fill_block_planes(
                    first, last, height, width, channels, terms, triples, pool.start, pool.step, pool.values, planes
                )

        _threads.run_over(fill, height, _threads.rows_per_task(width))
        return SymmetricStencil._from_planes(
            differences, planes.reshape(len(differences), *lattice.shape, *block), lattice
        )

    def _check_values(self, order: IntArray) -> None:
        self._pool.values.flags.writeable = True
        for k, offset in enumerate(self._offsets):
            weight = self._pool.coefficient(k + 1, self._lattice)
            if self._pool.step[k + 1]:
                drop_off_image(weight, (int(offset[0]), int(offset[1])), self._lattice)
            finite(f"weights[{order[k]}]", weight)
        self._pool.values.flags.writeable = False
        blocks = finite("diagonal", self.diagonal)
        pivots = blocks if self.channels == 1 else np.diagonal(blocks, axis1=-2, axis2=-1)
        if not (pivots > 0.0).all():
            raise ArgumentError(
                f"diagonal must be positive, got {float(pivots.min())}; pass the absolute value and flip the signs of "
                "that pixel's weights, which leaves the precision as it is."
            )
        if self.channels == 1:
            return
        if not len(self._offsets):
            self._causal = bool(np.tril(blocks, -1).any())
        wrong = np.triu(blocks, 1) if self._causal else np.tril(blocks, -1)
        if wrong.any():
            side = "lower" if self._causal else "upper"
            raise StencilError(f"diagonal blocks must be {side} triangular, as the whole matrix is, got {blocks!r}.")

    @property
    def is_causal(self) -> bool:
        """Whether ``A`` is lower triangular: neighbours are earlier in raster order; False if ``A`` is diagonal."""
        return self._causal

    @property
    def gram_offsets(self) -> IntArray:
        """Offsets ``(K, 2)`` of ``A^T A``: the differences of offsets of ``A`` that are the centre or later."""
        return _pairs(np.vstack([np.zeros((1, 2), dtype=np.int64), self._offsets]))[0]

    @property
    def pool(self) -> Pool:
        """Coefficients as kernels read them, the diagonal first, then the weights; read-only."""
        return self._pool

    @property
    def diagonal(self) -> FloatArray:
        """Diagonal as given: a number, block, plane or plane of blocks (read-only view)."""
        return self._pool.coefficient(0, self._lattice)

    def weight(self, k: int) -> FloatArray:
        """Return weight `k` as given: a number, block, plane or plane of blocks (read-only view)."""
        return self._pool.coefficient(k + 1, self._lattice)

    def plane(self, k: int) -> FloatArray:
        """Return ``A[p, p + o_k]`` as a plane, ``(H, W)`` or ``(H, W, C, C)``; zero where it points off the image."""
        result = np.array(np.broadcast_to(self.weight(k), (*self.shape, *block_shape(self._lattice))))
        drop_off_image(result, (int(self._offsets[k, 0]), int(self._offsets[k, 1])), self._lattice)
        return result

    def tocsr(self) -> sp.csr_array:
        """Assemble ``A`` as a CSR array with sorted indices (int32 while they fit, int64 beyond)."""
        offsets = np.vstack([np.zeros((1, 2), dtype=np.int64), self._offsets])
        order = raster_order(offsets)
        terms = _assembly.Terms.of(offsets[order], self._pool, order, np.zeros(len(order), dtype=np.bool_))
        return _assembly.assemble(self._lattice, terms, self._pool.values, torus=False)

    def __repr__(self) -> str:
        side = "causal" if self._causal else "anticausal"
        kind = "homogeneous" if self.is_homogeneous else "per pixel"
        return (
            f"TriangularStencil({len(self._offsets)} offsets, shape={self.shape}, channels={self.channels}, "
            f"{side}, {kind})"
        )


def _pairs(terms: IntArray) -> tuple[IntArray, IntArray]:
    """Return the offsets of ``A^T A`` (centre and later) and the triples ``(k, a, b)`` that make offset `k`."""
    a, b = (index.ravel() for index in np.mgrid[: len(terms), : len(terms)])
    difference = terms[b] - terms[a]
    kept = raster_sign(difference) >= 0
    offsets, k = np.unique(difference[kept], axis=0, return_inverse=True)
    triples = np.column_stack([k.ravel(), a[kept], b[kept]])
    return offsets, np.ascontiguousarray(triples[np.argsort(k.ravel(), kind="stable")])
