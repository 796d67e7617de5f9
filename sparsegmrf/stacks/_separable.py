"""Fields that are a product of space and time, of which a stack may have several."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from sparsegmrf import _frozen
from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._parameters import check_model
from sparsegmrf.models import Model


@dataclass(frozen=True, eq=False)
class Separable:
    """A field of a stack, which may be a sum of several: the correlation of a spatial model times one in time.

    The covariance of pixel ``p`` at date ``s`` and pixel ``q`` at date ``t`` is ``exp(-|t - s| / ell) K[p, q]``. At its
    ends this is no parameter but another kind of field: with ``ell=0`` each date has one of its own, such as the
    weather of the day; with ``ell=inf`` all dates have the same, a map.

    Parameters
    ----------
    model : Model
        Spatial model of a date, in intensity: proper, with one unknown per pixel.
    ell : float, optional
        Days over which the correlation falls to 1/e: where a fit starts, or what it is held at if the parameter is
        named in ``fixed=``; by default some gaps between dates. 0 and ``inf`` stay as they are.
    label : str, optional
        Parameters are called ``name_label``; by default 0, 1, ... in a sum of several, and without a label by itself.

    Raises
    ------
    ArgumentError
        If `model` is no `Model`, `ell` is negative, or `label` no name.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsegmrf.models import Matern
    >>> from sparsegmrf.stacks import Separable, fill
    >>> parts = [Separable(Matern(range=6.0), ell=40.0, label="slow"), Separable(Matern(range=2.0), ell=0, label="day")]
    >>> stack = np.random.default_rng(0).standard_normal((3, 6, 6))
    >>> held = ["range_slow", "range_day", "ell_slow"]
    >>> result = fill(stack, dates=[0.0, 8.0, 30.0], model=parts, harmonics=None, fixed=held)
    >>> sorted(result.parameters)
    ['ell_slow', 'noise_variance', 'range_day', 'range_slow', 'sigma_day', 'sigma_slow']
    """

    model: Model
    ell: float | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        check_model(self.model)
        if not isinstance(self.model, Model):
            raise ArgumentError(f"model must be a Model such as Matern(), got {type(self.model).__name__}.")
        if self.ell is not None:
            ell = real_array("ell", self.ell)
            if ell.ndim or not ell >= 0.0:
                raise ArgumentError(
                    f"ell must be 0 or more days, got {self.ell!r}; inf is a field that all dates have."
                )
            _frozen.assign(self, ell=float(ell))
        if self.label is not None and not (isinstance(self.label, str) and self.label):
            raise ArgumentError(f"label must be a name, or None, got {self.label!r}.")

    @property
    def is_static(self) -> bool:
        """Whether all dates have the same field."""
        return self.ell == math.inf

    @property
    def remembers(self) -> bool:
        """Whether ``ell`` is a parameter: the field is neither the same at all dates nor each date's own."""
        return self.ell is None or 0.0 < self.ell < math.inf

    @property
    def scale_in_time(self) -> float:
        """The days that a fit starts at."""
        assert self.ell is not None
        return self.ell

    def named(self, parameter: str) -> str:
        """Return what a parameter is called in a stack."""
        return parameter if self.label is None else f"{parameter}_{self.label}"

    def with_model(self, model: Model) -> Self:
        """Return the same with another spatial model."""
        return self if model is self.model else replace(self, model=model)

    def __str__(self) -> str:
        name = type(self.model).__name__
        if self.is_static:
            return f"{name}, the same at all dates"
        return f"{name} x exp(-days / {self.named('ell')})" if self.remembers else f"{name}, each date's own"


def separable_parts(model: Any) -> tuple[Separable, ...]:
    """Return the fields that an argument stands for, with labels if there are several.

    Raises
    ------
    ArgumentError
        If it is neither a model nor a list of models or fields, two have one label, or none changes in time.
    """
    several = isinstance(model, Sequence) and not isinstance(model, str)
    listed = list(model) if several else [model]
    if not listed:
        raise ArgumentError("model must have a field, got an empty list.")
    parts = [each if isinstance(each, Separable) else _of_model(each) for each in listed]
    if len(parts) > 1:
        parts = [replace(each, label=each.label or str(k)) for k, each in enumerate(parts)]
    labels = [each.label for each in parts]
    if len(set(labels)) < len(labels):
        raise ArgumentError(f"model must have fields with labels of their own, got {labels}.")
    if all(each.is_static for each in parts):
        raise ArgumentError(
            "model must have a field that changes in time, got only such with ell=inf; add Separable(model, ell=0), or "
            "take harmonics=0, which is a level for each pixel."
        )
    return tuple(parts)


def _of_model(model: Any) -> Separable:
    check_model(model)
    if not isinstance(model, Model):
        raise ArgumentError(f"model must be a Model such as Matern() with dates, got {type(model).__name__}.")
    return Separable(model)
