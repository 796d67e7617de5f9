"""Images as PNG, TIFF and NumPy files, models as JSON; every file is written whole or not at all."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import numpy.typing as npt
import skimage.color

from sparsegmrf._files import PathLike, replacing
from sparsegmrf._validate import integer_at_least, one_of, real_array
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.models import CausalAR
from sparsegmrf.typing import BoolArray, FloatArray

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".npy")
_MODEL = "causal_ar"
_PNG_WHITE = 65535
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and big files, both byte orders


@dataclass(frozen=True, eq=False)
class ImageFile:
    """One channel of an image file and what was done to read it.

    Attributes
    ----------
    pixels : (H, W) ndarray
        Intensities, float64; NaN where a float image has NaN.
    divisor : float
        What the stored counts were divided by: 255 or 65535 for 8- and 16-bit images with ``scale="unit"``, else 1.
    channel : str
        ``"only"``, ``"grey (luminance)"`` or the number of the channel taken.
    """

    pixels: FloatArray
    divisor: float
    channel: str


def read_image(
    path: PathLike, *, channel: int | None = None, grey: bool = False, channel_axis: int = -1, scale: str = "unit"
) -> ImageFile:
    """Read one channel of a PNG, TIFF or ``.npy`` image.

    Parameters
    ----------
    path : path
        The file; any format imageio reads, or ``.npy`` (never unpickled).
    channel : int, optional
        Channel to take from a colour or multi-band image, from 0.
    grey : bool
        Take the luminance ``0.2125 R + 0.7154 G + 0.0721 B`` of a colour image. Refused if pixels are transparent.
    channel_axis : int
        Axis that holds the channels.
    scale : {"unit", "none"}
        With ``"unit"`` unsigned 8- and 16-bit counts are divided by 255 and 65535; everything else is taken as stored.

    Returns
    -------
    ImageFile
        Pixels ``(H, W)`` and what was done to get them.

    Raises
    ------
    FileError
        If the file is missing or is no image.
    ArgumentError
        If the image has several channels and neither `channel` nor `grey` says which to take, or not that one.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = write_image(folder + "/ramp.tif", np.arange(6.0).reshape(2, 3))
    ...     read_image(folder + "/ramp.tif").pixels.tolist()
    [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    one_of("scale", scale, ("unit", "none"))
    array = _stored(Path(path))
    real_array("image", array.ravel()[:0])  # refuses complex and object arrays before they are taken apart
    divisor = float(np.iinfo(array.dtype).max) if scale == "unit" and array.dtype in (np.uint8, np.uint16) else 1.0
    plane, taken = _one_channel(array, channel, grey, channel_axis, Path(path).name)
    pixels = np.ascontiguousarray(plane, dtype=np.float64)
    return ImageFile(pixels / divisor if divisor != 1.0 else pixels, divisor, taken)


def read_channels(path: PathLike, *, channel_axis: int = -1, scale: str = "unit") -> FloatArray:
    """Read all channels of a PNG, TIFF or ``.npy`` image.

    Parameters
    ----------
    path : path
        The file, as for `read_image`.
    channel_axis : int
        Axis that holds the channels.
    scale : {"unit", "none"}
        As for `read_image`.

    Returns
    -------
    ndarray, (H, W, C)
        Intensities, channels last; one channel for an image without such an axis.

    Raises
    ------
    FileError
        If the file is missing or is no image.
    ArgumentError
        If there are more axes than three, or no such axis.
    """
    one_of("scale", scale, ("unit", "none"))
    array = _stored(Path(path))
    real_array("image", array.ravel()[:0])
    if array.ndim == 2:
        array, channel_axis = array[..., np.newaxis], -1
    if array.ndim != 3 or not -3 <= channel_axis < 3:
        raise ArgumentError(
            f"{Path(path).name} must be (H, W) or have one axis of channels, got {array.shape} and channel_axis "
            f"{channel_axis}."
        )
    divisor = float(np.iinfo(array.dtype).max) if scale == "unit" and array.dtype in (np.uint8, np.uint16) else 1.0
    pixels = np.ascontiguousarray(np.moveaxis(array, channel_axis, -1), dtype=np.float64)
    return pixels / divisor if divisor != 1.0 else pixels


def read_mask(path: PathLike) -> BoolArray:
    """Read a mask ``(H, W)`` from an image file: every pixel that is not zero is missing.

    Raises
    ------
    FileError
        If the file is missing or is no image.
    """
    mask: BoolArray = read_image(path, scale="none").pixels != 0.0
    return mask


def write_image(path: PathLike, image: npt.ArrayLike) -> tuple[float, float] | None:
    """Write an image; ``.npy`` and TIFF keep every digit (float64), PNG stretches it over 16 bits of grey.

    Parameters
    ----------
    path : path
        Ends in ``.png``, ``.tif``, ``.tiff`` or ``.npy``; ``.npy`` also takes batches. Written whole or not at all.
    image : (H, W) array_like
        Intensities.

    Returns
    -------
    tuple or None
        For PNG the intensities that became black and white (smallest and largest of the image); otherwise None.

    Raises
    ------
    ArgumentError
        If the suffix is another one, a PNG would have to show NaN, or the array is no image.
    """
    target = Path(path)
    suffix = one_of("suffix of path", target.suffix.lower(), IMAGE_SUFFIXES)
    array = real_array("image", image)
    if suffix == ".npy":
        with replacing(target) as temporary:
            np.save(temporary, array)
        return None
    if array.ndim != 2 or not array.size:
        raise ArgumentError(f"image must have shape (H, W) to be written as {suffix}, got {array.shape}; write .npy.")
    if suffix != ".png":
        with replacing(target) as temporary:
            iio.imwrite(temporary, array, plugin="tifffile")
        return None
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(high - low):
        raise ArgumentError(
            "image must be finite to be written as .png, got NaN or infinite pixels; write .tif or .npy."
        )
    grey = (array - low) * (_PNG_WHITE / (high - low) if high > low else 0.0)
    with replacing(target) as temporary:
        iio.imwrite(temporary, np.rint(grey).astype(np.uint16), plugin="pillow")
    return low, high


def write_model(path: PathLike, model: CausalAR) -> None:
    """Write a causal autoregression as JSON, every digit kept.

    Parameters
    ----------
    path : path
        The file; written whole or not at all.
    model : CausalAR
        The model. Its fit report is not written.
    """
    fields = {
        "model": _MODEL,
        "offsets": model.offsets.tolist(),
        "weights": model.weights.tolist(),
        "sigma": model.sigma,
        "mean": model.mean,
    }
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


def read_model(path: PathLike) -> CausalAR:
    """Read a causal autoregression from JSON.

    Parameters
    ----------
    path : path
        An object with ``"model": "causal_ar"``, ``offsets`` earlier in raster order, ``weights``, ``sigma``, ``mean``.

    Returns
    -------
    CausalAR
        The model.

    Raises
    ------
    FileError
        If the file is missing, is no JSON, or lacks an entry.
    ArgumentError
        If an entry has a value that a model cannot have.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(folder + "/model.json", CausalAR([0.5, 0.4], support=[(-1, 0), (0, -1)]))
    ...     read_model(folder + "/model.json").weights.tolist()
    [0.5, 0.4]
    """
    source = Path(path)
    try:
        fields = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(f"path must be a model in JSON, got {source}, which cannot be read: {error}.") from error
    if not isinstance(fields, dict) or fields.get("model") != _MODEL:
        raise FileError(f'path must be a model in JSON with "model": "{_MODEL}", got {source} without it.')
    missing = sorted({"offsets", "weights", "sigma", "mean"} - set(fields))
    if missing:
        raise FileError(f"{source} must have offsets, weights, sigma and mean, but lacks {', '.join(missing)}.")
    return CausalAR(fields["weights"], fields["sigma"], fields["mean"], support=fields["offsets"])


def _stored(path: Path) -> npt.NDArray[Any]:
    """Return the array as the file holds it."""
    if not path.is_file():
        raise FileError(f"path must be an existing image file (.png, .tif, .npy), got {path}, which is none.")
    try:
        with path.open("rb") as file:
            if path.suffix.lower() == ".npy":
                array = np.asarray(np.lib.format.read_array(file, allow_pickle=False))
            else:
                plugin = "tifffile" if file.read(4) in _TIFF_STARTS else "pillow"
                array = np.asarray(iio.imread(path, plugin=plugin))
    except Exception as error:  # decoders raise whatever they like; all of it means the same here
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FileError(
            f"path must be a PNG, TIFF or .npy image, got {path}, which cannot be read: {reason}"
        ) from error
    if not array.size:
        raise FileError(f"path must be an image with at least one pixel, got {path} of shape {array.shape}.")
    return array


def _one_channel(
    array: npt.NDArray[Any], channel: int | None, grey: bool, axis: int, name: str
) -> tuple[npt.NDArray[Any], str]:
    if channel is not None and grey:
        raise ArgumentError(f"channel and grey exclude each other, got channel {channel} and grey; give one of them.")
    if array.ndim == 2:
        if channel is not None:
            raise ArgumentError(f"channel must be left out for {name}, which has one channel only, got {channel}.")
        return array, "only"
    if array.ndim != 3 or not -3 <= axis < 3:
        raise ArgumentError(
            f"{name} must be (H, W) or have one axis of channels, got {array.shape} and channel_axis {axis}."
        )
    moved = np.moveaxis(array, axis, -1)
    count = moved.shape[-1]
    if grey:
        return _luminance(moved, name), "grey (luminance)"
    if channel is None:
        raise ArgumentError(
            f"{name} has {count} channels, shape {array.shape}; choose one with channel 0 to {count - 1}, or grey for "
            "the luminance."
        )
    if integer_at_least("channel", channel, 0) >= count:
        raise ArgumentError(f"channel must be 0 to {count - 1} for {name}, got {channel}.")
    return moved[..., channel], str(channel)


def _luminance(moved: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    if moved.shape[-1] not in (3, 4):
        raise ArgumentError(
            f"grey needs red, green and blue, got {moved.shape[-1]} channels in {name}; choose a channel."
        )
    if moved.shape[-1] == 4:
        opaque = np.iinfo(moved.dtype).max if moved.dtype.kind == "u" else 1.0
        if (moved[..., 3] != opaque).any():
            raise ArgumentError(f"grey needs opaque pixels, got transparent ones in {name}; choose a channel.")
    # On float copies, so that the library does not rescale counts.
    return np.asarray(skimage.color.rgb2gray(moved[..., :3].astype(np.float64)))
