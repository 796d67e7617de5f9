"""Ensembles with missing pixels: expectations given what is observed, and the fits that agree with them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import scipy.linalg

from sparsegmrf.ensembles._ensemble import Ensemble
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import factorize
from sparsegmrf.factors.restricted import RestrictedForm
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import BoolArray, FloatArray, IntArray, Offset

_GAIN = 1e-7
"""Change of the log-likelihood in nats per image at which passes end."""
_PASSES = 500
_FEW = 256
"""Missing pixels of an image up to which their covariance matrix is formed."""
_SEED = 0x5A5E
"""Of the draws by which images are completed to choose a shrinkage."""


class HasPrecision(Protocol):
    """What a step of the passes returns."""

    @property
    def precision(self) -> SymmetricStencil:
        """Of the field fitted."""


Fitted = TypeVar("Fitted", bound=HasPrecision)


class Agreement(NamedTuple, Generic[Fitted]):
    """A fit that agrees with the expectations under itself, and how it was reached.

    Attributes
    ----------
    fitted : Fitted
        The fit.
    mean : ndarray, (H, W)
        The mean that goes with it.
    completed : CompletedEnsemble
        What is expected under both.
    loglik : float
        Log-density of the observed values in nats.
    converged : bool
        Whether the expectations no longer change.
    reason : str
        Why the passes ended.
    """

    fitted: Fitted
    mean: FloatArray
    completed: "CompletedEnsemble"
    loglik: float
    converged: bool
    reason: str


@dataclass(frozen=True, eq=False)
class CompletedEnsemble(Ensemble):
    """Images whose missing pixels are what is expected of them given the others.

    Attributes
    ----------
    missing : ndarray of bool, (N, H, W)
        Which pixels these are.
    excess : dict of (int, int) to ndarray, (H, W)
        By later offset, covariances of a pixel and its neighbour given what is observed, averaged over the images.
    """

    missing: BoolArray
    excess: dict[Offset, FloatArray]

    def covariances(self, offsets: IntArray) -> FloatArray:
        """Return what is expected of the means of ``x_p x_q``, ``q = p + o_k``."""
        planes = super().covariances(offsets)
        for k, (di, dj) in enumerate(offsets.tolist()):
            if (di, dj) in self.excess:
                planes[k] += self.excess[di, dj]
        return planes

    @classmethod
    def independent(cls, ensemble: Ensemble, missing: BoolArray) -> "CompletedEnsemble":
        """Return an ensemble, NaN where pixels are missing, with what is expected if pixels are independent."""
        seen = (~missing).sum(axis=0)
        images = np.where(missing, 0.0, ensemble.images)
        mean = images.sum(axis=0) / seen if ensemble.estimated else ensemble.mean
        images = np.where(missing, mean, images)
        variance = ((images - mean) ** 2).sum(axis=0) / seen
        share = missing.mean(axis=0)
        return cls(images, mean, ensemble.estimated, missing, {(0, 0): share * variance})

    def given(self, Q: SymmetricStencil) -> tuple["CompletedEnsemble", float]:
        """Return what is expected under a field with this mean, and the log-density of the observed values."""
        images = self.images.copy()
        excess = {(int(di), int(dj)): np.zeros(self.shape) for di, dj in Q.offsets.tolist()}
        whole = factorize(Q).logdet
        loglik = 0.0
        for gaps, members in _by_gaps(self.missing):
            deviation = np.where(gaps, 0.0, images[members] - self.mean)
            determinant = whole
            if gaps.any():
                given = _small(Q, gaps) if gaps.sum() <= _FEW else _large(Q, gaps)
                deviation = deviation - given.solve(np.where(gaps, Q @ deviation, 0.0))
                determinant -= given.logdet
                for offset, plane in given.covariances.items():
                    excess[offset] += len(members) / self.count * plane
                images[members] = np.where(gaps, self.mean + deviation, images[members])
            n = int((~gaps).sum())
            squares = float(np.sum(deviation * (Q @ deviation)))
            loglik += 0.5 * (len(members) * (determinant - n * float(np.log(2.0 * np.pi))) - squares)
        mean = images.mean(axis=0) if self.estimated else self.mean
        return replace(self, images=images, mean=mean, excess=excess), loglik

    def drawn(self, Q: SymmetricStencil) -> Ensemble:
        """Return images completed by a draw given what is observed, from the expectations under the same field."""
        images, rng = self.images.copy(), np.random.default_rng(_SEED)
        for gaps, members in _by_gaps(self.missing):
            if gaps.any():
                factor = factorize(RestrictedForm(decoupled(Q, ~gaps), Q.lattice.restricted(gaps)))
                e = rng.standard_normal((len(members), *self.shape))
                images[members] += np.where(gaps, factor.unwhiten(e), 0.0)
        return Ensemble(images, images.mean(axis=0) if self.estimated else self.mean, self.estimated)


def agree(start: CompletedEnsemble, step: Callable[[CompletedEnsemble], Fitted]) -> Agreement[Fitted]:
    """Return the fit that agrees with what is expected under it: with maximum likelihood a maximum of that observed.

    Each pass fits to the expectations and takes those under the fit (EM). Passes end where the log-density of what is
    observed changes by less than 1e-7 nats per image.
    """
    expected, last = start, -np.inf
    for passes in range(1, _PASSES + 1):
        fitted = step(expected)
        following, loglik = expected.given(fitted.precision)
        converged = abs(loglik - last) <= _GAIN * start.count
        if converged or passes == _PASSES:
            break
        expected, last = following, loglik
    change = abs(loglik - last) / start.count
    reason = f"the log-density of an image changes by {change:.2g} nats after {passes} passes over what is missing"
    return Agreement(fitted, expected.mean, following, loglik, converged, reason)


def check_seen(missing: BoolArray, estimated: bool) -> None:
    """Refuse pixels that are hardly ever observed.

    Raises
    ------
    ArgumentError
        With the first such pixel and their number.
    """
    needed, seen = 1 + estimated, (~missing).sum(axis=0)
    if (seen < needed).any():
        i, j = (int(index) for index in np.argwhere(seen < needed)[0])
        raise ArgumentError(
            f"images must show every pixel at least {needed} times, got {int((seen < needed).sum())} pixels that they "
            f"do not, the first {(i, j)} with {int(seen[i, j])}; crop the images."
        )


class _Given(NamedTuple):
    """Pixels given the others: solutions, log-determinant of their precision, and covariances by offset."""

    solve: Callable[[FloatArray], FloatArray]
    logdet: float
    covariances: dict[Offset, FloatArray]


def _large(Q: SymmetricStencil, gaps: BoolArray) -> _Given:
    """Return pixels given the others by their factor."""
    factor = factorize(RestrictedForm(decoupled(Q, ~gaps), Q.lattice.restricted(gaps)))
    inverse = factor.selected_inverse()
    planes = {(int(di), int(dj)): inverse.plane(k) for k, (di, dj) in enumerate(inverse.offsets.tolist())}
    return _Given(factor.solve, factor.logdet, planes)


def _small(Q: SymmetricStencil, gaps: BoolArray) -> _Given:
    """Return few pixels given the others by their covariance matrix."""
    pixels = np.argwhere(gaps)
    place = np.full(Q.shape, -1)
    place[gaps] = np.arange(len(pixels))
    found = [(k, *_both(place, offset)) for k, offset in enumerate(Q.offsets.tolist())]
    P = np.zeros((len(pixels), len(pixels)))
    for k, rows, columns in found:
        P[rows, columns] = P[columns, rows] = Q.plane(k)[tuple(pixels[rows].T)]
    L = scipy.linalg.cholesky(P, lower=True)
    covariance = scipy.linalg.cho_solve((L, True), np.eye(len(pixels)))
    planes = {}
    for k, rows, columns in found:
        planes[int(Q.offsets[k, 0]), int(Q.offsets[k, 1])] = plane = np.zeros(Q.shape)
        plane[tuple(pixels[rows].T)] = covariance[rows, columns]

    def solve(b: FloatArray) -> FloatArray:
        x = np.zeros(b.shape)
        x[..., gaps] = b[..., gaps] @ covariance
        return x

    return _Given(solve, 2.0 * float(np.log(np.diagonal(L)).sum()), planes)


def _both(place: IntArray, offset: list[int]) -> tuple[IntArray, IntArray]:
    """Return the places of pixels and of their neighbours where both have one."""
    lattice = Lattice((place.shape[0], place.shape[1]))
    here, there = lattice.pairs((offset[0], offset[1]))
    rows, columns = place[here].ravel(), place[there].ravel()
    both = (rows >= 0) & (columns >= 0)
    return rows[both], columns[both]


def _by_gaps(missing: BoolArray) -> list[tuple[BoolArray, IntArray]]:
    """Return the different gaps, and the images that have them."""
    kinds: dict[bytes, list[int]] = {}
    for k, each in enumerate(missing):
        kinds.setdefault(each.tobytes(), []).append(k)
    return [(missing[members[0]], np.array(members)) for members in kinds.values()]
