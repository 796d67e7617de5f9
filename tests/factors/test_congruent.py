"""Unknowns in other terms at every pixel, and totals of them, against dense matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, factorize
from sparsegmrf.errors import StencilError
from sparsegmrf.factors import DenseFactor, SpectralFactor
from sparsegmrf.factors.congruent import CongruentForm, total_and_rest
from sparsegmrf.factors.independent import IndependentForm, split, stacked
from sparsegmrf.factors.restricted import RestrictedForm
from sparsegmrf.factors.total import TotalForm
from sparsegmrf.models import CAR, Matern
from sparsegmrf.stencil._congruent import congruent
from sparsegmrf.stencil._decoupled import decoupled
from tests import reference, strategies
from tests.contracts import columns, symmetric_factor_contract

CLOSE = {"rtol": 1e-8, "atol": 1e-8}
SHAPE = (5, 6)
MODELS = [CAR(0.24, tau=2.0), Matern(3.0), CAR(0.1, tau=0.5)]
WEIGHTS = np.array([1.0, -0.5, 2.0])


def method_of(boundary):
    return "dense" if boundary == "torus" else "auto"


def form_of(case):
    """The precision of a case by that of other unknowns."""
    M = np.linalg.qr(np.random.default_rng(case.seed).standard_normal((case.channels, case.channels)))[0]
    M = M + 0.2 * np.eye(case.channels)
    return M if case.channels > 1 else np.array([[1.7]])


@st.composite
def held(draw):
    """A case, the matrix, which of its unknowns are held at zero, and the covariance of ``x`` then."""
    case = draw(strategies.symmetric_stencils(largest=4))
    M, out = form_of(case), np.random.default_rng(case.seed + 1).random(case.image_shape) < 0.3
    out.flat[0] = False
    kept = np.ix_(~out.ravel(), ~out.ravel())
    covariance = np.zeros(case.Q.shape)
    covariance[kept] = np.linalg.inv(case.Q[kept])
    wide = np.kron(np.eye(case.shape[0] * case.shape[1]), M)
    logdet = np.linalg.slogdet(case.Q[kept])[1] - 2.0 * np.linalg.slogdet(wide)[1]
    return case, M, out, wide @ covariance @ wide.T, logdet


@given(held())
def test_factor_is_that_of_the_unknowns_in_other_terms(drawn):
    case, M, out, covariance, logdet = drawn
    inner = case.stencil
    if out.any():
        inner = RestrictedForm(decoupled(inner, out), inner.lattice.restricted(~out))
    factor = factorize(CongruentForm(inner, M), method_of(case.boundary))
    assert_allclose(factor.logdet, logdet, **CLOSE)
    assert factor.rank == np.count_nonzero(~out)
    assert_allclose(columns(factor.solve, case), covariance, **CLOSE)
    root = columns(factor.unwhiten, case)
    assert_allclose(root @ root.T, covariance, **CLOSE)
    selected = factor.selected_inverse()
    expected = reference.planes(covariance, selected.offsets.tolist(), case.shape, case.channels, case.boundary)
    for k in range(len(selected.offsets)):
        assert_allclose(selected.plane(k).reshape(expected[k].shape), expected[k], **CLOSE)


TestContract = symmetric_factor_contract(
    lambda stencil: factorize(
        CongruentForm(congruent(stencil, np.array([[2.0]])), np.array([[2.0]]))
        if stencil.channels == 1
        else CongruentForm(stencil, np.eye(stencil.channels)),
        "dense",
    ),
    strategies.symmetric_stencils(),
)


@pytest.mark.parametrize("weights", [WEIGHTS, np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.0, 3.0])])
def test_total_is_one_of_the_new_unknowns(weights):
    stencil = stacked([model.stencil(SHAPE) for model in MODELS])
    M = total_and_rest(stencil, weights)
    seen = weights @ M
    assert np.count_nonzero(np.abs(seen) > 1e-15) == 1
    assert seen.max() == pytest.approx(1.0)
    for field, part in zip(MODELS, split(stencil), strict=True):
        assert_allclose(part.tocsr().toarray(), field.stencil(SHAPE).tocsr().toarray(), atol=1e-14)


def total(spectral, boundary="neumann"):
    models = [CAR(0.2, boundary=boundary), Matern(3.0, boundary=boundary), CAR(0.1, tau=0.5, boundary=boundary)]
    members = [model.spectral(SHAPE) if spectral else model.stencil(SHAPE) for model in models]
    covariance = sum(
        w * w * np.linalg.inv(model.stencil(SHAPE).tocsr().toarray()) for w, model in zip(WEIGHTS, models, strict=True)
    )
    return TotalForm(IndependentForm(members), WEIGHTS), covariance


@pytest.mark.parametrize("boundary", ["neumann", "torus"])
@pytest.mark.parametrize("spectral", [True, False])
def test_total_has_the_covariance_of_the_weighted_sum(spectral, boundary):
    form, covariance = total(spectral, boundary)
    factor = factorize(form, "auto" if spectral or boundary != "torus" else "dense")
    assert isinstance(factor, SpectralFactor) == spectral
    assert_allclose(factor.logdet, -np.linalg.slogdet(covariance)[1], **CLOSE)
    x = np.random.default_rng(0).standard_normal((3, *SHAPE))
    flat = x.reshape(3, -1)
    assert_allclose(factor.squares(flat), np.sum(flat * np.linalg.solve(covariance, flat.T).T, axis=1), **CLOSE)
    assert_allclose(factor.solve(x).reshape(3, -1), flat @ covariance, **CLOSE)
    roots = factor.covariance_roots(flat)
    assert_allclose(roots @ roots.T, flat @ covariance @ flat.T, **CLOSE)
    assert_allclose(factor.marginal_variance().ravel(), np.diagonal(covariance), **CLOSE)
    selected = factor.selected_inverse()
    expected = reference.planes(covariance, selected.offsets.tolist(), SHAPE, 1, boundary)
    for k in range(len(selected.offsets)):
        assert_allclose(selected.plane(k), expected[k].reshape(SHAPE), **CLOSE)
    draws = GMRF(form, method="auto" if boundary != "torus" or spectral else "dense").sample(20000, rng=1)
    found = draws.reshape(20000, -1)
    assert_allclose(found.T @ found / 20000, covariance, atol=0.05 * covariance.max())  # five standard errors


@pytest.mark.parametrize("held_pixels", [False, True])
def test_total_given_more_information_is_the_dense_one(held_pixels):
    form, covariance = total(spectral=False)
    added = CAR(0.2).stencil(SHAPE)
    expected = np.linalg.inv(np.linalg.inv(covariance) + added.tocsr().toarray())
    once = form.given_information(added)
    assert_allclose(DenseFactor(CAR(0.2).stencil(SHAPE)).logdet, np.linalg.slogdet(added.tocsr().toarray())[1])
    if held_pixels:
        out = np.zeros((*SHAPE, 3), dtype=bool)
        place = once.by_total[1]
        out[0, :2, place] = True
        P = once.inner.inner
        inner = RestrictedForm(decoupled(P, out), P.lattice.restricted(~out))
        once = TotalForm(CongruentForm(inner, once.inner.matrix), WEIGHTS).given_information(0.5 * added)
        kept = np.ix_(~out[..., place].ravel(), ~out[..., place].ravel())
        Q = np.linalg.inv(covariance) + 1.5 * added.tocsr().toarray()
        expected = np.zeros_like(covariance)
        expected[kept] = np.linalg.inv(Q[kept])
        assert once.lattice.n_free == len(covariance) - 2
    assert_allclose(factorize(once).marginal_variance().ravel(), np.diagonal(expected), **CLOSE)


def test_what_has_no_sparse_root_is_refused_by_name():
    factor = factorize(total(spectral=False)[0])
    for call in (factor.whiten, factor.unwhiten):
        with pytest.raises(StencilError, match=r"^precision must be sparse"):
            call(np.zeros(SHAPE))
    before = factor.nbytes
    assert np.isfinite(factor.logdet)
    assert factor.nbytes > before
