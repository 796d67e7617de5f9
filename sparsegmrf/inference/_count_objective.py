"""The approximate log-likelihood of counts as a function of working parameters."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.linalg

from sparsegmrf._interval import Interval
from sparsegmrf.inference._counts import Counts
from sparsegmrf.inference._evidence import evidence
from sparsegmrf.inference._laplace_evidence import LaplaceEvidence, laplace_evidence
from sparsegmrf.inference._memo import Point, Workspace
from sparsegmrf.inference._mode import Place, find_mode, first_deviation
from sparsegmrf.inference._objective import Evaluated, Objective
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._parameters import FieldModel, unknowns_of
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.typing import FloatArray, Shape

if TYPE_CHECKING:
    from sparsegmrf.inference._problem import Problem

_MOST = 25
_LEAST = 0.1
"""Share of the working responses' variance that is the field's at the start, at least."""
_NEAR = 0.1
"""Move of the coefficients, in standard errors, below which they are near enough to start from."""


class CountSolution(NamedTuple):
    """Model and coefficients, what the counts of each image say there, and the Gaussian problem at the modes.

    The latter is evaluated for gradients only; `gaussian` is the problem with the working responses for data.
    """

    model: FieldModel
    beta: FloatArray
    images: tuple[LaplaceEvidence, ...]
    gaussian: Objective
    evaluated: Evaluated | None


@dataclass(frozen=True, eq=False)
class CountObjective:
    """Laplace-approximate log-likelihood of parameters and coefficients, plus the log-prior.

    The working parameters are those of the model, then ``g`` of the coefficients ``beta = first + root g``: the
    log-likelihood is about round in ``g``.

    Attributes
    ----------
    counts : tuple of Counts
        The measurements, image by image.
    gaussian : Objective
        The Gaussian problem with the same model, trend and priors, its data the counts' working responses at the start.
    first : ndarray, (p,)
        Coefficients to start from.
    root : ndarray, (p, p)
        Cholesky factor of their covariance there.
    """

    counts: tuple[Counts, ...]
    gaussian: Objective
    first: FloatArray
    root: FloatArray

    @classmethod
    def of(cls, problem: "Problem") -> "CountObjective":
        """Return the objective after looking for coefficients to start from."""
        counts = problem.counts
        gaussian = Objective.as_given(problem, tuple(working(each, each.first_guess()) for each in counts))
        gaussian = dataclasses.replace(gaussian, model=_scaled_to_data(gaussian))
        first, covariance = _first_coefficients(counts, gaussian)
        return cls(counts, gaussian, first, np.asarray(np.linalg.cholesky(covariance), dtype=np.float64))

    @property
    def model(self) -> FieldModel:
        """The model at the start."""
        return self.gaussian.model

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.gaussian.shape

    @property
    def names(self) -> list[str]:
        """Names of the working parameters."""
        return [*self.gaussian.names, *self.gaussian.trend.names]

    @property
    def n_observed(self) -> int:
        """Observed pixels of all images."""
        return self.gaussian.n_observed

    @property
    def digits(self) -> str:
        """In which factors are kept, ``"double"`` or ``"single"``."""
        return self.gaussian.digits

    @property
    def scale(self) -> None:
        """None: no parameter is profiled."""

    def without_field(self) -> None:
        """Return None: counts without a field have no variance of their own."""

    @property
    def origin(self) -> FloatArray:
        """The working parameters of the model given, in the scale of the data, at the first coefficients."""
        return np.concatenate([self.gaussian.start(self.model, None), np.zeros(len(self.first))])

    @property
    def slopes(self) -> FloatArray:
        """Derivatives of the model's working parameters and the covariates' coefficients by all working parameters."""
        of_coefficients = self.gaussian.trend.coefficients(self.root)
        return np.asarray(scipy.linalg.block_diag(np.eye(len(self.gaussian.names)), of_coefficients))

    def jacobian(self, at: FloatArray) -> FloatArray:
        """Return the derivatives of the model's parameters and the rest of the working ones by all working ones."""
        rest = np.eye(len(at) - len(self.gaussian.names))
        return np.asarray(scipy.linalg.block_diag(self.gaussian.jacobian(self.of_model(at)), rest))

    def of_model(self, at: FloatArray) -> FloatArray:
        """Return the working parameters of the model."""
        return at[: len(self.gaussian.names)]

    def model_at(self, at: FloatArray) -> FieldModel:
        """Return the model of working parameters."""
        return self.gaussian.model_at(self.of_model(at))

    def values_at(self, at: FloatArray) -> list[float]:
        """Return the model's parameters at working parameters."""
        return self.gaussian.values_at(self.of_model(at))

    def intervals(self, at: FloatArray) -> list[Interval]:
        """Return by parameter of the model its interval, the others held."""
        return self.gaussian.intervals(self.of_model(at))

    def coefficients(self, at: FloatArray) -> FloatArray:
        """Return the coefficients of the trend's columns."""
        return np.asarray(self.first + self.root @ at[len(self.gaussian.names) :])

    def evaluate(self, at: FloatArray, workspace: Workspace, *, gradient: bool = True) -> CountSolution:
        """Return what the counts say at working parameters; with `gradient` also the Gaussian problem there."""
        model, _ = self.gaussian.parameters_at(self.of_model(at))
        beta = self.coefficients(at)
        prior, mean = unknowns_of(model, self.shape), self.gaussian.trend.combined(beta)
        factor = workspace.prior.of_field(prior)
        directions = None
        if gradient:
            derivatives = model.derivatives(self.shape)
            directions = [derivatives[name] for name in self.gaussian.searched]
        found = []
        for k, counts in enumerate(self.counts):
            starts = [moved(counts, last, mean) for last in workspace.modes[k : k + 1]]
            starts.append(first_deviation(counts, mean))
            columns = self.gaussian.trend.columns
            found.append(
                laplace_evidence(prior, mean, factor, counts, columns, workspace.posterior, starts, directions)
            )
        workspace.modes[:] = [each.mode for each in found]
        responses = tuple(working(each, mode.eta) for each, mode in zip(self.counts, workspace.modes, strict=True))
        gaussian = self.gaussian.with_data(responses)
        del factor  # its memory is the next one's
        evaluated = None
        if gradient:
            evaluated = gaussian.without_factors(gaussian.evaluate(self.of_model(at), workspace))
        of_covariates = self.gaussian.trend.coefficients(beta)
        return CountSolution(model, of_covariates, tuple(found), gaussian, evaluated)

    def point(self, at: FloatArray, found: CountSolution) -> Point:
        """Return the approximate log-likelihood in nats, plus the log-prior, its gradient and information.

        The information is the average one about the parameters and the expected one about the coefficients, those of
        the Gaussian problem with the working responses at the mode, and zero between the two.
        """
        of_model = self.of_model(at)
        prior, by_prior = self.gaussian.log_prior(of_model)
        by_directions = np.sum([each.by_directions for each in found.images], axis=0)
        by_coefficients = np.sum([each.by_coefficients for each in found.images], axis=0)
        by_model = by_directions @ self.gaussian.jacobian(of_model) + by_prior
        assert found.evaluated is not None
        of_parameters = found.gaussian.point(of_model, found.evaluated).information
        of_coefficients = self.root.T @ np.linalg.solve(found.evaluated.evidence.beta_covariance, self.root)
        return Point(
            sum(each.loglik for each in found.images) + prior,
            np.concatenate([by_model, by_coefficients @ self.root]),
            np.asarray(scipy.linalg.block_diag(of_parameters, of_coefficients)),
            None,
        )

    def value(self, at: FloatArray, workspace: Workspace) -> float:
        """Return the approximate log-likelihood in nats, plus the log-prior, alone."""
        found = self.evaluate(at, workspace, gradient=False)
        return sum(each.loglik for each in found.images) + self.gaussian.log_prior(self.of_model(at))[0]

    def solution(self, found: CountSolution) -> CountSolution:
        """Return what was found."""
        return found


