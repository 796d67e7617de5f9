"""Robust location and scatter by iteratively reweighted moments, whose objective never increases."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import scipy.special

from sparsegmrf import _threads
from sparsegmrf._validate import finite_number, integer_at_least, positive_number, read_only
from sparsegmrf.errors import ArgumentError, ConvergenceError, SingularCovarianceError
from sparsegmrf.pixels._covariance import cholesky_of, remedy_of
from sparsegmrf.pixels._layout import BLOCK, Pixels
from sparsegmrf.pixels._maps import distances_of_block
from sparsegmrf.pixels._moments import Merger, Moments, moments_of_block, moments_of_image
from sparsegmrf.typing import FloatArray

Rule = Callable[[FloatArray], FloatArray]
Weight = Literal["student", "huber"] | Rule

_OUTSIDE = 0.05
_COLLAPSED = 1e-24
_CELLS = 2048
_GAUSS = np.polynomial.legendre.leggauss(5)
_REMEDY = "most of the weight is on pixels in fewer dimensions than there are channels: leave channels out"


@dataclass(frozen=True, eq=False)
class RobustFit:
    """Result: location, scatter and its Cholesky factor, the objective of the start and after every step."""

    mean: FloatArray
    scatter: FloatArray
    factor: FloatArray
    objective: tuple[float, ...]
    count: float


def robust_fit(
    image: Pixels, weight: Weight, dof: float, threshold: float | None, tolerance: float, max_steps: int
) -> RobustFit:
    """Fit from the plain moments on; a step is kept only if it does not increase the objective."""
    loss = _loss(weight, image.channels, dof, threshold)
    tolerance = finite_number("tolerance", tolerance)
    steps = integer_at_least("max_steps", max_steps, 1)
    start = moments_of_image(image)
    count = start.weight
    if count == 0.0:
        raise ArgumentError("image must have an observed pixel, got none; mask less.")
    mean, scatter = start.mean, start.scatter / count
    factor = cholesky_of(scatter, remedy_of(count, image.channels, _REMEDY, "take a larger image"))
    value, weighted = _evaluate(image, mean, factor, loss, count)
    objective = [value]
    for _ in range(steps):
        new_mean = weighted.mean
        new_scatter = weighted.scatter / (weighted.weight if loss.rescaled else count)
        if (np.diagonal(new_scatter) < _COLLAPSED * np.diagonal(start.scatter / count)).any():
            raise SingularCovarianceError(
                f"the weighted scatter shrinks without end: {_REMEDY}, or pass a weight that decreases slower.",
                np.eye(image.channels)[np.argmin(np.diagonal(new_scatter))],
                0.0,
            )
        new_factor = cholesky_of(new_scatter, _REMEDY)
        value, new_weighted = _evaluate(image, new_mean, new_factor, loss, count)
        gain = objective[-1] - value
        if gain < -1e-8 * max(1.0, abs(value)):
            raise ArgumentError(
                f"weight must not increase with the squared distance: the objective went up by {-gain:.3g}; check the "
                "function between the distances of the pixels."
            )
        if gain >= 0.0:  # a step within rounding of the minimum may go up by rounding: the better one is kept
            mean, scatter, factor, weighted = new_mean, new_scatter, new_factor, new_weighted
            objective.append(value)
        if gain <= tolerance:
            return RobustFit(mean, scatter, factor, tuple(objective), count)
    raise ConvergenceError(
        f"the robust fit has not converged in {steps} steps, the last one gained {gain:.3g} nats per pixel; raise "
        "max_steps or the tolerance."
    )


@dataclass(frozen=True, eq=False)
class _Loss:
    """``w(s)`` and ``rho(s) = (1/2) integral_0^s w``; `rescaled` divides the scatter by the sum of the weights."""

    weight: Rule
    rho: Callable[[FloatArray], FloatArray]
    rescaled: bool


def _loss(weight: Weight, channels: int, dof: float, threshold: float | None) -> _Loss:
    if callable(weight):
        checked = partial(_checked, weight)
        return _Loss(checked, _Integral(checked, channels), False)
    if weight == "student":
        v = positive_number("dof", dof)
        return _Loss(
            lambda s: (v + channels) / (v + s),
            lambda s: 0.5 * (v + channels) * np.log1p(s / v),
            True,  # the parameter-expanded step (Kent, Tyler & Vardi 1994): as monotone, and fewer of them
        )
    if weight == "huber":
        tail = 2.0 * scipy.special.gammainccinv(0.5 * channels, _OUTSIDE)
        k = float(np.sqrt(tail)) if threshold is None else positive_number("threshold", threshold)
        return _Loss(
            lambda s: k / np.maximum(np.sqrt(s), k),
            lambda s: np.where(s <= k * k, 0.5 * s, k * np.sqrt(s) - 0.5 * k * k),
            False,
        )
    raise ArgumentError(f"weight must be 'student', 'huber' or a callable of the squared distance, got {weight!r}.")


def _evaluate(image: Pixels, mean: FloatArray, factor: FloatArray, loss: _Loss, count: float) -> tuple[float, Moments]:
    """Return ``J(m, S)`` and the moments weighted at ``(m, S)``, in one pass."""
    mean, factor = read_only(mean), read_only(factor)
    blocks = _threads.ranges(image.size, BLOCK)
    results: list[Moments | None] = [None] * len(blocks)
    losses = np.zeros(len(blocks))

    def task(index: int) -> None:
        first, last = blocks[index]
        x, usable = image.block(first, last), image.usable(first, last)
        if usable is not None:
            x = np.ascontiguousarray(x[:, usable])
        distance = np.empty(x.shape[1])
        distances_of_block(x, mean, factor, distance)
        losses[index] = loss.rho(distance).sum()
        results[index] = moments_of_block(x - mean[:, np.newaxis], loss.weight(distance))

    _threads.run([partial(task, index) for index in range(len(blocks))])
    merger = Merger()
    merger.add_all([result for result in results if result is not None])
    logdet = 2.0 * float(np.log(np.diagonal(factor)).sum())
    return 0.5 * logdet + float(losses.sum()) / count, merger.total(mean)


def _checked(weight: Rule, s: FloatArray) -> FloatArray:
    """Return the weights a user's function gives, after checking that they are weights."""
    values = np.asarray(weight(s), dtype=np.float64)
    if values.shape != s.shape:
        raise ArgumentError(f"weight must return one number per squared distance, {s.shape}, got {values.shape}.")
    if not np.isfinite(values).all() or (values < 0.0).any():
        raise ArgumentError("weight must return finite numbers that are not negative; check it on np.linspace(0, 100).")
    return values


