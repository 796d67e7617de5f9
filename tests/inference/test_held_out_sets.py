"""Sets of blocks for the comparison of fields: copies of gaps, and squares of several sizes that do not overlap."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sparsegmrf.inference._held_out_sets import held_out_sets

OBSERVED = np.ones((60, 70), dtype=bool)
OBSERVED[10:26, 30:47] = OBSERVED[40:45, 5:9] = False


@pytest.mark.parametrize("seed", range(4))
def test_squares_are_as_large_as_the_largest_gap_holds_half_and_a_quarter(seed):
    *copies, squares = held_out_sets(OBSERVED, np.random.default_rng(seed))
    assert len(copies) == 2
    largest = 15  # the largest odd side within 16 x 17
    sizes = np.bincount(squares.labels.ravel())[1:]
    for side in (largest, largest // 2, largest // 4):
        near = (sizes <= side**2) & (sizes >= 0.7 * side**2)
        assert near.any(), side
    assert (sizes <= largest**2).all()
    assert sizes.min() >= 0.7 * (largest // 4) ** 2


@pytest.mark.parametrize("seed", range(4))
def test_what_is_held_out_is_observed_and_half_of_all_at_most(seed):
    for blocks in held_out_sets(OBSERVED, np.random.default_rng(seed)):
        assert (OBSERVED | ~blocks.held_out).all()
        assert 0.0 < blocks.share <= 0.5
        assert_array_equal(np.unique(blocks.labels), np.arange(blocks.count + 1))


def test_sets_follow_the_seed():
    one, two = (held_out_sets(OBSERVED, np.random.default_rng(5)) for _ in range(2))
    for first, second in zip(one, two, strict=True):
        assert_array_equal(first.labels, second.labels)


def test_images_without_gaps_and_of_a_few_pixels_have_sets_too():
    for shape in ((30, 40), (4, 5), (1, 9)):
        for blocks in held_out_sets(np.ones(shape, dtype=bool), np.random.default_rng(0)):
            assert 0 < np.count_nonzero(blocks.labels) < np.prod(shape)
