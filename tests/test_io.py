import errno

import imageio.v3 as iio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegmrf._files import refuse_overwriting, replacing, replacing_in
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.io import read_image, read_mask, write

EXACT = (".npy", ".tif", ".tiff")


@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 9))
def test_arrays_and_tiff_keep_every_digit(tmp_path_factory, height, width, seed):
    image = np.random.default_rng(seed).standard_normal((height, width)) * 10.0**seed
    folder = tmp_path_factory.mktemp("exact")
    for suffix in EXACT:
        assert write(folder / f"image{suffix}", image) is None
        np.testing.assert_array_equal(read_image(folder / f"image{suffix}").pixels, image)


@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 9))
def test_png_is_right_to_half_a_16_bit_step_of_the_range_it_tells(tmp_path_factory, height, width, seed):
    image = np.random.default_rng(seed).standard_normal((height, width))
    path = tmp_path_factory.mktemp("png") / "image.png"
    black, white = write(path, image)
    assert (black, white) == (image.min(), image.max())
    read = black + read_image(path).pixels * (white - black)
    np.testing.assert_allclose(read, image, rtol=0, atol=0.5001 * (white - black) / 65535 + 1e-15)


def test_only_8_and_16_bit_counts_are_divided(tmp_path):
    counts = np.array([[0, 1, 255]])
    for dtype, divisor in (
        (np.uint8, 255.0),
        (np.uint16, 65535.0),
        (np.int16, 1.0),
        (np.float32, 1.0),
        (np.uint32, 1.0),
    ):
        np.save(tmp_path / "image.npy", counts.astype(dtype))
        read = read_image(tmp_path / "image.npy")
        assert read.divisor == divisor
        np.testing.assert_array_equal(read.pixels, counts / divisor)
        stored = read_image(tmp_path / "image.npy", scale="none")
        np.testing.assert_array_equal(stored.pixels, counts)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_colour_image_is_read_by_channel_or_luminance_and_never_unasked(tmp_path, suffix):
    colour = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    path = tmp_path / f"image{suffix}"
    np.save(path, colour) if suffix == ".npy" else iio.imwrite(path, colour)
    with pytest.raises(ArgumentError, match="has 3 channels"):
        read_image(path)
    for channel in range(3):
        read = read_image(path, channel=channel)
        assert read.channel == str(channel)
        np.testing.assert_array_equal(read.pixels, colour[..., channel] / 255)
    luminance = read_image(path, grey=True)
    assert luminance.channel == "grey (luminance)"
    np.testing.assert_allclose(luminance.pixels, colour @ [0.2125, 0.7154, 0.0721] / 255, atol=1e-14)
    with pytest.raises(ArgumentError, match="channel must be 0 to 2"):
        read_image(path, channel=3)
    with pytest.raises(ArgumentError, match="exclude each other"):
        read_image(path, channel=0, grey=True)


def test_channels_may_come_first(tmp_path):
    bands = np.random.default_rng(0).standard_normal((6, 4, 5))
    np.save(tmp_path / "bands.npy", bands)
    np.testing.assert_array_equal(read_image(tmp_path / "bands.npy", channel=4, channel_axis=0).pixels, bands[4])


def test_grey_of_transparent_pixels_is_refused_and_of_opaque_ones_is_not(tmp_path):
    colour = np.full((2, 2, 4), 255, dtype=np.uint8)
    iio.imwrite(tmp_path / "image.png", colour)
    np.testing.assert_allclose(read_image(tmp_path / "image.png", grey=True).pixels, 1.0)
    colour[1, 0, 3] = 254
    iio.imwrite(tmp_path / "image.png", colour)
    with pytest.raises(ArgumentError, match="transparent"):
        read_image(tmp_path / "image.png", grey=True)


def test_mask_is_true_where_the_file_is_not_zero(tmp_path):
    missing = np.random.default_rng(0).random((4, 6)) < 0.3
    for name, stored in (("bits.png", missing), ("bytes.png", missing * np.uint8(255)), ("array.npy", missing)):
        np.save(tmp_path / name, stored) if name.endswith("npy") else iio.imwrite(tmp_path / name, stored)
        np.testing.assert_array_equal(read_mask(tmp_path / name), missing)


