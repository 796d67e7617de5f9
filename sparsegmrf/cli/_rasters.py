"""Images as the commands read and write them: what is made of a file is written in the format of that file."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from sparsegmrf._address import stem_of, url_of
from sparsegmrf._files import directory_of_outputs
from sparsegmrf._validate import one_of
from sparsegmrf.cli._tell import tell
from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo._common import NoChannelChosenError
from sparsegmrf.io import Picture, Raster, read, read_mask, write
from sparsegmrf.io._formats import FORMATS
from sparsegmrf.plot import FIGURE_SUFFIXES
from sparsegmrf.typing import BoolArray, FloatArray

Image = Annotated[Path, typer.Argument(help=f"Image: {', '.join(each.name for each in FORMATS)}.")]
NAN = "nan"
"""What ``--mask`` may say instead of a file."""

_OF_FILES = (*(suffix for each in FORMATS for suffix in each.suffixes), *FIGURE_SUFFIXES, ".json")
"""Suffixes of files, which no directory that is made has."""
_SEVERAL = 3
_FAR = 1e4
"""Interquartile ranges from the median beyond which no measurement is expected."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A raster, where a mask or a mark says that it is missing besides, and what lies outside the domain.

    What is missing besides is ``(H, W)``, or ``(H, W, C)`` where a mark is that of single channels.
    """

    raster: Raster
    masked: BoolArray | None
    outside: BoolArray | None = None

    @property
    def pixels(self) -> FloatArray:
        """Intensities, (H, W) or (H, W, C)."""
        return np.asarray(self.raster.image, dtype=np.float64)

    @property
    def unit(self) -> str:
        """Unit of the intensities."""
        return self.raster.unit or "intensity"

    @property
    def missing(self) -> BoolArray | None:
        """Where pixels are missing, or None: nowhere."""
        missing = self.raster.missing
        for more in (self.masked, self.outside):
            missing = missing if more is None else missing | _any_channel(more)
        return missing if missing.any() else None

    def inside(self, image: Any) -> Any:
        """Return a result with NaN outside the domain."""
        if self.outside is None:
            return image
        hidden = np.where(self.outside, np.nan, np.asarray(image))
        return image.copy(data=hidden) if hasattr(image, "dims") else hidden

    @property
    def gaps(self) -> BoolArray:
        """Where values are missing or NaN, (H, W), or channel by channel (H, W, C)."""
        missing = np.isnan(self.pixels)
        if missing.ndim == 2:
            return missing if self.missing is None else np.asarray(missing | self.missing)
        for more in (self.masked, self.outside):
            if more is not None:
                missing = missing | (more if more.ndim == 3 else more[..., np.newaxis])
        return missing

    def channels_inside(self, values: FloatArray) -> FloatArray:
        """Return a result ``(..., H, W, C)`` with NaN outside the domain."""
        return values if self.outside is None else np.where(self.outside[..., np.newaxis], np.nan, values)


@dataclass(frozen=True)
class Reading:
    """Options of the commands that read an image."""

    mask: Annotated[
        str | None,
        typer.Option(
            help="Image that is not zero where pixels are missing, besides no data; FILE:VARIABLE, or :VARIABLE of the "
            "image's own file; or nan: NaN is missing."
        ),
    ] = None
    valid: Annotated[
        str | None, typer.Option(help="Image that is not zero where pixels are valid; all others are missing.")
    ] = None
    domain: Annotated[
        str | None,
        typer.Option(help="Image that is not zero where there is something to be known; results are missing outside."),
    ] = None
    nodata: Annotated[
        float | None,
        typer.Option(help="Value that marks missing pixels though the file does not say so; a count, of pictures."),
    ] = None
    channel_axis: Annotated[
        int | None, typer.Option(help="Axis of the channels of a .npy file: -1, or 0 for channels first.")
    ] = None
    raw: Annotated[
        bool,
        typer.Option("--raw", help="Keep 8- and 16-bit counts of pictures instead of dividing by 255 or 65535."),
    ] = False
    variable: Annotated[
        str | None, typer.Option(help="Variable of a NetCDF or .npz file or a Zarr store, or extension of a FITS file.")
    ] = None
    select: Annotated[
        list[str] | None,
        typer.Option(help="DIMENSION=VALUE of further dimensions of NetCDF and Zarr, t=NUMBER of NIfTI; repeatable."),
    ] = None

    @property
    def files(self) -> list[str]:
        """Files that are read beside the image."""
        named = [file_and_variable(text, Path())[0] for text in (self.mask, self.valid, self.domain) if text]
        return [str(path) for path in named if path.is_file()]

    def load(self, image: Path) -> Loaded:
        """Read an image and its mask, and tell of a number that looks like a mark of missing pixels."""
        scale = "none" if self.raw else "unit"
        select = selection(self.select or ())
        options: dict[str, Any] = {"variable": self.variable, "channel_axis": self.channel_axis, "select": select}
        raster = self._read(image, {"scale": scale, **options})
        masks: list[BoolArray] = []
        if self.mask == NAN:
            masks.append(_any_channel(np.isnan(np.asarray(raster.image, dtype=np.float64))))
        elif self.mask is not None:
            masks.append(self._mask("mask", self.mask, image, raster))
        if self.valid is not None:
            masks.append(self._mask("valid", self.valid, image, raster))
        if self.nodata is not None:
            masks.append(_is(self.nodata, raster))
        outside = None if self.domain is None else self._mask("domain", self.domain, image, raster)
        loaded = Loaded(raster, _union(masks), outside)
        _tell_of_marks(loaded)
        return loaded

    def _mask(self, name: str, text: str, image: Path, raster: Raster) -> BoolArray:
        """Read a mask."""
        path, variable = file_and_variable(text, image)
        return read_mask(path, like=raster, variable=variable, valid=name != "mask", name=name)

    def _read(self, image: Path, options: dict[str, Any]) -> Raster:
        """Read the channels that are wanted."""
        return read(image, **options, **self._wanted())

    def _wanted(self) -> dict[str, Any]:
        """Return which channels are wanted, as `read` takes it."""
        return {"channel": "all"}


@dataclass(frozen=True)
class ReadingOne(Reading):
    """Options of the commands on one channel of an image."""

    channel: Annotated[
        int | None,
        typer.Option(help="Channel, band, page, or position along a leading dimension such as time, from 0."),
    ] = None
    grey: Annotated[bool, typer.Option("--grey", help="Take the luminance of a colour image.")] = False

    def _wanted(self) -> dict[str, Any]:
        return {"channel": self.channel, "grey": self.grey}


@dataclass(frozen=True)
class ReadingOneOrSeveral(ReadingOne):
    """Options of a command that takes one channel of an image or several of them."""

    channels: Annotated[
        str | None, typer.Option(help="Channels (bands) to fill in one run: all, or numbers such as 0,1,2.")
    ] = None

    def numbers(self, count: int) -> list[int]:
        """Return the numbers of the channels read, of which there are so many."""
        wanted = self._several
        return list(range(count)) if isinstance(wanted, str) or wanted is None else wanted

    @property
    def _several(self) -> Literal["all"] | list[int] | None:
        if self.channels is None or self.channels.strip() == "all":
            return None if self.channels is None else "all"
        return channel_numbers(self.channels, "all, or numbers")

    def _read(self, image: Path, options: dict[str, Any]) -> Raster:
        wanted = self._several
        if wanted is None:
            try:
                return super()._read(image, options)
            except NoChannelChosenError as error:
                raise ArgumentError(f"{error} All of them are filled with --channels all.") from error
        for name, given in (("channel", self.channel), ("grey", self.grey or None)):
            if given is not None:
                raise ArgumentError(f"{name} and channels exclude each other, got {given} and {self.channels}.")
        raster = read(image, channel=wanted, **options)
        if raster.image.ndim == 3 and raster.image.shape[2] > 1:
            return raster
        return _only_channel(image, None if isinstance(wanted, str) else wanted[0], options)


@dataclass(frozen=True)
class ReadingSeveral(Reading):
    """Options of the commands on several channels of an image."""

    channels: Annotated[str | None, typer.Option(help="Channels to take, e.g. 0,1,2. Default: all.")] = None

    def _wanted(self) -> dict[str, Any]:
        if self.channels is None:
            return super()._wanted()
        return {"channel": channel_numbers(self.channels, "numbers")}


def channel_numbers(text: str, expected: str) -> list[int]:
    """Return the numbers of channels that are written with commas, each once."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ArgumentError(f"channels must be {expected} from 0 with commas, got {text}.")
    numbers = [int(part) for part in parts]
    if len(set(numbers)) < len(numbers):
        raise ArgumentError(f"channels must be different numbers, got {text}.")
    return numbers


