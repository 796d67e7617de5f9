"""What the formats have in common: where data are missing, which bands are taken, types of values, errors of files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sparsegmrf._files import PathLike
from sparsegmrf._validate import integer_at_least, real_array
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray

Bands = int | Sequence[int] | Literal["all"] | None
"""One band, several, all of them, or the only one."""

_SINGLE = np.finfo(np.float32)
_POINTER = "See previous exception for details."
"""What rasterio says of an error that has a cause."""


class NoChannelChosenError(ArgumentError):
    """There are several channels, and it is not said which one is wanted."""


class Placed:
    """An image that was read, and others of the same pixels, which are written as they are."""

    image: Any

    @property
    def missing(self) -> BoolArray:
        """Where a channel has no data, (H, W)."""
        missing = np.isnan(np.asarray(self.image))
        return missing if missing.ndim == 2 else np.asarray(missing.any(axis=2))

    def _of_same_pixels(self, image: ArrayLike, several: bool = True) -> FloatArray:
        """Return an image, or several of them if they may be, after comparing its pixels with those read."""
        array, shape = real_array("image", image), tuple(self.image.shape[:2])
        if array.shape[-2:] != shape or array.ndim > 2 + several:
            raise ArgumentError(f"image must have the pixels of the file read, {shape}, got {array.shape}.")
        return array

    def _type_of(self, written: FloatArray, stored: np.dtype[Any], exact: bool) -> np.dtype[Any]:
        """Return the type in which an image is written beside one that was stored in another type."""
        double = np.dtype(np.float64)
        return double if exact else float_type(stored, np.asarray(self.image, dtype=np.float64), written)


def chosen(what: str, name: str, count: int, wanted: Bands, note: str = "") -> list[int]:
    """Return the numbers of the bands that are wanted of `count`."""
    if isinstance(wanted, str):
        if wanted != "all":
            raise ArgumentError(f'channel must be a number from 0 to {count - 1} or "all", got {wanted!r}.')
        return list(range(count))
    if wanted is None:
        if count == 1:
            return [0]
        raise NoChannelChosenError(
            f"{name} has {count} {what}; choose one with channel (--channel) 0 to {count - 1}.{note}"
        )
    several = isinstance(wanted, Sequence)
    numbers: list[int] = [wanted] if isinstance(wanted, int | np.integer) else [*wanted]
    if not numbers:
        raise ArgumentError(f"channels must be numbers from 0 to {count - 1}, got none of them.")
    for number in numbers:
        if integer_at_least("channels" if several else "channel", number, 0) >= count:
            raise ArgumentError(
                f"channels must be numbers from 0 to {count - 1} for {name}, got {number}.{note}"
                if several
                else f"channel must be 0 to {count - 1} for {name} with {count} {what}, got {number}.{note}"
            )
    return numbers


def is_one(wanted: Bands) -> bool:
    """Return whether an image without an axis of channels is wanted."""
    return wanted is None or isinstance(wanted, int | np.integer)


def float_type(stored: np.dtype[Any], image: FloatArray, written: FloatArray) -> np.dtype[Any]:
    """Return float32 if it holds all values read and is wide enough for those that are written, else float64."""
    double = np.dtype(np.float64)
    if np.result_type(stored, np.float32) != np.float32 or not _survives(image):
        return double
    size = np.abs(written[np.isfinite(written) & (written != 0.0)])
    if size.size and (size.max() > _SINGLE.max or size.min() < _SINGLE.tiny):
        return double
    return np.dtype(np.float32)


def check_file(path: PathLike) -> None:
    """Raise a `FileError` if there is no such file."""
    if not Path(path).is_file():
        raise FileError(f"path must be an existing file, got {path}, which is none.")


def unreadable(path: PathLike, kind: str, error: BaseException) -> FileError:
    """Return the error of a file that a library cannot read, with the reason it gives."""
    text, cause = str(error), error.__cause__
    reasons: list[str] = []
    while cause is not None:  # rasterio refers to "the previous exception", and GDAL has several for one failure
        reasons.append(str(cause))
        text, cause = text.replace(_POINTER, ""), cause.__cause__
    told = ""
    for each in (" ".join(reason.split()).rstrip(".") for reason in (text, *reasons)):
        if each not in told:  # often the end of the one before
            told = f"{told}: {each}" if told else each
    reason = told or type(error).__name__
    return FileError(f"path must be {kind}, got {path}, which cannot be read: {reason}")


def _survives(image: FloatArray) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.array_equal(image.astype(np.float32), image, equal_nan=True))
