"""Panels of figures: images of one shape side by side, each with its colours, scale and title, on common axes."""

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.plot._pictures import show_picture
from sparsegmrf.plot._placement import Placement
from sparsegmrf.typing import ArrayLike, FloatArray

IMAGE = colormaps["viridis"].with_extremes(bad="white")
DEVIATION = colormaps["magma"].with_extremes(bad="0.6")
RESIDUAL = colormaps["RdBu_r"].with_extremes(bad="0.85")
WIDTH = 3.2
"""Width in inches of an image within a panel."""
_BESIDE = 1.2
"""Width in inches of what stands beside it: numbers of its axis and the colour bar."""
_AROUND = 0.9
"""Height in inches of what stands above and below it."""
_LETTERS = 11.0
"""Letters of a title per inch."""
_LOWEST, _HIGHEST = 0.4, 1.5
"""Height over width of an image within which panels follow it."""


@dataclass(frozen=True, eq=False)
class Panel:
    """An image to be drawn.

    Attributes
    ----------
    picture : ndarray, (H, W)
        NaN where there is nothing.
    title : str
        Above it.
    colours : Colormap
        Its colours.
    norm : Normalize
        From values to colours.
    unit : str
        Beside the colour bar.
    extend : str
        At which ends of the scale values may lie beyond it.
    """

    picture: FloatArray
    title: str
    colours: Colormap
    norm: Normalize
    unit: str
    extend: str = "both"


def draw_panel(ax: Axes, panel: Panel, place: Placement, *, with_bar: bool = True) -> None:
    """Draw an image, its axes named, with its colour bar if it has none in common with another."""
    shown, notes = show_picture(ax, panel.picture, panel.colours, panel.norm, place.extent)
    ax.set_title(", ".join([panel.title, *notes]), fontsize=10)
    place.label(ax)
    if not with_bar:
        return
    bar = ax.figure.colorbar(shown, cax=ax.inset_axes((1.03, 0.0, 0.05, 1.0)), extend=panel.extend)
    bar.ax.tick_params(labelsize=8)
    bar.set_label(panel.unit, fontsize=9)


def panel_figure(panels: list[Panel], columns: int, place: Placement, title: str) -> Figure:
    """Draw images in rows of so many, which they fill."""
    return figure_with_plots(panels, 0, columns, place, title)[0]


def figure_with_plots(
    panels: list[Panel], plots: int, columns: int, place: Placement, title: str
) -> tuple[Figure, list[Axes]]:
    """Draw images, and return the axes after them for so many plots: rows that they fill, as high as images need."""
    rows = -(-(len(panels) + plots) // columns)
    height = image_height(place)
    figure = Figure(figsize=(columns * (WIDTH + _BESIDE), rows * height + 0.4), layout="constrained")
    figure.suptitle(wrapped(title, figure.get_figwidth()), fontsize=11)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax, panel in zip(axes[: len(axes) - plots], panels, strict=True):
        draw_panel(ax, panel, place)
    return figure, axes[len(panels) :]


def image_height(place: Placement) -> float:
    """Return the height in inches of an image with what stands above and below it."""
    return WIDTH * min(max(place.proportion, _LOWEST), _HIGHEST) + _AROUND


def wrapped(title: str, width: float) -> str:
    """Return a title in lines that a figure so many inches wide has room for."""
    return textwrap.fill(title, max(20, int(_LETTERS * width)))


def planes(observed: str, **images: ArrayLike) -> list[FloatArray]:
    """Return images of one shape as arrays, of which the one called `observed` must have a value."""
    arrays = {name: real_array(name, image) for name, image in images.items()}
    shapes = {name: plane.shape for name, plane in arrays.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ArgumentError(f"{', '.join(arrays)} must have one shape (H, W), got {list(shapes.values())}.")
    if np.isnan(arrays[observed]).all():
        raise ArgumentError(f"{observed} must have an observed pixel, got none.")
    return list(arrays.values())


def placement(like: Any, *images: Any) -> Placement:
    """Return the axes of a raster that is given, or else of the first image, with labels or without."""
    return Placement.of(images[0] if like is None else like, np.shape(images[0])[-2:])


def described(image: FloatArray) -> str:
    """Say how much of an image is missing."""
    share = float(np.isnan(image).mean())
    return f"{share:.1%} missing (white)" if share else "none missing"


def scale_of(image: FloatArray) -> Normalize:
    """Return a scale between the ends of what is finite, the outermost values aside."""
    low, high = (float(value) for value in np.nanpercentile(image, [0.1, 99.9]))
    return Normalize(low, high if high > low else low + 1.0)


def around_zero(values: FloatArray) -> Normalize:
    """Return a scale around zero."""
    high = float(np.nanpercentile(np.abs(values), 99.9)) if values.size else 0.0
    return Normalize(-high, high) if high > 0.0 else Normalize(-1.0, 1.0)


def from_zero(values: FloatArray) -> Normalize:
    """Return a scale from zero."""
    high = float(np.nanpercentile(values, 99.9)) if np.isfinite(values).any() else 0.0
    return Normalize(0.0, high if high > 0.0 else 1.0)