def _only_channel(image: Path, number: int | None, options: dict[str, Any]) -> Raster:
    """Read the channel of an image that has one only, or the one of a number."""
    try:
        return read(image, channel=number, **options)
    except NoChannelChosenError:  # an array with an axis of one channel
        return read(image, channel=0, **options)


def file_and_variable(text: str, image: Path) -> tuple[Path, str | None]:
    """Return the file of a text ``FILE``, ``FILE:VARIABLE`` or, of the image's own file, ``:VARIABLE``."""
    if Path(text).exists() or ":" not in text or url_of(text) is not None:
        return Path(text), None
    file, _, variable = text.rpartition(":")
    return Path(file) if file else image, variable


def selection(texts: Sequence[str]) -> dict[str, str]:
    """Return the values of dimensions that are written as ``DIMENSION=VALUE``."""
    found: dict[str, str] = {}
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not (name and sign and value) or name in found:
            raise ArgumentError(f"select must be DIMENSION=VALUE, each dimension once, got {text}.")
        found[name] = value
    return found


def _union(masks: Sequence[BoolArray]) -> BoolArray | None:
    """Return where any of some masks is, channel by channel if one of them is."""
    if not masks:
        return None
    channels = any(mask.ndim == 3 for mask in masks)
    return np.asarray(
        reduce(np.logical_or, [mask[..., np.newaxis] if channels and mask.ndim == 2 else mask for mask in masks])
    )


