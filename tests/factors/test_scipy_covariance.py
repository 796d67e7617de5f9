"""A factor inside scipy's multivariate normal, against scipy with the dense covariance."""

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from scipy.stats import Covariance, chi2, multivariate_normal

from sparsegmrf import GMRF, SymmetricStencil
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.factors import DenseFactor, Factor
from sparsegmrf.factors.scipy_covariance import covariance_object
from tests import reference, strategies

CASES = strategies.symmetric_stencils(largest=4)


class NoDense(Factor):
    """A white field with precision 4, too large for any dense matrix."""

    method = "white"

    def __init__(self, lattice):
        self._lattice = lattice

    lattice = property(lambda self: self._lattice)
    logdet = property(lambda self: self._lattice.size * np.log(4.0))
    nbytes = 8

    def whiten_vectors(self, x):
        return 2.0 * x

    def unwhiten_vectors(self, e):
        return 0.5 * e

    def solve_vectors(self, b):
        return 0.25 * b

    def selected_inverse(self):
        return SymmetricStencil([(0, 0)], [0.25], self._lattice.shape)


def flat(case, *batch):
    return case.images(*batch).reshape(*batch, -1)


@given(CASES)
def test_logpdf_is_that_of_the_dense_covariance(case):
    covariance = covariance_object(DenseFactor(case.stencil))
    mean = flat(case) + 1.0
    dense = multivariate_normal(mean, reference.covariance(case.Q))
    ours = multivariate_normal(mean, covariance)
    for x in (flat(case), flat(case, 3), flat(case, 2, 3)):
        assert_allclose(ours.logpdf(x), dense.logpdf(x), rtol=1e-9, atol=1e-9)
        assert_allclose(multivariate_normal.logpdf(x, mean, covariance), dense.logpdf(x), rtol=1e-9, atol=1e-9)


@given(CASES)
def test_draws_are_the_mean_plus_unwhitened_normals(case):
    factor = DenseFactor(case.stencil)
    mean = flat(case)
    draws = multivariate_normal(mean, covariance_object(factor)).rvs((2, 3), random_state=5)
    normals = np.random.RandomState(5).normal(size=(2, 3, len(mean)))
    expected = mean + factor.unwhiten(normals.reshape(2, 3, *case.image_shape)).reshape(normals.shape)
    assert_allclose(draws, expected, rtol=1e-12, atol=1e-12)


def test_draws_have_the_covariance_inverse_of_the_precision():
    # Each x^T Q x is chi-squared with 12 degrees of freedom; the sum over 5000 draws leaves the interval with
    # probability 1e-7, and did not with this seed.
    stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (3, 4))
    draws = multivariate_normal(np.zeros(12), covariance_object(DenseFactor(stencil))).rvs(5000, random_state=3)
    Q = stencil.tocsr().toarray()
    low, high = chi2.interval(1.0 - 1e-7, 5000 * 12)
    assert low < np.einsum("ki,ij,kj", draws, Q, draws) < high
    # Var of an entry of the sample covariance is at most 2 S_max^2 / 5000: 6 standard deviations.
    S = np.linalg.inv(Q)
    assert np.abs(draws.T @ draws / 5000 - S).max() < 6.0 * np.sqrt(2.0 / 5000) * S.max()


@given(CASES)
def test_entropy_rank_and_dense_matrix_are_those_of_the_inverse(case):
    covariance = covariance_object(DenseFactor(case.stencil))
    dense = reference.covariance(case.Q)
    n = len(dense)
    assert isinstance(covariance, Covariance)
    assert (covariance.shape, covariance.rank) == ((n, n), n)
    assert_allclose(covariance.log_pdet, -reference.logdet(case.Q), rtol=1e-9, atol=1e-9)
    assert_allclose(covariance.covariance, dense, rtol=1e-9, atol=1e-9)
    assert_allclose(
        multivariate_normal(np.zeros(n), covariance).entropy(),
        multivariate_normal(np.zeros(n), dense).entropy(),
        rtol=1e-9,
        atol=1e-9,
    )


@given(CASES)
def test_field_gives_scipy_the_density_it_has_itself(case):
    x, mean = case.images(3), case.images() + 1.0
    field = GMRF.from_precision(case.stencil, mean=mean)
    theirs = multivariate_normal(mean.ravel(), field.covariance_object()).logpdf(x.reshape(3, -1))
    assert_allclose(theirs, field.logpdf(x), rtol=1e-10, atol=1e-10)


def test_large_field_is_scored_and_drawn_without_a_dense_matrix():
    lattice = SymmetricStencil([(0, 0)], [4.0], (1000, 300)).lattice
    covariance = covariance_object(NoDense(lattice))
    n = lattice.size
    field = multivariate_normal(np.zeros(n), covariance)
    draw = field.rvs(random_state=0)[0]
    expected = 0.5 * n * (np.log(4.0) - np.log(2.0 * np.pi)) - 2.0 * draw @ draw
    assert field.logpdf(draw) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(TooLargeError, match="300000 x 300000"):
        field.cov  # noqa: B018


def test_vector_of_another_length_is_refused():
    covariance = covariance_object(DenseFactor(SymmetricStencil([(0, 0)], [1.0], (2, 3))))
    with pytest.raises(ArgumentError, match="6 entries"):
        covariance.whiten(np.zeros(5))
    with pytest.raises(ArgumentError, match="6 entries"):
        covariance.colorize(1.0)
