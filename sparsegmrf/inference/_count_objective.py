"""The approximate log-likelihood of counts as a function of unconstrained numbers."""

from dataclasses import dataclass, field

import numpy as np
import scipy.linalg

from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._counts import CountLikelihood
from sparsegmrf.inference._evidence import evidence
from sparsegmrf.inference._laplace_evidence import LaplaceEvidence, laplace_evidence
from sparsegmrf.inference._mode import find_mode
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._parameters import FieldModel
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.typing import FloatArray, Shape

_MOST = 25
_NEAR = 0.1
"""Move of the coefficients, in standard errors, below which they are near enough to start from."""


@dataclass(frozen=True, eq=False)
class CountObjective:
    """Laplace-approximate log-likelihood of parameters and coefficients, plus the log-prior.

    The unconstrained numbers are those of the parameters, then ``g`` of the coefficients ``beta = origin + root g``:
    the log-likelihood is about round in ``g``.

    Attributes
    ----------
    likelihood : CountLikelihood
        The counts.
    gaussian : Objective
        The Gaussian problem with the same model, trend and priors, its data the counts' working responses at the start.
    origin : ndarray, (p,)
        Coefficients to start from.
    root : ndarray, (p, p)
        Cholesky factor of their covariance there.
    """

    likelihood: CountLikelihood
    gaussian: Objective
    origin: FloatArray
    root: FloatArray
    _last: dict[bytes, FloatArray] = field(default_factory=dict)
    _points: dict[bytes, tuple[float, FloatArray]] = field(default_factory=dict)

    @classmethod
    def of(cls, likelihood: CountLikelihood, gaussian: Objective) -> "CountObjective":
        """Return the objective after looking for coefficients to start from."""
        origin, covariance = _first_coefficients(likelihood, gaussian)
        return cls(likelihood, gaussian, origin, np.asarray(np.linalg.cholesky(covariance), dtype=np.float64))

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
        """Names of the unconstrained numbers."""
        return [*self.gaussian.names, *self.gaussian.trend.names]

    @property
    def count(self) -> list[int]:
        """Evaluations so far, in its first entry."""
        return self.gaussian.count

    @property
    def scale(self) -> None:
        """None: no parameter is profiled."""

    def unprofiled(self, at: FloatArray) -> tuple["CountObjective", FloatArray]:
        """Return the objective and the point as they are."""
        return self, at

    def without_field(self) -> None:
        """Return None: counts without a field have no variance of their own."""

    def noise_share(self, at: FloatArray) -> None:
        """Return None: counts have no noise variance."""

    def start(self, model: FieldModel, noise_variance: float | FloatArray | None) -> FloatArray:
        """Return the unconstrained numbers of a model at the first coefficients."""
        return np.concatenate([self.gaussian.start(model, noise_variance), np.zeros(len(self.origin))])

    @property
    def slopes(self) -> FloatArray:
        """Derivatives of the parameters' unconstrained numbers and the coefficients by all unconstrained numbers."""
        return np.asarray(scipy.linalg.block_diag(np.eye(len(self.gaussian.names)), self.root))

    def __call__(self, at: FloatArray) -> tuple[float, FloatArray]:
        """Return the approximate log-likelihood in nats, plus the log-prior, and the gradient, remembered by point."""
        key = _key(at)
        if key not in self._points:
            _, found = self._evaluate(at, gradient=True)
            of_model, _ = self._split(at)
            prior, by_prior = self.gaussian.log_prior(of_model)
            by_model = found.by_directions @ self.gaussian.jacobian(of_model) + by_prior
            gradient = np.concatenate([by_model, found.by_coefficients @ self.root])
            self._points[key] = found.loglik + prior, gradient
        return self._points[key]

    def information(self, at: FloatArray) -> FloatArray:
        """Return the average information about the parameters and the expected one about the coefficients.

        They are those of the Gaussian problem with the working responses at the mode, and zero between the two.
        """
        if _key(at) not in self._last:
            self._evaluate(at, gradient=False)
        gaussian, of_model = self.gaussian_at(at, self._last[_key(at)])
        of_parameters = gaussian.information(of_model)
        covariance = gaussian.solution(of_model)[2].beta_covariance
        of_coefficients = self.root.T @ np.linalg.solve(covariance, self.root)
        return np.asarray(scipy.linalg.block_diag(of_parameters, of_coefficients))

    def solution(self, at: FloatArray) -> tuple[FieldModel, FloatArray, LaplaceEvidence]:
        """Return the model, the coefficients and the evidence."""
        model, found = self._evaluate(at, gradient=False)
        return model, self._coefficients(at), found

    def gaussian_at(self, at: FloatArray, eta: FloatArray) -> tuple[Objective, FloatArray]:
        """Return the Gaussian problem with the working responses at a linear predictor, and its own numbers."""
        data = _working(self.likelihood, eta)
        return self.gaussian.with_data(data), self._split(at)[0]

    def _coefficients(self, at: FloatArray) -> FloatArray:
        return self.origin + self.root @ self._split(at)[1]

    def _split(self, at: FloatArray) -> tuple[FloatArray, FloatArray]:
        count = len(self.gaussian.names)
        return at[:count], at[count:]

    def _evaluate(self, at: FloatArray, gradient: bool) -> tuple[FieldModel, LaplaceEvidence]:
        self.count[0] += 1
        model, _ = self.gaussian.parameters_at(self._split(at)[0])
        prior = _with_trend(model, self.gaussian, self._coefficients(at))
        directions = None
        if gradient:
            derivatives = model.derivatives(self.shape)
            directions = [derivatives[name] for name in self.gaussian.searched]
        found = laplace_evidence(
            prior,
            self.gaussian._prior.of_field(prior),
            self.likelihood,
            self.gaussian.trend.columns,
            self.gaussian._posterior,
            [*self._last.values(), self.likelihood.first_guess()],
            directions,
        )
        self._last.clear()
        self._last[_key(at)] = found.mode.eta
        return model, found


