"""The commands ``ar fit``, ``ar whiten`` and ``ar sample``: causal autoregressions of images."""

from pathlib import Path
from typing import Annotated

import typer

from sparsegmrf._address import stem_of
from sparsegmrf.cli._causal import Autoregression, Draw, Outcome, causal_model, fit_model, innovations
from sparsegmrf.cli._fill_out import Storage, check_storage
from sparsegmrf.cli._options import Writing, with_groups
from sparsegmrf.cli._rasters import Image, ReadingOne, figure_path, map_suffix, write_map
from sparsegmrf.cli._report import Progress, show_causal_fit, show_table, show_written
from sparsegmrf.errors import ArgumentError
from sparsegmrf.io import write, write_model
from sparsegmrf.io._write import writer_for
from sparsegmrf.plot import fit_figure, write_figure

ar = typer.Typer(rich_markup_mode=None, help="Causal autoregressions: fit, whiten and sample an image.")


@ar.command("fit")
@with_groups
def fit(
    image: Image,
    options: Autoregression,
    reading: ReadingOne,
    writing: Writing,
    drawn: Draw,
    out: Annotated[Path | None, typer.Option(help="Figure: .png, .pdf or .svg. Default: NAME-fit.png here.")] = None,
    model: Annotated[Path | None, typer.Option(help="Write the model to this .json file.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Compare supports by BIC and fit the best one.")] = False,
) -> None:
    """Fit a causal autoregression to an image.

    Prints weights, likelihood and stability, and draws a figure.
    """
    figure = figure_path(out, image, "fit")
    writing.check([figure, model], [image, *reading.files])
    with Progress(5) as step:
        step(f"reading {image.name}")
        loaded = reading.load(image)
        outcome = fit_model(loaded, options, drawn, step, compare=compare)
        step("drawing the figure")
        _write_figure(figure, outcome, image.name)
    if model is not None:
        write_model(model, outcome.fit)
    show_causal_fit(f"{image.name} ({' x '.join(map(str, loaded.pixels.shape))})", outcome)
    show_written([figure, model])


@ar.command("whiten")
@with_groups
def whiten(
    image: Image,
    options: Autoregression,
    reading: ReadingOne,
    writing: Storage,
    out: Annotated[
        Path | None, typer.Option(help="Innovations: .tif, .npy, .png. Default: NAME-innovations.tif here.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Model (.json). Default: fit the image itself.")] = None,
) -> None:
    """Write what a causal model cannot predict of an image.

    These are the innovations, in standard deviations.
    """
    with Progress(3) as step:
        step(f"reading {image.name}")
        loaded = reading.load(image)
        target = out if out is not None else Path(f"{stem_of(image)}-innovations{map_suffix(loaded.raster)}")
        writing.check([target], [image, model, *reading.files])
        writer_for(target, loaded.raster, "out")
        check_storage(target, loaded.raster, writing)
        step("fitting" if model is None else f"reading {model.name}")
        chosen = options.fit(loaded).model if model is None else causal_model(model)
        step("whitening")
        white = innovations(chosen, loaded.pixels, loaded.missing)
        stretch = write_map(target, white.image, loaded, "innovations", "1", **writing.given)
    show_table(white.summary())
    show_written([target], stretch)


@ar.command("sample")
@with_groups
def sample(
    source: Annotated[Path, typer.Argument(help="Model (.json, written by ar fit), or an image to be fitted first.")],
    options: Autoregression,
    reading: ReadingOne,
    writing: Writing,
    drawn: Draw,
    out: Annotated[Path, typer.Option(help="Draw: .png (stretched), .tif or .npy (exact).")] = Path("sample.png"),
    shape: Annotated[
        tuple[int, int] | None, typer.Option(help="Height and width. Default: the image's, or 256 256.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Number of draws, stacked in one .npy file.")] = None,
) -> None:
    """Draw images from a model, or from a fit to an image."""
    writing.check([out], [source, *reading.files])
    writer_for(out)
    if count is not None and out.suffix.lower() != ".npy":
        raise ArgumentError(f"out must end in .npy to hold a stack of draws, got {out}; leave count out for one image.")
    with Progress(3) as step:
        step(f"reading {source.name}")
        if source.suffix.lower() == ".json":
            fitted, size = causal_model(source), shape or (256, 256)
        else:
            loaded = reading.load(source)
            fitted = options.fit(loaded).model
            size = shape or (loaded.pixels.shape[0], loaded.pixels.shape[1])
        step("drawing")
        draws = fitted.gmrf(size).sample(size=count, rng=drawn.seed, burn_in=drawn.burn_in)
        step("writing")
        stretch = write(out, draws)
    show_table({"mean": f"{draws.mean():.6g}", "standard deviation": f"{draws.std():.6g}"})
    show_written([out], stretch)


def _write_figure(path: Path, outcome: Outcome, name: str) -> None:
    fit = outcome.fit
    title = (
        f"{name}: causal autoregression, {fit.support}, $\\sigma$ = {fit.model.sigma:.4g}, "
        f"{fit.loglik_per_pixel:.4f} nats per pixel"
    )
    write_figure(path, fit_figure(outcome.image, outcome.white.image, outcome.draw, title=title, unit=outcome.unit))
