"""Double precision from a factor whose numbers are rounded to single precision, by products with the stencil.

The rounded whitening matrix ``B`` has ``B^T B`` close to ``Q``: with ``E = B^-T Q B^-1 = I + F`` the norm of ``F`` is
some 1e-7 times the square root of the condition of ``Q``. Everything is said in terms of ``F``, whose products with
vectors take two passes over the tree and one product with the stencil, in double precision:

- ``Q^-1 b`` by iterative refinement, an error ``e`` becoming ``-F e`` (in terms of ``B e``) at every step;
- ``A = E^1/2 B`` whitens, as ``A^T A = Q``; the roots of ``E`` are power series in ``F``;
- ``w^T Q^-1 w`` differs from ``|B^-T w|^2`` by ``|F| / (1 - |F|)`` of itself at most.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from sparsegmrf import _threads
from sparsegmrf.errors import ConvergenceError
from sparsegmrf.factors.dissection._solve import Solver
from sparsegmrf.factors.normals import fill_standard_normal
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import BoolArray, FloatArray

TOLERANCE = 1e-12
"""Error that is left of solutions, relative in the norm of ``A x``, and of whitened images."""

_STEPS = 100
"""Steps after which an iteration that still contracts, if slowly, is given up."""

_NUMBERS = 2**25
"""Unknowns of all images that are worked on at a time, unless it is one image."""

_POWER, _STARTS, _DOUBT = 8, 2, 1e-6
"""Products with ``F`` by which its norm is bounded, from so many random vectors, and the probability to fall short."""

_ROUNDING = 2.0**-53


class Refined:
    """Solves and whitening of a precision by a solver with a rounded factor of it, for images ``(R, n)``."""

    def __init__(self, solver: Solver, precision: SymmetricStencil) -> None:
        self._solver, self._precision = solver, precision

    def solve(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b``.

        Refinement ends once the last correction is `TOLERANCE` of the solution, or the residual is what rounding
        leaves of it, so that the solution is that of coefficients changed in their last digits.
        """
        return self._in_parts(self._solve, b)

    def whiten(self, x: FloatArray) -> FloatArray:
        """Return ``E^1/2 B x``."""
        return self._in_parts(lambda part: self._root(self._solver.whiten(part), 0.5), x)

    def unwhiten(self, e: FloatArray, out: FloatArray | None = None) -> FloatArray:
        """Return ``B^-1 E^-1/2 e``; in `out`, which may be `e`, if that is given."""
        return self._in_parts(lambda part: self._solver.unwhiten_over(self._root(part, -0.5)), e, out)

    def covariance_roots(self, w: FloatArray) -> FloatArray:
        """Return ``E^-1/2 B^-T w``."""
        return self._in_parts(lambda part: self._root(self._solver.unwhiten_transpose(part), -0.5), w)

    @cached_property
    def norm(self) -> float:
        """A bound on the norm of ``F``, which a random start makes too small with a probability of one in a million.

        ``|F^k g| >= |F|^k |v^T g|`` with the first eigenvector ``v``, and the normal ``v^T g`` is below ``t`` in
        magnitude with a probability of at most ``t sqrt(2 / pi)`` (J. D. Dixon, Estimating extremal eigenvalues and
        condition numbers of matrices, SIAM J. Numer. Anal. 20 (1983) 812-814).
        """
        g = np.empty((_STARTS, self._precision.lattice.size))
        fill_standard_normal(np.random.default_rng(0), g)
        for _ in range(_POWER):
            g = self._excess(g)
        least = np.sqrt(np.pi / 2.0) * _DOUBT ** (1.0 / _STARTS)
        return float((np.linalg.norm(g, axis=1).max() / least) ** (1.0 / _POWER))

    def _excess(self, e: FloatArray) -> FloatArray:
        """Return ``F e``."""
        result = self._solver.unwhiten_transpose(self._times(self._solver.unwhiten(e)))
        result -= e
        return result

    def _times(self, x: FloatArray) -> FloatArray:
        lattice = self._precision.lattice
        return (self._precision @ x.reshape(-1, *lattice.image_shape)).reshape(-1, lattice.size)

    def _root(self, e: FloatArray, exponent: float) -> FloatArray:
        """Return ``E^exponent e`` by the binomial series."""
        result, term, number = e.copy(), e, 1.0
        length = before = _lengths(e)
        k = 0
        while True:
            k += 1
            number *= (exponent - k + 1) / k
            term = self._excess(term)
            size = _lengths(term)
            result += number * term
            left = np.isfinite(size) & (abs(number) * size > TOLERANCE * length)
            if not left.any():
                return result
            if k == _STEPS or (left & (size > before / 2.0)).any():
                raise _stalled("whitening", size[left], before[left], length[left])
            before = size

    def _solve(self, b: FloatArray) -> FloatArray:
        white = self._solver.unwhiten_transpose(b)
        length = before = _lengths(white)
        x = self._solver.unwhiten_over(white)
        k = 0
        while True:
            k += 1
            rest = b - self._times(x)
            white = self._solver.unwhiten_transpose(rest)
            size = _lengths(white)
            left = np.isfinite(size) & (size > TOLERANCE * length)
            stuck = left & (size > before / 2.0)
            if stuck.any():
                known = self._is_rounding(rest[stuck], x[stuck], b[stuck])
                left[stuck] = ~known
                stuck[stuck] = ~known
            if not left.any():
                return x
            if k == _STEPS or stuck.any():
                raise _stalled("solving", size[left], before[left], length[left])
            x += self._solver.unwhiten_over(white)
            before = size

    def _is_rounding(self, rest: FloatArray, x: FloatArray, b: FloatArray) -> BoolArray:
        """Return for which images every residual is what rounding may leave of its terms."""
        Q = self._precision
        absolute = Q._with_planes(np.abs([Q.plane(k) for k in range(len(Q.offsets))]))
        terms = (absolute @ np.abs(x).reshape(-1, *Q.lattice.image_shape)).reshape(x.shape) + np.abs(b)
        number = (2 * len(Q.offsets) + 4) * Q.channels
        return np.asarray((np.abs(rest) <= 4.0 * number * _ROUNDING * terms).all(axis=1))

    def _in_parts(
        self, operation: Callable[[FloatArray], FloatArray], images: FloatArray, out: FloatArray | None = None
    ) -> FloatArray:
        """Apply an operation to a few images at a time, as it holds several copies of them."""
        most = max(1, _NUMBERS // self._precision.lattice.size)
        if out is None and len(images) <= most:
            return operation(images)
        result = np.empty_like(images) if out is None else out
        for first, last in _threads.ranges(len(images), most):
            result[first:last] = operation(images[first:last])
        return result


def _lengths(images: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.einsum("bp,bp->b", images, images)))


def _stalled(what: str, size: FloatArray, before: FloatArray, length: FloatArray) -> ConvergenceError:
    """Return the error that says what the last step has left of images that are not done."""
    worst = int(np.argmax(size / before))
    return ConvergenceError(
        f"{what} must be refined to {TOLERANCE:g} relative, but a step leaves {size[worst] / before[worst]:.2g} of the "
        f"error before, and {size[worst] / length[worst]:.1e} of the whole: the precision is too badly conditioned for "
        'a factor in single precision; take precision="double".'
    )
