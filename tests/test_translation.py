"""The table of docs/conventions.md, parameters of other packages in ours, against these where they are installed.

Of R's packages the precisions that they document stand here.
"""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats

from sparsegmrf.models import CAR, SAR, AR1xAR1, Independent, Intrinsic, Matern
from tests.conftest import require

LAGS = np.array([(0, 1), (2, 0), (3, 4), (0, 9), (12, 5), (20, 20)])
"""Rows and columns between two pixels."""
LENGTH, SMOOTHNESS = 17.0, (0.5, 1.5, 2.5)


def peer(module):
    """Import a package that only this page needs."""
    return pytest.importorskip(module, reason=f"{module} is not installed")


def matern(lags, length, nu):
    """Return the correlation of a Matern field of our range, in the plane."""
    scaled = math.sqrt(8.0 * nu) / length * np.hypot(*np.transpose(lags))
    return 2.0 ** (1.0 - nu) / scipy.special.gamma(nu) * scaled**nu * scipy.special.kv(nu, scaled)


def adjacency(height, width):
    """Return which pixels are neighbours, dense."""
    rows, columns = np.divmod(np.arange(height * width), width)
    distance = np.abs(rows[:, np.newaxis] - rows) + np.abs(columns[:, np.newaxis] - columns)
    return (distance == 1).astype(float)


def precision(model, shape):
    return model.stencil(shape).tocsr().toarray()


@pytest.mark.parametrize("nu", [0.5, 1.0, 1.5, 2.0, 2.5])
def test_our_range_is_that_of_the_plane(nu):
    np.testing.assert_allclose(Matern(range=60.0, nu=nu).correlation(LAGS), matern(LAGS, 60.0, nu), atol=0.006)
    assert matern([(0, 60)], 60.0, nu) == pytest.approx(0.14, abs=0.015)


@pytest.mark.parametrize("nu", SMOOTHNESS)
def test_gstools_matern(nu):
    gstools = peer("gstools")
    model = gstools.Matern(dim=2, var=4.0, len_scale=LENGTH, nu=nu, nugget=0.3)
    lags = np.hypot(*LAGS.T)
    np.testing.assert_allclose(model.correlation(lags), matern(LAGS, math.sqrt(8.0) * LENGTH, nu), atol=1e-9)
    np.testing.assert_allclose(model.variogram(lags), 4.0 * (1.0 - model.correlation(lags)) + 0.3)


def test_gstools_exponential():
    model = peer("gstools").Exponential(dim=2, len_scale=LENGTH)
    np.testing.assert_allclose(model.correlation(np.hypot(*LAGS.T)), matern(LAGS, 2.0 * LENGTH, 0.5), atol=1e-9)


def test_gstools_anisotropy():
    ratio, angle, nu = 2.5, 0.6, 1.5
    model = peer("gstools").Matern(dim=2, len_scale=LENGTH, nu=nu, anis=1.0 / ratio, angles=angle)
    rows, columns = LAGS.T
    found = model.cor_spatial([columns, rows])
    along = columns * math.cos(angle) + rows * math.sin(angle)
    across = rows * math.cos(angle) - columns * math.sin(angle)
    mean = math.sqrt(8.0) * LENGTH / math.sqrt(ratio)  # our range is the geometric mean
    stretched = np.stack([along / math.sqrt(ratio), across * math.sqrt(ratio)], axis=1)
    np.testing.assert_allclose(found, matern(stretched, mean, nu), atol=1e-9)
    ours = Matern(range=mean, nu=nu, anisotropy=(ratio, angle)).correlation(LAGS)
    np.testing.assert_allclose(ours, found, atol=0.02)


def test_pykrige_exponential():
    models = peer("pykrige.variogram_models")
    lags = np.hypot(*LAGS.T)
    found = models.exponential_variogram_model([4.0, LENGTH, 0.3], lags)
    np.testing.assert_allclose(found, 4.0 * (1.0 - matern(LAGS, 2.0 * LENGTH / 3.0, 0.5)) + 0.3, atol=1e-9)


def test_pykrige_variance_that_is_not_exact_is_that_of_a_new_measurement():
    kriging = peer("pykrige.ok")
    rng = np.random.default_rng(0)
    places, values, new = rng.uniform(0, 20, (12, 2)), rng.standard_normal(12), rng.uniform(0, 20, (5, 2))
    sill, nugget = 4.0, 0.7
    parameters = {"psill": sill, "range": LENGTH, "nugget": nugget}
    ordinary = kriging.OrdinaryKriging(
        *places.T, values, variogram_model="exponential", variogram_parameters=parameters, exact_values=False
    )
    mean, variance = ordinary.execute("points", *new.T)

    def covariance(a, b):
        return sill * np.exp(-3.0 * np.hypot(*(a[:, np.newaxis] - b).T).T / LENGTH)

    weights = np.linalg.inv(covariance(places, places) + nugget * np.eye(12))
    level = weights.sum(axis=1) / weights.sum()
    cross = covariance(new, places)
    expected = level @ values + cross @ weights @ (values - level @ values)
    lacking = 1.0 - cross @ weights.sum(axis=1)
    of_field = sill - np.einsum("ij,jk,ik->i", cross, weights, cross) + lacking**2 / weights.sum()
    np.testing.assert_allclose(mean, expected, atol=1e-8)
    np.testing.assert_allclose(variance, of_field + nugget, atol=1e-8)


