"""Slices of NIfTI volumes through nibabel, with the affine that places them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf._files import PathLike, replacing
from sparsegmrf._libraries import library
from sparsegmrf._validate import integer_at_least, real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo._common import Bands, Placed, check_file, chosen, is_one, unreadable
from sparsegmrf.geo._dimensions import Selection
from sparsegmrf.geo._layers import Layer, one_layer
from sparsegmrf.inference import Spacing
from sparsegmrf.inference._spacing import in_unit, pixels
from sparsegmrf.typing import ArrayLike, FloatArray

_UNITS = {"mm": "mm", "meter": "m", "micron": "um"}
_ALIKE = 1e-5
"""Difference of two affines, in voxels: they are of single precision."""


@dataclass(frozen=True, eq=False)
class Nifti(Placed):
    """Slices of a NIfTI volume, and what other images of the same place need.

    Rows run along the first axis of the volume and columns along the second.

    Attributes
    ----------
    image : ndarray, (H, W) or (H, W, C)
        Values, slope and intercept applied; the last axis is the third one of the volume if several slices were read.
    header : nibabel.Nifti1Header
        Header of the file.
    affine : ndarray, (4, 4)
        Takes ``(row, column, 0, 1)`` of the first slice read to millimetres.
    dtype : numpy.dtype
        Type of the stored values.
    slices : tuple of int
        Which were read.
    """

    image: FloatArray
    header: Any
    affine: FloatArray
    dtype: np.dtype[Any]
    slices: tuple[int, ...] = (0,)
    suffixes = (".nii", ".nii.gz")
    stack_suffix = ".nii"
    storage = ()
    unit = ""
    nodata = None

    @property
    def spacing(self) -> Spacing:
        """Size of the pixels by the affine; pixels, with a note, where rows and columns are not at right angles."""
        down, along = self.affine[:3, 0], self.affine[:3, 1]
        height, width = float(np.linalg.norm(down)), float(np.linalg.norm(along))
        if not (height > 0.0 and width > 0.0):
            return pixels("the affine is singular")
        if abs(down @ along) > 1e-4 * height * width:
            return pixels("rows and columns are not at right angles")
        return in_unit(height, width, _UNITS.get(self.header.get_xyzt_units()[0], ""))

    def same_ground(self, other: "Nifti") -> bool:
        """Return whether another slice lies in the same place."""
        voxel = max(np.linalg.norm(self.affine[:3, 0]), np.linalg.norm(self.affine[:3, 1]))
        return bool(np.abs(self.affine - other.affine).max() <= _ALIKE * voxel * max(self.image.shape[:2]))

    def write(
        self, path: PathLike, image: ArrayLike, name: str = "", *, unit: str | None = None, exact: bool = False
    ) -> None:
        """Write images of the same place as NIfTI of one slice, several along the fourth axis, whole or not at all.

        Parameters
        ----------
        path : path
            The file, ``.nii`` or ``.nii.gz``.
        image : array_like, (H, W) or (K, H, W)
            One or several images.
        name : str
            For the description in the header, which has room for 80 letters.
        unit : str, optional
            NIfTI has none for values.
        exact : bool
            Write float64 in any case; otherwise float32 where that holds what was read.

        Raises
        ------
        ArgumentError
            If the shape is another one.
        FileError
            If the directory does not exist.
        """
        array = self._of_same_pixels(image)
        volume = array[:, :, np.newaxis] if array.ndim == 2 else np.moveaxis(array, 0, -1)[:, :, np.newaxis]
        self._write(path, volume, name, exact)

    def write_several(self, path: PathLike, images: Mapping[str, ArrayLike], *, exact: bool = False) -> None:
        """Write images of the same place as volumes of one slice along the fourth axis, named in the description.

        Raises
        ------
        ArgumentError
            If a shape is another one.
        FileError
            If the directory does not exist.
        """
        arrays = [self._of_same_pixels(image, several=False) for image in images.values()]
        self._write(path, np.stack(arrays, axis=-1)[:, :, np.newaxis], ", ".join(images), exact)

    def write_channels(self, path: PathLike, layers: Sequence[Layer], *, exact: bool = False) -> None:
        """Write what was computed of slices side by side as a volume, draws along the fourth axis.

        Raises
        ------
        ArgumentError
            If there are several, or the slices are not side by side.
        """
        if any(step != 1 for step in np.diff(self.slices)):
            raise ArgumentError(f"channels must be slices side by side to be written as NIfTI, got {self.slices}.")
        layer = one_layer(layers, "NIfTI")
        volume = layer.values if layer.values.ndim == 3 else np.moveaxis(layer.values, 0, -1)
        self._write(path, volume, layer.meaning, exact)

    def _write(self, path: PathLike, volume: FloatArray, name: str, exact: bool) -> None:
        nibabel = library("nibabel")
        dtype = self._type_of(volume, self.dtype, exact)
        header = self.header.copy()
        header.set_data_dtype(dtype)
        header["scl_slope"], header["scl_inter"] = 1.0, 0.0
        header["cal_min"] = header["cal_max"] = 0.0
        header["descrip"] = name.encode()[:79]
        found = type(self)._image_of(nibabel, header)(volume.astype(dtype), self.affine, header)
        for code, form in (("sform_code", found.set_sform), ("qform_code", found.set_qform)):
            form(self.affine if int(self.header[code]) else None, int(self.header[code]))
        with replacing(path) as temporary:
            nibabel.save(found, temporary)

    @staticmethod
    def _image_of(nibabel: Any, header: Any) -> Any:
        return nibabel.Nifti2Image if isinstance(header, nibabel.Nifti2Header) else nibabel.Nifti1Image


def read_nifti(path: PathLike, *, plane: Bands = None, select: Selection | None = None) -> Nifti:
    """Read slices of a NIfTI volume; NaN is missing.

    Parameters
    ----------
    path : path
        The file.
    plane : int, sequence of int or "all", optional
        Position from 0 along the third axis, or several positions; may be left out if it is of length 1.
    select : mapping, optional
        Position from 0 along the fourth axis: ``{"t": 3}``; may be left out if it is of length 1.

    Returns
    -------
    Nifti

    Raises
    ------
    MissingLibraryError
        If nibabel is not installed.
    FileError
        If the file cannot be read.
    ArgumentError
        If there is no such slice, or there are several and none is chosen.
    """
    nibabel = library("nibabel")
    check_file(path)
    name = Path(path).name
    try:
        source = nibabel.load(path)
        header, affine = source.header.copy(), np.asarray(source.affine, dtype=np.float64)
        shape = (*source.shape, 1, 1)[: max(len(source.shape), 4)]
        time = _time(shape, dict(select or {}), name)
        numbers = chosen("slices along its third axis", name, shape[2], plane)
        stored = np.asarray(source.dataobj).reshape(shape)
    except ArgumentError:
        raise
    except (OSError, ValueError, EOFError, nibabel.filebasedimages.ImageFileError) as error:
        raise unreadable(path, "a NIfTI file", error) from error
    images = [real_array("image", stored[:, :, k, time].squeeze()) for k in numbers]
    images = [each.reshape(shape[:2]).astype(np.float64) for each in images]
    placed = affine.copy()
    placed[:3, 3] += numbers[0] * affine[:3, 2]
    image = images[0] if is_one(plane) else np.stack(images, axis=-1)
    return Nifti(image, header, placed, header.get_data_dtype().newbyteorder("="), tuple(numbers))


def write_nifti(path: PathLike, image: ArrayLike, name: str = "", unit: str = "") -> None:
    """Write an image ``(H, W)`` that lies nowhere as NIfTI of float64 with voxels of 1 mm, whole or not at all.

    Raises
    ------
    ArgumentError
        If it is no image.
    FileError
        If the directory does not exist.
    """
    header = library("nibabel").Nifti1Header()
    array = real_array("image", image)
    if array.ndim != 2 or not array.size:
        raise ArgumentError(f"image must have shape (H, W) to be written as NIfTI, got {array.shape}.")
    Nifti(array, header, np.eye(4), array.dtype).write(path, array, name, exact=True)


def _time(shape: tuple[int, ...], select: dict[str, Any], name: str) -> int:
    wanted = select.pop("t", None)
    if select:
        raise ArgumentError(f"select must name t, the fourth axis of {name}, got {next(iter(select))}.")
    if any(size > 1 for size in shape[4:]):
        raise ArgumentError(f"image of {name} must have at most four axes, got {shape}; write a volume of its own.")
    if wanted is None:
        if shape[3] > 1:
            raise ArgumentError(f"{name} has {shape[3]} volumes; choose one by select, such as --select t=0.")
        return 0
    number = integer_at_least("select", int(wanted), 0)
    if number >= shape[3]:
        raise ArgumentError(f"select must be t=0 to t={shape[3] - 1} for {name}, got t={wanted}.")
    return number
