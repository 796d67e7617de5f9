"""The approximate log-likelihood of counts as a function of the model's parameters alone, the trend integrated out."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from sparsegmrf._interval import Interval
from sparsegmrf.inference._count_objective import CountObjective, moved, working
from sparsegmrf.inference._joint_evidence import JointEvidence, joint_evidence
from sparsegmrf.inference._memo import Point, Workspace
from sparsegmrf.inference._mode import first_deviation
from sparsegmrf.inference._objective import Evaluated, Objective
from sparsegmrf.inference._parameters import Coordinates, FieldModel, unknowns_of
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, Shape


class MarginalSolution(NamedTuple):
    """Model, what the counts say there, and the Gaussian problem of the working responses, evaluated for gradients."""

    model: FieldModel
    evidence: JointEvidence
    gaussian: Objective
    evaluated: Evaluated | None


@dataclass(frozen=True, eq=False)
class CountMarginal:
    """Laplace-approximate log-likelihood of the parameters, field and trend integrated out, plus the log-prior.

    Attributes
    ----------
    whole : CountObjective
        That of parameters and coefficients.
    """

    whole: CountObjective

    @property
    def gaussian(self) -> Objective:
        """The Gaussian problem with the same model, trend and priors."""
        return self.whole.gaussian

    @property
    def names(self) -> list[str]:
        """Names of the working parameters."""
        return self.gaussian.names

    @property
    def model(self) -> FieldModel:
        """The model at the start."""
        return self.gaussian.model

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.gaussian.shape

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

    @property
    def coordinates(self) -> Coordinates:
        """Of the parameters."""
        return self.gaussian.coordinates

    def without_field(self) -> None:
        """Return None: counts without a field have no variance of their own."""

    def model_at(self, at: FloatArray) -> FieldModel:
        """Return the model of working parameters."""
        return self.gaussian.model_at(at)

    def values_at(self, at: FloatArray) -> list[float]:
        """Return the parameters at working parameters."""
        return self.gaussian.values_at(at)

    def jacobian(self, at: FloatArray) -> FloatArray:
        """Return the derivatives of the parameters (rows) by their working parameters (columns)."""
        return self.gaussian.jacobian(at)

    def intervals(self, at: FloatArray) -> list[Interval]:
        """Return by parameter its interval, the others held."""
        return self.gaussian.intervals(at)

    def log_prior(self, at: FloatArray) -> tuple[float, FloatArray]:
        """Return the logarithm of the prior density of the working parameters, and its gradient."""
        return self.gaussian.log_prior(at)

    def evaluate(self, at: FloatArray, workspace: Workspace, *, gradient: bool = True) -> MarginalSolution:
        """Return what the counts say at working parameters; with `gradient` also the Gaussian problem there."""
        model = self.model_at(at)
        directions = None
        if gradient:
            derivatives = model.derivatives(self.shape)
            directions = [derivatives[name] for name in self.gaussian.searched]
        found = self.evidence(model, workspace, directions)
        responses = tuple(working(each, mode.eta) for each, mode in zip(self.whole.counts, found.places, strict=True))
        gaussian = replace(self.gaussian.with_data(responses), restricted=True)
        evaluated = None
        if gradient:
            evaluated = gaussian.without_factors(gaussian.evaluate(at, workspace))
        return MarginalSolution(model, found, gaussian, evaluated)

    def skewed(self, at: FloatArray, workspace: Workspace) -> MarginalSolution:
        """Return what the counts say at working parameters, with what means of linear predictors are above modes."""
        model = self.model_at(at)
        return MarginalSolution(model, self.evidence(model, workspace, []), self.gaussian, None)

    def evidence(
        self, model: FieldModel, workspace: Workspace, directions: list[SymmetricStencil] | None = None
    ) -> JointEvidence:
        """Return what the counts say of a model, going on from the mode that was found last."""
        prior, trend, counts = unknowns_of(model, self.shape), self.gaussian.trend, self.whole.counts
        b = self.whole.first if workspace.coefficients is None else workspace.coefficients
        mean = trend.combined(b)
        starts = [first_deviation(each, mean) for each in counts]
        if workspace.modes:
            starts = [moved(one, last, mean) for one, last in zip(counts, workspace.modes, strict=True)]
        factor = workspace.prior.of_field(prior)
        found = joint_evidence(prior, factor, counts, trend, workspace.posterior, starts, b, directions)
        workspace.modes[:], workspace.coefficients = found.places, found.coefficients
        return found

    def point(self, at: FloatArray, found: MarginalSolution) -> Point:
        """Return the approximate log-likelihood in nats, plus the log-prior, its gradient and average information."""
        prior, by_prior = self.log_prior(at)
        assert found.evaluated is not None
        gradient = found.evidence.by_directions @ self.jacobian(at) + by_prior
        information = found.gaussian.point(at, found.evaluated).information
        return Point(found.evidence.loglik + prior, gradient, information, None)

    def value(self, at: FloatArray, workspace: Workspace) -> float:
        """Return the approximate log-likelihood in nats, plus the log-prior, alone."""
        return self.evidence(self.model_at(at), workspace).loglik + self.log_prior(at)[0]

    def solution(self, found: MarginalSolution) -> MarginalSolution:
        """Return what was found."""
        return found
