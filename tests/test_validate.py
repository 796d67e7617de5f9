"""Checks at the public boundary: what passes, and that a refusal names the argument, what came and the remedy."""

import numpy as np
import pytest
import scipy.sparse as sp

import sparsegmrf
from sparsegmrf import _validate
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import Channels, Matern


@pytest.mark.parametrize("value", [0, 3, np.int8(3), np.uint64(3), True])
def test_integers_of_any_type_pass(value):
    assert _validate.integer_at_least("n", value, 0) == int(value)


@pytest.mark.parametrize("value", [-1, 1.0, "1", None, np.array([1, 2])])
def test_other_numbers_are_no_integers(value):
    with pytest.raises(ArgumentError, match=r"^n must be"):
        _validate.integer_at_least("n", value, 0)


@pytest.mark.parametrize("value", [[1, 2], (1.0, True), np.float32(3), np.ones((2, 0), np.uint8), np.ma.array([1.0])])
def test_real_numbers_become_float64(value):
    array = _validate.real_array("x", value)
    assert array.dtype == np.float64
    assert np.array_equal(array, np.asarray(value, float))


def test_float64_is_not_copied():
    x = np.ones((2, 3))
    assert np.shares_memory(_validate.real_array("x", x), x)


@pytest.mark.parametrize(
    "value", ["a", None, [1j], [object()], sp.eye_array(2), {"a": 1}, [[1.0], [1.0, 2.0]], np.array(["1"]), [b"1"]]
)
def test_what_holds_no_real_numbers_is_refused(value):
    with pytest.raises(ArgumentError, match=r"^x must"):
        _validate.real_array("x", value)


def test_a_mask_is_never_lost():
    with pytest.raises(ArgumentError, match=r"x\.filled\(np\.nan\)"):
        _validate.real_array("x", np.ma.masked_invalid([1.0, np.nan]))


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 2), (3, 6, 7)])
def test_a_mask_of_a_mask_is_never_lost(shape):
    image = np.random.default_rng(0).standard_normal(shape)
    unsure = np.ma.masked_array(np.zeros(shape, dtype=bool), np.arange(np.prod(shape)).reshape(shape) == 5)
    used = {
        (6, 7): [
            lambda mask: sparsegmrf.fit(Matern(3.0), image, mask=mask, noise_variance=0.1),
            lambda mask: Matern(3.0).gmrf((6, 7)).whiten(image, mask=mask),
            lambda mask: sparsegmrf.pixels.rx(np.ones((6, 7, 2)), mask=mask),
        ],
        (6, 7, 2): [lambda mask: sparsegmrf.fill(image, model=Channels(Matern(3.0), np.eye(2)), mask=mask)],
        (3, 6, 7): [lambda mask: sparsegmrf.fill(image, dates=[0.0, 9.0, 20.0], mask=mask)],
    }
    for use in used[shape]:
        with pytest.raises(ArgumentError, match=r"^mask must not be a masked array .* mask\.filled\(True\) or"):
            use(unsure)


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("barrier", lambda given: Matern(3.0, barrier=given)),
        ("domain", lambda given: sparsegmrf.GMRF(Matern(3.0).stencil((2, 2)), domain=given)),
        (
            "noise_variance",
            lambda _: sparsegmrf.fit(
                Channels(Matern(3.0), np.eye(2)),
                np.random.default_rng(0).standard_normal((6, 7, 2)),
                noise_variance=np.ma.masked_equal(1.0 + np.arange(84.0).reshape(6, 7, 2), 5.0),
            ),
        ),
        ("dates", lambda given: sparsegmrf.fill(np.ones((2, 6, 7)), dates=given[0].astype(float))),
    ],
)
def test_a_mask_of_other_arguments_is_never_lost(name, use):
    with pytest.raises(ArgumentError, match=f"^{name} must not be a masked array"):
        use(np.ma.masked_array(np.eye(2, dtype=bool), np.eye(2)))


