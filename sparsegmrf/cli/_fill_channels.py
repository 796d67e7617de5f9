"""``fill`` of all channels of an image in one run: together, as one field of several channels, or each by itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsegmrf._saved import saved
from sparsegmrf.cli._field import about
from sparsegmrf.cli._fill_options import FillOptions, image_of
from sparsegmrf.cli._rasters import Loaded
from sparsegmrf.cli._report import Report, channels_report, filled_report
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.geo import GeoTiff
from sparsegmrf.inference import ChannelsFit
from sparsegmrf.inference import Progress as FitProgress
from sparsegmrf.inference import fill as fill_gaps
from sparsegmrf.inference._channel_members import covariance_names, is_of_channels, members_of
from sparsegmrf.models import Channels
from sparsegmrf.plot import channels_figure
from sparsegmrf.typing import Figure, FloatArray

Tell = Callable[[FitProgress], None]
TOGETHER = "fit"
"""What the file of the fit of all channels is called after."""
_DRAWN = 6
"""Channels in the figure."""


@dataclass(frozen=True, eq=False)
class FilledChannels:
    """What is written of an image of several channels, and what is printed; it holds no factors.

    Attributes
    ----------
    images : dict
        Images ``(H, W, C)`` by the field of the results.
    draws : ndarray, (K, H, W, C)
        Draws given the observed pixels.
    fits : dict
        Texts in JSON by what their files are called after.
    report : list
        Tables.
    title : str
        Of the figure.
    """

    images: Mapping[str, FloatArray]
    draws: FloatArray
    fits: Mapping[str, str]
    report: Report
    title: str


def channel_names(loaded: Loaded, numbers: Sequence[int]) -> list[str]:
    """Return what channels are called: descriptions of bands, values of a coordinate, or numbers."""
    raster, image = loaded.raster, loaded.raster.image
    if isinstance(raster, GeoTiff):
        found = [each.name for each in raster.notes]
    elif hasattr(image, "dims") and image.dims[2] in image.coords:
        found = [str(each) for each in np.asarray(image[image.dims[2]])]
    else:
        found = [""] * len(numbers)
    return [name or str(number) for name, number in zip(found, numbers, strict=True)]


def channel_units(loaded: Loaded, numbers: Sequence[int]) -> list[str]:
    """Return the units of channels; bands of a GeoTIFF may have different ones."""
    raster = loaded.raster
    own = [each.unit for each in raster.notes] if isinstance(raster, GeoTiff) else [raster.unit] * len(numbers)
    return [unit or "intensity" for unit in own]


def fit_names(options: FillOptions, numbers: Sequence[int]) -> list[str]:
    """Return what the files of fits are called after."""
    return [f"{TOGETHER}-{number}" for number in numbers] if options.separately else [TOGETHER]


def check_together(options: FillOptions) -> None:
    """Refuse what is for one channel, where all are filled together.

    Raises
    ------
    ArgumentError
        If an option asks for it.
    """
    if options.separately:
        return
    for name, given, wanted in (
        ("model", options.model if options.model == "best" else "one", "one"),
        ("likelihood", options.likelihood, "gaussian"),
        ("parameters", options.parameters, "plug-in"),
        ("precision", options.precision, "double"),
    ):
        if given != wanted:
            what = "one field" if name == "model" else wanted
            raise ArgumentError(
                f"{name} must be {what} for channels that are filled together, got {given}; with --separately each "
                "is filled by itself."
            )


def fill_channels(
    name: str, options: FillOptions, loaded: Loaded, numbers: Sequence[int], tell: Tell
) -> FilledChannels:
    """Fill the gaps of all channels as it is asked for, and tell how far that is."""
    names, units = channel_names(loaded, numbers), channel_units(loaded, numbers)
    if options.separately:
        return _fill_each(name, options, loaded, numbers, names, units, tell)
    unit = units[0] if len(set(units)) == 1 else ", ".join(units)
    return _fill_together(name, options, loaded, names, unit, tell)


def figure_of(filled: FilledChannels, loaded: Loaded, numbers: Sequence[int]) -> Figure:
    """Return the figure of the first channels: each with its gaps, filled, and the standard deviation."""
    mean, std = ("predictive_mean", "predictive_std") if "predictive_mean" in filled.images else ("mean", "std")
    holes = np.where(loaded.gaps, np.nan, loaded.pixels)
    shown = [holes, *(loaded.channels_inside(filled.images[each]) for each in (mean, std))]
    image = loaded.raster.image
    return channels_figure(
        *(np.moveaxis(each, -1, 0)[:_DRAWN] for each in shown),
        names=channel_names(loaded, numbers)[:_DRAWN],
        title=filled.title,
        unit=channel_units(loaded, numbers)[:_DRAWN],
        like=image[..., 0] if hasattr(image, "dims") else loaded.raster,
    )


def _fill_together(
    name: str, options: FillOptions, loaded: Loaded, names: Sequence[str], unit: str, tell: Tell
) -> FilledChannels:
    start = options.start()
    if isinstance(start, str):
        raise ArgumentError(f"model must be one field, got {start}.")
    image = loaded.pixels
    if not is_of_channels(start):
        if "covariance" in (options.fixed or ()):
            raise ArgumentError(
                f"fixed must not name covariance with model {options.model}, which has none; give a file with a model "
                "of channels, such as a fit of them."
            )
        start = Channels(start, np.eye(image.shape[2]))
    given = {"n_samples": options.samples, "rng": options.seed, "progress": tell, **options.arguments(loaded)}
    try:
        result: Any = fill_gaps(image, model=start, **given)
    except TooLargeError as error:
        raise TooLargeError(
            f"{error} --separately takes the memory of one channel at a time, and fill-tiles --channel that of a tile."
        ) from error
    said = {**about(options, None, unit), "channels": list(names), "fit": _said(result.fit)}
    return FilledChannels(
        {field: np.asarray(getattr(result, field)) for field in options.images},
        np.asarray(result.samples),
        {TOGETHER: saved(result.fit.model, said)},
        channels_report(name, result, names, unit),
        f"{name}: {len(names)} channels, {', '.join(type(each.model).__name__ for each in members_of(start))}",
    )


def _said(fit: ChannelsFit) -> dict[str, object]:
    """Return the estimates of a fit of several channels and how sure they are."""
    noise = np.asarray(fit.noise_variance)
    coefficients = zip(fit.covariates, fit.coefficients, fit.coefficient_errors, strict=True)
    trend = {covariate: {"estimate": list(values), "error": list(errors)} for covariate, values, errors in coefficients}
    return {
        "parameters": fit.parameters,
        "standard_errors": fit.standard_errors,
        "units": fit.units,
        **{
            label: each.covariance
            for label, each in zip(covariance_names(fit.model), members_of(fit.model), strict=True)
        },
        "covariance_errors": fit.covariance_errors,
        "noise_variance": noise if noise.ndim < 2 else None,
        "trend": trend,
        "loglik": fit.loglik,
        "aic": fit.aic,
        "bic": fit.bic,
        "n_observed": fit.n_observed,
        "n_parameters": fit.n_parameters,
        "converged": fit.converged,
        "reason": fit.reason,
    }


def _fill_each(
    name: str,
    options: FillOptions,
    loaded: Loaded,
    numbers: Sequence[int],
    names: Sequence[str],
    units: Sequence[str],
    tell: Tell,
) -> FilledChannels:
    """Fill the channels one after the other; no factor outlives its channel."""
    images: dict[str, list[FloatArray]] = {field: [] for field in options.images}
    draws: list[FloatArray] = []
    report: Report = []
    fits: dict[str, str] = {}
    for k, (number, called, unit) in enumerate(zip(numbers, names, units, strict=True)):
        result = options.fill(loaded, _telling(tell, f"channel {k + 1} of {len(numbers)}"), channel=k)
        for field, stack in images.items():
            stack.append(np.asarray(image_of(result, field, options.exceedance)))
        draws.append(np.asarray(result.samples))
        said = {**about(options, getattr(result, "comparison", None), unit), "channel": called}
        fits[f"{TOGETHER}-{number}"] = saved(result.fit, said)
        report += filled_report(f"{name}, channel {called}", result, unit)
    title = f"{name}: {len(numbers)} channels, each by itself"
    stacked = {field: np.stack(stack, axis=-1) for field, stack in images.items()}
    return FilledChannels(stacked, np.stack(draws, axis=-1), fits, report, title)


def _telling(tell: Tell, channel: str) -> Tell:
    def told(progress: FitProgress) -> None:
        tell(replace(progress, stage=f"{channel}, {progress.stage}"))

    return told
