"""Long series behind the door: modes unless something else is said, and the same as without the door."""

import numpy as np
import pytest

from sparsegmrf import Matern, fill
from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks._modes import fill_modes

SIDE, DATES = 6, 64


def series(dates=DATES, seed=0):
    rng = np.random.default_rng(seed)
    days = np.cumsum(rng.integers(5, 20, dates)).astype(float)
    patterns = rng.standard_normal((2, SIDE, SIDE))
    truth = 50.0 + np.einsum("tk,kij->tij", rng.standard_normal((dates, 2)) * [4.0, 2.0], patterns)
    seen = truth + 0.3 * rng.standard_normal(truth.shape)
    seen[rng.random(truth.shape) < 0.3] = np.nan
    return seen, days, truth


def test_long_series_are_filled_by_modes():
    stack, days, truth = series()
    order = np.random.default_rng(1).permutation(len(days))  # dates in any order
    result = fill(stack[order], dates=days[order], at=[days[3] + 1.0], n_samples=2, rng=0)
    plain = fill_modes(stack[order], days[order], [days[3] + 1.0], n_samples=2, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(result.mean, plain.mean[:-1])
    np.testing.assert_array_equal(result.at.mean, plain.mean[-1:])
    np.testing.assert_array_equal(result.samples, plain.samples[:, :-1])
    np.testing.assert_allclose(result.predictive_std**2, (plain.variance + plain.noise_variance)[:-1])
    assert result.parameters["rank"] >= 2
    gaps = np.isnan(stack[order])
    error = (result.mean - truth[order])[gaps]
    assert np.sqrt(np.mean(error**2)) < 1.0  # of 5.7 about the mean
    np.testing.assert_array_equal(result.filled[~gaps], stack[order][~gaps])


@pytest.mark.parametrize("options", [{"harmonics": None}, {"model": Matern(range=3.0)}, {"noise_variance": 0.1}])
def test_options_of_a_field_are_those_of_a_field(options):
    stack, days, _ = series()
    window = (slice(None), slice(0, 2), slice(0, 2))
    held = {"fixed": ["range", "ell"], "start": {"ell": 20.0}} if "model" in options else {}
    result = fill(stack[window], dates=days, **{"harmonics": None, **options}, **held)
    assert "ell" in result.parameters


def test_short_series_have_modes_when_asked():
    stack, days, _ = series(12)
    assert "rank" in fill(stack, dates=days, model="modes").parameters
    assert "ell" in fill(stack[:3], dates=days[:3]).parameters


def test_other_names_are_refused():
    stack, days, _ = series(5)
    with pytest.raises(ArgumentError, match='"modes", "best", or a function'):
        fill(stack, dates=days, model="mods")
    with pytest.raises(ArgumentError, match="outliers, fixed and start must be left out"):
        fill(stack, dates=days, model="modes", outliers="screen")
