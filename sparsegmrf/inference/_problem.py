"""A checked problem of maximum likelihood, and the estimates that belong to the end of its search."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._conclusion import Conclusion
from sparsegmrf.inference._covariates import check_leaves_something, check_seen, check_varies, covariate_images
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._observations import observations
from sparsegmrf.inference._parameters import FieldModel, check_model, free_names, scale_of
from sparsegmrf.inference.fit_result import FitResult
from sparsegmrf.inference.priors import NOISE, Prior, check_priors
from sparsegmrf.models import Sum
from sparsegmrf.typing import ArrayLike, FloatArray


def make_objective(
    model: FieldModel,
    image: ArrayLike,
    mask: ArrayLike | None,
    noise: object,
    covariates: object,
    method: str,
    fixed: Sequence[str] | str,
    shape: tuple[int, ...],
    priors: Mapping[str, Prior] | None = None,
) -> Objective:
    """Return the checked problem as a function of unconstrained numbers."""
    check_model(model)
    if isinstance(noise, str) and noise != "estimate":
        raise ArgumentError(f'noise must be "estimate", a variance or None, got {noise!r}.')
    estimated = isinstance(noise, str)
    given = 1.0 if estimated else 0.0 if noise is None else noise
    size = (shape[0], shape[1]) if len(shape) == 2 else (1, 1)
    data = observations(image, mask, given, size, "image", noise_name="noise")
    if data.exact.any() and not data.exact[data.observed].all():
        raise ArgumentError(
            "noise must be zero nowhere or at all observed pixels, got both; a fit takes noisy or exact observations."
        )
    if isinstance(model, Sum) and len(model.models) > 1:
        if data.exact.any():
            raise ArgumentError(
                'noise must be a variance or "estimate" with a sum of fields, got exact observations; they would tie '
                "the fields of a pixel to each other. Give a small variance."
            )
        data = dataclasses.replace(data, combination=model.observation)
    names, columns = covariate_images(covariates, data.values.shape)
    check_seen(columns, data)
    free = free_names(model, data.values.shape, fixed)
    if free or estimated:
        check_varies(data)
    limits = model.limits(data.values.shape)
    known = check_priors(priors, {name: limits[name] for name in free}, noise=estimated)
    scale = scale_of(model, data.values.shape, free) if estimated or noise is None else None
    if scale is not None and (scale[0] in known or NOISE in known):
        scale = None
    objective = Objective.of(
        model, free, scale, data, estimated, names, columns, restricted=method == "reml", priors=known
    )
    check_tells_enough(objective)
    if free or estimated:
        check_leaves_something(len(columns), data, objective.frame.deviations.values)
    return objective


def check_tells_enough(objective: Objective) -> None:
    """Refuse an image with too few observed pixels for what is to be estimated."""
    trend, estimated = objective.trend, len(objective.free) + objective.estimated
    least = estimated + len(trend.columns) + trend.deficiency
    # Without anything to estimate the trend alone must be fixed.
    enough = objective.data.count > least if estimated else objective.data.count >= least
    if not enough:
        raise ArgumentError(
            f"image must have more observed pixels than there are parameters, {least}, got {objective.data.count}; "
            "hold some by fixed=, or give fewer covariates."
        )


def make_result(objective: Objective, at: FloatArray, conclusion: Conclusion) -> FitResult:
    """Return the estimates at the end of a search."""
    model, variance, found, c = objective.solution(at)
    frame, names = objective.frame, objective.trend.names
    errors = frame.errors(found.beta_covariance / c)
    noise: float | FloatArray = variance
    data = frame.given
    if not objective.estimated and data.weight.any():
        noise = np.where(data.observed, 1.0 / np.where(data.weight > 0.0, data.weight, 1.0), 0.0)
        values = noise[data.observed]
        noise = float(values[0]) if np.ptp(values) == 0.0 else noise
    parameters = {name: model.parameters[name] for name in objective.free}
    if objective.estimated:
        parameters[NOISE] = variance
    return FitResult(
        model=model,
        parameters=parameters,
        noise_variance=noise,
        loglik=objective.loglik(found, c),
        log_prior=objective.log_prior(at)[0],
        coefficients=dict(zip(names, frame.coefficients(found.beta).tolist(), strict=True)),
        coefficient_errors=dict(zip(names, errors.tolist(), strict=True)),
        trend=frame.trend(found.beta),
        method="reml" if objective.restricted else "ml",
        n_observed=data.count,
        converged=conclusion.converged,
        reason=conclusion.reason,
        evaluations=objective.count[0],
        _objective=objective,
        _evidence=found,
        _scale=c,
        _at_end=conclusion.curvature,
        _lost=conclusion.lost,
    )
