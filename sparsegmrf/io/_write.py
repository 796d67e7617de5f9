"""One writer for images of every format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf._files import PathLike, replacing
from sparsegmrf._validate import one_of, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo import GeoTiff, NetCdf
from sparsegmrf.geo._convert import as_geotiff, as_netcdf
from sparsegmrf.geo._netcdf import placeless
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
_OF_GRIDS = (".nc", ".nc4", ".cdf", ".zarr")
_UNCHANGED: Mapping[str, str] = {}
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
    tiled: bool | None = None,
    packed: bool = False,
    format: Format | None = None,
) -> Stretch:
    """Write an image in the format that the suffix says, whole or not at all.

    What places the pixels of a raster is kept: an image made of a GeoTIFF lies on its ground as ``.tif``, and as
    ``.nc`` or ``.zarr`` by coordinates; one of a NetCDF variable or of Zarr as these, and as ``.tif`` where its
    coordinates are even; one of a FITS file as ``.fits``, one of NIfTI as ``.nii``. In another one of these formats it
    would lose its place, and is refused; ``.npy``, ``.npz`` and ``.png`` place nothing.

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
    tiled : bool, optional
        Write a cloud-optimized GeoTIFF on the ground, in tiles and with overviews; by default as the one read was.
    packed : bool
        Write GeoTIFF, NetCDF or Zarr on the ground as integers with scale and offset, those of the raster if it has
        any; the value that stands for no data is one that no pixel has.
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
    MissingLibraryError
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
    place: Any = None if writer is not None else placed_as(path, raster)
    given = storage_of(path, place, tiled, packed)
    if packed:
        check_scales(path, raster, place)
    if writer is not None:
        return writer(target, image, name, unit if unit is not None else raster.unit if raster is not None else "")
    place.write(target, image if place is raster else np.asarray(image), name, unit=unit, exact=exact, **given)
    return None


def write_several(
    path: PathLike,
    images: Mapping[str, Any],
    *,
    like: Raster | None = None,
    exact: bool = False,
    tiled: bool | None = None,
    packed: bool = False,
) -> None:
    """Write several images of the same pixels to one file, under their names, whole or not at all.

    They are the bands of a GeoTIFF, variables of NetCDF and Zarr, extensions of FITS, volumes of NIfTI along the fourth
    axis, and arrays of ``.npz``; on the ground of a raster as `write` has it.

    Parameters
    ----------
    path : path
        The file.
    images : mapping of array_like, (H, W)
        By name.
    like, exact, tiled, packed
        As of `write`.

    Raises
    ------
    ArgumentError
        If there are none, the suffix is another one, it would lose the place, or a shape is another one.
    FileError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from sparsegmrf.io import read
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_several(folder + "/both.npz", {"mean": np.zeros((2, 3)), "std": np.ones((2, 3))})
    ...     read(folder + "/both.npz", variable="std").image.sum()
    np.float64(6.0)
    """
    if not images:
        raise ArgumentError("images must be one at least, got none.")
    check_several(path, like, tiled=tiled, packed=packed)
    if Path(path).suffix.lower() == ".npz":
        arrays = {name: real_array("image", np.asarray(image)) for name, image in images.items()}
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
        return
    place: Any = placed_as(path, like) or placeless(next(iter(images.values())))
    given = storage_of(path, place, tiled, packed)
    kept = place is like
    place.write_several(
        path, {name: image if kept else np.asarray(image) for name, image in images.items()}, exact=exact, **given
    )


def check_several(
    path: PathLike,
    like: Raster | None,
    argument: str = "path",
    *,
    tiled: bool | None = None,
    packed: bool = False,
    called: Mapping[str, str] = _UNCHANGED,
) -> None:
    """Refuse what `write_several` cannot write; a long computation asks before it begins."""
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        storage_of(path, None, tiled, packed, called)
        return
    place = placed_as(path, like, argument)
    if place is None and ((like is not None and like.suffixes) or suffix not in _OF_GRIDS):
        own = like.suffixes if like is not None and like.suffixes else _OF_GRIDS
        raise ArgumentError(f"{argument} must end in {', '.join((*own, '.npz'))} to hold several images, got {path}.")
    storage_of(path, place, tiled, packed, called)


def placed_as(path: PathLike, like: Raster | None, argument: str = "path") -> Raster | None:
    """Return the raster on whose ground a file of a format lies: the same, or one made of it; None where none does.

    Raises
    ------
    ArgumentError
        If the format has no words for the place.
    """
    if like is None or not like.suffixes:
        return None
    name = Path(path).name.lower()
    if name.endswith(like.suffixes):
        return like
    if isinstance(like, GeoTiff) and name.endswith(_OF_GRIDS):
        return as_netcdf(like, path, argument)
    if isinstance(like, NetCdf) and name.endswith(GeoTiff.suffixes):
        return as_geotiff(like, path, argument)
    return None


def storage_of(
    path: PathLike, place: Any, tiled: bool | None, packed: bool, called: Mapping[str, str] = _UNCHANGED
) -> dict[str, Any]:
    """Return how a raster is to be stored, as far as it is asked for; `called` is what messages call an argument."""
    asked = {**({} if tiled is None else {"tiled": tiled}), **({"packed": True} if packed else {})}
    for name in asked:
        if name not in getattr(place, "storage", ()):
            what = "GeoTIFF" if name == "tiled" else "GeoTIFF, NetCDF and Zarr"
            raise ArgumentError(f"{called.get(name, name)} is for {what} on the ground, got {path}; leave it out.")
    return asked


def check_scales(
    path: PathLike, like: Raster | None, place: Any, argument: str = "path", called: Mapping[str, str] = _UNCHANGED
) -> None:
    """Refuse to pack bands whose scales differ where a file has one for all of them."""
    scalings = {each.scaling for each in like.notes} if isinstance(like, GeoTiff) else set()
    if len(scalings) > 1 and not isinstance(place, GeoTiff):
        raise ArgumentError(
            f"{called.get('packed', 'packed')} must be left out where bands have scales of their own, of which {path} "
            f"holds one, got {len(scalings)}; or let {argument} end in .tif, which has a scale for each band."
        )


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
    if placed_as(path, like, argument) is not None:
        return None
    if suffix in _PLACELESS:
        return _WRITERS[suffix]
    other = _OF_GRIDS if isinstance(like, GeoTiff) else GeoTiff.suffixes if isinstance(like, NetCdf) else ()
    allowed = ", ".join((*like.suffixes, *other, *_PLACELESS))
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
