"""Covariance selection: the precision of a given pattern whose covariances agree with the sample's on the pattern."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sparsegmrf.ensembles._ensemble import Ensemble, LocalPattern
from sparsegmrf.ensembles._missing import CompletedEnsemble, agree, check_seen
from sparsegmrf.ensembles._newton import Minimum, NewtonPoint, minimize
from sparsegmrf.ensembles._regression import NeighbourRegression, make_target, regress
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.factors import DissectionFactor, Factor
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, IntArray, Shape

_START = 0.1
_CLOSER = 0.8


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The objective at coefficients: ``tr(S Q) - logdet Q``, its gradient, and how far the covariances are from ``S``.

    The error is the largest difference on the pattern, in units of the standard deviations; with shared coefficients
    that of the averages over the image.
    """

    at: FloatArray
    value: float
    gradient: FloatArray
    error: float


class Selection:
    """The problem: covariances ``S`` on offsets, the centre first, as planes; one coefficient per entry or per offset.

    ``S = (1 - a) C + a diag(C)`` is the sample's shrunk. Coefficients are planes ``(K + 1, H, W)``, zero off the image,
    or with `homogeneous` numbers ``(K + 1,)``.
    """

    def __init__(self, offsets: IntArray, sample: FloatArray, shrinkage: float, homogeneous: bool) -> None:
        self.offsets, self.sample, self.homogeneous = offsets, sample, homogeneous
        self.covariances = np.concatenate([sample[:1], (1.0 - shrinkage) * sample[1:]])
        self.count = 0
        """Factorizations made."""
        self._again: Callable[[SymmetricStencil], Factor | None] | None = None
        self._lattice = Lattice((sample.shape[1], sample.shape[2]))
        self._weight = np.where(np.arange(len(offsets)) > 0, 2.0, 1.0)[:, np.newaxis, np.newaxis]
        """An entry beside the diagonal stands in the matrix twice."""
        variance = sample[0]
        self._scale = np.zeros_like(sample)
        for k, (di, dj) in enumerate(offsets.tolist()):
            here, there = self._lattice.pairs((di, dj))
            self._scale[k][here] = np.sqrt(variance[here] * variance[there])
        which, rows, columns = np.nonzero(self._scale)
        step = offsets[which] @ np.array([sample.shape[2], 1])
        self._entries = rows * sample.shape[2] + columns, rows * sample.shape[2] + columns + step

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self._lattice.shape

    @property
    def metric(self) -> FloatArray:
        """Diagonal of the Hessian where the covariances are ``S``: ``S_pp^2``, or ``2 (S_pp S_qq + S_pq^2)``."""
        entries = self._weight * (self._scale**2 + self.covariances**2)
        entries[0] = self.covariances[0] ** 2
        metric = self._sums(entries) if self.homogeneous else entries
        return np.where(metric > 0.0, metric, 1.0)  # where there is no pair, the gradient is zero

    def stencil(self, at: FloatArray) -> SymmetricStencil:
        """Return the precision of coefficients."""
        return SymmetricStencil(self.offsets, list(at), self.shape)

    def evaluate(self, at: FloatArray) -> Evaluation | None:
        """Return the objective at coefficients, or None where they make no positive definite matrix."""
        self.count += 1
        Q = self.stencil(at)
        try:
            factor = None if self._again is None else self._again(Q)
            if factor is None:
                factor = DissectionFactor(Q)
                self._again = factor.refactorizer()
        except NotPositiveDefiniteError:
            return None
        inverse = factor.selected_inverse()
        apart = self.covariances - np.array([inverse.plane(k) for k in range(len(self.offsets))])
        if self.homogeneous:
            # the averages' error, as that of single entries does not vanish
            gradient = self._sums(self._weight * apart)
            trace = float(np.sum(at * self._sums(self._weight * self.covariances)))
            pairs = np.maximum(1.0, self._sums(self._weight * self._scale))
            return Evaluation(at, trace - factor.logdet, gradient, float(np.abs(gradient / pairs).max()))
        units = np.where(self._scale > 0.0, self._scale, 1.0)
        trace = float(np.sum(self._weight * self.covariances * at))
        return Evaluation(at, trace - factor.logdet, self._weight * apart, float(np.abs(apart / units).max()))

    def precondition(self, point: NewtonPoint) -> Callable[[FloatArray], FloatArray]:
        """Return the product with an approximate inverse of the Hessian, ``G -> Q G Q`` on the pattern.

        Without the pattern it would be the inverse of ``V -> Q^-1 V Q^-1``.
        """
        if self.homogeneous:
            metric = self.metric
            return lambda residual: residual / metric
        Q = self.stencil(point.at).tocsr()
        rows, columns = self._entries

        def product(residual: FloatArray) -> FloatArray:
            G = self.stencil(residual / self._weight).tocsr()
            result = np.zeros_like(residual)
            result[self._scale > 0.0] = (Q @ G @ Q)[rows, columns]
            return result

        return product

    def loglik(self, point: NewtonPoint, count: int) -> float:
        """Return the log-density of `count` images at a point, in nats; by the covariances before they were shrunk."""
        n = self._lattice.n_pixels
        unshrunk = point.value + float(np.sum(self._weight * (self.sample - self.covariances) * self._planes(point.at)))
        return -0.5 * count * (n * float(np.log(2.0 * np.pi)) + unshrunk)

    def _planes(self, at: FloatArray) -> FloatArray:
        return at[:, np.newaxis, np.newaxis] if self.homogeneous else at

    def _sums(self, planes: FloatArray) -> FloatArray:
        return np.asarray(planes.sum(axis=(1, 2)))


