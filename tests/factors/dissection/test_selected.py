"""The selected inverse by dissection is the dense inverse on the stencil, for any shape, tree and sharing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import SymmetricStencil
from sparsegmrf.factors.dissection import _analysis, _numeric, _tree
from sparsegmrf.factors.dissection._selected import selected_planes
from sparsegmrf.kernels import dense_products
from tests import reference, strategies

OFFSETS = {
    "centre": [(0, 0)],
    "one row": [(0, 0), (0, 1)],
    "one column": [(0, 0), (2, 0)],
    "five-point": [(0, 0), (0, 1), (1, 0)],
    "nine-point": [(0, 0), (0, 1), (1, -1), (1, 0), (1, 1)],
    "13-point": [(0, 0), (0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0)],
    "wide": [(0, 0), (0, 3), (1, -2)],
    "tall": [(0, 0), (1, 1), (3, -1), (4, 0)],
}
KINDS = ("homogeneous", "neumann", "per pixel", "patch")
TREES = st.sampled_from([(4, 1), (4, 9), (8, 16), (13, 4), (64, 20)])


def factorized(stencil, tile, leaf):
    analysis = _analysis.analyse(stencil.lattice, stencil.offsets, tile=tile, leaf=leaf)
    levels = _tree.build(analysis.classes, analysis.depth, stencil)
    groups = _analysis.group_tiles(analysis, levels[-1])
    return analysis, levels, groups, _numeric.factorize(analysis, levels, groups, stencil.pool)


def selected(stencil, tile, leaf):
    return selected_planes(*factorized(stencil, tile, leaf))


def dominant(offsets, kind, shape, channels=1, seed=0):
    """Return a diagonally dominant stencil; a patch is a few rows with another diagonal."""
    rng = np.random.default_rng(seed)
    block = () if channels == 1 else (channels, channels)
    size = (*shape, *block) if kind == "per pixel" else block
    weights = [rng.uniform(-1.0, 1.0, size) for _ in offsets[1:]]
    if kind == "neumann" and channels > 1:
        weights = [weight + weight.T for weight in weights]
    centre = 1.0 + 2.0 * channels * sum(float(np.abs(weight).max()) for weight in weights)
    if kind == "per pixel":
        centre = centre + rng.uniform(0.0, 1.0, shape)
    if kind == "patch":
        centre = np.full(shape, centre)
        centre[shape[0] // 3 : shape[0] // 3 + 3, :4] += 1.0
    diagonal = centre if channels == 1 else np.multiply.outer(centre, np.eye(channels))
    boundary = "neumann" if kind == "neumann" else "dirichlet"
    return SymmetricStencil(offsets, [diagonal, *weights], shape, channels=channels, boundary=boundary)


def dense(stencil):
    """Return the planes of the dense inverse, in the shape of ours."""
    inverse = np.linalg.inv(stencil.tocsr().toarray())
    planes = reference.planes(inverse, stencil.offsets, stencil.shape, stencil.channels)
    return planes if stencil.channels > 1 else planes[..., 0, 0]


def as_matrix(planes, case):
    """Return covariances on the stencil as a matrix."""
    stencil = case.stencil
    return SymmetricStencil._from_planes(stencil.offsets, planes, stencil.lattice).tocsr().toarray()


@given(case=strategies.symmetric_stencils(largest=9, boundaries=("dirichlet", "neumann")), tree=TREES)
@settings(max_examples=60)
def test_planes_are_those_of_the_dense_inverse(case, tree):
    expected = reference.planes(reference.covariance(case.Q), case.stencil.offsets, case.shape, case.channels)
    planes = selected(case.stencil, *tree)
    assert planes.shape == (len(case.offsets), *case.shape, *((case.channels,) * 2 if case.channels > 1 else ()))
    assert_allclose(planes.reshape(expected.shape), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OFFSETS)
@given(data=st.data())
@settings(max_examples=5)
def test_every_stencil_and_way_of_sharing_agrees_with_the_dense_inverse(name, kind, data):
    channels = data.draw(st.sampled_from([1, 2, 3]))
    side = st.integers(1, 40 if channels == 1 else 14)
    shape, tree = data.draw(st.tuples(side, side)), data.draw(TREES)
    stencil = dominant(OFFSETS[name], kind, shape, channels, seed=data.draw(st.integers(0, 999)))
    assert_allclose(selected(stencil, *tree), dense(stencil), rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 37), (40, 40)])
@pytest.mark.parametrize("name", ["five-point", "wide"])
def test_strips_and_single_pixels_agree_with_the_dense_inverse(shape, name):
    stencil = dominant(OFFSETS[name], "per pixel", shape)
    assert_allclose(selected(stencil, 4, 3), dense(stencil), rtol=0, atol=1e-10)


def test_pixels_fixed_by_a_mask_have_the_variance_of_their_own_row():
    rng = np.random.default_rng(5)
    shape = (21, 18)
    fixed = rng.uniform(size=shape) < 0.3
    right, below = (-rng.uniform(0.5, 1.0, shape) * ~fixed for _ in range(2))
    right[:, :-1] *= ~fixed[:, 1:]
    below[:-1] *= ~fixed[1:]
    stencil = SymmetricStencil(OFFSETS["five-point"], [np.where(fixed, 4.0, 4.2), right, below], shape)
    planes = selected(stencil, 5, 4)
    assert_allclose(planes, dense(stencil), rtol=0, atol=1e-10)
    assert_array_equal(planes[0][fixed], 0.25)


def test_instances_of_one_distinct_tile_get_covariances_of_their_own():
    stencil = dominant(OFFSETS["five-point"], "patch", (40, 36))
    analysis, levels, groups, blocks = factorized(stencil, 5, 4)
    occurrences = np.bincount(levels[-1].distinct)
    assert occurrences.max() > 8
    assert (occurrences == 1).any()
    assert_allclose(selected_planes(analysis, levels, groups, blocks), dense(stencil), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["homogeneous", "per pixel"])
def test_result_does_not_depend_on_the_number_of_threads(threads, kind):
    factor = factorized(dominant(OFFSETS["nine-point"], kind, (90, 70)), 9, 6)
    threads(1)
    alone = selected_planes(*factor)
    threads(3)
    assert_array_equal(selected_planes(*factor), alone)


@pytest.mark.parametrize("wide", [True, False])
def test_fronts_agree_with_the_dense_inverse_by_own_products_and_by_blas(monkeypatch, wide):
    monkeypatch.setattr(_numeric, "own_products", lambda: wide)
    monkeypatch.setattr(dense_products, "WIDE", wide)
    stencil = dominant(OFFSETS["13-point"], "per pixel", (40, 40))
    assert_allclose(selected(stencil, 8, 16), dense(stencil), rtol=0, atol=1e-10)


def test_result_does_not_depend_on_the_tree():
    stencil = dominant(OFFSETS["13-point"], "per pixel", (61, 83))
    assert_allclose(selected(stencil, 6, 4), selected(stencil, 40, 24), rtol=0, atol=1e-13)


@given(
    case=strategies.symmetric_stencils(largest=9, channels=(1, 2), kinds=("homogeneous", "per_pixel")),
    axis=st.sampled_from([0, 1]),
    tree=TREES,
)
def test_flipped_image_has_the_flipped_covariances(case, axis, tree):
    flipped = case.flipped(axis)
    order = reference.flip_permutation(case.shape, axis, case.channels)
    covariances = as_matrix(selected(case.stencil, *tree), case)
    moved = as_matrix(selected(flipped.stencil, *tree), flipped)
    assert_allclose(moved, covariances[np.ix_(order, order)], rtol=0, atol=1e-12)


@given(case=strategies.symmetric_stencils(largest=9, channels=(1, 2), kinds=("homogeneous", "per_pixel")), tree=TREES)
def test_transposed_image_has_the_transposed_covariances(case, tree):
    transposed = case.transposed()
    order = reference.transpose_permutation(case.shape, case.channels)
    covariances = as_matrix(selected(case.stencil, *tree), case)
    moved = as_matrix(selected(transposed.stencil, *tree), transposed)
    assert_allclose(moved, covariances[np.ix_(order, order)], rtol=0, atol=1e-12)


def test_trace_of_precision_times_covariance_is_the_number_of_unknowns():
    stencil = dominant(OFFSETS["13-point"], "per pixel", (230, 190))
    planes = selected(stencil, 32, 20)
    covariance = SymmetricStencil._from_planes(stencil.offsets, planes, stencil.lattice)
    assert_allclose(stencil.inner(covariance), 230 * 190, rtol=1e-12)


def test_stencil_without_reach_along_an_axis_is_worked_out_without_a_word_from_lapack(capfd):
    selected(dominant(OFFSETS["one row"], "per pixel", (40, 40)), 4, 4)
    assert capfd.readouterr() == ("", "")


def test_factor_is_left_as_it_was():
    analysis, levels, groups, blocks = factorized(dominant(OFFSETS["five-point"], "patch", (30, 30)), 6, 4)
    tiles, fronts = blocks.tiles.copy(), blocks.fronts.copy()
    selected_planes(analysis, levels, groups, blocks)
    assert_array_equal(blocks.tiles, tiles)
    assert_array_equal(blocks.fronts, fronts)
