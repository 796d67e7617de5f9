"""What the observed pixels must tell, what is known without estimating, and levels of fields of long ranges."""

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import condition, fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import CAR, SAR, Intrinsic, Matern, Sum, TensionSpline
from tests.inference import dense

SHAPE = (12, 14)
EVERY = {
    "spline": TensionSpline(0.4),
    "proper spline": TensionSpline(0.4, proper=1e-6),
    "random walk": Intrinsic(),
    "Matern": Matern(),
    "CAR": CAR(0.2),
    "SAR": SAR(0.2),
    "sum": Sum([Matern(range=3.0), Intrinsic()], ["fine", "coarse"]),
}


def last_row():
    image = np.full(SHAPE, np.nan)
    image[-1] = np.linspace(0.0, 3.0, 14) + 0.2 * np.random.default_rng(0).normal(size=14)
    return image


def held(model):
    return {"noise_variance": 0.04, "fixed": list(model.parameters)}


@pytest.mark.parametrize("name", EVERY)
def test_slope_that_no_pixel_tells_is_refused_with_a_remedy(name):
    image = last_row()
    for method in (
        lambda **o: fill(image, model=EVERY[name], **o),
        lambda **o: fit(EVERY[name], image, mask="nan", **o),
    ):
        with pytest.raises(ArgumentError, match=r'linearly independent on the observed pixels.*covariates="constant"'):
            method(covariates="linear", **held(EVERY[name]))
    assert np.isfinite(fill(image, model=EVERY[name], covariates="constant", **held(EVERY[name])).std).all()


def test_slope_is_refused_by_the_default_model_and_where_all_is_estimated():
    for options in ({}, {"noise_variance": 0.04}, {"model": Matern()}):
        with pytest.raises(ArgumentError, match='give covariates="constant"'):
            fill(last_row(), **options)


@pytest.mark.parametrize("name", ["spline", "random walk", "Matern", "sum"])
def test_pixels_along_a_diagonal_do_not_tell_both_slopes(name):
    image = np.full(SHAPE, np.nan)
    image[range(12), range(12)] = np.random.default_rng(0).normal(size=12)
    with pytest.raises(ArgumentError, match='give covariates="constant"'):
        fill(image, model=EVERY[name], **held(EVERY[name]))


def test_covariate_of_ones_own_that_is_constant_where_observed_is_refused():
    own = np.stack([np.ones(SHAPE), np.arange(12.0)[:, np.newaxis] * np.ones(14)])
    for name, columns in (("Matern", own), ("spline", own[1:]), ("spline", own)):
        with pytest.raises(ArgumentError, match="leave one out"):
            fit(EVERY[name], last_row(), mask="nan", covariates=columns, **held(EVERY[name]))


@pytest.mark.parametrize("column", [0, 5])
def test_one_more_pixel_brings_the_slope_back_with_its_uncertainty(column):
    image = last_row()
    image[0, column] = 1.0
    model = EVERY["spline"]
    result = fill(image, model=model, **held(model))
    assert set(result.fit.coefficients) == {"row", "column"}
    # Field and trend as one normal law: a level without a variance, slopes of a large one.
    n, o = image.size, ~np.isnan(image).ravel()
    K = dense.contrasts(np.ones((n, 1)))
    C = K @ np.linalg.solve(K.T @ model.stencil(SHAPE).tocsr().toarray() @ K, K.T)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    X = np.stack([np.ones(n), rows.ravel(), columns.ravel()], axis=1)
    V = C[np.ix_(o, o)] + 0.04 * np.eye(o.sum())
    beta, of_beta = dense.generalized_least_squares(image.ravel()[o], V, X[o])
    gain = np.linalg.solve(V, C[o]).T
    left = X - gain @ X[o]
    variance = np.diagonal(C - gain @ C[o] + left @ of_beta @ left.T).reshape(SHAPE)
    assert_allclose(result.std, np.sqrt(variance), rtol=1e-8)
    assert_allclose(result.mean.ravel(), X @ beta + gain @ (image.ravel()[o] - X[o] @ beta), rtol=1e-8)
    assert_allclose(list(result.fit.coefficients.values()), beta[1:], rtol=1e-8)
    if column == 0:
        assert result.std[0].max() == pytest.approx(3.71, abs=5e-3)


