"""``sparsegmrf fit`` is `sparsegmrf.fit` of what a file holds: same numbers, every model of the table, every option."""

import json
import re
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

import sparsegmrf
from sparsegmrf.autoregression import CausalAR
from sparsegmrf.cli import main
from sparsegmrf.cli._models import MODELS, chosen_model, settable
from sparsegmrf.errors import SparseGMRFError
from sparsegmrf.inference import SavedFit
from sparsegmrf.io import read_fit, read_model, write_model
from sparsegmrf.likelihoods import Binomial, Poisson
from sparsegmrf.models import CAR, Matern

SHAPE = (14, 17)
GAP = np.zeros(SHAPE, dtype=bool)
GAP[4:8, 6:11] = True


def library(image, model, noise="estimate", mask=GAP, **options):
    """Fit by the library."""
    return sparsegmrf.fit(model, image, mask=mask, noise_variance=noise, **options)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def holes(here):
    """A Matern field with noise and a gap, as holes.npy."""
    image = Matern(range=6.0, sigma=2.0).gmrf(SHAPE, mean=20.0).sample(rng=2)
    image += 0.3 * np.random.default_rng(0).standard_normal(SHAPE)
    np.save(here / "holes.npy", np.where(GAP, np.nan, image))
    return np.where(GAP, np.nan, image)


@pytest.fixture
def counts(here):
    """Poisson and binomial counts as pictures of 8 bits, and their exposure."""
    field = Matern(range=6.0, sigma=0.6).gmrf(SHAPE).sample(rng=3)
    rng = np.random.default_rng(0)
    exposure = rng.uniform(2.0, 6.0, SHAPE)
    np.save(here / "exposure.npy", exposure)
    poisson = rng.poisson(exposure * np.exp(field))
    binomial = rng.binomial(9, 1.0 / (1.0 + np.exp(-field)))
    for name, image in (("poisson", poisson), ("binomial", binomial)):
        iio.imwrite(here / f"{name}.png", image.astype(np.uint8))
    return {"poisson": poisson.astype(float), "binomial": binomial.astype(float), "exposure": exposure}


@pytest.fixture
def run(here, capsys):
    """Run the command, which must end well; return what it prints and what it writes."""

    def call(*arguments):
        code = main(["fit", *map(str, arguments), "--out", "fit.json", "--overwrite"])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        assert captured.err == ""
        assert captured.out.endswith("wrote fit.json\n")

        def refuse(constant):
            raise AssertionError(f"{constant} is not JSON")

        return captured.out, json.loads((here / "fit.json").read_text(), parse_constant=refuse)

    return call


def marked(numbers):
    return {name: {"float": "nan"} if np.isnan(value) else value for name, value in numbers.items()}


def assert_same(printed, fields, expected):
    """Compare what was printed and written with a result of the library, to the last digit.

    What is printed advises options of the command instead of arguments.
    """
    assert expected.summary().replace("noise_variance=None", "--noise-variance none") in printed
    assert fields["parameters"] == expected.parameters
    assert fields["standard_errors"] == marked(expected.standard_errors)
    assert fields["coefficients"] == expected.coefficients
    assert fields["coefficient_errors"] == expected.coefficient_errors
    assert (fields["loglik"], fields["converged"], fields["reason"]) == (
        expected.loglik,
        expected.converged,
        expected.reason,
    )
    assert (fields["method"], fields["n_observed"]) == (expected.method, expected.n_observed)
    assert fields["model"]["kind"] == type(expected.model).__name__


@pytest.mark.parametrize("name", MODELS)
def test_every_model_of_the_table_is_fitted_as_the_library_fits_it(holes, run, name):
    printed, fields = run("holes.npy", "--model", name)
    expected = library(holes, MODELS[name])
    assert_same(printed, fields, expected)
    assert (fields["aic"], fields["bic"]) == (expected.aic, expected.bic)
    for parameter in set(expected.parameters) - {"noise_variance"}:
        assert fields["model"][parameter] == expected.parameters[parameter]


