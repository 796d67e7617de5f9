"""Fields that are compared for filling gaps, with weakly informative priors, and how each is fitted."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._conclusion import Conclusion, conclude
from sparsegmrf.inference._default import search_default
from sparsegmrf.inference._fit_result import FitResult, make_result
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._parameters import FieldModel
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._result import gaussian_result
from sparsegmrf.inference._start import best_tile, search, search_tile, start_of
from sparsegmrf.inference._varying import varying
from sparsegmrf.inference._weak_priors import spread_of, weak_priors_of
from sparsegmrf.models import Matern, Sum, TensionSpline
from sparsegmrf.models._spacing import mean_side
from sparsegmrf.models.tension_spline import SMOOTHEST
from sparsegmrf.priors import PCRange, PCSigma, Prior

_DEFAULT_TOLERANCE, _TOLERANCE = 0.02, 0.3
"""Newton step in standard errors at which the search ends: of the default, as `fill` has it, and of the others.

A step of 0.3 is 0.05 nats away from the maximum, of which predictions know nothing.
"""
_FINER, _COARSER = 2.0, 4.0
"""Range of a single field over the fine field's, and of the coarse field over a single one's, to start from."""
_TERMS = 2
"""Fields whose sum has a fractional smoothness."""
_LARGE, _TILE = 64**2, 48
"""Pixels of an image, above which its smoothness is estimated on a tile, and the side of that."""
_SMOOTHNESSES = (0.5, 2.0, 3.0)
"""Those of large images: of the exponential covariance, and whole numbers, of which a single field has a stencil."""
_UNLIKELY = 0.05
_FLAT = ("kappa", "tau")
"""Parameters of splines that are compared by their likelihood alone."""

SPLINE, SMOOTHER, TURNED, MATERN = "tension spline", "smoother spline", "anisotropic spline", "Matern"
ROUGH, VARYING, SUM = "Matern, other smoothness", "varying Matern", "fine + coarse Matern"
"""Names of the candidates."""


Fits = Mapping[str, FitResult]


def fit_default(problem: Problem) -> FitResult:
    """Fit the tension spline as `fill` does."""
    spline = problem.with_model(cast(FieldModel, _on_ground(TensionSpline(kappa=0.5), problem)))
    spline, found = search_default(spline, _DEFAULT_TOLERANCE)
    found.memo.let_go()
    return gaussian_result(spline, found)


def fit_smoother(problem: Problem, found: Fits) -> FitResult:
    """Fit a tension spline that is smoother by one than the default."""
    first = found[SPLINE].model
    assert isinstance(first, TensionSpline)
    if first.nu == SMOOTHEST:
        raise ArgumentError(f"the default has the largest smoothness already, {first.nu}")
    return _fit(problem, _on_ground(TensionSpline(kappa=0.5, nu=first.nu + 1), problem))


def fit_turned(problem: Problem, found: Fits) -> FitResult:
    """Fit a tension spline with an anisotropy, from the estimates of the one without."""
    first = found[SPLINE].model
    assert isinstance(first, TensionSpline)
    scheme = "monotone" if problem.spacing.is_map else "smooth"
    return _fit(problem, first.replace(anisotropy=(1.0, 0.0), diffusion=scheme))


def fit_matern(problem: Problem, found: Fits) -> FitResult:
    """Fit a Matern field of smoothness one."""
    return _fit(problem, _on_ground(Matern(range=10.0), problem))


def fit_rough(problem: Problem, found: Fits) -> FitResult:
    """Fit a Matern field of another smoothness than one.

    It is estimated; of a large image it is that of a few nearest to what its best-observed tile says.
    """
    single = _single(found)
    free = Matern(single.range, single.sigma, nu="estimate", terms=_TERMS, spacing=single.spacing)
    if problem.shape[0] * problem.shape[1] <= _LARGE:
        return _fit(problem, free)
    rows, columns = best_tile(problem.images[0].observed, _TILE)
    estimated = cast(Matern, _fit(problem.on_window(rows, columns), free.cropped(rows, columns)).model)
    nu = min(_SMOOTHNESSES, key=lambda each: abs(math.log(each / float(estimated.nu))))
    return _fit(problem, free.replace(nu=nu, nu_is_free=False))


def fit_varying(problem: Problem, found: Fits) -> FitResult:
    """Fit a Matern field whose range and deviation are smooth functions of the place."""
    first = found[MATERN]
    noise = float(np.max(first.noise_variance))
    model, variance = varying(problem.with_model(first.model), _single(found), noise)
    own = problem.with_model(model)
    memo = Memo(own.objective)
    at = memo.objective.start(model, variance)
    return make_result(own, memo, at, Conclusion(True, "at a maximum of the likelihoods of tiles", None))


def fit_sum(problem: Problem, found: Fits) -> FitResult:
    """Fit the sum of a fine and a coarse Matern field."""
    single = _single(found)
    fine = single.replace(range=single.range / _FINER, sigma=single.sigma / 2.0)
    coarse = single.replace(range=single.range * _COARSER)
    return _fit(problem, Sum([fine, coarse], labels=["fine", "coarse"]))


Fitting = Callable[[Problem, Fits], FitResult]
OTHERS: Mapping[str, tuple[Fitting, tuple[str, ...]]] = {
    SMOOTHER: (fit_smoother, ()),
    TURNED: (fit_turned, ()),
    MATERN: (fit_matern, ()),
    ROUGH: (fit_rough, (MATERN,)),
    VARYING: (fit_varying, (MATERN,)),
    SUM: (fit_sum, (MATERN,)),
}
"""Candidates besides the default: how each is fitted, and whose fits it starts from."""


def weak_priors(model: FieldModel, problem: Problem) -> dict[str, Prior]:
    """Return the priors of `weak_priors_of` for a model, those of ``kappa`` and scales left flat.

    The range of a fine field may be as short as a pixel, and a coarse field is taken towards nothing.
    """
    own = problem.with_model(model)
    found = {name: each for name, each in weak_priors_of(own).items() if name.partition("_")[0] not in _FLAT}
    if "range_fine" in found:
        found["range_fine"] = PCRange(mean_side((problem.spacing.height, problem.spacing.width)), _UNLIKELY)
    if "sigma_coarse" in found:
        found["sigma_coarse"] = PCSigma(spread_of(own), _UNLIKELY)
    return found


def _single(found: Fits) -> Matern:
    model = found[MATERN].model
    assert isinstance(model, Matern)
    return model


def _on_ground(model: TensionSpline | Matern, problem: Problem) -> TensionSpline | Matern:
    """Return a model with lengths in the unit of the ground."""
    return model if problem.spacing.is_pixels else model.spaced((problem.spacing.height, problem.spacing.width))


def _fit(problem: Problem, model: FieldModel) -> FitResult:
    """Fit a model with its priors; of a large image to tiles of it, which tell parameters well enough to predict."""
    problem = dataclasses.replace(problem.with_model(model), priors=weak_priors(model, problem))
    memo, tile = Memo(problem.objective), search_tile(problem, _TOLERANCE)
    if tile is None:
        return gaussian_result(problem, search(memo, start_of(problem, memo, None), _TOLERANCE))
    estimates = Conclusion(True, "at a maximum on tiles of the image", None)
    if not tile.ended.converged:
        estimates = conclude(tile.memo, tile.ended, tile.start, tile.tolerance)._replace(curvature=None)
    return make_result(problem, memo, tile.ended.at, estimates)
