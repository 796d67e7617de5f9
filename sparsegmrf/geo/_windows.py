"""GeoTIFF by windows: rasters that are read and written without ever being in memory."""

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from sparsegmrf._address import name_of, url_of
from sparsegmrf._files import PathLike, replacing
from sparsegmrf._libraries import library
from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo._bands import bands_of, values_of
from sparsegmrf.geo._common import check_file, chosen, unreadable
from sparsegmrf.geo._geotiff import copied_tags, georeference_of, put_in_place
from sparsegmrf.geo._quiet import quiet
from sparsegmrf.geo._spacing import spacing_of_transform
from sparsegmrf.inference import Spacing
from sparsegmrf.typing import FloatArray, Shape

_BLOCK = 512
"""Side in pixels of the blocks of a file that is written."""
_ROWS = 1024
"""Rows that are written at a time."""

Source: TypeAlias = Callable[[slice, slice], FloatArray]
"""Returns rows and columns of an image."""


@dataclass(frozen=True, eq=False)
class RasterWindows:
    """One band of an open raster, read by windows.

    Attributes
    ----------
    shape : (int, int)
        Height and width in pixels.
    name, unit : str
        Description and unit of the band.
    dtype : numpy.dtype
        Of what is written on the same ground: float32 if it holds every value the band may have, or else float64.
    georeference, tags : dict
        As of a `GeoTiff`.
    """

    shape: Shape
    name: str
    unit: str
    dtype: np.dtype[Any]
    georeference: dict[str, Any]
    tags: dict[str, str]
    _page: Any
    _numbers: tuple[int, int | None]
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def spacing(self) -> Spacing:
        """Size of the pixels by the transform, as `GeoTiff.spacing`."""
        return spacing_of_transform(self.georeference["transform"], self.georeference["crs"], self.shape)

    def read(self, rows: slice, columns: slice) -> FloatArray:
        """Return a window of the band in its unit, NaN where the file has no data; from any thread.

        Raises
        ------
        FileError
            If the window cannot be read, as of a file that is damaged there.
        """
        rasterio = library("rasterio")
        window = rasterio.windows.Window.from_slices(rows, columns)
        try:
            with self._lock, quiet(rasterio):  # a data set of GDAL is for one thread at a time
                return values_of(self._page, *self._numbers, window=window)
        except rasterio.errors.RasterioError as error:
            where = f"a raster that can be read in rows {rows.start} to {rows.stop - 1} and columns {columns.start} to"
            raise unreadable(self._page.name, f"{where} {columns.stop - 1}", error) from error


@contextmanager
def open_windows(path: PathLike, *, band: int | None = None) -> Iterator[RasterWindows]:
    """Open a band of a GeoTIFF, or of any other raster that rasterio opens, to be read by windows.

    Parameters
    ----------
    path : path
        The file, or what rasterio opens by a URL or a virtual path.
    band : int, optional
        Number of the band, from 0; may be left out if there is one only.

    Yields
    ------
    RasterWindows

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
    ...     with open_windows(folder + "/elevation.tif") as raster:
    ...         raster.shape, raster.read(slice(0, 2), slice(1, 3)).tolist()
    ((2, 3), [[312.0, nan], [311.0, 315.0]])
    """
    rasterio, address = library("rasterio"), url_of(path)
    if address is None:
        check_file(path)
    with ExitStack() as opened:
        try:
            with quiet(rasterio):
                source = opened.enter_context(rasterio.open(path if address is None else address))
                bands, alpha = bands_of(rasterio, source, opened)
                (number,) = chosen("bands", name_of(path), len(bands), band)
                page, k = bands[number]
                stored = np.dtype(page.dtypes[k])
                plain = page.scales[k] == 1.0 and page.offsets[k] == 0.0
                dtype = np.dtype(np.float32 if plain and np.can_cast(stored, np.float32) else np.float64)
                found = RasterWindows(
                    shape=(source.height, source.width),
                    name=page.descriptions[k] or "",
                    unit=page.units[k] or "",
                    dtype=dtype,
                    georeference=georeference_of(source),
                    tags=copied_tags(source),
                    _page=page,
                    _numbers=(k, alpha.get(id(page))),
                )
        except rasterio.errors.RasterioError as error:
            raise unreadable(path if address is None else address, "a raster", error) from error
        yield found


def write_windows(path: PathLike, sources: Sequence[Source], names: Sequence[str], like: RasterWindows) -> None:
    """Write bands on the ground of a raster as a GeoTIFF of tiles with overviews, window by window.

    The file is compressed, its no-data value is NaN, and it appears under its name once it is complete and what was
    written has been read again: GDAL does not always tell that a disk is full.

    Parameters
    ----------
    path : path
        The file.
    sources : sequence of function
        For each band, what returns rows and columns of it, twice the same.
    names : sequence of str
        Descriptions of the bands.
    like : RasterWindows
        The raster, open.

    Raises
    ------
    ArgumentError
        If there are no bands, or not as many names.
    FileError
        If the directory does not exist, or the file cannot be written.
    """
    rasterio = library("rasterio")
    if not sources or len(sources) != len(names):
        raise ArgumentError(
            f"names must be one for each of at least one band, got {len(names)} names and {len(sources)} bands."
        )
    height, width = like.shape
    profile = {
        "driver": "GTiff",
        "dtype": like.dtype,
        "count": len(sources),
        "height": height,
        "width": width,
        "nodata": float("nan"),
        "compress": "deflate",
        "predictor": 3,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "BIGTIFF": "IF_SAFER",
    }
    placed = {key: like.georeference[key] for key in ("crs", "transform")}
    windows = [
        (slice(top, min(top + _ROWS, height)), slice(left, min(left + _ROWS, width)))
        for top in range(0, height, _ROWS)
        for left in range(0, width, _ROWS)
    ]
    with replacing(path) as temporary, quiet(rasterio):
        try:
            with rasterio.open(temporary, "w", **profile, **placed) as target:
                _describe(target, names, like)
                for rows, columns in windows:
                    window = rasterio.windows.Window.from_slices(rows, columns)
                    target.write(_stored(sources, rows, columns, like.dtype), window=window)
            factors = [2**k for k in range(1, max(1, math.ceil(math.log2(max(height, width) / _BLOCK))) + 1)]
            if max(height, width) > _BLOCK:
                with rasterio.Env(COMPRESS_OVERVIEW="DEFLATE"), rasterio.open(temporary, "r+") as target:
                    target.build_overviews(factors, rasterio.enums.Resampling.average)
            with rasterio.open(temporary) as target:
                for rows, columns in windows:
                    found = target.read(window=rasterio.windows.Window.from_slices(rows, columns))
                    if not np.array_equal(found, _stored(sources, rows, columns, like.dtype), equal_nan=True):
                        raise OSError(f"what stands in rows {rows.start} to {rows.stop - 1} is not what was written")
        except rasterio.errors.RasterioError as error:
            raise OSError(str(error)) from error


def _stored(sources: Sequence[Source], rows: slice, columns: slice, dtype: np.dtype[Any]) -> Any:
    return np.array([source(rows, columns) for source in sources]).astype(dtype)


def _describe(target: Any, names: Sequence[str], like: RasterWindows) -> None:
    put_in_place(target, like.georeference, like.tags)
    for k, name in enumerate(names, start=1):
        target.set_band_description(k, name)
    target.units = [like.unit] * target.count
