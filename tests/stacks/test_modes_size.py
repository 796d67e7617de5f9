"""Modes of large series: triangles and blocks say what whole arrays say, and memory is foreseen."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import _memory
from sparsegmrf.errors import TooLargeError
from sparsegmrf.stacks import _modes_spread
from sparsegmrf.stacks._modes import fill_modes
from sparsegmrf.stacks._modes_em import Learned, Modes, Series, expected_squares, season_of, update_pixels, weigh
from sparsegmrf.stacks._modes_plan import plan_modes
from sparsegmrf.stacks._modes_scores import ScoreKernel, Scores
from sparsegmrf.stacks._modes_spread import Spread, dual, pack, unpack

DATES, PIXELS, RANK = 7, 11, 2


def symmetric(count, size, rng):
    roots = rng.standard_normal((count, size, size))
    return roots @ roots.transpose(0, 2, 1)


@pytest.fixture
def state():
    """A series, and modes whose covariances have been rotated, with what is known of the dates."""
    rng, size = np.random.default_rng(0), 3 + RANK
    seen = rng.random((DATES, PIXELS)) < 0.7
    series = Series(np.where(seen, rng.standard_normal(seen.shape), 0.0), seen, np.sort(rng.uniform(0, 900, DATES)))
    kernel = ScoreKernel(np.zeros(0), np.zeros((0, RANK)), np.ones(RANK))
    dense, turn = 0.1 * symmetric(PIXELS, size, rng), rng.standard_normal((size, size))
    modes = Modes(
        1,
        rng.standard_normal((PIXELS, size)),
        Spread.of(dense).rotated(turn),
        rng.uniform(0.5, 2.0, PIXELS),
        rng.standard_normal(size),
        rng.uniform(0.5, 2.0, size),
        kernel,
    )
    scores = Scores(rng.standard_normal((DATES, RANK)), symmetric(DATES, RANK, rng), kernel)
    weights = seen * rng.uniform(0.2, 1.5, seen.shape)
    return series, Learned(modes, scores, weights, rng.uniform(0.5, 2.0, DATES)), turn.T @ dense @ turn


def test_triangles_are_the_matrices():
    rng = np.random.default_rng(1)
    matrices, others = symmetric(4, 5, rng), symmetric(4, 5, rng)
    assert_allclose(unpack(pack(matrices)), matrices)
    assert_allclose((dual(others) * pack(matrices)).sum(axis=1), np.einsum("pab,pab->p", others, matrices))
    spread, turn = Spread.of(matrices), rng.standard_normal((5, 5))
    turned = turn.T @ matrices @ turn
    assert_allclose(spread.rotated(turn).mean, turned.mean(axis=0))
    assert_allclose(spread.rotated(turn).rotated(turn).mean, turn.T @ turned.mean(axis=0) @ turn)
    assert_allclose(spread.rotated(turn).dual(others) @ spread.packed.T, np.einsum("tab,pab->tp", others, turned))
    padded = unpack(spread.padded(7).packed)
    assert_allclose(padded[:, :5, :5], matrices)
    assert not padded[:, 5:].any()


@pytest.mark.parametrize("numbers", [1, 60, 10_000])
def test_what_images_say_of_scores_is_the_sum_over_pixels(state, numbers, monkeypatch):
    monkeypatch.setattr(_modes_spread, "NUMBERS", numbers)
    series, learned, spread = state
    modes = learned.modes
    precision = learned.weights / (modes.noise * learned.scales[:, None])
    squares = modes.mean[:, :, None] * modes.mean[:, None, :] + spread
    information = np.einsum("tp,pab->tab", precision, squares)
    by_season = np.einsum("tab,tb->ta", information[:, 3:, :3], season_of(series.days, 1))
    found, shift = modes.information(series, learned.weights, learned.scales)
    assert_allclose(found, information[:, 3:, 3:], rtol=1e-12, atol=1e-12)
    assert_allclose(shift, (precision * series.values) @ modes.loadings - by_season, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("numbers", [1, 60, 10_000])
def test_coefficients_of_pixels_are_those_of_a_regression_each(state, numbers, monkeypatch):
    monkeypatch.setattr(_modes_spread, "NUMBERS", numbers)
    series, learned, _ = state
    before = learned.modes
    terms, products = before.products(series.days, learned.scores)
    precision = learned.weights / (before.noise * learned.scales[:, None])
    found = update_pixels(series, learned)
    covariances = []
    for p in range(PIXELS):
        covariance = np.linalg.inv(np.einsum("t,tab->ab", precision[:, p], products) + np.diag(before.precision))
        right = terms.T @ (precision[:, p] * series.values[:, p]) + before.precision * before.centre
        covariances.append(covariance)
        assert_allclose(found.modes.mean[p], covariance @ right, rtol=1e-10)
    assert_allclose(unpack(found.modes.spread.packed), covariances, rtol=1e-10, atol=1e-14)
    squares = expected_squares(series, replace(found.modes, noise=before.noise), learned.scores)
    residuals = series.values - terms @ found.modes.mean.T
    of_pixels = np.einsum("tab,pab->tp", products, covariances)
    of_scores = np.einsum("pa,tab,pb->tp", found.modes.loadings, learned.scores.covariance, found.modes.loadings)
    assert_allclose(squares, residuals**2 + of_pixels + of_scores, rtol=1e-10)
    weights, scales = weigh(squares, series.seen, before.noise, learned.scales)
    sums = (weights * squares / scales[:, None]).sum(axis=0)
    noise = (3.0 * np.median(before.noise) + sums) / (3.0 + series.seen.sum(axis=0))
    weights, scales = weigh(squares, series.seen, noise, scales)
    assert_allclose(found.weights, weights, rtol=1e-10)
    assert_allclose(found.scales, scales, rtol=1e-10)


def a_series(dates, shape, seed=2):
    rng = np.random.default_rng(seed)
    patterns = rng.standard_normal((3, *shape))
    values = np.einsum("tk,kij->tij", rng.standard_normal((dates, 3)), patterns) + 0.2 * rng.standard_normal(
        (dates, *shape)
    )
    values[rng.random(values.shape) < 0.3] = np.nan
    return values, 8.0 * np.arange(dates)


def test_series_are_filled_alike_whatever_the_blocks(monkeypatch):
    values, days = a_series(20, (6, 7))
    whole = fill_modes(values, days, [33.0], rank=2)
    monkeypatch.setattr(_modes_spread, "NUMBERS", 100)
    found = fill_modes(values, days, [33.0], rank=2)
    assert_allclose(found.mean, whole.mean, rtol=1e-10, atol=1e-10)
    assert_allclose(found.variance, whole.variance, rtol=1e-9)


@pytest.mark.parametrize(("dates", "shape", "rank", "at"), [(20, (30, 30), 5, [7.0])])
def test_memory_that_is_foreseen_is_what_is_taken(dates, shape, rank, at, monkeypatch):
    monkeypatch.setattr(_modes_spread, "NUMBERS", 2**12)
    monkeypatch.setattr("sparsegmrf.stacks._modes_plan.NUMBERS", 2**12)
    monkeypatch.setattr("sparsegmrf.stacks._modes_local.TORUS", 16)
    values, days = a_series(dates, shape)
    fill_modes(values[:, :8, :8], days, at, rank=rank)  # what is loaded once
    tracemalloc.start()
    fill_modes(values, days, at, rank=rank)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    seen = np.isfinite(values).reshape(dates, -1)
    plan = plan_modes(seen, shape, len(at or []), rank)
    assert plan.rank == rank
    assert 0.7 * peak < plan.nbytes < 1.5 * peak


def test_series_beyond_memory_are_refused_with_numbers_and_remedies(monkeypatch):
    monkeypatch.setattr(_memory, "available_bytes", lambda: 100_000)
    values, days = a_series(20, (6, 7))
    with pytest.raises(TooLargeError, match=r"20 images of 6 x 7 pixels.* GB.*take a window of the images"):
        fill_modes(values, days)
