"""Profiles of the likelihood are what a fit finds with the parameter held."""

import numpy as np
import pytest

from sparsegmrf import CAR, Matern, TensionSpline, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.priors import PCRange


def noisy(shape=(16, 20), seed=0):
    rng = np.random.default_rng(seed)
    image = Matern(range=5.0).gmrf(shape).sample(rng=rng) + 0.3 * rng.standard_normal(shape)
    image[4:8, 5:9] = np.nan
    return image


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("name", ["range", "sigma"])
def test_profile_is_the_maximum_with_the_parameter_held(name, method):
    image = noisy()
    found = fit(Matern(), image, method=method, tolerance=1e-4)
    profile = found.profile(name)[name]
    assert profile.estimate == pytest.approx(found.parameters[name], rel=1e-12)
    for value, drop in zip(profile.values, profile.drops, strict=True):
        start = found.model.replace(**{name: float(value)})
        held = fit(start, image, method=method, fixed=name, tolerance=1e-4)
        assert held.loglik - found.loglik == pytest.approx(drop, abs=5e-3)


def test_profile_of_the_noise_is_the_maximum_with_it_given():
    image = noisy()
    found = fit(TensionSpline(kappa=0.5), image, tolerance=1e-4)
    profile = found.profile("noise_variance")["noise_variance"]
    for value, drop in zip(profile.values, profile.drops, strict=True):
        held = fit(found.model, image, noise_variance=float(value), tolerance=1e-4)
        assert held.loglik - found.loglik == pytest.approx(drop, abs=5e-3)


def test_profile_with_priors_is_that_of_the_posterior():
    image, priors = noisy(), {"range": PCRange(3.0, 0.5)}
    found = fit(Matern(sigma=1.0), image, priors=priors, noise_variance=0.09, fixed="sigma", tolerance=1e-4)
    profile = found.profile()["range"]
    for value, drop in zip(profile.values, profile.drops, strict=True):
        held = fit(Matern(range=float(value), sigma=1.0), image, noise_variance=0.09, fixed=["range", "sigma"])
        density = PCRange(3.0, 0.5).log_density(float(value)) + np.log(value)  # of the logarithm of the range
        at_mode = PCRange(3.0, 0.5).log_density(found.parameters["range"]) + np.log(found.parameters["range"])
        assert held.loglik + density - found.loglik - at_mode == pytest.approx(drop, abs=5e-3)


def test_interval_ends_where_the_likelihood_ratio_is_that_of_the_level():
    found = fit(Matern(), noisy(), noise_variance=0.09, tolerance=1e-4)
    low, high = found.profile("range")["range"].interval(0.9)
    assert low < found.parameters["range"] < high
    for end in (low, high):
        held = fit(Matern(range=end), noisy(), noise_variance=0.09, fixed="range", tolerance=1e-4)
        assert 2.0 * (found.loglik - held.loglik) == pytest.approx(1.6448536**2, abs=0.05)


def test_near_the_estimate_the_profile_is_the_normal_likelihood():
    profile = fit(Matern(), noisy(), noise_variance=0.09).profile("range")["range"]
    steps = np.array([-0.05, 0.0, 0.05])
    np.testing.assert_allclose(profile.drop(steps), -0.5 * steps**2, atol=1e-3)
    values, followed, normal = profile.curve(5)
    assert values[0] == pytest.approx(profile.values[0])
    assert values[-1] == pytest.approx(profile.values[-1])
    assert followed[0] == pytest.approx(np.exp(profile.drops[0]))
    np.testing.assert_allclose(normal, np.exp(-0.5 * np.linspace(profile.steps[0], profile.steps[-1], 5) ** 2))


def test_interval_is_unknown_where_the_profile_was_not_followed_so_far():
    profile = fit(Matern(), noisy(), noise_variance=0.09).profile("range")["range"]
    assert np.isnan(profile.interval(1.0 - 1e-12)).all()
    with pytest.raises(ArgumentError, match="level"):
        profile.interval(1.0)


def test_parameters_without_a_profile_are_refused_by_name():
    joint = fit(CAR([0.1, 0.1]), noisy(), noise_variance=None)
    assert set(joint.profile()) == {"tau"}
    with pytest.raises(ArgumentError, match="have a profile, tau, got"):
        joint.profile([next(name for name in joint.parameters if name != "tau")])
