"""What a fit of a stack found: estimates with standard errors, and how they were found."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._libraries import plotting
from sparsegmrf.inference._conclusion import Curvature
from sparsegmrf.inference._ground import units_of
from sparsegmrf.inference._search import Ended, Ending, observed_information
from sparsegmrf.inference._spacing import Spacing
from sparsegmrf.stacks._evidence import StackModel
from sparsegmrf.stacks._labels import unit_of
from sparsegmrf.stacks._plan import StackPlan
from sparsegmrf.stacks._problem import OF_COEFFICIENTS, StackProblem
from sparsegmrf.stacks._scoring import Scored
from sparsegmrf.stacks._search import Likelihood
from sparsegmrf.stacks._season_curve import SeasonCurve, curve_of_field
from sparsegmrf.typing import Figure, FloatArray

_FAR = 8.0
"""How far a working parameter has moved that has run away."""
_SAYS = {
    Ending.MAXIMUM: "a maximum of the likelihood",
    Ending.KINK: "a maximum of the likelihood, on a kink",
    Ending.NOTHING: "every parameter is held",
    Ending.NO_NOISE: "the noise variance has run to zero",
    Ending.FLAT: "the data say nothing about a direction of the parameters",
    Ending.FAR: "a parameter has run away from its start",
    Ending.STOPPED: "the search has stopped before a maximum",
}


@dataclass(frozen=True, eq=False, repr=False)
class StackFit:
    """Estimates of maximum likelihood, in intensity and days.

    Attributes
    ----------
    model : StackModel
        ``fields``, each a `Separable` with its spatial model and its ``ell``; ``coefficients``, the spatial model of
        the seasonal mean; ``deviations``; ``noise_variance``.
    parameters : dict of float
        Those of the field; ``ell``, the days over which its correlation falls to 1/e; of several fields with their
        labels, such as ``range_0`` and ``ell_0``; ``sd_level`` and ``sd_harmonic_1``, ..., by how much pixels differ in
        level and season; those of the maps of these, such as ``range_mean``; ``noise_variance``.
    coefficients, coefficient_errors : dict of float
        Of the trend that all pixels share, in intensity: generalized least squares.
    loglik : float
        Log-density of the observations in nats; of a fit that begins with windows, the sum over these.
    n_observed : int
        Observations that count.
    converged : bool
    reason : str
        How the search has ended, and with which parameters if that is to be said.
    undetermined : tuple of str
        Parameters that the data do not determine, or that have run away: they have no standard error.
    evaluations : int
        Likelihoods that were evaluated.
    plan : StackPlan
        How it was computed.
    """

    model: StackModel
    parameters: dict[str, float]
    coefficients: dict[str, float]
    coefficient_errors: dict[str, float]
    loglik: float
    n_observed: int
    converged: bool
    reason: str
    undetermined: tuple[str, ...]
    evaluations: int
    plan: StackPlan
    spacing: Spacing
    _problem: StackProblem = field(repr=False)
    _likelihood: Likelihood = field(repr=False)
    _at: FloatArray = field(repr=False)
    _by_score: Scored | None = field(repr=False, default=None)
    _like: Any = field(repr=False, default=None)

    @classmethod
    def of(
        cls,
        problem: StackProblem,
        likelihood: Likelihood,
        ended: Ended,
        plan: StackPlan,
        beta: tuple[FloatArray, FloatArray],
        spacing: Spacing,
        by_score: Scored | None = None,
    ) -> "StackFit":
        """Return the estimates at the end of a search, and of the scoring that has gone on from it."""
        evaluations = likelihood.evaluations
        if by_score is None:
            lost = _undetermined(likelihood, ended)
        else:
            lost, evaluations = by_score.held, evaluations + by_score.evaluations
            ended = by_score.ended._replace(at=likelihood.numbers.numbers(by_score.values))
        model = problem.outside(problem.model_of(likelihood.numbers.values(ended.at), problem.start))
        coefficients = beta[0] * problem.unit
        names = problem.seasons.names
        if problem.seasons.covariates is not None:
            coefficients[0] += problem.level
        errors = np.sqrt(np.diagonal(beta[1])) * problem.unit
        count = int(problem.observed.sum())
        parts = sum(data.count for data, _ in likelihood.parts)
        return cls(
            model,
            problem.values_of(model),
            dict(zip(names, map(float, coefficients), strict=True)),
            dict(zip(names, map(float, errors), strict=True)),
            likelihood(ended.at).value - parts * float(np.log(problem.unit)),
            count,
            ended.converged,
            _said(ended, lost, by_score is not None),
            lost,
            evaluations,
            plan,
            spacing,
            problem,
            likelihood,
            ended.at,
            by_score,
        )

    @cached_property
    def standard_errors(self) -> dict[str, float]:
        """Standard errors of the parameters by the observed information, which takes two likelihoods a parameter.

        The information is minus the Hessian, by central differences of the exact gradient; NaN of what the data do not
        determine, or of what was held. After scoring it is the average information, and the noise of the score is
        added.
        """
        found = dict.fromkeys(self.parameters, float("nan"))
        if self._by_score is not None:
            names, numbers, at = self._by_score.numbers.names, self._by_score.numbers, self._by_score.ended.at
            curvature = Curvature(self._by_score.covariance, self.undetermined, 0)
        else:
            names, numbers, at = self._likelihood.names, self._likelihood.numbers, self._at
            if not names:
                return found
            with one_blas_thread():
                curvature = Curvature.of(observed_information(self._likelihood, at), names, self.undetermined)
        J, values = numbers.jacobian(at), numbers.values(at)
        outside = self._problem.values_of(self.model)
        for k, (name, kind) in enumerate(zip(names, numbers.in_evidence, strict=True)):
            if kind.startswith("log "):
                J[k] *= values[name]
            J[k] *= outside[name] / values[name] if values[name] else 1.0
        found |= dict(zip(names, map(float, curvature.errors(J)), strict=True))
        return found

    @property
    def problem(self) -> StackProblem:
        """What was fitted, in a unit of its own, without what was screened out."""
        return self._problem

    @property
    def inner_model(self) -> StackModel:
        """The model in the unit of `problem`."""
        return self._problem.model_of(self._likelihood.numbers.values(self._at), self._problem.start)

    @property
    def units(self) -> dict[str, str]:
        """Units of lengths and times."""
        found = dict.fromkeys(self._problem.scales_in_time, "days")
        for part in self.model.fields:
            found |= {part.named(name): unit for name, unit in units_of(part.model, self.spacing).items()}
        own = units_of(self.model.coefficients, self.spacing)
        found |= {f"{name}{OF_COEFFICIENTS}": unit for name, unit in own.items()}
        return {name: unit for name, unit in found.items() if name in self.parameters}

    @one_blas_thread()
    def season(self, pixel: tuple[int, int] | None = None) -> SeasonCurve:
        """Return the season of a pixel through a year, with its standard deviation.

        It is the trend with the maps of level and season and fields that all dates have; without maps it is that of all
        pixels.

        Parameters
        ----------
        pixel : (int, int), optional
            Row and column from 0; by default the pixel with the most observations.

        Raises
        ------
        ArgumentError
            If `pixel` is none of the image.
        """
        return curve_of_field(self._problem, self.inner_model, self.plan, pixel)

    def plot(
        self, *, pixel: tuple[int, int] | None = None, title: str | None = None, unit: str | None = None
    ) -> Figure:
        """Draw the season of a pixel with its 90% band, and its observations by the day of the year.

        Parameters
        ----------
        pixel : (int, int), optional
            As for `season`.
        title : str, optional
            Of the figure; by default model and estimates.
        unit : str, optional
            Of intensity; by default the ``units`` of a labelled stack.

        Returns
        -------
        matplotlib.figure.Figure
            Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`.

        Raises
        ------
        ArgumentError
            If `pixel` is none of the image.
        MissingLibraryError
            If matplotlib is not installed.
        """
        figure: Figure = plotting().season_figure(
            self.season(pixel),
            title=self.title if title is None else title,
            unit=unit_of(self._like) if unit is None else unit,
        )
        return figure

    @property
    def title(self) -> str:
        """Fields and estimates in a line, as figures have it."""
        fields = " + ".join(type(part.model).__name__ for part in self.model.fields)
        return ", ".join([fields, *(f"{name} = {value:.3g}" for name, value in self.parameters.items())])

    def summary(self) -> str:
        """Return estimates with standard errors, and how they were found, as text."""
        lines = [f"stack of {self.n_observed} observations: {' + '.join(map(str, self.model.fields))}", ""]
        width = max(16, *(len(name) + 1 for name in [*self.parameters, *self.coefficients]))
        lines.append(f"{'':>{width}}{'estimate':>14}{'std. error':>14}")
        for name, value in self.parameters.items():
            line = f"{name:>{width}}{value:14.6g}{self.standard_errors[name]:14.3g}  {self.units.get(name, '')}"
            lines.append(line.rstrip())
        for name, value in self.coefficients.items():
            lines.append(f"{name:>{width}}{value:14.6g}{self.coefficient_errors[name]:14.3g}")
        lines += ["", f"log-likelihood {self.loglik:.4f} nats", str(self.plan)]
        lines.append(f"{'converged' if self.converged else 'NOT CONVERGED'}: {self.reason}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:.6g}" for name, value in self.parameters.items())
        return f"StackFit({values}, loglik={self.loglik:.6g}, converged={self.converged})"


def _said(ended: Ended, lost: tuple[str, ...], by_score: bool) -> str:
    """Return how a fit has ended in words."""
    if not by_score:
        return ": ".join([_SAYS[ended.ending], *([", ".join(lost)] if lost else [])])
    root = "a root of the score" if ended.converged else "scoring has stopped before a root of the score"
    return f"{root}; as the windows have it: {', '.join(lost)}" if lost else root


def _undetermined(likelihood: Likelihood, ended: Ended) -> tuple[str, ...]:
    """Return the parameters about which the data say nothing at the end of a search, or that have run away."""
    if ended.ending is Ending.FLAT:
        return Curvature.of(likelihood(ended.at).information, likelihood.names).undetermined
    if ended.ending is Ending.FAR:
        far = np.abs(ended.at - likelihood.start) > _FAR
        return tuple(name for name, each in zip(likelihood.names, far, strict=True) if each)
    return ()