def _key(at: FloatArray) -> bytes:
    return np.ascontiguousarray(at, dtype=np.float64).tobytes()


def _with_trend(model: FieldModel, gaussian: Objective, beta: FloatArray) -> GMRF:
    return model.gmrf(gaussian.shape, mean=np.tensordot(beta, gaussian.trend.columns, 1))


def _first_coefficients(likelihood: CountLikelihood, gaussian: Objective) -> tuple[FloatArray, FloatArray]:
    """Return coefficients near those of the joint mode of field and trend, and their covariance, at the first model.

    Generalized least squares of the working responses, at the mode under the coefficients before: Newton's method on
    the joint density. It is only where the search starts, and may end early.
    """
    model, shape = gaussian.model, gaussian.shape
    Q, field = model.stencil(shape), model.gmrf(shape)
    precision, prior = PriorPrecision.of(Q, field), gaussian._prior.of_field(field)
    eta = likelihood.first_guess()
    beta = np.full(len(gaussian.trend.columns), np.inf)
    for _ in range(_MOST):
        found = evidence(precision, prior, _working(likelihood, eta), gaussian.trend, gaussian._posterior)
        move, beta = found.beta - beta, found.beta
        if not len(beta) or np.abs(move).max() <= _NEAR * np.sqrt(np.diagonal(found.beta_covariance).min()):
            break
        mean = _with_trend(model, gaussian, beta).mean
        eta = find_mode(Q, mean, likelihood, gaussian._posterior, [eta]).eta
    return beta, found.beta_covariance


def _working(likelihood: CountLikelihood, eta: FloatArray) -> Observations:
    """Return the Gaussian observations ``eta + l'/W`` with precision ``W`` that have the same Newton step."""
    at = likelihood.derivatives(eta)
    observed = likelihood.observed
    values = np.where(observed, eta + at.slope / np.where(observed, at.curvature, 1.0), 0.0)
    return Observations(values, observed, at.curvature, np.zeros_like(observed))
