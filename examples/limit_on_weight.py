"""How far can the weight of a Cholesky field be raised before its inverse has no correct digit left?

The field ties each pixel to its right and its lower neighbour by ``k``; ``Q = L L^T`` is always positive definite. On
images without borders the answer is one half; on small images it is more, and it falls with the size. Run with
``python examples/limit_on_weight.py``.
"""

import numpy as np
from scipy.optimize import brentq

from sparsegmrf.autoregression import limit_on_weight

DIGITS = -np.log10(np.finfo(np.float64).eps)


def digits_lost(k, size):
    """Decimal digits that solving with ``Q`` loses at most, the logarithm of its condition number."""
    return float(np.log10(limit_on_weight(size, [k]).condition[0]))


def digits_over(k, size):
    """Digits lost beyond the 15.7 that float64 has."""
    return digits_lost(k, size) - DIGITS


def main():
    """Return, per image size, the weight at which all digits of float64 are lost (infinity: none in [0, 1])."""
    limits = {}
    print(f"{'size':>6}{'digits lost at k = 0.45':>26}{'at k = 0.6':>12}{'all 15.7 lost at k =':>22}")
    for size in (4, 16, 32, 64):
        lost = [digits_lost(k, size) for k in (0.45, 0.6)]
        within = digits_over(1.0, size) > 0.0
        limits[size] = brentq(digits_over, 0.5, 1.0, args=(size,), xtol=1e-4) if within else np.inf
        print(f"{size:6d}{lost[0]:26.2f}{lost[1]:12.2f}{limits[size]:22.4f}")
    return limits


if __name__ == "__main__":
    main()
