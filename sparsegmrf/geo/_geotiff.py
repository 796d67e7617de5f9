"""Rasters that rasterio opens, and GeoTIFF on the same ground."""

import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsegmrf._address import name_of, url_of
from sparsegmrf._files import PathLike, replacing
from sparsegmrf._libraries import library
from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError, DataWarning
from sparsegmrf.geo._blocks import blocks_of, is_optimized, optimized
from sparsegmrf.geo._common import Bands, Placed, check_file, chosen, is_one, unreadable
from sparsegmrf.geo._packing import Packing, pack
from sparsegmrf.geo._quiet import quiet
from sparsegmrf.geo._spacing import spacing_of_transform
from sparsegmrf.inference import Spacing
from sparsegmrf.typing import ArrayLike, FloatArray

_NOT_COPIED = ("AREA_OR_POINT", "TIFFTAG_IMAGEDESCRIPTION")
"""Tags of a file that are written by other means, or describe how its pixels lay."""
_ALIKE = 1e-6
"""Difference of two transforms, in pixels over the whole raster, that rounding may make."""


@dataclass(frozen=True, eq=False)
class GeoTiff(Placed):
    """Bands of a GeoTIFF, or of another raster, and what other rasters of the same ground need.

    Attributes
    ----------
    image : ndarray, (H, W) or (H, W, C)
        Stored values times scale plus offset, in `unit`, of one band or several; NaN where the file has no data
        (no-data value, mask, transparency, NaN: whatever says so).
    band : int or None
        Number of the band, from 0; None if there are several.
    name, unit : str
        Description and unit of the band; empty if the file has none, or not the same for all.
    nodata : float or None
        Stored value that stands for no data.
    dtype : numpy.dtype
        Type of the stored values.
    georeference : dict
        ``crs``, ``transform``, ground control points, rational polynomial coefficients and the ``AREA_OR_POINT`` tag,
        as rasterio has them.
    tags, band_tags : dict
        Other metadata of the file and, if one was read, of the band.
    scaling : (float, float)
        Scale and offset by which stored values were read.
    blocks : dict
        Blocks in which a tiled file is written, as rasterio has them; empty for rows.
    is_optimized : bool
        Whether the file is a cloud-optimized GeoTIFF.
    """

    image: FloatArray
    band: int | None
    name: str
    unit: str
    nodata: float | None
    dtype: np.dtype[Any]
    georeference: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    band_tags: dict[str, str] = field(default_factory=dict)
    scaling: tuple[float, float] = (1.0, 0.0)
    blocks: dict[str, Any] = field(default_factory=dict)
    is_optimized: bool = False
    suffixes = (".tif", ".tiff")
    stack_suffix = ".tif"
    storage = ("tiled", "packed")

    @property
    def spacing(self) -> Spacing:
        """Size of the pixels by the transform, to be given to `sparsegmrf.fit` and `sparsegmrf.fill`.

        In the unit of a projection; in kilometres where rows and columns follow parallels and meridians, the width row
        by row. Pixels, with a note, where rows and columns are not at right angles.
        """
        height, width = self.image.shape[:2]
        return spacing_of_transform(self.georeference["transform"], self.georeference["crs"], (height, width))

    def same_ground(self, other: "GeoTiff") -> bool:
        """Return whether another raster lies on the same ground, as far as both say where they lie."""
        ours, theirs = self.georeference, other.georeference
        if ours["crs"] and theirs["crs"] and ours["crs"] != theirs["crs"]:
            return False
        placed = [each["transform"] for each in (ours, theirs) if not each["transform"].is_identity]
        if len(placed) < 2:
            return True
        height, width = self.image.shape[:2]
        corners = np.array([[0.0, width, 0.0], [0.0, 0.0, height], [1.0, 1.0, 1.0]])
        here, there = (np.reshape(transform, (3, 3)) @ corners for transform in placed)
        pixel = np.abs(np.reshape(placed[0], (3, 3))[:2, :2]).sum(axis=1).min()
        return bool(np.abs(here - there).max() <= _ALIKE * pixel * max(height, width))

    def write(
        self,
        path: PathLike,
        image: ArrayLike,
        name: str = "",
        *,
        unit: str | None = None,
        exact: bool = False,
        tiled: bool | None = None,
        packed: bool = False,
    ) -> None:
        """Write images of the same ground as a GeoTIFF of floats, whole or not at all.

        Values are written as they are, so that the file needs no scale or offset: as float32 if that holds every
        value of the file read, or else as float64. NaN becomes the no-data value of the file read, if it had one that
        the type holds and no image takes it; otherwise NaN is the no-data value.

        Parameters
        ----------
        path : path
            The file.
        image : array_like, (H, W) or (K, H, W)
            One or several bands, in `unit`.
        name : str
            Description of the bands.
        unit : str, optional
            Another unit than that of the band read; its metadata are then left out.
        exact : bool
            Write float64 in any case.
        tiled : bool, optional
            Write a cloud-optimized GeoTIFF, in tiles and with overviews; by default if the file read was one.
        packed : bool
            Write integers with scale and offset: those of the file read, if it has integers, so that observed pixels
            come back exactly, in a wider type where values do not fit; or else the values spread over 16 bits. The
            no-data value is one that no pixel has.

        Raises
        ------
        ArgumentError
            If the shape is another one, or values cannot be packed.
        FileError
            If the directory does not exist.
        """
        array = self._of_same_pixels(image)
        bands = array[np.newaxis] if array.ndim == 2 else array
        names = [name if len(bands) == 1 else f"{name} {k}".strip() for k in range(1, len(bands) + 1)]
        self._write(path, bands, names, unit=unit, exact=exact, tiled=tiled, packed=packed)

    def write_several(
        self,
        path: PathLike,
        images: Mapping[str, ArrayLike],
        *,
        exact: bool = False,
        tiled: bool | None = None,
        packed: bool = False,
    ) -> None:
        """Write images of the same ground as bands of one GeoTIFF, described by their names.

        Raises
        ------
        ArgumentError
            If a shape is another one, or they are to be packed: the bands of a GeoTIFF have one no-data value.
        FileError
            If the directory does not exist.
        """
        if packed:
            raise ArgumentError("packed must be left out of a GeoTIFF of several images, which has one no-data value.")
        bands = np.stack([self._of_same_pixels(image, several=False) for image in images.values()])
        self._write(path, bands, list(images), unit=None, exact=exact, tiled=tiled, packed=False)

    def _write(
        self,
        path: PathLike,
        bands: FloatArray,
        names: list[str],
        *,
        unit: str | None,
        exact: bool,
        tiled: bool | None,
        packed: bool,
    ) -> None:
        rasterio = library("rasterio")
        scale, offset = 1.0, 0.0
        if packed:
            stored, packing = pack(bands, self._packing(names[0], unit))
            dtype, scale, offset = packing.dtype, packing.scale, packing.offset
            nodata: float | None = packing.nodata
        else:
            dtype = self._type_of(bands, self.dtype, exact)
            floats = bands.astype(dtype)
            nodata = self._nodata_for(floats)
            stored = np.where(np.isnan(floats), dtype.type(nodata), floats)
        profile = {"driver": "GTiff", "dtype": dtype, "compress": "deflate", "BIGTIFF": "IF_SAFER", **self.blocks}
        placed = {key: self.georeference[key] for key in ("crs", "transform")}
        # Within memory first: what GDAL cannot write to a disk for want of space, it does not always tell.
        with quiet(rasterio), rasterio.io.MemoryFile() as memory:
            with memory.open(
                count=len(bands), height=bands.shape[1], width=bands.shape[2], nodata=nodata, **profile, **placed
            ) as target:
                self._describe(target, names, unit)
                if packed:
                    target.scales, target.offsets = [scale] * len(bands), [offset] * len(bands)
                target.write(stored)
            content = bytes(memory.getbuffer())
        if self.is_optimized if tiled is None else tiled:
            content = optimized(rasterio, content)
        with replacing(path) as temporary:
            temporary.write_bytes(content)

    def _packing(self, name: str, unit: str | None) -> Packing | None:
        """Return the packing of the file read, where an image is of the same kind."""
        if self.dtype.kind not in "iu" or unit is not None or name.startswith("standard deviation"):
            return None
        nodata = self.nodata if self.nodata is not None and float(self.nodata).is_integer() else None
        return Packing(self.dtype, *self.scaling, None if nodata is None else int(nodata))

    def _describe(self, target: Any, names: list[str], unit: str | None) -> None:
        """Give a file that is written its place, its metadata and its bands' names and unit."""
        put_in_place(target, self.georeference, self.tags)
        for k, name in enumerate(names, start=1):
            target.set_band_description(k, name)
            if unit is None and self.band_tags:
                target.update_tags(k, **self.band_tags)
        target.units = [self.unit if unit is None else unit] * target.count

    def _nodata_for(self, stored: Any) -> float:
        if self.nodata is None:
            return float("nan")
        with np.errstate(over="ignore"):
            value = stored.dtype.type(self.nodata)
        held = np.isfinite(value) or not np.isfinite(self.nodata)
        return float(value) if held and not bool((stored == value).any()) else float("nan")


