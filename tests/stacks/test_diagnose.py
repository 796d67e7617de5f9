"""What the others say of every observation and every date, against dense linear algebra."""

from dataclasses import replace

import numpy as np
import pytest

import sparsegmrf
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import Matern
from sparsegmrf.stacks import diagnose, fill
from sparsegmrf.stacks._modes_em import Series
from sparsegmrf.stacks._modes_local import LocalField
from sparsegmrf.stacks._modes_posterior import WeightedSeries, left_out, posterior
from sparsegmrf.stacks._modes_spread import Spread
from tests import reference
from tests.stacks.test_fill import DAYS, KNOWN, SHAPE, stack
from tests.stacks.test_labels import labelled
from tests.stacks.test_long_series import series
from tests.stacks.test_modes import some_modes
from tests.stacks.test_series import by_day

NOISE = 0.2


def dense(days):
    """Return prior covariance and covariates of the images, repeated dates being places of their own."""
    covariances = [np.linalg.inv(each.stencil(SHAPE).tocsr().toarray()) for each in (Matern(4.0, 2.0), Matern(5.0))]
    angle = 2.0 * np.pi * days / 365.25
    basis = np.stack([np.ones(len(days)), np.cos(angle), np.sin(angle)], axis=1)
    S = reference.stack_covariance(days, 30.0, covariances[0], basis, [1.0, 0.7, 0.7], covariances[1])
    return S, np.repeat(basis, SHAPE[0] * SHAPE[1], axis=0)


@pytest.mark.parametrize("method", ["sweep", "lattice"])
def test_observations_are_predicted_by_all_others_as_by_dense_algebra(method):
    values = stack()
    found = diagnose(fill(values, dates=DAYS, method=method, **KNOWN))
    S, X = dense(DAYS)
    y, seen = values.ravel(), ~np.isnan(values.ravel())
    mean, std = np.full(y.shape, np.nan), np.full(y.shape, np.nan)
    for i in np.flatnonzero(seen):
        others = seen.copy()
        others[i] = False
        _, m, C, _ = reference.gaussian_given(S, y, others, NOISE, X)
        mean[i], std[i] = m[i], np.sqrt(C[i, i] + NOISE)
    np.testing.assert_allclose(found.left_out.mean.ravel(), mean, rtol=1e-8)
    np.testing.assert_allclose(found.left_out.std.ravel(), std, rtol=1e-8)
    np.testing.assert_allclose(found.z.ravel(), (y - mean) / std, atol=1e-8)
    np.testing.assert_array_equal(found.left_out.observed, values)
    assert (found.told, found.untold) == (seen.sum(), 0)
    assert found.how.startswith("exact")


@pytest.mark.parametrize("method", ["sweep", "lattice"])
def test_dates_are_compared_with_all_others_as_by_dense_algebra(method):
    values = stack()
    found = diagnose(fill(values, dates=DAYS, method=method, **KNOWN))
    S, X = dense(DAYS)
    y, seen = values.ravel(), ~np.isnan(values.ravel())
    of_image = np.repeat(np.arange(len(DAYS)), SHAPE[0] * SHAPE[1])
    for day in (0.0, 40.0, 90.0):  # with one image each
        (t,) = np.flatnonzero(day == DAYS)
        own = seen & (of_image == t)
        _, m, C, _ = reference.gaussian_given(S, y, seen & ~own, NOISE, X)
        d, C = (y - m)[own], C[np.ix_(own, own)] + NOISE * np.eye(own.sum())
        date = found.by_date[t]
        assert date.degrees == own.sum()
        assert date.square == pytest.approx(d @ np.linalg.solve(C, d), rel=1e-8)
        assert date.offset == pytest.approx(d.mean(), rel=1e-8)
        assert date.offset_error == pytest.approx(np.sqrt(C.mean()), rel=1e-8)
        assert date.date == day
    assert found.by_date[2][4:] == found.by_date[3][4:]  # two images of one date are compared together


def test_a_date_without_which_the_trend_is_not_told_is_not_compared():
    values, days = stack()[:3], np.array([0.0, 90.0, 180.0])  # a level and one harmonic need all of them
    found = diagnose(fill(values, dates=days, harmonics=1, noise_variance=0.2))
    assert [each.degrees for each in found.by_date] == [0, 0, 0]
    assert not len(found.flagged)
    assert found.told > 0


