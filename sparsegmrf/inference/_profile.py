"""Profiles of the likelihood: how it falls away from the estimates of one parameter, the others following."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from sparsegmrf._interval import Interval
from sparsegmrf.inference._memo import Memo, Point
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._scores import half_width
from sparsegmrf.inference._search import newton, tried
from sparsegmrf.typing import FloatArray

_STEP = 0.75
"""Distance between points in standard errors."""
_FALLEN = 0.5 * 2.25**2
"""Nats below the maximum at which a side ends: beyond an interval of 97%."""
_FARTHEST = 8
"""Points on a side at most."""
_FOLLOWED = 0.15
"""Newton step in standard errors within which the others have followed: a hundredth of a nat, which is added."""
_CORRECTIONS = 6
_LONGEST = 1.0
"""Longest step of a working parameter that follows."""


@dataclass(frozen=True, eq=False, repr=False)
class LikelihoodProfile:
    """The largest likelihood by the value of one parameter, all others estimated given it.

    On the scale of the working parameter ``u`` (the logarithm of what is positive) a normal approximation has the
    relative likelihood ``exp(-t^2 / 2)``, ``t`` the distance from the estimate in standard errors. Between points
    ``log(L / L_max) / t^2`` is interpolated, which is -1/2 there.

    Attributes
    ----------
    name : str
        The parameter.
    estimate : float
        Where the likelihood is largest.
    drops : ndarray, (K,)
        ``log(L / L_max)`` at `values` in nats, the estimate included; with priors of the posterior density of the
        working parameters. Positive where the estimate is no maximum.
    steps : ndarray, (K,)
        ``t`` there.
    standard_error : float
        Of ``u``.
    """

    name: str
    estimate: float
    drops: FloatArray
    steps: FloatArray
    standard_error: float
    _interval: Interval = field(repr=False)

    @property
    def values(self) -> FloatArray:
        """Values of the parameter at which the likelihood was evaluated, increasing."""
        return self.value(self.steps)

    def value(self, steps: FloatArray) -> FloatArray:
        """Return the parameter at distances from the estimate in standard errors of the working parameter."""
        at = self._interval.outward(self.estimate)
        with np.errstate(over="ignore"):
            return np.array([self._interval.inward(at + float(t) * self.standard_error) for t in steps])

    def drop(self, steps: FloatArray) -> FloatArray:
        """Return ``log(L / L_max)`` at distances from the estimate; NaN beyond the points evaluated."""
        from scipy.interpolate import PchipInterpolator

        if len(self.steps) == 1:
            return np.where(steps == 0.0, 0.0, np.nan)
        at_estimate = np.full(len(self.steps), -0.5)
        ratios = np.divide(self.drops, self.steps**2, out=at_estimate, where=self.steps != 0.0)
        return np.asarray(PchipInterpolator(self.steps, ratios, extrapolate=False)(steps) * steps**2)

    def curve(self, count: int = 241) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return values of the parameter, and the relative likelihood there: the profile, and the normal one."""
        steps = np.linspace(self.steps[0], self.steps[-1], count)
        return self.value(steps), np.exp(self.drop(steps)), np.exp(-0.5 * steps * steps)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return where the profile falls to the likelihood ratio of a level, on either side of the estimate.

        ``2 log(L_max / L) = z^2`` with the normal quantile ``z`` (Wilks): not symmetric on any scale. NaN where the
        profile was not followed that far, as where it does not fall.

        Parameters
        ----------
        level : float
            Between 0 and 1.

        Raises
        ------
        ArgumentError
            If `level` is not between 0 and 1.
        """
        fallen = -0.5 * half_width(level) ** 2
        return self._crossing(self.steps[0], fallen), self._crossing(self.steps[-1], fallen)

    def _crossing(self, end: float, fallen: float) -> float:
        """Return the first value on the way to an end at which the profile has fallen so far."""
        steps = np.linspace(0.0, end, 2001)
        below = np.flatnonzero(self.drop(steps) <= fallen)
        if not len(below) or below[0] == 0:
            return float("nan")
        pair = steps[below[0] - 1 : below[0] + 1]
        before, after = self.drop(pair)
        share = (before - fallen) / (before - after)
        return float(self.value(np.array([pair[0] + share * (pair[1] - pair[0])]))[0])

    def __repr__(self) -> str:
        return f"LikelihoodProfile({self.name}={self.estimate:.6g}, {len(self.steps)} points)"


class _Place(NamedTuple):
    """Working parameters on the profile, and its value there."""

    at: FloatArray
    drop: float


def profile_of(objective: Objective, at: FloatArray, covariance: FloatArray, k: int, memo: Memo) -> LikelihoodProfile:
    """Return the profile of a working parameter that has an interval and a standard error of its own.

    Parameters
    ----------
    objective : Objective
        With the scale among its parameters.
    at, covariance : ndarray, (K,) and (K, K)
        The estimates, and their covariance.
    k : int
        Which of them.
    memo : Memo
        Of the objective.
    """
    error = math.sqrt(covariance[k, k])
    slope = np.where(np.isnan(covariance[:, k]), 0.0, covariance[:, k]) / covariance[k, k]
    best = memo(at)
    sides = {way: _side(memo, at, best, k, way * _STEP * error * slope) for way in (-1.0, 1.0)}
    steps: FloatArray = np.linspace(-len(sides[-1.0]), len(sides[1.0]), len(sides[-1.0]) + len(sides[1.0]) + 1) * _STEP
    drops = [*(each.drop for each in reversed(sides[-1.0])), 0.0, *(each.drop for each in sides[1.0])]
    interval, estimate = objective.intervals(at)[k], objective.values_at(at)[k]
    return LikelihoodProfile(objective.names[k], estimate, np.array(drops), steps, error, interval)


def _side(memo: Memo, at: FloatArray, best: Point, k: int, step: FloatArray) -> list[_Place]:
    """Return points on one side of the estimates, each a step beyond the last, until the profile has fallen."""
    found = [_Place(at, 0.0)]
    while len(found) <= _FARTHEST and found[-1].drop > -_FALLEN:
        last = found[-1].at
        guess = last + (step if len(found) == 1 else last - found[-2].at)  # along the ridge, which bends
        place = _followed(memo, guess, best, k)
        if place is None:
            break
        found.append(place)
    return found[1:]


def _followed(memo: Memo, at: FloatArray, best: Point, k: int) -> _Place | None:
    """Return where the others maximize the likelihood given one; None where it cannot be evaluated, or they run off.

    What a last Newton step ``d`` gains, ``d^2 / 2`` nats, is added without taking it.
    """
    others = np.arange(len(at)) != k
    for _ in range(_CORRECTIONS):
        here = tried(memo, at)
        if not np.isfinite(here.value):
            return None
        step, decrement, _ = newton(here.gradient[others], here.information[np.ix_(others, others)])
        if decrement <= _FOLLOWED:
            return _Place(at, here.value + 0.5 * decrement**2 - best.value)
        at = at.copy()
        at[others] += step * min(1.0, _LONGEST / float(np.abs(step).max()))
    return None
