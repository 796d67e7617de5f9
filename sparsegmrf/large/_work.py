"""What is done for a raster whose model, noise and tiles are known."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsegmrf.inference._linear_estimate import symmetric_root
from sparsegmrf.large._brackets import Bracket, bounds_on, narrowed, parts_of, wider
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Tile, Window, overlap_of
from sparsegmrf.large._images import Allocate
from sparsegmrf.large._journal import Made
from sparsegmrf.large._noise import Normals
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._solver import HEADROOM, Factors, Solver, squares_of
from sparsegmrf.large._stages import Stages
from sparsegmrf.large._tiling import Tiling
from sparsegmrf.large._trend import Trend
from sparsegmrf.typing import FloatArray

_MOST_PASSES = 100
"""Over the tiles; what is left then is said by the bound."""
_STALLED = 10
"""Passes after which an error that has not fallen to half of what it was will fall no further."""


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
    stages: Stages,
    *,
    tolerance: float,
    mean_tolerance: float,
    upper: bool,
    allocate: Allocate,
) -> Solved:
    """Return bounds on variances, means, trend and draws.

    The first pass over the tiles makes the bounds, and a first correction of the means by the same factors.
    """
    right = right_hand_sides(posterior, list(tiling.tiles), trend, normals, count, allocate)
    solver = Solver(posterior, tiling.tiles, right, allocate)
    direction = allocate(right.shape)
    brackets = _brackets(posterior.cuts, solver, tiling, stages, tolerance, upper, direction, allocate)
    solver.tiles = [each.tile for each in brackets]
    if not solver.taken_up(stages.journal):
        _go(solver, direction, stages)
    wanted = mean_tolerance / (1.0 + len(trend.names))
    bounds, headroom, found = np.full(len(right), np.inf), HEADROOM, []
    while True:
        shares = _shares(solver, trend, count)
        found.append(float(np.max(solver.estimate() * shares)) * headroom)
        ends = len(found) > _STALLED and min(found[-_STALLED:]) > 0.5 * min(found[:-_STALLED])  # by rounding
        if found[-1] <= wanted or ends or solver.passes >= _MOST_PASSES:
            solver.renew()
            if not upper:
                break
            bounds = _bound(solver, stages)
            excess = float(np.max(bounds * shares)) / wanted
            if excess <= 1.0 or np.isinf(excess) or ends or solver.passes >= _MOST_PASSES:
                break
            headroom *= 2.0 * excess
        _improve(solver, stages, allocate)
    return Solved(tuple(brackets), solver.solution, bounds, coefficients(solver, trend, bounds), solver.passes)


def _brackets(
    cuts: Cuts,
    solver: Solver,
    tiling: Tiling,
    stages: Stages,
    tolerance: float,
    upper: bool,
    direction: FloatArray,
    allocate: Allocate,
) -> list[Bracket]:
    """Return the bounds of all tiles, made anew where they are too wide, and write the first direction."""
    low, high = (allocate(cuts.shape) for _ in range(2))
    found: dict[int, Bracket] = {}

    def inputs(tile: Tile) -> tuple[Any, ...]:
        return solver.residual[(slice(None), *tile.window.slices)], upper

    for tile, (below, above, correction) in stages.each("bounds", bounds_task, tiling.tiles, inputs):
        at = tile.core.slices
        low[at], high[at], direction[(slice(None), *at)] = below, above, correction
        found[tile.number] = Bracket(tile, low[at], high[at])

    def parts_by_view(tiles: Iterable[Tile]) -> dict[Tile, list[Tile]]:
        views = [view for tile in tiles if (view := wider(cuts, tile)) is not None]
        parts = {view: parts_of(cuts, view, found[view.number], tolerance, tiling.memory) for view in views}
        return {view: own for view, own in parts.items() if own}

    parts = parts_by_view(tiling.tiles) if upper else {}

    def bounds_and_parts(view: Tile) -> tuple[Any, ...]:
        return found[view.number], parts[view]

    while parts:
        for view, (below, above) in stages.each("bounds", narrowing_task, list(parts), bounds_and_parts):
            at = view.core.slices
            low[at], high[at] = below, above
        parts = parts_by_view(parts)
    return [found[number] for number in sorted(found)]


def bounds_task(factors: Factors, tile: Tile, residual: FloatArray, upper: bool) -> Made:
    """Return bounds on the variances of a core, and what the tile makes of the residual on its window."""
    found, factor = bounds_on(factors.posterior, tile, upper=upper)
    correction = np.asarray(factor.solve(residual)[(slice(None), *tile.place)])
    factors.keep(tile, factor)
    return found.lower, found.upper, correction


def narrowing_task(factors: Factors, view: Tile, bounds: Bracket, parts: list[Tile]) -> Made:
    """Return bounds on the variances of a core that are those of some parts of it as well."""
    found = narrowed(factors.posterior, bounds, parts)
    return found.lower, found.upper


def correction_task(factors: Factors, tile: Tile, residual: FloatArray) -> Made:
    """Return what a tile makes of the residual on its window, on its core."""
    return (np.asarray(factors.lower(tile).solve(residual)[(slice(None), *tile.place)]),)


def squares_task(factors: Factors, tile: Tile, residual: FloatArray) -> Made:
    """Return what a tile adds to the bounds of the squared energies, by the residual on its core."""
    return (squares_of(factors.upper(tile), tile, residual),)


def _improve(solver: Solver, stages: Stages, allocate: Allocate) -> None:
    """Pass over the tiles once."""
    direction = allocate(solver.right.shape)
    stage = f"pass {solver.passes + 1}"
    made = stages.each(
        stage,
        correction_task,
        solver.tiles,
        lambda tile: (solver.residual[(slice(None), *tile.window.slices)],),
    )
    for tile, (correction,) in made:
        direction[(slice(None), *tile.core.slices)] = correction
    _go(solver, direction, stages)


def _go(solver: Solver, direction: FloatArray, stages: Stages) -> None:
    """Go along a direction; what led there need not be kept any longer."""
    solver.step(direction)
    solver.put(stages.journal)
    stages.journal.drop("pass-*")
    stages.journal.drop("certificate-*")


def _bound(solver: Solver, stages: Stages) -> FloatArray:
    """Return upper bounds of the energies of the errors, ``(k,)``; infinite where a natural cut is singular."""
    left = [tile for tile in solver.tiles if solver.residual[(slice(None), *tile.core.slices)].any()]
    made = stages.each(
        "certificate", squares_task, left, lambda tile: (solver.residual[(slice(None), *tile.core.slices)],)
    )
    parts = {tile.number: squares for tile, (squares,) in made}
    total = sum((parts[number] for number in sorted(parts)), np.zeros(len(solver.right)))
    return np.asarray(np.sqrt(overlap_of(list(solver.tiles), solver.posterior.shape) * total))


def right_hand_sides(
    posterior: Posterior, tiles: list[Tile], trend: Trend, normals: Normals, count: int, allocate: Allocate
) -> FloatArray:
    """Return the right-hand sides of the whole raster, ``(1 + p + n, H, W[, C])``."""
    right = allocate((1 + len(trend.names) + count, *posterior.image_shape))
    for tile in tiles:
        right[(slice(None), *tile.core.slices)] = right_hand_side(posterior, tile.core, trend, normals, count)
    return right


def right_hand_side(posterior: Posterior, core: Window, trend: Trend, normals: Normals, count: int) -> FloatArray:
    """Return on a core ``a w y`` less the least-squares trend, ``Q X``, and ``A^T e_1 + a sqrt(w) e_2`` by draw."""
    seen = posterior.raster.seen(core)
    parts = [posterior.spread(seen.weight * (seen.values - trend.removed(core)))[np.newaxis]]
    if trend.names:
        window = posterior.cuts.around(core)
        found = posterior.cuts.dirichlet(window) @ posterior.lifted(trend.columns(window))
        parts.append(found[(slice(None), *core.within(window))])
    if count:
        parts.append(_perturbations(posterior, core, normals, count, np.sqrt(seen.weight)))
    right, outside = np.concatenate(parts), posterior.outside(core)
    return right if outside is None else np.where(outside, 0.0, right)


def _perturbations(posterior: Posterior, core: Window, normals: Normals, count: int, roots: FloatArray) -> FloatArray:
    """Return right-hand sides on a core whose covariance is ``P``: solutions of it are draws of ``N(0, P^-1)``."""
    window, rows = posterior.cuts.rows(core)
    size = window.shape if posterior.combination is None else (*window.shape, len(posterior.combination))
    place, found = core.within(window), np.zeros((count, *size))
    for family in rows:
        into = found if posterior.combination is None else found[..., family.channel]
        for draw in range(count):
            e = normals.on(window, draw, f"row {family.channel} {family.name}")
            into[draw] += family.adjoint(e)
    noise = np.array([roots * normals.on(core, draw, "observation") for draw in range(count)])
    return np.asarray(found[(slice(None), *place)] + posterior.spread(noise))


def coefficients(solver: Solver, trend: Trend, bounds: FloatArray) -> Coefficients:
    """Return generalized least-squares estimates from what the solver has."""
    total = sum(
        (
            Products.of(
                solver.posterior,
                tile.core,
                trend,
                *(x[(slice(None), *tile.core.slices)] for x in (solver.solution, solver.residual, solver.right)),
            )
            for tile in solver.tiles
        ),
        Products.zero(len(trend.names)),
    )
    return total.coefficients(bounds)


class Products(NamedTuple):
    r"""What cores add to the equations of the trend's coefficients.

    With ``b = a w y``, ``L = P^-1 Q X`` and residuals ``r`` of what stands for them, ``X^T S X = (a w X)^T P^-1 Q X``
    and ``X^T S y = (Q X)^T P^-1 b`` are bilinear in solutions, so that the residual of one times the other corrects
    them: with energies ``eps`` of the errors, errors are ``eps_j eps_k``.
    """

    gram: FloatArray
    right: FloatArray
    explained: float

    @classmethod
    def zero(cls, count: int) -> "Products":
        """Return those of no core."""
        return cls(np.zeros((count, count)), np.zeros(count), 0.0)

    @classmethod
    def of(
        cls, posterior: Posterior, core: Window, trend: Trend, x: FloatArray, r: FloatArray, b: FloatArray
    ) -> "Products":
        """Return those of solutions, residuals and right-hand sides on a core."""
        p = len(trend.names)
        X, weight = trend.columns(core), posterior.raster.seen(core).weight
        lifted, weighted = posterior.lifted(X), posterior.spread(weight * X)
        L, r_L = x[1 : 1 + p], r[1 : 1 + p]
        gram, right = np.zeros((p, p)), np.zeros(p)
        for k in range(p):
            right[k] = np.vdot(L[k], b[0]) + np.vdot(r_L[k], x[0])
            for j in range(p):
                gram[k, j] = np.vdot(weighted[k], L[j]) + np.vdot(r_L[j], lifted[k] - L[k])
        return cls(gram, right, float(np.vdot(x[0], b[0]) + np.vdot(x[0], r[0])))

    def __add__(self, other: "Products") -> "Products":  # type: ignore[override]
        return Products(self.gram + other.gram, self.right + other.right, self.explained + other.explained)

    def coefficients(self, bounds: FloatArray) -> Coefficients:
        """Return the estimates, given bounds of the energies of the errors."""
        p = len(self.right)
        covariance = np.asarray(np.linalg.inv((self.gram + self.gram.T) / 2.0)) if p else self.gram
        beta = covariance @ self.right
        own, of_trend = bounds[0], bounds[1 : 1 + p]
        with np.errstate(invalid="ignore"):  # an infinite bound of nothing
            products = of_trend * (own + np.abs(beta) @ of_trend)
            error = np.abs(beta) @ of_trend + np.sqrt(products @ np.abs(covariance) @ products)
        error = float(own + error) if np.isfinite(bounds[: 1 + p]).all() else np.inf
        return Coefficients(beta, covariance, self.explained + float(beta @ self.right), error)


def _shares(solver: Solver, trend: Trend, count: int) -> FloatArray:
    """Return by how much an error of each solution counts in the mean or a draw."""
    if not trend.names:
        return np.ones(1 + count)
    found = coefficients(solver, trend, np.zeros(len(solver.right)))
    sizes = np.maximum(np.abs(found.beta), np.sqrt(np.diagonal(found.covariance)))
    return np.concatenate([[1.0], sizes, np.ones(count)])


def images_of(
    posterior: Posterior,
    bounds: Bracket,
    solution: FloatArray,
    own: Coefficients,
    trend: Trend,
    normals: Normals,
    count: int,
) -> FloatArray:
    """Return mean, deviation, its bounds and draws on a core, ``(4 + n, h, w)``, from solutions there."""
    core, p = bounds.tile.core, len(trend.names)
    fields = posterior.total(solution)
    left = fields[1 : 1 + p]
    spread = np.tensordot(symmetric_root(own.covariance).T, left, 1)
    of_trend = np.einsum("kij,kij->ij", spread, spread)
    mean = trend.removed(core) + fields[0] + np.tensordot(own.beta, left, 1)
    middle = np.where(np.isfinite(bounds.upper), 0.5 * (bounds.lower + bounds.upper), bounds.lower)
    variances = np.array([middle, bounds.lower, bounds.upper]) + of_trend
    shares = np.array([normals.vector(p, draw, "coefficients") for draw in range(count)]).reshape(count, p)
    draws = mean + fields[1 + p :] + np.tensordot(shares, spread, 1)
    found, outside = np.concatenate([mean[np.newaxis], np.sqrt(variances), draws]), posterior.outside(core)
    if outside is None:
        return found
    return np.where(outside if outside.ndim == 2 else outside.any(axis=-1), np.nan, found)