def test_the_first_value_that_is_not_finite_is_named_with_its_place_and_the_remedy():
    x = np.ones((2, 3))
    x[1, 0], x[1, 2] = np.inf, np.nan
    with pytest.raises(ArgumentError, match=r"^x must be finite, got 2 .* first inf at \(1, 0\); mask them\.$"):
        _validate.finite("x", x, "mask them")


@pytest.mark.parametrize("value", [np.nan, np.inf, [1.0], "1", None])
def test_only_one_finite_number_is_a_number(value):
    with pytest.raises(ArgumentError, match=r"^x must"):
        _validate.finite_number("x", value)


@pytest.mark.parametrize("value", [0.0, -1.0, -0.0, np.nan])
def test_positive_is_above_zero(value):
    with pytest.raises(ArgumentError, match=r"^x must be"):
        _validate.positive_number("x", value)
    assert _validate.positive_number("x", 5e-324) == 5e-324


@pytest.mark.parametrize("trailing", [(2, 3), (2, 3, 2)])
@pytest.mark.parametrize("batch", [(), (4,), (0,), (2, 1)])
def test_images_are_read_only_and_contiguous_whatever_came(trailing, batch):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 9, (*batch, *trailing)).astype(float)
    unaligned = np.frombuffer(b"\0" + values.tobytes(), dtype=np.uint8)[1:].view(np.float64).reshape(values.shape)
    forms = [values, np.asfortranarray(values), values.astype(">f8"), values.astype(np.uint8), unaligned]
    for form in [*forms, np.repeat(values, 2, axis=-1)[..., ::2], values[..., ::-1][..., ::-1]]:
        image = _validate.images("x", form, trailing)
        assert image.shape == values.shape
        assert image.dtype == np.float64
        assert image.flags.c_contiguous
        assert image.flags.aligned
        assert not image.flags.writeable
        assert np.array_equal(image, values)
    assert values.flags.writeable


@pytest.mark.parametrize("shape", [(), (3,), (3, 2), (2, 3, 1), (2, 4)])
def test_images_of_another_shape_are_refused_with_both_shapes(shape):
    with pytest.raises(ArgumentError, match=r"^x must have shape \(\.\.\., 2, 3\), got \("):
        _validate.images("x", np.zeros(shape), (2, 3))


def test_masks_are_boolean_and_of_the_shape_of_the_image():
    mask = np.ones((2, 3), dtype=bool)
    assert np.array_equal(_validate.boolean_mask("mask", mask, (2, 3)), mask)
    with pytest.raises(ArgumentError, match=r"mask must be boolean, got dtype float64; write for instance mask > 0"):
        _validate.boolean_mask("mask", mask.astype(float), (2, 3))
    with pytest.raises(ArgumentError, match=r"mask must have the shape of the image \(2, 3\), got \(3, 2\)"):
        _validate.boolean_mask("mask", mask.T, (2, 3))


@pytest.mark.parametrize("value", ["c", None, 1, ["a"]])
def test_names_are_listed_when_another_came(value):
    with pytest.raises(ArgumentError, match=r"way must be one of 'a', 'b', got "):
        _validate.one_of("way", value, ("a", "b"))


def test_a_seed_gives_its_stream_and_a_generator_itself():
    rng = np.random.default_rng(3)
    assert _validate.generator(rng) is rng
    assert _validate.generator(3).random() == np.random.default_rng(3).random()


@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(ArgumentError, match=r"^rng must be"):
        _validate.generator(seed)


@pytest.mark.parametrize(
    ("size", "shape"), [(None, ()), (3, (3,)), ((), ()), ((2, 3), (2, 3)), ([2], (2,)), (np.int64(0), (0,))]
)
def test_sizes_are_those_of_numpy(size, shape):
    assert _validate.sample_size(size) == shape
    assert _validate.sample_size(np.array(shape, int)) == shape


def test_a_size_may_be_an_array_without_axes():
    assert _validate.sample_size(np.array(3)) == (3,)


@pytest.mark.parametrize("size", [-1, 2.5, "3", (2, -1), (2, 1.0), [[1], [2]], object()])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ArgumentError, match=r"^size must be"):
        _validate.sample_size(size)
