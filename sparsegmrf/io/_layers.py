"""What was computed of all channels of an image, written in the format of that image or another one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf._files import PathLike, replacing
from sparsegmrf._libraries import library
from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo import GeoTiff, NetCdf, Nifti
from sparsegmrf.geo._layers import Layer, one_layer, opaque_where_filled
from sparsegmrf.geo._netcdf import placeless
from sparsegmrf.io._picture import Picture
from sparsegmrf.io._raster import Raster
from sparsegmrf.io._write import check_scales, placed_as, storage_of

_UNCHANGED: Mapping[str, str] = {}
_GRIDS = (".nc", ".nc4", ".cdf", ".zarr")
_ARRAYS = (".npy", ".npz")
_COLOURS = 3


def write_layers(
    path: PathLike,
    layers: Sequence[Layer],
    like: Raster,
    *,
    tiled: bool | None = None,
    packed: bool = False,
) -> None:
    """Write what was computed of all channels of an image, whole or not at all.

    Bands of a GeoTIFF keep their descriptions, colours, units and metadata, NetCDF the dimension of the channels where
    it was, FITS and NIfTI the third axis; of pictures a TIFF has the colours, arrays the channels where they were.

    Parameters
    ----------
    path : path
        The file.
    layers : sequence of Layer
        One or, in formats that hold several images, more of them.
    like : Raster
        The image, with all of its channels.
    tiled, packed
        As of `sparsegmrf.io.write`.

    Raises
    ------
    ArgumentError
        As `check_layers`.
    FileError
        If the file cannot be written.
    """
    check_layers(path, like, len(layers), tiled=tiled, packed=packed)
    place: Any = placed_as(path, like)
    if place is not None:
        place.write_channels(path, layers, **storage_of(path, place, tiled, packed))
        return
    target, axis = Path(path), like.axis if isinstance(like, Picture) else -1
    suffix = target.suffix.lower()
    if suffix in _GRIDS:
        _grid(like).write_channels(target, layers, exact=True)
    elif suffix in _ARRAYS:
        _write_arrays(target, layers, axis)
    else:
        _write_tiff(target, one_layer(layers, "TIFF"), like)


def check_layers(
    path: PathLike,
    like: Raster,
    count: int,
    argument: str = "path",
    *,
    tiled: bool | None = None,
    packed: bool = False,
    called: Mapping[str, str] = _UNCHANGED,
) -> None:
    """Refuse what `write_layers` cannot write; a long computation asks before it begins.

    Raises
    ------
    ArgumentError
        If the suffix is another one, or the format does not hold so many images of several channels.
    """
    place = placed_as(path, like, argument)
    storage_of(path, place, tiled, packed, called)
    if packed:
        check_scales(path, like, place, argument, called)
    if place is None:
        allowed = _allowed(like, count)
        if Path(path).suffix.lower() not in allowed:
            what = "several images of several channels" if count > 1 else "several channels of this image"
            raise ArgumentError(f"{argument} must end in {', '.join(allowed)} to hold {what}, got {path}.")
    if isinstance(place, Nifti) and count > 1:
        raise ArgumentError(f"{argument} must be a directory for images of several slices, got {path}.")


def _allowed(like: Raster, count: int) -> tuple[str, ...]:
    """Return the suffixes of files that hold so many images of several channels, where they lie if they do."""
    single: tuple[str, ...]
    if like.suffixes:
        other = _GRIDS if isinstance(like, GeoTiff) else GeoTiff.suffixes if isinstance(like, NetCdf) else ()
        places, single = (*like.suffixes, *other), like.suffixes if isinstance(like, Nifti) else ()
    else:
        places, single = (*GeoTiff.suffixes, *_GRIDS), GeoTiff.suffixes
    return tuple(each for each in (*places, *_ARRAYS) if count == 1 or each not in (".npy", *single))


def _grid(like: Raster) -> NetCdf:
    """Return a grid without coordinates for channels, these first."""
    image = library("xarray").DataArray(np.asarray(like.image), dims=("row", "column", "channel"), name="image")
    if like.unit:
        image.attrs["units"] = like.unit
    grid = placeless(image)
    return NetCdf(grid.image, {}, dims=("channel", "row", "column"))


def _write_arrays(path: Path, layers: Sequence[Layer], axis: int) -> None:
    """Write arrays with the channels on the axis of an image on which they stood."""
    arrays = [np.moveaxis(each.values, -1, axis - 3 if axis >= 0 else axis) for each in layers]
    with replacing(path) as temporary:
        if path.suffix.lower() == ".npy":
            np.save(temporary, arrays[0])
        elif len(layers) == 1:
            np.savez_compressed(temporary, image=arrays[0])
        else:
            named: dict[str, Any] = {each.name: array for each, array in zip(layers, arrays, strict=True)}
            np.savez_compressed(temporary, **named)


def _write_tiff(path: Path, layer: Layer, like: Raster) -> None:
    """Write an image as a TIFF of float64: three channels as colours, others as planes, and the transparency."""
    tifffile = library("tifffile")
    picture = like if isinstance(like, Picture) else None
    values, opacity = layer.values, picture.opacity if picture is not None and layer.is_filled else None
    of_colours = picture is not None and picture.is_colour and layer.is_image
    if opacity is not None:
        values = np.concatenate([values, opaque_where_filled(*opacity, values)[..., np.newaxis]], axis=-1)
    options: dict[str, Any] = {"photometric": "rgb" if of_colours else "minisblack", "planarconfig": "contig"}
    extra = values.shape[-1] - (_COLOURS if of_colours else 1)
    if extra:
        unspecified = extra - (opacity is not None)
        options["extrasamples"] = ["unspecified"] * unspecified + ["unassalpha"] * (opacity is not None)
    with replacing(path) as temporary:
        tifffile.imwrite(temporary, values, metadata=None, **options)
