"""What the commands print: tables on standard output, progress on standard error."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np
from rich import box
from rich import progress as bars
from rich.console import Console
from rich.table import Table

from sparsegmrf.cli._causal import Outcome
from sparsegmrf.inference import (
    ChannelsFillResult,
    CountFillResult,
    CountFitResult,
    FillResult,
    FitResult,
    IntegratedFit,
    ModelComparison,
)
from sparsegmrf.inference import Progress as FitProgress
from sparsegmrf.inference._around import offer_around
from sparsegmrf.inference._channel_members import covariance_names, members_of
from sparsegmrf.inference._ground import told
from sparsegmrf.inference._progress_bar import described
from sparsegmrf.large import TiledResult
from sparsegmrf.models import Channels, Sum
from sparsegmrf.stacks import StackCrossValidation, StackResult
from sparsegmrf.typing import FloatArray

Report: TypeAlias = list[Table | str]
"""Tables and texts that are to be printed."""
_OPTIONS = {
    "noise_variance=None": "--noise-variance none",
    "by fixed=, or give it a prior": "by --fixed",  # the commands take no priors
    "by fixed=": "by --fixed",
}
"""What fits advise, and what that is for the commands; the longer ones first."""


class Progress:
    """A bar with as many steps as announced, shown on terminals only and gone at the end; calling it begins a step.

    Within a step `tell` takes what `sparsegmrf.fit` and `sparsegmrf.fill` say of how far they are.
    """

    def __init__(self, steps: int) -> None:
        console = Console(stderr=True)
        self._bar = bars.Progress(
            bars.SpinnerColumn(),
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=steps)
        self._begun = 0

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, name: str) -> None:
        """Begin a step."""
        self._bar.update(self._task, description=name, completed=self._begun, refresh=True)
        self._begun += 1

    def tell(self, progress: FitProgress) -> None:
        """Show how far the step is, that is the share of the evaluations expected."""
        share = 0.0 if not progress.total else min(1.0, progress.done / progress.total)
        words = f"{progress.stage}, {described(progress)}"
        self._bar.update(self._task, description=words, completed=self._begun - 1 + share, refresh=True)


def show_causal_fit(name: str, outcome: Outcome) -> None:
    """Print the weights with standard errors and the figures of a fit."""
    console = Console(highlight=False, markup=False)
    fit, model = outcome.fit, outcome.fit.model
    errors = fit.standard_errors
    if outcome.comparison is not None:
        console.print(outcome.comparison.summary(), "\n")
    weights = Table("offset", "weight", "std. error", "z", box=box.SIMPLE_HEAD, title=f"{name}: {fit.support}")
    for column in weights.columns:
        column.justify = "right"
    for (di, dj), weight, error in zip(model.offsets.tolist(), model.weights, fit.weight_errors, strict=True):
        weights.add_row(f"({di}, {dj})", f"{weight:.6f}", f"{error:.6f}", f"{weight / error:.1f}")
    if len(model.weights):
        console.print(weights)
    verdict = model.stability()
    show_table(
        {
            "method": f"{fit.method}, {fit.n_observed} equations",
            "unit": outcome.unit,
            "sigma": f"{model.sigma:.6g} +- {errors['sigma']:.2g}",
            "mean": f"{model.mean:.6g} +- {errors['mean']:.2g}",
            "log-likelihood per pixel": f"{fit.loglik_per_pixel:.6f} nats",
            "AIC, BIC": f"{fit.aic:.1f}, {fit.bic:.1f}",
            "stability margin": f"{verdict.margin:.6g}, {'stable' if verdict.stable else 'NOT stable'} "
            f"(by {verdict.decided_by})",
            "innovation variance": f"{outcome.white.known.var():.6g} (1 if the model fits)",
        }
    )


def show_filled(name: str, result: FillResult | CountFillResult, unit: str) -> None:
    """Print the parameters of a filled image with standard errors, and the figures of its fit."""
    show(filled_report(name, result, unit))


def filled_report(name: str, result: FillResult | CountFillResult, unit: str) -> Report:
    """Return the tables of a filled image, which hold neither images nor factors."""
    fit = result.fit
    integrated = getattr(result, "integrated", None)
    kinds = ("estimate", "std. error") if integrated is None else ("mode", "median", "2.5%", "97.5%")
    columns = ("", *kinds, *(["unit"] if fit.units else []))
    table = _right(*columns, title=f"{name}: {type(fit.model).__name__}")
    for parameter in fit.parameters:
        of_length = [fit.units.get(parameter, "")] if fit.units else []
        table.add_row(parameter, *_numbers_of(fit, integrated, parameter), *of_length)
    errors = fit.coefficient_errors
    if integrated is None:
        for covariate, value in fit.coefficients.items():
            table.add_row(covariate, f"{value:.6g}", f"{errors[covariate]:.2g}")
    trend = ", ".join(f"{each} {value:.6g} +- {errors[each]:.2g}" for each, value in fit.coefficients.items())
    ground = told(fit.model, fit.problem.spacing, fit.problem.fixed)
    around = offer_around(fit.model, fit.problem.labels)
    filled = np.count_nonzero(np.isfinite(np.asarray(result.mean))) - fit.n_observed
    std = np.asarray(result.std)
    std, of_risk = std[np.isfinite(std)], " of the risk" if isinstance(result, CountFillResult) else ""
    figures = _table_of(
        {
            "unit": unit,
            "pixels": f"{fit.n_observed} observed, {filled} filled",
            f"standard deviation{of_risk}": f"{std.min():.4g} to {std.max():.4g}" if std.size else "not known",
            "log-likelihood": f"{fit.loglik:.4f} nats",
            **_criteria(fit),
            **({} if integrated is None else {"integrated": _how(integrated)}),
            **({} if integrated is None or not trend else {"trend at the mode": trend}),
            "converged" if fit.converged else "NOT CONVERGED": in_options(fit.reason),
            **({"ground": "; ".join(ground)} if ground else {}),
            **({"boundary": around[0]} if around else {}),
        }
    )
    return [*_comparison_report(getattr(result, "comparison", None)), table, figures]


def channels_report(name: str, result: ChannelsFillResult, names: Sequence[str], unit: str) -> Report:
    """Return the tables of channels that were filled together: spatial parameters, each channel, correlations."""
    fit, titles = result.fit, [f"channel {each}" for each in names]
    units = ["unit"] if fit.units else []
    spatial = _right("", "estimate", "std. error", *units, title=f"{name}: {_fields(fit.model)}")
    for parameter, value in fit.parameters.items():
        error = fit.standard_errors.get(parameter)
        written = "held" if error is None else f"{error:.2g}"
        spatial.add_row(parameter, f"{value:.6g}", written, *([fit.units.get(parameter, "")] if fit.units else []))
    each = _right("", *titles)
    for covariate, values, errors in zip(fit.covariates, fit.coefficients, fit.coefficient_errors, strict=True):
        each.add_row(covariate, *(f"{v:.6g} +- {e:.2g}" for v, e in zip(values, errors, strict=True)))
    noise = np.asarray(fit.noise_variance)
    if noise.ndim < 2:
        each.add_row("noise variance", *(f"{v:.6g}" for v in np.broadcast_to(noise, len(names))))
    std, gaps = np.asarray(result.std), np.isfinite(result.mean).sum(axis=(0, 1)) - fit.observed_of_channels
    each.add_row("observed", *map(str, fit.observed_of_channels))
    each.add_row("filled", *map(str, gaps))
    each.add_row("std", *(f"{np.nanmin(s):.4g} to {np.nanmax(s):.4g}" for s in np.moveaxis(std, -1, 0)))
    tables: Report = [spatial, each]
    for label, member in zip(covariance_names(fit.model), members_of(fit.model), strict=True):
        deviations = np.sqrt(np.diagonal(member.covariance))
        own = _right(f"{label}: correlation", *titles)
        for title, deviation, row in zip(titles, deviations, member.covariance, strict=True):
            own.add_row(title, *(f"{value:.4f}" for value in row / (deviation * deviations)))
        tables.append(own)
    figures = {
        "unit": unit,
        "log-likelihood": f"{fit.loglik:.4f} nats",
        "AIC, BIC": f"{fit.aic:.2f}, {fit.bic:.2f}",
        "converged" if fit.converged else "NOT CONVERGED": in_options(fit.reason),
    }
    return [*tables, _table_of(figures)]


def _numbers_of(fit: FitResult | CountFitResult, integrated: IntegratedFit | None, parameter: str) -> list[str]:
    """Return the columns of a parameter: estimate and error, or mode, median and interval."""
    if integrated is None:
        return [f"{fit.parameters[parameter]:.6g}", f"{fit.standard_errors[parameter]:.2g}"]
    own = integrated.densities[parameter]
    return [f"{each:.4g}" for each in (integrated.mode[parameter], own.median, *own.interval(0.95))]


def _how(integrated: IntegratedFit) -> str:
    """Return over what parameters were integrated."""
    points = f"over {len(integrated.weights)} points ({integrated.strategy})"
    return f"{points}, log-evidence {integrated.log_evidence:.4f} nats"


def _criteria(fit: FitResult | CountFitResult) -> dict[str, str]:
    """Return AIC and BIC of a maximum of the likelihood, of a posterior mode what the priors add."""
    if fit.priors:
        return {"log-prior": f"{fit.log_prior:.4f} nats, on {', '.join(fit.priors)}"}
    return {"AIC, BIC": f"{fit.aic:.2f}, {fit.bic:.2f}"}


def show_tiled(name: str, result: TiledResult, unit: str, fitted_to: int = 0) -> None:
    """Print the parameters of a raster that was filled tile by tile, and its bounds."""
    low, high = (_range_of(image) for image in (result.std_lower, result.std_upper))
    trend = {key: f"{value:.6g} +- {result.coefficient_errors[key]:.2g}" for key, value in result.coefficients.items()}
    of_fit = {"fitted to": f"{fitted_to} tiles of 128 pixels"} if fitted_to else {}
    interval = result.loglik_interval
    flagged = f", {len(result.flagged)} of them wider than asked for" if result.flagged else ""
    show_table(
        {
            "image": name,
            "unit": unit,
            "model": f"{type(result.model).__name__}, lengths in pixels",
            **{key: f"{value:.6g}" for key, value in result.model.parameters.items()},
            **({} if result.noise_variance is None else {"noise variance": f"{result.noise_variance:.6g}"}),
            **of_fit,
            **trend,
            "pixels": f"{result.n_observed} of {result.mean.size} observed",
            "tiles": f"{len(result.tiles)}{flagged}",
            "standard deviation, from below": f"{low[0]:.4g} to {low[1]:.4g}",
            "standard deviation, from above": f"{high[0]:.4g} to {high[1]:.4g}",
            "bounds apart by at most": f"{result.largest_width:.2g} of it",
            "mean within": f"{result.mean_error:.2g} standard deviations",
            **({} if interval is None else {"log-likelihood": f"{interval[0]:.4f} to {interval[1]:.4f} nats"}),
        }
    )


def _range_of(image: FloatArray) -> tuple[float, float]:
    """Return the least and the largest number of an image that may be a file, NaN aside."""
    rows = [row[~np.isnan(row)] for row in image]
    ends = np.array([(row.min(), row.max()) for row in rows if row.size]).reshape(-1, 2)
    return (float(ends[:, 0].min()), float(ends[:, 1].max())) if len(ends) else (math.nan, math.nan)


def show_stack(name: str, result: StackResult, scored: StackCrossValidation | None) -> None:
    """Print the estimates of a filled stack with standard errors, how it was computed, and how well it fills."""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{name}\n{result.summary()}")
    if scored is not None:
        console.print(f"\n{scored.summary()}")


def show_fit(name: str, fit: FitResult | CountFitResult, comparison: ModelComparison | None, unit: str) -> None:
    """Print the estimates of a fit with standard errors, and the fields that it was chosen from."""
    show(_comparison_report(comparison))
    Console(highlight=False, markup=False, soft_wrap=True).print(f"{name}, unit {unit}\n{in_options(fit.summary())}")


def in_options(text: str) -> str:
    """Return what a fit advises with the options of the commands in place of the arguments of the library."""
    for argument, option in _OPTIONS.items():
        text = text.replace(argument, option)
    return text


def _fields(model: Channels | Sum) -> str:
    """Return the fields of a model of channels in words."""
    return " + ".join(type(each.model).__name__ for each in members_of(model))


def _comparison_report(comparison: ModelComparison | None) -> Report:
    return [] if comparison is None else [f"{comparison.summary()} \n"]


def show(report: Report) -> None:
    """Print tables and texts."""
    for each in report:
        Console(highlight=False, markup=False, soft_wrap=isinstance(each, str)).print(each)


def show_table(rows: Mapping[str, str]) -> None:
    """Print names and values."""
    show([_table_of(rows)])


def _table_of(rows: Mapping[str, str]) -> Table:
    table = Table(box=None, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _right(*columns: str, title: str = "") -> Table:
    """Return a table of numbers."""
    table = Table(*columns, box=box.SIMPLE_HEAD, title=title or None)
    for column in table.columns:
        column.justify = "right"
    return table


def show_written(paths: Iterable[Path | None], stretch: tuple[float, float] | None = None) -> None:
    """Print which files were written, and what black and white of a PNG stand for."""
    note = "" if stretch is None else f" (black is {stretch[0]:.6g}, white {stretch[1]:.6g})"
    for path in paths:
        if path is not None:
            Console(highlight=False, markup=False, soft_wrap=True).print(f"wrote {path}{note}")
