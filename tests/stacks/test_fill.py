"""The door: what a filled stack says, against dense algebra, single images, and itself under changes of form."""

import numpy as np
import pytest

import sparsegmrf
from sparsegmrf import inference
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import BYM, CAR, Matern, Sum, TensionSpline
from sparsegmrf.stacks import fill
from tests import reference

SHAPE = (6, 7)
DAYS = np.array([40.0, 0.0, 12.0, 12.0, 400.0, 90.0])
HELD = ["range", "sigma", "ell", "range_mean", "sd_level", "sd_harmonic_1"]
START = {"ell": 30.0, "sd_level": 1.0, "sd_harmonic_1": 0.7, "range_mean": 5.0, "range": 4.0, "sigma": 2.0}
KNOWN = {"harmonics": 1, "fixed": HELD, "start": START, "noise_variance": 0.2}


def stack(seed=0, days=DAYS, shape=SHAPE):
    rng = np.random.default_rng(seed)
    values = 20.0 + 2.0 * rng.standard_normal((len(days), *shape))
    values[rng.uniform(size=values.shape) < 0.4] = np.nan
    return values


def test_a_filled_stack_is_that_of_dense_algebra_in_any_order_of_its_dates():
    values, at = stack(), [20.0, 500.0]
    found = fill(values, dates=DAYS, at=at, **KNOWN)
    days = np.append(DAYS, at)
    covariances = [np.linalg.inv(each.stencil(SHAPE).tocsr().toarray()) for each in (Matern(4.0, 2.0), Matern(5.0))]
    n, angle = values[0].size, 2.0 * np.pi * days / 365.25
    basis = np.stack([np.ones(len(days)), np.cos(angle), np.sin(angle)], axis=1)
    S = reference.stack_covariance(days, 30.0, covariances[0], basis, [1.0, 0.7, 0.7], covariances[1])
    everything = np.append(values.ravel(), np.full(2 * n, np.nan))
    X = np.repeat(basis, n, axis=0)
    loglik, mean, covariance, beta = reference.gaussian_given(S, everything, ~np.isnan(everything), 0.2, X)
    images = mean.reshape(-1, *SHAPE), np.sqrt(np.diagonal(covariance)).reshape(-1, *SHAPE)
    np.testing.assert_allclose(found.mean, images[0][:6], atol=1e-8)
    np.testing.assert_allclose(found.std, images[1][:6], rtol=1e-7)
    np.testing.assert_allclose(found.predictive_std, np.sqrt(images[1][:6] ** 2 + 0.2), rtol=1e-7)
    np.testing.assert_allclose(found.at.mean, images[0][6:], atol=1e-8)
    np.testing.assert_allclose(found.at.std, images[1][6:], rtol=1e-7)
    assert found.fit.loglik == pytest.approx(loglik, rel=1e-10)
    np.testing.assert_allclose(list(found.fit.coefficients.values()), beta, rtol=1e-8)
    np.testing.assert_array_equal(found.filled, np.where(np.isnan(values), found.mean, values))


def test_draws_have_mean_and_covariance_of_the_prediction():
    values = stack(shape=(3, 3))
    found = fill(values, dates=DAYS, n_samples=4000, rng=3, **KNOWN)
    score = (found.samples.mean(axis=0) - found.mean) / found.std * np.sqrt(4000)
    assert np.abs(score).max() < 6.0  # of 54 numbers: a false alarm in 1e7
    assert np.abs(found.samples.std(axis=0) / found.std - 1.0).max() < 6.0 / np.sqrt(2 * 4000)


