"""The mode of fields and of their trend's coefficients together given counts, by Newton's method."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import ConvergenceError
from sparsegmrf.inference._counts import Counts
from sparsegmrf.inference._mode import MOST, SETTLED, Mode, Place, rounding, step_length, with_curvature
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.typing import FloatArray


class Move(NamedTuple):
    """Changes of the coefficients ``(p,)``, of the deviations of each image, and of its linear predictor ``(H, W)``."""

    coefficients: FloatArray
    fields: tuple[FloatArray, ...]
    totals: tuple[FloatArray, ...]


class JointMode(NamedTuple):
    """Where ``sum_k l(X b + a^T u_k) - u_k^T Q u_k / 2`` is largest, and its curvature ``H`` there.

    Attributes
    ----------
    counts : sequence of Counts
        Image by image.
    columns : ndarray, (p, H, W)
        ``X``.
    coefficients : ndarray, (p,)
        ``b``, which all images share.
    images : tuple of Mode
        Deviations, linear predictors and factors of ``P_k = Q + a W_k a^T``, image by image.
    left : tuple of ndarray, (p, H, W) or (p, H, W, C)
        ``P_k^-1 Q X~`` with fields ``X~`` whose totals the columns are: what the field leaves of these.
    information : ndarray, (p, p)
        ``S = sum_k X^T (W - W a^T P^-1 a W) X``: minus the second derivatives by ``b``, the fields following.
    """

    counts: Sequence[Counts]
    columns: FloatArray
    coefficients: FloatArray
    images: tuple[Mode, ...]
    left: tuple[FloatArray, ...]
    information: FloatArray

    @property
    def places(self) -> list[Place]:
        """Where the modes are, without factors."""
        return [each.place for each in self.images]

    def spreads(self, root: FloatArray) -> list[FloatArray]:
        """Return image by image what the field leaves of the columns times a root ``(p, p)``, ``(p, H, W)``."""
        return [
            np.tensordot(root.T, one.total(B), 1) if len(root) else np.zeros((0, *one.observed.shape))
            for one, B in zip(self.counts, self.left, strict=True)
        ]

    def taken(self, number: int) -> FloatArray:
        """Return fields ``P^-1 a W X``: what the field of an image takes of the columns, ``(p, H, W[, C])``."""
        return np.asarray(self.counts[number].lifted(self.columns) - self.left[number])

    def solve(self, fields: Sequence[FloatArray], coefficients: FloatArray) -> Move:
        """Return ``H^-1 g`` of gradients by the fields and by the coefficients: a solve for each image.

        With ``t_k = P_k^-1 g_k`` the coefficients move by ``d = S^-1 (g_b - sum_k X^T W_k a^T t_k)``, and the fields by
        ``t_k - P_k^-1 a W_k X d``.
        """
        steps = [mode.factor.solve(g) for mode, g in zip(self.images, fields, strict=True)]
        slope = np.array(coefficients)
        for one, mode, t in zip(self.counts, self.images, steps, strict=True):
            slope -= np.tensordot(self.columns, mode.derivatives.curvature * one.total(t), 2)
        d = np.asarray(np.linalg.solve(self.information, slope), dtype=np.float64)
        moves = tuple(t - np.tensordot(d, self.taken(k), 1) for k, t in enumerate(steps))
        totals = tuple(
            np.asarray(one.total(t) + np.tensordot(d, one.total(B), 1))
            for one, t, B in zip(self.counts, steps, self.left, strict=True)
        )
        return Move(d, moves, totals)


def find_joint_mode(
    prior: PriorPrecision,
    columns: FloatArray,
    counts: Sequence[Counts],
    factorizer: Refactorizer,
    deviations: Sequence[FloatArray],
    coefficients: FloatArray,
) -> JointMode:
    """Return the mode, by Newton steps from deviations and coefficients; their rules are those of `find_mode`.

    Raises
    ------
    ConvergenceError
        If it is not found, as where counts leave it at infinity.
    """
    Q, b, settled, square = prior.stencil, coefficients, False, np.inf
    u = [each if prior.outside is None else np.where(prior.outside, 0.0, each) for each in deviations]
    for steps in range(MOST):
        found = _at(prior, columns, counts, factorizer, u, b, steps)
        slopes = [mode.derivatives.slope for mode in found.images]
        by_fields = [
            one.spread(slope) - Q @ prior.without_level(each)
            for one, slope, each in zip(counts, slopes, u, strict=True)
        ]
        by_coefficients = np.tensordot(columns, np.sum(slopes, axis=0), 2)
        move = found.solve(by_fields, by_coefficients)
        square = sum(float(np.sum(g * du)) for g, du in zip(by_fields, move.fields, strict=True))
        square += float(by_coefficients @ move.coefficients)
        least = [
            rounding(Q, one, mode.derivatives.curvature, mode.eta, mode.deviation)
            for one, mode in zip(counts, found.images, strict=True)
        ]
        small = square <= max(SETTLED * sum(mode.eta.size for mode in found.images), sum(least))
        if settled and small:
            return found
        length = _length(prior, found, move, square)
        if length == 0.0:
            break
        b = b + length * move.coefficients
        u = [each + length * step for each, step in zip(u, move.fields, strict=True)]
        settled = small
        del found  # the memory of its factors is the next ones'
    raise ConvergenceError(
        f"the mode of field and trend given the counts was not found: squared decrement {square:.3g} after {steps} "
        "Newton steps. The counts may leave it at infinity, as covariates do where they can lower counts of zero "
        "without end: use fewer covariates."
    )


def _at(
    prior: PriorPrecision,
    columns: FloatArray,
    counts: Sequence[Counts],
    factorizer: Refactorizer,
    deviations: Sequence[FloatArray],
    b: FloatArray,
    steps: int,
) -> JointMode:
    """Return the curvature at fields and coefficients, where they may be no mode yet."""
    images, left, S = [], [], np.zeros((len(b), len(b)))
    trend = np.tensordot(b, columns, 1)
    for one, u in zip(counts, deviations, strict=True):
        eta = trend + one.total(u)
        at = one.derivatives(eta)
        P = with_curvature(prior.stencil, one, at.curvature)
        factor = factorizer(P)
        lifted = one.lifted(columns)
        left.append(factor.solve(prior.times(lifted)) if len(b) else lifted)
        part = np.tensordot(columns * at.curvature, one.total(left[-1]), ([1, 2], [1, 2]))
        S += 0.5 * (part + part.T)
        images.append(Mode(u, eta, at, P, factor, steps, np.nan))
    return JointMode(counts, columns, b, tuple(images), tuple(left), S)


def _length(prior: PriorPrecision, at: JointMode, move: Move, square: float) -> float:
    """Return how far to go along a move, as `step_length` has it for all images together."""
    quadratic = sum(float(np.sum(step * (prior.stencil @ step))) for step in move.fields)

    def lost(length: float) -> float:
        return sum(
            one.divergence(mode.eta, length * total)
            for one, mode, total in zip(at.counts, at.images, move.totals, strict=True)
        )

    return step_length(square, quadratic, lost)
