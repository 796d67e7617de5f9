"""A field trial of 20 x 25 plots with treatments: AR1xAR1 beside dense generalized least squares."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime, minimize

from sparsegmrf import fit
from sparsegmrf.inference import factor
from sparsegmrf.models import AR1xAR1
from tests.inference import dense
from tests.inference.problems import searched
from tests.models.test_ar1 import covariance

SHAPE = (20, 25)
TRUTH, NOISE, VARIETIES = AR1xAR1(0.7, 0.4, 1.2), 0.5, 10
LOST = np.zeros(SHAPE, dtype=bool)
LOST[3:5, 7] = LOST[12, 20:] = True


@pytest.fixture(scope="module")
def trial():
    """Yields, the variety of every plot, and the covariates ``(n, p)``: a constant and the varieties but the first."""
    rng = np.random.default_rng(4)
    variety = rng.permutation(np.repeat(np.arange(VARIETIES), 50)).reshape(SHAPE)
    yields = 40.0 + rng.normal(size=VARIETIES)[variety] + TRUTH.gmrf(SHAPE).sample(rng=rng)
    X = np.array([np.ones(SHAPE), *(variety == k for k in range(1, VARIETIES))], dtype=float)
    return yields + np.sqrt(NOISE) * rng.normal(size=SHAPE), variety, X.reshape(VARIETIES, -1).T


def dense_loglik(y, X, model, noise, observed, method):
    """Log-likelihood by the dense covariance, the coefficients profiled or left out."""
    o = np.flatnonzero(observed)
    C, y, X = covariance(model, SHAPE)[np.ix_(o, o)] + noise * np.eye(len(o)), y.ravel()[o], X[o]
    beta, of_beta = dense.generalized_least_squares(y, C, X)
    value = dense.log_density(y - X @ beta, C)
    if method == "reml":
        value += 0.5 * (np.linalg.slogdet(of_beta)[1] + np.linalg.slogdet(X.T @ X)[1])
        value += 0.5 * X.shape[1] * np.log(2.0 * np.pi)
    return value, beta, of_beta


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("noise", [None, 0.5])
@pytest.mark.parametrize("missing", [np.zeros(SHAPE, dtype=bool), LOST], ids=["complete", "plots lost"])
def test_likelihood_effects_and_contrast_are_those_of_dense_least_squares(trial, missing, noise, method):
    y, variety, X = trial
    covariates = [factor("variety", variety)]
    found = fit(
        TRUTH, y, mask=missing, noise_variance=noise, covariates=covariates, method=method, fixed=[*TRUTH.parameters]
    )
    value, beta, of_beta = dense_loglik(y, X, TRUTH, noise or 0.0, ~missing, method)
    assert found.loglik == pytest.approx(value, rel=1e-10)
    difference = found.contrast({f"variety[{1}]": 1.0, f"variety[{2}]": -1.0})
    c = np.zeros(VARIETIES)
    c[1], c[2] = 1.0, -1.0
    assert_allclose(np.ravel(difference.estimate), c @ beta, rtol=1e-8)
    assert_allclose(np.ravel(difference.standard_error), np.sqrt(c @ of_beta @ c), rtol=1e-8)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("noise", [None, "estimate"])
def test_gradient_is_that_of_differences_of_the_dense_likelihood(trial, noise, method):
    y, variety, X = trial
    covariates = [factor("variety", variety)]
    full = searched(TRUTH, y, LOST, noise, covariates, method).with_scale()
    at = full.start(TRUTH, NOISE if noise else None)

    def value(u):
        model, variance = full.parameters_at(u)
        return dense_loglik(y, X, model, variance, ~LOST, method)[0]

    assert full(at).value == pytest.approx(value(at), rel=1e-10)
    steps = 1e-4 * np.eye(len(at))
    slopes = [
        (8.0 * (value(at + s) - value(at - s)) - (value(at + 2.0 * s) - value(at - 2.0 * s))) / 12e-4 for s in steps
    ]
    assert_allclose(full(at).gradient, slopes, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("noise", [None, "estimate"])
def test_fit_ends_at_the_maximum_of_the_dense_restricted_likelihood(trial, noise):
    y, variety, X = trial
    found = fit(
        AR1xAR1(),
        y,
        mask=LOST,
        noise_variance=noise,
        covariates=[factor("variety", variety)],
        method="reml",
        tolerance=1e-9,
    )
    assert found.converged
    model, variance = found.model, found.noise_variance or 0.0

    def loss(u):
        moved = AR1xAR1(np.tanh(u[0]), np.tanh(u[1]), np.exp(u[2]))
        return -dense_loglik(y, X, moved, np.exp(u[3]) if noise else 0.0, ~LOST, "reml")[0]

    u = [np.arctanh(model.rho_row), np.arctanh(model.rho_column), np.log(model.sigma)]
    u = np.array([*u, *([np.log(variance)] if noise else [])])
    assert found.loglik == pytest.approx(-loss(u), rel=1e-10)
    assert np.abs(approx_fprime(u, loss, 1e-6)).max() < 1e-2
    assert minimize(loss, u, method="Nelder-Mead", options={"maxfev": 60}).fun > -found.loglik - 1e-6
