"""The command ``fill``: an image with gaps in, parameters, the filled image and its uncertainty out."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from sparsegmrf._files import directory_of_outputs, refuse_overwriting, replacing, replacing_in
from sparsegmrf._validate import one_of
from sparsegmrf.cli._rasters import Axis, Channel, Grey, Image, Loaded, Mask, NoData, Raw, Variable, load, map_suffix
from sparsegmrf.cli._report import Progress, show_filled, show_written
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import FillResult, ModelComparison
from sparsegmrf.inference import fill as fill_gaps
from sparsegmrf.io import Picture, Raster
from sparsegmrf.models import Matern
from sparsegmrf.plot import fill_figure, write_figure
from sparsegmrf.typing import BoolArray

MODELS: Mapping[str, Any] = {
    "spline": None,
    "matern": Matern(),
    "matern2": Matern(nu=2.0),
    "best": "best",
}
"""What ``--model`` may say, and what `sparsegmrf.fill` takes for it."""

IMAGES: Mapping[str, str] = {
    "filled": "filled",
    "mean": "mean",
    "std": "standard deviation",
    "predictive_std": "standard deviation of a new measurement",
}
"""Fields of a `FillResult` that are written, and what their bands are called."""


@dataclass(frozen=True)
class FillOptions:
    """How gaps are filled, as the command line has it."""

    model: str = "spline"
    noise: str = "estimate"
    covariates: Literal["linear", "constant", "none"] = "linear"
    samples: int = 0
    seed: int = 0

    def fill(self, image: Any, missing: BoolArray) -> FillResult:
        """Fill the missing pixels of an array or DataArray."""
        one_of("model", self.model, tuple(MODELS))
        return fill_gaps(
            image,
            mask=missing,
            model=MODELS[self.model],
            noise_variance=_noise(self.noise),
            covariates=None if self.covariates == "none" else self.covariates,
            n_samples=self.samples,
            rng=self.seed,
        )


def fill(
    image: Image,
    out: Annotated[Path, typer.Option(help="Directory of what is written; made if need be.")],
    mask: Mask = None,
    nodata: NoData = None,
    model: Annotated[str, typer.Option(help=f"{', '.join(MODELS)}: the field that is fitted.")] = "spline",
    noise: Annotated[str, typer.Option(help="Variance of the noise (unit squared), estimate, or none.")] = "estimate",
    covariates: Annotated[Literal["linear", "constant", "none"], typer.Option(help="Trend.")] = "linear",
    samples: Annotated[int, typer.Option(help="Number of draws given the observed pixels.")] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    channel: Channel = None,
    channel_axis: Axis = None,
    grey: Grey = False,
    raw: Raw = False,
    variable: Variable = None,
) -> None:
    """Fill the gaps of an image: parameters with standard errors, filled image, uncertainty, draws, figure."""
    directory_of_outputs(out)
    options = FillOptions(model, noise, covariates, samples, seed)
    with Progress(3) as step:
        step(f"reading {image.name}")
        loaded = load(
            image, mask, nodata=nodata, channel=channel, axis=channel_axis, grey=grey, raw=raw, variable=variable
        )
        raster, missing = loaded.raster, missing_pixels(loaded)
        refuse_overwriting([out / name for name in names(image.stem, raster, samples)], [image, mask])
        step("fitting and filling")
        result = options.fill(raster.image, missing)
        step("writing")
        with replacing_in(out) as staging:
            write_results(staging, image.stem, raster, options, result)
            holes = np.where(missing, np.nan, loaded.pixels)
            title = f"{image.name}: {described(result)}"
            figure = fill_figure(holes, result.filled, result.std, title=title, unit=loaded.unit)
            write_figure(staging / f"{image.stem}-fill.png", figure)
    show_filled(image.name, result, loaded.unit)
    show_written(out / name for name in names(image.stem, raster, samples))


def missing_pixels(loaded: Loaded) -> BoolArray:
    """Return where an image is NaN, has no data, or the mask is not zero."""
    missing = np.isnan(loaded.pixels)
    return missing if loaded.missing is None else np.asarray(missing | loaded.missing)


def names(stem: str, raster: Raster, samples: int) -> list[str]:
    """Return the names of the files that are written."""
    images = [f"{stem}-{name.replace('_', '-')}{suffix_of(raster)}" for name in IMAGES]
    draws = [f"{stem}-samples{raster.stack_suffix}"] if samples else []
    return [*images, *draws, f"{stem}-fit.json", f"{stem}-fill.png"]


def suffix_of(raster: Raster) -> str:
    """Return the suffix of images made of a raster."""
    return raster.suffix if isinstance(raster, Picture) else map_suffix(raster)


def described(result: FillResult) -> str:
    """Return the model fitted and its parameters, on one line."""
    parameters = ", ".join(f"{name} = {value:.4g}" for name, value in result.fit.parameters.items())
    return f"{type(result.fit.model).__name__}, {parameters}"


def write_results(folder: Path, stem: str, raster: Raster, options: FillOptions, result: FillResult) -> None:
    """Write the images of a result, its draws if there are any, and the fit as JSON."""
    for name, meaning in IMAGES.items():
        raster.write(folder / f"{stem}-{name.replace('_', '-')}{suffix_of(raster)}", getattr(result, name), meaning)
    if options.samples:
        raster.write(folder / f"{stem}-samples{raster.stack_suffix}", result.samples, "draw")
    fields = fit_fields(options, result, raster.unit or "intensity")
    with replacing(folder / f"{stem}-fit.json") as temporary:
        temporary.write_text(json.dumps(fields, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def fit_fields(options: FillOptions, result: FillResult, unit: str) -> dict[str, object]:
    """Return what is known of a fit, as JSON has it: no number is NaN."""
    fit = result.fit
    noise = fit.noise_variance
    return {
        "sparsegmrf": version("sparsegmrf"),
        "shape": list(fit.shape),
        "unit": unit,
        "n_observed": fit.n_observed,
        "model": type(fit.model).__name__,
        "options": {"model": options.model, "noise": options.noise, "covariates": options.covariates},
        "samples": {"count": options.samples, "seed": options.seed},
        "parameters": _known(fit.parameters),
        "standard_errors": _known(fit.standard_errors),
        "undetermined": list(fit.undetermined),
        "noise_variance": float(noise) if np.ndim(noise) == 0 else None,
        "coefficients": _known(fit.coefficients),
        "coefficient_errors": _known(fit.coefficient_errors),
        "loglik": fit.loglik,
        "aic": fit.aic,
        "bic": fit.bic,
        "converged": bool(fit.converged),
        "reason": fit.reason,
        "comparison": None if result.comparison is None else compared(result.comparison),
    }


def compared(comparison: ModelComparison) -> dict[str, object]:
    """Return the fields that were compared, as JSON has it."""
    figures = ("loglik", "aic", "rmse", "crps", "coverage", "excess", "excess_error", "noise_held")
    return {
        "chosen": comparison.chosen.name,
        "held_out": {"blocks": comparison.blocks, "pixels": comparison.pixels},
        "candidates": {
            each.name: {**{name: getattr(each, name) for name in figures}, "parameters": _known(each.fit.parameters)}
            for each in comparison.candidates
        },
        "left_out": dict(comparison.left_out),
    }


def _known(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {name: float(value) if math.isfinite(value) else None for name, value in numbers.items()}


def _noise(text: str) -> Any:
    if text == "estimate":
        return "estimate"
    if text == "none":
        return None
    try:
        return float(text)
    except ValueError:
        raise ArgumentError(f"noise must be estimate, none or a variance, got {text}.") from None
