"""Empirical variograms: every pair of observed pixels counts, whatever gaps, level and unit."""

import numpy as np
import pytest

from sparsegmrf import CAR, Intrinsic, Matern
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import variogram


def by_brute_force(image, max_lag, width=1.0, direction=None, tolerance=np.pi / 8):
    """Return lags, semivariances and counts by a loop over all pairs."""
    places = np.argwhere(~np.isnan(image))
    values = image[tuple(places.T)]
    bins = {}
    for a in range(len(places)):
        for b in range(a + 1, len(places)):
            di, dj = places[b] - places[a]
            length = np.hypot(di, dj)
            number = int(np.floor(length / width + 0.5))
            off = 0.0 if direction is None else abs((np.arctan2(di, dj) - direction + np.pi / 2) % np.pi - np.pi / 2)
            if length <= max_lag and number >= 1 and off <= tolerance + 1e-9:
                bins.setdefault(number, []).append((length, (values[a] - values[b]) ** 2 / 2.0))
    table = [(*np.mean(bins[number], axis=0), len(bins[number])) for number in sorted(bins)]
    return [np.array(column) for column in zip(*table, strict=True)]


@pytest.fixture
def image():
    rng = np.random.default_rng(3)
    drawn = Matern(range=5.0).gmrf((13, 17)).sample(rng=rng)
    drawn[rng.random(drawn.shape) < 0.3] = np.nan
    drawn[4:9, 5:11] = np.nan
    return drawn


@pytest.mark.parametrize(
    "options",
    [
        {"max_lag": 6},
        {"max_lag": 30},
        {"max_lag": 9.5, "width": 2.5},
        {"max_lag": 8, "width": 0.4},
        {"max_lag": 9, "direction": 0.0},
        {"max_lag": 9, "direction": np.pi / 2, "tolerance": 0.0},
        {"max_lag": 9, "direction": 0.7, "tolerance": 0.3, "width": 2.0},
        {"max_lag": 9, "direction": -2.4, "tolerance": np.pi / 2},
    ],
)
def test_is_the_sum_over_all_pairs_of_observed_pixels(image, options):
    found = variogram(image, **options)
    lags, semivariances, counts = by_brute_force(image, **options)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_allclose(found.lags, lags, rtol=1e-13)
    np.testing.assert_allclose(found.semivariances, semivariances, rtol=1e-9)


def test_of_all_directions_within_a_right_angle_is_that_of_none(image):
    every = variogram(image, max_lag=7)
    np.testing.assert_allclose(
        variogram(image, max_lag=7, direction=1.0, tolerance=np.pi / 2).semivariances, every.semivariances, rtol=1e-13
    )


def test_direction_is_that_of_an_anisotropy():
    drawn = Matern(range=8.0, anisotropy=(4.0, 0.6)).gmrf((120, 120)).sample(rng=1)
    angles = 0.6 + np.pi / 8 * np.arange(8)
    smoothest = [variogram(drawn, max_lag=5, direction=angle).semivariances[3] for angle in angles]
    assert np.argmin(smoothest) == 0
    assert np.argmax(smoothest) == 4


@pytest.mark.parametrize(("level", "unit"), [(1e9, 1.0), (-1e9, 1e-3), (0.0, 1e-100), (0.0, 1e100), (1e30, 1e25)])
def test_level_and_unit_do_not_matter(image, level, unit):
    moved = level + unit * image
    expected = by_brute_force((moved - moved[0, 0] if np.isfinite(moved[0, 0]) else moved - np.nanmin(moved)), 6)
    found = variogram(moved, max_lag=6)
    np.testing.assert_allclose(found.semivariances, expected[1], rtol=1e-9)


def test_of_a_smooth_image_has_digits_at_short_lags():
    rows, columns = np.mgrid[0:14, 0:15]
    smooth = np.exp(-((rows - 7.0) ** 2 + (columns - 8.0) ** 2) / 2e3)
    smooth[:3, :3] = np.nan
    smooth[0, 0] = 1e9  # in no pair of a lag below 3 pixels
    found = variogram(smooth, max_lag=2)
    np.testing.assert_allclose(found.semivariances, by_brute_force(smooth, 2)[1], rtol=1e-6)
    smooth[0, 0] = np.nan
    found = variogram(smooth, max_lag=2)
    np.testing.assert_allclose(found.semivariances, by_brute_force(smooth, 2)[1], rtol=1e-9)


