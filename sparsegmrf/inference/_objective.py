"""The log-likelihood, or with priors the log-posterior, as a function of working parameters."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.linalg

from sparsegmrf._interval import Interval
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import SpectralDensity
from sparsegmrf.inference._evidence import Evidence, evidence
from sparsegmrf.inference._frame import Frame, Replicate
from sparsegmrf.inference._memo import Point, Workspace
from sparsegmrf.inference._null_vectors import NullVectors
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._parameters import Coordinates, FieldModel, is_alike_everywhere, scale_of, unknowns_of
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.inference._spectra import Spectra
from sparsegmrf.inference._spectral_evidence import spectral_evidence
from sparsegmrf.inference._trend import Trend
from sparsegmrf.priors import NOISE, Prior
from sparsegmrf.typing import FloatArray, Shape

if TYPE_CHECKING:
    from sparsegmrf.inference._problem import Problem

_STEP = 1e-4
_NOISE = 0.1
"""Noise variance to start from, relative to the field's."""
_PROBE = 64
"""Side in pixels of the lattice whose variance stands for that of a larger one."""


class Evaluated(NamedTuple):
    """Model and noise variance in the frame's unit, and the evidence there."""

    model: FieldModel
    noise_variance: float
    evidence: Evidence


class Solution(NamedTuple):
    """Model and noise variance in intensity at the best scale, the evidence in the frame, and that scale."""

    model: FieldModel
    noise_variance: float
    evidence: Evidence
    scale: float


