"""Sums of independent split normal variables, by which a density about its mode is approximated."""

import numpy as np

from sparsegmrf.inference._log_posterior import LogPosterior
from sparsegmrf.inference._parameter_density import ParameterDensity
from sparsegmrf.inference._standardized import Standardized
from sparsegmrf.typing import FloatArray

_NODES = 1025
_REACH = 6.0
"""Standard deviations of every part that a sum is followed to on either side, at most."""


def split_normal_marginals(posterior: LogPosterior, axes: Standardized) -> dict[str, ParameterDensity]:
    """Return the density of every parameter, were the coordinates independent and each side of an axis normal.

    A parameter's own working number is ``u = u_0 + b z``, to first order where it is valid in a joint region: a sum of
    split normal variables, whose density is the convolution of theirs.

    References
    ----------
    T. Martins, D. Simpson, F. Lindgren, H. Rue (2013), Bayesian computing with INLA: new features, Computational
    Statistics & Data Analysis 67, section 3.2.
    """
    values, intervals = posterior.values_at(axes.mode), posterior.intervals(axes.mode)
    slopes = [interval.slope(value) for interval, value in zip(intervals, values, strict=True)]
    B = posterior.jacobian(axes.mode) @ axes.root / np.array(slopes)[:, np.newaxis]
    found = {}
    for name, value, interval, b in zip(posterior.names, values, intervals, B, strict=True):
        sizes = np.abs(b)
        below, above = (
            sizes * np.where(b > 0.0, axes.below, axes.above),
            sizes * np.where(b > 0.0, axes.above, axes.below),
        )
        numbers, weights = _convolved(below, above)
        found[name] = ParameterDensity.of(name, interval, interval.outward(value) + numbers, weights)
    return found


def _convolved(below: FloatArray, above: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return evenly spaced numbers, and there the density of the sum of variables with the scales of their sides."""
    from scipy.signal import fftconvolve

    reach = _REACH * float(np.sqrt(np.sum(np.maximum(below, above) ** 2)))
    numbers = np.linspace(-reach, reach, _NODES)
    edges = np.append(numbers, numbers[-1] + numbers[1] - numbers[0]) - 0.5 * (numbers[1] - numbers[0])
    weights = np.zeros(_NODES)
    weights[_NODES // 2] = 1.0
    for low, high in zip(below, above, strict=True):
        weights = fftconvolve(weights, np.diff(_distribution(edges, float(low), float(high))), mode="same")
    kept = np.flatnonzero(weights > 1e-9 * weights.max())
    part = slice(int(kept[0]), int(kept[-1]) + 1)
    return numbers[part], weights[part]


def _distribution(x: FloatArray, below: float, above: float) -> FloatArray:
    """Return the distribution of a split normal variable with its mode at zero; of scale zero it is a step."""
    from scipy.special import ndtr

    whole = below + above
    if whole == 0.0:
        return np.asarray(x >= 0.0, dtype=np.float64)
    left, right = (np.divide(x, scale) if scale > 0.0 else np.sign(x) * np.inf for scale in (below, above))
    return np.asarray(np.where(x < 0.0, 2.0 * below * ndtr(left), below + above * (2.0 * ndtr(right) - 1.0)) / whole)
