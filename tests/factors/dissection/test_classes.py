"""The analysis by classes: every pixel is eliminated and every matrix entry assembled once; fronts are complete."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegmrf.factors.dissection import _classes, _tree
from sparsegmrf.factors.dissection._classes import node_classes
from tests import strategies

FIVE = np.array([(0, 0), (0, 1), (1, 0)])
THIRTEEN = np.array([(0, 0), (0, 1), (0, 2), (1, -1), (1, 0), (1, 1), (2, 0)])


@st.composite
def problems(draw):
    offsets = draw(st.lists(st.sampled_from(strategies.LATER), unique=True, max_size=5))
    shape = draw(strategies.shapes(13))
    return shape, np.array([(0, 0), *sorted(offsets)]), draw(st.integers(1, 12))


def nodes(classes):
    """Unfold all nodes in elimination order as (class, first row, first column)."""

    def visit(cls, row, column):
        for child, (di, dj) in zip(classes[cls].children, classes[cls].origins.tolist(), strict=True):
            yield from visit(child, row + di, column + dj)
        yield classes[cls], row, column

    yield from visit(len(classes) - 1, 0, 0)


@given(problems())
def test_every_pixel_is_eliminated_once(problem):
    shape, offsets, leaf = problem
    seen = np.zeros(shape, dtype=int)
    for each, row, column in nodes(node_classes(shape, offsets, leaf)):
        own = each.front[: each.eliminated] + np.array([row, column])
        np.add.at(seen, tuple(own.T), 1)
    assert (seen == 1).all()


@given(problems())
def test_every_matrix_entry_is_assembled_once_in_a_column_that_is_eliminated_there(problem):
    shape, offsets, leaf = problem
    entries = []
    for each, row, column in nodes(node_classes(shape, offsets, leaf)):
        front = each.front + np.array([row, column])
        for r, c, k, di, dj, transposed in each.assembly.tolist():
            assert r >= c
            assert c < each.eliminated
            owner = (di + row, dj + column)
            later = tuple((np.array(owner) + offsets[k]).tolist())
            pair = (tuple(front[r].tolist()), tuple(front[c].tolist()))
            assert pair == ((later, owner) if transposed else (owner, later))
            entries.append((k, owner))
    inside = [
        (k, (i, j))
        for k, (di, dj) in enumerate(offsets.tolist())
        for i in range(shape[0])
        for j in range(shape[1])
        if 0 <= i + di < shape[0] and 0 <= j + dj < shape[1]
    ]
    assert sorted(entries) == sorted(inside)


@given(problems())
def test_boundary_is_what_the_rectangle_is_coupled_to_and_maps_lead_to_it(problem):
    shape, offsets, leaf = problem
    classes = node_classes(shape, offsets, leaf)
    both = np.vstack([offsets[1:], -offsets[1:]])
    for each, row, column in nodes(classes):
        height, width = each.key[:2]
        inside = {(i, j) for i in range(row, row + height) for j in range(column, column + width)}
        near = {(i + di, j + dj) for i, j in inside for di, dj in both.tolist()} - inside
        on_image = {(i, j) for i, j in near if 0 <= i < shape[0] and 0 <= j < shape[1]}
        assert {tuple(pixel) for pixel in (each.boundary + np.array([row, column])).tolist()} == on_image
        for child, origin, where in zip(each.children, each.origins, each.maps, strict=True):
            assert np.array_equal(each.front[where], classes[child].boundary + origin)


@pytest.mark.parametrize(("side", "expected"), [(1024, 149), (4096, 191)])
def test_number_of_classes_grows_like_the_logarithm_of_the_side(side, expected):
    assert len(node_classes((side, side), FIVE, 20)) == expected


def test_tiles_are_of_one_depth_cover_all_but_separators_and_are_not_larger_than_asked():
    classes = node_classes((300, 500), THIRTEEN, 20)
    depth = _tree.tile_depth(classes, 32)
    cls, pixel, _ = _tree.unfold(classes, depth)[-1]
    covered = np.zeros((300, 500), dtype=int)
    for each, (row, column) in zip(cls, pixel, strict=True):
        height, width = classes[each].key[:2]
        assert height * width <= 32**2
        covered[row : row + height, column : column + width] += 1
    assert covered.max() == 1
    assert set(_tree.unfold_classes(classes, depth)) == set(cls)


def test_rectangle_is_split_across_its_longer_side_by_a_strip_as_wide_as_the_reach():
    (upper, first), (lower, second) = _classes.split((11, 6, 0, 1, 2, 0), (2, 1), 4)
    assert (upper, first) == ((4, 6, 0, 1, 2, 0), (0, 0))
    assert (lower, second) == ((5, 6, 2, 1, 2, 0), (6, 0))
    assert _classes.split((2, 2, 0, 0, 0, 0), (1, 1), 4) == []
    assert _classes.split((1, 2, 0, 0, 0, 0), (1, 1), 1) == []
