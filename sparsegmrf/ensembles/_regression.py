"""Sparse Cholesky factors from an ensemble: regressions on later neighbours, shrunk as leave-one-out tells."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sparsegmrf import _threads
from sparsegmrf._validate import finite_number, one_of, read_only
from sparsegmrf.ensembles._ensemble import Ensemble, LocalPattern, as_pairs
from sparsegmrf.ensembles._missing import CompletedEnsemble, agree, check_seen
from sparsegmrf.errors import ArgumentError
from sparsegmrf.kernels import ensemble_regression
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._from_cholesky import whitening_of_cholesky
from sparsegmrf.typing import FloatArray, IntArray

TARGETS = ("homogeneous", "correlation", "diagonal")
_COARSE = np.linspace(-8.0, 6.0, 8)
_CHOICES = 4
"""How often a shrinkage is chosen with missing pixels."""
_FINE = np.array([-1.5, -1.0, -0.5, 0.5, 1.0, 1.5])


@dataclass(frozen=True, eq=False)
class Target:
    """What covariances are shrunk towards: ``matrix[a, b] scale[p + o_a] scale[p + o_b]`` for points of pixel ``p``."""

    matrix: FloatArray
    scale: FloatArray


@dataclass(frozen=True, eq=False)
class NeighbourRegression:
    """Regressions of all pixels: coefficients ``(K, H, W)``, conditional variances, mean squared residuals."""

    coefficients: FloatArray
    variance: FloatArray
    residual: FloatArray


@dataclass(frozen=True, eq=False)
class FittedRegression:
    """Regressions and the mean that goes with them, the shrinkage they were made with, and their log-densities."""

    neighbours: IntArray
    regression: NeighbourRegression
    mean: FloatArray
    shrinkage: float
    loglik: float
    loo: float
    converged: bool = True
    reason: str = "in closed form"

    @property
    def diagonal(self) -> FloatArray:
        """``L[p, p]``, ``(H, W)``."""
        return read_only(1.0 / np.sqrt(self.regression.variance))

    @property
    def weights(self) -> FloatArray:
        """``L[p + o_k, p]``, ``(K, H, W)``."""
        return read_only(-self.diagonal * self.regression.coefficients)

    @property
    def precision(self) -> SymmetricStencil:
        """``L L^T``."""
        return whitening_of_cholesky(self.diagonal, self.weights, as_pairs(self.neighbours), None, 1, "LLt").gram()


def fit_regression(ensemble: Ensemble, neighbours: IntArray, shrinkage: object, target: str) -> FittedRegression:
    """Choose the shrinkage if it is not given, and regress every pixel on its neighbours.

    With missing pixels the regressions are those of what is expected under them; shrinkages are then compared by images
    completed by draws, until the one that is best is the one that these were drawn with.

    Raises
    ------
    ArgumentError
        If a pixel is constant or hardly ever observed, or the images are too few for the shrinkage.
    """
    given = as_shrinkage(shrinkage)
    pattern = LocalPattern.of(neighbours)
    one_of("target", target, TARGETS)
    if given == 0.0:
        check_count(ensemble, len(neighbours))
    if given is None and ensemble.count < 2:
        raise ArgumentError('images must be at least 2 with shrinkage="auto", got 1; pass shrinkage as a number.')
    missing = np.isnan(ensemble.images)
    if not missing.any():
        return _fit_to(ensemble, pattern, given, target)
    check_seen(missing, ensemble.estimated)
    completed, chosen = CompletedEnsemble.independent(ensemble, missing), given
    if chosen is None:
        chosen = _fit_to(completed, pattern, None, target).shrinkage
    for _ in range(_CHOICES):
        shrunk = chosen
        found = agree(completed, lambda expected: _fit_to(expected, pattern, shrunk, target, scored=False))  # noqa: B023
        scored = _fit_to(found.completed.drawn(found.fitted.precision), pattern, given, target)
        if scored.shrinkage == chosen:
            break
        completed, chosen = found.completed, scored.shrinkage
    return replace(
        found.fitted,
        mean=found.mean,
        loglik=found.loglik,
        loo=scored.loo,
        converged=found.converged,
        reason=found.reason,
    )


def _fit_to(
    ensemble: Ensemble, pattern: LocalPattern, given: float | None, target: str, *, scored: bool = True
) -> FittedRegression:
    """Return the regressions of an ensemble without missing pixels, or of what is expected; `scored`: with `loo`."""
    planes = ensemble.covariances(pattern.differences)
    if given == 0.0:
        ensemble.check_varies(planes[0], "pass a shrinkage towards the homogeneous target")
    # Without shrinkage the target has no weight, and one that any image has will do.
    towards = make_target("diagonal" if given == 0.0 else target, ensemble, pattern, planes)
    loo = np.nan
    if given is None:
        given, loo = choose_shrinkage(ensemble, pattern, planes, towards)
    elif scored:
        loo = float(leave_one_out(ensemble, pattern, planes, towards, np.array([given]))[0])
    regression = regress(pattern, planes, towards, given)
    squares = np.log(2.0 * np.pi * regression.variance) + regression.residual / regression.variance
    loglik = -0.5 * ensemble.count * float(squares.sum())
    return FittedRegression(pattern.points[:-1], regression, ensemble.mean, given, loglik, loo)


def check_count(ensemble: Ensemble, neighbours: int) -> None:
    """Refuse an ensemble too small for a regression without shrinkage."""
    if ensemble.degrees <= neighbours:
        needed = neighbours + 1 + ensemble.estimated
        raise ArgumentError(
            f"images must be at least {needed} for maximum likelihood with {neighbours} neighbours, got "
            f'{ensemble.count}; pass shrinkage="auto" or a positive number, a smaller radius, or more images.'
        )


def make_target(name: str, ensemble: Ensemble, pattern: LocalPattern, planes: FloatArray) -> Target:
    """Return the covariance or correlation of a window averaged over the image, or the pixels' own variances."""
    size = len(pattern.points)
    if name == "homogeneous":
        return Target(_averaged(pattern, planes), read_only(np.ones(ensemble.shape)))
    ensemble.check_varies(
        planes[0], 'give the shrinkage target="homogeneous", which lends a constant pixel the variance of the others'
    )
    deviation = read_only(np.sqrt(planes[0]))
    if name == "diagonal":
        return Target(read_only(np.eye(size)), deviation)
    correlations, lattice = np.zeros_like(planes), Lattice(ensemble.shape)
    for k, (di, dj) in enumerate(pattern.differences.tolist()):
        here, there = lattice.pairs((di, dj))
        correlations[k][here] = planes[k][here] / (deviation[here] * deviation[there])
    return Target(_averaged(pattern, correlations), deviation)


