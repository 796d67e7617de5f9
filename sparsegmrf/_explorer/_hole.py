"""The third tab: holes in an image, and what is filled in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib.cbook
import numpy as np
from matplotlib.path import Path

from sparsegmrf._explorer._picture import png
from sparsegmrf._validate import one_of, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import FillResult, fill
from sparsegmrf.models import Matern, Model, TensionSpline
from sparsegmrf.plot import fill_figure
from sparsegmrf.scores import coverage
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, Shape

MODELS: Mapping[str, Model] = {
    "Matern, nu = 2": Matern(nu=2.0),
    "Matern, nu = 1": Matern(nu=1.0),
    "tension spline": TensionSpline(),
}
"""Models by which holes are filled."""
_ROWS, _COLUMNS = slice(150, 214), slice(100, 180)


def elevations() -> FloatArray:
    """Return 64 x 80 elevations in metres, a part of the model that ships with matplotlib."""
    file: Any = matplotlib.cbook.get_sample_data("jacksboro_fault_dem.npz")
    with file:
        return np.asarray(file["elevation"][_ROWS, _COLUMNS], dtype=np.float64)


def image_of(value: ArrayLike | None) -> FloatArray:
    """Return the image that holes are drawn on, elevations by default.

    Raises
    ------
    ArgumentError
        If it is not two-dimensional or has no observed pixel.
    """
    image = elevations() if value is None else real_array("image", value)
    if image.ndim != 2 or not np.isfinite(image).any():
        raise ArgumentError(
            f"image must have shape (H, W) and observed pixels, got shape {image.shape}; explore one channel or one "
            "date at a time."
        )
    return image


def enclosed(vertices: ArrayLike, shape: Shape) -> BoolArray:
    """Return which pixels have their centre within a closed line.

    Parameters
    ----------
    vertices : array_like, (K, 2)
        Points ``(column, row)`` of the line in pixels, centres at whole numbers; it is closed from the last to the
        first.
    shape : (int, int)
        Height and width in pixels.

    Returns
    -------
    ndarray of bool, (H, W)
        True within; nowhere if there are fewer than three points.
    """
    points = real_array("vertices", vertices).reshape(-1, 2)
    if len(points) < 3:
        return np.zeros(shape, dtype=bool)
    rows, columns = np.indices(shape)
    closed = Path(np.vstack([points, points[:1]]), closed=True)
    return np.asarray(closed.contains_points(np.column_stack([columns.ravel(), rows.ravel()]))).reshape(shape)


@dataclass(frozen=True, eq=False)
class Filled:
    """An image, the holes drawn on it, and what a fit to the rest says of them.

    Attributes
    ----------
    image : ndarray, (H, W)
        Intensities, also within the holes; NaN where missing.
    holes : ndarray of bool, (H, W)
        True where a hole was drawn.
    result : FillResult
        Filled by the pixels outside the holes alone.
    """

    image: FloatArray
    holes: BoolArray
    result: FillResult

    @classmethod
    def of(cls, image: FloatArray, holes: BoolArray, model: str, *, noisy: bool) -> "Filled":
        """Fit a model of `MODELS` to what is outside the holes, with noise if it is `noisy`, and fill them.

        Raises
        ------
        ArgumentError
            If the model is another one, or the holes leave too little to fit it to.
        """
        one_of("model", model, tuple(MODELS))
        noise: Literal["estimate"] | None = "estimate" if noisy else None
        return cls(image, holes, fill(np.where(holes, np.nan, image), model=MODELS[model], noise_variance=noise))

    def picture(self) -> bytes:
        """Return image with holes, filled image and standard deviation as PNG."""
        measured = np.where(self.holes, np.nan, self.image)
        return png(fill_figure(measured, self.result.mean, self.result.std))

    def text(self) -> str:
        """Return how well the holes were filled, where the truth is known."""
        known = self.holes & np.isfinite(self.image)
        count = int(np.count_nonzero(known))
        if not count:
            return "no pixel is in a hole whose value is known"
        truth, mean, std = self.image[known], self.result.mean[known], self.result.std[known]
        error = float(np.sqrt(np.mean((truth - mean) ** 2)))
        return (
            f"{count} pixels in holes: RMSE {error:.3g}, where the standard deviation says "
            f"{float(np.sqrt(np.mean(std**2))):.3g}; 95% intervals cover {coverage(truth, mean, std):.0%} of them"
        )
