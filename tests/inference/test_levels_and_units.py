"""Levels, slopes and units: what a field or its trend holds is added in vain, and results go with the unit."""

import numpy as np
import pytest
import scipy.fft
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import diagnose, fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import CAR, SAR, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.priors import PCPrecision, PCRange, PCSigma, PCVariance

SHAPE = (18, 21)
LEVEL = 1e9
SLOPES = (1e5, -3e5)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
PLANE = LEVEL + SLOPES[0] * ROWS + SLOPES[1] * COLUMNS

MODELS = {
    "random walk": Intrinsic(tau=2.0),
    "order 2": Intrinsic(2, tau=2.0),
    "spline": TensionSpline(kappa=0.6, tau=2.0),
    "proper spline": TensionSpline(kappa=0.6, tau=2.0, proper=0.02),
    "Matern": Matern(range=5.0, sigma=1.5),
    "smoother": Matern(range=5.0, sigma=1.5, nu=2.0),
    "CAR": CAR(0.248, tau=1.5),
    "two interactions": CAR((0.33, 0.165), tau=1.5),
    "SAR": SAR(0.22),
    "sum": Sum([Matern(range=2.5), Intrinsic(2, tau=20.0)], ["fine", "coarse"]),
}
# The model, its covariates, and what is added: of planes the slopes are in the null space or in the trend as well.
CASES = {
    "random walk": ("random walk", "constant", LEVEL),
    "random walk without covariates": ("random walk", None, LEVEL),
    "random walk with slopes": ("random walk", "linear", PLANE),
    "order 2": ("order 2", "constant", PLANE),
    "spline": ("spline", "constant", LEVEL),
    "spline with slopes": ("spline", "linear", PLANE),
    "proper spline": ("proper spline", "linear", PLANE),
    "Matern": ("Matern", "constant", LEVEL),
    "Matern with slopes": ("Matern", "linear", PLANE),
    "CAR": ("CAR", "linear", PLANE),
    "two interactions": ("two interactions", "linear", PLANE),
    "SAR": ("SAR", "linear", PLANE),
    "sum": ("sum", "constant", PLANE),
}
VARIANCE = 0.3
MAP = VARIANCE * (0.5 + COLUMNS / SHAPE[1])
NOISE = {"estimated": "estimate", "known": VARIANCE, "map": MAP, "none": None}
# A sum of fields is never observed without noise.
OBSERVED = [
    (name, noise, gaps)
    for name in CASES
    for noise, gaps in [*((noise, True) for noise in NOISE), ("estimated", False), ("none", False)]
    if (name, noise) != ("sum", "none")
]


def picture(model, noise=True):
    """A draw with noise and a slope, in steps of 2^-20, so that a level of 1e9 is added without rounding; and gaps."""
    rng = np.random.default_rng(3)
    field = model.gmrf(SHAPE).sample(rng=rng)
    image = (model.observe(field) if isinstance(model, Sum) else field) + 0.05 * ROWS
    image += noise * np.sqrt(VARIANCE) * rng.standard_normal(SHAPE)
    missing = rng.random(SHAPE) < 0.1
    missing[6:10, 8:13] = True
    return np.round(image * 2.0**20) / 2.0**20, missing


def shifted_coefficients(coefficients, added, covariates):
    """Coefficients after the image has been shifted: a plane's slopes, and its value in the middle."""
    image = np.broadcast_to(added, SHAPE)
    middle = 0.5 * (image[0, 0] + image[-1, -1])
    of = {"constant": middle, "row": image[1, 0] - image[0, 0], "column": image[0, 1] - image[0, 0]}
    return {name: value + of[name] for name, value in coefficients.items()}