@dataclass(frozen=True, eq=False)
class Objective:
    """Log-likelihood of free parameters, with the trend and, where it has one, the scale of the model profiled out.

    Models and noise variances that go in and come out are in intensity; numbers, evidence and scale are those of the
    frame's unit.

    Attributes
    ----------
    model : FieldModel
        At the start, in the frame's unit; a profiled scale stays there while the others are searched.
    free : tuple of str
        Parameters of the model that are estimated.
    scale : (str, float) or None
        Parameter that is profiled, and the exponent with which the precision grows with it.
    estimated : bool
        Whether the noise variance is estimated.
    images : tuple of Replicate
        In the frame; with unit weights if the noise variance is estimated.
    trend : Trend
        Covariates, in the frame.
    frame : Frame
        Levels and unit of the data.
    restricted : bool
        Whether the likelihood is the restricted one.
    priors : mapping of Prior
        By names of free parameters and ``noise_variance``. With one of these on the scale it is not profiled.
    spectra : Spectra or None
        Transforms of the images where these make the evidence a sum over frequencies.
    digits : str
        In which factors are kept, ``"double"`` or ``"single"``.
    """

    model: FieldModel
    free: tuple[str, ...]
    scale: tuple[str, float] | None
    estimated: bool
    images: tuple[Replicate, ...]
    trend: Trend
    frame: Frame
    restricted: bool
    priors: Mapping[str, Prior]
    spectra: Spectra | None = None
    digits: str = "double"

    @classmethod
    def of(cls, problem: "Problem", like: "Objective | None" = None) -> "Objective":
        """Return the objective of a problem with Gaussian noise, after looking at the null space of the model.

        Its numbers mean the same as those of another objective of the same model and noise, if one is given.
        """
        model, shape, given = problem.model, problem.shape, problem.observations
        field = unknowns_of(model, shape)
        nulls = [NullVectors.of(field, each.observed, each.combination) for each in given]
        trend = Trend.of(problem.covariates.names, problem.covariates.images, nulls)
        unit = (None if hasattr(model, "scaled") else 1.0) if like is None else like.frame.unit
        frame, images, trend = Frame.of(given, trend, nulls, estimated=problem.estimated, unit=unit)
        start = frame.inside(model)
        scale = None if like is None else like.scale
        if like is None and (problem.estimated or given[0].exact.any()):
            scale = scale_of(start, shape, problem.free)
        if scale is not None and (scale[0] in problem.priors or NOISE in problem.priors):
            scale = None
        if scale is not None:  # the model has none that counts, but its squares must be numbers
            start = start.replace(**{scale[0]: 1.0})
        restricted = problem.method == "reml"
        made = cls(start, problem.free, scale, problem.estimated, images, trend, frame, restricted, problem.priors)
        spectra = Spectra.of(spectral_density(model, shape), field, images, made.searched)
        return dataclasses.replace(made, spectra=spectra, digits=problem.digits)

    @classmethod
    def as_given(cls, problem: "Problem", working: tuple[Observations, ...]) -> "Objective":
        """Return the objective of working responses of a problem, in the unit they have, no scale profiled."""
        field = unknowns_of(problem.model, problem.shape)
        nulls = [NullVectors.of(field, each.observed, each.combination) for each in working]
        trend = Trend.of(problem.covariates.names, problem.covariates.images, nulls)
        frame, images, trend = Frame.as_given(working, trend, nulls)
        made = cls(problem.model, problem.free, None, False, images, trend, frame, False, problem.priors)
        return dataclasses.replace(made, digits=problem.digits)

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return (self.frame.rest.shape[1], self.frame.rest.shape[2])

    @property
    def searched(self) -> list[str]:
        """Parameters of the model that are searched."""
        return [name for name in self.free if self.scale is None or name != self.scale[0]]

    @property
    def names(self) -> list[str]:
        """Names of the working parameters."""
        return [*self.searched, *([NOISE] if self.estimated else [])]

    @property
    def n_observed(self) -> int:
        """Observed pixels of all images."""
        return sum(image.data.count for image in self.images)

    @property
    def degrees(self) -> int:
        """Dimension of what has the density: observed pixels less null vectors, and with REML less covariates."""
        return self.n_observed - self.trend.deficiency - (len(self.trend.names) if self.restricted else 0)

    def with_scale(self) -> "Objective":
        """Return the objective in which the scale is a parameter like the others."""
        return dataclasses.replace(self, scale=None)

    def with_data(self, data: tuple[Observations, ...]) -> "Objective":
        """Return the objective of other observations of the same pixels."""
        images = tuple(dataclasses.replace(each, data=new) for each, new in zip(self.images, data, strict=True))
        return dataclasses.replace(self, images=images, spectra=None)

    def start(self, model: FieldModel, noise_variance: float | FloatArray | None) -> FloatArray:
        """Return the working parameters of a model and a noise variance (None: a share of the field's variance)."""
        if self.scale is None:
            inside, shrunk = self.frame.inside(model), self.frame.unit**-2
        else:
            name, exponent = self.scale
            inside, shrunk = model, (model.parameters[name] / self.model.parameters[name]) ** exponent
        at = self.coordinates.outward([inside.parameters[name] for name in self.searched])
        if not self.estimated:
            return at
        variance = _NOISE * self._variance_of(self.model) if noise_variance is None else noise_variance * shrunk
        return np.append(at, np.log(variance))

    @property
    def origin(self) -> FloatArray:
        """The working parameters of the model given, at the variance of the data, a share of it being noise.

        Beside known noise a field far smaller says nothing: it starts at no less than a share of this.
        """
        model = self.model
        values = np.concatenate([each.data.seen for each in self.images])
        variance = float(np.mean(values * values))  # the frame has taken the level off, if there is one
        if self.scale is None and hasattr(model, "scaled") and variance > 0.0:
            weights = np.concatenate([each.data.weight[each.data.weight > 0.0] for each in self.images])
            if not self.estimated and len(weights):
                largest, share = 1.0 / float(weights.min()), weights.min() / weights
                least = _NOISE * max(variance, 1.0 / float(np.mean(weights)))
                variance = max(variance - largest * float(np.mean(share)), least)
            model = self.of_variance(variance)
        at = self.coordinates.outward([model.parameters[name] for name in self.searched])
        if not self.estimated:
            return at
        own = self._variance_of(model)
        rest = variance - own if self.scale is None else 0.0  # what a field whose scale is held leaves to the noise
        return np.append(at, np.log(max(_NOISE * own, rest)))

    def of_variance(self, variance: float) -> FieldModel:
        """Return the model scaled to a variance; as it is where it has no scale, or one that is held."""
        model = self.model
        own = self._variance_of(model) if hasattr(model, "scaled") else 0.0
        if not (own > 0.0 and variance > 0.0):
            return model
        moved: FieldModel = model.scaled(float(np.sqrt(variance / own)))  # type: ignore[attr-defined]
        held = [name for name in model.parameters if name not in self.free]
        return moved if all(moved.parameters[name] == model.parameters[name] for name in held) else model

    def unprofiled(self, solution: Solution) -> tuple["Objective", FloatArray]:
        """Return the objective with the scale among its parameters, and a solution as its numbers."""
        full = self.with_scale()
        return full, full.start(solution.model, solution.noise_variance)

    def parameters_at(self, at: FloatArray) -> tuple[FieldModel, float]:
        """Return the model (its profiled scale as at the start) and the noise variance of working parameters."""
        model, variance = self._parameters_at(at)
        return self.frame.outside(model), variance * self.frame.unit**2

    def model_at(self, at: FloatArray) -> FieldModel:
        """Return the model of working parameters."""
        return self.parameters_at(at)[0]

    def values_at(self, at: FloatArray) -> list[float]:
        """Return the searched parameters and the noise variance at working parameters."""
        values: list[float] = (self._values_at(at) * self._units).tolist()
        return values

    def jacobian(self, at: FloatArray) -> FloatArray:
        """Return the derivatives of the parameters (rows) by their working parameters (columns)."""
        return self._jacobian(at) * self._units[:, np.newaxis]

    def intervals(self, at: FloatArray) -> list[Interval]:
        """Return by number the interval of its parameter, the others held, on which its errors are taken."""
        model, _ = self.parameters_at(at)
        limits = model.limits(self.shape)
        return [Interval(*limits[name]) for name in self.searched] + [Interval(0.0, float("inf"))] * self.estimated

    @property
    def joint(self) -> frozenset[str]:
        """Searched parameters that are valid together, which have no interval of their own."""
        return self.coordinates.joint

    def evaluate(self, at: FloatArray, workspace: Workspace, *, gradient: bool = True) -> Evaluated:
        """Return the evidence at working parameters, and what it is made of."""
        model, variance = self._parameters_at(at)
        if hasattr(model, "is_inside") and not model.is_inside(self.shape):
            raise ArgumentError("parameters must be possible together.")  # what `gmrf` says has intervals, which cost
        density = None if self.spectra is None else spectral_density(model, self.shape)
        names = self.searched if gradient else None
        if density is not None and self.spectra is not None and self.spectra.fits(density, self.searched):
            noise = variance if self.estimated else 1.0
            own = spectral_evidence(density, self.spectra, noise, self.trend, names, restricted=self.restricted)
            return Evaluated(model, variance, own)
        images = self.images
        if self.estimated:
            images = tuple(
                dataclasses.replace(each, data=dataclasses.replace(each.data, weight=each.data.weight / variance))
                for each in images
            )
        field = unknowns_of(model, self.shape)
        if field.rank_deficiency != self.images[0].null.count:  # as where an anisotropy opens or closes a strait
            raise ArgumentError(
                f"parameters must leave the field its {self.images[0].null.count} null vectors, those of its connected "
                f"parts, got {field.rank_deficiency}."
            )
        directions = None
        if gradient:
            derivatives = model.derivatives(self.shape)
            directions = [derivatives[name] for name in self.searched]
        found = evidence(
            PriorPrecision.of(model.stencil(self.shape), field),
            workspace.prior.of_field(field),
            images,
            self.trend,
            workspace.posterior,
            directions,
            restricted=self.restricted,
        )
        return Evaluated(model, variance, found)

    def without_factors(self, evaluated: Evaluated) -> Evaluated:
        """Return what was evaluated without the factors behind it, which are most of the memory."""
        return evaluated._replace(evidence=dataclasses.replace(evaluated.evidence, solved=None))

    def point(self, at: FloatArray, evaluated: Evaluated) -> Point:
        """Return value, gradient and information at working parameters, priors included."""
        model, variance, found = evaluated
        c = found.best_scale if self.scale is not None else 1.0
        information = found.information() if self.scale is None else found.profiled_information()
        J = self._jacobian(at)
        if self.estimated:
            J[-1, -1] = 1.0  # the evidence has derivatives by the logarithm of the noise variance
        k = len(J)
        prior, by_prior = self.log_prior(at)
        gradient = found.gradient(c)[:k] @ J + by_prior
        curvature = J.T @ information[:k, :k] @ J - self._curvature_of_prior(at)
        share = variance / self._variance_given_others(model) if self.estimated else None
        return Point(self.loglik(found, c) + prior, gradient, curvature, share)

    def value(self, at: FloatArray, workspace: Workspace) -> float:
        """Return the log-likelihood in nats, plus the log-prior, alone: a third of the cost."""
        found = self.evaluate(at, workspace, gradient=False).evidence
        return self.loglik(found, found.best_scale if self.scale is not None else 1.0) + self.log_prior(at)[0]

    def solution(self, evaluated: Evaluated) -> Solution:
        """Return model and noise variance at the best scale, which is known where the others are."""
        model, variance, found = evaluated
        c = 1.0
        if self.scale is not None:
            c = found.best_scale
            name, exponent = self.scale
            model, variance = model.replace(**{name: model.parameters[name] * c ** (1.0 / exponent)}), variance / c
        return Solution(self.frame.outside(model), variance * self.frame.unit**2, found, c)

    def loglik(self, found: Evidence, scale: float = 1.0) -> float:
        """Return the log-density of the observations in intensity."""
        return found.loglik(scale) - self.degrees * float(np.log(self.frame.unit))

    def without_field(self) -> tuple[float, float, float] | None:
        """Return the log-likelihood of independent pixels about the trend, their variance, and its standard error.

        None where their variance is not among what is estimated. Priors are left aside.
        """
        if not self.estimated:
            return None
        y = np.concatenate([each.data.seen for each in self.images])  # less the trend
        square = float(y @ y) / self.degrees
        value = -0.5 * self.degrees * (np.log(2.0 * np.pi * square) + 1.0 + 2.0 * np.log(self.frame.unit))
        variance = square * self.frame.unit**2
        return float(value), variance, variance * float(np.sqrt(2.0 / self.degrees))

    def log_prior(self, at: FloatArray) -> tuple[float, FloatArray]:
        """Return the logarithm of the prior density of the working parameters that have one, and its gradient.

        Of parameters that are valid in a joint region it is the density of the parameters themselves.
        """
        total, gradient = 0.0, np.zeros(len(at))
        if self.priors:
            values, slopes = self._values_at(at) * self._units, self.jacobian(at)
            for k, (name, interval) in enumerate(zip(self.names, self._intervals, strict=True)):
                if name not in self.priors:
                    continue
                if name in self.coordinates.joint:
                    total += self.priors[name].log_density(float(values[k]))
                    gradient += self.priors[name].derivative(float(values[k])) * slopes[k]
                    continue
                value, slope = self.priors[name].on_real_line(float(values[k]), interval)
                total, gradient[k] = total + value, gradient[k] + slope
        return total, gradient

    def _curvature_of_prior(self, at: FloatArray) -> FloatArray:
        """Return the Hessian of the log-prior, by central differences."""
        if not self.priors:
            return np.zeros((len(at), len(at)))
        steps = _STEP * np.eye(len(at))
        slopes = np.array([self.log_prior(at + step)[1] - self.log_prior(at - step)[1] for step in steps])
        return np.asarray((slopes + slopes.T) / (4.0 * _STEP))

    def _parameters_at(self, at: FloatArray) -> tuple[FieldModel, float]:
        """Return model and noise variance in the frame."""
        values = self.coordinates.inward(at[: len(self.searched)])
        model = self.model.replace(**dict(zip(self.searched, values.tolist(), strict=True)))
        return model, float(np.exp(at[-1])) if self.estimated else 0.0

    def _values_at(self, at: FloatArray) -> FloatArray:
        values = self.coordinates.inward(at[: len(self.searched)])
        return np.append(values, np.exp(at[-1])) if self.estimated else values

    def _jacobian(self, at: FloatArray) -> FloatArray:
        J = self.coordinates.jacobian(at[: len(self.searched)])
        if self.estimated:
            J = np.asarray(scipy.linalg.block_diag(J, float(np.exp(at[-1]))))
        return J

    @cached_property
    def coordinates(self) -> Coordinates:
        """Working parameters of those that are searched, the noise variance left out."""
        return Coordinates.of(self.model, self.shape, self.searched)

    @property
    def _intervals(self) -> list[Interval]:
        return [*self.coordinates.intervals, *([Interval(0.0, float("inf"))] if self.estimated else [])]

    @cached_property
    def _units(self) -> FloatArray:
        """Parameters in intensity over those in the frame's unit."""
        outside = self.frame.outside(self.model).parameters
        inside = self.model.parameters
        units = [outside[name] / inside[name] if outside[name] != inside[name] else 1.0 for name in self.searched]
        return np.array([*units, *([self.frame.unit**2] if self.estimated else [])])

    @property
    def _combination(self) -> FloatArray | None:
        return self.images[0].data.combination

    def _variance_given_others(self, model: FieldModel) -> float:
        """Return the variance of what is observed of a pixel given all others, on average of a moderate lattice."""
        given_others = 1.0 / model.stencil(self._probe_of(model)).diagonal().mean(axis=(0, 1))
        weights = np.ones(1) if self._combination is None else self._combination
        return float(np.sum(weights * weights * given_others))

    def _variance_of(self, model: FieldModel) -> float:
        """Return the mean variance of what is observed of a field, on a lattice of moderate size."""
        variance = unknowns_of(model, self._probe_of(model)).marginal_variance()
        if self._combination is not None:
            variance = variance @ self._combination**2
        return float(variance.mean())

    def _probe_of(self, model: FieldModel) -> Shape:
        """Return the shape of a lattice that stands for that of the images: a smaller one if all pixels are alike."""
        height, width = self.shape
        alike = is_alike_everywhere(model, self.shape)
        return (min(height, _PROBE), min(width, _PROBE)) if alike else (height, width)


def spectral_density(model: Any, shape: Shape) -> SpectralDensity | None:
    """Return the variances by frequency of what is observed, if the model knows of any."""
    return model.spectral_density(shape) if hasattr(model, "spectral_density") else None
