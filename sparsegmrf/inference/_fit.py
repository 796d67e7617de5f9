"""Maximum likelihood of a model's parameters, the noise and the trend, from an image with gaps."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import generator, positive_number
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._channel_members import is_of_channels
from sparsegmrf.inference._channels_fit import ChannelsFit, check_double, fit_channels
from sparsegmrf.inference._count_fit_result import CountFitResult
from sparsegmrf.inference._covariate_parts import CovariatesLike
from sparsegmrf.inference._fit_result import FitResult
from sparsegmrf.inference._ground import placed
from sparsegmrf.inference._labels import Labels
from sparsegmrf.inference._parameters import FieldModel
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._progress import ProgressLike, with_progress
from sparsegmrf.inference._result import result_of
from sparsegmrf.inference._spacing import SpacingLike
from sparsegmrf.inference._start import find_start, search
from sparsegmrf.likelihoods import Gaussian, Likelihood, as_likelihood
from sparsegmrf.models import Channels
from sparsegmrf.priors import Prior
from sparsegmrf.typing import ArrayLike, Seed

_ROUGH = 0.05
"""Newton step in standard errors at which the search on the tile where a large image's starts ends."""


@overload
def fit(model: Channels, image: ArrayLike, **options: Any) -> ChannelsFit: ...


@overload
def fit(model: FieldModel, image: ArrayLike, *, likelihood: Likelihood, **options: Any) -> CountFitResult: ...


@overload
def fit(model: FieldModel, image: ArrayLike, *, likelihood: Gaussian | None = None, **options: Any) -> FitResult: ...


