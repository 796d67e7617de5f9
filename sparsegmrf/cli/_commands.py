"""The application: all commands under one name, and what becomes of their errors."""

import logging
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sparsegmrf._libraries import EXTRAS
from sparsegmrf.autoregression import experiment as run_experiment
from sparsegmrf.cli._ar import ar
from sparsegmrf.cli._demo import demo
from sparsegmrf.cli._explore import explore
from sparsegmrf.cli._fill import fill
from sparsegmrf.cli._fill_stack import fill_stack
from sparsegmrf.cli._fill_tiles import fill_tiles
from sparsegmrf.cli._fit import fit
from sparsegmrf.cli._options import Writing, with_groups
from sparsegmrf.cli._pixels import anomalies, density
from sparsegmrf.cli._report import Progress, show_table, show_written
from sparsegmrf.cli._series import Commands
from sparsegmrf.cli._tell import tell
from sparsegmrf.cli._warmup import warmup
from sparsegmrf.errors import DataWarning, SparseGMRFError, UnstableWarning
from sparsegmrf.plot import experiment_figure, write_figure

# typer carries its own copy of click from some version on and exports no base of the errors it raises.
_UsageError: Any = next(base for base in typer.BadParameter.__mro__ if base.__name__ == "ClickException")

INTERRUPTED = 130
_ABOUT = """Exact Gaussian Markov random fields on images: gaps are filled, with the uncertainty.

\b
sparsegmrf fill raster.tif --out filled    writes images and a figure to filled/
sparsegmrf fill --help                     has every option
"""
"""What is said above the list of commands; the first ones are those that most come for."""

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=_ABOUT,
)

app.command()(fill)
app.command("fill-stack")(fill_stack)
app.command("fill-tiles")(fill_tiles)
app.command()(fit)
app.command()(demo)
app.command()(explore)
app.add_typer(ar, name="ar")
app.command()(density)
app.command("rx")(anomalies)
app.command()(warmup)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; whatever the user can mend is told on one line of standard error, with exit code 2."""
    for name in ("tifffile", "rasterio"):  # what is wrong with a file is told once, by the exception
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        said: set[str] = set()
        for kind in (UnstableWarning, DataWarning):
            warnings.simplefilter("always", kind)
        warnings.showwarning = lambda message, *_, **__: _tell_once(f"warning: {message}", said)
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


def _tell_once(line: str, said: set[str]) -> None:
    if line not in said:
        said.add(line)
        tell(line)


@app.callback(invoke_without_command=True)
def about(
    context: typer.Context, show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
) -> None:
    if show_version:
        print(version("sparsegmrf"))
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
@with_groups
def experiment(
    writing: Writing,
    k: Annotated[float, typer.Option("--k", help="Weight of the right and the lower neighbour, in [-1, 1].")] = 0.3,
    size: Annotated[int, typer.Option(help="Side of the image in pixels, at most 64.")] = 16,
    out: Annotated[Path, typer.Option(help="Figure: .png, .pdf or .svg.")] = Path("experiment.png"),
    convention: Annotated[Literal["LLt", "LtL"], typer.Option(help="Q = L L^T or Q = L^T L.")] = "LLt",
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
) -> None:
    """Draw the Cholesky field of two neighbours.

    Cholesky factor, precision, covariance, a sample, and the limit on the weight.
    """
    writing.check([out], [])
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
