"""Rasters that rasterio opens, and GeoTIFF on the same ground."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sparsegmrf._address import name_of, url_of
from sparsegmrf._files import PathLike, replacing
from sparsegmrf._libraries import library
from sparsegmrf.geo._bands import BandNotes, bands_of, notes_of, opacity_of, put_notes, tell_of_colours, values_of
from sparsegmrf.geo._blocks import blocks_of, is_optimized, optimized
from sparsegmrf.geo._common import Bands, Placed, check_file, chosen, is_one, unreadable
from sparsegmrf.geo._layers import FILLED, Layer, opaque_where_filled
from sparsegmrf.geo._packing import Packing, is_of_kind, pack_bands
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
    notes : tuple of BandNotes
        Description, unit, metadata, colour and scaling of each band that was read.
    opacity : (ndarray, float) or None
        Transparency ``(H, W)`` as it is stored, where several bands were read, and what stands for opaque.
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
    notes: tuple[BandNotes, ...] = ()
    opacity: tuple[Any, float] | None = None
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
        likes = None
        if packed:
            are_ours = len(bands) == len(self.notes)
            scalings = [each.scaling for each in self.notes] if are_ours else [self.scaling] * len(bands)
            likes = [self._packing(name, unit, each) for each in scalings]
        self._write(path, bands, self._notes(names, unit), likes, exact=exact, tiled=tiled)

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

        Packed, each has a scale and offset of its own: ``filled``, the image with its gaps filled, those of the file
        read, so that observed pixels come back exactly; the others are spread over 16 bits.

        Raises
        ------
        ArgumentError
            If a shape is another one, or values cannot be packed.
        FileError
            If the directory does not exist.
        """
        bands = np.stack([self._of_same_pixels(image, several=False) for image in images.values()])
        own = self._packing("", None, self.scaling)
        likes = [own if name == FILLED else None for name in images] if packed else None
        self._write(path, bands, self._notes(list(images), None), likes, exact=exact, tiled=tiled)

    def write_channels(
        self,
        path: PathLike,
        layers: Sequence[Layer],
        *,
        exact: bool = False,
        tiled: bool | None = None,
        packed: bool = False,
    ) -> None:
        """Write what was computed of all bands as bands of one GeoTIFF: one after the other of each layer.

        In a file of its own a layer of the kind of the bands has their colours, and the image that is filled their
        descriptions and its transparency, opaque where it was filled.
        """
        alone, names = len(layers) == 1, [each.name for each in self.notes]
        bands, notes = [], []
        likes: list[Packing | None] = []
        for layer in layers:
            count = layer.values.size // (layer.values.shape[-1] * layer.values.shape[-2] * layer.values.shape[-3])
            bands.append(layer.planes.reshape(-1, *self.image.shape[:2]))
            for own, name in zip(self.notes * count, layer.names(names, alone), strict=True):
                colour = own.colour if alone and layer.is_image and count == 1 else ""
                notes.append(replace(own, name=name, colour=colour))
                likes.append(self._packing("", None, own.scaling) if layer.is_image else None)
        opacity = None
        if alone and layers[0].is_filled and self.opacity is not None:
            opacity = opaque_where_filled(*self.opacity, layers[0].values), self.opacity[1]
        given = likes if packed else None
        self._write(path, np.concatenate(bands), notes, given, exact=exact, tiled=tiled, opacity=opacity)

    def _write(
        self,
        path: PathLike,
        bands: FloatArray,
        notes: list[BandNotes],
        likes: Sequence[Packing | None] | None,
        *,
        exact: bool,
        tiled: bool | None,
        opacity: tuple[FloatArray, float] | None = None,
    ) -> None:
        """Write bands ``(K, H, W)`` with what is said of each; packed, with `likes`, each like its packing, if any."""
        rasterio = library("rasterio")
        scalings = [(1.0, 0.0)] * len(bands)
        nodata: float | None
        if likes is not None:
            stored, packings = pack_bands(bands, likes)
            scalings = [(each.scale, each.offset) for each in packings]
            dtype, nodata = packings[0].dtype, packings[0].nodata
        else:
            dtype = self._type_of(bands, self.dtype, exact)
            floats = bands.astype(dtype)
            nodata = self._nodata_for(floats)
            stored = np.where(np.isnan(floats), dtype.type(nodata), floats)
        if opacity is not None:
            most = float(np.iinfo(dtype).max) if likes is not None else opacity[1]
            stored = np.concatenate([stored, np.rint(opacity[0] * (most / opacity[1])).astype(dtype)[np.newaxis]])
            notes, scalings = [*notes, BandNotes(colour="alpha")], [*scalings, (1.0, 0.0)]
        of_colours = [each.colour for each in notes[:3]] == ["red", "green", "blue"]
        profile = {"driver": "GTiff", "dtype": dtype, "compress": "deflate", "BIGTIFF": "IF_SAFER", **self.blocks}
        profile["photometric"] = "RGB" if of_colours else "MINISBLACK"
        placed = {key: self.georeference[key] for key in ("crs", "transform")}
        # Within memory first: what GDAL cannot write to a disk for want of space, it does not always tell.
        with quiet(rasterio), rasterio.io.MemoryFile() as memory:
            with memory.open(
                count=len(stored), height=bands.shape[1], width=bands.shape[2], nodata=nodata, **profile, **placed
            ) as target:
                put_in_place(target, self.georeference, self.tags)
                put_notes(rasterio, target, notes)
                if likes is not None:
                    target.scales, target.offsets = zip(*scalings, strict=True)
                target.write(stored)
            content = bytes(memory.getbuffer())
        if self.is_optimized if tiled is None else tiled:
            content = optimized(rasterio, content)
        with replacing(path) as temporary:
            temporary.write_bytes(content)

    def _packing(self, meaning: str, unit: str | None, scaling: tuple[float, float]) -> Packing | None:
        """Return the packing of a band of the file read, where an image is of the same kind."""
        if self.dtype.kind not in "iu" or unit is not None or not is_of_kind(meaning):
            return None
        nodata = self.nodata if self.nodata is not None and float(self.nodata).is_integer() else None
        return Packing(self.dtype, *scaling, None if nodata is None else int(nodata))

    def _notes(self, names: list[str], unit: str | None) -> list[BandNotes]:
        """Return what is said of images of the band that was read, or of others in another unit."""
        own = BandNotes(unit=self.unit, tags=self.band_tags) if unit is None else BandNotes(unit=unit)
        return [replace(own, name=name) for name in names]

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
            notes = [notes_of(page, k) for page, k in taken]
            units = {each.unit for each in notes}
            nodata = {page.nodatavals[k] for page, k in taken}
            one = is_one(band)
            return GeoTiff(
                image=images[0] if one else np.stack(images, axis=-1),
                band=numbers[0] if one else None,
                name=notes[0].name if one else "",
                unit=units.pop() if len(units) == 1 else "",
                nodata=nodata.pop() if len(nodata) == 1 else None,
                dtype=np.result_type(*(page.dtypes[k] for page, k in taken)),
                georeference=georeference_of(source),
                tags=copied_tags(source),
                band_tags=notes[0].tags if one else {},
                scaling=notes[0].scaling,
                blocks=blocks_of(source),
                is_optimized=is_optimized(source),
                notes=tuple(notes),
                opacity=None if one else opacity_of(taken, alpha),
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
