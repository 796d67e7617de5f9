"""What a fit to counts found: parameters and trend, the field integrated out by Laplace."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import scipy.linalg

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import generator, integer_at_least
from sparsegmrf.inference._conclusion import Conclusion, Curvature
from sparsegmrf.inference._count_marginal import CountMarginal, MarginalSolution
from sparsegmrf.inference._count_objective import CountObjective, CountSolution, working
from sparsegmrf.inference._count_posterior import CountPosterior
from sparsegmrf.inference._functional import Given
from sparsegmrf.inference._integrated_counts import IntegratedCountFit
from sparsegmrf.inference._laplace import LaplacePosterior, laplace_posterior, laplace_posterior_of_fields
from sparsegmrf.inference._linear_estimate import symmetric_root
from sparsegmrf.inference._log_posterior import LogPosterior
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._parameters import unknowns_of
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._profiled import Profiled
from sparsegmrf.inference._risk import Risk, exceedance, risk
from sparsegmrf.inference._search import observed_information
from sparsegmrf.likelihoods import Likelihood
from sparsegmrf.typing import ArrayLike, FloatArray, Seed


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CountFitResult(Profiled):
    """Estimates from counts with their uncertainty; on the scale of the linear predictor, logarithms of rates or odds.

    As every fit of a field it has `model`, `parameters`, `loglik` (Laplace's approximation), `coefficients`, `trend`,
    `converged`, `reason`, `aic`, `bic`, `functional`, `contrast`, `marginal_means`, `gmrf` and `summary`; it has no
    noise variance. The coefficients of the trend maximize the likelihood together with the parameters:
    `standard_errors`, `coefficient_errors` and `confidence_intervals` invert one observed information of both, so that
    each takes account of the others.
    """

    _at: FloatArray = field(repr=False)
    _joint: Curvature = field(repr=False)
    _skew: FloatArray | None = field(default=None, repr=False)
    """What means of the linear predictors are taken to be above their modes, ``(R, H, W)``; None: nothing."""

    @property
    def method(self) -> str:
        """``"laplace"``."""
        return "laplace"

    @property
    def likelihood(self) -> str:
        """Name of the likelihood, such as ``"poisson"``."""
        return self.problem.likelihood.name

    @property
    def coefficient_covariance(self) -> FloatArray:
        """Covariance of the coefficients, ``(p, p)``, the parameters taken as known; NaN where errors are."""
        k, joint = len(self.parameters), self._joint.covariance
        known = np.append(~np.isnan(np.diagonal(joint)[:k]), np.zeros(len(joint) - k, dtype=bool))
        of_both = joint[known, k:]
        return np.asarray(joint[k:, k:] - of_both.T @ np.linalg.solve(joint[np.ix_(known, known)], of_both))

    def posterior(self, replicate: int = 0) -> LaplacePosterior:
        """Return the Laplace approximation of the field with its trend given the counts, at the estimates.

        Parameters **and trend** are taken as known, as in `FitResult.posterior`; `predict` and `functional` have the
        uncertainty of the trend's coefficients in. Of a `Sum` these are the stacked fields without the trend, of which
        `Sum.observe` makes the total.

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
        if field.channels > 1:
            return self._of_unknowns(number)
        return laplace_posterior(field.with_mean(self.trend), self.problem.counts[number], self.problem.digits)

    def _of_unknowns(self, number: int) -> LaplacePosterior:
        """Return the Laplace approximation of the field with its trend, or of the fields stacked at a pixel without."""
        counts, field = self.problem.counts[number], unknowns_of(self.model, self.shape)
        if counts.combination is None:
            return laplace_posterior(field.with_mean(self.trend), counts, self.problem.digits)
        return laplace_posterior_of_fields(field, self.trend, counts, self.problem.digits)

    def _seen(self, number: int, posterior: LaplacePosterior) -> FloatArray:
        """Return the linear predictor: that of the mode, or its mean where that is known."""
        counts = self.problem.counts[number]
        mode = np.array(posterior.mean if counts.combination is None else self.trend + counts.total(posterior.mean))
        return mode if self._skew is None else mode + self._skew[number]

    def predict(self, *, n_samples: int = 0, rng: Seed = None) -> Prediction:
        """Return the linear predictor at every pixel; parameters are taken as known.

        The variance is ``P^-1`` of the Laplace approximation, ``P = Q + W``, and ``(X - Z) C (X - Z)^T`` of the trend's
        coefficients: to first order the mode moves with them by ``X - Z = P^-1 Q X``, and ``C`` is
        `coefficient_covariance`. Where that is NaN, so is the variance.

        Parameters
        ----------
        n_samples : int
            Number of draws of the approximation.
        rng : int, Generator or None
            Seed of the draws.

        Returns
        -------
        Prediction
            Its `predictive_variance` is NaN: counts are not on this scale.
        """
        count, stream = integer_at_least("n_samples", n_samples, 0), generator(rng)
        found = self._completed()._predict(count, stream)
        return found.without(self._undefined) if self._undefined.any() else found

    def _predict(self, count: int, stream: np.random.Generator) -> Prediction:
        """Return the prediction where every covariate is known; what it is outside the domain means nothing."""
        counts = self.problem.counts
        fields = [self._of_unknowns(k) for k in range(len(counts))]
        spreads = np.array([self._trend_spread(k, each) for k, each in enumerate(fields)])
        means = np.array([self._seen(k, each) for k, each in enumerate(fields)])
        variances = np.array([one.covariances(each.factor)[1] for one, each in zip(counts, fields, strict=True)])
        variances += np.einsum("rkij->rij", spreads**2)
        deviations = [each.sample(count, rng=stream) - each.mean for each in fields]
        draws = np.array([mean + one.total(d) for mean, one, d in zip(means, counts, deviations, strict=True)])
        shares = stream.standard_normal((count, len(self.coefficients)))
        draws += np.einsum("sk,rkij->rsij", shares, spreads)
        nothing, error = np.full(means.shape, np.nan), max(each.factor.relative_error for each in fields)
        if not self.problem.is_stack:
            return Prediction(means[0], variances[0], nothing[0], draws[0], error)
        return Prediction(means, variances, nothing, np.moveaxis(draws, 0, 1), error)

    def relative_risk(self, level: float = 0.95) -> Risk:
        """Return mean, median and interval of the risk at every pixel: the rate relative to the exposure.

        ``exp(eta)`` with the field and its trend ``eta``, without the exposure: 2 where twice as much was to be
        expected as the exposure says. Of binomial counts it is the probability of a success. ``eta`` is normal as in
        `predict`, the uncertainty of the trend's coefficients included; parameters are taken as known.

        Parameters
        ----------
        level : float
            Probability of the interval, between 0 and 1.

        Returns
        -------
        Risk
            Of several images ``(R, H, W)``.

        Raises
        ------
        ArgumentError
            If `level` is not between 0 and 1, or the likelihood has no link.

        Examples
        --------
        >>> from sparsegmrf import fit
        >>> from sparsegmrf.likelihoods import Poisson
        >>> from sparsegmrf.models import BYM
        >>> truth = 0.5 * np.sin(np.mgrid[:16, :16][1] / 3.0)
        >>> cases = np.random.default_rng(0).poisson(20.0 * np.exp(truth))
        >>> found = fit(BYM(), cases, likelihood=Poisson(exposure=20.0)).relative_risk(0.95)
        >>> bool(np.mean((found.lower < np.exp(truth)) & (np.exp(truth) < found.upper)) > 0.8)
        True
        """
        return risk(self._given_likelihood, *self._normal, level)

    def exceedance(self, threshold: ArrayLike) -> FloatArray:
        """Return the probability at every pixel that the risk, as of `relative_risk`, is above a threshold.

        Parameters
        ----------
        threshold : float or array_like, (H, W)
            A rate relative to the exposure, positive, or a probability between 0 and 1.

        Returns
        -------
        ndarray, (H, W)
            Of several images ``(R, H, W)``.

        Raises
        ------
        ArgumentError
            If `threshold` has another shape or can be no risk, or the likelihood has no link.
        """
        return exceedance(self._given_likelihood, *self._normal, threshold)

    @cached_property
    def _normal(self) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of the linear predictor."""
        found = self.predict()
        return found.mean, found.variance

    @property
    def _given_likelihood(self) -> Likelihood:
        """The likelihood as it was given."""
        likelihood = self.problem.likelihood
        assert isinstance(likelihood, Likelihood)
        return likelihood

    def _given(self, number: int) -> Given:
        field, a = self._of_unknowns(number), self.problem.combination
        return Given(field, a, self._seen(number, field), 0.0, self._trend_spread(number, field))

    @property
    def _has_own_level(self) -> bool:
        return self._gaussian.trend.deficiency > 0

    def _whole_trend(self) -> FloatArray:
        return self._gaussian.trend.image(self._of_columns)

    def _combined(self, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        by = weights @ self._gaussian.trend.mix
        return by @ self._of_columns, by @ self._trend_root

    @property
    def _of_columns(self) -> FloatArray:
        """Coefficients of the trend's columns, ``(p,)``."""
        return np.linalg.solve(self._gaussian.trend.mix, np.array(list(self.coefficients.values())))

    def _trend_spread(self, number: int, field: LaplacePosterior) -> FloatArray:
        """Return images ``(p, H, W)`` whose sum of squares is the trend's share of the variance, ``P^-1 Q X root(C)``.

        They are those of the columns that the trend is computed with, of order 1 and without a level that is the
        field's.
        """
        columns = self._gaussian.trend.columns
        if not len(columns):
            return columns
        counts = self.problem.counts[number]
        precision = PriorPrecision.of(self.model.stencil(self.shape), unknowns_of(self.model, self.shape))
        left = counts.total(field.factor.solve(precision.times(counts.lifted(columns))))
        return np.asarray(np.tensordot(self._trend_root.T, left, 1))

    @property
    def _trend_root(self) -> FloatArray:
        """A root ``(p, p)`` of the covariance of the coefficients of the trend's columns."""
        back = np.linalg.inv(self._gaussian.trend.mix)
        return symmetric_root(back @ self.coefficient_covariance @ back.T)

    @one_blas_thread()
    def integrate(self, *, strategy: Literal["auto", "grid", "ccd"] = "auto") -> IntegratedCountFit:
        """Return the posterior of the parameters, and with it pixels and risks whose parameters are not taken as known.

        As of a `FitResult`, see `FitResult.integrate`, with Laplace's approximation about the mode of the field and of
        the trend's coefficients together, whose density is flat, in the place of the restricted likelihood. At a point
        a linear predictor is normal about its mean to first order, which is off its mode by what the third derivatives
        of the likelihood make of its variance: for counts of a few some tenths of a standard deviation, and of the risk
        ten or twenty percent.

        Parameters
        ----------
        strategy : {"auto", "grid", "ccd"}
            As of `FitResult.integrate`.

        Returns
        -------
        IntegratedCountFit

        Raises
        ------
        ArgumentError
            If nothing was estimated, the density has no maximum, or it does not end.

        References
        ----------
        H. Rue, S. Martino, N. Chopin (2009), Approximate Bayesian inference for latent Gaussian models, JRSS B 71.

        Examples
        --------
        >>> from sparsegmrf import fit
        >>> from sparsegmrf.likelihoods import Poisson
        >>> from sparsegmrf.models import Matern
        >>> from sparsegmrf.priors import PCSigma
        >>> cases = np.random.default_rng(0).poisson(4.0 * np.exp(0.6 * Matern(4.0).gmrf((12, 12)).sample(rng=1)))
        >>> priors = {"sigma": PCSigma(2.0, 0.05)}
        >>> result = fit(Matern(4.0), cases, likelihood=Poisson(4.0), fixed="range", priors=priors)
        >>> found = result.integrate()
        >>> low, high = found.densities["sigma"].interval(0.95)
        >>> low < 0.6 < high, found.relative_risk(0.95).mean.shape
        (True, (12, 12))
        """
        return IntegratedCountFit.of(super().integrate(strategy=strategy))

    def _log_posterior(self) -> LogPosterior:
        return CountPosterior.of(self, make_count_point)

    @property
    def _gaussian(self) -> Objective:
        return self._count_objective.gaussian

    @property
    def _count_objective(self) -> CountObjective:
        objective = self.problem.objective
        assert isinstance(objective, CountObjective)
        return objective

    @cached_property
    def _curvature(self) -> tuple[Objective, FloatArray, Curvature]:
        """The parameters' part of what is known of parameters and coefficients together."""
        k = len(self.parameters)
        lost = tuple(name for name in self._joint.undetermined if name in self.parameters)
        return self._gaussian, self._at, Curvature(self._joint.covariance[:k, :k], lost, self._joint.dimension)

    def _likelihood(self) -> tuple[CountObjective, FloatArray, FloatArray]:
        objective = self._count_objective
        rounded = np.linalg.solve(objective.root, self._of_columns - objective.first)
        back = np.linalg.inv(objective.slopes)
        covariance = back @ np.nan_to_num(self._joint.covariance, nan=0.0) @ back.T
        return objective, np.concatenate([self._at, rounded]), covariance

    def less_trend(self, replicate: int = 0) -> tuple[FloatArray, FloatArray]:
        number = self._number(replicate)
        counts = self.problem.counts[number]
        data = working(counts, self._seen(number, self._of_unknowns(number)))
        noise = np.divide(1.0, data.weight, out=np.zeros(self.shape), where=data.observed)
        return np.where(data.observed, data.values - self.trend, np.nan), noise

    def _unit(self, given: str | None) -> str:
        """Return the unit of the linear predictor: as given; of counts it has none."""
        return given or ""

    def summary(self) -> str:
        """Return a table of the estimates with standard errors, and the fit's figures, as text."""
        return f"{self.likelihood} likelihood\n{super().summary()}"


def make_count_point(
    problem: Problem, objective: CountMarginal, at: FloatArray, found: MarginalSolution
) -> CountFitResult:
    """Return the fit at given parameters: the trend of the joint mode with its inverse information."""
    trend, evidence, free = objective.gaussian.trend, found.evidence, objective.gaussian.free
    coefficients = trend.coefficients(evidence.coefficients)
    of_coefficients = trend.mix @ evidence.covariance @ trend.mix.T
    covariance = np.asarray(scipy.linalg.block_diag(np.full((len(at), len(at)), np.nan), of_coefficients))
    return CountFitResult(
        model=found.model,
        parameters={name: found.model.parameters[name] for name in free},
        loglik=evidence.loglik,
        log_prior=objective.log_prior(at)[0],
        coefficients=dict(zip(trend.names, coefficients.tolist(), strict=True)),
        coefficient_errors=dict(zip(trend.names, np.sqrt(np.diagonal(of_coefficients)).tolist(), strict=True)),
        trend=np.where(problem.covariates.unknown_of(trend.names), np.nan, trend.image(evidence.coefficients)),
        n_observed=objective.n_observed,
        converged=True,
        reason="a point of an integral",
        evaluations=1,
        problem=problem,
        _at=at,
        _joint=Curvature(covariance, free, len(free)),
        _skew=evidence.skew,
    )


def make_count_result(problem: Problem, memo: Memo, at: FloatArray, conclusion: Conclusion) -> CountFitResult:
    """Return the estimates that belong to the end of a search."""
    objective: CountObjective = memo.objective
    solution: CountSolution = memo.solution(at)
    free, trend, of_model = objective.gaussian.free, objective.gaussian.trend, objective.of_model(at)
    evaluations = memo.evaluations
    names = objective.names
    curvature = conclusion.curvature or Curvature.of(observed_information(memo, at), names).naming(
        objective.jacobian(at), names
    )
    covariance = curvature.mapped(objective.slopes)
    errors = np.sqrt(np.diagonal(covariance)[len(free) :])
    return CountFitResult(
        model=solution.model,
        parameters={name: solution.model.parameters[name] for name in free},
        loglik=sum(each.loglik for each in solution.images),
        log_prior=objective.gaussian.log_prior(of_model)[0],
        coefficients=dict(zip(trend.names, solution.beta.tolist(), strict=True)),
        coefficient_errors=dict(zip(trend.names, errors.tolist(), strict=True)),
        trend=np.where(problem.covariates.unknown_of(trend.names), np.nan, trend.image(objective.coefficients(at))),
        n_observed=objective.n_observed,
        converged=conclusion.converged,
        reason=conclusion.reason,
        evaluations=evaluations,
        problem=problem,
        _at=of_model,
        _joint=curvature._replace(covariance=covariance),
    )
