"""FITS: pixels keep their place, blanks are missing, header and world coordinates survive."""

import subprocess
import sys

import numpy as np
import pytest

from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.geo import read_fits
from sparsegmrf.io import read
from tests.conftest import require

SHAPE = (12, 15)


@pytest.fixture
def fits():
    return require("astropy.io.fits")


@pytest.fixture
def sky(fits):
    """Header with world coordinates."""
    header = fits.Header()
    for number, (kind, value, step) in enumerate((("RA---TAN", 83.6, -0.01), ("DEC--TAN", 22.0, 0.01)), start=1):
        header[f"CTYPE{number}"] = kind
        header[f"CRVAL{number}"], header[f"CRPIX{number}"], header[f"CDELT{number}"] = value, 4.0 + number, step
    header["BUNIT"], header["OBJECT"] = "Jy", "M1"
    return header


def scene(dtype=np.float32):
    image = 100.0 + 3.0 * np.random.default_rng(0).standard_normal(SHAPE).cumsum(axis=0)
    return image.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint16, np.int32, np.uint8])
def test_pixels_come_back_where_they_were_to_the_last_bit(fits, sky, tmp_path, dtype):
    image = scene(dtype)
    if dtype in (np.float32, np.float64):
        image[3, 4:7] = np.nan
    fits.PrimaryHDU(image, sky).writeto(tmp_path / "in.fits")
    source = read_fits(tmp_path / "in.fits")
    np.testing.assert_array_equal(source.image, image)
    assert source.unit == "Jy"
    source.write(tmp_path / "out.fits", source.image, "a copy")
    with fits.open(tmp_path / "out.fits") as file:
        np.testing.assert_array_equal(file[0].data, image)
        assert file[0].data.dtype.itemsize == (8 if dtype in (np.float64, np.int32) else 4)
        for keyword in sky:
            assert file[0].header[keyword] == sky[keyword]
        assert "sparsegmrf: a copy" in str(file[0].header["HISTORY"])
        assert not {"BLANK", "BZERO", "BSCALE"} & set(file[0].header)


@pytest.mark.parametrize(("scale", "zero"), [(0.1, 5.0), (1.0, 32768.0)])  # the latter: unsigned integers
def test_blank_and_scaled_integers_are_missing_and_in_their_unit(fits, sky, tmp_path, scale, zero):
    stored = np.arange(180, dtype=np.int16).reshape(SHAPE)
    stored[2, 3:8] = -32768
    sky["BLANK"], sky["BSCALE"], sky["BZERO"] = -32768, scale, zero
    unit = fits.PrimaryHDU(stored, do_not_scale_image_data=True)
    unit.header.update(sky)
    unit.writeto(tmp_path / "in.fits")
    source = read_fits(tmp_path / "in.fits")
    np.testing.assert_array_equal(source.image, np.where(stored == -32768, np.nan, stored * scale + zero))
    source.write(tmp_path / "out.fits", source.image)
    np.testing.assert_array_equal(read_fits(tmp_path / "out.fits").image, source.image)


def test_extension_is_chosen_and_the_file_keeps_its_headers(fits, sky, tmp_path):
    primary = fits.Header({"TELESCOP": "none"})
    units = [fits.PrimaryHDU(header=primary), fits.ImageHDU(scene(), sky, name="SCI")]
    units += [fits.ImageHDU(np.ones(SHAPE, dtype=np.int16), name="DQ")]
    fits.HDUList(units).writeto(tmp_path / "in.fits")
    with pytest.raises(ArgumentError, match=r"variable must be one of SCI, DQ of in\.fits, got none"):
        read_fits(tmp_path / "in.fits")
    for extension in ("sci", "1"):
        source = read_fits(tmp_path / "in.fits", extension=extension)
        np.testing.assert_array_equal(source.image, scene())
    source.write(tmp_path / "out.fits", source.image)
    with fits.open(tmp_path / "out.fits") as file:
        assert (file[0].header["TELESCOP"], file[1].header["OBJECT"]) == ("none", "M1")
        np.testing.assert_array_equal(file["SCI"].data, scene())


def test_compressed_image_is_read_as_it_was(fits, sky, tmp_path):
    counts = scene(np.int32)
    fits.CompImageHDU(counts, sky).writeto(tmp_path / "in.fits.fz")
    np.testing.assert_array_equal(read(tmp_path / "in.fits.fz").image, counts)
    fits.PrimaryHDU(counts, sky).writeto(tmp_path / "in.fits.gz")
    np.testing.assert_array_equal(read(tmp_path / "in.fits.gz").image, counts)


def test_planes_of_a_cube_are_channels_and_leave_the_third_axis_behind(fits, sky, tmp_path):
    cube = np.random.default_rng(0).standard_normal((3, *SHAPE))
    sky["CTYPE3"], sky["CRVAL3"], sky["CRPIX3"], sky["WCSAXES"] = "FREQ", 1.4e9, 1.0, 3
    fits.PrimaryHDU(cube, sky).writeto(tmp_path / "in.fits")
    with pytest.raises(
        ArgumentError, match=r"3 planes along its third axis; choose one with channel \(--channel\) 0 to 2"
    ):
        read_fits(tmp_path / "in.fits")
    source = read(tmp_path / "in.fits", channel=2)
    np.testing.assert_array_equal(source.image, cube[2])
    np.testing.assert_array_equal(read(tmp_path / "in.fits", channel="all").image, np.moveaxis(cube, 0, -1))
    source.write(tmp_path / "out.fits", cube[:2], "draws")
    with fits.open(tmp_path / "out.fits") as file:
        np.testing.assert_array_equal(file[0].data, cube[:2])
        assert "CTYPE3" not in file[0].header
        assert (file[0].header["WCSAXES"], file[0].header["CTYPE2"]) == (2, "DEC--TAN")


def test_what_holds_no_image_is_refused(fits, tmp_path):
    fits.PrimaryHDU().writeto(tmp_path / "none.fits")
    with pytest.raises(ArgumentError, match=r"none\.fits has none"):
        read_fits(tmp_path / "none.fits")
    fits.PrimaryHDU(np.zeros((2, 3, 4, 5))).writeto(tmp_path / "deep.fits")
    with pytest.raises(ArgumentError, match=r"at most one more, got \(5, 4, 3, 2\)"):
        read_fits(tmp_path / "deep.fits")
    (tmp_path / "text.fits").write_text("no stars")
    with pytest.raises(FileError, match=r"must be a FITS file, got .*text\.fits, which cannot be read"):
        read(tmp_path / "text.fits")
    fits.PrimaryHDU(np.zeros(SHAPE)).writeto(tmp_path / "in.fits")
    with pytest.raises(ArgumentError, match=r"one of PRIMARY of in\.fits, got no"):
        read_fits(tmp_path / "in.fits", extension="no")
    with pytest.raises(ArgumentError, match=r"pixels of the file read, \(12, 15\), got \(3, 4\)"):
        read_fits(tmp_path / "in.fits").write(tmp_path / "out.fits", np.zeros((3, 4)))


def test_without_astropy_one_sentence_names_it_and_the_remedy(tmp_path):
    (tmp_path / "in.fits").write_bytes(b"SIMPLE  =                    T")
    code = "import sys; sys.modules['astropy'] = None\nfrom sparsegmrf.cli import main\n"
    code += f"sys.exit(main(['fit', {str(tmp_path / 'in.fits')!r}]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == ('sparsegmrf: this format needs astropy; install it with: pip install "sparsegmrf[fits]"\n')
