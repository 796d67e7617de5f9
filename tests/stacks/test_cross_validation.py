"""Scores of moved clouds: what is hidden is not used, and is predicted as by the model without it."""

import numpy as np
import pytest

from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import Matern
from sparsegmrf.scores import crps
from sparsegmrf.stacks import cross_validate, fill, moved_clouds
from tests.stacks.test_labels import labelled

DAYS = np.array([40.0, 0.0, 12.0, 12.0, 130.0, 90.0])
HELD = {"harmonics": None, "fixed": ["range", "ell", "sigma"], "noise_variance": 0.04,
        "start": {"range": 3.0, "sigma": 1.0, "ell": 60.0}}  # fmt: skip
PARTLY = {"harmonics": None, "fixed": ["range", "ell"], "start": {"range": 3.0, "ell": 60.0}}


def stack(seed=0):
    rng = np.random.default_rng(seed)
    values = 3.0 + Matern(range=3.0).gmrf((5, 6)).sample(rng=rng) + 0.2 * rng.standard_normal((6, 5, 6))
    values[1, :3, 2:5], values[4, 3:, :2], values[5, 1, 1] = np.nan, np.nan, np.nan
    return values


def test_what_is_hidden_is_predicted_by_a_filling_without_it():
    values = stack()
    found = cross_validate(values, dates=DAYS, **HELD)
    assert found.clouds.n_folds == found.clouds.count >= 4
    for fold in range(found.clouds.n_folds):
        hidden = found.clouds.hidden(fold)
        own = fill(np.where(hidden, np.nan, values), dates=DAYS, **HELD)
        np.testing.assert_array_equal(found.predictions.mean[hidden], own.mean[hidden])
        np.testing.assert_array_equal(found.predictions.std[hidden], own.predictive_std[hidden])
        np.testing.assert_array_equal(found.predictions.observed[hidden], values[hidden])
    assert np.isnan(found.predictions.mean[~found.clouds.held_out]).all()


@pytest.mark.parametrize("model", [{**PARTLY}, {"model": "modes"}], ids=["field", "modes"])
@pytest.mark.parametrize("refit", [True, False])
def test_values_that_are_hidden_change_no_prediction_by_a_bit(refit, model):
    values = stack()
    clouds = moved_clouds(~np.isnan(values), DAYS, rng=2, clouds=3, folds=3)
    before = cross_validate(values, dates=DAYS, clouds=clouds, refit=refit, **model)
    for fold in range(2):
        hidden = clouds.hidden(fold)
        moved = np.where(hidden, 1e4 - 7.0 * values, values)
        after = cross_validate(moved, dates=DAYS, clouds=clouds, refit=refit, **model)
        for name in ("mean", "std"):
            one, other = (getattr(each.predictions, name)[hidden] for each in (before, after))
            np.testing.assert_array_equal(one, other)
        assert after.scores.rmse > 100.0 * before.scores.rmse


def test_parameters_are_fitted_anew_or_once():
    values = stack()
    anew, once = (cross_validate(values, dates=DAYS, clouds=2, refit=refit, **PARTLY) for refit in (True, False))
    noises = [[fit.parameters["noise_variance"] for fit in each.fits] for each in (anew, once)]
    assert len(set(noises[0])) == len(noises[0]) == 2
    everything = fill(np.where(once.clouds.held_out, np.nan, values), dates=DAYS, **PARTLY)
    assert set(noises[1]) == {everything.parameters["noise_variance"]}
    assert [fit.parameters["sigma"] for fit in once.fits] == pytest.approx([everything.parameters["sigma"]] * 2)
    assert "fitted anew" in anew.summary()
    assert "parameters fitted with all of them hidden" in once.summary()