def read_geotiff(path: PathLike, *, band: Bands = None) -> GeoTiff:
    """Read a band of a GeoTIFF, or of any other raster that rasterio opens.

    Pages of a TIFF are bands. Transparency (alpha) is none: it says where the others have data.

    Parameters
    ----------
    path : path
        The file, or what rasterio opens by a URL or a virtual path.
    band : int, sequence of int or "all", optional
        Number of the band, from 0, or of several; may be left out if there is one only.

    Returns
    -------
    GeoTiff

    Raises
    ------
    MissingLibraryError
        If rasterio is not installed.
    FileError
        If the file cannot be read.
    ArgumentError
        If there is no such band, or there are several and none is chosen.

    Examples
    --------
    >>> import rasterio, tempfile
    >>> profile = {"driver": "GTiff", "count": 1, "height": 2, "width": 3, "dtype": "int16", "nodata": -9999}
    >>> ground = {"crs": "EPSG:32633", "transform": rasterio.Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with rasterio.open(folder + "/elevation.tif", "w", **profile, **ground) as target:
    ...         target.write(np.array([[[310, 312, -9999], [309, 311, 315]]], dtype=np.int16))
    ...     source = read_geotiff(folder + "/elevation.tif")
    ...     source.write(folder + "/doubled.tif", 2.0 * source.image)
    ...     read_geotiff(folder + "/doubled.tif").image.tolist()
    [[620.0, 624.0, nan], [618.0, 622.0, 630.0]]
    """
    rasterio, address = library("rasterio"), url_of(path)
    if address is None:
        check_file(path)
    try:
        with quiet(rasterio), ExitStack() as opened:
            source = opened.enter_context(rasterio.open(path if address is None else address))
            bands, alpha = bands_of(rasterio, source, opened)
            note = " Transparency (alpha) is no band." if alpha else ""
            numbers = chosen("bands", name_of(path), len(bands), band, note)
            taken = [bands[number] for number in numbers]
            tell_of_colours(rasterio, taken, name_of(path))
            images = [values_of(page, k, alpha.get(id(page))) for page, k in taken]
            units = {page.units[k] or "" for page, k in taken}
            nodata = {page.nodatavals[k] for page, k in taken}
            one = is_one(band)
            first, k = taken[0]
            return GeoTiff(
                image=images[0] if one else np.stack(images, axis=-1),
                band=numbers[0] if one else None,
                name=(first.descriptions[k] or "") if one else "",
                unit=units.pop() if len(units) == 1 else "",
                nodata=nodata.pop() if len(nodata) == 1 else None,
                dtype=np.result_type(*(page.dtypes[k] for page, k in taken)),
                georeference=georeference_of(source),
                tags=copied_tags(source),
                band_tags=_without_statistics(first.tags(k + 1)) if one else {},
                scaling=(first.scales[k], first.offsets[k]),
                blocks=blocks_of(source),
                is_optimized=is_optimized(source),
            )
    except rasterio.errors.RasterioError as error:
        raise unreadable(path, "a raster", error) from error


def georeference_of(source: Any) -> dict[str, Any]:
    """Return what places the pixels of a data set, as rasterio has it."""
    return {
        "crs": source.crs,
        "transform": source.transform,
        "gcps": source.gcps,
        "rpcs": source.rpcs,
        "area_or_point": source.tags().get("AREA_OR_POINT", "Area"),
    }


def put_in_place(target: Any, georeference: dict[str, Any], tags: dict[str, str]) -> None:
    """Give a file that is written what places its pixels besides its transform, and the metadata of its source."""
    points, crs = georeference["gcps"]
    if points:
        target.gcps = (points, crs)
    if georeference.get("rpcs") is not None:
        target.rpcs = georeference["rpcs"]
    target.update_tags(**tags, AREA_OR_POINT=georeference["area_or_point"])


def copied_tags(source: Any) -> dict[str, str]:
    """Return the metadata of a data set that hold of others on its ground."""
    return {key: value for key, value in source.tags().items() if key not in _NOT_COPIED}


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
