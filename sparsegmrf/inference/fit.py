"""Maximum likelihood of a model's parameters, the noise and the trend, from an image with gaps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from sparsegmrf._validate import finite, one_of, positive_number, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._evidence import Evidence
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._parameters import FieldModel, free_names, scale_of
from sparsegmrf.inference._search import maximize, observed_information
from sparsegmrf.inference.condition import condition, observations
from sparsegmrf.typing import ArrayLike, FloatArray, Shape


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
        null space; with ``method="reml"``, that of the contrasts that do not see the trend either.
    coefficients, coefficient_errors : dict of float
        Generalized least-squares estimates of the trend with standard errors, by covariate. Covariates in the null
        space of an intrinsic model (its constant) belong to the field and are not here.
    trend : ndarray, (H, W)
        The covariates times their coefficients, in intensity.
    method : str
        ``"ml"`` or ``"reml"``.
    n_observed : int
        Observed pixels.
    converged : bool
        Whether the gradient vanishes at the estimates.
    reason : str
        Why the search ended.
    evaluations : int
        Likelihoods evaluated.
    """

    model: FieldModel
    parameters: dict[str, float]
    noise_variance: float | FloatArray
    loglik: float
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

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self._objective.shape

    @property
    def coefficient_covariance(self) -> FloatArray:
        """Covariance of the coefficients, ``(p, p)``, the parameters taken as known."""
        return self._evidence.beta_covariance / self._scale

    @property
    def n_parameters(self) -> int:
        """Number of estimated parameters ``k``, coefficients included."""
        return len(self.parameters) + len(self.coefficients)

    @property
    def aic(self) -> float:
        """Akaike's criterion ``2 k - 2 loglik``; smaller is better."""
        return 2.0 * self.n_parameters - 2.0 * self.loglik

    @property
    def bic(self) -> float:
        """Schwarz's criterion ``k log m - 2 loglik`` with ``m`` observed pixels; smaller is better."""
        return self.n_parameters * float(np.log(self.n_observed)) - 2.0 * self.loglik

    @cached_property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors of `parameters` from the observed information.

        The information is the Hessian of the log-likelihood, by central differences of the exact gradient on the
        unconstrained scale (logarithms of what is positive), mapped back to first order. NaN where the information is
        not positive definite, as when a parameter has run to the edge of its range. Computed at first use, by two
        gradients per parameter.
        """
        full = self._objective.with_scale()
        at = full.start(self.model, self.noise_variance)
        if not len(at):
            return {}
        information = observed_information(full, at)
        if not np.linalg.eigvalsh(information)[0] > 0.0:
            return dict.fromkeys(self.parameters, float("nan"))
        errors = np.sqrt(np.diagonal(np.linalg.inv(information))) * full.jacobian(at)
        return dict(zip(self.parameters, errors.tolist(), strict=True))

    def posterior(self) -> GMRF:
        """Return the field given the observations, at the estimates: means, variances and draws of every pixel.

        Parameters and trend are taken as known; `fill` adds the uncertainty of the trend.
        """
        data = self._objective.data
        prior = self.model.gmrf(self.shape, mean=self.trend)
        return condition(prior, data.values, mask=~data.observed, noise_variance=self.noise_variance)

    def summary(self) -> str:
        """Return a table of the estimates with standard errors, and the fit's figures, as text."""
        kind = type(self.model).__name__
        lines = [f"{kind}, {self.method}, {self.n_observed} observed pixels of {self.trend.size}", ""]
        lines.append(f"{'':>16}{'estimate':>14}{'std. error':>14}")
        for name, value in self.parameters.items():
            lines.append(f"{name:>16}{value:14.6g}{self.standard_errors[name]:14.3g}")
        for name, value in self.coefficients.items():
            lines.append(f"{name:>16}{value:14.6g}{self.coefficient_errors[name]:14.3g}")
        lines.append("")
        lines.append(f"log-likelihood {self.loglik:.4f} nats, AIC {self.aic:.2f}, BIC {self.bic:.2f}")
        lines.append(f"{'converged' if self.converged else 'NOT CONVERGED'}: {self.reason}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:.6g}" for name, value in self.parameters.items())
        return f"FitResult({type(self.model).__name__}, {values}, loglik={self.loglik:.6g}, converged={self.converged})"


