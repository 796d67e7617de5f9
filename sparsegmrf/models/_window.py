"""Windows of a lattice, and maps cut to them."""

import operator
from typing import TypeVar, overload

import numpy as np
import numpy.typing as npt

from sparsegmrf.errors import ArgumentError

Scalar = TypeVar("Scalar", bound=np.generic)


def check_window(rows: object, columns: object) -> None:
    """Refuse what are no slices of neighbouring pixels."""
    for name, each in (("rows", rows), ("columns", columns)):
        if not isinstance(each, slice):
            raise ArgumentError(f"{name} must be a slice such as slice(10, 60), got {each!r}.")
        if each.step not in (None, 1):
            raise ArgumentError(f"{name} must be a slice of neighbouring pixels, with step 1, got step {each.step!r}.")


@overload
def cut(value: None, rows: slice, columns: slice) -> None: ...
@overload
def cut(value: npt.NDArray[Scalar], rows: slice, columns: slice) -> npt.NDArray[Scalar]: ...
@overload
def cut(value: float, rows: slice, columns: slice) -> float: ...


def cut(value: object, rows: slice, columns: slice) -> object:
    """Return a map on a window, anything else as it is."""
    if not isinstance(value, np.ndarray) or value.ndim != 2:
        return value
    return value[_inside("rows", rows, value.shape[0]), _inside("columns", columns, value.shape[1])]


def _inside(name: str, window: slice, side: int) -> slice:
    """Return the slice with both ends counted from the start, after checking that it is on the lattice."""
    try:
        ends = [
            default if end is None else operator.index(end) for end, default in ((window.start, 0), (window.stop, side))
        ]
    except TypeError:
        raise ArgumentError(f"{name} must be a slice between integers, got {window!r}.") from None
    first, last = (end + side if end < 0 else end for end in ends)
    if not 0 <= first < last <= side:
        raise ArgumentError(
            f"{name} must be a window of at least one of the {side} {name} of the model's maps, got {window!r}."
        )
    return slice(first, last)
