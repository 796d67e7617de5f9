"""Lag and neighbour correlations against pairs counted one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegmrf.errors import ArgumentError
from sparsegmrf.pixels import lag_correlation, neighbour_correlation
from tests.conftest import photograph


def by_pairs(left, right, missing, lag):
    height, width = left.shape
    pairs = []
    for i in range(height):
        for j in range(width):
            a, b = i + lag[0], j + lag[1]
            if 0 <= a < height and 0 <= b < width and not missing[i, j] and not missing[a, b]:
                pairs.append((left[i, j], right[a, b]))
    return pairs


@given(height=st.integers(2, 6), width=st.integers(2, 6), channels=st.integers(1, 2), seed=st.integers(0, 2**16))
def test_all_lags_are_pearsons_correlation_over_observed_pairs(height, width, channels, seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(height, width, channels)) + 100.0
    missing = rng.random((height, width)) < 0.2
    missing[0, 0] = False
    found = lag_correlation(image, (height - 1, width - 1), channel_axis=-1, mask=missing)
    for di in range(1 - height, height):
        for dj in range(1 - width, width):
            for c in range(channels):
                for d in range(channels):
                    pairs = by_pairs(image[..., c], image[..., d], missing, (di, dj))
                    assert found.pairs[height - 1 + di, width - 1 + dj] == len(pairs)
                    value = found.at((di, dj))[c, d]
                    if len(pairs) < 2:
                        assert np.isnan(value)
                    else:
                        assert value == pytest.approx(np.corrcoef(np.array(pairs).T)[0, 1], abs=1e-8)


def test_directions_are_the_lags_next_to_zero():
    image = photograph("grass")[:64, :80]
    missing = np.random.default_rng(0).random(image.shape) < 0.1
    lags = lag_correlation(image, 1, mask=missing)
    for lag, value in neighbour_correlation(image, mask=missing).items():
        assert value == pytest.approx(lags.at(lag), abs=1e-11)
        assert lags.at((-lag[0], -lag[1])) == pytest.approx(value, abs=1e-11)
    assert lags.at((0, 0)) == pytest.approx(1.0)
    cat = photograph("chelsea")
    found = neighbour_correlation(cat, channel_axis=-1)
    assert found[0, 1].shape == (3,)
    for c in range(3):
        assert found[1, 1][c] == pytest.approx(neighbour_correlation(cat[..., c])[1, 1], rel=1e-12)
    chw = neighbour_correlation(np.moveaxis(cat, -1, 0), channel_axis=0)
    np.testing.assert_array_equal(chw[1, -1], found[1, -1])


def test_flips_and_transposes_move_the_lags():
    image = np.random.default_rng(0).normal(size=(11, 14)).cumsum(axis=1)
    values = lag_correlation(image, (2, 3)).values
    np.testing.assert_allclose(lag_correlation(image.T, (3, 2)).values, values.T, rtol=1e-11)
    np.testing.assert_allclose(lag_correlation(image[::-1], (2, 3)).values, values[::-1], rtol=1e-11)


def test_constant_images_have_no_correlation():
    assert np.isnan(lag_correlation(np.full((5, 6), 7.0), 1).values).all()
    assert all(np.isnan(value) for value in neighbour_correlation(np.full((5, 6), 7.0)).values())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: lag_correlation(x, 5), "less than the sides"),
        (lambda x: lag_correlation(x, -1), "at least 0"),
        (lambda x: lag_correlation(x, (1, 2, 3)), "one or two"),
        (lambda x: lag_correlation(x, 1).at((2, 0)), "within"),
        (lambda x: lag_correlation(np.stack([x, x]), 1), "two axes"),
        (lambda x: lag_correlation(x, 1, mask=np.ones(x.shape, bool)), "observed pixel"),
        (lambda x: neighbour_correlation(np.where(x > 3, np.nan, x)), "finite"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ArgumentError, match=message):
        call(np.arange(30.0).reshape(5, 6))


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e-100, 1e100, 1e160, 1e300])
def test_correlations_do_not_depend_on_the_unit_however_small_or_large(scale):
    image = np.random.default_rng(3).normal(size=(9, 11))
    np.testing.assert_allclose(lag_correlation(scale * image, 2).values, lag_correlation(image, 2).values, atol=1e-13)
    for offset, expected in neighbour_correlation(image).items():
        assert neighbour_correlation(scale * image)[offset] == pytest.approx(expected, abs=1e-13)
