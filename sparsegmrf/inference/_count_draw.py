"""A draw of a field given counts, by Hamiltonian Monte Carlo about their Laplace approximation."""

from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import ConvergenceError
from sparsegmrf.inference._counts import Counts
from sparsegmrf.inference._laplace import LaplacePosterior
from sparsegmrf.typing import FloatArray

_FIRST, _MOST = 4, 1024
"""Steps of a trajectory: to begin with, and at most."""
_TRAJECTORIES = 10
_ENERGY = 1.0
"""Error of the energy in nats that the steps of the first trajectory may leave."""


class _State(NamedTuple):
    """Deviation from the mode, velocity, what the remainder of the energy accelerates by, and the energy."""

    d: FloatArray
    v: FloatArray
    kick: FloatArray
    energy: float


def draw_given_counts(
    posterior: LaplacePosterior, counts: Counts, stream: np.random.Generator, mode: FloatArray | None = None
) -> FloatArray:
    """Return a field ``(H, W)`` drawn given counts, not from their Laplace approximation but from what it approximates.

    Of fields stacked at a pixel, whose weighted sum was counted, all of them ``(H, W, C)``; `mode` is the linear
    predictor at the mode then.

    ``-log p(x | y) = d^T P d / 2 + U(d)`` with the deviation ``d`` from the mode and ``U = l(x*) + l'(x*)^T d -
    l(x* + d) - d^T W d / 2``. With velocities ``v ~ N(0, P^-1)`` the first part turns ``(d, v)`` about a circle,
    exactly; the second one kicks by ``-h P^-1 grad U``. A quarter of the circle forgets where it started, all of it if
    ``U`` is zero, so that ten of them from the mode come to the posterior; each is accepted or refused by its error of
    energy.

    Raises
    ------
    ConvergenceError
        If steps as short as can be still lose the energy.

    References
    ----------
    B. Shahbaba, S. Lan, W. Johnson, R. Neal (2014), Split Hamiltonian Monte Carlo, Statistics and Computing 24.
    """
    eta = np.array(posterior.mean) if mode is None else mode
    steps = _FIRST
    while steps <= _MOST:
        d, accepted = np.zeros(posterior.mean.shape), 0
        for number in range(_TRAJECTORIES):
            before = _state(posterior, counts, eta, d, posterior.sample(rng=stream) - posterior.mean)
            with np.errstate(over="ignore", invalid="ignore"):
                after = _trajectory(posterior, counts, eta, before, steps)
            gain = before.energy - after.energy  # not finite where it flew off: refused
            if number == 0 and not abs(gain) <= _ENERGY:
                break
            if -stream.standard_exponential() < gain:
                d, accepted = after.d, accepted + 1
        if 2 * accepted > _TRAJECTORIES:
            return posterior.mean + d
        steps *= 2
    raise ConvergenceError(
        f"no draw of the field given the counts was found: {_MOST} steps of a trajectory lose its energy, so far from "
        "a normal one is the posterior; diagnose its Laplace approximation, result.posterior(), by itself."
    )


def _trajectory(posterior: LaplacePosterior, counts: Counts, eta: FloatArray, state: _State, steps: int) -> _State:
    """Return the state a quarter of the circle on, by kicks that are half before and half after every turn."""
    h = 0.5 * np.pi / steps
    for _ in range(steps):
        v = state.v + 0.5 * h * state.kick
        d, v = np.cos(h) * state.d + np.sin(h) * v, np.cos(h) * v - np.sin(h) * state.d
        kick = _kick(posterior, counts, eta, d)
        state = _State(d, v + 0.5 * h * kick, kick, np.inf)
        if not np.isfinite(kick).all():
            return state
    return _state(posterior, counts, eta, state.d, state.v)


def _state(posterior: LaplacePosterior, counts: Counts, eta: FloatArray, d: FloatArray, v: FloatArray) -> _State:
    P = posterior.precision
    seen = counts.total(d)
    remainder = counts.divergence(eta, seen) - 0.5 * float(np.sum(posterior.curvature * seen * seen))
    energy = remainder + 0.5 * float(np.sum(d * (P @ d)) + np.sum(v * (P @ v)))
    return _State(d, v, _kick(posterior, counts, eta, d), energy)


def _kick(posterior: LaplacePosterior, counts: Counts, eta: FloatArray, d: FloatArray) -> FloatArray:
    """Return ``-P^-1 grad U = P^-1 (l'(x* + d) - l'(x*) + W d)``; infinite past overflow."""
    seen = counts.total(d)
    moved, there = counts.derivatives(eta + seen).slope, counts.derivatives(eta).slope
    force = counts.spread(moved - there + posterior.curvature * seen)
    return posterior.factor.solve(force) if np.isfinite(force).all() else np.full_like(force, np.inf)
