"""Conditioning a field on pixels that were observed, with noise or exactly, or counted."""

from dataclasses import replace
from typing import Any

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._edges import cut_off
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import Factor, Method
from sparsegmrf.factors.choose import check_digits, in_precision
from sparsegmrf.factors.restricted import RestrictedForm
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.factors.total import TotalFactor, TotalForm
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._channel_data import channel_observations
from sparsegmrf.inference._condition_channels import condition_channels
from sparsegmrf.inference._constrain import ConstrainedGMRF, constrain
from sparsegmrf.inference._laplace import condition_on_counts
from sparsegmrf.inference._null_space import check_null_space_observed
from sparsegmrf.inference._observations import (
    Observations,
    observations,
    posterior_of_total,
    posterior_precision,
)
from sparsegmrf.inference._operators import ObservationOperator, as_operator
from sparsegmrf.inference._plan import refuse_posterior
from sparsegmrf.inference._prior_precision import with_outside
from sparsegmrf.lattice import Lattice
from sparsegmrf.likelihoods import Gaussian, Likelihood, as_likelihood
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import ArrayLike, FloatArray

_ALL_KNOWN = (
    "noise_variance must leave something unknown, but every pixel is observed exactly; the field given these pixels is "
    "the image itself."
)


@one_blas_thread()
def condition(
    gmrf: GMRF,
    y: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    noise_variance: ArrayLike | None = None,
    operator: "ObservationOperator | ArrayLike | None" = None,
    likelihood: Gaussian | Likelihood | None = None,
    precision: str = "double",
) -> GMRF:
    """Return the field given some of its pixels, observed with independent Gaussian noise or exactly, or given counts.

    ``y_p = x_p + e_p`` at observed pixels, ``e_p ~ N(0, v_p)``. With ``W = diag(1/v_p)`` (zero where missing):
    posterior precision ``P = Q + W``, mean ``mu + P^-1 W (y - mu)``. At pixels with ``v_p = 0`` the value is known:
    their rows and columns are replaced by the identity, and ``-Q_uo (y_o - mu_o)`` moves to the right-hand side; the
    lattice stays.

    With an `operator` ``B``, a point-spread function or a block average, a measurement is a weighted sum of pixels:
    ``y = B x + e``, ``P = Q + B^T W B`` on a wider stencil, mean ``mu + P^-1 B^T W (y - B mu)``.

    Counts are ``y_p ~ Poisson(E_p exp(x_p))`` or ``y_p ~ Bin(n_p, 1 / (1 + exp(-x_p)))``. Their posterior is not
    Gaussian; what is returned is its Laplace approximation ``N(x*, (Q + W)^-1)`` at the mode ``x*``, found by Newton's
    method, with ``W`` minus the second derivatives of the log-likelihood there. Pixels without exposure, or trials, are
    missing.

    Parameters
    ----------
    gmrf : GMRF
        The prior field. One of several channels, such as that of `Channels`, is conditioned with Gaussian noise: by the
        spatial field alone where the channels are observed at the same pixels, exactly or with noise variances that
        have one ratio between channels everywhere; else with ``C`` unknowns per pixel. Of an `IntrinsicGMRF` the null
        space (its level) is fixed by the observations alone. Of a `ConstrainedGMRF` the constraints stay, and pixels
        known exactly by an earlier `condition` stay known.
    y : array_like, (H, W) or (H, W, C)
        Observed intensities or counts. Of a numpy masked array the mask counts as `mask`. With a `BlockAverage` it,
        `mask` and `noise_variance` are on the coarse raster, one entry per block.
    mask : ndarray of bool, (H, W) or (H, W, C), or "nan", optional
        **True where a pixel is missing**; ``"nan"`` stands for ``np.isnan(y)``. Without a mask a NaN is an error.
    noise_variance : float or array_like, (H, W), (C,) or (H, W, C), optional
        ``v`` in intensity^2, zero or more; zero is an exact observation. Not read where a pixel is missing. With an
        `operator` it must be positive: known sums of pixels are linear constraints. A short form of
        ``likelihood=Gaussian(noise_variance=v)``: give one of the two.
    operator : array_like, (2a + 1, 2b + 1), PointSpread or BlockAverage, optional
        ``B``; an array is the kernel of a `PointSpread`. The time to factorize grows with its reach: the stencil of the
        posterior reaches twice as far as a kernel, and as far as a block.
    likelihood : Gaussian, Poisson, Binomial or Likelihood, optional
        How `y` is distributed given the field, such as ``Poisson(exposure=areas)``; see `sparsegmrf.likelihoods`.
    precision : {"double", "single"}
        In which factors are kept: with ``"single"`` they take half the memory; mean and draws are refined to double
        precision, and variances have the relative error ``posterior.factor.relative_error``. See `SingleFactor`;
        transforms store no factor, and are the same in either.

    Returns
    -------
    GMRF
        The posterior on the same lattice: `GMRF.mean`, `GMRF.marginal_variance`, `GMRF.sample`, `GMRF.logpdf`. With
        exact observations its `GMRF.domain` is the rest of the image: pixels observed exactly are held at their value
        with variance zero, and do not count in the density.
        Of counts it is a `LaplacePosterior`, which also has the approximate `LaplacePosterior.log_marginal_likelihood`.

    Raises
    ------
    ArgumentError
        If shapes differ, the field has channels and `operator` or counts are given, a noise variance is negative, no
        pixel is observed, nothing is left to be known, an observed value is not finite, the observed pixels do not fix
        the null space, an observation through an operator is exact, or counts are no counts, exceed the trials, or send
        the level of an intrinsic field to infinity.
    ConvergenceError
        If Newton's method finds no mode; or if the precision is too badly conditioned for ``precision="single"``.

    References
    ----------
    H. Rue, L. Held, Gaussian Markov Random Fields (2005), sections 2.2.4 and 2.3.3. H. Rue, S. Martino, N. Chopin
    (2009), Approximate Bayesian inference for latent Gaussian models, JRSS B 71, eq. 3, for counts.

    Examples
    --------
    >>> from sparsegmrf import SymmetricStencil
    >>> prior = GMRF.from_precision(SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (1, 3)))
    >>> y = [[1.0, np.nan, 3.0]]
    >>> condition(prior, y, mask="nan", noise_variance=0.0).mean.round(3).tolist()
    [[1.0, 2.0, 3.0]]
    >>> condition(prior, y, mask="nan", noise_variance=1.0).mean.round(3).tolist()
    [[0.667, 1.0, 1.333]]
    >>> from sparsegmrf.likelihoods import Poisson
    >>> condition(prior, [[0, 2, 3]], likelihood=Poisson()).mean.round(3).tolist()
    [[-0.183, 0.467, 0.713]]
    """
    distribution = as_likelihood(likelihood, noise_variance, left_out=None)
    method = in_precision(check_digits(precision))
    simple = isinstance(distribution, Gaussian) and operator is None
    several = isinstance(gmrf, GMRF) and gmrf.channels > 1 and simple
    if not several:
        check_field(gmrf)
    if not isinstance(distribution, Gaussian):
        if operator is not None:
            raise ArgumentError(
                f"operator must be left out with a {distribution.name} likelihood: sums of pixels on the scale of the "
                "linear predictor are no sums of rates."
            )
        if isinstance(gmrf, ConstrainedGMRF):
            raise ArgumentError(
                f"gmrf must not be constrained with a {distribution.name} likelihood: correcting the mode by kriging "
                "does not give the mode under constraints; where that will do, constrain the Gaussian approximation "
                "given gmrf.unconstrained."
            )
        return condition_on_counts(gmrf, y, mask, distribution, precision)
    noise_variance = distribution.noise_variance
    if noise_variance is None or isinstance(noise_variance, str):
        raise ArgumentError(f"noise_variance must be given, got {noise_variance!r}; 0 is exact.")
    if isinstance(gmrf, ConstrainedGMRF):  # which condition comes first does not matter
        options: dict[str, Any] = {"noise_variance": noise_variance, "operator": operator, "precision": precision}
        posterior = condition(gmrf.unconstrained, y, mask=mask, **options)
        return constrain(posterior, gmrf.constraints, gmrf.values)
    if operator is not None:
        return _through_operator(gmrf, y, mask, noise_variance, as_operator(operator), method)
    if several:
        seen = channel_observations(y, mask, noise_variance, gmrf.lattice.image_shape)
        return condition_channels(gmrf, with_known(gmrf, seen), method)
    data = with_known(gmrf, observations(y, mask, noise_variance, gmrf.shape))
    if isinstance(gmrf.given, TotalForm):
        return _given_totals(gmrf, gmrf.given, data, method)
    # The posterior of the deviation r = x - mu.
    deviation = np.where(data.observed, data.values - gmrf.mean, 0.0)
    right = data.weight * deviation
    if isinstance(gmrf.given, SpectralForm) and data.uniform_weight:
        field = GMRF(gmrf.given.plus_diagonal(data.uniform_weight))
        return field.with_mean(gmrf.mean + field.factor.solve(right))
    if not (data.uniform_weight or data.exact.any()):
        refuse_posterior(gmrf.precision, precision)
    P, held = posterior_precision(gmrf.precision, data)
    if held is None:
        field = GMRF(P, method=method)
        return field.with_mean(gmrf.mean + field.factor.solve(right))
    if held.all():
        raise ArgumentError(_ALL_KNOWN)
    right = np.where(held, 0.0, right - gmrf.precision @ np.where(held, deviation, 0.0))
    field = _free(P, gmrf.lattice.restricted(~held), method)
    return field.with_mean(np.where(held, data.values, gmrf.mean + field.factor.solve(right)))


