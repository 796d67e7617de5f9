"""Rasters filled by tiles, against the whole in memory."""

import numpy as np
import pytest

from sparsegmrf import condition, fit, large
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.large._images import MappedImage
from sparsegmrf.models import CAR, SAR, AR1xAR1, Intrinsic, Matern, Sum, TensionSpline
from tests.large.test_brackets import SHAPE, image

NOISE = 0.04
MODELS = {
    "TensionSpline": (TensionSpline(0.4, 2.0), "linear"),
    "TensionSpline turned": (TensionSpline(0.4, anisotropy=(2.0, 0.5), diffusion="smooth"), "linear"),
    "Matern": (Matern(5.0, 2.0), "linear"),
    "Matern, no trend": (Matern(5.0, 2.0), None),
    "CAR": (CAR(0.249), "constant"),
    "SAR": (SAR(0.23), "constant"),
    "AR1xAR1": (AR1xAR1(0.8, 0.6), "constant"),
    "Intrinsic": (Intrinsic(tau=2.0), "linear"),
    "Sum": (Sum([Matern(8.0), CAR(0.1)]), "linear"),
}


def raster():
    """Gaps, a hole, and a level far from zero."""
    values = image()
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return values + 300.0 + 0.05 * rows - 0.02 * columns


def whole(model, values, covariates, noise=NOISE):
    """The exact fit at known parameters."""
    return fit(model, values, mask="nan", noise_variance=noise, covariates=covariates, fixed=tuple(model.parameters))


@pytest.mark.parametrize("name", MODELS)
def test_tiles_give_what_the_whole_gives_to_their_bounds(name):
    model, covariates = MODELS[name]
    values = raster()
    exact = whole(model, values, covariates)
    known = exact.predict()
    options = {"core": 22, "halo": 10, "tolerance": 1.0, "loglik": "turned" not in name}
    found = large.fill(values, model=model, noise_variance=NOISE, covariates=covariates, **options)
    assert len(found.tiles) == 4
    error = np.abs(found.mean - known.mean) / known.std
    assert error.max() <= found.mean_error + 1e-12  # rounding
    assert found.mean_error <= 1e-6
    assert (found.std_lower <= known.std * (1.0 + 1e-6)).all()
    assert (found.std_upper >= known.std * (1.0 - 1e-6)).all()
    assert ((found.std >= found.std_lower * (1.0 - 1e-9)) & (found.std <= found.std_upper * (1.0 + 1e-9))).all()
    assert np.median(found.std_upper / found.std_lower) < 1.01
    for key, value in exact.coefficients.items():
        assert found.coefficients[key] == pytest.approx(value, rel=1e-6, abs=1e-8)
        assert found.coefficient_errors[key] == pytest.approx(exact.coefficient_errors[key], rel=1e-6)
    if not options["loglik"]:
        return
    low, high = found.loglik_interval
    assert low - 1e-6 <= exact.loglik <= high + 1e-6
    assert high - low < 2.0


def test_bounds_of_the_likelihood_close_with_the_halo():
    values, model = raster(), TensionSpline(0.4, 2.0)
    exact = whole(model, values, "linear").loglik
    for halo, width in ((8, 1.0), (16, 1e-3)):
        low, high = large.fill(
            values, model=model, noise_variance=NOISE, core=22, halo=halo, tolerance=9.0, loglik=True
        ).loglik_interval
        assert low - 1e-6 <= exact <= high + 1e-6
        assert high - low < width


def test_draws_do_not_depend_on_tiles_and_follow_the_posterior():
    values, model = raster(), TensionSpline(0.4, 2.0)
    options = {"model": model, "noise_variance": NOISE, "n_samples": 20, "rng": 5, "tolerance": 9.0}
    found = [large.fill(values, core=core, halo=halo, **options) for core, halo in ((22, 10), (30, 14), (44, 2))]
    assert all(each.sample_error <= 3e-6 for each in found)
    for each in found[1:]:
        np.testing.assert_allclose(each.samples, found[0].samples, atol=1e-6)
    assert np.abs(found[0].samples[0] - found[0].samples[1]).max() > 0.1
    # Squares of standardized draws are chi-squared about 1; those of one draw are alike nearby, so that some hundred
    # count of each: five of their deviations, 5 sqrt(2 / 2000), are exceeded with a probability below 1e-6.
    standardized = (found[0].samples - found[0].mean) / found[0].std
    assert np.mean(standardized**2) == pytest.approx(1.0, abs=0.16)