def test_one_pixel_is_the_level_of_a_random_walk():
    image = np.full((3, 4), np.nan)
    image[1, 2] = 3.2
    for options in ({"covariates": None}, {"covariates": "constant"}):
        result = fill(image, model=Intrinsic(), noise_variance=None, fixed="tau", **options)
        assert_array_equal(result.mean, 3.2)
        assert_array_equal(result.filled, 3.2)
        expected = condition(Intrinsic().gmrf((3, 4)), image, mask="nan", noise_variance=0.0)
        assert_allclose(result.std**2, expected.marginal_variance(), rtol=1e-10, atol=1e-12)
    noisy = fill(image, model=Intrinsic(), noise_variance=0.5, fixed="tau", covariates=None)
    assert_allclose(noisy.mean, 3.2, rtol=1e-12)
    assert_allclose(noisy.std**2, expected.marginal_variance() + 0.5, rtol=1e-9)


def test_one_pixel_under_independent_fields():
    result = fill(np.array([[2.0, np.nan]]), model=CAR(0.0), noise_variance=1.0, covariates=None, fixed=["rho", "tau"])
    assert_allclose(result.mean, [[1.0, 0.0]], atol=1e-15)
    assert_allclose(result.std, [[np.sqrt(0.5), 1.0]], rtol=1e-12)
    assert_allclose(result.predictive_std, [[np.sqrt(1.5), np.sqrt(2.0)]], rtol=1e-12)
    assert_array_equal(result.filled, [[2.0, result.mean[0, 1]]])


def test_one_pixel_with_a_level_is_its_level():
    result = fill(
        np.array([[2.0, np.nan]]), model=CAR(0.0), noise_variance=1.0, covariates="constant", fixed=["rho", "tau"]
    )
    assert_allclose(result.mean, 2.0, rtol=1e-12)
    assert_allclose(result.std, [[1.0, np.sqrt(3.0)]], rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 1.0, -1e6])
@pytest.mark.parametrize("noise", [0.1, None])
def test_constant_image_has_the_normal_density(value, noise):
    model, y = CAR(0.1), np.full(30, value)
    C = np.linalg.inv(model.stencil((5, 6)).tocsr().toarray()) + (noise or 0.0) * np.eye(30)
    found = fit(model, y.reshape(5, 6), noise_variance=noise, covariates=None, fixed=["rho", "tau"])
    assert found.loglik == pytest.approx(dense.log_density(y, C), rel=1e-12)
    assert found.converged
    level = fit(model, y.reshape(5, 6), noise_variance=noise, covariates="constant", fixed=["rho", "tau"])
    assert level.loglik == pytest.approx(dense.log_density(0.0 * y, C), rel=1e-12)
    assert level.coefficients["constant"] == pytest.approx(value, rel=1e-12, abs=1e-12)


def test_zeros_of_independent_standard_normals():
    found = fit(CAR(0.0), np.zeros((100, 100)), noise_variance=None, covariates=None, fixed=["rho", "tau"])
    assert found.loglik == pytest.approx(-5000.0 * np.log(2.0 * np.pi), rel=1e-14)


@pytest.mark.parametrize("covariates", [None, "constant", "linear"])
@pytest.mark.parametrize("noise", [None, 0.1])
def test_plane_is_filled_by_the_plane(noise, covariates):
    rows, columns = np.mgrid[:20, :30].astype(float)
    plane = 2.0 + 0.3 * rows - 0.7 * columns
    image = plane.copy()
    image[5:12, 8:20] = np.nan
    result = fill(image, model=Intrinsic(2), noise_variance=noise, fixed="tau", covariates=covariates)
    assert_allclose(result.mean, plane, atol=1e-11)
    assert result.fit.coefficients == {}


