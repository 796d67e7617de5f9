"""Ends of searches where less is profiled, errors there, and numbers far from one."""

import numpy as np
import pytest

from sparsegmrf import fit
from sparsegmrf.inference._conclusion import _falls
from sparsegmrf.inference._memo import Point
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import CAR, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.priors import PCVariance
from tests.inference.fuzz import Drawn
from tests.inference.test_flat_ends import walk, white


@pytest.mark.parametrize("options", [{"noise_variance": 0.25}, {"priors": {"noise_variance": PCVariance(1.0, 0.05)}}])
@pytest.mark.parametrize("seed", [1, 2])
def test_random_walk_is_called_one_whatever_is_known_of_the_noise(seed, options):
    spline = fit(TensionSpline(), walk(seed), **options)
    assert "kappa ran to infinity: the field is a random walk" in spline.reason
    assert "tau ran to zero" not in spline.reason


def test_counts_of_a_random_walk_name_kappa():
    image = np.ones((12, 13), dtype=int)
    image[5, 5] = 1000
    found = fit(TensionSpline(), image, likelihood=Poisson())
    assert "kappa ran to infinity" in found.reason


@pytest.mark.parametrize("seed", [1, 2, 8])
def test_error_of_the_noise_is_that_of_the_model_at_the_end(seed):
    spline, limit = fit(TensionSpline(), walk(seed)), fit(Intrinsic(), walk(seed))
    expected = limit.standard_errors["noise_variance"]
    assert spline.standard_errors["noise_variance"] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("unit", [1e-200, 1e250])
def test_covariates_in_any_unit(unit):
    image = white(0, (16, 18)) + Matern(range=5.0).gmrf((16, 18)).sample(rng=1)
    X = np.stack([np.ones((16, 18)), np.cos(np.mgrid[:16, :18][0])])
    plain, found = (fit(Matern(4.0), image, covariates=each) for each in (X, unit * X))
    assert found.loglik == pytest.approx(plain.loglik, abs=1e-9)


@pytest.mark.parametrize("tau", [1e12, 1e20, 1e200, 1e-200])
@pytest.mark.parametrize("order", [1, 2])
def test_variances_of_intrinsic_fields_go_with_the_unit(tau, order):
    one = Intrinsic(order).gmrf((18, 21)).marginal_variance()
    found = Intrinsic(order, tau=tau).gmrf((18, 21)).marginal_variance()
    np.testing.assert_allclose(found * tau, one, rtol=1e-9)


def test_a_sum_that_is_told_to_leave_the_noise_out_is_as_likely_without():
    rng = np.random.default_rng(1)
    model, told = Sum([Matern(range=2.5), Matern(range=10.0, sigma=2.0)], ["fine", "coarse"]), []
    for seed in range(4):
        image = model.observe(model.gmrf((20, 25)).sample(rng=seed)) + 0.1 * rng.standard_normal((20, 25))
        found = fit(model, image)
        if "fit with noise_variance=None" in found.reason:
            told.append(fit(model, image, noise_variance=None).loglik - found.loglik)
    assert told
    assert min(told) > -1e-2


@pytest.mark.parametrize("noise", [1e2, 1e6, 1e12, 1e100, 1e300, 1e307])
def test_noise_far_above_the_data_leaves_no_field(noise):
    image = white(0, (20, 25))
    for model in (Matern(), Intrinsic(), CAR(), TensionSpline()):
        found = fit(model, image, noise_variance=noise)
        assert not found.converged
        assert found.undetermined
        assert set(found.undetermined) == set(found.parameters)
        # The field vanishes: independent pixels about the mean, of the level's contrasts where that is free.
        rest = image - image.mean()
        count = image.size - isinstance(model, Intrinsic | TensionSpline)
        alone = -0.5 * (count * np.log(2.0 * np.pi * noise) + np.sum(rest * rest) / noise)
        assert found.loglik == pytest.approx(alone, abs=1e-2)
        assert found.loglik <= alone + 1e-9 * abs(alone)


