"""Estimates, gradients and standard errors on 20 x 25 rasters against a dense search of its own."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from numpy.testing import assert_allclose
from threadpoolctl import threadpool_limits

from sparsegmrf.inference import FitResult, fit
from sparsegmrf.models import CAR, SAR, Matern, Sum
from tests.inference.problems import searched

SHAPE = (20, 25)
N = SHAPE[0] * SHAPE[1]


def path(n):
    """Neighbours along a line of `n` pixels."""
    return np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)


ADJACENT = np.kron(np.eye(SHAPE[0]), path(SHAPE[1])) + np.kron(path(SHAPE[0]), np.eye(SHAPE[1]))
LAPLACIAN = np.diag(ADJACENT.sum(axis=1)) - ADJACENT


BASES = {"car": np.linalg.eigh(ADJACENT), "sar": np.linalg.eigh(ADJACENT), "matern": np.linalg.eigh(LAPLACIAN)}


def car(a, rho, tau):
    return tau * (1.0 - rho * a)


def sar(a, rho, tau):
    return tau * (1.0 - rho * a) ** 2


def matern(g, range, sigma):
    """The variance of the unbounded lattice by its integral over frequencies, a torus of 600 x 600."""
    kappa2 = 8.0 / range**2
    waves = 2.0 - 2.0 * np.cos(2.0 * np.pi * np.arange(600) / 600)
    variance = np.mean((kappa2 + waves[:, np.newaxis] + waves) ** -2.0)
    return variance / sigma**2 * (kappa2 + g) ** 2


# The model, the eigenvalues of its precision by hand, true parameters and noise variance.
CASES = {
    "car": (CAR(rho=0.2), car, (0.251, 0.8), 0.8),
    "sar": (SAR(rho=0.1), sar, (0.2, 1.0), 0.15),
    "matern": (Matern(range=10.0), matern, (5.0, 1.6), 0.15),
}


def covariance(name, *parameters):
    """Dense covariance of all pixels, by eigenvectors of the neighbourhood."""
    values, vectors = BASES[name]
    return (vectors / CASES[name][1](values, *parameters)) @ vectors.T


def observed(C, noise, seed):
    """A draw with noise, a trend and gaps."""
    rng = np.random.default_rng(seed)
    field = (np.linalg.cholesky(C) @ rng.standard_normal(N)).reshape(SHAPE)
    image = 12.0 + 0.1 * np.arange(SHAPE[0])[:, np.newaxis] + field + np.sqrt(noise) * rng.standard_normal(SHAPE)
    missing = rng.random(SHAPE) < 0.15
    missing[5:10, 8:14] = True
    return image, missing


def design(shape):
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    return np.stack([np.ones(rows.size), rows.ravel(), columns.ravel()], axis=1)


def log_density(C, noise, image, missing):
    """Dense log-density of the observed pixels, a linear trend by generalized least squares."""
    o = ~missing.ravel()
    C = C[np.ix_(o, o)] + noise * np.eye(o.sum())
    root = np.linalg.cholesky(C)
    z = scipy.linalg.solve_triangular(root, np.column_stack([image.ravel()[o], design(image.shape)[o]]), lower=True)
    beta = np.linalg.lstsq(z[:, 1:], z[:, 0], rcond=None)[0]
    rest = z[:, 0] - z[:, 1:] @ beta
    return -np.log(np.diagonal(root)).sum() - 0.5 * rest @ rest - 0.5 * o.sum() * np.log(2.0 * np.pi)


def gradient_of(f, at, h=2e-3):
    """Gradient by differences of fourth order."""
    unit = h * np.eye(len(at))
    return np.array([(8.0 * (f(at + e) - f(at - e)) - f(at + 2 * e) + f(at - 2 * e)) / (12.0 * h) for e in unit])


def hessian_of(f, at, h=2e-3):
    """Hessian by differences of second order."""
    unit = h * np.eye(len(at))
    mixed = [[f(at + d + e) - f(at + d - e) - f(at - d + e) + f(at - d - e) for e in unit] for d in unit]
    return np.array(mixed) / (4.0 * h * h)


class Case(NamedTuple):
    """An image and its mask, the dense density by unconstrained numbers, its maximum and Hessian there, and the fit."""

    name: str
    image: np.ndarray
    missing: np.ndarray
    dense: Callable
    values: Callable
    at: np.ndarray
    hessian: np.ndarray
    result: FitResult


@pytest.fixture(scope="module", params=CASES)
def case(request):
    name = request.param
    model, _, truth, noise = CASES[name]
    image, missing = observed(covariance(name, *truth), noise, 5)
    low, high = model.limits(SHAPE)[next(iter(model.parameters))]

    def values(u):
        first = np.exp(u[0]) if np.isinf(high) else low + (high - low) / (1.0 + np.exp(-u[0]))
        return np.array([first, np.exp(u[1]), np.exp(u[2])])

    def dense(u):
        first, second, noise = values(u)
        return log_density(covariance(name, first, second), noise, image, missing)

    first = np.log(truth[0]) if np.isinf(high) else np.log((truth[0] - low) / (high - truth[0]))
    start = [first, np.log(truth[1]), np.log(noise)]
    with threadpool_limits(1, user_api="blas"):
        at = scipy.optimize.minimize(lambda u: -dense(u), start, method="BFGS").x
        hessian = hessian_of(dense, at)
        for _ in range(3):  # differences of the density alone do not tell six digits
            at = at - np.linalg.solve(hessian, gradient_of(dense, at))
        hessian = hessian_of(dense, at)
    result = fit(model, image, mask=missing, covariates="linear", tolerance=1e-7)
    return Case(name, image, missing, dense, values, at, hessian, result)


def test_estimates_are_those_of_dense_maximum_likelihood(case):
    assert case.result.converged, case.result.reason
    assert_allclose(list(case.result.parameters.values()), case.values(case.at), rtol=1e-6)
    assert case.result.loglik == pytest.approx(case.dense(case.at), rel=1e-10)


def test_standard_errors_are_those_of_the_numerical_hessian(case):
    values, at = case.values, case.at
    slopes = np.array([(values(at + 1e-5 * e) - values(at - 1e-5 * e))[k] / 2e-5 for k, e in enumerate(np.eye(3))])
    errors = np.sqrt(np.diagonal(np.linalg.inv(-case.hessian))) * slopes
    assert_allclose(list(case.result.standard_errors.values()), errors, rtol=2e-4)


def test_intervals_on_the_unconstrained_scale_are_those_of_the_numerical_hessian(case):
    half = 1.959963984540054 * np.sqrt(np.diagonal(np.linalg.inv(-case.hessian)))
    found = case.result.confidence_intervals()
    for k, name in enumerate(case.result.parameters):
        expected = [case.values(case.at + sign * half * (np.arange(3) == k))[k] for sign in (-1.0, 1.0)]
        assert_allclose(found[name], expected, rtol=1e-3)


def test_gradient_is_that_of_dense_differences(case):
    model = case.result.model
    moved = model.replace(**{name: 0.9 * value for name, value in model.parameters.items()})
    objective = searched(moved, case.image, case.missing, "estimate", "linear", "ml", ()).with_scale()
    at = objective.start(moved, 0.3)

    def dense(u):
        model, noise = objective.parameters_at(u)
        C = covariance(case.name, *model.parameters.values())
        return log_density(C, noise, case.image, case.missing)

    expected = gradient_of(dense, at)
    assert_allclose(objective(at)[1], expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


SMALL = (11, 13)
TURNED = Matern(range=4.0, anisotropy=(2.0, 0.4), diffusion="smooth")


@pytest.mark.parametrize(
    "model", [TURNED, Sum([TURNED, Matern(range=12.0, sigma=2.0)])], ids=["smooth anisotropic", "sum"]
)
def test_gradient_of_richer_models_is_that_of_dense_differences(model):
    image, missing = (each[: SMALL[0], : SMALL[1]] for each in observed(covariance("matern", 5.0, 1.6), 0.15, 6))
    objective = searched(model, image, missing, "estimate", "linear", "ml", ()).with_scale()
    at = objective.start(model, 0.3)

    def dense(u):
        at, noise = objective.parameters_at(u)
        members = at.models if isinstance(at, Sum) else [at]
        C = sum(np.linalg.inv(each.stencil(SMALL).tocsr().toarray()) for each in members)
        return log_density(C, noise, image, missing)

    assert objective(at)[0] == pytest.approx(dense(at), rel=1e-10)
    expected = gradient_of(dense, at)
    assert_allclose(objective(at)[1], expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
