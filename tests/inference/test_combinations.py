"""Combinations and products of images, few or many, are those of NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.inference._combinations import combined, products


@pytest.mark.parametrize("count", [0, 1, 3, 6, 7, 9])
def test_combinations_and_products_are_those_of_matrices(count):
    rng = np.random.default_rng(count)
    images, weights = rng.standard_normal((count, 4, 5)), rng.standard_normal((3, count))
    assert_allclose(combined(weights[0], images), np.tensordot(weights[0], images, 1), rtol=1e-13, atol=1e-14)
    assert_allclose(combined(weights, images), np.tensordot(weights, images, 1), rtol=1e-13, atol=1e-14)
    assert combined(weights[:0], images).shape == (0, 4, 5)
    flat, other = images.reshape(count, 20), rng.standard_normal((2, 20))
    assert_allclose(products(flat, other), flat @ other.T, rtol=1e-13, atol=1e-14)
