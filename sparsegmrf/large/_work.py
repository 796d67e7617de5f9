"""What is done for a raster whose model, noise and tiles are known."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.factors.dissection import DissectionFactor
from sparsegmrf.large._brackets import Bracket, bracket
from sparsegmrf.large._geometry import Tile
from sparsegmrf.large._images import Allocate
from sparsegmrf.large._noise import Normals
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._solver import Factors, Solver
from sparsegmrf.large._tiling import Tiling, work_bytes
from sparsegmrf.large._trend import Trend
from sparsegmrf.typing import FloatArray

_MOST_PASSES = 100
"""Over the tiles; what is left then is said by the bound."""
_STALLED = 10
"""Passes after which an error that has not fallen to half of what it was will fall no further."""
_HEADROOM = 4.0
"""How many times smaller than is tolerated an error must be by estimate before it is bounded."""


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Of the trend: what is added to those that least squares took off first, and their covariance.

    Attributes
    ----------
    beta : ndarray, (p,)
        Generalized least-squares estimates.
    covariance : ndarray, (p, p)
        Of these.
    explained : float
        ``b^T P^-1 b + beta^T (X - Z)^T W y`` with ``b = W y``: what field and trend take of ``y^T W y``.
    error : float
        Bound of the error of the trend at any pixel, in standard deviations.
    """

    beta: FloatArray
    covariance: FloatArray
    explained: float
    error: float


