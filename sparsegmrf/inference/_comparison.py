"""Choice of a field for filling gaps, by likelihood and by how held-out pixels are predicted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import TooLargeError
from sparsegmrf.inference._cross_validation import HeldOut, error_of_mean
from sparsegmrf.inference._fit_result import FitResult
from sparsegmrf.inference._holdout import Blocks, gap_copies, rectangles
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._parameters import FieldModel
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._progress import expect, stage
from sparsegmrf.inference._result import gaussian_result
from sparsegmrf.inference._scores import coverage, crps
from sparsegmrf.inference._search import Ending
from sparsegmrf.inference._spacing import Spacing
from sparsegmrf.inference._start import search, search_tile, start_of
from sparsegmrf.models import Matern, Sum, TensionSpline
from sparsegmrf.typing import FloatArray, IntArray

_COPIES = 2
"""Sets of copies of the gaps, besides one set of rectangles."""
_SHARE = 0.15
_TOLERANCE = 0.1
"""Newton step in standard errors at which the search of a candidate ends."""
_GAIN = 1.0
"""Nats that less noise may still gain where it is held: with little noise, the derivative by its logarithm."""
_LESS = 20.0
"""By what it is divided where less gains more than that."""
_FINER, _COARSER = 2.0, 4.0
"""Range of a single field over the fine field's, and of the coarse field over a single one's, to start from."""

SPLINE, TURNED, MATERN, SUM = "tension spline", "anisotropic spline", "Matern", "fine + coarse Matern"
"""Names of the candidates."""
_FIELDS = 4


@dataclass(frozen=True)
class Candidate:
    """A field fitted to the image, and how it predicts held-out pixels.

    Attributes
    ----------
    name : str
        What it is called in the table.
    fit : FitResult
        Maximum likelihood on the whole image.
    loglik : float
        Restricted log-likelihood in nats at these estimates: the density of the contrasts that see no trend, comparable
        between fields with and without a level of their own.
    aic : float
        Akaike's criterion ``2 k - 2 loglik``, ``k`` parameters of the field and the noise.
    rmse, crps : float
        Of held-out measurements, in intensity.
    coverage : float
        Share of held-out measurements within their 95% intervals.
    excess, excess_error : float
        CRPS above the best candidate's, and its standard error, paired by blocks.
    noise_held : float or None
        Where the estimated noise variance ran to zero: the value at which it was held, less of it gaining nothing.
    """

    name: str
    fit: FitResult
    loglik: float
    aic: float
    rmse: float
    crps: float
    coverage: float
    excess: float
    excess_error: float
    noise_held: float | None


@dataclass(frozen=True)
class ModelComparison:
    """The fields that were compared, and the one that fills the gaps.

    It is the one of the least AIC among those whose CRPS lies within one standard error of the least.

    Attributes
    ----------
    candidates : tuple of Candidate
    left_out : mapping of str
        Fields that could not be fitted, with the reason.
    chosen : Candidate
    blocks, pixels : int
        Held out in all sets together: copies of the image's gaps, and squares as large as the largest gap holds.
    """

    candidates: tuple[Candidate, ...]
    left_out: Mapping[str, str]
    chosen: Candidate
    blocks: int
    pixels: int

    def summary(self) -> str:
        """Return the table as text."""
        lines = [f"{self.pixels} held-out pixels in {self.blocks} blocks shaped like the gaps", ""]
        lines.append(f"{'':<26}{'loglik':>13}{'AIC':>13}{'RMSE':>9}{'CRPS':>9}{'above the least':>20}{'cover 95%':>11}")
        for each in self.candidates:
            above = f"{each.excess:.4f} +- {each.excess_error:.4f}" if each.excess else ""
            mark = " <- chosen" if each is self.chosen else ""
            lines.append(
                f"{each.name:<26}{each.loglik:13.2f}{each.aic:13.2f}{each.rmse:9.4f}{each.crps:9.4f}{above:>20}"
                f"{each.coverage:11.3f}{mark}"
            )
            if not each.fit.converged:
                lines.append(f"    {each.fit.reason}")
            if each.noise_held is not None:
                lines.append(f"    noise ran to zero; held at a variance of {each.noise_held:.3g}")
        lines += [f"{name}: {reason}" for name, reason in self.left_out.items()]
        return "\n".join(lines)


def compare(problem: Problem, stream: np.random.Generator) -> ModelComparison:
    """Fit every candidate to the images, predict what is held out by each, and choose; the blocks follow `stream`."""
    found, left_out = _fits(problem)
    observed = [each.observed for each in problem.images]
    sets = [tuple(gap_copies(each, stream, share=_SHARE) for each in observed) for _ in range(_COPIES)]
    sets.append(tuple(rectangles(each, stream) for each in observed))
    numbers = _criterion(found[SPLINE].fit, sets).numbers
    sizes = np.bincount(numbers).astype(np.int64)
    with stage("predicting what is held out", len(found) * len(sets)):
        errors = {name: _predictions(each.fit, sets) for name, each in found.items()}
    scores = {name: crps(error, 0.0, spread) for name, (error, spread) in errors.items()}
    least = min(scores, key=lambda name: float(scores[name].mean()))
    candidates = tuple(
        _candidate(name, each, *errors[name], _excess(scores[name] - scores[least], numbers, sizes))
        for name, each in found.items()
    )
    near = [each for each in candidates if each.excess <= each.excess_error]
    chosen = min(near, key=lambda each: each.aic)
    return ModelComparison(candidates, left_out, chosen, len(sizes), int(sizes.sum()))


class _Found(NamedTuple):
    """A fit, and the noise variance it was held at if that ran to zero."""

    fit: FitResult
    noise_held: float | None


def _fits(problem: Problem) -> tuple[dict[str, _Found], dict[str, str]]:
    """Fit the candidates, each from what those before have found; and say which cannot be."""
    found: dict[str, _Found] = {}
    left_out: dict[str, str] = {}
    expect(_FIELDS)
    for name, model in _candidates(found, problem.spacing):
        try:
            with stage(name):
                found[name] = _fit(problem.with_model(model))
        except TooLargeError as error:
            if name == SPLINE:
                raise
            left_out[name] = str(error)
    return found, left_out


def _fit(problem: Problem) -> _Found:
    """Fit a model, from the best-observed tile; noise that runs to zero is held where less of it gains nothing."""
    memo, tile = Memo(problem.objective), search_tile(problem, _TOLERANCE)
    found = tile
    if found is None or found.ended.ending is not Ending.NO_NOISE:
        found = search(memo, start_of(problem, memo, tile), _TOLERANCE)
    if found.ended.ending is not Ending.NO_NOISE:
        return _Found(gaussian_result(problem, found), None)
    solution = found.memo.solution(found.ended.at)
    # A tile has its part of maps.
    fitted = problem.model.replace(**{name: solution.model.parameters[name] for name in problem.free})
    held = float(solution.noise_variance)
    while True:
        known = problem.with_model(fitted).with_noise_variance(held)
        memo = Memo(known.objective)
        result = gaussian_result(known, search(memo, memo.objective.start(fitted, None), _TOLERANCE))
        fitted = result.model
        free = problem.with_model(fitted)
        memo = Memo(free.objective)
        at = memo.objective.start(fitted, held)
        slope = float(memo(at).gradient[-1])
        if slope > 0.0:
            return _Found(gaussian_result(free, search(memo, at, _TOLERANCE)), None)
        if not slope < -_GAIN:
            return _Found(result, held)
        held /= _LESS


def _candidates(found: Mapping[str, _Found], spacing: Spacing) -> Iterator[tuple[str, FieldModel]]:
    """Yield names and models to start from, lengths in the unit of the ground; `found` grows meanwhile."""
    sides = None if spacing.is_pixels else (spacing.height, spacing.width)
    scheme = "monotone" if spacing.is_map else "smooth"
    spline, matern = TensionSpline(kappa=0.5), Matern(range=10.0)
    yield SPLINE, spline if sides is None else spline.spaced(sides)
    first = found[SPLINE].fit.parameters
    yield (
        TURNED,
        TensionSpline(first["kappa"], first["tau"], anisotropy=(1.0, 0.0), diffusion=scheme, spacing=sides),
    )
    yield MATERN, matern if sides is None else matern.spaced(sides)
    if not {TURNED, MATERN} <= found.keys():
        return
    single, turned = found[MATERN].fit.parameters, found[TURNED].fit.model
    assert isinstance(turned, TensionSpline)
    fine = Matern(
        single["range"] / _FINER,
        single["sigma"] / 2.0,
        anisotropy=turned.anisotropy,
        diffusion=scheme,
        spacing=sides,
    )
    coarse = Matern(single["range"] * _COARSER, single["sigma"], spacing=sides)
    yield SUM, Sum([fine, coarse], labels=["fine", "coarse"])


def _excess(above: FloatArray, numbers: IntArray, sizes: IntArray) -> tuple[float, float]:
    """Return the mean of CRPS above the least, and its standard error."""
    return float(above.mean()), error_of_mean(np.bincount(numbers, above).astype(np.float64), sizes)


def _candidate(
    name: str, found: _Found, error: FloatArray, spread: FloatArray, excess: tuple[float, float]
) -> Candidate:
    fit, loglik = found.fit, found.fit.restricted_loglik
    return Candidate(
        name=name,
        fit=fit,
        loglik=loglik,
        aic=2.0 * (len(fit.parameters) + (found.noise_held is not None) - loglik),
        rmse=float(np.sqrt(np.mean(error * error))),
        crps=float(crps(error, 0.0, spread).mean()),
        coverage=coverage(error, 0.0, spread),
        excess=excess[0],
        excess_error=excess[1],
        noise_held=found.noise_held,
    )


def _criterion(fit: FitResult, sets: list[tuple[Blocks, ...]]) -> HeldOut:
    objective = fit.problem.objective
    assert isinstance(objective, Objective)
    return HeldOut.of(objective.with_scale(), sets)


def _predictions(fit: FitResult, sets: list[tuple[Blocks, ...]]) -> tuple[FloatArray, FloatArray]:
    """Return errors and standard deviations of held-out measurements by the estimates of a fit."""
    criterion = _criterion(fit, sets)
    return criterion.predictions(criterion.objective.start(fit.model, fit.noise_variance))
