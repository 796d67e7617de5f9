"""The likelihood of a stack, its gradient, means, variances and draws, against dense linear algebra."""

from dataclasses import replace

import numpy as np
import pytest

from sparsegmrf.stacks._evidence import Evidence
from sparsegmrf.stacks._lattice import LatticeFactor
from sparsegmrf.stacks._predict import moments
from sparsegmrf.stacks._sweep import SweepFactor
from tests.stacks.problems import MODELS, moved, oracle, prior, stack_of

DAYS = np.array([0.0, 3.0, 4.5, 20.0, 120.0])
INDEX = (0, 1, 1, 2, 3, 4, 4)
FACTORS = [SweepFactor, LatticeFactor]
KINDS = [
    ("matern", 1, "constant"),
    ("car", 1, "linear"),
    ("all kinds", 1, "constant"),
    ("spline", None, None),
    ("car", 0, "constant"),
    ("two scales", 0, "constant"),
    ("weather", None, "constant"),
]


def problem(kind, seed=0):
    name, harmonics, covariates = kind
    data, images, weights = stack_of(DAYS, INDEX, harmonics, covariates, seed)
    model = MODELS[name]
    return replace(model, deviations=model.deviations[: len(data.groups)]), data, images, weights


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_likelihood_mean_and_variance_are_those_of_dense_algebra(kind, factor):
    model, data, images, weights = problem(kind)
    loglik, mean, covariance, beta = oracle(model, data, images, weights, INDEX)
    found = Evidence.of(model, data, factor)
    assert found.loglik == pytest.approx(loglik, rel=1e-10)
    np.testing.assert_allclose(found.of_beta[0], beta, rtol=1e-8)
    own = moments(found)
    np.testing.assert_allclose(own[0], mean, atol=1e-9)
    np.testing.assert_allclose(own[1].ravel(), np.diagonal(covariance), rtol=1e-8)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("kind", [*KINDS[:4], KINDS[5]], ids=str)
def test_gradient_is_that_of_finite_differences_of_the_dense_likelihood(kind, factor):
    model, data, images, weights = problem(kind)
    step = 1e-5
    for name, slope in Evidence.of(model, data, factor).gradient().items():
        above, below = (oracle(moved(model, name, side), data, images, weights, INDEX)[0] for side in (step, -step))
        assert slope == pytest.approx((above - below) / (2 * step), rel=1e-6, abs=1e-6), name


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]], ids=str)
def test_average_information_is_that_of_dense_algebra(kind):
    model, data, images, weights = problem(kind)
    names, information = Evidence.of(model, data, SweepFactor).information()
    assert (np.linalg.eigvalsh(information) > -1e-12).all()
    on, step = weights.ravel() > 0.0, 1e-5
    S, slopes = of_observed(model, data, weights, on), {}
    for name in names:
        above, below = (of_observed(moved(model, name, side), data, weights, on) for side in (step, -step))
        slopes[name] = (above - below) / (2 * step)
    X = data.covariates[:, list(INDEX)].reshape(len(data.covariates), -1)[:, on].T
    inverse = np.linalg.inv(S)
    M = inverse - inverse @ X @ np.linalg.inv(X.T @ inverse @ X) @ X.T @ inverse
    alpha = M @ images.ravel()[on]
    g = np.array([slopes[name] @ alpha for name in names])
    np.testing.assert_allclose(information, 0.5 * g @ M @ g.T, rtol=1e-5, atol=1e-7)


def of_observed(model, data, weights, on):
    S = prior(model, data)
    picked = np.concatenate([np.arange(data.n_pixels) + u * data.n_pixels for u in INDEX])[on]
    return S[np.ix_(picked, picked)] + np.diag(model.noise_variance / weights.ravel()[on])


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]], ids=str)
def test_draws_have_the_posterior_covariance(kind, factor):
    model, data, _, _ = problem(kind)
    made = Evidence.of(model, data, factor).factor
    size = made.precision.n_unknowns * made.precision.n_pixels
    shape = (size, made.precision.n_unknowns, made.precision.n_pixels)
    root = made.unwhiten(np.eye(size).reshape(shape)).reshape(size, size)  # rows are images of unit vectors
    solved = made.solve(np.eye(size).reshape(shape)).reshape(size, size)
    np.testing.assert_allclose(root.T @ root, solved, atol=1e-10)
    assert made.logdet == pytest.approx(-np.linalg.slogdet(solved)[1], rel=1e-10)


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]], ids=str)
def test_prediction_without_the_own_date_is_that_of_the_other_dates(kind, factor):
    model, data, images, weights = problem(kind)
    found = Evidence.of(model, data, factor)
    difference, variance = found.without_own_date(factor)
    beta = found.of_beta[0]
    trend = np.einsum("p,pun->un", beta, data.covariates)
    for u in range(data.n_dates):
        kept = np.where((np.array(INDEX) == u)[:, None], 0.0, weights)
        own = images - trend[list(INDEX)]
        known = stack_of(DAYS, INDEX, 1, None, 0)[0]  # the trend is known
        _, mean, covariance, _ = oracle(model, known, own, kept, INDEX)
        on, n = data.weight[u] > 0.0, data.n_pixels
        expected = data.values[u] - trend[u] - mean[u]
        np.testing.assert_allclose(difference[u, on], expected[on], atol=1e-8)
        spread = np.diagonal(covariance)[u * n : (u + 1) * n] + model.noise_variance / np.where(on, data.weight[u], 1.0)
        np.testing.assert_allclose(variance[u, on], spread[on], rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS[:3], ids=str)
def test_time_that_runs_backwards_gives_the_same_likelihood(kind):
    model, data, _, _ = problem(kind)
    forward = Evidence.of(model, data, SweepFactor).loglik
    turned = replace(
        data,
        days=-data.days[::-1],
        values=data.values[::-1],
        weight=data.weight[::-1],
        basis=data.basis[::-1],
        covariates=data.covariates[:, ::-1],
    )
    assert Evidence.of(model, turned, SweepFactor).loglik == pytest.approx(forward, rel=1e-12)


def test_a_date_without_observations_changes_no_likelihood():
    model, data, images, weights = problem(KINDS[0])
    days = np.append(DAYS, [7.0, 300.0])
    order = np.argsort(days)
    index = [int(np.flatnonzero(order == each)[0]) for each in INDEX]
    more, _, _ = stack_of(days[order], index, 1, "constant", 0)
    more = more.weighted(images, weights, np.array(index))
    before, after = (Evidence.of(model, each, SweepFactor).loglik for each in (data, more))
    assert after == pytest.approx(before, rel=1e-12)
