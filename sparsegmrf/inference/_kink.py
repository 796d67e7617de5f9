"""Maxima on kinks: surfaces across which the gradient jumps, and towards which the function rises on either side."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sparsegmrf.inference._memo import Point
from sparsegmrf.typing import BoolArray, FloatArray

_ROUNDS = 20
_HALVINGS = 5
_PROBES = 24
_GAP = 1e-7
"""Standard errors between the two sides of a kink at which they count as its place."""
_FIRST = 1e-4
"""First step in standard errors across a kink nearby; each of the following is four times as long."""
_LONGEST = 2.0
_DAMPING = 1.0
_AWAY = 0.1
"""Standard errors, at most, from a kink to where values are compared with its slopes."""
_ROUNDING = 1e-9
"""Relative difference of values that is none."""
_SHARE = 0.05
"""Share of the largest part in the jump from which on a parameter counts as one of the kink's."""


class Kink(NamedTuple):
    """A maximum across a kink.

    Attributes
    ----------
    at : ndarray, (K,)
        The better of two points next to the kink, one on either side.
    crossing : ndarray of bool, (K,)
        Which numbers the kink is in.
    slopes : (float, float)
        With which the function rises towards the kink on either side, in nats per standard error.
    decrement : float
        Length in standard errors of a Newton step along the kink.
    """

    at: FloatArray
    crossing: BoolArray
    slopes: tuple[float, float]
    decrement: float


class _Side(NamedTuple):
    at: FloatArray
    value: float
    gradient: FloatArray


def climb_kink(
    evaluate: Callable[[FloatArray], Point], at: FloatArray, refused: FloatArray, moving: slice, tolerance: float
) -> Kink | None:
    """Climb along the kink at which a search has stopped, to its highest point; None where there is no such kink.

    The gradients ``a``, ``b`` of its sides have a mixture that is shortest in the metric of the information: it is the
    gradient along the kink, ``a - b`` being at right angles to that. Newton steps along it are each brought back to the
    kink. It is a maximum if both sides rise towards it and the mixture vanishes, for the function is concave across.

    Parameters
    ----------
    evaluate : callable
        Returns what is known of a point, minus infinity where it cannot be evaluated.
    at : ndarray, (K,)
        Where the search has stopped.
    refused : ndarray, (K,)
        A point that was lower, which may be beyond the kink.
    moving : slice
        Numbers that are not held.
    tolerance : float
        Length of the Newton step in standard errors at which the climb ends.
    """

    def side(values: FloatArray) -> _Side:
        whole = np.array(at)
        whole[moving] = values
        found = evaluate(whole)
        return _Side(values, found.value, found.gradient[moving])

    point = evaluate(at)
    information = point.information[moving, moving]
    if not (information.size and np.linalg.eigvalsh(information)[0] > 0.0):
        return None
    # Where little is known a Newton step is longer than the parabola holds: metrics of the steps, the second with less.
    damped = information + _DAMPING * np.eye(len(information))
    metrics = [np.asarray(np.linalg.inv(each), dtype=np.float64) for each in (information, damped)]
    here = _Side(at[moving], point.value, point.gradient[moving])
    pair, found, last = None, None, None
    for uphill in (refused[moving] - at[moving], metrics[0] @ here.gradient):
        pair = pair or _astride(side, here, uphill, information, _FIRST)
    for _ in range(_ROUNDS):
        mixed = None if pair is None else _mixed(*pair, information, metrics, tolerance)
        if pair is None or mixed is None:
            break
        top = max(pair, key=lambda each: each.value)
        decrement = math.sqrt(max(0.0, float(mixed.gradient @ metrics[0] @ mixed.gradient)))
        parts, whole = np.zeros(len(at)), np.array(at)
        whole[moving] = top.at
        parts[moving] = np.abs(pair[0].gradient - pair[1].gradient) * np.sqrt(np.diagonal(metrics[0]))
        found = Kink(whole, parts >= _SHARE * parts.max(), mixed.slopes, decrement)
        last = top, mixed
        if decrement <= tolerance:
            break
        pair = _moved(side, top, mixed.metric @ mixed.gradient, mixed.across, information)
    return found if last is not None and _is_told_by_values(side, *last, information) else None