def test_of_a_constant_image_is_zero():
    found = variogram(np.full((9, 11), 1e9 + 0.3))
    assert not found.semivariances.any()
    assert found.counts[0] == 8 * 11 + 9 * 10 + 2 * 8 * 10  # lags of 1 and of 1.41 pixels


def test_gaps_are_those_of_mask_nan_and_masked_arrays(image):
    gaps = np.isnan(image)
    filled = np.where(gaps, 1e6, image)
    expected = variogram(image)
    for found in (variogram(filled, gaps), variogram(np.ma.array(filled, mask=gaps), None)):
        np.testing.assert_array_equal(found.semivariances, expected.semivariances)
        np.testing.assert_array_equal(found.counts, expected.counts)


def test_nothing_is_written_to(image):
    before = image.copy()
    variogram(image)
    np.testing.assert_array_equal(image, before)


def test_of_integers_and_single_rows():
    found = variogram(np.arange(6, dtype=np.uint8)[np.newaxis], max_lag=5)
    np.testing.assert_allclose(found.semivariances, np.arange(1.0, 6.0) ** 2 / 2.0, rtol=1e-12)
    assert found.counts.tolist() == [5, 4, 3, 2, 1]
    assert variogram(np.array([[1.0, 3.0]])).semivariances.tolist() == [2.0]


def test_expected_is_that_of_the_model_at_the_lags_of_the_pairs(image):
    found, model = variogram(image, max_lag=5), CAR(0.24)
    values = model.variogram(found.offsets)
    expected = [np.average(values[found.bins == k], weights=found.pairs[found.bins == k]) for k in range(5)]
    np.testing.assert_allclose(found.expected(model, 0.25), np.array(expected) + 0.25, rtol=1e-12)


def test_expected_is_the_mean_of_variograms_of_draws():
    model = Matern(range=6.0)
    draws = model.stationary((24, 30)).sample(400, rng=0)
    found = [variogram(each, max_lag=6) for each in draws]
    means = np.mean([each.semivariances for each in found], axis=0)
    errors = np.std([each.semivariances for each in found], axis=0) / np.sqrt(len(draws))
    # Six normal deviates beyond 6 have a probability of 1e-8; the seed is fixed.
    assert (np.abs(means - found[0].expected(model)) < 6.0 * errors).all()


def test_expected_of_an_intrinsic_model_is_there():
    found = variogram(np.random.default_rng(0).normal(size=(8, 9)), max_lag=1)
    np.testing.assert_allclose(found.expected(Intrinsic(tau=4.0)), [0.0625], rtol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"image": np.zeros((3, 3, 2))}, "image"),
        ({"image": np.full((3, 3), np.nan)}, "image"),
        ({"image": np.array([[1.0, np.nan]])}, "image"),
        ({"image": np.array([[1.0, np.inf]])}, "finite"),
        ({"image": np.array([[1.0, np.nan, 2.0, 3.0]]), "mask": None}, "finite"),
        ({"image": np.array([[1e200, -1e200]])}, "unit"),
        ({"image": np.eye(4), "max_lag": 0.5}, "max_lag"),
        ({"image": np.eye(4), "max_lag": np.nan}, "max_lag"),
        ({"image": np.eye(4), "width": 0.0}, "width"),
        ({"image": np.eye(4), "direction": np.inf}, "direction"),
        ({"image": np.eye(4), "direction": 0.0, "tolerance": -1.0}, "tolerance"),
        ({"image": np.eye(4), "direction": 0.3, "tolerance": 0.0}, "image"),
        ({"image": np.eye(4), "width": 50.0}, "image"),
        ({"image": np.eye(4), "mask": "none"}, "mask"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, word):
    with pytest.raises(ArgumentError, match=word):
        variogram(**arguments)


def test_expected_refuses_what_is_no_model_and_negative_noise(image):
    found = variogram(image)
    with pytest.raises(ArgumentError, match="model must be a Model"):
        found.expected("Matern")
    with pytest.raises(ArgumentError, match="noise_variance"):
        found.expected(Matern(), -1.0)
