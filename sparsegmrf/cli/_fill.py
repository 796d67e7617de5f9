"""The command ``fill``: an image with gaps in, parameters, the filled image and its uncertainty out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from sparsegmrf._address import name_of, stem_of
from sparsegmrf._files import PathLike, replacing_in
from sparsegmrf.cli._channels_out import DestinationOfChannels
from sparsegmrf.cli._field import about, files
from sparsegmrf.cli._fill_channels import check_together, figure_of, fill_channels, fit_names
from sparsegmrf.cli._fill_options import FillOptions, image_of
from sparsegmrf.cli._fill_out import Destination, FillStorage, check_out
from sparsegmrf.cli._options import with_groups
from sparsegmrf.cli._rasters import Image, Loaded, ReadingOneOrSeveral
from sparsegmrf.cli._report import Progress, Report, filled_report, show, show_written
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import CountFillResult, FillResult
from sparsegmrf.io import write_model
from sparsegmrf.plot import fill_figure, write_figure


@with_groups
def fill(
    image: Image,
    out: Annotated[
        Path,
        typer.Option(help="Directory of what is written, made if need be; or a file for all images: .tif, .nc, .zarr."),
    ],
    options: FillOptions,
    reading: ReadingOneOrSeveral,
    writing: FillStorage,
) -> None:
    """Fill the gaps of an image, and say how certain that is.

    Prints parameters with standard errors, and writes the filled image, mean, standard deviations, draws, fit and
    figure.

    Several channels (bands) are filled in one run with --channels all. Several images, or a file with a dimension of
    dates, are a stack: options and outputs are those of fill-stack.
    """
    options.check_exceedance()
    check_out(out)
    if options.separately and reading.channels is None:
        raise ArgumentError("separately is for several channels, got no channels; add --channels all, or leave it out.")
    name, stem = name_of(image), stem_of(image)
    inputs: list[PathLike | None] = [image, *reading.files, *files(options.model, *options.numbers)]
    with Progress(3) as step:
        step(f"reading {name}")
        loaded = options.reading(reading).load(image)
        target = Destination(out, stem, loaded.raster, writing)
        if loaded.raster.image.ndim == 3:
            numbers = reading.numbers(loaded.raster.image.shape[2])
            target = of_all = DestinationOfChannels(
                out, stem, loaded.raster, writing, tuple(fit_names(options, numbers))
            )
            report = _fill_several(name, options, loaded, numbers, of_all, inputs, step)
        elif options.separately:
            raise ArgumentError(f"separately is for several channels, got one of {name}; leave it out.")
        else:
            report = _fill_one(name, options, loaded, target, inputs, step)
    show(report)
    show_written([target.folder / each for each in target.names(options.images, options.samples)])


def _fill_one(
    name: str,
    options: FillOptions,
    loaded: Loaded,
    target: Destination,
    inputs: list[PathLike | None],
    step: Progress,
) -> Report:
    """Fill an image, write what is found, and return what is to be printed."""
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
    return filled_report(name, result, loaded.unit)


def _fill_several(
    name: str,
    options: FillOptions,
    loaded: Loaded,
    numbers: Sequence[int],
    target: DestinationOfChannels,
    inputs: list[PathLike | None],
    step: Progress,
) -> Report:
    """Fill the channels of an image, write what is found, and return what is to be printed."""
    check_together(options)
    target.check(options.images, options.samples, inputs)
    step("fitting and filling")
    found = fill_channels(name, options, loaded, numbers, step.tell)
    step("writing")
    with replacing_in(target.folder) as staging:
        target.write_channels(staging, found, options.images, loaded)
        write_figure(staging / f"{target.first}-fill.png", figure_of(found, loaded, numbers))
    return found.report


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