@pytest.mark.parametrize("noise", [1e12, 1e100, 1e200, 1e307])
@pytest.mark.parametrize(("model", "fixed"), [(Matern(), "sigma"), (Matern(), "range"), (CAR(), "tau")])
def test_noise_far_above_a_field_that_is_held_ends_in_a_reason(model, fixed, noise):
    for options in ({}, {"method": "reml"}, {"covariates": "linear"}, {"covariates": None}):
        found = fit(model, white(0, (20, 25)), noise_variance=noise, fixed=fixed, **options)
        assert not found.converged
        assert "not determined" in found.reason or "ran to" in found.reason
        assert np.isfinite(list(found.coefficient_errors.values())).all()


def test_pixels_of_enormous_noise_say_nothing():
    image = white(0, (20, 25)) + Matern(range=6.0).gmrf((20, 25)).sample(rng=1)
    missing = np.zeros((20, 25), dtype=bool)
    missing[3:5] = True
    plain = fit(Matern(), image, mask=missing, noise_variance=1.0)
    for noise in (1e20, 1e100, 1e300):
        found = fit(Matern(), image, noise_variance=np.where(missing, noise, 1.0))
        assert found.parameters == pytest.approx(plain.parameters, rel=1e-4)


def test_nothing_is_said_to_run_where_the_likelihood_falls():
    # A step that is all but constant along columns: the likelihood falls by more than half a nat at longer ranges.
    step = Drawn(360)
    assert "range ran to" not in step.found.reason
    assert not step.found.converged
    step.outcome()


def test_a_likelihood_that_falls_where_its_curvature_is_no_maximum_s_is_said_to_fall():
    # Where rounding stops each of these searches depends on the processor.
    ends = [Drawn(seed) for seed in (646, 1153, 1992)]
    falls = " has no error: its curvature is not that of a maximum, but the likelihood falls from here towards"
    assert any(falls in each.found.reason for each in ends)
    for each in ends:
        assert not each.found.converged
        each.outcome()


class Ridge:
    """A function of two numbers along a bent ridge, as steep along it as is said."""

    names = ("x", "y")

    def __init__(self, slope):
        self.slope = slope

    def __call__(self, at):
        x, y = at
        off = y - 0.3 * x * x
        gradient = np.array([self.slope + 6.0 * off * x, -10.0 * off])
        information = np.array([[3.6 * x * x, -6.0 * x], [-6.0 * x, 10.0]])
        return Point(self.slope * x - 5.0 * off * off, gradient, information, None)


@pytest.mark.parametrize(("slope", "falls"), [(0.0, False), (0.5, False), (-0.05, False), (-0.5, True)])
def test_the_likelihood_falls_where_it_does_though_others_follow_on_a_bent_ridge(slope, falls):
    ridge = Ridge(slope)
    assert _falls(ridge, np.array([3.0, 2.7]), "x", 3.0) == falls
    # The other way it is the other way round.
    assert _falls(ridge, np.array([-3.0, 2.7]), "x", -3.0) == (slope > 0.2)


def test_an_end_next_to_a_wall_says_so_and_the_likelihood_rises_towards_it():
    image = np.random.default_rng(0).normal(size=(20, 25))
    model = CAR((0.05,) * 3, neighbourhood=[(0, 1), (1, 0), (2, 0)])
    found = fit(model, image)
    wall = "rho_0, rho_1, rho_2 are next to an end of what they can be together, towards which the likelihood rises"
    assert found.reason.startswith(wall)
    assert not found.converged
    at, outside = found.model.rho, 0
    for change in (-1e-3, 1e-3):
        for k in range(3):
            moved = found.model.replace(rho=tuple(np.array(at) + change * (np.arange(3) == k)))
            if not moved.is_inside(image.shape):
                outside += 1
                continue
            there = fit(moved, image, noise_variance=found.noise_variance, fixed=list(moved.parameters))
            assert there.loglik < found.loglik + 0.01
    assert outside > 0
