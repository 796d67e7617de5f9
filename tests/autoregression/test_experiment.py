from math import comb

import numpy as np
import pytest

import sparsegmrf
from sparsegmrf.autoregression import Experiment, Limit, limit_on_weight
from sparsegmrf.autoregression import experiment as run
from sparsegmrf.errors import ArgumentError, TooLargeError, UnstableWarning


def dense_cholesky(k, side):
    """Column p holds 1 at p, k at the pixel to the right on the same row, k at the pixel below."""
    L = np.eye(side**2)
    for i, j in np.ndindex(side, side):
        if j + 1 < side:
            L[i * side + j + 1, i * side + j] = k
        if i + 1 < side:
            L[(i + 1) * side + j, i * side + j] = k
    return L


def largest_variance(k, side):
    """Sum over the paths from a corner: x_p = sum_(a, b) (-k)^(a+b) (a+b choose a) e_(p + (a, b))."""
    return sum(comb(a + b, a) ** 2 * k ** (2 * (a + b)) for a, b in np.ndindex(side, side))


@pytest.mark.parametrize("side", [1, 2, 3, 7])
@pytest.mark.parametrize("k", [-0.45, 0.0, 0.3])
@pytest.mark.parametrize("convention", ["LLt", "LtL"])
def test_matrices_are_those_of_the_dense_definition(k, side, convention):
    result = run(k, side, convention=convention)
    L = dense_cholesky(k, side)
    Q = L @ L.T if convention == "LLt" else L.T @ L
    np.testing.assert_array_equal(result.cholesky, L)
    np.testing.assert_allclose(result.precision, Q, atol=1e-15)
    np.testing.assert_allclose(result.covariance, np.linalg.inv(Q), atol=1e-12)
    assert result.condition == pytest.approx(np.linalg.cond(Q), rel=1e-8)
    assert result.largest_variance == pytest.approx(np.linalg.inv(Q).diagonal().max(), rel=1e-12)
    assert result.shape == (side, side)


def test_the_end_of_a_row_is_not_tied_to_the_start_of_the_next():
    result = run(0.3, 4)
    for i in range(3):
        end, start = 4 * i + 3, 4 * i + 4
        assert result.cholesky[start, end] == 0.0
        assert result.precision[start, end] == 0.0


@pytest.mark.parametrize("convention", ["LLt", "LtL"])
def test_sample_whitened_by_its_own_convention_gives_the_normals_back(convention):
    first, second = run(0.4, 8, rng=3, convention=convention), run(0.4, 8, rng=3, convention=convention)
    np.testing.assert_array_equal(first.sample, second.sample)
    assert not np.array_equal(first.sample, run(0.4, 8, rng=4, convention=convention).sample)
    A = first.cholesky.T if convention == "LLt" else first.cholesky
    white = run(0.0, 8, rng=3, convention=convention).sample
    np.testing.assert_allclose((A @ first.sample.ravel()).reshape(8, 8), white, atol=1e-12)


@pytest.mark.parametrize("convention", ["LLt", "LtL"])
def test_sample_covariance_is_the_inverse_precision(convention):
    # 1500 draws of 4 unknowns; |S - Q^-1| stays below 6 standard errors, false alarm below 1e-7 for the 10 entries.
    draws = np.array([run(0.45, 2, rng=seed, convention=convention).sample.ravel() for seed in range(1500)])
    covariance = run(0.45, 2, convention=convention).covariance
    error = draws.T @ draws / len(draws) - covariance
    diagonal = covariance.diagonal()
    standard_error = np.sqrt((covariance**2 + np.outer(diagonal, diagonal)) / len(draws))
    assert (np.abs(error) < 6 * standard_error).all()


def test_limit_agrees_with_dense_linear_algebra_and_with_the_sum_over_paths():
    k = np.array([0.0, 0.2, -0.5, 0.7, 1.0])
    curve = limit_on_weight(6, k)
    np.testing.assert_array_equal(curve.k, np.abs(k))
    np.testing.assert_allclose(curve.variance, [largest_variance(value, 6) for value in k], rtol=1e-12)
    exact = [np.linalg.cond(dense_cholesky(value, 6)) ** 2 for value in k]
    np.testing.assert_allclose(curve.condition, exact, rtol=1e-7)


def test_large_images_tend_to_the_unbounded_limit_below_one_half_and_grow_geometrically_beyond():
    k = [0.1, 0.3]
    curve, limit = limit_on_weight(64, k), Limit.unbounded(k)
    np.testing.assert_allclose(curve.variance, limit.variance, rtol=1e-12)
    np.testing.assert_allclose(curve.condition, limit.condition, rtol=0.02)
    assert (curve.condition < limit.condition).all()
    sides = np.array([16, 24, 32])
    beyond = np.log([limit_on_weight(side, [0.8]).variance[0] for side in sides])
    # variance ~ (2 k)^(4 side) / side up to a constant
    rate = np.diff(beyond + np.log(sides)) / np.diff(sides)
    np.testing.assert_allclose(rate, 4 * np.log(1.6), rtol=0.02)
    assert np.isinf(Limit.unbounded([0.5, 0.9]).variance).all()
    assert np.isinf(Limit.unbounded([0.5, -0.9]).condition).all()


def test_weight_beyond_one_half_warns_with_the_numbers():
    with pytest.warns(UnstableWarning, match=r"\|k\| = 0\.75 is not below 1/2: .*variance is 1\.14e\+04"):
        result = run(-0.75, 8)
    assert result.largest_variance == pytest.approx(largest_variance(0.75, 8), rel=1e-12)


def test_variance_of_an_ill_conditioned_field_keeps_its_digits():
    with pytest.warns(UnstableWarning):
        result = run(1.0, 16)
    assert result.condition > 1e17
    assert result.largest_variance == pytest.approx(largest_variance(1.0, 16), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((1.5,), ArgumentError, r"k must lie in \[-1, 1\], got 1.5"),
        ((float("nan"),), ArgumentError, "k must be one finite number"),
        ((0.3, 0), ArgumentError, "size must be at least 1"),
        ((0.3, 2.5), ArgumentError, "size must be an integer"),
        ((0.3, 65), TooLargeError, "size must be at most 64, got 65"),
        ((0.3, 4, 0, "L"), ArgumentError, "convention must be one of"),
        ((0.3, 4, -1), ArgumentError, "rng must be"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, error, match):
    with pytest.raises(error, match=match):
        run(*arguments)


def test_curve_whose_numbers_would_overflow_is_refused():
    with pytest.raises(TooLargeError, match="size must be at most 128, got 129"):
        limit_on_weight(129)


def test_the_function_is_public():
    assert sparsegmrf.autoregression.experiment is run
    assert isinstance(run(0.1, 2), Experiment)
