"""The arguments of a filling of a stack, checked and made one immutable value."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sparsegmrf._validate import boolean_mask, positive_number, whole_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._ground import placed
from sparsegmrf.inference._parameters import check_model, is_alike_everywhere, scale_of
from sparsegmrf.inference._spacing import Spacing, SpacingLike
from sparsegmrf.models import Matern, Model
from sparsegmrf.stacks._dates import Calendar
from sparsegmrf.stacks._evidence import StackModel
from sparsegmrf.stacks._labels import StackLabels
from sparsegmrf.stacks._problem import ELL, StackProblem, scaled
from sparsegmrf.stacks._seasons import Seasons
from sparsegmrf.stacks._separable import Separable, separable_parts
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, Shape

_OF_FIELD, _OF_LEVEL, _OF_SEASON, _OF_NOISE = 0.5, 0.3, 0.1, 0.1
"""Shares of the variance that field, levels, a harmonic and noise are started at."""
_MEMORY = 4.0
"""Median gaps between dates at which the scale in time starts."""
_APART = 4.0
"""By what the scales in time of several fields differ at the start."""
_PROBE = 16
"""Side of the lattice whose variance stands for that of a larger one."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Images in time as they were given.

    Attributes
    ----------
    values : ndarray, (T, H, W)
        NaN where missing.
    days : ndarray, (T,)
        Dates.
    calendar : Calendar
        What dates are.
    dates : ndarray, (T,)
        As a coordinate has them.
    labels : StackLabels or None
        Of a DataArray.
    """

    values: FloatArray
    days: FloatArray
    calendar: Calendar
    dates: npt.NDArray[Any]
    labels: StackLabels | None

    @classmethod
    def read(cls, image: ArrayLike, dates: Any, mask: ArrayLike | Literal["nan"] | None) -> "Stack":
        """Return the stack that arguments stand for.

        Raises
        ------
        ArgumentError
            If shapes do not agree, a date is not known, an observation is infinite, or all are missing.
        """
        if dates is None and not hasattr(image, "dims"):
            raise ArgumentError("dates must be given with an array of images, got None; without dates it is no stack.")
        labels = StackLabels.of(image, dates)
        if labels is not None:
            image, mask = labels.stack, labels.aligned_mask(mask)
            dates = labels.dates if dates is None else dates
        values = _values(image, mask)
        calendar = Calendar.of(dates)
        days = calendar.days(dates)
        if len(days) != len(values):
            raise ArgumentError(
                f"dates must have one date per image, got {len(days)} dates and {len(values)} images of shape "
                f"{values.shape[1:]}; time is the first axis of an array."
            )
        return cls(values, days, calendar, calendar.dates(dates), labels)

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.values.shape[1], self.values.shape[2]

    def without(self, hidden: BoolArray) -> "Stack":
        """Return the stack without some observations."""
        return replace(self, values=np.where(hidden, np.nan, self.values))


def _values(image: Any, mask: Any) -> FloatArray:
    """Return images as floats with NaN where they are missing."""
    array = np.asarray(image.data if isinstance(image, np.ma.MaskedArray) else image)
    if array.ndim != 3 or not array.size:
        raise ArgumentError(
            f"image must have shape (T, H, W) with dates, got {array.shape}; one image has no dates, and bands are "
            "filled one by one."
        )
    if array.dtype.kind not in "uif":
        raise ArgumentError(f"image must hold real numbers, got dtype {array.dtype}; convert it: image.astype(float).")
    with np.errstate(invalid="ignore"):
        values = array.astype(np.float64)
    missing = np.isnan(values)
    if mask is None and missing.any():
        raise ArgumentError(f'mask must say what is missing, got None and {missing.sum()} NaN; pass mask="nan".')
    if isinstance(mask, str) and mask != "nan":
        raise ArgumentError(f'mask must be None, "nan" or boolean, True where missing, got {mask!r}.')
    if mask is not None and not isinstance(mask, str):
        given = whole_array("mask", mask)
        shape = values.shape[1:] if given.ndim == 2 else values.shape
        missing = missing | boolean_mask("mask", given, shape)
    if isinstance(image, np.ma.MaskedArray):
        missing = missing | np.ma.getmaskarray(image)
    infinite = np.isinf(values) & ~missing
    if infinite.any():
        first = tuple(int(each) for each in np.argwhere(infinite)[0])
        raise ArgumentError(f"image must be finite where it is observed, got {values[first]} at {first}; mask it.")
    if missing.all():
        raise ArgumentError("image must have an observation, got none: every value of every date is missing.")
    values[missing] = np.nan
    return values


def problem_of(
    stack: Stack,
    model: Any,
    mean_model: Any,
    harmonics: Any,
    covariates: Any,
    noise_variance: Any,
    fixed: Sequence[str] | str,
    start: Mapping[str, float] | None,
    spacing: SpacingLike,
    screened: BoolArray,
) -> tuple[StackProblem, Spacing]:
    """Return the problem of a stack, and the size of its pixels."""
    template = np.empty(stack.shape) if stack.labels is None else stack.labels.stack[0]
    parts = separable_parts(Matern() if model is None else model)
    found = [placed(_proper("model", part.model, stack.shape), spacing, template) for part in parts]
    fields = tuple(part.with_model(spatial) for part, (spatial, _) in zip(parts, found, strict=True))
    mean, _ = placed(
        _proper("mean_model", Matern() if mean_model is None else mean_model, stack.shape), spacing, template
    )
    seasons = Seasons.of(harmonics, covariates, stack.days, stack.shape, stack.calendar.year)
    observed = ~np.isnan(stack.values) & ~screened
    seen = stack.values[observed]
    if not len(seen) or np.ptp(seen) == 0.0:
        raise ArgumentError(
            f"image must vary where it is observed, got {seen[:1]} everywhere; nothing is to be fitted."
        )
    level = 0.0 if covariates is None else float(np.median(seen))
    unit = 2.0 ** round(math.log2(float(np.sqrt(np.mean((seen - level) ** 2)))))
    values = np.where(observed, (stack.values - level) / unit, 0.0)
    held = (fixed,) if isinstance(fixed, str) else tuple(fixed)
    given = not isinstance(noise_variance, str)
    if given:
        held = (*held, "noise_variance")
    elif noise_variance != "estimate":
        raise ArgumentError(f'noise_variance must be "estimate" or a variance, got {noise_variance!r}.')
    problem = StackProblem(
        values,
        observed,
        stack.days,
        seasons,
        StackModel(fields, mean, (1.0,) * len(seasons.groups), 1.0),
        held,
        unit,
        level,
    )
    problem = replace(problem, start=_started(problem, float(np.var(values[observed]))))
    wanted = dict(start or {})
    if given:
        wanted["noise_variance"] = positive_number("noise_variance", noise_variance)
    _check_names(problem, held, wanted)
    if wanted:
        outside = problem.model_of(
            {name: float(value) for name, value in wanted.items()}, problem.outside(problem.start)
        )
        problem = replace(problem, start=scaled(outside, 1.0 / unit))
    _check_apart(problem)
    problem.check()
    return problem, found[0][1]


def _proper(name: str, model: Any, shape: Shape) -> Model:
    """Return a model of one proper field on the whole lattice."""
    check_model(model)
    if not isinstance(model, Model):
        raise ArgumentError(f"{name} must be a Model such as Matern() with dates, got {type(model).__name__}.")
    if model.combination is not None:
        raise ArgumentError(
            f"{name} must have one unknown per pixel with dates, got {type(model).__name__} with "
            f"{len(model.combination)}; take one of its fields, or a whole-numbered smoothness. A stack is a sum of "
            "fields with model=[Separable(...), Separable(...)]."
        )
    field = model.gmrf(shape)
    if field.rank_deficiency or field.lattice.n_free != field.lattice.size:
        raise ArgumentError(
            f"{name} must be proper on every pixel with dates, got {type(model).__name__}, which has a null space or a "
            "mask; take Matern or CAR, or TensionSpline(proper=1e-3)."
        )
    return model


def _started(problem: StackProblem, variance: float) -> StackModel:
    """Return the model at shares of the variance of the data; what is held, and given, stays as it is."""
    start = problem.start
    own = _OF_FIELD * variance / len(start.fields)
    fields = [_started_field(problem, part, own) for part in start.fields]
    of_mean = _variance_of(start.coefficients, problem.shape) if problem.seasons.groups else 1.0
    shares = [_OF_LEVEL, *[_OF_SEASON] * len(problem.seasons.groups)][: len(problem.seasons.groups)]
    deviations = tuple(math.sqrt(share * variance / of_mean) for share in shares)
    in_time = _told_apart_in_time(fields, np.diff(problem.dates))
    return StackModel(tuple(in_time), start.coefficients, deviations, _OF_NOISE * variance)


def _started_field(problem: StackProblem, part: Separable, variance: float) -> Separable:
    """Return a field in the problem's unit, of a variance where its scale is not held."""
    model = part.model.scaled(1.0 / problem.unit)
    own = scale_of(model, problem.shape, list(model.parameters))
    if own is not None and part.named(own[0]) not in problem.fixed:
        model = model.scaled(math.sqrt(variance / _variance_of(model, problem.shape)))
    return part.with_model(model)