@pytest.mark.parametrize("nu", SMOOTHNESS)
def test_scikit_learn_matern(nu):
    kernels = require("sklearn.gaussian_process.kernels")
    found = kernels.Matern(length_scale=LENGTH, nu=nu)(LAGS.astype(float), np.zeros((1, 2)))[:, 0]
    np.testing.assert_allclose(found, matern(LAGS, 2.0 * LENGTH, nu), atol=1e-9)


@pytest.mark.parametrize("nu", SMOOTHNESS)
def test_gpboost_matern(nu):
    gpboost = peer("gpboost")
    rng = np.random.default_rng(0)
    places, values = rng.uniform(0, 20, (15, 2)), rng.standard_normal(15)
    model = gpboost.GPModel(gp_coords=places, cov_function="matern", cov_fct_shape=nu, likelihood="gaussian")
    noise, variance = 0.3, 4.0
    found = model.neg_log_likelihood(cov_pars=np.array([noise, variance, LENGTH]), y=values)
    lags = places[:, np.newaxis] - places + 1e-9
    covariance = variance * matern(lags.reshape(-1, 2), 2.0 * LENGTH, nu).reshape(15, 15) + noise * np.eye(15)
    expected = -scipy.stats.multivariate_normal(np.zeros(15), covariance).logpdf(values)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "nu", "factor"),
    [("Matern12", 0.5, 2.0), ("Matern32", 1.5, 2.0), ("Matern52", 2.5, 2.0), ("Exponential", 0.5, 4.0)],
)
def test_pymc_covariances(name, nu, factor):
    kernel = getattr(peer("pymc").gp.cov, name)(2, ls=LENGTH)
    found = kernel(LAGS.astype(float), np.zeros((1, 2))).eval()[:, 0]
    np.testing.assert_allclose(found, matern(LAGS, factor * LENGTH, nu), atol=1e-6)


def test_pymc_car_is_the_degree_form_up_to_a_constant():
    pymc = peer("pymc")
    shape, rho, tau = (3, 4), 0.7, 2.0
    images = np.random.default_rng(0).standard_normal((2, 12))
    peers = pymc.CAR.dist(mu=np.zeros(12), W=adjacency(*shape), alpha=rho, tau=tau)
    found = [pymc.logp(peers, each).eval().item() for each in images]
    field = CAR(rho, tau=tau, form="degree").gmrf(shape)
    constant = -6.0 * math.log(2.0 * math.pi) + 0.5 * np.log(adjacency(*shape).sum(axis=1)).sum()
    np.testing.assert_allclose(found, field.logpdf(images.reshape(2, *shape)) - constant, rtol=1e-6)


def test_pymc_icar_is_the_random_walk_of_order_one():
    pymc = peer("pymc")
    shape, sigma = (3, 4), 0.6
    images = np.random.default_rng(0).standard_normal((2, 12))
    images -= images.mean(axis=1, keepdims=True)
    peers = pymc.ICAR.dist(W=adjacency(*shape), sigma=sigma)
    first, second = (pymc.logp(peers, each).eval().item() for each in images)
    field = Intrinsic(tau=1.0 / sigma**2).gmrf(shape)
    ours = field.logpdf(images.reshape(2, *shape))
    assert first - second == pytest.approx(ours[0] - ours[1], rel=1e-6)
    rougher = pymc.logp(pymc.ICAR.dist(W=adjacency(*shape), sigma=2.0), images[0]).eval().item()
    gain = Intrinsic(tau=1.0 / 2.0**2).gmrf(shape).logpdf(images[0].reshape(shape)) - ours[0]
    assert rougher - first == pytest.approx(gain + 11.0 * math.log(2.0 / sigma), rel=1e-6)


def test_spatialreg_car_and_sar_are_ours_with_weights_of_one():
    shape, rho, variance = (4, 5), 0.2, 0.5
    A, eye = adjacency(*shape), np.eye(20)
    np.testing.assert_allclose(precision(CAR(rho, tau=1.0 / variance), shape), (eye - rho * A) / variance)
    B = eye - rho * A
    np.testing.assert_allclose(precision(SAR(rho, tau=1.0 / variance), shape), B.T @ B / variance)
    B = eye - 0.6 * A / A.sum(axis=1, keepdims=True)
    ours = SAR(0.6, tau=1.0 / variance, row_standardized=True)
    np.testing.assert_allclose(precision(ours, shape), B.T @ B / variance)


def test_latticekrig_is_a_simultaneous_autoregression():
    shape, weight, variance = (4, 5), 4.5, 2.0
    B = weight * np.eye(20) - adjacency(*shape)
    ours = SAR(1.0 / weight, tau=weight**2 / variance)
    np.testing.assert_allclose(precision(ours, shape), B.T @ B / variance)


def test_inla_precisions_are_ours():
    shape, tau = (4, 5), 3.0
    A = adjacency(*shape)
    besag = tau * (np.diag(A.sum(axis=1)) - A)
    np.testing.assert_allclose(precision(Intrinsic(tau=tau), shape), besag)
    variances = np.diag(np.linalg.pinv(besag / tau))
    scaled = besag * np.exp(np.log(variances).mean())  # scale.model=TRUE: their geometric mean is 1
    np.testing.assert_allclose(precision(Intrinsic(tau=tau, scale=True), shape), scaled)
    np.testing.assert_allclose(precision(Independent(1.0 / math.sqrt(tau)), shape), tau * np.eye(20))
    ar1 = 0.7 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6))) / tau
    ours = AR1xAR1(0.0, 0.7, sigma=1.0 / math.sqrt(tau))
    np.testing.assert_allclose(np.linalg.inv(precision(ours, (1, 6))), ar1)
