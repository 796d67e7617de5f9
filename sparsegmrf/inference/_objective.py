"""The log-likelihood, or with priors the log-posterior, as a function of unconstrained numbers."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.linalg

from sparsegmrf.inference._evidence import Evidence, evidence
from sparsegmrf.inference._frame import Frame
from sparsegmrf.inference._null_vectors import NullVectors
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._parameters import Coordinates, FieldModel, Interval
from sparsegmrf.inference._prior_precision import PriorPrecision
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.inference._trend import Trend
from sparsegmrf.inference.priors import NOISE, Prior
from sparsegmrf.typing import FloatArray, Shape

_STEP = 1e-4
_NOISE = 0.1
"""Noise variance to start from, relative to the field's."""
_PROBE = 64
"""Side in pixels of the lattice whose variance stands for that of a larger one."""


class Point(NamedTuple):
    """Value in nats, gradient and information at a point, and the noise variance over that of a pixel given others."""

    value: float
    gradient: FloatArray
    information: FloatArray
    noise_share: float


@dataclass(frozen=True, eq=False)
class Objective:
    """Log-likelihood of free parameters, with the trend and, where it has one, the scale of the model profiled out.

    Models and noise variances that go in and come out are in intensity; numbers, evidence and scale are those of the
    frame's unit.

    Attributes
    ----------
    model : FieldModel
        At the start, in the frame's unit; a profiled scale stays there while the others are searched.
    free : list of str
        Parameters of the model that are estimated.
    scale : (str, float) or None
        Parameter that is profiled, and the exponent with which the precision grows with it.
    data : Observations
        In the frame; with unit weights if the noise variance is estimated.
    estimated : bool
        Whether the noise variance is estimated.
    trend : Trend
        Covariates, in the frame.
    null : NullVectors
        What the field adds at no cost.
    frame : Frame
        Level and unit of the data.
    restricted : bool
        Whether the likelihood is the restricted one.
    priors : mapping of Prior
        By names of free parameters and ``noise_variance``. With one of these on the scale it must not be profiled.
    count : list of int
        Evaluations so far, in its first entry.
    """

    model: FieldModel
    free: list[str]
    scale: tuple[str, float] | None
    data: Observations
    estimated: bool
    trend: Trend
    null: NullVectors
    frame: Frame
    restricted: bool
    priors: Mapping[str, Prior] = field(default_factory=dict)
    count: list[int] = field(default_factory=lambda: [0])
    _points: dict[bytes, Point] = field(default_factory=dict)
    _last: dict[bytes, tuple[FieldModel, float, Evidence]] = field(default_factory=dict)
    _prior: Refactorizer = field(default_factory=Refactorizer)
    _posterior: Refactorizer = field(default_factory=Refactorizer)

    @classmethod
    def of(
        cls,
        model: FieldModel,
        free: list[str],
        scale: tuple[str, float] | None,
        data: Observations,
        estimated: bool,
        names: tuple[str, ...],
        columns: FloatArray,
        *,
        restricted: bool,
        priors: Mapping[str, Prior] | None = None,
        as_given: bool = False,
        unit: float | None = None,
    ) -> "Objective":
        """Return the objective after looking at the null space of the model.

        `as_given` takes the data as they are. With a `unit` the model is in it already.
        """
        null = NullVectors.of(model.gmrf(data.values.shape), data.observed, data.combination)
        trend = Trend.of(names, columns, null)
        if as_given:
            frame = Frame.as_given(data, trend)
        else:
            own = None if hasattr(model, "scaled") else 1.0
            frame, data, trend = Frame.of(data, trend, null, estimated=estimated, unit=unit or own)
        # Where the scale is profiled the model has none that counts.
        start = model if unit is not None or scale is not None else frame.inside(model)
        known = {} if priors is None else priors
        return cls(start, free, scale, data, estimated, trend, null, frame, restricted, known)

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return (self.data.values.shape[0], self.data.values.shape[1])

    @property
    def searched(self) -> list[str]:
        """Parameters of the model that are searched."""
        return [name for name in self.free if self.scale is None or name != self.scale[0]]

    @property
    def names(self) -> list[str]:
        """Names of the unconstrained numbers."""
        return [*self.searched, *([NOISE] if self.estimated else [])]

    @property
    def degrees(self) -> int:
        """Dimension of what has the density: observed pixels less null vectors, and with REML less covariates."""
        return self.data.count - self.trend.deficiency - (len(self.trend.columns) if self.restricted else 0)

    def with_scale(self) -> "Objective":
        """Return the objective in which the scale is a parameter like the others."""
        return dataclasses.replace(self, scale=None, _points={}, _last={})

    def with_data(self, data: Observations) -> "Objective":
        """Return the objective of other observations of the same pixels, counted anew."""
        return dataclasses.replace(self, data=data, count=[0], _points={}, _last={})

    def start(self, model: FieldModel, noise_variance: float | FloatArray | None) -> FloatArray:
        """Return the unconstrained numbers of a model and a noise variance (None: a share of the field's variance)."""
        if self.scale is None:
            inside, shrunk = self.frame.inside(model), self.frame.unit**-2
        else:
            name, exponent = self.scale
            inside, shrunk = model, (model.parameters[name] / self.model.parameters[name]) ** exponent
        at = self._coordinates.outward([inside.parameters[name] for name in self.searched])
        if not self.estimated:
            return at
        variance = _NOISE * self._variance_of(self.model) if noise_variance is None else noise_variance * shrunk
        return np.append(at, np.log(variance))

    @property
    def origin(self) -> FloatArray:
        """The unconstrained numbers of the model given, at the variance of the data, a share of it being noise."""
        model = self.model
        values = self.data.values[self.data.observed]
        variance = float(np.mean(values * values))  # the frame has taken the level off, if there is one
        if self.scale is None and hasattr(model, "scaled") and variance > 0.0:
            if not self.estimated and self.data.weight.any():
                noise = float(np.mean(1.0 / self.data.weight[self.data.weight > 0.0]))
                variance = max(variance - noise, _NOISE * variance)
            own = self._variance_of(model)
            moved = model.scaled(float(np.sqrt(variance / own))) if own > 0.0 else model
            if all(
                moved.parameters[name] == value for name, value in model.parameters.items() if name not in self.free
            ):
                model = moved
        at = self._coordinates.outward([model.parameters[name] for name in self.searched])
        return np.append(at, np.log(_NOISE * self._variance_of(model))) if self.estimated else at

    def unprofiled(self, at: FloatArray) -> tuple["Objective", FloatArray]:
        """Return the objective with the scale among its parameters, and the same point as its numbers."""
        if self.scale is None:
            return self, at
        full = self.with_scale()
        return full, full.start(*self.solution(at)[:2])

    def parameters_at(self, at: FloatArray) -> tuple[FieldModel, float]:
        """Return the model (its profiled scale as at the start) and the noise variance of unconstrained numbers."""
        model, variance = self._parameters_at(at)
        return self.frame.outside(model), variance * self.frame.unit**2

    def values_at(self, at: FloatArray) -> list[float]:
        """Return the searched parameters and the noise variance at unconstrained numbers."""
        values: list[float] = (self._values_at(at) * self._units).tolist()
        return values

    def jacobian(self, at: FloatArray) -> FloatArray:
        """Return the derivatives of the parameters (rows) by their unconstrained numbers (columns)."""
        return self._jacobian(at) * self._units[:, np.newaxis]

    def intervals(self, at: FloatArray) -> list[Interval]:
        """Return by number the interval of its parameter, the others held, on which its errors are taken."""
        model, _ = self.parameters_at(at)
        limits = model.limits(self.shape)
        return [Interval(*limits[name]) for name in self.searched] + [Interval(0.0, float("inf"))] * self.estimated

    def __call__(self, at: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood in nats, plus the log-prior, and the gradient."""
        point = self._point(at)
        return point.value, point.gradient

    def value(self, at: FloatArray) -> float:
        """Return the log-likelihood in nats, plus the log-prior, alone: a third of the cost."""
        found = self._evaluate(at, gradient=False)[2]
        return self.loglik(found, found.best_scale if self.scale is not None else 1.0) + self.log_prior(at)[0]

    def loglik(self, found: Evidence, scale: float = 1.0) -> float:
        """Return the log-density of the observations in intensity."""
        return found.loglik(scale) - self.degrees * float(np.log(self.frame.unit))

    def information(self, at: FloatArray) -> FloatArray:
        """Return the average information, plus minus the Hessian of the log-prior."""
        return self._point(at).information

    def noise_share(self, at: FloatArray) -> float | None:
        """Return the noise variance over the variance of a pixel of the field given all others, if it is estimated."""
        return self._point(at).noise_share if self.estimated else None

    def without_field(self) -> tuple[float, float, float] | None:
        """Return the log-likelihood of independent pixels about the trend, their variance, and its standard error.

        None where their variance is not among what is estimated.
        """
        if not self.estimated or self.priors:
            return None
        y = self.data.values[self.data.observed]  # the frame has taken the trend off
        square = float(y @ y) / self.degrees
        value = -0.5 * self.degrees * (np.log(2.0 * np.pi * square) + 1.0 + 2.0 * np.log(self.frame.unit))
        variance = square * self.frame.unit**2
        return float(value), variance, variance * float(np.sqrt(2.0 / self.degrees))

    def log_prior(self, at: FloatArray) -> tuple[float, FloatArray]:
        """Return the logarithm of the prior density of the unconstrained numbers that have one, and its gradient.

        Of parameters that are valid in a joint region it is the density of the parameters themselves.
        """
        total, gradient = 0.0, np.zeros(len(at))
        if self.priors:
            values, slopes = self._values_at(at) * self._units, self.jacobian(at)
            for k, (name, interval) in enumerate(zip(self.names, self._intervals, strict=True)):
                if name not in self.priors:
                    continue
                if name in self._coordinates.joint:
                    total += self.priors[name].log_density(float(values[k]))
                    gradient += self.priors[name].derivative(float(values[k])) * slopes[k]
                    continue
                value, slope = self.priors[name].on_real_line(float(values[k]), interval)
                total, gradient[k] = total + value, gradient[k] + slope
        return total, gradient

    def solution(self, at: FloatArray) -> tuple[FieldModel, float, Evidence, float]:
        """Return the model and the noise variance at the best scale, the evidence in the frame, and that scale."""
        model, variance, found = self._last.get(_key(at)) or self._evaluate(at, gradient=False)
        c = 1.0
        if self.scale is not None:
            c = found.best_scale
            name, exponent = self.scale
            model, variance = model.replace(**{name: model.parameters[name] * c ** (1.0 / exponent)}), variance / c
        return self.frame.outside(model), variance * self.frame.unit**2, found, c

    def _point(self, at: FloatArray) -> Point:
        """Return what is known of a point; one seen before is remembered."""
        key = _key(at)
        if key not in self._points:
            self._points[key] = self._evaluate_point(at)
        return self._points[key]

    def _evaluate_point(self, at: FloatArray) -> Point:
        model, variance, found = self._evaluate(at, gradient=True)
        self._last.clear()  # the images in the evidence are kept of one point only
        self._last[_key(at)] = model, variance, found
        c = found.best_scale if self.scale is not None else 1.0
        information = found.information() if self.scale is None else found.profiled_information()
        J = self._jacobian(at)
        if self.estimated:
            J[-1, -1] = 1.0  # the evidence has derivatives by the logarithm of the noise variance
        k = len(J)
        prior, by_prior = self.log_prior(at)
        gradient = found.gradient(c)[:k] @ J + by_prior
        curvature = J.T @ information[:k, :k] @ J - self._curvature(at)
        share = variance / self._variance_given_others(model) if self.estimated else 0.0
        return Point(self.loglik(found, c) + prior, gradient, curvature, share)

    def _curvature(self, at: FloatArray) -> FloatArray:
        """Return the Hessian of the log-prior, by central differences."""
        if not self.priors:
            return np.zeros((len(at), len(at)))
        steps = _STEP * np.eye(len(at))
        slopes = np.array([self.log_prior(at + step)[1] - self.log_prior(at - step)[1] for step in steps])
        return np.asarray((slopes + slopes.T) / (4.0 * _STEP))

    def _parameters_at(self, at: FloatArray) -> tuple[FieldModel, float]:
        """Return model and noise variance in the frame."""
        values = self._coordinates.inward(at[: len(self.searched)])
        model = self.model.replace(**dict(zip(self.searched, values.tolist(), strict=True)))
        return model, float(np.exp(at[-1])) if self.estimated else 0.0

    def _values_at(self, at: FloatArray) -> FloatArray:
        values = self._coordinates.inward(at[: len(self.searched)])
        return np.append(values, np.exp(at[-1])) if self.estimated else values

    def _jacobian(self, at: FloatArray) -> FloatArray:
        J = self._coordinates.jacobian(at[: len(self.searched)])
        if self.estimated:
            J = np.asarray(scipy.linalg.block_diag(J, float(np.exp(at[-1]))))
        return J

    def _evaluate(self, at: FloatArray, gradient: bool) -> tuple[FieldModel, float, Evidence]:
        self.count[0] += 1
        model, variance = self._parameters_at(at)
        data = self.data
        if self.estimated:
            data = dataclasses.replace(data, weight=data.weight / variance)
        field = model.gmrf(self.shape)
        directions = None
        if gradient:
            derivatives = model.derivatives(self.shape)
            directions = [derivatives[name] for name in self.searched]
        stencil = model.stencil(self.shape)
        found = evidence(
            PriorPrecision.of(stencil, field),
            self._prior.of_field(field),
            data,
            self.trend,
            self._posterior,
            directions,
            restricted=self.restricted,
        )
        return model, variance, found

    @cached_property
    def _coordinates(self) -> Coordinates:
        return Coordinates.of(self.model, self.shape, self.searched)

    @property
    def _intervals(self) -> list[Interval]:
        return [*self._coordinates.intervals, *([Interval(0.0, float("inf"))] if self.estimated else [])]

    @cached_property
    def _units(self) -> FloatArray:
        """Parameters in intensity over those in the frame's unit."""
        outside = self.frame.outside(self.model).parameters
        inside = self.model.parameters
        units = [outside[name] / inside[name] if outside[name] != inside[name] else 1.0 for name in self.searched]
        return np.array([*units, *([self.frame.unit**2] if self.estimated else [])])

    def _variance_given_others(self, model: FieldModel) -> float:
        """Return the variance of what is observed of a pixel of the field given all other pixels, on average."""
        given_others = 1.0 / model.stencil(self.shape).diagonal().mean(axis=(0, 1))
        weights = np.ones(1) if self.data.combination is None else self.data.combination
        return float(np.sum(weights * weights * given_others))

    def _variance_of(self, model: FieldModel) -> float:
        """Return the mean variance of what is observed of a field, on a lattice of moderate size."""
        shape = self.shape
        if hasattr(model, "cropped"):
            probe = min(shape[0], _PROBE), min(shape[1], _PROBE)
            shape = probe if model.cropped(slice(0, probe[0]), slice(0, probe[1])) is model else shape
        variance = model.gmrf(shape).marginal_variance()
        if self.data.combination is not None:
            variance = variance @ self.data.combination**2
        return float(variance.mean())


def _key(at: FloatArray) -> bytes:
    return np.ascontiguousarray(at, dtype=np.float64).tobytes()
