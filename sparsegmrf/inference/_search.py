"""The search for the largest likelihood, and the information there."""

import math
from typing import NamedTuple, Protocol

import numpy as np

from sparsegmrf.errors import ConvergenceError, NotPositiveDefiniteError, TooLargeError
from sparsegmrf.typing import FloatArray

_STEP = 1e-3
_STEPS = 100
_FAR = 16.0
"""How far an unconstrained number may move from its start before it counts as running away."""
_NO_NOISE = 9.0
"""How far the logarithm of the noise variance may fall before it counts as zero."""
_LESS_NOISE = 4.0
_NOTHING_LEFT = 0.05
"""Derivative in nats by that logarithm, and information about it, at which, so far down, less noise gains nothing."""
NOISE_IS_GONE = "noise_variance ran to zero: the image shows no independent noise; fit with noise=None"
"""Why a search ended there."""
_NEAR = 1e-2
"""Newton step in standard errors from which on steps are taken without comparing likelihoods, which rounding blurs."""


class Searchable(Protocol):
    """What a search asks of an objective: a function of unconstrained numbers, with gradient and information."""

    @property
    def names(self) -> list[str]:
        """Names of the unconstrained numbers."""

    @property
    def estimated(self) -> bool:
        """Whether the last of them is the logarithm of a noise variance."""

    @property
    def count(self) -> list[int]:
        """Evaluations so far, in its first entry."""

    def __call__(self, at: FloatArray) -> tuple[float, FloatArray]:
        """Return the value in nats and its gradient."""

    def information(self, at: FloatArray) -> FloatArray:
        """Return what stands for minus the Hessian, positive semi-definite but for rounding."""


class _Point(NamedTuple):
    """A point of the search in units of nats: value, gradient, Newton step and its length in standard errors."""

    at: FloatArray
    step: FloatArray
    decrement: float


def observed_information(objective: Searchable, at: FloatArray) -> FloatArray:
    """Return minus the Hessian at unconstrained numbers, by central differences of the exact gradient."""
    steps = _STEP * np.eye(len(at))
    rows = [-(objective(at + step)[1] - objective(at - step)[1]) / (2.0 * _STEP) for step in steps]
    return np.asarray((np.array(rows) + np.transpose(rows)) / 2.0)


def maximize(objective: Searchable, at: FloatArray, tolerance: float) -> tuple[FloatArray, bool, str]:
    """Search from a start by steps within a trust region, whose curvature is the average information.

    The search ends where a Newton step is shorter than `tolerance` standard errors. A point at which the precision is
    numerically not positive definite or too large to factorize, or at which the mode given counts is not found, counts
    as worse than any other. Returns the numbers, whether the search ended well, and why it ended.
    """
    if not len(at):
        return at, True, "nothing to search: every parameter has a closed form"
    end = _polished(objective, _by_trust_region(objective, at, max(tolerance, _NEAR)), tolerance)
    if _noise_is_gone(objective, end.at, at):
        return end.at, False, NOISE_IS_GONE
    moved = np.abs(end.at - at).tolist()
    far = [name for name, distance in zip(objective.names, moved, strict=True) if distance > _FAR]
    if far:
        return end.at, False, f"{', '.join(far)} ran away from the start; hold it by fixed=, or give it a prior"
    told = f"a Newton step is {end.decrement:.2g} standard errors long"
    if end.decrement <= tolerance:
        return end.at, True, f"{told}, after {objective.count[0]} likelihoods"
    return end.at, False, f"{told}, more than the tolerance {tolerance:g}, after {objective.count[0]} likelihoods"


def _by_trust_region(objective: Searchable, at: FloatArray, tolerance: float) -> _Point:
    from scipy.optimize import minimize

    def negative(u: FloatArray) -> tuple[float, FloatArray]:
        try:
            value, gradient = objective(u)
        except (ConvergenceError, NotPositiveDefiniteError, TooLargeError):
            return float("inf"), np.zeros(len(u))
        return -value, -gradient

    def stop(u: FloatArray) -> None:
        near = _point(objective, u).decrement <= tolerance
        if near or np.abs(u - at).max() > _FAR or _noise_is_gone(objective, u, at):
            raise StopIteration

    options = {"initial_trust_radius": 1.0, "max_trust_radius": 4.0, "gtol": 0.0, "maxiter": _STEPS}
    found = minimize(
        negative, at, jac=True, hess=objective.information, method="trust-exact", callback=stop, options=options
    )
    return _point(objective, found.x)


def _noise_is_gone(objective: Searchable, at: FloatArray, start: FloatArray) -> bool:
    if not objective.estimated:
        return False
    fallen = float(start[-1] - at[-1])
    slope, known = float(objective(at)[1][-1]), float(objective.information(at)[-1, -1])
    falls_on = -_NOTHING_LEFT < slope < 0.0 and known < _NOTHING_LEFT
    return fallen > _NO_NOISE or (fallen > _LESS_NOISE and falls_on)


def _polished(objective: Searchable, point: _Point, tolerance: float) -> _Point:
    """Take whole Newton steps near the maximum, where likelihoods differ by rounding.

    They are those of the average information, and of the observed one as soon as the others do not halve.
    """
    information = None
    while tolerance < point.decrement <= _NEAR:
        following = _point(objective, point.at + point.step, information)
        if information is None and following.decrement > 0.5 * point.decrement:
            information = observed_information(objective, point.at)
            following = _point(objective, point.at, information)
        elif information is not None and following.decrement >= point.decrement:
            break
        point = following
    return point


def _point(objective: Searchable, at: FloatArray, information: FloatArray | None = None) -> _Point:
    _, gradient = objective(at)
    if information is None:
        information = objective.information(at)
    step = np.asarray(np.linalg.lstsq(information, gradient, rcond=None)[0], dtype=np.float64)
    return _Point(at, step, math.sqrt(max(0.0, float(gradient @ step))))
