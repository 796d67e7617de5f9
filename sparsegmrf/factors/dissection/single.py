"""The dissection factor in half the memory."""

from functools import cached_property
from typing import ClassVar

import numpy as np

from sparsegmrf.errors import ConvergenceError
from sparsegmrf.factors.dissection._numbers import sum_over_nodes
from sparsegmrf.factors.dissection._refine import Refined
from sparsegmrf.factors.dissection.factor import DissectionFactor
from sparsegmrf.typing import FloatArray

_ROUNDING = 2.0**-53


class SingleFactor(DissectionFactor):
    """Sparse Cholesky factor kept in single precision, with results in double precision.

    The elimination is that of `DissectionFactor`, in double precision; each block of the factor is rounded once nothing
    else is computed from it. Hence `logdet` is the same number. With the rounded whitening matrix ``B`` and
    ``E = B^-T Q B^-1 = I + F``:

    - `solve` is refined against the stencil until the correction is 1e-12 of the solution, in the norm of ``A x``, or
      the residual is that of rounding, beyond which the double factor does not go either.
    - ``A = E^1/2 B`` whitens: ``A^T A = Q`` to 1e-12, so that draws have the covariance ``Q^-1``. It is not triangular;
      a draw differs from that of `DissectionFactor` with the same numbers by some ``|F|`` of itself.
    - `selected_inverse`, and with it `marginal_variance`, is that of ``B^T B``: see `relative_error`.

    A solve takes five passes over the factor instead of two, a draw five instead of one.

    Parameters
    ----------
    precision : SymmetricStencil
        As for `DissectionFactor`, with a diagonal between 1e-60 and 1e60.
    tile, leaf : int, optional
        Likewise.

    Raises
    ------
    ArgumentError
        If `precision` is no `SymmetricStencil`, wraps, or its diagonal leaves the range of single precision.
    TooLargeError, NotPositiveDefiniteError
        As for `DissectionFactor`.
    ConvergenceError
        When something is asked of a factor that is too badly conditioned for it; says by how much.

    References
    ----------
    N. J. Higham, Accuracy and Stability of Numerical Algorithms (2002), chapter 12, for the refinement.

    Examples
    --------
    >>> from sparsegmrf import SymmetricStencil
    >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (64, 64))
    >>> single, double = SingleFactor(stencil), DissectionFactor(stencil)
    >>> single.logdet == double.logdet, single.nbytes / double.nbytes
    (True, 0.5)
    >>> error = abs(single.marginal_variance() / double.marginal_variance() - 1.0).max()
    >>> bool(error < single.relative_error < 1e-5)
    True
    """

    _single: ClassVar[bool] = True
    _kind: ClassVar[str] = "single_dissection"

    @property
    def relative_error(self) -> float:
        """Bound on the error of variances relative to themselves; of a covariance, to the two deviations' product.

        ``|F| / (1 - |F|)``, the norm being bounded by eight products with two random vectors, the same ones every time;
        such a bound falls short with a probability of one in a million. What the first call takes is that of some
        twenty solves in double precision.
        """
        norm = self._norm
        return norm / (1.0 - norm)

    def logdet_bounds(self) -> tuple[float, float]:
        """Return bounds on the log-determinant of ``Q`` that do not rest on the elimination.

        ``log det Q = log det B^T B + log det (I + F)``, and ``tr F - n f^2 / (2 (1 - f)^2) <= log det (I + F) <= tr F``
        with a bound ``f`` on the norm of ``F``, see `relative_error`. ``tr F = tr((B^T B)^-1 Q) - n`` takes a selected
        inverse. Both bounds are moved outwards by what rounding may do to these sums, of as many terms as the largest
        front has unknowns.

        Returns
        -------
        lower, upper : float
            In nats.
        """
        norm, count = self._norm, self.lattice.size
        covariances = self.selected_inverse()
        trace = size = 0.0
        for k in range(len(self._precision.offsets)):
            terms = covariances.plane(k) * self._precision.plane(k)
            times = 2.0 if k else 1.0
            trace += times * float(terms.sum())
            size += times * float(np.abs(terms, out=terms).sum())
        middle = sum_over_nodes(self._levels, self._blocks.rounded_log_pivots) + (trace - count)
        logs = sum_over_nodes(self._levels, [np.abs(each) for each in self._blocks.rounded_log_pivots])
        rounding = _ROUNDING * (float(self._analysis.order.max()) * size + count + self.distinct_nodes * logs)
        return middle - 0.5 * count * (norm / (1.0 - norm)) ** 2 - rounding, middle + rounding

    def whiten_vectors(self, x: FloatArray) -> FloatArray:
        """Return ``A x`` for ``(batch, n)``."""
        return self._refined.whiten(x)

    def unwhiten_vectors(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``."""
        return self._refined.unwhiten(e)

    def unwhiten_in_place(self, e: FloatArray) -> FloatArray:
        """Return ``A^-1 e`` for ``(batch, n)``; `e` is overwritten."""
        return self._refined.unwhiten(e, e)

    def solve_vectors(self, b: FloatArray) -> FloatArray:
        """Return ``Q^-1 b`` for ``(batch, n)``."""
        return self._refined.solve(b)

    def covariance_roots(self, w: FloatArray) -> FloatArray:
        """Return rows for ``(batch, n)`` whose products are ``w^T Q^-1 w``."""
        return self._refined.covariance_roots(w)

    @property
    def _norm(self) -> float:
        norm = self._refined.norm
        if not norm < 0.5:
            raise ConvergenceError(
                "the factor in single precision must be close to the precision, but B^-T Q B^-1 - I has a norm of up "
                f'to {norm:.2g}, which bounds nothing; take precision="double".'
            )
        return norm

    @cached_property
    def _refined(self) -> Refined:
        return Refined(self._solver, self._precision)
