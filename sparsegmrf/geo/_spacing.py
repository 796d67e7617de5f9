"""The size of pixels on the ground by the transform of a raster."""

import math
from typing import Any

import numpy as np

from sparsegmrf.inference import Spacing
from sparsegmrf.inference._spacing import in_unit, pixels, spacing_on_sphere
from sparsegmrf.typing import Shape

_SQUARE = 1e-9
"""Largest cosine of the angle between rows and columns that are at right angles."""


def spacing_of_transform(transform: Any, crs: Any, shape: Shape) -> Spacing:
    """Return the size of pixels: the lengths of the steps between them, of degrees in kilometres.

    Parameters
    ----------
    transform : affine.Affine
        ``(x, y) = (a j + b i + c, d j + e i + f)`` of the corner ``(i, j)`` of a pixel.
    crs : rasterio.crs.CRS or None
        What x and y are.
    shape : (int, int)
        Height and width in pixels.
    """
    if transform.is_identity:
        return pixels()
    along_row, along_column = (transform.a, transform.d), (transform.b, transform.e)
    width, height = math.hypot(*along_row), math.hypot(*along_column)
    if not (width > 0.0 and height > 0.0) or not math.isfinite(width * height):
        return pixels("the transform is singular")
    if crs and crs.is_geographic:
        if transform.b or transform.d:
            return pixels("rows do not follow the parallels")
        latitudes = transform.f + transform.e * (np.arange(shape[0]) + 0.5)
        if np.abs(latitudes).max() > 90.0:
            return pixels("rows are beyond a pole")
        return spacing_on_sphere(latitudes, height, width)
    if abs(along_row[0] * along_column[0] + along_row[1] * along_column[1]) > _SQUARE * width * height:
        return pixels("rows and columns are not at right angles")
    return in_unit(height, width, str(crs.linear_units) if crs and crs.is_projected else "")