def test_draws_of_stacked_fields_have_the_variance_of_their_sum():
    values, model = raster(), Sum([Matern(8.0), CAR(0.1)])
    found = large.fill(values, model=model, noise_variance=NOISE, n_samples=60, rng=1, core=22, halo=14, tolerance=9.0)
    standardized = (found.samples - found.mean) / found.std
    assert np.mean(standardized**2) == pytest.approx(1.0, abs=0.09)


def test_arrays_functions_masks_and_scratch_files_give_the_same(tmp_path):
    values, model = raster(), Matern(5.0, 2.0)
    options = {"model": model, "noise_variance": NOISE, "core": 20, "halo": 12, "tolerance": 9.0}
    plain = large.fill(values, **options)
    missing = np.isnan(values)
    read = large.fill(lambda rows, columns: values[rows, columns], shape=SHAPE, **options)
    masked = large.fill(np.where(missing, 1e6, values), mask=missing, scratch=tmp_path, **options)
    np.testing.assert_array_equal(plain.mean, read.mean)
    np.testing.assert_allclose(masked.mean, plain.mean, rtol=1e-12)
    assert isinstance(masked.mean, MappedImage)


@pytest.mark.parametrize("model", [Matern(5.0, 2.0), TensionSpline(0.4)], ids=["Matern", "TensionSpline"])
def test_a_field_given_observations_is_that_of_the_whole(model):
    values = raster()
    known = condition(model.gmrf(SHAPE, 290.0), values, mask="nan", noise_variance=NOISE)
    found = large.condition(model, values, noise_variance=NOISE, mean=290.0, core=20, halo=12, tolerance=9.0)
    std = np.sqrt(known.marginal_variance())
    assert (np.abs(found.mean - known.mean) / std).max() <= found.mean_error + 1e-11 <= 1e-6
    assert (found.std_lower <= std * (1.0 + 1e-9)).all()
    assert (found.std_upper >= std * (1.0 - 1e-9)).all()
    assert found.coefficients == {}


def test_noise_may_differ_between_pixels():
    values, model = raster(), Matern(5.0, 2.0)
    noise = np.random.default_rng(3).uniform(0.02, 0.2, SHAPE)
    known = whole(model, values, "linear", noise).predict()
    found = large.fill(values, model=model, noise_variance=noise, core=20, halo=12, tolerance=9.0)
    assert (np.abs(found.mean - known.mean) / known.std).max() <= found.mean_error + 1e-12 <= 1e-6
    assert found.noise_variance is None


def test_a_barrier_is_filled_around():
    values = raster()
    barrier = np.zeros(SHAPE, dtype=bool)
    barrier[10:30, 15:17] = True
    values[barrier] = np.nan
    model = TensionSpline(0.4, barrier=barrier)
    known = whole(model, values, "linear").predict()
    found = large.fill(values, model=model, noise_variance=NOISE, core=20, halo=12, tolerance=9.0)
    np.testing.assert_array_equal(np.isnan(found.mean), barrier)
    error = np.abs(found.mean - known.mean) / known.std
    assert np.nanmax(error) <= found.mean_error + 1e-12 <= 1e-6
    assert (found.std_lower <= known.std * (1.0 + 1e-6))[~barrier].all()
    assert (found.std_upper >= known.std * (1.0 - 1e-6))[~barrier].all()