class _Integral:
    """``rho(s)`` of any weight: Gauss-Legendre sums over the cells of a graded mesh and over the part of the last one.

    Cells are fine near 0 and even in ``log s``; the mesh is the same whatever the distances are.
    """

    def __init__(self, weight: Rule, channels: int) -> None:
        self._weight = weight
        self._edges = np.concatenate([[0.0], np.logspace(-8.0, 16.0, _CELLS)])
        values = weight(self._edges)
        rise = float(np.max(np.diff(values)))
        if rise > 1e-12 * float(values.max()):
            raise ArgumentError(
                f"weight must not increase with the squared distance, got a rise of {rise:.3g}; then its objective "
                "could increase, too."
            )
        if float((self._edges * values).max()) <= channels:
            raise ArgumentError(
                f"weight must decrease slower: s w(s) must exceed the {channels} channels for some squared distance s, "
                f"got at most {(self._edges * values).max():.3g}; else the scatter shrinks without end. Multiply it "
                "by a constant."
            )
        self._below = np.concatenate([[0.0], np.cumsum(self._over(self._edges[:-1], self._edges[1:]))])

    def __call__(self, s: FloatArray) -> FloatArray:
        cell = np.minimum(np.searchsorted(self._edges, s, side="right") - 1, len(self._edges) - 1)
        return 0.5 * (self._below[cell] + self._over(self._edges[cell], s))

    def _over(self, low: FloatArray, high: FloatArray) -> FloatArray:
        half, total = 0.5 * (high - low), np.zeros(len(low))
        for node, share in zip(*_GAUSS, strict=True):
            total += share * self._weight(low + half * (node + 1.0))
        return half * total
