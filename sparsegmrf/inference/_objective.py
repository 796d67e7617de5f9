"""The log-likelihood, or with priors the log-posterior, as a function of unconstrained numbers."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sparsegmrf.inference._evidence import Evidence, Trend, evidence
from sparsegmrf.inference._observations import Observations
from sparsegmrf.inference._parameters import FieldModel, Interval
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.inference.priors import NOISE, Prior
from sparsegmrf.typing import FloatArray, Shape

_STEP = 1e-4
_NOISE = 0.1
"""Noise variance to start from, relative to the field's."""


@dataclass(frozen=True, eq=False)
class Objective:
    """Log-likelihood of free parameters, with the trend and, where it has one, the scale of the model profiled out.

    Attributes
    ----------
    model : FieldModel
        At the start; a profiled scale stays there while the others are searched.
    free : list of str
        Parameters of the model that are estimated.
    scale : (str, float) or None
        Parameter that is profiled, and the exponent with which the precision grows with it.
    data : Observations
        With unit weights if the noise variance is estimated.
    estimated : bool
        Whether the noise variance is estimated.
    trend : Trend
        Covariates.
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
    restricted: bool
    priors: Mapping[str, Prior] = field(default_factory=dict)
    count: list[int] = field(default_factory=lambda: [0])
    _points: dict[bytes, tuple[float, FloatArray, FloatArray]] = field(default_factory=dict)
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
    ) -> "Objective":
        """Return the objective after looking at the null space of the model."""
        trend = Trend.of(names, columns, model.gmrf(data.values.shape), data)
        return cls(model, free, scale, data, estimated, trend, restricted, {} if priors is None else priors)

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

    def with_scale(self) -> "Objective":
        """Return the objective in which the scale is a parameter like the others."""
        return dataclasses.replace(self, scale=None, _points={}, _last={})

    def start(self, model: FieldModel, noise_variance: float | FloatArray | None) -> FloatArray:
        """Return the unconstrained numbers of a model and a noise variance (None: a share of the field's variance)."""
        intervals = self._intervals
        at = [interval.outward(model.parameters[name]) for name, interval in zip(self.searched, intervals, strict=True)]
        if self.estimated:
            if noise_variance is None:
                noise_variance = self._first_noise(model)
            at.append(float(np.log(noise_variance)))
        return np.array(at)

    def parameters_at(self, at: FloatArray) -> tuple[FieldModel, float]:
        """Return the model (its profiled scale as at the start) and the noise variance of unconstrained numbers."""
        values = {
            name: interval.inward(float(u))
            for name, interval, u in zip(self.searched, self._intervals, at, strict=False)
        }
        return self.model.replace(**values), float(np.exp(at[-1])) if self.estimated else 0.0

    def values_at(self, at: FloatArray) -> list[float]:
        """Return the searched parameters and the noise variance at unconstrained numbers."""
        values = [each.inward(float(u)) for each, u in zip(self._intervals, at, strict=False)]
        return [*values, *([float(np.exp(at[-1]))] if self.estimated else [])]

    def jacobian(self, at: FloatArray) -> FloatArray:
        """Return the derivatives of the parameters by their unconstrained numbers."""
        intervals = self._intervals
        slopes = [each.slope(each.inward(float(u))) for each, u in zip(intervals, at[: len(intervals)], strict=True)]
        return np.array([*slopes, *([float(np.exp(at[-1]))] if self.estimated else [])])

    def __call__(self, at: FloatArray) -> tuple[float, FloatArray]:
        """Return the log-likelihood in nats, plus the log-prior, and the gradient."""
        return self._point(at)[:2]

    def value(self, at: FloatArray) -> float:
        """Return the log-likelihood in nats, plus the log-prior, alone: a third of the cost."""
        _, _, found = self._evaluate(at, gradient=False)
        return found.loglik(found.best_scale if self.scale is not None else 1.0) + self.log_prior(at)[0]

    def information(self, at: FloatArray) -> FloatArray:
        """Return the average information, plus minus the Hessian of the log-prior."""
        return self._point(at)[2]

    def _point(self, at: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Return value, gradient and information; those of a point seen before are remembered."""
        key = _key(at)
        if key not in self._points:
            self._points[key] = self._evaluate_point(at)
        return self._points[key]

    def _evaluate_point(self, at: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        model, variance, found = self._evaluate(at, gradient=True)
        self._last.clear()  # the images in the evidence are kept of one point only
        self._last[_key(at)] = model, variance, found
        c = found.best_scale if self.scale is not None else 1.0
        information = found.information() if self.scale is None else found.profiled_information()
        slopes = self.jacobian(at)
        if self.estimated:
            slopes[-1] = 1.0
        k = len(slopes)
        prior, by_prior = self.log_prior(at)
        gradient = found.gradient(c)[:k] * slopes + by_prior
        return found.loglik(c) + prior, gradient, information[:k, :k] * np.outer(slopes, slopes) - self._curvature(at)

    def _curvature(self, at: FloatArray) -> FloatArray:
        """Return the Hessian of the log-prior, by central differences: priors are independent."""
        steps = _STEP * np.eye(len(at))
        slopes = [self.log_prior(at + step)[1] - self.log_prior(at - step)[1] for step in steps if self.priors]
        return np.reshape(slopes, (len(at), len(at))) / (2.0 * _STEP) if slopes else np.zeros((len(at), len(at)))

    def log_prior(self, at: FloatArray) -> tuple[float, FloatArray]:
        """Return the logarithm of the prior density of the unconstrained numbers that have one, and its gradient."""
        total, gradient = 0.0, np.zeros(len(at))
        if self.priors:
            intervals = [*self._intervals, *([Interval(0.0, float("inf"))] if self.estimated else [])]
            for k, (name, interval) in enumerate(zip(self.names, intervals, strict=True)):
                if name in self.priors:
                    value, gradient[k] = self.priors[name].on_real_line(interval.inward(float(at[k])), interval)
                    total += value
        return total, gradient

    def solution(self, at: FloatArray) -> tuple[FieldModel, float, Evidence, float]:
        """Return the model and the noise variance at the best scale, the evidence, and that scale."""
        model, variance, found = self._last.get(_key(at)) or self._evaluate(at, gradient=False)
        if self.scale is None:
            return model, variance, found, 1.0
        c = found.best_scale
        name, exponent = self.scale
        return model.replace(**{name: model.parameters[name] * c ** (1.0 / exponent)}), variance / c, found, c

    def _evaluate(self, at: FloatArray, gradient: bool) -> tuple[FieldModel, float, Evidence]:
        self.count[0] += 1
        model, variance = self.parameters_at(at)
        data = self.data
        if self.estimated:
            data = dataclasses.replace(data, weight=data.weight / variance)
        field = model.gmrf(self.shape)
        directions = None
        if gradient:
            derivatives = model.derivatives(self.shape)
            directions = [derivatives[name] for name in self.searched]
        found = evidence(
            model.stencil(self.shape),
            self._prior.of_field(field),
            data,
            self.trend,
            self._posterior,
            directions,
            restricted=self.restricted,
        )
        return model, variance, found

    @cached_property
    def _intervals(self) -> list[Interval]:
        limits = self.model.limits(self.shape)
        return [Interval(*limits[name]) for name in self.searched]

    def _first_noise(self, model: FieldModel) -> float:
        """Return a share of the model's variance, or of the image's where the model's scale is not profiled."""
        values = self.data.values[self.data.observed]
        if self.scale is None:
            return _NOISE * float(values.var())
        return _NOISE * float(model.gmrf(self.shape).marginal_variance().mean())


def _key(at: FloatArray) -> bytes:
    return np.ascontiguousarray(at, dtype=np.float64).tobytes()
