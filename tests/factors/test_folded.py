"""FoldedFactor: the contract on every lattice that wraps, what auto takes it for, and what it refuses."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil, factorize, plan
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.factors import DissectionFactor, FoldedFactor, SpectralFactor, SpectralForm
from sparsegmrf.factors.choose import method_for
from tests import reference, strategies
from tests.contracts import factor_contract

PAIRS = [pair for pair in itertools.product(("dirichlet", "neumann", "torus"), repeat=2) if "torus" in pair]
TestFolded = factor_contract(FoldedFactor, strategies.symmetric_stencils(boundaries=PAIRS))

NINE = [(0, 0), (0, 1), (1, -1), (1, 0), (1, 1)]


def nine_points(shape, boundary, gap=None):
    stencil = SymmetricStencil(NINE, [5.0, -1.0, -0.3, -0.5, -0.3], shape, boundary=boundary)
    return stencil if gap is None else stencil.plus_diagonal(gap)


@pytest.mark.parametrize("boundary", PAIRS)
@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (2, 2), (3, 4), (16, 31), (31, 16)])
def test_observed_ring_goes_to_the_dissection_of_the_folded_lattice(shape, boundary):
    gap = np.random.default_rng(0).integers(0, 2, shape).astype(float)
    gap[0, 0] = 3.0
    Q = nine_points(shape, boundary, gap)
    factor = factorize(Q)
    assert isinstance(factor, FoldedFactor)
    assert factor.method == method_for(Q) == "dissection"
    dense = reference.symmetric_matrix(NINE, [5.0 + gap, -1.0, -0.3, -0.5, -0.3], shape, 1, boundary)
    assert factor.logdet == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-12)
    assert_allclose(factor.marginal_variance().ravel(), np.diagonal(np.linalg.inv(dense)), rtol=1e-12)


@pytest.mark.parametrize("boundary", PAIRS)
def test_another_precision_on_the_pattern_keeps_the_analysis(boundary):
    first, second = (
        nine_points((6, 9), boundary),
        nine_points((6, 9), boundary, np.linspace(0.0, 1.0, 54).reshape(6, 9)),
    )
    again = FoldedFactor(first).refactorized(second)
    assert isinstance(again, FoldedFactor)
    assert again.logdet == FoldedFactor(second).logdet
    for other in (
        nine_points((9, 6), boundary),
        nine_points((6, 9), "dirichlet"),
        SymmetricStencil([(0, 0), (0, 1)], [4.0, -1.0], (6, 9), boundary=boundary),
    ):
        assert FoldedFactor(first).refactorized(other) is None


@pytest.mark.parametrize("boundary", PAIRS)
@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (6, 9)])
def test_factor_from_file_is_the_factor_that_was_written(tmp_path, shape, boundary):
    stencil = nine_points(shape, boundary, np.linspace(0.0, 1.0, shape[0] * shape[1]).reshape(shape))
    factor, x = FoldedFactor(stencil), np.random.default_rng(0).standard_normal(shape)
    factor.to_file(tmp_path / "factor.npz")
    read = FoldedFactor.from_file(tmp_path / "factor.npz")
    assert read.lattice == factor.lattice
    assert read.logdet == factor.logdet
    assert np.array_equal(read.solve(x), factor.solve(x))
    assert np.array_equal(read.whiten(x), factor.whiten(x))
    assert np.array_equal(read.marginal_variance(), factor.marginal_variance())
    assert read.selected_inverse().boundary == factor.selected_inverse().boundary
    assert read.refactorized(stencil).logdet == factor.logdet


def test_files_of_flat_and_folded_factors_are_not_taken_for_each_other(tmp_path):
    FoldedFactor(nine_points((6, 9), "torus")).to_file(tmp_path / "folded.npz")
    DissectionFactor(nine_points((6, 9), "neumann")).to_file(tmp_path / "flat.npz")
    with pytest.raises(ArgumentError, match="must name a dissection factor"):
        DissectionFactor.from_file(tmp_path / "folded.npz")
    with pytest.raises(ArgumentError, match="must name a folded factor"):
        FoldedFactor.from_file(tmp_path / "flat.npz")


def test_pivot_that_is_not_positive_names_its_pixel_of_the_ring():
    centre = np.full((5, 8), 5.0)
    centre[3, 6] = -2.0
    Q = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [centre, -1.0, -1.0], (5, 8), boundary=("dirichlet", "torus"))
    with pytest.raises(NotPositiveDefiniteError, match=r"pixel \(\d, \d\)") as raised:
        factorize(Q)
    assert max(abs(a - b) for a, b in zip(raised.value.pixel, (3, 6), strict=True)) <= 1
    blocks = np.zeros((5, 8, 2, 2)) + np.diag([4.0, 5.0])
    blocks[2, 7, 1, 1] = -3.0
    with pytest.raises(NotPositiveDefiniteError) as raised:
        factorize(SymmetricStencil([(0, 0)], [blocks], (5, 8), channels=2, boundary="torus"))
    assert raised.value.pixel == (2, 7, 1)
    assert raised.value.pivot == -3.0


def test_what_does_not_wrap_is_refused_and_the_dissection_says_where_a_ring_goes():
    with pytest.raises(ArgumentError, match=r"^precision must be a SymmetricStencil that wraps"):
        FoldedFactor(nine_points((4, 5), "neumann"))
    with pytest.raises(ArgumentError, match=r"^precision must not wrap, .* FoldedFactor"):
        DissectionFactor(nine_points((4, 5), ("neumann", "torus")))


@pytest.mark.parametrize("boundary", list(itertools.product(("dirichlet", "neumann", "torus"), repeat=2)))
@pytest.mark.parametrize("shape", [(5, 6), (1, 6), (6, 1), (2, 3)])
def test_mixed_transforms_have_the_law_of_the_dense_matrix(shape, boundary):
    wide = [(0, 2)] if boundary[1] == "torus" else [(2, 0)] if boundary[0] == "torus" else []
    offsets, weights = [(0, 0), (0, 1), (1, 0), *wide], [4.3, -1.0, -0.5, 0.2][: 3 + len(wide)]
    stencil = SymmetricStencil(offsets, weights, shape, boundary=boundary)
    form = SpectralForm.of_stencil(stencil)
    assert form is not None
    assert form.boundary == stencil.boundary
    Q = reference.symmetric_matrix(offsets, weights, shape, 1, boundary)
    factor, n = SpectralFactor(form), shape[0] * shape[1]
    A = factor.whiten(np.eye(n).reshape(n, *shape)).reshape(n, n).T
    assert_allclose(A.T @ A, Q, atol=1e-13)
    assert factor.logdet == pytest.approx(np.linalg.slogdet(Q)[1], rel=1e-12)
    selected = factor.selected_inverse()
    planes = reference.planes(np.linalg.inv(Q), selected.offsets.tolist(), shape, 1, boundary)
    assert_allclose(np.stack([selected.plane(k) for k in range(len(planes))]), planes[..., 0, 0], atol=1e-14)


@pytest.mark.parametrize("boundary", [("neumann", "torus"), ("dirichlet", "torus"), ("neumann", "dirichlet")])
def test_no_transform_is_claimed_for_what_it_does_not_diagonalize(boundary):
    skewed = SymmetricStencil([(0, 0), (0, 1), (1, 0), (1, 1)], [4.3, -1.0, -0.5, 0.2], (4, 5), boundary=boundary)
    assert SpectralForm.of_stencil(skewed) is None
    across = SymmetricStencil([(0, 0), (2, 0)], [4.3, -1.0], (4, 5), boundary=boundary)
    assert SpectralForm.of_stencil(across) is None
    assert (SpectralForm.of_stencil(nine_points((4, 5), boundary)) is None) == ("neumann" in boundary)


def test_without_scikit_sparse_an_observed_torus_and_a_small_graph_have_their_field():
    program = """
