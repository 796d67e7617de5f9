"""The choice of a model by moved clouds: what predicts better is taken, and the default where nothing does."""

import numpy as np
import pytest

from sparsegmrf import fill
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import Matern
from sparsegmrf.stacks import _best, cross_validate
from tests.stacks.test_cross_validation import DAYS, stack

SIDE, DATES = 5, 14
DAYS_OF_SERIES = np.cumsum(np.random.default_rng(3).integers(5, 20, DATES)).astype(float)


def clouded(values, seed=0):
    rng = np.random.default_rng(seed)
    for k in rng.permutation(len(values))[: len(values) // 2]:
        top, left = rng.integers(0, SIDE - 2, 2)
        values[k, top : top + 3, left : left + 3] = np.nan
    return values


def of_fields():
    """A field that changes slowly in time: no image keeps coming back."""
    rng = np.random.default_rng(1)
    field = Matern(range=3.0).gmrf((SIDE, SIDE))
    values = [field.sample(rng=rng)]
    for gap in np.diff(DAYS_OF_SERIES):
        rho = np.exp(-gap / 60.0)
        values.append(rho * values[-1] + np.sqrt(1.0 - rho**2) * field.sample(rng=rng))
    return clouded(10.0 + np.array(values) + 0.1 * rng.standard_normal((DATES, SIDE, SIDE)))


def of_modes():
    """Two images, rough in space, that come back with other weights at every date."""
    rng = np.random.default_rng(2)
    weights, patterns = rng.standard_normal((DATES, 2)) * [4.0, 3.0], rng.standard_normal((2, SIDE, SIDE))
    values = 10.0 + np.einsum("tk,kij->tij", weights, patterns)
    return clouded(values + 0.1 * rng.standard_normal(values.shape))


def test_modes_are_chosen_where_images_come_back():
    found = fill(of_modes(), dates=DAYS_OF_SERIES, model="best", rng=0)
    comparison = found.comparison
    assert comparison.chosen.name == "modes" != comparison.default.name
    assert comparison.chosen.crps_gain > 3.0 * comparison.chosen.crps_error
    assert "rank" in found.parameters
    assert found.summary().startswith(comparison.summary())
    assert "<- chosen" in comparison.summary()


def test_a_field_stays_where_it_changes_in_time():
    values = of_fields()
    found = fill(values, dates=DAYS_OF_SERIES, model="best", rng=0, n_samples=1)
    assert found.samples.shape == (1, *values.shape)
    names = [each.name for each in found.comparison.candidates]
    assert names[0] == "field, level maps"
    assert set(names) == {
        "field, level maps", "field, level of each pixel by itself", "field, no maps", "modes"
    }  # fmt: skip
    assert found.comparison.chosen.name.startswith("field")
    assert not found.comparison.candidates[names.index("modes")].is_better
    assert "ell" in found.parameters


def test_candidates_are_scored_as_by_cross_validation_on_the_same_clouds():
    values = stack()
    found = fill(values, dates=DAYS, model="best", rng=4)
    own = cross_validate(values, dates=DAYS, refit=False, rng=4, harmonics=None)
    (same,) = [each for each in found.comparison.candidates if each.name == "field, no maps"]
    assert same.scores == own.scores
    assert found.comparison.pixels == np.count_nonzero(own.clouds.held_out)
    assert found.comparison.left_out["modes"].endswith("got 6")
    assert found.comparison.default.crps_gain == 0.0
    for each in found.comparison.candidates:
        assert each.scores.crps == pytest.approx(found.comparison.default.scores.crps - each.crps_gain)
        assert each.is_better == (each.crps_gain > each.crps_error)


def test_without_an_error_of_the_difference_the_default_stays():
    values = stack()[:2]
    values[1] = np.nan
    values[1, 0, :3] = 3.0, 2.5, 4.0
    found = fill(values, dates=DAYS[:2], model="best", rng=0)
    assert found.comparison.chosen is found.comparison.default
    assert all(np.isnan(each.crps_error) for each in found.comparison.candidates)


def test_what_costs_too_much_or_cannot_be_is_left_out_with_the_reason(monkeypatch):
    monkeypatch.setattr(_best, "_WORTH", 1.0)
    found = fill(stack(), dates=DAYS, model="best", rng=0, noise_variance=0.04)
    assert [each.name for each in found.comparison.candidates] == ["field, level maps"]
    assert "operations" in found.comparison.left_out["field, no maps"]
    assert found.comparison.left_out["modes"] == "noise_variance belong to the model of a field"
    assert "field, no maps: would take" in found.summary()
    assert found.parameters["noise_variance"] == pytest.approx(0.04)


def test_of_long_series_modes_are_the_default():
    rng = np.random.default_rng(0)
    days = np.cumsum(rng.integers(5, 20, 64)).astype(float)
    values = (
        50.0 + rng.standard_normal((64, 1, 1)) * rng.standard_normal((3, 3)) + 0.3 * rng.standard_normal((64, 3, 3))
    )
    values[rng.random(values.shape) < 0.2] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_best, "_WORTH", 1.0)
        found = fill(values, dates=days, model="best", rng=0)
    assert found.comparison.default.name == "modes"
    assert all("operations" in reason for reason in found.comparison.left_out.values())
    assert len(found.comparison.left_out) >= 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"harmonics": 1}, "harmonics must be left out"),
        ({"start": {"ell": 3.0}}, "start must be left out"),
        ({"fixed": "ell"}, "fixed must be left out"),
        ({"mean_model": Matern()}, "mean_model must be left out"),
        ({"dates": np.zeros(6)}, "two or more with an observation"),
    ],
    ids=str,
)
def test_bad_input_is_refused_by_name(changes, said):
    with pytest.raises(ArgumentError, match=said):
        fill(stack(), **{"dates": DAYS, "model": "best", **changes})