@pytest.mark.parametrize(("name", "noise", "gaps"), OBSERVED)
def test_adding_what_field_or_trend_hold_changes_no_estimate(name, noise, gaps):
    key, covariates, added = CASES[name]
    model = MODELS[key]
    image, missing = picture(model, noise != "none")
    options = {
        "mask": missing if gaps else None,
        "noise_variance": NOISE[noise],
        "covariates": covariates,
        "tolerance": 1e-6,
    }
    plain, moved = fit(model, image, **options), fit(model, image + added, **options)
    assert moved.converged == plain.converged
    assert moved.loglik == pytest.approx(plain.loglik, abs=1e-6)
    assert moved.undetermined == plain.undetermined
    for key, value in plain.parameters.items():
        if key not in plain.undetermined:
            assert moved.parameters[key] == pytest.approx(value, rel=1e-5), key
            assert moved.standard_errors[key] == pytest.approx(plain.standard_errors[key], rel=1e-4), key
    expected = shifted_coefficients(plain.coefficients, added, covariates)
    for key, value in expected.items():
        assert moved.coefficients[key] == pytest.approx(value, abs=1e-5 * plain.coefficient_errors[key], rel=1e-15)
        assert moved.coefficient_errors[key] == pytest.approx(plain.coefficient_errors[key], rel=1e-5)


@pytest.mark.parametrize(("name", "noise"), [case[:2] for case in OBSERVED if case[1] != "map" and case[2]])
def test_filling_moves_with_what_is_added(name, noise):
    key, covariates, added = CASES[name]
    model = MODELS[key]
    image, missing = picture(model, noise != "none")
    options = {"mask": missing, "noise_variance": NOISE[noise], "model": model}
    options |= {"covariates": covariates, "n_samples": 3, "rng": 4}
    plain, moved = fill(image, **options), fill(image + added, **options)
    assert_allclose(moved.mean - added, plain.mean, atol=2e-6)
    assert_allclose(moved.std, plain.std, rtol=1e-6, atol=1e-12)
    assert_allclose(moved.predictive_std, plain.predictive_std, rtol=1e-6, atol=1e-12)
    assert_allclose(moved.samples - added, plain.samples, atol=5e-6)
    assert_allclose(moved.filled - added, plain.filled, atol=2e-6)
    assert_array_equal(moved.filled[~missing], (image + added)[~missing])


@pytest.mark.parametrize("level", [0.0, 1e5, 1e8, 1e9])
def test_random_walk_has_the_density_of_its_contrasts_at_every_level(level):
    rng = np.random.default_rng(1)
    image = rng.normal(size=(30, 32)).cumsum(0).cumsum(1) / 30 + 0.3 * rng.normal(size=(30, 32))
    image = np.round(image * 2.0**20) / 2.0**20
    waves = [2.0 - 2.0 * np.cos(np.pi * np.arange(size) / size) for size in image.shape]
    g = (waves[0][:, np.newaxis] + waves[1]).ravel()[1:]
    variance = 1.0 / (10.0 * g) + 0.1
    contrasts = scipy.fft.dctn(image, norm="ortho").ravel()[1:]
    exact = -0.5 * np.sum(np.log(2.0 * np.pi * variance) + contrasts**2 / variance)
    assert exact == pytest.approx(-354.5691, abs=1e-4)
    found = fit(Intrinsic(tau=10.0), image + level, noise_variance=0.1, fixed="tau")
    assert found.loglik == pytest.approx(exact, abs=1e-9)


def test_order_two_has_the_density_of_its_contrasts_on_any_plane():
    image, _ = picture(MODELS["order 2"])
    K = np.linalg.svd(np.stack([np.ones(SHAPE), ROWS, COLUMNS]).reshape(3, -1).T)[0][:, 3:]
    Q = Intrinsic(2, tau=3.0).stencil(SHAPE).tocsr().toarray()
    C = np.linalg.inv(K.T @ Q @ K) + 0.1 * np.eye(K.shape[1])
    y = K.T @ image.ravel()
    exact = -0.5 * (np.linalg.slogdet(2.0 * np.pi * C)[1] + y @ np.linalg.solve(C, y))
    for added in (0.0, PLANE):
        found = fit(Intrinsic(2, tau=3.0), image + added, noise_variance=0.1, fixed="tau")
        assert found.loglik == pytest.approx(exact, abs=1e-7)


def test_days_of_a_calendar_are_fitted_as_days_of_the_year():
    image, missing = picture(MODELS["spline"])
    days = np.round(0.01 * image * 2.0**30) / 2.0**30  # 2458899 and these have 52 bits
    for model in (TensionSpline(kappa=0.5), Matern(range=4.0)):
        near, far = (fit(model, level + days, mask=missing, tolerance=1e-6) for level in (0.0, 2458899.0))
        assert near.converged
        assert far.converged
        assert_allclose(list(far.parameters.values()), list(near.parameters.values()), rtol=1e-5)
        assert far.loglik == pytest.approx(near.loglik, abs=1e-6)


