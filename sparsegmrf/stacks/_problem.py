"""A stack with its dates, what is asked of it, and the model to start from: checked once, then trusted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sparsegmrf.inference._parameters import Coordinates, scale_of
from sparsegmrf.stacks._evidence import StackModel
from sparsegmrf.stacks._observed import StackData
from sparsegmrf.stacks._seasons import Seasons, check_told_apart
from sparsegmrf.typing import BoolArray, FloatArray, Shape

OF_COEFFICIENTS = "_mean"
"""What is appended to the names of the parameters of the seasonal mean's coefficients."""
ELL, NOISE = "ell", "noise_variance"


@dataclass(frozen=True, eq=False)
class StackProblem:
    """Images of a stack in its own unit and order, and which parameters are estimated; immutable.

    Attributes
    ----------
    values : ndarray, (T, H, W)
        Observations less `level`, in `unit`; zero where missing.
    observed : ndarray of bool, (T, H, W)
        Where there is one that counts.
    days : ndarray, (T,)
        Dates in days.
    seasons : Seasons
        The mean.
    start : StackModel
        The model to start from, in `unit`.
    fixed : tuple of str
        Parameters that are held.
    unit, level : float
        A power of two, and what is taken off before.
    """

    values: FloatArray
    observed: BoolArray
    days: FloatArray
    seasons: Seasons
    start: StackModel
    fixed: tuple[str, ...]
    unit: float
    level: float

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return (self.values.shape[1], self.values.shape[2])

    @cached_property
    def dates(self) -> FloatArray:
        """Dates that differ, in order."""
        return np.unique(self.days)

    @cached_property
    def scale_of_coefficients(self) -> str | None:
        """The parameter of the coefficients' model that stands for their scale: the deviations do instead."""
        model = self.start.coefficients
        found = scale_of(model, self.shape, list(model.parameters))
        return None if found is None else found[0]

    @property
    def names(self) -> list[str]:
        """Names of all parameters: of the field, in time, of the mean, and of the noise."""
        own, many = list(self.start.field.parameters), bool(self.seasons.groups)
        of_c = [f"{name}{OF_COEFFICIENTS}" for name in self._of_coefficients] if many else []
        return [*own, *([ELL] if len(self.dates) > 1 else []), *of_c, *self.seasons.deviations, NOISE]

    @property
    def free(self) -> list[str]:
        """Names of those which are estimated; the noise is the last."""
        return [name for name in self.names if name not in self.fixed]

    @property
    def _of_coefficients(self) -> list[str]:
        return [name for name in self.start.coefficients.parameters if name != self.scale_of_coefficients]

    def values_of(self, model: StackModel) -> dict[str, float]:
        """Return the parameters of a model by name."""
        found = {**model.field.parameters, ELL: model.ell, NOISE: model.noise_variance}
        found |= {f"{name}{OF_COEFFICIENTS}": model.coefficients.parameters[name] for name in self._of_coefficients}
        found |= dict(zip(self.seasons.deviations, model.deviations, strict=True))
        return {name: float(found[name]) for name in self.names}

    def model_of(self, values: dict[str, float], like: StackModel) -> StackModel:
        """Return a model with some parameters changed."""
        own = {name: values[name] for name in like.field.parameters if name in values}
        of_c = {
            name: values[f"{name}{OF_COEFFICIENTS}"]
            for name in self._of_coefficients
            if f"{name}{OF_COEFFICIENTS}" in values
        }
        deviations = [values.get(name, old) for name, old in zip(self.seasons.deviations, like.deviations, strict=True)]
        return StackModel(
            like.field.replace(**own) if own else like.field,
            values.get(ELL, like.ell),
            like.coefficients.replace(**of_c) if of_c else like.coefficients,
            tuple(deviations),
            values.get(NOISE, like.noise_variance),
        )

    def outside(self, model: StackModel) -> StackModel:
        """Return a model in intensity."""
        return scaled(model, self.unit)

    def data(self, rows: slice | None = None, columns: slice | None = None, more: Sequence[float] = ()) -> StackData:
        """Return the observations on a window, with dates at which there are none."""
        height, width = self.shape
        i, j = np.arange(height)[rows or slice(None)], np.arange(width)[columns or slice(None)]
        days = np.unique(np.concatenate([self.days, np.asarray(more, dtype=np.float64)]))
        T, U, n = len(self.days), len(days), len(i) * len(j)
        seasons = self.seasons
        blank = StackData(
            days,
            (len(i), len(j)),
            np.zeros((U, n)),
            np.zeros((U, n)),
            seasons.basis(days),
            seasons.groups,
            seasons.columns(days, i, j),
            0,
            0.0,
            0.0,
        )
        window = np.ix_(np.arange(T), i, j)
        weights = self.observed[window].reshape(T, n).astype(np.float64)
        return blank.weighted(self.values[window].reshape(T, n), weights, np.searchsorted(days, self.days))

    def without(self, mask: BoolArray) -> "StackProblem":
        """Return the problem without some observations."""
        return replace(self, observed=self.observed & ~mask)

    def starting_at(self, model: StackModel) -> "StackProblem":
        """Return the problem that starts at a model."""
        return replace(self, start=model)

    def check(self) -> None:
        """Refuse a trend that the observations do not tell."""
        data = self.data()
        check_told_apart(data.covariates, self.seasons.names, data.weight)


