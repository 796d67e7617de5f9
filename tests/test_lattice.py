"""Lattice: indices against NumPy's own, neighbours without wrapping, channels moved last."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegmrf.errors import ArgumentError
from sparsegmrf.lattice import Lattice, at_neighbours
from tests import reference, strategies

OFFSETS = st.tuples(st.integers(-8, 8), st.integers(-8, 8))


@given(strategies.shapes(), st.integers(1, 3))
def test_indices_are_row_major_with_the_channel_fastest(shape, channels):
    lattice = Lattice(shape, channels)
    assert lattice.n_pixels == shape[0] * shape[1]
    assert lattice.size == lattice.n_pixels * channels
    for p, pixel in enumerate(reference.pixels(shape)):
        assert lattice.flat_index(pixel) == p == np.ravel_multi_index(pixel, shape)
        assert lattice.pixel(p) == pixel
        for c in range(channels):
            assert lattice.unknown(pixel, c) == np.ravel_multi_index((*pixel, c), (*shape, channels))


@given(strategies.shapes(), OFFSETS)
def test_pixels_with_a_neighbour_are_exactly_those_whose_neighbour_is_on_the_image(shape, offset):
    found = np.zeros(shape, dtype=bool)
    found[Lattice(shape).with_neighbour(offset)] = True
    for i, j in reference.pixels(shape):
        assert found[i, j] == (0 <= i + offset[0] < shape[0] and 0 <= j + offset[1] < shape[1])


def test_image_shape_has_a_channel_axis_only_with_channels():
    assert Lattice((2, 3)).image_shape == (2, 3)
    assert Lattice((2, 3), 2).image_shape == (2, 3, 2)


@given(strategies.shapes(), st.integers(1, 3), st.integers(-3, -1))
def test_moving_channels_last_keeps_every_value_at_its_pixel(shape, channels, axis):
    image = np.arange(2.0 * shape[0] * shape[1] * channels).reshape(2, *shape, channels)
    moved = Lattice(shape, channels).pixel_major(np.moveaxis(image, -1, axis), channel_axis=axis)
    assert np.array_equal(moved, image)
    assert moved.flags.c_contiguous


def test_channels_first_batches_are_not_reshaped_across_axes():
    batch = np.random.default_rng(0).random((4, 3, 5, 6))
    moved = Lattice((5, 6), 3).pixel_major(batch, channel_axis=1)
    assert np.array_equal(moved[1, 2, 3], batch[1, :, 2, 3])


def test_lattices_are_values():
    assert Lattice((2, 3)) == Lattice((np.int64(2), 3), 1)
    assert len({Lattice((2, 3)), Lattice((2, 3)), Lattice((3, 2))}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Lattice((2, 3)).channels = 2


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (-1, 2), (2,), (2, 3, 1), 5, "ab", (2.0, 3), None])
def test_what_is_no_shape_is_refused(shape):
    with pytest.raises(ArgumentError, match=r"^shape must be"):
        Lattice(shape)


@pytest.mark.parametrize("channels", [0, -1, 1.5, "1"])
def test_channels_must_be_a_positive_integer(channels):
    with pytest.raises(ArgumentError, match=r"^channels must be"):
        Lattice((2, 3), channels)


@pytest.mark.parametrize("pixel", [(2, 0), (0, 3), (-1, 0), (0, -1), (0,), (0, 0, 0), 1, (0.5, 1)])
def test_pixels_off_the_image_are_refused_not_wrapped(pixel):
    with pytest.raises(ArgumentError, match="pixel must"):
        Lattice((2, 3)).flat_index(pixel)


@pytest.mark.parametrize("index", [-1, 6, 1.0])
def test_flat_indices_off_the_image_are_refused(index):
    with pytest.raises(ArgumentError, match="index must be"):
        Lattice((2, 3)).pixel(index)


@pytest.mark.parametrize("channel", [-1, 2])
def test_channels_out_of_range_are_refused(channel):
    with pytest.raises(ArgumentError, match="channel must be"):
        Lattice((2, 3), 2).unknown((0, 0), channel)


@pytest.mark.parametrize(
    ("axis", "match"), [(3, "channel_axis must be"), (-4, "channel_axis must be"), (0, "image must")]
)
def test_a_wrong_channel_axis_is_named(axis, match):
    with pytest.raises(ArgumentError, match=match):
        Lattice((5, 6), 3).pixel_major(np.zeros((5, 6, 3)), channel_axis=axis)


@given(strategies.shapes(), OFFSETS)
def test_pairs_are_each_pixel_and_its_neighbour_in_one_order(shape, offset):
    here, there = Lattice(shape).pairs(offset)
    rows, columns = np.indices(shape)
    assert (rows[there] - rows[here] == offset[0]).all()
    assert (columns[there] - columns[here] == offset[1]).all()
    assert rows[here].shape == rows[there].shape


@given(strategies.shapes(), OFFSETS)
def test_every_pixel_has_a_neighbour_or_none(shape, offset):
    lattice = Lattice(shape)
    found = ~lattice.without_neighbour(offset)
    assert np.count_nonzero(found) == found[lattice.with_neighbour(offset)].size
    assert found[lattice.with_neighbour(offset)].all()


@given(strategies.shapes(), OFFSETS)
def test_at_neighbours_is_the_neighbour_where_there_is_one_and_wraps_beyond(shape, offset):
    image = np.arange(shape[0] * shape[1]).reshape(shape)
    moved = at_neighbours(image, offset)
    for i, j in reference.pixels(shape):
        assert moved[i, j] == image[(i + offset[0]) % shape[0], (j + offset[1]) % shape[1]]


@given(strategies.shapes(), st.integers(1, 2), st.integers(0, 2**16))
def test_lattices_with_a_domain_are_values(shape, channels, seed):
    domain = np.random.default_rng(seed).random((*shape, channels)) < 0.5
    domain[0, 0, 0] = True
    image = domain.reshape(Lattice(shape, channels).image_shape)
    lattice, whole = Lattice(shape, channels, image), Lattice(shape, channels)
    assert lattice == Lattice(shape, channels, image.copy())
    assert hash(lattice) == hash(Lattice(shape, channels, image.copy()))
    assert (lattice == whole) == lattice.is_complete == bool(domain.all())
    assert lattice != (shape, channels)
    for copied in (pickle.loads(pickle.dumps(lattice)), copy.deepcopy(lattice)):
        assert copied == lattice
        assert hash(copied) == hash(lattice)
        assert not copied.domain.flags.writeable
    assert lattice.n_free == np.count_nonzero(domain)
    assert np.array_equal(lattice.outside, ~domain.ravel())
    assert whole.restricted(image) == lattice


def test_a_domain_is_copied_and_read_only():
    domain = np.array([[True, False, True]])
    lattice = Lattice((1, 3), domain=domain)
    domain[0, 0] = False
    assert lattice.domain.tolist() == [[True, False, True]]
    with pytest.raises(ValueError, match="read-only"):
        lattice.domain[0, 0] = False
    assert repr(lattice) == "Lattice(shape=(1, 3), channels=1, 2 of 3 unknowns)"
    assert repr(Lattice((1, 3))) == "Lattice(shape=(1, 3), channels=1)"


def test_a_domain_of_pixels_is_one_of_all_their_unknowns():
    domain = np.array([[True, False]])
    for lattice in (Lattice((1, 2), 3, domain), Lattice((1, 2), domain=domain).with_channels(3)):
        assert lattice.domain.tolist() == [[[True] * 3, [False] * 3]]
    assert Lattice((1, 2)).with_channels(3) == Lattice((1, 2), 3)


@pytest.mark.parametrize(
    ("domain", "match"),
    [
        (np.ones((2, 3)), "^domain must be boolean"),
        (np.ones((3, 2), bool), "^domain must have the shape"),
    ],
)
def test_what_is_no_domain_is_refused(domain, match):
    with pytest.raises(ArgumentError, match=match):
        Lattice((2, 3), domain=domain)


def test_restricting_by_what_is_no_mask_is_refused():
    lattice = Lattice((2, 2), domain=np.array([[True, False], [True, True]]))
    with pytest.raises(ArgumentError, match=r"^mask must be boolean"):
        lattice.restricted(np.ones((2, 2)))
    assert lattice.restricted(np.array([[False, True], [False, False]])).n_free == 0


@given(strategies.shapes(), st.lists(OFFSETS, max_size=3), st.integers(0, 2**16))
def test_parts_are_those_of_the_graph_of_neighbours(shape, offsets, seed):
    domain = np.random.default_rng(seed).random(shape) < 0.7
    domain[-1, -1] = True
    pixels = [pixel for pixel in reference.pixels(shape) if domain[pixel]]
    reached = {pixel: {pixel} for pixel in pixels}
    for i, j in pixels:
        for di, dj in offsets:
            if (i + di, j + dj) in reached:
                joined = reached[i, j] | reached[i + di, j + dj]
                for pixel in joined:
                    reached[pixel] = joined
    labels = Lattice(shape, domain=domain).parts(offsets)
    assert np.array_equal(labels >= 0, domain)
    assert set(labels[domain].tolist()) == set(range(len({frozenset(part) for part in reached.values()})))
    for pixel in pixels:
        assert {other for other in pixels if labels[other] == labels[pixel]} == reached[pixel]


def test_a_whole_image_is_one_part():
    assert not Lattice((3, 4)).parts().any()
    assert Lattice((3, 4)).parts([(1, 0)]).tolist() == [[0, 1, 2, 3]] * 3
