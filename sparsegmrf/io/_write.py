"""One writer for images of every format."""

from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf._files import PathLike
from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.io._formats import FORMATS, Format, check_format
from sparsegmrf.io._plain import Stretch, Writer
from sparsegmrf.io._raster import Raster

_WRITERS = {
    suffix: each.write
    for each in FORMATS
    if each.write is not None
    for suffix in each.suffixes
    if suffix.count(".") == 1
}
_PLACELESS = (".npy", ".npz", ".png")
"""What an image on the ground may be written to all the same."""


def write(
    path: PathLike,
    image: Any,
    *,
    like: Raster | None = None,
    name: str = "",
    unit: str | None = None,
    exact: bool = False,
    format: Format | None = None,
) -> Stretch:
    """Write an image in the format that the suffix says, whole or not at all.

    What places the pixels of a raster is kept: an image made of a GeoTIFF lies on its ground as ``.tif``, one of a
    NetCDF variable as ``.nc``, one of a FITS file as ``.fits``. In another one of these formats it would lose its
    place, and is refused; ``.npy``, ``.npz`` and ``.png`` place nothing.

    Parameters
    ----------
    path : path
        Ends in a suffix of the format, such as ``.tif``, ``.nc``, ``.fits``, ``.png`` or ``.npy``.
    image : array_like, (H, W), or Raster
        Intensities, or a raster that was read, whose image and place are meant. NumPy files take arrays of any
        shape, GeoTIFF and FITS on the ground ``(K, H, W)`` as well.
    like : Raster, optional
        Raster of the same pixels, as `read` returns it.
    name : str
        What the image is, for formats that say so.
    unit : str, optional
        Unit of the intensities; by default that of the raster.
    exact : bool
        Write float64 in any case. Otherwise an image on the ground is float32 where the raster read was stored in no
        more and float32 holds every value of it. An image without a ground is float64, but for PNG, which stretches it
        over 16 bits of grey.
    format : Format, optional
        A format of one's own that writes; the suffix must be one of its. It keeps no place.

    Returns
    -------
    tuple or None
        For PNG the intensities that became black and white (smallest and largest of the image); otherwise None.

    Raises
    ------
    ArgumentError
        If the suffix is another one or would lose the place, a PNG would have to show NaN, or the shape is another one.
    FileError
        If the directory does not exist, or the file cannot be written.
    ModuleNotFoundError
        If the library for the format is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from sparsegmrf.io import read
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(folder + "/ramp.tif", np.arange(6.0).reshape(2, 3))
    ...     write(folder + "/grey.png", read(folder + "/ramp.tif"))
    (0.0, 5.0)
    """
    raster = image if like is None and isinstance(image, Raster) else like
    target, writer = Path(path), writer_for(path, raster, format=format)
    if isinstance(image, Raster):
        image = image.image if writer is not None else _channels_first(image.image)
    if writer is not None:
        return writer(target, image, name, unit if unit is not None else raster.unit if raster is not None else "")
    if raster is not None:
        raster.write(target, image, name, unit=unit, exact=exact)
    return None


def writer_for(
    path: PathLike, like: Raster | None = None, argument: str = "path", format: Format | None = None
) -> Writer | None:
    """Return what writes an image without a place, or None where the raster that it is like writes it in its own.

    Raises
    ------
    ArgumentError
        If there is no such format, or the image would lose its place on the ground; a long computation asks before it
        begins.
    """
    if format is not None:
        return _writer_of(format, path, like, argument)
    suffix = Path(path).suffix.lower()
    if like is None or not like.suffixes:
        return _WRITERS[one_of(f"suffix of {argument}", suffix, tuple(_WRITERS))]
    if suffix in like.suffixes:
        return None
    if suffix in _PLACELESS:
        return _WRITERS[suffix]
    allowed = ", ".join((*like.suffixes, *_PLACELESS))
    raise ArgumentError(
        f"{argument} must end in {allowed} for a map of this image, got {path}; in another format it would lose its "
        "place."
    )


def _writer_of(format: Format, path: PathLike, like: Raster | None, argument: str) -> Writer:
    """Return what a format of one's own writes by, which keeps no place."""
    check_format(format)
    if format.write is None:
        raise ArgumentError(f"format must have a writer, got {format.name}, which only reads; give it write=.")
    if like is not None and like.suffixes:
        raise ArgumentError(
            f"format must be left out for a map of this image, got {format.name}, in which it would lose its place; "
            f"write {', '.join((*like.suffixes, *_PLACELESS))}, or give the array without its raster."
        )
    if not Path(path).name.lower().endswith(format.suffixes):
        raise ArgumentError(f"{argument} must end in {', '.join(format.suffixes)} of {format.name}, got {path}.")
    return format.write


def _channels_first(image: Any) -> Any:
    """Return the channels of an image as planes, as formats have them."""
    if image.ndim == 2:
        return image
    return image.transpose(image.dims[2], *image.dims[:2]) if hasattr(image, "dims") else np.moveaxis(image, -1, 0)
