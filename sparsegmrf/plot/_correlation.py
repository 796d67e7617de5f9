"""Figure of the correlation of a model by lag, without borders."""

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sparsegmrf._validate import integer_at_least
from sparsegmrf.models import Model
from sparsegmrf.plot._panels import RESIDUAL, Panel, draw_panel, wrapped
from sparsegmrf.plot._placement import Placement

_SMALL = 0.05
"""Correlation at which the map ends, unless it is said where."""
_LONGEST = 64
"""Longest lag in pixels at which it ends by itself."""


def correlation_figure(model: Model, max_lag: int | None = None, *, title: str = "") -> Figure:
    """Draw the correlation of two pixels by the lag between them: a map of all lags, and along rows and columns.

    Parameters
    ----------
    model : Model
        A model whose field has a variance, the same everywhere: that of the plane without borders.
    max_lag : int, optional
        Longest lag in pixels, at least 1; by default where the correlation along rows and columns has fallen to 0.05,
        at most 64.
    title : str
        Title of the figure; by default the model and its parameters.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with `write_figure`.

    Raises
    ------
    ArgumentError, StencilError
        As `Model.correlation`, and if `max_lag` is less than 1.

    Examples
    --------
    >>> from sparsegmrf import Matern
    >>> [ax.get_title() for ax in correlation_figure(Matern(range=8.0), 12).axes]
    ['(a) correlation by lag', '(b) along rows and columns']
    """
    reach = _reach(model) if max_lag is None else integer_at_least("max_lag", max_lag, 1)
    lags = np.arange(-reach, reach + 1)
    values = np.asarray(model.correlation(np.stack(np.meshgrid(lags, lags, indexing="ij"), axis=-1)))
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    named = ", ".join([type(model).__name__, *(f"{name} = {value:.4g}" for name, value in model.parameters.items())])
    figure.suptitle(wrapped(title or named, figure.get_figwidth()), fontsize=11)
    left, right = figure.subplots(1, 2)
    extent = (-reach - 0.5, reach + 0.5, reach + 0.5, -reach - 0.5)
    place = Placement(extent, ("lag in rows (pixels)", "lag in columns (pixels)"))
    draw_panel(
        left, Panel(values, "(a) correlation by lag", RESIDUAL, Normalize(-1.0, 1.0), "correlation", "neither"), place
    )
    right.plot(lags[reach:], values[reach, reach:], color="C0", label="along a row")
    right.plot(lags[reach:], values[reach:, reach], color="C1", linestyle="--", label="down a column")
    right.axhline(0.0, color="0.6", linewidth=0.8)
    right.set_xlim(0.0, reach)
    right.set_title("(b) along rows and columns", fontsize=10)
    right.set_xlabel("lag (pixels)", fontsize=9)
    right.set_ylabel("correlation", fontsize=9)
    right.tick_params(labelsize=8)
    right.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    right.legend(fontsize=8, frameon=False)
    return figure


def _reach(model: Model) -> int:
    """Return the lag from which on correlations along rows and columns are small."""
    away = np.arange(1, _LONGEST + 1)
    none = np.zeros_like(away)
    pairs = ((none, away), (away, none))
    along = np.array([np.abs(np.asarray(model.correlation(np.stack(pair, axis=-1)))) for pair in pairs])
    large = np.flatnonzero(along.max(axis=0) > _SMALL)
    return int(away[large[-1]]) if len(large) else 1
