"""CholmodFactor: the contract for all it takes, the permutation kept out of sight, and what it refuses."""

import logging
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil, TriangularStencil, factorize
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.factors import DenseFactor
from sparsegmrf.kernels import takahashi
from tests import reference, strategies
from tests.conftest import require
from tests.contracts import factor_contract

require("sksparse.cholmod")

from sparsegmrf.factors.cholmod import ORDERINGS, CholmodFactor  # noqa: E402

SYMMETRIC = strategies.symmetric_stencils(largest=5, boundaries=("dirichlet", "neumann", "torus"))

TestSymmetric = factor_contract(CholmodFactor, SYMMETRIC)
TestTriangular = factor_contract(CholmodFactor, strategies.triangular_stencils(largest=5))


def membrane(shape, kappa2=0.1, squared=False, seed=None):
    """Return ``kappa^2 + G`` (five points) or its square (13 points), per-pixel where a seed is given."""
    rng = np.random.default_rng(seed)
    edges = [-np.ones(shape) if seed is None else -rng.uniform(0.5, 2.0, shape) for _ in range(2)]
    Q = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [0.0, *edges], shape).tocsr()
    Q = Q + sp.diags_array(kappa2 - Q.sum(axis=1))
    return SymmetricStencil.from_csr(Q @ Q if squared else Q, shape)


def nine_point(shape, channels, seed):
    """Return a per-pixel nine-point stencil with a region in which nothing is coupled."""
    rng = np.random.default_rng(seed)
    block = () if channels == 1 else (channels, channels)
    planes = [rng.uniform(-1.0, 1.0, (*shape, *block)) for _ in range(4)]
    for plane in planes:
        plane[2:5, 3:9] = 0.0
    centre = np.full(shape, 8.5 * channels)
    if channels > 1:
        centre = centre[..., None, None] * np.eye(channels)
    return SymmetricStencil([(0, 0), (0, 1), (1, -1), (1, 0), (1, 1)], [centre, *planes], shape, channels=channels)


STENCILS = {
    "five-point": membrane((17, 23)),
    "five-point per pixel": membrane((30, 11), seed=1),
    "13-point": membrane((21, 16), squared=True),
    "13-point per pixel": membrane((9, 40), squared=True, seed=2),
    "nine-point with a hole": nine_point((14, 19), 1, 3),
    "nine-point, two channels": nine_point((12, 13), 2, 4),
}


@pytest.mark.parametrize("ordering", ["default", "amd", "nesdis", "natural"])
@pytest.mark.parametrize("name", STENCILS)
def test_every_operation_agrees_with_the_dense_factor_in_any_ordering(name, ordering):
    stencil = STENCILS[name]
    ours, dense = CholmodFactor(stencil, ordering=ordering), DenseFactor(stencil)
    x = np.random.default_rng(0).standard_normal((3, *stencil.lattice.image_shape))
    assert ours.logdet == pytest.approx(dense.logdet, rel=1e-12)
    assert_allclose(ours.solve(x), dense.solve(x), rtol=1e-10, atol=1e-10)
    assert_allclose(ours.unwhiten(ours.whiten(x)), x, rtol=1e-10, atol=1e-10)
    assert_allclose(np.sum(ours.whiten(x) ** 2), np.sum(x * (stencil @ x)), rtol=1e-12)
    ours, dense = ours.selected_inverse(), dense.selected_inverse()
    for k in range(len(stencil.offsets)):
        assert_allclose(ours.plane(k), dense.plane(k), rtol=1e-10, atol=1e-12)


def test_every_ordering_that_is_named_is_accepted():
    stencil = STENCILS["five-point"]
    for ordering in ORDERINGS:
        factor = CholmodFactor(stencil, ordering=ordering)
        assert factor.logdet == pytest.approx(DenseFactor(stencil).logdet, rel=1e-12)
        assert sorted(factor.permutation) == list(range(17 * 23))
    with pytest.raises(ArgumentError, match="ordering must be one of 'default'"):
        CholmodFactor(stencil, ordering="rcm")


def test_supernodal_and_simplicial_factors_are_exact_alike():
    # CHOLMOD takes the simplicial L D L^T below about 40 operations per entry of L, the supernodal L L^T above.
    small, large = membrane((6, 6), seed=3), membrane((40, 40), squared=True, seed=3)
    for stencil in (small, large):
        ours, dense = CholmodFactor(stencil), DenseFactor(stencil)
        x = np.random.default_rng(0).standard_normal((2, *stencil.shape))
        assert_allclose(ours.solve(x), dense.solve(x), rtol=1e-9, atol=1e-9)
        assert_allclose(ours.whiten(ours.unwhiten(x)), x, rtol=1e-9, atol=1e-9)
        assert_allclose(ours.marginal_variance(), dense.marginal_variance(), rtol=1e-9)


