"""What is missing from a variable by the conventions of NetCDF and CF: fill values, missing values, valid ranges."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import BoolArray

OF_STORED_VALUES = ("_FillValue", "missing_value", "scale_factor", "add_offset", "_Unsigned")
"""Attributes that say how values are stored; they are false of values that are decoded."""
OF_RANGE = ("valid_min", "valid_max", "valid_range", "actual_range")
"""Attributes that bound values as they were stored; they are false of values that are decoded or filled."""

_MARKERS = ("_FillValue", "missing_value")
_DEFAULT_FILL: Mapping[str, int | float] = {
    "i2": -32767,
    "u2": 65535,
    "i4": -2147483647,
    "u4": 4294967295,
    "i8": -9223372036854775806,
    "u8": 18446744073709551614,
    "f4": 9.969209968386869e36,
    "f8": 9.969209968386869e36,
}
"""What the NetCDF library puts where nothing was written, by type; bytes have none."""


def missing_in(stored: npt.NDArray[Any], attributes: Mapping[str, Any], *, netcdf: bool) -> BoolArray:
    """Return where values are missing by the attributes of their variable.

    Parameters
    ----------
    stored : ndarray
        Values as the variable holds them, neither masked nor scaled.
    attributes : mapping
        Its attributes. A valid range is in the unit of `stored`, or in that of the scaled values if it alone has a
        floating-point type (NetCDF User Guide, appendix A).
    netcdf : bool
        Whether a value of the library's own marks missing values of variables without ``_FillValue``.

    Returns
    -------
    ndarray of bool
    """
    unsigned = _is_unsigned(attributes)
    if unsigned and stored.dtype.kind == "i":
        stored = stored.view(stored.dtype.str.replace("i", "u"))
    missing = np.isnan(stored) if stored.dtype.kind == "f" else np.zeros(stored.shape, dtype=np.bool_)
    for name in _MARKERS:
        for value in _numbers(name, attributes.get(name, ())).ravel():
            missing |= _equal(stored, _wrapped(value, stored.dtype) if unsigned else value)
    default = _DEFAULT_FILL.get(f"{stored.dtype.kind}{stored.dtype.itemsize}")
    if netcdf and default is not None and "_FillValue" not in attributes:
        missing |= stored == stored.dtype.type(default)
    low, high = _range(attributes)
    for bound, beyond in ((low, np.less), (high, np.greater)):
        if bound is None:
            continue
        if bound.dtype.kind == "f" and stored.dtype.kind in "iu" and _is_packed(attributes):
            scale, offset = float(attributes.get("scale_factor", 1.0)), float(attributes.get("add_offset", 0.0))
            missing |= beyond(stored * scale + offset, bound)
        else:
            bound = _wrapped(bound, stored.dtype) if unsigned else bound
            missing |= beyond(stored, stored.dtype.type(bound) if stored.dtype.kind == "f" else bound)
    return missing


def missing_of(image: Any) -> BoolArray:
    """Return where a ``DataArray`` is missing by its attributes and, if it was decoded from a file, by its encoding.

    Raises
    ------
    ArgumentError
        If its values are not decoded yet, or an attribute is no number.
    """
    _refuse_packed(image.attrs)
    values = np.asarray(image)
    if values.dtype.kind not in "iuf":
        return np.zeros(values.shape, dtype=np.bool_)
    encoding = image.encoding
    attributes = {name: image.attrs[name] for name in (*_MARKERS, *OF_RANGE) if name in image.attrs}
    if "dtype" not in encoding:
        # Of a range in integers nothing says any more whether it is that of packed values; one given in Python is.
        if values.dtype.kind == "f":
            attributes = {name: value for name, value in attributes.items() if not _from_packed(name, value)}
        return missing_in(values, attributes, netcdf=False)
    packing = {name: encoding[name] for name in OF_STORED_VALUES if name in encoding}
    stored = _packed(values, np.dtype(encoding["dtype"]), packing)
    # Backends of NetCDF, and no others, tell the shape in the file.
    missing = missing_in(stored, {**packing, **attributes}, netcdf="original_shape" in encoding)
    return np.asarray(missing | np.isnan(values)) if values.dtype.kind == "f" else missing


def _refuse_packed(attributes: Mapping[str, Any]) -> None:
    identity = {"scale_factor": 1.0, "add_offset": 0.0}
    for name, neutral in identity.items():
        value = attributes.get(name, neutral)
        if not np.array_equal(_numbers(name, value), neutral):
            raise ArgumentError(
                f"image must be decoded, got the attribute {name} = {value}, which its values do not hold yet; decode "
                "first, as xarray.decode_cf or mask_and_scale=True do, or drop the attribute if they do hold it."
            )
    if _is_unsigned(attributes):
        raise ArgumentError(
            "image must be decoded, got the attribute _Unsigned, by which its signed integers stand for unsigned ones; "
            "decode first, as xarray.decode_cf or mask_and_scale=True do."
        )


def _packed(values: npt.NDArray[Any], dtype: np.dtype[Any], packing: Mapping[str, Any]) -> npt.NDArray[Any]:
    """Return values as they were stored; NaN, which was marked there, as what stands for it, or as zero."""
    if values.dtype.kind in "iu" or (dtype.kind == "f" and not _is_packed(packing)):
        return values
    counts = (values.astype(np.float64) - float(packing.get("add_offset", 0.0))) / float(
        packing.get("scale_factor", 1.0)
    )
    if dtype.kind not in "iu":
        return counts
    unsigned = np.dtype(dtype.str.replace("i", "u")) if _is_unsigned(packing) else dtype
    held = np.isfinite(counts) & (np.abs(counts) < 2.0**63)
    whole = np.rint(np.where(held, counts, 0.0))
    limits = np.iinfo(unsigned)
    inside = (whole >= limits.min) & (whole <= limits.max)
    return np.where(inside, whole, 0.0).astype(unsigned).view(dtype)


def _range(attributes: Mapping[str, Any]) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    if "valid_range" in attributes:
        both = _numbers("valid_range", attributes["valid_range"]).ravel()
        if both.size != 2:
            raise ArgumentError(f"valid_range of the image must be two numbers, got {both.size}; mend the attribute.")
        return both[0], both[1]
    ends = []
    for name in ("valid_min", "valid_max"):
        end = _numbers(name, attributes.get(name, ())).ravel()
        if end.size > 1:
            raise ArgumentError(f"{name} of the image must be one number, got {end.size}; mend the attribute.")
        ends.append(end[0] if end.size else None)
    return ends[0], ends[1]


def _from_packed(name: str, value: object) -> bool:
    given = _numbers(name, value)
    return name in OF_RANGE and hasattr(value, "dtype") and given.dtype.kind in "iu" and given.dtype.itemsize < 8


def _numbers(name: str, value: object) -> npt.NDArray[Any]:
    try:
        array = np.asarray(value)
        found = array.astype(np.float64) if array.dtype.kind not in "iuf" else array
    except (TypeError, ValueError):
        raise ArgumentError(
            f"{name} of the image must be a number, got {value!r}; mend or delete the attribute."
        ) from None
    return np.asarray(found)


def _wrapped(value: Any, unsigned: np.dtype[Any]) -> Any:
    """Return the unsigned number for which the bits of a negative one stand."""
    return int(value) + 2 ** (8 * unsigned.itemsize) if value < 0 and unsigned.kind == "u" else value


def _equal(stored: npt.NDArray[Any], value: Any) -> BoolArray:
    """Compare in the stored type too: a value told in more digits than are stored is meant as it is stored."""
    equal = np.asarray(stored == value)
    if stored.dtype.kind == "f":
        with np.errstate(over="ignore"):
            equal |= stored == stored.dtype.type(value)
    return equal


def _is_unsigned(attributes: Mapping[str, Any]) -> bool:
    return str(attributes.get("_Unsigned", "false")).lower() == "true"


def _is_packed(attributes: Mapping[str, Any]) -> bool:
    return "scale_factor" in attributes or "add_offset" in attributes