def test_page_on_the_commands_names_every_model_of_the_table():
    page = (Path(__file__).parents[1] / "docs" / "command_line.md").read_text(encoding="utf-8")
    table = page.split("| `--model` | |\n")[1].split("\n\n")[0]
    named = [name for row in table.splitlines() for name in re.findall(r"`([\w-]+)`", row.split("|")[1])]
    assert len(set(named)) == len(named)
    # What a class is called by its own name may be left out.
    by_class = {re.sub(r"(?<=[a-z]{2})(?=[A-Z])", "-", name).lower() for name in sparsegmrf.models.__all__}
    assert {*MODELS, "best"} - by_class <= set(named) <= {*MODELS, "best"}


def test_table_holds_every_model_that_needs_no_argument_by_the_name_of_its_class():
    assert {"car", "sar", "matern", "tension-spline", "intrinsic", "matern2", "thin-plate"} <= set(MODELS)
    assert MODELS["matern"].parameters == Matern().parameters
    assert MODELS["tension-spline"].kappa == 0.5  # where fill starts, too


def test_intervals_are_those_of_the_library_and_the_unit_is_told(holes, run):
    printed, fields = run("holes.npy", "--noise-variance", "0.09", "--covariates", "none")
    expected = library(holes, Matern(), 0.09, covariates=None)
    assert_same(printed, fields, expected)
    assert fields["confidence_intervals"] == {
        name: list(ends) for name, ends in expected.confidence_intervals().items()
    }
    assert fields["noise_variance"] == 0.09
    assert "holes.npy (14 x 17), unit intensity\n" in printed


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["--noise-variance", "none"], {"noise": None}),
        (["--covariates", "linear", "--method", "reml"], {"covariates": "linear", "method": "reml"}),
        (["--fixed", "range", "--fixed", "sigma"], {"fixed": ["range", "sigma"]}),
        (["--precision", "single"], {"precision": "single"}),
    ],
)
def test_options_are_those_of_the_library(holes, run, arguments, options):
    assert_same(*run("holes.npy", *arguments), library(holes, Matern(), **options))


def test_smoothness_is_estimated_by_a_word(holes, run):
    printed, fields = run("holes.npy", "--set", "nu=estimate", "--fixed", "range")
    assert_same(printed, fields, library(holes, Matern(nu="estimate"), fixed=["range"]))
    assert "nu" in fields["parameters"]


def test_model_starts_where_it_is_set_and_keeps_fields_that_are_set(holes, run):
    settings = ["range=4", "nu=2", "boundary=dirichlet", "anisotropy=1.5,0.3"]
    words = [word for setting in settings for word in ("--set", setting)]
    printed, fields = run("holes.npy", *words, "--fixed", "range")
    start = Matern(range=4.0, nu=2.0, boundary="dirichlet", anisotropy=(1.5, 0.3))
    assert_same(printed, fields, library(holes, start, fixed=["range"]))
    assert {name: fields["model"][name] for name in ("range", "nu", "boundary")} == {
        "range": 4.0,
        "nu": 2.0,
        "boundary": "dirichlet",
    }
    printed, fields = run("holes.npy", "--model", "car", "--set", "rho=0.2,0.1", "--fixed", "rho_vertical")
    assert_same(printed, fields, library(holes, CAR((0.2, 0.1)), fixed="rho_vertical"))


def test_cross_validation_has_a_score_and_neither_errors_nor_criteria(holes, run):
    printed, fields = run("holes.npy", "--method", "cv", "--seed", "3", "--fixed", "sigma")
    expected = library(holes, Matern(), method="cv", rng=3, fixed="sigma")
    assert_same(printed, fields, expected)
    assert fields["cv_score"] == expected.cv_score
    assert (fields["aic"], fields["bic"]) == (None, None)
    assert all(each == {"float": "nan"} for each in fields["standard_errors"].values())