@pytest.mark.parametrize("image", [np.ones((5, 6)), np.mgrid[:5, :6][1] * 0.5, np.full((5, 6), 1e9)])
def test_estimating_from_an_image_without_variation_is_refused_with_the_ways_out(image):
    for model in (CAR(0.1), Intrinsic(), Matern()):
        for noise in ("estimate", None, 0.1):
            with pytest.raises(
                ArgumentError, match=r"image must vary.*fixed= and give noise_variance=, or use condition"
            ):
                fit(model, image, noise_variance=noise, covariates="linear")


def rational(array):
    return np.vectorize(Fraction, otypes=[object])(array)


def solved(A, B):
    """``A^-1 B`` and ``det A`` of rational numbers, exactly."""
    n = len(A)
    rows, determinant = np.concatenate([A, B], axis=1), Fraction(1)
    for k in range(n):
        determinant *= rows[k, k]
        rows[k] = rows[k] / rows[k, k]
        for i in range(n):
            if i != k:
                rows[i] = rows[i] - rows[i, k] * rows[k]
    return rows[:, n:], determinant


def long_range(nu, range_, sigma, noise, image):
    """Level and its error, mean and deviation of pixels and log-density, in rational numbers; the trend is a constant.

    What the model multiplies constants by, ``t^2 kappa^(2 nu + 2)``, is known to its digits, as is everything in it.
    """
    n, kappa2, seen = image.size, Fraction(8 * nu) / Fraction(range_) ** 2, np.flatnonzero(~np.isnan(image))
    width = image.shape[1]
    G = np.zeros((n, n), dtype=int)
    for p, q in [(p, p + 1) for p in range(n) if (p + 1) % width] + [(p, p + width) for p in range(n - width)]:
        G[[p, q], [p, q]] += 1
        G[[p, q], [q, p]] -= 1
    K = rational(G) + kappa2 * rational(np.eye(n, dtype=int))
    Q = Fraction(float(Matern(range=range_, sigma=sigma, nu=nu).gmrf(image.shape).given.eigenvalues.flat[0]))
    Q = Q / kappa2 ** (nu + 1) * np.linalg.matrix_power(K, nu + 1)
    C = solved(Q, rational(np.eye(n, dtype=int)))[0]
    across, y = C[:, seen], rational(image.flat[seen])
    V = C[np.ix_(seen, seen)] + Fraction(noise) * rational(np.eye(len(seen), dtype=int))
    one = rational(np.ones(len(seen), dtype=int))
    found, determinant = solved(V, np.column_stack([one, y, across.T]))
    known = one @ found[:, 0]
    level = one @ found[:, 1] / known
    rest = found[:, 1] - level * found[:, 0]
    mean = level + across @ rest
    left = 1 - across @ found[:, 0]
    variance = np.diagonal(C - across @ found[:, 2:]) + left**2 / known
    logdet = math.log(determinant.numerator) - math.log(determinant.denominator)
    loglik = -0.5 * (len(seen) * math.log(2.0 * math.pi) + logdet + float((y - level) @ rest))
    images = mean.astype(float).reshape(image.shape), np.sqrt(variance.astype(float)).reshape(image.shape)
    return float(level), math.sqrt(1 / known), *images, loglik