def fit(
    model: FieldModel,
    image: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    noise: Literal["estimate"] | ArrayLike | None = "estimate",
    covariates: Literal["constant", "linear"] | ArrayLike | None = "constant",
    method: Literal["ml", "reml"] = "ml",
    fixed: Sequence[str] | str = (),
    tolerance: float = 1e-4,
) -> FitResult:
    """Fit a model's parameters, the noise variance and a trend by exact maximum likelihood.

    ``y_p = x_p + sum_k beta_k X_kp + e_p`` at observed pixels, ``x ~ N(0, Q(theta)^-1)``, ``e_p ~ N(0, s)``. Missing
    pixels are integrated out. The coefficients ``beta`` are profiled by generalized least squares, and a parameter that
    scales the precision in closed form; the others, mapped to the real line, are searched by L-BFGS with the exact
    gradient (selected inverses). The search starts at the model's parameters and at a tenth of its variance for noise.

    Parameters
    ----------
    model : FieldModel
        Model at the parameters to start from, such as those of `sparsegmrf.models`: with ``parameters``, ``limits``,
        ``stencil``, ``derivatives``, ``gmrf`` and ``replace``.
    image : array_like, (H, W)
        Intensities. Of a numpy masked array the mask counts as `mask`.
    mask : ndarray of bool, (H, W), or "nan", optional
        **True where a pixel is missing**; ``"nan"`` stands for ``np.isnan(image)``. Without a mask a NaN is an error.
    noise : "estimate", float, array_like (H, W) or None
        Variance of independent noise in intensity^2: estimated, or known (one number or one per pixel), or None for an
        image observed exactly.
    covariates : "constant", "linear", array_like (K, H, W) or None
        Trend: one level; a level and slopes by ``row`` and ``column``, which count pixels from the centre of the
        image; images of one's own, which then must include a constant if one is wanted; or a field of mean zero.
    method : {"ml", "reml"}
        Maximum likelihood, or restricted maximum likelihood: of the contrasts that do not see the trend, which takes
        account of the degrees of freedom that the trend costs.
    fixed : sequence of str
        Parameters held where they are.
    tolerance : float
        Largest derivative of the log-likelihood by an unconstrained parameter, in nats, at which the search ends.

    Returns
    -------
    FitResult

    Raises
    ------
    ArgumentError
        If the image is constant or has too few observed pixels, covariates are collinear, or an argument has the wrong
        shape or value.

    References
    ----------
    D. Harville (1977), Maximum likelihood approaches to variance component estimation, JASA 72, for the restricted one.

    Examples
    --------
    >>> from sparsegmrf.models import Matern
    >>> truth = Matern(range=8.0, sigma=2.0)
    >>> image = truth.gmrf((64, 64), mean=5.0).sample(rng=1)
    >>> result = fit(Matern(), image, noise=None)
    >>> result.converged, abs(result.parameters["range"] - 8.0) < 4 * result.standard_errors["range"]
    (True, True)
    """
    shape = np.shape(image)
    objective = make_objective(
        model, image, mask, noise, covariates, one_of("method", method, ("ml", "reml")), fixed, shape
    )
    at, converged, reason = maximize(objective, positive_number("tolerance", tolerance))
    return make_result(objective, at, converged, reason)


