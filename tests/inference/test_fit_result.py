"""What a fit predicts: draws that go with the unit, and images that nobody changes afterwards."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf.inference import fit
from sparsegmrf.models import Intrinsic, Matern, TensionSpline

SHAPE = (10, 12)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
IMAGE = np.random.default_rng(4).standard_normal(SHAPE) + 0.1 * ROWS
GAPS = np.random.default_rng(5).random(SHAPE) < 0.25


@pytest.mark.parametrize("unit", [1e-100, 1e-7, 3.0, 1e5, 1e100])
@pytest.mark.parametrize(
    "model",
    [Intrinsic(1, 2.0), Intrinsic(1, boundary="torus"), TensionSpline(0.3), Matern(4.0, boundary="torus")],
    ids=["random walk", "random walk on a torus", "spline", "Matern on a torus"],
)
def test_draws_of_the_trend_go_with_the_unit(model, unit):
    # Slopes by rows and by columns are hardly correlated: any two directions at right angles diagonalize them.
    options = {"mask": GAPS, "covariates": "linear", "fixed": list(model.parameters)}
    plain = fit(model, IMAGE, noise_variance=0.3, **options).predict(n_samples=3, rng=1)
    moved = fit(model.scaled(unit), unit * IMAGE, noise_variance=0.3 * unit * unit, **options)
    found = moved.predict(n_samples=3, rng=1)
    assert_allclose(found.samples / unit, plain.samples, rtol=0.0, atol=1e-9 * np.abs(plain.samples).max())


def test_covariates_changed_after_a_fit_change_nothing():
    columns = np.stack([np.ones(SHAPE), ROWS])
    result = fit(Matern(4.0), IMAGE, mask=GAPS, covariates=columns, noise_variance=0.3, fixed=["range", "sigma"])
    held = ~GAPS & (COLUMNS < 3.0)
    before = result.predict(held).mean
    columns[:] = np.nan
    assert_array_equal(result.predict(held).mean, before)


def test_layout_of_covariates_does_not_matter():
    columns = np.stack([np.ones(SHAPE), ROWS, COLUMNS, np.sin(ROWS), np.cos(COLUMNS)])
    options = {"mask": GAPS, "noise_variance": 0.3, "fixed": ["range", "sigma"]}
    expected = fit(Matern(4.0), IMAGE, covariates=columns, **options)
    for given in (np.asfortranarray(columns), columns[:, ::-1].copy()[:, ::-1], columns.astype(">f8")):
        found = fit(Matern(4.0), IMAGE, covariates=given, **options)
        assert found.loglik == expected.loglik
        assert found.coefficients == expected.coefficients
