"""CholeskyField: both conventions against the dense product, and what it refuses."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.ensembles import CholeskyField
from sparsegmrf.errors import ArgumentError, StencilError

SHAPE = (4, 5)


@pytest.mark.parametrize(("convention", "sign"), [("LLt", 1), ("LtL", -1)])
def test_precision_is_the_product_that_the_convention_names(convention, sign):
    rng = np.random.default_rng(0)
    offsets = [(sign * di, sign * dj) for di, dj in [(0, 1), (1, -1), (1, 0)]]
    diagonal, weights = rng.uniform(1.0, 2.0, SHAPE), rng.uniform(-0.3, 0.3, (3, *SHAPE))
    L = np.diag(diagonal.ravel())
    for (di, dj), plane in zip(offsets, weights, strict=True):
        for i in range(4):
            for j in range(5):
                if 0 <= i + di < 4 and 0 <= j + dj < 5:
                    p, q = 5 * i + j, 5 * (i + di) + j + dj
                    L[(q, p) if convention == "LLt" else (p, q)] = plane[i, j]
    assert np.array_equal(L, np.tril(L))
    model = CholeskyField(diagonal, weights, offsets, convention)
    expected = L @ L.T if convention == "LLt" else L.T @ L
    assert_allclose(model.stencil().tocsr().toarray(), expected, atol=1e-14)
    field = model.gmrf(mean=1.0)
    assert field.method == "triangular"
    assert field.logdet == pytest.approx(2.0 * np.log(diagonal).sum())
    assert_allclose(field.covariance_with((1, 1)).ravel(), np.linalg.inv(expected)[:, 6], atol=1e-12)


def test_bare_field_is_white():
    assert CholeskyField().gmrf((3, 4)).marginal_variance().tolist() == np.ones((3, 4)).tolist()


def test_wrong_side_shape_and_convention_are_refused():
    with pytest.raises(StencilError, match="later"):
        CholeskyField(1.0, [0.1], [(0, -1)]).gmrf(SHAPE)
    with pytest.raises(ArgumentError, match="convention"):
        CholeskyField(convention="LL").gmrf(SHAPE)
    with pytest.raises(ArgumentError, match="shape"):
        CholeskyField().gmrf()
    with pytest.raises(ArgumentError):
        CholeskyField(np.ones(SHAPE)).gmrf((3, 3))
    with pytest.raises(ArgumentError, match="diagonal must be positive"):
        CholeskyField(0.0).gmrf(SHAPE)
