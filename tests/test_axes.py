"""Labelled masks lie as their images do, whoever reads the two."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import Matern, condition, fit
from sparsegmrf.autoregression import CausalAR
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import variogram
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.scores import leave_one_out
from tests.conftest import require


def test_labelled_masks_are_turned_to_the_image_by_every_door():
    xarray = require("xarray")
    rng = np.random.default_rng(0)
    values = xarray.DataArray(
        rng.standard_normal((16, 16)).cumsum(axis=0), {"y": np.arange(16.0), "x": 2.0 * np.arange(16)}, ("y", "x")
    )
    mask = xarray.zeros_like(values, dtype=bool)
    mask[:4, :2] = True
    field = Matern(4.0).gmrf((16, 16))
    found = fit(Matern(), values, noise_variance=0.25)
    doors = {
        "predict": lambda m: found.predict(m).mean,
        "condition": lambda m: condition(field, values, mask=m, noise_variance=0.25).mean,
        "variogram": lambda m: variogram(values, m).semivariances,
        "CausalAR": lambda m: CausalAR.fit(values, mask=m).model.weights,
        "counts": lambda m: condition(field, np.abs(values).round(), mask=m, likelihood=Poisson()).mean,
        "leave_one_out": lambda m: leave_one_out(field, values, mask=m, noise_variance=0.25).mean,
    }
    for name, door in doors.items():
        assert_allclose(door(mask.T), door(mask.to_numpy()), rtol=1e-12, err_msg=name)
        with pytest.raises(ArgumentError, match="mask"):
            door(mask.assign_coords(x=2.0 * np.arange(16) + 1.0))
