"""Whether numbers and model can be trusted: residual of the solve, whiteness of innovations, sampled variances."""

from dataclasses import replace
from typing import Any

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import generator, integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.total import TotalForm
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._condition import fields_given_total
from sparsegmrf.inference._count_draw import draw_given_counts
from sparsegmrf.inference._count_fill import CountFillResult
from sparsegmrf.inference._count_fit_result import CountFitResult
from sparsegmrf.inference._diagnosis import Diagnosis, Whiteness
from sparsegmrf.inference._fill_result import FillResult
from sparsegmrf.inference._fit_result import FitResult
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._parameters import FieldModel, unknowns_of
from sparsegmrf.inference._scores import Predictions, leave_one_out
from sparsegmrf.intrinsic_gmrf import IntrinsicGMRF
from sparsegmrf.lattice import Lattice
from sparsegmrf.models import BYM, Sum
from sparsegmrf.typing import BoolArray, FloatArray, Offset, Seed, Shape

_LAGS: tuple[Offset, ...] = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (0, 5), (5, 0))
_BATCH = 16
_DIGITS = 1e-7
"""Share of an observation's precision that the others leave to it, below which their difference has lost its digits."""


@one_blas_thread()
def diagnose(
    result: FitResult | CountFitResult | FillResult | CountFillResult | GMRF, *, n_samples: int = 64, rng: Seed = 0
) -> Diagnosis:
    """Check a fit or a field: its solve, the whiteness of its innovations, and its variances by sampling.

    A draw ``x`` of the field given the observations is, together with them, a draw of the model: if the model is right,
    ``A (x - mu)`` and ``(y - x) / sqrt(v)`` are independent standard normals, gaps or not. Where the model is wrong the
    observations pull the draw away from that. Estimated parameters and trends make the numbers a little too white.
    Without noise and gaps ``x`` is the image. Innovations are those of the dissection: each pixel given those
    eliminated before it; on a torus they are those of frequencies. Of a `Sum` they are those of all of its fields.

    Of counts ``x`` is drawn from the posterior itself, by Hamiltonian Monte Carlo about its Laplace approximation,
    whose own draws are about the mode, not the mean, and would make a right model look wrong. In the place of
    ``(y - x) / sqrt(v)`` stand the standard normal quantiles of ``P(Y < y_p) + u_p P(Y = y_p)`` given ``x_p``, with
    ``u_p`` uniform: independent standard normals under the model. Solve and variances are those of the approximation.

    Parameters
    ----------
    result : FitResult, CountFitResult, FillResult, CountFillResult or GMRF
        What to check; of a field alone the solve and the variances.
    n_samples : int
        Draws for the variances, at least 2.
    rng : int, Generator or None
        Seed; fixed by default, so that the same result gets the same diagnosis.

    Returns
    -------
    Diagnosis

    Raises
    ------
    ArgumentError
        If `result` is nothing of the kind, or `n_samples` is less than 2.
    ConvergenceError
        If no draw given counts is found.

    References
    ----------
    G. Ljung, G. Box (1978), On a measure of lack of fit in time series models, Biometrika 65; P. Dunn, G. Smyth (1996),
    Randomized quantile residuals, Journal of Computational and Graphical Statistics 5, for counts.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsegmrf import Matern, fit
    >>> image = Matern(range=6.0).gmrf((40, 40)).sample(rng=1) + np.random.default_rng(2).normal(0.0, 0.5, (40, 40))
    >>> found = diagnose(fit(Matern(), image))
    >>> found.residual < 1e-10, found.innovations.p_value > 1e-3, abs(found.variance_ratio_z) < 4
    (True, True, True)
    """
    draws, stream = integer_at_least("n_samples", n_samples, 2), generator(rng)
    if isinstance(result, FillResult | CountFillResult):
        result = result.fit
    if isinstance(result, GMRF):
        return _diagnosis(result, _residual_of_white(result, stream), None, None, draws, stream)
    if not isinstance(result, FitResult | CountFitResult):
        raise ArgumentError(f"result must be a FitResult, a FillResult or a GMRF, got {type(result).__name__}.")
    if result.problem.is_stack:
        raise ArgumentError(
            f"result must be a fit to one image, got one to {len(result.problem.images)}; diagnose "
            "result.posterior(replicate), or a fit to one of them with the parameters fixed."
        )
    result = result._completed()  # what stands for unknown covariates is in draw and mean alike
    if isinstance(result, CountFitResult):
        return _diagnosis_of_counts(result, draws, stream)
    return _with_left_out(_diagnosis_of_fit(result, draws, stream), result)


def _diagnosis_of_fit(result: FitResult, draws: int, stream: np.random.Generator) -> Diagnosis:
    """Diagnose a fit to intensities by a draw of the field given them."""
    data = result.problem.observations[0]
    if data.combination is not None:
        return _diagnosis_of_sum(result, data, draws, stream)
    prior = result.gmrf()
    if data.exact.all():
        innovations = _innovations([prior], data.values[..., np.newaxis])
        return _diagnosis(prior, _residual_of_white(prior, stream), innovations, None, draws, stream)
    posterior = result.posterior()
    x = posterior.sample(rng=stream)
    variance = np.broadcast_to(result.noise_variance, result.shape)
    noisy = data.observed & ~data.exact
    noise = None
    if noisy.any():
        e = np.divide(data.values - x, np.sqrt(variance), out=np.zeros(result.shape), where=noisy)
        noise = whiteness(e, noisy)
    residual = _residual_of_mean(result, prior, posterior)
    return _diagnosis(posterior, residual, _innovations([prior], x[..., np.newaxis]), noise, draws, stream)


