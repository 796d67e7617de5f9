"""The posterior density of one parameter."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sparsegmrf._field_types import check_types
from sparsegmrf._interval import Interval
from sparsegmrf._saved import Saved, check_names
from sparsegmrf._validate import finite_number, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import ArrayLike, FloatArray

_FIELDS = ("name", "interval", "values", "density", "numbers", "by_number")


@dataclass(frozen=True, eq=False, repr=False)
class ParameterDensity(Saved):
    """Posterior density of one parameter, the others integrated out.

    It is kept on the scale of the parameter's working number (the logarithm of what is positive), on which it is near a
    normal one; ``plt.plot(density.values, density.density)`` draws it.

    Attributes
    ----------
    name : str
        The parameter.
    values : ndarray, (M,)
        Values of the parameter, increasing.
    density : ndarray, (M,)
        Density there, by the parameter itself.
    """

    name: str
    values: FloatArray
    density: FloatArray
    _interval: Interval
    _numbers: FloatArray
    _by_number: FloatArray

    @classmethod
    def of(cls, name: str, interval: Interval, numbers: FloatArray, weights: FloatArray) -> "ParameterDensity":
        """Return the density of weights by increasing working numbers, which need not integrate to one."""
        by_number = np.maximum(weights, 0.0)
        by_number = by_number / np.sum(by_number * np.gradient(numbers))
        values = np.array([interval.inward(float(u)) for u in numbers])
        slopes = np.array([interval.slope(float(v)) for v in values])
        return cls(name, values, by_number / slopes, interval, numbers, by_number)

    @property
    def mean(self) -> float:
        """Expectation, in the parameter's unit, over the values; `median` does not depend on a long tail."""
        return float(np.sum(self._masses * self.values))

    @property
    def std(self) -> float:
        """Standard deviation, in the parameter's unit, over the values."""
        return float(np.sqrt(np.sum(self._masses * (self.values - self.mean) ** 2)))

    @property
    def median(self) -> float:
        """The value that is exceeded with probability one half."""
        return self.quantile(0.5)

    def pdf(self, value: ArrayLike) -> FloatArray:
        """Return the density at values of the parameter; zero beyond those of `values`."""
        at = real_array("value", value)
        inside = (at >= self.values[0]) & (at <= self.values[-1])
        flat = np.where(inside, at, self.values[0]).ravel()
        slopes = np.array([self._interval.slope(float(v)) for v in flat]).reshape(at.shape)
        return np.where(inside, np.nan_to_num(self._curve(self._outward(flat).reshape(at.shape))) / slopes, 0.0)

    def cdf(self, value: ArrayLike) -> FloatArray:
        """Return the probability of being no larger than values of the parameter."""
        at = np.clip(real_array("value", value), self.values[0], self.values[-1])
        numbers = np.clip(self._outward(at.ravel()), self._numbers[0], self._numbers[-1])
        return np.asarray(self._distribution(numbers.reshape(at.shape)))

    def quantile(self, probability: float) -> float:
        """Return the value that is not exceeded with a probability between 0 and 1.

        Raises
        ------
        ArgumentError
            If the probability is not between 0 and 1.
        """
        from scipy.optimize import brentq

        wanted = finite_number("probability", probability)
        if not 0.0 < wanted < 1.0:
            raise ArgumentError(f"probability must lie between 0 and 1, got {wanted:g}.")
        number = brentq(lambda u: float(self._distribution(u)) - wanted, self._numbers[0], self._numbers[-1])
        return self._interval.inward(float(number))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval between whose ends the parameter lies with probability `level`, alike beyond either."""
        tail = 0.5 * (1.0 - finite_number("level", level))
        return self.quantile(tail), self.quantile(1.0 - tail)

    def _saved_fields(self) -> dict[str, object]:
        """Return the density, and the interval of the parameter, which makes its working number."""
        return {
            "name": self.name,
            "interval": (self._interval.low, self._interval.high),
            "values": self.values,
            "density": self.density,
            "numbers": self._numbers,
            "by_number": self._by_number,
        }

    @classmethod
    def _from_saved(cls, given: Mapping[str, Any]) -> Saved:
        check_names(cls, given, dict.fromkeys(_FIELDS), _FIELDS)
        ends = given["interval"]
        if not isinstance(ends, tuple) or len(ends) != 2 or not all(isinstance(end, float) for end in ends):
            raise ArgumentError(f"interval of {cls.__name__} must be two numbers, got {ends!r}.")
        named = {"_interval": Interval(*ends), "_numbers": given["numbers"], "_by_number": given["by_number"]}
        whole = {**{each: given[each] for each in ("name", "values", "density")}, **named}
        check_types(cls, whole)
        arrays = [given[each] for each in _FIELDS[2:]]
        count = len(arrays[0])
        if count < 2 or not all(each.shape == (count,) and np.isfinite(each).all() for each in arrays):
            raise ArgumentError(f"{cls.__name__} must have arrays of one length of at least 2, of finite numbers.")
        if not all((np.diff(given[each]) > 0.0).all() for each in ("values", "numbers")):
            raise ArgumentError(f"values and numbers of {cls.__name__} must increase.")
        return cls(**whole)

    @property
    def _masses(self) -> FloatArray:
        return np.asarray(self._by_number * np.gradient(self._numbers))

    @cached_property
    def _curve(self):  # type: ignore[no-untyped-def]
        from scipy.interpolate import PchipInterpolator

        return PchipInterpolator(self._numbers, self._by_number)

    @cached_property
    def _distribution(self):  # type: ignore[no-untyped-def]
        from scipy.interpolate import PchipInterpolator

        integral = self._curve.antiderivative()
        whole = integral(self._numbers) - integral(self._numbers[0])
        return PchipInterpolator(self._numbers, whole / whole[-1])

    def _outward(self, values: FloatArray) -> FloatArray:
        return np.array([self._interval.outward(float(v)) for v in values])

    def __repr__(self) -> str:
        low, high = self.interval(0.95)
        return f"ParameterDensity({self.name}, median={self.median:.4g}, 95% in ({low:.4g}, {high:.4g}))"
