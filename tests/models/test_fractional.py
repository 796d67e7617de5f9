"""Fractional smoothness: the rule of poles, the one law of its fields by every door, and how far it is from a power."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import gamma, kv

from sparsegmrf import condition, diagnose, fill, fit
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.fields import PointSpread, variance_of
from sparsegmrf.models import Matern
from sparsegmrf.models._rational import largest_frequency, rule, variance_of_term
from tests import reference
from tests.conftest import require
from tests.models.catalogue import FRACTIONAL, SHAPE

ISOTROPIC = np.array([1.0, 1.0, 0.0, 0.0])
EXPONENTS = [1.05, 1.25, 1.5, 1.9, 1.999, 2.001, 2.5, 3.5]
ENDS = [3.5, 5.0, 9.0]
every = pytest.mark.parametrize("name", FRACTIONAL)


def covariance_of(model, shape):
    """Dense covariance of the sum, from the stacked precision alone."""
    inverse = np.linalg.inv(model.stencil(shape).tocsr().toarray())
    weights = np.kron(np.eye(shape[0] * shape[1]), np.ones(model.terms))
    return weights @ inverse @ weights.T


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("alpha", EXPONENTS)
def test_rule_is_of_markov_fields_and_more_of_them_are_nearer(alpha, end):
    n, m = np.floor(alpha), np.exp(np.linspace(0.0, end, 400))
    errors = []
    for terms in (1, 2, 3, 4):
        found = rule(alpha, terms, end)
        assert (found.poles > 0.0).all()
        assert (found.weights > 0.0).all()
        assert (np.diff(found.poles) > 0.0).all()
        ratio = m ** (alpha - n) * (found.weights / (m[:, np.newaxis] + found.poles)).sum(axis=1)
        errors.append(np.sqrt(np.average((1.0 - ratio) ** 2, weights=m ** (1.0 - alpha))))
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.5 * errors[1]
    assert errors[3] < max(errors[2], 1e-5)
    assert errors[2] < 0.04


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("alpha", [1.05, 1.25, 1.5, 1.9, 2.1, 2.5, 3.5])
def test_rule_moves_as_its_derivatives_say(alpha, end):
    step = 1e-5
    for by, moved in (("by_alpha", (step, 0.0)), ("by_end", (0.0, step))):
        up = rule(alpha + moved[0], 3, end + moved[1])
        down = rule(alpha - moved[0], 3, end - moved[1])
        found = getattr(rule(alpha, 3, end), by)
        assert_allclose(found[0], (up.poles - down.poles) / (2.0 * step), rtol=1e-4)
        assert_allclose(found[1], (up.weights - down.weights) / (2.0 * step), rtol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("pole", [1e-4, 0.05, 0.999, 1.001, 30.0, 1e6])
def test_variance_of_a_term_is_the_mean_over_frequencies(pole, n):
    kappa2 = 0.3
    g = 4.0 * np.sin(np.pi * np.arange(256) / 256) ** 2
    K = kappa2 + g[:, np.newaxis] + g
    found = variance_of_term(np.array(kappa2), ISOTROPIC, np.array(pole), n)
    assert float(found) == pytest.approx(np.mean(1.0 / (K**n * (K + kappa2 * pole))), rel=1e-12)
    stepped = variance_of_term(np.array(kappa2 + 1e-20j), ISOTROPIC + 0j, np.array(pole), n)
    moved = np.mean(-n / (K ** (n + 1) * (K + kappa2 * pole)) - (1.0 + pole) / (K**n * (K + kappa2 * pole) ** 2))
    assert float(stepped.imag / 1e-20) == pytest.approx(moved, rel=1e-11)


@every
@pytest.mark.parametrize("method", ["auto", "dissection", "cholmod", "dense"])
def test_field_has_one_law_by_every_method(name, method):
    if method == "cholmod":
        require("sksparse")
    model = FRACTIONAL[name]
    field = model.gmrf(SHAPE, mean=0.5, method=method)
    C = covariance_of(model, SHAPE)
    x = np.random.default_rng(0).standard_normal((2, *SHAPE))
    expected = [reference.log_density(each, np.full(SHAPE, 0.5), np.linalg.inv(C)) for each in x]
    assert_allclose(field.logpdf(x), expected, rtol=1e-9)
    assert_allclose(field.marginal_variance().ravel(), np.diagonal(C), rtol=1e-9)
    assert_allclose(field.covariance_with((2, 3)).ravel(), C[:, 2 * SHAPE[1] + 3], rtol=1e-8, atol=1e-10)
    assert field.logdet == pytest.approx(-np.linalg.slogdet(C)[1], rel=1e-9, abs=1e-9)
    assert_allclose(field.factor.solve(x).reshape(2, -1), x.reshape(2, -1) @ C, rtol=1e-8, atol=1e-9)
    assert np.array_equal(field.sample(rng=3), field.sample(rng=3))
    assert field.sample(0, rng=1).shape == (0, *SHAPE)


def test_draws_have_the_covariance():
    model = Matern(4.0, 1.5, 0.5, anisotropy=(2.0, 0.4))  # no transform: draws are totals of draws of the terms
    C = covariance_of(model, (5, 6))
    draws = model.gmrf((5, 6)).sample(20000, rng=0).reshape(20000, -1)
    # The standard error of a covariance is at most sqrt(2 / 20000) of the largest variance; five of them.
    assert_allclose(draws.T @ draws / 20000, C, atol=0.05 * C.max())


@every
def test_derivatives_are_differences_also_by_nu(name):
    model = FRACTIONAL[name]
    if not np.ndim(model.range):
        model = model.replace(nu_is_free=True)
    for parameter, derivative in model.derivatives(SHAPE).items():
        value, step = model.parameters[parameter], 1e-5
        up, down = (model.replace(**{parameter: value + s}).stencil(SHAPE).tocsr() for s in (step, -step))
        slope = ((up - down) / (2.0 * step)).toarray()
        assert_allclose(derivative.tocsr().toarray(), slope, atol=1e-7 * np.abs(slope).max())


@pytest.mark.parametrize("whole", [1, 2, 3])
@pytest.mark.parametrize("anisotropy", [None, (2.0, 0.4)])
def test_law_goes_through_whole_numbers(whole, anisotropy):
    exact = Matern(4.0, 1.5, whole, anisotropy).gmrf((9, 10)).tocsr().toarray()
    expected = np.linalg.inv(exact)
    for step in (1e-4, -1e-4):
        found = covariance_of(Matern(4.0, 1.5, whole + step, anisotropy), (9, 10))
        assert_allclose(found, expected, atol=3e-4 * expected.max())


@pytest.mark.parametrize("terms", [2, 3, 4])
@pytest.mark.parametrize("nu", [0.25, 0.5, 1.3, 2.5])
def test_covariance_error_is_that_of_all_lags(nu, terms):
    model, side = Matern(5.0, 2.0, nu, terms=terms, boundary="torus"), 128
    kappa2 = 8.0 * nu / 25.0
    g = 4.0 * np.sin(np.pi * np.arange(side) / side) ** 2
    power = np.fft.ifft2((1.0 + (g[:, np.newaxis] + g) / kappa2) ** -(nu + 1.0)).real
    found = model.gmrf((side, side)).covariance_with((0, 0))
    largest = np.abs(found / found[0, 0] - power / power[0, 0]).max()
    assert model.covariance_error() <= largest * 1.001
    assert model.covariance_error() == pytest.approx(largest, rel=0.1)
    assert found[0, 0] == pytest.approx(4.0, rel=1e-9)


def test_covariance_error_with_anisotropy_is_that_of_rows_columns_and_diagonals():
    model, side = Matern(5.0, 2.0, 0.5, (2.0, 0.4), boundary="torus"), 128
    w = 2.0 * np.pi * np.arange(side) / side
    m = 1.0 + model._operator.eigenvalues(w[:, np.newaxis], w) / float(model.kappa2)
    power = np.fft.ifft2(m**-1.5).real
    found = model.gmrf((side, side)).covariance_with((0, 0))
    difference = np.abs(found / found[0, 0] - power / power[0, 0])
    k = np.arange(40)
    lines = [difference[k, 0], difference[0, k], difference[k, k], difference[k, -k]]
    assert model.covariance_error() == pytest.approx(np.max(lines), rel=0.02)


@pytest.mark.parametrize("nu", [0.25, 0.35, 0.5, 0.75, 1.25, 1.5, 2.25, 2.5, 2.9])
def test_covariance_error_is_below_a_thousandth_of_the_variance_as_documented(nu):
    for reach in (2.0, 5.0, 10.0, 20.0):
        assert Matern(reach, nu=nu).covariance_error() < 1e-3
    for reach in (40.0, 100.0):
        assert Matern(reach, nu=nu).covariance_error() < (1e-3 if nu >= 0.75 else 2.5e-3)
        assert Matern(reach, nu=nu, terms=4).covariance_error() < 5e-4


def test_whole_numbers_have_no_error_and_maps_no_single_one():
    assert Matern(5.0, nu=2.0).covariance_error() == 0.0
    with pytest.raises(ArgumentError, match=r"^range, anisotropy and spacing must be numbers for an error"):
        Matern(np.full(SHAPE, 5.0), nu=0.5).covariance_error()


@pytest.mark.parametrize(
    ("nu", "distance"), [(0.5, 0.012), (0.75, 0.028), (1.0, 0.025), (1.5, 0.019), (2.0, 0.014), (2.5, 0.012)]
)
def test_field_is_as_near_to_the_continuous_one_as_lattices_are(nu, distance):
    # Mostly at lag 1, and as much where the smoothness is a whole number.
    side = 160
    found = Matern(10.0, 2.0, nu, boundary="torus").gmrf((side, side)).covariance_with((0, 0)) / 4.0
    lag = np.minimum(np.arange(side), side - np.arange(side))
    h = np.sqrt(8.0 * nu) * np.hypot(lag[:, np.newaxis], lag) / 10.0
    h[0, 0] = 1.0
    matern = 2.0 ** (1.0 - nu) / gamma(nu) * h**nu * kv(nu, h)
    matern[0, 0] = 1.0
    assert np.abs(found - matern).max() == pytest.approx(distance, abs=0.002)


def test_map_of_one_range_is_near_the_number_and_a_window_has_the_law_of_the_whole():
    ranges = np.full((9, 10), 5.0)
    number, as_map = (covariance_of(Matern(each, 2.0, 0.5), (9, 10)) for each in (5.0, ranges))
    assert_allclose(as_map, number, atol=0.01 * number.max())
    ranges = np.linspace(4.0, 40.0, 90).reshape(9, 10)
    whole = Matern(ranges, 2.0, 0.5, boundary="dirichlet")
    part = whole.cropped(slice(2, 9), slice(0, 10))
    Q, P = whole.stencil((9, 10)), part.stencil((7, 10))
    assert_allclose(Q.plane(0)[5:], P.plane(0)[3:], rtol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 1e-25, 0.3])
@every
def test_conditioned_field_is_that_of_the_dense_covariance(name, noise):
    model = FRACTIONAL[name]
    C, rng = covariance_of(model, SHAPE), np.random.default_rng(4)
    y, missing = rng.standard_normal(SHAPE), rng.random(SHAPE) < 0.4
    o = ~missing.ravel()
    found = condition(model.gmrf(SHAPE, mean=0.5), y, mask=missing, noise_variance=noise)
    gain = C[:, o] @ np.linalg.inv(C[np.ix_(o, o)] + noise * np.eye(o.sum()))
    left = C - gain @ C[o]
    assert_allclose(found.mean.ravel(), 0.5 + gain @ (y.ravel()[o] - 0.5), atol=1e-9)
    assert_allclose(found.marginal_variance().ravel(), np.diagonal(left), atol=1e-9)
    x = found.sample(rng=0)
    if noise == 0.0:
        assert_allclose(x[~missing], y[~missing], atol=1e-12)
        assert not found.domain[~missing].any()
        left = left[np.ix_(~o, ~o)]
        expected = reference.log_density(x[missing], found.mean[missing], np.linalg.inv(left))
        assert found.logpdf(x) == pytest.approx(expected, rel=1e-8)


def test_field_conditioned_twice_is_that_of_both():
    model, rng = Matern(4.0, 1.0, 0.5, anisotropy=(2.0, 0.4)), np.random.default_rng(5)
    y, first, second = rng.standard_normal(SHAPE), rng.random(SHAPE) < 0.6, rng.random(SHAPE) < 0.6
    field = model.gmrf(SHAPE)
    one = condition(condition(field, y, mask=first, noise_variance=0.0), y, mask=second | ~first, noise_variance=0.2)
    both = condition(field, y, mask=first & second, noise_variance=np.where(first, 0.2, 0.0))
    assert_allclose(one.mean, both.mean, atol=1e-10)
    assert_allclose(one.marginal_variance(), both.marginal_variance(), atol=1e-10)


def test_what_needs_a_sparse_precision_says_what_there_is():
    field = Matern(5.0, nu=0.5).gmrf(SHAPE, method="dissection")
    for call in (lambda: field.precision, field.tocsr, lambda: field.whiten(np.zeros(SHAPE))):
        with pytest.raises(StencilError, match=r"^precision must be sparse"):
            call()
    assert field.given.inner.lattice.channels == 3


def test_diagnosis_of_a_fit_finds_nothing_wrong():
    image = Matern(5.0, 1.5, 0.5).gmrf((20, 22)).sample(rng=0) + 0.3 * np.random.default_rng(1).normal(size=(20, 22))
    for noise in (0.09, None):
        found = diagnose(fit(Matern(5.0, 1.5, 0.5), image, noise_variance=noise, fixed=["range", "sigma"]), rng=2)
        assert found.residual < 1e-10
        assert abs(found.variance_ratio_z) < 4.0


def test_blurred_image_of_it_is_sharpened_as_the_dense_one():
    model, kernel = Matern(4.0, 1.5, 0.5), np.array([[0.0, 0.2, 0.0], [0.1, 0.4, 0.1], [0.0, 0.2, 0.0]])
    B, C = PointSpread(kernel).tocsr(SHAPE).toarray(), covariance_of(model, SHAPE)
    y = np.random.default_rng(6).standard_normal(SHAPE)
    found = condition(model.gmrf(SHAPE, mean=0.5), y, noise_variance=0.1, operator=kernel)
    gain = C @ B.T @ np.linalg.inv(B @ C @ B.T + 0.1 * np.eye(y.size))
    assert_allclose(found.mean.ravel(), 0.5 + gain @ (y.ravel() - B @ np.full(y.size, 0.5)), atol=1e-9)
    assert_allclose(found.marginal_variance().ravel(), np.diagonal(C - gain @ B @ C), atol=1e-9)
    w = np.full(SHAPE, 1.0 / y.size)
    assert variance_of(found, w) == pytest.approx(w.ravel() @ (C - gain @ B @ C) @ w.ravel(), rel=1e-8)


def test_nu_is_estimated_and_covered_by_its_interval():
    image = Matern(6.0, 2.0, 0.7).gmrf((40, 44)).sample(rng=1)
    found = fit(Matern(nu="estimate"), image, noise_variance=None)
    assert found.converged
    low, high = found.confidence_intervals()["nu"]
    assert low < 0.7 < high
    assert 0.0 < found.standard_errors["nu"] < 0.5
    held = fit(Matern(nu=found.parameters["nu"]), image, noise_variance=None)
    assert held.loglik == pytest.approx(found.loglik, abs=1e-6)
    for nu in (0.4, 1.2):
        assert fit(Matern(nu=nu), image, noise_variance=None).loglik < found.loglik


def test_gaps_are_filled_with_the_exponential_covariance():
    image = Matern(8.0, 2.0, 0.5).gmrf((24, 30)).sample(rng=2)
    image[8:13, 10:18] = np.nan
    found = fill(image, model=Matern(6.0, nu=0.5), fixed=["range", "sigma"], noise_variance=0.01, n_samples=2, rng=0)
    assert np.isfinite(found.std).all()
    assert found.samples.shape == (2, 24, 30)
    assert found.std[10, 13] > found.std[2, 2]


def test_largest_frequency_is_that_of_the_lattice():
    assert largest_frequency(0.01) == pytest.approx(30.0 + 800.0)