@dataclass(frozen=True, eq=False)
class Selected:
    """A precision and the mean that goes with it, its likelihood in nats, and how it was found."""

    problem: Selection
    minimum: Minimum
    mean: FloatArray
    loglik: float
    converged: bool
    reason: str
    factorizations: int

    @property
    def precision(self) -> SymmetricStencil:
        """The precision."""
        return self.problem.stencil(self.minimum.point.at)


def fit_selection(
    ensemble: Ensemble, later: IntArray, shrinkage: float, homogeneous: bool, tolerance: float, most: int
) -> Selected:
    """Fit the precision to images, or to what is expected of those with missing pixels.

    Raises
    ------
    ArgumentError
        As by `pose`, or if a pixel is hardly ever observed.
    """
    count, last = 0, None

    def fitted(expected: Ensemble) -> Selected:
        nonlocal count, last
        problem, guess = pose(expected, later, shrinkage, homogeneous, None if last is None else last.minimum.point.at)
        minimum = select(problem, guess, tolerance, most)
        count += problem.count
        loglik = problem.loglik(minimum.point, expected.count)
        last = Selected(problem, minimum, expected.mean, loglik, minimum.converged, minimum.reason, count)
        return last

    missing = np.isnan(ensemble.images)
    if not missing.any():
        return fitted(ensemble)
    check_seen(missing, ensemble.estimated)
    found = agree(CompletedEnsemble.independent(ensemble, missing), fitted)
    converged = found.converged and found.fitted.converged
    return replace(
        found.fitted,
        mean=found.mean,
        loglik=found.loglik,
        converged=converged,
        reason=f"{found.fitted.reason}; {found.reason}",
    )


def select(selection: Selection, guess: FloatArray, tolerance: float, most: int) -> Minimum:
    """Maximize the likelihood from a guess, drawn towards its diagonal until it is positive definite."""
    start = selection.evaluate(guess)
    while start is None:
        guess = np.concatenate([guess[:1], _CLOSER * guess[1:]])
        start = selection.evaluate(guess)
    return minimize(selection.evaluate, selection.precondition, start, selection.metric, tolerance, most)