def _given_totals(gmrf: GMRF, form: TotalForm, data: Observations, method: Method) -> GMRF:
    """Return a sum of fields given observations of it; pixels known earlier are among these."""
    unknowns = GMRF(form.inner)
    seen = replace(data, values=np.where(data.observed, data.values - gmrf.mean, 0.0), combination=form.weights)
    if data.exact.all():
        raise ArgumentError(_ALL_KNOWN)
    total = GMRF(TotalForm(posterior_of_total(unknowns.precision, seen), form.weights), method=method)
    factor = total.factor
    assert isinstance(factor, TotalFactor)
    deviation = seen.total(_mean_given_total(unknowns, unknowns.precision, seen, factor.inner))
    return total.with_mean(np.where(data.exact, data.values, gmrf.mean + deviation))


def check_field(gmrf: GMRF) -> None:
    """Refuse what is no field of one channel."""
    if not isinstance(gmrf, GMRF):
        raise ArgumentError(f"gmrf must be a GMRF, got {type(gmrf).__name__}; a model gives one by model.gmrf(shape).")
    if gmrf.channels > 1:
        raise ArgumentError(
            f"gmrf must have one channel here, got {gmrf.channels}; condition takes several, with Gaussian noise and "
            "without an operator."
        )


def check_unconstrained(gmrf: GMRF) -> None:
    """Refuse a field under constraints, of which its precision does not tell."""
    if gmrf.rank + gmrf.rank_deficiency < gmrf.lattice.n_free:
        raise ArgumentError(
            "gmrf must be a field without constraints here, got one that is conditioned on exact sums already; start "
            "from .unconstrained."
        )


