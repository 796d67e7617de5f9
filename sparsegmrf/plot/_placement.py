"""Where the pixels of an image lie: axes in its coordinates, or in rows and columns."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from sparsegmrf._axes import is_labelled
from sparsegmrf.geo import GeoTiff
from sparsegmrf.inference import Spacing, spacing_of
from sparsegmrf.typing import Shape

_EVEN = 0.01
"""Largest difference from even spacing, in steps: coordinates may be of single precision."""
_LONGEST = 8.0
"""Side of an image over the other one beyond which it is drawn out of proportion."""
_TICKS = 5
_ABBREVIATED = {
    "degrees_north": "°N",
    "degrees_east": "°E",
    **dict.fromkeys(("metre", "meter", "metres", "meters"), "m"),
    **dict.fromkeys(("kilometre", "kilometer", "kilometres", "kilometers"), "km"),
}


@dataclass(frozen=True)
class Placement:
    """What the axes of an image are.

    Attributes
    ----------
    extent : tuple of float
        Left, right, lower and upper edge of the picture, whose first row is the upper one: coordinates of the edges of
        pixels.
    names : (str, str)
        Of rows and columns, with their unit.
    height : float
        Height of a unit of the rows' coordinate over the width of one of the columns', on the ground.
    upward : bool
        Whether larger coordinates of rows stand higher, as on maps; rows that are counted go down, and so does what is
        positive downwards.
    """

    extent: tuple[float, float, float, float]
    names: tuple[str, str] = ("row", "column")
    height: float = 1.0
    upward: bool = False

    @classmethod
    def of(cls, like: Any, shape: Shape) -> "Placement":
        """Return the axes of an image or a raster of a shape.

        Coordinates count where they are numbers evenly spaced; of a transform, where rows and columns are at right
        angles to its axes. All else is counted in rows and columns.
        """
        if isinstance(like, GeoTiff):
            return _of_transform(like, shape)
        like = like if is_labelled(like) else getattr(like, "image", None)
        if not is_labelled(like) or like.ndim < 2 or like.shape[-2:] != shape:
            return _counted(shape)
        return _of_coordinates(like, shape)

    @property
    def proportion(self) -> float:
        """Height of the picture over its width."""
        left, right, lower, upper = self.extent
        return self.height * abs(upper - lower) / abs(right - left)

    @property
    def is_long(self) -> bool:
        """Whether one side of the picture is so much longer that it is drawn out of proportion."""
        return not 1.0 / _LONGEST < self.proportion < _LONGEST

    def label(self, ax: Axes, size: float = 8.0) -> None:
        """Name the axes of a picture that is drawn, and mark round numbers on them."""
        left, right, lower, upper = self.extent
        if not self.is_long:
            ax.set_aspect(self.height)
        ax.set_xlim(min(left, right), max(left, right))
        low, high = min(lower, upper), max(lower, upper)
        ax.set_ylim(*((low, high) if self.upward else (high, low)))
        ax.set_ylabel(self.names[0], fontsize=size)
        ax.set_xlabel(self.names[1], fontsize=size)
        ax.tick_params(labelsize=size)
        for axis, name in ((ax.yaxis, self.names[0]), (ax.xaxis, self.names[1])):
            counted = name in ("row", "column")
            axis.set_major_locator(MaxNLocator(_TICKS, integer=counted))
            plain = ScalarFormatter(useOffset=False)
            plain.set_scientific(False)
            axis.set_major_formatter(plain)


def _counted(shape: Shape) -> Placement:
    height, width = shape
    return Placement((-0.5, width - 0.5, height - 0.5, -0.5))


def _of_coordinates(image: Any, shape: Shape) -> Placement:
    rows, columns = image.dims[-2:]
    found = [_edges(image, dim, size) for dim, size in zip((rows, columns), shape, strict=True)]
    (upper, lower, name_of_rows), (left, right, name_of_columns) = (
        (-0.5, size - 0.5, f"{dim} (position)") if each is None else each
        for each, dim, size in zip(found, (rows, columns), shape, strict=True)
    )
    steps = (abs(lower - upper) / shape[0], abs(right - left) / shape[1])
    ratio = _ratio(spacing_of(image))
    return Placement(
        (left, right, lower, upper),
        (name_of_rows, name_of_columns),
        ratio * steps[1] / steps[0],
        upward=found[0] is not None and image.coords[rows].attrs.get("positive") != "down",
    )


def _edges(image: Any, dim: Any, size: int) -> tuple[float, float, str] | None:
    """Return the edges of the first and the last pixel along a dimension, and its name; None without such numbers."""
    if dim not in image.coords:
        return None
    coordinate = image.coords[dim]
    values = np.asarray(coordinate)
    if values.ndim != 1 or values.dtype.kind not in "iuf" or size < 2 or not np.isfinite(values).all():
        return None
    numbers = values.astype(np.float64)
    step = (numbers[-1] - numbers[0]) / (size - 1)
    if not step or np.abs(np.diff(numbers) - step).max() > _EVEN * abs(step):
        return None
    name = str(coordinate.attrs.get("long_name", dim))
    unit = str(coordinate.attrs.get("units", ""))
    unit = _ABBREVIATED.get(unit, unit)
    return float(numbers[0] - 0.5 * step), float(numbers[-1] + 0.5 * step), f"{name} ({unit})" if unit else name


def _of_transform(raster: GeoTiff, shape: Shape) -> Placement:
    transform, crs = raster.georeference["transform"], raster.georeference["crs"]
    if transform.is_identity or transform.b or transform.d or not transform.a * transform.e:
        return _counted(shape)
    left, right = transform.c, transform.c + transform.a * shape[1]
    upper, lower = transform.f, transform.f + transform.e * shape[0]
    if crs and crs.is_geographic:
        names = ("latitude (°N)", "longitude (°E)")
    else:
        unit = raster.spacing.unit if crs and crs.is_projected else ""
        names = (f"northing ({unit})", f"easting ({unit})") if unit else ("y", "x")
    ratio = _ratio(raster.spacing)
    return Placement((left, right, lower, upper), names, ratio * abs(transform.a / transform.e), upward=True)


def _ratio(spacing: Spacing) -> float:
    """Return the height of a pixel over its width, in the middle where pixels differ."""
    ratio = float(np.mean(spacing.height)) / float(np.mean(spacing.width))
    return ratio if math.isfinite(ratio) and ratio > 0.0 else 1.0
