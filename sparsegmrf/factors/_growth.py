"""Warnings and errors for recursions beyond their stability limit."""

import warnings

import numpy as np

from sparsegmrf.errors import UnstableError, UnstableWarning
from sparsegmrf.factors._factor import Factor
from sparsegmrf.factors.triangular import TriangularFactor
from sparsegmrf.typing import FloatArray

TOLERATED_LOSS = 1e-6
"""Rounding error of a whitened draw, in standard deviations, above which it comes with a warning."""


def check_growth(name: str, values: str, factor: Factor, field: FloatArray) -> None:
    """Refuse `values` in a `field` that overflowed in a recursion, and warn where they cost digits.

    Whitening a field of magnitude ``|x|`` rounds at ``eps (d + sum_k |w_k|) |x|``. A contraction cannot get there.
    """
    if not isinstance(factor, TriangularFactor) or factor.contraction() < 1.0 or not field.size:
        return
    largest = float(np.maximum(field.max(), -field.min()))
    rate = factor.contraction()
    limit = (
        f"the weights of a pixel sum up to {rate:.4g} times its diagonal (max_p sum_k |w_pk| / d_p), and only below 1 "
        "is the recursion sure to stay bounded; shrink the weights"
    )
    if not np.isfinite(largest):
        raise UnstableError(f"{name} left the range of floating-point numbers on {factor.shape}: {limit}.")
    loss = np.finfo(np.float64).eps * largest * float(factor.whitening.diagonal.max()) * (1.0 + rate)
    if loss > TOLERATED_LOSS:
        warnings.warn(
            f"{name} has {values} up to {largest:.3g}, so that rounding alone puts {loss:.1g} standard deviations on "
            f"its innovations: {limit}.",
            UnstableWarning,
            stacklevel=3,
        )
