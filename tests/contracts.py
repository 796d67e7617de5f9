"""The suite that every factor passes; a new one supplies a constructor and inherits all tests.

In a test module::

    TestContract = symmetric_factor_contract(DenseFactor, strategies.symmetric_stencils())
"""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import sparsegmrf
from sparsegmrf import SymmetricStencil, _threads
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import Factor
from tests import reference

RTOL = 1e-9


def factor_contract(make, cases):
    """Return a test class for the factor ``make(case.stencil)`` over the strategy `cases`."""

    class Contract:
        @given(cases)
        def test_it_is_a_factor_of_the_image(self, case):
            factor = make(case.stencil)
            assert isinstance(factor, Factor)
            assert factor.shape == case.shape
            assert factor.lattice.channels == case.channels
            assert isinstance(factor.method, str)
            assert factor.nbytes > 0

        @given(cases)
        def test_logdet_is_that_of_the_dense_precision(self, case):
            logdet = make(case.stencil).logdet
            assert isinstance(logdet, float)
            assert_allclose(logdet, reference.logdet(case.Q), rtol=RTOL, atol=RTOL)

        @given(cases)
        def test_whitening_matrix_squared_is_the_precision(self, case):
            A = columns(make(case.stencil).whiten, case)
            assert_allclose(A.T @ A, case.Q, rtol=RTOL, atol=RTOL * np.abs(case.Q).max())

        @given(cases)
        def test_whitened_field_has_identity_covariance(self, case):
            A = columns(make(case.stencil).whiten, case)
            assert_allclose(A @ reference.covariance(case.Q) @ A.T, np.eye(len(A)), rtol=RTOL, atol=RTOL)

        @given(cases)
        def test_unwhiten_inverts_whiten_on_either_side(self, case):
            factor, x = make(case.stencil), case.images(2)
            assert_allclose(factor.unwhiten(factor.whiten(x)), x, rtol=RTOL, atol=RTOL)
            assert_allclose(factor.whiten(factor.unwhiten(x)), x, rtol=RTOL, atol=RTOL)

        @given(cases)
        def test_unwhitened_white_field_has_covariance_inverse_of_precision(self, case):
            B = columns(make(case.stencil).unwhiten, case)
            assert_allclose(B @ B.T, reference.covariance(case.Q), rtol=RTOL, atol=RTOL)

        @given(cases)
        def test_solve_is_the_dense_inverse(self, case):
            inverse = columns(make(case.stencil).solve, case)
            assert_allclose(inverse, reference.covariance(case.Q), rtol=RTOL, atol=RTOL)

        @given(cases)
        def test_solve_is_self_adjoint(self, case):
            factor, (u, v) = make(case.stencil), case.images(2)
            assert_allclose(np.sum(u * factor.solve(v)), np.sum(factor.solve(u) * v), rtol=RTOL, atol=RTOL)

        @given(cases)
        def test_selected_inverse_is_the_dense_inverse_on_every_offset(self, case):
            selected = make(case.stencil).selected_inverse()
            assert isinstance(selected, SymmetricStencil)
            assert {tuple(offset) for offset in selected.offsets.tolist()} >= later_offsets(case)
            expected = reference.planes(
                reference.covariance(case.Q), selected.offsets.tolist(), case.shape, case.channels, case.boundary
            )
            for k in range(len(selected.offsets)):
                plane = selected.plane(k).reshape(expected[k].shape)
                assert_allclose(plane, expected[k], rtol=RTOL, atol=RTOL)

        @given(cases)
        def test_marginal_variance_is_the_dense_diagonal(self, case):
            variance = make(case.stencil).marginal_variance()
            assert variance.shape == case.image_shape
            assert_allclose(variance.ravel(), np.diagonal(reference.covariance(case.Q)), rtol=RTOL)

        @given(cases)
        def test_covariance_with_is_a_column_of_the_dense_inverse(self, case):
            factor, dense = make(case.stencil), reference.covariance(case.Q)
            height, width = case.shape
            for pixel in {(0, 0), (height - 1, 0), (height - 1, width - 1), (height // 2, width // 2)}:
                for channel in range(case.channels):
                    column = factor.covariance_with(pixel, channel)
                    assert column.shape == case.image_shape
                    index = (pixel[0] * width + pixel[1]) * case.channels + channel
                    assert_allclose(column.ravel(), dense[:, index], rtol=RTOL, atol=RTOL)

        @given(cases)
        def test_batch_axes_lead_and_each_item_stands_alone(self, case):
            factor, batch = make(case.stencil), case.images(2, 3)
            for operation in (factor.whiten, factor.unwhiten, factor.solve):
                together = operation(batch)
                assert together.shape == batch.shape
                for item in np.ndindex(2, 3):
                    assert_allclose(together[item], operation(batch[item]), rtol=RTOL, atol=RTOL)

        @given(cases)
        def test_empty_batch_gives_empty_batch(self, case):
            factor, empty = make(case.stencil), case.images(0)
            for operation in (factor.whiten, factor.unwhiten, factor.solve):
                assert operation(empty).shape == empty.shape

        @given(cases)
        def test_inputs_are_not_changed_and_results_are_new(self, case):
            stencil, x = case.stencil, case.images(2)
            before, matrix = x.copy(), stencil.tocsr().toarray()
            factor = make(stencil)
            for operation in (factor.whiten, factor.unwhiten, factor.solve):
                assert not np.shares_memory(operation(x), x)
            factor.selected_inverse()
            assert np.array_equal(x, before)
            assert np.array_equal(stencil.tocsr().toarray(), matrix)

        @given(cases)
        def test_layout_of_the_image_does_not_matter(self, case):
            factor, x = make(case.stencil), case.images(2)
            strided = np.asfortranarray(np.repeat(x, 2, axis=-1))[..., ::2]
            frozen = x.copy()
            frozen.flags.writeable = False
            for operation in (factor.whiten, factor.unwhiten, factor.solve):
                assert np.array_equal(operation(strided), operation(x))
                assert np.array_equal(operation(frozen), operation(x))

        @given(cases)
        def test_bits_do_not_depend_on_the_number_of_threads(self, case):
            before, x = sparsegmrf.get_num_threads(), case.images(3)
            results = []
            try:
                for threads in (1, 3):
                    sparsegmrf.set_num_threads(threads)
                    with patch.object(_threads, "rows_per_task", lambda width: 1):
                        factor = make(case.stencil)
                        results.append(
                            [
                                np.float64(factor.logdet),
                                *(operation(x) for operation in (factor.whiten, factor.unwhiten, factor.solve)),
                                factor.selected_inverse().pool.values,
                                factor.marginal_variance(),
                                factor.covariance_with((0, 0)),
                            ]
                        )
            finally:
                sparsegmrf.set_num_threads(before)
            for one, several in zip(*results, strict=True):
                assert np.array_equal(one, several)

        @given(cases)
        def test_numbers_that_are_not_real_are_refused_by_name(self, case):
            factor = make(case.stencil)
            for name, operation in (("x", factor.whiten), ("e", factor.unwhiten), ("b", factor.solve)):
                with pytest.raises(ArgumentError, match=rf"^{name} must hold real numbers"):
                    operation(case.images().astype(complex))

        @given(cases)
        def test_wrong_shapes_are_refused_by_name(self, case):
            factor = make(case.stencil)
            height, width = case.shape
            wrong = np.zeros((height, width + 1) if case.channels == 1 else (height, width, case.channels + 1))
            for name, operation in (("x", factor.whiten), ("e", factor.unwhiten), ("b", factor.solve)):
                with pytest.raises(ArgumentError, match=rf"^{name} must have shape"):
                    operation(wrong)
                with pytest.raises(ArgumentError, match=rf"^{name} must have shape"):
                    operation(np.zeros(height * width * case.channels + 1))
            with pytest.raises(ArgumentError, match="pixel"):
                factor.covariance_with((height, 0))
            with pytest.raises(ArgumentError, match="channel"):
                factor.covariance_with((0, 0), case.channels)

    return Contract


def symmetric_factor_contract(make, cases):
    """Return a test class for a factor of symmetric stencils: also independent of how the image lies."""

    class SymmetricContract(factor_contract(make, cases)):
        @given(cases, st.sampled_from([0, 1]))
        def test_flipped_image_has_the_flipped_field(self, case, axis):
            self.check_moved(case, case.flipped(axis), lambda image: np.flip(image, axis))

        @given(cases)
        def test_transposed_image_has_the_transposed_field(self, case):
            self.check_moved(case, case.transposed(), lambda image: np.swapaxes(image, 0, 1))

        def check_moved(self, case, moved_case, move):
            factor, moved, x = make(case.stencil), make(moved_case.stencil), case.images()
            assert_allclose(moved.logdet, factor.logdet, rtol=RTOL, atol=RTOL)
            assert_allclose(moved.solve(move(x)), move(factor.solve(x)), rtol=RTOL, atol=RTOL)
            assert_allclose(moved.marginal_variance(), move(factor.marginal_variance()), rtol=RTOL)

    return SymmetricContract


def columns(operation, case):
    """Return the dense matrix of a linear operation on images."""
    size = int(np.prod(case.image_shape))
    return operation(np.eye(size).reshape(size, *case.image_shape)).reshape(size, size).T


def later_offsets(case):
    """Return the centre and the case's offsets, mirrored to the later side."""
    return {(0, 0)} | {max(offset, (-offset[0], -offset[1])) for offset in case.offsets}
