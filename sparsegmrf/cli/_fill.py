"""The command ``fill``: an image with gaps in, parameters, the filled image and its uncertainty out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from sparsegmrf._address import name_of, stem_of
from sparsegmrf._files import PathLike, replacing_in
from sparsegmrf.cli._field import FieldOptions, about, files
from sparsegmrf.cli._fill_out import Destination, FillStorage
from sparsegmrf.cli._models import names as model_names
from sparsegmrf.cli._options import with_groups
from sparsegmrf.cli._rasters import Image, Loaded, ReadingOne
from sparsegmrf.cli._report import Progress, show_filled, show_written
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import CountFillResult, FillResult
from sparsegmrf.inference import Progress as FitProgress
from sparsegmrf.inference import fill as fill_gaps
from sparsegmrf.io import write_model
from sparsegmrf.plot import fill_figure, write_figure
from sparsegmrf.typing import FloatArray

IMAGES: Mapping[str, str] = {
    "filled": "filled",
    "mean": "mean",
    "std": "standard deviation",
    "predictive_std": "standard deviation of a new measurement",
}
"""Fields of a `FillResult` that are written, and what their bands are called."""
OF_COUNTS: Mapping[str, str] = {
    "filled": "filled",
    "mean": "mean of the risk",
    "std": "standard deviation of the risk",
    "lower": "lower end of the 95% interval of the risk",
    "upper": "upper end of the 95% interval of the risk",
    "predictive_mean": "mean of a new count",
    "predictive_std": "standard deviation of a new count",
}
"""The same of a `CountFillResult` and its `relative_risk`."""


@dataclass(frozen=True)
class FillOptions(FieldOptions):
    """How gaps are filled, as the command line has it."""

    model: Annotated[str, typer.Option(help=f"{model_names()}, or a .json file: the field that is fitted.")] = (
        "tension-spline"
    )
    covariates: Annotated[Literal["constant", "linear", "none"], typer.Option(help="Trend.")] = "linear"
    exceedance: Annotated[
        float | None,
        typer.Option(help="Risk of counts: write the probability of every pixel that its own is above it."),
    ] = None
    samples: Annotated[int, typer.Option(help="Number of draws given the observed pixels.")] = 0
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0
    parameters: Annotated[
        Literal["plug-in", "integrate"],
        typer.Option(help="Estimates taken as known, or integrated out with weak priors."),
    ] = "plug-in"

    @property
    def images(self) -> Mapping[str, str]:
        """Fields of the result that are written."""
        if self.likelihood == "gaussian":
            return IMAGES
        more = {} if self.exceedance is None else {"exceedance": f"probability of a risk above {self.exceedance:g}"}
        return {**OF_COUNTS, **more}

    def check_exceedance(self) -> None:
        """Refuse a threshold that is none of a risk, before anything is fitted."""
        limit = self.exceedance
        if limit is None:
            return
        if self.likelihood == "gaussian":
            raise ArgumentError(
                f"exceedance must be left out with likelihood gaussian, which has no risk, got {limit:g}."
            )
        highest = np.inf if self.likelihood == "poisson" else 1.0
        if not 0.0 < limit < highest:
            raise ArgumentError(
                f"exceedance must be {'positive' if highest > 1.0 else 'between 0 and 1'} with likelihood "
                f"{self.likelihood}, got {limit:g}."
            )

    def fill(self, image: Loaded, tell: Callable[[FitProgress], None]) -> FillResult | CountFillResult:
        """Fill the gaps of an image, and tell how far that is."""
        start, arguments = self.start(), self.arguments(image)
        return fill_gaps(
            image.raster.image,
            model=start,
            n_samples=self.samples,
            rng=self.seed,
            likelihood=self.counts(image),
            progress=tell,
            parameters=self.parameters,
            **arguments,
        )


@with_groups
def fill(
    image: Image,
    out: Annotated[
        Path,
        typer.Option(help="Directory of what is written, made if need be; or a file for all images: .tif, .nc, .zarr."),
    ],
    options: FillOptions,
    reading: ReadingOne,
    writing: FillStorage,
) -> None:
    """Fill the gaps of an image: parameters with standard errors, filled image, uncertainty, draws, figure.

    Several images, or a file with a dimension of dates, are a stack: options and outputs are those of fill-stack.
    """
    options.check_exceedance()
    name, stem = name_of(image), stem_of(image)
    with Progress(3) as step:
        step(f"reading {name}")
        loaded = options.reading(reading).load(image)
        target = Destination(out, stem, loaded.raster, writing)
        inputs: list[PathLike | None] = [image, *reading.files, *files(options.model, *options.numbers)]
        target.check(options.images, options.samples, inputs)
        step("fitting and filling")
        result = options.fill(loaded, step.tell)
        step("writing")
        with replacing_in(target.folder) as staging:
            write_results(staging, target, options, result, loaded)
            holes = np.where(loaded.gaps, np.nan, loaded.pixels)
            std = result.predictive_std if isinstance(result, CountFillResult) else result.std
            title = f"{name}: {result.fit.title}"
            filled, std = loaded.inside(result.filled), loaded.inside(std)
            figure = fill_figure(holes, filled, std, title=title, unit=loaded.unit, like=loaded.raster)
            write_figure(staging / f"{target.first}-fill.png", figure)
    show_filled(name, result, loaded.unit)
    show_written([target.folder / each for each in target.names(options.images, options.samples)])


def image_of(result: FillResult | CountFillResult, field: str, threshold: float | None) -> FloatArray:
    """Return an image of a result by its name."""
    source: object = result
    if isinstance(result, CountFillResult):
        if field == "exceedance" and threshold is not None:
            return result.exceedance(threshold)
        source = result.relative_risk() if field in ("lower", "upper") else result
    image: FloatArray = getattr(source, field)
    return image


def write_results(
    folder: Path,
    target: Destination,
    options: FillOptions,
    result: FillResult | CountFillResult,
    loaded: Loaded,
) -> None:
    """Write the images of a result, its draws if there are any, and the fit as JSON."""
    images = {field: image_of(result, field, options.exceedance) for field in options.images}
    draws = result.samples if options.samples else None
    target.write(folder, images, options.images, draws, loaded)
    said = about(options, getattr(result, "comparison", None), loaded.raster.unit or "intensity")
    write_model(folder / f"{target.first}-fit.json", result.fit, about=said)
