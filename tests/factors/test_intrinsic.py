"""IntrinsicFactor: pseudo-inverse and pseudo-determinant against dense eigenvalues, on lattices that fall apart too."""

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.factors import IntrinsicFactor
from sparsegmrf.factors._null_space import NullSpace
from tests import reference
from tests.contracts import columns
from tests.intrinsic_cases import IntrinsicCase, all_cases, differences, read

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
MEMBRANE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (4, 5), boundary="neumann")


def factor_of(case):
    return IntrinsicFactor(case.stencil, case.null_space, case.method, domain=case.domain)


@given(all_cases())
def test_rank_and_logdet_are_those_of_the_positive_eigenvalues(case):
    factor = factor_of(case)
    assert factor.rank == len(case.positive)
    assert factor.rank_deficiency == len(factor.null_space) == case.deficiency
    assert_allclose(factor.logdet, np.log(case.positive).sum(), **CLOSE)


@given(all_cases())
def test_null_vectors_are_orthonormal_and_sent_to_zero(case):
    null = NullSpace.of(case.stencil, case.null_space, case.domain)
    V = null.spread(null.basis).toarray()
    assert_allclose(V.T @ V, np.eye(case.deficiency), atol=1e-12)
    assert_allclose(case.Q @ V, 0.0, atol=1e-11)


@given(all_cases())
def test_solve_is_the_pseudo_inverse(case):
    assert_allclose(columns(factor_of(case).solve, case), case.pinv, **CLOSE)


@given(all_cases())
def test_unwhitened_white_field_has_the_pseudo_inverse_as_covariance(case):
    B = columns(factor_of(case).unwhiten, case)
    assert_allclose(B @ B.T, case.pinv, **CLOSE)


@given(all_cases())
def test_whitening_matrix_squared_is_the_precision(case):
    A = columns(factor_of(case).whiten, case)
    assert_allclose(A.T @ A, case.Q, **CLOSE)


@given(all_cases())
def test_whitened_field_is_white_off_the_pinned_unknowns_and_zero_on_them(case):
    factor = factor_of(case)
    A = columns(factor.whiten, case)
    free = ~factor.pinned.ravel()
    assert np.count_nonzero(free) == factor.rank
    assert_allclose(A @ case.pinv @ A.T, np.diag(free.astype(float)), **CLOSE)


@given(all_cases())
def test_unwhiten_inverts_whiten_on_the_identified_space(case):
    factor, x = factor_of(case), case.images(2)
    assert_allclose(factor.unwhiten(factor.whiten(x)), factor.project(x), **CLOSE)


@given(all_cases())
def test_projection_is_that_off_the_null_space(case):
    P = columns(factor_of(case).project, case)
    assert_allclose(P, case.pinv @ case.Q, **CLOSE)


@given(all_cases())
def test_variances_and_covariances_are_those_of_the_pseudo_inverse(case):
    factor = factor_of(case)
    pinv, channels = case.pinv, case.stencil.channels
    assert_allclose(factor.marginal_variance().ravel(), np.diagonal(pinv), **CLOSE)
    selected = factor.selected_inverse()
    boundary = case.stencil.boundary
    expected = reference.planes(pinv, selected.offsets.tolist(), factor.shape, channels, boundary)
    for k in range(len(selected.offsets)):
        assert_allclose(selected.plane(k).reshape(expected[k].shape), expected[k], **CLOSE)
    height, width = factor.shape
    for pixel in {(0, 0), (height - 1, width // 2)}:
        for channel in range(channels):
            index = (pixel[0] * width + pixel[1]) * channels + channel
            assert_allclose(factor.covariance_with(pixel, channel).ravel(), pinv[:, index], **CLOSE)


@given(all_cases())
def test_batch_axes_lead_and_inputs_are_not_changed(case):
    factor, batch = factor_of(case), case.images(2, 2)
    before = batch.copy()
    for operation in (factor.whiten, factor.unwhiten, factor.solve, factor.project):
        together = operation(batch)
        assert not np.shares_memory(together, batch)
        assert_allclose(together[1, 0], operation(batch[1, 0]), **CLOSE)
        assert operation(case.images(0)).shape == (0, *case.image_shape)
    assert np.array_equal(batch, before)


def test_given_images_need_not_be_orthogonal_nor_independent():
    D = differences((5, 4), 2)
    i, j = np.mgrid[:5, :4]
    named = IntrinsicFactor(read(D.T @ D, (5, 4)), "planes")
    given_images = IntrinsicFactor(read(D.T @ D, (5, 4)), [i + 1.0, i + j, j - 2.0 * i, np.ones((5, 4))])
    assert given_images.rank_deficiency == 3
    assert_allclose(given_images.logdet, named.logdet, rtol=1e-11)
    assert_allclose(given_images.marginal_variance(), named.marginal_variance(), rtol=1e-9)


def test_pins_of_planes_are_far_apart():
    D = differences((9, 9), 2)
    pins = NullSpace.of(read(D.T @ D, (9, 9)), "planes").pins()
    assert set(pins.tolist()) <= {0, 8, 72, 80}


def test_many_parts_cost_one_basis_image():
    shape = (40, 40)
    Q = SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], shape, boundary="neumann")
    null = NullSpace.of(Q, "constants")
    assert null.rank == 40
    assert null.basis.shape == (1, 1600)
    assert null.spread(null.basis).nnz == 1600


