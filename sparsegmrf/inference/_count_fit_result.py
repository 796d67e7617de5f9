"""What a fit to counts found: parameters and trend, the field integrated out by Laplace."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sparsegmrf._validate import generator, integer_at_least
from sparsegmrf.inference._conclusion import Conclusion, Curvature
from sparsegmrf.inference._count_objective import CountObjective, CountSolution
from sparsegmrf.inference._field_fit import FieldFit
from sparsegmrf.inference._laplace import LaplacePosterior, laplace_posterior
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._prediction import Prediction
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._search import observed_information
from sparsegmrf.typing import FloatArray, Seed


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CountFitResult(FieldFit):
    """Estimates from counts with their uncertainty; on the scale of the linear predictor, logarithms of rates or odds.

    As every fit of a field it has `model`, `parameters`, `loglik` (Laplace's approximation), `coefficients`, `trend`,
    `converged`, `reason`, `aic`, `bic`, `gmrf` and `summary`; it has no noise variance. The coefficients of the trend
    maximize the likelihood together with the parameters: `standard_errors`, `coefficient_errors` and
    `confidence_intervals` invert one observed information of both, so that each takes account of the others.
    """

    _at: FloatArray = field(repr=False)
    _joint: Curvature = field(repr=False)

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

        Parameters
        ----------
        replicate : int
            Which of several images.
        """
        return laplace_posterior(self.gmrf(), self.problem.counts[self._number(replicate)])

    def predict(self, *, n_samples: int = 0, rng: Seed = None) -> Prediction:
        """Return the linear predictor at every pixel, parameters and trend taken as known.

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
        fields = [self.posterior(k) for k in range(len(self.problem.images))]
        means = np.array([each.mean for each in fields])
        variances = np.array([each.marginal_variance() for each in fields])
        draws = np.array([each.sample(count, rng=stream) for each in fields])
        nothing = np.full(means.shape, np.nan)
        if not self.problem.is_stack:
            return Prediction(means[0], variances[0], nothing[0], draws[0])
        return Prediction(means, variances, nothing, np.moveaxis(draws, 0, 1))

    @cached_property
    def _curvature(self) -> tuple[Objective, FloatArray, Curvature]:
        """The parameters' part of what is known of parameters and coefficients together."""
        k, objective = len(self.parameters), self.problem.objective
        assert isinstance(objective, CountObjective)
        lost = tuple(name for name in self._joint.undetermined if name in self.parameters)
        return objective.gaussian, self._at, Curvature(self._joint.covariance[:k, :k], lost, self._joint.dimension)

    def summary(self) -> str:
        """Return a table of the estimates with standard errors, and the fit's figures, as text."""
        return f"{self.likelihood} likelihood\n{super().summary()}"


def make_count_result(problem: Problem, memo: Memo, at: FloatArray, conclusion: Conclusion) -> CountFitResult:
    """Return the estimates that belong to the end of a search."""
    objective: CountObjective = memo.objective
    solution: CountSolution = memo.solution(at)
    free, trend, of_model = objective.gaussian.free, objective.gaussian.trend, objective.of_model(at)
    evaluations = memo.evaluations
    curvature = conclusion.curvature or Curvature.of(observed_information(memo, at), objective.names)
    covariance = curvature.mapped(objective.slopes)
    errors = np.sqrt(np.diagonal(covariance)[len(free) :])
    return CountFitResult(
        model=solution.model,
        parameters={name: solution.model.parameters[name] for name in free},
        loglik=sum(each.loglik for each in solution.images),
        log_prior=objective.gaussian.log_prior(of_model)[0],
        coefficients=dict(zip(trend.names, solution.beta.tolist(), strict=True)),
        coefficient_errors=dict(zip(trend.names, errors.tolist(), strict=True)),
        trend=trend.image(objective.coefficients(at)),
        n_observed=objective.n_observed,
        converged=conclusion.converged,
        reason=conclusion.reason,
        evaluations=evaluations,
        problem=problem,
        _at=of_model,
        _joint=curvature._replace(covariance=covariance),
    )
