"""What is kept of a fit in a file: everything but the images."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from sparsegmrf._saved import Saved, check_names
from sparsegmrf._validate import image_shape
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fitted import Fitted
from sparsegmrf.gmrf import GMRF
from sparsegmrf.typing import FloatArray, Shape

LEVEL = 0.95
"""Of the confidence intervals that are kept."""
KINDS = ("FitResult", "CountFitResult")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SavedFit(Fitted):
    """A fit as it was saved: model, estimates and their uncertainty, likelihood, and why the search ended.

    The images are not in it, nor what a fit makes of them: `predict`, `posterior`, `functional`, `contrast` and the
    trend take a new fit, such as ``fit(saved.model, image, fixed=...)``, or `condition` with ``saved.gmrf()``.

    Attributes
    ----------
    kind : str
        ``"FitResult"`` or ``"CountFitResult"``: what was saved.
    model : Model
        The model at the estimates.
    method, likelihood : str
        How parameters were estimated, and of what likelihood.
    shape : (int, int)
        Height and width of the images in pixels.
    n_observed : int
        Observed pixels, of all images.
    parameters : dict of float
        What was estimated, by name.
    undetermined : tuple of str
        Parameters about which the images say nothing.
    coefficients, coefficient_errors : dict of float
        Estimates of the trend with standard errors, by covariate.
    coefficient_covariance : ndarray, (p, p)
        Their covariance, the parameters taken as known.
    noise_variance : float or None
        Estimated or given, in intensity^2; None of counts, and where it was an image.
    priors : tuple of str
        Parameters that had a prior.
    loglik, log_prior : float
        In nats.
    restricted_loglik, cv_score : float or None
        As of a `FitResult`; None where it has none.
    converged : bool
        Whether the estimates are a maximum that the images determine.
    reason : str
        Why the search ended.
    evaluations : int
        Likelihoods evaluated.
    """

    kind: str
    model: Any
    method: str
    likelihood: str
    shape: Shape
    n_observed: int
    parameters: dict[str, float]
    undetermined: tuple[str, ...]
    coefficients: dict[str, float]
    coefficient_errors: dict[str, float]
    coefficient_covariance: FloatArray
    noise_variance: float | None
    priors: tuple[str, ...]
    loglik: float
    log_prior: float
    restricted_loglik: float | None
    cv_score: float | None
    converged: bool
    reason: str
    evaluations: int
    _units: dict[str, str]
    _standard_errors: dict[str, float]
    _confidence_intervals: dict[str, tuple[float, float]]
    _summary: str

    @property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors of `parameters`."""
        return dict(self._standard_errors)

    @property
    def units(self) -> dict[str, str]:
        """Units of those parameters that have a length in theirs, such as kilometres or pixels."""
        return dict(self._units)

    @property
    def n_parameters(self) -> int:
        """Number of estimated parameters ``k``, coefficients included."""
        return len(self.parameters) + len(self.coefficients)

    def confidence_intervals(self, level: float = LEVEL) -> dict[str, tuple[float, float]]:
        """Return intervals that hold the true value with a probability of about 95%, by parameter and coefficient.

        Raises
        ------
        ArgumentError
            If `level` is another one: these were not saved.
        """
        if level != LEVEL:
            raise ArgumentError(f"level must be {LEVEL} of a saved fit, got {level}; ask the fit before it is saved.")
        return dict(self._confidence_intervals)

    def gmrf(self, shape: Shape | None = None) -> GMRF:
        """Return the field at the estimates with the trend for its mean, by default on the shape of the images.

        Raises
        ------
        ArgumentError
            If the trend is more than a level: its covariates are not saved.
        """
        if not set(self.coefficients) <= {"constant"}:
            raise ArgumentError(
                f"covariates {', '.join(self.coefficients)} must be given again, as they are not saved; give "
                "saved.model.gmrf(shape, mean=...) the trend."
            )
        given = self.shape if shape is None else image_shape(shape)
        level = np.full(given, self.coefficients.get("constant", 0.0))
        a = getattr(self.model, "observation", None)
        found: GMRF = self.model.gmrf(given, mean=level if a is None else level[..., np.newaxis] * (a / float(a @ a)))
        return found

    def summary(self) -> str:
        """Return the summary of the fit that was saved."""
        return self._summary

    def _estimates(self) -> tuple[dict[str, float], dict[str, float]]:
        return {**self.parameters, **self.coefficients}, {**self.standard_errors, **self.coefficient_errors}

    def _intervals(self, level: float) -> dict[str, tuple[float, float]]:
        return self.confidence_intervals(level)

    def _maximal_loglik(self, criterion: str) -> float:
        if self.method == "cv" or self.priors:
            what = "of cross-validation" if self.method == "cv" else f"a posterior mode, priors on {self.priors}"
            raise ArgumentError(f"{criterion} compares maxima of the likelihood, but the estimates are {what}.")
        return self.loglik

    def _saved_kind(self) -> str:
        return self.kind

    def _saved_fields(self) -> dict[str, object]:
        """Return the fields, and the criteria for other readers."""
        own = {each.name.removeprefix("_"): getattr(self, each.name) for each in fields(self) if each.name != "kind"}
        is_maximum = self.method != "cv" and not self.priors
        return {**own, "aic": self.aic if is_maximum else None, "bic": self.bic if is_maximum else None}

    @classmethod
    def _from_saved(cls, given: Mapping[str, Any]) -> Saved:
        if given.get("kind_of_fit") not in KINDS:
            raise ArgumentError(f"kind of a saved fit must be {' or '.join(KINDS)}, got 'SavedFit'.")
        taken = [each.name.removeprefix("_") for each in fields(cls) if each.name != "kind"]
        named = {"units": {}, **{name: value for name, value in given.items() if name != "kind_of_fit"}}
        check_names(cls, named, dict.fromkeys((*taken, "aic", "bic")), taken)
        own = {("_" if f"_{name}" in cls.__dataclass_fields__ else "") + name: named[name] for name in taken}
        if not hasattr(own["model"], "gmrf"):
            raise ArgumentError(f"model of a saved fit must be a model, got {own['model']!r}.")
        return super()._from_saved({"kind": given["kind_of_fit"], **own})

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:.6g}" for name, value in self.parameters.items())
        return f"SavedFit({self.kind} of {type(self.model).__name__}, {values}, loglik={self.loglik:.6g})"