@pytest.mark.parametrize("estimated", [False, True])
def test_a_stack_of_one_date_is_the_image(estimated):
    image = Matern(range=4.0).gmrf((16, 17)).sample(rng=5) + 0.2 * np.random.default_rng(6).standard_normal((16, 17))
    image[4:9, 5:11] = np.nan
    options = {} if estimated else {"fixed": ["range", "sigma"], "noise_variance": 0.04}
    start = {} if estimated else {"start": {"range": 4.0, "sigma": 1.0}}
    found = fill(image[np.newaxis], dates=[0.0], harmonics=None, **options, **start)
    expected = inference.fill(image, model=Matern(range=4.0), covariates="constant", **options)
    if estimated:  # both searches end within some hundredths of a standard error of the maximum
        errors = expected.fit.standard_errors
        for name, value in expected.fit.parameters.items():
            assert abs(found.parameters[name] - value) < 0.2 * errors[name]
            assert found.standard_errors[name] == pytest.approx(errors[name], rel=0.2)
        assert found.fit.loglik == pytest.approx(expected.fit.loglik, abs=0.02)
    else:
        assert found.fit.loglik == pytest.approx(expected.fit.loglik, rel=1e-10)
    assert np.abs(found.mean[0] - expected.mean).max() < (0.1 if estimated else 1e-8) * expected.std.max()
    np.testing.assert_allclose(found.std[0], expected.std, rtol=0.1 if estimated else 1e-8)


def test_dates_far_apart_are_images_by_themselves():
    values = stack(days=DAYS[:2])
    options = {"noise_variance": 0.2, "covariates": None}
    found = fill(values, dates=[0.0, 1e5], harmonics=None, fixed=["range", "sigma", "ell"],
                 start={"range": 4.0, "sigma": 2.0, "ell": 30.0}, **options)  # fmt: skip
    for image, mean, std in zip(values, found.mean, found.std, strict=True):
        own = inference.fill(image, model=Matern(4.0, 2.0), fixed=["range", "sigma"], **options)
        np.testing.assert_allclose(mean, own.mean, atol=1e-8)
        np.testing.assert_allclose(std, own.std, rtol=1e-8)


def test_units_and_levels_change_with_the_stack():
    values = stack()
    options = {"dates": DAYS, "harmonics": 0, "fixed": ["range_mean", "range", "ell"]}
    found = fill(values, **options)
    moved = fill(values * 1000.0 + 1e7, **options)
    np.testing.assert_allclose(moved.mean, found.mean * 1000.0 + 1e7, rtol=1e-12, atol=1e-1)
    np.testing.assert_allclose(moved.std, found.std * 1000.0, rtol=1e-3)
    assert moved.parameters["sigma"] == pytest.approx(1000.0 * found.parameters["sigma"], rel=1e-2)
    assert moved.fit.loglik == pytest.approx(found.fit.loglik - found.fit.n_observed * np.log(1000.0), abs=1e-3)


def test_flips_of_the_images_flip_the_result():
    values = stack()
    found, turned = (fill(each, dates=DAYS, **KNOWN) for each in (values, values[:, ::-1, ::-1]))
    np.testing.assert_allclose(turned.mean[:, ::-1, ::-1], found.mean, atol=1e-9)
    np.testing.assert_allclose(turned.std[:, ::-1, ::-1], found.std, rtol=1e-9)


def test_both_methods_agree():
    one, other = (fill(stack(), dates=DAYS, method=method, **KNOWN) for method in ("sweep", "lattice"))
    np.testing.assert_allclose(one.mean, other.mean, atol=1e-9)
    np.testing.assert_allclose(one.std, other.std, rtol=1e-9)
    assert "date by date" in str(one.fit.plan)
    assert "by dissection" in str(other.fit.plan)


def test_parameters_of_a_simulated_stack_are_found_within_their_errors():
    rng = np.random.default_rng(2)
    days, field = np.arange(24.0) * 8.0, Matern(range=4.0, sigma=3.0).gmrf((8, 8))
    values = [field.sample(rng=rng)]
    for _ in days[1:]:
        rho = np.exp(-8.0 / 20.0)
        values.append(rho * values[-1] + np.sqrt(1.0 - rho**2) * field.sample(rng=rng))
    observed = np.array(values) + 0.5 * rng.standard_normal((24, 8, 8))
    observed[rng.uniform(size=observed.shape) < 0.3] = np.nan
    found = fill(observed, dates=days, harmonics=None)
    assert found.fit.converged
    truth = {"range": 4.0, "sigma": 3.0, "ell": 20.0, "noise_variance": 0.25}
    for name, value in truth.items():
        assert abs(found.parameters[name] - value) < 4.0 * found.standard_errors[name], name
    for said in ("ell", "days", "log-likelihood", "24 dates of 8 x 8 pixels"):
        assert said in found.summary()


