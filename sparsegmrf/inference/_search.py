"""The search for the largest likelihood, and the information there."""

import enum
import math
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from sparsegmrf.errors import SparseGMRFError
from sparsegmrf.inference._kink import Kink, climb_kink
from sparsegmrf.inference._memo import Point
from sparsegmrf.inference._progress import approaching
from sparsegmrf.typing import BoolArray, FloatArray

_STEP = 1e-3
_STEPS = 100
_STANDING = 8
"""Steps in a row that are no better, each a quarter of the one before, after which the search ends."""
_LONGEST = 2.0
"""Longest Newton step of the polishing, in any working parameter."""
_POLISHED = 12
_PATIENCE = 12
"""Steps after which the average information is no longer believed by itself."""
_ALONG = 1e-2
"""Cosine between a step and what its gradients say beyond the curvature known, below which this is left aside."""
FAR = 16.0
"""How far an working parameter may move from its start before it counts as running away."""
FLAT = 1e-2
"""Information about an working parameter at which nothing is known of it: a standard error of ten."""
_NOTHING_TO_GAIN = 1e-4
"""Slope in nats along a direction without information at which moving on gains nothing."""
_NO_SLOPE = 1e-12
"""Slope in nats at which there is nothing to search."""
_NO_NOISE = math.exp(-9.0)
"""Noise variance over that of a pixel given all others that counts as zero."""
_LESS_NOISE = math.exp(-4.0)
_NOTHING_LEFT = 0.05
"""Derivative in nats by that logarithm, and information about it, at which, so far down, less noise gains nothing."""
_NEAR = 1e-2
"""Newton step in standard errors from which on steps are taken without comparing likelihoods, which rounding blurs."""


class Ending(enum.Enum):
    """How a search has ended; the value says it in words."""

    MAXIMUM = "at a maximum"
    KINK = "at a maximum on a kink"
    NOTHING = "nothing to search"
    NO_NOISE = "the noise variance has run to zero"
    FLAT = "a direction without information"
    FAR = "too far from the start"
    STOPPED = "not at a maximum"


class Ended(NamedTuple):
    """The end of a search: working parameters, how it ended, and the length of a Newton step in standard errors.

    On a kink the step is one along it.
    """

    at: FloatArray
    ending: Ending
    decrement: float = 0.0
    kink: Kink | None = None

    @property
    def converged(self) -> bool:
        """Whether these are the numbers of a maximum."""
        return self.ending in (Ending.MAXIMUM, Ending.KINK, Ending.NOTHING)


class Searchable(Protocol):
    """What a search asks for: a function of working parameters that remembers its points."""

    @property
    def names(self) -> list[str]:
        """Names of the numbers."""

    def __call__(self, at: FloatArray) -> Point:
        """Return value, gradient, and what stands for minus the Hessian, positive semi-definite but for rounding."""


class _Step(NamedTuple):
    """A point of the search: its Newton step where there is information, and along the rest the slope in nats."""

    at: FloatArray
    step: FloatArray
    decrement: float
    slope: float


def observed_information(objective: Searchable, at: FloatArray) -> FloatArray:
    """Return minus the Hessian at working parameters, by central differences of the exact gradient.

    NaN where one of the neighbours cannot be evaluated.
    """
    sides = _STEP * np.eye(len(at))
    rows = [tried(objective, at - side).gradient - tried(objective, at + side).gradient for side in sides]
    H = np.reshape(rows, (len(at), len(at))) / (2.0 * _STEP)
    return np.asarray((H + H.T) / 2.0)


def maximize(objective: Searchable, at: FloatArray, tolerance: float) -> Ended:
    """Search from a start by steps within a trust region, whose curvature is the average information.

    The search ends where a Newton step is shorter than `tolerance` standard errors. A direction without information is
    left where moving on along it gains nothing. Where it stops at a kink, it climbs along that. A point that cannot be
    evaluated (the precision is numerically not positive definite or not valid, too large to factorize, its likelihood
    is rounding, the mode given counts is not found) counts as worse than any other; only the start must not be such a
    point.
    """
    if not len(at):
        return Ended(at, Ending.NOTHING)
    objective(at)
    last = at
    for wary in (True, False):
        point, refused, seems_kinked = _by_trust_region(objective, last, at, max(tolerance, _NEAR), wary)
        end = _polished(objective, point, tolerance)
        gone = _noise_is_gone(objective, end.at)
        moving = slice(None, -1 if gone else None)  # the noise is the last
        decrement, kink = _without_last(objective, end.at) if gone else end.decrement, None
        if decrement > tolerance and (seems_kinked or not gone):
            kink = climb_kink(partial(tried, objective), end.at, refused, moving, tolerance)
        last, decrement = (end.at, decrement) if kink is None else (kink.at, kink.decrement)
        if decrement <= tolerance or not seems_kinked:  # else what seemed to be a kink is none, or is left again
            break
    if gone:
        return Ended(last, Ending.NO_NOISE, end.decrement if kink is None else decrement, kink)
    away = np.abs(last - at) > FAR
    if away.any():
        if kink is None and not away.all() and decrement > tolerance:
            last, decrement = _without(objective, last, away, tolerance)
        return Ended(last, Ending.FAR, decrement, kink)
    if np.linalg.eigvalsh(objective(last).information)[0] < FLAT:
        return Ended(last, Ending.FLAT, decrement, kink)
    if decrement > tolerance:
        return Ended(last, Ending.STOPPED, decrement, kink)
    return Ended(last, Ending.MAXIMUM if kink is None else Ending.KINK, decrement, kink)


