"""A density on a grid of its standardized coordinates, as far as it is not negligible, and between its points."""

from collections import deque
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._log_posterior import DEPTH, LogPosterior
from sparsegmrf.inference._search import FAR
from sparsegmrf.inference._standardized import Standardized, refuse_endless
from sparsegmrf.typing import FloatArray, IntArray

_STEP = 0.75
"""Distance of points at the mode, in standard deviations of the narrower side of an axis."""
_STRETCH = 0.3
"""What the distances of points along an axis grow with, as ``cosh(a t)``."""
_NEGLIGIBLE = float(np.arcsinh(_STRETCH * np.sqrt(2.0 * DEPTH)) / _STRETCH)
"""Where on an axis a normal density is `DEPTH` below its mode."""
_COUNTS = 1e-3
"""Weight of a point relative to the largest, from which on it counts."""
_MOST = 200
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
        The points, and their neighbours: ``z = sinh(a t) / a`` with ``t = index * steps``.
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
        return _stretched(self.index * self.steps)

    @property
    def _masses(self) -> FloatArray:
        """The density by ``t`` over its maximum."""
        return np.asarray(np.exp(self.values) * np.prod(np.cosh(_STRETCH * self.index * self.steps), axis=1))

    @property
    def log_integral(self) -> float:
        """Logarithm of the integral of the density by the working parameters: a sum over the points."""
        cell = float(np.log(self.steps).sum()) + self.axes.log_volume
        return self.axes.top + float(np.log(self._masses.sum())) + cell

    def every_other(self) -> tuple[FloatArray, FloatArray]:
        """Return the points at even places and their weights, of sum one, without those that hardly count."""
        even = (self.index % 2 == 0).all(axis=1)
        weights = np.where(even, self._masses, 0.0)
        kept = weights > _COUNTS * weights.max()
        return self.points[kept], weights[kept] / weights[kept].sum()

    def log_density(self, z: FloatArray) -> FloatArray:
        """Return log-densities less that of the mode at coordinates ``(..., K)``, by cubics between points."""
        t = np.arcsinh(_STRETCH * z) / (_STRETCH * self.steps) - self.index.min(axis=0)
        last = np.array(self._rest.shape) - 1
        beyond = ((t < 0.0) | (t > last)).any(axis=-1)
        cell = np.clip(np.floor(t).astype(np.intp), 0, last - 1)
        shares = [_cubic_shares(part) for part in np.moveaxis(t - cell, -1, 0)]
        rest = np.zeros(t.shape[:-1])
        for corner in product(range(4), repeat=len(last)):
            place = np.clip(cell + np.array(corner) - 1, 0, last)
            share = np.prod([own[k] for own, k in zip(shares, corner, strict=True)], axis=0)
            rest += share * self._rest[tuple(np.moveaxis(place, -1, 0))]
        return np.where(beyond, -np.inf, rest + _reference((t + self.index.min(axis=0)) * self.steps))

    @cached_property
    def _rest(self) -> FloatArray:
        """What the log-density is above that of reference, all over the box of the points.

        Beyond the points it is that of the nearest one, but the density falls from there on.
        """
        from scipy.ndimage import distance_transform_edt

        first = self.index.min(axis=0)
        box = np.full(self.index.max(axis=0) - first + 1, np.nan)
        places = np.moveaxis(np.indices(box.shape), 0, -1) + first
        normal = _reference(places * self.steps)
        box[tuple((self.index - first).T)] = self.values
        away, nearest = distance_transform_edt(np.isnan(box), return_indices=True)
        box = np.maximum(box, np.minimum(normal - DEPTH, -_FLOOR))
        near = box[tuple(nearest)]
        log = np.where(away > 0.0, np.minimum(near - normal[tuple(nearest)] + normal, near - _FALLS * away), near)
        return np.asarray(log - normal)


def _cubic_shares(x: FloatArray) -> list[FloatArray]:
    """Return the shares of the points -1, 0, 1, 2 in the value at ``x`` in [0, 1], which are exact for parabolas.

    R. Keys (1981), Cubic convolution interpolation for digital image processing, IEEE Transactions on Acoustics,
    Speech, and Signal Processing 29, eq. 8.
    """
    y = 1.0 - x
    return [-0.5 * x * y * y, 1.0 - x * x * (2.5 - 1.5 * x), 1.0 - y * y * (2.5 - 1.5 * y), -0.5 * y * x * x]


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
            at = axes.numbers(_stretched(np.array(neighbour) * steps))
            _check_near(posterior, axes, at, found[place])
            found[neighbour] = posterior.value(at) - axes.top
            if found[neighbour] > -DEPTH:
                ahead.append(neighbour)
            if len(found) > _MOST * 4**count:
                _refuse_large(posterior, axes, steps, found)
    return PosteriorGrid(axes, steps, np.array(list(found)), np.array(list(found.values())))


def _stretched(t: FloatArray) -> FloatArray:
    """Return coordinates ``z = sinh(a t) / a``, whose steps are longer in the tails."""
    return np.asarray(np.sinh(_STRETCH * t) / _STRETCH)


def _reference(t: FloatArray) -> FloatArray:
    """Return the normal log-density ``-z^2 / 2``, which goes on straight in ``t`` from where it is negligible."""
    near = np.clip(t, -_NEGLIGIBLE, _NEGLIGIBLE)
    z = _stretched(near)
    return -np.asarray(np.sum(0.5 * z * z + z * np.cosh(_STRETCH * near) * (t - near), axis=-1))


def _neighbours(place: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [(*place[:k], place[k] + way, *place[k + 1 :]) for k in range(len(place)) for way in (-1, 1)]


def _check_near(posterior: LogPosterior, axes: Standardized, at: FloatArray, value: float) -> None:
    """Refuse a density that is not negligible where a number without a prior, which may hold it, has run away."""
    moved = np.where(np.isin(posterior.names, posterior.without_prior), at - axes.mode, 0.0)
    if np.abs(moved).max() > FAR:
        k = int(np.argmax(np.abs(moved)))
        refuse_endless(posterior.names[k], moved[k], -value)


def _refuse_large(
    posterior: LogPosterior, axes: Standardized, steps: FloatArray, found: dict[tuple[int, ...], float]
) -> None:
    """Refuse a density whose grid has too many points, naming the parameter along which it is longest."""
    numbers = axes.numbers(_stretched(np.array(list(found)) * steps))
    name = posterior.names[int(np.argmax(np.ptp(numbers, axis=0)))]
    raise ArgumentError(
        f"priors must hold {name}, got a posterior density that is within {DEPTH:g} nats of its mode at more than "
        f'{len(found)} points of a grid; give {name} a narrower one, hold it by fixed=, or take strategy="ccd".'
    )
