import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._standardized import check_ends, standardized
from tests.inference.synthetic_posterior import Synthetic, normal

COVARIANCE = np.array([[1.0, 0.5, 0.1], [0.5, 0.4, 0.0], [0.1, 0.0, 9.0]])


def split(below, above):
    scales = np.array([below, above])
    return Synthetic(lambda u: -0.5 * np.sum((u / np.where(u < 0.0, *scales)) ** 2), np.zeros(len(below)))


def test_coordinates_have_the_covariance_of_the_curvature():
    axes = standardized(normal(COVARIANCE))
    assert_allclose(axes.root @ axes.root.T, COVARIANCE, rtol=1e-5, atol=1e-6)
    assert_allclose(axes.root.T @ axes.root, np.diag(np.diagonal(axes.root.T @ axes.root)), atol=1e-5)
    assert axes.log_volume == pytest.approx(0.5 * np.linalg.slogdet(COVARIANCE)[1], rel=1e-5)


def test_sides_of_a_normal_density_have_the_scale_one():
    axes = standardized(normal(COVARIANCE))
    assert_allclose([axes.below, axes.above], 1.0, rtol=1e-5)


def test_sides_of_a_split_normal_density_have_its_scales():
    posterior = split([0.5], [2.0])
    posterior.information = lambda: np.eye(1)
    axes = standardized(posterior)
    sides = sorted([axes.below[0], axes.above[0]])
    assert_allclose(sides, [0.5, 2.0], rtol=1e-12)


def test_a_side_on_which_the_density_ends_is_looked_at_nearer_by():
    posterior = Synthetic(lambda u: -0.5 * u @ u if u[0] > -1.5 else -np.inf, [0.0])
    assert_allclose([standardized(posterior).below, standardized(posterior).above], 1.0, rtol=1e-5)


def test_a_saddle_is_refused():
    with pytest.raises(ArgumentError, match="curvature"):
        standardized(Synthetic(lambda u: u[0] ** 2 - u[1] ** 2, [0.0, 0.0]))


def test_a_side_along_which_the_density_hardly_falls_is_refused_by_name():
    posterior = Synthetic(lambda u: -0.01 * np.tanh(10.0 * u[1]) ** 2 - u[0] ** 2, [0.0, 0.0])
    with pytest.raises(ArgumentError, match="p1"):
        standardized(posterior)


def test_a_density_that_ends_passes():
    posterior = normal(COVARIANCE)
    posterior.without_prior = posterior.names
    check_ends(posterior, standardized(posterior))


def endless(without_prior):
    """Falls by 3 nats towards a plateau along a bent ridge."""

    def log_density(u):
        ahead = max(u[0], 0.0)
        along = -3.0 * np.tanh(0.5 * ahead) ** 2 if u[0] > 0.0 else -0.75 * u[0] ** 2
        return along - 8.0 * (u[1] - 0.5 * np.log1p(ahead)) ** 2

    return Synthetic(log_density, [0.0, 0.0], without_prior=without_prior)


def test_a_plateau_along_a_bent_ridge_is_refused_with_the_nats_it_falls():
    posterior = endless(["p0"])
    with pytest.raises(ArgumentError, match=r"p0 end, got one that falls by no more than (3|2\.9\d*) nats"):
        check_ends(posterior, standardized(posterior))


def test_a_parameter_with_a_prior_is_not_followed():
    posterior = endless([])
    axes = standardized(posterior)
    before = posterior.evaluations
    check_ends(posterior, axes)
    assert posterior.evaluations == before
