"""Clouds that are moved: where, by what seed, and what they leave."""

import numpy as np
import pytest

from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks import moved_clouds

DAYS = np.array([0.0, 90.0, 180.0, 270.0, 300.0, 300.0, 400.0, 500.0])


def observed(seed=0):
    rng = np.random.default_rng(seed)
    found = np.ones((8, 6, 7), dtype=bool)
    for k in (1, 3, 6, 7):
        top, left = rng.integers(0, 3, 2)
        found[k, top : top + 2, left : left + k] = False
    found[:, 5, 6] = False  # never seen
    found[2] = False
    return found


def test_a_cloud_is_the_gap_of_another_date_and_hides_what_is_seen_there():
    seen = observed()
    found = moved_clouds(seen, DAYS, rng=1)
    ever = seen.any(axis=0)
    assert found.count == len(found.targets) == len(found.sources) == len(found.folds) > 3
    for number, (target, source) in enumerate(zip(found.targets, found.sources, strict=True), 1):
        assert DAYS[target] != DAYS[source]
        assert source != 2  # nothing is seen there
        gap = ever & ~seen[DAYS[source] == DAYS].any(axis=0)
        for k in range(8):
            expected = gap & seen[k] if DAYS[k] == DAYS[target] else np.zeros_like(gap)
            np.testing.assert_array_equal(found.labels[k] == number, expected)
    assert not found.held_out[~seen].any()
    assert found.share == np.count_nonzero(found.held_out) / np.count_nonzero(seen)
    np.testing.assert_array_equal(sum(found.hidden(k) for k in range(found.n_folds)), found.held_out)


def test_the_same_seed_moves_the_same_clouds():
    one, same, other = (moved_clouds(observed(), DAYS, rng=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.labels, same.labels)
    assert (one.labels != other.labels).any()


def test_the_clearest_dates_of_every_season_are_taken_first():
    seen = np.ones((12, 4, 4), dtype=bool)
    seen[:, 0, 0] = False
    seen[0, 0, 0] = True
    dates = np.datetime64("2020-01-15") + np.arange(12) * np.timedelta64(1, "M").astype("timedelta64[D]")
    for k in range(0, 12, 3):
        seen[k, 3] = False  # one in each season is less clear
    found = moved_clouds(seen, dates, rng=0, clouds=4)
    months = dates[found.targets].astype("datetime64[M]").astype(int) % 12 + 1
    assert sorted((months % 12 // 3).tolist()) == [0, 1, 2, 3]
    assert not set(found.targets.tolist()) & set(range(0, 12, 3))
    assert moved_clouds(seen, dates, rng=0, clouds=3, folds=9).n_folds == 3


def test_of_a_stack_without_gaps_whole_dates_are_hidden():
    found = moved_clouds(np.ones((6, 3, 4), dtype=bool), np.arange(6.0), rng=0)
    assert found.sources.tolist() == [-1] * 6
    for number, target in enumerate(found.targets, 1):
        assert (found.labels[target] == number).all()
    assert found.n_folds == 6  # at no time more than one of six


def test_folds_lie_far_apart_in_time():
    found = moved_clouds(np.ones((24, 2, 2), dtype=bool), np.arange(24.0), rng=0)
    assert found.count == 12
    assert found.n_folds == 3
    for k in range(3):
        assert np.diff(found.targets[found.folds == k]).min() >= 3


@pytest.mark.parametrize(
    ("seen", "dates", "options", "said"),
    [
        (np.ones((3, 4), dtype=bool), [0.0, 1.0, 2.0], {}, r"shape \(T, H, W\)"),
        (np.ones((2, 3, 4)), [0.0, 1.0], {}, "observed must be boolean"),
        (np.ones((2, 3, 4), dtype=bool), [0.0], {}, "one date per image"),
        (np.ones((2, 3, 4), dtype=bool), [5.0, 5.0], {}, "two or more with an observation"),
        (np.arange(24).reshape(2, 3, 4) < 12, [0.0, 5.0], {}, "two or more with an observation to move clouds"),
        (np.ones((2, 3, 4), dtype=bool), [0.0, 1.0], {"clouds": 0}, "clouds must be at least 1"),
        (np.ones((2, 3, 4), dtype=bool), [0.0, 1.0], {"folds": 0}, "folds must be at least 1"),
    ],
    ids=str,
)
def test_bad_input_is_refused_by_name(seen, dates, options, said):
    with pytest.raises(ArgumentError, match=said):
        moved_clouds(seen, dates, **options)
