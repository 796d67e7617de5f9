"""Simulated images, fitted and filled: intervals hold the truth as often as they say."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest
import scipy.stats

from sparsegmrf import Matern, fill, fit, set_num_threads
from sparsegmrf.scores import coverage

IMAGES = 150
SHAPE = (32, 32)
TRUTH = {"range": 4.0, "sigma": 1.0, "noise_variance": 0.5, "constant": 10.0}


class Outcome(NamedTuple):
    """Whether the fit converged, which intervals hold the truth, the share of held-out pixels, a PIT."""

    converged: bool
    held: list[bool]
    share: float
    transform: float


def outcome(seed):
    """Simulate an image, hide scattered pixels and a block, fit, and predict the measurements hidden."""
    rng = np.random.default_rng([2026, seed])
    model = Matern(range=TRUTH["range"], sigma=TRUTH["sigma"])
    field = model.gmrf(SHAPE, mean=TRUTH["constant"]).sample(rng=rng)
    y = field + np.sqrt(TRUTH["noise_variance"]) * rng.standard_normal(SHAPE)
    hidden = rng.random(SHAPE) < 0.1
    i, j = rng.integers(0, SHAPE[0] - 7, size=2)
    hidden[i : i + 6, j : j + 7] = True
    holes = np.where(hidden, np.nan, y)
    found = fit(Matern(), holes, mask="nan", method="reml")
    given = {"noise_variance": found.noise_variance, "fixed": ["range", "sigma"], "covariates": "constant"}
    filled = fill(holes, model=found.model, **given)
    intervals = found.confidence_intervals(0.95)
    held = [intervals[name][0] <= value <= intervals[name][1] for name, value in TRUTH.items()]
    predicted = y[hidden], filled.mean[hidden], filled.predictive_std[hidden]
    # One pixel per image: those of one image depend on each other.
    pixel = rng.integers(hidden.sum())
    z = (predicted[0][pixel] - predicted[1][pixel]) / predicted[2][pixel]
    return Outcome(found.converged, held, coverage(*predicted), float(scipy.stats.norm.cdf(z)))


@pytest.fixture(scope="module")
def outcomes():
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context, initializer=set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(outcome, range(IMAGES), chunksize=10))


@pytest.mark.slow
def test_fits_of_simulated_images_converge(outcomes):
    assert sum(each.converged for each in outcomes) == IMAGES


@pytest.mark.slow
def test_intervals_of_parameters_hold_the_truth_as_often_as_they_say(outcomes):
    shares = np.mean([each.held for each in outcomes], axis=0)
    error = np.sqrt(0.95 * 0.05 / IMAGES)
    print(dict(zip(TRUTH, shares.tolist(), strict=True)))
    assert np.abs(shares - 0.95).max() < 3.0 * error


@pytest.mark.slow
def test_intervals_of_hidden_measurements_hold_them_as_often_as_they_say(outcomes):
    share = np.mean([each.share for each in outcomes])
    print(f"{share:.4f}")
    assert 0.94 < share < 0.96


@pytest.mark.slow
def test_probability_integral_transform_is_uniform(outcomes):
    transforms = np.array([each.transform for each in outcomes])
    p_value = scipy.stats.kstest(transforms, "uniform").pvalue
    print(f"{p_value:.3f}, deciles {np.histogram(transforms, 10, (0, 1))[0].tolist()}")
    assert p_value > 1e-3
