"""What a fit found: estimates with their uncertainty."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._conclusion import Curvature
from sparsegmrf.inference._cross_validation import CrossValidation
from sparsegmrf.inference._evidence import Evidence
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._parameters import FieldModel
from sparsegmrf.inference._search import observed_information
from sparsegmrf.inference.condition import condition, fields_given_total
from sparsegmrf.inference.priors import Prior
from sparsegmrf.inference.scores import half_width
from sparsegmrf.typing import FloatArray, Shape


@dataclass(frozen=True, eq=False, repr=False)
class FitResult:
    """Estimates with their uncertainty, and what they were made of.

    Attributes
    ----------
    model : FieldModel
        The model at the estimates.
    parameters : dict of float
        Its free parameters, and ``noise_variance`` (intensity^2) if it was estimated.
    noise_variance : float or ndarray, (H, W)
        Estimated or given; 0 without noise.
    loglik : float
        Log-density of the observed pixels in nats; of an intrinsic model, that of the contrasts that do not see its
        null space; with ``method="reml"``, that of the contrasts that do not see the trend either. Never with priors in
        it.
    log_prior : float
        Logarithm of the prior density of the unconstrained parameters at the estimates, 0 without priors: what was
        maximized is ``loglik + log_prior``.
    coefficients, coefficient_errors : dict of float
        Generalized least-squares estimates of the trend with standard errors, by covariate. Covariates in the null
        space of an intrinsic model (its constant) belong to the field and are not here.
    trend : ndarray, (H, W)
        The covariates times their coefficients, in intensity.
    method : str
        ``"ml"``, ``"reml"`` or ``"cv"``.
    n_observed : int
        Observed pixels.
    converged : bool
        Whether the estimates are a maximum that the image determines.
    reason : str
        Why the search ended: names what is not determined, and says towards which end it runs.
    evaluations : int
        Likelihoods evaluated.
    cross_validation : CrossValidation or None
        With ``method="cv"``: scores of held-out blocks, and the comparison with maximum likelihood.
    """

    model: FieldModel
    parameters: dict[str, float]
    noise_variance: float | FloatArray
    loglik: float
    log_prior: float
    coefficients: dict[str, float]
    coefficient_errors: dict[str, float]
    trend: FloatArray
    method: str
    n_observed: int
    converged: bool
    reason: str
    evaluations: int
    _objective: Objective = field(repr=False)
    _evidence: Evidence = field(repr=False)
    _scale: float = field(repr=False)
    cross_validation: CrossValidation | None = None
    _at_end: Curvature | None = field(default=None, repr=False)
    _lost: tuple[str, ...] = field(default=(), repr=False)

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self._objective.shape

    @property
    def coefficient_covariance(self) -> FloatArray:
        """Covariance of the coefficients, ``(p, p)``, the parameters taken as known."""
        return self._objective.frame.covariance(self._evidence.beta_covariance / self._scale)

    @property
    def n_parameters(self) -> int:
        """Number of estimated parameters ``k``, coefficients included."""
        return len(self.parameters) + len(self.coefficients)

    @property
    def priors(self) -> dict[str, Prior]:
        """Priors by parameter; with any, the estimates are the posterior mode."""
        return dict(self._objective.priors)

    @property
    def log_posterior(self) -> float:
        """``loglik + log_prior`` in nats, up to the constant that is the density of the data."""
        return self.loglik + self.log_prior

    @property
    def aic(self) -> float:
        """Akaike's criterion ``2 k - 2 loglik``; smaller is better. Refused with priors."""
        return 2.0 * self.n_parameters - 2.0 * self._maximal_loglik("aic")

    @property
    def bic(self) -> float:
        """Schwarz's criterion ``k log m - 2 loglik`` with ``m`` observed pixels; smaller is better, as `aic`."""
        return self.n_parameters * float(np.log(self.n_observed)) - 2.0 * self._maximal_loglik("bic")

    def _maximal_loglik(self, criterion: str) -> float:
        if self.method == "cv":
            raise ArgumentError(
                f"{criterion} compares maxima of the likelihood, but the estimates are those of cross-validation; "
                "compare cv_score, or fit with method='ml'."
            )
        if self.priors:
            raise ArgumentError(
                f"{criterion} compares maxima of the likelihood, but the estimates are a posterior mode with priors on "
                f"{', '.join(self.priors)}; fit without priors, or compare the scores of leave_one_out."
            )
        return self.loglik

    @property
    def cv_score(self) -> float:
        """CRPS of held-out pixels in intensity that cross-validation has minimized; NaN for the other methods."""
        return float("nan") if self.cross_validation is None else self.cross_validation.score

    @cached_property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors of `parameters` from the observed information.

        The information is the Hessian of the log-likelihood (with priors, of the log-posterior), by central differences
        of the exact gradient on the unconstrained scale (logarithms of what is positive), mapped back to first order.
        NaN for what is `undetermined`: the others are those given it. Computed at first use, by two gradients per
        parameter. NaN with ``method="cv"``: the information is that of the likelihood, and the few blocks that chose
        the estimates overlap in what they are predicted from, so that their spread says little.
        """
        full, at, found = self._curvature
        return dict(zip(self.parameters, found.errors(full.jacobian(at)).tolist(), strict=True))

    @property
    def undetermined(self) -> tuple[str, ...]:
        """Parameters about which the image says nothing, which have no standard error."""
        return () if self.method == "cv" else self._curvature[2].undetermined

    def confidence_intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Return intervals that hold the true value with a probability of about `level`, by parameter and coefficient.

        Normal on the unconstrained scale, ``u +- z se(u)``, and mapped back: an interval of what is positive (a range,
        a standard deviation) is one of its logarithm, has positive ends and is not symmetric about the estimate. With
        priors they are credible intervals by the normal approximation at the mode. Coefficients: ``b +- z se(b)``.

        Parameters
        ----------
        level : float
            Between 0 and 1.

        Returns
        -------
        dict of (float, float)
            NaN where standard errors are.

        Raises
        ------
        ArgumentError
            If `level` is not between 0 and 1.

        Examples
        --------
        >>> from sparsegmrf import Matern, fit
        >>> image = Matern(range=8.0).gmrf((32, 32)).sample(rng=1)
        >>> low, high = fit(Matern(), image, noise=None).confidence_intervals(0.9)["range"]
        >>> low < 8.0 < high
        True
        """
        z = half_width(level)
        full, at, found = self._curvature
        errors = found.errors(full.jacobian(at))
        own = zip(self.parameters, full.values_at(at), full.intervals(at), errors.tolist(), strict=True)
        intervals = {}
        for name, value, interval, error in own:
            u, half = interval.outward(value), z * error / interval.slope(value)
            with np.errstate(over="ignore"):  # an end at infinity is one
                intervals[name] = (interval.inward(u - half), interval.inward(u + half))
        for name, value in self.coefficients.items():
            half = z * self.coefficient_errors[name]
            intervals[name] = (value - half, value + half)
        return intervals

    @cached_property
    def _curvature(self) -> tuple[Objective, FloatArray, Curvature]:
        """Objective with the scale as a parameter, the unconstrained estimates, and what is known of them."""
        full = self._objective.with_scale()
        at = full.start(self.model, self.noise_variance)
        if self.method == "cv":
            return full, at, Curvature(np.full((len(at), len(at)), np.nan), (), 0)
        found = self._at_end
        if found is None:
            found = Curvature.of(observed_information(full, at), full.names, self._lost)
        return full, at, found

    def trend_spread(self) -> FloatArray:
        """Return images ``(p, H, W)`` in intensity whose sum of squares is the trend's share of the variance.

        They are ``(X - Z) root(C)`` with what the field makes ``Z`` of covariates, and the coefficients' covariance.
        """
        covariance = self._objective.frame.unit**2 * self._evidence.beta_covariance / self._scale
        lengths = np.sqrt(np.diagonal(covariance))
        values, directions = np.linalg.eigh(covariance / np.outer(lengths, lengths))
        root = lengths[:, np.newaxis] * directions * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(np.tensordot(root.T, self._evidence.left, 1))

    def posterior(self) -> GMRF:
        """Return the field given the observations, at the estimates: means, variances and draws of every pixel.

        Parameters and trend are taken as known; `fill` adds the uncertainty of the trend. Of a `Sum` these are the
        stacked fields without the trend, of which `Sum.observe` makes the total.
        """
        frame, shape = self._objective.frame, self.shape
        data = frame.deviations
        # What null space and trend take of the data was taken off: what is left of the trend is of their order.
        share = np.tensordot(self._evidence.beta, self._objective.trend.columns, 1) * frame.unit
        if data.combination is not None:
            weight = np.where(data.observed, 1.0 / np.where(data.observed, self.noise_variance, 1.0), 0.0)
            fields = fields_given_total(
                self.model.gmrf(shape), replace(data, values=data.values - share, weight=weight)
            )
            null = frame.put_back(share) - self.trend
            return fields.with_mean(fields.mean + self._objective.null.lifted(null, data.combination))
        prior = self.model.gmrf(shape, mean=share)
        field = condition(prior, data.values, mask=~data.observed, noise_variance=self.noise_variance)
        mean = frame.put_back(field.mean)
        return field.with_mean(np.where(data.exact, frame.given.values, mean))

    def summary(self) -> str:
        """Return a table of the estimates with standard errors, and the fit's figures, as text."""
        kind = type(self.model).__name__
        lines = [f"{kind}, {self.method}, {self.n_observed} observed pixels of {self.trend.size}", ""]
        lines.append(f"{'':>16}{'estimate':>14}{'std. error':>14}")
        for name, value in self.parameters.items():
            lines.append(f"{name:>16}{value:14.6g}{self.standard_errors[name]:14.3g}")
        for name, value in self.coefficients.items():
            lines.append(f"{name:>16}{value:14.6g}{self.coefficient_errors[name]:14.3g}")
        if self.undetermined:
            lines.append(f"not determined: {', '.join(self.undetermined)}")
        lines.append("")
        if self.priors:
            lines.append(f"posterior mode, priors on {', '.join(self.priors)}; log-prior {self.log_prior:.4f} nats")
        criteria = "" if self.priors or self.method == "cv" else f", AIC {self.aic:.2f}, BIC {self.bic:.2f}"
        lines.append(f"log-likelihood {self.loglik:.4f} nats{criteria}")
        if self.cross_validation is not None:
            lines.append(f"CRPS of held-out blocks {self.cv_score:.6g}")
            for name, value in self.cross_validation.ml_parameters.items():
                lines.append(f"{name:>16}{value:14.6g} by maximum likelihood")
        lines.append(f"{'converged' if self.converged else 'NOT CONVERGED'}: {self.reason}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:.6g}" for name, value in self.parameters.items())
        return f"FitResult({type(self.model).__name__}, {values}, loglik={self.loglik:.6g}, converged={self.converged})"