def test_what_the_data_do_not_determine_is_named_and_has_no_error():
    rng = np.random.default_rng(0)
    same = Matern(range=3.0).gmrf((6, 6)).sample(rng=rng) + 0.1 * rng.standard_normal((6, 6, 6))
    found = fill(same, dates=np.arange(6.0), harmonics=None)  # nothing changes in time
    assert not found.fit.converged
    assert "ell" in found.fit.reason.partition(": ")[2].split(", ")
    assert np.isnan(found.standard_errors["ell"])
    assert "NOT CONVERGED" in found.summary()


def test_the_top_level_door_knows_stacks_from_images():
    values = stack()
    found = sparsegmrf.fill(values, dates=DAYS, **KNOWN)
    np.testing.assert_array_equal(found.mean, fill(values, dates=DAYS, **KNOWN).mean)
    with pytest.raises(ArgumentError, match=r"image must have shape \(H, W\)"):
        sparsegmrf.fill(values)
    assert isinstance(sparsegmrf.fill(values[0]), inference.FillResult)


def test_limits_clip_what_is_asked_to_be_clipped():
    found = fill(stack(), dates=DAYS, limits=(19.5, 20.5), n_samples=2, rng=0, **KNOWN)
    for images in (found.mean, found.samples):
        assert images.min() >= 19.5
        assert images.max() <= 20.5


def test_nothing_given_is_changed():
    values, days = stack(), np.array(DAYS)
    before = values.copy()
    fill(values, dates=days, **KNOWN)
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(days, DAYS)


def test_masks_say_what_is_missing():
    values = stack()
    whole = np.where(np.isnan(values), 1e6, values)
    expected = fill(values, dates=DAYS, **KNOWN)
    masked = np.ma.masked_array(whole, np.isnan(values))
    for found in (fill(whole, dates=DAYS, mask=np.isnan(values), **KNOWN), fill(masked, dates=DAYS, **KNOWN)):
        np.testing.assert_array_equal(found.mean, expected.mean)
    land = np.zeros(SHAPE, dtype=bool)
    land[0] = True
    assert fill(values, dates=DAYS, mask=land, **KNOWN).fit.n_observed == np.count_nonzero(~np.isnan(values[:, 1:]))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dates": DAYS[:3]}, "one date per image, got 3 dates and 6 images"),
        ({"dates": None}, "dates must be given"),
        ({"image": np.full((6, *SHAPE), np.nan)}, "must have an observation"),
        ({"image": np.ones((6, *SHAPE))}, "must vary"),
        ({"image": np.ones(SHAPE)}, r"shape \(T, H, W\)"),
        ({"image": np.full((6, *SHAPE), np.inf)}, "must be finite"),
        ({"mask": None}, "mask must say what is missing"),
        ({"mask": np.zeros((2, 2), dtype=bool)}, "shape of the image"),
        ({"model": TensionSpline()}, "proper on every pixel"),
        ({"model": Sum([Matern(), CAR()])}, "one unknown per pixel"),
        ({"model": Matern}, "the class Matern"),
        ({"mean_model": BYM()}, "mean_model must"),
        ({"harmonics": -1}, "harmonics must be at least 0"),
        ({"harmonics": "some"}, "harmonics must be one of"),
        ({"covariates": "cubic"}, "covariates must be one of"),
        ({"fixed": "kappa"}, "fixed must name parameters of the stack, which has range, sigma, ell"),
        ({"start": {"tau": 1.0}}, "start must name"),
        ({"start": {"ell": -1.0}}, "must be positive"),
        ({"noise_variance": 0.0}, "noise_variance must be positive"),
        ({"noise_variance": "known"}, 'must be "estimate" or a variance'),
        ({"method": "fast"}, "method must be one of"),
        ({"outliers": True}, "outliers must be one of"),
        ({"limits": (1.0, 0.0)}, "low below high"),
        ({"limits": 3.0}, "must be a pair"),
        ({"core": 0}, "core must be at least 1"),
        ({"at": "2020-01-01"}, "at must be numbers of days"),
        ({"harmonics": 3, "dates": np.zeros(6)}, "told apart by the observations"),
    ],
    ids=str,
)
def test_bad_input_is_refused_by_name(changes, said):
    arguments = {"image": stack(), "dates": DAYS} | changes
    with pytest.raises(ArgumentError, match=said):
        fill(arguments.pop("image"), **arguments)