@pytest.mark.parametrize(
    ("nu", "range_", "sigma", "level", "error"),
    [
        (1, 1e4, 2e3, 1.528114, 8862268.0),
        (1, 1e5, 2e4, 1.528114, 886226924.0),
        (2, 1e3, 1e3, None, None),
        (2, 5e3, 1e2, None, None),
        (3, 200.0, 1e3, 1.500171, 88621.0),
        (3, 500.0, 1e3, 1.500001, 221556.0),
    ],
)
def test_level_of_a_long_range_and_its_error_have_their_digits(nu, range_, sigma, level, error):
    image = np.array([[1.0, 2.0, np.nan, 2.5], [0.0, np.nan, 1.5, 2.0]])
    exact, exact_error, mean, std, loglik = long_range(nu, range_, sigma, 0.1, image)
    if level is not None:
        assert exact == pytest.approx(level, abs=1e-6)
        assert exact_error == pytest.approx(error, rel=1e-5)
    model = Matern(range=range_, sigma=sigma, nu=nu)
    result = fill(image, model=model, noise_variance=0.1, covariates="constant", fixed=["range", "sigma"])
    assert result.fit.coefficients["constant"] == pytest.approx(exact, rel=1e-9)
    assert result.fit.coefficient_errors["constant"] == pytest.approx(exact_error, rel=1e-9)
    assert_allclose(result.mean, mean, rtol=1e-9)
    assert_allclose(result.std, std, rtol=1e-7)
    assert result.fit.loglik == pytest.approx(loglik, abs=1e-7)


@pytest.mark.parametrize(("nu", "range_"), [(1, 5e4), (1, 1e6), (2, 5e3), (3, 500.0)])
@pytest.mark.parametrize("covariates", ["constant", "linear"])
@pytest.mark.parametrize("noise", [0.1, None])
def test_images_are_filled_at_long_ranges_as_far_as_digits_go(nu, range_, covariates, noise):
    rng = np.random.default_rng(0)
    image = 5.0 + rng.normal(size=(20, 22)).cumsum(0).cumsum(1) / 20 + 0.3 * rng.normal(size=(20, 22))
    image[6:11, 7:13] = np.nan
    sigmas = np.array([range_ / 5.0, range_ / 2.5])
    results = [
        fill(
            image,
            model=Matern(range=r, sigma=s, nu=nu),
            noise_variance=noise,
            covariates=covariates,
            fixed=["range", "sigma"],
        )
        for r, s in zip(np.array([1.0, 2.0]) * range_, sigmas * 2.0 ** np.array([0, nu - 1]), strict=True)
    ]
    for result in results:
        assert np.isfinite(result.mean).all()
        assert np.isfinite(result.std).all()
        assert (result.std[6:11, 7:13] > 0.0).all()
        assert abs(result.mean.mean() - np.nanmean(image)) < 2.0
    # sigma / range^nu held, the field within the image is nearly the same one; its level alone becomes less known.
    assert_allclose(results[1].mean, results[0].mean, atol=2e-3)
    assert_allclose(results[1].std, results[0].std, rtol=5e-3, atol=1e-9)


def test_messages_name_the_argument_that_was_given():
    y = np.random.default_rng(0).normal(size=(5, 6))
    bad = {
        "noise_variance must not be negative, got -1": -1.0,
        "noise_variance must be finite": np.full(y.shape, np.nan),
        r"noise_variance must be a number or an image of shape \(5, 6\), got \(6,\)": np.ones(6),
        "noise_variance must hold real numbers": 1j,
        'noise_variance must be "estimate"': "guess",
    }
    for message, noise in bad.items():
        for call in (
            lambda noise=noise: fit(CAR(), y, noise_variance=noise),
            lambda noise=noise: fill(y, noise_variance=noise),
        ):
            with pytest.raises(ArgumentError, match="^" + message):
                call()


def test_null_space_that_is_not_observed_is_told_of_the_image():
    image = np.full((5, 6), np.nan)
    image[0, :2] = 1.0, 2.0
    for options in ({}, {"mask": np.isnan(image)}, {"noise_variance": 0.1, "covariates": None, "fixed": "tau"}):
        with pytest.raises(ArgumentError, match=r"^image must have enough observed pixels to fix the 3 null vectors"):
            fill(image, model=Intrinsic(2), **options)
