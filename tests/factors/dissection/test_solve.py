"""Solver: the four passes over the tree against dense linear algebra, on every kind of image, stencil and tree."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import SymmetricStencil
from sparsegmrf.factors.dissection import _analysis, _numeric, _solve, _tree
from tests import reference, strategies

NEIGHBOURS = {
    "centre only": [],
    "five-point": [(0, 1), (1, 0)],
    "nine-point": [(0, 1), (1, -1), (1, 0), (1, 1)],
    "13-point": [(0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0)],
    "long in one direction": [(0, 1), (0, 3), (1, 0)],
    "slanted": [(1, -2)],
}
OPERATIONS = ("whiten", "unwhiten", "solve", "whiten_transpose", "unwhiten_transpose")


@dataclass(frozen=True)
class Problem:
    """A precision as its stencil, its dense matrix and the solver of its dissection factor."""

    stencil: SymmetricStencil
    Q: np.ndarray
    tile: int
    leaf: int

    @property
    def solver(self):
        analysis = _analysis.analyse(self.stencil.lattice, self.stencil.offsets, tile=self.tile, leaf=self.leaf)
        levels = _tree.build(analysis.classes, analysis.depth, self.stencil)
        groups = _analysis.group_tiles(analysis, levels[-1])
        return _solve.Solver(analysis, levels, groups, _numeric.factorize(analysis, levels, groups, self.stencil.pool))

    def images(self, count, seed=0):
        return np.random.default_rng(seed).standard_normal((count, len(self.Q)))


def problem(shape, neighbours="five-point", kind="per pixel", channels=1, tile=6, leaf=4, seed=0):
    """Return a diagonally dominant precision; with a "patch", only one corner differs from pixel to pixel."""
    rng = np.random.default_rng(seed)
    later = NEIGHBOURS[neighbours]
    block = () if channels == 1 else (channels, channels)
    coefficients = []
    for _ in later:
        shared = rng.uniform(-1.0, 1.0, block)
        shared = shared + shared.T
        if kind in ("dirichlet", "neumann"):
            coefficients.append(shared)
            continue
        plane = rng.uniform(-1.0, 1.0, (*shape, *block))
        if kind == "patch":
            plane[shape[0] // 2 :] = plane[:, shape[1] // 2 :] = shared
        coefficients.append(plane)
    bound = 1.0 + 2.0 * channels * sum(float(np.abs(each).max()) for each in coefficients)
    root = rng.uniform(-1.0, 1.0, block)
    centre = bound if channels == 1 else bound * np.eye(channels) + root @ root.T
    boundary = "neumann" if kind == "neumann" else "dirichlet"
    given = [(0, 0), *later], [centre, *coefficients], shape
    stencil = SymmetricStencil(*given, channels=channels, boundary=boundary)
    return Problem(stencil, reference.symmetric_matrix(*given, channels, boundary), tile, leaf)


@st.composite
def problems(draw, unknowns=500):
    channels = draw(st.sampled_from((1, 1, 2, 3)))
    height = draw(st.integers(1, 40))
    width = draw(st.integers(1, max(1, min(40, unknowns // channels // height))))
    shape = draw(st.sampled_from([(height, width), (width, height)]))
    neighbours = draw(st.sampled_from(list(NEIGHBOURS)))
    kind = draw(st.sampled_from(["per pixel", "patch", "dirichlet", "neumann"]))
    tile, leaf = draw(st.integers(1, 16)), draw(st.sampled_from((1, 4, 12)))
    return problem(shape, neighbours, kind, channels, tile, leaf, draw(st.integers(0, 2**16)))


@given(problems(), st.sampled_from((0, 1, 3, 8, 20)))
def test_every_operation_agrees_with_dense_linear_algebra(case, count):
    solver, n = case.solver, len(case.Q)
    A = solver.whiten(np.eye(n)).T
    assert_allclose(A.T @ A, case.Q, rtol=1e-11, atol=1e-11)
    # A = L^T P: its determinant is the product of its diagonal, as for a triangular matrix.
    assert_allclose(2.0 * np.log(np.diagonal(A)).sum(), reference.logdet(case.Q), rtol=1e-11, atol=1e-11)
    x = case.images(count)
    assert_allclose(solver.whiten(x), x @ A.T, rtol=1e-10, atol=1e-11)
    assert_allclose(solver.whiten_transpose(x), x @ A, rtol=1e-10, atol=1e-11)
    assert_allclose(solver.unwhiten(x), np.linalg.solve(A, x.T).T, rtol=1e-10, atol=1e-11)
    assert_allclose(solver.unwhiten_transpose(x), np.linalg.solve(A.T, x.T).T, rtol=1e-10, atol=1e-11)
    assert_allclose(solver.solve(x), np.linalg.solve(case.Q, x.T).T, rtol=1e-10, atol=1e-11)


@given(problems(unknowns=1600), st.sampled_from((1, 2, 9)))
def test_products_and_solves_are_inverse_and_adjoint(case, count):
    solver, x, y = case.solver, case.images(count), case.images(count, seed=1)
    assert_allclose(solver.unwhiten(solver.whiten(x)), x, rtol=1e-10, atol=1e-10)
    assert_allclose(solver.whiten(solver.unwhiten(x)), x, rtol=1e-10, atol=1e-10)
    assert_allclose(solver.solve(x @ case.Q), x, rtol=1e-10, atol=1e-10)
    assert_allclose(np.sum(y * solver.whiten(x)), np.sum(solver.whiten_transpose(y) * x), rtol=1e-10, atol=1e-10)
    assert_allclose(np.sum(y * solver.unwhiten(x)), np.sum(solver.unwhiten_transpose(y) * x), rtol=1e-10, atol=1e-10)


@given(strategies.symmetric_stencils(largest=7, boundaries=("dirichlet", "neumann")), st.integers(1, 4))
def test_any_stencil_on_a_small_image_is_solved(case, tile):
    solver = Problem(case.stencil, case.Q, tile, 2).solver
    x = case.images(2).reshape(2, -1)
    assert_allclose(solver.solve(x), np.linalg.solve(case.Q, x.T).T, rtol=1e-9, atol=1e-9)
    assert_allclose(np.sum(solver.whiten(x) ** 2, axis=1), np.sum(x @ case.Q * x, axis=1), rtol=1e-10)


@pytest.mark.parametrize("kind", ["per pixel", "patch", "dirichlet", "neumann"])
def test_each_image_of_a_batch_is_treated_as_if_alone(kind):
    case = problem((40, 40), kind=kind)
    solver, x = case.solver, case.images(2 * _solve._IMAGES + 3)
    for name in OPERATIONS:
        together = getattr(solver, name)(x)
        for image in (0, 1, 17, len(x) - 1):
            alone = getattr(solver, name)(x[image : image + 1])
            assert_allclose(together[image : image + 1], alone, rtol=1e-12, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("kind", ["per pixel", "patch", "neumann"])
@pytest.mark.parametrize("count", [1, 5])
def test_results_do_not_depend_on_the_number_of_threads(kind, count, threads, monkeypatch):
    monkeypatch.setattr("sparsegmrf.factors.dissection._schedule._TASK", 64)
    case = problem((60, 50), "nine-point", kind, tile=5)
    solver, x = case.solver, case.images(count)
    threads(1)
    alone = {name: getattr(solver, name)(x) for name in OPERATIONS}
    for number in (2, 3):
        threads(number)
        for name in OPERATIONS:
            assert_array_equal(getattr(solver, name)(x), alone[name], err_msg=name)


def test_arguments_are_left_alone_and_may_be_read_only():
    case = problem((30, 20), "13-point")
    solver, x = case.solver, case.images(3)
    before = x.copy()
    x.flags.writeable = False
    for name in OPERATIONS:
        assert not np.shares_memory(getattr(solver, name)(x), x)
    assert_array_equal(x, before)


@pytest.mark.parametrize("kind", ["per pixel", "dirichlet"])
@pytest.mark.parametrize("count", [1, 4])
def test_unwhiten_over_gives_the_same_in_place(kind, count):
    case = problem((33, 21), "nine-point", kind, channels=2)
    solver, e = case.solver, case.images(count)
    expected = solver.unwhiten(e)
    result = solver.unwhiten_over(e)
    assert result is e
    assert_array_equal(e, expected)


def test_whitening_is_local_to_a_node_and_its_boundary():
    # Row p of A reaches only unknowns eliminated later; the image's separator is eliminated last.
    case = problem((31, 31), tile=6)
    A = case.solver.whiten(np.eye(31 * 31)).T.reshape(31, 31, 31 * 31)
    separator = np.zeros((31, 31), dtype=bool)
    separator[15] = True
    assert not A[15][:, ~separator.ravel()].any()
    assert not A[:15, :, 16 * 31 :].any()
    assert not A[16:, :, : 15 * 31].any()
