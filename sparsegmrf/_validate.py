"""Checks made once, at the public boundary; a message names the argument, what was expected, what came, the remedy."""

import operator
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import BoolArray, FloatArray, Seed, Shape

Array = TypeVar("Array", bound=npt.NDArray[Any])


def integer_at_least(name: str, value: object, least: int) -> int:
    """Return `value` as an int of at least `least`."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ArgumentError(f"{name} must be an integer of at least {least}, got {value!r}.") from None
    if number < least:
        raise ArgumentError(f"{name} must be at least {least}, got {number}.")
    return number


def image_shape(value: object, name: str = "shape") -> Shape:
    """Return ``(H, W)`` with both sides at least 1."""
    try:
        sides = tuple(operator.index(side) for side in value)  # type: ignore[attr-defined]
    except TypeError:
        sides = ()
    if len(sides) != 2 or min(sides) < 1:
        raise ArgumentError(f"{name} must be (height, width) with both at least 1, got {value!r}; an image has pixels.")
    return (sides[0], sides[1])


def whole_array(name: str, value: object, remedy: str | None = None) -> npt.NDArray[Any]:
    """Return `value` as an array, after checking that no mask of it is lost by that."""
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        if remedy is None and value.dtype == np.bool_:
            remedy = f"say what these are, by {name}.filled(True) or {name}.filled(False)"
        elif remedy is None:
            remedy = f"pass {name}.filled(np.nan), or the mask by itself where one is taken"
        raise ArgumentError(
            f"{name} must not be a masked array with masked values, whose mask would be lost; {remedy}."
        )
    return np.asarray(value)


def real_array(name: str, value: object) -> FloatArray:
    """Return `value` as a float64 array (no copy where it is one already)."""
    try:
        array = whole_array(name, value)
    except ValueError as error:
        raise ArgumentError(f"{name} must be a rectangular array of real numbers: {error}.") from None
    if array.dtype.kind not in "buif":
        raise ArgumentError(
            f"{name} must hold real numbers, got dtype {array.dtype}; convert it first, e.g. np.asarray({name}, float)."
        )
    with np.errstate(invalid="ignore"):  # a NaN that signals stays one, and nobody is warned of it
        return np.asarray(array, dtype=np.float64)


def finite(name: str, array: FloatArray, remedy: str = "remove or replace them") -> FloatArray:
    """Return `array` after checking that it holds no NaN or infinity."""
    good = np.isfinite(array)
    if not good.all():
        first = tuple(int(index) for index in np.argwhere(~good)[0])
        count = int(good.size - np.count_nonzero(good))
        raise ArgumentError(
            f"{name} must be finite, got {count} NaN or infinite values, the first {array[first]} at {first}; {remedy}."
        )
    return array


def finite_number(name: str, value: object) -> float:
    """Return `value` as a finite float."""
    array = real_array(name, value)
    if array.ndim != 0 or not np.isfinite(array):
        raise ArgumentError(f"{name} must be one finite number, got {value!r}.")
    return float(array)


def positive_number(name: str, value: object) -> float:
    """Return `value` as a finite float above zero."""
    number = finite_number(name, value)
    if number <= 0.0:
        raise ArgumentError(f"{name} must be positive, got {number}.")
    return number


def images(name: str, value: object, trailing: tuple[int, ...]) -> FloatArray:
    """Return a read-only view (or copy) as kernels read it, whose last axes are `trailing`; batch axes lead."""
    array = real_array(name, value)
    if array.ndim < len(trailing) or array.shape[array.ndim - len(trailing) :] != trailing:
        raise ArgumentError(
            f"{name} must have shape (..., {', '.join(map(str, trailing))}), got {array.shape}; "
            "batch axes lead, channels come last."
        )
    return read_only(array)


def read_only(array: Array) -> Array:
    """Return a C-contiguous, aligned, read-only view or copy: the one layout in which kernels take their inputs."""
    view: Array = np.require(array, requirements=["C", "A"]).view()
    view.flags.writeable = False
    return view


def boolean_mask(name: str, value: object, shape: tuple[int, ...]) -> BoolArray:
    """Return a boolean array of exactly `shape`."""
    array = whole_array(name, value)
    if array.dtype != np.bool_:
        raise ArgumentError(f"{name} must be boolean, got dtype {array.dtype}; write for instance {name} > 0.")
    if array.shape != shape:
        raise ArgumentError(f"{name} must have the shape of the image {shape}, got {array.shape}.")
    return np.ascontiguousarray(array)


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of the names in `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}.")
    return value


def generator(rng: Seed) -> np.random.Generator:
    """Return a numpy Generator from a seed, a Generator or None (fresh entropy)."""
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"rng must be None, a non-negative seed or a numpy Generator, got {rng!r}: {error}."
        ) from None


def sample_size(size: object) -> tuple[int, ...]:
    """Return the batch shape that NumPy's `size` argument stands for."""
    if size is None:
        return ()
    if isinstance(size, np.ndarray):
        size = size.tolist()
    axes = tuple(size) if isinstance(size, Iterable) and not isinstance(size, str) else (size,)
    return tuple(integer_at_least("size", axis, 0) for axis in axes)
