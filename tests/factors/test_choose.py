"""factorize: which factor it takes, and what it reads a sparse array as."""

import logging
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil, TriangularStencil, factorize
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.factors import DenseFactor, SingleFactor, TriangularFactor
from sparsegmrf.factors.choose import method_for, read_precision
from sparsegmrf.factors.independent import IndependentForm
from tests import reference, strategies

A = TriangularStencil([(0, -1), (-1, 0)], 1.0, [-0.3, -0.4], (4, 5))
Q = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (4, 5))


def test_whitening_matrix_gets_the_triangular_factor():
    assert isinstance(factorize(A), TriangularFactor)
    assert factorize(A).method == method_for(A) == "triangular"


@pytest.mark.parametrize("precision", [A, Q])
def test_a_named_method_is_taken(precision):
    factor = factorize(precision, "dense")
    assert isinstance(factor, DenseFactor)
    assert_allclose(factor.logdet, factorize(precision).logdet, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["triangular", "spectral", "dissection", "dense"])
def test_the_name_of_a_factor_is_the_method_that_makes_it(method):
    precision = A if method == "triangular" else Q
    assert factorize(precision, method).method == method_for(precision, method) == method


def test_choice_is_logged_at_debug_level(caplog):
    with caplog.at_level(logging.DEBUG, logger="sparsegmrf"):
        factor = factorize(Q)
    assert caplog.messages == [f"{factor.method} factor for SymmetricStencil on {Q.lattice}"]


@given(strategies.symmetric_stencils(boundaries=("dirichlet", "neumann")))
def test_sparse_array_is_read_as_the_stencil_it_is(case):
    read, lattice = read_precision(sp.coo_array(case.Q), case.shape, case.channels)
    assert isinstance(read, SymmetricStencil)
    assert lattice == case.stencil.lattice
    assert_allclose(read.tocsr().toarray(), case.Q, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("channels", [1, 2])
def test_sparse_array_with_a_far_link_is_still_factorized(channels):
    dense = 4.0 * np.eye(24 // channels * channels)
    dense[0, -1] = dense[-1, 0] = 1.0
    read, _ = read_precision(sp.csr_array(dense), (2, 12 // channels), channels)
    assert sp.issparse(read) == (channels == 1)  # with two channels the image is six columns wide: within reach
    factor = factorize(sp.csr_array(dense), "dense", shape=(2, 12 // channels), channels=channels)
    assert factor.logdet == pytest.approx(reference.logdet(dense))


def test_stored_zeros_do_not_count_as_far_links():
    dense = np.diag(np.full(20, 2.0))
    rows, columns = [*range(20), 0, 19], [*range(20), 19, 0]
    matrix = sp.csr_array((np.r_[np.full(20, 2.0), 0.0, 0.0], (rows, columns)), shape=(20, 20))
    assert matrix.nnz == 22
    read, _ = read_precision(matrix, (1, 20))
    assert isinstance(read, SymmetricStencil)
    assert np.array_equal(read.tocsr().toarray(), dense)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((Q, "qr"), ArgumentError, "^method must be one of 'auto', .*'triangular'"),
        ((Q, "triangular"), StencilError, "^A must be a TriangularStencil"),
        ((np.eye(4),), ArgumentError, "^precision must be a SymmetricStencil.*got ndarray"),
        ((sp.eye_array(4),), ArgumentError, "^shape must be given with a sparse array, got None"),
    ],
)
def test_what_cannot_be_factorized_is_refused(arguments, error, match):
    with pytest.raises(error, match=match):
        factorize(*arguments)


@pytest.mark.parametrize(
    ("precision", "shape", "match"),
    [
        (Q, (5, 4), r"^shape must be left out with a stencil or be its own, \(4, 5\), got \(5, 4\)"),
        (sp.eye_array(4), (2, 3), "6 x 6"),
        (sp.csr_array([[1.0, 0.5], [0.0, 1.0]]), (1, 2), "symmetric"),
        (sp.csr_array([[1.0, np.inf], [np.inf, 1.0]]), (1, 2), "finite"),
    ],
)
def test_a_shape_or_matrix_that_does_not_fit_is_refused(precision, shape, match):
    with pytest.raises(ArgumentError, match=match):
        factorize(precision, shape=shape)


def test_single_precision_is_for_dissection_alone():
    wrapped = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (6, 7), boundary="torus")
    for precision, method in ((wrapped, "spectral"), (A, "triangular")):
        factor = factorize(precision, precision="single")
        assert factor.method == method
        assert factor.relative_error == 0.0
        assert factor.logdet == factorize(precision).logdet
    assert isinstance(factorize(wrapped, "dissection", precision="single").inner, SingleFactor)
    for method in ("cholmod", "dense", DenseFactor):
        with pytest.raises(ArgumentError, match=r'^precision must be "double" with method=.*only dissection'):
            factorize(wrapped, method, precision="single")
    with pytest.raises(ArgumentError, match=r"^precision must be one of 'double', 'single', got 16"):
        factorize(wrapped, precision=16)


def test_method_may_be_factorize_with_arguments():
    centre, method = 4.1 + np.random.default_rng(0).uniform(size=(6, 7)), partial(factorize, precision="single")
    stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [centre, -1.0, -1.0], (6, 7))
    assert isinstance(factorize(stencil, method), SingleFactor)
    stacked = factorize(IndependentForm((stencil, 2.0 * stencil)), method)
    assert 0.0 < stacked.relative_error < 1e-5
    exact = np.diagonal(reference.covariance(stencil.tocsr().toarray())).reshape(stencil.shape)
    for k, scale in enumerate((1.0, 2.0)):
        assert_allclose(stacked.marginal_variance()[..., k], exact / scale, rtol=stacked.relative_error)
