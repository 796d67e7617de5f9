"""What a fit with Gaussian noise found, and what it predicts."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sparsegmrf._axes import is_labelled
from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import boolean_mask, generator, integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.choose import in_precision
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._combinations import combined
from sparsegmrf.inference._conclusion import Conclusion, Curvature
from sparsegmrf.inference._condition import condition, fields_given_total
from sparsegmrf.inference._cross_validation import CrossValidation
from sparsegmrf.inference._functional import Given
from sparsegmrf.inference._gaussian_posterior import GaussianPosterior
from sparsegmrf.inference._linear_estimate import symmetric_root
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._objective import Objective, Solution, spectral_density
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._prediction import FieldAtPixels, Prediction
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._profiled import Profiled
from sparsegmrf.inference._search import observed_information, tried
from sparsegmrf.intrinsic_gmrf import IntrinsicGMRF
from sparsegmrf.likelihoods import Gaussian
from sparsegmrf.priors import NOISE
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, Seed


class TrendEstimate(NamedTuple):
    """Coefficients and their covariance in the frame, and what the field leaves of the covariates, ``(R, p, H, W)``."""

    beta: FloatArray
    covariance: FloatArray
    left: FloatArray


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FitResult(Profiled):
    """Estimates with their uncertainty, and the field given the observations.

    As every fit of a field it has `model`, `parameters` (with ``noise_variance``, intensity^2, if that was estimated),
    `loglik`, `log_prior`, `coefficients`, `coefficient_errors`, `trend`, `n_observed`, `converged`, `reason`,
    `evaluations`, `standard_errors`, `aic`, `bic`, `confidence_intervals`, `functional`, `contrast`, `marginal_means`,
    `gmrf` and `summary`.

    ``loglik`` is the log-density of the observed pixels in nats; of an intrinsic model, that of the contrasts that do
    not see its null space; with ``method="reml"``, that of the contrasts that do not see the trend either. The
    coefficients are generalized least-squares estimates.

    Attributes
    ----------
    noise_variance : float or ndarray, (H, W)
        Estimated or given; 0 without noise. Of images with a variance each ``(R, H, W)``.
    cross_validation : CrossValidation or None
        With ``method="cv"``: scores of held-out blocks, and the comparison with maximum likelihood.
    """

    noise_variance: float | FloatArray
    cross_validation: CrossValidation | None = None
    _estimate: TrendEstimate = field(repr=False)
    _at_end: Curvature | None = field(default=None, repr=False)
    _lost: tuple[str, ...] = field(default=(), repr=False)

    @property
    def coefficient_covariance(self) -> FloatArray:
        """Covariance of the coefficients, ``(p, p)``, the parameters taken as known."""
        return self._objective.frame.covariance(self._estimate.covariance)

    @property
    def cv_score(self) -> float:
        """CRPS of held-out pixels in intensity that cross-validation has minimized; NaN for the other methods."""
        return float("nan") if self.cross_validation is None else self.cross_validation.score

    @property
    def restricted_loglik(self) -> float:
        """Restricted log-likelihood at the estimates in nats, comparable between fields that hold different trends.

        ``l + (logdet X^T X - logdet X^T S X + p log 2 pi) / 2`` with ``p`` covariates ``X``, null vectors projected
        out; `loglik` itself if that is what was maximized.
        """
        covariance, objective = self._estimate.covariance, self._objective
        if not len(covariance) or objective.restricted:
            return self.loglik
        spread = objective.trend.log_gram + float(np.linalg.slogdet(covariance)[1])  # whatever their combinations
        return self.loglik + 0.5 * (spread + len(covariance) * float(np.log(2.0 * np.pi * objective.frame.unit**2)))

    def posterior(self, replicate: int = 0) -> GMRF:
        """Return the field given the observations, at the estimates: means, variances and draws of every pixel.

        Parameters **and trend** are taken as known: `GMRF.marginal_variance`, draws and `variance_of` of it leave the
        uncertainty of the trend's coefficients out. `predict`, `functional` and `fill` have it in. Of a `Sum` these are
        the stacked fields without the trend, of which `Sum.observe` makes the total.

        Parameters
        ----------
        replicate : int
            Which of several images.

        Raises
        ------
        ArgumentError
            If there is no such image, or a covariate is not known at some pixels.
        """
        self._check_known()
        number, field = self._number(replicate), self.model.gmrf(self.shape)
        found = self._deviations(number, field)
        if field.channels == 1:
            return self._put_back(number, found)
        combination, free = self.problem.combination, self._objective.images[number].null
        assert combination is not None
        null = self._objective.frame.put_back(self._share(number), number) - self.trend
        return found.with_mean(found.mean + free.lifted(null, combination))

    def _put_back(self, number: int, found: GMRF) -> GMRF:
        """Return a field with what the frame has taken of an image."""
        frame, data = self._objective.frame, self._objective.frame.given[number]
        mean = frame.put_back(np.array(found.mean), number)
        return found.with_mean(np.where(data.exact, data.values, mean))

    def _deviations(self, number: int, field: GMRF) -> GMRF:
        """Return a field given what the frame leaves of an image, with its share of the trend unless it is stacked.

        What null space and trend take of the data was taken off: what is left of the trend is of their order.
        """
        data, share, variance = self._objective.frame.deviations[number], self._share(number), self._noise_of(number)
        if field.channels > 1:
            left = replace(data, values=data.values - share).with_noise_variance(variance)
            return fields_given_total(field, left, in_precision(self.problem.digits))
        given, kept = field.with_mean(share), self.problem.digits
        return condition(given, data.values, mask=~data.observed, noise_variance=variance, precision=kept)

    @property
    def _seen(self) -> GMRF:
        """What is observed as a field by itself where transforms make it one; else the field of the model."""
        total = None if self.problem.combination is None else self._total
        return self.model.gmrf(self.shape) if total is None else total

    @property
    def _has_own_level(self) -> bool:
        return self._objective.trend.deficiency > 0

    def _whole_trend(self) -> FloatArray:
        return self._objective.frame.trend(self._estimate.beta)

    def _given(self, number: int) -> Given:
        frame = self._objective.frame
        data, level, spread = frame.deviations[number], float(frame.levels[number]), self._trend_spread(number)
        if self._is_known(data):
            return Given(None, None, data.values + frame.rest[number], level, spread)
        found = self._deviations(number, self._seen)
        mean = np.array(found.mean)
        if found.channels == 1:
            return Given(found, None, mean + frame.rest[number], level, spread)
        mean = data.total(mean) + self._share(number)
        return Given(found, data.combination, mean + frame.rest[number], level, spread)

    def _is_known(self, data: Observations) -> bool:
        """Return whether every pixel that has a value is observed without noise."""
        return bool((data.exact | ~self.problem.domain).all())

    def _combined(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        frame = self._objective.frame
        by = weights @ frame.basis.mix  # what is of one size: levels of covariates cancel here
        return by @ (frame.removed + frame.unit * self._estimate.beta), by @ self._trend_root

    def _share(self, number: int) -> FloatArray:
        """Return the trend less what null space and trend take of the data: it is of the order of the field."""
        return combined(self._estimate.beta, self._objective.images[number].columns) * self._objective.frame.unit

    @one_blas_thread()
    def predict(self, mask: ArrayLike | None = None, *, n_samples: int = 0, rng: Seed = None) -> Prediction:
        """Return what the observations say of the field with its trend at every pixel, and of new measurements there.

        The variance is ``P^-1`` of the field, and ``(X - Z) C (X - Z)^T`` of the trend's coefficients, ``Z`` being what
        the field makes of the covariates ``X`` and ``C`` the coefficients' covariance. Parameters are taken as known.

        Parameters
        ----------
        mask : ndarray of bool, (H, W), optional
            True where an observation is left out, besides those that are missing: then the trend is estimated anew from
            the others, with the parameters of this fit. Of several images ``(R, H, W)``.
        n_samples : int
            Number of draws.
        rng : int, Generator or None
            Seed of the draws.

        Returns
        -------
        Prediction

        Raises
        ------
        ArgumentError
            If `mask` has another shape, or leaves too little to determine trend and level.

        Examples
        --------
        >>> from sparsegmrf import fit
        >>> from sparsegmrf.models import Matern
        >>> image = Matern(range=8.0).gmrf((32, 32)).sample(rng=1)
        >>> held = np.zeros(image.shape, dtype=bool)
        >>> held[10:14, 10:14] = True
        >>> found = fit(Matern(), image, noise_variance=None).predict(held)
        >>> bool(np.abs((image - found.mean) / np.where(held, found.std, 1.0))[held].max() < 5.0)
        True
        """
        n_samples, stream = integer_at_least("n_samples", n_samples, 0), generator(rng)
        known = self._completed()
        found = (known if mask is None else known._without(mask))._predict(n_samples, stream)
        return found.without(self._undefined) if self._undefined.any() else found

    def _predict(self, count: int, stream: np.random.Generator) -> Prediction:
        """Return the prediction where every covariate is known; what it is outside the domain means nothing."""
        found = [self._of_image(k, count, stream) for k in range(len(self.problem.images))]
        return self._with_trend(found, stream)

    def _with_trend(self, found: "list[FieldAtPixels]", stream: np.random.Generator) -> Prediction:
        """Return the prediction of what is known of the images' fields, with the uncertainty of their trend."""
        shares = stream.standard_normal((len(found[0].draws), len(self.coefficients)))
        variances, noises = [], []
        for number, each in enumerate(found):
            spread = self._trend_spread(number)
            variances.append(each.variance + np.einsum("kij,kij->ij", spread, spread))
            each.draws[...] += combined(shares, spread)
            noises.append(self._noise_at(number))
        if not self.problem.is_stack:
            whole = variances[0], variances[0] + noises[0], found[0].draws
            return Prediction(found[0].mean, *whole, found[0].relative_error)
        means, draws = np.array([each.mean for each in found]), np.array([each.draws for each in found])
        whole = np.array(variances), np.array(variances) + noises, np.moveaxis(draws, 0, 1)
        return Prediction(means, *whole, max(each.relative_error for each in found))

    def _noise_at(self, number: int) -> FloatArray:
        """Return the noise variance of a measurement at each pixel; NaN where it is not known."""
        data, given = self._objective.frame.given[number], self._noise_of(number)
        if self._is_known(data):
            return np.zeros(self.shape)
        return np.full(self.shape, given) if np.ndim(given) == 0 else np.where(data.observed, given, np.nan)

    def _of_image(self, number: int, count: int, stream: np.random.Generator) -> "FieldAtPixels":
        """Return mean, variance and draws for an image, the last without the trend's uncertainty."""
        data = self._objective.frame.given[number]
        if self._is_known(data):
            return FieldAtPixels(
                data.values.copy(), np.zeros(self.shape), np.repeat(data.values[np.newaxis], count, axis=0)
            )
        field = self._seen
        stacked = field.channels > 1
        posterior = self.posterior(number) if stacked else self._put_back(number, self._deviations(number, field))
        mean = self.trend + data.total(posterior.mean) if stacked else np.array(posterior.mean)
        of_field = data.covariances(posterior.factor)[1] if stacked else posterior.marginal_variance()
        if data.exact.any():  # what is known is known to the last digit
            mean, of_field = np.where(data.exact, data.values, mean), np.where(data.exact, 0.0, of_field)
        deviations = posterior.sample(count, rng=stream) - posterior.mean
        draws = mean + np.where(data.exact, 0.0, data.total(deviations) if stacked else deviations)
        return FieldAtPixels(mean, of_field, draws, posterior.factor.relative_error)

    def _without(self, mask: ArrayLike) -> "FitResult":
        """Return this fit with fewer observations: the same parameters, and the trend of what is left."""
        shape = (len(self.problem.images), *self.shape)
        if self.problem.labels is not None and is_labelled(mask):
            mask = np.asarray(self.problem.labels.in_order("mask", mask))
        held = boolean_mask("mask", mask, shape if self.problem.is_stack else self.shape).reshape(shape)
        _check_left(self.problem, held)
        rest = self.problem.without(list(held)).with_model(self.model, fixed=tuple(self.model.parameters))
        rest = replace(rest, priors={}, method="ml")
        if self.problem.estimated:
            rest = rest.with_noise_variance(float(np.max(self.noise_variance)))
        return make_result(rest, Memo(rest.objective), np.zeros(0), Conclusion(True, "nothing was searched", None))

    def _trend_spread(self, number: int) -> FloatArray:
        """Return images ``(p, H, W)`` in intensity whose sum of squares is the trend's share of the variance.

        They are ``(X - Z) root(C)`` with what the field makes ``Z`` of covariates, and the coefficients' covariance.
        """
        return combined(self._trend_root.T, self._estimate.left[number])

    @property
    def _trend_root(self) -> FloatArray:
        """A root ``(p, p)`` of the covariance of the coefficients of the trend's columns, in intensity."""
        return symmetric_root(self._objective.frame.unit**2 * self._estimate.covariance)

    @property
    def _total(self) -> GMRF | None:
        """The sum of stacked fields that is observed as a field by itself, where transforms make it one; else None."""
        spectra, density = self._objective.spectra, spectral_density(self.model, self.shape)
        if spectra is None or density is None or not spectra.fits(density, ()):
            return None
        form = density.form()
        return IntrinsicGMRF(form) if density.is_intrinsic else GMRF(form)

    def _likelihood(self) -> tuple[Objective, FloatArray, FloatArray]:
        full, at, found = self._curvature
        return full, at, found.covariance

    def less_trend(self, replicate: int = 0) -> tuple[FloatArray, float | FloatArray]:
        number = self._number(replicate)
        data = self.problem.observations[number]
        return np.where(data.observed, data.values - self.trend, np.nan), self._noise_of(number)

    def _noise_of(self, number: int) -> float | FloatArray:
        noise = self.noise_variance
        return noise[number] if isinstance(noise, np.ndarray) and noise.ndim == 3 else noise

    def _log_posterior(self) -> GaussianPosterior:
        return GaussianPosterior.of(self, make_result)

    @property
    def _objective(self) -> Objective:
        objective = self.problem.objective
        assert isinstance(objective, Objective)
        return objective

    @cached_property
    def _curvature(self) -> tuple[Objective, FloatArray, Curvature]:
        full = self._objective.with_scale()
        at = full.start(self.model, self.noise_variance)
        if self.method == "cv":
            return full, at, Curvature(np.full((len(at), len(at)), np.nan), (), 0)
        found = self._at_end
        if found is None:
            memo = Memo(full)
            found = Curvature.of(observed_information(memo, at), full.names, self._lost)
            if set(found.undetermined) - set(self._lost):
                # Next to rounding differences are lost, but not the average information.
                found = Curvature.of(tried(memo, at).information, full.names, self._lost)
            found = found.naming(full.jacobian(at), full.names)
        return full, at, found

    def _maximal_loglik(self, criterion: str) -> float:
        if self.method == "cv":
            raise ArgumentError(
                f"{criterion} compares maxima of the likelihood, but the estimates are those of cross-validation; "
                "compare cv_score, or fit with method='ml'."
            )
        return super()._maximal_loglik(criterion)

    def _more_lines(self) -> list[str]:
        if self.method == "reml":
            return ["restricted likelihood: it, AIC and BIC compare fits with the same covariates only"]
        if self.cross_validation is None:
            return super()._more_lines()
        by_likelihood = self.cross_validation.ml_parameters.items()
        return [
            f"CRPS of held-out blocks {self.cv_score:.6g}",
            *(f"{name:>16}{value:14.6g} by maximum likelihood" for name, value in by_likelihood),
        ]