@pytest.mark.parametrize("name", ["random walk", "spline with slopes", "Matern with slopes", "sum"])
def test_restricted_likelihood_does_not_see_what_is_added(name):
    key, covariates, added = CASES[name]
    model = MODELS[key]
    image, missing = picture(model)
    options = {"mask": missing, "covariates": covariates, "method": "reml", "tolerance": 1e-6}
    plain, moved = fit(model, image, **options), fit(model, image + added, **options)
    assert moved.loglik == pytest.approx(plain.loglik, abs=1e-6)
    for key, value in plain.parameters.items():
        if key not in plain.undetermined:
            assert moved.parameters[key] == pytest.approx(value, rel=1e-5), key


@pytest.mark.parametrize("name", ["random walk", "spline with slopes", "Matern with slopes", "sum"])
def test_posterior_moves_with_what_is_added(name):
    key, covariates, added = CASES[name]
    model = MODELS[key]
    image, missing = picture(model)
    options = {"mask": missing, "covariates": covariates, "noise_variance": VARIANCE, "fixed": list(model.parameters)}
    plain, moved = fit(model, image, **options), fit(model, image + added, **options)
    means, variances = [], []
    for found in (plain, moved):
        field = found.posterior()
        stacked = isinstance(model, Sum)
        # Of a sum these are the fields without the trend.
        means.append(found.trend + model.observe(field.mean) if stacked else field.mean)
        variances.append(field.marginal_variance())
    assert_allclose(means[1] - added, means[0], atol=2e-6)
    assert_allclose(variances[1], variances[0], rtol=1e-9)


# Units. What a parameter is multiplied by when the image is.
POWERS = {"tau": -2, "sigma": 1, "noise_variance": 2}
UNITS = [1e-100, -3.0, 1e40, 1e100]
MODEST = [1e-40, -3.0, 1e40]
"""Units in which the square of a variance is a number, too."""


def power_of(parameter):
    return next((power for name, power in POWERS.items() if parameter.startswith(name)), 0)


def in_unit(value, a, power):
    """``value * |a|^power`` with no power formed on the way."""
    for _ in range(abs(power)):
        value = value * abs(a) if power > 0 else value / abs(a)
    return value


def same_up_to_unit(found, plain, a):
    """Check estimates and density of a fit against those of the same image in another unit."""
    assert found.converged == plain.converged
    assert found.loglik == pytest.approx(plain.loglik - plain.problem.objective.degrees * np.log(abs(a)), abs=1e-5)
    assert found.undetermined == plain.undetermined
    for key, value in plain.parameters.items():
        if key not in plain.undetermined:
            expected = in_unit(value, a, power_of(key))
            assert found.parameters[key] == pytest.approx(expected, rel=1e-6, abs=0.0), key
    for key, error in plain.coefficient_errors.items():
        assert found.coefficient_errors[key] == pytest.approx(abs(a) * error, rel=1e-6, abs=0.0)
        assert found.coefficients[key] / a == pytest.approx(plain.coefficients[key], abs=1e-6 * error)


@pytest.mark.parametrize("a", UNITS)
@pytest.mark.parametrize("name", MODELS)
def test_filling_in_another_unit_is_the_filling_in_that_unit(name, a):
    image, missing = picture(MODELS[name])
    moved = a * image + 7.0 * a
    options = {"mask": missing, "model": MODELS[name], "n_samples": 2, "rng": 4}
    plain, found = fill(image + 7.0, **options), fill(moved, **options)
    size = abs(a)
    assert plain.fit.converged, plain.fit.reason
    same_up_to_unit(found.fit, plain.fit, a)
    assert_allclose(found.mean / a, plain.mean, rtol=0.0, atol=1e-7)
    assert_allclose(found.std / size, plain.std, rtol=1e-7)
    assert_allclose(found.predictive_std / size, plain.predictive_std, rtol=1e-7)
    # A draw is the mean plus a deviation, whose sign the sign of the unit does not change.
    assert_allclose((found.samples - found.mean) / size, plain.samples - plain.mean, atol=1e-6)
    assert_array_equal(found.filled[~missing], moved[~missing])
    assert_array_equal(found.filled[missing], found.mean[missing])


