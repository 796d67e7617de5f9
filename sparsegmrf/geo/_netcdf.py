"""Variables of NetCDF files, and others of the same grid."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sparsegmrf._address import name_of, url_of
from sparsegmrf._cf import OF_RANGE, missing_in
from sparsegmrf._files import PathLike
from sparsegmrf._libraries import has, library
from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo._common import Bands, Placed, check_file, unreadable
from sparsegmrf.geo._dimensions import Selection
from sparsegmrf.geo._layers import Layer
from sparsegmrf.geo._netcdf_out import prepared, write_dataset
from sparsegmrf.geo._variables import bounds_of, chosen_variable, image_at, image_of, order_of, single, with_ancestors
from sparsegmrf.inference import Spacing
from sparsegmrf.inference._labels import Labels
from sparsegmrf.inference._spacing import read_spacing


@dataclass(frozen=True, eq=False)
class NetCdf(Placed):
    """A variable of a NetCDF file or a Zarr group, and what other variables of the same grid need.

    Attributes
    ----------
    image : xarray.DataArray, (H, W) or (H, W, C)
        The variable, packed values unpacked, NaN where the file has none; with its coordinates and grid mapping. The
        last axis is the leading dimension of the file, such as time, if several positions along it were read.
    attributes : dict
        Attributes of the whole file.
    bounds : dict
        Variables with the bounds of the coordinates' cells.
    is_zarr : bool
        Whether it was read from Zarr.
    place : dict
        Positions of the image along the further dimensions of the variable.
    dims : tuple
        Dimensions of the image in the order of the variable; empty: its own.
    """

    image: Any
    attributes: dict[str, Any]
    bounds: dict[str, Any] = field(default_factory=dict)
    is_zarr: bool = False
    place: dict[str, int] = field(default_factory=dict)
    dims: tuple[Any, ...] = ()
    of_netcdf = (".nc", ".nc4", ".cdf")
    storage = ("packed",)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of files on the same grid, that of the file read first."""
        return (".zarr", *self.of_netcdf) if self.is_zarr else (*self.of_netcdf, ".zarr")

    @property
    def stack_suffix(self) -> str:
        """Suffix of files with a stack of images."""
        return self.suffixes[0]

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
        self,
        path: PathLike,
        array: Any,
        name: str = "",
        *,
        unit: str | None = None,
        exact: bool = False,
        packed: bool = False,
    ) -> None:
        """Write a variable of the same grid as NetCDF, or as Zarr if the suffix is ``.zarr``, whole or not at all.

        Values are written as they are: as float32 if the variable was stored in no more and that holds every value
        read, or else as float64. Floats keep the fill value and the compression of the variable read; what was
        packed in integers is written as floats.

        Parameters
        ----------
        path : path
            The file.
        array : xarray.DataArray, or array_like of shape (H, W) or (K, H, W)
            Such as an image of the `FillResult` of `image`.
        name : str
            Long name of an array without labels.
        unit : str, optional
            Unit of an array without labels, if it is another one than that of the variable.
        exact : bool
            Write float64 in any case.
        packed : bool
            Write integers with scale and offset: those of the variable read, if it was packed, so that observed pixels
            come back exactly, in a wider type where values do not fit; or else the values spread over 16 bits. The
            fill value is one that no pixel has.

        Raises
        ------
        ArgumentError
            If an array without labels has another shape, or values cannot be packed.
        FileError
            If the directory does not exist, or the Zarr group does.
        """
        self._write(path, [self._prepared(array, name, unit, exact, packed)])

    def write_several(
        self, path: PathLike, images: Mapping[str, Any], *, exact: bool = False, packed: bool = False
    ) -> None:
        """Write images of the same grid as variables of one file, by their names.

        Raises
        ------
        ArgumentError
            If an array without labels has another shape.
        FileError
            If the directory does not exist, or the Zarr group does.
        """
        ready = [self._prepared(array, name, None, exact, packed).rename(name) for name, array in images.items()]
        self._write(path, ready)

    def write_channels(
        self, path: PathLike, layers: Sequence[Layer], *, exact: bool = False, packed: bool = False
    ) -> None:
        """Write what was computed of all positions along a dimension as variables along the same one.

        Dimensions are in the order of the variable read, draws along a first one, ``sample``. A layer alone in its file
        has the name of that variable, followed by its own if it is of another kind.
        """
        ready = []
        for layer in layers:
            array = self._layer(layer)
            array = array.rename(layer.name) if len(layers) > 1 or array.name is None else array
            ready.append(self._prepared(array, "", None, exact, packed))
        self._write(path, ready)

    def _layer(self, layer: Layer) -> Any:
        """Return what was computed under the labels of the variable read."""
        labels, order = Labels(self.image), self.dims or self.image.dims
        if layer.values.ndim > 3:
            found, order = labels.draws(layer.values), ("sample", *order)
            if not layer.is_image:
                found = Labels(found).deviation(layer.values, layer.name, layer.meaning)
        elif layer.is_image:
            found = labels.values(layer.values)
        else:
            found = labels.deviation(layer.values, layer.name, layer.meaning)
        return found.isel({dim: 0 for dim in found.dims if dim not in order}).transpose(*order)

    def _prepared(self, array: Any, name: str, unit: str | None, exact: bool, packed: bool) -> Any:
        given = array if hasattr(array, "dims") else self._labelled(array, name, unit)
        values = real_array("image", np.asarray(given))
        stored = self.image.encoding
        dtype = self._type_of(values, np.dtype(stored.get("dtype", self.image.dtype)), exact)
        return prepared(given, values, dtype, stored, packed)

    def _write(self, path: PathLike, variables: list[Any]) -> None:
        data = library("xarray").Dataset({each.name: each for each in variables})
        write_dataset(path, data.assign_coords(self.bounds).assign_attrs(self.attributes))

    def _labelled(self, array: Any, name: str, unit: str | None) -> Any:
        plane = self.image if self.image.ndim == 2 else self.image.isel({self.image.dims[2]: 0}, drop=True)
        values = self._of_same_pixels(array)
        encoding = {key: value for key, value in plane.encoding.items() if key == "grid_mapping"}
        labelled = (plane if values.ndim == 2 else plane.expand_dims(sample=len(values))).copy(data=values)
        labelled.encoding = encoding
        labelled.attrs = {"long_name": name, "units": self.unit if unit is None else unit}
        labelled.attrs = {key: value for key, value in labelled.attrs.items() if value}
        return labelled.rename("_".join(name.lower().split()) or "image")