def _told_apart_in_time(fields: Sequence[Separable], gaps: FloatArray) -> list[Separable]:
    """Return fields with scales in time to start at: some gaps between dates, and of several that differ."""
    middle = _MEMORY * float(np.median(gaps)) if len(gaps) else 1.0
    open_ones = [i for i, part in enumerate(fields) if part.ell is None]
    powers = np.arange(len(open_ones))[::-1] - (len(open_ones) - 1) / 2.0
    chosen = dict(zip(open_ones, (middle * _APART**powers).tolist(), strict=True))
    return [replace(part, ell=chosen.get(i, part.ell)) for i, part in enumerate(fields)]


def _check_apart(problem: StackProblem) -> None:
    """Refuse two fields that start alike: what a likelihood says of both is the same, and a search does not part them.

    Where all of their parameters are held they may be alike. Names must differ, too.
    """
    if len(set(problem.names)) < len(problem.names):
        twice = next(name for name in problem.names if problem.names.count(name) > 1)
        raise ArgumentError(f"model must have labels that make names of their own, got {twice!r} twice; take others.")
    for (i, one), (j, other) in itertools.combinations(enumerate(problem.start.fields), 2):
        names = [part.named(name) for part in (one, other) for name in (*part.model.parameters, ELL)]
        alike = one.ell == other.ell and _is_same(one.model.stencil(problem.shape), other.model.stencil(problem.shape))
        if alike and any(name in problem.free for name in names):
            raise ArgumentError(
                f"model must have fields that start apart, got two that are alike, {one} and {other}, numbers {i} and "
                f"{j}; give one another range, or another ell."
            )


def _is_same(Q: SymmetricStencil, other: SymmetricStencil) -> bool:
    if not np.array_equal(Q.offsets, other.offsets):
        return False
    return all(np.array_equal(Q.plane(k), other.plane(k)) for k in range(len(Q.offsets)))


def _variance_of(model: Model, shape: Shape) -> float:
    small = (min(shape[0], _PROBE), min(shape[1], _PROBE)) if is_alike_everywhere(model, shape) else shape
    return float(np.mean(model.gmrf(small).marginal_variance()))


def _check_names(problem: StackProblem, held: Sequence[str], start: Mapping[str, float]) -> None:
    for argument, names in (("fixed", held), ("start", list(start))):
        unknown = [name for name in names if name not in problem.names]
        if unknown:
            raise ArgumentError(
                f"{argument} must name parameters of the stack, which has {', '.join(problem.names)}, got "
                f"{unknown[0]!r}."
            )
    for name, value in start.items():
        positive = name in problem.scales_in_time or name == "noise_variance" or name.startswith("sd_")
        if positive:
            positive_number(f"start[{name!r}]", value)
