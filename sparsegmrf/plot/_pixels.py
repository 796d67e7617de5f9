"""Figure of a multi-channel image beside a map of one number per pixel."""

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import ArrayLike, FloatArray


def pixel_figure(image: ArrayLike, values: ArrayLike, *, title: str = "", name: str = "", unit: str = "") -> Figure:
    """Draw an image, a map of it, and the histogram of the map.

    Parameters
    ----------
    image : (H, W, C) array_like
        Intensities; three channels or more show the first three in colour, fewer the first in grey.
    values : (H, W) array_like
        One number per pixel; NaN where missing.
    title, name, unit : str
        Title of the figure, what the map shows, and in which unit.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`.

    Raises
    ------
    ArgumentError
        If the shapes do not belong together, or no value is finite.
    """
    pixels, shown = real_array("image", image), real_array("values", values)
    if pixels.ndim != 3 or not pixels.size or shown.shape != pixels.shape[:2]:
        raise ArgumentError(
            f"image must have shape (H, W, C) and values (H, W), got {pixels.shape} and {shown.shape}; squeeze the map."
        )
    finite = shown[np.isfinite(shown)]
    if not finite.size:
        raise ArgumentError("values must have a finite one, got none; mask less.")
    figure = Figure(figsize=(12.0, 4.0), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=11)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.0, 1.15, 0.9])
    left.imshow(_displayed(pixels), interpolation="nearest", cmap="gray")
    left.set_title("(a) image", fontsize=10)
    low, high = (float(value) for value in np.percentile(finite, [0.1, 99.9]))
    picture = middle.imshow(
        shown, cmap="viridis", norm=Normalize(low, high if high > low else low + 1.0), interpolation="nearest"
    )
    middle.set_title(f"(b) {name}", fontsize=10)
    bar = figure.colorbar(picture, ax=middle, extend="both", shrink=0.9, pad=0.02)
    bar.set_label(unit, fontsize=9)
    right.hist(finite, bins=200, log=True, color="0.4")
    right.set_title(f"(c) histogram of the {name}", fontsize=10)
    right.set_xlabel(unit, fontsize=9)
    right.set_ylabel("pixels", fontsize=9)
    for ax in (left, middle, right):
        ax.tick_params(labelsize=8)
    return figure


def _displayed(pixels: FloatArray) -> FloatArray:
    """Stretch the channels shown together over 0 to 1, between their 0.5% and 99.5% points; missing ones are black."""
    part = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., 0]
    low, high = (float(value) for value in np.nanpercentile(part, [0.5, 99.5]))
    stretched = (part - low) / (high - low) if high > low else np.zeros(part.shape)
    return np.clip(np.nan_to_num(stretched, nan=0.0), 0.0, 1.0)
