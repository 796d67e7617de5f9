import datetime

import numpy as np
import pytest

from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks._dates import Calendar
from tests.conftest import require

ISO = ["2021-03-01", "2020-02-28", "2020-02-29T12:00"]
GAPS = [0.0, -367.0, -365.5]


@pytest.mark.parametrize(
    "dates",
    [
        ISO,
        np.array(ISO, dtype="datetime64[s]"),
        [datetime.datetime.fromisoformat(each) for each in ISO],
        np.array(ISO, dtype="datetime64[ns]").astype(object).tolist() and np.array(ISO, dtype="datetime64[ns]"),
        [datetime.datetime.fromisoformat(f"{each}+00:00" if "T" in each else f"{each}T00:00+00:00") for each in ISO],
    ],
    ids=["strings", "datetime64", "datetime", "nanoseconds", "with time zones"],
)
def test_dates_of_every_kind_are_the_same_days(dates):
    days = Calendar.of(dates).days(dates)
    np.testing.assert_allclose(days - days[0], GAPS)


def test_dates_without_hours_are_days():
    dates = [datetime.date(2021, 3, 1), datetime.date(2021, 3, 4)]
    assert np.diff(Calendar.of(dates).days(dates)).tolist() == [3.0]


def test_numbers_are_days():
    assert Calendar.of([3, 1]).days([3, 1]).tolist() == [3.0, 1.0]


def test_calendars_of_models_have_their_own_year():
    cftime = require("cftime")
    dates = [cftime.Datetime360Day(2000, 1, 1), cftime.Datetime360Day(2001, 1, 1)]
    calendar = Calendar.of(dates)
    assert calendar.days(dates).tolist() == [0.0, 360.0]
    assert calendar.year == 360.0
    with pytest.raises(ArgumentError, match="calendar 360_day"):
        calendar.days([cftime.DatetimeNoLeap(2000, 1, 1)])


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        ([], "at least one date"),
        (["2020-01-01", "yesterday"], "'yesterday' at position 1"),
        (np.array(["2020-01-01", "NaT"], dtype="datetime64[D]"), "must all be known"),
        ([1.0, np.nan], "must all be known"),
        (np.zeros((2, 2)), "one per image"),
        ([True, False], "got dtype bool"),
        (np.array([1, 2], dtype="timedelta64[D]"), "dtype timedelta64"),
    ],
)
def test_what_is_no_date_is_refused(dates, said):
    with pytest.raises(ArgumentError, match=said):
        Calendar.of(dates).days(dates)


def test_kinds_are_not_mixed():
    with pytest.raises(ArgumentError, match="got the number"):
        Calendar.of(ISO).days([3.0], "at")
    with pytest.raises(ArgumentError, match="at must be numbers of days"):
        Calendar.of([1.0]).days(["2020-01-01"], "at")