class _Held:
    """An objective some of whose numbers are held."""

    def __init__(self, objective: Searchable, at: FloatArray, held: BoolArray) -> None:
        self._objective, self._at, self._moving = objective, at, ~held

    @property
    def names(self) -> list[str]:
        """Names of the numbers that are not held."""
        return [name for name, moves in zip(self._objective.names, self._moving, strict=True) if moves]

    def whole(self, at: FloatArray) -> FloatArray:
        """Return all numbers."""
        found = self._at.copy()
        found[self._moving] = at
        return found

    def __call__(self, at: FloatArray) -> Point:
        """Return the objective at numbers that are not held, and its derivatives by these."""
        found, moving = self._objective(self.whole(at)), self._moving
        part = found._replace(gradient=found.gradient[moving], information=found.information[np.ix_(moving, moving)])
        return part if moving[-1] else part._replace(noise_share=None)  # the noise is the last


def _without(objective: Searchable, at: FloatArray, away: BoolArray, tolerance: float) -> tuple[FloatArray, float]:
    """Go on from where some numbers have run away, with these held; return the end, and the length of a Newton step."""
    rest = _Held(objective, at, away)
    start = at[~away]
    point, _, _ = _by_trust_region(rest, start, start, max(tolerance, _NEAR), wary=False)
    end = _polished(rest, point, tolerance)
    return rest.whole(end.at), end.decrement


def _by_trust_region(
    objective: Searchable, start: FloatArray, origin: FloatArray, tolerance: float, wary: bool
) -> tuple[_Step, FloatArray, bool]:
    """Return where the steps end, the last trial, and whether the gradient seems to jump there, where wary ones end."""
    from scipy.optimize import minimize

    if np.abs(objective(start).gradient).max() <= _NO_SLOPE:
        return _point(objective, start), start, False
    jumps = _Jumps()
    last, standing, taken = start, 0, 0
    correction = np.zeros((len(start), len(start)))
    seen: dict[bytes, Point] = {}

    def negative(u: FloatArray) -> tuple[float, FloatArray]:
        key = u.tobytes()
        if key not in seen:
            seen[key] = jumps.trial = tried(objective, u)
            jumps.trial_at = np.array(u)
        return -seen[key].value, -np.nan_to_num(seen[key].gradient)

    def information(u: FloatArray) -> FloatArray:
        """Return the average information, after some steps with what gradients have said of the curvature."""
        nonlocal correction
        if not np.isfinite(negative(u)[0]):
            return np.eye(len(u))
        known, step = objective(u).information, u - last
        if step.any() and taken >= _PATIENCE:
            missing = negative(u)[1] - negative(last)[1] - (known + correction) @ step
            along = float(missing @ step)
            if abs(along) > _ALONG * np.linalg.norm(missing) * np.linalg.norm(step):
                correction = correction + np.outer(missing, missing) / along
        return known + correction

    def stop(u: FloatArray) -> None:
        nonlocal last, standing, taken
        taken += 1
        standing = standing + 1 if np.array_equal(u, last) else 0
        last = np.array(u)
        jumps.after(u, refused=standing > 0)
        point = _point(objective, u)
        approaching(point.decrement, tolerance)
        near = point.decrement <= tolerance and point.slope <= _NOTHING_TO_GAIN
        gone = _noise_is_gone(objective, u) and _without_last(objective, u) <= tolerance
        if near or gone or standing == _STANDING or np.abs(u - origin).max() > FAR or (wary and jumps.seem):
            raise StopIteration

    options = {"initial_trust_radius": 1.0, "max_trust_radius": 4.0, "gtol": 0.0, "maxiter": _STEPS}
    found = minimize(negative, start, jac=True, hess=information, method="trust-exact", callback=stop, options=options)
    return _point(objective, found.x), jumps.trial_at, jumps.seem