def read_netcdf(
    path: PathLike,
    *,
    variable: str | None = None,
    index: Bands = None,
    select: Selection | None = None,
    at: Mapping[str, int] | None = None,
) -> NetCdf:
    """Read one variable of a NetCDF file, or of one that a URL names, as an image.

    Missing is what the conventions call so: ``_FillValue`` and ``missing_value``, values outside ``valid_min``,
    ``valid_max`` or ``valid_range`` in the unit they are stored in, and the library's own fill value where the variable
    names none. Rows and columns are the dimensions that the conventions call Y and X, in the order of the variable, or
    the last two that are neither times nor levels.

    Parameters
    ----------
    path : path
        The file.
    variable : str, optional
        Name of the variable, of one in a group ``group/name``; may be left out if one only has two dimensions or more.
    index : int, sequence of int or "all", optional
        Position from 0 along a further dimension, such as time, or several positions; may be left out if it is of
        length 1.
    select : mapping, optional
        Values of coordinates, such as ``{"level": 850}``, along dimensions beyond that one; positions where a dimension
        has no coordinate.
    at : mapping, optional
        Positions along dimensions that the variable may have, such as the `place` of another one.

    Returns
    -------
    NetCdf

    Raises
    ------
    MissingLibraryError
        If xarray is not installed.
    FileError
        If the file cannot be read.
    ArgumentError
        If there is no such variable or it is no image, there are several and none is chosen, or its coordinates are in
        no order.

    Examples
    --------
    >>> import tempfile, xarray
    >>> stack = xarray.DataArray(np.arange(24.0).reshape(2, 3, 4), dims=("time", "lat", "lon"), name="sst")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     stack.to_netcdf(folder + "/sst.nc")
    ...     read_netcdf(folder + "/sst.nc", index=1).image.sizes["lon"]
    4
    """
    xarray, address = library("xarray"), url_of(path)
    if address is None:
        check_file(path)
    elif address.lower().startswith("http") and "#" not in address and name_of(path).endswith(NetCdf.of_netcdf):
        address += "#mode=bytes"  # a file on a server, and no service
    source: Any = path if address is None else address
    engine = {"engine": "netcdf4"} if has("netCDF4") else {}
    try:
        with _quiet(xarray), ExitStack() as opened:
            groups = _groups(source) if engine else [""]
            undecoded = {"decode_coords": False, "decode_times": False, "mask_and_scale": False}

            def data(group: str, **options: Any) -> Any:
                return opened.enter_context(xarray.open_dataset(source, group=group or None, **engine, **options))

            whole = {group: data(group, decode_coords="all", decode_timedelta=False) for group in groups}
            group, name = chosen_variable(whole, variable, name_of(path))
            dataset = with_ancestors(whole, group)
            array, stored = dataset[name], data(group, **undecoded)[name]
            image, place = image_of(array, select or {}, index, name_of(path), at)
            known = _known(image, image_at(stored, image, place), stored.attrs)
            bounds, dims = bounds_of(known, dataset, place), order_of(array, known)
            return NetCdf(known, dict(whole[""].attrs), bounds, place=single(place), dims=dims)
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
    placeless(image).write(path, image, name, unit=unit, exact=True)


