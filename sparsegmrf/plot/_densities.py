"""Figure of parameters that were integrated out: the posterior density of each, and its prior."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import ParameterDensity
from sparsegmrf.plot._panels import wrapped
from sparsegmrf.priors import NOISE, Prior

_COLUMNS = 3
_PANEL = (4.2, 3.3)
"""Width and height in inches."""
_LEVEL = 0.95
_ENDS = (0.001, 0.995)
"""Probabilities between whose quantiles a density is drawn."""
_POINTS = 400


def densities_figure(
    densities: Mapping[str, ParameterDensity],
    priors: Mapping[str, Prior] | None = None,
    *,
    model: Any = None,
    lengths: Mapping[str, str] | None = None,
    title: str = "",
    unit: str = "",
) -> Figure:
    """Draw the posterior density of every parameter.

    A panel has the density with its interval of 95% filled, a line at the median, and where there is one the density of
    the prior, dashed. From where on the tail holds half a percent it is left out.

    Parameters
    ----------
    densities : mapping of ParameterDensity
        By parameter, as of `FitResult.integrate`.
    priors : mapping of Prior, optional
        By parameter.
    model : Model, optional
        Which says of what unit its parameters are.
    lengths : mapping of str, optional
        Units of those that have a length in theirs.
    title, unit : str
        Title of the figure, and the unit of intensity.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with `write_figure`.

    Raises
    ------
    ArgumentError
        If there is no density.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsegmrf import fit
    >>> from sparsegmrf.models import Intrinsic
    >>> image = np.random.default_rng(0).normal(size=(8, 8))
    >>> found = fit(Intrinsic(), image, noise_variance=0.1).integrate()
    >>> len(densities_figure(found.densities).axes)
    1
    """
    if not densities:
        raise ArgumentError("densities must be those of a parameter at least, got none.")
    columns = min(_COLUMNS, len(densities)) if len(densities) != 4 else 2
    rows = -(-len(densities) // columns)
    figure = Figure(figsize=(columns * _PANEL[0], rows * _PANEL[1] + 0.4), layout="constrained")
    if title:
        figure.suptitle(wrapped(title, figure.get_figwidth()), fontsize=11)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax, (name, own) in zip(axes, densities.items(), strict=False):
        _density(ax, own, (priors or {}).get(name))
        of = parameter_unit(model, lengths or {}, name, unit)
        ax.set_xlabel(f"{name} ({of})" if of else name, fontsize=9)
    axes[0].legend(fontsize=8, frameon=False, loc="best")
    for ax in axes[len(densities) :]:
        ax.set_axis_off()
    return figure


def parameter_unit(model: Any, units: Mapping[str, str], name: str, unit: str) -> str:
    """Return the unit of a parameter for an axis: of its length, or of the intensity that it goes with."""
    if name in units:
        return units[name].replace("intensity", unit) if unit else units[name]
    if name == NOISE:
        return f"{unit}$^2$" if unit else ""
    if not hasattr(model, "scaled"):
        return ""
    return unit if model.scaled(2.0).parameters[name] == 2.0 * model.parameters[name] else ""


def _density(ax: Axes, own: ParameterDensity, prior: Prior | None) -> None:
    low, high = own.interval(_LEVEL)
    values = np.linspace(own.quantile(_ENDS[0]), own.quantile(_ENDS[1]), _POINTS)
    values = np.sort(np.append(values, [low, high]))  # so that what is filled ends there
    heights = own.pdf(values)
    inside = (values >= low) & (values <= high)
    ax.fill_between(values[inside], heights[inside], color="0.85", label=f"{_LEVEL:.0%} interval")
    ax.plot(values, heights, color="C0", linewidth=1.8, label="posterior")
    ax.axvline(own.median, color="0.5", linewidth=0.8, label="median")
    if prior is not None:
        ax.plot(values, np.exp([prior.log_density(float(each)) for each in values]), "--", color="C1", label="prior")
    ax.set_title(f"{own.median:.3g}, {_LEVEL:.0%} {low:.3g} to {high:.3g}", fontsize=10)
    ax.set_ylabel("density", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.set_xlim(values[0], values[-1])
    ax.set_ylim(0.0, 1.05 * float(heights.max()))
    ax.xaxis.set_major_locator(MaxNLocator(5))