def cropped(model: StackModel, rows: slice, columns: slice) -> StackModel:
    """Return a model on a window of its lattice."""
    return replace(
        model, field=model.field.cropped(rows, columns), coefficients=model.coefficients.cropped(rows, columns)
    )


def scaled(model: StackModel, factor: float) -> StackModel:
    """Return the model of `factor` times the stack."""
    return replace(
        model,
        field=model.field.scaled(factor),
        deviations=tuple(each * factor for each in model.deviations),
        noise_variance=model.noise_variance * factor**2,
    )


@dataclass(frozen=True, eq=False)
class Numbers:
    """Working parameters: numbers on the real line for the parameters that are estimated."""

    problem: StackProblem
    field: Coordinates
    coefficients: Coordinates

    @classmethod
    def of(cls, problem: StackProblem, shape: Shape, start: StackModel) -> "Numbers":
        """Return the numbers of a problem's free parameters on a lattice."""
        free = problem.free
        own = [name for name in start.field.parameters if name in free]
        of_c = [name for name in start.coefficients.parameters if f"{name}{OF_COEFFICIENTS}" in free]
        field, coefficients = (
            Coordinates.of(model, shape, names) for model, names in ((start.field, own), (start.coefficients, of_c))
        )
        return cls(problem, field, coefficients)

    @property
    def names(self) -> list[str]:
        """Names in the order of the numbers."""
        of_c = [f"{name}{OF_COEFFICIENTS}" for name in self.coefficients.names]
        return [*self.field.names, *of_c, *self._logarithms]

    @property
    def _logarithms(self) -> list[str]:
        """Parameters whose logarithm is the number; the noise is the last."""
        return [name for name in (ELL, *self.problem.seasons.deviations, NOISE) if name in self.problem.free]

    @property
    def _parts(self) -> tuple[slice, slice, slice]:
        a, b = len(self.field.names), len(self.coefficients.names)
        return slice(0, a), slice(a, a + b), slice(a + b, None)

    def values(self, at: FloatArray) -> dict[str, float]:
        """Return the parameters of numbers."""
        one, two, three = self._parts
        values = [*self.field.inward(at[one]), *self.coefficients.inward(at[two]), *np.exp(at[three])]
        return dict(zip(self.names, map(float, values), strict=True))

    def numbers(self, values: dict[str, float]) -> FloatArray:
        """Return the numbers of parameters."""
        own = [values[name] for name in self.field.names]
        of_c = [values[f"{name}{OF_COEFFICIENTS}"] for name in self.coefficients.names]
        rest = np.log([values[name] for name in self._logarithms])
        return np.concatenate([self.field.outward(own), self.coefficients.outward(of_c), rest])

    def jacobian(self, at: FloatArray) -> FloatArray:
        """Return derivatives of parameters (rows), or of those that are logarithms, by the numbers (columns)."""
        one, two, _ = self._parts
        J = np.eye(len(at))
        J[one, one], J[two, two] = self.field.jacobian(at[one]), self.coefficients.jacobian(at[two])
        return J

    @property
    def in_evidence(self) -> list[str]:
        """What `Evidence.gradient` calls the parameters."""
        deviations = {name: f"log deviations.{k}" for k, name in enumerate(self.problem.seasons.deviations)}
        return [
            *(f"field.{name}" for name in self.field.names),
            *(f"coefficients.{name}" for name in self.coefficients.names),
            *(deviations.get(name, f"log {name}") for name in self._logarithms),
        ]
