"""Means of a trend at values of its covariates: against dense generalized least squares on a grid written out."""

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import factor, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import Contrast
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import Intrinsic, Matern, Sum
from tests.inference import dense
from tests.inference.law import covariance_of

SHAPE = (8, 9)
RNG = np.random.default_rng(0)
MODEL = Matern(range=3.0, sigma=1.0)
DEPTH = RNG.normal(50.0, 5.0, SHAPE)
TREATMENT = RNG.choice(np.array(["A", "B", "C"]), SHAPE, p=[0.6, 0.2, 0.2])
BLOCK = np.repeat([[1], [2]], 4, axis=0) * np.ones((1, 9), dtype=int)
MISSING = RNG.random(SHAPE) < 0.2
IMAGE = np.where(MISSING, np.nan, RNG.normal(size=SHAPE) + 0.1 * DEPTH + np.equal(TREATMENT, "B"))
OPTIONS = {"noise_variance": 0.3, "fixed": ["range", "sigma"]}
SEEN = np.flatnonzero(~MISSING)


def least_squares():
    """Coefficients of a level, depth, treatments B and C, and block 2, with their covariance."""
    columns = [np.ones(SHAPE), DEPTH, np.equal(TREATMENT, "B"), np.equal(TREATMENT, "C"), np.equal(BLOCK, 2)]
    X = np.array(columns, dtype=float).reshape(5, -1).T[SEEN]
    C = covariance_of(MODEL, SHAPE)[np.ix_(SEEN, SEEN)] + 0.3 * np.eye(len(SEEN))
    return dense.generalized_least_squares(IMAGE.ravel()[SEEN], C, X)


@pytest.fixture(params=["treatment", "sum"])
def result(request):
    terms = [factor("treatment", TREATMENT, request.param), factor("block", BLOCK, request.param)]
    return fit(MODEL, IMAGE, covariates=[{"depth": DEPTH}, *terms], **OPTIONS)


def check(found, names, rows):
    beta, covariance = least_squares()
    rows = np.array(rows, dtype=float)
    assert found.names == tuple(names)
    assert_allclose(found.estimate, rows @ beta, rtol=1e-8)
    assert_allclose(found.covariance, rows @ covariance @ rows.T, rtol=1e-8, atol=1e-10)


def test_means_of_a_factor_are_at_the_mean_of_numbers_and_over_other_factors(result):
    depth = DEPTH.ravel()[SEEN].mean()
    names = ["treatment=A", "treatment=B", "treatment=C"]
    check(result.marginal_means("treatment"), names, [[1, depth, b, c, 0.5] for b, c in ((0, 0), (1, 0), (0, 1))])
    check(result.marginal_means(), ["mean"], [[1, depth, 1 / 3, 1 / 3, 0.5]])
    check(
        result.marginal_means(["block", "treatment"]),
        [f"block={i}, {name}" for i in (1, 2) for name in names],
        [[1, depth, b, c, i] for i in (0, 1) for b, c in ((0, 0), (1, 0), (0, 1))],
    )


def test_values_of_covariates_are_where_they_are_asked_for(result):
    found = result.marginal_means("block", at={"depth": [40.0, 60.0], "treatment": "C"})
    names = [f"block={i}, depth={depth}, treatment=C" for i in (1, 2) for depth in (40, 60)]
    check(found, names, [[1, depth, 0, 1, i] for i in (0, 1) for depth in (40, 60)])
    check(result.marginal_means(at={"depth": 0}), ["depth=0"], [[1, 0, 1 / 3, 1 / 3, 0.5]])
    check(
        result.marginal_means("treatment", at={"treatment": ["C", "A"]}),
        ["treatment=C", "treatment=A"],
        [[1, DEPTH.ravel()[SEEN].mean(), 0, c, 0.5] for c in (1, 0)],
    )


def test_differences_of_means_are_contrasts(result):
    means = result.marginal_means("treatment")
    found = means.pairwise()
    assert isinstance(found, Contrast)
    check(
        found,
        ["treatment=A - treatment=B", "treatment=A - treatment=C", "treatment=B - treatment=C"],
        [[0, 0, -1, 0, 0], [0, 0, 0, -1, 0], [0, 0, 1, -1, 0]],
    )
    beta, covariance = least_squares()
    square = beta[2:4] @ np.linalg.solve(covariance[2:4, 2:4], beta[2:4])
    test = found.wald_test()
    assert test.df == 2
    assert test.statistic == pytest.approx(square, rel=1e-7)
    assert test.p_value == pytest.approx(scipy.stats.chi2.sf(square, 2), rel=1e-7)
    named = means.contrast({"B and C against A": {"treatment=B": 0.5, "treatment=C": 0.5, "treatment=A": -1.0}})
    check(named, ["B and C against A"], [[0, 0, 0.5, 0.5, 0]])


def test_number_unknown_where_nothing_is_observed_has_the_mean_of_what_is():
    plain = fit(MODEL, IMAGE, covariates={"depth": DEPTH}, **OPTIONS).marginal_means()
    depth = np.where(MISSING, np.nan, DEPTH)
    found = fit(MODEL, IMAGE, covariates={"depth": depth}, **OPTIONS).marginal_means()
    assert found.estimate == pytest.approx(plain.estimate, rel=1e-9)
    assert found.standard_error == pytest.approx(plain.standard_error, rel=1e-8)


