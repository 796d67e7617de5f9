"""Figures of a filled image: its gaps, what is filled in, how sure it is, and how good where the truth is known."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.plot._pictures import show_picture
from sparsegmrf.typing import ArrayLike, FloatArray

_PANEL = 3.2
"""Width in inches of an image within a panel."""
_MISSING = "white"
_IMAGE = colormaps["viridis"].with_extremes(bad=_MISSING)
_DEVIATION = colormaps["magma"].with_extremes(bad="0.6")


def fill_figure(image: ArrayLike, filled: ArrayLike, std: ArrayLike, *, title: str = "", unit: str = "") -> Figure:
    """Draw an image with gaps, the filled one on the same colour scale, and the standard deviation.

    Parameters
    ----------
    image : (H, W) array_like
        Intensities; NaN where missing, drawn white.
    filled, std : (H, W) array_like
        The filled image and the standard deviation, as in `FillResult`.
    title, unit : str
        Title of the figure, and what the colour scales measure.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`.

    Raises
    ------
    ArgumentError
        If the shapes differ, or no pixel is observed.
    """
    holes, whole, spread = _planes(image=image, filled=filled, std=std)
    figure = _figure(1, holes.shape)
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(1, 3)
    scale = _scale(holes)
    _panel(axes[0], holes, f"(a) image, {_missing(holes)}", _IMAGE, scale, unit)
    _panel(axes[1], whole, "(b) filled", _IMAGE, scale, unit)
    _panel(axes[2], spread, "(c) standard deviation", _DEVIATION, _from_zero(spread), unit, "max")
    return figure


def truth_figure(
    truth: ArrayLike,
    image: ArrayLike,
    mean: ArrayLike,
    std: ArrayLike,
    draw: ArrayLike,
    *,
    title: str = "",
    unit: str = "",
) -> Figure:
    """Draw what a filled image says where the truth is known: the three of `fill_figure`, truth, a draw, and errors.

    Parameters
    ----------
    truth : (H, W) array_like
        What lies under the gaps, too.
    image : (H, W) array_like
        Intensities measured; NaN where missing, drawn white.
    mean, std, draw : (H, W) array_like
        Expectation, standard deviation and one draw of the field given the image.
    title, unit : str
        Title of the figure, and what the colour scales measure.

    Returns
    -------
    matplotlib.figure.Figure
        As for `fill_figure`. The errors are those in the gaps, over their standard deviations.

    Raises
    ------
    ArgumentError
        If the shapes differ, or no pixel is observed, or none is missing.
    """
    whole, holes, expected, spread, drawn = _planes(truth=truth, image=image, mean=mean, std=std, draw=draw)
    gaps = np.isnan(holes)
    if not gaps.any():
        raise ArgumentError("image must have missing pixels, got none; there is nothing to compare with the truth.")
    figure = _figure(2, whole.shape)
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(2, 3)
    scale = _scale(whole)
    _panel(axes[0, 0], whole, "(a) truth", _IMAGE, scale, unit)
    _panel(axes[0, 1], holes, f"(b) measured, {_missing(holes)}", _IMAGE, scale, unit)
    _panel(axes[0, 2], expected, "(c) filled: mean given (b)", _IMAGE, scale, unit)
    _panel(axes[1, 0], spread, "(d) standard deviation of (c)", _DEVIATION, _from_zero(spread), unit, "max")
    _panel(axes[1, 1], drawn, "(e) one draw given (b)", _IMAGE, scale, unit)
    _errors(axes[1, 2], (whole - expected)[gaps] / spread[gaps])
    return figure


def _planes(**images: ArrayLike) -> list[FloatArray]:
    planes = {name: real_array(name, image) for name, image in images.items()}
    shapes = {name: plane.shape for name, plane in planes.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 2 for shape in shapes.values()):
        raise ArgumentError(f"{', '.join(planes)} must have one shape (H, W), got {list(shapes.values())}.")
    if np.isnan(planes["image"]).all():
        raise ArgumentError("image must have an observed pixel, got none.")
    return list(planes.values())


def _figure(rows: int, shape: tuple[int, ...]) -> Figure:
    """Return a figure for rows of three panels, as high as images of a shape need."""
    height = _PANEL * min(max(shape[0] / shape[1], 0.4), 1.5) + 0.9
    return Figure(figsize=(13.2, rows * height + 0.4), layout="constrained")


def _missing(image: FloatArray) -> str:
    share = float(np.isnan(image).mean())
    return f"{share:.1%} missing (white)" if share else "none missing"


def _scale(image: FloatArray) -> Normalize:
    low, high = (float(value) for value in np.nanpercentile(image, [0.1, 99.9]))
    return Normalize(low, high if high > low else low + 1.0)


def _from_zero(values: FloatArray) -> Normalize:
    high = float(np.nanpercentile(values, 99.9))
    return Normalize(0.0, high if high > 0.0 else 1.0)


def _panel(
    ax: Axes, picture: FloatArray, title: str, colours: Colormap, norm: Normalize, unit: str, extend: str = "both"
) -> None:
    shown, notes = show_picture(ax, picture, colours, norm)
    ax.set_title(", ".join([title, *notes]), fontsize=10)
    ax.set_xlabel("column", fontsize=8)
    ax.set_ylabel("row", fontsize=8)
    ax.tick_params(labelsize=8)
    bar = ax.figure.colorbar(shown, ax=ax, extend=extend, pad=0.02)
    bar.ax.tick_params(labelsize=8)
    bar.set_label(unit, fontsize=9)


def _errors(ax: Axes, standardized: FloatArray) -> None:
    z = np.linspace(-5.0, 5.0, 201)
    ax.hist(
        np.clip(standardized, -5.0, 5.0), bins=80, range=(-5.0, 5.0), density=True, color="0.7", label="in the gaps"
    )
    ax.plot(z, np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi), color="C3", label="standard normal")
    ax.set_title("(f) (truth - mean) / standard deviation", fontsize=10)
    ax.set_ylabel("density", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.legend(fontsize=8, frameon=False, loc="upper left")
