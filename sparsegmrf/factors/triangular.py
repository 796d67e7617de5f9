"""Factor of a field that is given by its whitening matrix: nothing to factorize, everything is a recursion."""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from sparsegmrf._validate import images
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.factors._factor import Factor
from sparsegmrf.factors._recursion import Recursion
from sparsegmrf.factors._rolling import covariances
from sparsegmrf.factors.normals import BLOCK, filling_tasks
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil, TriangularStencil
from sparsegmrf.typing import ArrayLike, FloatArray, IntArray


class TriangularFactor(Factor):
    """Factor ``Q = A^T A`` whose ``A`` is itself a triangular stencil, causal or anticausal.

    With ``K`` neighbours per pixel every operation takes ``O(n K)`` time and no memory but its result, except the
    covariances of neighbours. Results do not depend on the number of threads. The four products of ``A`` take ``out=``,
    a C-contiguous float64 array for the result: fresh memory can cost as much as the arithmetic.

    Parameters
    ----------
    A : TriangularStencil
        Whitening matrix, in 1/intensity. It is referred to, not copied.

    Raises
    ------
    StencilError
        If `A` is not a `TriangularStencil`.

    References
    ----------
    H. Rue, L. Held, Gaussian Markov Random Fields (2005), chapter 2. Their factor is ``L = A^T``.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsegmrf import TriangularStencil
    >>> factor = TriangularFactor(TriangularStencil([(0, -1)], 1.0, [-0.5], (1, 3)))
    >>> factor.unwhiten([[1.0, 0.0, 0.0]]).tolist()
    [[1.0, 0.5, 0.25]]
    >>> factor.marginal_variance().tolist()
    [[1.0, 1.25, 1.3125]]
    """

    method = "triangular"

    def __init__(self, A: TriangularStencil) -> None:
        if not isinstance(A, TriangularStencil):
            raise StencilError(
                f"A must be a TriangularStencil, got {type(A).__name__}; factorize takes other precisions."
            )
        self._A = A
        self._direct = Recursion.of(A)
        self._transposed = Recursion.of(A, transposed=True)

    @property
    def whitening(self) -> TriangularStencil:
        """The whitening matrix ``A``."""
        return self._A

    @property
    def lattice(self) -> Lattice:
        """The pixel grid."""
        return self._A.lattice

    @cached_property
    def logdet(self) -> float:
        """Log-determinant of ``Q``, ``2 sum_p log d_p``, in nats."""
        pivots = self._A.diagonal
        if self.lattice.channels > 1:
            pivots = np.diagonal(pivots, axis1=-2, axis2=-1)
        repeats = self.lattice.size // pivots.size
        return 2.0 * repeats * float(np.log(pivots).sum())

    @property
    def nbytes(self) -> int:
        """Bytes of the coefficients of ``A``."""
        pool = self._A.pool
        return pool.values.nbytes + pool.start.nbytes + pool.step.nbytes

    def whiten(self, x: ArrayLike, *, out: FloatArray | None = None) -> FloatArray:
        """Return ``A x``: white with unit variance when `x` is a draw of ``N(0, Q^-1)``; into `out` if given."""
        return self._apply("x", x, self._direct.multiply, out, apart=True)

    def unwhiten(self, e: ArrayLike, *, out: FloatArray | None = None) -> FloatArray:
        """Return ``A^-1 e``: a draw of ``N(0, Q^-1)`` when `e` is white; into `out` if given, which may be `e`."""
        return self._apply("e", e, self._direct.solve, out)

    def whiten_transpose(self, g: ArrayLike, *, out: FloatArray | None = None) -> FloatArray:
        """Return ``A^T g``, the adjoint of `whiten`; with ``g = A x`` this is ``Q x``."""
        return self._apply("g", g, self._transposed.multiply, out, apart=True)

    def unwhiten_transpose(self, g: ArrayLike, *, out: FloatArray | None = None) -> FloatArray:
        """Return ``A^-T g``, the adjoint of `unwhiten`; `out` may be `g`."""
        return self._apply("g", g, self._transposed.solve, out)

    def selected_inverse(self) -> SymmetricStencil:
        """Return the covariances ``Q^-1[p, p + o_k]`` on all offsets of ``Q = A^T A``, exactly.

        ``S_pq = [p = q]/d_p^2 - (1/d_p) sum_k w_pk S[p + o_k, q]`` with a window of covariances that rolls over the
        rows of the image. The window holds ``((r + 1) W C)^2`` numbers for ``r`` rows of reach and the time is of order
        ``n (r + 1) W C K``: a long image costs little, a wide one much. If no neighbour is to the left while another is
        to the right, as for a quarter plane, the window rolls over columns where these are shorter.

        Returns
        -------
        SymmetricStencil
            The centre and later offsets of ``Q`` with a plane each, in intensity^2, zero off the image.

        Raises
        ------
        TooLargeError
            If the window does not fit the machine's memory.

        References
        ----------
        H. Rue, S. Martino (2007), Approximate Bayesian inference for hierarchical Gaussian Markov random field models,
        J. Stat. Plan. Inference 137, section on marginal variances.
        """
        offsets = self._A.gram_offsets
        return SymmetricStencil._from_planes(offsets, covariances(self._A, offsets), self.lattice)

    def marginal_variance(self) -> FloatArray:
        """Return the diagonal of ``Q^-1`` as an image, in intensity^2; cost as of `selected_inverse`."""
        centre: IntArray = np.zeros((1, 2), dtype=np.int64)
        plane = covariances(self._A, centre)[0]
        return plane if self.lattice.channels == 1 else np.ascontiguousarray(np.diagonal(plane, axis1=-2, axis2=-1))

    def contraction(self) -> float:
        """Return ``max_p sum_k |w_pk| / d_p``, the largest factor by which the recursion can amplify what came before.

        Below 1 the recursion is a contraction: ``|A^-1 e| <= max|e / d| / (1 - contraction)`` everywhere. At 1 or above
        it may still be stable; if it is not, variances grow geometrically along the raster. With channels the ratio is
        the row sum of ``|D_p^-1 W_pk|``.
        """
        return self._contraction

    @cached_property
    def _contraction(self) -> float:
        A, channels = self._A, self.lattice.channels
        kept = np.flatnonzero((np.abs(A.offsets) < A.shape).all(axis=1))
        if not len(kept):
            return 0.0
        height, width = A.shape
        span = np.ptp(np.vstack([np.zeros((1, 2), dtype=np.int64), A.offsets[kept]]), axis=0)
        alike = A.is_homogeneous and span[0] < height and span[1] < width  # some pixel has all the neighbours
        total: FloatArray = np.zeros(1)
        for k in kept:
            weight = A.weight(int(k)) if alike else A.plane(int(k))
            if channels == 1:
                total = total + np.abs(weight) / A.diagonal
            else:
                total = total + np.abs(np.linalg.solve(A.diagonal, weight)).sum(axis=-1)
        return float(total.max())

    def _apply(
        self,
        name: str,
        value: ArrayLike,
        operation: Callable[[FloatArray, FloatArray], None],
        out: FloatArray | None,
        *,
        apart: bool = False,
    ) -> FloatArray:
        array = images(name, value, self.lattice.image_shape)
        result = np.empty_like(array) if out is None else _checked_target(name, array, out, apart)
        flat = (-1, self.lattice.size)
        operation(array.reshape(flat), result.reshape(flat))
        return result

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        result = np.empty_like(x)
        self._direct.multiply(x, result)
        return result

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        result = np.empty_like(e)
        self._direct.solve(e, result)
        return result

    def draw_vectors(self, rng: np.random.Generator, out: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` with standard normals ``e``, drawn into `out`, ``(batch, n)``."""
        self._direct.solve(out, out, filling_tasks(rng, out), BLOCK)
        return out

    def unwhiten_in_place(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``; `e` may be overwritten."""
        self._direct.solve(e, e)
        return e

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        result = np.empty_like(b)
        self._transposed.solve(b, result)
        self._direct.solve(result, result)
        return result


def _checked_target(name: str, array: FloatArray, out: FloatArray, apart: bool) -> FloatArray:
    fits = isinstance(out, np.ndarray) and out.dtype == np.float64 and out.shape == array.shape
    if not (fits and out.flags.c_contiguous and out.flags.aligned and out.flags.writeable):
        raise ArgumentError(
            f"out must be a writable C-contiguous float64 array of shape {array.shape}, got "
            f"{type(out).__name__} of shape {np.shape(out)}; make it by numpy.empty({array.shape})."
        )
    same = out.ctypes.data == array.ctypes.data
    if np.may_share_memory(out, array) and (apart or not same):
        raise ArgumentError(f"out must not overlap {name}, got arrays that share memory; pass another array.")
    return out
