"""The command ``fill-tiles``: a raster beyond memory in, what ``fill`` writes and its bounds out, window by window."""

import json
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from sparsegmrf._address import name_of, stem_of, url_of
from sparsegmrf.cli._field import files
from sparsegmrf.cli._models import BEST, MODELS, chosen_model
from sparsegmrf.cli._options import Writing, with_groups
from sparsegmrf.cli._report import show_tiled, show_written
from sparsegmrf.cli._tell import tell
from sparsegmrf.cli._tiles_out import Destination, run_of
from sparsegmrf.cli._tiles_progress import TilesProgress
from sparsegmrf.cli._workers import WorkersOptions
from sparsegmrf.errors import ArgumentError, FileError, SparseGMRFError
from sparsegmrf.geo import RasterWindows, open_windows
from sparsegmrf.inference import FitResult, Spacing
from sparsegmrf.large._fit import fit_on_tiles
from sparsegmrf.large._forecast import Forecast
from sparsegmrf.large._journal import Journal
from sparsegmrf.large._raster import Raster
from sparsegmrf.large._run import Options, Run
from sparsegmrf.models import Model

_GIGA = 1e9


@dataclass(frozen=True)
class TilesOptions:
    """How a raster is filled tile by tile, as the command line has it."""

    model: Annotated[
        str,
        typer.Option(help=f"{', '.join(MODELS)}, or a .json file: the field."),
    ] = "tension-spline"
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE: a parameter, or a field of the model; repeatable."),
    ] = None
    noise_variance: Annotated[
        str,
        typer.Option(
            help="estimate: parameters and noise are fitted to tiles spread over the raster; or the variance of the "
            "noise (unit squared), a number or a raster: the model is taken as it is given."
        ),
    ] = "estimate"
    covariates: Annotated[Literal["constant", "linear", "none"], typer.Option(help="Trend.")] = "linear"
    samples: Annotated[int, typer.Option(help="Number of draws given the observed pixels.")] = 0
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0
    tolerance: Annotated[
        float, typer.Option(help="Largest relative difference of the two bounds of a standard deviation.")
    ] = 0.01
    mean_tolerance: Annotated[
        float, typer.Option(help="Largest error of means and draws in standard deviations: what the passes end at.")
    ] = 1e-6
    loglik: Annotated[bool, typer.Option("--loglik", help="Bounds of the log-likelihood, too: twice the time.")] = False
    core: Annotated[
        int | None, typer.Option(help="Side of a tile's core in pixels; by default the fastest that fits.")
    ] = None
    halo: Annotated[
        int | None, typer.Option(help="Pixels around a core to begin with; by default as far as the field remembers.")
    ] = None
    memory: Annotated[
        float | None,
        typer.Option(help="Gigabytes that work on a tile may take; by default half of what is free, or of a worker."),
    ] = None
    scratch: Annotated[
        str | None, typer.Option(help="Directory for temporary images; by default that of the results.")
    ] = None

    @cached_property
    def start(self) -> Model:
        """The model as it is given."""
        found = chosen_model(self.model, self.settings or ())
        if isinstance(found, str):
            raise ArgumentError(f"model must be one field with tiles, got {BEST}; choose among {', '.join(MODELS)}.")
        return found

    @property
    def noise(self) -> float | Literal["estimate"] | Path:
        """What the noise is, or the file that has it."""
        if self.noise_variance == "estimate":
            return "estimate"
        try:
            return float(self.noise_variance)
        except ValueError:
            if url_of(self.noise_variance) is not None or Path(self.noise_variance).is_file():
                return Path(self.noise_variance)
            raise ArgumentError(
                f"noise-variance must be estimate, a number or an existing raster, got {self.noise_variance}."
            ) from None

    @property
    def trend(self) -> str | None:
        """The trend as the library has it."""
        return None if self.covariates == "none" else self.covariates

    def of_library(self, scratch: Path, room: int | None) -> Options:
        """Return the options as the library has them; tiles take at most the room that a worker has for them."""
        if room is not None and self.memory is not None and self.memory * _GIGA > room:
            raise ArgumentError(
                f"memory must be at most {room / _GIGA:.3g} GB, half of what a thread of the smallest worker has, got "
                f"{self.memory:g}; give less, or workers with more."
            )
        return Options(
            n_samples=self.samples,
            rng=self.seed,
            loglik=self.loglik,
            tolerance=self.tolerance,
            mean_tolerance=self.mean_tolerance,
            core=self.core,
            halo=self.halo,
            memory=room if self.memory is None else self.memory * _GIGA,
            scratch=self.scratch or scratch,
        )


