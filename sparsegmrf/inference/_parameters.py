"""Parameters between intervals and the real line, and the one that scales the precision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from sparsegmrf._interval import Interval
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.total import TotalForm
from sparsegmrf.gmrf import GMRF
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, Shape

_SCALES = (1.0, -1.0, 2.0, -2.0)
_SMALL = 16


class FieldModel(Protocol):
    """What `fit` asks of a model: named scalar parameters that stand for a precision on a lattice."""

    @property
    def parameters(self) -> Mapping[str, float]:
        """Scalar parameters by name."""

    def limits(self, shape: Shape) -> Mapping[str, tuple[float, float]]:
        """Return by parameter the open interval in which the precision is valid."""

    def stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""

    def derivatives(self, shape: Shape) -> Mapping[str, SymmetricStencil]:
        """Return the derivative of the precision by each parameter."""

    def gmrf(self, shape: Shape, *args: Any, **options: Any) -> GMRF:
        """Return the field; an `IntrinsicGMRF` where the precision is singular. Takes ``mean=``."""

    def replace(self, **changes: Any) -> Self:
        """Return the model with some parameters changed."""


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Working parameters: numbers on the real line for parameters that are valid together.

    Parameters whose validity is their own have an interval each. Several interactions of one model are valid in a joint
    region: then linear forms of them have intervals, a box that holds the region.

    Attributes
    ----------
    names : tuple of str
        Parameters, in the order of the numbers.
    intervals : tuple of Interval
        One per number.
    forms : ndarray, (K, K)
        Rows are the forms of the parameters that have the intervals; the identity where each stands for itself.
    joint : frozenset of str
        Parameters that are coupled.
    """

    names: tuple[str, ...]
    intervals: tuple[Interval, ...]
    forms: FloatArray
    joint: frozenset[str]

    @classmethod
    def of(cls, model: FieldModel, shape: Shape, names: Sequence[str]) -> "Coordinates":
        """Return the working parameters for some of a model's parameters, the others held."""
        limits = model.limits(shape) if names else {}  # takes a while for many interactions
        intervals = {name: Interval(*limits[name]) for name in names}
        forms, joint = np.eye(len(names)), frozenset[str]()
        coupled = model.joint_limits(shape) if len(names) > 1 and hasattr(model, "joint_limits") else None
        free = [name for name in coupled.names if name in names] if coupled is not None else []
        if coupled is not None and len(free) > 1:
            joint = frozenset(free)
            at = [names.index(name) for name in free]
            ends = [(-np.inf, np.inf)] * len(free)  # with some of them held the region is tried out
            if len(free) == len(coupled.names):
                forms[np.ix_(at, at)] = coupled.forms
                ends = list(coupled.intervals)
            intervals |= {name: Interval(*pair) for name, pair in zip(free, ends, strict=True)}
        return cls(tuple(names), tuple(intervals[name] for name in names), forms, joint)

    def inward(self, at: FloatArray) -> FloatArray:
        """Return the parameters at working parameters."""
        forms = np.array([each.inward(float(u)) for each, u in zip(self.intervals, at, strict=True)])
        return np.asarray(np.linalg.solve(self.forms, forms)) if self.joint else forms

    def outward(self, values: Sequence[float]) -> FloatArray:
        """Return the working parameters of parameters."""
        forms = self.forms @ np.array(values) if self.joint else values
        return np.array([each.outward(float(v)) for each, v in zip(self.intervals, forms, strict=True)])

    def jacobian(self, at: FloatArray) -> FloatArray:
        """Return the derivatives of parameters (rows) by working parameters (columns)."""
        slopes = [each.slope(each.inward(float(u))) for each, u in zip(self.intervals, at, strict=True)]
        return np.asarray(np.linalg.solve(self.forms, np.diag(slopes)) if self.joint else np.diag(slopes))


def is_alike_everywhere(model: Any, shape: Shape) -> bool:
    """Return whether a model is the same on any window of a lattice, having no maps, as far as it tells."""
    return hasattr(model, "cropped") and model.cropped(slice(0, shape[0]), slice(0, shape[1])) is model


def scale_of(model: FieldModel, shape: Shape, names: Sequence[str]) -> tuple[str, float] | None:
    """Return the parameter ``a`` with ``Q`` proportional to ``a^e``, and ``e``; None if there is none among `names`.

    Tested at two values, in a unit in which powers are numbers: ``a dQ/da = e Q`` on every coefficient.
    """
    limits = model.limits(shape)
    if is_alike_everywhere(model, shape):  # any lattice tells, also a small one
        shape = min(shape[0], _SMALL), min(shape[1], _SMALL)
    model = _of_order_one(model)
    for name in names:
        if limits[name] != (0.0, float("inf")):
            continue
        found = {_exponent(model.replace(**{name: value}), shape, name) for value in (1.0, 2.0)}
        exponent = found.pop()
        if not found and exponent is not None:
            return name, exponent
    return None


def _of_order_one(model: Any) -> Any:
    """Return the model in a unit in which a parameter that goes with the unit is 1."""
    if not hasattr(model, "scaled"):
        return model
    values, doubled = model.parameters, model.scaled(2.0).parameters
    for name, value in values.items():
        if value > 0.0 and doubled[name] != value:
            return model.scaled(value ** (-1.0 / float(np.log2(doubled[name] / value))))
    return model


def _exponent(model: FieldModel, shape: Shape, name: str) -> float | None:
    Q, dQ = model.stencil(shape), model.derivatives(shape)[name]
    if not np.array_equal(Q.offsets, dQ.offsets):
        return None
    pairs = [(Q.plane(k), model.parameters[name] * dQ.plane(k)) for k in range(len(Q.offsets))]
    for exponent in _SCALES:
        if all(np.allclose(moved, exponent * plane, rtol=1e-9, atol=0.0) for plane, moved in pairs):
            return exponent
    return None


def check_model(model: object) -> None:
    """Refuse what is no model of a field, such as a class in the place of an instance."""
    needed = ("parameters", "limits", "stencil", "derivatives", "gmrf", "replace")
    if isinstance(model, type) or not all(hasattr(model, name) for name in needed):
        what = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise ArgumentError(f"model must be a model of a field, such as Matern(range=10.0), got {what}.")


def unknowns_of(model: FieldModel, shape: Shape) -> GMRF:
    """Return the field of the unknowns that the precision of a model has, several per pixel where it is a sum."""
    field = model.gmrf(shape)
    return GMRF(field.given.inner, method=field.method) if isinstance(field.given, TotalForm) else field


def free_names(model: FieldModel, held: Sequence[str]) -> list[str]:
    """Return the parameters that are fitted, after checking the names of those that are not."""
    unknown = [name for name in held if name not in model.parameters]
    if unknown:
        raise ArgumentError(
            f"fixed must name parameters of the model, which has {', '.join(model.parameters)}, got {unknown[0]!r}."
        )
    return [name for name in model.parameters if name not in held]
