"""Fits to counts: the approximate marginal likelihood of parameters and trend, the field integrated out by Laplace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._conclusion import Conclusion, Curvature, conclude
from sparsegmrf.inference._count_objective import CountObjective
from sparsegmrf.inference._counts import CountLikelihood, count_likelihood
from sparsegmrf.inference._covariates import covariate_images
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._parameters import FieldModel, free_names
from sparsegmrf.inference._search import maximize, observed_information
from sparsegmrf.inference.fit_result import FitResult
from sparsegmrf.inference.laplace import LaplacePosterior, check_level_is_finite, laplace_posterior
from sparsegmrf.inference.priors import Prior, check_priors
from sparsegmrf.typing import ArrayLike, FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class CountFitResult(FitResult):
    """What a fit to counts found; on the scale of the linear predictor, logarithms of rates or of odds.

    As `FitResult`, with ``loglik`` the Laplace approximation of the log-likelihood, ``method`` ``"laplace"`` and no
    noise variance. The coefficients of the trend maximize it together with the parameters. `standard_errors` and
    `coefficient_errors` invert one observed information of both, so that each takes account of the others.

    Attributes
    ----------
    likelihood : str
        ``"poisson"`` or ``"binomial"``.
    """

    likelihood: str = field(kw_only=True)
    _counts: CountLikelihood = field(kw_only=True)
    _parameter_errors: dict[str, float] = field(kw_only=True)

    @cached_property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors of `parameters` from the observed information; NaN where that is not positive definite."""
        return self._parameter_errors

    def posterior(self) -> LaplacePosterior:
        """Return the Laplace approximation of the field with its trend given the counts, at the estimates."""
        return laplace_posterior(self.model.gmrf(self.shape, mean=self.trend), self._counts)

    def summary(self) -> str:
        """Return a table of the estimates with standard errors, and the fit's figures, as text."""
        return f"{self.likelihood} likelihood\n{super().summary()}"


def fit_counts(
    model: FieldModel,
    image: ArrayLike,
    mask: ArrayLike | None,
    likelihood: str,
    exposure: ArrayLike | None,
    trials: ArrayLike | None,
    covariates: object,
    fixed: Sequence[str] | str,
    priors: Mapping[str, Prior] | None,
    tolerance: float,
) -> CountFitResult:
    """Fit a model's parameters and a trend to counts; see `fit`."""
    objective = count_objective(model, image, mask, likelihood, exposure, trials, covariates, fixed, priors)
    start = objective.start(model, None)
    ended = maximize(objective, start, tolerance)
    return _result(objective, ended.at, conclude(objective, ended, start, tolerance))


def count_objective(
    model: FieldModel,
    image: ArrayLike,
    mask: ArrayLike | None,
    likelihood: str,
    exposure: ArrayLike | None,
    trials: ArrayLike | None,
    covariates: object,
    fixed: Sequence[str] | str = (),
    priors: Mapping[str, Prior] | None = None,
) -> CountObjective:
    """Return the checked problem as a function of unconstrained numbers."""
    size = np.shape(image)
    shape = (size[0], size[1]) if len(size) == 2 else (1, 1)
    counts = count_likelihood(likelihood, image, mask, exposure, trials, shape, "image")
    for extreme, value in zip(counts.extremes, ("zero", "the number of trials"), strict=False):
        if np.array_equal(extreme, counts.observed):
            raise ArgumentError(
                f"image must hold other counts, too, but all {counts.count} observed ones are {value}, which sends the "
                "level to infinity; condition a field with known parameters on them."
            )
    check_level_is_finite(model.gmrf(shape), counts, "image")
    names, columns = covariate_images(covariates, shape)
    free = free_names(model, shape, fixed)
    limits = model.limits(shape)
    known = check_priors(priors, {name: limits[name] for name in free}, noise=False)
    data = Observations(counts.counts, counts.observed, counts.observed.astype(float), np.zeros_like(counts.observed))
    gaussian = Objective.of(
        model, free, None, data, False, names, columns, restricted=False, priors=known, as_given=True
    )
    least = len(free) + len(gaussian.trend.columns) + gaussian.trend.deficiency
    if counts.count <= least:
        raise ArgumentError(
            f"image must have more observed pixels than there are parameters, {least}, got {counts.count}; hold some "
            "by fixed=, or give fewer covariates."
        )
    return CountObjective.of(counts, gaussian)


def _result(objective: CountObjective, at: FloatArray, conclusion: Conclusion) -> CountFitResult:
    """Return the estimates that belong to the end of a search."""
    model, beta, found = objective.solution(at)
    evaluations = objective.count[0]
    free, trend = objective.gaussian.free, objective.gaussian.trend
    errors = _errors(objective, at, conclusion)
    gaussian, of_model = objective.gaussian_at(at, found.mode.eta)
    return CountFitResult(
        model=model,
        parameters={name: model.parameters[name] for name in free},
        noise_variance=0.0,
        loglik=found.loglik,
        log_prior=gaussian.log_prior(of_model)[0],
        coefficients=dict(zip(trend.names, beta.tolist(), strict=True)),
        coefficient_errors=dict(zip(trend.names, errors[len(free) :], strict=True)),
        trend=np.tensordot(beta, trend.columns, 1),
        method="laplace",
        n_observed=objective.likelihood.count,
        converged=conclusion.converged,
        reason=conclusion.reason,
        evaluations=evaluations,
        _objective=gaussian,
        _evidence=gaussian.solution(of_model)[2],
        _scale=1.0,
        likelihood=objective.likelihood.name,
        _counts=objective.likelihood,
        _parameter_errors=dict(zip(free, errors[: len(free)], strict=True)),
    )


def _errors(objective: CountObjective, at: FloatArray, conclusion: Conclusion) -> list[float]:
    """Return the standard errors of parameters and coefficients from the observed information of both."""
    if not len(at):
        return []
    found = conclusion.curvature or Curvature.of(observed_information(objective, at), objective.names)
    errors: list[float] = np.sqrt(np.diagonal(found.mapped(objective.jacobian(at)))).tolist()
    return errors
