"""Likelihoods that are flat towards an end: no exception, no error where there is no information, and what it means."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import fill, fit
from sparsegmrf.models import CAR, SAR, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.priors import Normal, PCRange, PCVariance

SHAPE = (24, 26)
N = SHAPE[0] * SHAPE[1]
SEEDS = [0, 1, 2, 4, 7, 9]
MODELS = {
    "spline": TensionSpline(),
    "random walk": Intrinsic(),
    "order 2": Intrinsic(2),
    "Matern": Matern(),
    "Matern of a short start": Matern(range=5.0),
    "CAR": CAR(),
    "SAR": SAR(),
    "pair": CAR((0.1, 0.1)),
    "sum": Sum([Matern(range=4.0), TensionSpline(kappa=0.3)], ["fine", "coarse"]),
}
DEFICIENCY = {"spline": 1, "random walk": 1, "order 2": 3}


def white(seed, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape)


def walk(seed):
    """A random walk of unit steps along a column, with noise of variance 0.25."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(60, 1)).cumsum(0) + 0.5 * rng.normal(size=(60, 1))


def check_report(result):
    """Check that what has no information has no error, is named, and that everything else has one."""
    errors = result.standard_errors
    assert set(result.undetermined) == {name for name, error in errors.items() if np.isnan(error)}
    for name, error in errors.items():
        assert np.isnan(error) or 0.0 < error < np.inf
        assert name in result.reason or name not in result.undetermined
    assert not (result.converged and result.undetermined)
    for name, ends in result.confidence_intervals().items():
        assert np.isnan(ends).all() == (name in result.undetermined)
    assert ("NOT CONVERGED" in result.summary()) == (not result.converged)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", MODELS)
def test_white_noise_ends_in_a_report_near_the_supremum(name, seed):
    image = white(seed)
    result = fit(MODELS[name], image)
    check_report(result)
    # Independent pixels, about a mean or as contrasts of what the null space holds, are a limit of every field.
    V = np.stack([np.ones(SHAPE), *np.mgrid[: SHAPE[0], : SHAPE[1]]])[: DEFICIENCY.get(name, 1)].reshape(-1, N).T
    rest = image.ravel() - V @ np.linalg.lstsq(V, image.ravel())[0]
    count = N - (V.shape[1] if name in DEFICIENCY or name == "sum" else 0)
    variance = rest @ rest / count
    limit = -0.5 * count * (np.log(2.0 * np.pi * variance) + 1.0)
    assert result.problem.objective.without_field()[:2] == pytest.approx((limit, variance), rel=1e-12)
    assert result.loglik > limit - 1e-3
    # What a field gains by chance: twice the gain is chi-squared, of up to 4 degrees; P(gain > 15) < 1e-5 for each.
    assert result.loglik < limit + 15.0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["spline", "random walk", "order 2"])
def test_noise_that_is_all_keeps_its_variance_and_error(name, seed):
    image = white(seed)
    result = fit(MODELS[name], image)
    value, variance, error = result.problem.objective.without_field()
    assert error == pytest.approx(variance * np.sqrt(2.0 / (N - DEFICIENCY[name])), rel=1e-12)
    if result.loglik > value + 0.01:  # the field takes a share of the variance
        assert result.parameters["noise_variance"] < variance
        return
    assert not result.converged
    assert "cannot be told from noise" in result.reason
    assert "tau" in result.undetermined
    assert "noise_variance" not in result.undetermined
    assert result.parameters["noise_variance"] == pytest.approx(variance, rel=1e-4)
    assert result.standard_errors["noise_variance"] == pytest.approx(error, rel=1e-3)


def test_some_white_images_have_no_field_at_all():
    gains = [fit(Intrinsic(), white(seed)) for seed in SEEDS]
    alone = [result for result in gains if result.loglik < result.problem.objective.without_field()[0] + 0.01]
    assert len(alone) >= 2


@pytest.mark.parametrize("seed", [1, 4])
def test_larger_white_images_end_without_an_exception(seed):
    check_report(fit(TensionSpline(), white(seed, (64, 64))))


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_white_images_are_filled_with_their_trend(seed):
    image = white(seed)
    image[5:12, 8:16] = np.nan
    result = fill(image)
    check_report(result.fit)
    assert np.isfinite(result.mean).all()
    assert np.isfinite(result.std).all()
    assert np.abs(result.mean[5:12, 8:16]).max() < 4.0 * result.predictive_std.max()


@pytest.mark.parametrize("seed", [1, 2, 5, 8])
def test_noisy_random_walk_keeps_its_noise_and_is_called_one(seed):
    image = walk(seed)
    spline, limit = fit(TensionSpline(), image), fit(Intrinsic(), image, tolerance=1e-6)
    assert limit.converged
    check_report(spline)
    assert "kappa ran to infinity" in spline.reason
    assert "Intrinsic() is this model" in spline.reason
    assert "noise_variance=None" not in spline.reason
    assert "kappa" in spline.undetermined
    assert spline.loglik == pytest.approx(limit.loglik, abs=1e-3)
    assert spline.parameters["noise_variance"] == pytest.approx(limit.parameters["noise_variance"], rel=0.05)
    # Far out the spline is the random walk of the precision tau kappa^2.
    of_steps = spline.parameters["tau"] * spline.parameters["kappa"] ** 2
    assert of_steps == pytest.approx(limit.parameters["tau"], rel=0.05)