import sys
sys.modules["sksparse"] = None
import numpy as np, scipy.sparse as sp
from sparsegmrf import factorize, fill
from sparsegmrf.models import CAR, Matern
image = np.random.default_rng(0).standard_normal((12, 14))
image[3:6, 12:] = image[3:6, :2] = np.nan
for boundary in ("torus", ("neumann", "torus")):
    for model in (Matern(range=4.0, boundary=boundary), CAR(0.2, boundary=boundary)):
        found = fill(image, model=model, noise_variance=0.1, fixed=list(model.parameters))
        assert np.isfinite(found.std).all()
graph = sp.eye_array(2000, format="lil") * 4.0
graph[0, 1999] = graph[1999, 0] = -1.0
print(factorize(sp.csr_array(graph), shape=(40, 50)).method)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "dense"


@pytest.mark.parametrize("boundary", PAIRS)
@pytest.mark.parametrize("reach", [1, 2])
def test_plan_of_a_ring_is_that_of_the_lattice_folded_flat(boundary, reach):
    shape = (101, 96)
    gap = np.random.default_rng(0).uniform(0.0, 1.0, shape)
    Q = SymmetricStencil([(0, 0), (0, reach), (1, 0)], [5.0, -1.0, -0.5], shape, boundary=boundary).plus_diagonal(gap)
    factor, predicted = FoldedFactor(Q), plan(shape, Q)
    assert factor.inner.nbytes == pytest.approx(predicted.factor_bytes, rel=0.02)
    small = SymmetricStencil(Q.offsets, [5.0, -1.0, -0.5], (5, 6), boundary=boundary)
    assert plan(shape, small).nonzeros == predicted.nonzeros