def pose(
    ensemble: Ensemble, later: IntArray, shrinkage: float, homogeneous: bool, guess: FloatArray | None = None
) -> tuple[Selection, FloatArray]:
    """Return the problem with ``S = (1 - a) C + a diag(C)`` and a guess of its solution, unless there is one.

    Raises
    ------
    ArgumentError
        If a pixel is constant, with `homogeneous` if all are, or the images are too few without shrinkage.
    """
    offsets = np.vstack([np.zeros((1, 2), dtype=np.int64), later])
    if homogeneous:
        C = _averaged(ensemble.covariances(offsets), offsets)
        ensemble.check_varies(C[0], "pass images that vary somewhere")
        start = np.append(1.0 / C[0, 0, 0], np.zeros(len(later))) if guess is None else guess
        return Selection(offsets, C, shrinkage, True), start
    if shrinkage == 0.0:
        _check_count(ensemble, later)
    if guess is not None:
        return Selection(offsets, ensemble.covariances(offsets), shrinkage, False), guess
    pattern = LocalPattern.of(np.vstack([-later[::-1], later]))
    planes = ensemble.covariances(pattern.differences)
    ensemble.check_varies(planes[0], "take homogeneous=True, crop the images, or give these pixels some noise")
    place = {tuple(offset): k for k, offset in enumerate(pattern.differences.tolist())}
    kept = [place[tuple(offset)] for offset in offsets.tolist()]
    target = make_target("diagonal", ensemble, pattern, planes)
    start = _symmetric(regress(pattern, planes, target, max(_START, shrinkage)), later)
    return Selection(offsets, planes[kept], shrinkage, False), start


def _averaged(planes: FloatArray, offsets: IntArray) -> FloatArray:
    """Replace every plane by its average over the pairs that are on the image."""
    result, lattice = np.zeros_like(planes), Lattice((planes.shape[1], planes.shape[2]))
    for k, (di, dj) in enumerate(offsets.tolist()):
        here = lattice.with_neighbour((di, dj))
        if planes[k][here].size:
            result[k][here] = planes[k][here].mean()
    return result


def _symmetric(regression: NeighbourRegression, later: IntArray) -> FloatArray:
    """Return ``1 / s_p^2``, and the mean of ``-beta_pq / s_p^2`` and ``-beta_qp / s_q^2``, a pseudo-likelihood's."""
    precision = 1.0 / regression.variance
    lattice, K = Lattice((precision.shape[0], precision.shape[1])), len(later)
    result = np.zeros((K + 1, *precision.shape))
    result[0] = precision
    entries = -precision * regression.coefficients
    for k, (di, dj) in enumerate(later.tolist()):
        here, there = lattice.pairs((di, dj))
        result[k + 1][here] = 0.5 * (entries[K + k][here] + entries[K - 1 - k][there])
    return result


def _check_count(ensemble: Ensemble, later: IntArray) -> None:
    """Refuse an ensemble whose covariance of mutual neighbours is singular: the likelihood then has no maximum."""
    most = _largest_clique(later, ensemble.shape)
    if ensemble.degrees < most:
        raise ArgumentError(
            f"images must be at least {most + ensemble.estimated} for maximum likelihood where {most} pixels are each "
            f"other's neighbours, got {ensemble.count}; pass shrinkage=, homogeneous=True, a smaller radius, or more "
            "images."
        )


def _largest_clique(later: IntArray, shape: Shape) -> int:
    """Return the largest number of pixels on the image of which each two are neighbours."""
    near = {(di, dj) for di, dj in later.tolist() if di < shape[0] and abs(dj) < shape[1]}

    def grow(size: int, candidates: list[tuple[int, int]]) -> int:
        best = size
        for k, (di, dj) in enumerate(candidates):
            if size + len(candidates) - k <= best:
                break
            best = max(best, grow(size + 1, [(a, b) for a, b in candidates[k + 1 :] if (a - di, b - dj) in near]))
        return best

    return grow(1, sorted(near))
