"""Bands of open rasters: where they stand, what they hold, and what is said of each."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsegmrf._validate import real_array
from sparsegmrf.errors import DataWarning
from sparsegmrf.geo._layers import opaque_of
from sparsegmrf.typing import FloatArray

_NO_COLOUR = ("palette", "undefined", "gray")
"""Kinds of bands that are not written again: numbers between categories are none."""


@dataclass(frozen=True)
class BandNotes:
    """What a raster says of a band.

    Attributes
    ----------
    name, unit : str
        Description and unit; empty if there is none.
    tags : dict
        Other metadata.
    colour : str
        What the band is of a colour, as rasterio calls it, such as ``"red"``; empty if it is none.
    scaling : (float, float)
        Scale and offset by which stored values were read.
    """

    name: str = ""
    unit: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    colour: str = ""
    scaling: tuple[float, float] = (1.0, 0.0)


def notes_of(page: Any, k: int) -> BandNotes:
    """Return what a data set says of a band, numbers of which are no table of colours."""
    kind = page.colorinterp[k].name
    return BandNotes(
        page.descriptions[k] or "",
        page.units[k] or "",
        _without_statistics(page.tags(k + 1)),
        "" if kind in _NO_COLOUR else kind,
        (page.scales[k], page.offsets[k]),
    )


def put_notes(rasterio: Any, target: Any, notes: Sequence[BandNotes]) -> None:
    """Give a file that is written what is said of its bands, before they are written."""
    kinds = rasterio.enums.ColorInterp
    if any(each.colour for each in notes):
        plain = target.colorinterp
        target.colorinterp = [kinds[n.colour] if n.colour else kind for n, kind in zip(notes, plain, strict=True)]
    for k, each in enumerate(notes, start=1):
        target.set_band_description(k, each.name)
        if each.tags:
            target.update_tags(k, **each.tags)
    target.units = [each.unit for each in notes]


def opacity_of(taken: list[tuple[Any, int]], alpha: dict[int, int]) -> tuple[Any, float] | None:
    """Return the transparency of the page that all bands are of, and what stands for opaque; None without any."""
    page = taken[0][0]
    if any(each is not page for each, _ in taken) or id(page) not in alpha:
        return None
    stored = page.read(alpha[id(page)] + 1)
    return stored, opaque_of(stored.dtype)


def bands_of(rasterio: Any, source: Any, opened: ExitStack) -> tuple[list[tuple[Any, int]], dict[int, int]]:
    """Return the bands of all pages as (data set, number), and the transparency of those pages that have one."""
    pages = [source]
    if source.driver == "GTiff" and len(source.subdatasets) > 1:
        each = (opened.enter_context(rasterio.open(name)) for name in source.subdatasets)
        pages = [page for page in each if page.shape == source.shape]
    kinds = [page.colorinterp for page in pages]
    transparency = rasterio.enums.ColorInterp.alpha
    alpha = {
        id(page): kind.index(transparency) for page, kind in zip(pages, kinds, strict=True) if transparency in kind
    }
    bands = [
        (page, k)
        for page, kind in zip(pages, kinds, strict=True)
        for k in range(page.count)
        if kind[k] != transparency or page.count == 1
    ]
    return bands, {} if all(page.count == 1 for page in pages) else alpha


def values_of(page: Any, k: int, alpha: int | None, window: Any = None) -> FloatArray:
    """Return a band, or a window of it, in its unit, NaN where anything in the file says that there is no data."""
    stored = page.read(k + 1, window=window)
    values: FloatArray = real_array("image", stored) * page.scales[k] + page.offsets[k]
    missing = page.read_masks(k + 1, window=window) == 0
    # Where there is a mask, GDAL takes it alone; what is no data by another rule is no data all the same.
    nodata = page.nodatavals[k]
    if nodata is not None:
        with np.errstate(over="ignore"):
            missing |= (stored == nodata) | (stored.astype(np.float64) == float(np.float32(nodata))) & (
                stored.dtype == np.float32
            )
    if alpha is not None:
        missing |= page.read(alpha + 1, window=window) == 0
    values[missing] = np.nan
    return values


def tell_of_colours(rasterio: Any, bands: list[tuple[Any, int]], name: str) -> None:
    """Warn of a band whose numbers are those of a table of colours."""
    for page, k in bands:
        if page.colorinterp[k] == rasterio.enums.ColorInterp.palette:
            warnings.warn(
                f"band {k} of {name} has a table of colours: its numbers are likely categories, and numbers between "
                "them, which a field and a mean have, stand for none of them; fill an image of each category.",
                DataWarning,
                stacklevel=3,
            )


def _without_statistics(tags: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not key.startswith("STATISTICS_")}
