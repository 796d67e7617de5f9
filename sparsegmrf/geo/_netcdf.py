"""Variables of NetCDF files, and others of the same grid."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf._cf import OF_RANGE, OF_STORED_VALUES, missing_in
from sparsegmrf._files import PathLike, replacing
from sparsegmrf._libraries import library
from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo._common import Bands, Placed, check_file, chosen, is_one, unreadable
from sparsegmrf.inference import Spacing
from sparsegmrf.inference._spacing import read_spacing

_STORAGE = ("zlib", "complevel", "shuffle")


@dataclass(frozen=True, eq=False)
class NetCdf(Placed):
    """A variable of a NetCDF file, and what other variables of the same grid need.

    Attributes
    ----------
    image : xarray.DataArray, (H, W) or (H, W, C)
        The variable, packed values unpacked, NaN where the file has none; with its coordinates and grid mapping. The
        last axis is the leading dimension of the file, such as time, if several positions along it were read.
    attributes : dict
        Attributes of the whole file.
    bounds : dict
        Variables with the bounds of the coordinates' cells.
    """

    image: Any
    attributes: dict[str, Any]
    bounds: dict[str, Any] = field(default_factory=dict)
    suffixes = (".nc", ".nc4", ".cdf")
    stack_suffix = ".nc"

    @property
    def unit(self) -> str:
        """Unit of the variable; empty if the file has none."""
        return str(self.image.attrs.get("units", ""))

    @property
    def nodata(self) -> float | None:
        """Stored value that stands for no data; None if the variable names none."""
        value = self.image.encoding.get("_FillValue")
        return None if value is None else float(value)

    @property
    def spacing(self) -> Spacing:
        """Size of the pixels by the coordinates, as of `sparsegmrf.inference.spacing_of`."""
        height, width = self.image.shape[:2]
        return read_spacing("coordinates", self.image, (height, width), slice(0, 2))

    def same_ground(self, other: "NetCdf") -> bool:
        """Return whether another variable has the same coordinates, as far as both have any."""
        ours, theirs = self.image, other.image
        shared = [dim for dim in ours.dims[:2] if dim in ours.coords and dim in theirs.coords]
        return all(ours[dim].variable.equals(theirs[dim].variable) for dim in shared)

    def write(
        self, path: PathLike, array: Any, name: str = "", *, unit: str | None = None, exact: bool = False
    ) -> None:
        """Write a variable of the same grid as NetCDF, whole or not at all.

        Values are written as they are: as float32 if the variable was stored in no more and that holds every value
        read, or else as float64. Floats keep the fill value and the compression of the variable read; what was
        packed in integers is written as floats.

        Parameters
        ----------
        path : path
            The file.
        array : xarray.DataArray, or array_like of shape (H, W)
            Such as an image of the `FillResult` of `image`.
        name : str
            Long name of an array without labels.
        unit : str, optional
            Unit of an array without labels, if it is another one than that of the variable.
        exact : bool
            Write float64 in any case.

        Raises
        ------
        ArgumentError
            If an array without labels has another shape.
        FileError
            If the directory does not exist.
        """
        given = array if hasattr(array, "dims") else self._labelled(array, name, unit)
        written = given.copy(deep=False) if given.name is not None else given.rename("image")
        for attribute in (*OF_STORED_VALUES, *OF_RANGE, "ancillary_variables"):
            written.attrs.pop(attribute, None)
        stored = self.image.encoding
        written.encoding = {**given.encoding, **{key: stored[key] for key in _STORAGE if key in stored}}
        values = real_array("image", np.asarray(given))
        dtype = self._type_of(values, np.dtype(stored.get("dtype", self.image.dtype)), exact)
        written.encoding["dtype"] = dtype
        fill_value = stored.get("_FillValue")
        if fill_value is not None and np.issubdtype(stored.get("dtype", np.float64), np.floating):
            taken = bool((values.astype(dtype) == dtype.type(fill_value)).any())
            written.encoding["_FillValue"] = np.nan if taken else fill_value
        with replacing(path) as temporary:
            data = written.to_dataset().assign_coords(self.bounds).assign_attrs(self.attributes)
            data.to_netcdf(temporary)

    def _labelled(self, array: Any, name: str, unit: str | None) -> Any:
        plane = self.image if self.image.ndim == 2 else self.image.isel({self.image.dims[2]: 0}, drop=True)
        labelled = plane.copy(data=self._of_same_pixels(array, several=False))
        labelled.encoding = {key: value for key, value in plane.encoding.items() if key == "grid_mapping"}
        labelled.attrs = {"long_name": name, "units": self.unit if unit is None else unit}
        labelled.attrs = {key: value for key, value in labelled.attrs.items() if value}
        return labelled.rename("_".join(name.lower().split()) or "image")


def read_netcdf(path: PathLike, *, variable: str | None = None, index: Bands = None) -> NetCdf:
    """Read one variable of a NetCDF file as an image.

    Missing is what the conventions call so: ``_FillValue`` and ``missing_value``, values outside ``valid_min``,
    ``valid_max`` or ``valid_range`` in the unit they are stored in, and the library's own fill value where the variable
    names none.

    Parameters
    ----------
    path : path
        The file.
    variable : str, optional
        Name of the variable; may be left out if one only has two dimensions or more.
    index : int, sequence of int or "all", optional
        Position from 0 along a leading dimension, such as time, of a variable with three, or several positions; may be
        left out if it is of length 1.

    Returns
    -------
    NetCdf

    Raises
    ------
    ModuleNotFoundError
        If xarray is not installed.
    FileError
        If the file cannot be read.
    ArgumentError
        If there is no such variable or it is no image, or there are several and none is chosen.

    Examples
    --------
    >>> import tempfile, xarray
    >>> stack = xarray.DataArray(np.arange(24.0).reshape(2, 3, 4), dims=("time", "lat", "lon"), name="sst")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     stack.to_netcdf(folder + "/sst.nc")
    ...     read_netcdf(folder + "/sst.nc", index=1).image.sizes["lon"]
    4
    """
    xarray = library("xarray")
    check_file(path)
    try:
        with (
            _quiet(xarray),
            xarray.open_dataset(path, decode_coords="all", decode_timedelta=False) as dataset,
            xarray.open_dataset(path, decode_coords=False, decode_times=False, mask_and_scale=False) as undecoded,
        ):
            name = _chosen_variable(dataset, variable, Path(path).name)
            array, stored = dataset[name], undecoded[name]
            leading = [int(size) for size in array.shape[:-2]]
            if len(leading) > 1 and int(np.prod(leading)) > max(leading):
                raise ArgumentError(
                    f"{name} of {Path(path).name} must have two dimensions and at most one more, got "
                    f"{dict(array.sizes)}; write one slice to a file of its own first."
                )
            label = " and ".join(str(dim) for dim in array.dims[:-2]) or "leading dimension"
            count = int(np.prod(leading))
            of_dates = any(np.asarray(array.coords.get(dim, 0)).dtype.kind == "M" for dim in array.dims[:-2])
            note = " The command fill-stack, and fill of a DataArray, take all dates together." if of_dates else ""
            positions = chosen(f"positions along {label}", f"{name} of {Path(path).name}", count, index, note)
            place: dict[Any, Any] = {}
            for dim, size in zip(array.dims[:-2], leading, strict=True):
                several = not is_one(index) and size == max(leading) and not any(np.ndim(at) for at in place.values())
                place[dim] = positions if several else positions[0] if size > 1 else 0
            image = _known(array.isel(place).load(), stored.isel(place))
            if image.ndim == 3:
                image = image.transpose(*array.dims[-2:], ...)
            elif not is_one(index):
                image = image.expand_dims("channel", axis=-1)
            return NetCdf(image, dict(dataset.attrs), _bounds_of(image, dataset, place))
    except ArgumentError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise unreadable(path, "a NetCDF file", error) from error


def write_netcdf(path: PathLike, image: Any, name: str = "", unit: str = "") -> None:
    """Write a variable of float64 as NetCDF, whole or not at all.

    Parameters
    ----------
    path : path
        The file.
    image : xarray.DataArray, (H, W) or (K, H, W), or array_like, (H, W)
        A DataArray keeps its dimensions, coordinates and attributes; the dimensions of an array are ``row`` and
        ``column``.
    name, unit : str
        Long name and unit of an array.

    Raises
    ------
    ArgumentError
        If it is no image.
    FileError
        If the directory does not exist.
    """
    xarray, labelled = library("xarray"), hasattr(image, "dims")
    array = real_array("image", np.asarray(image) if labelled else image)
    if array.ndim not in ((2, 3) if labelled else (2,)) or not array.size:
        raise ArgumentError(f"image must have shape (H, W) to be written as NetCDF, got {array.shape}.")
    like = image if labelled else xarray.DataArray(array, dims=("row", "column"))
    NetCdf(like, {}).write(path, image if labelled else array, name, unit=unit, exact=True)


def _known(image: Any, stored: Any) -> Any:
    """Return the variable with NaN wherever the conventions call it missing."""
    real_array("image", image.values.ravel()[:0])
    missing = missing_in(np.asarray(stored), stored.attrs, netcdf=True)
    image.attrs = {
        name: value for name, value in image.attrs.items() if name not in OF_RANGE
    }  # they have had their say
    values = image.values
    if not missing.any() or (values.dtype.kind == "f" and bool(np.isnan(values[missing]).all())):
        return image
    known = image.copy(data=np.where(missing, np.nan, values.astype(np.result_type(values, np.float32))))
    known.encoding = dict(image.encoding)
    return known


def _bounds_of(image: Any, dataset: Any, place: dict[Any, Any]) -> dict[str, Any]:
    """Return the bounds of the coordinates' cells that the image's own coordinates name."""
    told = [{**coordinate.encoding, **coordinate.attrs} for coordinate in image.coords.values()]
    names = {str(each[key]) for each in told for key in ("bounds", "climatology") if key in each}
    at = {dim: k for dim, k in place.items() if np.ndim(k) == 0}
    return {
        name: dataset[name].isel(at, missing_dims="ignore").variable.load()
        for name in sorted(names & set(dataset.variables))
    }


def _chosen_variable(dataset: Any, variable: str | None, file: str) -> str:
    images = [str(name) for name, array in dataset.data_vars.items() if array.ndim >= 2]
    if variable is None and len(images) == 1:
        return images[0]
    if variable not in images:
        given = "none" if variable is None else variable
        raise ArgumentError(
            f"variable must be one of {', '.join(images)} of {file}, got {given}."
            if images
            else f"variable must have two dimensions, but {file} has none that does."
        )
    return variable


@contextmanager
def _quiet(xarray: Any) -> Iterator[None]:
    """Let pass that a variable has several fill values: all of them are missing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "variable .* has multiple fill values", xarray.SerializationWarning)
        yield
