"""Figures of a filled image: its gaps, what is filled in, how sure it is, and how good where the truth is known."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.plot._panels import (
    DEVIATION,
    IMAGE,
    Panel,
    described,
    figure_with_plots,
    from_zero,
    panel_figure,
    placement,
    planes,
    scale_of,
)
from sparsegmrf.plot._placement import Placement
from sparsegmrf.typing import ArrayLike, FloatArray


def fill_figure(
    image: ArrayLike, filled: ArrayLike, std: ArrayLike, *, title: str = "", unit: str = "", like: Any = None
) -> Figure:
    """Draw an image with gaps, the filled one on the same colour scale, and the standard deviation.

    Parameters
    ----------
    image : (H, W) array_like
        Intensities; NaN where missing, drawn white.
    filled, std : (H, W) array_like
        The filled image and the standard deviation, as in `FillResult`.
    title, unit : str
        Title of the figure, and what the colour scales measure.
    like : DataArray or raster, optional
        What has the coordinates of the axes: an image with labels, or what `sparsegmrf.io.read` returns. By default
        `image`. Coordinates that are evenly spaced numbers are drawn, larger ones of rows higher, pixels in proportion
        to their size on the ground; all else is counted in rows and columns.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with `sparsegmrf.plot.write_figure`.

    Raises
    ------
    ArgumentError
        If the shapes differ, or no pixel is observed.
    """
    holes, whole, spread = planes("image", image=image, filled=filled, std=std)
    scale = scale_of(holes)
    panels = [
        Panel(holes, f"(a) image, {described(holes)}", IMAGE, scale, unit),
        Panel(whole, "(b) filled", IMAGE, scale, unit),
        _deviation(spread, "(c) standard deviation", unit),
    ]
    return panel_figure(panels, 3, placement(like, image), title)


def posterior_figure(
    image: ArrayLike,
    mean: ArrayLike,
    std: ArrayLike,
    draw: ArrayLike | None = None,
    *,
    title: str = "",
    unit: str = "",
    like: Any = None,
) -> Figure:
    """Draw an image with gaps, and what is known of the field given it: mean, standard deviation, and a draw.

    The mean is the best guess of every pixel and smoother than the field; the draw is as rough as that.

    Parameters
    ----------
    image : (H, W) array_like
        Intensities; NaN where missing, drawn white.
    mean, std : (H, W) array_like
        Expectation and standard deviation of the field, as in `FillResult`.
    draw : (H, W) array_like, optional
        One draw of it, such as ``result.samples[0]``.
    title, unit, like
        As for `fill_figure`.

    Returns
    -------
    matplotlib.figure.Figure
        As for `fill_figure`; image, mean and draw have one colour scale.

    Raises
    ------
    ArgumentError
        If the shapes differ, or no pixel is observed.
    """
    holes, expected, spread = planes("image", image=image, mean=mean, std=std)
    scale = scale_of(holes)
    drawn = None if draw is None else planes("image", image=image, draw=draw)[1]
    given = Panel(holes, f"(a) image, {described(holes)}", IMAGE, scale, unit)
    mean_of_field = Panel(expected, "(b) mean given (a)", IMAGE, scale, unit)
    return _given_figure(given, mean_of_field, spread, drawn, placement(like, image), title)


def risk_figure(
    counts: ArrayLike,
    mean: ArrayLike,
    std: ArrayLike,
    draw: ArrayLike | None = None,
    *,
    title: str = "",
    risk: str = "risk",
    like: Any = None,
) -> Figure:
    """Draw counts, and what is known of the risk given them: mean, standard deviation, and a draw.

    Parameters
    ----------
    counts : (H, W) array_like
        Counts; NaN where missing, drawn white.
    mean, std : (H, W) array_like
        Expectation and standard deviation of the risk, as in `CountFillResult`.
    draw : (H, W) array_like, optional
        One draw of it.
    title, like
        As for `fill_figure`.
    risk : str
        What the risk is.

    Returns
    -------
    matplotlib.figure.Figure
        As for `fill_figure`; mean and draw have one colour scale.

    Raises
    ------
    ArgumentError
        If the shapes differ, or no pixel is observed.
    """
    holes, expected, spread = planes("counts", counts=counts, mean=mean, std=std)
    drawn = None if draw is None else planes("counts", counts=counts, draw=draw)[1]
    given = Panel(holes, f"(a) counts, {described(holes)}", IMAGE, scale_of(holes), "counts")
    mean_of_risk = Panel(expected, f"(b) mean of the {risk}", IMAGE, scale_of(expected), risk)
    return _given_figure(given, mean_of_risk, spread, drawn, placement(like, counts), title)


def channels_figure(
    images: ArrayLike,
    means: ArrayLike,
    stds: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    title: str = "",
    unit: str | Sequence[str] = "",
    like: Any = None,
) -> Figure:
    """Draw the channels of an image with gaps, mean and standard deviation of each, a row for a channel.

    Parameters
    ----------
    images : (C, H, W) array_like
        Intensities; NaN where missing, drawn white.
    means, stds : (C, H, W) array_like
        Expectation and standard deviation of the field.
    names : sequence of str, optional
        Of the channels.
    title
        As for `fill_figure`.
    unit : str or sequence of str
        Of intensity, or of each channel.
    like : DataArray or raster, optional
        What has the coordinates of the axes.

    Returns
    -------
    matplotlib.figure.Figure
        As for `fill_figure`; image and mean of a channel have one colour scale.

    Raises
    ------
    ArgumentError
        If the shapes differ, or no pixel of a channel is observed.
    """
    stacks = [real_array(name, each) for name, each in (("images", images), ("means", means), ("stds", stds))]
    if any(each.ndim != 3 or each.shape != stacks[0].shape for each in stacks):
        raise ArgumentError(f"images, means and stds must have one shape (C, H, W), got {[x.shape for x in stacks]}.")
    called = [str(k) for k in range(len(stacks[0]))] if names is None else list(names)
    units = [unit] * len(called) if isinstance(unit, str) else list(unit)
    if len(units) != len(called):
        raise ArgumentError(f"unit must be one, or one for each of the {len(called)} channels, got {units}.")
    panels = []
    for name, own, image, mean, std in zip(called, units, *stacks, strict=True):
        holes, expected, spread = planes("images", images=image, means=mean, stds=std)
        scale = scale_of(holes)
        panels += [
            Panel(holes, f"channel {name}, {described(holes)}", IMAGE, scale, own),
            Panel(expected, f"mean of {name}", IMAGE, scale, own),
            _deviation(spread, f"standard deviation of {name}", own),
        ]
    return panel_figure(panels, 3, placement(like, stacks[0][0]), title)


def truth_figure(
    truth: ArrayLike,
    image: ArrayLike,
    mean: ArrayLike,
    std: ArrayLike,
    draw: ArrayLike,
    *,
    title: str = "",
    unit: str = "",
    like: Any = None,
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
    title, unit, like
        As for `fill_figure`.

    Returns
    -------
    matplotlib.figure.Figure
        As for `fill_figure`. The errors are those in the gaps, over their standard deviations.

    Raises
    ------
    ArgumentError
        If the shapes differ, or no pixel is observed, or none is missing.
    """
    whole, holes, expected, spread, drawn = planes("image", truth=truth, image=image, mean=mean, std=std, draw=draw)
    gaps = np.isnan(holes)
    if not gaps.any():
        raise ArgumentError("image must have missing pixels, got none; there is nothing to compare with the truth.")
    scale = scale_of(whole)
    panels = [
        Panel(whole, "(a) truth", IMAGE, scale, unit),
        Panel(holes, f"(b) measured, {described(holes)}", IMAGE, scale, unit),
        Panel(expected, "(c) filled: mean given (b)", IMAGE, scale, unit),
        _deviation(spread, "(d) standard deviation of (c)", unit),
        Panel(drawn, "(e) one draw given (b)", IMAGE, scale, unit),
    ]
    figure, (last,) = figure_with_plots(panels, 1, 3, placement(like, image), title)
    _errors(last, (whole - expected)[gaps] / spread[gaps])
    return figure


def _given_figure(
    given: Panel, mean: Panel, spread: FloatArray, drawn: FloatArray | None, place: Placement, title: str
) -> Figure:
    """Draw what is observed, and mean, standard deviation and a draw, where there is one, of the field given it."""
    panels = [given, mean, _deviation(spread, "(c) standard deviation of (b)", mean.unit)]
    if drawn is None:
        return panel_figure(panels, 3, place, title)
    return panel_figure([*panels, replace(mean, picture=drawn, title="(d) one draw given (a)")], 2, place, title)


def _deviation(spread: FloatArray, title: str, unit: str) -> Panel:
    return Panel(spread, title, DEVIATION, from_zero(spread), unit, "max")


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
