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
from sparsegmrf.inference._parameters import FieldModel, check_model, free_names
from sparsegmrf.inference._search import maximize, observed_information
from sparsegmrf.inference.fit_result import FitResult
from sparsegmrf.inference.laplace import LaplacePosterior, check_level_is_finite, laplace_posterior
from sparsegmrf.inference.priors import Prior, check_priors
from sparsegmrf.typing import ArrayLike, FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class CountFitResult(FitResult):
    """What a fit to counts found; on the scale of the linear predictor, logarithms of rates or of odds.

    As `FitResult`, with ``loglik`` the Laplace approximation of the log-likelihood, ``method`` ``"laplace"`` and no
    noise variance. The coefficients of the trend maximize it together with the parameters. `standard_errors`,
    `coefficient_errors` and `confidence_intervals` invert one observed information of both, so that each takes account
    of the others.

    Attributes
    ----------
    likelihood : str
        ``"poisson"`` or ``"binomial"``.
    """

    likelihood: str = field(kw_only=True)
    _counts: CountLikelihood = field(kw_only=True)
    _at: FloatArray = field(kw_only=True)
    _joint: Curvature = field(kw_only=True)

    @property
    def coefficient_covariance(self) -> FloatArray:
        """Covariance of the coefficients, ``(p, p)``, the parameters taken as known; NaN where errors are."""
        k, joint = len(self.parameters), self._joint.covariance
        known = np.append(~np.isnan(np.diagonal(joint)[:k]), np.zeros(len(joint) - k, dtype=bool))
        of_both = joint[known, k:]
        return np.asarray(joint[k:, k:] - of_both.T @ np.linalg.solve(joint[np.ix_(known, known)], of_both))

    @cached_property
    def _curvature(self) -> tuple[Objective, FloatArray, Curvature]:
        """The parameters' part of what is known of parameters and coefficients together."""
        k = len(self.parameters)
        lost = tuple(name for name in self._joint.undetermined if name in self.parameters)
        return self._objective, self._at, Curvature(self._joint.covariance[:k, :k], lost, self._joint.dimension)

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
    check_model(model)
    size = np.shape(image)
    shape = (size[0], size[1]) if len(size) == 2 else (1, 1)
    counts = count_likelihood(likelihood, image, mask, exposure, trials, shape, "image")
    for extreme, value in zip(counts.extremes, ("zero", "the number of trials"), strict=False):
        if np.array_equal(extreme, counts.observed):
            raise ArgumentError(
                f"image must hold other counts, too, but all {counts.count} observed ones are {value}, which sends the "
                "level to infinity; condition a field with known parameters on them."
            )
    field = model.gmrf(shape)
    if field.channels > 1:
        raise ArgumentError(
            f"model must have one field with counts, got a {type(model).__name__} of {field.channels} stacked at a "
            'pixel; fit one field, or likelihood="gaussian".'
        )
    check_level_is_finite(field, counts, "image")
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
    curvature = conclusion.curvature or Curvature.of(observed_information(objective, at), objective.names)
    covariance = curvature.mapped(objective.slopes)
    errors = np.sqrt(np.diagonal(covariance)[len(free) :])
    gaussian, of_model = objective.gaussian_at(at, found.mode.eta)
    return CountFitResult(
        model=model,
        parameters={name: model.parameters[name] for name in free},
        noise_variance=0.0,
        loglik=found.loglik,
        log_prior=gaussian.log_prior(of_model)[0],
        coefficients=dict(zip(trend.names, beta.tolist(), strict=True)),
        coefficient_errors=dict(zip(trend.names, errors.tolist(), strict=True)),
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
        _at=of_model,
        _joint=curvature._replace(covariance=covariance),
    )