def fields_given_total(gmrf: GMRF, data: Observations, method: Method = "auto") -> GMRF:
    """Return stacked fields given observations of their weighted sum."""
    Q, lattice = gmrf.precision, gmrf.lattice
    if lattice.is_complete:
        field = GMRF(posterior_of_total(Q, data), method=method)
        return field.with_mean(_mean_given_total(gmrf, Q, data, field.factor))
    Q, logdet = with_outside(Q, lattice)
    field = GMRF(RestrictedForm(posterior_of_total(Q, data), lattice, logdet), method=method)
    return field.with_mean(_mean_given_total(gmrf, Q, data, field.factor))


def _mean_given_total(gmrf: GMRF, Q: SymmetricStencil, data: Observations, factor: Factor) -> FloatArray:
    """Return the mean of stacked fields given observations of their weighted sum, by the factor of their precision."""
    residual = np.where(data.observed, data.values - data.total(gmrf.mean), 0.0)
    known = data.lifted(np.where(data.exact, residual, 0.0))
    right = data.spread(data.weight * residual) - Q @ known
    return np.asarray(gmrf.mean + known + factor.solve(right))


def _through_operator(
    gmrf: GMRF,
    y: ArrayLike,
    mask: ArrayLike | None,
    noise_variance: ArrayLike,
    B: ObservationOperator,
    method: Method,
) -> GMRF:
    """Return the field given ``y = B x + e``."""
    data = observations(y, mask, noise_variance, B.observed_shape(gmrf.shape), of="that the operator makes")
    if data.exact.any():
        raise ArgumentError(
            f"noise_variance must be positive with an operator, got zero at {int(data.exact.sum())} of {data.count} "
            "measurements; sums of pixels that are known exactly are linear constraints: "
            "constrain(gmrf, operator.tocsr(gmrf.shape), y.ravel())."
        )
    check_null_space_observed(gmrf, data.observed, B)
    if isinstance(gmrf.given, TotalForm):
        return _totals_through_operator(gmrf, gmrf.given, data, B, method)
    added = B.information(data.weight)
    if gmrf.precision.is_wrapped:  # the operator does not wrap: no plane points off the image
        planes = [added.plane(k) for k in range(len(added.offsets))]
        added = SymmetricStencil(added.offsets, planes, gmrf.shape, boundary=cut_off(gmrf.precision.boundary))
    P = gmrf.precision + added
    right = B.adjoint(data.weight * np.where(data.observed, data.values - B.apply(gmrf.mean), 0.0))
    field = _free(P if gmrf.lattice.is_complete else decoupled(P, ~gmrf.domain), gmrf.lattice, method)
    return field.with_mean(gmrf.mean + field.factor.solve(right))


