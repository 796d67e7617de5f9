"""DenseFactor: the contract for all it takes, and what it refuses."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil, TriangularStencil
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError, TooLargeError
from sparsegmrf.factors import DenseFactor
from tests import reference, strategies
from tests.contracts import factor_contract, symmetric_factor_contract

SYMMETRIC = strategies.symmetric_stencils(largest=5, boundaries=("dirichlet", "neumann", "torus"))

TestSymmetric = symmetric_factor_contract(DenseFactor, SYMMETRIC)
TestTriangular = factor_contract(DenseFactor, strategies.triangular_stencils(largest=5))


@given(SYMMETRIC)
def test_covariance_is_the_dense_inverse(case):
    assert_allclose(DenseFactor(case.stencil).covariance(), reference.covariance(case.Q), rtol=1e-9, atol=1e-9)


@given(strategies.symmetric_stencils(channels=(1,)))
def test_sparse_array_gives_the_factor_of_its_stencil(case):
    from_array = DenseFactor(sp.coo_array(case.Q), case.shape)
    from_stencil = DenseFactor(case.stencil)
    x = case.images()
    assert_allclose(from_array.logdet, from_stencil.logdet, rtol=1e-12, atol=1e-12)
    assert_allclose(from_array.whiten(x), from_stencil.whiten(x), rtol=1e-12, atol=1e-12)
    assert_allclose(from_array.marginal_variance(), from_stencil.marginal_variance(), rtol=1e-10)


def test_failed_pivot_is_reported_with_its_pixel_and_value():
    centre = np.full((3, 4), 2.0)
    centre[1, 2] = 0.1
    with pytest.raises(NotPositiveDefiniteError, match=r"pivot -0\.361538 at pixel \(1, 2\)") as caught:
        DenseFactor(SymmetricStencil([(0, 0), (0, 1)], [centre, np.full((3, 4), -np.sqrt(0.75))], (3, 4)))
    assert caught.value.pixel == (1, 2)
    assert caught.value.pivot == pytest.approx(0.1 - 0.75 / (2.0 - 0.375))
    assert isinstance(caught.value, np.linalg.LinAlgError)


def test_failed_pivot_of_a_channel_names_the_channel():
    with pytest.raises(NotPositiveDefiniteError) as caught:
        DenseFactor(SymmetricStencil([(0, 0)], [np.diag([1.0, -2.0])], (2, 2), channels=2))
    assert caught.value.pixel == (0, 0, 1)
    assert caught.value.pivot == -2.0


def test_singular_precision_is_refused_not_repaired():
    with pytest.raises(NotPositiveDefiniteError):
        DenseFactor(SymmetricStencil([(0, 0), (0, 1)], [1.0, -1.0], (1, 2)))


def test_more_than_4096_unknowns_are_refused():
    with pytest.raises(TooLargeError, match="4096"):
        DenseFactor(SymmetricStencil([(0, 0)], [1.0], (4097, 1)))
    assert isinstance(TooLargeError("x"), MemoryError)


@pytest.mark.parametrize(
    ("precision", "shape", "match"),
    [
        (np.eye(4), (2, 2), "scipy sparse"),
        (sp.eye_array(4), None, "shape"),
        (sp.eye_array(4), (2, 3), "6 x 6"),
        (sp.csr_array([[2.0, 1.0], [0.5, 2.0]]), (1, 2), "symmetric"),
        (sp.csr_array([[np.nan]]), (1, 1), "finite"),
    ],
)
def test_what_is_no_precision_is_refused(precision, shape, match):
    with pytest.raises(ArgumentError, match=match):
        DenseFactor(precision, shape)


def test_whitening_of_a_triangular_stencil_has_its_determinant():
    A = TriangularStencil([(0, -1)], 2.0, [-0.5], (2, 3))
    assert DenseFactor(A).logdet == pytest.approx(12.0 * np.log(2.0))


def test_a_shape_that_is_not_that_of_the_stencil_is_refused():
    stencil = SymmetricStencil([(0, 0)], [1.0], (2, 3))
    assert DenseFactor(stencil, (2, 3), channels=1).logdet == 0.0
    for shape, channels in (((3, 2), None), (None, 2)):
        with pytest.raises(ArgumentError, match=r"^shape and channels must be left out, or be the stencil's own"):
            DenseFactor(stencil, shape, channels=channels)