@pytest.mark.parametrize("a", UNITS)
@pytest.mark.parametrize("name", MODELS)
def test_restricted_fit_in_another_unit_is_the_fit_in_that_unit(name, a):
    image, missing = picture(MODELS[name])
    options = {"mask": missing, "method": "reml", "covariates": "linear"}
    plain, found = fit(MODELS[name], image, **options), fit(MODELS[name], a * image, **options)
    assert plain.converged, plain.reason
    same_up_to_unit(found, plain, a)


@pytest.mark.parametrize("a", MODEST)
@pytest.mark.parametrize("name", MODELS)
def test_errors_and_intervals_go_with_the_unit(name, a):
    image, missing = picture(MODELS[name])
    plain, found = (fit(MODELS[name], each, mask=missing, tolerance=1e-6) for each in (image, a * image))
    assert not plain.undetermined
    intervals, plain_intervals = found.confidence_intervals(), plain.confidence_intervals()
    for key, error in plain.standard_errors.items():
        power = power_of(key)
        assert found.standard_errors[key] == pytest.approx(in_unit(error, a, power), rel=1e-4, abs=0.0), key
        assert_allclose(intervals[key], [in_unit(end, a, power) for end in plain_intervals[key]], rtol=1e-4)
    for key, error in plain.coefficient_errors.items():
        expected = np.sort(a * np.array(plain_intervals[key]))
        assert_allclose(intervals[key], expected, rtol=1e-5, atol=1e-5 * abs(a) * error)


@pytest.mark.parametrize("a", UNITS)
@pytest.mark.parametrize("name", ["random walk", "spline", "Matern", "CAR", "SAR", "sum"])
def test_fit_with_given_scale_and_noise_goes_with_the_unit(name, a):
    image, missing = picture(MODELS[name])
    model = MODELS[name]
    held = [key for key in model.parameters if power_of(key)]
    moved = model.replace(**{key: in_unit(model.parameters[key], a, power_of(key)) for key in held})
    for noise in (VARIANCE, MAP, "estimate"):
        given = noise if isinstance(noise, str) else noise * abs(a) * abs(a)
        plain = fit(model, image, mask=missing, noise_variance=noise, fixed=held)
        found = fit(moved, a * image, mask=missing, noise_variance=given, fixed=held)
        same_up_to_unit(found, plain, a)


@pytest.mark.parametrize(("name", "a"), [("spline", -3.0), ("spline", 1e-100), *(("Matern", a) for a in UNITS)])
def test_fit_with_priors_goes_with_the_unit(name, a):
    image, missing = picture(MODELS[name])
    size, found = abs(a), []
    for s in (1.0, size):
        own = {"tau": PCPrecision(2.0 * s, 0.05)} if name == "spline" else {"sigma": PCSigma(2.0 * s, 0.05)}
        own["noise_variance"] = PCVariance(0.5 * s, 0.1)
        if name == "Matern":
            own["range"] = PCRange(3.0, 0.1)
        found.append(fit(MODELS[name], image if s == 1.0 else a * image, mask=missing, priors=own))
    plain, moved = found
    assert plain.converged, plain.reason
    same_up_to_unit(moved, plain, a)
    # Densities of numbers on the real line, logarithms of what has a unit, do not have one.
    assert moved.log_prior == pytest.approx(plain.log_prior, abs=1e-6)


