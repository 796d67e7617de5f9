"""Fields and factors on a lattice with a domain, against dense matrices of the unknowns in it."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil, TriangularStencil, factorize
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.factors.restricted import RestrictedForm
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil._decoupled import decoupled
from tests import reference, strategies
from tests.contracts import columns

CLOSE = {"rtol": 1e-9, "atol": 1e-9}
FIVE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.3, -1.0, -1.1], (4, 5))


@st.composite
def parted(draw):
    """A stencil, the domain on which it is cut apart, and the dense covariance, zero elsewhere."""
    case = draw(strategies.symmetric_stencils(largest=5))
    domain = np.random.default_rng(case.seed).random(case.image_shape) < 0.6
    domain.flat[-1] = True
    inside = np.ix_(domain.ravel(), domain.ravel())
    covariance = np.zeros(case.Q.shape)
    covariance[inside] = np.linalg.inv(case.Q[inside])
    return case, domain, covariance


def method_of(case):
    return "dense" if case.boundary == "torus" else "auto"


@given(parted())
def test_factor_is_that_of_the_unknowns_in_the_domain(drawn):
    case, domain, covariance = drawn
    lattice = Lattice(case.shape, case.channels, domain)
    factor = factorize(RestrictedForm(decoupled(case.stencil, ~domain), lattice), method_of(case))
    inside = np.ix_(domain.ravel(), domain.ravel())
    assert factor.lattice == lattice
    assert (factor.rank, factor.rank_deficiency) == (np.count_nonzero(domain), 0)
    assert_allclose(factor.logdet, np.linalg.slogdet(case.Q[inside])[1], **CLOSE)
    A, inverse = columns(factor.whiten, case), columns(factor.unwhiten, case)
    Q = np.zeros(case.Q.shape)
    Q[inside] = case.Q[inside]
    assert_allclose(A.T @ A, Q, rtol=1e-9, atol=1e-9 * np.abs(Q).max())
    assert_allclose(A @ inverse, np.diag(domain.ravel().astype(float)), **CLOSE)
    assert_allclose(inverse @ inverse.T, covariance, **CLOSE)
    assert_allclose(columns(factor.solve, case), covariance, **CLOSE)
    variance = factor.marginal_variance()
    assert_allclose(variance.ravel(), np.diagonal(covariance), **CLOSE)
    assert not variance[~domain].any()
    selected = factor.selected_inverse()
    expected = reference.planes(covariance, selected.offsets.tolist(), case.shape, case.channels, case.boundary)
    for k in range(len(selected.offsets)):
        assert_allclose(selected.plane(k).reshape(expected[k].shape), expected[k], **CLOSE)


@given(parted())
def test_field_on_a_domain_is_the_dense_normal_of_its_unknowns(drawn):
    case, domain, covariance = drawn
    apart = decoupled(case.stencil, ~domain)
    # What the precision has outside the domain is not read.
    diagonal = np.where(domain, 0.0, -7.0)
    field = GMRF(apart.plus_diagonal(diagonal), case.images(), method_of(case), domain=domain)
    inside = domain.ravel()
    assert np.array_equal(field.domain, domain)
    assert (field.rank, field.rank_deficiency, len(field.null_space)) == (inside.sum(), 0, 0)
    draw = field.sample(2, rng=case.seed)
    assert np.array_equal(draw[:, ~domain], np.broadcast_to(field.mean[~domain], draw[:, ~domain].shape))
    r = (draw[0] - field.mean).ravel()[inside]
    Q = case.Q[np.ix_(inside, inside)]
    logdet = np.linalg.slogdet(Q)[1]
    expected = 0.5 * (logdet - len(r) * np.log(2.0 * np.pi) - r @ Q @ r)
    assert_allclose(field.logpdf(draw)[0], expected, **CLOSE)
    assert_allclose(field.entropy(), 0.5 * (len(r) * (1.0 + np.log(2.0 * np.pi)) - logdet), **CLOSE)
    assert_allclose(field.marginal_variance().ravel(), np.diagonal(covariance), **CLOSE)
    outside = np.argwhere(~domain.reshape(*case.shape, case.channels))
    for i, j, channel in outside[:1]:
        assert not field.covariance_with((int(i), int(j)), int(channel)).any()


def test_a_complete_domain_changes_nothing():
    whole = np.ones((4, 5), bool)
    field = GMRF.from_precision(FIVE, domain=whole)
    assert field.lattice == FIVE.lattice
    assert field.logdet == pytest.approx(GMRF(FIVE).logdet, rel=1e-12)


@pytest.mark.parametrize(
    ("domain", "match"),
    [
        (np.ones((4, 5)), r"^domain must be boolean"),
        (np.ones((5, 4), bool), r"^domain must have the shape"),
        (np.zeros((4, 5), bool), r"^domain must contain a pixel"),
        (np.arange(20).reshape(4, 5) < 10, r"^domain must not cut through couplings, but pixel \(1, 0\) of it"),
        (np.arange(20).reshape(4, 5) >= 10, r"^domain must not cut through couplings, but pixel \(2, 0\) of it"),
    ],
)
def test_a_domain_that_is_none_or_cuts_couplings_is_refused(domain, match):
    with pytest.raises(ArgumentError, match=match):
        GMRF(FIVE, domain=domain)


def test_a_matrix_that_is_no_stencil_has_no_domain():
    dense = 4.0 * np.eye(20)
    dense[0, -1] = dense[-1, 0] = 1.0
    with pytest.raises(StencilError, match="Q couples pixels"):
        GMRF(sp.csr_array(dense), shape=(1, 20), domain=np.ones((1, 20), bool))


def test_a_whitening_matrix_is_restricted_as_its_precision():
    A = TriangularStencil([(0, -1)], 2.0, [[[0.0, -1.0, 0.0, -1.0]]], (1, 4))
    field = GMRF(A, domain=[[True, True, False, False]])
    Q = A.gram().tocsr().toarray()[:2, :2]
    assert_allclose(field.marginal_variance()[0, :2], np.diagonal(np.linalg.inv(Q)), rtol=1e-12)
