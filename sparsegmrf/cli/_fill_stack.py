"""The command ``fill-stack``: images of several dates in, filled images, uncertainty and parameters out."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from sparsegmrf import stacks
from sparsegmrf._address import stem_of
from sparsegmrf._files import replacing_in
from sparsegmrf._validate import integer_at_least
from sparsegmrf.cli._field import files
from sparsegmrf.cli._fill_out import Storage, check_storage
from sparsegmrf.cli._models import BEST, chosen_model
from sparsegmrf.cli._options import with_groups
from sparsegmrf.cli._rasters import check_directory, map_suffix
from sparsegmrf.cli._report import Progress, show_stack, show_written
from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo import NetCdf
from sparsegmrf.inference import Progress as FitProgress
from sparsegmrf.io import Picture, Raster, read
from sparsegmrf.models import Model
from sparsegmrf.stacks import Separable, StackComparison, StackCrossValidation, StackFit, StackResult, StackScores

_IMAGES = {
    "filled": "filled",
    "mean": "mean",
    "std": "standard deviation",
    "predictive_std": "standard deviation of a new measurement",
}
"""What is written of every date, and what the bands are called."""
_OF_MORE = tuple(name for name in _IMAGES if name != "filled")
"""What is written of dates without an image."""
_DATE = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?!\d)")


@dataclass(frozen=True)
class StackOptions:
    """How a stack is filled, as the command line has it."""

    dates: Annotated[
        str | None,
        typer.Option(help="Dates of the files, YYYY-MM-DD or days, with commas; by default those in their names."),
    ] = None
    at: Annotated[str | None, typer.Option(help="Further dates to predict, with commas.")] = None
    model: Annotated[
        str,
        typer.Option(
            help="auto: modes that are learnt from long series, else matern; modes; best: what predicts moved clouds "
            "best; or the field of one date, by name or a .json file."
        ),
    ] = "auto"
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE: a parameter, or a field of the model; repeatable."),
    ] = None
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            help="NAME,ell=DAYS,label=WORD,PARAMETER=VALUE: one of several fields that are added, instead of model; "
            "ell=0 is each date's own, ell=inf the same at all; repeatable.",
        ),
    ] = None
    harmonics: Annotated[
        str, typer.Option(help="auto, a number of harmonics of the year, or none: no maps of level and season.")
    ] = "auto"
    covariates: Annotated[Literal["constant", "linear", "none"], typer.Option(help="Trend.")] = "constant"
    noise_variance: Annotated[str, typer.Option(help="estimate, or the variance of the noise (unit squared).")] = (
        "estimate"
    )
    outliers: Annotated[
        bool, typer.Option("--outliers", help="Leave out observations that contradict the other dates.")
    ] = False
    hold_out: Annotated[
        int, typer.Option(help="Number of clouds that are moved to clear dates to see how well they are filled.")
    ] = 0
    samples: Annotated[int, typer.Option(help="Number of draws given the observed pixels.")] = 0
    seed: Annotated[int, typer.Option(help="Seed of the draws, and of the clouds that are moved.")] = 0

    def fill(self, stack: Any, dates: Any, spacing: Any, tell: Callable[[FitProgress], None]) -> StackResult:
        """Fill the gaps of a stack, and tell how far that is."""
        return stacks.fill(
            stack,
            dates=dates,
            at=None if self.at is None else dates_of(self.at),
            n_samples=self.samples,
            rng=self.seed,
            progress=tell,
            **self._options(spacing),
        )

    def cross_validate(
        self, stack: Any, dates: Any, spacing: Any, tell: Callable[[FitProgress], None]
    ) -> StackCrossValidation | None:
        """Score how a stack is filled, and tell how far that is; None if it is not asked for."""
        if not self.hold_out:
            return None
        return stacks.cross_validate(
            stack,
            dates=dates,
            clouds=self.hold_out,
            rng=self.seed,
            refit=False,
            progress=tell,
            **self._options(spacing),
        )

    def check(self) -> None:
        """Refuse what does not go together before anything is computed."""
        integer_at_least("hold-out", self.hold_out, 0)
        if self.hold_out and self.model == BEST:
            raise ArgumentError(
                f"hold-out must be left out with model {BEST}, whose table has it, got {self.hold_out}."
            )

    def _options(self, spacing: Any) -> dict[str, Any]:
        return {
            "model": self._model(),
            "harmonics": None if self.harmonics == "none" else _number("harmonics", self.harmonics, "auto", int),
            "covariates": None if self.covariates == "none" else self.covariates,
            "noise_variance": _number("noise-variance", self.noise_variance, "estimate", float),
            "outliers": "screen" if self.outliers else None,
            "spacing": spacing,
        }

    def _model(self) -> Any:
        if self.fields:
            if self.model != "auto" or self.settings:
                given = f"model {self.model}" + (f" and set {', '.join(self.settings)}" if self.settings else "")
                raise ArgumentError(f"model and set must be left out with field, which has its own, got {given}.")
            return [field_of(text) for text in self.fields]
        if self.model in ("modes", BEST) and self.settings:
            raise ArgumentError(f"set must be left out with model {self.model}, got {', '.join(self.settings)}.")
        if self.model in ("modes", BEST) or (self.model == "auto" and not self.settings):
            return None if self.model == "auto" else self.model
        return chosen_model("matern" if self.model == "auto" else self.model, self.settings or ())


@with_groups
def fill_stack(
    images: Annotated[
        list[Path], typer.Argument(help="One NetCDF file with a dimension of dates, or one raster for each date.")
    ],
    out: Annotated[Path, typer.Option(help="Directory of what is written; made if need be.")],
    options: StackOptions,
    writing: Storage,
    channel: Annotated[int | None, typer.Option(help="Band of the rasters, from 0.")] = None,
    variable: Annotated[str | None, typer.Option(help="Variable of the file, if it has several.")] = None,
) -> None:
    """Fill gaps in images of one place from other dates as well."""
    check_directory(out)
    options.check()
    with Progress(4 if options.hold_out else 3) as step:
        step("reading")
        read_as_series = len(images) == 1
        if read_as_series:
            rasters: list[Raster] = [read(images[0], variable=variable, channel="all", scale="none")]
            stack, dates, spacing = _series(rasters[0], images[0], options)
        else:
            rasters = [read(path, variable=variable, channel=channel, scale="none") for path in images]
            stack, dates, spacing = _images(rasters, images, options)
        names = _names(images, rasters, options)
        check_storage(out / names[0], rasters[0], writing)
        writing.check_in_directory([out / name for name in names], [*images, *files(options.model)])
        step("fitting and filling")
        result = options.fill(stack, dates, spacing, step.tell)
        if options.hold_out:
            step("moving clouds")
        scored = options.cross_validate(stack, dates, spacing, step.tell)
        step("writing")
        with replacing_in(out) as staging:
            if read_as_series:
                _write_series(staging, stem_of(images[0]), rasters[0], result, writing.asked)
            else:
                _write_images(staging, images, rasters, result, options, writing.asked)
            said = json.dumps(_about(result, scored, rasters[0].unit), indent=1, allow_nan=False)
            (staging / f"{stem_of(images[0])}-fit.json").write_text(said, encoding="utf-8")
    show_stack(images[0].name, result, scored)
    show_written([out / name for name in names])


def dates_of(text: str) -> list[Any]:
    """Return dates that are written with commas: numbers where all are."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return [float(part) for part in parts]
    except ValueError:
        return list(parts)


