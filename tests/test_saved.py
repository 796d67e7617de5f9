"""Models and fits as JSON: what is read again is the same to the last digit, and nothing in a text is run."""

import base64
import dataclasses
import json

import numpy as np
import pytest

from sparsegmrf import CAR, Channels, Matern, Sum, TensionSpline, fit
from sparsegmrf.autoregression import CausalAR, CausalARFit
from sparsegmrf.ensembles import CholeskyField, CholeskyFit, SymmetricField, SymmetricFit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fitted import Fitted
from sparsegmrf.inference import (
    CountFitResult,
    FitResult,
    SavedFit,
)
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import Model
from sparsegmrf.pixels import PixelGaussian, PixelMixture
from sparsegmrf.priors import PCRange
from tests.models.catalogue import RANGE, SIGMA
from tests.models.test_pickle import MODELS

ODD = [1 / 3, -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2]


@dataclasses.dataclass(frozen=True, eq=False)
class Own(CAR):
    note: object = None
    numbers: object = None


def same(one, other):
    """Compare two values and what they hold bit by bit."""
    if dataclasses.is_dataclass(one):
        assert type(one) is type(other)
        for each in dataclasses.fields(one):
            if each.init:
                same(getattr(one, each.name), getattr(other, each.name))
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            same(one[name], other[name])
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        assert one.tobytes() == other.tobytes()
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            same(a, b)
    elif isinstance(one, float):
        assert np.float64(one).tobytes() == np.float64(other).tobytes()
    else:
        assert one == other


@pytest.fixture(scope="module")
def image():
    drawn = 5.0 + Matern(range=5.0).gmrf((20, 25)).sample(rng=0)
    drawn[3:8, 4:9] = np.nan
    return drawn


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_the_same_again(name):
    model = MODELS[name]
    text = model.to_json()
    again = type(model).from_json(text)
    same(model, again)
    assert again.to_json() == text
    assert json.loads(text)["kind"] == type(model).__name__
    if isinstance(model, Model):
        assert Model.from_json(text).parameters == model.parameters


@pytest.mark.parametrize("number", ODD)
def test_every_float_keeps_its_bits(number):
    model = Own(0.2, note={"at": number}, numbers=np.array([number]))
    again = Own.from_json(model.to_json())
    same(model.note, again.note)
    same(model.numbers, again.numbers)


@pytest.mark.parametrize(
    "array",
    [
        np.linspace(0.0, 1.0, 100).reshape(10, 10),
        np.array([[np.nan, np.inf], [-np.inf, -0.0]]),
        np.arange(6, dtype=np.int32).reshape(2, 3),
        np.array([2**63 - 1, -(2**63)]),
        np.zeros((0, 3)),
        np.array(0.1, dtype=np.float32),
        np.asfortranarray(np.arange(100.0).reshape(10, 10)),
        np.array([True, False]),
    ],
)
def test_arrays_keep_dtype_shape_and_bits(array):
    again = Own.from_json(Own(numbers=array).to_json()).numbers
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == array.tobytes()


def test_dicts_whose_keys_look_like_marks_are_dicts_again():
    given = {"kind": 1.0, "dtype": 2.0, "float": np.nan, "entries": {"float": 3.0}, "b": None}
    again = Own.from_json(Own(note=given).to_json()).note
    assert list(again) == list(given)
    assert again["entries"] == {"float": 3.0}
    assert np.isnan(again["float"])


def test_text_is_strict_json_and_arrays_can_be_read_without_the_package():
    text = Matern(range=np.tile(RANGE, (4, 4))).to_json()

    def refuse(constant):
        raise AssertionError(constant)

    record = json.loads(text, parse_constant=refuse)["range"]
    found = np.frombuffer(base64.b64decode(record["base64"]), "<f8").reshape(record["shape"])
    np.testing.assert_array_equal(found, np.tile(RANGE, (4, 4)))


def test_class_of_ones_own_goes_by_its_full_name_and_in_a_sum_too():
    text = Sum([Own(0.1), Matern(sigma=SIGMA)]).to_json()
    assert [each["kind"] for each in json.loads(text)["models"]] == ["tests.test_saved.Own", "Matern"]
    assert type(Sum.from_json(text).models[0]) is Own