@pytest.mark.parametrize("content", [b"", b"nothing like an image", b"\x89PNG\r\n\x1a\n", b"II*\0\x08\0\0\0", b"MM\0*"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy", ".dat"])
def test_unreadable_file_is_an_argument_and_an_os_error_naming_the_file(tmp_path, content, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(FileError, match="broken") as caught:
        read_image(path)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


def test_missing_file_directory_and_empty_image_are_refused(tmp_path):
    with pytest.raises(FileError, match=r"nowhere\.png, which is none"):
        read_image(tmp_path / "nowhere.png")
    with pytest.raises(FileError, match="existing image file"):
        read_image(tmp_path)
    np.save(tmp_path / "empty.npy", np.zeros((0, 3)))
    with pytest.raises(ArgumentError, match=r"at least one pixel.*\(0, 3\)"):
        read_image(tmp_path / "empty.npy")


@pytest.mark.parametrize("array", [np.zeros((2, 2), complex), np.zeros(3), np.float64(1.0), np.zeros((1, 2, 3, 4))])
def test_file_that_holds_no_real_image_is_refused(tmp_path, array):
    np.save(tmp_path / "array.npy", array)
    with pytest.raises(ArgumentError, match="must"):
        read_image(tmp_path / "array.npy")


def test_pickled_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(FileError, match="Object arrays cannot be loaded"):
        read_image(tmp_path / "objects.npy")


def test_unknown_suffix_missing_directory_and_nan_in_png_are_refused(tmp_path):
    with pytest.raises(ArgumentError, match=r"suffix of path.*'\.png'"):
        write(tmp_path / "image.bmp", np.eye(2))
    with pytest.raises(FileError, match="existing directory"):
        write(tmp_path / "nowhere" / "image.npy", np.eye(2))
    with pytest.raises(ArgumentError, match=r"finite.*write \.tif or \.npy"):
        write(tmp_path / "image.png", [[1.0, np.nan]])
    with pytest.raises(ArgumentError, match=r"\(H, W\)"):
        write(tmp_path / "image.tif", np.zeros((2, 2, 2)))
    assert list(tmp_path.iterdir()) == []


def test_nan_survives_in_tiff(tmp_path):
    image = np.array([[1.0, np.nan], [-np.inf, 0.0]])
    write(tmp_path / "image.tif", image)
    np.testing.assert_array_equal(read_image(tmp_path / "image.tif").pixels, image)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "result.txt"
    target.write_text("old")

    def fail():
        with replacing(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["result.txt"]
    assert target.read_text() == "old"
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.txt"]
    assert target.read_text() == "new"


def test_outputs_that_are_inputs_under_any_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    original = tmp_path / "image.png"
    original.write_bytes(b"x")
    (tmp_path / "link.png").symlink_to(original)
    (tmp_path / "hard.png").hardlink_to(original)
    for name in (original, "image.png", "./image.png", "link.png", "hard.png"):
        with pytest.raises(ArgumentError, match="is an input"):
            refuse_overwriting([name], [original])
    with pytest.raises(ArgumentError, match="another output"):
        refuse_overwriting(["one.npy", "./one.npy"], [original])
    refuse_overwriting(["one.npy", None, "two.npy"], [original, None])


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("NetCDF: HDF error")])
def test_write_that_fails_names_the_file_and_the_reason(tmp_path, error):
    def fail(path):
        with replacing(path):
            raise error

    def fail_in(folder):
        with replacing_in(folder) as staging:
            fail(staging / "image.nc")

    reason = "no space left on device" if isinstance(error, OSError) else "NetCDF: HDF error"
    with pytest.raises(FileError, match=rf"^{tmp_path}/image\.nc cannot be written: {reason}"):
        fail(tmp_path / "image.nc")
    with pytest.raises(FileError, match=rf"^{tmp_path}/out/image\.nc cannot be written: {reason}"):
        fail_in(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
