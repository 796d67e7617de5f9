"""Estimates of a field's parameters and trend, with their uncertainty: what fits of any likelihood have."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._saved import Saved, kind_of, loaded
from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference._around import offer_around
from sparsegmrf.inference._conclusion import Curvature
from sparsegmrf.inference._ground import told, units_of
from sparsegmrf.inference._integrable import Integrable
from sparsegmrf.inference._linear_predictions import LinearPredictions
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._parameters import FieldModel
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._saved_fit import LEVEL, SavedFit
from sparsegmrf.inference._scores import half_width
from sparsegmrf.priors import Prior
from sparsegmrf.typing import BoolArray, FloatArray, Shape


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class FieldFit(LinearPredictions, Integrable):
    """Estimates of a field's parameters and trend with their uncertainty.

    Attributes
    ----------
    model : FieldModel
        The model at the estimates.
    parameters : dict of float
        What was estimated, by name.
    loglik : float
        Log-likelihood in nats. Never with priors in it.
    log_prior : float
        Logarithm of the prior density of the working parameters at the estimates, 0 without priors: what was maximized
        is ``loglik + log_prior``.
    coefficients, coefficient_errors : dict of float
        Estimates of the trend with standard errors, by covariate. Covariates in the null space of an intrinsic model
        (its constant) belong to the field and are not here.
    trend : ndarray, (H, W)
        The covariates times their coefficients; NaN where one is not known.
    n_observed : int
        Observed pixels, of all images.
    converged : bool
        Whether the estimates are a maximum that the image determines.
    reason : str
        Why the search ended: names what is not determined, and says towards which end it runs.
    evaluations : int
        Likelihoods evaluated.
    problem : Problem
        What was fitted: images, trend, likelihood, priors, and the model to start from.
    """

    model: FieldModel
    parameters: dict[str, float]
    loglik: float
    log_prior: float
    coefficients: dict[str, float]
    coefficient_errors: dict[str, float]
    trend: FloatArray
    n_observed: int
    converged: bool
    reason: str
    evaluations: int
    problem: Problem

    @property
    def method(self) -> str:
        """How parameters were estimated."""
        return self.problem.method

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.problem.shape

    @property
    def n_parameters(self) -> int:
        """Number of estimated parameters ``k``, coefficients included."""
        return len(self.parameters) + len(self.coefficients)

    @property
    def units(self) -> dict[str, str]:
        """Units of those parameters that have a length in theirs, such as kilometres or pixels."""
        return units_of(self.model, self.problem.spacing)

    @property
    def priors(self) -> dict[str, Prior]:
        """Priors by parameter; with any, the estimates are the posterior mode."""
        return dict(self.problem.priors)

    @property
    def log_posterior(self) -> float:
        """``loglik + log_prior`` in nats, up to the constant that is the density of the data."""
        return self.loglik + self.log_prior

    def _maximal_loglik(self, criterion: str) -> float:
        if self.priors:
            raise ArgumentError(
                f"{criterion} compares maxima of the likelihood, but the estimates are a posterior mode with priors on "
                f"{', '.join(self.priors)}; fit without priors, or compare the scores of leave_one_out."
            )
        return self.loglik

    @property
    @abstractmethod
    def coefficient_covariance(self) -> FloatArray:
        """Covariance of the coefficients, ``(p, p)``, the parameters taken as known."""

    @property
    @abstractmethod
    def _curvature(self) -> tuple[Objective, FloatArray, Curvature]:
        """Objective with the scale as a parameter, the working parameters, and what is known of them."""

    @cached_property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors of `parameters` from the observed information.

        The information is the Hessian of the log-likelihood (with priors, of the log-posterior), by central differences
        of the exact gradient on the scale of the working parameters (logarithms of what is positive), mapped back to
        first order. NaN for what is `undetermined`: the others are those given it. Computed at first use, by two
        gradients per parameter. NaN with ``method="cv"``: the information is that of the likelihood, and the few blocks
        that chose the estimates overlap in what they are predicted from, so that their spread says little.
        """
        full, at, found = self._curvature
        return dict(zip(self.parameters, found.errors(full.jacobian(at)).tolist(), strict=True))

    @property
    def undetermined(self) -> tuple[str, ...]:
        """Parameters about which the image says nothing, which have no standard error."""
        return self._curvature[2].undetermined

    @one_blas_thread()
    def confidence_intervals(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Return intervals that hold the true value with a probability of about `level`, by parameter and coefficient.

        Normal on the scale of the working parameters, ``u +- z se(u)``, and mapped back: an interval of what is
        positive (a range, a standard deviation) is one of its logarithm, has positive ends and is not symmetric about
        the estimate. With priors they are credible intervals by the normal approximation at the mode. Coefficients:
        ``b +- z se(b)``.

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
        >>> low, high = fit(Matern(), image, noise_variance=None).confidence_intervals(0.9)["range"]
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

    def gmrf(self, shape: Shape | None = None) -> GMRF:
        """Return the field at the estimates with the trend for its mean.

        Parameters
        ----------
        shape : (int, int), optional
            Height and width in pixels; those of the image by default. On other lattices the trend must be a level.

        Raises
        ------
        ArgumentError
            If the trend is more than a level and the lattice another one, or a covariate is not known at some pixels.
        """
        self._check_known()
        if shape is None or tuple(shape) == self.shape:
            return self._with_mean(self.model.gmrf(self.shape), self.trend)
        if not set(self.coefficients) <= {"constant"}:
            raise ArgumentError(
                f"shape must be that of the image, {self.shape}, with covariates {', '.join(self.coefficients)}, whose "
                f"images on others are not known, got {tuple(shape)}; give fit.model.gmrf(shape, mean=...) the trend."
            )
        return self._with_mean(self.model.gmrf(shape), np.full(shape, self.coefficients.get("constant", 0.0)))

    @cached_property
    def _undefined(self) -> BoolArray:
        """Pixels at which nothing is predicted: outside the domain of the field, or a covariate is not known."""
        return np.asarray(self._unknown | ~self.problem.domain)

    def _completed(self) -> Self:
        """Return the fit with what stands for covariates that are not known in their place: for computing."""
        if not self._unknown.any():
            return self
        problem = replace(self.problem, covariates=replace(self.problem.covariates, unknown=None))
        return replace(self, trend=self._whole_trend(), problem=problem)

    def _check_known(self) -> None:
        count = int(np.count_nonzero(self._unknown))
        if count:
            raise ArgumentError(
                f"covariates must be known at every pixel for a field with its trend, got {count} pixels without; "
                "predict and functional have NaN there and the rest of the image, or give fit.model.gmrf(shape, "
                "mean=...) a trend."
            )

    def _number(self, replicate: int) -> int:
        """Return the number of an image, after comparing it with how many there are."""
        number, count = integer_at_least("replicate", replicate, 0), len(self.problem.images)
        if number >= count:
            raise ArgumentError(f"replicate must be below {count}, the number of images, got {number}.")
        return number

    def _with_mean(self, field: GMRF, image: FloatArray) -> GMRF:
        """Return a field of the model whose mean is an image, or whose fields add up to one on average."""
        a = self.problem.combination
        if a is None or field.channels == 1:
            return field.with_mean(image)
        return field.with_mean(image[..., np.newaxis] * (a / float(a @ a)))

    def saved(self) -> SavedFit:
        """Return what is kept of the fit in a file: everything but the images and what is made of them."""
        model: Any = self.model
        if not isinstance(model, Saved):
            raise ArgumentError(
                f"model must derive from sparsegmrf.models.Model to be saved, got {type(model).__name__}; save its "
                "parameters yourself."
            )
        noise: Any = getattr(self, "noise_variance", None)
        return SavedFit(
            kind=kind_of(type(self)),
            model=model,
            method=self.method,
            likelihood=self.problem.likelihood.name,
            shape=self.shape,
            n_observed=self.n_observed,
            parameters=self.parameters,
            _units=self.units,
            undetermined=self.undetermined,
            coefficients=self.coefficients,
            coefficient_errors=self.coefficient_errors,
            coefficient_covariance=self.coefficient_covariance,
            noise_variance=None if noise is None or np.ndim(noise) else float(noise),
            priors=tuple(self.priors),
            loglik=float(self.loglik),
            log_prior=float(self.log_prior),
            restricted_loglik=getattr(self, "restricted_loglik", None),
            cv_score=getattr(self, "cv_score", None) if self.method == "cv" else None,
            converged=bool(self.converged),
            reason=self.reason,
            evaluations=self.evaluations,
            _standard_errors=self.standard_errors,
            _confidence_intervals=self.confidence_intervals(LEVEL),
            _summary=self.summary(),
        )

    @classmethod
    def from_json(cls, text: str) -> SavedFit:  # type: ignore[override]
        """Return what `to_json` has written of a fit: a `SavedFit`, which has no images.

        Parameters
        ----------
        text : str
            As `to_json` writes it.

        Raises
        ------
        ArgumentError
            If the text is no such object, or that of another kind of fit.

        Examples
        --------
        >>> from sparsegmrf import Matern, fit
        >>> found = fit(Matern(), Matern(range=8.0).gmrf((32, 32)).sample(rng=1), noise_variance=None)
        >>> again = type(found).from_json(found.to_json())
        >>> again.parameters == found.parameters, again.standard_errors == found.standard_errors
        (True, True)
        """
        found = loaded(text, cls)
        if not isinstance(found, SavedFit) or found.kind != kind_of(cls):
            raise ArgumentError(f"text must hold a {cls.__name__}, got kind {found._saved_kind()!r}.")
        return found

    def _saved_fields(self) -> Mapping[str, object]:
        return self.saved()._saved_fields()

    @classmethod
    def _from_saved(cls, given: Mapping[str, Any]) -> Saved:
        return SavedFit._from_saved({**given, "kind_of_fit": kind_of(cls)})

    def _estimates(self) -> tuple[dict[str, float], dict[str, float]]:
        return {**self.parameters, **self.coefficients}, {**self.standard_errors, **self.coefficient_errors}

    def _intervals(self, level: float) -> dict[str, tuple[float, float]]:
        return self.confidence_intervals(level)

    def summary(self) -> str:
        """Return a table of the estimates with standard errors, and the fit's figures, as text."""
        kind, pixels = type(self.model).__name__, self.trend.size * len(self.problem.images)
        lines = [f"{kind}, {self.method}, {self.n_observed} observed pixels of {pixels}", ""]
        units = self.units
        width = max([16, *(len(name) + 1 for name in self.coefficients)])
        lines.append(f"{'':>{width}}{'estimate':>14}{'std. error':>14}")
        for name, value in self.parameters.items():
            line = f"{name:>{width}}{value:14.6g}{self.standard_errors[name]:14.3g}  {units.get(name, '')}"
            lines.append(line.rstrip())
        for name, value in self.coefficients.items():
            lines.append(f"{name:>{width}}{value:14.6g}{self.coefficient_errors[name]:14.3g}")
        lines.append("")
        if self.undetermined:
            lines.append(f"not determined: {', '.join(self.undetermined)}")
        if self.priors:
            lines.append(f"posterior mode, priors on {', '.join(self.priors)}; log-prior {self.log_prior:.4f} nats")
        criteria = "" if self.priors or self.method == "cv" else f", AIC {self.aic:.2f}, BIC {self.bic:.2f}"
        lines.append(f"log-likelihood {self.loglik:.4f} nats{criteria}")
        lines += told(self.model, self.problem.spacing, self.problem.fixed)
        lines += [*self._more_lines(), *offer_around(self.model, self.problem.labels)]
        lines.append(f"{'converged' if self.converged else 'NOT CONVERGED'}: {self.reason}")
        return "\n".join(lines)

    def _more_lines(self) -> list[str]:
        if not self._has_own_level:
            return []
        return [
            "likelihood of what the field's null space leaves: it, AIC and BIC compare fields with the same one only"
        ]

    def labelled(self, values: FloatArray, name: str = "") -> Any:
        """Return an image with the dimensions and coordinates of the image fitted; an array if that was one.

        Arrays of a fit, such as `trend` and those of `predict`, are bare, as they are computed with.

        Parameters
        ----------
        values : ndarray, (H, W) or (k, H, W)
            Such as ``fit.trend``, or draws, which have the dimension ``sample``; of several images one or all of them.
        name : str
            Of the array; by default that of the image.

        Raises
        ------
        ArgumentError
            If `values` are no image of this shape.

        Examples
        --------
        >>> from sparsegmrf import Matern, fit
        >>> found = fit(Matern(range=4.0), np.arange(64.0).reshape(8, 8), noise_variance=1.0, fixed="range")
        >>> found.labelled(found.trend).shape
        (8, 8)
        """
        labels, image = self.problem.labels, np.asarray(values)
        if image.shape[-2:] != self.shape or image.ndim not in (2, 3):
            height, width = self.shape
            raise ArgumentError(
                f"values must have shape ({height}, {width}) or (k, {height}, {width}), got {image.shape}."
            )
        return image if labels is None else labels.on_plane(image, name)

    @property
    def title(self) -> str:
        """The model and the estimates of its parameters, on one line."""
        parameters = ", ".join(f"{name} = {value:.4g}" for name, value in self.parameters.items())
        return ", ".join([type(self.model).__name__, *([parameters] if parameters else [])])

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:.6g}" for name, value in self.parameters.items())
        name = type(self).__name__
        return f"{name}({type(self.model).__name__}, {values}, loglik={self.loglik:.6g}, converged={self.converged})"