@given(strategies.symmetric_stencils(largest=5), st.integers(0, 2**16))
def test_a_matrix_of_any_pattern_is_taken(case, seed):
    n = len(case.Q)
    far = np.zeros((n, n))
    far[0, -1] = far[-1, 0] = 0.1
    Q = case.Q + far @ far + far
    ours, dense = CholmodFactor(sp.coo_array(Q), case.shape, channels=case.channels), np.linalg.inv(Q)
    x = case.images()
    assert_allclose(ours.solve(x).ravel(), dense @ x.ravel(), rtol=1e-9, atol=1e-9)
    assert_allclose(ours.logdet, reference.logdet(Q), rtol=1e-9, atol=1e-9)
    assert_allclose(ours.marginal_variance().ravel(), np.diagonal(dense), rtol=1e-9)
    assert ours.selected_inverse().offsets.tolist() == [[0, 0]]


@given(strategies.symmetric_stencils(largest=5))
def test_refactorize_is_a_new_factor_of_the_new_values(case):
    old = CholmodFactor(case.stencil)
    values = [2.0 * np.asarray(c) for c in case.coefficients]
    stencil = SymmetricStencil(case.offsets, values, case.shape, channels=case.channels)
    x, logdet = case.images(), old.logdet
    new = old.refactorize(stencil)
    assert_allclose(new.solve(x), 0.5 * old.solve(x), rtol=1e-9, atol=1e-9)
    assert old.logdet == logdet
    assert_allclose(old.logdet, reference.logdet(case.Q), rtol=1e-9, atol=1e-9)
    assert_allclose(new.logdet, CholmodFactor(stencil).logdet, rtol=1e-12, atol=1e-12)
    assert_allclose(new.marginal_variance(), 0.5 * old.marginal_variance(), rtol=1e-9)


def test_refactorize_takes_sparse_arrays_and_triangular_stencils():
    Q = STENCILS["five-point"].tocsr()
    factor = CholmodFactor(Q, (17, 23)).refactorize(4.0 * Q)
    assert factor.logdet == pytest.approx(CholmodFactor(Q, (17, 23)).logdet + 17 * 23 * np.log(4.0), rel=1e-12)
    A = TriangularStencil([(0, -1)], 2.0, [-0.5], (2, 3))
    assert CholmodFactor(A).refactorize(A).logdet == pytest.approx(12.0 * np.log(2.0))


def test_refactorize_refuses_another_pattern():
    factor = CholmodFactor(STENCILS["five-point"])
    for other in (STENCILS["13-point"], membrane((23, 17)), sp.eye_array(17 * 23)):
        with pytest.raises(ArgumentError, match="pattern"):
            factor.refactorize(other)


@pytest.mark.parametrize("side", [6, 40])
def test_failed_pivot_is_reported_with_its_pixel_and_value(side):
    good = membrane((side, side), seed=5, squared=True)
    planes = [good.plane(k) for k in range(7)]
    planes[0][2, 3] = -7.0
    stencil = SymmetricStencil(good.offsets, planes, (side, side))
    with pytest.raises(NotPositiveDefiniteError) as caught:
        CholmodFactor(stencil)
    # Elimination in another order may meet the failure at a neighbour, whose Schur complement then is not positive.
    p = np.array(caught.value.pixel)
    assert np.abs(p - [2, 3]).max() <= 2
    assert caught.value.pivot < 0.0
    assert f"pivot {caught.value.pivot:g} at pixel {caught.value.pixel}" in str(caught.value)


@pytest.mark.parametrize("side", [6, 40])
def test_reported_pivot_is_the_schur_complement_of_what_was_eliminated_before(side):
    good = membrane((side, side), seed=5, squared=True)
    planes = [good.plane(k) for k in range(len(good.offsets))]
    planes[0][2, 3] = -7.0
    order = CholmodFactor(good).permutation
    with pytest.raises(NotPositiveDefiniteError) as caught:
        CholmodFactor(good).refactorize(SymmetricStencil(good.offsets, planes, (side, side)))
    Q = SymmetricStencil(good.offsets, planes, (side, side)).tocsr().toarray()
    u = caught.value.pixel[0] * side + caught.value.pixel[1]
    done = order[: order.tolist().index(u)]
    schur = Q[u, u] - Q[u, done] @ np.linalg.solve(Q[np.ix_(done, done)], Q[done, u])
    assert caught.value.pivot == pytest.approx(schur, rel=1e-6)
    assert np.linalg.eigvalsh(Q[np.ix_(done, done)]).min() > 0.0


