"""How a stack is to be filled: the options of `fill` but for dates and draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from sparsegmrf._validate import integer_at_least, one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._spacing import Spacing, SpacingLike
from sparsegmrf.stacks._fit import StackFit
from sparsegmrf.stacks._plan import METHODS
from sparsegmrf.stacks._problem import StackProblem
from sparsegmrf.stacks._read import Stack, problem_of
from sparsegmrf.stacks._series import MODES, SeriesModel, is_long, series_model
from sparsegmrf.typing import BoolArray

BEST = "best"
_COMPARED = ("mean_model", "harmonics", "fixed", "start")
"""What the fields that are compared have of their own."""


@dataclass(frozen=True, eq=False)
class FillOptions:
    """Options of `fill`, as these are given; what they stand for depends on the stack."""

    model: Any = None
    mean_model: Any = None
    harmonics: Any = "auto"
    covariates: Any = "constant"
    noise_variance: Any = "estimate"
    fixed: Sequence[str] | str = ()
    start: Mapping[str, float] | None = None
    outliers: str | None = None
    spacing: SpacingLike = "coordinates"
    method: str = "auto"
    core: int | None = None
    halo: int | None = None

    @classmethod
    def read(cls, **given: Any) -> "FillOptions":
        """Return the options that arguments stand for.

        Raises
        ------
        ArgumentError
            If one that does not depend on the stack is not as `fill` says, or does not go with ``model="best"``.
        """
        found = cls(**given)
        one_of("method", found.method, METHODS)
        if found.outliers is not None:
            one_of("outliers", found.outliers, ("screen",))
        for name, least in (("core", 1), ("halo", 0)):
            if getattr(found, name) is not None:
                integer_at_least(name, getattr(found, name), least)
        said = [name for name in found.said if name in _COMPARED]
        if found.is_best and said:
            raise ArgumentError(
                f'{said[0]} must be left out with model="{BEST}", whose candidates have their own, got '
                f"{getattr(found, said[0])!r}."
            )
        return found

    @property
    def is_best(self) -> bool:
        """Whether models are to be compared."""
        return isinstance(self.model, str) and self.model == BEST

    @property
    def said(self) -> list[str]:
        """Names of the options of the model of a field of which something is said; `spacing` suits any model."""
        defaults = FillOptions()
        own = [each.name for each in fields(self) if each.name not in ("model", "spacing")]
        return [name for name in own if not _is_default(getattr(self, name), getattr(defaults, name))]

    def resolved(self, stack: Stack) -> "FillOptions":
        """Return the options with the model that is the default of a stack named."""
        return replace(self, model=MODES) if self.model is None and not self.said and is_long(stack) else self

    def series_model(self) -> SeriesModel | None:
        """Return the model of a series; None of that of a field.

        Raises
        ------
        ArgumentError
            If `model` is the name of none, or options are given that such a model has of its own.
        """
        own = series_model(self.model)
        if own is not None and (self.outliers is not None or self.fixed or self.start):
            raise ArgumentError(
                "outliers, fixed and start must be left out with a model of a series, which has its own."
            )
        return own

    def problem(self, stack: Stack, screened: BoolArray) -> tuple[StackProblem, Spacing]:
        """Return the problem of a stack, some observations being left out, and the size of its pixels."""
        return problem_of(
            stack,
            self.model,
            self.mean_model,
            self.harmonics,
            self.covariates,
            self.noise_variance,
            self.fixed,
            self.start,
            self.spacing,
            screened,
        )

    def held_at(self, fit: Any) -> "FillOptions":
        """Return the options by which a model of a field is held at its estimates; others are as they were."""
        if not isinstance(fit, StackFit):
            return self
        return replace(
            self,
            model=list(fit.model.fields),
            mean_model=fit.model.coefficients,
            noise_variance=fit.parameters["noise_variance"],
            fixed=tuple(name for name in fit.parameters if name != "noise_variance"),
            start={name: value for name, value in fit.parameters.items() if name != "noise_variance"},
        )


def _is_default(value: Any, default: Any) -> bool:
    """Return whether a value is the default, empty sequences and mappings of any kind being alike."""
    if value is default:
        return True
    if isinstance(value, str | float | int | None) or isinstance(default, str | None):
        return type(value) is type(default) and bool(value == default)
    return len(value) == 0 and len(default) == 0