def moved(counts: Counts, last: Place, mean: FloatArray) -> FloatArray:
    """Return the deviations from another mean that have the linear predictor of a mode."""
    return last.deviation + counts.lifted(last.eta - counts.total(last.deviation) - mean)


def _scaled_to_data(gaussian: Objective) -> FieldModel:
    """Return the model with the variance that working responses have about trend and null space, beside their noise."""
    square, total, count = 0.0, 0.0, 0
    for image in gaussian.images:
        observed, w = image.data.observed, image.data.weight[image.data.observed]
        X = np.concatenate([image.columns[:, observed], image.data.values[observed][np.newaxis]])
        R = np.asarray(np.linalg.qr(image.null.weighted_remainder(X, w).T, mode="r"))
        square += float(R[-1, -1] ** 2) if len(w) > image.null.count + len(image.columns) else 0.0
        total, count = total + float(w.sum()), count + len(w)
    return gaussian.of_variance(max(square - count, _LEAST * square) / total)


def _first_coefficients(counts: tuple[Counts, ...], gaussian: Objective) -> tuple[FloatArray, FloatArray]:
    """Return coefficients near those of the joint mode of field and trend, and their covariance, at the first model.

    Generalized least squares of the working responses, at the mode under the coefficients before: Newton's method on
    the joint density. It is only where the search starts, and may end early.
    """
    model, shape, workspace = gaussian.model, gaussian.shape, Workspace(gaussian.digits)
    field = unknowns_of(model, shape)
    precision, prior = PriorPrecision.of(model.stencil(shape), field), workspace.prior.of_field(field)
    etas = [each.first_guess() for each in counts]
    beta = np.full(len(gaussian.trend.names), np.inf)
    for _ in range(_MOST):
        at_modes = gaussian.with_data(tuple(working(each, eta) for each, eta in zip(counts, etas, strict=True)))
        found = evidence(precision, prior, at_modes.images, gaussian.trend, workspace.posterior)
        move, beta = found.beta - beta, found.beta
        if not len(beta) or np.abs(move).max() <= _NEAR * np.sqrt(np.diagonal(found.beta_covariance).min()):
            break
        mean = gaussian.trend.combined(beta)
        etas = [
            find_mode(precision, mean, each, workspace.posterior, [each.lifted(eta - mean)]).eta
            for each, eta in zip(counts, etas, strict=True)
        ]
    return beta, found.beta_covariance


def working(counts: Counts, eta: FloatArray) -> Observations:
    """Return the Gaussian observations ``eta + l'/W`` with precision ``W`` that have the same Newton step."""
    at = counts.derivatives(eta)
    observed = counts.observed
    values = np.where(observed, eta + at.slope / np.where(observed, at.curvature, 1.0), 0.0)
    return Observations(values, observed, at.curvature, np.zeros_like(observed), counts.combination)
