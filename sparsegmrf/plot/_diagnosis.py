"""Figures of diagnoses: standardized residuals on the map, the histogram of their transform, correlations by lag."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._scores import half_width
from sparsegmrf.plot._dates import mark_dates
from sparsegmrf.plot._panels import RESIDUAL, Panel, figure_with_plots, placement
from sparsegmrf.scores import PITHistogram
from sparsegmrf.typing import ArrayLike, FloatArray, Offset

_REACH = 4.0
"""Standard errors at the ends of the colour scale."""
_LEVEL = 0.99


def diagnosis_figure(
    z: ArrayLike,
    histogram: PITHistogram,
    correlations: Mapping[str, Mapping[Offset, tuple[float, float]]],
    *,
    title: str = "",
    given: str = "all others",
    like: Any = None,
) -> Figure:
    """Draw standardized residuals on the map, the histogram of their transform with its band, correlations by lag.

    Parameters
    ----------
    z : (H, W) array_like
        Standardized residuals, as in `Diagnosis`; NaN where there is none, drawn grey.
    histogram : PITHistogram
        Of their probability integral transform.
    correlations : mapping of mapping
        By what is correlated and by lag in pixels: the correlation and its standard error.
    title, given : str
        Title of the figure, and what measurements are predicted by.
    like : DataArray or raster, optional
        What has the coordinates of the axes; by default `z`.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with `write_figure`.

    Raises
    ------
    ArgumentError
        If `z` is no image.
    """
    residuals = _residual_panel(z, "(a) standardized residuals", "standard deviations")
    figure, (middle, right) = figure_with_plots([residuals], 2, 3, placement(like, z), title)
    _draw_histogram(middle, histogram, given)
    _draw_correlations(right, correlations)
    return figure


def stack_diagnosis_figure(
    mean_z: ArrayLike,
    histogram: PITHistogram,
    by_date: Sequence[tuple[Any, float]],
    flagged: Sequence[int] = (),
    *,
    what: str = "offset in standard errors",
    title: str = "",
    like: Any = None,
) -> Figure:
    """Draw standardized residuals of a stack on the map and by date, and the histogram of their transform.

    Parameters
    ----------
    mean_z : (H, W) array_like
        Mean over the dates of each pixel, in standard errors; NaN where it is never seen, drawn grey.
    histogram : PITHistogram
        Of the probability integral transform of all observations.
    by_date : sequence of (object, float)
        Dates, and what each differs by; NaN where that is not known.
    flagged : sequence of int
        Positions of dates that contradict the others, drawn red.
    what, title : str
        What dates differ by, and the title of the figure.
    like : DataArray or raster, optional
        What has the coordinates of the axes; by default `mean_z`.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with `write_figure`.

    Raises
    ------
    ArgumentError
        If `mean_z` is no image.
    """
    residuals = _residual_panel(mean_z, "(a) mean residual of pixels", "standard errors")
    figure, (middle, right) = figure_with_plots([residuals], 2, 3, placement(like, mean_z), title)
    _draw_histogram(middle, histogram, "all others")
    _draw_dates(right, by_date, flagged, what)
    return figure


def _residual_panel(z: ArrayLike, title: str, unit: str) -> Panel:
    """Return a panel of numbers that are standard normal if the model is right."""
    image = real_array("z", z)
    if image.ndim != 2 or not image.size:
        raise ArgumentError(f"z must have shape (H, W), got {image.shape}.")
    said = f"{title} (grey: none)" if np.isnan(image).any() else title
    return Panel(image, said, RESIDUAL, Normalize(-_REACH, _REACH), unit)


def _draw_histogram(ax: Axes, histogram: PITHistogram, given: str) -> None:
    """Draw a histogram of the probability integral transform over what is expected, with its band."""
    edges, expected = histogram.edges, histogram.expected
    ax.bar(
        edges[:-1], histogram.counts / expected, np.diff(edges), align="edge", color="C0", edgecolor="white", alpha=0.8
    )
    ax.axhspan(
        histogram.low / expected,
        histogram.high / expected,
        color="0.5",
        alpha=0.35,
        linewidth=0.0,
        label=f"{histogram.level:.0%} of bins, were pixels independent",
    )
    ax.axhline(1.0, color="0.3", linewidth=0.8)
    ax.set_xlim(0.0, 1.0)
    ax.set_ylim(0.0, 1.25 * max(histogram.counts.max(), histogram.high) / expected)
    outside = f"{histogram.outside} of {len(histogram.counts)} bins outside the band"
    ax.set_title(f"(b) probability integral transform\n{outside}", fontsize=10)
    ax.set_xlabel(f"transform of measurements given {given}", fontsize=8)
    ax.set_ylabel("measurements over expected", fontsize=8)
    ax.tick_params(labelsize=8)
    ax.legend(fontsize=8, frameon=False, loc="upper center")


def _draw_dates(ax: Axes, by_date: Sequence[tuple[Any, float]], flagged: Sequence[int], what: str) -> None:
    at, values = np.arange(len(by_date), dtype=np.float64), np.array([value for _, value in by_date])
    bad = np.isin(at, list(flagged))
    ax.plot(at[~bad], values[~bad], "o", color="C0", markersize=4)
    ax.plot(at[bad], values[bad], "s", color="C3", markersize=5, label="contradict the others")
    mark_dates(ax, [date for date, _ in by_date], at)
    _frame_scores(ax, values, "(c) dates against all others", what, 2)


def _draw_correlations(ax: Axes, correlations: Mapping[str, Mapping[Offset, tuple[float, float]]]) -> None:
    names = list(dict.fromkeys(lag for each in correlations.values() for lag in each))
    scores = [np.array([value / error for value, error in found.values()]) for found in correlations.values()]
    for k, (name, found) in enumerate(correlations.items()):
        at = np.array([names.index(lag) for lag in found]) + 0.2 * (k - 0.5 * (len(correlations) - 1))
        ax.plot(at, scores[k], "os"[k % 2], color=f"C{k}", markersize=5, label=name)
    ax.set_xticks(range(len(names)), [f"{di}, {dj}" for di, dj in names])
    ax.set_xlabel("lag (rows, columns)", fontsize=8)
    _frame_scores(ax, np.concatenate([[], *scores]), "(c) correlations by lag", "correlation in standard errors", 3)


def _frame_scores(ax: Axes, scores: FloatArray, title: str, unit: str, columns: int) -> None:
    """Draw the band of standard normals behind numbers that are drawn, between limits that they and it keep to."""
    half = half_width(_LEVEL)
    ax.axhspan(-half, half, color="0.5", alpha=0.2, linewidth=0.0, label=f"{_LEVEL:.0%}")
    ax.axhline(0.0, color="0.3", linewidth=0.8)
    largest = 1.35 * max(float(np.nanmax(np.abs(scores), initial=0.0)), half)
    ax.set_ylim(-largest, largest)
    ax.set_title(title, fontsize=10)
    ax.set_ylabel(unit, fontsize=8)
    ax.tick_params(labelsize=8)
    ax.legend(fontsize=8, frameon=False, loc="upper center", ncols=columns)
