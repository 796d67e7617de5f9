"""What the formats have in common: which bands are taken, the type that holds what was read, errors of files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sparsegmrf._files import PathLike
from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.typing import FloatArray

Bands = int | Sequence[int] | Literal["all"] | None
"""One band, several, all of them, or the only one."""

_SINGLE = np.finfo(np.float32)


def chosen(what: str, name: str, count: int, wanted: Bands, note: str = "") -> list[int]:
    """Return the numbers of the bands that are wanted of `count`."""
    if isinstance(wanted, str):
        if wanted != "all":
            raise ArgumentError(f'channel must be a number from 0 to {count - 1} or "all", got {wanted!r}.')
        return list(range(count))
    if wanted is None:
        if count == 1:
            return [0]
        raise ArgumentError(f"{name} has {count} {what}; choose one with channel 0 to {count - 1}.{note}")
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
    # rasterio refers to "the previous exception" for the reason.
    reasons = [" ".join(str(each).split()) for each in (error, error.__cause__) if each is not None and str(each)]
    reason = ": ".join(dict.fromkeys(reasons)) or type(error).__name__
    return FileError(f"path must be {kind}, got {path}, which cannot be read: {reason}")


def _survives(image: FloatArray) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.array_equal(image.astype(np.float32), image, equal_nan=True))
