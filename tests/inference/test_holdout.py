"""Hold-out blocks: where they may lie, what gaps they stand for, and that the seed decides."""

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sparsegmrf.errors import ArgumentError
from sparsegmrf.scores import gap_copies, rectangles


def clouds(shape=(60, 80), seed=0, share=0.3):
    """A mask of observed pixels with ragged gaps of many sizes."""
    rough = scipy.ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 3.0)
    return rough > np.quantile(rough, share)


def copies_of(blocks, gap):
    """How many blocks are the observed part of a translated copy of `gap`, which must have one solution each."""
    found = 0
    for k in range(1, blocks.count + 1):
        pixels = blocks.labels == k
        for i in range(pixels.shape[0] - gap.shape[0] + 1):
            for j in range(pixels.shape[1] - gap.shape[1] + 1):
                window = (slice(i, i + gap.shape[0]), slice(j, j + gap.shape[1]))
                under = np.zeros_like(pixels)
                under[window] = gap & blocks.observed[window]
                if np.array_equal(under, pixels) and under.sum() >= 0.7 * gap.sum():
                    found += 1
                    break
            else:
                continue
            break
    return found


def test_a_block_is_a_translated_copy_of_a_gap_mostly_on_observed_pixels():
    gap = np.array([[1, 1, 0, 0], [0, 1, 1, 1], [0, 1, 0, 0]], dtype=bool)
    observed = np.ones((24, 26), dtype=bool)
    observed[4:7, 5:9] = ~gap
    observed[15:18, 12:16] = ~gap
    blocks = gap_copies(observed, 3, share=0.2)
    assert blocks.count > 10
    assert copies_of(blocks, gap) == blocks.count


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.floats(0.0, 0.95),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.05, 0.1, 0.5]),
)
def test_blocks_lie_on_observed_pixels_and_leave_some(height, width, missing, seed, share):
    observed = np.random.default_rng(seed).random((height, width)) >= missing
    if observed.sum() < 2:
        return
    for blocks in (gap_copies(observed, seed, share=share), rectangles(observed, seed)):
        assert blocks.labels.shape == observed.shape
        assert observed[blocks.held_out].all()
        assert 0 < blocks.held_out.sum() < observed.sum()
        assert_array_equal(np.unique(blocks.labels[blocks.held_out]), 1 + np.arange(blocks.count))
        assert blocks.share == blocks.held_out.sum() / observed.sum()


@pytest.mark.parametrize("laid", [gap_copies, rectangles])
def test_the_seed_decides(laid):
    observed = clouds()
    assert_array_equal(laid(observed, 5).labels, laid(observed, np.random.default_rng(5)).labels)
    assert (laid(observed, 5).labels != laid(observed, 6).labels).any()


def test_held_out_pixels_are_as_far_from_observations_as_missing_ones():
    observed = clouds((120, 150), 2, share=0.15)
    sets = [gap_copies(observed, seed) for seed in range(30)]
    gaps = sets[0].distances()[0]
    held = np.concatenate([blocks.distances()[1] for blocks in sets])
    assert gaps.max() > 5.0
    assert abs(held.mean() / gaps.mean() - 1.0) < 0.1
    for distance in range(1, 8):
        assert abs(np.mean(held > distance) - np.mean(gaps > distance)) < 0.06
    # What is held out comes to the share asked for, on average.
    assert np.mean([blocks.share for blocks in sets]) == pytest.approx(0.1, rel=0.1)


def test_small_and_large_gaps_are_held_out_in_proportion_to_their_pixels():
    observed = np.ones((60, 70), dtype=bool)
    observed[2:12, 2:12] = False  # one of 100 pixels
    observed[20:60:4, 2:42:4] = False  # 100 of one pixel
    observed[40, 50] = True
    large = small = 0
    for seed in range(40):
        size = np.bincount(gap_copies(observed, seed, share=0.05).labels.ravel())[1:]
        large += size[size >= 70].sum()
        small += size[size == 1].sum()
        assert ((size == 1) | (size >= 70)).all()
    # 40 draws of about two large copies each, one too many or too few with even chance.
    assert 0.8 < large / small < 1.25


def test_a_gap_that_fits_nowhere_is_cut_to_a_connected_part_of_it():
    observed = np.zeros((40, 60), dtype=bool)
    observed[:, :20] = True
    blocks = gap_copies(observed, 1, share=0.3)
    assert 0.1 < blocks.share <= 0.31
    largest = blocks.labels == np.argmax(np.bincount(blocks.labels.ravel())[1:]) + 1
    rows, columns = np.nonzero(largest)
    # The gap is a rectangle: its parts within a square are rectangles.
    assert largest.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert largest.sum() > 0.05 * observed.sum()


def test_without_gaps_blocks_are_squares():
    for shape, side in (((160, 200), 16), ((40, 64), 5), ((5, 6), 1)):
        blocks = gap_copies(np.ones(shape, dtype=bool), 0)
        assert (np.bincount(blocks.labels.ravel())[1:] == side * side).all()
        assert rectangles(np.ones(shape, dtype=bool), 0, count=1).held_out.sum() == side * side


def test_rectangles_are_as_large_as_the_largest_square_in_a_gap():
    observed = np.ones((50, 60), dtype=bool)
    observed[3:14, 5:12] = False
    observed[0:2, 30:60] = False
    assert np.bincount(rectangles(observed, 0, overlap=1.0).labels.ravel())[1:].tolist() == [49] * 4
    blocks = rectangles(observed, 1, 4, 9, 5, overlap=1.0)
    assert np.bincount(blocks.labels.ravel())[1:].tolist() == [36] * 5


def test_rectangles_that_fit_nowhere_shrink():
    observed = np.zeros((30, 30), dtype=bool)
    observed[:16, :16] = True
    blocks = rectangles(observed, 0, 32, 32, 1, overlap=1.0)
    side = np.sqrt(np.count_nonzero(blocks.held_out))
    assert side == 10  # 11 x 11 = 121 pixels fit into half of 256: sixteenths of 30, rounded up, are 10 and 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"observed": np.ones(4, dtype=bool)}, r"^observed must have shape \(H, W\), got \(4,\)"),
        ({"observed": np.ones((4, 4))}, r"^observed must be boolean, got dtype float64"),
        ({"observed": np.eye(4, dtype=bool) & (np.arange(4) < 1)}, r"^observed must have two true pixels .* got 1"),
        ({"share": 0.6}, r"^share must be above 0 and at most 0.5, got 0.6"),
        ({"overlap": 0.0}, r"^overlap must be above 0 and at most 1, got 0"),
        ({"rng": "seed"}, r"^rng must be None"),
    ],
)
def test_bad_input_is_named(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        gap_copies(**{"observed": clouds(), **arguments})


def test_bad_rectangles_are_named():
    with pytest.raises(ArgumentError, match=r"^height must be at least 1, got 0"):
        rectangles(clouds(), 0, 0)
    with pytest.raises(ArgumentError, match=r"^count must be at least 1, got 0"):
        rectangles(clouds(), 0, count=0)