def test_failed_pivot_of_a_channel_names_the_channel():
    with pytest.raises(NotPositiveDefiniteError) as caught:
        CholmodFactor(SymmetricStencil([(0, 0)], [np.diag([1.0, -2.0])], (1, 1), channels=2))
    assert (caught.value.pixel, caught.value.pivot) == ((0, 0, 1), -2.0)


@pytest.mark.parametrize("side", [2, 60])
def test_singular_and_indefinite_precisions_are_refused_not_repaired(side):
    zero = np.r_[np.ones(side * side - 1), 0.0]
    with pytest.raises(NotPositiveDefiniteError, match=rf"pivot 0 at pixel \({side - 1}, {side - 1}\)"):
        CholmodFactor(sp.diags_array(zero), (side, side))
    # The smallest eigenvalue is -0.001, of the constant field.
    with pytest.raises(NotPositiveDefiniteError) as caught:
        CholmodFactor(SymmetricStencil([(0, 0), (0, 1), (1, 0)], [3.999, -1.0, -1.0], (side, side), boundary="torus"))
    assert caught.value.pivot < 0.0


@pytest.mark.parametrize(
    ("precision", "options", "match"),
    [
        (np.eye(4), {"shape": (2, 2)}, "scipy sparse"),
        (sp.eye_array(4), {}, "shape"),
        (sp.eye_array(4), {"shape": (2, 3)}, "6 x 6"),
        (sp.eye_array(4), {"shape": (2, 2), "channels": 2}, "8 x 8"),
        (sp.eye_array(4), {"shape": (2, 2), "channels": 0}, "channels"),
        (sp.csr_array([[2.0, 1.0], [0.5, 2.0]]), {"shape": (1, 2)}, "symmetric"),
        (sp.csr_array([[np.nan]]), {"shape": (1, 1)}, "finite"),
        (STENCILS["five-point"], {"shape": (23, 17)}, "shape"),
    ],
)
def test_what_is_no_precision_is_refused(precision, options, match):
    with pytest.raises(ArgumentError, match=match):
        CholmodFactor(precision, **options)


def test_matrix_given_is_not_changed():
    Q = STENCILS["nine-point with a hole"].tocsr()
    arrays = [array.copy() for array in (Q.data, Q.indices, Q.indptr)]
    factor = CholmodFactor(Q, (14, 19))
    factor.selected_inverse()
    assert all(np.array_equal(a, b) for a, b in zip((Q.data, Q.indices, Q.indptr), arrays, strict=True))


def test_nbytes_counts_the_numbers_and_indices_of_the_factor():
    # The natural order of a 1 x n chain has no fill: n diagonal entries and n - 1 below them.
    factor = CholmodFactor(SymmetricStencil([(0, 0), (0, 1)], [3.0, -1.0], (1, 50)), ordering="natural")
    assert factor.nbytes == 8 * 99 + 4 * 99 + 4 * 51


def test_takahashi_recursion_names_a_column_that_lacks_its_fill():
    # Columns 0 and 1 couple 2 and 3 through 0, but L[3, 2] is missing.
    L = sp.csc_array(np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]]))
    column = takahashi.invert_on_pattern(L.indptr, L.indices, L.data, np.empty(6), np.empty((3, 3)), np.empty(3))
    assert column == 0


def test_auto_takes_cholmod_for_what_no_lattice_method_can(caplog):
    far = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (43, 47)).tocsr().tolil()
    far[0, 2020] = far[2020, 0] = -0.2
    with caplog.at_level(logging.DEBUG, logger="sparsegmrf"):
        linked = factorize(sp.csr_array(far), shape=(43, 47))
    assert isinstance(linked, CholmodFactor)
    assert [message.split()[0] for message in caplog.messages] == ["cholmod"]
    assert linked.logdet == pytest.approx(reference.logdet(far.toarray()), rel=1e-12)
    field = GMRF.from_precision(sp.csr_array(far), (43, 47), mean=2.0)
    x = field.sample(rng=0)
    expected = reference.log_density(x, np.full(x.shape, 2.0), far.toarray())
    assert field.logpdf(x) == pytest.approx(expected, rel=1e-12)


def test_without_scikit_sparse_the_core_works_and_the_error_names_the_remedy():
    program = """
import sys
sys.modules["sksparse"] = None
import sparsegmrf
from sparsegmrf.factors.cholmod import CholmodFactor
stencil = sparsegmrf.SymmetricStencil([(0, 0)], [1.0], (2, 2))
assert sparsegmrf.factors.DenseFactor(stencil).logdet == 0.0
try:
    CholmodFactor(stencil)
except ImportError as error:
    print(error)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert 'pip install "sparsegmrf[cholmod]"' in out
    assert "libsuitesparse-dev" in out