def test_a_gap_that_no_halo_spans_is_flagged_and_its_mean_still_right():
    values = raster()
    values[8:30, 10:36] = np.nan
    model = Intrinsic(tau=4.0)
    known = whole(model, values, "linear").predict()
    found = large.fill(values, model=model, noise_variance=NOISE, core=12, halo=4, memory=1.0e6)
    assert found.flagged
    assert (found.std_upper >= known.std * (1.0 - 1e-6)).all()
    assert (np.abs(found.mean - known.mean) / known.std).max() <= min(1e-5, found.mean_error)


def test_parameters_are_fitted_to_tiles():
    model = Matern(4.0, 2.0)
    truth = model.gmrf((64, 132)).sample(rng=2)
    rng = np.random.default_rng(4)
    values = truth + 10.0 + 0.3 * rng.standard_normal(truth.shape)
    values[rng.random(truth.shape) < 0.2] = np.nan
    found = large.fill(values, model=Matern(), covariates="constant", core=66, halo=16, tolerance=0.5)
    assert found.fit is not None
    assert found.fit.n_observed < found.n_observed
    whole = fit(Matern(), values, mask="nan", covariates="constant")
    assert found.model.range == pytest.approx(whole.model.range, rel=0.1)
    assert found.noise_variance == pytest.approx(whole.noise_variance, rel=0.2)
    assert found.mean_error <= 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": Matern(5.0, boundary="torus")}, "wraps"),
        ({"model": CAR(-1.2, neighbourhood=8, form="degree")}, "sum of squares"),
        ({"model": "Matern"}, "must be a Model"),
        ({"noise_variance": 0.0}, "positive and finite"),
        ({"noise_variance": "known"}, "estimate"),
        ({"halo": 1}, "at least 2"),
        ({"mask": np.zeros((2, 2), dtype=bool)}, "shape"),
        ({"covariates": "quadratic"}, "covariates"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"model": Matern(np.full(SHAPE, 5.0)), "noise_variance": "estimate"}, "maps"),
        ({"model": Intrinsic(order=2), "loglik": True}, "loglik"),
    ],
)
def test_arguments_are_refused_with_the_remedy(options, message):
    with pytest.raises(ArgumentError, match=message):
        large.fill(raster(), **({"model": Matern(5.0), "noise_variance": NOISE, "core": 20} | options))


def test_without_upper_bounds_nothing_is_certain_and_the_mean_right_all_the_same():
    values, model = raster(), CAR(-1.2, neighbourhood=8, form="degree")
    known = whole(model, values, "constant").predict()
    options = {"covariates": "constant", "core": 22, "halo": 10, "upper": False}
    found = large.fill(values, model=model, noise_variance=NOISE, **options)
    assert np.isinf(found.std_upper).all()
    assert np.isinf(found.mean_error)
    assert (np.abs(found.mean - known.mean) / known.std).max() < 1e-6
    np.testing.assert_array_equal(found.std, found.std_lower)


def test_functions_need_a_shape_and_memory_its_least():
    with pytest.raises(ArgumentError, match="shape must be given"):
        large.fill(lambda rows, columns: np.zeros((1, 1)), model=Matern(5.0), noise_variance=NOISE)
    with pytest.raises(TooLargeError, match="memory is"):
        large.fill(raster(), model=Matern(5.0), noise_variance=NOISE, memory=1e4)
    with pytest.raises(ArgumentError, match="all are missing"):
        large.fill(np.full(SHAPE, np.nan), model=Matern(5.0), noise_variance=NOISE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tolerance": 0.0}, "tolerance must be positive"),
        ({"n_samples": -1}, "n_samples must be"),
        ({"passes": 0}, "passes must be"),
        ({"scratch": "nowhere"}, "scratch must be an existing folder, got nowhere"),
        ({"model": Matern(5.0, boundary="torus")}, "which wraps"),
        ({"model": CAR(0.26, boundary="dirichlet", neighbourhood=8)}, "must be a sum of squares"),
    ],
)
def test_what_is_refused_is_refused_before_anything_is_fitted(monkeypatch, changes, message):
    monkeypatch.setattr("sparsegmrf.large._fill.fit_on_tiles", None)
    with pytest.raises(ArgumentError, match=message):
        large.fill(np.zeros((40, 50)), **changes)
