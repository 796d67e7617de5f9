"""Parameters of a field that is multiplied by a number."""

import numpy as np

from sparsegmrf._validate import positive_number
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import FloatArray


def multiplied(name: str, value: float | FloatArray, factor: float, power: int = 1) -> float | FloatArray:
    """Return ``value * factor^power``, after checking that the factor is positive and nothing overflows or vanishes.

    The power of the factor is not formed: it may overflow where the result does not.
    """
    result, factor = np.asarray(value), positive_number("factor", factor)
    with np.errstate(over="ignore", under="ignore"):
        for _ in range(abs(power)):
            result = result * factor if power > 0 else result / factor
    if not (np.isfinite(result) & ((result != 0.0) | (np.asarray(value) == 0.0))).all():
        raise ArgumentError(
            f"factor must leave {name} within the numbers of double precision, got {factor:g}, which makes the largest "
            f"{float(np.abs(result).max()):g}; take one nearer to 1."
        )
    return result if np.ndim(value) else float(result)
