"""Likelihoods with kinks: the search ends at the highest point of a kink, says so, and is no worse for it."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import fit
from sparsegmrf.inference._kink import climb_kink
from sparsegmrf.inference._memo import Point
from sparsegmrf.inference._search import Ending, maximize
from sparsegmrf.models import Matern


def roof(at, bend=0.0):
    """A smooth hill with a ridge ``x_1 = bend x_0^2``, and in ``x_2`` nothing but the hill; its top is on the ridge."""
    x, y, z = at
    off = y - bend * x * x
    value = -0.5 * (x - 1.0) ** 2 - 2.0 * (z + 0.3) ** 2 - 0.5 * off**2 - 3.0 * max(off, 0.0) + 0.5 * min(off, 0.0)
    by_off = -off - (3.0 if off > 0.0 else -0.5)
    gradient = np.array([1.0 - x - 2.0 * bend * x * by_off, by_off, -4.0 * (z + 0.3)])
    return Point(value, gradient, np.diag([1.0, 1.0, 4.0]), None)


class Searched:
    names = ("x", "y", "z")

    def __init__(self, function):
        self.function, self.points = function, set()

    def __call__(self, at):
        self.points.add(at.tobytes())
        return self.function(at)


@pytest.mark.parametrize("bend", [0.0, 0.3, -0.6])
@pytest.mark.parametrize("start", [(0.0, 1.0, 0.0), (3.0, -2.0, 1.0), (1.0, 0.01, -0.3)])
def test_search_ends_at_the_top_of_a_roof_within_a_bounded_number_of_evaluations(bend, start):
    objective = Searched(partial(roof, bend=bend))
    found = maximize(objective, np.array(start), 1e-6)
    assert found.ending is Ending.KINK
    assert found.converged
    # On the ridge only the smooth hill is left.
    assert_allclose(found.at, [1.0, bend, -0.3], atol=2e-6)
    assert min(found.kink.slopes) > 0.0
    assert len(objective.points) < 300


def test_slopes_of_a_roof_are_those_of_its_sides_and_its_numbers_those_it_is_in():
    kink = climb_kink(roof, np.array([0.2, 0.01, 0.1]), np.array([0.2, -0.5, 0.1]), slice(None), 1e-8)
    assert_allclose(sorted(kink.slopes), [0.5, 3.0], rtol=1e-5)
    assert kink.crossing.tolist() == [False, True, False]


def test_numbers_that_are_held_stay_while_the_others_climb():
    kink = climb_kink(roof, np.array([0.2, 0.01, 0.7]), np.array([0.2, -0.5, 0.7]), slice(None, -1), 1e-8)
    assert_allclose(kink.at, [1.0, 0.0, 0.7], atol=1e-7)
    assert kink.at[2] == 0.7


@pytest.mark.parametrize("at", [(1.0, -2.0, -0.3), (0.3, 2.5, 0.4)])
def test_a_valley_between_two_hills_and_a_smooth_hill_are_no_kinks(at):
    def smooth(at):
        return Point(-0.5 * float(at @ at), -at, np.eye(3), None)

    def valley(at):
        side = 1.0 if at[1] > 0.0 else -1.0
        return Point(abs(at[1]) - 0.5 * float(at @ at), np.array([0.0, side, 0.0]) - at, np.eye(3), None)

    for function in (smooth, valley):
        assert climb_kink(function, np.array(at), -np.array(at), slice(None), 1e-6) is None


def test_jumps_of_gradients_that_values_do_not_tell_are_no_kink():
    def rounded(at):
        jump = np.array([0.0, 0.2 if at[1] < 0.0 else -0.2, 0.0])
        return Point(-0.5 * float(at @ at), jump - at, np.eye(3), None)

    at = np.array([0.3, -0.1, 0.2])
    assert climb_kink(rounded, at, at + np.array([0.0, 0.5, 0.0]), slice(None), 1e-6) is None


SHAPE = (12, 15)


def drawn(seed, nu):
    """An image whose likelihood under the monotone scheme is largest without shear."""
    return Matern(range=5.0, nu=nu, anisotropy=(1.8, 0.0)).gmrf(SHAPE).sample(rng=seed)


def on_kinks(count):
    """Fits that end on the kink at a shear of zero, of the images 0, 1, ..."""
    for seed in range(100):
        image = drawn(seed, 1.0)
        found = fit(Matern(anisotropy=(1.5, 0.3)), image, noise_variance=None)
        if "kink" in found.reason and abs(found.parameters["shear"]) < 1e-6:
            yield image, found
            count -= 1
        if not count:
            return


def test_fits_on_the_kink_without_shear_are_those_in_which_it_is_held_at_zero():
    checked = 0
    for image, found in on_kinks(3):
        held = fit(Matern(anisotropy=(1.5, 0.0)), image, noise_variance=None, fixed="shear", tolerance=1e-6)
        assert found.converged
        assert found.undetermined == ()
        assert held.converged
        assert found.loglik == pytest.approx(held.loglik, abs=1e-6)
        for name, value in held.parameters.items():
            assert found.parameters[name] == pytest.approx(value, rel=1e-3), name
        assert found.reason.startswith("the likelihood has a kink here in shear, towards which it rises by ")
        for step in (-1e-3, 1e-3, -0.03, 0.03):
            moved = fit(
                found.model.replace(shear=step),
                image,
                noise_variance=None,
                fixed=["range", "sigma", "stretch", "shear"],
            )
            assert moved.loglik < found.loglik
        assert all(0.0 < error < 1.0 for error in found.standard_errors.values())
        checked += 1
    assert checked == 3