@with_groups
def fill_tiles(
    image: Annotated[
        Path, typer.Argument(help="GeoTIFF, or another raster that rasterio opens, of any size, or its URL.")
    ],
    out: Annotated[
        Path, typer.Option(help="Directory of the GeoTIFFs that are written, made if need be; or a group: NAME.zarr.")
    ],
    options: TilesOptions,
    workers: WorkersOptions,
    writing: Writing,
    channel: Annotated[int | None, typer.Option(help="Band, from 0.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run of the same command.")
    ] = False,
) -> None:
    """Fill the gaps of a raster beyond memory, tile by tile.

    Standard deviations have bounds on what the tiles do not see.
    """
    fitted = options.noise == "estimate"
    target = Destination(out, stem_of(image), options.samples, fitted)
    target.check([image, *files(options.model, options.noise_variance)], overwrite=writing.overwrite)
    with ExitStack() as opened:
        raster = opened.enter_context(open_windows(image, band=channel))
        target.check_ground(raster)
        variance = _noise(options.noise, raster, opened)
        if not _are_square(raster.spacing):
            tell(f"warning: pixels are {raster.spacing}; tiles take them for square, and lengths are in pixels.")
        journal = Journal(target.journal, run_of(image, raster, options, channel))
        journal.open(resume=resume)
        team = workers.start(opened)
        given = options.of_library(target.journal.parent, team.room)
        whole = Raster.of(raster.read, raster.shape, "nan", variance)
        try:
            with TilesProgress() as progress:
                model, whole, count = _known(whole, options, given, journal, progress)
                run = Run.of(whole, model, options.trend, given, journal=journal)
                forecast = run.forecast(team.count)
                progress.expect(forecast)
                _tell_of(forecast, Path(given.scratch or "."))
                result = run.result(engine=team.engine(run), progress=progress)
                progress("writing", 0, 1)
                target.write(raster, options, result, journal.text(_FIT))
                progress("writing", 1, 1)
        except (KeyboardInterrupt, SparseGMRFError, OSError, MemoryError):
            if journal.begun:
                tell(f"what is done is kept in {journal.folder}; the same command with --resume goes on with it.")
            raise
        journal.close()
    show_tiled(name_of(image), result, raster.unit or "intensity", count)
    show_written(target.written)


_FIT = "fit.json"
"""The fit in a journal."""


def _known(
    raster: Raster, options: TilesOptions, given: Options, journal: Journal, progress: TilesProgress
) -> tuple[Model, Raster, int]:
    """Return model and raster with parameters and noise that are known, and the tiles that these were fitted to."""
    start = options.start
    if options.noise != "estimate":
        return start, raster, 0
    text = journal.text(_FIT)
    if text is None:
        given.cuts(start, raster.shape)  # what is refused is refused before the fit
        progress("fitting", 0, 1)
        found = fit_on_tiles(raster, start, options.trend, estimated=True)
        text = found.to_json()
        about = {"tiles": len(found.problem.images), "noise_variance": float(np.max(found.noise_variance))}
        text = json.dumps(json.loads(text) | {"about": about}, indent=1)
        journal.put_text(_FIT, text)
        progress("fitting", 1, 1)
    about = json.loads(text)["about"]
    model = FitResult.from_json(text).model
    assert isinstance(model, Model)
    return model, raster.with_variance(about["noise_variance"]), about["tiles"]


def _tell_of(forecast: Forecast, scratch: Path) -> None:
    """Tell what a run will take, and of a disk that has less."""
    tell(str(forecast))
    free = shutil.disk_usage(scratch).free
    if forecast.image_bytes > free:
        tell(f"warning: {free / _GIGA:.3g} GB of disk are free in {scratch}; --scratch names another directory.")


def _noise(noise: float | str | Path, raster: RasterWindows, opened: ExitStack) -> Any:
    """Return the noise variance as a raster takes it; one to be estimated is 1 until then."""
    if isinstance(noise, str):
        return 1.0
    if isinstance(noise, float):
        return noise
    found = opened.enter_context(open_windows(noise))
    if found.shape != raster.shape:
        raise FileError(f"noise-variance must have the pixels of the image, {raster.shape}, got {found.shape}.")
    return found.read


def _are_square(spacing: Spacing) -> bool:
    return not spacing.is_map and bool(np.isclose(spacing.height, spacing.width, rtol=1e-6))
