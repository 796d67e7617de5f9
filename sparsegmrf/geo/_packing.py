"""Images as integers with a scale and an offset, of which one number stands for no data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import FloatArray

_WIDER = {"u1": "u2", "i1": "i2", "u2": "u4", "i2": "i4", "u4": "i8", "i4": "i8"}
"""Types that hold more numbers, where values do not fit."""

_OF_OTHER_KINDS = (
    "standard deviation",
    *(f"{each} of the risk" for each in ("mean", "median", "draw")),
    *("lower end", "upper end", "probability"),
)
"""What images are called that are no numbers like those they were computed from: steps of these are none of theirs."""


@dataclass(frozen=True)
class Packing:
    """How integers stand for values: ``scale k + offset``, and one integer for none."""

    dtype: np.dtype[Any]
    scale: float = 1.0
    offset: float = 0.0
    nodata: int | None = None


def is_of_kind(meaning: str) -> bool:
    """Return whether an image is of the kind of the values that it was computed from, by what it is called."""
    return not meaning.startswith(_OF_OTHER_KINDS)


def pack(values: FloatArray, like: Packing | None = None) -> tuple[Any, Packing]:
    """Return values as integers, NaN as one that no value is rounded to; otherwise as `pack_bands`."""
    stored, (packing,) = pack_bands(values[np.newaxis], [like])
    return stored[0], packing


def pack_bands(bands: FloatArray, likes: Sequence[Packing | None]) -> tuple[Any, list[Packing]]:
    """Return bands as integers of one type, NaN as one number that no value of any band is rounded to.

    Parameters
    ----------
    bands : ndarray, (K, ...)
        NaN where there are no values.
    likes : sequence of Packing or None, (K,)
        By band the scale and offset that are kept, so that what was stored by them comes back exactly; the type becomes
        wider where values do not fit, and the no-data value another one where a value takes it. None: the values are
        spread over 16 bits.

    Raises
    ------
    ArgumentError
        If a value is infinite, or no integer type holds them.
    """
    known = [band[~np.isnan(band)] for band in bands]
    if not all(np.isfinite(each).all() for each in known):
        raise ArgumentError("image must be finite to be packed in integers, got infinity; leave packed out.")
    kept = [like for like in likes if like is not None]
    kind = kept[0].dtype.kind if kept else "i"
    own = [_spread(each, kind) if like is None else like for each, like in zip(known, likes, strict=True)]
    counts = np.array([np.rint((band - each.offset) / each.scale) for band, each in zip(bands, own, strict=True)])
    taken = counts[~np.isnan(counts)]
    low, high = (float(taken.min()), float(taken.max())) if taken.size else (0.0, 0.0)
    dtype, wanted = np.result_type(*(each.dtype for each in own)), (kept or own)[0].nodata
    while True:
        limits = np.iinfo(dtype)
        nodata = _free(taken, limits, wanted)
        if limits.min <= low and high <= limits.max and nodata is not None and max(abs(low), abs(high)) < 2.0**53:
            break
        wider = _WIDER.get(f"{dtype.kind}{dtype.itemsize}")
        if wider is None:
            scales = ", ".join(dict.fromkeys(f"{each.scale:g}" for each in own))
            raise ArgumentError(
                f"image must fit in integers of the scale {scales}, got {low:g} to {high:g} of them; leave packed out."
            )
        dtype = np.dtype(wider if low >= 0.0 or dtype.kind == "i" else f"i{2 * dtype.itemsize}")
    stored = np.where(np.isnan(counts), nodata, counts).astype(dtype)
    return stored, [Packing(dtype, each.scale, each.offset, nodata) for each in own]


def _spread(known: FloatArray, kind: str) -> Packing:
    """Return the packing that spreads values over 16 bits, signed or not, less one number."""
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    scale, middle = (0.5 * high - 0.5 * low) / 32766.0 or 1.0, 0.5 * low + 0.5 * high
    if kind == "u":
        return Packing(np.dtype(np.uint16), scale, middle - 32767.0 * scale, 0)
    return Packing(np.dtype(np.int16), scale, middle, -32768)


def _free(taken: FloatArray, limits: Any, wanted: int | None) -> int | None:
    """Return an integer that no value takes: the one wanted, or an end of the type."""
    for number in (wanted, limits.min, limits.max):
        if number is not None and limits.min <= number <= limits.max and not (taken == number).any():
            return int(number)
    return None
