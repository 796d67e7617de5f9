"""Covariances and variances of functionals against the dense inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fields import covariance_between, variance_of
from tests import reference, strategies


@settings(max_examples=20, deadline=None)
@given(strategies.symmetric_stencils(largest=5, channels=(1,)))
def test_covariance_between_is_the_block_of_the_dense_inverse(case):
    rng = np.random.default_rng(case.seed)
    pixels = [[reference.pixels(case.shape)[k] for k in rng.integers(np.prod(case.shape), size=n)] for n in (3, 20)]
    flat = [[i * case.shape[1] + j for i, j in each] for each in pixels]
    expected = reference.covariance(case.Q)[np.ix_(*flat)]
    field = GMRF.from_precision(case.stencil)
    assert_allclose(covariance_between(field, *pixels), expected, rtol=1e-9, atol=1e-12)
    assert_allclose(covariance_between(field, *pixels[::-1]), expected.T, rtol=1e-9, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(strategies.symmetric_stencils(largest=4))
def test_variance_of_a_functional_is_the_dense_quadratic_form(case):
    w = case.images(2, 9)
    flat = w.reshape(18, -1)
    expected = np.einsum("bp,pq,bq->b", flat, reference.covariance(case.Q), flat).reshape(2, 9)
    field = GMRF.from_precision(case.stencil)
    assert_allclose(variance_of(field, w), expected, rtol=1e-9)
    assert variance_of(field, w[0, 0]) == pytest.approx(expected[0, 0], rel=1e-9)


def test_no_pixels_have_an_empty_covariance():
    field = GMRF.from_precision(SymmetricStencil([(0, 0)], [1.0], (2, 3)))
    assert covariance_between(field, [], [(0, 0)]).shape == (0, 1)
    with pytest.raises(ArgumentError, match=r"^pixel must lie on the 2 x 3 image"):
        covariance_between(field, [(2, 0)], [(0, 0)])
    with pytest.raises(ArgumentError, match=r"^weights must have shape"):
        variance_of(field, np.zeros((3, 2)))
