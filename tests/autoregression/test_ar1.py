"""The AR(1) precision against its covariance in closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import sparsegmrf
from sparsegmrf.autoregression import ar1_precision
from sparsegmrf.errors import ArgumentError

LENGTHS = st.integers(1, 12)
CORRELATIONS = st.floats(-0.95, 0.95)
DEVIATIONS = st.floats(0.1, 10.0)


@given(LENGTHS, CORRELATIONS, DEVIATIONS)
def test_inverse_of_the_stationary_precision_is_the_geometric_covariance(n, phi, sigma):
    lag = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    expected = sigma**2 * phi ** lag.astype(float) / (1.0 - phi**2)
    assert_allclose(np.linalg.inv(ar1_precision(n, phi, sigma).toarray()), expected, rtol=1e-9, atol=1e-9 * sigma**2)


@given(LENGTHS, CORRELATIONS, DEVIATIONS)
def test_start_from_zero_is_the_process_written_out(n, phi, sigma):
    A = np.eye(n)
    for i in range(1, n):
        A[i, i - 1] = -phi
    assert_allclose(ar1_precision(n, phi, sigma, "zero").toarray(), A.T @ A / sigma**2, rtol=1e-13)


@given(LENGTHS, CORRELATIONS)
def test_determinant_is_that_of_the_start(n, phi):
    assert_allclose(np.linalg.det(ar1_precision(n, phi).toarray()), 1.0 - phi**2, rtol=1e-9)
    assert_allclose(np.linalg.det(ar1_precision(n, phi, initial="zero").toarray()), 1.0, rtol=1e-9)


def test_interior_diagonal_is_one_plus_phi_squared_and_the_ends_are_one():
    Q = ar1_precision(4, 0.5).toarray()
    assert np.array_equal(np.diagonal(Q), [1.0, 1.25, 1.25, 1.0])
    assert np.array_equal(np.diagonal(Q, 1), [-0.5, -0.5, -0.5])
    assert Q[0, 2] == Q[0, 3] == Q[1, 3] == 0.0


def test_a_million_points_are_tridiagonal_csr():
    Q = ar1_precision(10**6, 0.9)
    assert Q.nnz == 3 * 10**6 - 2
    assert Q.indices.dtype == np.int32
    assert Q.has_canonical_format


@pytest.mark.parametrize("phi", [1.0, -1.0, 1.5, np.nan, np.inf, [0.1]])
def test_phi_outside_the_open_interval_is_refused(phi):
    with pytest.raises(ArgumentError, match=r"^phi must be"):
        ar1_precision(3, phi)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((0, 0.5), "n"),
        ((2.5, 0.5), "n"),
        ((3, 0.5, 0.0), "sigma"),
        ((3, 0.5, -1.0), "sigma"),
        ((3, 0.5, np.nan), "sigma"),
        ((3, 0.5, 1.0, "warm"), "initial"),
    ],
)
def test_bad_arguments_are_named(arguments, name):
    with pytest.raises(ArgumentError, match=f"^{name} must be"):
        ar1_precision(*arguments)


def test_it_is_public():
    assert sparsegmrf.autoregression.ar1_precision is ar1_precision
