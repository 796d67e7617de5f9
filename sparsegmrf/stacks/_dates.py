"""Dates of any kind as days: datetime64, dates of Python, calendars of models, ISO strings, numbers."""

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegmrf._validate import whole_array
from sparsegmrf.errors import ArgumentError
from sparsegmrf.typing import FloatArray

_DAY = 86400.0
_SECOND = np.timedelta64(1, "s")
_GREGORIAN = 365.25
_YEARS = {"360_day": 360.0, "noleap": 365.0, "365_day": 365.0, "all_leap": 366.0, "366_day": 366.0}
"""Days of a year in calendars of climate models."""
_EPOCH = np.datetime64("1970-01-01", "us")
_KINDS = "numpy datetime64, dates of Python, of cftime, ISO strings such as 2021-05-03, or numbers of days"
_MONTHS = np.array(["Dec-Feb", "Mar-May", "Jun-Aug", "Sep-Nov"])
_QUARTERS = np.array([f"quarter {k} of the year" for k in (1, 2, 3, 4)])
"""Seasons of dates, and of days that are counted from the beginning of a year."""


@dataclass(frozen=True, eq=False)
class Calendar:
    """Where days are counted from, so that dates asked for later are counted alike.

    Attributes
    ----------
    kind : str
        ``"numbers"``, ``"dates"`` or, of cftime, ``"calendar"``.
    epoch : object
        Of a calendar its first date, from which days count; else None.
    year : float
        Days of a year.
    """

    kind: str
    epoch: Any
    year: float

    @classmethod
    def of(cls, dates: Any, name: str = "dates") -> "Calendar":
        """Return the calendar of some dates.

        Raises
        ------
        ArgumentError
            If they are no dates, or none at all.
        """
        array = _listed(dates, name)
        if not len(array):
            raise ArgumentError(f"{name} must hold at least one date, got none.")
        if array.dtype.kind in "iuf":
            return cls("numbers", None, _GREGORIAN)
        if array.dtype.kind == "O" and hasattr(array[0], "calendar"):
            return cls("calendar", array[0], _YEARS.get(array[0].calendar, _GREGORIAN))
        return cls("dates", None, _GREGORIAN)

    def days(self, dates: Any, name: str = "dates") -> FloatArray:
        """Return dates in days, ``(T,)``: since 1970, since the first date of a calendar, or as numbers are given.

        Raises
        ------
        ArgumentError
            If one is no date of this calendar, or not known.
        """
        array = _listed(dates, name)
        if self.kind == "numbers":
            if len(array) and array.dtype.kind not in "iuf":
                raise ArgumentError(f"{name} must be numbers of days, as the dates of the stack are, got {array[0]!r}.")
            found = array.astype(np.float64)
        elif self.kind == "calendar":
            found = np.array([self._since_epoch(each, name) for each in array], dtype=np.float64)
        else:
            found = (_as_datetime64(array, name) - _EPOCH) / _SECOND / _DAY
        missing = np.flatnonzero(~np.isfinite(found))
        if len(missing):
            raise ArgumentError(
                f"{name} must all be known, got {array[missing[0]]!r} at position {int(missing[0])}; leave that image "
                "out."
            )
        return np.asarray(found, dtype=np.float64)

    def dates(self, dates: Any, name: str = "dates") -> npt.NDArray[Any]:
        """Return dates as a coordinate has them: datetime64, numbers, or objects of the calendar."""
        array = _listed(dates, name)
        return _as_datetime64(array, name).astype("datetime64[ns]") if self.kind == "dates" else array

    def seasons(self, dates: npt.NDArray[Any]) -> npt.NDArray[np.str_]:
        """Return the quarter of the year of dates as `dates` has them: by months, of numbers by days of a year."""
        if self.kind == "numbers":
            return _QUARTERS[np.floor(4.0 * (dates.astype(np.float64) / self.year % 1.0)).astype(np.int64)]
        if self.kind == "calendar":
            months = np.array([each.month for each in dates], dtype=np.int64)
        else:
            months = dates.astype("datetime64[M]").astype(np.int64) % 12 + 1
        return _MONTHS[months % 12 // 3]

    def _since_epoch(self, date: Any, name: str) -> float:
        if getattr(date, "calendar", None) != self.epoch.calendar:
            raise ArgumentError(
                f"{name} must be dates of the calendar {self.epoch.calendar}, as the dates of the stack are, got "
                f"{date!r}."
            )
        return float((date - self.epoch).total_seconds()) / _DAY


def _listed(dates: Any, name: str) -> npt.NDArray[Any]:
    """Return dates as an array with one axis, of numbers, datetime64, strings or objects."""
    if isinstance(dates, str | datetime.date | np.datetime64) or np.ndim(dates) == 0:
        dates = [dates]
    array = whole_array(name, dates, "leave out the images whose dates are not known")
    if array.ndim != 1:
        raise ArgumentError(f"{name} must be a list of dates, one per image, got an array of shape {array.shape}.")
    if array.dtype.kind == "b" or array.dtype.kind in "cmV":
        raise ArgumentError(f"{name} must be {_KINDS}, got dtype {array.dtype}.")
    return array


def _as_datetime64(array: npt.NDArray[Any], name: str) -> npt.NDArray[np.datetime64]:
    if array.dtype.kind in "iuf":
        raise ArgumentError(f"{name} must be dates, as those of the stack are, got the number {array[0]!r}.")
    if array.dtype.kind == "M":
        return array.astype("datetime64[us]")
    found = np.empty(len(array), dtype="datetime64[us]")
    for k, each in enumerate(array.tolist()):
        if getattr(each, "tzinfo", None) is not None:
            each = each.astimezone(datetime.UTC).replace(tzinfo=None)
        try:
            found[k] = np.datetime64(each, "us")
        except (ValueError, TypeError):
            raise ArgumentError(f"{name} must be {_KINDS}, got {each!r} at position {k}.") from None
    return found


def is_dates(coordinate: Any) -> bool:
    """Return whether a coordinate holds dates: datetime64, or objects of a calendar."""
    values = np.asarray(coordinate)
    if values.dtype.kind == "M":
        return True
    return values.dtype.kind == "O" and values.size > 0 and hasattr(values.flat[0], "calendar")
