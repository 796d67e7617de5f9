"""Modes beside a local field: scores as a dense Gaussian has them, intervals that hold where residuals are smooth."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.models import Matern
from sparsegmrf.stacks import _modes_refine
from sparsegmrf.stacks._modes import fill_modes, learn_modes
from sparsegmrf.stacks._modes_em import Learned, learn
from sparsegmrf.stacks._modes_local import LocalField
from sparsegmrf.stacks._modes_posterior import smooth_scores
from sparsegmrf.stacks._modes_refine import refine, scores_beside
from sparsegmrf.stacks._modes_spread import Spread
from tests.stacks.test_modes import SHAPE, dense_prior, simulated, some_data, some_modes


def some_learned(rng):
    modes, data = some_modes(rng), some_data(rng)
    modes = replace(modes, spread=Spread(np.zeros_like(modes.spread.packed)))  # coefficients that are known
    scores = smooth_scores(modes.kernel, data.series.days, *modes.information(data.series, data.weights, data.scales))
    return Learned(modes, scores, data.weights, data.scales), data.series


@pytest.mark.parametrize("order", [1, 2])
def test_scores_beside_a_local_field_are_those_of_a_dense_gaussian(order):
    learned, series = some_learned(np.random.default_rng(6))
    local, modes = LocalField(SHAPE, 0.7, 0.6, order), learned.modes
    found = scores_beside(local, series, learned).scores
    field = np.linalg.inv(local.precision.tocsr().toarray()) * local.share
    deviation, seen = np.sqrt(modes.noise), series.seen.ravel()
    noise = (1.0 - local.share) * learned.scales[:, None] * modes.noise / np.where(series.seen, learned.weights, 1.0)
    V = np.kron(np.diag(learned.scales), deviation[:, None] * field * deviation) + np.diag(noise.ravel())
    F = np.kron(np.eye(len(series.days)), modes.loadings)[seen]
    left = (series.values - modes.seasonal(series.days)).ravel()[seen]
    precision = np.linalg.solve(V[np.ix_(seen, seen)], F)
    covariance = np.linalg.inv(np.linalg.inv(dense_prior(modes.kernel, series.days)) + F.T @ precision)
    assert_allclose(found.mean.ravel(), covariance @ precision.T @ left, rtol=1e-9, atol=1e-10)
    dates, rank = found.mean.shape
    blocks = covariance.reshape(dates, rank, dates, rank)[np.arange(dates), :, np.arange(dates)]
    assert_allclose(found.covariance, blocks, rtol=1e-9, atol=1e-10)


def with_smooth_residuals(seed, count=64, shape=(20, 20)):
    """Two patterns, a field of its own at every date whose range is a third of an image, noise, and clouds."""
    rng = np.random.default_rng(seed)
    days = np.cumsum(rng.integers(1, 16, count)).astype(float)
    rows, columns = np.meshgrid(*(np.linspace(0.0, 1.0, side) for side in shape), indexing="ij")
    patterns = np.array([np.cos(3.0 * k * rows + 5.0 * columns + k) for k in (1, 2)])
    truth = 20.0 + np.tensordot(3.0 * rng.standard_normal((count, 2)), patterns, 1)
    truth += Matern(range=8.0).gmrf(shape).sample(count, rng=rng)
    values = truth + 0.3 * rng.standard_normal(truth.shape)
    for image, sky in zip(values, Matern(range=5.0).gmrf(shape).sample(count, rng=rng), strict=True):
        image[sky > np.quantile(sky, 0.6)] = np.nan
    return values, days, truth


def scored(values, days, truth):
    filled, hidden = fill_modes(values, days), np.isnan(values)
    error, deviation = (filled.mean - truth)[hidden], np.sqrt(filled.variance[hidden])
    return np.mean(np.abs(error) < 1.6449 * deviation), np.sqrt(np.mean(error**2))


def test_intervals_hold_and_errors_fall_where_residuals_are_smooth(monkeypatch):
    series = [with_smooth_residuals(seed) for seed in range(2)]
    held, errors = np.mean([scored(*each) for each in series], axis=0)
    monkeypatch.setattr(_modes_refine, "_ROUNDS", 0)
    held_before, errors_before = np.mean([scored(*each) for each in series], axis=0)
    assert held_before < 0.88
    assert held == pytest.approx(0.9, abs=0.02)
    assert errors < 0.97 * errors_before


def test_without_a_local_field_nothing_is_changed():
    values, days, _, _ = simulated(count=40, shape=(5, 5))
    learnt = learn_modes(values, days, 3)
    assert learnt.model.local.share == 0.0
    again = learn(learnt.series, 3, learnt.model.modes.harmonics)
    assert np.array_equal(again.modes.mean, learnt.learned.modes.mean)
    found, local = refine(learnt.series, again, learnt.model.shape)
    assert found is again
    assert local.share == 0.0
