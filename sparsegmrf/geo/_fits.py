"""Images of FITS files through astropy, in the order of their rows, with header and world coordinates."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf._files import PathLike, replacing
from sparsegmrf._libraries import library
from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo._common import Bands, Placed, check_file, chosen, is_one, unreadable
from sparsegmrf.geo._layers import Layer
from sparsegmrf.typing import ArrayLike, FloatArray

_OF_STORED_VALUES = ("BSCALE", "BZERO", "BLANK", "DATAMIN", "DATAMAX", "CHECKSUM", "DATASUM", "ZBLANK")
_OF_FURTHER_AXES = re.compile(
    r"(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA|CNAME|CRDER|CSYER)([3-9]|\d\d)[A-Z]?"
    r"|(PC|CD|PV|PS)(([3-9]|\d\d)_\d+|\d_([3-9]|\d\d))[A-Z]?"
)
"""Keywords of the third axis and those after it."""
_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Fits(Placed):
    """An image of a FITS file, and what others of the same place need.

    Row 0 is the first row of the file, which viewers of FITS draw at the bottom.

    Attributes
    ----------
    image : ndarray, (H, W) or (H, W, C)
        Values in `unit`, ``BSCALE`` and ``BZERO`` applied, NaN where they are blank; the last axis is the third one
        of a cube if several planes were read.
    header, primary : astropy.io.fits.Header
        Headers of the image and of the file; the same if the image is the first.
    dtype : numpy.dtype
        Type of the stored values.
    is_whole : bool
        Whether all planes were read.
    """

    image: FloatArray
    header: Any
    primary: Any
    dtype: np.dtype[Any]
    is_whole: bool = False
    suffixes = (".fits", ".fit", ".fts")
    stack_suffix = ".fits"
    storage = ()

    @property
    def unit(self) -> str:
        """Unit of the values; empty if the file has none."""
        return str(self.header.get("BUNIT", ""))

    @property
    def nodata(self) -> float | None:
        """Stored value that stands for no data; None if there is none."""
        blank = self.header.get("BLANK")
        return None if blank is None else float(blank)

    def same_ground(self, other: "Fits") -> bool:
        """Return whether another image has the same linear world coordinates, as far as both have any."""
        names = ("CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CDELT1", "CDELT2")
        for name in (*names, "CD1_1", "CD1_2", "CD2_1", "CD2_2"):
            ours, theirs = self.header.get(name), other.header.get(name)
            if ours is None or theirs is None or ours == theirs:
                continue
            if isinstance(ours, str) or isinstance(theirs, str):
                return False
            if not np.isclose(ours, theirs, rtol=_TOLERANCE, atol=0.0):
                return False
        return True

    def write(
        self, path: PathLike, image: ArrayLike, name: str = "", *, unit: str | None = None, exact: bool = False
    ) -> None:
        """Write images of the same place as FITS, whole or not at all.

        Header and world coordinates are those of the image read, less those of a third axis. Values are written as
        they are: as float32 if the image was stored in no more and that holds every value read, or else as float64.

        Parameters
        ----------
        path : path
            The file.
        image : array_like, (H, W) or (K, H, W)
            One or several planes, in `unit`, rows in the order read.
        name : str
            What they are, for the history in the header.
        unit : str, optional
            Another unit than that of the image read.
        exact : bool
            Write float64 in any case.

        Raises
        ------
        ArgumentError
            If the shape is another one.
        FileError
            If the directory does not exist.
        """
        array = self._of_same_pixels(image)
        self._write(path, array.astype(self._type_of(array, self.dtype, exact)), self._header(name, unit))

    def write_channels(self, path: PathLike, layers: Sequence[Layer], *, exact: bool = False) -> None:
        """Write what was computed of several planes as a cube, draws along a fourth axis, or cubes as extensions.

        World coordinates of the third axis are kept where all planes were read.
        """
        fits = library("astropy.io.fits")
        arrays = [each.planes for each in layers]
        values = [array.astype(self._type_of(array, self.dtype, exact)) for array in arrays]
        headers = [self._header(each.meaning, None, 3 if self.is_whole else 2) for each in layers]
        if len(layers) == 1:
            self._write(path, values[0], headers[0])
            return
        primary = fits.Header() if self.primary is self.header else self.primary
        units = [fits.PrimaryHDU(header=primary)]
        units += [fits.ImageHDU(v, h, name=each.name) for v, h, each in zip(values, headers, layers, strict=True)]
        with replacing(path) as temporary:
            fits.HDUList(units).writeto(temporary)

    def _write(self, path: PathLike, values: FloatArray, header: Any) -> None:
        fits = library("astropy.io.fits")
        if self.primary is self.header:
            units = [fits.PrimaryHDU(values, header)]
        else:
            units = [fits.PrimaryHDU(header=self.primary), fits.ImageHDU(values, header)]
        with replacing(path) as temporary:
            fits.HDUList(units).writeto(temporary)

    def write_several(self, path: PathLike, images: Mapping[str, ArrayLike], *, exact: bool = False) -> None:
        """Write images of the same place as extensions of one file, by their names.

        Raises
        ------
        ArgumentError
            If a shape is another one.
        FileError
            If the directory does not exist.
        """
        fits = library("astropy.io.fits")
        primary = fits.Header() if self.primary is self.header else self.primary
        units = [fits.PrimaryHDU(header=primary)]
        for name, image in images.items():
            array = self._of_same_pixels(image, several=False)
            values = array.astype(self._type_of(array, self.dtype, exact))
            units.append(fits.ImageHDU(values, self._header(name, None), name=name))
        with replacing(path) as temporary:
            fits.HDUList(units).writeto(temporary)

    def _header(self, name: str, unit: str | None, axes: int = 2) -> Any:
        """Return the header of another image of the same place, with the world coordinates of some axes."""
        header = self.header.copy()
        for keyword in list(header):
            if keyword in _OF_STORED_VALUES or _is_of_further_axes(keyword, axes):
                header.remove(keyword, remove_all=True, ignore_missing=True)
        if header.get("WCSAXES", axes) > axes:
            header["WCSAXES"] = axes
        if unit is not None:
            header["BUNIT"] = unit
        if name:
            header.add_history(f"sparsegmrf: {name}")
        return header


def read_fits(path: PathLike, *, extension: str | None = None, plane: Bands = None) -> Fits:
    """Read an image of a FITS file.

    Parameters
    ----------
    path : path
        The file.
    extension : str, optional
        Name or number of the extension (0 is the primary one); may be left out if one only holds an image.
    plane : int, sequence of int or "all", optional
        Position from 0 along the third axis of a cube, or several positions; may be left out if it is of length 1.

    Returns
    -------
    Fits

    Raises
    ------
    MissingLibraryError
        If astropy is not installed.
    FileError
        If the file cannot be read.
    ArgumentError
        If there is no such image or plane, or there are several and none is chosen.

    Examples
    --------
    >>> import tempfile
    >>> from astropy.io import fits
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.PrimaryHDU(np.array([[1, 2, -1]], dtype=np.int16), fits.Header({"BLANK": -1})).writeto(
    ...         folder + "/counts.fits"
    ...     )
    ...     read_fits(folder + "/counts.fits").image.tolist()
    [[1.0, 2.0, nan]]
    """
    fits = library("astropy.io.fits")
    check_file(path)
    try:
        with fits.open(path, memmap=False, do_not_scale_image_data=True) as file:
            unit = _chosen_image(file, extension, Path(path).name)
            stored, header = np.asarray(unit.data), unit.header.copy()
            primary = header if unit is file[0] else file[0].header.copy()
    except ArgumentError:
        raise
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise unreadable(path, "a FITS file", error) from error
    cube = stored.reshape(-1, *stored.shape[-2:])
    if sum(size > 1 for size in stored.shape[:-2]) > 1:
        raise ArgumentError(
            f"image of {Path(path).name} must have two axes and at most one more, got {stored.shape[::-1]} along "
            "NAXIS1 and so on; write one slice to a file of its own first."
        )
    planes = chosen("planes along its third axis", Path(path).name, len(cube), plane)
    images = [_values(cube[k], header) for k in planes]
    image = images[0] if is_one(plane) else np.stack(images, axis=-1)
    is_whole = len(cube) > 1 and planes == list(range(len(cube)))
    return Fits(image, header, primary, stored.dtype.newbyteorder("="), is_whole)


def write_fits(path: PathLike, image: ArrayLike, name: str = "", unit: str = "") -> None:
    """Write an image that lies nowhere as FITS of float64, whole or not at all.

    Parameters
    ----------
    path : path
        The file.
    image : array_like, (H, W) or (K, H, W)
        Row 0 becomes the first row of the file.
    name, unit : str
        For the history in the header, and its ``BUNIT``.

    Raises
    ------
    ArgumentError
        If it is no image.
    FileError
        If the directory does not exist.
    """
    header = library("astropy.io.fits").Header()
    array = real_array("image", image)
    if array.ndim not in (2, 3) or not array.size:
        raise ArgumentError(f"image must have shape (H, W) or (K, H, W) to be written as FITS, got {array.shape}.")
    plane = array if array.ndim == 2 else array[0]
    Fits(plane, header, header, plane.dtype).write(path, array, name, unit=unit or None, exact=True)


def _is_of_further_axes(keyword: str, axes: int) -> bool:
    """Return whether a keyword is of an axis after so many."""
    return _OF_FURTHER_AXES.fullmatch(keyword) is not None and max(map(int, re.findall(r"\d+", keyword))) > axes


def _values(stored: Any, header: Any) -> FloatArray:
    values = real_array("image", stored.astype(stored.dtype.newbyteorder("="))).copy()
    scale, zero = float(header.get("BSCALE", 1.0)), float(header.get("BZERO", 0.0))
    if (scale, zero) != (1.0, 0.0):
        values = values * scale + zero
    if stored.dtype.kind in "iu" and "BLANK" in header:
        values[stored == header["BLANK"]] = np.nan
    return values


def _chosen_image(file: Any, extension: str | None, name: str) -> Any:
    """Return the header and data unit that holds the image."""
    images = {k: unit for k, unit in enumerate(file) if unit.is_image and len(unit.shape) >= 2 and 0 not in unit.shape}
    called = [unit.name or str(k) for k, unit in images.items()]
    if not images:
        raise ArgumentError(f"path must hold an image, but {name} has none: no header with data of two axes or more.")
    if extension is None:
        if len(images) > 1:
            raise ArgumentError(f"variable must be one of {', '.join(called)} of {name}, got none.")
        return next(iter(images.values()))
    for k, unit in images.items():
        if extension == str(k) or extension.upper() == unit.name.upper():
            return unit
    raise ArgumentError(f"variable must be one of {', '.join(called)} of {name}, got {extension}.")