def test_a_single_date_is_diagnosed_as_the_image_it_is():
    values = stack()[:1]
    held = {"fixed": ["range", "sigma"], "start": {"range": 4.0, "sigma": 2.0}, "noise_variance": 0.2}
    found = diagnose(fill(values, dates=[0.0], harmonics=None, covariates=None, **held))
    expected = sparsegmrf.scores.leave_one_out(Matern(4.0, 2.0).gmrf(SHAPE), values[0], mask=np.isnan(values[0]),
                                               noise_variance=0.2)  # fmt: skip
    np.testing.assert_allclose(found.left_out.mean[0], expected.mean, atol=1e-8)
    np.testing.assert_allclose(found.left_out.std[0], expected.std, rtol=1e-8)


def test_what_nothing_else_tells_is_not_predicted_and_counted():
    values = np.full((1, 3, 4), np.nan)
    values[0, 0, 0], values[0, 2, 3] = 1.0, 2.0
    held = {"fixed": ["range", "sigma"], "noise_variance": 1e-12}
    with pytest.raises(ArgumentError, match="noise variance is too small"):
        diagnose(fill(values, dates=[0.0], harmonics=None, **held))


def test_scores_histogram_and_maps_are_those_of_the_residuals():
    found = diagnose(fill(stack(), dates=DAYS, **KNOWN))
    z = found.z[np.isfinite(found.z)]
    own = found.left_out.scores(0.95)
    for name in ("rmse", "crps", "log_score"):
        assert getattr(found.scores, name) == pytest.approx(own[name])
    assert found.scores.coverage_95 == pytest.approx(own["coverage"])
    assert found.scores.dates == 5
    assert found.pit_histogram().counts.sum() == len(z)
    np.testing.assert_allclose(found.pit[np.isfinite(found.z)].mean(), 0.5, atol=0.1)
    np.testing.assert_allclose(found.mean_square_z, np.nanmean(found.z**2, axis=0))
    for t, date in enumerate(found.by_date):
        assert date.mean_square_z == pytest.approx(np.nanmean(found.z[t] ** 2))
        assert date.scores.count == np.isfinite(found.z[t]).sum()
    assert "exact" in found.summary()


def test_a_date_with_an_offset_is_flagged_and_a_right_stack_has_none():
    rng = np.random.default_rng(5)
    days, field = 16.0 * np.arange(8.0), Matern(range=4.0).gmrf((8, 8))
    truth = [field.sample(rng=rng)]
    for _ in days[1:]:
        truth.append(0.6 * truth[-1] + 0.8 * field.sample(rng=rng))
    clear = 10.0 + np.array(truth) + 0.3 * rng.standard_normal((8, 8, 8))
    start = {"ell": -16.0 / np.log(0.6), "range": 4.0, "sigma": 1.0}
    held = {"harmonics": None, "start": start, "noise_variance": 0.09, "fixed": list(start)}
    right = diagnose(fill(clear, dates=days, **held))
    assert not len(right.flagged)
    assert abs(np.nanmean(right.z**2) - 1.0) < 0.3  # its deviation is about 0.06
    clear[3] += 5.0
    found = diagnose(fill(clear, dates=days, **held))
    assert found.flagged[0] == 3
    assert set(found.flagged.tolist()) <= {2, 3, 4}  # beside it
    assert abs(found.by_date[3].offset - 5.0) < 4.0 * found.by_date[3].offset_error
    assert f"{len(found.flagged)} of 8 dates contradict" in found.summary()


def test_diagnosis_knows_units_flips_and_time_that_runs_backwards():
    values = stack()
    found = diagnose(fill(values, dates=DAYS, **KNOWN))
    flipped = diagnose(fill(values[:, ::-1, ::-1], dates=DAYS, **KNOWN))
    np.testing.assert_allclose(flipped.z[:, ::-1, ::-1], found.z, atol=1e-8)
    backwards = diagnose(fill(values[::-1], dates=-DAYS[::-1], **KNOWN))
    np.testing.assert_allclose(backwards.z[::-1], found.z, atol=1e-8)
    scaled = KNOWN | {"noise_variance": 0.2e6, "start": KNOWN["start"] | {"sigma": 2e3, "sd_level": 1e3,
                      "sd_harmonic_1": 0.7e3}}  # fmt: skip
    moved = diagnose(fill(1e3 * values + 5e4, dates=DAYS, **scaled))
    np.testing.assert_allclose(moved.z, found.z, atol=1e-6)
    assert moved.scores.crps == pytest.approx(1e3 * found.scores.crps, rel=1e-6)
    np.testing.assert_allclose(
        [each.p_value for each in moved.by_date], [each.p_value for each in found.by_date], rtol=1e-5
    )


def test_tiles_come_near_the_whole():
    values = stack(shape=(10, 12))
    whole = diagnose(fill(values, dates=DAYS, **KNOWN))
    tiled = diagnose(fill(values, dates=DAYS, core=5, halo=5, **KNOWN))
    assert np.nanmax(np.abs(tiled.z - whole.z)) < 0.2
    np.testing.assert_array_equal(np.isnan(tiled.z), np.isnan(whole.z))
    assert tiled.how.startswith("exact within tiles")


