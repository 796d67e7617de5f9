"""A factor kept in single precision gives what a dense one does, says what it does not, and refuses what it cannot."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import SymmetricStencil, set_num_threads
from sparsegmrf._threads import get_num_threads
from sparsegmrf.errors import ArgumentError, ConvergenceError, NotPositiveDefiniteError
from sparsegmrf.factors import DissectionFactor, FoldedFactor, SingleFactor
from sparsegmrf.factors.dissection import _refine
from sparsegmrf.models import Matern
from tests import reference

FIVE = [(0, 0), (0, 1), (1, 0)]


def five_points(shape, boundary="dirichlet"):
    rng = np.random.default_rng(1)
    coefficients = [4.2 + rng.uniform(0.1, 1, shape), *-rng.uniform(0.2, 1, (2, *shape))]
    return SymmetricStencil(FIVE, coefficients, shape, boundary=boundary)


def thirteen_points(shape):
    """The posterior of a field with gaps, noise by pixel."""
    weight = np.random.default_rng(2).uniform(0.0, 3.0, shape)
    return Matern(range=6.0).stencil(shape).plus_diagonal(np.where(weight < 0.6, 0.0, weight))


def two_channels(shape):
    rng = np.random.default_rng(3)
    roots = rng.uniform(-1.0, 1.0, (*shape, 2, 2))
    centre = 5.0 * np.eye(2) + roots @ roots.swapaxes(-1, -2)
    return SymmetricStencil(FIVE, [centre, *rng.uniform(-0.6, 0.6, (2, *shape, 2, 2))], shape, channels=2)


CASES = [
    five_points((1, 1)),
    five_points((1, 9)),
    five_points((23, 17)),
    thirteen_points((5, 6)),
    thirteen_points((26, 21)),
    two_channels((11, 9)),
]


@pytest.fixture(params=CASES, ids=lambda Q: f"{len(Q.offsets)}-{Q.shape}-{Q.channels}")
def case(request):
    """A precision, its dense matrix and its factor, with several levels of fronts above the tiles."""
    return request.param, request.param.tocsr().toarray(), SingleFactor(request.param, tile=6)


def columns(operation, Q):
    unit = np.eye(Q.lattice.size).reshape(-1, *Q.lattice.image_shape)
    return operation(unit).reshape(len(unit), -1).T


def test_solves_are_those_of_the_dense_precision(case):
    Q, dense, factor = case
    assert_allclose(dense @ columns(factor.solve, Q), np.eye(len(dense)), atol=2e-12 * np.abs(dense).max())


def test_whitening_matrix_squared_is_the_precision(case):
    Q, dense, factor = case
    A = columns(factor.whiten, Q)
    assert_allclose(A.T @ A, dense, rtol=1e-12, atol=2e-12 * np.abs(dense).max())


def test_draws_have_the_covariance(case):
    Q, dense, factor = case
    B = columns(factor.unwhiten, Q)
    covariance = reference.covariance(dense)
    assert_allclose(B @ B.T, covariance, rtol=1e-11, atol=2e-12 * covariance.max())
    assert_allclose(columns(factor.whiten, Q) @ B, np.eye(len(dense)), atol=1e-11)


def test_draws_are_near_those_of_the_double_factor(case):
    Q, _, factor = case
    e = np.random.default_rng(0).standard_normal((3, *Q.lattice.image_shape))
    assert_allclose(factor.unwhiten(e), DissectionFactor(Q, tile=6).unwhiten(e), atol=1e-5)


def test_rows_of_covariance_have_its_products(case):
    _, dense, factor = case
    w = np.random.default_rng(0).standard_normal((4, len(dense)))
    roots = factor.covariance_roots(w)
    assert_allclose(roots @ roots.T, w @ reference.covariance(dense) @ w.T, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("batch", [1, 3, 17])
def test_every_batch_is_solved_as_its_images_are(batch):
    Q = thirteen_points((26, 21))
    factor, b = SingleFactor(Q, tile=6), np.random.default_rng(0).standard_normal((batch, *Q.shape))
    given = b.copy()
    for operation in (factor.solve, factor.whiten, factor.unwhiten):
        assert_allclose(operation(b), [operation(each) for each in b], rtol=0, atol=1e-10)
    assert_array_equal(b, given)


def test_images_in_parts_are_those_at_once(monkeypatch):
    Q = thirteen_points((26, 21))
    factor, e = SingleFactor(Q, tile=6), np.random.default_rng(0).standard_normal((5, Q.lattice.size))
    whole = [factor.solve_vectors(e), factor.whiten_vectors(e), factor.unwhiten_in_place(e.copy())]
    monkeypatch.setattr(_refine, "_NUMBERS", 2 * Q.lattice.size)
    parts = [factor.solve_vectors(e), factor.whiten_vectors(e), factor.unwhiten_in_place(e.copy())]
    for one, other in zip(whole, parts, strict=True):
        assert_allclose(one, other, rtol=0, atol=1e-10)


def test_log_determinant_is_that_of_the_double_factor_to_the_bit_and_memory_is_half(case):
    Q, dense, factor = case
    double = DissectionFactor(Q, tile=6)
    assert factor.logdet == double.logdet
    assert_allclose(factor.logdet, reference.logdet(dense), rtol=1e-12, atol=1e-12)
    assert 2 * factor.nbytes == double.nbytes


def test_covariances_are_within_the_error_that_is_stated(case):
    _, dense, factor = case
    error, covariance = factor.relative_error, reference.covariance(dense)
    assert 0.0 < error < 1e-5
    deviations = np.sqrt(np.diagonal(covariance))
    S = factor.selected_inverse().tocsr().tocoo()
    off = np.abs(S.data - covariance[S.row, S.col]) / (deviations[S.row] * deviations[S.col])
    off[S.data == 0.0] = 0.0  # off the image
    assert off.max() <= error
    variance = factor.marginal_variance().ravel()
    assert np.abs(variance / deviations**2 - 1.0).max() <= error


def test_norm_that_is_bounded_is_that_of_the_dense_difference(case):
    Q, dense, factor = case
    B = columns(factor._solver.whiten, Q)
    root = np.linalg.inv(B)
    norm = np.linalg.norm(root.T @ dense @ root - np.eye(len(dense)), 2)
    assert norm <= factor._refined.norm <= 20.0 * norm + 1e-14


def longdouble_logdet(dense):
    """Log-determinant by Gaussian elimination with 64 bits of mantissa."""
    S, total = dense.astype(np.longdouble), np.longdouble(0.0)
    for k in range(len(S)):
        total += np.log(S[k, k])
        S[k + 1 :, k + 1 :] -= np.outer(S[k + 1 :, k] / S[k, k], S[k, k + 1 :])
    return total


@pytest.mark.skipif(np.finfo(np.longdouble).eps > 2e-19, reason="long doubles have no more digits here")
def test_bounds_hold_the_log_determinant_and_are_narrow(case):
    _, dense, factor = case
    lower, upper = factor.logdet_bounds()
    assert lower <= longdouble_logdet(dense) <= upper
    assert upper - lower <= 1e-9 * max(1.0, abs(factor.logdet))


def test_bounds_do_not_rest_on_the_elimination():
    Q = thirteen_points((26, 21))
    factor = SingleFactor(Q, tile=6)
    bounds = factor.logdet_bounds()
    for logs in factor._blocks.log_pivots:
        logs += 1.0
    assert factor.logdet > bounds[1] + 1.0
    assert factor.logdet_bounds() == bounds


def test_ill_conditioned_posterior_is_solved_as_well_as_double_precision_can():
    Q = Matern(range=1e4).stencil((40, 36)).plus_diagonal(np.random.default_rng(0).uniform(0.0, 4.0, (40, 36)))
    b = np.random.default_rng(1).standard_normal(Q.shape)
    single, double = (np.abs(Q @ factor(Q).solve(b) - b).max() for factor in (SingleFactor, DissectionFactor))
    assert single <= 20.0 * double


def test_precision_beyond_single_is_refused_with_the_numbers():
    Q = Matern(range=3e4).stencil((64, 48))  # a condition beyond 1e16
    factor, e = SingleFactor(Q), np.random.default_rng(0).standard_normal(Q.shape)
    refusal = r'refined to 1e-12 relative, but a step leaves [\d.e+]+ of the error before.*precision="double"'
    for operation in (factor.solve, factor.unwhiten, factor.whiten):
        with pytest.raises(ConvergenceError, match=refusal):
            operation(e)
    for bound in (lambda: factor.relative_error, factor.logdet_bounds):
        with pytest.raises(ConvergenceError, match=r'has a norm of up to [\d.e+]+.*precision="double"'):
            bound()
    assert factor.logdet == DissectionFactor(Q).logdet


def test_what_is_not_a_number_stays_so():
    factor, b = SingleFactor(five_points((23, 17)), tile=6), np.random.default_rng(0).standard_normal((3, 23, 17))
    b[1], b[2, 4, 5] = 0.0, np.nan
    for operation in (factor.solve, factor.unwhiten, factor.whiten):
        found = operation(b)
        assert_allclose(found[0], operation(b[0]), rtol=0, atol=1e-12)  # the other images are refined as ever
        assert not found[1].any()
        assert np.isnan(found[2]).any()


@pytest.mark.parametrize("unit", [1e-29, 1e29])
def test_any_unit_of_intensity_within_the_range_gives_the_same(unit):
    Q = thirteen_points((26, 21))
    factor, other = SingleFactor(Q, tile=6), SingleFactor(unit**2 * Q, tile=6)
    b = np.random.default_rng(0).standard_normal(Q.shape)
    assert_allclose(unit**2 * other.solve(b), factor.solve(b), rtol=1e-9)
    assert_allclose(other.relative_error, factor.relative_error, rtol=1.0)


@pytest.mark.parametrize("number", [1e-62, 1e62])
def test_diagonal_beyond_the_range_is_refused_by_its_values(number):
    with pytest.raises(ArgumentError, match=r"between 1e-60 and 1e60 for a factor in single precision, got .* unit"):
        SingleFactor(number * five_points((5, 5)))


def test_pivot_that_is_not_positive_is_that_of_the_double_factor():
    centre = np.full((26, 21), 4.2)
    centre[17, 9] = -1.0
    Q = SymmetricStencil(FIVE, [centre, -1.0, -1.0], centre.shape)
    found = []
    for kind in (SingleFactor, DissectionFactor):
        with pytest.raises(NotPositiveDefiniteError) as error:
            kind(Q, tile=6)
        found.append((error.value.pixel, error.value.pivot))
    assert found[0] == found[1]


def test_factors_of_other_precisions_in_the_memory_of_the_first_are_those_made_anew():
    Q, R = five_points((23, 17)), 2.0 * five_points((23, 17)).plus_diagonal(1.0)
    factor = SingleFactor(Q, tile=6)
    again = factor.refactorizer()
    place = factor._blocks.fronts.ctypes.data
    del factor
    other = again(R)
    assert isinstance(other, SingleFactor)
    assert other._blocks.fronts.ctypes.data == place
    anew = SingleFactor(R, tile=6)
    for name in ("tiles", "fronts"):
        assert_array_equal(getattr(other._blocks, name), getattr(anew._blocks, name))
    assert isinstance(anew.refactorize(Q), SingleFactor)


def test_numbers_are_the_same_for_any_number_of_threads():
    Q = thirteen_points((70, 64))
    found, before = [], get_num_threads()
    try:
        for count in (1, 3):
            set_num_threads(count)
            factor = SingleFactor(Q, tile=8)
            found.append([factor._blocks.fronts, factor.solve(np.ones(Q.shape)), factor.relative_error])
    finally:
        set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert_array_equal(one, other)


def test_file_brings_the_factor_back(tmp_path):
    Q = thirteen_points((26, 21))
    factor = SingleFactor(Q, tile=6)
    factor.to_file(tmp_path / "factor.npz")
    read = SingleFactor.from_file(tmp_path / "factor.npz")
    assert read.nbytes == factor.nbytes
    assert read.logdet == factor.logdet
    assert read.logdet_bounds() == factor.logdet_bounds()
    b = np.random.default_rng(0).standard_normal(Q.shape)
    assert_array_equal(read.solve(b), factor.solve(b))
    with pytest.raises(ArgumentError, match="must name a dissection factor"):
        DissectionFactor.from_file(tmp_path / "factor.npz")


def test_ring_is_folded_in_single_precision(tmp_path):
    Q = five_points((9, 12), boundary=("dirichlet", "torus"))
    dense, factor = Q.tocsr().toarray(), FoldedFactor(Q, SingleFactor)
    covariance = reference.covariance(dense)
    assert_allclose(columns(factor.solve, Q), covariance, rtol=0, atol=1e-12)
    assert_allclose(factor.logdet, reference.logdet(dense), rtol=1e-12)
    error = factor.relative_error
    assert 0.0 < error < 1e-5
    assert_allclose(factor.marginal_variance().ravel(), np.diagonal(covariance), rtol=error)
    factor.to_file(tmp_path / "ring.npz")
    assert isinstance(FoldedFactor.from_file(tmp_path / "ring.npz").inner, SingleFactor)
    assert isinstance(factor.refactorizer()(2.0 * Q).inner, SingleFactor)
