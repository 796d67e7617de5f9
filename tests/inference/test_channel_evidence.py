"""Likelihood, trend and predictions of several channels against dense generalized least squares."""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import CAR, Channels, Intrinsic, Matern
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._channel_data import channel_observations
from sparsegmrf.inference._channel_evidence import ChannelEvidence
from tests.inference.test_condition_channels import NOISE, SHAPE, S, gaps, noise_of, spread

ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
X = np.stack([np.ones(SHAPE), ROWS - 2.0])


def problem(kind, noise, seed=1):
    y = np.random.default_rng(seed).normal([10.0, -3.0, 0.0], size=(*SHAPE, 3))
    missing = np.zeros(y.shape, dtype=bool) if kind == "none" else gaps(kind)
    return (
        channel_observations(y, missing, noise_of(noise), y.shape),
        y,
        ~missing.ravel(),
        spread(noise_of(noise)).ravel(),
    )


def oracle(model, y, o, v, covariates):
    """Log-likelihood, coefficients, mean and covariance of field and trend, all dense."""
    K = np.kron(np.linalg.inv(model.model.stencil(SHAPE).tocsr().toarray()), model.covariance)
    D = np.kron(covariates.reshape(len(covariates), -1).T, np.eye(3))
    V = K[np.ix_(o, o)] + np.diag(v[o])
    solved = np.linalg.solve(V, D[o])
    C = np.linalg.inv(D[o].T @ solved)
    beta = C @ solved.T @ y.ravel()[o]
    r = y.ravel()[o] - D[o] @ beta
    loglik = -0.5 * (np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r) + len(r) * np.log(2 * np.pi))
    gain = np.linalg.solve(V, K[o]).T
    left = D - gain @ D[o]
    return loglik, beta, D @ beta + gain @ r, K - gain @ K[o] + left @ C @ left.T, C


@pytest.mark.parametrize("kind", ["none", "agree", "one band", "differ"])
@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("spatial", [CAR(0.2), Matern(3.0, 1.5)])
def test_it_is_dense_generalized_least_squares(kind, noise, spatial):
    model = Channels(spatial, S)
    data, y, o, v = problem(kind, noise)
    found = ChannelEvidence(model, data, X)
    loglik, beta, mean, covariance, C = oracle(model, y, o, v, X)
    assert found.loglik == pytest.approx(loglik, rel=1e-9)
    assert_allclose(found.estimate[0], beta, rtol=1e-8, atol=1e-9)
    assert_allclose(found.estimate[1], C, rtol=1e-8, atol=1e-9)
    got_mean, got_variance = found.mean_and_variance()
    assert_allclose(got_mean.ravel(), mean, rtol=1e-8, atol=1e-9)
    assert_allclose(got_variance.ravel(), np.diagonal(covariance), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", ["none", "agree", "differ"])
@pytest.mark.parametrize("noise", ["exact", "one", "per channel", "map"])
@pytest.mark.parametrize("spatial", [CAR(0.2, tau=1.3), Matern(3.0, 1.5), Intrinsic()])
def test_derivatives_are_those_of_the_likelihood(kind, noise, spatial):
    model = Channels(spatial, S)
    data, *_ = problem(kind, noise)
    covariates = X[1:] if isinstance(spatial, Intrinsic) else X
    gradient = ChannelEvidence(model, data, covariates).gradient()

    def difference(moved):
        return (ChannelEvidence(*moved(1e-5)).loglik - ChannelEvidence(*moved(-1e-5)).loglik) / 2e-5

    for name, value in model.parameters.items():
        slope = difference(lambda h, n=name, a=value: (model.replace(**{n: a + h}), data, covariates))
        assert gradient.spatial[name] == pytest.approx(slope, rel=1e-5, abs=1e-5)
    for a in range(3):
        for b in range(a + 1):
            step = np.zeros((3, 3))
            step[a, b] = step[b, a] = 1.0
            slope = difference(lambda h, s=step: (Channels(spatial, S + h * s), data, covariates))
            assert (gradient.covariances[0] * step).sum() == pytest.approx(slope, rel=1e-5, abs=1e-5)
        if noise != "exact":
            unit = np.eye(3)[a]

            def with_noise(h, unit=unit):
                w = np.divide(
                    1.0, data.noise_variance + h * unit, out=np.zeros(data.weight.shape), where=data.weight > 0
                )
                return model, dataclasses.replace(data, weight=w), covariates

            assert gradient.noise[a] == pytest.approx(difference(with_noise), rel=1e-5, abs=1e-5)


def test_draws_have_the_law_of_the_prediction():
    model = Channels(CAR(0.2), S)
    data, y, o, v = problem("differ", "map")
    _, _, mean, covariance, _ = oracle(model, y, o, v, X)
    draws = ChannelEvidence(model, data, X).draws(40000, np.random.default_rng(0)).reshape(40000, -1)
    white = np.linalg.solve(np.linalg.cholesky(covariance), (draws - mean).T)
    # Means of 60 standard normals over 40000 draws, 6.5 deviations: below 1e-8 of false alarms.
    assert np.abs(white.mean(axis=1)).max() < 6.5 / 200.0
    assert np.abs(white @ white.T / 40000 - np.eye(60)).max() < 6.5 * np.sqrt(2.0) / 200.0


@pytest.mark.parametrize("noise", ["exact", "one", "map"])
def test_what_is_constant_is_no_trend_of_an_intrinsic_field(noise):
    data, *_ = problem("agree", noise)
    with pytest.raises(ArgumentError, match="pass covariates=None"):
        ChannelEvidence(Channels(Intrinsic(), S), data, X).estimate  # noqa: B018 - raises


def test_the_most_likely_covariance_is_a_maximum():
    data, *_ = problem("agree", "exact")
    best = ChannelEvidence(Channels(CAR(0.2), S), data, X).best_covariance
    found = ChannelEvidence(Channels(CAR(0.2), best), data, X)
    assert_allclose(found.gradient().covariances[0], 0.0, atol=1e-8)
    assert_allclose(found.best_covariance, best, rtol=1e-10)