@one_blas_thread()  # type: ignore[misc]  # the options are these
@with_progress
def fit(
    model: FieldModel,
    image: ArrayLike,
    *,
    mask: ArrayLike | Literal["nan"] | None = "nan",
    noise_variance: Literal["estimate"] | ArrayLike | None = "estimate",
    covariates: CovariatesLike = "constant",
    method: Literal["ml", "reml", "cv"] = "ml",
    fixed: Sequence[str] | str = (),
    priors: Mapping[str, Prior] | None = None,
    tolerance: float = 1e-4,
    rng: Seed = None,
    likelihood: Gaussian | Likelihood | None = None,
    spacing: SpacingLike = "coordinates",
    precision: Literal["double", "single"] = "double",
    progress: ProgressLike = False,
) -> FitResult | CountFitResult | ChannelsFit:
    """Fit a model's parameters, the noise variance and a trend by exact maximum likelihood.

    ``y_p = x_p + sum_k beta_k X_kp + e_p`` at observed pixels, ``x ~ N(0, Q(theta)^-1)``, ``e_p ~ N(0, s)``. Missing
    pixels are integrated out. The coefficients ``beta`` are profiled by generalized least squares, and a parameter that
    scales the precision in closed form; the others, mapped to the real line, are searched within a trust
    region with the exact gradient (selected inverses) and the average information. The search starts at the largest of
    some likelihoods of the best-observed tile of 48 x 48 pixels, about the model's parameters and about a tenth of its
    variance for noise; on an image four times larger than 128 x 128, at the maximum on a tile of that size. Scales
    start at the variance of the data. Level and unit of the image do not matter.
    Of complete images with noise of one variance, or none, the likelihood is a sum over frequencies where the model has
    a `spectral_density`: fits then take milliseconds per megapixel and likelihood, and no factorization.

    Counts are ``y_p ~ Poisson(E_p exp(eta_p))`` or ``Bin(n_p, 1 / (1 + exp(-eta_p)))`` with ``eta = x + X beta`` and no
    noise. What is maximized then, over parameters and coefficients together and with the exact gradient, is the Laplace
    approximation of their likelihood (`LaplacePosterior`), the field integrated out at its mode; of a `Sum`, a `BYM`
    or a field of fractional smoothness all fields stacked at a pixel, of which the counts see the sum.

    `Channels` are fitted to an image ``(H, W, C)`` with a trend of each channel: the spatial parameters, the covariance
    of the channels and the noise variance of each, by the exact gradient. A parameter that scales the spatial model
    stays, as the covariance scales. Where the channels are observed at the same pixels (and with noise that has one
    ratio between channels) a likelihood takes factorizations of the spatial model alone, and without noise the
    covariance is known in closed form.

    Parameters
    ----------
    model : FieldModel
        Model at the parameters to start from, such as those of `sparsegmrf.models`: with ``parameters``, ``limits``,
        ``stencil``, ``derivatives``, ``gmrf`` and ``replace``.
    image : array_like, (H, W) or (R, H, W); (H, W, C) or (C, H, W) with `Channels`
        Intensities. Of a numpy masked array the mask counts as well. Several images are independent draws of one field
        with the same parameters, noise variance and trend; `mask`, noise and counts' numbers may be theirs each. Of an
        xarray ``DataArray`` a mask, noise or covariates with labels must have its coordinates, and are brought to its
        axes.
    mask : ndarray of bool, (H, W) or (R, H, W), "nan" or None
        **True where a pixel is missing**; ``"nan"`` stands for ``np.isnan(image)``; with None a NaN is an error.
    noise_variance : "estimate", float, array_like (H, W) or None
        Variance of independent noise in intensity^2: estimated, or known (one number or one per pixel), or None for an
        image observed exactly. A short form of ``likelihood=Gaussian(noise_variance=...)``.
    covariates : "constant", "linear", array_like (K, H, W), dict, table, Dataset, Categorical, list of these, or None
        Trend: one level; a level and slopes by ``row`` and ``column``, which count pixels from the centre of the
        image; images of one's own, which then must include a constant if one is wanted; or a field of mean zero.
        By name: a dict of images ``(H, W)``; a table (pandas, polars) whose rows are pixels in raster order, or say row
        and column in an index of two levels; an xarray ``Dataset``, or a ``DataArray`` whose first coordinate has the
        names. Text, and what `factor` makes, is categorical. Named covariates come with a constant unless they have one
        (``{"constant": None, ...}`` leaves it out). A list joins them, as ``["linear", {"elevation": z}]``.
        A covariate may be NaN where no image is observed: what a fit says of such a pixel is NaN.
    method : {"ml", "reml", "cv"}
        Maximum likelihood, or restricted maximum likelihood: of the contrasts that do not see the trend, which takes
        account of the degrees of freedom that the trend costs; or cross-validation: the parameters with the least CRPS
        of held-out pixels, in three sets of blocks shaped like the image's gaps (`gap_copies`), each predicted by the
        lattice without it. Likelihood is ruled by short lags, the filling of large gaps by the range. The search, by a
        simplex, starts at the maximum of the likelihood; three more sets tell whether the two disagree by more than
        noise: `FitResult.cross_validation` and the `reason`.
    fixed : sequence of str
        Parameters held where they are; of `Channels` also ``"covariance"``. With all of them held and the noise given
        nothing is searched.
    priors : mapping of Prior, optional
        Prior densities by names of parameters and ``"noise_variance"``, such as ``{"range": PCRange(5, 0.05)}``: then
        the estimates are the mode of the posterior density of the working parameters (logarithms of what is
        positive), as R-INLA's; what has no prior is flat there. On this scale the posterior is nearest to a normal
        one, and the mode in other units of intensity is the same one. A scale with a prior is searched, not profiled.
    tolerance : float
        Length of a Newton step, in standard errors, at which the search ends.
    rng : int, Generator or None
        Seed of the held-out blocks; read with ``method="cv"`` only.
    likelihood : Gaussian, Poisson, Binomial or Likelihood, optional
        How measurements are distributed given the field, in the place of `noise_variance`: counts are
        ``Poisson(exposure=...)`` or ``Binomial(trials=...)`` of `sparsegmrf.likelihoods`.
    spacing : "coordinates", (height, width), Spacing or None
        Size of the pixels, in whose unit the lengths of the model are (its range, and what is one over one): by default
        that of the coordinates of a ``DataArray`` (`spacing_of`: kilometres for latitudes and longitudes), and one
        pixel of plain arrays or with None; else numbers, or arrays (H,) or (H, W). Lengths of a model without a spacing
        are in pixels, and are turned into the unit (`Model.spaced`); a model that has a spacing keeps it.
    precision : {"double", "single"}
        In which factors are kept: with ``"single"`` they take half the memory, and the
        likelihood is the same; its gradient and the variances have a relative error of some 1e-6, which predictions
        state (`Prediction.relative_error`). See
        `SingleFactor`; transforms store no factor, and are the same in either.
    progress : bool or callable
        True shows a bar on a terminal or in a notebook, with the stage, the likelihoods evaluated and about how long
        the rest takes. A function is called with a `Progress` after each likelihood; what it raises ends the fit.

    Returns
    -------
    FitResult
        Of counts a `CountFitResult`, of `Channels` a `ChannelsFit`.

    Raises
    ------
    ArgumentError
        If something is estimated and the image is constant or has too few observed pixels, covariates are collinear on
        the observed pixels, a prior is for no estimated parameter, or an argument has the wrong shape or value.
    ConvergenceError
        If the mode of the field given counts is not found; or with ``precision="single"`` if a precision is too badly
        conditioned for it.
    LostDigitsError
        If the model given varies so little beside the noise given that its likelihood would be rounding.

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
    >>> result = fit(Matern(), image, noise_variance=None)
    >>> result.converged, abs(result.parameters["range"] - 8.0) < 4 * result.standard_errors["range"]
    (True, True)
    """
    end, stream = positive_number("tolerance", tolerance), generator(rng)
    distribution = as_likelihood(likelihood, noise_variance, left_out="estimate")
    if is_of_channels(model):
        if method != "ml" or priors is not None:
            raise ArgumentError(f'method must be "ml", and priors None, with Channels, got {method!r} and {priors!r}.')
        check_double(precision)
        return fit_channels(model, image, mask, distribution, covariates, fixed, end, spacing)
    labels, (model, ground) = Labels.of_images(image), placed(model, spacing, image)
    if labels is not None:
        mask, distribution, image = (
            labels.aligned("mask", mask),
            labels.aligned_likelihood(distribution),
            np.asarray(image),
        )
    problem = Problem.read(
        model, image, mask, distribution, covariates, method, fixed, priors, labels, ground, precision
    )
    memo, start = find_start(problem, max(end, _ROUGH))
    found = search(memo, start, end)
    return result_of(problem, found, stream)
