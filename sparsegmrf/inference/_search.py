"""The search for the largest likelihood, and the information there."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.inference._objective import Objective
from sparsegmrf.typing import FloatArray

_ROOM = 4.0
_ROUNDS = 4
_STEP = 1e-3
_NO_NOISE = 9.0
"""How far the logarithm of the noise variance may fall before it counts as zero."""


def observed_information(objective: Objective, at: FloatArray) -> FloatArray:
    """Return minus the Hessian at unconstrained numbers, by central differences of the exact gradient."""
    steps = _STEP * np.eye(len(at))
    rows = [-(objective(at + step)[1] - objective(at - step)[1]) / (2.0 * _STEP) for step in steps]
    return np.asarray((np.array(rows) + np.transpose(rows)) / 2.0)


@dataclass(frozen=True, eq=False)
class Guess:
    """Where a search starts: unconstrained numbers, and ``R`` with the information about ``R R^T`` there."""

    at: FloatArray
    root: FloatArray


def maximize(objective: Objective, tolerance: float, guess: Guess | None = None) -> tuple[FloatArray, bool, str]:
    """Search from the start, in a box that is moved where it holds the search up.

    With a guess the search is in units of its standard errors, ``v = R^T (u - u_0)``, where the likelihood is round,
    and the tolerance counts for those. Returns the numbers, whether the gradient vanishes there, and why it ended.
    """
    from scipy.optimize import minimize

    at = objective.start(objective.model, None) if guess is None else guess.at
    if not len(at):
        return at, True, "nothing to search: every parameter has a closed form"
    first = at
    root = np.eye(len(at)) if guess is None else guess.root
    stretch = np.asarray(np.linalg.inv(root).T, dtype=np.float64)
    room = _ROOM * float(np.linalg.norm(root, 2))

    def negative(v: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = objective(first + stretch @ v)
        return -value, -(gradient @ stretch)

    v = np.zeros(len(at))
    for _ in range(_ROUNDS):
        low, high = v - room, v + room
        found = minimize(
            negative,
            v,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(low, high, strict=True)),
            options={"ftol": 1e-15, "gtol": tolerance},
        )
        v = found.x
        at = first + stretch @ v
        if objective.estimated and at[-1] < first[-1] - _NO_NOISE:
            return at, False, "noise_variance ran to zero: the image shows no independent noise; fit with noise=None"
        held = (v <= low) | (v >= high)
        if not held.any():
            break
    else:
        edge = [name for name, is_held in zip(objective.names, held, strict=True) if is_held]
        return at, False, f"{', '.join(edge)} ran to the edge of the search; hold it by fixed=, or drop it (noise=None)"
    largest = float(np.abs(found.jac).max())
    if largest <= 10.0 * tolerance:
        return at, True, f"largest derivative {largest:.2g} nats, after {objective.count[0]} likelihoods"
    return at, False, f"largest derivative {largest:.2g} nats is above the tolerance {tolerance:g}: {found.message}"
