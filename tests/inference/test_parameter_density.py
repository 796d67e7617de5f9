import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.integrate import trapezoid

from sparsegmrf._interval import Interval
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import ParameterDensity

POSITIVE = Interval(0.0, np.inf)


def lognormal(mu=0.4, sigma=0.6, nodes=201):
    u = mu + sigma * np.linspace(-8.0, 8.0, nodes)
    return ParameterDensity.of("range", POSITIVE, u, 7.0 * stats.norm.pdf(u, mu, sigma)), stats.lognorm(
        sigma, scale=np.exp(mu)
    )


def test_density_is_by_the_parameter_whatever_the_weights_add_up_to():
    own, exact = lognormal()
    values = np.array([0.2, 1.0, 1.7, 6.0])
    assert_allclose(own.density, exact.pdf(own.values), rtol=1e-9)
    assert_allclose(own.pdf(values), exact.pdf(values), rtol=2e-3)


def test_moments_are_those_of_the_parameter():
    own, exact = lognormal()
    assert own.mean == pytest.approx(exact.mean(), rel=1e-6)
    assert own.std == pytest.approx(exact.std(), rel=1e-6)


@pytest.mark.parametrize("probability", [0.025, 0.3, 0.5, 0.975])
def test_quantile_inverts_the_distribution(probability):
    own, exact = lognormal()
    assert own.quantile(probability) == pytest.approx(exact.ppf(probability), rel=1e-3)
    assert own.cdf(own.quantile(probability)) == pytest.approx(probability, abs=1e-9)


def test_interval_leaves_as_much_on_either_side():
    own, _ = lognormal()
    low, high = own.interval(0.9)
    assert own.cdf(low) == pytest.approx(0.05, abs=1e-9)
    assert own.cdf(high) == pytest.approx(0.95, abs=1e-9)
    assert own.median == own.quantile(0.5)


def test_nothing_is_beyond_the_values():
    own, _ = lognormal()
    assert own.pdf(own.values[-1] * 2.0) == 0.0
    assert own.cdf([own.values[0] / 2.0, own.values[-1] * 2.0]).tolist() == [0.0, 1.0]


def test_a_parameter_of_a_bounded_interval_stays_in_it():
    u = np.linspace(-6.0, 6.0, 121)
    own = ParameterDensity.of("phi", Interval(-1.0, 1.0), u, stats.norm.pdf(u))
    assert -1.0 < own.values[0] < own.values[-1] < 1.0
    assert own.median == pytest.approx(0.0, abs=1e-6)
    assert trapezoid(own.density, own.values) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.1, float("nan")])
def test_a_probability_outside_its_interval_is_refused(probability):
    with pytest.raises(ArgumentError, match="probability"):
        lognormal()[0].quantile(probability)
