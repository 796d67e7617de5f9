"""Rasters on dask: lazy in and lazy out, and the same as without it."""

import os
import subprocess
import sys

import numpy as np
import pytest

from sparsegmrf import large
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import CAR, Matern, Sum, TensionSpline
from tests.conftest import require
from tests.large.test_fill import NOISE, raster

OPTIONS = {"noise_variance": NOISE, "core": 22, "halo": 12, "tolerance": 9.0, "n_samples": 1, "rng": 3}


def lazy(values, chunks):
    return require("dask.array").from_array(values, chunks=chunks)


def computed(result):
    dask = require("dask")
    images = (result.mean, result.std, result.std_lower, result.std_upper, result.mean_error, result.samples)
    return dask.compute(*images, result.coefficients, result.widths, scheduler="threads", num_workers=2)


@pytest.mark.parametrize("model", [TensionSpline(0.4, 2.0), Sum([Matern(8.0), CAR(0.1)])], ids=["spline", "sum"])
def test_dask_gives_what_arrays_give(model):
    values = raster()
    plain = large.fill(values, model=model, **OPTIONS)
    result = large.fill(lazy(values, (7, 13)), model=model, **OPTIONS)
    assert result.mean.chunks == lazy(values, (7, 13)).chunks
    mean, std, low, high, error, samples, beta, widths = computed(result)
    assert (np.abs(mean - plain.mean) / plain.std).max() < 1e-6
    for one, other in ((std, plain.std), (low, plain.std_lower), (high, plain.std_upper)):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    assert error <= 1e-6
    np.testing.assert_allclose(samples, plain.samples, atol=1e-5)
    np.testing.assert_allclose(beta, list(plain.coefficients.values()), rtol=1e-6)
    np.testing.assert_allclose(widths, plain.widths, rtol=1e-5)


def test_nothing_is_computed_before_it_is_asked_for_and_tasks_have_names():
    values, read = raster(), []
    da = require("dask.array")
    image = da.map_blocks(lambda block: read.append(1) or block, lazy(values, (12, 22)), dtype=float)
    read.clear()
    result = large.fill(image, model=TensionSpline(0.4, 2.0), **OPTIONS)
    assert not read
    names = [str(key).lstrip("('") for key in result.mean.__dask_graph__()]
    for step in ("bounds", "correct1", "left0", "coefficients", "images"):
        assert any(name.startswith(f"gmrf-{step}-") for name in names), step
    own = [name for name in names if name.startswith("gmrf-") and "-array-" not in name]
    assert len(own) <= 20 * len(result.tiles) + 8  # those that all tiles share


def test_dataarrays_keep_coordinates_and_attributes():
    xr = require("xarray")
    require("dask")
    values = raster()
    image = xr.DataArray(
        values, dims=("y", "x"), coords={"y": np.arange(36.0), "x": np.arange(44.0) * 2.0}, attrs={"units": "K"}
    ).chunk({"y": 16, "x": 30})
    result = large.fill(image, model=Matern(5.0, 2.0), **OPTIONS)
    assert result.mean.chunks == image.chunks
    assert result.mean.attrs == {"units": "K"}
    assert result.std.coords.equals(image.coords)
    assert result.samples.dims == ("sample", "y", "x")
    plain = large.fill(image.compute(), model=Matern(5.0, 2.0), **OPTIONS)
    assert plain.mean.attrs == {"units": "K"}
    assert plain.samples.dims == ("sample", "y", "x")
    np.testing.assert_allclose(result.mean.values, plain.mean.values, rtol=1e-6)


def test_tiles_grow_on_dask_too():
    values = raster()
    options = OPTIONS | {"halo": 5, "tolerance": 0.05, "n_samples": 0}
    result = large.fill(lazy(values, (16, 16)), model=TensionSpline(0.4, 2.0), **options)
    assert result.widths.compute(scheduler="sync").max() <= 0.05
    assert result.mean_error.compute(scheduler="sync") < 1e-3


def test_noise_may_be_an_array_and_the_likelihood_has_bounds():
    values = raster()
    noise = np.random.default_rng(1).uniform(0.02, 0.2, values.shape)
    options = OPTIONS | {"noise_variance": noise, "loglik": True}
    plain = large.fill(values, model=TensionSpline(0.4, 2.0), **options)
    for given in (noise, lazy(noise, (10, 44))):
        result = large.fill(
            lazy(values, (16, 16)), model=TensionSpline(0.4, 2.0), **options | {"noise_variance": given}
        )
        mean, interval = require("dask").compute(result.mean, result.loglik_interval, scheduler="sync")
        assert (np.abs(mean - plain.mean) / plain.std).max() < 1e-6
        np.testing.assert_allclose(interval, plain.loglik_interval, atol=1e-5)


def test_fields_whose_determinant_no_transform_knows_have_bounds_of_it_on_dask():
    values, model = raster(), Matern(np.linspace(4.0, 6.0, 44) * np.ones((36, 1)), 2.0)
    options = OPTIONS | {"loglik": True, "n_samples": 0}
    plain = large.fill(values, model=model, **options)
    result = large.fill(lazy(values, (36, 44)), model=model, **options)
    low, high = result.loglik_interval.compute(scheduler="sync")
    np.testing.assert_allclose((low, high), plain.loglik_interval, atol=1e-5)
    assert low < high < low + 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask": np.zeros((36, 44), bool)}, "mask"),
        ({"scratch": "."}, "scratch"),
        ({"progress": print}, "progress"),
        ({"noise_variance": lambda rows, columns: np.ones((36, 44))}, "number"),
        ({"noise_variance": np.ones((3, 3))}, "shape"),
    ],
)
def test_what_is_not_done_on_dask_is_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        large.fill(lazy(raster(), (20, 20)), model=Matern(5.0), **(OPTIONS | options))


PLANNED = """
import numpy as np
import dask, dask.array as da
from sparsegmrf import large
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import Matern
image = np.random.default_rng(0).standard_normal((30, 40)).cumsum(axis=1)
image[5:9, 7:15] = np.nan
options = {"model": Matern(5.0), "noise_variance": 0.1, "core": 20, "halo": 10, "tolerance": 9.0}
try:
    found = large.fill(da.from_array(image, chunks=(11, 13)), **options)
except ArgumentError as error:
    assert "QUERY_PLANNING=False" in str(error)
    assert dask.config.get("array.query-planning")
    raise SystemExit
assert found.mean.chunks == ((11, 11, 8), (13, 13, 13, 1))
mean, std = dask.compute(found.mean, found.std, scheduler="sync")
plain = large.fill(image, **options)
assert np.abs(mean - plain.mean).max() < 1e-6 and np.allclose(std, plain.std)
"""


def test_query_planning_works_as_far_as_dask_has_what_it_takes():
    require("dask.array")
    pytest.importorskip("dask", minversion="2025.1", reason="older ones plan arrays by another package")
    environment = os.environ | {"DASK_ARRAY__QUERY_PLANNING": "True"}
    subprocess.run([sys.executable, "-c", PLANNED], env=environment, check=True)
