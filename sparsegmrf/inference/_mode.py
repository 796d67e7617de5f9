"""The mode of a field given counts, by Newton's method."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import ConvergenceError, NotPositiveDefiniteError
from sparsegmrf.factors import Factor
from sparsegmrf.factors.congruent import CongruentForm
from sparsegmrf.inference._counts import Counts
from sparsegmrf.inference._observations import with_weight_of_total
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.likelihoods import Derivatives
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray

MOST = 100
_HALVINGS = 40
_SUFFICIENT = 1e-4
"""Share of the gain that the slope promises which a step must bring."""
SETTLED = 1e-16
"""Squared Newton decrement per pixel at which the step after it is the last: convergence is quadratic."""
_ROUNDING = 4.0 * float(np.finfo(float).eps)
"""Relative rounding of a linear predictor and of its gradient, below which no decrement falls."""


class Place(NamedTuple):
    """Where a mode is: the deviation from the mean and the linear predictor."""

    deviation: FloatArray
    eta: FloatArray


@dataclass(frozen=True, eq=False)
class Mode:
    """Where ``l(mu + a^T u) - u^T Q u / 2`` is largest, and its curvature ``P = Q + a W a^T`` there.

    Attributes
    ----------
    deviation : ndarray, (H, W) or (H, W, C)
        ``u``: the field less its mean, or the fields stacked at a pixel.
    eta : ndarray, (H, W)
        The linear predictor ``mu + a^T u``.
    derivatives : Derivatives
        Of the log-likelihood at the mode.
    precision : SymmetricStencil or CongruentForm
        ``P``.
    factor : Factor
        Of ``P``.
    steps : int
        Newton steps taken.
    decrement : float
        ``sqrt(g^T P^-1 g)`` of what is left of the gradient: how far off the mode is, in posterior standard deviations.
    """

    deviation: FloatArray
    eta: FloatArray
    derivatives: Derivatives
    precision: SymmetricStencil | CongruentForm
    factor: Factor
    steps: int
    decrement: float

    @property
    def place(self) -> Place:
        """Where it is, without the factor."""
        return Place(self.deviation, self.eta)


def find_mode(
    prior: PriorPrecision,
    mean: FloatArray,
    counts: Counts,
    factorizer: Refactorizer,
    starts: Sequence[FloatArray],
) -> Mode:
    """Return the mode, by Newton steps ``P^-1 g`` from the best of some deviations from the mean ``(H, W)``.

    ``g = a l'(eta) - Q u``. The problem is concave; a step that brings less than a small share of what its slope
    promises is halved. It ends one step after the decrement ``g^T P^-1 g`` has fallen to rounding: that of the sum, or
    where counts are so large that ``eta`` has no more digits that of ``eta`` in its standard deviations.

    Raises
    ------
    ConvergenceError
        If that does not happen, as where counts leave the mode at infinity.
    """
    Q = prior.stencil
    if prior.outside is not None:
        starts = [np.where(prior.outside, 0.0, start) for start in starts]
    u = max(starts, key=lambda start: log_joint(prior, mean, counts, start))
    settled, square, length = False, np.inf, 1.0
    for steps in range(MOST):
        eta = mean + counts.total(u)
        at = counts.derivatives(eta)
        gradient = counts.spread(at.slope) - Q @ prior.without_level(u)
        P = with_curvature(Q, counts, at.curvature)
        try:
            factor = factorizer(P)
        except NotPositiveDefiniteError as error:
            if not steps:
                raise
            raise _not_converged(steps, square, length, "the curvature has vanished") from error
        step = factor.solve(gradient)
        square = float(np.sum(gradient * step))
        small = square <= max(SETTLED * eta.size, rounding(Q, counts, at.curvature, eta, u))
        if settled and small:
            return Mode(u, eta, at, P, factor, steps, float(np.sqrt(max(square, 0.0))))
        length = _length(Q, counts, eta, step, square)
        if length == 0.0:
            raise _not_converged(steps, square, length, "no shorter step gains anything")
        u = u + length * step
        settled = small
        del factor  # its memory is the next one's
    raise _not_converged(MOST, square, length, "the decrement must fall to rounding")


def rounding(Q: SymmetricStencil, counts: Counts, W: FloatArray, eta: FloatArray, u: FloatArray) -> float:
    """Return the squared decrement that rounding of the linear predictor, and of stacked fields, makes."""
    of_eta = _ROUNDING * (1.0 + np.abs(eta))
    if counts.combination is None:
        return float(np.sum((Q.diagonal() + W) * of_eta**2))
    return float(np.sum(W * of_eta**2) + np.sum(Q.diagonal() * (_ROUNDING * np.abs(u)) ** 2))


def first_deviation(counts: Counts, mean: FloatArray) -> FloatArray:
    """Return the deviation that each measurement suggests by itself, shared among stacked fields."""
    return counts.lifted(counts.first_guess() - mean)


def log_joint(prior: PriorPrecision, mean: FloatArray, counts: Counts, u: FloatArray) -> float:
    """Return ``l(mu + a^T u) - u^T Q u / 2`` in nats, without a level that is free."""
    deviation = prior.without_level(u)
    quadratic = float(np.sum(deviation * (prior.stencil @ deviation)))
    return counts.log_density(mean + counts.total(u)) - 0.5 * quadratic


def with_curvature(Q: SymmetricStencil, counts: Counts, curvature: FloatArray) -> SymmetricStencil | CongruentForm:
    """Return ``Q + a W a^T``."""
    if counts.combination is None:
        return Q.plus_diagonal(curvature)
    return with_weight_of_total(Q, counts.combination, curvature)


def step_length(square: float, quadratic: float, lost: Callable[[float], float]) -> float:
    """Return the first of 1, 1/2, 1/4, ... with a sufficient gain, 0 if there is none.

    The gain of ``t d`` is ``t g^T d - t^2 d^T Q d / 2 - D(t a^T d)`` with the likelihood's divergence ``D``: no
    difference of two large numbers, so that it can be told down to rounding.

    Parameters
    ----------
    square, quadratic : float
        ``g^T d`` and ``d^T Q d``.
    lost : callable
        ``D`` as a function of ``t``.
    """
    length = 1.0
    for _ in range(_HALVINGS):
        if length * square - 0.5 * length**2 * quadratic - lost(length) >= _SUFFICIENT * length * square:
            return length
        length /= 2.0
    return 0.0


def _length(Q: SymmetricStencil, counts: Counts, eta: FloatArray, step: FloatArray, square: float) -> float:
    """Return how far to go along a step, as `step_length` has it."""
    moved = counts.total(step)
    return step_length(square, float(np.sum(step * (Q @ step))), lambda length: counts.divergence(eta, length * moved))


def _not_converged(steps: int, square: float, length: float, why: str) -> ConvergenceError:
    return ConvergenceError(
        f"the mode of the field given the counts was not found in {steps} Newton steps ({why}): squared decrement "
        f"{square:.3g}, last step length {length:.3g}. The counts may leave it at infinity, as an intrinsic field or "
        "covariates do where they can lower counts of zero without end: use a proper field, or fewer covariates."
    )
