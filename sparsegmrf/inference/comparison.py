"""Choice of a field for filling gaps, by likelihood and by how held-out pixels are predicted."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sparsegmrf.errors import TooLargeError
from sparsegmrf.inference._conclusion import conclude
from sparsegmrf.inference._cross_validation import HeldOut, error_of_mean
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._parameters import FieldModel
from sparsegmrf.inference._problem import make_result
from sparsegmrf.inference._search import Ending
from sparsegmrf.inference._start import result_of, search, search_tile, start_of
from sparsegmrf.inference.fit_result import FitResult
from sparsegmrf.inference.holdout import Blocks, gap_copies, rectangles
from sparsegmrf.inference.scores import coverage, crps
from sparsegmrf.models import Matern, Sum, TensionSpline
from sparsegmrf.typing import ArrayLike, FloatArray, IntArray

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


MakeObjective = Callable[[FieldModel, ArrayLike | None], Objective]
"""Makes the problem with a model, and the noise variance held at a value if there is one."""


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


def compare(make: MakeObjective, stream: np.random.Generator) -> ModelComparison:
    """Fit every candidate to the image, predict what is held out by each, and choose; the blocks follow `stream`."""
    found, left_out = _fits(make)
    first = found[SPLINE].fit._objective
    observed = first.data.observed
    sets = [*(gap_copies(observed, stream, share=_SHARE) for _ in range(_COPIES)), rectangles(observed, stream)]
    numbers = HeldOut(first, sets).numbers
    sizes = np.bincount(numbers).astype(np.int64)
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


def _fits(make: MakeObjective) -> tuple[dict[str, _Found], dict[str, str]]:
    """Fit the candidates, each from what those before have found; and say which cannot be."""
    found: dict[str, _Found] = {}
    left_out: dict[str, str] = {}
    for name, model in _candidates(found):
        if isinstance(model, Sum) and found[SPLINE].fit._objective.data.exact.any():
            left_out[name] = "needs noise"
            continue
        try:
            found[name] = _fit(make, model)
        except TooLargeError as error:
            if name == SPLINE:
                raise
            left_out[name] = str(error)
    return found, left_out


def _fit(make: MakeObjective, model: FieldModel) -> _Found:
    """Fit a model, from the best-observed tile; noise that runs to zero is held where less of it gains nothing."""
    objective = make(model, None)
    tile = search_tile(objective, _TOLERANCE)
    if tile is not None and tile.ended.ending is Ending.NO_NOISE:
        first, at = tile.objective, tile.ended.at
    else:
        start, ended = search(objective, start_of(objective, tile), _TOLERANCE)
        if ended.ending is not Ending.NO_NOISE:
            return _Found(make_result(objective, ended.at, conclude(objective, ended, start, _TOLERANCE)), None)
        first, at = objective, ended.at
    found, held = first.solution(at)[:2]
    fitted = model.replace(**{name: found.parameters[name] for name in objective.free})  # a tile has its part of maps
    while True:
        known = make(fitted, held)
        result = result_of(known, known.start(fitted, None), _TOLERANCE)
        fitted = result.model
        objective = make(fitted, None)
        at = objective.start(fitted, held)
        slope = float(objective(at)[1][-1])
        if slope > 0.0:
            return _Found(result_of(objective, at, _TOLERANCE), None)
        if not slope < -_GAIN:
            return _Found(result, held)
        held /= _LESS


def _candidates(found: Mapping[str, _Found]) -> Iterator[tuple[str, FieldModel]]:
    """Yield names and models to start from; `found` grows meanwhile."""
    yield SPLINE, TensionSpline(kappa=0.5)
    first = found[SPLINE].fit.parameters
    yield TURNED, TensionSpline(first["kappa"], first["tau"], anisotropy=(1.0, 0.0), diffusion="smooth")
    yield MATERN, Matern(range=10.0)
    if not {TURNED, MATERN} <= found.keys():
        return
    single, turned = found[MATERN].fit.parameters, found[TURNED].fit.model
    assert isinstance(turned, TensionSpline)
    fine = Matern(single["range"] / _FINER, single["sigma"] / 2.0, anisotropy=turned.anisotropy, diffusion="smooth")
    yield SUM, Sum([fine, Matern(single["range"] * _COARSER, single["sigma"])], labels=["fine", "coarse"])


def _excess(above: FloatArray, numbers: IntArray, sizes: IntArray) -> tuple[float, float]:
    """Return the mean of CRPS above the least, and its standard error."""
    return float(above.mean()), error_of_mean(np.bincount(numbers, above).astype(np.float64), sizes)


def _candidate(
    name: str, found: _Found, error: FloatArray, spread: FloatArray, excess: tuple[float, float]
) -> Candidate:
    fit, loglik = found.fit, restricted_loglik(found.fit)
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


def restricted_loglik(fit: FitResult) -> float:
    """Return the restricted log-likelihood at the estimates of a fit by maximum likelihood.

    ``l + (logdet X^T X - logdet X^T S X + p log 2 pi) / 2`` with ``p`` covariates ``X``, null vectors projected out.
    """
    covariance, trend = fit.coefficient_covariance, fit._objective.trend
    if not len(covariance):
        return fit.loglik
    steps = 2.0 * float(np.log(fit._objective.frame.steps).sum())
    spread = trend.log_gram + steps + float(np.linalg.slogdet(covariance)[1])
    return fit.loglik + 0.5 * (spread + len(covariance) * float(np.log(2.0 * np.pi)))


def _predictions(fit: FitResult, sets: list[Blocks]) -> tuple[FloatArray, FloatArray]:
    """Return errors and standard deviations of held-out measurements by the estimates of a fit."""
    full = fit._objective.with_scale()
    return HeldOut.of(full, sets).predictions(full.start(fit.model, fit.noise_variance))