def _totals_through_operator(
    gmrf: GMRF, form: TotalForm, data: Observations, B: ObservationOperator, method: Method
) -> GMRF:
    """Return a sum of fields given ``y = B x + e``."""
    given = form.given_information(B.information(data.weight))
    total = GMRF(given, method=method)
    right = B.adjoint(data.weight * np.where(data.observed, data.values - B.apply(gmrf.mean), 0.0))
    return total.with_mean(gmrf.mean + total.factor.solve(right))


def with_known(gmrf: GMRF, data: Observations) -> Observations:
    """Count pixels outside the domain of a field, which are at its mean, as observed exactly."""
    check_null_space_observed(gmrf, data.observed)
    if gmrf.lattice.is_complete:
        return data
    known = ~gmrf.domain
    wrong = np.argwhere(known & data.exact & (data.values != gmrf.mean))
    if len(wrong):
        pixel = tuple(int(index) for index in wrong[0])
        raise ArgumentError(
            f"y must agree with what is known exactly, but pixel {pixel} is held at {gmrf.mean[pixel]:.6g} and y has "
            f"{data.values[pixel]:.6g} without noise; mask it."
        )
    return Observations(
        np.where(known, gmrf.mean, data.values),
        data.observed | known,
        np.where(known, 0.0, data.weight),
        data.exact | known,
    )


def _free(P: SymmetricStencil, lattice: Lattice, method: Method) -> GMRF:
    """Return the field of the pixels in the domain, of a precision that has the rows of the identity at the others."""
    return GMRF(P if lattice.is_complete else RestrictedForm(P, lattice), method=method)
