"""Bare arrays of a fit are put on the coordinates of the image fitted."""

import numpy as np
import pytest

from sparsegmrf import Matern, fit
from sparsegmrf.errors import ArgumentError
from tests.conftest import require


def fitted(shape, dims):
    xr = require("xarray")
    image = np.random.default_rng(0).standard_normal(shape)
    coordinates = {"y": 30.0 * np.arange(shape[-2]), "x": ("x", 30.0 * np.arange(shape[-1]), {"units": "m"})}
    labelled = xr.DataArray(image, coordinates, dims, name="t", attrs={"units": "K", "standard_name": "temperature"})
    return labelled, fit(Matern(range=60.0), labelled, noise_variance=1.0, fixed=["range", "sigma"])


def test_trend_and_draws_get_the_coordinates_of_the_image():
    image, found = fitted((6, 8), ("y", "x"))
    trend = found.labelled(found.trend, "trend")
    np.testing.assert_array_equal(trend.values, found.trend)
    assert trend.coords.equals(image.coords)
    assert trend.name == "trend"
    assert trend.attrs == {"units": "K"}
    draws = found.labelled(found.predict(n_samples=3, rng=0).samples)
    assert draws.dims == ("sample", "y", "x")
    assert draws.name == "t"


def test_of_several_images_one_or_all_are_labelled():
    image, found = fitted((2, 6, 8), ("month", "y", "x"))
    assert found.labelled(found.trend).dims == ("y", "x")
    means = found.predict().mean
    assert found.labelled(means).dims == image.dims
    np.testing.assert_array_equal(found.labelled(means).values, means)


def test_an_array_stays_one_and_other_shapes_are_refused():
    found = fit(Matern(range=3.0), np.eye(6), noise_variance=1.0, fixed=["range", "sigma"])
    np.testing.assert_array_equal(found.labelled(found.trend), found.trend)
    with pytest.raises(ArgumentError, match=r"values must have shape \(6, 6\)"):
        found.labelled(np.zeros((6, 5)))
