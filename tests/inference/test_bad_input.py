"""Hopeless or wrong input is refused by name, with what came and the remedy, by `fit`, `fill` and `condition` alike."""

import numpy as np
import pytest

from sparsegmrf import GMRF, condition, fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import Problem
from sparsegmrf.models import CAR, Channels, Matern, Sum

SHAPE = (12, 13)
ROWS, COLUMNS = np.mgrid[:12, :13].astype(float)
IMAGE = np.random.default_rng(0).standard_normal(SHAPE)
NOTHING, ONE = np.full(SHAPE, np.nan), np.full(SHAPE, np.nan)
ONE[3, 4] = 2.5
CORNER = (ROWS == 0) & (COLUMNS == 0)


def run_fit(image=IMAGE, **arguments):
    return fit(Matern(), image, **{"mask": "nan", **arguments})


def run_fill(image=IMAGE, **arguments):
    return fill(image, **arguments)


def run_condition(image=IMAGE, **arguments):
    return condition(Matern().gmrf(SHAPE), image, **{"noise_variance": 0.5, "mask": "nan", **arguments})


FITS = [run_fit, run_fill]
ALL = [*FITS, run_condition]
both = pytest.mark.parametrize("run", FITS)
every = pytest.mark.parametrize("run", ALL)


@every
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": NOTHING}, r"^(image|y) must have an observed pixel, but all 156 are missing; check the mask"),
        ({"mask": np.ones(SHAPE, dtype=bool)}, r"^(image|y) must have an observed pixel, but all 156 are missing"),
        ({"image": np.where(ROWS == 3, np.inf, IMAGE)}, r"^(image|y) must be finite .* got inf at pixel \(3, 0\)"),
        ({"image": np.where(CORNER, -np.inf, IMAGE)}, r"^(image|y) must be finite .* got -inf at pixel \(0, 0\)"),
        ({"image": ONE, "mask": None}, r"^(image|y) must be finite where it is observed, got nan .*mask="),
        (
            {"mask": np.zeros((13, 12), dtype=bool)},
            r"^mask must have the shape of the image \(12, 13\), got",
        ),
        ({"mask": np.zeros(SHAPE)}, r"^mask must be boolean, got dtype float64"),
        ({"noise_variance": -1.0}, r"^noise_variance must not be negative, got -1"),
        ({"noise_variance": np.where(CORNER, -0.1, 1.0)}, r"^noise_variance must not be negative, got -0.1"),
        ({"noise_variance": np.inf}, r"^noise_variance must be finite"),
        (
            {"noise_variance": np.ones((13, 12))},
            r"^noise_variance must be a number or an image of shape \(12, 13\)",
        ),
        ({"image": 1j * IMAGE}, r"^(image|y) must hold real numbers, got dtype complex128"),
    ],
)
def test_bad_data_are_refused_by_every_entry(run, changes, message):
    with pytest.raises(ArgumentError, match=message):
        run(**changes)


@both
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"image": np.full(SHAPE, 3.0)},
            r"^image must vary over its observed pixels, got 156 of them with",
        ),
        ({"image": np.where(CORNER, np.nan, 3.0)}, r"^image must vary over its observed pixels, got 155 of them"),
        ({"image": ONE}, r"^image must vary over its observed pixels, got 1 of them with the value 2.5"),
        (
            {"image": 2.0 + ROWS - 3.0 * COLUMNS, "covariates": "linear"},
            r"^image must vary beyond its covariates.*: 3 covariates, 156 observed pixels",
        ),
        (
            {"covariates": [np.ones(SHAPE), ROWS, 2.0 * ROWS + 1.0]},
            r"^covariates must be linearly independent on the observed pixels, got covariate 0, covariate 1",
        ),
        ({"covariates": [np.ones(SHAPE), 0.0 * ROWS]}, r"^covariates must not vanish .* at position 1"),
        (
            {"covariates": [np.ones(SHAPE), 1.0 * CORNER], "mask": CORNER},
            r"^covariates must not vanish on the observed pixels, got zeros in the one at position 1",
        ),
        ({"covariates": [np.where(CORNER, np.nan, ROWS)]}, r"^covariates must be finite"),
        ({"covariates": np.ones((1, 13, 12))}, r"^covariates must have shape \(K, 12, 13\), got \(1, 13, 12\)"),
        (
            {"noise_variance": np.where(ROWS < 3, 0.0, 1.0)},
            r"^noise_variance must be zero nowhere or at all observed pixels, got both",
        ),
        ({"noise_variance": "none"}, r'^noise_variance must be "estimate", a variance or None, got \'none\''),
        ({"image": np.zeros((2, 3, 4, 5))}, r"^image must have shape \(H, W\), got \(2, 3, 4, 5\)"),
    ],
)
def test_data_that_determine_nothing_are_refused_by_fits(run, changes, message):
    with pytest.raises(ArgumentError, match=message):
        run(**changes)


@pytest.mark.parametrize(("model", "got"), [("matern", "str"), (Matern, "the class Matern"), (None, "NoneType")])
def test_what_is_no_model_is_refused(model, got):
    with pytest.raises(ArgumentError, match=rf"^model must be a model of a field, .* got {got}"):
        fit(model, IMAGE)


def test_infinite_values_under_the_mask_are_not_read():
    holes = np.where(ROWS == 3, np.inf, IMAGE)
    plain = condition(Matern().gmrf(SHAPE), IMAGE, mask=ROWS == 3, noise_variance=0.5)
    assert np.array_equal(run_condition(holes, mask=ROWS == 3).mean, plain.mean)


def test_one_observed_pixel_and_a_constant_image_condition_a_given_field():
    posterior = run_condition(ONE)
    prior = Matern().gmrf(SHAPE).marginal_variance()[3, 4]
    assert posterior.mean[3, 4] == pytest.approx(2.5 * prior / (prior + 0.5))
    assert isinstance(run_condition(np.full(SHAPE, 3.0)), GMRF)


def test_models_of_several_fields_need_to_say_what_is_observed_of_them():
    model = Channels(CAR(0.2), [[1.0, 0.3], [0.3, 2.0]])
    with pytest.raises(ArgumentError, match=r"^model must have one field, or be a Sum, .* got Channels of 2; fit"):
        Problem.read(model, IMAGE)
    for call in (fit, lambda model, image: fill(image, model=model)):
        with pytest.raises(ArgumentError, match=r"^image must have shape \(H, W, 2\) or \(2, H, W\)"):
            call(model, IMAGE)


def test_weight_of_a_single_field_is_refused_with_the_model_that_has_it():
    model = Sum([Matern(range=4.0)], observation=[-2.0])
    with pytest.raises(
        ArgumentError, match=r"^observation must be 1 in a sum of a single field, got -2; fit models\[0\]\.scaled\(2\)"
    ):
        fit(model, IMAGE)
    assert np.array_equal(
        model.models[0].scaled(2.0).gmrf(SHAPE).marginal_variance(), 4.0 * model.gmrf(SHAPE).marginal_variance()
    )
    assert fit(Sum([Matern(range=4.0)]), IMAGE).loglik == fit(Matern(range=4.0), IMAGE).loglik
