"""Fields stacked for filling gaps: predictive distributions mixed by how they predict held-out pixels together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy

from sparsegmrf._validate import generator, integer_at_least
from sparsegmrf.errors import ArgumentError, SparseGMRFError
from sparsegmrf.inference._candidates import OTHERS, SPLINE, fit_default
from sparsegmrf.inference._cross_validation import HeldOut, error_of_mean
from sparsegmrf.inference._degenerate import degeneracy
from sparsegmrf.inference._fit_result import FitResult
from sparsegmrf.inference._held_out_sets import held_out_sets
from sparsegmrf.inference._holdout import Blocks
from sparsegmrf.inference._linear_estimate import LinearEstimate
from sparsegmrf.inference._mixed_prediction import mixed_estimate, mixed_prediction
from sparsegmrf.inference._mixture import Mixture
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._progress import expect, stage
from sparsegmrf.inference._stacking import held_out_mixture, stacking_weights
from sparsegmrf.typing import FloatArray, IntArray, Seed

_LEAST = 0.02
"""Weight below which a candidate is left out."""
_TAIL = 0.025


@dataclass(frozen=True)
class HeldOutScores:
    """How held-out measurements are predicted, on average over the pixels, and compared with the default's.

    Attributes
    ----------
    log_score : float
        Log-density in nats; larger is better.
    rmse, crps : float
        In intensity.
    coverage : float
        Share of measurements within their central 95% intervals.
    gain, gain_error : float
        Log-density above the default's, and its standard error, paired by blocks.
    excess, excess_error : float
        CRPS above the default's, and its standard error.
    """

    log_score: float
    rmse: float
    crps: float
    coverage: float
    gain: float
    gain_error: float
    excess: float
    excess_error: float

    @property
    def is_worse(self) -> bool:
        """Whether the default predicts better by more than a standard error, by log-density or by CRPS."""
        return self.gain < -self.gain_error or self.excess > self.excess_error


@dataclass(frozen=True)
class Candidate:
    """A field fitted to the image, and how it predicts held-out pixels.

    Attributes
    ----------
    name : str
        What it is called in the table.
    weight : float
        Share of the mixture; zero: it has no part in it.
    fit : FitResult
        Maximum likelihood on the whole image for the default, posterior mode for the others; of a large image on tiles.
    scores : HeldOutScores
        Of its predictions.
    """

    name: str
    weight: float
    fit: FitResult
    scores: HeldOutScores

    @property
    def loglik(self) -> float:
        """Restricted log-likelihood in nats at these estimates, the density of the contrasts that see no trend.

        It is comparable between fields with and without a level of their own.
        """
        return self.fit.restricted_loglik


@dataclass(frozen=True)
class ModelComparison:
    """The fields that were compared, and the mixture of them that fills the gaps.

    Attributes
    ----------
    candidates : tuple of Candidate
        Those that were scored on all that is held out; the default first.
    left_out : mapping of str
        Candidates that were refused, with the reason.
    scores : HeldOutScores
        Of the mixture, a block predicted with the weights that the other blocks would give.
    verdict : str
        What fills the gaps, in words, and why.
    blocks, pixels : int
        Held out in all sets together: copies of the image's gaps, and squares of sizes up to the largest gap.
    """

    candidates: tuple[Candidate, ...]
    left_out: Mapping[str, str]
    scores: HeldOutScores
    verdict: str
    blocks: int
    pixels: int

    @property
    def default(self) -> Candidate:
        """What `fill` takes by itself."""
        return self.candidates[0]

    @property
    def mixed(self) -> tuple[Candidate, ...]:
        """The candidates with a part in the mixture."""
        return tuple(each for each in self.candidates if each.weight > 0.0)

    @property
    def chosen(self) -> Candidate:
        """The candidate of the largest weight."""
        return max(self.candidates, key=lambda each: each.weight)

    @property
    def weights(self) -> dict[str, float]:
        """Share of each candidate in the mixture."""
        return {each.name: each.weight for each in self.candidates}

    def predict(self, *, n_samples: int = 0, rng: Seed = None) -> Prediction:
        """Return what the mixture says of every pixel, a `MixedPrediction`; of one candidate its own prediction.

        Parameters
        ----------
        n_samples, rng
            As for `FitResult.predict`.
        """
        stream, mixed = generator(rng), self.mixed
        if len(mixed) == 1:
            return mixed[0].fit.predict(n_samples=n_samples, rng=stream)
        count = integer_at_least("n_samples", n_samples, 0)

        def of_candidate(k: int, draws: int) -> Prediction:
            return mixed[k].fit.predict(n_samples=draws, rng=stream)

        return mixed_prediction(np.array([each.weight for each in mixed]), of_candidate, count, stream)

    def functional(self, weights: Any) -> LinearEstimate:
        """Return linear combinations of the pixels by the mixture; see `FitResult.functional`."""
        mixed = self.mixed
        if len(mixed) == 1:
            return mixed[0].fit.functional(weights)
        shares = np.array([each.weight for each in mixed])
        return mixed_estimate(shares, [each.fit.functional(weights) for each in mixed])

    def summary(self) -> str:
        """Return the table as text."""
        lines = [f"{self.pixels} held-out pixels in {self.blocks} blocks: copies of the gaps, and squares", ""]
        titles = f"{'log-density above':>22}{'CRPS above':>22}"
        lines.append(f"{'':<26}{'weight':>8}{'loglik':>13}{'RMSE':>10}{'CRPS':>10}{titles}{'cover 95%':>11}")
        rows = [(each.name, f"{each.weight:.3f}", f"{each.loglik:.2f}", each.scores) for each in self.candidates]
        for name, weight, loglik, scores in [*rows, ("mixture", "", "", self.scores)]:
            lines.append(f"{name:<26}{weight:>8}{loglik:>13}{_row(scores)}")
        for each in self.candidates:
            if not each.fit.converged:
                lines.append(f"{each.name}: {each.fit.reason}")
        lines += [f"{name}, left out: {reason}" for name, reason in self.left_out.items()]
        return "\n".join([*lines, self.verdict])


def compare(problem: Problem, stream: np.random.Generator) -> ModelComparison:
    """Fit the candidates, predict what is held out by each, and stack them; the blocks follow `stream`.

    A candidate whose estimates are degenerate, or that has no part in stacking on the first set of blocks, is left out
    before it costs more.
    """
    expect(1 + len(OTHERS))
    with stage(SPLINE):
        found: dict[str, FitResult] = {SPLINE: fit_default(problem)}
    data = [each.observed for each in problem.images]
    sets = [tuple(blocks) for blocks in zip(*(held_out_sets(observed, stream) for observed in data), strict=True)]
    scored = {SPLINE: _predictions(found[SPLINE], sets)}
    left_out: dict[str, str] = {}
    for name, (fitting, needed) in OTHERS.items():
        missing = [each for each in needed if each not in found]
        if missing:
            left_out[name] = f"it starts from the estimates of {missing[0]}, which could not be fitted"
            continue
        try:
            with stage(name):
                fit = fitting(problem, found)
                corner = degeneracy(fit.model)
                if corner is None:
                    found[name] = fit
                scores = corner or _scored(fit, sets, list(scored.values()))
        except (SparseGMRFError, ArithmeticError, np.linalg.LinAlgError) as error:
            scores = str(error)
        if isinstance(scores, str):
            left_out[name] = scores
        else:
            scored[name] = scores
    return _stacked({name: (found[name], each) for name, each in scored.items()}, left_out, sets)


class _Predicted(NamedTuple):
    """Errors and standard deviations ``(n,)`` of predicted measurements."""

    error: FloatArray
    spread: FloatArray

    @property
    def size(self) -> int:
        return len(self.error)

    @property
    def log_density(self) -> FloatArray:
        return self.mixture.log_density(0.0)

    @property
    def mixture(self) -> Mixture:
        """The distributions of what is predicted less what is observed there."""
        return Mixture(np.ones(1), -self.error[np.newaxis], self.spread[np.newaxis])

    def first(self, count: int) -> "_Predicted":
        return _Predicted(self.error[:count], self.spread[:count])

    def with_more(self, more: "_Predicted") -> "_Predicted":
        return _Predicted(np.append(self.error, more.error), np.append(self.spread, more.spread))


class _PerPixel(NamedTuple):
    """Errors, log-densities, CRPS and whether intervals hold, of each held-out measurement."""

    error: FloatArray
    log_density: FloatArray
    crps: FloatArray
    covered: FloatArray

    @classmethod
    def of(cls, mixture: Mixture) -> "_PerPixel":
        """Return them of distributions of what is predicted less what is observed."""
        below = mixture.cdf(0.0)
        covered = ((below >= _TAIL) & (below <= 1.0 - _TAIL)).astype(np.float64)
        return cls(-mixture.mean, mixture.log_density(0.0), mixture.crps(0.0), covered)

    def against(self, default: "_PerPixel", numbers: IntArray) -> HeldOutScores:
        """Return averages, and differences with their standard errors over blocks."""
        gain, gain_error = _difference(self.log_density - default.log_density, numbers)
        excess, excess_error = _difference(self.crps - default.crps, numbers)
        return HeldOutScores(
            log_score=float(self.log_density.mean()),
            rmse=float(scipy.linalg.norm(self.error) / np.sqrt(len(self.error))),  # scaled: no square overflows
            crps=float(self.crps.mean()),
            coverage=float(self.covered.mean()),
            gain=gain,
            gain_error=gain_error,
            excess=excess,
            excess_error=excess_error,
        )


def _stacked(
    scored: Mapping[str, tuple[FitResult, _Predicted]], left_out: Mapping[str, str], sets: list[tuple[Blocks, ...]]
) -> ModelComparison:
    """Return the comparison with the weights of stacking, or of the default alone where the mixture is worse."""
    names = list(scored)
    predicted = [each for _, each in scored.values()]
    numbers = _criterion(scored[SPLINE][0], sets).numbers
    logs = np.stack([each.log_density for each in predicted], axis=1)
    weights = _pruned(logs)
    default = _PerPixel.of(predicted[0].mixture)
    together = _together(predicted, logs, weights, numbers).against(default, numbers)
    verdict = "the gaps are filled by the mixture"
    if together.is_worse:
        weights = (np.arange(len(names)) == 0).astype(np.float64)
        verdict = "the default alone fills the gaps: the mixture predicts worse by more than a standard error"
    elif np.count_nonzero(weights) == 1:
        verdict = f"{names[int(np.argmax(weights))]} alone fills the gaps: the others have no part in the mixture"
    candidates = tuple(
        Candidate(name, float(weight), fit, _PerPixel.of(each.mixture).against(default, numbers))
        for (name, (fit, each)), weight in zip(scored.items(), weights, strict=True)
    )
    blocks = int(numbers.max()) + 1
    return ModelComparison(candidates, dict(left_out), together, verdict, blocks, len(numbers))


def _together(predicted: list[_Predicted], logs: FloatArray, weights: FloatArray, numbers: IntArray) -> _PerPixel:
    """Return the scores of the mixture of candidates with a weight, fold by fold by the weights of the other folds."""
    used = np.flatnonzero(weights)
    rows = held_out_mixture(logs[:, used], numbers)
    means, stds = np.stack([-predicted[k].error for k in used]), np.stack([predicted[k].spread for k in used])
    found = [np.empty(len(rows)) for _ in _PerPixel._fields]
    for weight in np.unique(rows, axis=0):
        at = (rows == weight).all(axis=1)
        own = _PerPixel.of(Mixture(weight, means[:, at], stds[:, at]))
        for whole, part in zip(found, own, strict=True):
            whole[at] = part
    return _PerPixel(*found)


def _pruned(logs: FloatArray) -> FloatArray:
    """Return the weights of stacking, those that are small taken out one after the other."""
    used = np.arange(logs.shape[1])
    while True:
        weights = stacking_weights(logs[:, used])
        least = int(np.argmin(weights))
        if weights[least] >= _LEAST:
            found = np.zeros(logs.shape[1])
            found[used] = weights
            return found
        used = np.delete(used, least)


def _scored(fit: FitResult, sets: list[tuple[Blocks, ...]], others: list[_Predicted]) -> _Predicted | str:
    """Return what a fit predicts of all sets, or after the first of them why it has no part beside the others."""
    first = _predictions(fit, sets[:1])
    reason = _no_part(first, [each.first(first.size) for each in others])
    return first.with_more(_predictions(fit, sets[1:])) if reason is None else reason


def _no_part(own: _Predicted, others: list[_Predicted]) -> str | None:
    """Return why a candidate is left out after the first set of blocks: beside the others it has no weight."""
    logs = np.stack([each.log_density for each in (*others, own)], axis=1)
    weight = float(stacking_weights(logs)[-1])
    if weight >= _LEAST:
        return None
    return f"beside the others it has a weight of {weight:.2g} on the first set of blocks"


def _difference(above: FloatArray, numbers: IntArray) -> tuple[float, float]:
    """Return a mean over pixels and its standard error over blocks, which count as independent."""
    sizes = np.bincount(numbers).astype(np.int64)
    return float(above.mean()), error_of_mean(np.bincount(numbers, above).astype(np.float64), sizes)


def _row(scores: HeldOutScores) -> str:
    gain = f"{scores.gain:+.4f} +- {scores.gain_error:.4f}" if scores.gain_error else ""
    excess = f"{scores.excess:+.4f} +- {scores.excess_error:.4f}" if scores.excess_error else ""
    return f"{scores.rmse:10.4f}{scores.crps:10.4f}{gain:>22}{excess:>22}{scores.coverage:11.3f}"


def _criterion(fit: FitResult, sets: list[tuple[Blocks, ...]]) -> HeldOut:
    objective = fit.problem.objective
    assert isinstance(objective, Objective)
    return HeldOut.of(objective.with_scale(), sets)


def _predictions(fit: FitResult, sets: list[tuple[Blocks, ...]]) -> _Predicted:
    """Return what the estimates of a fit predict of the held-out measurements."""
    criterion = _criterion(fit, sets)
    error, spread = criterion.predictions(criterion.objective.start(fit.model, fit.noise_variance))
    if not (np.isfinite(error).all() and np.isfinite(spread).all() and (spread > 0.0).all()):
        raise ArgumentError("predictions of what is held out must be numbers with a deviation, got some that are not.")
    return _Predicted(error, spread)
