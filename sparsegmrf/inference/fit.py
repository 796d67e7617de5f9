"""Maximum likelihood of a model's parameters, the noise and the trend, from an image with gaps."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from sparsegmrf._validate import generator, one_of, positive_number
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._counts import NAMES as COUNTS
from sparsegmrf.inference._counts import refuse_sizes
from sparsegmrf.inference._covariates import check_leaves_something, covariate_images
from sparsegmrf.inference._cross_validation import cross_validate
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._observations import observations
from sparsegmrf.inference._parameters import FieldModel, check_model, free_names, scale_of
from sparsegmrf.inference._search import maximize
from sparsegmrf.inference.fit_counts import fit_counts
from sparsegmrf.inference.fit_result import FitResult
from sparsegmrf.inference.priors import NOISE, Prior, check_priors
from sparsegmrf.models import Sum
from sparsegmrf.typing import ArrayLike, FloatArray, Seed


def fit(
    model: FieldModel,
    image: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    noise: Literal["estimate"] | ArrayLike | None = "estimate",
    covariates: Literal["constant", "linear"] | ArrayLike | None = "constant",
    method: Literal["ml", "reml", "cv"] = "ml",
    fixed: Sequence[str] | str = (),
    priors: Mapping[str, Prior] | None = None,
    tolerance: float = 1e-4,
    rng: Seed = None,
    likelihood: Literal["gaussian", "poisson", "binomial"] = "gaussian",
    exposure: ArrayLike | None = None,
    trials: ArrayLike | None = None,
) -> FitResult:
    """Fit a model's parameters, the noise variance and a trend by exact maximum likelihood.

    ``y_p = x_p + sum_k beta_k X_kp + e_p`` at observed pixels, ``x ~ N(0, Q(theta)^-1)``, ``e_p ~ N(0, s)``. Missing
    pixels are integrated out. The coefficients ``beta`` are profiled by generalized least squares, and a parameter that
    scales the precision in closed form; the others, mapped to the real line, are searched within a trust
    region with the exact gradient (selected inverses) and the average information. The search starts at the model's
    parameters and at a tenth of its variance for noise.

    Counts are ``y_p ~ Poisson(E_p exp(eta_p))`` or ``Bin(n_p, 1 / (1 + exp(-eta_p)))`` with ``eta = x + X beta`` and no
    noise. What is maximized then, over parameters and coefficients together and with the exact gradient, is the Laplace
    approximation of their likelihood (`LaplacePosterior`), the field integrated out at its mode.

    Parameters
    ----------
    model : FieldModel
        Model at the parameters to start from, such as those of `sparsegmrf.models`: with ``parameters``, ``limits``,
        ``stencil``, ``derivatives``, ``gmrf`` and ``replace``.
    image : array_like, (H, W)
        Intensities. Of a numpy masked array the mask counts as `mask`.
    mask : ndarray of bool, (H, W), or "nan", optional
        **True where a pixel is missing**; ``"nan"`` stands for ``np.isnan(image)``. Without a mask a NaN is an error.
    noise : "estimate", float, array_like (H, W) or None
        Variance of independent noise in intensity^2: estimated, or known (one number or one per pixel), or None for an
        image observed exactly.
    covariates : "constant", "linear", array_like (K, H, W) or None
        Trend: one level; a level and slopes by ``row`` and ``column``, which count pixels from the centre of the
        image; images of one's own, which then must include a constant if one is wanted; or a field of mean zero.
    method : {"ml", "reml", "cv"}
        Maximum likelihood, or restricted maximum likelihood: of the contrasts that do not see the trend, which takes
        account of the degrees of freedom that the trend costs; or cross-validation: the parameters with the least CRPS
        of held-out pixels, in three sets of blocks shaped like the image's gaps (`gap_copies`), each predicted by the
        lattice without it. Likelihood is ruled by short lags, the filling of large gaps by the range. The search, by a
        simplex, starts at the maximum of the likelihood; three more sets tell whether the two disagree by more than
        noise: `FitResult.cross_validation` and the `reason`.
    fixed : sequence of str
        Parameters held where they are.
    priors : mapping of Prior, optional
        Prior densities by names of parameters and ``"noise_variance"``, such as ``{"range": PCRange(5, 0.05)}``: then
        the estimates are the mode of the posterior density of the unconstrained numbers (logarithms of what is
        positive), as R-INLA's; what has no prior is flat there. On this scale the posterior is nearest to a normal
        one, and the mode in other units of intensity is the same one. A scale with a prior is searched, not profiled.
    tolerance : float
        Length of a Newton step, in standard errors, at which the search ends.
    rng : int, Generator or None
        Seed of the held-out blocks; read with ``method="cv"`` only.
    likelihood : {"gaussian", "poisson", "binomial"}
        What the image holds: intensities, or counts. With counts leave `noise` and `method` at their defaults.
    exposure, trials : optional
        ``E`` of Poisson and ``n`` of binomial counts, as for `condition`.

    Returns
    -------
    FitResult
        Of counts a `CountFitResult`.

    Raises
    ------
    ArgumentError
        If the image is constant or has too few observed pixels, covariates are collinear, a prior is for no estimated
        parameter, or an argument has the wrong shape or value.
    ConvergenceError
        If the mode of the field given counts is not found.

    References
    ----------
    D. Harville (1977), Maximum likelihood approaches to variance component estimation, JASA 72, for the restricted one.
    H. Rue, S. Martino, N. Chopin (2009), JRSS B 71, eq. 3, for counts; H. Skaug, D. Fournier (2006), Computational
    Statistics & Data Analysis 51, for the gradient through the mode.

    Examples
    --------
    >>> from sparsegmrf.models import Matern
    >>> truth = Matern(range=8.0, sigma=2.0)
    >>> image = truth.gmrf((64, 64), mean=5.0).sample(rng=1)
    >>> result = fit(Matern(), image, noise=None)
    >>> result.converged, abs(result.parameters["range"] - 8.0) < 4 * result.standard_errors["range"]
    (True, True)
    """
    if one_of("likelihood", likelihood, ("gaussian", *COUNTS)) != "gaussian":
        _refuse_noise(noise, method, likelihood)
        end = positive_number("tolerance", tolerance)
        return fit_counts(model, image, mask, likelihood, exposure, trials, covariates, fixed, priors, end)
    refuse_sizes(exposure, trials)
    shape = np.shape(image)
    one_of("method", method, ("ml", "reml", "cv"))
    if method == "cv" and priors:
        raise ArgumentError(
            f"priors must be None with method='cv', which has no density to add them to, got {', '.join(priors)}."
        )
    stream = generator(rng)
    objective = make_objective(model, image, mask, noise, covariates, method, fixed, shape, priors)
    at, converged, reason = maximize(
        objective, objective.start(objective.model, None), positive_number("tolerance", tolerance)
    )
    if method != "cv":
        return make_result(objective, at, converged, reason)
    full, at, converged, reason, compared = cross_validate(objective, at, stream)
    result = make_result(full, at, converged, reason)
    return dataclasses.replace(result, method="cv", cross_validation=compared)


def _refuse_noise(noise: object, method: object, likelihood: str) -> None:
    if not (noise is None or (isinstance(noise, str) and noise == "estimate")):
        raise ArgumentError(
            f'noise must be left out with likelihood="{likelihood}", whose counts have the variance of their '
            f"distribution, got {noise!r}."
        )
    if method != "ml":
        raise ArgumentError(f'method must be "ml" with likelihood="{likelihood}", got {method!r}.')


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
    data = observations(image, mask, given, (shape[0], shape[1]) if len(shape) == 2 else (1, 1), "image")
    values = data.values[data.observed]
    if np.ptp(values) == 0.0:
        raise ArgumentError(
            f"image must vary over its observed pixels, got {len(values)} of them with the value {values[0]:g}; a "
            "constant has no parameters to fit."
        )
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
    check_leaves_something(columns, data)
    free = free_names(model, data.values.shape, fixed)
    limits = model.limits(data.values.shape)
    known = check_priors(priors, {name: limits[name] for name in free}, noise=estimated)
    scale = scale_of(model, data.values.shape, free) if estimated or noise is None else None
    if scale is not None and (scale[0] in known or NOISE in known):
        scale = None
    objective = Objective.of(
        model, free, scale, data, estimated, names, columns, restricted=method == "reml", priors=known
    )
    least = len(free) + estimated + len(objective.trend.columns) + objective.trend.deficiency
    if data.count <= least:
        raise ArgumentError(
            f"image must have more observed pixels than there are parameters, {least}, got {data.count}; hold some by "
            "fixed=, or give fewer covariates."
        )
    return objective


def make_result(objective: Objective, at: FloatArray, converged: bool, reason: str) -> FitResult:
    """Return the estimates that belong to the end of a search."""
    model, variance, found, c = objective.solution(at)
    names = objective.trend.names
    errors = np.sqrt(np.diagonal(found.beta_covariance) / c)
    noise: float | FloatArray = variance
    data = objective.data
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
        loglik=found.loglik(c),
        log_prior=objective.log_prior(at)[0],
        coefficients=dict(zip(names, found.beta.tolist(), strict=True)),
        coefficient_errors=dict(zip(names, errors.tolist(), strict=True)),
        trend=np.tensordot(found.beta, objective.trend.columns, 1),
        method="reml" if objective.restricted else "ml",
        n_observed=data.count,
        converged=converged,
        reason=reason,
        evaluations=objective.count[0],
        _objective=objective,
        _evidence=found,
        _scale=c,
    )
