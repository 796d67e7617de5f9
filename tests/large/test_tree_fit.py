"""Fits of rasters by the score of the whole, against the fit of the whole in memory."""

import numpy as np
import pytest

import sparsegmrf
from sparsegmrf import large
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import CAR, Intrinsic, Matern, TensionSpline

SHAPE = (96, 84)
CASES = {
    "CAR": (CAR(0.2), CAR(0.24, tau=4.0), {"noise_variance": 0.01, "covariates": None}),
    "Matern": (Matern(5.0, 1.0), Matern(8.0, 2.0), {}),
    "spline": (TensionSpline(0.4), TensionSpline(0.3, 3.0, proper=1e-3), {"covariates": "constant"}),
}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles that are a part of the raster only."""
    monkeypatch.setattr("sparsegmrf.large._fit._SIDE", 32)


def raster(truth):
    rng = np.random.default_rng(0)
    values = truth.gmrf(SHAPE).sample(rng=1) + 0.1 * rng.standard_normal(SHAPE)
    values[rng.random(SHAPE) < 0.2] = np.nan
    return values


@pytest.mark.parametrize("name", CASES)
def test_estimates_are_those_of_the_whole_within_the_tolerance(name):
    model, truth, options = CASES[name]
    values = raster(truth)
    exact = sparsegmrf.fit(model, values, mask="nan", **{"covariates": "linear", **options})
    found = large.fit(values, model=model, tile=50, **options)
    assert found.converged
    assert found.decrement <= 0.1
    assert set(found.parameters) == set(exact.standard_errors)
    for key, error in exact.standard_errors.items():
        assert found.standard_errors[key] == pytest.approx(error, rel=0.25)
        known = exact.noise_variance if key == "noise_variance" else exact.model.parameters[key]
        assert abs(found.parameters[key] - known) <= 0.15 * error
    assert exact.loglik - 0.5 * 0.15**2 <= found.loglik <= exact.loglik + 1e-6
    assert found.from_tiles > 3.0 * found.decrement
    assert found.result.loglik == found.loglik == max(step.loglik for step in found.steps)
    assert found.reason == "at a maximum"
    assert "standard errors" in repr(found)


def test_what_is_reported_of_the_steps_is_that_of_the_whole():
    model, truth, options = CASES["CAR"]
    values = raster(truth)
    found = large.fit(values, model=model, tile=50, **options)
    for step in found.steps:
        tree = large.SchurTree(model.replace(**step.parameters), values, noise_variance=0.01, tile=44)
        assert tree.loglik() == pytest.approx(step.loglik, rel=1e-12)
    assert found.steps[0].parameters == pytest.approx(found.tiles.model.parameters)
    np.testing.assert_allclose(found.result.mean, tree.condition().mean, rtol=1e-9)


def test_what_cannot_be_fitted_is_refused():
    values = np.zeros((50, 40))
    with pytest.raises(ArgumentError, match="model must be a Model"):
        large.fit(values, model="matern")
    with pytest.raises(ArgumentError, match="noise_variance"):
        large.fit(values, noise_variance="known")
    with pytest.raises(ArgumentError, match="leave scale out"):
        large.fit(values, model=Intrinsic(scale=True))
    with pytest.raises(ArgumentError, match="maps"):
        large.fit(values, model=Matern(np.full((50, 40), 5.0)))
