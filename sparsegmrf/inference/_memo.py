"""What a search remembers: points it has seen, and what makes the next one cheaper."""

from typing import Any, NamedTuple

import numpy as np

from sparsegmrf.inference._mode import Place
from sparsegmrf.inference._progress import evaluated, of_size
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.typing import FloatArray


class Point(NamedTuple):
    """Value in nats, gradient and information at a point.

    The last is the noise variance over that of a pixel of the field given all others; None: it is not estimated. If it
    is, its logarithm is the last of the numbers.
    """

    value: float
    gradient: FloatArray
    information: FloatArray
    noise_share: float | None


class Workspace:
    """Analyses of patterns, memory of factors that are gone, and places to start from: they change no value.

    Factors are kept in double precision or in single, which changes gradients by rounding of the latter.

    Attributes
    ----------
    prior, posterior : Refactorizer
        Of the precisions of the field, and of the field given the data.
    modes : list of Place
        Modes of the field given counts, image by image, where it was evaluated last.
    coefficients : ndarray, (p,), or None
        Of the trend's columns, at that mode, where they were integrated out.
    """

    def __init__(self, digits: str = "double") -> None:
        self.prior, self.posterior = Refactorizer(digits), Refactorizer(digits)
        self.modes: list[Place] = []
        self.coefficients: FloatArray | None = None


class Memo:
    """Points of an objective that were evaluated, so that none is evaluated twice.

    Attributes
    ----------
    objective : Objective or CountObjective
        The function.
    evaluations : int
        Times it was evaluated.
    workspace : Workspace
        What makes the next evaluation cheaper.
    """

    def __init__(self, objective: Any, workspace: Workspace | None = None) -> None:
        self.objective, self.evaluations = objective, 0
        self.workspace = Workspace(objective.digits) if workspace is None else workspace
        self._points: dict[bytes, Point] = {}
        self._last: tuple[bytes, Any] | None = None
        of_size(objective.n_observed)

    @property
    def names(self) -> list[str]:
        """Names of the numbers."""
        names: list[str] = self.objective.names
        return names

    def __call__(self, at: FloatArray) -> Point:
        """Return what is known of a point; one seen before is remembered."""
        key = _key(at)
        if key not in self._points:
            self.evaluations += 1
            self.let_go()
            found = self.objective.evaluate(at, self.workspace)
            self._last = key, found  # the images in it are kept of one point only
            self._points[key] = self.objective.point(at, found)
            evaluated(self.objective.n_observed)
        return self._points[key]

    def value(self, at: FloatArray) -> float:
        """Return the value alone, at a third of the cost."""
        self.evaluations += 1
        self.let_go()
        value = float(self.objective.value(at, self.workspace))
        evaluated(self.objective.n_observed)
        return value

    def solution(self, at: FloatArray) -> Any:
        """Return what belongs to a point, as the objective has it."""
        key = _key(at)
        if self._last is None or self._last[0] != key:
            self.evaluations += 1
            self._last = key, self.objective.evaluate(at, self.workspace, gradient=False)
        return self.objective.solution(self._last[1])

    def last(self, at: FloatArray) -> Any | None:
        """Return what was evaluated of a point, if it was the last one."""
        return self._last[1] if self._last is not None and self._last[0] == _key(at) else None

    def unprofiled(self, at: FloatArray) -> tuple["Memo", FloatArray]:
        """Return the function of all estimated numbers, no scale profiled, and the point as these."""
        if self.objective.scale is None:
            return self, at
        full, numbers = self.objective.unprofiled(self.solution(at))
        self.let_go()
        return Memo(full, self.workspace), numbers

    def let_go(self) -> None:
        """Keep of the last point what has no factors: the next evaluation makes its own."""
        if self._last is not None and hasattr(self.objective, "without_factors"):
            key, found = self._last
            self._last = key, self.objective.without_factors(found)


def _key(at: FloatArray) -> bytes:
    return np.ascontiguousarray(at, dtype=np.float64).tobytes()
