"""SeparableFactor: the contract over channels that share one spatial field, and what it refuses."""

from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil, TriangularStencil, factorize
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.factors import DenseFactor, IntrinsicFactor, SeparableFactor
from sparsegmrf.factors._null_space import NullSpace
from sparsegmrf.factors.intrinsic import IntrinsicForm
from sparsegmrf.factors.separable import SeparableForm
from tests import strategies
from tests.contracts import symmetric_factor_contract
from tests.intrinsic_cases import first_order

SPATIAL = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (4, 5))
S = np.array([[1.0, 0.8, 0.3], [0.8, 2.0, 0.1], [0.3, 0.1, 0.5]])


@dataclass(frozen=True)
class SeparableCase:
    """A spatial case and a covariance of channels, with their Kronecker product as oracle."""

    spatial: object
    covariance: np.ndarray

    @property
    def form(self):
        return SeparableForm(self.spatial.stencil, self.covariance)

    @property
    def stencil(self):
        return self.form.stencil

    @property
    def Q(self):
        return np.kron(self.spatial.Q, np.linalg.inv(self.covariance))

    @property
    def channels(self):
        return len(self.covariance)

    @property
    def shape(self):
        return self.spatial.shape

    @property
    def offsets(self):
        return self.spatial.offsets

    @property
    def coefficients(self):
        inverse = np.linalg.inv(self.covariance)
        coefficients = [np.asarray(c)[..., None, None] * (inverse + inverse.T) / 2 for c in self.spatial.coefficients]
        return coefficients if self.channels > 1 else [c[..., 0, 0] for c in coefficients]

    @property
    def boundary(self):
        return self.spatial.boundary

    @property
    def seed(self):
        return self.spatial.seed

    @property
    def image_shape(self):
        return self.shape if self.channels == 1 else (*self.shape, self.channels)

    def flipped(self, axis):
        return SeparableCase(self.spatial.flipped(axis), self.covariance)

    def transposed(self):
        return SeparableCase(self.spatial.transposed(), self.covariance)

    def images(self, *batch):
        return np.random.default_rng(self.seed + 1).standard_normal((*batch, *self.image_shape))


@st.composite
def separable(draw):
    spatial = draw(
        strategies.symmetric_stencils(largest=4, channels=(1,), boundaries=("dirichlet", "neumann", "torus"))
    )
    channels = draw(st.integers(1, 3))
    root = np.random.default_rng(spatial.seed).uniform(-1.0, 1.0, (channels, channels))
    return SeparableCase(spatial, root @ root.T + 0.3 * np.eye(channels))


def of_blocks(stencil):
    """Take a block stencil of a separable case apart again, so that the contract needs the stencil alone."""
    if stencil.channels == 1:
        return SeparableFactor(DenseFactor(stencil), [[1.0]])
    centre = stencil.coefficient(0)
    block = centre if centre.ndim == 2 else centre[0, 0]
    inverse = block / block[0, 0]
    coefficients = [stencil.coefficient(k)[..., 0, 0] for k in range(len(stencil.offsets))]
    spatial = SymmetricStencil(stencil.offsets, coefficients, stencil.shape, boundary=stencil.boundary)
    covariance = np.linalg.inv(inverse)
    return SeparableFactor(DenseFactor(spatial), (covariance + covariance.T) / 2)


TestContract = symmetric_factor_contract(of_blocks, separable())


@given(separable())
def test_form_is_the_kronecker_product_and_its_factor_that_of_the_blocks(case):
    assert_allclose(case.stencil.tocsr().toarray(), case.Q, rtol=1e-9, atol=1e-9)
    factor = factorize(case.form, "dense")
    assert factor.method == "separable"
    blocks = DenseFactor(case.stencil)
    assert_allclose(factor.logdet, blocks.logdet, rtol=1e-9, atol=1e-9)
    x = case.images(2)
    assert_allclose(factor.solve(x), blocks.solve(x), rtol=1e-9, atol=1e-9)
    assert_allclose(np.square(factor.whiten(x)).sum(), np.square(blocks.whiten(x)).sum(), rtol=1e-9)


@given(first_order(largest=4))
def test_intrinsic_spatial_field_gives_the_pseudo_inverse(case):
    form = IntrinsicForm(case.stencil, NullSpace.of(case.stencil, "constants"))
    factor = factorize(SeparableForm(form, S))
    assert factor.rank == 3 * len(case.positive)
    values = np.kron(case.positive, np.linalg.eigvalsh(np.linalg.inv(S)))
    assert_allclose(factor.logdet, np.log(values).sum(), rtol=1e-9, atol=1e-9)
    pinv = np.kron(case.pinv, S)
    x = np.random.default_rng(case.seed).standard_normal((*case.image_shape, 3))
    assert_allclose(factor.solve(x).ravel(), pinv @ x.ravel(), rtol=1e-9, atol=1e-9)
    assert_allclose(factor.marginal_variance().ravel(), np.diagonal(pinv), rtol=1e-9, atol=1e-9)


def test_method_of_the_spatial_factor_is_the_one_asked_for():
    form = SeparableForm(SPATIAL, S)
    for method in ("dissection", "spectral", "dense"):
        factor = factorize(form, method)
        assert factor.spatial.method == method
    A = TriangularStencil([(0, -1)], 1.0, [-0.5], (3, 4))
    assert factorize(SeparableForm(A, S)).spatial.method == "triangular"
    assert_allclose(
        SeparableForm(A, S).stencil.tocsr().toarray(), np.kron(A.gram().tocsr().toarray(), np.linalg.inv(S))
    )


def test_a_spatial_factor_of_any_kind_will_do():
    intrinsic = IntrinsicFactor(
        SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (4, 5), boundary="neumann")
    )
    factor = SeparableFactor(intrinsic, S)
    drawn = factor.unwhiten(np.random.default_rng(0).standard_normal((4, 5, 3)))
    assert_allclose(drawn.sum(axis=(0, 1)), 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("covariance", "message"),
    [
        ([[1.0, 2.0], [2.0, 1.0]], r"positive definite, got the eigenvalues -1 to 3"),
        (np.ones((2, 2)), "positive definite"),
        ([[1.0, 0.5], [0.4, 1.0]], "must be symmetric, got a difference of 0.1"),
        (np.ones((2, 3)), r"must be a \(C, C\) matrix"),
        (2.0, r"must be a \(C, C\) matrix"),
        ([[np.nan]], "must be finite"),
    ],
)
def test_a_covariance_that_is_none_is_refused(covariance, message):
    for make in (lambda: SeparableFactor(DenseFactor(SPATIAL), covariance), lambda: SeparableForm(SPATIAL, covariance)):
        with pytest.raises(ArgumentError, match=rf"^covariance .*{message}|^covariance {message}"):
            make()


def test_channels_on_both_sides_are_refused():
    block = SymmetricStencil([(0, 0)], [np.eye(2)], (3, 3), channels=2)
    with pytest.raises(ArgumentError, match=r"^spatial must have one unknown"):
        SeparableForm(block, S)
    with pytest.raises(ArgumentError, match=r"^spatial must have one unknown"):
        SeparableFactor(DenseFactor(block), S)


def test_an_indefinite_spatial_precision_is_refused():
    with pytest.raises(NotPositiveDefiniteError):
        factorize(SeparableForm(SPATIAL * -1.0, S), "dense")
    assert sp.issparse(SeparableForm(SPATIAL, S).stencil.tocsr())