def test_counts_of_pictures_are_taken_as_they_are_with_numbers_and_files_beside_them(counts, run):
    printed, fields = run("poisson.png", "--likelihood", "poisson", "--exposure", "exposure.npy")
    expected = sparsegmrf.fit(Matern(), counts["poisson"], likelihood=Poisson(counts["exposure"]))
    assert_same(printed, fields, expected)
    printed, fields = run("binomial.png", "--likelihood", "binomial", "--trials", "9", "--fixed", "range")
    expected = sparsegmrf.fit(Matern(), counts["binomial"], likelihood=Binomial(9), fixed=["range"])
    assert_same(printed, fields, expected)


def test_noise_variance_may_be_a_file_and_masks_count_besides_nan(holes, run):
    variances = np.random.default_rng(1).uniform(0.05, 0.2, SHAPE)
    np.save("variances.npy", variances)
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[10:12, 2:5] = 255
    iio.imwrite("mask.png", mask)
    printed, fields = run("holes.npy", "--noise-variance", "variances.npy", "--mask", "mask.png")
    assert_same(printed, fields, library(holes, Matern(), variances, mask=GAP | (mask > 0)))
    assert fields["noise_variance"] is None


def test_best_prints_the_comparison_and_keeps_it(holes, run):
    printed, fields = run("holes.npy", "--model", "best", "--covariates", "linear", "--seed", "5")
    expected = sparsegmrf.fill(holes, model="best", rng=5)
    assert_same(printed, fields, expected.fit)
    assert expected.comparison.summary() in printed
    assert fields["about"]["comparison"]["chosen"] == expected.comparison.chosen.name


