"""Series filled by modes that are learnt from them."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks._modes import fill_modes, learn_modes
from sparsegmrf.stacks._modes_date import fill_date, scores_at
from sparsegmrf.stacks._modes_em import Modes, Series, coefficient_variance, learn, update_scores
from sparsegmrf.stacks._modes_images import image_given
from sparsegmrf.stacks._modes_local import LocalField, estimate_local
from sparsegmrf.stacks._modes_posterior import WeightedSeries, posterior, smooth_scores
from sparsegmrf.stacks._modes_scores import ScoreKernel, smooth
from sparsegmrf.stacks._modes_spread import Spread

SHAPE = (3, 4)


def a_kernel(rank=2):
    rng = np.random.default_rng(1)
    return ScoreKernel(np.array([300.0, 20.0]), rng.uniform(0.1, 1.0, (2, rank)), rng.uniform(0.1, 1.0, rank))


def dense_prior(kernel, days):
    """Covariance of all scores, date by date."""
    gaps = np.abs(np.subtract.outer(days, days))
    rank = kernel.rank
    covariance = np.zeros((len(days), rank, len(days), rank))
    for j in range(rank):
        lasting = sum(v[j] * np.exp(-gaps / r) for v, r in zip(kernel.variances, kernel.ranges, strict=True))
        covariance[:, j, :, j] = lasting + kernel.white[j] * np.eye(len(days))
    return covariance.reshape(len(days) * rank, -1)


def block_diagonal(blocks):
    count, rank, _ = blocks.shape
    whole = np.zeros((count, rank, count, rank))
    whole[np.arange(count), :, np.arange(count)] = blocks
    return whole.reshape(count * rank, -1)


def some_information(count, rank, rng):
    roots = rng.standard_normal((count, rank, rank))
    information = roots @ roots.transpose(0, 2, 1)
    information[1] = 0.0
    shift = rng.standard_normal((count, rank))
    shift[1] = 0.0
    return information, shift


DAYS = np.array([0.0, 8.0, 8.0, 40.0, 400.0])


def test_scores_are_those_of_a_dense_gaussian():
    kernel, rng = a_kernel(), np.random.default_rng(2)
    information, shift = some_information(5, 2, rng)
    scores = smooth(kernel, DAYS, information, shift)
    covariance = np.linalg.inv(np.linalg.inv(dense_prior(kernel, DAYS)) + block_diagonal(information))
    assert_allclose(scores.mean.ravel(), covariance @ shift.ravel(), rtol=1e-10, atol=1e-12)
    blocks = covariance.reshape(5, 2, 5, 2)[np.arange(5), :, np.arange(5)]
    assert_allclose(scores.covariance, blocks, rtol=1e-10, atol=1e-12)


def test_several_right_hand_sides_are_smoothed_at_once():
    kernel, rng = a_kernel(), np.random.default_rng(3)
    information, _ = some_information(5, 2, rng)
    shifts = rng.standard_normal((5, 2, 3))
    together = smooth(kernel, DAYS, information, shifts).mean
    for column in range(3):
        assert_allclose(together[..., column], smooth(kernel, DAYS, information, shifts[..., column]).mean, rtol=1e-9)


def evidence(kernel, days, information, shift):
    """Log of the integral of ``exp(b^T h - h^T P h / 2)`` under the prior."""
    prior = dense_prior(kernel, days)
    inner = np.eye(len(prior)) + prior @ block_diagonal(information)
    b = shift.ravel()
    return 0.5 * b @ np.linalg.solve(inner, prior @ b) - 0.5 * np.linalg.slogdet(inner)[1]


def test_no_step_of_em_lowers_the_likelihood_of_the_kernel():
    rng = np.random.default_rng(4)
    days = np.cumsum(rng.uniform(4.0, 60.0, 12))
    information, shift = some_information(12, 2, rng)
    kernel = a_kernel()
    values = [evidence(kernel, days, information, shift)]
    for _ in range(15):
        kernel = smooth(kernel, days, information, shift).kernel
        values.append(evidence(kernel, days, information, shift))
    assert np.diff(values).min() > -1e-10
    assert values[-1] > values[0] + 0.1


def test_draws_of_scores_have_the_covariance_of_the_prior():
    kernel = a_kernel()
    draws = kernel.draw(DAYS, 40_000, np.random.default_rng(5)).reshape(10, -1)
    prior = dense_prior(kernel, DAYS)
    error = np.cov(draws) - prior
    tolerance = 6.0 * np.sqrt((prior**2 + np.outer(prior.diagonal(), prior.diagonal())) / 40_000)
    assert (np.abs(error) < tolerance).all()  # 6 deviations: false alarm below 1e-6


def some_modes(rng, rank=2):
    pixels = SHAPE[0] * SHAPE[1]
    size = 3 + rank
    roots = 0.1 * rng.standard_normal((pixels, size, size))
    return Modes(
        1,
        rng.standard_normal((pixels, size)),
        Spread.of(roots @ roots.transpose(0, 2, 1)),
        rng.uniform(0.5, 2.0, pixels),
        np.zeros(size),
        np.ones(size),
        a_kernel(rank),
    )


def some_data(rng, count=4):
    pixels = SHAPE[0] * SHAPE[1]
    seen = rng.random((count, pixels)) < 0.6
    seen[2] = False
    values = np.where(seen, rng.standard_normal((count, pixels)), 0.0)
    weights = seen * rng.uniform(0.1, 1.5, (count, pixels))
    return WeightedSeries(Series(values, seen, DAYS[[0, 1, 3, 4]]), weights, rng.uniform(0.5, 2.0, count))


def dense_posterior(modes, local, data):
    """Mean and covariance of all signals given all values, by one dense Gaussian."""
    series = data.series
    count, pixels = series.values.shape
    first = smooth_scores(modes.kernel, series.days, *modes.information(series, data.weights, data.scales))
    uncertain = coefficient_variance(series.days, modes, first)
    loadings = np.kron(np.eye(count), modes.loadings)
    field = (
        np.linalg.inv(local.precision.tocsr().toarray()) * local.share if local.share else np.zeros((pixels, pixels))
    )
    deviation = np.sqrt(modes.noise)
    prior = loadings @ dense_prior(modes.kernel, series.days) @ loadings.T if modes.kernel.rank else 0.0
    prior = prior + np.kron(np.diag(data.scales), deviation[:, None] * field * deviation)
    prior = prior + np.diag(uncertain.ravel())
    seen = series.seen.ravel()
    mean = modes.seasonal(series.days).ravel()
    noise = (1.0 - local.share) * data.scales[:, None] * modes.noise / np.where(series.seen, data.weights, 1.0)
    gain = np.linalg.solve(prior[np.ix_(seen, seen)] + np.diag(noise.ravel()[seen]), prior[seen]).T
    mean = mean + gain @ (series.values.ravel() - mean)[seen]
    return mean, prior - gain @ prior[seen]


@pytest.mark.parametrize("share", [0.0, 0.6])
@pytest.mark.parametrize("rank", [0, 2])
def test_posterior_of_a_gappy_series_is_that_of_a_dense_gaussian(rank, share):
    rng = np.random.default_rng(6)
    modes, data, local = some_modes(rng, rank), some_data(rng), LocalField(SHAPE, 0.7, share)
    result = posterior(modes, local, data, 0, rng)
    mean, covariance = dense_posterior(modes, local, data)
    assert_allclose(result.mean.ravel(), mean, rtol=1e-9, atol=1e-10)
    assert_allclose(result.variance.ravel(), covariance.diagonal(), rtol=1e-9, atol=1e-10)


def test_draws_have_the_posterior_mean_and_covariance():
    rng = np.random.default_rng(7)
    modes, data, local = some_modes(rng), some_data(rng), LocalField(SHAPE, 0.7, 0.6)
    count = 8_000
    draws = posterior(modes, local, data, count, rng).samples.reshape(count, -1)
    mean, covariance = dense_posterior(modes, local, data)
    variance = covariance.diagonal()
    assert (np.abs(draws.mean(axis=0) - mean) < 6.0 * np.sqrt(variance / count)).all()
    tolerance = 6.5 * np.sqrt((covariance**2 + np.outer(variance, variance)) / count)
    assert (np.abs(np.cov(draws.T) - covariance) < tolerance).all()  # false alarm below 1e-6


def test_an_outlier_of_no_weight_is_as_good_as_missing():
    rng = np.random.default_rng(8)
    modes, local = some_modes(rng), LocalField(SHAPE, 0.7, 0.6)
    residuals = rng.standard_normal(12)
    weights = np.ones(12)
    tiny, none = weights.copy(), weights.copy()
    tiny[3], none[3] = 1e-12, 0.0
    a, b = (image_given(modes, local, residuals, w, np.zeros(12), 1.0).information() for w in (tiny, none))
    assert_allclose(a[0], b[0], rtol=1e-8)
    assert_allclose(a[1], b[1], rtol=1e-8)


@pytest.mark.parametrize("order", [1, 2])
def test_the_local_field_is_found_in_noisy_gappy_residuals(order):
    rng = np.random.default_rng(9)
    shape = (24, 24)
    truth = LocalField(shape, 0.5, 0.5, order)
    root = np.linalg.cholesky(np.linalg.inv(truth.precision.tocsr().toarray()))
    images = np.sqrt(0.5) * rng.standard_normal((60, 576)) @ root.T + np.sqrt(0.5) * rng.standard_normal((60, 576))
    found = estimate_local(shape, [(images, rng.random(images.shape) < 0.7)])
    assert found.order == order
    assert 0.4 < found.share < 0.62
    assert 0.2 < found.kappa2 < 1.0


def test_the_noise_of_a_smooth_local_field_is_not_taken_for_it():
    rng, shape = np.random.default_rng(3), (32, 32)
    root = np.linalg.cholesky(np.linalg.inv(LocalField(shape, 0.15, 0.5, 2).precision.tocsr().toarray()))
    noise = 0.1  # of a variance of one, of which the modes have taken up a fifth
    images = np.sqrt(0.7) * rng.standard_normal((40, 1024)) @ root.T + np.sqrt(noise) * rng.standard_normal((40, 1024))
    found = estimate_local(shape, [(images, np.ones(images.shape, dtype=bool))])
    assert 1.0 - found.share == pytest.approx(noise, rel=0.25)


def simulated(count=90, shape=(9, 9), rank=3, gaps=0.4, seed=10, clouds=0.0):
    rng = np.random.default_rng(seed)
    days = np.cumsum(rng.choice([8.0, 16.0], count))
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, s) for s in shape), indexing="ij")
    shapes = [np.cos((k + 1) * rows + k * columns) + np.sin(2 * k * columns) for k in range(rank)]
    scores = rng.standard_normal((count, rank)) * [4.0, 2.0, 1.0][:rank]
    season = np.sin(2 * np.pi * days / 365.25)[:, None, None] * (5.0 + rows)
    truth = 100.0 + season + np.tensordot(scores, np.array(shapes).reshape(rank, *shape), 1)
    values = truth + 0.3 * rng.standard_normal(truth.shape)
    values[rng.random(truth.shape) < clouds] += 15.0
    values[rng.random(truth.shape) < gaps] = np.nan
    hidden = np.zeros(truth.shape, dtype=bool)
    hidden[::5, 2:7, 2:7] = True
    values[hidden] = np.nan
    return values, days, truth, hidden


@pytest.mark.parametrize("clouds", [0.0, 0.03])
def test_modes_fill_what_is_hidden_with_intervals_that_hold(clouds):
    values, days, truth, hidden = simulated(clouds=clouds)
    filled = fill_modes(values, days)
    error = (filled.mean - truth)[hidden]
    assert np.sqrt((error**2).mean()) < 0.25  # an image's own deviation is 5, the noise's 0.3
    covered = np.abs(error) < 1.645 * np.sqrt(filled.variance[hidden])
    assert 0.8 < covered.mean() <= 1.0
    assert 3 <= filled.parameters.rank <= 8


def test_learning_shrinks_modes_that_are_not_needed():
    values, days, _, _ = simulated()
    small, large = (fill_modes(values, days, rank=rank).mean for rank in (4, 12))
    assert np.abs(small - large).mean() < 0.1


def test_scores_of_learnt_modes_are_at_a_fixed_point_of_their_update():
    values, days, _, _ = simulated(count=40, shape=(5, 5))
    learnt = learn_modes(values, days, 3)
    again = update_scores(learnt.series, learnt.learned)
    assert_allclose(again.scores.mean, learnt.learned.scores.mean, rtol=1e-8, atol=1e-10)


def test_a_day_without_image_is_the_same_asked_for_later():
    values, days, _, _ = simulated(count=50, shape=(5, 5))
    wanted = np.array([200.5])
    filled = fill_modes(values, days, wanted)
    learnt = learn_modes(values, days)
    later = fill_date(learnt.model, 200.5, scores_at(learnt, wanted), np.full((5, 5), np.nan))
    assert_allclose(later.mean, filled.mean[-1], rtol=1e-8)
    assert_allclose(later.variance, filled.variance[-1], rtol=0.05)
    assert_allclose(later.noise_variance, filled.noise_variance[-1], rtol=1e-10)


def test_an_image_that_comes_later_is_filled_from_its_clear_part():
    values, days, truth, _ = simulated(count=60)
    stack = values.copy()
    stack[30] = np.nan
    learnt = learn_modes(stack, days)
    filled = fill_date(learnt.model, days[30], scores_at(learnt, days[30:31]), values[30])
    assert np.sqrt(((filled.mean - truth[30]) ** 2).mean()) < 0.4


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_few_dates_are_a_season_and_fields(count):
    rng = np.random.default_rng(11)
    values = 10.0 + rng.standard_normal((count, 6, 7))
    values[0, 2:4, 2:4] = np.nan
    filled = fill_modes(values, 16.0 * np.arange(count), [3.0])
    assert filled.mean.shape == (count + 1, 6, 7)
    assert filled.parameters.rank <= 2
    assert np.isfinite(filled.mean).all()
    assert (filled.variance > 0.0).all()
    assert (np.abs(filled.mean - 10.0) < 6.0).all()


def awkward():
    values, days, _, _ = simulated(count=30, shape=(4, 5))
    empty = values.copy()
    empty[3:20] = np.nan
    constant = values.copy()
    constant[:, 1, 1] = 7.0
    unseen = values.copy()
    unseen[:, 2, 2] = np.nan
    flat = np.where(np.isnan(values), np.nan, 3.0)
    line = values[:, :1]
    rare = np.full_like(values, np.nan)
    rare[4, 1, 1] = 2.0
    cases = {"empty": empty, "constant": constant, "unseen": unseen, "flat": flat, "line": line, "rare": rare}
    return [pytest.param(stack, days, id=name) for name, stack in cases.items()]


@pytest.mark.parametrize(("stack", "days"), awkward())
def test_awkward_series_are_filled(stack, days):
    filled = fill_modes(stack, days, n_samples=2, rng=0)
    assert filled.samples.shape == (2, *stack.shape)
    for part in (filled.mean, filled.variance, filled.noise_variance, filled.samples):
        assert np.isfinite(part).all()
    assert (filled.variance > 0.0).all()


def test_order_unit_and_origin_do_not_matter():
    values, days, _, _ = simulated(count=30, shape=(4, 5))
    filled = fill_modes(values, days)
    order = np.random.default_rng(12).permutation(30)
    other = fill_modes(256.0 * values[order] - 512.0, days[order])
    assert_allclose(other.mean, 256.0 * filled.mean[order] - 512.0, rtol=1e-6)
    assert_allclose(other.variance, 65536.0 * filled.variance[order], rtol=1e-5)


def test_the_same_twice_and_nothing_is_changed():
    values, days, _, _ = simulated(count=30, shape=(4, 5))
    before = values.copy()
    first, second = (fill_modes(values, days, n_samples=1, rng=3) for _ in range(2))
    assert np.array_equal(first.mean, second.mean)
    assert np.array_equal(first.samples, second.samples)
    assert np.array_equal(values, before, equal_nan=True)


def test_a_series_without_modes_keeps_learning_its_season():
    values, days, truth, hidden = simulated(rank=0)
    filled = fill_modes(values, days, rank=0)
    assert np.sqrt(((filled.mean - truth)[hidden] ** 2).mean()) < 0.3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"values": np.zeros((3, 4))}, "values must have shape"),
        ({"values": np.full((3, 2, 2), np.nan)}, "must have a pixel that is seen"),
        ({"values": np.full((3, 2, 2), np.inf)}, "infinite"),
        ({"days": np.arange(4.0)}, "one day per image"),
        ({"days": np.array([0.0, np.nan, 1.0])}, "days must be finite"),
        ({"at": np.zeros((1, 1))}, "at must be a vector"),
        ({"n_samples": -1}, "n_samples must be at least 0"),
        ({"rank": -1}, "rank must be at least 0"),
    ],
)
def test_bad_arguments_are_named(change, words):
    arguments = {"values": np.ones((3, 2, 2)), "days": np.arange(3.0), **change}
    with pytest.raises(ArgumentError, match=words):
        fill_modes(**arguments)


def test_noise_of_learnt_series_is_that_of_the_simulation():
    values, days, _, _ = simulated(count=60)
    seen = np.isfinite(values).reshape(60, -1)
    flat = np.where(seen, values.reshape(60, -1) - 100.0, 0.0)
    learned = learn(Series(flat, seen, days), 5, 1)
    noise = np.sqrt(np.median(learned.modes.noise))
    assert 0.15 < noise < 0.45
    assert replace(learned.modes).fixed == 3
