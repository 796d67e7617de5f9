"""Figure of a fit: the likelihood by parameter, and the variogram of what the trend leaves beside the model's."""

import math
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.special import ndtr

from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.inference._profile import LikelihoodProfile
from sparsegmrf.inference._profiled import Profiled
from sparsegmrf.inference._scores import half_width
from sparsegmrf.models import Model
from sparsegmrf.plot._densities import parameter_unit
from sparsegmrf.plot._panels import wrapped
from sparsegmrf.plot._variogram import variogram_panel
from sparsegmrf.typing import FloatArray

_COLUMNS = 3
_PANEL = (4.2, 3.3)
"""Width and height in inches."""
_STEPS = np.linspace(0.02, 3.0, 76)
"""Distances from the estimate in standard errors at which the normal likelihood is drawn."""
_THIN = 1e-3
"""Of the largest density, what is not seen."""
_LEVEL = 0.95
_RATIO = math.exp(-0.5 * half_width(_LEVEL) ** 2)
"""Relative likelihood at the ends of an interval of that level."""


class Density(Protocol):
    """A posterior density of a parameter."""

    @property
    def values(self) -> FloatArray:
        """Values of the parameter, increasing."""

    @property
    def density(self) -> FloatArray:
        """The density there."""


def likelihood_figure(
    fit: Profiled,
    profiles: Mapping[str, LikelihoodProfile] | None = None,
    densities: Mapping[str, Density] | None = None,
    *,
    replicate: int = 0,
    title: str = "",
    unit: str = "",
) -> Figure:
    """Draw the likelihood of a fit by parameter, and its variogram beside that of its residuals.

    A panel of a parameter has its profile, the normal approximation about the estimate, and a posterior density where
    there is one, each 1 at its largest. The dotted line is crossed at the ends of intervals of 95%. The variogram is
    that of the image less the estimated trend; where it leaves that of the model, the model is another one than the
    image's, at the lags where it does.

    Parameters
    ----------
    fit : FitResult or CountFitResult
        The fit.
    profiles : mapping of LikelihoodProfile, optional
        By parameter, as of `FitResult.profile`.
    densities : mapping, optional
        By parameter what has `values` and the posterior `density` there.
    replicate : int
        Of which of several images the variogram is.
    title, unit : str
        Title of the figure, and the unit of intensity.

    Returns
    -------
    matplotlib.figure.Figure
        Not registered with pyplot; save it with `write_figure`.
    """
    names = list(fit.parameters)
    columns = 2 if len(names) in (1, 3) else min(_COLUMNS, len(names) + 1)
    rows = -(-(len(names) + 1) // columns)
    figure = Figure(figsize=(columns * _PANEL[0], rows * _PANEL[1] + 0.4), layout="constrained")
    if title:
        figure.suptitle(wrapped(title, figure.get_figwidth()), fontsize=11)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    normal = _normal(fit)
    for ax, name in zip(axes, names, strict=False):
        _parameter(ax, fit, name, normal.get(name), (profiles or {}).get(name), (densities or {}).get(name))
        of = parameter_unit(fit.model, fit.units, name, unit)
        ax.set_xlabel(f"{name} ({of})" if of else name, fontsize=9)
    for ax in axes[: len(names)]:
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=8, frameon=False, loc="best")
            break
    _residuals(axes[len(names)], fit, replicate, unit)
    for ax in axes[len(names) + 1 :]:
        ax.set_axis_off()
    return figure


def _normal(fit: Profiled) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Return by parameter values and the relative likelihood of the normal approximation, on its own scale."""
    ends = [fit.confidence_intervals(float(2.0 * ndtr(t) - 1.0)) for t in _STEPS]
    likelihood = np.exp(-0.5 * _STEPS**2)
    found = {}
    for name, value in fit.parameters.items():
        low, high = np.array([each[name] for each in ends]).T
        if np.isfinite(low).all() and np.isfinite(high).all():
            values = np.concatenate([low[::-1], [value], high])
            found[name] = values, np.concatenate([likelihood[::-1], [1.0], likelihood])
    return found


def _parameter(
    ax: Axes,
    fit: Profiled,
    name: str,
    normal: tuple[FloatArray, FloatArray] | None,
    profile: LikelihoodProfile | None,
    density: Density | None,
) -> None:
    estimate = fit.parameters[name]
    drawn: list[FloatArray] = []
    if density is not None:
        values, heights = np.asarray(density.values), np.asarray(density.density)
        ax.fill_between(values, heights / heights.max(), color="0.85", label="posterior density")
        drawn.append(values[heights > _THIN * heights.max()])
    if profile is not None and len(profile.steps) > 1:
        values, followed, _ = profile.curve()
        ax.plot(values, followed, color="C0", linewidth=1.8, label="profile")
        drawn.append(values)
    if normal is not None:
        ax.plot(*normal, color="C1", linewidth=1.3, linestyle="--", label="normal")
        drawn.append(normal[0])
    ax.set_title(_told(fit, name, profile), fontsize=10)
    ax.set_ylabel("relative posterior" if fit.priors else "relative likelihood", fontsize=9)
    ax.tick_params(labelsize=8)
    if not drawn:
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_ylabel("")
        what = "no standard error by cross-validation" if fit.method == "cv" else "not determined by the image"
        ax.annotate(what, (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", fontsize=9, color="0.4")
        return
    ax.axvline(estimate, color="0.7", linewidth=0.8)
    ax.axhline(_RATIO, color="0.6", linewidth=0.8, linestyle=":")
    ax.set_xlim(min(float(each[0]) for each in drawn), max(float(each[-1]) for each in drawn))
    ax.set_ylim(0.0, max(1.05, 1.05 * max(float(np.nanmax(line.get_ydata())) for line in ax.lines[:2])))
    ax.xaxis.set_major_locator(MaxNLocator(5))


def _told(fit: Profiled, name: str, profile: LikelihoodProfile | None) -> str:
    """Say what was estimated, and between which ends its interval lies, by the profile if there is one."""
    estimate = fit.parameters[name]
    ends = fit.confidence_intervals(_LEVEL)[name] if profile is None else profile.interval(_LEVEL)
    if all(map(math.isnan, ends)):
        return f"{name} = {estimate:.3g}"
    width = max(abs(each - estimate) for each in ends if not math.isnan(each))
    digits = 2 + max(0, int(math.log10(abs(estimate) / width))) if estimate and 0.0 < width < math.inf else 3
    low, high = ("..." if math.isnan(each) else f"{each:.{digits + 1}g}" for each in ends)
    return f"{name} = {estimate:.{digits + 1}g}, {_LEVEL:.0%} {low} to {high}"


def _residuals(ax: Axes, fit: Profiled, replicate: int, unit: str) -> None:
    image, own = fit.less_trend(replicate)
    ground = None if fit.problem.spacing.is_map else fit.problem.spacing
    model = _with_variogram(fit.model)
    variogram_panel(ax, image, model, own, ground, unit)
    without = "" if model is not None else f";\n{type(fit.model).__name__} at these parameters has none without borders"
    measured = "working responses" if fit.method == "laplace" else "the image"
    ax.set_title(f"variogram of {measured} less the trend{without}", fontsize=10)


def _with_variogram(model: object) -> Model | None:
    """Return a model if it has a variogram without borders: beyond the limits of the plane it has none."""
    try:
        if isinstance(model, Model):
            model.variogram([(0, 1)])
            return model
    except (ArgumentError, TooLargeError):
        return None
    return None
