"""Coordinates of rows and columns: refused where neighbours would not be neighbours, told where they are doubtful."""

import warnings
from typing import Any

import numpy as np

from sparsegmrf.errors import ArgumentError, DataWarning

_EVEN = 0.01
"""Largest difference from even spacing, in steps: coordinates may be of single precision."""
_CIRCLE = 360.0


def check_coordinates(image: Any, dims: Any) -> None:
    """Refuse coordinates that are no order of pixels, and warn of those that are uneven.

    Parameters
    ----------
    image : DataArray
        Coordinates that hold no numbers or times are passed over.
    dims : sequence
        Dimensions of rows and columns.

    Raises
    ------
    ArgumentError
        If values are NaN, repeated or neither increasing nor decreasing; longitudes may go on from 360 at 0.
    """
    for dim in dims:
        if dim in image.coords and image.coords[dim].ndim == 1:
            _check(str(dim), image.coords[dim])


def repeats_meridian(values: Any) -> bool:
    """Return whether longitudes end at the meridian where they begin, 360 degrees further on."""
    longitudes = np.asarray(values, dtype=np.float64)
    span = abs(longitudes[-1] - longitudes[0]) if len(longitudes) > 2 else 0.0
    return bool(abs(span - _CIRCLE) <= _EVEN * span / max(len(longitudes) - 1, 1))


def _check(dim: str, coordinate: Any) -> None:
    values = np.asarray(coordinate)
    if values.dtype.kind == "M":
        if np.isnat(values).any():
            raise ArgumentError(_refusal(dim, "NaT", int(np.flatnonzero(np.isnat(values))[0])))
        values = values.astype(np.int64)
    if values.dtype.kind not in "iuf" or len(values) < 2:
        return
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ArgumentError(_refusal(dim, "NaN or infinity", int(np.flatnonzero(~np.isfinite(numbers))[0])))
    steps = np.diff(numbers)
    if _turns(coordinate, numbers):
        steps = np.diff(np.unwrap(numbers, period=_CIRCLE))
    if (steps == 0.0).any():
        raise ArgumentError(_refusal(dim, "a value twice in a row", int(np.flatnonzero(steps == 0.0)[0])))
    if not ((steps > 0.0).all() or (steps < 0.0).all()):
        turn = int(np.flatnonzero(np.sign(steps) != np.sign(steps[0]))[0])
        raise ArgumentError(_refusal(dim, "values out of order", turn))
    middle = float(np.median(steps))
    # What was written with few digits has steps that differ by a unit of the last one.
    digits = 2.0 * np.spacing(np.abs(numbers).max().astype(np.float32 if values.dtype == np.float32 else np.float64))
    uneven = np.abs(steps - middle) > _EVEN * abs(middle) + digits
    if uneven.any():
        where = int(np.flatnonzero(uneven)[0])
        warnings.warn(
            f"the coordinate {dim} is not evenly spaced: {steps[where]:g} after position {where} where most steps are "
            f"{middle:g}; pixels are taken as neighbours all the same.",
            DataWarning,
            stacklevel=4,
        )


def _turns(coordinate: Any, numbers: Any) -> bool:
    """Return whether values go on from 360 at 0, as longitudes may."""
    told = {str(coordinate.attrs.get(key, "")).lower() for key in ("standard_name", "units")}
    named = str(coordinate.name).lower() in ("lon", "longitude") or any("east" in each for each in told)
    return (named or "longitude" in told) and bool(np.ptp(numbers) <= _CIRCLE)


def _refusal(dim: str, what: str, position: int) -> str:
    return (
        f"image must have coordinates in order along {dim}, got {what} at position {position}: pixels side by side "
        f"would not be neighbours; sort and clean it first, as image.sortby({dim!r}).drop_duplicates({dim!r}) does, or "
        f"drop the coordinate, image.drop_vars({dim!r})."
    )
