"""The commands: read files, call the library, print and write."""

import logging
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sparsegmrf._files import refuse_overwriting
from sparsegmrf._libraries import EXTRAS
from sparsegmrf.autoregression import experiment as run_experiment
from sparsegmrf.cli._demo import demo
from sparsegmrf.cli._fill import fill
from sparsegmrf.cli._fit import FitOptions, Outcome, fit_model, innovations
from sparsegmrf.cli._pixels import anomalies, density
from sparsegmrf.cli._rasters import (
    Axis,
    Channel,
    Grey,
    Image,
    Mask,
    NoData,
    Raw,
    Variable,
    check_map,
    load,
    map_suffix,
    write_map,
)
from sparsegmrf.cli._report import Progress, show_fit, show_table, show_written
from sparsegmrf.cli._tell import tell
from sparsegmrf.errors import ArgumentError, SparseGMRFError, UnstableWarning
from sparsegmrf.io import read_model, write, write_model
from sparsegmrf.plot import experiment_figure, fit_figure, write_figure

# typer carries its own copy of click from some version on and exports no base of the errors it raises.
_UsageError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

INTERRUPTED = 130

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Exact Gaussian Markov random fields on images.",
)

app.command()(demo)
app.command()(fill)
app.command()(density)
app.command("rx")(anomalies)