def test_the_top_level_door_diagnoses_stacks_and_images():
    values = stack()
    filled = sparsegmrf.fill(values, dates=DAYS, **KNOWN)
    np.testing.assert_array_equal(sparsegmrf.diagnose(filled).z, diagnose(filled).z)
    np.testing.assert_array_equal(sparsegmrf.diagnose(filled.fit).z, diagnose(filled).z)
    image = sparsegmrf.diagnose(sparsegmrf.fill(values[0]), n_samples=4)
    assert image.n_samples == 4
    for wrong in (values, sparsegmrf.fill):
        with pytest.raises(ArgumentError, match="result must be"):
            sparsegmrf.diagnose(wrong)
        with pytest.raises(ArgumentError, match="result must be"):
            diagnose(wrong)


def test_residuals_stand_as_the_stack_does():
    given = labelled(("y", "x", "time"))
    found = diagnose(sparsegmrf.fill(given, spacing=None, **KNOWN))
    plain = diagnose(fill(stack(), dates=given.time.values, **KNOWN))
    assert found.z.dims == ("y", "x", "time")
    assert found.pit.dims == ("y", "x", "time")
    np.testing.assert_allclose(found.z.transpose("time", "y", "x"), plain.z)
    assert [each.date for each in found.by_date] == list(given.time.values)


def test_screened_observations_are_not_diagnosed():
    rng = np.random.default_rng(1)
    values = 3.0 + Matern(range=4.0).gmrf((6, 7)).sample(rng=rng) + 0.2 * rng.standard_normal((6, 6, 7))
    values[2, 1:3, 1:3] += 40.0
    held = {"fixed": ["ell", "range", "sigma"], "start": {"ell": 500.0, "range": 4.0, "sigma": 1.0}}
    filled = fill(values, dates=8.0 * np.arange(6), harmonics=None, outliers="screen", noise_variance=0.04, **held)
    assert filled.outliers[2, 1:3, 1:3].all()
    found = diagnose(filled)
    np.testing.assert_array_equal(np.isnan(found.z), filled.outliers)


def test_values_of_modes_are_predicted_as_without_them_given_the_modes():
    rng = np.random.default_rng(6)
    modes = some_modes(rng)
    known = np.zeros_like(modes.spread.packed)  # what is learnt is known
    modes = replace(modes, spread=Spread(known))
    n, days = len(modes.noise), np.array([0.0, 8.0, 8.0, 40.0])
    seen = rng.random((4, n)) > 0.3
    values = np.where(seen, rng.standard_normal((4, n)), 0.0)
    weights, scales = np.where(seen, rng.uniform(0.5, 1.2, (4, n)), 0.0), rng.uniform(0.5, 2.0, 4)
    local = LocalField((3, 4), 0.5, 0.4)
    mean, variance = left_out(modes, local, WeightedSeries(Series(values, seen, days), weights, scales))
    np.testing.assert_array_equal(np.isnan(mean), ~seen)
    for t, p in np.argwhere(seen)[::3]:
        others, rest = seen.copy(), weights.copy()
        others[t, p], rest[t, p] = False, 0.0
        data = WeightedSeries(Series(np.where(others, values, 0.0), others, days), rest, scales)
        found = posterior(modes, local, data, 0, rng)
        assert mean[t, p] == pytest.approx(found.mean[t, p], rel=1e-8, abs=1e-10)
        assert variance[t, p] == pytest.approx(found.variance[t, p], rel=1e-8)


def test_modes_are_diagnosed_in_the_order_of_the_images():
    values, days, _ = series(24)
    values[5] = np.nan
    order = np.random.default_rng(1).permutation(24)
    found = diagnose(fill(values[order], dates=days[order], model="modes"))
    np.testing.assert_allclose(found.left_out.observed, values[order], rtol=1e-12)
    assert found.told == np.isfinite(values).sum()
    filled = fill(values, dates=days, model="modes")
    own = diagnose(filled)
    np.testing.assert_allclose(found.z, own.z[order], atol=1e-6)
    # Left out, residuals are larger than those of what has seen them.
    assert own.scores.rmse > 1.05 * np.sqrt(np.nanmean((values - filled.mean) ** 2))
    assert "dates are not compared" in own.summary()
    assert not len(own.flagged)


def test_a_model_of_ones_own_that_says_nothing_of_it_is_refused():
    with pytest.raises(ArgumentError, match="cross_validate"):
        diagnose(fill(stack(), dates=DAYS, model=by_day))