def test_what_json_does_not_hold_is_refused_by_name():
    for value, what in ((object(), "a object"), (np.array([1j]), "an array of complex128"), (len, "a builtin")):
        with pytest.raises(ArgumentError, match=f"note of Own must be something that JSON holds, got {what}"):
            Own(note=value).to_json()


def test_fits_of_fields_are_saved_without_images(image):
    for found in (
        fit(Matern(), image),
        fit(Matern(), image, covariates="linear", method="reml"),
        fit(Matern(), image, priors={"range": PCRange(3.0, 0.1)}),
        fit(
            Sum([Matern(), Matern(2.0)]), image, fixed=("range_0", "range_1"), noise_variance=np.full(image.shape, 0.1)
        ),
        fit(TensionSpline(), np.stack([image, image[::-1]]), noise_variance=None),
    ):
        text = found.to_json()
        again = FitResult.from_json(text)
        assert isinstance(again, SavedFit)
        assert isinstance(again, Fitted)
        same(found.model, again.model)
        names = (
            "parameters standard_errors coefficients coefficient_errors coefficient_covariance noise_variance loglik"
        )
        names += " log_prior restricted_loglik n_observed n_parameters converged reason evaluations undetermined shape"
        for name in (*names.split(), "method"):
            if name == "noise_variance" and np.ndim(found.noise_variance):
                assert again.noise_variance is None
                continue
            same(getattr(found, name), getattr(again, name))
        same(found.confidence_intervals(), again.confidence_intervals())
        same(found.table(), again.table())
        assert found.summary() == again.summary()
        assert again.priors == tuple(found.priors)
        assert again.to_json() == SavedFit.from_json(text).to_json() == text
        assert len(text) < 20_000
        if found.priors:
            assert json.loads(text)["aic"] is None
            with pytest.raises(ArgumentError, match="aic compares maxima"):
                _ = again.aic
        else:
            assert (
                (again.aic, again.bic) == (found.aic, found.bic) == tuple(json.loads(text)[n] for n in ("aic", "bic"))
            )
        if set(found.coefficients) <= {"constant"}:
            assert again.gmrf().logdet == found.gmrf().logdet
            np.testing.assert_array_equal(again.gmrf().mean, found.gmrf().mean)
        else:
            with pytest.raises(ArgumentError, match="covariates constant, row, column must be given again"):
                again.gmrf()
        with pytest.raises(ArgumentError, match=r"level must be 0.95"):
            again.confidence_intervals(0.9)


def test_fits_to_counts_are_saved(image):
    counts = np.random.default_rng(0).poisson(np.exp(np.nan_to_num(image - 5.0)))
    found = fit(Matern(), counts, likelihood=Poisson(), fixed=("range",))
    again = CountFitResult.from_json(found.to_json())
    assert (again.kind, again.likelihood, again.noise_variance, again.cv_score) == (
        "CountFitResult",
        "poisson",
        None,
        None,
    )
    same(found.standard_errors, again.standard_errors)
    assert again.aic == found.aic
    with pytest.raises(ArgumentError, match="must hold a FitResult, got kind 'CountFitResult'"):
        FitResult.from_json(found.to_json())


def test_fits_by_cross_validation_have_no_criteria_and_nan_errors(image):
    found = fit(Matern(), image, method="cv", rng=0)
    again = FitResult.from_json(found.to_json())
    assert again.cv_score == found.cv_score
    same(found.standard_errors, again.standard_errors)
    with pytest.raises(ArgumentError, match="bic"):
        _ = again.bic


@pytest.mark.parametrize(
    ("cls", "fitted"),
    [
        (CausalARFit, lambda images: CausalAR.fit(images[0], "nshp", radius=1)),
        (CausalARFit, lambda images: CausalAR.fit(images[0], method="yule_walker")),
        (CausalARFit, lambda images: CausalAR.fit(images[0], [])),
        (CholeskyFit, lambda images: CholeskyField.fit(images, shrinkage=None)),
        (CholeskyFit, lambda images: CholeskyField.fit(images)),
        (SymmetricFit, lambda images: SymmetricField.fit(images, homogeneous=True)),
        (SymmetricFit, lambda images: SymmetricField.fit(images, shrinkage=0.2, mean=0.0)),
    ],
)
def test_fits_that_hold_no_images_are_the_same_again(cls, fitted):
    found = fitted(np.random.default_rng(0).standard_normal((20, 5, 6)))
    text = found.to_json()
    again = cls.from_json(text)
    same(found, again)
    assert again.summary() == found.summary()
    assert again.to_json() == text
    assert again.gmrf().logdet == found.gmrf().logdet


