import numpy as np
import pytest

from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks._chain import Chain

DAYS = np.array([0.0, 0.5, 3.0, 40.0, 41.0])


def dense(matrix):
    return np.diag(matrix.diagonal) + np.diag(matrix.beside, 1) + np.diag(matrix.beside, -1)


def correlation(ell):
    return np.exp(-np.abs(DAYS[:, None] - DAYS) / ell)


@pytest.mark.parametrize("ell", [0.1, 7.0, 900.0])
def test_precision_is_the_inverse_of_the_exponential_correlation(ell):
    chain = Chain(np.diff(DAYS), ell)
    np.testing.assert_allclose(dense(chain.precision) @ correlation(ell), np.eye(5), atol=1e-9)
    np.testing.assert_allclose(chain.logdet, -np.linalg.slogdet(correlation(ell))[1], rtol=1e-9)


def test_derivatives_are_those_of_finite_differences():
    at, step = 7.0, 1e-5
    above, below = (Chain(np.diff(DAYS), at * np.exp(side)) for side in (step, -step))
    expected = (dense(above.precision) - dense(below.precision)) / (2 * step)
    chain = Chain(np.diff(DAYS), at)
    np.testing.assert_allclose(dense(chain.derivative), expected, atol=1e-6)
    np.testing.assert_allclose(chain.logdet_derivative, (above.logdet - below.logdet) / (2 * step), rtol=1e-7)


def test_product_and_solution_are_those_of_the_matrix():
    chain, x = Chain(np.diff(DAYS), 7.0), np.random.default_rng(0).standard_normal((5, 3))
    np.testing.assert_allclose(chain.precision @ x, dense(chain.precision) @ x)
    np.testing.assert_allclose(chain.solve(chain.precision @ x), x)


def test_dates_that_do_not_differ_beside_the_scale_are_refused():
    with pytest.raises(ArgumentError, match="ell must leave neighbouring dates different"):
        Chain(np.array([1e-3]), 1e8)