def make_result(problem: Problem, memo: Memo, at: FloatArray, conclusion: Conclusion) -> FitResult:
    """Return the estimates at the end of a search."""
    objective: Objective = memo.objective
    solution: Solution = memo.solution(at)
    found, frame, names = solution.evidence, objective.frame, objective.trend.names
    estimate = TrendEstimate(found.beta, found.beta_covariance / solution.scale, found.left)
    parameters = {name: solution.model.parameters[name] for name in objective.free}
    if objective.estimated:
        parameters[NOISE] = solution.noise_variance
    errors = frame.errors(estimate.covariance)
    return FitResult(
        model=solution.model,
        parameters=parameters,
        noise_variance=solution.noise_variance if objective.estimated else _given_noise(problem, frame.given),
        loglik=objective.loglik(found, solution.scale),
        log_prior=objective.log_prior(at)[0],
        coefficients=dict(zip(names, frame.coefficients(found.beta).tolist(), strict=True)),
        coefficient_errors=dict(zip(names, errors.tolist(), strict=True)),
        trend=np.where(problem.covariates.unknown_of(names), np.nan, frame.trend(found.beta)),
        n_observed=objective.n_observed,
        converged=conclusion.converged,
        reason=conclusion.reason,
        evaluations=memo.evaluations,
        problem=problem,
        _estimate=estimate,
        _at_end=conclusion.curvature,
        _lost=conclusion.lost,
    )


def _given_noise(problem: Problem, images: tuple[Observations, ...]) -> float | FloatArray:
    """Return a noise variance that was given: a number if all pixels have it, missing ones too, else images."""
    known = problem.likelihood.noise_variance if isinstance(problem.likelihood, Gaussian) else None
    if known is None or np.ptp(np.asarray(known)) == 0.0:
        first = images[0]
        return float(first.noise_variance[first.observed][0])
    maps = np.array([each.noise_variance for each in images])
    return maps if problem.is_stack else np.asarray(maps[0])


def _check_left(problem: Problem, held: BoolArray) -> None:
    for image, out in zip(problem.images, held, strict=True):
        if not (image.observed & ~out).any():
            raise ArgumentError("mask must leave an observed pixel, got one that leaves out all of them.")
