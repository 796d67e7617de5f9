"""Figures of stacks: dates side by side with the series of a pixel, and the season of a pixel with modes as images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._scores import half_width
from sparsegmrf.plot._dates import date_text, mark_dates
from sparsegmrf.plot._panels import (
    DEVIATION,
    IMAGE,
    RESIDUAL,
    WIDTH,
    Panel,
    around_zero,
    described,
    draw_panel,
    from_zero,
    image_height,
    placement,
    scale_of,
    wrapped,
)
from sparsegmrf.stacks._season_curve import SeasonCurve
from sparsegmrf.typing import ArrayLike, FloatArray

_LEVEL = 0.9
_NARROW = 0.72
"""Width of an image of a strip over that of one that stands by itself."""
_CURVE = 2.6
"""Height in inches of a curve below images."""
_COLUMNS = 3
_TICKS = 2
"""Intervals between the numbers below a narrow image."""


def stack_figure(
    observed: ArrayLike,
    means: ArrayLike,
    stds: ArrayLike,
    dates: Sequence[Any],
    series_dates: Sequence[Any],
    days: ArrayLike,
    values: ArrayLike,
    mean: ArrayLike,
    std: ArrayLike,
    *,
    pixel: tuple[int, int],
    title: str = "",
    unit: str = "",
    like: Any = None,
) -> Figure:
    """Draw some dates of a filled stack, a column each, and the series of a pixel below them.

    Parameters
    ----------
    observed, means, stds : (K, H, W) array_like
        Images as observed, NaN where missing, drawn white; their expectations and standard deviations.
    dates : sequence, (K,)
        Theirs.
    series_dates : sequence, (U,)
        Of the series, in order.
    days, values, mean, std : (U,) array_like
        The same in days; observations of the pixel, NaN where missing; its expectation and standard deviation.
    pixel : (int, int)
        Row and column.
    title, unit : str
        Title of the figure, and what the colour scales measure.
    like : DataArray or raster, optional
        What has the coordinates of the axes; by default the first image.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with `write_figure`. Rows of images have one colour scale, that of the
        observations in the first two; the pixel is marked in them.

    Raises
    ------
    ArgumentError
        If shapes differ, or nothing is observed.
    """
    rows = [real_array(name, each) for name, each in (("observed", observed), ("means", means), ("stds", stds))]
    if any(each.ndim != 3 or each.shape != rows[0].shape for each in rows) or len(dates) != len(rows[0]):
        raise ArgumentError(
            f"observed, means and stds must have one shape (K, H, W) with K dates, got {[each.shape for each in rows]} "
            f"and {len(dates)} dates."
        )
    curve = [real_array(name, each) for name, each in zip(_SERIES, (days, values, mean, std), strict=True)]
    if any(each.shape != (len(series_dates),) for each in curve):
        raise ArgumentError(f"{', '.join(_SERIES)} must have one number for each of {len(series_dates)} dates.")
    place, K = placement(like, rows[0][0]), len(rows[0])
    height = _NARROW * image_height(place)
    width = max(K * (_NARROW * WIDTH + 0.35) + 1.0, 7.0)
    figure = Figure(figsize=(width, 3.0 * height + _CURVE + 0.5), layout="constrained")
    figure.suptitle(wrapped(title, width), fontsize=11)
    grid = figure.add_gridspec(4, K, height_ratios=[height] * 3 + [_CURVE])
    scale = scale_of(rows[1] if np.isnan(rows[0]).all() else rows[0])
    looks = ((IMAGE, scale, "both"), (IMAGE, scale, "both"), (DEVIATION, from_zero(rows[2]), "max"))
    for r, (images, (colours, norm, extend)) in enumerate(zip(rows, looks, strict=True)):
        for k, image in enumerate(images):
            ax = figure.add_subplot(grid[r, k])
            said = (f"{date_text(dates[k])}\n{described(image)}", "mean", "standard deviation")[r]
            draw_panel(ax, Panel(image, said, colours, norm, unit, extend), place, with_bar=k == K - 1)
            _mark(ax, pixel, image.shape, place.extent)
            _without_inner_labels(ax, left=k == 0, lowest=r == 2)
    _draw_series(figure.add_subplot(grid[3, :]), series_dates, *curve, pixel=pixel, unit=unit)
    return figure


_SERIES = ("days", "values", "mean", "std")


def season_figure(
    curve: SeasonCurve, modes: ArrayLike | None = None, *, title: str = "", unit: str = "", like: Any = None
) -> Figure:
    """Draw the season of a pixel with its band and observations, and modes as images.

    Parameters
    ----------
    curve : SeasonCurve
        As of `StackFit.season`.
    modes : (r, H, W) array_like, optional
        Images that keep coming back, as of `SeriesFit.modes`.
    title, unit, like
        As for `stack_figure`.

    Returns
    -------
    matplotlib.figure.Figure
        As for `stack_figure`; modes have one colour scale around zero.

    Raises
    ------
    ArgumentError
        If `modes` are no images.
    """
    images = np.zeros((0, 1, 1)) if modes is None else real_array("modes", modes)
    if images.ndim != 3:
        raise ArgumentError(f"modes must have shape (r, H, W), got {images.shape}.")
    rows = -(-len(images) // _COLUMNS)
    place = placement(like, images[0] if len(images) else np.zeros((1, 1)))
    height = image_height(place)
    width = _COLUMNS * (WIDTH + 1.2) if rows else 7.0
    figure = Figure(figsize=(width, rows * height + 1.3 * _CURVE + 0.5), layout="constrained")
    figure.suptitle(wrapped(title, width), fontsize=11)
    grid = figure.add_gridspec(1 + rows, _COLUMNS, height_ratios=[1.3 * _CURVE, *[height] * rows])
    _draw_season(figure.add_subplot(grid[0, :]), curve, unit)
    norm = around_zero(images)
    for k, image in enumerate(images):
        ax = figure.add_subplot(grid[1 + k // _COLUMNS, k % _COLUMNS])
        size = float(np.sqrt(np.mean(image**2)))
        draw_panel(ax, Panel(image, f"mode {k + 1}, changes pixels by {size:.3g}", RESIDUAL, norm, unit), place)
        _mark(ax, curve.pixel, image.shape, place.extent)
    return figure


def _draw_series(
    ax: Axes,
    dates: Sequence[Any],
    days: FloatArray,
    values: FloatArray,
    mean: FloatArray,
    std: FloatArray,
    *,
    pixel: tuple[int, int],
    unit: str,
) -> None:
    _band(ax, days, mean, std)
    ax.plot(days, values, "o", color="0.2", markersize=3.5, label="observed")
    mark_dates(ax, dates, days)
    _frame(ax, f"pixel in row {pixel[0]}, column {pixel[1]}", unit)


def _draw_season(ax: Axes, curve: SeasonCurve, unit: str) -> None:
    _band(ax, curve.days, curve.mean, curve.std)
    ax.plot(curve.seen, curve.values, "o", color="0.2", markersize=3.5, label="observed")
    ax.set_xlim(float(curve.days[0]), float(curve.days[-1]))
    ax.set_xlabel("days into the year", fontsize=9)
    _frame(ax, f"season of the pixel in row {curve.pixel[0]}, column {curve.pixel[1]}", unit)


def _band(ax: Axes, days: FloatArray, mean: FloatArray, std: FloatArray) -> None:
    half = half_width(_LEVEL) * std
    ax.fill_between(days, mean - half, mean + half, color="C0", alpha=0.3, linewidth=0.0, label=f"{_LEVEL:.0%} band")
    ax.plot(days, mean, color="C0", linewidth=1.3, label="mean")


def _frame(ax: Axes, title: str, unit: str) -> None:
    ax.set_title(title, fontsize=10)
    ax.set_ylabel(unit, fontsize=9)
    ax.tick_params(labelsize=8)
    ax.legend(fontsize=8, frameon=False, loc="best", ncols=3)


def _without_inner_labels(ax: Axes, *, left: bool, lowest: bool) -> None:
    """Leave the numbers of axes that are in common to the left and the lowest images of a strip, and these few."""
    ax.xaxis.set_major_locator(MaxNLocator(_TICKS))
    ax.tick_params(labelleft=left, labelbottom=lowest)
    if not left:
        ax.set_ylabel("")
    if not lowest:
        ax.set_xlabel("")


def _mark(ax: Axes, pixel: tuple[int, int], shape: tuple[int, ...], extent: tuple[float, float, float, float]) -> None:
    """Mark a pixel on an image between the edges of an extent."""
    left, right, lower, upper = extent
    x = left + (pixel[1] + 0.5) * (right - left) / shape[1]
    y = upper + (pixel[0] + 0.5) * (lower - upper) / shape[0]
    ax.plot([x], [y], "s", markersize=6, markerfacecolor="none", markeredgecolor="red", markeredgewidth=1.0)