def test_a_vector_that_is_not_null_is_refused_with_the_number():
    Q = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (4, 5))
    with pytest.raises(ArgumentError, match=r"^null_space .* reaches 2 at pixel \(0, 0\)"):
        IntrinsicFactor(Q)


def test_a_missing_null_vector_is_refused():
    D = differences((6, 5), 2)
    with pytest.raises(NotPositiveDefiniteError, match="off its null space of 1 vectors"):
        IntrinsicFactor(read(D.T @ D, (6, 5)), "constants")


def test_an_indefinite_precision_is_refused():
    with pytest.raises(NotPositiveDefiniteError, match="off its null space of 1 vectors") as caught:
        IntrinsicFactor(-1.0 * MEMBRANE)
    assert caught.value.pivot < 0.0


def test_a_domain_that_cuts_couplings_is_refused():
    domain = np.ones((4, 5), bool)
    domain[1, 2] = False
    with pytest.raises(ArgumentError, match=r"^domain must not cut"):
        IntrinsicFactor(MEMBRANE, domain=domain)
    with pytest.raises(ArgumentError, match=r"^domain must be boolean"):
        IntrinsicFactor(MEMBRANE, domain=np.ones((4, 5)))
    with pytest.raises(ArgumentError, match=r"^domain must contain"):
        IntrinsicFactor(MEMBRANE, domain=np.zeros((4, 5), bool))


@pytest.mark.parametrize("null_space", ["lines", np.ones((2, 3)), np.full((1, 4, 5), np.nan), [["a"]]])
def test_a_null_space_that_is_none_is_refused(null_space):
    with pytest.raises(ArgumentError, match=r"^null_space must"):
        IntrinsicFactor(MEMBRANE, null_space)


def test_flipped_and_transposed_images_have_flipped_and_transposed_variances():
    D = differences((5, 7), 2)
    Q = D.T @ D
    variance = IntrinsicFactor(read(Q, (5, 7)), "planes").marginal_variance()
    for order, back in (
        (reference.flip_permutation((5, 7), 0), lambda image: image[::-1]),
        (reference.flip_permutation((5, 7), 1), lambda image: image[:, ::-1]),
    ):
        moved = IntrinsicFactor(read(Q[np.ix_(order, order)], (5, 7)), "planes").marginal_variance()
        assert_allclose(back(moved), variance, rtol=1e-9)
    order = reference.transpose_permutation((5, 7))
    moved = IntrinsicFactor(read(Q[np.ix_(order, order)], (7, 5)), "planes").marginal_variance()
    assert_allclose(moved.T, variance, rtol=1e-9)


def test_numbers_far_from_one_keep_their_digits():
    case = IntrinsicCase(MEMBRANE * 1e-12, "constants", 1)
    plain = IntrinsicFactor(MEMBRANE)
    small = factor_of(case)
    assert_allclose(small.logdet, plain.logdet + 19 * np.log(1e-12), rtol=1e-12)
    assert_allclose(small.marginal_variance(), 1e12 * plain.marginal_variance(), rtol=1e-9)
