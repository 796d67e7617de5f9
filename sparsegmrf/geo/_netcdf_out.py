"""Variables of the grid of another one, as they are written to NetCDF and Zarr."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from sparsegmrf._cf import OF_RANGE, OF_STORED_VALUES
from sparsegmrf._files import PathLike, replacing
from sparsegmrf._libraries import library
from sparsegmrf.geo._packing import Packing, is_of_kind, pack
from sparsegmrf.typing import FloatArray

_STORAGE = ("zlib", "complevel", "shuffle")
_OF_ALL = (*OF_STORED_VALUES, "dtype", "units", "calendar", "grid_mapping", "bounds", "coordinates")
"""What NetCDF and both formats of Zarr take."""


def prepared(given: Any, values: FloatArray, dtype: np.dtype[Any], stored: Mapping[str, Any], packed: bool) -> Any:
    """Return a variable with the encoding in which it is written.

    Parameters
    ----------
    given : DataArray
        The variable.
    values : ndarray
        Its values as float64.
    dtype : numpy.dtype
        Type of floats that are written.
    stored : mapping
        Encoding of the variable read, whose fill value, compression and, of packed integers, packing are kept.
    packed : bool
        Whether integers are written.
    """
    written = given.copy(deep=False) if given.name is not None else given.rename("image")
    for attribute in (*OF_STORED_VALUES, *OF_RANGE, "ancillary_variables"):
        written.attrs.pop(attribute, None)
    own = {key: value for key, value in given.encoding.items() if key not in OF_STORED_VALUES}
    encoding = {**own, **{key: stored[key] for key in _STORAGE if key in stored}}
    if packed:
        counts, packing = pack(values, packing_of(given, stored))
        written = written.copy(data=counts)
        written.encoding = {**encoding, "dtype": packing.dtype}
        # As attributes: what is stored is what has been packed here, never packed again.
        fill = packing.dtype.type(packing.nodata)
        written.attrs |= {"scale_factor": packing.scale, "add_offset": packing.offset, "_FillValue": fill}
        return written
    written.encoding, fill_value = {**encoding, "dtype": dtype}, stored.get("_FillValue")
    if fill_value is not None and np.issubdtype(stored.get("dtype", np.float64), np.floating):
        taken = bool((values.astype(dtype) == dtype.type(fill_value)).any())
        written.encoding["_FillValue"] = np.nan if taken else fill_value
    return written


def packing_of(given: Any, stored: Mapping[str, Any]) -> Packing | None:
    """Return the packing of the variable read, where another one is of the same kind by its long name."""
    dtype = np.dtype(stored.get("dtype", np.float64))
    if dtype.kind not in "iu" or not is_of_kind(str(given.attrs.get("long_name", ""))):
        return None
    fill = stored.get("_FillValue")
    whole = fill is not None and np.size(fill) == 1 and float(fill).is_integer()
    if str(stored.get("_Unsigned", "false")).lower() == "true":
        dtype = np.dtype(f"u{dtype.itemsize}")
        fill = int(fill) % (1 << 8 * dtype.itemsize) if fill is not None and whole else fill
    return Packing(
        dtype,
        float(stored.get("scale_factor", 1.0)),
        float(stored.get("add_offset", 0.0)),
        int(fill) if fill is not None and whole else None,
    )


def write_dataset(path: PathLike, data: Any) -> None:
    """Write a data set as NetCDF, or as a Zarr group if the suffix says so, whole or not at all.

    Raises
    ------
    FileError
        If it cannot be written, or the group exists.
    """
    with replacing(path) as temporary:
        if temporary.suffix.lower() != ".zarr":
            data.to_netcdf(temporary)
            return
        version = 3 if int(library("zarr").__version__.split(".")[0]) > 2 else 2
        for variable in data.variables.values():  # compression is said in other words in each format
            variable.encoding = {key: variable.encoding[key] for key in _OF_ALL if key in variable.encoding}
        data.to_zarr(temporary, mode="w-", zarr_format=version, consolidated=False)
