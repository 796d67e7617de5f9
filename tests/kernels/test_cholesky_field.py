"""Operations of per-pixel Cholesky factors against the dense matrix, entry by entry."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.cholesky_operations import mul_l, mul_lt, outer, solve_l, solve_lt
from sparsegmrf.kernels import cholesky_field
from tests.cholesky_factors import dense, flat, random_factors

SHAPES = [(5, 7), (1, 6), (6, 1), (2, 2), (1, 1), (4, 3)]
CASES = pytest.mark.parametrize(
    ("channels", "coupled", "radius"), [(1, False, 1), (1, False, 2), (2, True, 1), (3, True, 2), (2, False, 3)]
)
DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 2e-4)])


@DTYPES
@CASES
@pytest.mark.parametrize("shape", SHAPES)
def test_operations_are_those_of_the_dense_matrix(shape, channels, coupled, radius, dtype, tolerance):
    factors = random_factors(2, channels, radius, shape, dtype, coupled)
    x = np.random.default_rng(1).standard_normal((6, channels, *shape)).astype(dtype)
    Ls = [dense(*(part[b] for part in factors)) for b in range(2)]
    for operation, of in (
        (mul_lt, lambda L, v: L.T @ v),
        (mul_l, lambda L, v: L @ v),
        (solve_lt, lambda L, v: np.linalg.solve(L.T, v)),
        (solve_l, lambda L, v: np.linalg.solve(L, v)),
    ):
        result = operation(*factors, x)
        assert result.dtype == dtype
        expected = np.array([of(Ls[n % 2], row) for n, row in enumerate(flat(x))])
        assert_allclose(flat(result), expected, rtol=tolerance, atol=tolerance)


@DTYPES
@CASES
@pytest.mark.parametrize("shape", SHAPES)
def test_outer_is_the_outer_product_on_the_pattern(shape, channels, coupled, radius, dtype, tolerance):
    rng = np.random.default_rng(2)
    a, x = (rng.standard_normal((6, channels, *shape)).astype(dtype) for _ in range(2))
    result = outer(a, x, 2, radius, coupled)
    pattern = random_factors(1, channels, radius, shape, coupled=coupled)
    stored = dense(*(np.ones_like(part[0]) for part in pattern)) != 0.0
    for b in range(2):
        expected = np.einsum("nq,np->qp", flat(x)[b::2], flat(a)[b::2])
        assert_allclose(dense(*(part[b] for part in result)), expected * stored, rtol=tolerance, atol=tolerance)
        for k, outside in enumerate(np.isnan(pattern[1][0, 0])):
            assert not result[1][b, :, k, outside].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_are_bitwise_the_same_for_any_number_of_threads(dtype, threads):
    factors = random_factors(4, 2, 2, (70, 60), dtype)
    x = np.random.default_rng(3).standard_normal((20, 2, 70, 60)).astype(dtype)
    outcomes = []
    for count in (1, 2, 3):
        threads(count)
        outcomes.append(
            [operation(*factors, x) for operation in (mul_lt, mul_l, solve_lt, solve_l)] + [*outer(x, x, 4, 2, True)]
        )
    for other in outcomes[1:]:
        assert all(np.array_equal(one, two) for one, two in zip(outcomes[0], other, strict=True))


@pytest.mark.skipif(not hasattr(cholesky_field.outer, "signatures"), reason="compilation is disabled")
def test_every_kernel_has_one_specialization_per_dtype():
    for kernel in (
        cholesky_field.multiply,
        cholesky_field.multiply_transposed,
        cholesky_field.solve,
        cholesky_field.solve_transposed,
        cholesky_field.outer,
    ):
        assert len(kernel.signatures) <= 2, kernel.signatures


def test_a_batch_of_no_image_gives_none():
    factors = random_factors(0, 2, 1, (3, 4))
    x = np.empty((0, 2, 3, 4))
    assert solve_lt(*factors, x).shape == mul_l(*factors, x).shape == (0, 2, 3, 4)
    assert outer(x, x, 0, 1, True)[1].shape == (0, 2, 4, 3, 4)


def test_arrays_that_do_not_fit_are_refused_by_name():
    diagonal, weights, cross = random_factors(2, 2, 1, (3, 4))
    x = np.zeros((4, 2, 3, 4))
    for arguments, name in (
        ((diagonal[0], weights, cross, x), "diagonal"),
        ((diagonal, weights[:, :, :3], cross, x), "weights"),
        ((diagonal, weights[..., :2], cross, x), "weights"),
        ((diagonal, weights, np.zeros((2, 3, 3, 4)), x), "cross"),
        ((diagonal, weights, cross, x[:3]), "x"),
        ((diagonal, weights, cross, x.astype(np.float32)), "dtype"),
        ((diagonal.astype(int), weights, cross, x), "diagonal"),
    ):
        with pytest.raises(ArgumentError, match=name):
            mul_lt(*arguments)
    with pytest.raises(ArgumentError, match="multiple of 3"):
        outer(x, x, 3, 1, True)
