"""The commands on the channels of an image: ``density`` and ``rx``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import scipy.special
import typer

from sparsegmrf.cli._fill_out import Storage, check_storage
from sparsegmrf.cli._options import with_groups
from sparsegmrf.cli._rasters import Image, Loaded, ReadingSeveral, figure_path, write_map
from sparsegmrf.cli._report import Progress, show_table, show_written
from sparsegmrf.errors import ArgumentError
from sparsegmrf.io._write import writer_for
from sparsegmrf.pixels import PixelGaussian, rx
from sparsegmrf.plot import pixel_figure, write_figure
from sparsegmrf.typing import FloatArray


@dataclass(frozen=True)
class PixelOptions(ReadingSeveral):
    """Options of both commands: what is read, how the covariance is steadied, what is written."""

    shrinkage: Annotated[str, typer.Option(help="Amount in [0, 1], oas, or ledoit-wolf.")] = "0"
    out: Annotated[Path | None, typer.Option(help="Figure: .png, .pdf or .svg. Default: NAME-COMMAND.png here.")] = None
    values: Annotated[
        Path | None, typer.Option(help="Also write the map itself: .npy, .png, or as the image is (.tif, .nc, .fits).")
    ] = None

    @property
    def amount(self) -> float | Literal["ledoit-wolf", "oas"]:
        """Amount of shrinkage, or who chooses it."""
        if self.shrinkage == "ledoit-wolf":
            return "ledoit-wolf"
        if self.shrinkage == "oas":
            return "oas"
        try:
            return float(self.shrinkage)
        except ValueError:
            raise ArgumentError(
                f"shrinkage must be a number in [0, 1], oas or ledoit-wolf, got {self.shrinkage}."
            ) from None

    def figure(self, image: Path, command: str, writing: Storage) -> Path:
        """Return the path of the figure; neither it nor the map may overwrite what is read."""
        figure = figure_path(self.out, image, command)
        writing.check([figure, self.values], [image, *self.files])
        return figure

    def open(self, image: Path, storage: Storage) -> Loaded:
        """Read the image; its map must have a format that keeps its place."""
        loaded = self.load(image)
        if self.values is not None:
            writer_for(self.values, loaded.raster, "values")
            check_storage(self.values, loaded.raster, storage)
        return loaded

    def write(
        self, found: FloatArray, loaded: Loaded, name: str, unit: str, storage: Storage
    ) -> tuple[float, float] | None:
        """Write the map if it is wanted."""
        return None if self.values is None else write_map(self.values, found, loaded, name, unit, **storage.given)


@with_groups
def density(
    image: Image,
    options: PixelOptions,
    writing: Storage,
    robust: Annotated[
        Literal["none", "student", "huber"], typer.Option(help="Weights by which outlying pixels count less.")
    ] = "none",
) -> None:
    """Fit a Gaussian to the channels of all pixels.

    Draws the log-density of every pixel.
    """
    figure, amount = options.figure(image, "density", writing), options.amount
    with Progress(4) as step:
        step(f"reading {image.name}")
        loaded = options.open(image, writing)
        pixels, missing = loaded.pixels, loaded.missing
        step("fitting")
        if robust == "none":
            model = PixelGaussian.fit(pixels, channel_axis=2, mask=missing, shrinkage=amount)
        elif amount == 0.0:
            model = PixelGaussian.fit_robust(pixels, robust, channel_axis=2, mask=missing)
        else:
            raise ArgumentError(f"shrinkage must be 0 with robust weights, got {options.shrinkage}; drop one of them.")
        step("computing the density")
        found = model.log_density_image(pixels, mask=missing)[..., 0]
        distance = model.mahalanobis_image(pixels, mask=missing)[..., 0]
        step("drawing the figure")
        write_figure(figure, pixel_figure(pixels, found, title=image.name, name="log-density", unit="nats"))
        stretch = options.write(found, loaded, "log-density", "", writing)
    row, column = np.unravel_index(np.nanargmax(distance), distance.shape)
    show_table(
        {
            "pixels": f"{int(np.isfinite(found).sum())} of {found.size}",
            "mean": _numbers(model.mean),
            **{f"covariance, channel {c}": _numbers(line) for c, line in enumerate(model.covariance)},
            "shrinkage": f"{model.shrinkage_:.6g}",
            "mean log-density": f"{np.nanmean(found):.6f} nats",
            "mean squared distance": f"{np.nanmean(distance):.6f}",
            "largest squared distance": f"{distance[row, column]:.6g} at pixel ({row}, {column})",
        }
    )
    show_written([figure])
    show_written([options.values], stretch)


@with_groups
def anomalies(
    image: Image,
    options: PixelOptions,
    writing: Storage,
    window: Annotated[
        tuple[int, int] | None, typer.Option(help="Odd sides of the inner and outer window. Default: whole image.")
    ] = None,
    false_alarms: Annotated[float, typer.Option(help="Probability of a Gaussian pixel to count as anomalous.")] = 1e-6,
) -> None:
    """Show how far every pixel is from its background.

    This is the Reed-Xiaoli anomaly score.
    """
    figure, amount = options.figure(image, "rx", writing), options.amount
    if not 0.0 < false_alarms < 1.0:
        raise ArgumentError(f"false-alarms must lie between 0 and 1, got {false_alarms}; try 1e-6.")
    with Progress(3) as step:
        step(f"reading {image.name}")
        loaded = options.open(image, writing)
        pixels, missing = loaded.pixels, loaded.missing
        step("computing the score")
        score = rx(pixels, window=window, shrinkage=amount, channel_axis=2, mask=missing)[..., 0]
        step("drawing the figure")
        write_figure(
            figure,
            pixel_figure(pixels, np.sqrt(score), title=image.name, name="RX distance", unit="standard deviations"),
        )
        stretch = options.write(score, loaded, "RX score", "1", writing)
    limit = 2.0 * float(scipy.special.gammainccinv(0.5 * pixels.shape[2], false_alarms))
    row, column = np.unravel_index(np.nanargmax(score), score.shape)
    show_table(
        {
            "background": "whole image"
            if window is None
            else f"{window[1]} x {window[1]} less {window[0]} x {window[0]}",
            "mean score": f"{np.nanmean(score):.6g}",
            "largest score": f"{score[row, column]:.6g} at pixel ({row}, {column})",
            "anomalous": f"{int((score > limit).sum())} pixels above {limit:.4g} (chi-square at {false_alarms:g})",
        }
    )
    show_written([figure])
    show_written([options.values], stretch)


def _numbers(values: FloatArray) -> str:
    return "  ".join(f"{value:.6f}" for value in values)
