import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from sparsegmrf._interval import Interval
from sparsegmrf.inference._split_normals import split_normal_marginals
from sparsegmrf.inference._standardized import Standardized, standardized
from tests.inference.synthetic_posterior import normal

COVARIANCE = np.array([[1.0, 0.5, 0.1], [0.5, 0.4, 0.0], [0.1, 0.0, 9.0]])


def test_marginals_of_a_normal_density_are_exact():
    posterior = normal(COVARIANCE)
    for k, own in enumerate(split_normal_marginals(posterior, standardized(posterior)).values()):
        assert_allclose(own.density, stats.norm.pdf(own.values, 0.0, np.sqrt(COVARIANCE[k, k])), atol=2e-4)


def test_a_single_split_normal_has_its_density_and_its_moments():
    axes = Standardized(np.zeros(1), 0.0, np.array([[-2.0]]), np.array([0.5]), np.array([1.5]))
    own = split_normal_marginals(normal(np.eye(1)), axes)["p0"]
    below, above = 3.0, 1.0  # in the parameter, of which the axis runs the other way
    scale = np.where(own.values < 0.0, below, above)
    exact = np.sqrt(2.0 / np.pi) / (below + above) * np.exp(-0.5 * (own.values / scale) ** 2)
    assert_allclose(own.density, exact, atol=2e-3)
    assert own.mean == pytest.approx(np.sqrt(2.0 / np.pi) * (above - below), rel=1e-3)


def test_a_sum_has_the_moments_of_its_parts():
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    axes = Standardized(np.zeros(2), 0.0, turn, np.array([0.5, 1.0]), np.array([1.5, 0.2]))
    own = split_normal_marginals(normal(np.eye(2)), axes)["p0"]
    parts = np.sqrt(2.0 / np.pi) * (axes.above - axes.below)
    variances = (1.0 - 2.0 / np.pi) * (axes.above - axes.below) ** 2 + axes.above * axes.below
    assert own.mean == pytest.approx(turn[0] @ parts, rel=1e-3)
    assert own.std**2 == pytest.approx(turn[0] ** 2 @ variances, rel=1e-3)


def test_a_positive_parameter_is_a_sum_on_its_logarithm():
    posterior = normal(np.array([[0.09]]))
    posterior._intervals = [Interval(0.0, np.inf)]
    own = split_normal_marginals(posterior, standardized(posterior))["p0"]
    assert_allclose(own.density, stats.lognorm(0.3).pdf(own.values), atol=2e-3)
