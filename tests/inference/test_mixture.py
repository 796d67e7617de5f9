import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._mixture import Mixture
from sparsegmrf.inference._scores import crps


@st.composite
def mixtures(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k, pixels = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    weights = rng.dirichlet(np.ones(k))
    return Mixture(weights, 3.0 * rng.standard_normal((k, pixels)), np.exp(rng.standard_normal((k, pixels)))), rng


@given(mixtures())
def test_moments_are_those_of_the_density(case):
    mixture, _ = case
    for pixel in range(mixture.means.shape[1]):
        parts = list(zip(mixture.weights, mixture.means[:, pixel], mixture.stds[:, pixel], strict=True))
        second = sum(w * (s * s + m * m) for w, m, s in parts)
        mean = sum(w * m for w, m, _ in parts)
        assert mixture.mean[pixel] == pytest.approx(mean, abs=1e-12)
        assert mixture.std[pixel] ** 2 == pytest.approx(second - mean**2, rel=1e-9)


@given(mixtures(), st.floats(1e-6, 1.0 - 1e-6))
def test_quantile_inverts_the_distribution(case, probability):
    mixture, _ = case
    value = mixture.quantile(probability)
    assert mixture.cdf(value) == pytest.approx(np.full(value.shape, probability), rel=1e-9)
    assert (mixture.cdf(value - 1e-6 * (1.0 + np.abs(value))) < probability).all()


@given(mixtures())
def test_log_density_is_the_logarithm_of_the_sum(case):
    mixture, rng = case
    y = 3.0 * rng.standard_normal(mixture.means.shape[1])
    direct = np.log(mixture.weights @ norm.pdf(y, mixture.means, mixture.stds))
    assert mixture.log_density(y) == pytest.approx(direct, abs=1e-9)


def test_crps_is_the_integral_of_the_squared_distance_of_distributions():
    mixture = Mixture([0.2, 0.5, 0.3], [[-1.0], [0.5], [4.0]], [[0.3], [1.0], [2.0]])

    def distance(x, y):
        return (float(mixture.cdf(x)[0]) - (x >= y)) ** 2

    for y in (-3.0, 0.2, 5.0):
        expected = sum(quad(distance, *ends, args=(y,), epsabs=1e-10)[0] for ends in ((-12.0, y), (y, 20.0)))
        assert mixture.crps(y)[0] == pytest.approx(expected, abs=1e-6)


@given(mixtures())
def test_equal_components_score_as_one(case):
    mixture, rng = case
    means, stds = mixture.means[:1], mixture.stds[:1]
    twice = Mixture([0.25, 0.75], np.repeat(means, 2, axis=0), np.repeat(stds, 2, axis=0))
    y = rng.standard_normal(means.shape[1])
    assert twice.crps(y) == pytest.approx(crps(y, means[0], stds[0]), rel=1e-10)
    assert twice.quantile(0.9) == pytest.approx(norm.ppf(0.9, means[0], stds[0]), rel=1e-12)


def test_a_component_of_weight_one_is_the_prediction_to_the_bit():
    rng = np.random.default_rng(0)
    means, stds = rng.standard_normal((2, 3, 4)), rng.random((2, 3, 4)) + 0.1
    mixture = Mixture([0.0, 1.0], means, stds)
    np.testing.assert_array_equal(mixture.mean, means[1])
    np.testing.assert_array_equal(mixture.std, np.sqrt(stds[1] ** 2))


def test_known_values_are_steps_of_the_distribution():
    mixture = Mixture([0.4, 0.6], [[1.0], [1.0]], [[0.0], [2.0]])
    at = mixture.cdf(1.0)[0]
    assert at == pytest.approx(0.4 + 0.3)
    assert mixture.cdf(1.0 - 1e-12)[0] == pytest.approx(0.3)
    assert mixture.quantile(0.5)[0] == pytest.approx(1.0, abs=1e-12)
    known = Mixture([1.0], [[2.0]], [[0.0]])
    assert known.quantile(0.01)[0] == 2.0
    assert known.crps(5.0)[0] == 3.0
    with pytest.raises(ArgumentError, match="stds must be positive for log_density"):
        known.log_density(2.0)


def test_pixels_without_a_value_have_none():
    mixture = Mixture([0.5, 0.5], [[np.nan, 1.0], [np.nan, 2.0]], [[np.nan, 1.0], [np.nan, 1.0]])
    for image in (mixture.mean, mixture.std, mixture.quantile(0.3), mixture.cdf(0.0), mixture.crps(0.0)):
        assert np.isnan(image).tolist() == [True, False]


def test_noise_is_added_to_each_component():
    mixture = Mixture([0.5, 0.5], [[[0.0]], [[1.0]]], [[[1.0]], [[2.0]]])
    np.testing.assert_allclose(mixture.with_noise([3.0, 5.0]).stds.ravel(), [2.0, 3.0])
    np.testing.assert_allclose(mixture.with_noise(3.0).stds.ravel(), [2.0, np.sqrt(7.0)])
    assert mixture.with_noise(3.0).cdf(0.5)[0, 0] == pytest.approx(0.5 * (ndtr(0.25) + ndtr(-0.5 / np.sqrt(7.0))))


@pytest.mark.parametrize(
    ("weights", "means", "stds", "message"),
    [
        ([0.5, 0.6], [[0.0], [1.0]], [[1.0], [1.0]], "weights must be"),
        ([-0.5, 1.5], [[0.0], [1.0]], [[1.0], [1.0]], "weights must be"),
        ([1.0], [[0.0], [1.0]], [[1.0], [1.0]], "means and stds must have one shape"),
        ([1.0], [[0.0]], [[-1.0]], "stds must not be negative"),
    ],
)
def test_what_is_no_mixture_is_refused(weights, means, stds, message):
    with pytest.raises(ArgumentError, match=message):
        Mixture(weights, means, stds)
