import numpy as np
import pytest

import sparsegmrf
from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks import fill
from tests.conftest import require
from tests.stacks.test_fill import KNOWN, SHAPE, stack

DATES = np.array(["2020-03-01", "2020-01-05", "2020-02-01", "2020-02-01", "2021-01-01", "2020-07-01"], "datetime64[ns]")


def labelled(dims=("time", "y", "x"), dates=DATES):
    xarray = require("xarray")
    coords = {"time": dates, "y": np.arange(6.0), "x": np.arange(7.0), "scene": ("time", list("abcdef"))}
    found = xarray.DataArray(stack(), dims=("time", "y", "x"), coords=coords, name="ndvi", attrs={"units": "1"})
    return found.transpose(*dims)


@pytest.mark.parametrize("dims", [("time", "y", "x"), ("y", "x", "time"), ("y", "time", "x")])
def test_time_may_be_any_dimension_and_results_keep_the_order(dims):
    given = labelled(dims)
    found = sparsegmrf.fill(given, at=["2020-05-01"], n_samples=2, rng=0, spacing=None, **KNOWN)
    plain = fill(stack(), dates=DATES, at=["2020-05-01"], n_samples=2, rng=0, **KNOWN)
    assert found.mean.dims == dims
    assert found.mean.coords.identical(given.coords)
    assert found.mean.attrs == {"units": "1"}
    assert found.std.name == "ndvi_std"
    assert found.samples.dims == ("sample", *dims)
    for name in ("mean", "std", "predictive_std", "filled", "outliers"):
        np.testing.assert_array_equal(getattr(found, name).transpose("time", "y", "x"), getattr(plain, name))
    np.testing.assert_array_equal(found.at.mean.transpose("time", "y", "x"), plain.at.mean)
    assert found.at.mean.dims == dims
    assert found.at.mean.time.values.tolist() == np.array(["2020-05-01"], "datetime64[ns]").tolist()


def test_a_mask_has_the_order_of_the_stack():
    given = labelled(("y", "x", "time"))
    expected = fill(given, spacing=None, **KNOWN)
    whole = given.fillna(1e6)
    for mask in (given.isnull(), given.isnull().values, given.isnull().transpose("time", "y", "x")):
        np.testing.assert_array_equal(fill(whole, mask=mask, spacing=None, **KNOWN).mean, expected.mean)


def test_calendars_of_models_are_dates():
    cftime = require("cftime")
    dates = [cftime.DatetimeNoLeap(2000, 1, day) for day in (1, 4, 9, 9, 20, 28)]
    found = sparsegmrf.fill(labelled(dates=dates), at=[cftime.DatetimeNoLeap(2000, 1, 6)], spacing=None, **KNOWN)
    days = [1.0, 4.0, 9.0, 9.0, 20.0, 28.0]
    expected = fill(stack(), dates=days, at=[6.0], **{**KNOWN, "harmonics": 0, "fixed": KNOWN["fixed"][:-1],
                    "start": {k: v for k, v in KNOWN["start"].items() if "harmonic" not in k}})  # fmt: skip
    assert found.mean.shape == expected.mean.shape == (6, *SHAPE)
    assert found.at.mean.shape == (1, *SHAPE)


def test_without_dates_a_stack_is_no_stack():
    given = labelled().drop_vars("time")
    with pytest.raises(ArgumentError, match="image must have two dimensions"):
        sparsegmrf.fill(given)
    found = sparsegmrf.fill(given, dates=DATES, **KNOWN)
    assert found.mean.dims == ("time", "y", "x")


def test_several_dimensions_of_dates_are_refused():
    given = labelled().assign_coords(y=DATES)
    with pytest.raises(ArgumentError, match="one dimension of dates"):
        sparsegmrf.fill(given)


def test_bands_are_refused_with_dates():
    with pytest.raises(ArgumentError, match="three dimensions with dates"):
        sparsegmrf.fill(labelled().expand_dims(band=2))
