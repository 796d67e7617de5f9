"""Area means, differences and contrasts, with the uncertainty of the trend: against dense universal kriging."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fields import variance_of
from sparsegmrf.likelihoods import Binomial, Gaussian, Poisson
from sparsegmrf.models import CAR, Intrinsic, Matern, Sum, TensionSpline
from tests.conftest import require
from tests.inference import dense, dense_counts
from tests.inference.law import Law, drawn, trend_of

SHAPE = (9, 11)
MODELS = {
    "matern": Matern(range=4.0, sigma=1.3),
    "car": CAR(rho=0.2, tau=2.0),
    "random walk": Intrinsic(tau=2.0),
    "spline": TensionSpline(kappa=0.5, tau=2.0),
    "sum": Sum([Matern(range=2.0, sigma=0.5), Intrinsic(tau=3.0)], labels=["fine", "coarse"]),
}
NOISE = 0.3
RNG = np.random.default_rng(1)
SEEN = RNG.random(SHAPE) > 0.25
WEIGHTS = np.array(
    [
        np.full(SHAPE, 1.0 / 99.0),
        np.where(SEEN, 0.0, 1.0),
        np.where(np.arange(11) < 5, 1.0 / 45.0, -1.0 / 54.0) * np.ones(SHAPE),
        RNG.normal(size=SHAPE),
    ]
)
FLAT = WEIGHTS.reshape(4, -1)


def fitted(model, image, covariates="linear", noise=NOISE, **options):
    """Fit with everything held, on pixels, whatever the coordinates say of their size."""
    held = list(model.parameters)
    return fit(model, image, covariates=covariates, noise_variance=noise, fixed=held, spacing=None, **options)


@pytest.mark.parametrize("kind", [None, "constant", "linear"])
@pytest.mark.parametrize("name", MODELS)
def test_functionals_are_those_of_dense_universal_kriging(name, kind):
    model = MODELS[name]
    image = drawn(model, SHAPE, kind, NOISE)
    mean, covariance = Law(model, SHAPE).prediction(image, SEEN, NOISE, kind)
    found = fitted(model, np.where(SEEN, image, np.nan), kind).functional(WEIGHTS)
    assert_allclose(found.estimate, FLAT @ mean, rtol=1e-8, atol=1e-8)
    assert_allclose(found.covariance, FLAT @ covariance @ FLAT.T, rtol=1e-8, atol=1e-8)
    assert_allclose(found.standard_error, np.sqrt(np.diagonal(FLAT @ covariance @ FLAT.T)), rtol=1e-8)


@pytest.mark.parametrize("gaps", [True, False])
def test_functionals_of_exact_pixels_are_known_up_to_the_gaps(gaps):
    model = MODELS["matern"]
    image = drawn(model, SHAPE, "linear", 0.0)
    seen = SEEN if gaps else np.ones(SHAPE, dtype=bool)
    mean, covariance = Law(model, SHAPE).prediction(image, seen, 0.0, "linear")
    found = fitted(model, np.where(seen, image, np.nan), noise=None).functional(WEIGHTS)
    assert_allclose(found.estimate, FLAT @ mean, rtol=1e-8, atol=1e-8)
    assert_allclose(found.covariance, FLAT @ covariance @ FLAT.T, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_pixel_has_the_mean_and_deviation_of_predict_and_more_than_the_posterior(name):
    model = MODELS[name]
    image = np.where(SEEN, drawn(model, SHAPE, "linear", NOISE), np.nan)
    result, pixel = fitted(model, image), np.zeros(SHAPE)
    pixel[3, 7] = 1.0
    found, predicted = result.functional(pixel), result.predict()
    assert isinstance(found.estimate, float)
    assert isinstance(found.standard_error, float)
    assert found.estimate == pytest.approx(predicted.mean[3, 7], rel=1e-10)
    assert found.standard_error == pytest.approx(predicted.std[3, 7], rel=1e-8)
    filled = fill(image, model=model, fixed=list(model.parameters), noise_variance=NOISE)
    assert filled.std[3, 7] == pytest.approx(found.standard_error, rel=1e-8)
    assert filled.functional(pixel).standard_error == pytest.approx(found.standard_error, rel=1e-8)
    if name != "sum":
        given_trend = variance_of(result.posterior(), pixel)
        assert given_trend == pytest.approx(result.posterior().marginal_variance()[3, 7], rel=1e-8)
        assert given_trend < (1.0 - 1e-5) * found.standard_error**2


@pytest.mark.parametrize("level", [1e6, 1e9])
def test_differences_do_not_lose_digits_to_a_level(level):
    model = MODELS["matern"]
    image = np.where(SEEN, drawn(model, SHAPE, "linear", NOISE), np.nan)
    difference = WEIGHTS[2]
    plain, moved = (fitted(model, each).functional(difference) for each in (image, image + level))
    # Data of this level come in steps of 2^-24 at most: their differences are exact to that.
    assert moved.estimate == pytest.approx(plain.estimate, abs=level * 3e-16)
    assert moved.standard_error == pytest.approx(plain.standard_error, rel=1e-9)


def stack(model, count=3):
    rng = np.random.default_rng(3)
    images = np.array([drawn(model, SHAPE, "linear", NOISE, seed) for seed in range(count)])
    return images, rng.random((count, *SHAPE)) > 0.3


def stacked_kriging(model, images, seen):
    """Mean ``(R n,)`` and covariance of all pixels of all images: independent fields, one trend."""
    count, n = len(images), images[0].size
    covariance = scipy.linalg.block_diag(*[Law(model, SHAPE).covariance] * count)
    X = np.tile(trend_of("linear", SHAPE), (count, 1))
    o, y = np.flatnonzero(seen), images.ravel()
    C = covariance[np.ix_(o, o)] + NOISE * np.eye(len(o))
    beta, of_beta = dense.generalized_least_squares(y[o], C, X[o])
    gain = np.linalg.solve(C, covariance[o]).T
    left = X - gain @ X[o]
    assert covariance.shape == (count * n, count * n)
    return X @ beta + gain @ (y[o] - X[o] @ beta), covariance - gain @ covariance[o] + left @ of_beta @ left.T


@pytest.mark.parametrize("name", ["matern", "car"])
def test_several_images_share_the_uncertainty_of_the_trend(name):
    model = MODELS[name]
    images, seen = stack(model)
    mean, covariance = stacked_kriging(model, images, seen)
    result = fitted(model, np.where(seen, images, np.nan))
    W = scipy.linalg.block_diag(*[FLAT] * 3)
    each = result.functional(WEIGHTS)
    assert each.estimate.shape == each.standard_error.shape == (3, 4)
    assert_allclose(each.estimate.ravel(), W @ mean, rtol=1e-8, atol=1e-8)
    assert_allclose(each.covariance, W @ covariance @ W.T, rtol=1e-8, atol=1e-9)
    one = result.functional(WEIGHTS[0])
    assert one.estimate.shape == (3,)
    assert_allclose(one.estimate, each.estimate[:, 0], rtol=1e-12)
    together = np.random.default_rng(4).normal(size=(2, 3, *SHAPE))
    together[1, 1] = 0.0
    found = result.functional(together)
    W = together.reshape(2, -1)
    assert_allclose(found.estimate, W @ mean, rtol=1e-8, atol=1e-8)
    assert_allclose(found.covariance, W @ covariance @ W.T, rtol=1e-8)


@pytest.mark.parametrize(("kind", "likelihood"), [("poisson", Poisson), ("binomial", Binomial)])
@pytest.mark.parametrize("name", ["matern", "spline"])
def test_functionals_of_counts_are_those_of_the_dense_laplace_approximation(name, kind, likelihood):
    model, rng = MODELS[name], np.random.default_rng(5)
    eta = Matern(range=4.0, sigma=0.7).gmrf(SHAPE).sample(rng=rng) + 0.5
    size = np.full(SHAPE, 3.0)
    y = rng.poisson(size * np.exp(eta)) if kind == "poisson" else rng.binomial(3, 1.0 / (1.0 + np.exp(-eta)))
    result = fit(model, y, mask=~SEEN, covariates="linear", likelihood=likelihood(3.0), fixed=list(model.parameters))
    X = trend_of("linear", SHAPE)[:, -len(result.coefficients) :]
    Q = model.stencil(SHAPE).tocsr().toarray()
    beta = np.array(list(result.coefficients.values()))
    mode, P = dense_counts.mode(Q, X @ beta, kind, y.ravel(), size.ravel(), SEEN.ravel())
    left = np.linalg.solve(P, Q @ X)
    covariance = np.linalg.inv(P) + left @ result.coefficient_covariance @ left.T
    found, predicted = result.functional(WEIGHTS), result.predict(n_samples=4000, rng=0)
    assert_allclose(found.estimate, FLAT @ mode, rtol=1e-8, atol=1e-8)
    assert_allclose(found.covariance, FLAT @ covariance @ FLAT.T, rtol=1e-8, atol=1e-9)
    assert_allclose(predicted.variance.ravel(), np.diagonal(covariance), rtol=1e-8)
    # A mean of squares of 4000 normal numbers is off by more than 6 of its deviations 0.0224 once in 1e9.
    sums = np.tensordot(predicted.samples - predicted.mean, WEIGHTS, ([1, 2], [1, 2]))
    assert_allclose(np.mean(sums**2, axis=0) / np.diagonal(found.covariance), 1.0, atol=0.135)


def test_intervals_and_table_are_normal_and_named():
    result = fitted(MODELS["matern"], drawn(MODELS["matern"], SHAPE, "linear", NOISE))
    found = result.functional({"all": WEIGHTS[0], "west minus east": WEIGHTS[2]})
    assert found.names == ("all", "west minus east")
    low, high = found.interval(0.9)
    half = scipy.stats.norm.ppf(0.95) * found.standard_error
    assert_allclose([low, high], [found.estimate - half, found.estimate + half], rtol=1e-12)
    first, *rows = repr(found).splitlines()
    assert first == "LinearEstimate"
    assert rows[0].split() == ["estimate", "std.", "error", "2.5%", "97.5%"]
    assert [row.split()[0] for row in rows[1:]] == ["all", "west"]
    assert float(rows[1].split()[1]) == pytest.approx(found.estimate[0], rel=1e-5)
    with pytest.raises(ArgumentError, match=r"^level must lie between 0 and 1"):
        found.interval(95)


def test_labelled_weights_are_brought_to_the_axes_of_the_image():
    xarray = require("xarray")
    values = np.where(SEEN, drawn(MODELS["matern"], SHAPE, "linear", NOISE), np.nan)
    coords = {"lat": np.linspace(60.0, 50.0, 9), "lon": np.linspace(0.0, 5.0, 11), "time": 3}
    image = xarray.DataArray(values, dims=("lat", "lon"), coords=coords)
    weights = xarray.DataArray(WEIGHTS, dims=("region", "lat", "lon"), coords={**coords, "region": list("abcd")})
    plain = fitted(MODELS["matern"], values).functional(WEIGHTS)
    options = {"model": MODELS["matern"], "noise_variance": NOISE, "fixed": ["range", "sigma"], "spacing": None}
    for result in (fitted(MODELS["matern"], image), fill(image, **options), fill(image, **options).fit):
        for given in (weights, weights.transpose("lon", "region", "lat"), weights.to_dataset(dim="region")):
            found = result.functional(given)
            assert found.names == tuple("abcd")
            assert_array_equal(found.estimate, plain.estimate)
            assert_array_equal(found.covariance, plain.covariance)
        with pytest.raises(ArgumentError, match=r"^weights must have the image's coordinates along lat"):
            result.functional(weights.assign_coords(lat=coords["lat"] + 1.0))
        with pytest.raises(ArgumentError, match=r"^weights must have the dimensions of the image"):
            result.functional(weights.rename(lat="y"))


def test_labelled_weights_are_brought_to_the_axes_of_several_images():
    xarray = require("xarray")
    images, seen = stack(MODELS["matern"])
    coords = {"time": [1, 2, 3], "lat": np.linspace(60.0, 50.0, 9), "lon": np.linspace(0.0, 5.0, 11)}
    image = xarray.DataArray(np.where(seen, images, np.nan), dims=("time", "lat", "lon"), coords=coords)
    together = np.random.default_rng(4).normal(size=(3, 3, *SHAPE))
    weights = xarray.DataArray(together, dims=("region", *coords), coords={**coords, "region": list("abc")})
    plain, result = fitted(MODELS["matern"], image.values), fitted(MODELS["matern"], image)
    expected = plain.functional(together)
    for given in (weights, weights.transpose("lon", "time", "lat", "region"), weights.to_dataset(dim="region")):
        found = result.functional(given)
        assert found.names == tuple("abc")
        assert_allclose(found.estimate, expected.estimate, rtol=1e-13)
    one = result.functional(weights[1].transpose())
    assert one.estimate == pytest.approx(expected.estimate[1], rel=1e-13)
    assert one.standard_error == pytest.approx(expected.standard_error[1], rel=1e-12)
    each = result.functional(weights[0, 0].transpose())
    assert_allclose(each.estimate, plain.functional(together[0, 0]).estimate, rtol=1e-13)
    with pytest.raises(ArgumentError, match=r"^weights must have the image's coordinates along time"):
        result.functional(weights.assign_coords(time=[2, 3, 4]))
    mask = xarray.DataArray(~seen, dims=tuple(coords), coords=coords)
    whole = image.copy(data=images)
    for missing in (mask, mask.transpose()):
        assert fitted(MODELS["matern"], whole, mask=missing).loglik == plain.loglik
    with pytest.raises(
        ArgumentError, match=r"^covariates\['z'\] must be the same for all images, got one with .* time"
    ):
        fitted(MODELS["matern"], image, {"z": whole})


def test_labelled_mask_and_noise_of_a_fit_are_brought_to_the_axes_of_the_image():
    xarray = require("xarray")
    shape = (9, 9)
    values = drawn(MODELS["matern"], shape, "linear", NOISE)
    mask = np.random.default_rng(6).random(shape) < 0.3
    noise = np.random.default_rng(7).uniform(0.1, 0.5, shape)
    image, missing, variances = (xarray.DataArray(each, dims=("y", "x")) for each in (values, mask, noise))
    plain = fitted(MODELS["matern"], values, mask=mask, noise=noise)
    found = fitted(MODELS["matern"], image, mask=missing.T, noise=variances.T)
    assert found.loglik == plain.loglik
    held = {"mask": mask, "fixed": ["range", "sigma"]}
    by_value = fit(MODELS["matern"], image, likelihood=Gaussian(variances.T), **held)
    assert by_value.loglik == fit(MODELS["matern"], values, likelihood=Gaussian(noise), **held).loglik
    counts = np.random.default_rng(8).poisson(5.0, shape)
    expected = fit(MODELS["matern"], counts, likelihood=Poisson(noise), **held)
    assert (
        fit(MODELS["matern"], image.copy(data=counts), likelihood=Poisson(variances.T), **held).loglik
        == expected.loglik
    )


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (np.ones((2, 11, 9)), r"^weights must have shape \(9, 11\) or \(K, 9, 11\), got \(2, 11, 9\)"),
        (np.ones(99), r"^weights must have shape"),
        (np.ones((0, 9, 11)), r"^weights must have shape"),
        (1.0, r"^weights must have shape"),
        ({}, r"^weights must have shape"),
        ({"a": np.ones((9, 11)), "b": np.ones(3)}, r"^weights must be a rectangular array"),
        (np.where(SEEN, 1.0, np.nan), r"^weights must be finite"),
        (np.ones((1, 2, 9, 11)), r"^weights must have shape"),
    ],
)
def test_weights_that_are_no_images_are_refused(weights, match):
    result = fitted(MODELS["matern"], drawn(MODELS["matern"], SHAPE, "linear", NOISE))
    with pytest.raises(ArgumentError, match=match):
        result.functional(weights)


def coefficients(model, image, kind):
    law, o = Law(model, SHAPE), np.flatnonzero(SEEN)
    X = np.hstack([law.free, law.covariates(kind)])
    covariance = law.covariance + np.diagonal(law.covariance).mean() * law.free @ law.free.T
    C = covariance[np.ix_(o, o)] + NOISE * np.eye(len(o))
    beta, of_beta = dense.generalized_least_squares(image.ravel()[o], C, X[o])
    r = law.free.shape[1]
    return beta[r:], of_beta[r:, r:]


@pytest.mark.parametrize("name", MODELS)
def test_contrasts_are_those_of_dense_generalized_least_squares(name):
    model = MODELS[name]
    image = drawn(model, SHAPE, "linear", NOISE)
    result = fitted(model, np.where(SEEN, image, np.nan))
    beta, covariance = coefficients(model, image, "linear")
    L = np.random.default_rng(8).normal(size=(2, len(beta)))
    found = result.contrast(L)
    assert_allclose(found.estimate, L @ beta, rtol=1e-8, atol=1e-9)
    assert_allclose(found.covariance, L @ covariance @ L.T, rtol=1e-8)
    square = L @ beta @ np.linalg.solve(L @ covariance @ L.T, L @ beta)
    test = found.wald_test()
    assert test.statistic == pytest.approx(square, rel=1e-7)
    assert (test.df, test.denominator_df) == (2, np.inf)
    assert test.p_value == pytest.approx(scipy.stats.chi2.sf(square, 2), rel=1e-7)
    by_f = found.wald_test(denominator_df=40)
    assert by_f.statistic == pytest.approx(square / 2.0, rel=1e-7)
    assert by_f.p_value == pytest.approx(scipy.stats.f.sf(square / 2.0, 2, 40), rel=1e-7)
    assert_allclose(found.p_value, 2.0 * scipy.stats.norm.sf(np.abs(found.z)), rtol=1e-10)
    assert_allclose(found.z, found.estimate / found.standard_error, rtol=1e-12)


def test_contrasts_by_name_are_those_by_number():
    result = fitted(MODELS["matern"], drawn(MODELS["matern"], SHAPE, "linear", NOISE))
    expected = result.contrast([[0.0, 1.0, -1.0], [1.0, 0.0, 0.5]])
    assert expected.names == ("row - column", "constant + 0.5 column")
    rows = [{"row": 1, "column": -1}, {"constant": 1.0, "column": 0.5}]
    found = result.contrast(rows)
    assert found.names == expected.names
    assert_array_equal(found.covariance, expected.covariance)
    named = result.contrast(dict(zip(("difference", "level"), rows, strict=True)))
    assert named.names == ("difference", "level")
    assert_array_equal(named.estimate, expected.estimate)
    one = result.contrast({"row": -1})
    assert one.names == ("-row",)
    assert one.estimate.tolist() == [-result.coefficients["row"]]
    assert one.standard_error[0] == pytest.approx(result.coefficient_errors["row"], rel=1e-10)
    assert "p value" in repr(one)


def test_wald_test_counts_combinations_that_depend_on_each_other_once():
    result = fitted(MODELS["matern"], drawn(MODELS["matern"], SHAPE, "linear", NOISE))
    L = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1e-8], [0.0, 1.0, -1.0], [0.0, 2.0, 3.0]])
    all_of, two = result.contrast(L).wald_test(), result.contrast(L[:2]).wald_test()
    assert all_of.df == 2
    assert all_of.statistic == pytest.approx(two.statistic, rel=1e-9)


def test_contrasts_keep_their_digits_beside_the_level_of_a_covariate():
    image = drawn(MODELS["matern"], SHAPE, "linear", NOISE)
    rows = np.mgrid[:9, :11][0].astype(float)
    plain = fitted(MODELS["matern"], image, [np.ones(SHAPE), rows]).contrast([[1.0, 4.0]])
    moved = fitted(MODELS["matern"], image, [np.ones(SHAPE), rows + 1e8]).contrast([[1.0, 4.0 + 1e8]])
    assert_allclose(moved.estimate, plain.estimate, rtol=1e-7)
    assert_allclose(moved.covariance, plain.covariance, rtol=1e-7)


def test_contrasts_of_counts_are_those_of_the_coefficients():
    y = np.random.default_rng(9).poisson(3.0, SHAPE)
    result = fit(MODELS["matern"], y, covariates="linear", likelihood=Poisson(), fixed=["range", "sigma"])
    L = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 2.0]])
    found = result.contrast(L)
    assert_allclose(found.estimate, L @ list(result.coefficients.values()), rtol=1e-9)
    assert_allclose(found.covariance, L @ result.coefficient_covariance @ L.T, rtol=1e-9)


@pytest.mark.parametrize(
    ("L", "match"),
    [
        ({"slope": 1.0}, r"^L must name coefficients of the trend, constant, row, column, got 'slope'"),
        (np.eye(2), r"^L must have shape \(K, 3\)"),
        ([[0.0, 0.0, 0.0]], r"^L must have a weight that is not zero"),
        ({}, r"^L must have a weight that is not zero"),
        ([{"row": 1.0}, [0.0, 1.0, 0.0]], r"^L must be a list of dicts"),
        ({"row": "much"}, r"^L\['row'\] must"),
        ([[np.nan, 1.0, 0.0]], r"^L must be finite"),
        (np.ones((0, 3)), r"^L must have shape"),
    ],
)
def test_what_combines_no_coefficients_is_refused(L, match):
    result = fitted(MODELS["matern"], drawn(MODELS["matern"], SHAPE, "linear", NOISE))
    with pytest.raises(ArgumentError, match=match):
        result.contrast(L)


def test_contrasts_without_coefficients_are_refused():
    result = fitted(MODELS["random walk"], drawn(MODELS["random walk"], SHAPE, None, NOISE), "constant")
    with pytest.raises(ArgumentError, match=r"^L must combine coefficients of the trend, but there are none"):
        result.contrast([[1.0]])