@pytest.mark.parametrize("a", UNITS)
@pytest.mark.parametrize("name", ["spline", "Matern", "sum"])
def test_posterior_and_diagnosis_go_with_the_unit(name, a):
    image, missing = picture(MODELS[name])
    plain, found = (fit(MODELS[name], each, mask=missing, tolerance=1e-6) for each in (image, a * image))
    before, after = plain.posterior(), found.posterior()
    assert_allclose(after.mean / a, before.mean, rtol=0.0, atol=1e-6)
    assert_allclose(after.marginal_variance() / abs(a) / abs(a), before.marginal_variance(), rtol=1e-5)
    if a > 0.0:
        first, second = diagnose(plain, n_samples=4), diagnose(found, n_samples=4)
        assert second.residual < 1e-12
        assert second.variance_ratio == pytest.approx(first.variance_ratio, rel=1e-5)
        assert second.innovations.portmanteau == pytest.approx(first.innovations.portmanteau, rel=1e-4)
        assert second.noise.variance_z == pytest.approx(first.noise.variance_z, abs=1e-3)


@pytest.mark.parametrize("a", [1e155, 1e-155, 1e300, 1e-300])
@pytest.mark.parametrize("model", [None, Matern(range=4.0), Intrinsic(2)], ids=["default", "Matern", "order 2"])
def test_values_whose_squares_are_no_numbers_are_refused_in_a_sentence(model, a):
    image, missing = picture(MODELS["Matern"])
    with pytest.raises(ArgumentError, match=r"image must vary by between .* divide it"):
        fill(a * image, mask=missing, model=model)


def test_covariates_have_units_of_their_own():
    image, missing = picture(MODELS["Matern"])
    columns = np.stack([np.ones(SHAPE), ROWS, COLUMNS])
    units = np.array([1e-60, 1e90, -1e30])
    plain = fit(Matern(range=4.0), image, mask=missing, covariates=columns)
    found = fit(Matern(range=4.0), image, mask=missing, covariates=columns * units[:, np.newaxis, np.newaxis])
    assert found.loglik == pytest.approx(plain.loglik, abs=1e-9)
    assert_allclose(np.array(list(found.coefficients.values())) * units, list(plain.coefficients.values()), rtol=1e-6)
    errors = np.array(list(found.coefficient_errors.values())) * np.abs(units)
    assert_allclose(errors, list(plain.coefficient_errors.values()), rtol=1e-7)


@pytest.mark.parametrize("name", ["random walk", "Matern"])
def test_cross_validation_goes_with_level_and_unit(name):
    model, (image, missing) = MODELS[name], picture(MODELS[name])
    options = {"mask": missing, "method": "cv", "rng": 1}
    plain = fit(model, image, **options)
    for a, level in ((1.0, LEVEL), (2.0**300, 0.0), (-(2.0**-300), 0.0)):
        found = fit(model, a * image + level, **options)
        for key, value in plain.parameters.items():
            assert found.parameters[key] == pytest.approx(in_unit(value, a, power_of(key)), rel=1e-5, abs=0.0)
        assert found.cv_score / abs(a) == pytest.approx(plain.cv_score, rel=1e-6)
        assert found.converged == plain.converged


@pytest.fixture(scope="module")
def best():
    """An image and what the best model fills it with."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(20, 25)).cumsum(0).cumsum(1) / 5.0 + 0.1 * rng.normal(size=(20, 25))
    image[5:8, 5:9] = np.nan
    return image, fill(image, model="best", rng=0)


@pytest.mark.parametrize("unit", [1e-140, 1e-120, 1e130])
def test_best_model_of_an_image_in_any_unit_is_the_same_one(unit, best):
    image, plain = best
    unit = 2.0 ** np.round(np.log2(unit))
    found = fill(unit * image, model="best", rng=0)
    assert_allclose(found.mean / unit, plain.mean, rtol=1e-6)
    assert_allclose(found.std / unit, plain.std, rtol=1e-6)
    assert type(found.fit.model) is type(plain.fit.model)


@pytest.mark.parametrize("noise", ["estimate", None, 1e-18])
def test_plane_with_hardly_any_noise_is_its_noise_under_a_field_that_holds_planes(noise):
    white = np.random.default_rng(0).normal(size=SHAPE)
    plain = fit(Intrinsic(2), white, noise_variance=1.0 if noise == 1e-18 else noise)
    found = fit(Intrinsic(2), 0.3 * ROWS - 0.7 * COLUMNS + 1e-9 * white, noise_variance=noise)
    assert found.converged == plain.converged
    for key, value in plain.parameters.items():
        assert found.parameters[key] == pytest.approx(value * (1e18 if key == "tau" else 1e-18), rel=1e-4)
