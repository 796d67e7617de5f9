"""QR of a few images by blocks of pixels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.factors._tall_qr import tall_qr


@pytest.mark.parametrize("shape", [(2, 3), (5, 5), (100, 7), (4096, 3), (4097, 5), (7001, 2), (6, 0)])
def test_columns_are_orthonormal_and_the_product_is_the_matrix(shape):
    A = np.random.default_rng(0).standard_normal(shape)
    Q, R = tall_qr(A)
    k = min(shape)
    assert Q.shape == (shape[0], k)
    assert R.shape == (k, shape[1])
    assert_allclose(Q.T @ Q, np.eye(k), atol=1e-12)
    assert_allclose(Q @ R, A, atol=1e-11)
    assert_allclose(np.tril(R, -1), 0.0, atol=0.0)


def test_nearly_dependent_columns_keep_their_digits():
    A = np.random.default_rng(1).standard_normal((5000, 3))
    A[:, 2] = A[:, 0] + 1e-10 * A[:, 2]
    Q, R = tall_qr(A)
    assert_allclose(Q.T @ Q, np.eye(3), atol=1e-14)
    assert abs(R[2, 2]) == pytest.approx(abs(np.linalg.qr(A)[1][2, 2]), rel=1e-4)
