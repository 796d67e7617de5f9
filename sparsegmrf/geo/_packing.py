"""Images as integers with a scale and an offset, of which one number stands for no data."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import FloatArray

_WIDER = {"u1": "u2", "i1": "i2", "u2": "u4", "i2": "i4", "u4": "i8", "i4": "i8"}
"""Types that hold more numbers, where values do not fit."""


@dataclass(frozen=True)
class Packing:
    """How integers stand for values: ``scale k + offset``, and one integer for none."""

    dtype: np.dtype[Any]
    scale: float = 1.0
    offset: float = 0.0
    nodata: int | None = None


def pack(values: FloatArray, like: Packing | None = None) -> tuple[Any, Packing]:
    """Return values as integers, NaN as one that no value is rounded to.

    Parameters
    ----------
    values : ndarray
        NaN where there are none.
    like : Packing, optional
        Scale and offset that are kept, so that what was stored by them comes back exactly; its type becomes wider where
        values do not fit, and its no-data value another one where a value takes it. Otherwise the values are spread
        over 16 bits.

    Raises
    ------
    ArgumentError
        If a value is infinite, or no integer type holds them.
    """
    known = values[~np.isnan(values)]
    if not np.isfinite(known).all():
        raise ArgumentError("image must be finite to be packed in integers, got infinity; leave packed out.")
    if like is None:
        like = _spread(known)
    counts = np.rint((values - like.offset) / like.scale)
    taken = counts[~np.isnan(counts)]
    low, high = (float(taken.min()), float(taken.max())) if taken.size else (0.0, 0.0)
    dtype = like.dtype
    while True:
        limits = np.iinfo(dtype)
        nodata = _free(taken, limits, like.nodata)
        if limits.min <= low and high <= limits.max and nodata is not None and max(abs(low), abs(high)) < 2.0**53:
            break
        wider = _WIDER.get(f"{dtype.kind}{dtype.itemsize}")
        if wider is None:
            raise ArgumentError(
                f"image must fit in integers of the scale {like.scale:g}, got {low:g} to {high:g} of them; leave "
                "packed out."
            )
        dtype = np.dtype(wider if low >= 0.0 or dtype.kind == "i" else f"i{2 * dtype.itemsize}")
    stored = np.where(np.isnan(counts), nodata, counts).astype(dtype)
    return stored, Packing(dtype, like.scale, like.offset, nodata)


def _spread(known: FloatArray) -> Packing:
    """Return the packing that spreads values over 16 bits less one number."""
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    scale = (0.5 * high - 0.5 * low) / 32766.0
    return Packing(np.dtype(np.int16), scale or 1.0, 0.5 * low + 0.5 * high, -32768)


def _free(taken: FloatArray, limits: Any, wanted: int | None) -> int | None:
    """Return an integer that no value takes: the one wanted, or an end of the type."""
    for number in (wanted, limits.min, limits.max):
        if number is not None and limits.min <= number <= limits.max and not (taken == number).any():
            return int(number)
    return None
