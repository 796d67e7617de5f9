"""Latitudes and longitudes, recognized by an image's coordinates; those that go around the globe join their ends."""

from typing import Any

import numpy as np

from sparsegmrf._coordinates import repeats_meridian
from sparsegmrf._edges import as_argument, by_axis
from sparsegmrf.inference._labels import Labels
from sparsegmrf.typing import Boundary, FloatArray

_UNITS = ("degrees_east", "degree_east", "degree_e", "degrees_e", "degreee", "degreese")
"""Units of longitude as CF has them, in small letters."""
_UNITS_NORTH = ("degrees_north", "degree_north", "degree_n", "degrees_n", "degreen", "degreesn")
_NAMES = ("longitude", "lon")
_NAMES_NORTH = ("latitude", "lat")
_CIRCLE = 360.0
_EVEN = 0.01
"""Largest difference from even spacing, in steps: coordinates may be of single precision."""


def offer_around(model: object, labels: Labels | None) -> list[str]:
    """Return a line that offers to join the ends of an axis that goes around; none where it is joined, or does not.

    A meridian that is there twice is told, as joined ends would make it a neighbour of itself.
    """
    boundary = None if labels is None else _boundary_of(model)
    if labels is None or boundary is None:
        return []
    dims = labels.plane
    doubled = [str(dim) for dim in dims if _repeats(labels.image, dim)]
    if doubled:
        return [
            f"{doubled[0]} has its first meridian twice, 360 degrees apart; leave the last out, and its ends can be "
            "joined"
        ]
    rules = [
        "torus" if goes_around(labels.image, dim) else rule for dim, rule in zip(dims, by_axis(boundary), strict=True)
    ]
    names = [str(dim) for dim, new, old in zip(dims, rules, by_axis(boundary), strict=True) if new != old]
    if not names:
        return []
    argument = as_argument((rules[0], rules[1]), "")
    return [f"{' and '.join(names)} goes around 360 degrees, but its ends are not joined; {argument} joins them"]


def goes_around(image: Any, dim: Any) -> bool:
    """Return whether the coordinate of a dimension is an evenly spaced longitude whose pixels fill 360 degrees.

    A grid that repeats its first meridian at the end does not count: it would be there twice.
    """
    if dim not in image.coords:
        return False
    coordinate = image.coords[dim]
    values = np.asarray(coordinate)
    if values.ndim != 1 or values.dtype.kind not in "iuf" or len(values) < 3 or not is_longitude(dim, coordinate):
        return False
    step = _CIRCLE / len(values)
    steps = np.diff(values.astype(np.float64)) % _CIRCLE  # from 359 on to 0, or from 180 on to -179
    eastward = np.abs(steps - step).max() <= _EVEN * step
    return bool(eastward or np.abs(_CIRCLE - steps - step).max() <= _EVEN * step)


def _repeats(image: Any, dim: Any) -> bool:
    """Return whether the coordinate of a dimension is a longitude that ends at the meridian where it begins."""
    if dim not in image.coords or image.coords[dim].ndim != 1 or not is_longitude(dim, image.coords[dim]):
        return False
    values = np.asarray(image.coords[dim])
    return values.dtype.kind in "iuf" and repeats_meridian(values)


def is_longitude(dim: Any, coordinate: Any) -> bool:
    """Return whether a coordinate says that it is a longitude."""
    return _is("longitude", _UNITS, _NAMES, dim, coordinate)


def is_latitude(dim: Any, coordinate: Any) -> bool:
    """Return whether a coordinate says that it is a latitude."""
    return _is("latitude", _UNITS_NORTH, _NAMES_NORTH, dim, coordinate)


def longitude_steps(longitude: FloatArray) -> FloatArray:
    """Return longitudes without jumps by 360 degrees."""
    return np.asarray(np.unwrap(longitude, period=_CIRCLE))


def _is(standard: str, units: tuple[str, ...], names: tuple[str, ...], dim: Any, coordinate: Any) -> bool:
    said = {key: str(coordinate.attrs.get(key, "")).lower() for key in ("standard_name", "units")}
    if said["standard_name"] or said["units"] in units:
        return said["standard_name"] == standard or (not said["standard_name"] and said["units"] in units)
    return str(dim).lower() in names and said["units"] in ("", "degrees", "degree")


def _boundary_of(model: Any) -> Boundary | None:
    """Return the boundary of a model, or of the first model that it is made of; None if it has none."""
    own: Boundary | None = getattr(model, "boundary", None)
    if own is not None:
        return own
    members = getattr(model, "models", None) or [getattr(model, "model", None)]
    return None if members[0] is None else _boundary_of(members[0])