def test_means_of_several_images_count_a_pixel_as_often_as_it_is_observed():
    images = np.array([IMAGE, np.where(DEPTH > 50.0, np.nan, IMAGE)])
    result = fit(MODEL, images, covariates={"depth": DEPTH}, **OPTIONS)
    depth = np.mean([*DEPTH[~np.isnan(images[0])], *DEPTH[~np.isnan(images[1])]])
    found, at = result.marginal_means(), result.marginal_means(at={"depth": depth})
    assert_allclose(found.estimate, at.estimate, rtol=1e-12)
    assert_allclose(found.covariance, at.covariance, rtol=1e-9)


def test_means_of_words_and_of_arrays_are_those_of_their_coefficients():
    result = fit(MODEL, IMAGE, covariates="linear", **OPTIONS)
    found = result.marginal_means(at={"row": [0.0, 2.0], "column": 0.0})
    b = result.coefficients
    assert_allclose(found.estimate, [b["constant"], b["constant"] + 2.0 * b["row"]], rtol=1e-10)
    result = fit(MODEL, IMAGE, covariates=[np.ones(SHAPE), DEPTH], **OPTIONS)
    found = result.marginal_means(at={"covariate 1": 50.0})
    assert found.estimate[0] == pytest.approx(np.dot([1.0, 50.0], list(result.coefficients.values())), rel=1e-10)


def test_means_of_counts_are_on_the_scale_of_the_linear_predictor():
    y = np.random.default_rng(1).poisson(3.0, SHAPE)
    result = fit(MODEL, y, covariates={"t": TREATMENT}, likelihood=Poisson(), fixed=["range", "sigma"])
    found = result.marginal_means("t")
    X = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    assert_allclose(found.estimate, X @ list(result.coefficients.values()), rtol=1e-9)
    assert_allclose(found.covariance, X @ result.coefficient_covariance @ X.T, rtol=1e-9)


@pytest.mark.parametrize("model", [Intrinsic(), Sum([Matern(2.0), Intrinsic()])])
def test_means_of_a_field_with_a_level_of_its_own_are_refused(model):
    result = fit(model, IMAGE, covariates={"t": TREATMENT}, noise_variance=0.3, fixed=list(model.parameters))
    with pytest.raises(ArgumentError, match=r"^model must have no level of its own for means of the trend"):
        result.marginal_means("t")
    assert result.contrast({"t[B]": 1.0}).estimate.shape == (1,)


@pytest.mark.parametrize(
    ("by", "at", "match"),
    [
        ("variety", {}, r"^by and at must name covariates of the trend, which has constant, depth, treatment, block"),
        ("depth", {}, r"^by must name factors, got depth, which is a number; give values of it by at="),
        ((), {"treatment": "D"}, r"^at must have levels of treatment, A, B, C, got 'D'"),
        ((), {"depth": "deep"}, r"^at\['depth'\] must hold real numbers"),
        ((), {"depth": []}, r"^at must have a number or a list of numbers for depth"),
        ((), {"depth": np.nan}, r"^at\['depth'\] must be finite"),
    ],
)
def test_means_at_what_is_no_covariate_are_refused(result, by, at, match):
    with pytest.raises(ArgumentError, match=match):
        result.marginal_means(by, at=at)


def test_means_without_covariates_are_refused():
    with pytest.raises(ArgumentError, match=r"^covariates must be there for means of the trend"):
        fit(MODEL, IMAGE, covariates=None, **OPTIONS).marginal_means()


def test_contrasts_of_functionals_that_are_known_or_not_told():
    gappy = np.where(MISSING, np.nan, DEPTH)
    result = fit(
        MODEL,
        np.where(MISSING, np.nan, IMAGE),
        covariates={"depth": gappy},
        noise_variance=None,
        fixed=["range", "sigma"],
    )
    first, second = SEEN[:2]
    pixels = np.zeros((4, 72))
    pixels[0, first] = pixels[1, second] = pixels[2, np.flatnonzero(MISSING)[0]] = 1.0
    pixels[3, first] = 2.0
    found = result.functional(pixels.reshape(4, *SHAPE))
    assert_array_equal(np.isnan(found.estimate), [False, False, True, False])
    contrasts = found.contrast([[1.0, -1.0, 0.0, 0.0], [1.0, 0.0, -1.0, 0.0], [2.0, 0.0, 0.0, -1.0]])
    assert contrasts.estimate[0] == pytest.approx(IMAGE.flat[first] - IMAGE.flat[second], rel=1e-12)
    assert_array_equal(np.isnan(contrasts.estimate), [False, True, False])
    assert contrasts.standard_error[0] == 0.0
    assert np.isinf(contrasts.z[0])
    assert np.isnan(contrasts.wald_test().p_value)
    known = found.contrast([1.0, -1.0, 0.0, 0.0]).wald_test()
    assert (known.statistic, known.p_value) == (np.inf, 0.0)
    assert np.isnan(found.contrast([2.0, 0.0, 0.0, -1.0]).wald_test().p_value)
