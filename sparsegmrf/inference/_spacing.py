"""The size of pixels on the ground: from coordinates, from latitudes and longitudes, or as given."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sparsegmrf._axes import is_labelled
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._around import is_latitude, is_longitude, longitude_steps
from sparsegmrf.models._spacing import check_spacing, check_spacing_shape, differs
from sparsegmrf.typing import ArrayLike, FloatArray, Shape

EARTH_RADIUS = 6371.0088
"""Mean radius in kilometres."""
PIXEL = "pixels"
_EVEN = 0.01
"""Largest difference from even spacing, in steps: coordinates may be of single precision."""
_ABBREVIATED = {
    **dict.fromkeys(("metre", "meter", "metres", "meters"), "m"),
    **dict.fromkeys(("kilometre", "kilometer", "kilometres", "kilometers"), "km"),
}


@dataclass(frozen=True, eq=False)
class Spacing:
    """Height and width of pixels on the ground, and their unit.

    Attributes
    ----------
    height, width : float or ndarray, (H,) or (H, W)
        Of every pixel, or of those of a row.
    unit : str
        Of both; ``"pixels"`` where they are 1, empty if it is not known.
    note : str
        Why they are 1 though there are coordinates, or what the coordinates have where a model has its own size; else
        empty.

    Raises
    ------
    ArgumentError
        If a side is not positive and finite.
    """

    height: float | FloatArray
    width: float | FloatArray
    unit: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        found = check_spacing((self.height, self.width))
        assert found is not None
        object.__setattr__(self, "height", found[0])
        object.__setattr__(self, "width", found[1])

    def __iter__(self) -> Iterator[float | FloatArray]:
        return iter((self.height, self.width))

    @property
    def is_pixels(self) -> bool:
        """Whether lengths are in pixels."""
        return self.unit == PIXEL

    @property
    def is_map(self) -> bool:
        """Whether pixels differ in size."""
        return differs((self.height, self.width))

    def __str__(self) -> str:
        if self.is_pixels:
            return PIXEL
        height, width = (_between(each) for each in self)
        return f"{height} x {width} {self.unit}".strip()


SpacingLike = Literal["coordinates"] | Spacing | tuple[ArrayLike, ArrayLike] | None


def _between(side: float | FloatArray) -> str:
    low, high = f"{np.min(side):.5g}", f"{np.max(side):.5g}"
    return low if low == high else f"{low}...{high}"


def pixels(note: str = "") -> Spacing:
    """Return pixels of 1 by 1."""
    return Spacing(1.0, 1.0, PIXEL, note)


def in_unit(height: float, width: float, unit: str) -> Spacing:
    """Return pixels of a size in a unit, abbreviated if it has a common sign."""
    return Spacing(height, width, _ABBREVIATED.get(unit.lower(), unit))


def spacing_on_sphere(latitudes: ArrayLike, height: float, width: float) -> Spacing:
    """Return the sizes in kilometres of pixels between parallels and meridians, on a sphere of radius 6371.0088 km.

    Rows are ``R dlat`` high and ``R dlon cos(lat)`` wide. Of a row that reaches beyond a pole, where the cosine may be
    zero, the width is the area that is left of the cell over the height.

    Parameters
    ----------
    latitudes : array_like, (H,)
        Of the rows' middles in degrees.
    height, width : float
        Of a pixel in degrees, positive.

    Raises
    ------
    ArgumentError
        If a latitude is beyond a pole.

    Examples
    --------
    >>> found = spacing_on_sphere([60.0, 0.0], 1.0, 1.0)
    >>> round(found.height, 2), found.width.round(2).tolist(), found.unit
    (111.2, [55.6, 111.2], 'km')
    """
    middle = np.asarray(latitudes, dtype=np.float64)
    if not (np.abs(middle) <= 90.0).all():
        raise ArgumentError(f"latitudes must be between -90 and 90, got {np.abs(middle).max():g}.")
    ends = np.radians(np.clip([middle - 0.5 * height, middle + 0.5 * height], -90.0, 90.0))
    at_pole = np.abs(middle) + 0.5 * height > 90.0 + _EVEN * height
    of_area = (np.sin(ends[1]) - np.sin(ends[0])) / np.radians(height)
    share = np.where(at_pole, of_area, np.cos(np.radians(middle)))
    high, wide = (EARTH_RADIUS * float(np.radians(each)) for each in (height, width))
    return Spacing(high, wide * share, "km")


def spacing_of(image: Any) -> Spacing:
    """Return the size of the pixels of a labelled image by the coordinates of its rows and columns.

    Evenly spaced numbers (to a hundredth of a step) are lengths, in the unit of their attribute ``units`` or of the
    grid mapping. Latitudes and longitudes, known by ``standard_name``, ``units``, the names ``lat``, ``latitude``,
    ``lon`` and ``longitude``, or the grid mapping, become kilometres by `spacing_on_sphere`.
    All else is pixels, and `Spacing.note` says why.

    Parameters
    ----------
    image : DataArray, (..., H, W), or array_like
        Rows and columns are the last two dimensions; plain arrays have pixels.

    Examples
    --------
    >>> spacing_of(np.zeros((2, 3))).unit
    'pixels'
    """
    return _of_plane(image, image.dims[-2:]) if is_labelled(image) and image.ndim > 1 else pixels()


def read_spacing(given: Any, image: Any, shape: Shape, plane: slice = slice(-2, None)) -> Spacing:
    """Return the size of pixels that is given, or that the coordinates of an image have.

    Raises
    ------
    ArgumentError
        If it is neither ``"coordinates"`` nor None nor a pair of positive sizes of the image's shape.
    """
    if given is None:
        return pixels()
    if isinstance(given, str):
        if given != "coordinates":
            raise ArgumentError(f'spacing must be "coordinates", (height, width) or None, got {given!r}.')
        return _of_plane(image, image.dims[plane]) if is_labelled(image) and image.ndim > 1 else pixels()
    pair = check_spacing(tuple(given) if isinstance(given, Spacing) else given)
    assert pair is not None
    found = given if isinstance(given, Spacing) else Spacing(*pair)
    if not found.is_pixels:
        check_spacing_shape((found.height, found.width), shape)
    return found


def _of_plane(image: Any, plane: tuple[Any, Any]) -> Spacing:
    named = [dim for dim in plane if dim in image.coords]
    if len(named) < 2:
        missing = [str(dim) for dim in plane if dim not in named]
        return pixels(f"{missing[0]} has no coordinate" if named else "")
    rows, columns = (image.coords[dim] for dim in plane)
    for dim, each in zip(plane, (rows, columns), strict=True):
        reason = _no_numbers(each)
        if reason:
            return pixels(f"the coordinate {dim} {reason}")
    turned = is_longitude(plane[0], rows) and is_latitude(plane[1], columns)
    if turned or (is_latitude(plane[0], rows) and is_longitude(plane[1], columns)) or _is_geographic(image):
        return _geographic(plane, rows, columns, turned)
    steps = [_step(np.asarray(each, dtype=np.float64)) for each in (rows, columns)]
    height, width = steps
    if height is None or width is None:
        return pixels(f"the coordinate {plane[steps.index(None)]} is not evenly spaced")
    written = {str(each.attrs.get("units", "")) for each in (rows, columns)} - {""}
    units = {_ABBREVIATED.get(each, each) for each in written}
    if len(units) > 1:
        return pixels(f"the coordinates have the units {' and '.join(sorted(written))}")
    if is_longitude(plane[1], columns) or is_latitude(plane[0], rows):
        return pixels("one coordinate only is a latitude or longitude")
    unit = units.pop() if units else _unit_of_mapping(image)
    return in_unit(height, width, unit)


def _no_numbers(coordinate: Any) -> str:
    values = np.asarray(coordinate)
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        return "holds times" if values.dtype.kind in "mM" else "holds no numbers"
    if len(values) < 2:
        return "has one value only"
    return "" if np.isfinite(values).all() else "is not evenly spaced"


def _step(values: FloatArray) -> float | None:
    """Return the distance of neighbours; None where it varies."""
    steps = np.diff(values)
    step = (values[-1] - values[0]) / len(steps)
    return float(abs(step)) if step and np.abs(steps - step).max() <= _EVEN * abs(step) else None


def _geographic(plane: tuple[Any, Any], rows: Any, columns: Any, turned: bool) -> Spacing:
    latitude, longitude = (
        np.asarray(each, dtype=np.float64) for each in ((columns, rows) if turned else (rows, columns))
    )
    names = plane[::-1] if turned else plane
    height, width = _step(latitude), _step(longitude_steps(longitude))
    if height is None or width is None:
        return pixels(f"the coordinate {names[0] if height is None else names[1]} is not evenly spaced")
    if np.abs(latitude).max() > 90.0:
        return pixels(f"the coordinate {names[0]} is beyond a pole")
    found = spacing_on_sphere(latitude, height, width)
    if not turned:
        return found
    wide = np.broadcast_to(found.width, (len(longitude), len(latitude)))
    return Spacing(wide, found.height, found.unit)


def mappings(image: Any) -> Iterator[Any]:
    """Yield the attributes of scalar coordinates that place the grid."""
    for name in image.coords:
        attributes = image.coords[name].attrs
        if not image.coords[name].ndim and {"grid_mapping_name", "crs_wkt", "spatial_ref"} & set(attributes):
            yield attributes


def _is_geographic(image: Any) -> bool:
    return any(
        each.get("grid_mapping_name") == "latitude_longitude" or _well_known_text(each).startswith("GEOG")
        for each in mappings(image)
    )


def _unit_of_mapping(image: Any) -> str:
    """Return the unit of the projected coordinates; empty where it is not said."""
    for each in mappings(image):
        text = _well_known_text(each)
        found = re.findall(r'UNIT\["([^"]+)"', text) if text.startswith("PROJ") else []
        if found:
            return str(found[-1])
    return ""


def _well_known_text(attributes: Any) -> str:
    return str(attributes.get("crs_wkt", attributes.get("spatial_ref", "")))