@dataclass(frozen=True, eq=False)
class Solved:
    """Means and draws of the whole raster.

    Attributes
    ----------
    brackets : tuple of Bracket
        Of the tiles as they are at the end.
    solution : ndarray, (1 + p + n, H, W[, C])
        ``P^-1 b``, ``P^-1 Q X``, which is what the field leaves of the covariates, and draws of ``N(0, P^-1)``.
    errors : ndarray, (1 + p + n,)
        Bounds of the energies of their errors.
    coefficients : Coefficients
    passes : int
    """

    brackets: tuple[Bracket, ...]
    solution: FloatArray
    errors: FloatArray
    coefficients: Coefficients
    passes: int

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles as they are at the end."""
        return tuple(each.tile for each in self.brackets)


def solve(
    posterior: Posterior,
    tiling: Tiling,
    trend: Trend,
    normals: Normals,
    count: int,
    *,
    tolerance: float,
    mean_tolerance: float,
    upper: bool,
    allocate: Allocate,
) -> Solved:
    """Return bounds on variances, means, trend and draws.

    The first pass over the tiles makes the bounds, and a first correction of the means by the same factors.
    """
    tiles = list(tiling.tiles)
    right = right_hand_sides(posterior, tiles, trend, normals, count, allocate)
    largest = max(work_bytes(posterior.cuts, tile.window.shape) for tile in tiles)
    room = tiling.memory if len(tiles) == 1 else max(0, tiling.memory - largest)
    factors = Factors(posterior, room)
    solver = Solver(posterior, tiles, right, factors, allocate)
    direction = allocate(right.shape)

    def use(tile: Tile, factor: DissectionFactor) -> None:
        solver.correct(tile, factor, direction)
        factors.keep(tile, factor)

    brackets = [bracket(posterior, tile, tolerance, tiling.memory, upper=upper, use=use) for tile in tiles]
    solver.tiles = [each.tile for each in brackets]
    solver.step(direction)
    wanted = mean_tolerance / (1.0 + len(trend.names))
    bounds, headroom, found = np.full(len(right), np.inf), _HEADROOM, []
    while True:
        shares = _shares(solver, trend, count)
        found.append(float(np.max(solver.estimate() * shares)) * headroom)
        ends = len(found) > _STALLED and min(found[-_STALLED:]) > 0.5 * min(found[:-_STALLED])  # by rounding
        if found[-1] <= wanted or ends or solver.passes >= _MOST_PASSES:
            solver.renew()
            if not upper:
                break
            bounds = solver.bound()
            excess = float(np.max(bounds * shares)) / wanted
            if excess <= 1.0 or np.isinf(excess) or ends or solver.passes >= _MOST_PASSES:
                break
            headroom *= 2.0 * excess
        solver.improve()
    return Solved(tuple(brackets), solver.solution, bounds, coefficients(solver, trend, bounds), solver.passes)


def right_hand_sides(
    posterior: Posterior, tiles: list[Tile], trend: Trend, normals: Normals, count: int, allocate: Allocate
) -> FloatArray:
    """Return ``a w y`` less the least-squares trend, ``Q X``, and ``A^T e_1 + a sqrt(w) e_2`` for the draws."""
    p = len(trend.names)
    right = allocate((1 + p + count, *posterior.image_shape))
    for tile in tiles:
        core = tile.core
        seen = posterior.raster.seen(core)
        at = (slice(None), *core.slices)
        right[(0, *core.slices)] = posterior.spread(seen.weight * (seen.values - trend.removed(core)))
        window = posterior.cuts.around(core)
        if p:
            lifted = posterior.lifted(trend.columns(window))
            found = posterior.cuts.dirichlet(window) @ lifted
            right[1 : 1 + p][at] = found[(slice(None), *core.within(window))]
        if count:
            right[1 + p :][at] = _perturbations(posterior, tile, normals, count, np.sqrt(seen.weight))
        outside = posterior.outside(core)
        if outside is not None:
            right[at] = np.where(outside, 0.0, right[at])
    return right


def _perturbations(posterior: Posterior, tile: Tile, normals: Normals, count: int, roots: FloatArray) -> FloatArray:
    """Return right-hand sides on a core whose covariance is ``P``: solutions of it are draws of ``N(0, P^-1)``."""
    window, rows = posterior.cuts.rows(tile.core)
    size = window.shape if posterior.combination is None else (*window.shape, len(posterior.combination))
    place, found = tile.core.within(window), np.zeros((count, *size))
    for family in rows:
        into = found if posterior.combination is None else found[..., family.channel]
        for draw in range(count):
            e = normals.on(window, draw, f"row {family.channel} {family.name}")
            into[draw] += family.adjoint(e)
    noise = np.array([roots * normals.on(tile.core, draw, "observation") for draw in range(count)])
    return np.asarray(found[(slice(None), *place)] + posterior.spread(noise))


def coefficients(solver: Solver, trend: Trend, bounds: FloatArray) -> Coefficients:
    r"""Return generalized least-squares estimates from what the solver has.

    With ``b = a w y``, ``L = P^-1 Q X`` and residuals ``r`` of what stands for them, ``X^T S X = (a w X)^T P^-1 Q X``
    and ``X^T S y = (Q X)^T P^-1 b`` are bilinear in solutions, so that the residual of one times the other corrects
    them: with energies ``eps`` of the errors, errors are ``eps_j eps_k``.
    """
    posterior, p = solver.posterior, len(trend.names)
    z, L, rz, rL = solver.solution[0], solver.solution[1 : 1 + p], solver.residual[0], solver.residual[1 : 1 + p]
    gram, right, explained = np.zeros((p, p)), np.zeros(p), 0.0
    for tile in solver.tiles:
        at = tile.core.slices
        seen = posterior.raster.seen(tile.core)
        X = trend.columns(tile.core)
        lifted, weighted = posterior.lifted(X), posterior.spread(seen.weight * X)
        left, r, b = L[(slice(None), *at)], rL[(slice(None), *at)], solver.right[(0, *at)]
        explained += float(np.vdot(z[at], b) + np.vdot(z[at], rz[at]))
        for k in range(p):
            right[k] += float(np.vdot(left[k], b) + np.vdot(r[k], z[at]))
            for j in range(p):
                gram[k, j] += float(np.vdot(weighted[k], left[j]) + np.vdot(r[j], lifted[k] - left[k]))
    covariance = np.asarray(np.linalg.inv((gram + gram.T) / 2.0)) if p else gram
    beta = covariance @ right
    own, of_trend = bounds[0], bounds[1 : 1 + p]
    products = of_trend * (own + float(np.abs(beta) @ of_trend)) if p else np.zeros(0)
    error = float(np.abs(beta) @ of_trend + np.sqrt(products @ np.abs(covariance) @ products)) if p else 0.0
    return Coefficients(beta, covariance, explained + float(beta @ right), float(own + error))


def _shares(solver: Solver, trend: Trend, count: int) -> FloatArray:
    """Return by how much an error of each solution counts in the mean or a draw."""
    if not trend.names:
        return np.ones(1 + count)
    found = coefficients(solver, trend, np.zeros(len(solver.right)))
    sizes = np.maximum(np.abs(found.beta), np.sqrt(np.diagonal(found.covariance)))
    return np.concatenate([[1.0], sizes, np.ones(count)])