def make_objective(
    model: FieldModel,
    image: ArrayLike,
    mask: ArrayLike | None,
    noise: object,
    covariates: object,
    method: str,
    fixed: Sequence[str] | str,
    shape: tuple[int, ...],
) -> Objective:
    """Return the checked problem as a function of unconstrained numbers."""
    if isinstance(noise, str) and noise != "estimate":
        raise ArgumentError(f'noise must be "estimate", a variance or None, got {noise!r}.')
    estimated = isinstance(noise, str)
    given = 1.0 if estimated else 0.0 if noise is None else noise
    data = observations(image, mask, given, (shape[0], shape[1]) if len(shape) == 2 else (1, 1), "image")
    values = data.values[data.observed]
    if np.ptp(values) == 0.0:
        raise ArgumentError(
            f"image must vary over its observed pixels, got {len(values)} of them with the value {values[0]:g}; a "
            "constant has no parameters to fit."
        )
    if data.exact.any() and not data.exact[data.observed].all():
        raise ArgumentError(
            "noise must be zero nowhere or at all observed pixels, got both; a fit takes noisy or exact observations."
        )
    names, columns = _covariates(covariates, data.values.shape)
    free = free_names(model, data.values.shape, fixed)
    scale = scale_of(model, data.values.shape, free) if estimated or noise is None else None
    objective = Objective.of(model, free, scale, data, estimated, names, columns, restricted=method == "reml")
    least = len(free) + estimated + len(objective.trend.columns) + objective.trend.deficiency
    if data.count <= least:
        raise ArgumentError(
            f"image must have more observed pixels than there are parameters, {least}, got {data.count}; hold some by "
            "fixed=, or give fewer covariates."
        )
    return objective


def _covariates(covariates: object, shape: Shape) -> tuple[tuple[str, ...], FloatArray]:
    height, width = shape
    if covariates is None:
        return (), np.zeros((0, height, width))
    if isinstance(covariates, str):
        one_of("covariates", covariates, ("constant", "linear"))
        rows, columns = np.mgrid[:height, :width].astype(float)
        images = [np.ones(shape), rows - (height - 1) / 2.0, columns - (width - 1) / 2.0]
        # An image one pixel high has no slope by rows.
        kept = [0] + [k for k in (1, 2) if covariates == "linear" and shape[k - 1] > 1]
        return tuple(("constant", "row", "column")[k] for k in kept), np.array([images[k] for k in kept])
    array = finite("covariates", real_array("covariates", covariates))
    if array.ndim != 3 or array.shape[1:] != shape:
        raise ArgumentError(
            f"covariates must have shape (K, {height}, {width}), got {array.shape}; put one covariate into a list."
        )
    return tuple(f"covariate {k}" for k in range(len(array))), array


def make_result(objective: Objective, at: FloatArray, converged: bool, reason: str) -> FitResult:
    """Return the estimates that belong to the end of a search."""
    model, variance, found, c = objective.solution(at)
    names = objective.trend.names
    errors = np.sqrt(np.diagonal(found.beta_covariance) / c)
    noise: float | FloatArray = variance
    data = objective.data
    if not objective.estimated and data.weight.any():
        noise = np.where(data.observed, 1.0 / np.where(data.weight > 0.0, data.weight, 1.0), 0.0)
        values = noise[data.observed]
        noise = float(values[0]) if np.ptp(values) == 0.0 else noise
    parameters = {name: model.parameters[name] for name in objective.free}
    if objective.estimated:
        parameters["noise_variance"] = variance
    return FitResult(
        model=model,
        parameters=parameters,
        noise_variance=noise,
        loglik=found.loglik(c),
        coefficients=dict(zip(names, found.beta.tolist(), strict=True)),
        coefficient_errors=dict(zip(names, errors.tolist(), strict=True)),
        trend=np.tensordot(found.beta, objective.trend.columns, 1),
        method="reml" if objective.restricted else "ml",
        n_observed=data.count,
        converged=converged,
        reason=reason,
        evaluations=objective.count[0],
        _objective=objective,
        _evidence=found,
        _scale=c,
    )
