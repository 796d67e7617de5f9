"""Files that rasterio is asked about first: on the ground they are rasters, otherwise pictures."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf._libraries import has, library
from sparsegmrf.geo import GeoTiff, read_geotiff
from sparsegmrf.geo._common import unreadable
from sparsegmrf.geo._quiet import quiet
from sparsegmrf.io._photograph import TIFF_STARTS, needs_rasterio, read_photograph, read_tiff
from sparsegmrf.io._picture import Picture, picture_of
from sparsegmrf.io._request import Request
from sparsegmrf.typing import BoolArray

PHOTOGRAPHS = ("BIGGIF", "BMP", "GIF", "JP2OpenJPEG", "JPEG", "PNG", "PNM", "SGI", "TGA", "WEBP", "XPM")
"""Formats of rasterio that are read through imageio unless they are placed on the ground."""


def rasterio_first(path: Path, request: Request) -> GeoTiff | Picture:
    """Read what rasterio opens and says lies on the ground; the pictures among the rest as pictures."""
    with path.open("rb") as file:
        is_tiff = file.read(4).startswith(TIFF_STARTS)
    picture = read_tiff if is_tiff else read_photograph
    if not has("rasterio"):
        if is_tiff and needs_rasterio(path):
            library("rasterio")
        return picture(path, request)
    rasterio = library("rasterio")
    try:
        with quiet(rasterio), rasterio.open(path) as source:
            placed = _is_placed(source)
            hidden = None if placed else _hidden(rasterio, source)
            if not placed and _is_decoded_better(source):
                return _decoded(rasterio, source, path, request, hidden)
    except rasterio.errors.RasterioError as error:
        if is_tiff and needs_rasterio(path):  # as a picture it would lose its ground and what is missing
            raise unreadable(path, "a raster", error) from error
        return picture(path, request)
    if not placed:
        return picture(path, request, hidden)
    request.refuse_grey(path.name)
    request.refuse_variable(path.name)
    request.refuse_select(path.name)
    request.refuse_axis(path.name)
    return read_geotiff(path, band=request.channel)


def _is_placed(source: Any) -> bool:
    """Return whether a raster lies on the ground, or has a unit, scale or no-data value: is more than a picture."""
    if source.crs or not source.transform.is_identity or source.gcps[0] or source.rpcs is not None:
        return True
    if source.driver != "GTiff":
        return source.driver not in PHOTOGRAPHS
    told: Mapping[str, str] = source.tags()
    return (
        any(value is not None for value in source.nodatavals)
        or any(scale != 1.0 for scale in source.scales)
        or any(offset != 0.0 for offset in source.offsets)
        or any(source.units)
        or any(source.descriptions)
        or any(key != "AREA_OR_POINT" and not key.startswith("TIFFTAG_") for key in told)
    )


def _is_decoded_better(source: Any) -> bool:
    """Return whether rasterio is to decode a picture: one page of a TIFF in any compression, colours of 16 bits."""
    if source.driver == "GTiff":
        described = source.tags().get("TIFFTAG_IMAGEDESCRIPTION", "")
        return not source.subdatasets and not described.startswith("ImageJ=")
    return bool(source.driver == "PNG" and source.count > 1 and source.dtypes[0] == "uint16")


def _decoded(rasterio: Any, source: Any, path: Path, request: Request, hidden: BoolArray | None) -> GeoTiff | Picture:
    request.refuse_variable(path.name)
    request.refuse_select(path.name)
    request.refuse_axis(path.name)
    alpha = rasterio.enums.ColorInterp.alpha
    opacity = [k for k, kind in enumerate(source.colorinterp) if kind == alpha and source.count > 1]
    bands = [k for k in range(source.count) if k not in opacity]
    array = np.stack([source.read(k + 1) for k in bands], axis=-1)
    if source.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1":
        array = array != 0  # bits are no counts of 255
    return picture_of(
        array[..., 0] if len(bands) == 1 else array,
        replace(request, channel_axis=None if len(bands) == 1 else -1),
        path,
        ".tif",
        alpha=source.read(opacity[0] + 1) if opacity else None,
        hidden=hidden,
        is_colour=[kind.name for kind in source.colorinterp[:3]] == ["red", "green", "blue"],
    )


def _hidden(rasterio: Any, source: Any) -> BoolArray | None:
    """Return what a mask hides; transparency is told by the picture itself."""
    flags = {flag for each in source.mask_flag_enums for flag in each}
    if flags <= {rasterio.enums.MaskFlags.all_valid}:
        return None
    return np.asarray(source.dataset_mask() == 0)
