"""Parameters that predict gaps best: the CRPS of held-out copies of the image's gaps as a function of parameters."""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import ArgumentError, SparseGMRFError
from sparsegmrf.inference._conclusion import Conclusion
from sparsegmrf.inference._evidence import Regression, regression
from sparsegmrf.inference._frame import Replicate
from sparsegmrf.inference._holdout import Blocks, gap_copies
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._null_vectors import NullVectors
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._parameters import FieldModel, unknowns_of
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.inference._progress import evaluated
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.inference._scores import crps
from sparsegmrf.inference._trend import Trend
from sparsegmrf.priors import NOISE
from sparsegmrf.typing import BoolArray, FloatArray, IntArray

SETS = 3
"""Sets of blocks for the search, and as many for the comparison."""
SHARE = 0.1
_ROOM = 4.0
_STEP = 0.5
_TOLERANCE = 0.02
"""Distance between the corners of the last simplex, on the scale of the working parameters."""
_TOLD_APART = 2.0
"""Standard errors by which a field must predict better than its trend alone."""
_EVALUATIONS = 60
"""Criteria evaluated per parameter at most."""


@dataclass(frozen=True)
class CrossValidation:
    """How estimates by cross-validation predict held-out gaps, and how those of maximum likelihood do.

    Scores are CRPS of measurements in intensity, averaged over held-out pixels.

    Attributes
    ----------
    score, ml_score : float
        Of the estimates and of the maximum-likelihood ones, on the blocks that chose the estimates.
    fresh_score, fresh_ml_score : float
        The same on blocks drawn anew, which chose nothing.
    standard_error : float
        Of ``fresh_ml_score - fresh_score``, paired by blocks, which count as independent.
    blocks, pixels : int
        Of the fresh comparison.
    effective_blocks : float
        ``(sum n)^2 / sum n^2`` over the pixels ``n`` of its blocks: how many equally large ones would tell as much.
    share : float
        Held-out pixels of a set over observed ones, on average.
    ml_parameters : dict of float
        Maximum-likelihood estimates.
    evaluations : int
        Criteria evaluated; each is a factorization per set.
    """

    score: float
    ml_score: float
    fresh_score: float
    fresh_ml_score: float
    standard_error: float
    blocks: int
    pixels: int
    effective_blocks: float
    share: float
    ml_parameters: dict[str, float]
    evaluations: int

    @property
    def disagreement(self) -> float:
        """``(fresh_ml_score - fresh_score) / standard_error``: positive where cross-validation predicts better."""
        return (self.fresh_ml_score - self.fresh_score) / self.standard_error

    @property
    def disagrees(self) -> bool:
        """Whether the two ways predict fresh blocks differently at the 1% level of Student's t."""
        from scipy.special import stdtrit

        return bool(abs(self.disagreement) > stdtrit(max(1.0, self.effective_blocks - 1.0), 0.995))

    @property
    def verdict(self) -> str:
        """Whether the two ways differ by more than noise, in words."""
        values = (
            f"CRPS {self.fresh_score:.4g} on fresh blocks against {self.fresh_ml_score:.4g} by maximum likelihood, "
            f"{self.disagreement:+.1f} standard errors over {self.blocks} blocks"
        )
        if not self.disagrees:
            return f"agrees with maximum likelihood within noise: {values}"
        better = "better" if self.disagreement > 0.0 else "WORSE"
        return f"DISAGREES with maximum likelihood, and predicts {better}: {values}"