def _any_channel(where: BoolArray) -> BoolArray:
    return where if where.ndim == 2 else np.asarray(where.any(axis=2))


def _is(value: float, raster: Raster) -> BoolArray:
    """Return where an image has a value, as float32 has it as well; of pictures it is a count."""
    image = np.asarray(raster.image, dtype=np.float64)
    if np.isnan(value):
        return np.isnan(image)
    divisor = _divisor(raster)
    found = image == value / divisor
    if divisor == 1.0:
        with np.errstate(over="ignore"):
            found |= image == np.float64(np.float32(value))
    if not found.any():
        tell(f"warning: no pixel has the value {value:g} of --nodata")
    return np.asarray(found)


def _divisor(raster: Raster) -> float:
    return raster.divisor if isinstance(raster, Picture) else 1.0


def _tell_of_marks(loaded: Loaded) -> None:
    """Tell of a number that occurs several times and lies absurdly far from all others."""
    observed = loaded.pixels if loaded.missing is None else loaded.pixels[~loaded.missing]
    values = observed[np.isfinite(observed)]
    for extreme in {float(values.min()), float(values.max())} if values.size else ():
        others = values[values != extreme]
        count = values.size - others.size
        if count < _SEVERAL or others.size < _SEVERAL:
            continue
        low, middle, high = np.percentile(others, (25.0, 50.0, 75.0))
        if high > low and abs(extreme - middle) > _FAR * (high - low):
            number = repr(extreme * _divisor(loaded.raster)).removesuffix(".0")
            tell(f"warning: {number} occurs {count} times; if it marks missing pixels, pass --nodata={number}")


def figure_path(out: Path | None, image: Path, command: str) -> Path:
    """Return the path of a figure, which is checked before the work begins."""
    figure = out if out is not None else Path(f"{stem_of(image)}-{command}.png")
    one_of("suffix of path", figure.suffix.lower(), FIGURE_SUFFIXES)
    return figure


def check_directory(out: Path, files: Sequence[str] = ()) -> None:
    """Refuse what cannot be a directory of outputs, or has the suffix of a file; messages name `files` that out may be.

    A directory that is there may have any name.
    """
    suffixes = [suffix for suffix in _OF_FILES if out.name.lower().endswith(suffix)]
    if suffixes and not out.exists():
        stem = out.name[: -max(map(len, suffixes))] or "filled"
        instead = f", or a file that holds all images: {', '.join(files)}" if files else ""
        raise ArgumentError(
            f"out must be a directory, got {out}, which has the suffix of a file; give a directory such as "
            f"{out.with_name(stem)}, in which several files are written{instead}."
        )
    directory_of_outputs(out)


def map_suffix(raster: Raster) -> str:
    """Return the suffix of maps made of a raster."""
    return raster.suffixes[0] if raster.suffixes else ".tif"


def write_map(
    path: Path, values: FloatArray, loaded: Loaded, name: str, unit: str, **storage: Any
) -> tuple[float, float] | None:
    """Write a map with every digit, on the ground of the image if it has one; return the stretch of a PNG."""
    shown = loaded.inside(values)
    return write(path, shown, like=loaded.raster, name=name, unit=unit, exact=not storage.get("packed"), **storage)
