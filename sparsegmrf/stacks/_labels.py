"""Stacks with labels: which dimension is time, and results as the stack was."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf._axes import is_labelled
from sparsegmrf._validate import whole_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._labels import Labels
from sparsegmrf.stacks._dates import is_dates
from sparsegmrf.typing import FloatArray

_NAMES = ("time", "date", "t")


def time_of(stack: Any) -> Any | None:
    """Return the dimension of a labelled stack that holds dates; None if there is none, or no labels.

    Raises
    ------
    ArgumentError
        If several do.
    """
    if not is_labelled(stack) or hasattr(stack, "data_vars"):
        return None
    found = [dim for dim in stack.dims if dim in stack.coords and is_dates(stack.coords[dim])]
    if len(found) > 1:
        raise ArgumentError(f"image must have one dimension of dates, got {found}; select one of them.")
    return found[0] if found else None


def unit_of(image: Any) -> str:
    """Return the unit of intensity that an image or a stack says; empty if it says none or has no labels."""
    return str(getattr(image, "attrs", {}).get("units", ""))


@dataclass(frozen=True, eq=False)
class StackLabels:
    """Labels of a stack ``(T, H, W)``, and the order of dimensions in which it was given."""

    stack: Any
    dims: tuple[Any, ...]
    time: Any

    @classmethod
    def of(cls, stack: Any, dates: Any) -> "StackLabels | None":
        """Return the labels of a stack, time first; None of a plain array.

        Raises
        ------
        ArgumentError
            If it has not three dimensions, or it cannot be told which is time.
        """
        if not is_labelled(stack):
            return None
        if stack.ndim != 3:
            raise ArgumentError(
                f"image must have three dimensions with dates, time, rows and columns, got {dict(stack.sizes)}; "
                "select the others, such as one band."
            )
        time = time_of(stack)
        if time is None:
            named = [dim for dim in stack.dims if str(dim).lower() in _NAMES]
            time = named[0] if named else stack.dims[0]
        rest = [dim for dim in stack.dims if dim != time]
        return cls(stack.transpose(time, *rest), tuple(stack.dims), time)

    @property
    def labels(self) -> Labels:
        """Of the images, time first."""
        return Labels(self.stack)

    def aligned_mask(self, mask: Any) -> Any:
        """Return a mask with time first, joined by what the attributes of the stack call missing."""
        if np.ndim(mask) == 3 and not is_labelled(mask):
            given = whole_array("mask", mask)
            mask = given.transpose([self.dims.index(dim) for dim in self.stack.dims])
        return self.labels.aligned("mask", mask)

    @property
    def dates(self) -> Any:
        """The dates along time."""
        if self.time not in self.stack.coords:
            raise ArgumentError(f"dates must be given: the dimension {self.time} of the image has no coordinate.")
        return np.asarray(self.stack.coords[self.time])

    def at(self, dates: Any) -> "StackLabels":
        """Return the labels of the same images at other dates."""
        picked = self.stack.isel({self.time: np.zeros(len(dates), dtype=np.int64)})
        along = [name for name in picked.coords if self.time in picked.coords[name].dims]
        return StackLabels(picked.drop_vars(along).assign_coords({self.time: dates}), self.dims, self.time)

    def values(self, values: FloatArray) -> Any:
        """Return values under the labels, in the order given."""
        return self.labels.values(values).transpose(*self.dims)

    def deviation(self, values: FloatArray, name: str, meaning: str) -> Any:
        """Return standard deviations under the labels."""
        return self.labels.deviation(values, name, meaning).transpose(*self.dims)

    def draws(self, values: FloatArray) -> Any:
        """Return draws under the labels, along a first dimension ``sample``."""
        return self.labels.draws(values).transpose("sample", *self.dims)

    def mask(self, values: Any, name: str) -> Any:
        """Return a mask under the labels."""
        found = self.labels.values(values).transpose(*self.dims)
        found.attrs = {}
        return found.rename(name)
