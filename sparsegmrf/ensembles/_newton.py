"""Newton's method for a convex function that is infinite outside an open set, with curvature by differences."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sparsegmrf.typing import FloatArray

_SMALL = 1e-4
"""Length, in the metric of the preconditioner, of the difference that a curvature is read from."""
_FULL = 0.25
"""Newton decrement below which a full step of a self-concordant function stays inside and converges quadratically."""
_LOOSEST, _TIGHTEST = 0.1, 1e-2
_INNER = 300
_ARMIJO = 1e-4
_SHORTEST = 1e-6


class NewtonPoint(Protocol):
    """A place, with what is known there."""

    @property
    def at(self) -> FloatArray:
        """Coordinates."""

    @property
    def value(self) -> float:
        """Value of the function."""

    @property
    def gradient(self) -> FloatArray:
        """Its gradient."""

    @property
    def error(self) -> float:
        """How far the conditions for a minimum are from holding."""


Evaluate = Callable[[FloatArray], NewtonPoint | None]
Precondition = Callable[[NewtonPoint], Callable[[FloatArray], FloatArray]]


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where a search ended, and why."""

    point: NewtonPoint
    converged: bool
    reason: str
    steps: int


def minimize(
    evaluate: Evaluate, precondition: Precondition, start: NewtonPoint, metric: FloatArray, tolerance: float, most: int
) -> Minimum:
    """Minimize from a point inside the set where the function is finite.

    `evaluate` returns None outside, `precondition` the product with about the inverse of the Hessian, and `metric` is
    about its diagonal. A step solves ``H d = -g`` by conjugate gradients, ``H v`` being a difference of gradients. It
    is halved until it is inside and the function falls, except where the decrement ``sqrt(d^T H d)`` is below 1/4. The
    search has converged where the error is within the tolerance *and* the last decrement was so small: of a function
    without a minimum the error may vanish, too, but the decrement does not.
    """
    point, decrement = start, np.inf
    for step in range(most + 1):
        if point.error <= tolerance and decrement < _FULL:
            return Minimum(point, True, f"covariances agree to {point.error:.2g} after {step} Newton steps", step)
        if step == most:
            break
        direction = _direction(evaluate, precondition(point), point, metric)
        decrement = float(np.sqrt(max(0.0, -float(np.sum(point.gradient * direction)))))
        following = _advance(evaluate, point, direction, decrement)
        if following is None:
            return Minimum(
                point,
                False,
                f"no step lowers the objective, covariances agree to {point.error:.2g}; raise shrinkage",
                step,
            )
        point = following
    remedy = "raise max_steps, or shrinkage if there may be no maximum"
    return Minimum(
        point, False, f"covariances agree to {point.error:.2g} only after {most} Newton steps; {remedy}", most
    )


def _direction(
    evaluate: Evaluate, conditioner: Callable[[FloatArray], FloatArray], point: NewtonPoint, metric: FloatArray
) -> FloatArray:
    """Return ``d`` with ``H d`` near ``-g`` by preconditioned conjugate gradients."""
    direction, residual = np.zeros_like(point.at), -point.gradient
    conditioned = conditioner(residual)
    size = float(np.sum(residual * conditioned))
    enough = size * float(np.clip(np.sqrt(size), _TIGHTEST, _LOOSEST)) ** 2
    search = conditioned
    for _ in range(_INNER):
        if size <= enough or size == 0.0:
            break
        product = _curvature(evaluate, point, search, metric)
        curvature = float(np.sum(search * product))
        if not curvature > 0.0:  # rounding
            break
        length = size / curvature
        direction = direction + length * search
        residual = residual - length * product
        conditioned = conditioner(residual)
        previous, size = size, float(np.sum(residual * conditioned))
        search = conditioned + size / previous * search
    return direction


def _curvature(evaluate: Evaluate, point: NewtonPoint, search: FloatArray, metric: FloatArray) -> FloatArray:
    """Return ``H v`` as a difference of gradients, shortened until both ends are inside."""
    length = _SMALL / float(np.sqrt(np.sum(metric * search**2)))
    while (other := evaluate(point.at + length * search)) is None:
        length /= 16.0
    return (other.gradient - point.gradient) / length


def _advance(evaluate: Evaluate, point: NewtonPoint, direction: FloatArray, decrement: float) -> NewtonPoint | None:
    length = 1.0
    while length > _SHORTEST:
        following = evaluate(point.at + length * direction)
        if following is not None:
            fallen = following.value <= point.value - _ARMIJO * length * decrement**2
            if fallen or decrement < _FULL:
                return following
        length *= 0.5
    return None