def test_scores_have_errors_over_dates_and_seasons_are_parts_of_them():
    values = stack()
    found = cross_validate(values, dates=DAYS, **HELD)
    held, said = found.clouds.held_out, found.predictions
    y, mean, std = (each[held] for each in (said.observed, said.mean, said.std))
    of_day = np.broadcast_to(DAYS[:, None, None], held.shape)[held]
    each = crps(y, mean, std)
    assert found.scores.crps == pytest.approx(each.mean())
    assert found.scores.rmse == pytest.approx(np.sqrt(np.mean((y - mean) ** 2)))
    assert found.scores.coverage_90 == np.mean(np.abs(y - mean) < 1.6448536 * std)
    sums = np.array([(each - each.mean())[of_day == day].sum() for day in np.unique(of_day)])
    expected = np.sqrt(np.sum(sums**2) * len(sums) / (len(sums) - 1)) / len(each)
    assert found.scores.standard_errors["crps"] == pytest.approx(expected)
    assert found.scores.dates == len(sums)
    assert sum(own.count for own in found.by_season.values()) == found.scores.count == len(each)
    assert sum(own.scores.count for own in found.by_cloud) == len(each)
    assert all(np.isnan(own.scores.standard_errors["crps"]) for own in found.by_cloud)  # of one date
    assert set(found.by_season) <= {f"quarter {k} of the year" for k in (1, 2, 3, 4)}
    for line in ("RMSE", *found.by_season):
        assert line in found.summary()


def test_scores_know_units_flips_and_time_that_runs_backwards():
    values = stack()
    clouds = moved_clouds(~np.isnan(values), DAYS, rng=0)
    found = cross_validate(values, dates=DAYS, clouds=clouds, **HELD)
    flipped = moved_clouds(~np.isnan(values[:, ::-1]), DAYS, rng=0)
    np.testing.assert_array_equal(flipped.labels[:, ::-1], clouds.labels)
    assert cross_validate(values[:, ::-1], dates=DAYS, clouds=flipped, **HELD).scores.crps == pytest.approx(
        found.scores.crps
    )
    backwards = type(clouds)(
        clouds.labels[::-1], 5 - clouds.targets, 5 - clouds.sources, clouds.folds, clouds.observed[::-1]
    )
    again = cross_validate(values[::-1], dates=-DAYS[::-1], clouds=backwards, **HELD)
    assert again.scores.log_score == pytest.approx(found.scores.log_score)
    scaled = HELD | {"noise_variance": 0.04e6, "start": HELD["start"] | {"sigma": 1e3}}
    moved = cross_validate(1e3 * values - 2e3, dates=DAYS, clouds=clouds, **scaled)
    assert moved.scores.rmse == pytest.approx(1e3 * found.scores.rmse, rel=1e-6)
    assert moved.scores.log_score == pytest.approx(found.scores.log_score + np.log(1e3), rel=1e-6)


def test_a_stack_with_labels_has_the_seasons_and_dates_of_its_coordinate():
    given = labelled(("y", "x", "time"))
    found = cross_validate(given, harmonics=None, noise_variance=0.2, fixed=["range", "ell", "sigma"], spacing=None,
                           start={"range": 4.0, "sigma": 2.0, "ell": 30.0}, clouds=3)  # fmt: skip
    assert found.predictions.mean.shape == (6, 6, 7)
    assert set(found.by_season) <= {"Dec-Feb", "Mar-May", "Jun-Aug", "Sep-Nov"}
    assert all(own.date in given.time.values for own in found.by_cloud)


def test_bad_input_is_refused_by_name():
    values = stack()
    clouds = moved_clouds(~np.isnan(values), DAYS, rng=0)
    for changes, said in (
        ({"model": "best"}, "model must be one model"),
        ({"clouds": clouds, "folds": 2}, "folds must be left out"),
        ({"clouds": 0}, "clouds must be at least 1"),
        ({"dates": np.zeros(6)}, "two or more with an observation"),
    ):
        with pytest.raises(ArgumentError, match=said):
            cross_validate(values, **{"dates": DAYS, **changes})
    with pytest.raises(ArgumentError, match="those of another"):
        cross_validate(stack()[:, ::-1], dates=DAYS, clouds=clouds, **HELD)
    with pytest.raises(ArgumentError, match="two or more with an observation"):
        cross_validate(values[:1], dates=DAYS[:1], **HELD)