def test_file_of_a_fit_is_read_by_the_library_and_its_model_is_fitted_again(holes, here, run):
    _, fields = run("holes.npy", "--set", "range=4", "--noise-variance", "0.09")
    first = library(holes, Matern(range=4.0), 0.09)
    kept = read_fit("fit.json")
    assert isinstance(kept, SavedFit)
    assert (kept.parameters, kept.standard_errors) == (first.parameters, first.standard_errors)
    assert (kept.summary(), kept.confidence_intervals()) == (first.summary(), first.confidence_intervals())
    assert read_model("fit.json").parameters == first.model.parameters
    assert fields["about"]["options"]["settings"] == ["range=4"]
    (here / "fit.json").rename("first.json")
    arguments = ("--model", "first.json", "--set", "range=5", "--fixed", "range", "--noise-variance", "0.09")
    printed, fields = run("holes.npy", *arguments)
    model = first.model.replace(range=5.0)
    assert_same(printed, fields, library(holes, model, 0.09, fixed=("range",)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["holes.npy", "--model", "none.json"], "none.json, which cannot be read"),
        (["holes.npy", "--model", "holes.json"], "holes.json, which cannot be read"),
        (
            ["holes.npy", "--model", "causal.json"],
            "model must hold a field such as Matern, got causal.json with a Caus",
        ),
        (["holes.npy", "--model", "car.json", "--set", "range=3"], "one of rho, tau,"),
        (["holes.npy", "--model", "car.json", "--out", "car.json"], "is an input or another output already"),
        (["nowhere.npy"], "nowhere.npy, which is none"),
        (["holes.npy", "--model", "disc"], "'thin-plate', 'best', got 'disc'"),
        (
            ["holes.npy", "--set", "rnage=3"],
            "one of range, sigma, nu, anisotropy, boundary, diffusion, terms, spacing with",
        ),
        (["holes.npy", "--boundary", "neumann,wrap"], "boundary must be one of 'dirichlet', 'neumann', 'torus', or a"),
        (["holes.npy", "--boundary", "torus", "--set", "boundary=torus"], "each name once"),
        (["holes.npy", "--set", "range"], "set must be NAME=VALUE"),
        (["holes.npy", "--set", "range=3", "--set", "range=4"], "each name once"),
        (["holes.npy", "--set", "range=far"], "range must be a number, or several with commas between them, got 'far'"),
        (["holes.npy", "--set", "range=-3"], "range must be positive, got -3"),
        (["holes.npy", "--set", "barrier=land.tif"], "got barrier=land.tif"),
        (["holes.npy", "--model", "sar", "--set", "row_standardized=1"], "must be one of 'true', 'false', got '1'"),
        (["holes.npy", "--fixed", "rnage"], "fixed must name parameters of the model, which has range, sigma"),
        (["holes.npy", "--noise-variance", "much"], "noise-variance must be a number, estimate, none or an existing"),
        (["holes.npy", "--noise-variance", "small.npy"], "noise-variance must have the shape of the image (14, 17)"),
        (["holes.npy", "--noise-variance", "two.npz"], "noise-variance must be one image, got two.npz"),
        (["holes.npy", "--method", "best"], "'best' is not one of 'ml', 'reml', 'cv'"),
        (["holes.npy", "--likelihood", "poisson"], "image must be counts, whole numbers"),
        (["holes.npy", "--exposure", "3"], "exposure must be left out"),
        (
            ["holes.npy", "--likelihood", "binomial", "--trials", "many"],
            "trials must be a number or an existing image file",
        ),
        (["holes.npy", "--model", "best", "--set", "range=3"], "set must be left out with model best, got range=3"),
        (["holes.npy", "--model", "best", "--method", "reml"], "method must be ml and likelihood gaussian"),
        (["holes.npy", "--model", "best", "--fixed", "range"], "fixed must be empty"),
        (["holes.npy", "--out", "fit.png"], "out must end in .json, got fit.png"),
        (["holes.npy", "--out", "nowhere/fit.json"], "existing directory"),
        (["holes.json", "--out", "holes.json"], "is an input or another output already"),
        (["holes.npy", "--noise-variance", "var.json", "--out", "var.json"], "is an input or another output already"),
        (["holes.npy", "--seed", "-1"], "rng must be"),
        (["holes.npy", "--support", "qp"], "No such option: --support"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_nothing_is_written(holes, here, capsys, arguments, message):
    np.save("small.npy", np.ones((3, 3)))
    np.savez("two.npz", a=np.eye(3), b=np.eye(3))
    for name in ("holes.json", "var.json"):
        (here / name).write_bytes((here / "holes.npy").read_bytes())
    write_model("causal.json", CausalAR([0.5], support=[(0, -1)]))
    write_model("car.json", CAR(0.2))
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    assert main(["fit", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("sparsegmrf: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_interrupt_leaves_nothing(holes, here, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("json.dumps", interrupt)
    assert main(["fit", "holes.npy", "--fixed", "range", "--out", "fit.json"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["holes.npy"]


def test_fill_starts_from_the_same_table(holes, here):
    words = ["--model", "car", "--set", "rho=0.2", "--fixed", "rho", "--noise-variance", "0.09"]
    assert main(["fill", "holes.npy", "--out", "out", *words]) == 0
    expected = sparsegmrf.fill(holes, model=CAR(0.2), fixed="rho", noise_variance=0.09)
    np.testing.assert_array_equal(np.load("out/holes-mean.npy"), expected.mean)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("text", ["", "abc", "-1", "0", "nan", "inf", "1,2", "1,2,3", "2", "true", "1e400", "1,,2"])
def test_whatever_is_set_makes_a_model_or_is_refused_with_what_came(name, text):
    for setting in settable(MODELS[name]):
        refusal = ""
        try:
            model = chosen_model(name, [f"{setting}={text}"])
            model.stencil(SHAPE)
        except SparseGMRFError as error:
            refusal = str(error)
        taken = not refusal and str(getattr(model, setting)).strip("()[]").lower().startswith(text[:1])
        assert taken or "got" in refusal
