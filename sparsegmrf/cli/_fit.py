"""The command ``fit``: parameters of a field, its noise and its trend by `sparsegmrf.fit`, from a raster with gaps."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from sparsegmrf import inference
from sparsegmrf.cli._field import FieldOptions, about, files
from sparsegmrf.cli._models import BEST
from sparsegmrf.cli._options import Writing, with_groups
from sparsegmrf.cli._rasters import Image, Loaded, ReadingOne
from sparsegmrf.cli._report import Progress, show_fit, show_written
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import CountFitResult, FitResult, ModelComparison
from sparsegmrf.inference import Progress as FitProgress
from sparsegmrf.io import write_model


@dataclass(frozen=True)
class FitOptions(FieldOptions):
    """How a field is fitted, as the command line has it."""

    method: Annotated[
        Literal["ml", "reml", "cv"],
        typer.Option(help="Maximum likelihood, restricted maximum likelihood, or cross-validation."),
    ] = "ml"
    seed: Annotated[int, typer.Option(help="Seed of what cv and model best hold out.")] = 0

    def fit(
        self, image: Loaded, tell: Callable[[FitProgress], None]
    ) -> tuple[FitResult | CountFitResult, ModelComparison | None]:
        """Fit the model asked for, or the best of several, and tell how far that is."""
        start, arguments = self.start(), self.arguments(image)
        counts = self.counts(image)
        if start == BEST:
            if self.method != "ml" or counts is not None:
                raise ArgumentError(
                    "method must be ml and likelihood gaussian with model best, which compares likelihoods, got "
                    f"{self.method} and {self.likelihood}."
                )
            best = inference.fill(image.raster.image, model=BEST, rng=self.seed, progress=tell, **arguments)
            return best.fit, best.comparison
        return inference.fit(
            start,
            image.raster.image,
            **arguments,
            method=self.method,
            likelihood=counts,
            rng=self.seed,
            progress=tell,
        ), None


@with_groups
def fit(
    raster: Image,
    options: FitOptions,
    reading: ReadingOne,
    writing: Writing,
    out: Annotated[Path | None, typer.Option(help="Write the estimates to this .json file.")] = None,
) -> None:
    """Fit a field, noise and trend to an image with gaps.

    Prints parameters with standard errors, likelihood, AIC and BIC.
    """
    read = [*reading.files, *files(options.model, *options.numbers)]
    writing.check([out], [raster, *read])
    if out is not None and out.suffix.lower() != ".json":
        raise ArgumentError(f"out must end in .json, got {out}.")
    with Progress(3) as step:
        step(f"reading {raster.name}")
        loaded = options.reading(reading).load(raster)
        step("fitting")
        found, comparison = options.fit(loaded, step.tell)
        step("computing standard errors")
        said = about(options, comparison, loaded.unit)
        if out is not None:
            write_model(out, found, about=said)
    show_fit(f"{raster.name} ({' x '.join(map(str, np.shape(loaded.pixels)))})", found, comparison, loaded.unit)
    show_written([out])