def _averaged(pattern: LocalPattern, planes: FloatArray) -> FloatArray:
    """Average the matrix of a window over its places on the image, so that the average is non-negative definite."""
    low, high = pattern.points.min(axis=0), pattern.points.max(axis=0)
    height, width = planes[0].shape
    rows, columns = height - int(high[0] - low[0]), width - int(high[1] - low[1])
    if rows < 1 or columns < 1:
        raise ArgumentError(
            f"images must hold a whole neighbourhood of {int(high[0] - low[0]) + 1} x {int(high[1] - low[1]) + 1} "
            f'pixels, got {height} x {width}; take a smaller radius, or target="diagonal".'
        )
    matrix = np.empty((len(pattern.points), len(pattern.points)))
    for a, b in np.ndindex(*matrix.shape):
        plane, di, dj = pattern.pair[a, b]
        top, left = di - low[0], dj - low[1]
        matrix[a, b] = planes[plane, top : top + rows, left : left + columns].mean()
    return read_only(matrix)


def regress(pattern: LocalPattern, planes: FloatArray, target: Target, shrinkage: float) -> NeighbourRegression:
    """Regress every pixel on its neighbours under ``(1 - s) C + s T``.

    Raises
    ------
    ArgumentError
        If neighbours predict each other or the pixel exactly.
    """
    covariances, shape = read_only(planes), (planes.shape[1], planes.shape[2])
    size = len(pattern.points)
    coefficients, variance, residual = np.empty((size - 1, *shape)), np.empty(shape), np.empty(shape)

    failed = [-1] * len(blocks := _threads.ranges(shape[0], _threads.rows_per_task(shape[1])))

    def rows(k: int, first: int, last: int) -> None:
        present, C, L = np.empty(size, dtype=np.int64), np.empty((size, size)), np.empty((size, size))
        failed[k] = ensemble_regression.regress(
            first,
            last,
            pattern.points,
            pattern.pair,
            covariances,
            shrinkage,
            target.matrix,
            target.scale,
            coefficients,
            variance,
            residual,
            present,
            C,
            L,
        )

    _threads.run([partial(rows, k, *block) for k, block in enumerate(blocks)])
    stopped = [pixel for pixel in failed if pixel >= 0]
    if stopped:
        raise ArgumentError(
            f"images have pixels that their neighbours predict to rounding error, the first "
            f"{divmod(stopped[0], shape[1])}, so that no finite precision is most likely; raise shrinkage "
            f'(got {shrinkage:g}), take a smaller radius, or shrinkage="auto".'
        )
    return NeighbourRegression(coefficients, variance, residual)