def field_of(text: str) -> Separable:
    """Return a field that is written as its model and, with commas, scale in time, label and parameters."""
    name, *settings = (part.strip() for part in text.split(","))
    own = {key: value for key, sign, value in (each.partition("=") for each in settings) if key in ("ell", "label")}
    model = chosen_model(name, [each for each in settings if each.partition("=")[0] not in own])
    if not isinstance(model, Model):
        raise ArgumentError(f"field must begin with the name of a field such as matern, got {text}.")
    try:
        ell = float(own["ell"]) if "ell" in own else None
    except ValueError:
        raise ArgumentError(f"ell must be a number of days, 0 or inf, got {own['ell']}.") from None
    return Separable(model, ell, own.get("label"))


def date_in(path: Path) -> str:
    """Return the date in the name of a file, as YYYY-MM-DD.

    Raises
    ------
    ArgumentError
        If there is none, or several.
    """
    found = {f"{year}-{month}-{day}" for year, _, month, day in _DATE.findall(path.name)}
    if len(found) != 1:
        raise ArgumentError(
            f"dates must be given: the name {path.name} has {len(found) or 'no'} dates such as 2021-05-03 or 20210503; "
            "pass --dates with one for each file."
        )
    return found.pop()


def _series(raster: Raster, path: Path, options: StackOptions) -> tuple[Any, Any, Any]:
    if not isinstance(raster, NetCdf) or raster.image.ndim != 3:
        raise ArgumentError(
            f"images must be a NetCDF variable with a dimension of dates, or several rasters, got {path.name} alone."
        )
    return raster.image, None if options.dates is None else dates_of(options.dates), "coordinates"


def _images(rasters: Sequence[Raster], paths: Sequence[Path], options: StackOptions) -> tuple[Any, Any, Any]:
    first = rasters[0]
    for raster, path in zip(rasters, paths, strict=True):
        if type(raster) is not type(first) or np.shape(raster.image) != np.shape(first.image):
            raise ArgumentError(
                f"images must be of one kind and size, got {path.name} with {np.shape(raster.image)} beside "
                f"{paths[0].name} with {np.shape(first.image)}."
            )
        if not first.same_ground(raster):
            raise ArgumentError(f"images must lie on the same ground, got {path.name} elsewhere than {paths[0].name}.")
    dates = [date_in(path) for path in paths] if options.dates is None else dates_of(options.dates)
    return np.array([np.asarray(raster.image) for raster in rasters]), dates, getattr(first, "spacing", None)


