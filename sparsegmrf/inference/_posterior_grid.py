"""A density on a grid of its standardized coordinates, as far as it is not negligible, and between its points."""

from collections import deque
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._log_posterior import DEPTH, LogPosterior
from sparsegmrf.inference._search import FAR
from sparsegmrf.inference._standardized import Standardized, refuse_endless
from sparsegmrf.typing import FloatArray, IntArray

_STEP = 0.75
"""Distance of points, in standard deviations of the narrower side of an axis."""
_MOST = 50
"""Points of a grid of no coordinate at which it has become too large; each coordinate has four times as many."""
_FLOOR = 3.0 * DEPTH
"""Nats below the mode that are no longer told apart."""
_FALLS = 2.0
"""Nats by which the density is taken to fall, a step, where it is negligible already."""


@dataclass(frozen=True, eq=False)
class PosteriorGrid:
    """Log-densities at the points of a grid that are connected with the mode at no more than `DEPTH` nats below it.

    Attributes
    ----------
    axes : Standardized
        The coordinates ``z``.
    steps : ndarray, (K,)
        Distances of the points along the axes.
    index : ndarray of int, (n, K)
        The points ``z = index * steps``: those, and their neighbours.
    values : ndarray, (n,)
        Log-densities less that of the mode.
    """

    axes: Standardized
    steps: FloatArray
    index: IntArray
    values: FloatArray

    @property
    def points(self) -> FloatArray:
        """The points ``z``, ``(n, K)``."""
        return np.asarray(self.index * self.steps)

    @property
    def log_integral(self) -> float:
        """Logarithm of the integral of the density by the working parameters: a sum over the points."""
        cell = float(np.log(self.steps).sum()) + self.axes.log_volume
        return self.axes.top + float(np.log(np.exp(self.values).sum())) + cell

    def every_other(self) -> tuple[FloatArray, FloatArray]:
        """Return the points at even places and their weights, of sum one, without those that hardly count."""
        even = (self.index % 2 == 0).all(axis=1) & (self.values > -DEPTH)
        weights = np.exp(self.values[even])
        return self.points[even], weights / weights.sum()

    def log_density(self, z: FloatArray) -> FloatArray:
        """Return log-densities less that of the mode at coordinates ``(..., K)`` by cubic splines."""
        from scipy.ndimage import map_coordinates

        places = z / self.steps - self.index.min(axis=0)
        beyond = ((places < 0.0) | (places > np.array(self._splines.shape) - 1.0)).any(axis=-1)
        logs = map_coordinates(self._splines, np.moveaxis(places, -1, 0), order=3, mode="mirror", prefilter=False)
        return np.where(beyond, -np.inf, logs)

    @cached_property
    def _splines(self) -> FloatArray:
        """Coefficients of the splines of the log-density, which falls on from the nearest point where there is none."""
        from scipy.ndimage import distance_transform_edt, spline_filter

        first = self.index.min(axis=0)
        box = np.full(self.index.max(axis=0) - first + 1, np.nan)
        box[tuple((self.index - first).T)] = np.maximum(self.values, -_FLOOR)
        away, nearest = distance_transform_edt(np.isnan(box), return_indices=True)
        return np.asarray(spline_filter(box[tuple(nearest)] - _FALLS * away, order=3, mode="mirror"))


def explore_grid(posterior: LogPosterior, axes: Standardized) -> PosteriorGrid:
    """Evaluate a density on a grid, going on from every point that is not negligible to its neighbours.

    Raises
    ------
    ArgumentError
        If the density does not end within as many points as there may be, or as far as numbers go.
    """
    count = len(axes.mode)
    steps = _STEP * np.minimum(1.0, np.minimum(axes.below, axes.above))
    found: dict[tuple[int, ...], float] = {(0,) * count: 0.0}
    ahead = deque(found)
    while ahead:
        place = ahead.popleft()
        for neighbour in _neighbours(place):
            if neighbour in found:
                continue
            at = axes.numbers(np.array(neighbour) * steps)
            _check_near(posterior, axes, at, found[place])
            found[neighbour] = posterior.value(at) - axes.top
            if found[neighbour] > -DEPTH:
                ahead.append(neighbour)
            if len(found) > _MOST * 4**count:
                _refuse_large(posterior, axes, steps, found)
    return PosteriorGrid(axes, steps, np.array(list(found)), np.array(list(found.values())))


def _neighbours(place: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [(*place[:k], place[k] + way, *place[k + 1 :]) for k in range(len(place)) for way in (-1, 1)]


def _check_near(posterior: LogPosterior, axes: Standardized, at: FloatArray, value: float) -> None:
    """Refuse a density that is not negligible where a number has run away."""
    moved = at - axes.mode
    if np.abs(moved).max() > FAR:
        k = int(np.argmax(np.abs(moved)))
        refuse_endless(posterior.names[k], moved[k], -value)


def _refuse_large(
    posterior: LogPosterior, axes: Standardized, steps: FloatArray, found: dict[tuple[int, ...], float]
) -> None:
    """Refuse a density whose grid has too many points, naming the parameter along which it is longest."""
    numbers = axes.numbers(np.array(list(found)) * steps)
    name = posterior.names[int(np.argmax(np.ptp(numbers, axis=0)))]
    raise ArgumentError(
        f"priors must hold {name}, got a posterior density that is within {DEPTH:g} nats of its mode at more than "
        f'{len(found)} points of a grid; give {name} a prior, hold it by fixed=, or take strategy="ccd".'
    )