def test_plate_with_noise_has_all_its_errors():
    rng = np.random.default_rng(3)
    image = Intrinsic(2, tau=4.0).gmrf(SHAPE).sample(rng=rng) + 0.3 * rng.standard_normal(SHAPE)
    spline = fit(TensionSpline(), image, covariates="linear")
    check_report(spline)
    assert spline.converged
    assert spline.undetermined == ()
    assert abs(spline.parameters["noise_variance"] - 0.09) < 5.0 * spline.standard_errors["noise_variance"]


@pytest.mark.parametrize("seed", [1, 2])
def test_smooth_field_without_noise_says_that_noise_ran_to_zero(seed):
    image = Matern(range=8.0).gmrf(SHAPE).sample(rng=seed)
    result = fit(Matern(), image)
    check_report(result)
    assert not result.converged
    assert result.reason.startswith("noise_variance ran to zero: the image shows no independent noise")
    assert result.undetermined == ("noise_variance",)
    exact = fit(Matern(), image, noise_variance=None)
    assert result.loglik == pytest.approx(exact.loglik, abs=0.05)
    assert_allclose([result.parameters[key] for key in exact.parameters], list(exact.parameters.values()), rtol=0.01)
    errors = [result.standard_errors[key] for key in exact.parameters]
    assert_allclose(errors, list(exact.standard_errors.values()), rtol=0.02)


def test_independent_pixels_under_a_matern_field_are_noise():
    image = white(0)
    result = fit(Matern(), image)
    check_report(result)
    _, variance, _ = result.problem.objective.without_field()
    assert "cannot be told from noise" in result.reason
    assert f"{variance:.6g}" in result.reason
    assert "range ran to zero" in result.reason
    within = result.model.gmrf(SHAPE).marginal_variance().mean() + result.noise_variance
    assert within == pytest.approx(variance, rel=1e-3)


def test_random_walk_names_the_scale_that_has_run_not_the_noise():
    result = fit(Intrinsic(), white(2))
    assert "tau ran to infinity" in result.reason
    assert "noise_variance" not in result.reason


def test_autoregression_of_independent_pixels_does_not_advise_to_leave_noise_out():
    for model in (CAR(), SAR()):
        for seed in SEEDS:
            result = fit(model, white(seed))
            if not result.converged:
                assert "cannot be told from noise" in result.reason
                assert "noise_variance=None" not in result.reason


@pytest.mark.parametrize("start", [TensionSpline(), TensionSpline(kappa=0.5), TensionSpline(kappa=3.0, tau=0.01)])
def test_optimum_with_a_weak_direction_is_called_converged(start):
    rng = np.random.default_rng(1)
    image = rng.normal(size=(30, 32)).cumsum(0).cumsum(1) / 30 + 0.3 * rng.normal(size=(30, 32))
    result = fit(start, image)
    assert result.converged, result.reason
    assert result.loglik == pytest.approx(-339.44371, abs=5e-6)
    assert result.parameters["kappa"] == pytest.approx(0.8018, abs=3e-4)
    assert result.parameters["tau"] == pytest.approx(6.667, abs=1e-3)
    assert result.parameters["noise_variance"] == pytest.approx(0.08949, abs=1e-5)


@pytest.mark.parametrize("noise", ["estimate", None, 0.5])
@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (2, 15), (5, 5), (3, 4)])
def test_strips_and_small_images_end_in_a_report(shape, noise):
    image = white(0, shape)
    for name, model in MODELS.items():
        if (name == "order 2" and min(shape) == 1) or (name == "sum" and noise is None):
            continue
        check_report(fit(model, image, noise_variance=noise))


@pytest.mark.parametrize("seed", SEEDS[:4])
@pytest.mark.parametrize(
    ("model", "priors"),
    [
        (CAR(), {"rho": Normal(0.0, 0.2)}),
        (CAR(), {"rho": Normal(0.0, 0.02)}),
        (Matern(), {"range": PCRange(5.0, 0.05)}),
        (Intrinsic(), {"noise_variance": PCVariance(1.0, 0.05)}),
    ],
)
def test_white_noise_with_priors_is_called_noise(model, priors, seed):
    result = fit(model, white(seed, (20, 25)), priors=priors)
    check_report(result)
    assert "fit with noise_variance=None" not in result.reason
    if not result.converged:
        assert "cannot be told from noise" in result.reason
        value = result.problem.objective.without_field()[0]
        assert abs(max(result.loglik - value, 0.0) - float(result.reason.split(", ")[1].split(" nats")[0])) < 0.05
