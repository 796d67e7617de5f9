"""Filling the gaps of an image, with the uncertainty of what is filled in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import generator, integer_at_least, one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._channel_members import is_of_channels
from sparsegmrf.inference._channels_fit import ChannelsFillResult, check_double, fill_channels
from sparsegmrf.inference._comparison import ModelComparison, compare
from sparsegmrf.inference._count_fill import CountFillResult, count_fill
from sparsegmrf.inference._count_fit_result import CountFitResult
from sparsegmrf.inference._covariate_parts import CovariatesLike
from sparsegmrf.inference._default import search_default
from sparsegmrf.inference._fill_result import FillResult, labelled
from sparsegmrf.inference._fit_result import FitResult
from sparsegmrf.inference._ground import placed
from sparsegmrf.inference._integrated_counts import IntegratedCountFit
from sparsegmrf.inference._labels import Labels
from sparsegmrf.inference._mixed_prediction import MixedPrediction
from sparsegmrf.inference._parameters import FieldModel
from sparsegmrf.inference._predict_at_end import predict_at_end
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._progress import ProgressLike, stage, with_progress
from sparsegmrf.inference._result import result_of
from sparsegmrf.inference._spacing import Spacing, SpacingLike
from sparsegmrf.inference._start import Found, find_start, search
from sparsegmrf.inference._weak_priors import weak_priors_of
from sparsegmrf.likelihoods import Gaussian, Likelihood, as_likelihood
from sparsegmrf.models import Channels, TensionSpline
from sparsegmrf.priors import Prior
from sparsegmrf.typing import ArrayLike, Seed

_TOLERANCE = 0.02
"""Newton step in standard errors at which the search ends."""


@overload
def fill(image: ArrayLike, *, model: Channels, **options: Any) -> ChannelsFillResult: ...


@overload
def fill(image: ArrayLike, *, likelihood: Likelihood, **options: Any) -> CountFillResult: ...


@overload
def fill(image: ArrayLike, *, likelihood: Gaussian | None = None, **options: Any) -> FillResult: ...


@one_blas_thread()  # type: ignore[misc]  # the options are these
@with_progress
def fill(
    image: ArrayLike,
    *,
    mask: ArrayLike | Literal["nan"] | None = "nan",
    model: FieldModel | Literal["best"] | None = None,
    noise_variance: Literal["estimate"] | ArrayLike | None = "estimate",
    covariates: CovariatesLike = "linear",
    fixed: Sequence[str] | str = (),
    n_samples: int = 0,
    rng: Seed = None,
    likelihood: Gaussian | Likelihood | None = None,
    spacing: SpacingLike = "coordinates",
    precision: Literal["double", "single"] = "double",
    progress: ProgressLike = False,
    parameters: Literal["plug-in", "integrate"] = "plug-in",
    priors: Mapping[str, Prior] | None = None,
) -> FillResult | CountFillResult | ChannelsFillResult:
    """Fill the gaps of an image by the field that fits it best.

    ``y = trend + field + noise`` with a linear trend and by default a `TensionSpline`: a field without a range, which
    does not fall back to the trend within large gaps. Where the noise of one runs to zero the image is smoother, and
    splines of smoothness 2 (up to 512^2 pixels) and 3 (up to 256^2) are tried and taken if they are likelier; give a
    model for one that is fixed. Its two parameters and the noise are fitted by `fit`, and mean,
    variances and draws are those given the observed pixels, exactly. The variance of the field is ``P^-1``, and of the
    trend's coefficients ``(X - Z) C (X - Z)^T`` is added, ``Z`` being what the field makes of the covariates ``X`` and
    ``C`` the coefficients' covariance. Parameters are taken as known, or integrated out (``parameters="integrate"``).

    Of counts the rate relative to the exposure is filled in, or the probability, and the counts that were to be
    expected, by Laplace's approximation: ``fill(cases, model=BYM(), likelihood=Poisson(exposure=expected))``.

    Parameters
    ----------
    image : array_like, (H, W), or (H, W, C) or (C, H, W) with ``model=Channels(...)``
        Intensities; NaN marks gaps unless a mask is given. Of a numpy masked array the mask counts as well. Of an
        xarray ``DataArray`` the results keep dimensions, coordinates, name and attributes; a mask, noise or covariates
        with labels must have its coordinates.
    mask : ndarray of bool, (H, W), "nan" or None
        **True where a pixel is missing**; ``"nan"`` stands for ``np.isnan(image)``; with None a NaN is an error.
    model : FieldModel or "best", optional
        Model to fit instead, at the parameters to start from. With ``"best"`` a tension spline, its anisotropic form,
        Matern fields (of smoothness one, of another one, with range and deviation that vary) and a sum of a fine and a
        coarse one are fitted, and their predictions mixed by the weights under which they
        predict held-out pixels best together, in copies of the image's gaps and in squares. Where the mixture predicts
        these worse than the default by more than a standard error, it is the default. The table is kept as
        `comparison`, whose `summary` prints it. This takes some ten times as long.
    noise_variance, covariates, fixed
        As for `fit`; gaps in which a covariate is NaN stay NaN. With a fitted model, all of its parameters fixed and
        its noise given, nothing is searched.
    n_samples : int
        Number of draws.
    rng : int, Generator or None
        Seed of the draws, and of the places of what is held out.
    likelihood : Gaussian, Poisson, Binomial or Likelihood, optional
        How measurements are distributed given the field, in the place of `noise_variance`, as for `fit`. Counts are
        predicted with the exposure, or the trials, of missing pixels, which may be NaN there: not known.
    spacing : "coordinates", (height, width), Spacing or None
        Size of the pixels, in whose unit lengths are, as for `fit`.
    precision : {"double", "single"}
        In which factors are kept, as for `fit`; `FillResult.relative_error` says what single precision costs.
    progress : bool or callable
        As for `fit`: a bar, or a function that is called with a `Progress`.
    parameters : {"plug-in", "integrate"}
        Whether the estimates are taken as known, or every pixel is a mixture over the posterior of the parameters
        (`FitResult.integrate`), which is wider where an image tells little of them. Of counts, means are then those to
        first order (`CountFitResult.integrate`), not modes. This takes some ten to fifty
        factorizations more. Not with ``model="best"`` or `Channels`.
    priors : mapping of Prior, optional
        As for `fit`. With ``parameters="integrate"`` parameters of known names have weak ones by default: a range over
        a twentieth of the image, a standard deviation below three times that of the data, a ``kappa`` and a scale
        within some factors of what image and data have, a noise variance about a hundredth of the data's, of which a
        factor of ten is a standard deviation; of counts "data" are the linear predictors that they suggest by
        themselves. An empty mapping leaves all of them flat.

    Returns
    -------
    FillResult
        Of counts a `CountFillResult`; of `Channels`, which borrow from each other in gaps that are not the same, a
        `ChannelsFillResult`.

    Raises
    ------
    ArgumentError
        As for `fit`; or with counts and ``model="best"``, which compares fields by measurements held out; or as for
        `FitResult.integrate`.

    References
    ----------
    L. Mitas, H. Mitasova (1988), General variational approach to the interpolation problem, Computers & Mathematics
    with Applications 16, for the spline; G. Wahba (1990), Spline Models for Observational Data, for its
    reading as a field; H. Rue, S. Martino, N. Chopin (2009), JRSS B 71, for integrated parameters; Y. Yao, A. Vehtari,
    D. Simpson, A. Gelman (2018), Using stacking to average Bayesian predictive distributions, Bayesian Analysis 13.

    Examples
    --------
    >>> import numpy as np
    >>> rows, columns = np.mgrid[:40, :50] / 10.0
    >>> truth = np.sin(rows) * np.cos(columns)
    >>> image = truth + 0.1 * np.random.default_rng(0).standard_normal(truth.shape)
    >>> image[10:20, 15:25] = np.nan
    >>> result = fill(image)
    >>> bool(np.abs(result.mean - truth)[10:20, 15:25].max() < 4 * result.std[10:20, 15:25].max())
    True
    """
    distribution = as_likelihood(likelihood, noise_variance, left_out="estimate")
    one_of("parameters", parameters, ("plug-in", "integrate"))
    if parameters == "integrate":
        _check_integrable(model)
    if is_of_channels(model):
        if priors is not None:
            raise ArgumentError(f"priors must be None with Channels, got {priors!r}.")
        count, stream = integer_at_least("n_samples", n_samples, 0), generator(rng)
        check_double(precision)
        return fill_channels(model, image, mask, distribution, covariates, fixed, count, stream, _TOLERANCE, spacing)
    labels, start = Labels.of(image), TensionSpline(kappa=0.5) if model is None or isinstance(model, str) else model
    start, ground = placed(start, spacing, image)
    if labels is not None:
        mask, distribution, image = (
            labels.aligned("mask", mask),
            labels.aligned_likelihood(distribution),
            np.asarray(image),
        )
    count, stream = integer_at_least("n_samples", n_samples, 0), generator(rng)
    held = weak_priors_of if parameters == "integrate" and priors is None else priors
    result, comparison, end = _fit(
        image, mask, start, model, distribution, covariates, fixed, stream, labels, ground, precision, held
    )
    integrated = None
    if parameters == "integrate":
        with stage("integrating"):
            integrated = result.integrate()
    if isinstance(result, CountFitResult):
        assert integrated is None or isinstance(integrated, IntegratedCountFit)
        with stage("predicting"):
            return count_fill(result, count, stream, integrated)
    data = result.problem.images[0]
    found: Prediction
    with stage("predicting"):
        if integrated is not None:
            found = integrated.predict(n_samples=count, rng=stream)
        elif comparison is not None:
            found = comparison.predict(n_samples=count, rng=stream)
        else:
            assert end is not None
            found = predict_at_end(result, end.memo, end.ended.at, count, stream)
    plain = FillResult(
        mean=found.mean,
        std=found.std,
        predictive_std=found.predictive_std,
        samples=found.samples,
        filled=np.where(data.observed, data.values, found.mean),
        fit=result,
        comparison=comparison,
        relative_error=found.relative_error,
        integrated=integrated,
        mixture=found.mixture if isinstance(found, MixedPrediction) else None,
        predictive_mixture=found.predictive_mixture if isinstance(found, MixedPrediction) else None,
    )
    return plain if labels is None else labelled(plain, labels)


def _check_integrable(model: object) -> None:
    """Refuse what has no parameters to integrate over."""
    what = "Channels" if is_of_channels(model) else f'model="{model}"' if isinstance(model, str) else ""
    if what:
        raise ArgumentError(f'parameters must be "plug-in" with {what}, got "integrate".')


def _fit(
    image: ArrayLike,
    mask: ArrayLike | Literal["nan"] | None,
    first: FieldModel,
    asked: FieldModel | str | None,
    likelihood: Gaussian | Likelihood,
    covariates: object,
    fixed: Sequence[str] | str,
    stream: np.random.Generator,
    labels: Labels | None,
    ground: Spacing,
    digits: str,
    priors: Mapping[str, Prior] | Callable[[Problem], Mapping[str, Prior]] | None,
) -> tuple[FitResult | CountFitResult, ModelComparison | None, Found | None]:
    """Fit a model, or the best of several; return also the comparison or the search."""
    if np.ndim(image) == 3:
        raise ArgumentError(
            f"image must have shape (H, W), got {np.shape(image)}; fill one slice at a time, or channels (H, W, C) by "
            "model=Channels(spatial model, covariance)."
        )
    best = isinstance(asked, str)
    if best:
        one_of("model", asked, ("best",))
        if not isinstance(likelihood, Gaussian):
            raise ArgumentError(
                f'model must be a model with a {likelihood.name} likelihood, got "best", which compares predictions of '
                "intensities; fit several, and compare them by compare_fits."
            )
        if len(fixed):
            raise ArgumentError(
                f'fixed must be empty with model="best", whose fields have other parameters each, got {fixed!r}.'
            )
        if priors is not None:
            raise ArgumentError(f'priors must be None with model="best", whose fields have their own, got {priors!r}.')
    own: dict[str, Any] = {"fixed": fixed, "labels": labels, "spacing": ground, "digits": digits}
    known = None if callable(priors) else priors
    problem = Problem.read(first, image, mask, likelihood, covariates, priors=known, **own)
    if callable(priors):
        problem = replace(problem, priors=priors(problem))
    if best:
        comparison = compare(problem, stream)
        return comparison.chosen.fit, comparison, None
    if asked is None and priors is None and not len(fixed) and isinstance(likelihood, Gaussian):
        problem, found = search_default(problem, _TOLERANCE)
    else:
        memo, start = find_start(problem, _TOLERANCE)
        found = search(memo, start, _TOLERANCE)
    return result_of(problem, found, stream), None, found
