"""Images that are placed nowhere as PNG, TIFF and NumPy files."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from sparsegmrf._files import PathLike, replacing
from sparsegmrf._libraries import library
from sparsegmrf._validate import one_of, real_array
from sparsegmrf.errors import ArgumentError

IMAGE_SUFFIXES = (".png", ".tif", ".tiff", ".npy")
_PNG_WHITE = 65535


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
    iio = library("imageio.v3")
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