def _with_left_out(found: Diagnosis, result: FitResult) -> Diagnosis:
    """Return a diagnosis with every measurement predicted by all others, if they are."""
    left = _left_out(result)
    if left is None:
        return found
    with np.errstate(invalid="ignore"):
        z = (left.observed - left.mean) / left.std
    return replace(found, left_out=left, z=_labelled(z, result))


def _left_out(result: FitResult) -> Predictions | None:
    """Return measurements predicted by all others.

    With ``v`` the variance of what is observed given all of them, the trend's coefficients included, and ``s`` that of
    the noise, the precision of one given the others is ``1/s - v/s^2``: it differs from their prediction by
    ``(y - m) / (1 - v/s)``, whose variance is ``s / (1 - v/s)``. This is exact, with the coefficients estimated anew
    (R. D. Cook, S. Weisberg (1982), Residuals and Influence in Regression, section 2.2, of the residuals' covariance).
    """
    data, variance = result.problem.observations[0], np.broadcast_to(result.noise_variance, result.shape)
    if data.combination is not None and data.exact.any():
        return None
    none = data.combination is None and _is_none(variance, result)
    if data.exact.any() or none:
        noise = np.where(data.observed & ~data.exact & (not none), variance, 0.0)
        return leave_one_out(result.gmrf(), data.values, mask=~data.observed, noise_variance=noise)
    given = result.predict()
    with np.errstate(invalid="ignore"):
        share = 1.0 - given.variance / variance
        told = data.observed & (share > _DIGITS)
        y = np.where(told, data.values, np.nan)
        share = np.where(told, share, np.nan)
        return Predictions(y - (y - given.mean) / share, np.sqrt(variance / share), y)


def _is_none(variance: FloatArray, result: FitResult) -> bool:
    """Return whether noise is so small beside what neighbours leave open of a pixel that it changes no prediction."""
    return bool((variance * result.gmrf().precision.diagonal() < _DIGITS).all())


def _labelled(z: FloatArray, result: FitResult | CountFitResult) -> Any:
    labels = result.problem.labels
    return z if labels is None else labels.deviation(z, "z", "standardized residual")


def _diagnosis_of_sum(result: FitResult, data: Observations, samples: int, stream: np.random.Generator) -> Diagnosis:
    """Diagnose a fit of stacked fields whose sum is observed: the innovations are those of all of them."""
    shape, variance = result.shape, result.noise_variance
    unknowns = unknowns_of(result.model, shape)
    rest = replace(data, values=np.where(data.observed, data.values - result.trend, 0.0))
    if result.model.gmrf(shape).channels > 1:
        posterior = result.posterior()
    else:
        posterior = fields_given_total(unknowns, rest.with_noise_variance(variance))
    x = posterior.sample(rng=stream)
    noise, residual = None, _residual_of_white(unknowns, stream)
    if not data.exact.any():
        weight = np.divide(1.0, np.broadcast_to(variance, shape), out=np.zeros(shape), where=data.observed)
        b = data.spread(weight * rest.values)
        rest_of_mean = np.where(posterior.domain, posterior.precision @ posterior.mean - b, 0.0)
        residual = _share(rest_of_mean, b)
        noise = whiteness((data.values - result.trend - data.total(x)) * np.sqrt(weight), data.observed)
    innovations = _innovations(_fields_of(result.model, shape), x)
    return _diagnosis(posterior, residual, innovations, noise, samples, stream)


def _fields_of(model: FieldModel, shape: Shape) -> list[GMRF]:
    """Return the independent fields that a model stacks at a pixel."""
    field = model.gmrf(shape)
    if isinstance(field.given, TotalForm):
        return [GMRF(each) for each in field.given.inner.parts]
    if isinstance(model, BYM):
        return _fields_of(model.sum(shape), shape)
    return [each for one in model.models for each in _fields_of(one, shape)] if isinstance(model, Sum) else [field]


def _diagnosis_of_counts(result: CountFitResult, samples: int, stream: np.random.Generator) -> Diagnosis:
    """Diagnose a fit to counts by a draw of the Laplace approximation, and the counts' quantiles given it."""
    counts = result.problem.counts[0]
    posterior = result._of_unknowns(0)
    eta = result._seen(0, posterior)
    z = posterior.mean - (result.trend if counts.combination is None else 0.0)
    d = draw_given_counts(posterior, counts, stream, eta) - posterior.mean
    residuals = counts.quantile_residuals(eta + counts.total(d), stream.random(result.shape))
    noise = whiteness(residuals, counts.observed)
    slope, of_mode = counts.derivatives(eta).slope, posterior.curvature * counts.total(z)
    rest = counts.spread(slope) - unknowns_of(result.model, result.shape).precision @ z
    residual = _share(rest, counts.spread(slope + of_mode))
    innovations = _innovations(_fields_of(result.model, result.shape), (z + d).reshape(*result.shape, -1))
    found = _diagnosis(posterior, residual, innovations, noise, samples, stream)
    return replace(found, z=_labelled(np.where(counts.observed, residuals, np.nan), result))