def write_zarr(path: PathLike, image: Any, name: str = "", unit: str = "") -> None:
    """Write a variable of float64 as a Zarr group, whole or not at all; otherwise as `write_netcdf`.

    Raises
    ------
    ArgumentError
        If it is no image.
    FileError
        If the directory does not exist, or the group does.
    """
    placeless(image).write(path, image, name, unit=unit, exact=True)


def placeless(image: Any) -> NetCdf:
    """Return a grid without coordinates, or with those of a DataArray."""
    xarray, labelled = library("xarray"), hasattr(image, "dims")
    array = real_array("image", np.asarray(image) if labelled else image)
    if array.ndim not in ((2, 3) if labelled else (2,)) or not array.size:
        raise ArgumentError(f"image must have shape (H, W) to be written as NetCDF, got {array.shape}.")
    like = image if labelled else xarray.DataArray(array, dims=("row", "column"))
    return NetCdf(like, {})


def _known(image: Any, stored: Any, attributes: dict[str, Any]) -> Any:
    """Return the variable with NaN wherever the conventions call it missing."""
    real_array("image", image.values.ravel()[:0])
    missing = missing_in(stored, attributes, netcdf=True)
    image.attrs = {
        name: value for name, value in image.attrs.items() if name not in OF_RANGE
    }  # they have had their say
    values = image.values
    if not missing.any() or (values.dtype.kind == "f" and bool(np.isnan(values[missing]).all())):
        return image
    known = image.copy(data=np.where(missing, np.nan, values.astype(np.result_type(values, np.float32))))
    known.encoding = dict(image.encoding)
    return known


def _groups(source: Any) -> list[str]:
    """Return the groups of a file, the root as an empty name."""

    def below(group: Any, name: str) -> Iterator[str]:
        yield name
        for key, each in group.groups.items():
            yield from below(each, f"{name}/{key}")

    with library("netCDF4").Dataset(source) as file:
        return list(below(file, ""))


@contextmanager
def _quiet(xarray: Any) -> Iterator[None]:
    """Let pass that a variable has several fill values: all of them are missing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "variable .* has multiple fill values", xarray.SerializationWarning)
        yield
