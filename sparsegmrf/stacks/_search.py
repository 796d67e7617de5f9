"""Maximum likelihood of a stack: on all of it, or on windows that are added as if they were independent."""

from dataclasses import dataclass, field

import numpy as np

from sparsegmrf.inference._memo import Point
from sparsegmrf.inference._progress import evaluated, of_size
from sparsegmrf.inference._search import Ended, maximize, tried
from sparsegmrf.stacks._evidence import Evidence, Make, StackModel, named, named_information, together
from sparsegmrf.stacks._observed import StackData
from sparsegmrf.stacks._problem import NOISE, Numbers, StackProblem, cropped
from sparsegmrf.stacks._windows import Window, best_observed, each
from sparsegmrf.typing import FloatArray

_TOLERANCE = 0.03
"""Newton step in standard errors at which a search ends."""
_SMALL = 8
"""Side in pixels of the window on which points to start from are compared."""
_POWER = 2.0
"""Of the number of pixels, with which the time of a likelihood grows from that window to all that is fitted."""
_TIMES = (1.0, 4.0, 16.0, 64.0)
"""Gaps between dates, as multiples of the median, that are tried as scale in time."""
_NOISES = (0.01, 0.1, 1.0)
"""Noise variances, as multiples of that to start from."""


@dataclass(eq=False)
class Likelihood:
    """Log-likelihood of working parameters, summed over windows; points are remembered.

    Attributes
    ----------
    problem : StackProblem
    windows : list of Window
        One is the whole.
    make : callable
        Makes a factor.
    evaluations : int
        Points that were evaluated.
    """

    problem: StackProblem
    windows: list[Window]
    make: Make
    evaluations: int = 0
    _points: dict[bytes, Point] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.parts = [(self.problem.data(*window), cropped(self.problem.start, *window)) for window in self.windows]
        data, start = self.parts[0]
        self.numbers = Numbers.of(self.problem, data.shape, start)
        of_size(self.n_pixels, _POWER)

    @property
    def n_pixels(self) -> int:
        """Of all windows."""
        return sum(data.n_pixels for data, _ in self.parts)

    @property
    def names(self) -> list[str]:
        """Names of the numbers."""
        return self.numbers.names

    @property
    def start(self) -> FloatArray:
        """The numbers of the model to start from."""
        return self.numbers.numbers(self.problem.values_of(self.problem.start))

    def __call__(self, at: FloatArray) -> Point:
        """Return value, gradient and average information."""
        key = np.ascontiguousarray(at).tobytes()
        if key not in self._points:
            self._points[key] = self._evaluated(at)
        return self._points[key]

    def value(self, at: FloatArray) -> float:
        """Return the value alone."""
        self.evaluations += 1
        found = float(sum(each.loglik for each in self._evidence(self.numbers.values(at))))
        evaluated(self.n_pixels)
        return found

    def _evidence(self, values: dict[str, float]) -> list[Evidence]:
        """Return the windows at parameters, with the coefficients of the trend that they have together."""

        def of(part: tuple[StackData, StackModel]) -> Evidence:
            data, start = part
            found = Evidence.of(self.problem.model_of(values, start), data, self.make)
            if len(self.parts) > 1:
                _ = found.held  # what takes time, in its thread
            return found

        return together(each(of, self.parts))

    def _evaluated(self, at: FloatArray) -> Point:
        self.evaluations += 1
        values, J, names = self.numbers.values(at), self.numbers.jacobian(at), self.numbers.in_evidence
        value, gradient, information = 0.0, np.zeros(len(at)), np.zeros((len(at), len(at)))
        share = None
        parts = self._evidence(values)
        said = each(lambda found: (found.loglik, found.gradient(), found.information()), parts)
        for found, (loglik, slopes, known) in zip(parts, said, strict=True):
            value += loglik
            gradient += named(slopes, names) @ J
            information += J.T @ named_information(known, names) @ J
            if share is None and NOISE in self.names:
                pairs = zip(found.precision.Q, found.precision.J, strict=True)
                given_others = sum(1.0 / float(Q.diagonal().mean() * J.diagonal.mean()) for Q, J in pairs)
                share = found.model.noise_variance / given_others
        evaluated(self.n_pixels)
        return Point(value, gradient, information, share)


def search(problem: StackProblem, windows: list[Window], make: Make, *, warm: bool = False) -> tuple[Likelihood, Ended]:
    """Return the likelihood of a stack and where it is largest, a small window having been searched first."""
    whole = Likelihood(problem, windows, make)
    if not whole.names:
        return whole, maximize(whole, whole.start, _TOLERANCE)
    at = whole.start
    if not warm:
        at = _start(problem, whole, make)
    return whole, maximize(whole, at, _TOLERANCE)


def _start(problem: StackProblem, whole: Likelihood, make: Make) -> FloatArray:
    """Return the numbers to start from: the likeliest of some on a small window, searched there."""
    seen = problem.observed.sum(axis=0)
    small = Likelihood(problem, [best_observed(seen, _SMALL)], make)
    at = small.start
    for name, factors in (*((ell, _TIMES) for ell in problem.scales_in_time), (NOISE, _NOISES)):
        if name in small.names:
            k = small.names.index(name)
            trials = [at + np.log(factor) * (np.arange(len(at)) == k) for factor in factors]
            at = trials[int(np.argmax([tried(small, trial).value for trial in trials]))]
    if problem.values[0].size <= small.parts[0][0].n_pixels or not np.isfinite(tried(small, at).value):
        return at
    ended = maximize(small, at, 2.0 * _TOLERANCE)
    reached = small.numbers.values(ended.at)
    moved = whole.numbers.numbers(reached)
    near = np.clip(moved, at - _FAR, at + _FAR)  # what a small window does not tell is left near the start
    return near if tried(whole, near).value > tried(whole, at).value else at


_FAR = 4.0
