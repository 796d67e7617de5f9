"""Images that are placed nowhere as NumPy files, PNG and TIFF."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf._files import replacing
from sparsegmrf._libraries import library
from sparsegmrf._validate import one_of, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import ArrayLike, FloatArray

Stretch = tuple[float, float] | None
"""Intensities that black and white of a picture stand for; None where every digit is kept."""
Writer = Callable[[Path, Any, str, str], Stretch]
"""Takes the file, an image that lies nowhere, its name and its unit."""
_PNG_WHITE = 65535


def plane(path: Path, image: ArrayLike) -> FloatArray:
    """Return one image ``(H, W)``, which most formats are for."""
    array = real_array("image", image)
    if array.ndim != 2 or not array.size:
        raise ArgumentError(
            f"image must have shape (H, W) to be written as {path.suffix}, got {array.shape}; write .npy."
        )
    return array


def write_array(path: Path, image: ArrayLike, name: str = "", unit: str = "") -> None:
    """Write an array of any shape as ``.npy``."""
    array = real_array("image", image)
    with replacing(path) as temporary:
        np.save(temporary, array)


def write_arrays(path: Path, image: ArrayLike, name: str = "", unit: str = "") -> None:
    """Write an array of any shape as ``image`` of an ``.npz`` file."""
    array = real_array("image", image)
    with replacing(path) as temporary:
        np.savez_compressed(temporary, image=array)


def write_tiff(path: Path, image: ArrayLike, name: str = "", unit: str = "") -> None:
    """Write an image as a TIFF of float64, which has neither name nor unit."""
    array = plane(path, image)
    iio = library("imageio.v3")
    with replacing(path) as temporary:
        iio.imwrite(temporary, array, plugin="tifffile")


def write_png(path: Path, image: ArrayLike, name: str = "", unit: str = "") -> Stretch:
    """Write an image as PNG, stretched over 16 bits of grey; return what black and white stand for."""
    array = plane(path, image)
    iio = library("imageio.v3")
    low, high = float(array.min()), float(array.max())
    if not np.isfinite(high - low):
        raise ArgumentError(
            "image must be finite to be written as .png, got NaN or infinite pixels; write .tif or .npy."
        )
    grey = (array - low) * (_PNG_WHITE / (high - low) if high > low else 0.0)
    content = iio.imwrite("<bytes>", np.rint(grey).astype(np.uint16), plugin="pillow", extension=".png")
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return low, high


def write_plain(path: Path, image: ArrayLike) -> Stretch:
    """Write an image that is placed nowhere, as the suffix says."""
    return PLAIN[one_of("suffix of path", path.suffix.lower(), tuple(PLAIN))](path, image, "", "")


PLAIN: Mapping[str, Writer] = {
    ".npy": write_array,
    ".npz": write_arrays,
    ".tif": write_tiff,
    ".tiff": write_tiff,
    ".png": write_png,
}
"""What files made of a picture may be."""
