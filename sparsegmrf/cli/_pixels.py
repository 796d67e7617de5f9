"""The commands on the channels of an image: ``density`` and ``rx``."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import scipy.special
import typer

from sparsegmrf._files import refuse_overwriting
from sparsegmrf.cli._rasters import Axis, Image, Mask, NoData, Raw, Variable, check_map, load, write_map
from sparsegmrf.cli._report import Progress, show_table, show_written
from sparsegmrf.errors import ArgumentError
from sparsegmrf.pixels import PixelGaussian, rx
from sparsegmrf.plot import pixel_figure, write_figure
from sparsegmrf.typing import FloatArray

_Figure = Annotated[Path | None, typer.Option(help="Figure: .png, .pdf or .svg. Default: NAME-COMMAND.png here.")]
_Map = Annotated[
    Path | None, typer.Option(help="Also write the map itself: .npy, .png, or as the image is (.tif, .nc, .fits).")
]
_Channels = Annotated[str | None, typer.Option(help="Channels to take, e.g. 0,1,2. Default: all.")]
_Shrinkage = Annotated[str, typer.Option(help="Amount in [0, 1], oas, or ledoit-wolf.")]


def density(
    image: Image,
    out: _Figure = None,
    values: _Map = None,
    robust: Annotated[
        Literal["none", "student", "huber"], typer.Option(help="Weights by which outlying pixels count less.")
    ] = "none",
    shrinkage: _Shrinkage = "0",
    channels: _Channels = None,
    channel_axis: Axis = None,
    mask: Mask = None,
    nodata: NoData = None,
    raw: Raw = False,
    variable: Variable = None,
) -> None:
    """Fit a Gaussian to the channels of all pixels and show the log-density of every pixel."""
    figure = out if out is not None else Path(f"{image.stem}-density.png")
    refuse_overwriting([figure, values], [image, mask])
    amount = _amount(shrinkage)
    with Progress(4) as step:
        step(f"reading {image.name}")
        loaded = load(
            image, mask, nodata=nodata, channel=_numbers_of(channels), axis=channel_axis, raw=raw, variable=variable
        )
        check_map("values", values, loaded.raster)
        pixels, missing = loaded.pixels, loaded.missing
        step("fitting")
        if robust == "none":
            model = PixelGaussian.fit(pixels, channel_axis=2, mask=missing, shrinkage=amount)
        elif amount == 0.0:
            model = PixelGaussian.fit_robust(pixels, robust, channel_axis=2, mask=missing)
        else:
            raise ArgumentError(f"shrinkage must be 0 with robust weights, got {shrinkage}; drop one of them.")
        step("computing the density")
        found = model.log_density_image(pixels, mask=missing)[..., 0]
        distance = model.mahalanobis_image(pixels, mask=missing)[..., 0]
        step("drawing the figure")
        write_figure(figure, pixel_figure(pixels, found, title=image.name, name="log-density", unit="nats"))
        stretch = None if values is None else write_map(values, found, loaded.raster, "log-density", "")
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
    show_written([values], stretch)


def anomalies(
    image: Image,
    out: _Figure = None,
    values: _Map = None,
    window: Annotated[
        tuple[int, int] | None, typer.Option(help="Odd sides of the inner and outer window. Default: whole image.")
    ] = None,
    shrinkage: _Shrinkage = "0",
    channels: _Channels = None,
    channel_axis: Axis = None,
    mask: Mask = None,
    nodata: NoData = None,
    raw: Raw = False,
    variable: Variable = None,
    false_alarms: Annotated[float, typer.Option(help="Probability of a Gaussian pixel to count as anomalous.")] = 1e-6,
) -> None:
    """Show how far every pixel is from its background: the Reed-Xiaoli anomaly score."""
    figure = out if out is not None else Path(f"{image.stem}-rx.png")
    refuse_overwriting([figure, values], [image, mask])
    if not 0.0 < false_alarms < 1.0:
        raise ArgumentError(f"false-alarms must lie between 0 and 1, got {false_alarms}; try 1e-6.")
    amount = _amount(shrinkage)
    with Progress(3) as step:
        step(f"reading {image.name}")
        loaded = load(
            image, mask, nodata=nodata, channel=_numbers_of(channels), axis=channel_axis, raw=raw, variable=variable
        )
        check_map("values", values, loaded.raster)
        pixels, missing = loaded.pixels, loaded.missing
        step("computing the score")
        score = rx(pixels, window=window, shrinkage=amount, channel_axis=2, mask=missing)[..., 0]
        step("drawing the figure")
        write_figure(
            figure,
            pixel_figure(pixels, np.sqrt(score), title=image.name, name="RX distance", unit="standard deviations"),
        )
        stretch = None if values is None else write_map(values, score, loaded.raster, "RX score", "1")
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
    show_written([values], stretch)


def _numbers_of(channels: str | None) -> list[int] | Literal["all"]:
    if channels is None:
        return "all"
    parts = [part.strip() for part in channels.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ArgumentError(f"channels must be numbers from 0 with commas, got {channels}.")
    return [int(part) for part in parts]


def _amount(shrinkage: str) -> float | Literal["ledoit-wolf", "oas"]:
    if shrinkage == "ledoit-wolf":
        return "ledoit-wolf"
    if shrinkage == "oas":
        return "oas"
    try:
        return float(shrinkage)
    except ValueError:
        raise ArgumentError(f"shrinkage must be a number in [0, 1], oas or ledoit-wolf, got {shrinkage}.") from None


def _numbers(values: FloatArray) -> str:
    return "  ".join(f"{value:.6f}" for value in values)
