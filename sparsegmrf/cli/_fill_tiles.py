"""The command ``fill-tiles``: a raster beyond memory in, what ``fill`` writes and its bounds out, window by window."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from sparsegmrf import large
from sparsegmrf._files import directory_of_outputs, refuse_overwriting, replacing_in
from sparsegmrf.cli._field import about, files
from sparsegmrf.cli._models import BEST, MODELS, chosen_model
from sparsegmrf.cli._options import with_groups
from sparsegmrf.cli._report import Progress, show_tiled, show_written
from sparsegmrf.cli._tell import tell
from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo import RasterWindows, open_windows, write_windows
from sparsegmrf.geo._windows import Source
from sparsegmrf.inference import Spacing
from sparsegmrf.io import write_model
from sparsegmrf.large import TiledResult
from sparsegmrf.models import Model
from sparsegmrf.typing import FloatArray

_IMAGES = {
    "filled": "filled",
    "mean": "mean",
    "std": "standard deviation",
    "std_lower": "lower bound of the standard deviation",
    "std_upper": "upper bound of the standard deviation",
}
"""What is written, and what the bands are called."""
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
            "noise (unit squared): the model is taken as it is given."
        ),
    ] = "estimate"
    covariates: Annotated[Literal["constant", "linear", "none"], typer.Option(help="Trend.")] = "linear"
    samples: Annotated[int, typer.Option(help="Number of draws given the observed pixels.")] = 0
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0
    tolerance: Annotated[
        float, typer.Option(help="Largest relative difference of the two bounds of a standard deviation.")
    ] = 0.01
    loglik: Annotated[bool, typer.Option("--loglik", help="Bounds of the log-likelihood, too: twice the time.")] = False
    core: Annotated[int | None, typer.Option(help="Side of a tile's core in pixels; by default as memory allows.")] = (
        None
    )
    halo: Annotated[
        int | None, typer.Option(help="Pixels around a core to begin with; by default as far as the field remembers.")
    ] = None
    memory: Annotated[
        float | None, typer.Option(help="Gigabytes that tiles may take; by default half of what is free.")
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
    def noise(self) -> Any:
        """The noise as `sparsegmrf.large.fill` takes it."""
        if self.noise_variance == "estimate":
            return "estimate"
        try:
            return float(self.noise_variance)
        except ValueError:
            raise ArgumentError(f"noise-variance must be estimate or a number, got {self.noise_variance}.") from None

    def fill(self, raster: RasterWindows, scratch: Path | str) -> TiledResult:
        """Fill the gaps of a raster."""
        found = large.fill(
            raster.read,
            shape=raster.shape,
            model=self.start,
            noise_variance=self.noise,
            covariates=None if self.covariates == "none" else self.covariates,
            n_samples=self.samples,
            rng=self.seed,
            loglik=self.loglik,
            tolerance=self.tolerance,
            core=self.core,
            halo=self.halo,
            memory=None if self.memory is None else self.memory * _GIGA,
            scratch=scratch,
        )
        assert isinstance(found, TiledResult)  # of what is no dask array
        return found


@with_groups
def fill_tiles(
    image: Annotated[Path, typer.Argument(help="GeoTIFF, or another raster that rasterio opens, of any size.")],
    out: Annotated[Path, typer.Option(help="Directory of what is written; made if need be.")],
    options: TilesOptions,
    channel: Annotated[int | None, typer.Option(help="Band, from 0.")] = None,
) -> None:
    """Fill the gaps of a raster beyond memory, tile by tile, with bounds on what the tiles do not see."""
    directory_of_outputs(out)
    start, noise = options.start, options.noise
    written = [out / name for name in _names(image.stem, options)]
    refuse_overwriting(written, [image, *files(options.model)])
    with open_windows(image, band=channel) as raster, Progress(2) as step, replacing_in(out) as staging:
        if not _are_square(raster.spacing):
            tell(f"warning: pixels are {raster.spacing}; tiles take them for square, and lengths are in pixels.")
        step("fitting and filling" if noise == "estimate" else f"filling by {type(start).__name__}")
        result = options.fill(raster, options.scratch or staging)
        step("writing")
        _write(staging, image.stem, raster, options, result)
    show_tiled(image.name, result, raster.unit or "intensity")
    show_written(written)


def _are_square(spacing: Spacing) -> bool:
    return not spacing.is_map and bool(np.isclose(spacing.height, spacing.width, rtol=1e-6))


def _names(stem: str, options: TilesOptions) -> list[str]:
    images = [f"{stem}-{name.replace('_', '-')}.tif" for name in _IMAGES]
    draws = [f"{stem}-samples.tif"] if options.samples else []
    fit = [f"{stem}-fit.json"] if options.noise == "estimate" else []
    return [*images, *draws, *fit, f"{stem}-tiles.json"]


def _write(folder: Path, stem: str, raster: RasterWindows, options: TilesOptions, result: TiledResult) -> None:
    def filled(rows: slice, columns: slice) -> FloatArray:
        values = raster.read(rows, columns)
        return np.where(np.isnan(values), result.mean[rows, columns], values)

    sources = {"filled": filled, **{name: _reader(getattr(result, name)) for name in _IMAGES if name != "filled"}}
    for name, source in sources.items():
        write_windows(folder / f"{stem}-{name.replace('_', '-')}.tif", [source], [_IMAGES[name]], raster)
    if options.samples:
        names = [f"draw {k}" for k in range(1, options.samples + 1)]
        write_windows(folder / f"{stem}-samples.tif", [_reader(draw) for draw in result.samples], names, raster)
    if result.fit is not None:
        write_model(folder / f"{stem}-fit.json", result.fit)
    said = json.dumps(_about(options, result, raster.unit), indent=1, allow_nan=False)
    (folder / f"{stem}-tiles.json").write_text(said, encoding="utf-8")


def _reader(image: FloatArray) -> Source:
    return lambda rows, columns: image[rows, columns]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _about(options: TilesOptions, result: TiledResult, unit: str) -> dict[str, Any]:
    """Return what was computed and how surely; null where a bound is infinite."""
    return {
        **about(options, None, unit or "intensity"),
        "model": type(result.model).__name__,
        "parameters": result.model.parameters,
        "noise_variance": result.noise_variance,
        "coefficients": result.coefficients,
        "coefficient_errors": result.coefficient_errors,
        "n_observed": result.n_observed,
        "mean_error": _finite(result.mean_error),
        "sample_error": _finite(result.sample_error),
        "loglik_interval": result.loglik_interval,
        "largest_width": _finite(result.largest_width),
        "tolerance": result.tolerance,
        "tiles": [
            {"core": asdict(tile.core), "halo": tile.halo, "width": _finite(width)}
            for tile, width in zip(result.tiles, result.widths, strict=True)
        ],
    }