class HeldOut:
    """Criterion of cross-validation on sets of blocks, a function of working parameters.

    Attributes
    ----------
    objective : Objective
        The problem whose working parameters it takes.
    sets : list of tuple of Blocks
        The blocks of a set are removed together, those of each image.
    evaluations : int
        Times it was evaluated.
    """

    def __init__(self, objective: Objective, sets: list[tuple[Blocks, ...]]) -> None:
        self.objective, self.sets, self.evaluations = objective, sets, 0
        self._refactorize = Refactorizer(objective.digits)

    @classmethod
    def of(cls, objective: Objective, sets: list[tuple[Blocks, ...]]) -> "HeldOut":
        """Return the criterion after checking that what remains determines trend and level."""
        prior, trend = unknowns_of(objective.model, objective.shape), objective.trend
        for blocks in sets:
            rest = [each.data.without(own.held_out) for each, own in zip(objective.images, blocks, strict=True)]
            nulls = [NullVectors.of(prior, each.observed, each.combination) for each in rest]
            try:
                Trend.of(trend.names, trend.columns, nulls)
            except ArgumentError as error:
                raise ArgumentError(
                    f"covariates must vary where nothing is held out, got {', '.join(trend.names)}: {error} Or use "
                    "method='ml'."
                ) from error
        return cls(objective, sets)

    def __call__(self, at: FloatArray) -> float:
        """Return the mean CRPS at the best scale, in intensity."""
        self.evaluations += 1
        error, spread = self.predictions(at)
        return float(crps(error, 0.0, self.scale_of(error, spread) * spread).mean())

    def best_scale(self, at: FloatArray) -> float:
        """Return the factor on all standard deviations that minimizes the CRPS; 1 where no parameter has it."""
        return self.scale_of(*self.predictions(at))

    def scale_of(self, error: FloatArray, spread: FloatArray) -> float:
        """Return the factor for errors and standard deviations."""
        return best_scale(error, spread) if self.objective.scale is not None else 1.0

    def by_block(self, at: FloatArray) -> tuple[FloatArray, IntArray]:
        """Return the sum of the CRPS over each block of each set, and the pixels of each."""
        error, spread = self.predictions(at)
        scores = crps(error, 0.0, self.scale_of(error, spread) * spread)
        return np.bincount(self.numbers, scores).astype(np.float64), np.bincount(self.numbers).astype(np.int64)

    @property
    def numbers(self) -> IntArray:
        """Block of each prediction, numbered through the sets from 0."""
        parts = [blocks for several in self.sets for blocks in several]
        first = np.cumsum([0, *(blocks.count for blocks in parts)])
        return np.concatenate([f + b.labels[b.held_out] - 1 for f, b in zip(first, parts, strict=False)])

    def predictions(self, at: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return errors and standard deviations of predicted measurements, set by set, at the model's own scale."""
        objective = self.objective
        model, variance = objective.parameters_at(at)
        images = objective.frame.deviations
        if objective.estimated:
            images = tuple(dataclasses.replace(each, weight=each.weight / variance) for each in images)
        Q = PriorPrecision.of(model.stencil(objective.shape), unknowns_of(model, objective.shape))
        parts = [part for blocks in self.sets for part in self._predict(Q, images, blocks)]
        return np.concatenate([error for error, _ in parts]), np.concatenate([spread for _, spread in parts])

    def _predict(
        self, Q: PriorPrecision, images: tuple[Observations, ...], blocks: tuple[Blocks, ...]
    ) -> list[tuple[FloatArray, FloatArray]]:
        """Predict one set from the factors of the lattice without it; the trend is that of what remains."""
        rest = [
            dataclasses.replace(own, data=data.without(out.held_out))
            for own, data, out in zip(self.objective.images, images, blocks, strict=True)
        ]
        for each in rest:
            Q.check_digits(each.data)
        found = regression(Q, rest, self._refactorize)
        evaluated()
        return [
            _errors(data, out.held_out, found, number)
            for number, (data, out) in enumerate(zip(images, blocks, strict=True))
        ]


def _errors(data: Observations, held: BoolArray, found: Regression, number: int) -> tuple[FloatArray, FloatArray]:
    """Return errors and standard deviations of the held-out pixels of an image."""
    part, factor = found.parts[number], found.posteriors[number]
    assert factor is not None  # what is held out is not known exactly
    left = part.left[:, held]
    mean = data.total(part.fields[0])[held] + found.beta @ left
    variance = data.covariances(factor)[1][held]
    variance = variance + np.einsum("kp,kp->p", left, found.covariance @ left)
    return data.values[held] - mean, np.sqrt(variance + data.noise_variance[held])


def best_scale(error: FloatArray, spread: FloatArray) -> float:
    """Return the ``s`` that minimizes the sum of the CRPS of errors predicted with standard deviations ``s u``.

    The CRPS is convex in ``s``; its derivative, the sum of ``u (2 f(e / (s u)) - 1/sqrt(pi))``, has one root.
    """
    from scipy.optimize import brentq

    z = error / spread
    start = float(np.log(np.sqrt(np.mean(z * z))))

    def slope(log_scale: float) -> float:
        standard = z * np.exp(-log_scale)
        density = np.exp(-0.5 * standard * standard) / np.sqrt(2.0 * np.pi)
        return float(spread @ (2.0 * density - 1.0 / np.sqrt(np.pi)))

    low, high = start - 1.0, start + 1.0
    while slope(low) > 0.0:
        low -= 1.0
    while slope(high) < 0.0:
        high += 1.0
    return float(np.exp(brentq(slope, low, high, xtol=1e-10)))


def error_of_mean(sums: FloatArray, sizes: IntArray) -> float:
    """Return the standard error of ``sum(sums) / sum(sizes)`` over blocks: the linearized variance of a ratio."""
    rest = sums - sizes * sums.sum() / sizes.sum()
    return float(np.sqrt(np.sum(rest**2) * len(rest) / max(1, len(rest) - 1)) / sizes.sum())


class CrossValidated(NamedTuple):
    """Memory of the objective with the scale among its parameters, the estimates, the search's end, the comparison."""

    memo: Memo
    at: FloatArray
    conclusion: Conclusion
    comparison: CrossValidation


def cross_validate(memo: Memo, start: FloatArray, stream: np.random.Generator) -> CrossValidated:
    """Search the parameters of the least CRPS from those of maximum likelihood, and compare the two on fresh blocks."""
    objective: Objective = memo.objective
    sets = [tuple(_held_out(each, stream) for each in objective.images) for _ in range(2 * SETS)]
    criterion = HeldOut.of(objective, sets[:SETS])
    at, converged, reason, ends = _minimize(criterion, start)
    full, likeliest = objective.unprofiled(memo.solution(start))
    best = full.start(*_scaled(objective, at, criterion.best_scale(at)))
    chosen, fresh = HeldOut(full, sets[:SETS]), HeldOut.of(full, sets[SETS:])
    sums, sizes = fresh.by_block(best)
    ml_sums, _ = fresh.by_block(likeliest)
    gain = ml_sums - sums
    found = CrossValidation(
        score=chosen(best),
        ml_score=chosen(likeliest),
        fresh_score=float(sums.sum() / sizes.sum()),
        fresh_ml_score=float(ml_sums.sum() / sizes.sum()),
        standard_error=error_of_mean(gain, sizes),
        blocks=len(sizes),
        pixels=int(sizes.sum()),
        effective_blocks=float(sizes.sum() ** 2 / np.sum(sizes**2)),
        share=float(np.mean([blocks.share for several in sets for blocks in several])),
        ml_parameters=_named(full, likeliest),
        evaluations=criterion.evaluations,
    )
    alone = _trend_alone(fresh, sums, sizes)
    reasons = [reason, *_remedies(ends, found.ml_parameters), found.verdict, *([alone] if alone else [])]
    return CrossValidated(Memo(full), best, Conclusion(converged, "; ".join(reasons), None), found)


def _held_out(image: Replicate, stream: np.random.Generator) -> Blocks:
    """Return copies of an image's gaps to hold out, less what would leave nothing to predict a connected part from.

    What is outside the domain of the field is no gap.
    """
    null = image.null
    blocks = gap_copies(null.observed | ~null.domain, stream, share=SHARE)
    labels = np.where(null.observed, blocks.labels, 0)
    if null.parts.count > 1:
        labels[null.unfixed_without(labels > 0)] = 0
    if not labels.any():
        raise ArgumentError(
            "image must have a connected part with enough observed pixels to hold some of them out, got none; use "
            "method='ml'."
        )
    return Blocks(np.unique(np.append(0, labels), return_inverse=True)[1][1:].reshape(labels.shape), null.observed)


def _minimize(criterion: HeldOut, start: FloatArray) -> tuple[FloatArray, bool, str, list[str]]:
    """Search by a simplex, on the scale of the working parameters and within a box around the start.

    Returned are where it ended, whether at a minimum, that in words, and the parameters at an edge of the box.
    """
    from scipy.optimize import minimize

    if not len(start):
        return start, True, "nothing to search: the scale has a closed form", []
    simplex = start + np.concatenate([np.zeros((1, len(start))), _STEP * np.eye(len(start))])
    low, high = start - _ROOM, start + _ROOM
    first = criterion(start)

    def tried(at: FloatArray) -> float:
        """Return the criterion, infinity where rounding makes a precision singular."""
        try:
            value = criterion(at)
        except (SparseGMRFError, ArithmeticError, np.linalg.LinAlgError):
            return np.inf
        return value if np.isfinite(value) else np.inf

    found = minimize(
        tried,
        start,
        method="Nelder-Mead",
        bounds=list(zip(low, high, strict=True)),
        options={
            "initial_simplex": simplex,
            "xatol": _TOLERANCE,
            "fatol": 1e-4 * first,
            "maxfev": _EVALUATIONS * len(start),
        },
    )
    at: FloatArray = found.x
    held = (at <= low + _TOLERANCE) | (at >= high - _TOLERANCE)
    ends = [name for name, is_held in zip(criterion.objective.names, held, strict=True) if is_held]
    if ends:
        return at, False, f"{', '.join(ends)} ran to the edge of the search", ends
    if not found.success:
        return at, False, f"simplex still open after {criterion.evaluations} criteria", ends
    return at, True, f"simplex closed to {_TOLERANCE:g} after {criterion.evaluations} criteria", ends


def _remedies(ends: list[str], likeliest: dict[str, float]) -> list[str]:
    """Return what to do about parameters at an edge; gaps say little of noise, which likelihood knows."""
    found = [f"hold {name} by fixed=" for name in ends if name != NOISE]
    if NOISE in ends:
        found.append(f"give a noise_variance, by maximum likelihood {likeliest[NOISE]:.4g}")
    return found


def _trend_alone(fresh: HeldOut, sums: FloatArray, sizes: IntArray) -> str | None:
    """Say that a field predicts fresh blocks, of scores `sums`, no better than their trend and one variance do."""
    objective = fresh.objective
    if not objective.estimated:
        return None
    error = np.concatenate(
        [
            data.values[out.held_out]
            for several in fresh.sets
            for data, out in zip(objective.frame.deviations, several, strict=True)
        ]
    )
    spread = np.ones(len(error))
    scale = best_scale(error, spread)
    alone = np.bincount(fresh.numbers, crps(error, 0.0, scale * spread)).astype(np.float64)
    gain = float((alone - sums).sum() / sizes.sum())
    if gain > _TOLD_APART * error_of_mean(alone - sums, sizes):
        return None
    return (
        f"the field cannot be told from noise by them: independent pixels of the variance {scale**2:.6g} have a CRPS "
        f"of {float(alone.sum() / sizes.sum()):.4g}"
    )


def _scaled(objective: Objective, at: FloatArray, scale: float) -> tuple[FieldModel, float]:
    """Return the model and the noise variance with standard deviations multiplied by `scale`."""
    model, variance = objective.parameters_at(at)
    if objective.scale is None:
        return model, variance
    name, exponent = objective.scale
    return model.replace(**{name: model.parameters[name] * scale ** (-2.0 / exponent)}), variance * scale**2


def _named(full: Objective, at: FloatArray) -> dict[str, float]:
    """Return parameters by name."""
    model, variance = full.parameters_at(at)
    named = {name: model.parameters[name] for name in full.free}
    return {**named, "noise_variance": variance} if full.estimated else named
