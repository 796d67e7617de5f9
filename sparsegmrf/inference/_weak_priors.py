"""Priors that give a posterior an integral and leave to the data what these can tell."""

import math

import numpy as np

from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._problem import Problem
from sparsegmrf.models._spacing import mean_side
from sparsegmrf.priors import NOISE, LogNormal, Normal, PCRange, PCSigma, Prior

_UNLIKELY = 0.05
_SHORTEST, _LONGEST = 1.0 / 20.0, 0.5
"""Over the shorter side of the image: a range that is hardly shorter, and the length of a spline to expect."""
_LARGEST = 3.0
"""Standard deviation of a field that is hardly exceeded, over that of the image about its trend."""
_LENGTHS, _SCALES = math.log(5.0), math.log(10.0)
"""Standard deviations of logarithms: of the length of a spline, and of its scale."""
_NOISE, _NOISES = 1e-2, math.log(10.0)
"""Median of the noise variance over the variance of the image, and the standard deviation of its logarithm."""
_ISOTROPIC = Normal(0.0, 0.5)
"""Of stretch and shear: a ratio of axes of 2.7 is two standard deviations away."""
_SMOOTHNESS = LogNormal(1.0, 0.7)
_SHARE = Normal(0.5, 0.5)
"""Of a share between 0 and 1: nearly the same density everywhere."""


def weak_priors_of(problem: Problem) -> dict[str, Prior]:
    """Return priors for the parameters that are estimated, in the units of an image, by their names.

    Penalized-complexity priors of ranges relative to the shorter side, and of standard deviations relative to that of
    the image about its trend; lognormal ones of ``kappa``, of scales about that with which the field has the variance
    of the image, of smoothness and of noise; normal ones of stretch and shear, and of the share of a structured part.
    Other parameters keep a flat density of their working numbers. Of counts the image is that of the linear predictors
    that they suggest by themselves.
    """
    objective, spread = _gaussian(problem), spread_of(problem)
    scaled = objective.frame.outside(objective.of_variance((spread / objective.frame.unit) ** 2)).parameters
    side = mean_side((problem.spacing.height, problem.spacing.width))
    across = min(problem.shape) * side
    found: dict[str, Prior] = {}
    for name in problem.free:
        kind = name.partition("_")[0]
        if kind == "range":
            found[name] = PCRange(max(side, _SHORTEST * across), _UNLIKELY)
        elif kind == "sigma":
            found[name] = PCSigma(_LARGEST * spread, _UNLIKELY)
        elif kind == "kappa":
            found[name] = LogNormal(math.sqrt(8.0) / (_LONGEST * across), _LENGTHS)
        elif kind == "tau":
            found[name] = LogNormal(scaled[name], _SCALES)
        elif kind in ("stretch", "shear"):
            found[name] = _ISOTROPIC
        elif kind == "nu":
            found[name] = _SMOOTHNESS
        elif kind == "phi":
            found[name] = _SHARE
    if problem.estimated:
        found[NOISE] = LogNormal(_NOISE * spread**2, _NOISES)
    return found


def spread_of(problem: Problem) -> float:
    """Return the standard deviation of an image, or of what counts suggest by themselves, about its trend."""
    objective = problem.objective
    if isinstance(objective, Objective):
        return objective.frame.unit * float(np.std(np.concatenate([each.data.seen for each in objective.images])))
    columns, counts = objective.gaussian.trend.columns, problem.counts
    X = np.concatenate([columns[:, each.observed] for each in counts], axis=1)
    X = np.stack([np.ones(X.shape[1]), *X], axis=1)
    eta = np.concatenate([each.first_guess()[each.observed] for each in counts])
    return float(np.std(eta - X @ np.linalg.lstsq(X, eta, rcond=None)[0]))


def _gaussian(problem: Problem) -> Objective:
    """Return the objective; of counts that of their working responses."""
    objective = problem.objective
    return objective if isinstance(objective, Objective) else objective.gaussian
