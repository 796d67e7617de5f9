"""Mean and variance of a probability whose logarithm of odds is normal."""

import numpy as np
from scipy.special import expit

from sparsegmrf.typing import FloatArray

_STEP = 0.4
"""Distance of the nodes, in standard deviations or in units of the log-odds, whichever is smaller."""
_REACH = 9.0
"""Standard deviations beyond which a normal density has no digits."""


def logit_normal_moments(mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and variance of ``1 / (1 + exp(-eta))`` with ``eta ~ N(mean, variance)``, to rounding.

    By the trapezoidal rule over ``eta``, which for analytic functions converges geometrically: its error is
    ``exp(-2 pi d / h)`` with the distance ``d`` of the poles at ``+-i pi`` and the step ``h``, both in standard
    deviations. Differences from the value at the mean are summed, so that a small variance has digits.

    References
    ----------
    L. Trefethen, J. Weideman (2014), The exponentially convergent trapezoidal rule, SIAM Review 56.
    """
    deviation = np.sqrt(variance)
    widest = float(np.nanmax(deviation, initial=0.0))
    h, reach = _STEP / max(1.0, widest), _REACH + widest
    count = int(np.ceil(reach / h))
    center, first, second = expit(mean), np.zeros(np.shape(mean)), np.zeros(np.shape(mean))
    for z in h * np.arange(-count, count + 1):
        weight = h * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        moved = expit(mean + deviation * z) - center
        first += weight * moved
        second += weight * moved * moved
    return center + first, second - first * first
