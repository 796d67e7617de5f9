"""What the densities of working parameters given observations share: a function that remembers its points."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

from sparsegmrf._interval import Interval
from sparsegmrf.errors import ArgumentError, SparseGMRFError
from sparsegmrf.inference._conclusion import conclude
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._parameters import Coordinates
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._search import Ending, maximize, observed_information, tried
from sparsegmrf.typing import BoolArray, FloatArray

_TOLERANCE = 1e-2
"""Newton step in standard errors at which the search for the mode ends."""


@dataclass(frozen=True, eq=False)
class MemoPosterior:
    """Log-likelihood, the trend integrated out, plus log-prior as a function of all working parameters.

    Attributes
    ----------
    problem : Problem
        What was fitted.
    memo : Memo
        The function, with the analysis of the pattern.
    mode : ndarray, (K,)
        Where it is largest.
    make : callable
        Makes the fit that belongs to working parameters.
    """

    problem: Problem
    memo: Memo
    mode: FloatArray
    make: Any

    @classmethod
    def searched(cls, problem: Problem, memo: Memo, start: FloatArray, make: Any) -> Self:
        """Search the mode from a start.

        Raises
        ------
        ArgumentError
            If nothing was estimated, or the search does not end at a maximum.
        """
        if not memo.names:
            raise ArgumentError("fixed must leave a parameter to integrate over, got a fit that estimates none.")
        ended = maximize(memo, start, _TOLERANCE)
        if ended.ending is not Ending.MAXIMUM:
            said = conclude(memo, ended, start, _TOLERANCE).reason
            raise ArgumentError(
                "parameters must have a posterior density that is largest somewhere, and smooth there, got a search "
                f"that ended so: {said}. Give priors= that hold the parameter, or hold it by fixed=."
            )
        return cls(problem, memo, ended.at, make)

    @property
    def names(self) -> list[str]:
        """Names of the parameters."""
        return self.memo.names

    @property
    def without_prior(self) -> list[str]:
        """Parameters without a prior, whose working numbers have a flat one."""
        return [name for name in self.names if name not in self.problem.priors]

    @property
    def joint(self) -> frozenset[str]:
        """Parameters that are valid in a joint region, of which no working number is one's own."""
        joint: frozenset[str] = self.memo.objective.coordinates.joint
        return joint

    @property
    def evaluations(self) -> int:
        """Densities evaluated so far."""
        return self.memo.evaluations

    @cached_property
    def _values(self) -> dict[bytes, float]:
        return {}

    def information(self) -> FloatArray:
        """Return minus the Hessian at the mode."""
        return observed_information(self.memo, self.mode)

    def value(self, at: FloatArray) -> float:
        """Return the log-density in nats, minus infinity where it cannot be evaluated."""
        key = at.tobytes()
        if key not in self._values:
            try:
                with np.errstate(all="ignore"):  # what is no number is seen below
                    found = self.memo.value(at)
            except (SparseGMRFError, ArithmeticError, np.linalg.LinAlgError):
                found = -np.inf
            self._values[key] = found if np.isfinite(found) else -np.inf
        return self._values[key]

    def gradient_and_information(self, at: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return the log-density, its gradient, and what stands for minus the Hessian."""
        found = tried(self.memo, at)
        return found.value, found.gradient, found.information

    def values_at(self, at: FloatArray) -> list[float]:
        """Return the parameters at working parameters."""
        values: list[float] = self.memo.objective.values_at(at)
        return values

    def jacobian(self, at: FloatArray) -> FloatArray:
        """Return the derivatives of the parameters (rows) by their working parameters (columns)."""
        return np.asarray(self.memo.objective.jacobian(at))

    def intervals(self, at: FloatArray) -> list[Interval]:
        """Return by parameter its interval, the others held."""
        intervals: list[Interval] = self.memo.objective.intervals(at)
        return intervals

    def working(self, values: FloatArray, joint: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return working parameters ``(..., K)`` of which some are given by their parameters, and ``log |dv/du|``.

        Those of the joint region are; NaN outside it.
        """
        coordinates: Coordinates = self.memo.objective.coordinates
        places = np.flatnonzero(joint)
        forms = coordinates.forms[np.ix_(places, places)]
        inside, numbers = values[..., places] @ forms.T, values.copy()
        log_slopes = np.full(values.shape[:-1], -float(np.linalg.slogdet(forms)[1]))
        with np.errstate(invalid="ignore", divide="ignore"):  # outside the region
            for k, own in zip(places.tolist(), np.moveaxis(inside, -1, 0), strict=True):
                interval = coordinates.intervals[k]
                numbers[..., k] = np.vectorize(interval.outward, otypes=[float])(own)
                log_slopes += np.log(np.vectorize(interval.slope, otypes=[float])(own))
        return numbers, log_slopes
