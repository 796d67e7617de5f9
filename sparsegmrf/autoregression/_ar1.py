"""The one-dimensional autoregression of order one, as a tridiagonal precision."""

import numpy as np
import scipy.sparse as sp

from sparsegmrf._validate import finite_number, integer_at_least, one_of, positive_number
from sparsegmrf.errors import ArgumentError
from sparsegmrf.stencil import SymmetricStencil


def ar1_precision(n: int, phi: float, sigma: float = 1.0, initial: str = "stationary") -> sp.csr_array:
    """Return the precision of ``x_i = phi x_{i-1} + sigma e_i``, ``e_i`` white with unit variance.

    ``Q = A^T A / sigma^2`` with ``A[i, i] = 1`` and ``A[i, i-1] = -phi``. The stationary start has
    ``A[0, 0] = sqrt(1 - phi^2)`` and the inverse ``sigma^2 phi^|i-j| / (1 - phi^2)``: times ``sigma^2``, the diagonal
    is ``1 + phi^2`` inside and 1 at both ends, and ``-phi`` stands beside it. The start from zero has ``A[0, 0] = 1``
    and so ``1 + phi^2`` at the first end too.

    Parameters
    ----------
    n : int
        Number of points, at least 1.
    phi : float
        Correlation of neighbours, dimensionless, in (-1, 1).
    sigma : float
        Standard deviation of the innovations (intensity), positive.
    initial : {"stationary", "zero"}
        Whether the first point has the stationary variance, or follows a zero.

    Returns
    -------
    scipy.sparse.csr_array, (n, n)
        In 1/intensity^2, with sorted indices.

    Raises
    ------
    ArgumentError
        If `n` is not a positive integer, `phi` is outside (-1, 1), `sigma` is not positive or `initial` is not a name.

    References
    ----------
    Rue and Held, *Gaussian Markov Random Fields*, 2005, section 1.1.1.

    Examples
    --------
    >>> import sparsegmrf
    >>> sparsegmrf.autoregression.ar1_precision(3, 0.5).toarray().tolist()
    [[1.0, -0.5, 0.0], [-0.5, 1.25, -0.5], [0.0, -0.5, 1.0]]
    """
    n = integer_at_least("n", n, 1)
    phi = finite_number("phi", phi)
    if not -1.0 < phi < 1.0:
        raise ArgumentError(
            f"phi must be between -1 and 1, got {phi}; at or beyond them the process has no stationary variance."
        )
    sigma = positive_number("sigma", sigma)
    start = one_of("initial", initial, ("stationary", "zero"))
    diagonal = np.full((1, n), 1.0 + phi**2)
    diagonal[0, -1] = 1.0
    if start == "stationary":
        diagonal[0, 0] = 1.0 if n > 1 else (1.0 - phi) * (1.0 + phi)
    return SymmetricStencil([(0, 0), (0, 1)], [diagonal / sigma**2, -phi / sigma**2], (1, n)).tocsr()
