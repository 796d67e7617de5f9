"""The mode of a field given counts, by Newton's method."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsegmrf.errors import ConvergenceError, NotPositiveDefiniteError
from sparsegmrf.factors import Factor
from sparsegmrf.inference._counts import Counts
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.likelihoods import Derivatives
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray

_MOST = 100
_HALVINGS = 40
_SUFFICIENT = 1e-4
"""Share of the gain that the slope promises which a step must bring."""
_SETTLED = 1e-16
"""Squared Newton decrement per pixel at which the step after it is the last: convergence is quadratic."""
_ROUNDING = 4.0 * float(np.finfo(float).eps)
"""Relative rounding of a linear predictor and of its gradient, below which no decrement falls."""


@dataclass(frozen=True, eq=False)
class Mode:
    """Where ``l(eta) - (eta - mu)^T Q (eta - mu) / 2`` is largest, and its curvature ``P = Q + W`` there.

    Attributes
    ----------
    eta : ndarray, (H, W)
        The mode.
    derivatives : Derivatives
        Of the log-likelihood at the mode.
    precision : SymmetricStencil
        ``P``.
    factor : Factor
        Of ``P``.
    steps : int
        Newton steps taken.
    decrement : float
        ``sqrt(g^T P^-1 g)`` of what is left of the gradient: how far off the mode is, in posterior standard deviations.
    """

    eta: FloatArray
    derivatives: Derivatives
    precision: SymmetricStencil
    factor: Factor
    steps: int
    decrement: float


def find_mode(
    prior: PriorPrecision,
    mean: FloatArray,
    counts: Counts,
    factorizer: Refactorizer,
    starts: Sequence[FloatArray],
) -> Mode:
    """Return the mode, by Newton steps ``P^-1 g`` from the best of some starts.

    ``g = l'(eta) - Q (eta - mu)``. The problem is concave; a step that brings less than a small share of what its slope
    promises is halved. It ends one step after the decrement ``g^T P^-1 g`` has fallen to rounding: that of the sum, or
    where counts are so large that ``eta`` has no more digits that of ``eta`` in its standard deviations.

    Raises
    ------
    ConvergenceError
        If that does not happen, as where counts leave the mode at infinity.
    """
    Q = prior.stencil
    eta = max(starts, key=lambda start: log_joint(prior, mean, counts, start))
    settled, square, length = False, np.inf, 1.0
    for steps in range(_MOST):
        at = counts.derivatives(eta)
        gradient = at.slope - Q @ prior.without_level(eta - mean)
        P = Q.plus_diagonal(at.curvature)
        try:
            factor = factorizer(P)
        except NotPositiveDefiniteError as error:
            if not steps:
                raise
            raise _not_converged(steps, square, length, "the curvature has vanished") from error
        step = factor.solve(gradient)
        square = float(np.sum(gradient * step))
        rounding = float(np.sum(P.diagonal() * (_ROUNDING * (1.0 + np.abs(eta))) ** 2))
        small = square <= max(_SETTLED * eta.size, rounding)
        if settled and small:
            return Mode(eta, at, P, factor, steps, float(np.sqrt(max(square, 0.0))))
        length = _length(Q, counts, eta, step, square)
        if length == 0.0:
            raise _not_converged(steps, square, length, "no shorter step gains anything")
        eta = eta + length * step
        settled = small
    raise _not_converged(_MOST, square, length, "the decrement must fall to rounding")


def log_joint(prior: PriorPrecision, mean: FloatArray, counts: Counts, eta: FloatArray) -> float:
    """Return ``l(eta) - (eta - mu)^T Q (eta - mu) / 2`` in nats, without a level that is free."""
    deviation = prior.without_level(eta - mean)
    return counts.log_density(eta) - 0.5 * float(np.sum(deviation * (prior.stencil @ deviation)))


def _length(Q: SymmetricStencil, counts: Counts, eta: FloatArray, step: FloatArray, square: float) -> float:
    """Return the first of 1, 1/2, 1/4, ... with a sufficient gain, 0 if there is none.

    The gain of ``t d`` is ``t g^T d - t^2 d^T Q d / 2 - D(t d)`` with the likelihood's divergence ``D``: no difference
    of two large numbers, so that it can be told down to rounding.
    """
    quadratic = float(np.sum(step * (Q @ step)))
    length = 1.0
    for _ in range(_HALVINGS):
        gain = length * square - 0.5 * length**2 * quadratic - counts.divergence(eta, length * step)
        if gain >= _SUFFICIENT * length * square:
            return length
        length /= 2.0
    return 0.0


def _not_converged(steps: int, square: float, length: float, why: str) -> ConvergenceError:
    return ConvergenceError(
        f"the mode of the field given the counts was not found in {steps} Newton steps ({why}): squared decrement "
        f"{square:.3g}, last step length {length:.3g}. The counts may leave it at infinity, as an intrinsic field or "
        "covariates do where they can lower counts of zero without end: use a proper field, or fewer covariates."
    )