@pytest.mark.parametrize(
    "fitted",
    [
        lambda image: PixelGaussian().fit(image),
        lambda image: PixelGaussian(shrinkage="oas").fit(image, channel_axis=-1),
        lambda image: PixelGaussian.fit_robust(image),
        lambda image: PixelMixture(2).fit(image),
    ],
)
def test_densities_of_pixels_are_the_same_again(fitted):
    image = np.random.default_rng(0).normal(size=(12, 13, 3))
    found = fitted(image)
    again = type(found).from_json(found.to_json())
    np.testing.assert_array_equal(again.log_density_image(image), found.log_density_image(image))
    assert again.summary() == found.summary()
    assert again.get_params() == found.get_params()
    assert again.to_json() == found.to_json()
    if hasattr(found, "objective_"):
        assert again.objective_ == found.objective_


def test_density_that_is_not_fitted_is_not_fitted_again():
    again = PixelGaussian.from_json(PixelGaussian(ddof=1).to_json())
    assert again.ddof == 1
    assert not hasattr(again, "mean_")


def envelope(**record):
    return json.dumps({"format": "sparsegmrf", "version": 1, **record})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "text must be a str"),
        (b"{}", "text must be a str"),
        ("", "text must be JSON"),
        ("[" * 100_000, "text must be JSON"),
        ('{"format": NaN}', "NaN is not JSON"),
        ("[]", "without it"),
        ('{"model": "causal_ar"}', "without it"),
        (json.dumps({"format": "sparsegmrf", "kind": "CAR"}), "version must be 1, got None"),
        (json.dumps({"format": "sparsegmrf", "version": 2, "kind": "CAR"}), "version must be 1, got 2"),
        (json.dumps({"format": "sparsegmrf", "version": True, "kind": "CAR"}), "version must be 1, got True"),
        (envelope(), "kind must name"),
        (f'{envelope(kind="Matern")[:-1]}, "range": {"[" * 900}{"]" * 900}}}', "nested hundreds of times|JSON|range"),
        (envelope(kind=["CAR"]), "kind must name"),
        (envelope(kind="os.system"), "kind must be one that is known here, got 'os.system'"),
        (envelope(kind="Model"), "kind must be one that is known here, got 'Model'"),
        (envelope(kind="SavedFit"), "kind of a saved fit must be FitResult"),
        (envelope(kind="FitResult"), "lacks"),
        (
            envelope(kind="CausalAR", offsets=[], weights=[], sigma=1.0, mean=0.0),
            "must hold a Model, got kind 'CausalAR'",
        ),
        (envelope(kind="CAR", rho=0.2, colour="red"), "CAR must have the fields rho, tau, .*got colour"),
        (envelope(kind="Sum"), "Sum must have the fields models, .*but lacks"),
        (envelope(kind="Sum", models=[{"kind": "Nothing"}], labels=["a"], observation=[1.0]), "got 'Nothing'"),
        (envelope(kind="Sum", models=3, labels=["a"], observation=[1.0]), "Sum must have fields of their own types"),
        (envelope(kind="Matern", range=-1.0), "range must be positive"),
        (envelope(kind="Matern", range="far"), "range must hold real numbers"),
        (envelope(kind="Matern", range={"float": "inf"}), "range must be finite"),
        (envelope(kind="Matern", range={"float": "big"}), "float must be"),
        (envelope(kind="Matern", range={"dtype": "object", "shape": [1], "values": [1]}), "dtype of an array"),
        (envelope(kind="Matern", range={"dtype": ["float64"], "shape": [1], "values": [1]}), "dtype of an array"),
        (envelope(kind="Matern", range={"dtype": "float64", "shape": [-1], "values": [1]}), "shape of an array"),
        (envelope(kind="Matern", range={"dtype": "float64", "shape": [2], "values": [1]}), "array must have"),
        (envelope(kind="Matern", range={"dtype": "float64", "shape": [1], "values": ["a"]}), "array must have"),
        (envelope(kind="Matern", range={"dtype": "int64", "shape": [1], "values": [0.5]}), "array must have"),
        (envelope(kind="Matern", range={"dtype": "float64", "shape": [2], "base64": "AAAA"}), "array must have"),
        (envelope(kind="Matern", range={"dtype": "float64", "shape": [2], "base64": "?"}), "array must have"),
        (envelope(kind="Matern", range={"entries": [1]}), "entries must be pairs"),
    ],
)
def test_texts_that_are_none_are_refused_and_say_why(text, message):
    with pytest.raises(ArgumentError, match=message):
        Model.from_json(text)