class _Jumps:
    """Slopes at points that were refused: a quarter as far away they are a quarter as steep, or the gradient jumps."""

    def __init__(self) -> None:
        self.trial: Point | None = None
        self.trial_at = np.zeros(0)
        self._slopes: list[float] = []

    def after(self, at: FloatArray, *, refused: bool) -> None:
        """Take note of a point to step from, and whether that is because the trial was refused."""
        if not refused or self.trial is None:
            self._slopes = []
            return
        step = self.trial_at - at
        length = float(np.linalg.norm(step))
        self._slopes.append(float(self.trial.gradient @ step) / length if length > 0.0 else 0.0)

    @property
    def seem(self) -> bool:
        """Whether the last two slopes were as steep, and downhill."""
        if len(self._slopes) < 2:
            return False
        before, now = self._slopes[-2:]
        return before < 0.0 and now < 0.5 * before and now > 2.0 * before


def tried(objective: Searchable, at: FloatArray) -> Point:
    """Return what is known of a point, minus infinity where the objective cannot be evaluated."""
    nowhere = Point(-math.inf, np.full(len(at), np.nan), np.full((len(at), len(at)), np.nan), None)
    try:
        with np.errstate(all="ignore"):  # what is no number is seen below
            found = objective(at)
    except (SparseGMRFError, ArithmeticError, np.linalg.LinAlgError):
        return nowhere
    return found if np.isfinite([found.value, *found.gradient, *found.information.ravel()]).all() else nowhere


def _noise_is_gone(objective: Searchable, at: FloatArray) -> bool:
    found = objective(at)
    if found.noise_share is None:
        return False
    slope, known = float(found.gradient[-1]), float(found.information[-1, -1])
    falls_on = -_NOTHING_LEFT < slope < 0.0 and known < _NOTHING_LEFT
    return found.noise_share < _NO_NOISE or (found.noise_share < _LESS_NOISE and falls_on)


def _without_last(objective: Searchable, at: FloatArray) -> float:
    """Return the length in standard errors of a Newton step in which the last number, that of the noise, is held."""
    found = objective(at)
    return newton(found.gradient[:-1], found.information[:-1, :-1])[1]


def _polished(objective: Searchable, point: _Step, tolerance: float) -> _Step:
    """Take Newton steps near the maximum, where likelihoods differ by rounding.

    They are those of the average information, and of the observed one as soon as this costs less. Steps that shrink by
    a rate ``r`` each end ``1 / (1 - r)`` times as far away as they are long.
    """
    information, rate = None, 0.0
    for _ in range(_POLISHED):
        approaching(point.decrement, tolerance)
        if not tolerance * (1.0 - rate) < point.decrement <= 1.0:
            break
        step = point.step * min(1.0, _LONGEST / float(np.abs(point.step).max()))
        following = None
        if np.isfinite(tried(objective, point.at + step).value):
            following = _point(objective, point.at + step, information)
        if information is None and (following is None or _is_slow(point, following, tolerance)):
            information = observed_information(objective, point.at)
            if not np.isfinite(information).all():
                break
            point, rate = _point(objective, point.at, information), 0.0
            continue
        if following is None or following.decrement >= point.decrement:
            break
        point, rate = following, following.decrement / point.decrement
    return point


def _is_slow(point: _Step, following: _Step, tolerance: float) -> bool:
    """Return whether steps that go on shrinking like this one need more gradients than the observed information."""
    rate = following.decrement / point.decrement
    return rate >= 1.0 or following.decrement * rate ** (2 * len(point.at)) > tolerance


def _point(objective: Searchable, at: FloatArray, information: FloatArray | None = None) -> _Step:
    found = objective(at)
    return _Step(at, *newton(found.gradient, found.information if information is None else information))


def newton(gradient: FloatArray, information: FloatArray) -> tuple[FloatArray, float, float]:
    """Return the Newton step where there is information, its length, and the slope along the rest."""
    values, directions = np.linalg.eigh(information)
    along = directions.T @ gradient
    known = np.abs(values) >= FLAT
    step = directions[:, known] @ (along[known] / np.abs(values[known]))  # uphill where the curvature is of a valley
    decrement = math.sqrt(max(0.0, float(gradient @ step)))
    return step, decrement, float(np.abs(along[~known]).max(initial=0.0))
