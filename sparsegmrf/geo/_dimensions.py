"""Which dimensions of a variable are rows and columns, and which position along the others is wanted."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo._common import Bands, chosen, is_one
from sparsegmrf.inference._around import is_latitude, is_longitude

Selection = Mapping[str, str | float]
"""Values of coordinates by dimension, or positions from 0 along one that has no coordinate."""

_STANDARD = {
    **dict.fromkeys(("projection_y_coordinate", "grid_latitude", "latitude"), "Y"),
    **dict.fromkeys(("projection_x_coordinate", "grid_longitude", "longitude"), "X"),
}
_NAMES = {
    **dict.fromkeys(("y", "lat", "latitude", "northing", "row", "rows"), "Y"),
    **dict.fromkeys(("x", "lon", "longitude", "easting", "column", "columns", "col"), "X"),
    **dict.fromkeys(("time", "t", "date"), "T"),
    **dict.fromkeys(("z", "lev", "level", "plev", "depth", "height", "altitude", "band", "member"), "Z"),
}
"""What dimensions are by their names, if nothing else says."""


def plane_of(array: Any) -> tuple[Any, Any]:
    """Return the dimensions of rows and columns, in the order of the variable.

    Those that the conventions call Y and X (``axis``, ``standard_name``, units of degrees, names); where there are no
    such two, the last two that are neither times nor levels.
    """
    kinds = {dim: axis_of(array, dim) for dim in array.dims}
    plane = [dim for dim, kind in kinds.items() if kind in ("Y", "X")]
    if len(plane) != 2 or {kinds[dim] for dim in plane} != {"Y", "X"}:
        plane = [dim for dim, kind in kinds.items() if kind not in ("T", "Z")][-2:]
    if len(plane) < 2:
        plane = list(array.dims[-2:])
    return plane[0], plane[1]


def axis_of(array: Any, dim: Any) -> str:
    """Return what the conventions call a dimension: X, Y, Z, T, or empty."""
    if dim in array.coords:
        coordinate = array.coords[dim]
        told = {key: str(coordinate.attrs.get(key, "")).lower() for key in ("axis", "standard_name")}
        if told["axis"].upper() in ("X", "Y", "Z", "T"):
            return told["axis"].upper()
        if told["standard_name"] in _STANDARD:
            return _STANDARD[told["standard_name"]]
        if is_latitude(dim, coordinate):
            return "Y"
        if is_longitude(dim, coordinate):
            return "X"
        if coordinate.dtype.kind == "M" or "calendar" in coordinate.encoding:
            return "T"
        if "positive" in coordinate.attrs:
            return "Z"
    return _NAMES.get(str(dim).lower(), "")


def place_of(array: Any, plane: tuple[Any, Any], select: Selection, index: Bands, file: str, note: str) -> Any:
    """Return the positions along the dimensions other than those of the image: numbers, or one list of them.

    Raises
    ------
    ArgumentError
        If more than one dimension is left that is longer than 1, or a value or position is not there.
    """
    name = f"{array.name} of {file}"
    others = [dim for dim in array.dims if dim not in plane]
    known = {str(dim): dim for dim in others}
    wrong = sorted(set(select) - set(known))
    if wrong:
        raise ArgumentError(f"select must name one of {', '.join(known) or 'no dimension'} of {name}, got {wrong[0]}.")
    place: dict[Any, Any] = {known[text]: position_of(array, known[text], value) for text, value in select.items()}
    left = [dim for dim in others if dim not in place]
    long = [dim for dim in left if array.sizes[dim] > 1]
    if len(long) > 1:
        raise ArgumentError(
            f"{name} must have two dimensions and at most one more, got {dict(array.sizes)}; choose a position along "
            f"the others by select, such as --select {long[0]}={_shown(array, long[0])}."
        )
    along = long[0] if long else left[-1] if left else None
    count = array.sizes[along] if along is not None else 1
    label = " and ".join(str(dim) for dim in left) or "leading dimension"
    numbers = chosen(f"positions along {label}", name, int(count), index, note)
    for dim in left:
        place[dim] = 0 if dim != along else numbers[0] if is_one(index) else numbers
    return place


def position_of(array: Any, dim: Any, value: str | float) -> int:
    """Return the position of a value of a coordinate; without a coordinate, the value is the position.

    Raises
    ------
    ArgumentError
        If there is no such value, or several are.
    """
    values = np.asarray(array.coords[dim]) if dim in array.coords else np.arange(array.sizes[dim])
    try:
        found = np.flatnonzero(_equal(values, value))
    except (TypeError, ValueError):
        found = np.empty(0, dtype=np.intp)
    if found.size != 1:
        several = f", which {found.size} positions have" if found.size else ""
        listed = ", ".join(str(each) for each in values[:6]) + (", ..." if len(values) > 6 else "")
        raise ArgumentError(f"select must have one of the values {listed} for {dim}, got {value}{several}.")
    return int(found[0])


def _equal(values: Any, value: str | float) -> Any:
    if values.dtype.kind == "M":
        wanted = np.datetime64(str(value))
        return values.astype(wanted.dtype) == wanted  # a day has all of its hours
    if values.dtype.kind in "iuf":
        return np.isclose(values.astype(np.float64), float(value), rtol=1e-6, atol=0.0)
    texts = np.array([str(each) for each in values])
    return texts == str(value)


def _shown(array: Any, dim: Any) -> str:
    return str(np.asarray(array.coords[dim])[0]) if dim in array.coords else "0"