def _names(paths: Sequence[Path], rasters: Sequence[Raster], options: StackOptions) -> list[str]:
    """Return the names of the files that are written."""
    suffix = _suffix(rasters[0])
    found = [_file(stem_of(path), name, suffix) for path in paths for name in _IMAGES]
    first = stem_of(paths[0])
    if len(paths) == 1:
        found += [f"{first}-samples{suffix}"] if options.samples else []
        found += [_file(f"{first}-at", name, suffix) for name in _OF_MORE] if options.at else []
    else:
        found += [f"{stem_of(path)}-samples{rasters[0].stack_suffix}" for path in paths] if options.samples else []
        more = dates_of(options.at) if options.at else []
        found += [_file(f"{first}-at-{date}", name, suffix) for date in more for name in _OF_MORE]
    return [*found, f"{first}-fit.json"]


def _file(stem: str, name: str, suffix: str) -> str:
    return f"{stem}-{name.replace('_', '-')}{suffix}"


def _suffix(raster: Raster) -> str:
    return raster.suffix if isinstance(raster, Picture) else map_suffix(raster)


def _write_series(folder: Path, stem: str, raster: Raster, result: StackResult, storage: dict[str, Any]) -> None:
    suffix = _suffix(raster)
    for name, meaning in _IMAGES.items():
        target = folder / _file(stem, name, suffix)
        raster.write(target, getattr(result, name), meaning, **storage)
        if result.at is not None and name in _OF_MORE:
            target = folder / _file(f"{stem}-at", name, suffix)
            raster.write(target, getattr(result.at, name), meaning, **storage)
    if len(result.samples):
        raster.write(folder / f"{stem}-samples{suffix}", result.samples, "draw", **storage)


def _write_images(
    folder: Path,
    paths: Sequence[Path],
    rasters: Sequence[Raster],
    result: StackResult,
    options: StackOptions,
    storage: dict[str, Any],
) -> None:
    suffix = _suffix(rasters[0])
    for k, (path, raster) in enumerate(zip(paths, rasters, strict=True)):
        for name, meaning in _IMAGES.items():
            target = folder / _file(stem_of(path), name, suffix)
            raster.write(target, getattr(result, name)[k], meaning, **storage)
        if len(result.samples):
            target = folder / f"{stem_of(path)}-samples{raster.stack_suffix}"
            raster.write(target, result.samples[:, k], "draw", **storage)
    if result.at is None or options.at is None:
        return
    for k, date in enumerate(dates_of(options.at)):
        for name in _OF_MORE:
            target = folder / _file(f"{stem_of(paths[0])}-at-{date}", name, suffix)
            rasters[0].write(target, getattr(result.at, name)[k], _IMAGES[name], **storage)


def _number(name: str, text: str, word: str, kind: type) -> Any:
    if text == word:
        return word
    try:
        return kind(text)
    except ValueError:
        raise ArgumentError(f"{name} must be {word} or a number, got {text}.") from None


def _about(result: StackResult, scored: StackCrossValidation | None, unit: str) -> dict[str, Any]:
    """Return the estimates and what moved clouds say; null where there is no number."""
    fit = result.fit
    said: dict[str, Any] = {
        "unit": unit or "intensity",
        "model": " + ".join(type(part.model).__name__ for part in fit.model.fields)
        if isinstance(fit, StackFit)
        else fit.name,
        "parameters": {name: _finite(value) for name, value in fit.parameters.items()},
        "standard_errors": {name: _finite(value) for name, value in fit.standard_errors.items()},
        "observed": fit.n_observed,
        "screened_out": int(np.count_nonzero(result.outliers)),
        "seam": result.seam,
        "mean_error": result.mean_error,
    }
    if isinstance(fit, StackFit):
        said |= {
            "units": fit.units,
            "coefficients": fit.coefficients,
            "coefficient_errors": fit.coefficient_errors,
            "loglik": fit.loglik,
            "converged": fit.converged,
            "plan": str(fit.plan),
        }
    if scored is not None:
        said["held_out"] = {
            "clouds": scored.clouds.count,
            "all": _scores(scored.scores),
            **{name: _scores(each) for name, each in scored.by_season.items()},
        }
    if result.comparison is not None:
        said["comparison"] = _compared(result.comparison)
    return said


def _compared(comparison: StackComparison) -> dict[str, Any]:
    gains = ("crps_gain", "crps_error", "log_gain", "log_error")
    return {
        "chosen": comparison.chosen.name,
        "default": comparison.default.name,
        "clouds": comparison.clouds,
        "candidates": {
            each.name: _scores(each.scores) | {name: _finite(getattr(each, name)) for name in gains}
            for each in comparison.candidates
        },
        "left_out": dict(comparison.left_out),
    }


def _scores(scores: StackScores) -> dict[str, Any]:
    found: dict[str, Any] = {"observations": scores.count, "dates": scores.dates}
    for name, error in scores.standard_errors.items():
        found |= {name: _finite(getattr(scores, name)), f"{name}_error": _finite(error)}
    return found


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
