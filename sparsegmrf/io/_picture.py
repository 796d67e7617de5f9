"""Images that are placed nowhere: photographs, TIFF without a ground, arrays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegmrf._files import PathLike
from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.geo._common import is_one
from sparsegmrf.geo._layers import opaque_of
from sparsegmrf.io._plain import write_plain
from sparsegmrf.io._request import Request, channels_last
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray

_LUMINANCE = np.array([0.2125, 0.7154, 0.0721])
"""Weights of red, green and blue in the luminance of ITU-R BT.709, with the digits of scikit-image."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Channels of an image that is placed nowhere.

    Attributes
    ----------
    image : ndarray, (H, W) or (H, W, C)
        Intensities, float64; NaN where the file says that there are none.
    missing : ndarray of bool, (H, W)
        Where the format marks pixels as missing: transparency or a mask, and NaN of a TIFF. NaN of a NumPy file is a
        number like any other until a mask says that it is missing.
    divisor : float
        What stored counts were divided by.
    channel : str
        ``"only"``, ``"grey (luminance)"`` or the numbers of the channels taken.
    unit : str
        Unit of the intensities; empty if it is not known.
    suffix : str
        Suffix of files made of this one.
    opacity : (ndarray, float) or None
        Transparency ``(H, W)`` as it is stored, and what stands for opaque.
    axis : int
        Axis of the channels as they are stored.
    is_colour : bool
        Whether the channels are red, green and blue.
    """

    image: FloatArray
    missing: BoolArray
    divisor: float = 1.0
    channel: str = "only"
    unit: str = ""
    suffix: str = ".tif"
    opacity: tuple[npt.NDArray[Any], float] | None = None
    axis: int = -1
    is_colour: bool = False
    suffixes = ()
    stack_suffix = ".npy"
    nodata = None

    def same_ground(self, other: "Picture") -> bool:
        """Return True: no picture says where it lies."""
        return True

    def write(
        self, path: PathLike, image: ArrayLike, name: str = "", *, unit: str | None = None, exact: bool = False
    ) -> None:
        """Write an image as ``.tif``, ``.npy``, ``.npz`` or ``.png``, as `sparsegmrf.io.write` does."""
        write_plain(Path(path), image)


def picture_of(
    array: npt.NDArray[Any],
    request: Request,
    path: Path,
    suffix: str,
    *,
    alpha: npt.NDArray[Any] | None = None,
    hidden: BoolArray | None = None,
    raw: bool = False,
    is_colour: bool = False,
) -> Picture:
    """Return the channels that are wanted of a stored array.

    Parameters
    ----------
    array : ndarray, (H, W) or (H, W, C)
        Stored values without transparency; where the format does not say which axis holds the channels, `request` does.
    request : Request
        What is wanted.
    path : Path
        The file.
    suffix : str
        Suffix of files made of it.
    alpha : ndarray, (H, W), optional
        Opacity; pixels without any are missing.
    hidden : ndarray of bool, (H, W), optional
        Further missing pixels.
    raw : bool
        Whether counts stay what they are.
    is_colour : bool
        Whether the format says that the first three channels are red, green and blue.
    """
    if not array.size:
        raise FileError(f"path must be an image with at least one pixel, got {path} of shape {array.shape}.")
    real_array("image", array.ravel()[:0])  # refuses complex and object arrays before they are taken apart
    name, plane = path.name, array.ndim == 2
    if request.grey and request.channel is not None and is_one(request.channel):
        raise ArgumentError(
            f"channel and grey exclude each other, got channel {request.channel} and grey; give one of them."
        )
    if plane and request.channel_axis is not None and not -3 <= request.channel_axis < 3:
        raise ArgumentError(f"channel_axis must be -3 to 2, got channel_axis {request.channel_axis} for {name}.")
    moved = array[..., np.newaxis] if plane else channels_last(array, request.channel_axis, name)
    counts = request.scale == "unit" and not raw and array.dtype in (np.uint8, np.uint16)
    divisor = float(np.iinfo(array.dtype).max) if counts else 1.0
    if request.grey and not plane:
        taken, channel = _luminance(moved, alpha, name), "grey (luminance)"
    else:
        shape = array.shape if alpha is None else (*array.shape[:2], moved.shape[2] + 1)
        numbers = request.numbers(moved.shape[2], name, shape, plane)
        taken, channel = moved[..., numbers], "only" if plane else ", ".join(map(str, numbers))
        is_colour &= numbers == [0, 1, 2]
    image = np.ascontiguousarray(taken[..., 0] if is_one(request.channel) else taken, dtype=np.float64)
    image = image / divisor if divisor != 1.0 else image
    missing = np.zeros(image.shape[:2], dtype=np.bool_)
    for each in (alpha == 0 if alpha is not None else None, hidden):
        missing = missing if each is None else missing | each
    if missing.any():
        image = np.where(missing if image.ndim == 2 else missing[..., np.newaxis], np.nan, image)
    if suffix != ".npy":
        missing = missing | (np.isnan(image) if image.ndim == 2 else np.isnan(image).any(axis=2))
    unit = "" if divisor == 1.0 else f"intensity (counts / {divisor:g})"
    opacity = None if alpha is None else (alpha, opaque_of(alpha.dtype))
    axis = -1 if request.channel_axis is None or suffix != ".npy" else request.channel_axis
    return Picture(image, missing, divisor, channel, unit, suffix, opacity, axis, is_colour and image.ndim == 3)


def _luminance(moved: npt.NDArray[Any], alpha: npt.NDArray[Any] | None, name: str) -> npt.NDArray[Any]:
    if (
        moved.shape[-1] == 4 and alpha is None
    ):  # arrays have no format that says so; a picture's fourth channel is opacity
        moved, alpha = moved[..., :3], moved[..., 3]
    if moved.shape[-1] != 3:
        raise ArgumentError(
            f"grey needs red, green and blue, got {moved.shape[-1]} channels in {name}; choose a channel."
        )
    if alpha is not None and not np.isin(alpha, (0, opaque_of(alpha.dtype))).all():
        raise ArgumentError(f"grey needs opaque pixels, got half transparent ones in {name}; choose a channel.")
    return np.asarray(moved.astype(np.float64) @ _LUMINANCE)[..., np.newaxis]
