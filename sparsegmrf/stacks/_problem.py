"""A stack with its dates, what is asked of it, and the model to start from: checked once, then trusted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sparsegmrf.inference._parameters import Coordinates, scale_of
from sparsegmrf.stacks._evidence import StackModel
from sparsegmrf.stacks._observed import StackData
from sparsegmrf.stacks._seasons import Seasons, check_told_apart
from sparsegmrf.stacks._separable import Separable
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
        """Names of all parameters: of the fields in space and time, of the mean, and of the noise."""
        found = []
        for part in self.start.fields:
            found += [part.named(name) for name in part.model.parameters]
            found += [part.named(ELL)] if part.remembers and len(self.dates) > 1 else []
        of_c = [f"{name}{OF_COEFFICIENTS}" for name in self._of_coefficients] if self.seasons.groups else []
        return [*found, *of_c, *self.seasons.deviations, NOISE]

    @property
    def scales_in_time(self) -> dict[str, int]:
        """Names of the parameters ``ell``, with the place of their field."""
        return {part.named(ELL): i for i, part in enumerate(self.start.fields) if part.named(ELL) in self.names}

    @property
    def free(self) -> list[str]:
        """Names of those which are estimated; the noise is the last."""
        return [name for name in self.names if name not in self.fixed]

    @property
    def _of_coefficients(self) -> list[str]:
        return [name for name in self.start.coefficients.parameters if name != self.scale_of_coefficients]

    def values_of(self, model: StackModel) -> dict[str, float]:
        """Return the parameters of a model by name."""
        found = {NOISE: model.noise_variance}
        for part in model.fields:
            found |= {part.named(name): value for name, value in part.model.parameters.items()}
            found[part.named(ELL)] = part.scale_in_time
        found |= {f"{name}{OF_COEFFICIENTS}": model.coefficients.parameters[name] for name in self._of_coefficients}
        found |= dict(zip(self.seasons.deviations, model.deviations, strict=True))
        return {name: float(found[name]) for name in self.names}

    def model_of(self, values: dict[str, float], like: StackModel) -> StackModel:
        """Return a model with some parameters changed."""
        of_c = {
            name: values[f"{name}{OF_COEFFICIENTS}"]
            for name in self._of_coefficients
            if f"{name}{OF_COEFFICIENTS}" in values
        }
        deviations = [values.get(name, old) for name, old in zip(self.seasons.deviations, like.deviations, strict=True)]
        return StackModel(
            tuple(_changed(part, values) for part in like.fields),
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
        model,
        fields=tuple(part.with_model(part.model.cropped(rows, columns)) for part in model.fields),
        coefficients=model.coefficients.cropped(rows, columns),
    )


def scaled(model: StackModel, factor: float) -> StackModel:
    """Return the model of `factor` times the stack."""
    return replace(
        model,
        fields=tuple(part.with_model(part.model.scaled(factor)) for part in model.fields),
        deviations=tuple(each * factor for each in model.deviations),
        noise_variance=model.noise_variance * factor**2,
    )


def _changed(part: Separable, values: dict[str, float]) -> Separable:
    """Return a field with some parameters changed, by what they are called in a stack."""
    own = {name: values[part.named(name)] for name in part.model.parameters if part.named(name) in values}
    if part.remembers and part.named(ELL) in values:
        part = replace(part, ell=values[part.named(ELL)])
    return part.with_model(part.model.replace(**own)) if own else part


@dataclass(frozen=True, eq=False)
class Numbers:
    """Working parameters: numbers on the real line for the parameters that are estimated."""

    problem: StackProblem
    fields: tuple[Coordinates, ...]
    coefficients: Coordinates

    @classmethod
    def of(cls, problem: StackProblem, shape: Shape, start: StackModel) -> "Numbers":
        """Return the numbers of a problem's free parameters on a lattice."""
        free = problem.free
        fields = [
            Coordinates.of(part.model, shape, [name for name in part.model.parameters if part.named(name) in free])
            for part in start.fields
        ]
        of_c = [name for name in start.coefficients.parameters if f"{name}{OF_COEFFICIENTS}" in free]
        return cls(problem, tuple(fields), Coordinates.of(start.coefficients, shape, of_c))

    @property
    def names(self) -> list[str]:
        """Names in the order of the numbers."""
        own = zip(self.problem.start.fields, self.fields, strict=True)
        of_fields = [part.named(name) for part, each in own for name in each.names]
        return [*of_fields, *(f"{name}{OF_COEFFICIENTS}" for name in self.coefficients.names), *self._logarithms]

    @property
    def _logarithms(self) -> list[str]:
        """Parameters whose logarithm is the number; the noise is the last."""
        problem = self.problem
        names = (*problem.scales_in_time, *problem.seasons.deviations, NOISE)
        return [name for name in names if name in problem.free]

    @property
    def _parts(self) -> list[tuple[slice, Coordinates]]:
        """Where the numbers of each model stand; logarithms come after them."""
        found, first = [], 0
        for each in (*self.fields, self.coefficients):
            found.append((slice(first, first + len(each.names)), each))
            first += len(each.names)
        return found

    def values(self, at: FloatArray) -> dict[str, float]:
        """Return the parameters of numbers."""
        values = [value for where, each in self._parts for value in each.inward(at[where])]
        values += np.exp(at[len(values) :]).tolist()
        return dict(zip(self.names, map(float, values), strict=True))

    def numbers(self, values: dict[str, float]) -> FloatArray:
        """Return the numbers of parameters."""
        names = self.names
        found = [each.outward([values[name] for name in names[where]]) for where, each in self._parts]
        return np.concatenate([*found, np.log([values[name] for name in self._logarithms])])

    def jacobian(self, at: FloatArray) -> FloatArray:
        """Return derivatives of parameters (rows), or of those that are logarithms, by the numbers (columns)."""
        J = np.eye(len(at))
        for where, each in self._parts:
            J[where, where] = each.jacobian(at[where])
        return J

    @property
    def in_evidence(self) -> list[str]:
        """What `Evidence.gradient` calls the parameters."""
        logarithms = {name: f"log deviations.{k}" for k, name in enumerate(self.problem.seasons.deviations)}
        logarithms |= {name: f"log ell.{i}" for name, i in self.problem.scales_in_time.items()}
        return [
            *(f"fields.{i}.{name}" for i, each in enumerate(self.fields) for name in each.names),
            *(f"coefficients.{name}" for name in self.coefficients.names),
            *(logarithms.get(name, f"log {name}") for name in self._logarithms),
        ]
