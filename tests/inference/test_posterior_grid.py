from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf._interval import Interval
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._grid_marginals import grid_marginals
from sparsegmrf.inference._posterior_grid import explore_grid
from sparsegmrf.inference._standardized import standardized
from tests.inference.synthetic_posterior import Synthetic, gamma, normal

SHAPES = [[3.0], [2.0, 6.0], [2.0, 6.0, 1.0]]
COVARIANCES = [[[0.04]], [[1.0, 0.9], [0.9, 1.0]], [[1.0, 0.5, 0.1], [0.5, 0.4, 0.0], [0.1, 0.0, 9.0]]]


def explored(posterior):
    return explore_grid(posterior, standardized(posterior))


@pytest.mark.parametrize("posterior", [*map(normal, map(np.array, COVARIANCES)), *map(gamma, SHAPES)])
def test_the_sum_over_points_is_the_integral(posterior):
    assert explored(posterior).log_integral == pytest.approx(0.0, abs=2e-3)


@pytest.mark.parametrize("shapes", SHAPES)
def test_log_densities_between_points_are_those_of_the_density(shapes):
    posterior = gamma(shapes)
    grid = explored(posterior)
    z = 1.2 * np.random.default_rng(1).standard_normal((300, len(shapes)))
    exact = np.array([posterior.value(grid.axes.numbers(each)) for each in z]) - grid.axes.top
    found = grid.log_density(z)
    near = exact > -3.0
    assert near.sum() > 200
    assert np.abs(found - exact)[near].max() < 0.1
    assert np.sqrt(np.mean((found - exact)[near] ** 2)) < 0.03


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_marginals_of_a_normal_density_are_normal(covariance):
    posterior = normal(np.array(covariance))
    grid = explored(posterior)
    for k, own in enumerate(grid_marginals(posterior, grid).values()):
        u, sigma = own.values, np.sqrt(covariance[k][k])
        exact = np.exp(-0.5 * (u / sigma) ** 2) / (sigma * np.sqrt(2.0 * np.pi))
        assert 0.5 * np.sum(np.abs(own.density - exact) * np.gradient(u)) < 2e-3
        assert own.std == pytest.approx(sigma, rel=3e-3)


@pytest.mark.parametrize("shapes", SHAPES)
def test_marginals_of_a_skew_density_are_its_integrals_over_the_others(shapes):
    posterior = gamma(shapes)
    grid = explored(posterior)
    own = grid_marginals(posterior, grid)["p0"]
    fine = np.linspace(-9.0, 6.0, 36 if len(shapes) == 3 else 151)
    rest = [np.array(each) for each in product(fine, repeat=len(shapes) - 1)]
    u = own.values[::12]
    exact = [sum(np.exp(posterior.value(np.append(first, each))) for each in rest) for first in u]
    exact = np.array(exact) * (fine[1] - fine[0]) ** (len(shapes) - 1)
    assert 0.5 * np.sum(np.abs(own.density[::12] - exact) * np.gradient(u)) < 5e-3


def test_points_at_even_places_have_the_moments_of_the_density():
    covariance = np.array([[1.0, 0.9], [0.9, 1.0]])
    grid = explored(normal(covariance))
    points, weights = grid.every_other()
    u = grid.axes.numbers(points)
    assert weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert len(weights) < len(grid.values) / 3
    assert_allclose((u * weights[:, np.newaxis]).T @ u, covariance, rtol=0.1)


def test_a_density_on_a_bent_ridge_is_followed_along_it():
    posterior = Synthetic(lambda u: -0.5 * u[0] ** 2 - 8.0 * (u[1] - 0.4 * u[0] ** 2) ** 2, [0.0, 0.0])
    grid = explored(posterior)
    assert grid.log_integral == pytest.approx(np.log(2.0 * np.pi / 4.0), abs=1e-2)
    own = grid_marginals(posterior, grid)["p0"]
    assert own.std == pytest.approx(1.0, rel=4e-2)


def test_a_density_that_cannot_be_evaluated_everywhere_ends_there():
    posterior = Synthetic(lambda u: -0.5 * u @ u if u[0] < 1.0 else -np.inf, [0.0, 0.0])
    grid = explored(posterior)
    assert np.isfinite(grid.log_integral)
    assert grid_marginals(posterior, grid)["p0"].values.max() < 1.5


def test_a_positive_parameter_has_its_density_on_its_own_scale():
    posterior = normal(np.array([[0.25]]))
    posterior._intervals = [Interval(0.0, np.inf)]
    own = grid_marginals(posterior, explored(posterior))["p0"]
    assert own.median == pytest.approx(1.0, rel=1e-3)
    assert own.mean == pytest.approx(np.exp(0.125), rel=2e-3)


def test_a_plateau_is_refused_by_name():
    posterior = Synthetic(
        lambda u: -np.log1p(np.exp(-4.0 * u[0])) - 0.5 * (u[1] ** 2 + 0.04 * np.minimum(u[0], 3.0) ** 2),
        [0.4, 0.0],
        without_prior=["p0"],
    )
    with pytest.raises(ArgumentError, match="p0"):
        explored(posterior)


def test_a_long_tail_that_a_prior_holds_is_followed_to_its_end():
    posterior = Synthetic(lambda u: 0.3 * u[0] - np.exp(u[0]), [np.log(0.3)])
    grid = explored(posterior)
    assert grid.log_integral == pytest.approx(np.log(2.991569), abs=5e-3)  # of the gamma function at 0.3
    assert grid_marginals(posterior, grid)["p0"].values[0] < -18.0


def test_a_density_with_too_many_points_is_refused():
    posterior = Synthetic(lambda u: -1e-3 * u @ u - np.sum(u**4), [0.0, 0.0])
    with pytest.raises(ArgumentError, match="points of a grid"):
        explored(posterior)


@pytest.mark.parametrize(("steepness", "limit"), [(8.0, 8e-3), (20.0, 1.5e-2)])
def test_sums_over_the_other_parameters_see_how_narrow_a_bent_ridge_is(steepness, limit):
    posterior = Synthetic(lambda u: -0.5 * u[0] ** 2 - steepness * (u[1] - 0.4 * u[0] ** 2) ** 2, [0.0, 0.0])
    own = grid_marginals(posterior, explored(posterior))["p1"]
    v = np.linspace(-7.0, 7.0, 4001)
    exact = np.exp(-steepness * (own.values[:, np.newaxis] - 0.4 * v * v) ** 2 - 0.5 * v * v).sum(axis=1)
    exact /= np.sum(exact * np.gradient(own.values))
    assert 0.5 * np.sum(np.abs(own.density - exact) * np.gradient(own.values)) < limit
