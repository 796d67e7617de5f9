"""One reader for rasters of every format."""

from pathlib import Path

from sparsegmrf._address import name_of, url_of
from sparsegmrf._files import PathLike
from sparsegmrf._validate import one_of
from sparsegmrf.errors import ArgumentError, FileError, SparseGMRFError
from sparsegmrf.geo import read_geotiff, read_netcdf, read_zarr
from sparsegmrf.geo._common import Bands
from sparsegmrf.geo._dimensions import Selection
from sparsegmrf.geo._zarr_in import is_store
from sparsegmrf.io._formats import FORMATS, Format, check_format, row_of
from sparsegmrf.io._raster import Raster
from sparsegmrf.io._rasterio import rasterio_first
from sparsegmrf.io._request import Request


def read(
    path: PathLike,
    *,
    channel: Bands = None,
    grey: bool = False,
    scale: str = "unit",
    variable: str | None = None,
    channel_axis: int | None = None,
    select: Selection | None = None,
    format: Format | None = None,
) -> Raster:
    """Read an image from a file of any format, missing pixels as NaN.

    The format is known by the content of the file. GeoTIFF, and whatever else rasterio opens, has NaN where the
    no-data value, a mask, transparency or NaN says so; NetCDF where its conventions do; FITS where values are blank.
    Such values are in the unit of the file, scale and offset applied.

    Parameters
    ----------
    path : path
        The file, a directory that is a Zarr store, or what a URL names: a raster for rasterio, NetCDF or Zarr by the
        suffix.
    channel : int, sequence of int or "all", optional
        Channel, band, page, or position along a leading dimension such as time, from 0; or several of them, which make
        an image ``(H, W, C)``. May be left out if there is one only. Transparency is no channel.
    grey : bool
        Take the luminance ``0.2125 R + 0.7154 G + 0.0721 B`` of a colour image.
    scale : {"unit", "none"}
        With ``"unit"`` 8- and 16-bit counts of pictures that are placed nowhere are divided by 255 and 65535.
    variable : str, optional
        Variable of a NetCDF or ``.npz`` file or a Zarr store, of a group as ``group/name``, or extension of a FITS
        file; needed where several are images.
    channel_axis : int, optional
        Axis that holds the channels of a ``.npy`` or ``.npz`` file; other formats say so themselves. Needed where the
        first axis is the shortest.
    select : mapping, optional
        Values of coordinates along further dimensions of NetCDF and Zarr, such as ``{"level": 850}``, beside the one
        that `channel` numbers; ``{"t": 3}`` for the volumes of NIfTI.
    format : Format, optional
        How to read the file, whatever it begins with: a format of one's own.

    Returns
    -------
    Raster
        `GeoTiff`, `NetCdf`, `Fits`, `Nifti` or `Picture`: its ``image`` is ``(H, W)`` or ``(H, W, C)``, ``missing`` is
        ``(H, W)``, ``unit`` a text, and ``write(path, image)`` writes another image on the same ground.

    Raises
    ------
    FileError
        If the file is missing or cannot be read.
    ArgumentError
        If there are several channels or variables and none is chosen, or not that one.
    ImageLayoutError
        If it cannot be told which axis of an array holds the channels.
    MissingLibraryError
        If the library for the format is not installed.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(folder + "/ramp.npy", np.arange(6.0).reshape(2, 3))
    ...     read(folder + "/ramp.npy").image.tolist()
    [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    one_of("scale", scale, ("unit", "none"))
    check_format(format)
    source, request = Path(path), Request(channel, grey, scale, variable, channel_axis, dict(select or {}))
    address = url_of(path)
    if address is not None:
        return _read_remote(address, request)
    if source.is_dir():
        if format is not None or is_store(source):
            return _read_as(format or row_of("Zarr"), source, request)
        raise FileError(f"path must be an existing image file, got {path}, which is a directory.")
    if not source.is_file():
        suffixes = ", ".join(each.suffixes[0] for each in (FORMATS if format is None else (format,)))
        raise FileError(f"path must be an existing image file ({suffixes}), got {path}, which is none.")
    try:
        with source.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise FileError(f"path must be an image file, got {path}, which cannot be read: {error.strerror}") from error
    if format is not None:
        return _read_as(format, source, request)
    compound = [(each, suffix) for each in FORMATS for suffix in each.suffixes if suffix.count(".") > 1]
    for each, suffix in compound:  # what is compressed begins like anything else that is
        if source.name.lower().endswith(suffix):
            return _read_as(each, source, request)
    for each in FORMATS:
        if start.startswith(each.starts):
            return _read_as(each, source, request)
    for each in FORMATS:
        if source.name.lower().endswith(each.suffixes):
            return _read_as(each, source, request)
    return rasterio_first(source, request)


def _read_remote(address: str, request: Request) -> Raster:
    """Read what a URL names: NetCDF and Zarr by the suffix, all else through rasterio."""
    name = name_of(address)
    request.refuse_grey(name)
    request.refuse_axis(name)
    for suffixes, reader in ((row_of("NetCDF").suffixes, read_netcdf), (row_of("Zarr").suffixes, read_zarr)):
        if name.lower().endswith(suffixes) and not address.startswith("/vsi"):
            return reader(address, variable=request.variable, index=request.channel, select=request.select)
    request.refuse_variable(name)
    request.refuse_select(name)
    return read_geotiff(address, band=request.channel)


def _read_as(format: Format, source: Path, request: Request) -> Raster:
    """Return what a format reads."""
    try:
        found = format.read(source, request)
    except SparseGMRFError:
        raise
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FileError(f"path must be a {format.name} file, got {source}, which cannot be read: {reason}") from error
    if not isinstance(found, Raster):
        raise ArgumentError(
            f"format must read a Raster, got {type(found).__name__} from {format.name}; return picture_of(...)."
        )
    return found
