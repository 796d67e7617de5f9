"""Covariates by name, factors, and covariates that are not known where nothing is observed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import factor, fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import diagnose
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import CAR, Intrinsic, Matern, Sum, TensionSpline
from tests.conftest import require
from tests.inference import dense
from tests.inference.law import covariance_of

SHAPE = (8, 9)
RNG = np.random.default_rng(0)
ONE = np.ones(SHAPE)
HEIGHT = RNG.normal(size=SHAPE) + 300.0
SOIL = RNG.random(SHAPE)
TREATMENT = RNG.choice(np.array(["A", "B", "C"]), SHAPE)
IS = {level: np.equal(TREATMENT, level).astype(float) for level in "ABC"}
IMAGE = RNG.normal(size=SHAPE) + 2.0 * IS["B"] + 0.5 * HEIGHT
MODEL = Matern(range=3.0, sigma=1.0)
OPTIONS = {"spacing": None, "noise_variance": 0.3, "fixed": ["range", "sigma"]}


def same(found, expected, names):
    """The same fit, its coefficients under other names."""
    assert list(found.coefficients) == names
    assert found.loglik == pytest.approx(expected.loglik, abs=1e-9)
    assert_allclose(list(found.coefficients.values()), list(expected.coefficients.values()), rtol=1e-9)
    assert_allclose(found.coefficient_covariance, expected.coefficient_covariance, rtol=1e-9)
    assert_allclose(found.predict().std, expected.predict().std, rtol=1e-9)


def test_dict_of_images_comes_with_a_constant():
    expected = fit(MODEL, IMAGE, covariates=[ONE, HEIGHT, SOIL], **OPTIONS)
    names = ["constant", "height", "soil"]
    same(fit(MODEL, IMAGE, covariates={"height": HEIGHT, "soil": SOIL}, **OPTIONS), expected, names)
    same(fit(MODEL, IMAGE, covariates=["constant", {"height": HEIGHT, "soil": SOIL}], **OPTIONS), expected, names)
    same(fit(MODEL, IMAGE, covariates=[{"height": HEIGHT}, {"soil": SOIL}], **OPTIONS), expected, names)
    own = {"level": ONE, "height": HEIGHT, "soil": SOIL}
    same(fit(MODEL, IMAGE, covariates=own, **OPTIONS), expected, list(own))
    bare = fit(MODEL, IMAGE, covariates=[HEIGHT, SOIL], **OPTIONS)
    for given in ({"constant": None, "height": HEIGHT, "soil": SOIL}, [None, {"height": HEIGHT, "soil": SOIL}]):
        same(fit(MODEL, IMAGE, covariates=given, **OPTIONS), bare, ["height", "soil"])
    assert list(fit(MODEL, IMAGE, covariates={}, **OPTIONS).coefficients) == ["constant"]


def test_names_stand_in_summary_intervals_and_contrasts():
    result = fit(MODEL, IMAGE, covariates={"height above the sea": HEIGHT, "soil": SOIL}, **OPTIONS)
    lines = result.summary().splitlines()
    (row,) = [line for line in lines if line.lstrip().startswith("height above the sea")]
    assert float(row.split()[-2]) == pytest.approx(result.coefficients["height above the sea"], rel=1e-5)
    (head,) = [line for line in lines if "std. error" in line]
    assert len(head) == len(row)
    assert "soil" in result.confidence_intervals()
    assert result.contrast({"soil": 1.0}).names == ("soil",)


def test_words_and_images_are_joined_by_a_list():
    rows, columns = np.mgrid[:8, :9].astype(float)
    expected = fit(MODEL, IMAGE, covariates=[ONE, rows - 3.5, columns - 4.0, SOIL, HEIGHT], **OPTIONS)
    found = fit(MODEL, IMAGE, covariates=["linear", {"soil": SOIL}, HEIGHT], **OPTIONS)
    same(found, expected, ["constant", "row", "column", "soil", "covariate 1"])
    stack = fit(MODEL, IMAGE, covariates=["linear", np.array([SOIL, HEIGHT])], **OPTIONS)
    same(stack, expected, ["constant", "row", "column", "covariate 0", "covariate 1"])


@pytest.mark.parametrize(
    ("contrasts", "names", "columns"),
    [
        ("treatment", ["treatment[B]", "treatment[C]"], [IS["B"], IS["C"]]),
        ("sum", ["treatment[A]", "treatment[B]"], [IS["A"] - IS["C"], IS["B"] - IS["C"]]),
    ],
)
def test_factor_is_coded_by_contrasts(contrasts, names, columns):
    expected = fit(MODEL, IMAGE, covariates=[ONE, *columns, SOIL], **OPTIONS)
    given = factor("treatment", TREATMENT, contrasts)
    same(fit(MODEL, IMAGE, covariates=[given, {"soil": SOIL}], **OPTIONS), expected, ["constant", *names, "soil"])
    same(
        fit(MODEL, IMAGE, covariates={"treatment": given, "soil": SOIL}, **OPTIONS),
        expected,
        ["constant", *names, "soil"],
    )


def test_text_is_a_factor_and_numbers_are_not():
    expected = fit(MODEL, IMAGE, covariates=[ONE, IS["B"], IS["C"]], **OPTIONS)
    names = ["constant", "t[B]", "t[C]"]
    for text in (TREATMENT, TREATMENT.astype(object), TREATMENT.tolist()):
        same(fit(MODEL, IMAGE, covariates={"t": text}, **OPTIONS), expected, names)
    codes = (TREATMENT == "B") + 2 * (TREATMENT == "C")
    by_number = fit(MODEL, IMAGE, covariates=factor("t", codes), **OPTIONS)
    same(by_number, expected, ["constant", "t[1]", "t[2]"])
    by_float = fit(MODEL, IMAGE, covariates=factor("t", codes.astype(float)), **OPTIONS)
    same(by_float, expected, ["constant", "t[1]", "t[2]"])
    same(
        fit(MODEL, IMAGE, covariates={"t": codes}, **OPTIONS),
        fit(MODEL, IMAGE, covariates=[ONE, codes], **OPTIONS),
        ["constant", "t"],
    )
    same(
        fit(MODEL, IMAGE, covariates={"is b": IS["B"] > 0.0}, **OPTIONS),
        fit(MODEL, IMAGE, covariates=[ONE, IS["B"]], **OPTIONS),
        ["constant", "is b"],
    )


def test_levels_have_the_order_given_and_every_one_a_column_without_a_constant():
    other = fit(MODEL, IMAGE, covariates=[ONE, IS["A"], IS["B"]], **OPTIONS)
    same(
        fit(MODEL, IMAGE, covariates=factor("t", TREATMENT, levels="CAB"), **OPTIONS),
        other,
        ["constant", "t[A]", "t[B]"],
    )
    means = fit(MODEL, IMAGE, covariates=list(IS.values()), **OPTIONS)
    given = [None, factor("t", TREATMENT), factor("block", np.repeat([[1], [2]], 4, axis=0) * np.ones((1, 9), int))]
    found = fit(MODEL, IMAGE, covariates=given[:2], **OPTIONS)
    same(found, means, ["t[A]", "t[B]", "t[C]"])
    assert list(fit(MODEL, IMAGE, covariates=given, **OPTIONS).coefficients) == ["t[A]", "t[B]", "t[C]", "block[2]"]


@pytest.mark.parametrize("model", [Intrinsic(), TensionSpline()])
def test_level_of_named_covariates_belongs_to_a_field_that_has_one(model):
    held = {"noise_variance": 0.3, "fixed": list(model.parameters)}
    expected = fit(model, IMAGE, covariates=[ONE, IS["B"], IS["C"]], **held)
    same(fit(model, IMAGE, covariates={"t": TREATMENT}, **held), expected, ["t[B]", "t[C]"])


def test_xarray_names_covariates_and_is_brought_to_the_axes_of_the_image():
    xarray = require("xarray")
    coords = {"lat": np.linspace(60.0, 53.0, 8), "lon": np.arange(9.0), "time": 3}
    image = xarray.DataArray(IMAGE, dims=("lat", "lon"), coords=coords)
    height, soil = (image.copy(data=each).rename(name) for each, name in ((HEIGHT, "height"), (SOIL, "soil")))
    both = xarray.Dataset({"height": height, "soil": soil.transpose(), "crs": 0})
    joined = xarray.concat([height, soil], xarray.DataArray(["height", "soil"], dims="k", name="k")).rename(None)
    expected = fit(MODEL, IMAGE, covariates={"height": HEIGHT, "soil": SOIL}, **OPTIONS)
    names = ["constant", "height", "soil"]
    for given in (
        both,
        joined,
        joined.transpose("lon", "k", "lat"),
        [height, soil.transpose()],
        {"height": height, "soil": SOIL},
    ):
        same(fit(MODEL, image, covariates=given, **OPTIONS), expected, names)
        filled = fill(image, model=MODEL, covariates=given, **OPTIONS)
        same(filled.fit, expected, names)
        assert_allclose(filled.mean.values, expected.predict().mean, rtol=1e-10)
    treatment = image.copy(data=TREATMENT).rename("t")
    by_label = fit(
        MODEL, image, covariates=[treatment.transpose(), factor("block", (soil > 0.5).transpose())], **OPTIONS
    )
    plain = fit(MODEL, IMAGE, covariates=[ONE, IS["B"], IS["C"], SOIL > 0.5], **OPTIONS)
    same(by_label, plain, ["constant", "t[B]", "t[C]", "block[True]"])
    with pytest.raises(ArgumentError, match=r"^covariates\['height'\] must have the image's coordinates along lat"):
        fit(MODEL, image, covariates=both.assign_coords(lat=coords["lat"] + 1.0), **OPTIONS)


def test_table_has_a_row_for_each_pixel_or_says_where_it_is():
    pandas = require("pandas")
    expected = fit(MODEL, IMAGE, covariates={"height": HEIGHT, "t": TREATMENT}, **OPTIONS)
    names = ["constant", "height", "t[B]", "t[C]"]
    table = pandas.DataFrame({"height": HEIGHT.ravel(), "t": TREATMENT.ravel()})
    same(fit(MODEL, IMAGE, covariates=table, **OPTIONS), expected, names)
    categories = table.assign(t=pandas.Categorical(table["t"], categories=["D", "C", "A", "B"]))
    other = fit(MODEL, IMAGE, covariates={"height": HEIGHT, "t": factor("t", TREATMENT, levels="CAB")}, **OPTIONS)
    same(fit(MODEL, IMAGE, covariates=categories, **OPTIONS), other, ["constant", "height", "t[A]", "t[B]"])
    rows, columns = np.mgrid[1:9, 101:110]
    placed = table.assign(row=rows.ravel(), column=columns.ravel()).sample(frac=1.0, random_state=0)
    same(fit(MODEL, IMAGE, covariates=placed.set_index(["row", "column"]), **OPTIONS), expected, names)
    with pytest.raises(ArgumentError, match=r"^covariates must have a row for each of the 8 x 9 pixels.* got 71 rows"):
        fit(MODEL, IMAGE, covariates=table[1:], **OPTIONS)
    with pytest.raises(ArgumentError, match=r"^covariates must have one row for each pixel"):
        fit(MODEL, IMAGE, covariates=pandas.concat([placed, placed[:1]]).set_index(["row", "column"]), **OPTIONS)
    with pytest.raises(
        ArgumentError, match=r"^covariates must have an index with 8 different values for its rows, got 7"
    ):
        fit(MODEL, IMAGE, covariates=placed[placed["row"] > 1].set_index(["row", "column"]), **OPTIONS)


class Columns:
    """The least that is a table."""

    columns = ("height", "t")

    def __getitem__(self, name):
        return {"height": HEIGHT, "t": TREATMENT}[name].ravel()

    def __len__(self):
        return HEIGHT.size


def test_table_of_any_library_is_read_by_its_columns():
    expected = fit(MODEL, IMAGE, covariates={"height": HEIGHT, "t": TREATMENT}, **OPTIONS)
    same(fit(MODEL, IMAGE, covariates=Columns(), **OPTIONS), expected, ["constant", "height", "t[B]", "t[C]"])


def test_table_of_an_xarray_image_is_matched_by_its_coordinates():
    xarray = require("xarray")
    coords = {"lat": np.linspace(60.0, 53.0, 8), "lon": np.arange(9.0)}
    image = xarray.DataArray(IMAGE, dims=("lat", "lon"), coords=coords, name="yield")
    expected = fit(MODEL, IMAGE, covariates={"height": HEIGHT}, **OPTIONS)
    table = image.copy(data=HEIGHT).rename("height").to_dataframe().sample(frac=1.0, random_state=1)
    for given in (table, table.swaplevel()):
        same(fit(MODEL, image, covariates=given, **OPTIONS), expected, ["constant", "height"])
    with pytest.raises(ArgumentError, match=r"^covariates must have the image's coordinates along lon"):
        fit(MODEL, image, covariates=table.rename(index={0.0: 77.0}, level="lon"), **OPTIONS)


MISSING = np.random.default_rng(3).random(SHAPE) < 0.3
UNKNOWN = MISSING & (np.random.default_rng(4).random(SHAPE) < 0.5)
KNOWN_HEIGHT = np.where(UNKNOWN, np.nan, HEIGHT)
KNOWN_TREATMENT = np.where(UNKNOWN, None, TREATMENT.astype(object))
GAPPY = np.where(MISSING, np.nan, IMAGE)


FIELDS = {
    "matern": (MODEL, 0.3),
    "matern, exact": (MODEL, None),
    "car": (CAR(rho=0.2), 0.3),
    "random walk": (Intrinsic(), 0.3),
    "random walk, exact": (Intrinsic(), None),
    "sum": (Sum([Matern(range=2.0), Intrinsic()]), 0.3),
}


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("name", FIELDS)
def test_covariates_unknown_at_missing_pixels_change_nothing_elsewhere_and_leave_nan_there(name, method):
    model, noise = FIELDS[name]
    options = {"noise_variance": noise, "fixed": list(model.parameters), "method": method}
    plain = fit(model, GAPPY, covariates={"height": HEIGHT, "t": TREATMENT}, **options)
    found = fit(model, GAPPY, covariates={"height": KNOWN_HEIGHT, "t": KNOWN_TREATMENT}, **options)
    assert found.loglik == pytest.approx(plain.loglik, abs=1e-8)
    assert_allclose(list(found.coefficients.values()), list(plain.coefficients.values()), rtol=1e-8)
    assert_allclose(found.coefficient_covariance, plain.coefficient_covariance, rtol=1e-7)
    held = ~MISSING & (np.arange(9) == 2)
    for a, b in (
        (found.predict(n_samples=2, rng=0), plain.predict(n_samples=2, rng=0)),
        (found.predict(held), plain.predict(held)),
    ):
        for part in ("mean", "std", "predictive_std", "samples"):
            value, expected = getattr(a, part), getattr(b, part)
            assert np.isnan(value[..., UNKNOWN]).all()
            if part != "samples":  # which are draws of other pixels, too
                assert_allclose(value[~UNKNOWN], expected[~UNKNOWN], rtol=1e-7)
            assert np.isfinite(value[..., ~UNKNOWN]).all()
    assert np.isnan(found.trend[UNKNOWN]).all()
    assert_allclose(found.trend[~UNKNOWN], plain.trend[~UNKNOWN], rtol=1e-8)
    weights = np.array([~UNKNOWN / 10.0, ONE, UNKNOWN])
    of_found, of_plain = found.functional(weights), plain.functional(weights)
    assert np.isnan(of_found.estimate[1:]).all()
    assert np.isnan(of_found.standard_error[1:]).all()
    assert of_found.estimate[0] == pytest.approx(of_plain.estimate[0], rel=1e-8)
    assert of_found.standard_error[0] == pytest.approx(of_plain.standard_error[0], rel=1e-8)
    for refused in (found.posterior, found.gmrf):
        with pytest.raises(
            ArgumentError, match=rf"^covariates must be known at every pixel .* got {UNKNOWN.sum()} pixels"
        ):
            refused()


def test_fill_leaves_gaps_without_covariates():
    result = fill(GAPPY, model=MODEL, covariates={"height": KNOWN_HEIGHT}, n_samples=1, rng=0, **OPTIONS)
    for name in ("mean", "std", "filled", "predictive_std"):
        assert_array_equal(np.isnan(getattr(result, name)), UNKNOWN)
    assert_array_equal(result.filled[~MISSING], IMAGE[~MISSING])


def test_null_space_is_left_out_of_covariates_that_are_unknown_at_missing_pixels():
    rows = np.mgrid[:8, :9][0].astype(float)
    model = Intrinsic(2)
    held = {"noise_variance": 0.3, "fixed": list(model.parameters)}
    found = fit(model, GAPPY, covariates=[np.where(UNKNOWN, np.nan, each) for each in (ONE, rows, SOIL)], **held)
    plain = fit(model, GAPPY, covariates=[ONE, rows, SOIL], **held)
    assert list(found.coefficients) == list(plain.coefficients) == ["covariate 2"]
    assert found.loglik == pytest.approx(plain.loglik, abs=1e-8)


def test_constant_that_is_unknown_at_missing_pixels_is_one():
    found = fit(MODEL, GAPPY, covariates={"level": np.where(UNKNOWN, np.nan, ONE), "height": HEIGHT}, **OPTIONS)
    assert list(found.coefficients) == ["level", "height"]


def test_unknown_covariates_of_counts_leave_nan():
    y = np.random.default_rng(5).poisson(4.0, SHAPE)
    options = {"mask": MISSING, "likelihood": Poisson(), "fixed": ["range", "sigma"]}
    plain = fit(MODEL, y, covariates={"soil": SOIL}, **options)
    found = fit(MODEL, y, covariates={"soil": np.where(UNKNOWN, np.nan, SOIL)}, **options)
    assert found.loglik == pytest.approx(plain.loglik, abs=1e-7)
    for name in ("mean", "std"):
        value, expected = getattr(found.predict(), name), getattr(plain.predict(), name)
        assert np.isnan(value[UNKNOWN]).all()
        assert_allclose(value[~UNKNOWN], expected[~UNKNOWN], rtol=1e-4)
    with pytest.raises(ArgumentError, match=r"^covariates must be known at every pixel"):
        found.posterior()


def test_fits_with_unknown_covariates_are_diagnosed():
    found = diagnose(fit(MODEL, GAPPY, covariates={"height": KNOWN_HEIGHT}, **OPTIONS), rng=0)
    assert found.residual < 1e-10


def test_masked_covariates_are_unknown_where_they_are_masked():
    masked = np.ma.masked_array(HEIGHT, UNKNOWN)
    expected = fit(MODEL, GAPPY, covariates={"height": KNOWN_HEIGHT}, **OPTIONS)
    same_names = fit(MODEL, GAPPY, covariates={"height": masked}, **OPTIONS)
    assert same_names.loglik == expected.loglik
    plain = fit(MODEL, GAPPY, covariates=[ONE, masked], **OPTIONS)
    assert plain.loglik == expected.loglik
    assert_array_equal(np.isnan(plain.trend), UNKNOWN)
    labels = np.ma.masked_array(TREATMENT, UNKNOWN)
    expected = fit(MODEL, GAPPY, covariates={"t": KNOWN_TREATMENT}, **OPTIONS)
    for covariates in (factor("t", labels), {"t": labels}):
        by_label = fit(MODEL, GAPPY, covariates=covariates, **OPTIONS)
        assert by_label.loglik == expected.loglik
        assert_array_equal(np.isnan(by_label.trend), UNKNOWN)
    with pytest.raises(ArgumentError, match=r"^covariates must be finite where .* got none or NaN at 10 "):
        fit(MODEL, IMAGE, covariates=factor("t", labels), **OPTIONS)


def test_factor_means_are_those_of_dense_generalized_least_squares():
    o = np.flatnonzero(~MISSING)
    X = np.column_stack([ONE.ravel(), IS["B"].ravel(), IS["C"].ravel(), HEIGHT.ravel()])
    C = covariance_of(MODEL, SHAPE)[np.ix_(o, o)] + 0.3 * np.eye(len(o))
    beta, covariance = dense.generalized_least_squares(IMAGE.ravel()[o], C, X[o])
    result = fit(MODEL, GAPPY, covariates={"t": KNOWN_TREATMENT, "height": KNOWN_HEIGHT}, **OPTIONS)
    assert_allclose(list(result.coefficients.values()), beta, rtol=1e-8)
    assert_allclose(result.coefficient_covariance, covariance, rtol=1e-8)


@pytest.mark.parametrize(
    ("covariates", "match"),
    [
        (
            {"height": np.where(TREATMENT == "A", np.nan, HEIGHT)},
            r"^covariates must be finite where a pixel is observed, .* in height",
        ),
        (
            {"t": np.where(TREATMENT == "A", None, TREATMENT)},
            r"^covariates must be finite where a pixel is observed, .* in t\[C\]",
        ),
        (
            {"height": np.where(MISSING, np.inf, HEIGHT)},
            r"^covariates must be finite, got an infinite value of height at",
        ),
        ({"height": HEIGHT.T}, r"^covariates\['height'\] must have the shape of the image \(8, 9\), got \(9, 8\)"),
        ({"height": 3.0}, r"^covariates\['height'\] must have the shape of the image"),
        ({"range": HEIGHT}, r"^covariates must not be called as a parameter of the fit, got range"),
        ({"noise_variance": HEIGHT}, r"^covariates must not be called as a parameter of the fit, got noise_variance"),
        (["linear", {"row": HEIGHT}], r"^covariates must have different names, got 'row' twice"),
        ([{"a": HEIGHT}, {"a": SOIL}], r"^covariates must have different names, got 'a' twice"),
        (["linear", None], r"^covariates must not have both None"),
        (["quadratic", {"a": SOIL}], r"^covariates must be one of 'constant', 'linear', got 'quadratic'"),
        (
            {"t": np.where(MISSING, "unseen", TREATMENT)},
            r"^covariates must have an observed pixel at every level of t, got none at unseen",
        ),
        ({"t": np.full(SHAPE, "A")}, r"^labels of t must have at least two levels, got A"),
        ({"when": np.full(SHAPE, np.datetime64("2020-01-01"))}, r"^covariates\['when'\] must hold real numbers"),
        ({"a": SOIL, "b": 2.0 * SOIL + 1.0}, r"^covariates must be linearly independent .* got constant, a, b"),
    ],
)
def test_covariates_that_make_no_trend_are_refused_by_name(covariates, match):
    with pytest.raises(ArgumentError, match=match):
        fit(MODEL, GAPPY, covariates=covariates, **OPTIONS)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("", TREATMENT), r"^name must be a text"),
        (("t", TREATMENT, "helmert"), r"^contrasts must be one of 'treatment', 'sum'"),
        (("t", TREATMENT.ravel()), r"^labels must have shape \(H, W\)"),
    ],
)
def test_what_makes_no_factor_is_refused(arguments, match):
    with pytest.raises(ArgumentError, match=match):
        factor(*arguments)
    with pytest.raises(ArgumentError, match=r"^labels of t must be among its levels A, B, got 'C'"):
        factor("t", TREATMENT, levels="AB")
    with pytest.raises(ArgumentError, match=r"^levels of t must be different"):
        factor("t", TREATMENT, levels="ABCA")


def test_factor_shows_its_levels():
    assert repr(factor("t", TREATMENT, "sum")) == "factor('t', levels=['A', 'B', 'C'], contrasts='sum')"


def test_arguments_are_not_changed():
    given = {"height": KNOWN_HEIGHT.copy(), "t": KNOWN_TREATMENT.copy()}
    fit(MODEL, GAPPY, covariates=given, **OPTIONS)
    assert list(given) == ["height", "t"]
    assert_array_equal(given["height"], KNOWN_HEIGHT)
    assert_array_equal(given["t"], KNOWN_TREATMENT)