class _Mixed(NamedTuple):
    """Gradient along a kink, the direction across, slopes along that from either side, and the metric they are of."""

    gradient: FloatArray
    across: FloatArray
    slopes: tuple[float, float]
    metric: FloatArray


def _mixed(
    low: _Side, high: _Side, information: FloatArray, metrics: list[FloatArray], tolerance: float
) -> _Mixed | None:
    """Return the shortest mixture of gradients in the first metric in which both sides rise towards the kink."""
    jump, gap = low.gradient - high.gradient, high.at - low.at
    for metric in metrics:
        across = metric @ jump
        size = math.sqrt(max(0.0, float(jump @ across)))
        if size <= tolerance + 10.0 * math.sqrt(float(gap @ information @ gap)):  # no more than curvature makes it
            return None
        before, beyond = float(low.gradient @ across) / size, -float(high.gradient @ across) / size
        if min(before, beyond) > 0.0:
            gradient = (beyond * low.gradient + before * high.gradient) / (before + beyond)
            return _Mixed(gradient, across, (before, beyond), metric)
    return None


def _is_told_by_values(side: Callable[[FloatArray], _Side], top: _Side, mixed: _Mixed, information: FloatArray) -> bool:
    """Return whether values fall on either side as the slopes say: jumps of gradients alone may be rounding."""
    direction = mixed.across / math.sqrt(float(mixed.across @ information @ mixed.across))
    for way, slope in zip((-1.0, 1.0), mixed.slopes, strict=True):
        step = min(_AWAY, slope)
        falls = top.value - side(top.at + way * step * direction).value
        if not falls >= 0.5 * step * step + 0.5 * slope * step:  # of a parabola without a kink it is the first alone
            return False
    return True


def _moved(
    side: Callable[[FloatArray], _Side], top: _Side, step: FloatArray, across: FloatArray, information: FloatArray
) -> tuple[_Side, _Side] | None:
    """Return both sides of the kink near a step along it, which is halved until that is no lower."""
    length = math.sqrt(float(step @ information @ step))
    step = step * min(1.0, _LONGEST / length)
    for _ in range(_HALVINGS):
        tried = side(top.at + step)
        if np.isfinite(tried.value):
            uphill = across if tried.gradient @ across > 0.0 else -across
            first = max(_GAP, 0.1 * min(length, 1.0) ** 2)  # surfaces curve
            pair = _astride(side, tried, uphill, information, first)
            if pair is not None and max(each.value for each in pair) >= top.value - _ROUNDING * (1.0 + abs(top.value)):
                return pair
        step, length = step / 2.0, length / 2.0
    return None


def _astride(
    side: Callable[[FloatArray], _Side], start: _Side, uphill: FloatArray, information: FloatArray, first: float
) -> tuple[_Side, _Side] | None:
    """Return two points next to each other, uphill of a start, at the first of which it goes up and down at the other.

    None where it goes up as far as two standard errors.
    """
    length = math.sqrt(max(0.0, float(uphill @ information @ uphill)))
    if not (length > 0.0 and start.gradient @ uphill > 0.0):
        return None
    direction, low, distance = uphill / length, start, first
    while distance <= _LONGEST:
        high = side(low.at + distance * direction)
        if not np.isfinite(high.value):
            return None
        if high.gradient @ direction < 0.0:
            return _narrowed(side, low, high, direction, distance)
        low, distance = high, 4.0 * distance
    return None


def _narrowed(
    side: Callable[[FloatArray], _Side], low: _Side, high: _Side, direction: FloatArray, width: float
) -> tuple[_Side, _Side]:
    """Bring the two points together where parabolas of curvature -1 from either of them meet, before it and beyond."""
    for probe in range(_PROBES):
        if width <= _GAP:
            break
        rise, fall = float(low.gradient @ direction), float(high.gradient @ direction)
        bend = rise - fall - width
        meets = (high.value - low.value - fall * width - 0.5 * width * width) / bend if bend > 0.0 else 0.5 * width
        margin = max(0.4 * _GAP, 0.02 * width)
        at = min(max(meets + (margin if probe % 2 else -margin), 0.01 * width), 0.99 * width)
        middle = side(low.at + at * direction)
        if not np.isfinite(middle.value):
            break
        if middle.gradient @ direction > 0.0:
            low, width = middle, width - at
        else:
            high, width = middle, at
    return low, high