Support = Annotated[Literal["nshp", "qp"], typer.Option(help="Half plane (nshp) or quarter plane (qp).")]
Radius = Annotated[int, typer.Option(help="Reach of the half plane, pixels.")]
Order = Annotated[tuple[int, int], typer.Option(help="Rows and columns the quarter plane reaches.")]
Method = Annotated[Literal["least_squares", "yule_walker"], typer.Option(help="Estimator.")]
Seed = Annotated[int, typer.Option(help="Seed of the draw.")]
BurnIn = Annotated[int, typer.Option(help="Pixels drawn before the image and thrown away, to forget the border.")]


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; whatever the user can mend is told on one line of standard error, with exit code 2."""
    for name in ("tifffile", "rasterio"):  # what is wrong with a file is told once, by the exception
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("always", UnstableWarning)
        warnings.showwarning = lambda message, *_, **__: tell(f"warning: {message}")
        try:
            code = app(args=list(sys.argv[1:] if arguments is None else arguments), standalone_mode=False)
        except _UsageError as error:
            tell(f"{error.format_message()} See: sparsegmrf --help")
            return 2
        except (typer.Abort, KeyboardInterrupt):
            code = INTERRUPTED
        except (SparseGMRFError, OSError, MemoryError) as error:
            tell(str(error) or type(error).__name__)
            return 2
        except ModuleNotFoundError as error:
            if error.name not in EXTRAS:
                raise
            tell(str(error))
            return 2
    if code == INTERRUPTED:
        tell("interrupted; nothing half-written is left")
    return int(code or 0)


@app.callback(invoke_without_command=True)
def about(
    context: typer.Context, show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if show_version:
        print(version("sparsegmrf"))
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def fit(
    image: Image,
    out: Annotated[Path | None, typer.Option(help="Figure: .png, .pdf or .svg. Default: NAME-fit.png here.")] = None,
    model: Annotated[Path | None, typer.Option(help="Write the model to this .json file.")] = None,
    support: Support = "nshp",
    radius: Radius = 2,
    order: Order = (1, 1),
    method: Method = "least_squares",
    mask: Mask = None,
    nodata: NoData = None,
    channel: Channel = None,
    channel_axis: Axis = None,
    grey: Grey = False,
    raw: Raw = False,
    variable: Variable = None,
    compare: Annotated[bool, typer.Option("--compare", help="Compare supports by BIC and fit the best one.")] = False,
    seed: Seed = 0,
    burn_in: BurnIn = 64,
) -> None:
    """Fit a causal autoregression to an image: weights, likelihood, stability, and a figure."""
    figure = out if out is not None else Path(f"{image.stem}-fit.png")
    refuse_overwriting([figure, model], [image, mask])
    options = FitOptions(support, order, radius, method, compare)
    with Progress(5) as step:
        step(f"reading {image.name}")
        loaded = load(
            image, mask, nodata=nodata, channel=channel, axis=channel_axis, grey=grey, raw=raw, variable=variable
        )
        outcome = fit_model(loaded, options, step, seed=seed, burn_in=burn_in)
        step("drawing the figure")
        _write_fit_figure(figure, outcome, image.name)
    if model is not None:
        write_model(model, outcome.fit)
    show_fit(f"{image.name} ({' x '.join(map(str, loaded.pixels.shape))})", outcome)
    show_written([figure, model])


@app.command()
def sample(
    source: Annotated[Path, typer.Argument(help="Model (.json, written by fit), or an image to be fitted first.")],
    out: Annotated[Path, typer.Option(help="Draw: .png (stretched), .tif or .npy (exact).")] = Path("sample.png"),
    shape: Annotated[
        tuple[int, int] | None, typer.Option(help="Height and width. Default: the image's, or 256 256.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Number of draws, stacked in one .npy file.")] = None,
    support: Support = "nshp",
    radius: Radius = 2,
    order: Order = (1, 1),
    method: Method = "least_squares",
    mask: Mask = None,
    nodata: NoData = None,
    channel: Channel = None,
    channel_axis: Axis = None,
    grey: Grey = False,
    raw: Raw = False,
    variable: Variable = None,
    seed: Seed = 0,
    burn_in: BurnIn = 64,
) -> None:
    """Draw images from a model, or from what is fitted to an image."""
    refuse_overwriting([out], [source, mask])
    if count is not None and out.suffix.lower() != ".npy":
        raise ArgumentError(f"out must end in .npy to hold a stack of draws, got {out}; leave count out for one image.")
    with Progress(3) as step:
        step(f"reading {source.name}")
        if source.suffix.lower() == ".json":
            fitted, size = read_model(source), shape or (256, 256)
        else:
            loaded = load(
                source, mask, nodata=nodata, channel=channel, axis=channel_axis, grey=grey, raw=raw, variable=variable
            )
            fitted = FitOptions(support, order, radius, method).fit(loaded.pixels, loaded.missing).model
            size = shape or (loaded.pixels.shape[0], loaded.pixels.shape[1])
        step("drawing")
        draws = fitted.gmrf(size).sample(size=count, rng=seed, burn_in=burn_in)
        step("writing")
        stretch = write(out, draws)
    show_table({"mean": f"{draws.mean():.6g}", "standard deviation": f"{draws.std():.6g}"})
    show_written([out], stretch)


@app.command()
def whiten(
    image: Image,
    out: Annotated[
        Path | None, typer.Option(help="Innovations: .tif, .npy, .png. Default: NAME-innovations.tif here.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Model (.json). Default: fit the image itself.")] = None,
    support: Support = "nshp",
    radius: Radius = 2,
    order: Order = (1, 1),
    method: Method = "least_squares",
    mask: Mask = None,
    nodata: NoData = None,
    channel: Channel = None,
    channel_axis: Axis = None,
    grey: Grey = False,
    raw: Raw = False,
    variable: Variable = None,
) -> None:
    """Whiten an image: what a causal model cannot predict, in standard deviations."""
    options = FitOptions(support, order, radius, method)
    with Progress(3) as step:
        step(f"reading {image.name}")
        loaded = load(
            image, mask, nodata=nodata, channel=channel, axis=channel_axis, grey=grey, raw=raw, variable=variable
        )
        target = out if out is not None else Path(f"{image.stem}-innovations{map_suffix(loaded.raster)}")
        refuse_overwriting([target], [image, model, mask])
        check_map("out", target, loaded.raster)
        step("fitting" if model is None else f"reading {model.name}")
        chosen = options.fit(loaded.pixels, loaded.missing).model if model is None else read_model(model)
        step("whitening")
        white = innovations(chosen, loaded.pixels, loaded.missing)
        stretch = write_map(target, white.image, loaded.raster, "innovations", "1")
    show_table(white.summary())
    show_written([target], stretch)


@app.command()
def experiment(
    k: Annotated[float, typer.Option("--k", help="Weight of the right and the lower neighbour, in [-1, 1].")] = 0.3,
    size: Annotated[int, typer.Option(help="Side of the image in pixels, at most 64.")] = 16,
    out: Annotated[Path, typer.Option(help="Figure: .png, .pdf or .svg.")] = Path("experiment.png"),
    convention: Annotated[Literal["LLt", "LtL"], typer.Option(help="Q = L L^T or Q = L^T L.")] = "LLt",
    seed: Seed = 0,
) -> None:
    """Draw Cholesky factor, precision, covariance, a sample, and the limit on the weight."""
    with Progress(2) as step:
        step("building the matrices and the limit curve")
        result = run_experiment(k, size, seed, convention)
        step("drawing the figure")
        write_figure(out, experiment_figure(result))
    show_table(
        {
            "k": f"{result.k:g}",
            "condition number of Q": f"{result.condition:.6g}",
            "largest marginal variance": f"{result.largest_variance:.6g}",
        }
    )
    show_written([out])


def _write_fit_figure(path: Path, outcome: Outcome, name: str) -> None:
    fit = outcome.fit
    title = (
        f"{name}: causal autoregression, {fit.support}, $\\sigma$ = {fit.model.sigma:.4g}, "
        f"{fit.loglik_per_pixel:.4f} nats per pixel"
    )
    write_figure(path, fit_figure(outcome.image, outcome.white.image, outcome.draw, title=title, unit=outcome.unit))
