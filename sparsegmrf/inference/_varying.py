"""Range and deviation of a Matern field as smooth functions of the place, by the likelihoods of tiles."""

import dataclasses
from typing import cast

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._memo import Memo, Point
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._search import maximize
from sparsegmrf.models import Matern
from sparsegmrf.priors import NOISE, Normal
from sparsegmrf.typing import FloatArray, Shape

_SIDES = 4
"""Tiles along the shorter side of the image, about."""
_SMALLEST, _LARGEST = 32, 96
"""Side of a tile in pixels."""
_FEWEST = 6
"""Tiles of which fewer tell no function of the place."""
_SEEN = 0.25
"""Share of a tile that is observed."""
_DEGREE = 2
_PRIOR = Normal(0.0, 0.5)
"""Of the coefficients of all functions but the constant, towards a field that is the same everywhere."""
_TOLERANCE = 0.3
"""Newton step in standard errors at which the search ends."""


def varying(problem: Problem, like: Matern, noise_variance: float) -> tuple[Matern, float]:
    """Return a Matern field with maps of range and deviation, and the noise variance, of an image.

    ``log range = sum_k a_k b_k`` and ``log sigma = sum_k c_k b_k`` with the functions
    ``b_k = cos(pi i u) cos(pi j v)``, ``i + j <= 2``, of the place ``(u, v)`` in the unit square. The coefficients,
    with one noise variance, are those of the largest sum of the log-likelihoods of tiles, on each of which both are
    what they are in its middle, plus the logarithms of normal priors (standard deviation 0.5) of all but the two
    constants.

    Parameters
    ----------
    problem : Problem
        Of a Matern field with a range and a deviation and without priors.
    like : Matern
        The field to start from.
    noise_variance : float
        In intensity^2, to start from; not used where it is given by the problem.

    Raises
    ------
    ArgumentError
        If fewer than six tiles have a quarter of their pixels observed.
    """
    whole = problem.objective
    assert isinstance(whole, Objective)
    whole = whole.with_scale()
    shape, estimated = problem.shape, whole.estimated
    windows = _windows(problem, shape)
    memos = [Memo(Objective.of(_on_window(problem, whole, each), whole)) for each in windows]
    middles = np.array([[(each.start + each.stop) / 2.0 for each in window] for window in windows]) / shape
    tiles = TilesTogether(memos, _functions(middles[:, 0], middles[:, 1]), estimated)
    first = whole.start(like, noise_variance if estimated else None)
    count = tiles.functions.shape[1]
    start = np.zeros(len(tiles.names))
    start[0], start[count] = first[:2]
    if estimated:
        start[-1] = first[2]
    at = maximize(tiles, start, _TOLERANCE).at
    rows, columns = np.meshgrid(*((np.arange(size) + 0.5) / size for size in shape), indexing="ij")
    by_place = _functions(rows, columns)
    log_range, log_sigma = by_place @ at[:count], by_place @ at[count : 2 * count]
    unit = whole.frame.unit
    variance = float(np.exp(at[-1])) * unit**2 if estimated else noise_variance
    return like.replace(range=np.exp(log_range), sigma=unit * np.exp(log_sigma)), variance


class TilesTogether:
    """Sum of the log-likelihoods of tiles whose working parameters are linear in coefficients, with their prior.

    Attributes
    ----------
    functions : ndarray, (T, K)
        Of the place, at the middle of each tile, the constant first.
    """

    def __init__(self, memos: list[Memo], functions: FloatArray, estimated: bool) -> None:
        self._memos, self.functions, self._estimated = memos, functions, estimated

    @property
    def names(self) -> list[str]:
        """Coefficients of the logarithms of range and deviation, and the noise variance where it is estimated."""
        each = range(self.functions.shape[1])
        names = [f"{name}_{k}" for name in ("range", "sigma") for k in each]
        return [*names, *([NOISE] if self._estimated else [])]

    def __call__(self, at: FloatArray) -> Point:
        """Return value, gradient and information by the coefficients."""
        size, count = len(at), self.functions.shape[1]
        prior = np.array([0.0 if k in (0, count) or k >= 2 * count else 1.0 for k in range(size)])
        value = sum(_PRIOR.log_density(float(each)) for each in at[prior > 0.0])
        gradient = prior * np.array([_PRIOR.derivative(float(each)) for each in at])
        information = np.diag(prior) / _PRIOR.std**2
        for memo, row in zip(self._memos, self.functions, strict=True):
            J = np.zeros((2 + self._estimated, size))
            J[0, :count], J[1, count : 2 * count] = row, row
            if self._estimated:
                J[2, -1] = 1.0
            found = memo(J @ at)
            value += found.value
            gradient = gradient + found.gradient @ J
            information = information + J.T @ found.information @ J
        return Point(value, gradient, information, None)


def _functions(u: FloatArray, v: FloatArray) -> FloatArray:
    """Return the functions of the place, along the last axis, the constant first."""
    pairs = [(i, j) for i in range(_DEGREE + 1) for j in range(_DEGREE + 1 - i)]
    return np.stack([np.cos(np.pi * i * u) * np.cos(np.pi * j * v) for i, j in pairs], axis=-1)


def _windows(problem: Problem, shape: Shape) -> list[tuple[slice, slice]]:
    """Return the tiles into which an image is cut, those with enough observed pixels that are not all alike."""
    side = int(np.clip(min(shape) // _SIDES, _SMALLEST, _LARGEST))
    ends = [np.linspace(0, size, max(1, size // side) + 1).round().astype(int) for size in shape]
    image = cast(Observations, problem.images[0])
    found = []
    for top, bottom in zip(ends[0][:-1], ends[0][1:], strict=True):
        for left, right in zip(ends[1][:-1], ends[1][1:], strict=True):
            window = (slice(int(top), int(bottom)), slice(int(left), int(right)))
            seen = image.values[window][image.observed[window]]
            if len(seen) >= _SEEN * image.values[window].size and np.ptp(seen) > 0.0:
                found.append(window)
    if len(found) < _FEWEST:
        raise ArgumentError(
            f"image must have {_FEWEST} tiles of {side} pixels a side, a quarter of them observed, for a field that "
            f"varies with the place, got {len(found)}."
        )
    return found


def _on_window(problem: Problem, whole: Objective, window: tuple[slice, slice]) -> Problem:
    """Return the problem of a tile, with a level of its own in the place of the whole image's trend."""
    taken = whole.frame.rest + whole.frame.levels[:, np.newaxis, np.newaxis]
    images = cast(tuple[Observations, ...], problem.images)
    left = tuple(
        dataclasses.replace(each, values=np.where(each.observed, each.values - off, 0.0))
        for each, off in zip(images, taken, strict=True)
    )
    return dataclasses.replace(problem, images=left).on_window(*window)