def whiteness(e: FloatArray, seen: BoolArray) -> Whiteness:
    """Return how white the numbers of an image, or of several stacked at a pixel, are where they are seen."""
    from scipy.special import chdtrc

    values = e[seen]
    n = len(values)
    moments = [np.mean(values**power) - expected for power, expected in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0))]
    mean, variance, third, fourth = (
        float(moment * np.sqrt(n / v)) for moment, v in zip(moments, (1.0, 2.0, 15.0, 96.0), strict=True)
    )
    image, correlations, lattice = np.where(seen, e, 0.0), {}, Lattice((e.shape[0], e.shape[1]))
    for lag in _LAGS:
        a, b = lattice.pairs(lag)
        pairs = int(np.count_nonzero(seen[a] & seen[b]))
        if pairs:
            correlations[lag] = (float(np.sum(image[a] * image[b])) / pairs, float(pairs**-0.5))
    portmanteau = float(sum((value / error) ** 2 for value, error in correlations.values()))
    p_value = float(chdtrc(len(correlations), portmanteau)) if correlations else float("nan")
    return Whiteness(n, mean, variance, third, fourth, correlations, portmanteau, p_value)


def _innovations(priors: list[GMRF], x: FloatArray) -> Whiteness:
    """Return the whiteness of ``A (x - mu)`` of fields that stand last in `x`; zero where one is pinned is none."""
    e = np.stack([_innovations_of(prior, x[..., c]) for c, prior in enumerate(priors)], axis=-1)
    return whiteness(e, e != 0.0)


def _innovations_of(prior: GMRF, x: FloatArray) -> FloatArray:
    """Return ``A (x - mu)`` pixel by pixel."""
    if prior.method == "spectral" and prior.precision.boundary != "torus":
        # What a fast transform whitens belongs to frequencies; a spectral intrinsic field has constants only.
        kind = IntrinsicGMRF if isinstance(prior, IntrinsicGMRF) else GMRF
        prior = kind(prior.precision, mean=prior.mean, method="dissection")
    return prior.whiten(x)


def _residual_of_mean(result: FitResult, prior: GMRF, posterior: GMRF) -> float:
    """Return ``|W r - (Q + W) z| / |b|`` of the posterior mean ``mu + z`` at pixels that are not exact."""
    data = result.problem.observations[0]
    variance = np.broadcast_to(result.noise_variance, result.shape)
    weight = np.divide(1.0, variance, out=np.zeros(result.shape), where=data.observed & ~data.exact)
    r = np.where(data.observed, data.values - prior.mean, 0.0)
    z, known = posterior.mean - prior.mean, np.where(data.exact, r, 0.0)
    b = np.where(data.exact, 0.0, weight * r - prior.precision @ known)
    rest = np.where(data.exact, 0.0, weight * (r - z) - prior.precision @ z)
    return _share(rest, b)


def _residual_of_white(field: GMRF, stream: np.random.Generator) -> float:
    """Return ``|Q x - b| / |b|`` for a white ``b``, without its part in the null space."""
    b = field.project(stream.standard_normal(field.lattice.image_shape))
    rest = field.precision @ field.factor.solve(b) - b
    return _share(rest, b)


def _share(rest: FloatArray, b: FloatArray) -> float:
    return float(np.linalg.norm(rest) / np.linalg.norm(b))


def _diagnosis(
    field: GMRF,
    residual: float,
    innovations: Whiteness | None,
    noise: Whiteness | None,
    samples: int,
    stream: np.random.Generator,
) -> Diagnosis:
    """Draw from the field and compare with its variances."""
    from scipy.special import chdtr, chdtrc

    variance = field.marginal_variance()
    free = variance > 0.0
    total, by_draw = np.zeros(np.count_nonzero(free)), []
    for first in range(0, samples, _BATCH):
        draws = field.sample(min(_BATCH, samples - first), rng=stream) - field.mean
        squares = draws[:, free] ** 2 / variance[free]
        total += squares.sum(axis=0)
        by_draw += squares.mean(axis=1).tolist()
    tails = 2.0 * np.minimum(chdtr(samples, total), chdtrc(samples, total))
    worst = int(np.argmin(tails))
    error = float(np.std(by_draw, ddof=1)) / np.sqrt(samples)
    return Diagnosis(
        residual=residual,
        innovations=innovations,
        noise=noise,
        n_samples=samples,
        variance_ratio=float(np.mean(by_draw)),
        variance_ratio_z=float((np.mean(by_draw) - 1.0) / error),
        worst_ratio=float(total[worst] / samples),
        worst_pixel=tuple(int(index[worst]) for index in np.nonzero(free)),
        worst_p_value=float(tails[worst] * len(tails)),
    )
