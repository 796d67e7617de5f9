"""Stacking weights: the conditions of the maximum, closed forms, and folds that do not see themselves."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import brentq

from sparsegmrf.inference._stacking import held_out_mixture, stacking_weights


def log_densities(seed, n=300, spreads=(0.5, 0.8, 1.0, 1.5, 3.0)):
    """Of standard normal measurements under Gaussian predictions that are off by a little of their own."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((n, 1))
    means, s = 0.7 * rng.standard_normal((n, len(spreads))), np.array(spreads)
    return -0.5 * ((y - means) / s) ** 2 - np.log(s)


def mean_log(weights, logs):
    return float(np.mean(np.log(np.exp(logs) @ weights)))


@pytest.mark.parametrize("seed", range(6))
def test_conditions_of_the_maximum_hold(seed):
    logs = log_densities(seed)
    w = stacking_weights(logs)
    assert w.min() >= 0.0
    assert w.sum() == pytest.approx(1.0, abs=1e-14)
    p = np.exp(logs)
    gains = np.mean(p / (p @ w)[:, np.newaxis], axis=0)
    assert gains.max() <= 1.0 + 2e-9, "no other weights are better by more"
    assert_allclose(gains[w > 1e-4], 1.0, atol=1e-6)


def test_two_candidates_have_the_weight_at_which_the_derivative_is_zero():
    logs = log_densities(1, spreads=(0.6, 2.0))
    p = np.exp(logs)
    root = brentq(lambda w: np.mean((p[:, 0] - p[:, 1]) / (w * p[:, 0] + (1 - w) * p[:, 1])), 0.0, 1.0, xtol=1e-14)
    assert stacking_weights(logs)[0] == pytest.approx(root, abs=1e-5)


def test_candidate_that_is_better_everywhere_has_all_the_weight_and_copies_share():
    better = log_densities(2, spreads=(1.0,))
    assert_array_equal(stacking_weights(np.hstack([better - 1.0, better])).round(9), [0.0, 1.0])
    one, two = log_densities(3, spreads=(0.6, 2.0)), stacking_weights(log_densities(3, spreads=(0.6, 2.0)))
    twice = stacking_weights(one[:, [0, 1, 1]])
    assert twice[1] + twice[2] == pytest.approx(two[1], abs=1e-5)


def test_one_candidate_has_the_weight_one_to_the_bit():
    assert_array_equal(stacking_weights(log_densities(0, spreads=(1.0,))), [1.0])


def test_factors_of_measurements_and_densities_that_are_no_numbers_change_nothing():
    logs = log_densities(4)
    far = logs + 1e4 * np.random.default_rng(0).standard_normal((len(logs), 1))
    assert_allclose(stacking_weights(far), stacking_weights(logs), atol=1e-6)
    assert_allclose(stacking_weights(np.hstack([logs, np.full((len(logs), 1), -1e5)]))[-1], 0.0, atol=1e-12)


def test_mixture_is_no_worse_than_any_candidate_on_what_chose_it():
    logs = log_densities(5)
    assert mean_log(stacking_weights(logs), logs) >= logs.mean(axis=0).max()


def test_weights_of_a_block_are_those_of_the_other_folds():
    logs, blocks = log_densities(6), np.repeat(np.arange(20), 15)
    rows = held_out_mixture(logs, blocks)
    assert len(np.unique(rows, axis=0)) == 5
    for k in range(20):
        assert len(np.unique(rows[blocks == k], axis=0)) == 1
        changed = logs.copy()
        changed[blocks == k, 0] += 5.0
        assert_array_equal(held_out_mixture(changed, blocks)[blocks == k], rows[blocks == k])
    assert_array_equal(held_out_mixture(logs, np.zeros(300, dtype=int))[0], stacking_weights(logs))