def leave_one_out(
    ensemble: Ensemble, pattern: LocalPattern, planes: FloatArray, target: Target, shrinkages: FloatArray
) -> FloatArray:
    """Return the log-density of an image by the fit to the others, averaged over images, for each shrinkage.

    The target is held; mean and covariances are those of the other images.
    """
    candidates, covariances = read_only(np.asarray(shrinkages, dtype=np.float64)), read_only(planes)
    size, chunk = len(pattern.points), ensemble_regression.CHUNK
    reach = int(pattern.points[:, 0].max())
    scores = np.empty((len(candidates), ensemble.shape[0]))

    def rows(first: int, last: int) -> None:
        present, C, L = np.empty(size, dtype=np.int64), np.empty((size, size)), np.empty((size, size))
        ensemble_regression.leave_one_out(
            first,
            last,
            pattern.points,
            pattern.pair,
            covariances,
            candidates,
            target.matrix,
            target.scale,
            ensemble.estimated,
            ensemble.turned(first, last + reach),
            scores,
            present,
            C,
            L,
            np.empty((size, chunk)),
            np.empty((2, chunk)),
        )

    _threads.run([partial(rows, *block) for block in ensemble.blocks(reach)])
    result: FloatArray = scores.sum(axis=1) / ensemble.count
    if ensemble.degrees - 1 < size:  # without one image the covariances are singular, which rounding may hide
        result[candidates == 0.0] = -np.inf
    return result


def choose_shrinkage(
    ensemble: Ensemble, pattern: LocalPattern, planes: FloatArray, target: Target
) -> tuple[float, float]:
    """Return the shrinkage with the largest leave-one-out log-density, and that density.

    The candidates are 0, 1 and a grid of ``log(s / (1 - s))`` with step 2, then with step 1/2 around the best.
    """
    score = partial(leave_one_out, ensemble, pattern, planes, target)
    coarse = np.concatenate([[0.0], _from_logit(_COARSE), [1.0]])
    scores = score(coarse)
    best = int(np.argmax(scores))
    if not np.isfinite(scores[best]):
        raise ArgumentError(
            "images are too few or too alike for any shrinkage to predict one from the others; pass shrinkage= as a "
            'number, or target="homogeneous".'
        )
    if best in (0, len(coarse) - 1):
        return float(coarse[best]), float(scores[best])
    fine = np.append(coarse[best], _from_logit(_COARSE[best - 1] + _FINE))
    scores = score(fine)
    best = int(np.argmax(scores))
    return float(fine[best]), float(scores[best])


def as_shrinkage(value: object) -> float | None:
    """Return a number from 0 to 1, or None for ``"auto"``."""
    if isinstance(value, str):
        one_of("shrinkage", value, ("auto",))
        return None
    number = 0.0 if value is None else finite_number("shrinkage", value)
    if not 0.0 <= number <= 1.0:
        raise ArgumentError(f'shrinkage must be "auto", None or a number from 0 to 1, got {number:g}.')
    return number


def _from_logit(value: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-value)))
