"""Scores against their definitions, leave-one-out against leaving one out."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, condition
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fields import IntrinsicGMRF
from sparsegmrf.scores import coverage, crps, interval_score, leave_one_out, log_score, pit, pit_histogram
from tests.inference.test_condition import FIVE, MEMBRANE, problem


@pytest.mark.parametrize(("y", "mean", "std"), [(0.3, 0.0, 1.0), (-4.0, 1.0, 0.7), (2.0, 2.0, 3.0)])
def test_crps_is_the_integral_that_defines_it(y, mean, std):
    F = scipy.stats.norm(mean, std).cdf
    below = scipy.integrate.quad(lambda x: F(x) ** 2, mean - 12.0 * std - abs(y - mean), y)[0]
    above = scipy.integrate.quad(lambda x: (1.0 - F(x)) ** 2, y, mean + 12.0 * std + abs(y - mean))[0]
    assert float(crps(y, mean, std)) == pytest.approx(below + above, rel=1e-7)


def test_scores_follow_their_definitions():
    rng = np.random.default_rng(0)
    y, mean, std = rng.normal(size=200) * 2.0, rng.normal(size=200), rng.uniform(0.5, 2.0, 200)
    law = scipy.stats.norm(mean, std)
    assert_allclose(log_score(y, mean, std), -law.logpdf(y))
    assert_allclose(pit(y, mean, std), law.cdf(y))
    low, high = law.ppf(0.1), law.ppf(0.9)
    penalty = np.where(y < low, low - y, np.where(y > high, y - high, 0.0))
    assert_allclose(interval_score(y, mean, std, 0.8), high - low + 10.0 * penalty)
    assert coverage(y, mean, std, 0.8) == np.mean((y >= low) & (y <= high))


def test_pit_histogram_counts_and_keeps_its_band():
    rng = np.random.default_rng(1)
    y, mean, std = rng.normal(size=(30, 40)), rng.normal(size=(30, 40)), 1.3
    found = pit_histogram(y, mean, std, bins=8, level=0.9)
    expected = [np.sum((pit(y, mean, std) >= k / 8) & (pit(y, mean, std) < (k + 1) / 8)) for k in range(8)]
    assert found.counts.tolist() == expected
    assert_allclose(found.edges, np.arange(9) / 8)
    law = scipy.stats.binom(1200, 1 / 8)
    assert law.cdf(found.low - 1) < 0.05 <= law.cdf(found.low)
    assert law.cdf(found.high - 1) < 0.95 <= law.cdf(found.high)
    assert found.expected == 150.0
    assert found.outside == sum(count < found.low or count > found.high for count in expected)


def test_pit_histogram_tells_wrong_deviations_from_right_ones():
    rng = np.random.default_rng(2)
    shares = [
        np.mean([pit_histogram(rng.normal(size=500), 0.0, std, level=0.95).outside for _ in range(200)]) / 10
        for std in (1.0, 1.5, 0.7)
    ]
    # 2000 bins, each beyond its band with probability at most 0.05: five binomial errors above it.
    assert shares[0] < 0.05 + 5 * np.sqrt(0.05 * 0.95 / 2000)
    assert min(shares[1:]) > 0.3
    wide = pit_histogram(rng.normal(size=5000), 0.0, 2.0)
    assert wide.counts[5] > wide.high
    assert wide.counts[0] < wide.low


def test_bad_histograms_are_refused():
    with pytest.raises(ArgumentError, match=r"^bins must be at least 1, got 0"):
        pit_histogram(0.0, 0.0, 1.0, bins=0)
    with pytest.raises(ArgumentError, match=r"^level must lie between 0 and 1"):
        pit_histogram(0.0, 0.0, 1.0, level=1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 0.0, 0.0), r"^std must be positive, got 0"),
        ((np.nan, 0.0, 1.0), r"^y must be finite"),
        ((np.zeros(2), np.zeros(3), 1.0), r"^y, mean and std must broadcast"),
    ],
)
def test_bad_predictions_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        crps(*arguments)
    with pytest.raises(ArgumentError, match=r"^level must lie between 0 and 1"):
        coverage(0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "field", [GMRF.from_precision(FIVE, mean=0.5), IntrinsicGMRF(MEMBRANE)], ids=["proper", "level"]
)
@pytest.mark.parametrize("kind", ["noisy", "complete", "exact", "exact with gaps", "some exact"])
def test_leave_one_out_is_leaving_out_one_by_one(field, kind):
    y, missing, noise = problem((5, 6), 9, "noisy")
    if kind in ("complete", "exact"):
        missing[...] = False
    if kind.startswith("exact"):
        noise[...] = 0.0
    if kind == "some exact":
        noise[:, ::2] = 0.0
    found = leave_one_out(field, y, mask=missing, noise_variance=noise)
    for i, j in np.argwhere(~missing)[::5].tolist():
        without = missing.copy()
        without[i, j] = True
        posterior = condition(field, y, mask=without, noise_variance=noise)
        assert found.mean[i, j] == pytest.approx(posterior.mean[i, j], rel=1e-8, abs=1e-10)
        assert found.std[i, j] ** 2 == pytest.approx(posterior.marginal_variance()[i, j] + noise[i, j], rel=1e-8)
    assert np.array_equal(np.isnan(found.mean), missing)
    table = found.scores()
    seen = ~missing
    assert table["rmse"] == pytest.approx(np.sqrt(np.mean((y[seen] - found.mean[seen]) ** 2)))
    assert table["coverage"] == coverage(y[seen], found.mean[seen], found.std[seen])


def test_leave_one_out_says_what_it_cannot_do():
    y = problem((5, 6), 9, "noisy")[0]
    with pytest.raises(ArgumentError, match=r"^y must have two observed pixels"):
        leave_one_out(GMRF.from_precision(FIVE), y, mask=np.arange(30).reshape(5, 6) > 0, noise_variance=1.0)