def test_fits_with_fields_of_other_types_are_refused_by_name(image):
    record = json.loads(fit(Matern(), image, noise_variance=None).to_json())
    for name, value in {
        "parameters": [1],
        "loglik": "high",
        "converged": 1,
        "shape": [3],
        "model": 3.0,
        "reason": None,
    }.items():
        with pytest.raises(ArgumentError, match=name):
            FitResult.from_json(json.dumps({**record, name: value}))
    record = json.loads(CausalAR.fit(np.random.default_rng(0).normal(size=(9, 9))).to_json())
    for name, value in {"model": {"kind": "CAR"}, "covariance": [[1.0]], "n_observed": 3.5}.items():
        with pytest.raises(ArgumentError, match=name):
            CausalARFit.from_json(json.dumps({**record, name: value}))
    record = json.loads(PixelGaussian().fit(np.random.default_rng(0).normal(size=(9, 9, 2))).to_json())
    for change in ({"settings": 3}, {"settings": {"colour": 1}}, {"fitted": {"fit": 1}}):
        with pytest.raises(ArgumentError):
            PixelGaussian.from_json(json.dumps({**record, **change}))


def test_tables_have_estimates_errors_and_intervals(image):
    found = fit(Matern(), image, covariates="linear", noise_variance=None)
    table = found.table(0.9)
    assert list(table) == ["name", "estimate", "std_error", "low", "high", "unit"]
    assert table["unit"][0] == "pixels"
    assert table["name"] == [*found.parameters, *found.coefficients]
    assert table["estimate"] == [*found.parameters.values(), *found.coefficients.values()]
    assert table["std_error"] == [*found.standard_errors.values(), *found.coefficient_errors.values()]
    same(list(zip(table["low"], table["high"], strict=True)), list(found.confidence_intervals(0.9).values()))
    page = found._repr_html_()
    assert page.count("<tr>") == 1 + len(table["name"])
    assert f"<td>{found.parameters['range']:.6g}</td>" in page
    assert f"log-likelihood {found.loglik:.4f} nats" in page


def test_table_of_an_autoregression_has_normal_intervals():
    found = CausalAR.fit(np.random.default_rng(0).normal(size=(30, 30)))
    table = found.table()
    low = found.model.mean - 1.959963984540054 * found.mean_error
    assert table["name"][-1] == "mean"
    assert table["low"][-1] == pytest.approx(low, rel=1e-14)
    assert "<th>(-1, 0)</th>" in found._repr_html_()
    for level in (0.0, 1.0, np.nan):
        with pytest.raises(ArgumentError, match="level"):
            found.table(level)


def test_table_of_an_ensemble_has_no_rows_and_html_escapes_names(image):
    found = SymmetricField.fit(np.random.default_rng(0).standard_normal((20, 3, 4)), homogeneous=True)
    assert found.table() == {"name": [], "estimate": [], "std_error": [], "low": [], "high": [], "unit": []}
    assert "<table>" not in found._repr_html_()
    named = fit(Matern(), image, covariates={"a<b>": np.arange(500.0).reshape(20, 25)}, noise_variance=None)
    assert "a&lt;b&gt;" in named._repr_html_()
    assert "a<b>" not in named._repr_html_()


def test_channels_keep_their_covariance():
    model = Channels(Matern(), [[1.0, 1 / 3], [1 / 3, 1.0]])
    same(model, Channels.from_json(model.to_json()))
