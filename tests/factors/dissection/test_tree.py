"""Identical nodes are found: by class for a homogeneous stencil, else by class and content."""

import numpy as np
import pytest

from sparsegmrf import SymmetricStencil
from sparsegmrf.factors.dissection._analysis import analyse, group_tiles
from sparsegmrf.factors.dissection._tree import build

SHAPE = (120, 90)
OFFSETS = [(0, 0), (0, 1), (1, 0)]


def tree(stencil):
    analysis = analyse(stencil.lattice, stencil.offsets, tile=8, leaf=12)
    return analysis, build(analysis.classes, analysis.depth, stencil)


def counts(levels):
    return sum(len(level.cls) for level in levels), sum(len(level.first) for level in levels)


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann"])
def test_homogeneous_stencil_has_one_distinct_node_per_class(boundary):
    _, levels = tree(SymmetricStencil(OFFSETS, [4.5, -1.0, -1.0], SHAPE, boundary=boundary))
    for level in levels:
        assert len(level.first) == len(np.unique(level.cls))
        assert np.array_equal(level.cls[level.first][level.distinct], level.cls)
    nodes, distinct = counts(levels)
    assert distinct < nodes / 4


def test_constant_planes_are_shared_like_a_homogeneous_stencil():
    planes = [np.full(SHAPE, value) for value in (4.5, -1.0, -1.0)]
    _, shared = tree(SymmetricStencil(OFFSETS, [4.5, -1.0, -1.0], SHAPE))
    _, levels = tree(SymmetricStencil(OFFSETS, planes, SHAPE))
    assert counts(levels) == counts(shared)


def test_random_planes_share_nothing():
    rng = np.random.default_rng(5)
    planes = [4.0 + rng.uniform(0.1, 1.0, SHAPE), rng.uniform(-1, 0, SHAPE), rng.uniform(-1, 0, SHAPE)]
    _, levels = tree(SymmetricStencil(OFFSETS, planes, SHAPE))
    nodes, distinct = counts(levels)
    assert distinct == nodes


@pytest.mark.parametrize("k", [0, 1, 2])
def test_one_changed_pixel_makes_only_what_contains_it_distinct(k):
    planes = [np.full(SHAPE, value) for value in (4.5, -1.0, -1.0)]
    _, before = tree(SymmetricStencil(OFFSETS, planes, SHAPE))
    planes[k][70, 31] *= 0.5
    _, after = tree(SymmetricStencil(OFFSETS, planes, SHAPE))
    added = counts(after)[1] - counts(before)[1]
    # At most the path of nodes whose rectangles touch the changed pair, two tiles per level where it crosses a border.
    assert 1 <= added <= 2 * len(after)


def test_lane_groups_hold_every_distinct_tile_once_and_repeated_tiles_alone():
    rng = np.random.default_rng(6)
    centre = np.full(SHAPE, 4.5)
    centre[:40] += rng.uniform(0, 1, (40, 90))
    analysis, levels = tree(SymmetricStencil(OFFSETS, [centre, -1.0, -1.0], SHAPE))
    tiles = levels[-1]
    groups = group_tiles(analysis, tiles)
    members = [groups.member[g, lane] for g in range(len(groups.cls)) for lane in range(groups.filled[g])]
    assert sorted(members) == list(range(len(tiles.first)))
    count = np.bincount(tiles.distinct)
    for cls, member, filled in zip(groups.cls, groups.member, groups.filled, strict=True):
        assert (tiles.cls[tiles.first[member]] == cls).all()
        assert (member[filled:] == member[0]).all()
        assert filled == 1 or (count[member] == 1).all()
