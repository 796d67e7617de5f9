"""Densities of single parameters from the density of all of them on a grid."""

import numpy as np

from sparsegmrf._interval import Interval
from sparsegmrf.inference._log_posterior import LogPosterior
from sparsegmrf.inference._parameter_density import ParameterDensity
from sparsegmrf.inference._posterior_grid import PosteriorGrid
from sparsegmrf.typing import BoolArray, FloatArray

_NODES = 121
"""Values of a parameter at which its density is computed."""
_SPACING = 0.125
"""Distance of the points over which the others are summed, in standard deviations of the narrower side of an axis: sums
of smooth densities converge faster than any power of it, but a side may be several times narrower than at the mode."""

_COARSE = 0.25
"""The same of four parameters and more, of which points are many."""
_AT_ONCE = 2**17
"""Points at which the density is interpolated in one go."""


def grid_marginals(posterior: LogPosterior, grid: PosteriorGrid) -> dict[str, ParameterDensity]:
    """Return the density of every parameter, the splines of the joint one summed over planes on which it is constant.

    With ``v = m + B z`` and the parameter's row ``b`` of ``B``, ``z`` is turned so that its first coordinate lies along
    ``b``: the parameter then is that coordinate alone. The next one is as near as can be to the axis with the narrowest
    side, so that steps are short along it alone. Parameters that are valid in a joint region take the place of working
    numbers in ``v``.
    """
    J, joint = posterior.jacobian(grid.axes.mode), np.isin(posterior.names, list(posterior.joint))
    change = np.where(joint[:, np.newaxis], J, np.eye(len(J)))  # dv / du
    B = change @ grid.axes.root
    values, intervals = posterior.values_at(grid.axes.mode), posterior.intervals(grid.axes.mode)
    narrow = np.minimum(1.0, np.minimum(grid.axes.below, grid.axes.above))
    near = grid.values > -np.inf
    places = _places(posterior, grid, joint)[near] @ np.linalg.inv(B).T
    found = {}
    for k, name in enumerate(posterior.names):
        length = float(np.linalg.norm(B[k]))
        turned = _turned(B[k] / length, narrow)
        first, plane, cells = _planes(places @ turned.T, _widths(turned[1:], narrow))
        rest, weights = plane @ turned[1:], []
        for part in np.array_split(first, 1 + first.size * len(plane) // _AT_ONCE):
            z = part[:, np.newaxis, np.newaxis] * turned[0] + rest
            logs = _in_joint_region(posterior, grid, z @ B.T, joint) if joint.any() else grid.log_density(z)
            weights.append(np.exp(logs) @ cells)
        interval = Interval(-np.inf, np.inf) if joint[k] else intervals[k]
        found[name] = ParameterDensity.of(
            name, interval, interval.outward(values[k]) + length * first, np.concatenate(weights)
        )
    return found


def _turned(b: FloatArray, narrow: FloatArray) -> FloatArray:
    """Return an orthogonal matrix with a unit vector as first row, then what it leaves of axes, narrowest first."""
    axes = np.eye(len(b))[:, np.argsort(narrow, kind="stable")]
    turned = np.linalg.qr(np.column_stack([b, axes]))[0].T
    return np.asarray(turned * np.sign(turned[0] @ b))


def _widths(directions: FloatArray, narrow: FloatArray) -> FloatArray:
    """Return standard deviations along directions (rows) of a normal density with those of the axes."""
    return np.asarray(1.0 / np.sqrt(np.sum((directions / narrow) ** 2, axis=1)))


def _planes(places: FloatArray, widths: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return values of the first coordinate, points ``(n, K - 1)`` of the others as far as places go, and their cells.

    Steps are shorter along narrow directions, and grow with the distance from the mode as those of the grid do.
    """
    low, high = np.arcsinh(places.min(axis=0)), np.arcsinh(places.max(axis=0))
    first = np.sinh(np.linspace(low[0], high[0], _NODES))
    steps = (_SPACING if len(widths) < 3 else _COARSE) * widths
    rest = [np.arange(a, b + step, step) for a, b, step in zip(low[1:], high[1:], steps, strict=True)]
    if not rest:
        return first, np.zeros((1, 0)), np.ones(1)
    t = np.stack(np.meshgrid(*rest, indexing="ij"), axis=-1).reshape(-1, len(rest))
    return first, np.sinh(t), np.prod(np.cosh(t), axis=-1)


def _places(posterior: LogPosterior, grid: PosteriorGrid, joint: BoolArray) -> FloatArray:
    """Return where the grid's points are in ``v`` from the mode, ``(n, K)``."""
    numbers = grid.axes.numbers(grid.points)
    if not joint.any():
        return numbers - grid.axes.mode
    own = np.array(posterior.values_at(grid.axes.mode))
    return np.array([np.where(joint, np.array(posterior.values_at(u)) - own, u - grid.axes.mode) for u in numbers])


def _in_joint_region(posterior: LogPosterior, grid: PosteriorGrid, moved: FloatArray, joint: BoolArray) -> FloatArray:
    """Return log-densities by ``v`` at places from the mode; minus infinity outside the region."""
    start, root = grid.axes.mode, grid.axes.root
    values = np.where(joint, np.array(posterior.values_at(start)), start) + moved
    numbers, log_slopes = posterior.working(values, joint)
    known: BoolArray = np.asarray(np.isfinite(numbers).all(axis=-1))
    z = np.where(known[..., np.newaxis], numbers - start, 0.0) @ np.linalg.inv(root).T
    return np.where(known, grid.log_density(z) - log_slopes, -np.inf)
