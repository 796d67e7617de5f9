"""One writer: every format keeps every digit, what is placed keeps its place, and nothing half-written is left."""

import re
from pathlib import Path

import numpy as np
import pytest

from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.io import Picture, Raster, read, write
from sparsegmrf.io._formats import FORMATS
from tests.conftest import require

SHAPE = (20, 25)
NEEDED = {"NetCDF": ("netCDF4", "xarray"), "Zarr": ("xarray", "zarr"), "FITS": ("astropy",), "NIfTI": ("nibabel",)}
WRITTEN = [(each, suffix) for each in FORMATS if each.write for suffix in each.suffixes if suffix.count(".") == 1]
KNOWN = [(each, suffix) for each, suffix in WRITTEN if each.starts]
EXACT = [(each, suffix) for each, suffix in WRITTEN if each.name != "PNG"]
GAP = -9999.0


def scene(seed=0, dtype=np.float64):
    return (100.0 + np.random.default_rng(seed).standard_normal(SHAPE)).astype(dtype)


@pytest.fixture(params=[".tif", ".nc", ".fits"])
def placed(request, tmp_path):
    """A raster of two float32 channels on the ground with a missing pixel, and what says where another one lies."""
    bands = np.stack([scene(seed, np.float32) for seed in range(2)])
    bands[:, 3, 4] = np.nan
    path = tmp_path / f"in{request.param}"
    if request.param == ".tif":
        rasterio = require("rasterio")
        place = {"crs": "EPSG:32633", "transform": rasterio.Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6)}
        profile = {"count": 2, "height": SHAPE[0], "width": SHAPE[1], "dtype": "float32", "nodata": GAP}
        with rasterio.open(path, "w", driver="GTiff", **profile, **place) as target:
            target.write(np.where(np.isnan(bands), np.float32(GAP), bands))
    elif request.param == ".nc":
        require("netCDF4")
        place = {"lat": np.linspace(50.0, 40.0, SHAPE[0]), "lon": np.arange(25.0)}
        stack = require("xarray").DataArray(bands, place, ("time", "lat", "lon"), "sst", {"units": "K"})
        stack.to_netcdf(path)
    else:
        fits = require("astropy.io.fits")
        header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 83.6, "CRVAL2": 22.0})
        fits.PrimaryHDU(bands, header).writeto(path)
    return path


@pytest.mark.parametrize(("row", "suffix"), EXACT, ids=[suffix for _, suffix in EXACT])
def test_every_format_keeps_every_digit_and_nan(row, suffix, tmp_path):
    for library in NEEDED.get(row.name, ()):
        require(library)
    image = np.where(np.eye(*SHAPE) > 0.0, np.nan, scene() * 1e-7)
    assert write(tmp_path / f"out{suffix}", image, name="a name", unit="m") is None
    assert [path.name for path in tmp_path.iterdir()] == [f"out{suffix}"]
    np.testing.assert_array_equal(np.asarray(read(tmp_path / f"out{suffix}").image), image)


@pytest.mark.parametrize(("row", "suffix"), KNOWN, ids=[suffix for _, suffix in KNOWN])
def test_what_is_written_is_known_by_its_first_bytes(row, suffix, tmp_path):
    for library in NEEDED.get(row.name, ()):
        require(library)
    write(tmp_path / f"out{suffix}", scene())
    assert (tmp_path / f"out{suffix}").read_bytes().startswith(row.starts)


@pytest.mark.parametrize("suffix", [".nc", ".fits"])
def test_name_and_unit_are_kept_where_the_format_has_them(suffix, tmp_path):
    for library in ("netCDF4", "xarray") if suffix == ".nc" else ("astropy",):
        require(library)
    write(tmp_path / f"out{suffix}", scene(), name="surface height", unit="m")
    found = read(tmp_path / f"out{suffix}")
    assert found.unit == "m"
    told = found.image.attrs["long_name"] if suffix == ".nc" else str(found.header["HISTORY"])
    assert "surface height" in told


def test_raster_is_copied_with_its_place_unit_and_type(placed, tmp_path):
    for channel in (1, "all"):
        source = read(placed, channel=channel)
        assert isinstance(source, Raster)
        path = tmp_path / f"copy{placed.suffix}"
        assert write(path, source) is None
        copy = read(path, channel=None if channel == 1 else "all")
        np.testing.assert_array_equal(np.asarray(copy.image), np.asarray(source.image))
        assert copy.same_ground(source)
        assert copy.unit == source.unit
    if placed.suffix == ".tif":
        assert copy.dtype == np.float32
        assert copy.georeference["transform"] == source.georeference["transform"]


def test_image_like_a_raster_lies_on_its_ground_in_its_type_or_exactly(placed, tmp_path):
    source = read(placed, channel=0)
    third = np.asarray(source.image) / 3.0
    for exact, expected in ((False, third.astype(np.float32)), (True, third)):
        write(tmp_path / f"out{placed.suffix}", third, like=source, name="a third", exact=exact)
        found = read(tmp_path / f"out{placed.suffix}")
        np.testing.assert_array_equal(np.asarray(found.image), expected)
        assert found.same_ground(source)


def test_place_is_never_lost_by_the_way_and_placeless_formats_are_allowed(placed, tmp_path):
    source = read(placed, channel=0)
    for suffix in (".nii",) if placed.suffix == ".fits" else (".fits", ".nii"):
        with pytest.raises(ArgumentError, match=r"path must end in .*, got .*; in another format it would lose its pl"):
            write(tmp_path / f"out{suffix}", source)
    for suffix in (".npy", ".npz"):
        write(tmp_path / f"out{suffix}", source)
        np.testing.assert_array_equal(read(tmp_path / f"out{suffix}").image, np.asarray(source.image))
    assert write(tmp_path / "out.png", scene(), like=source) == (scene().min(), scene().max())
    with pytest.raises(ArgumentError, match="pixels of the file read"):
        write(tmp_path / f"out{placed.suffix}", scene()[1:], like=source)


def test_data_array_keeps_its_coordinates(tmp_path):
    require("netCDF4")
    xarray = require("xarray")
    image = xarray.DataArray(scene(), {"lat": np.arange(20.0)}, ("lat", "lon"), "sst", {"units": "K"})
    write(tmp_path / "out.nc", image)
    xarray.testing.assert_identical(xarray.open_dataarray(tmp_path / "out.nc").load(), image)


def test_data_array_that_is_no_image_is_refused(tmp_path):
    require("netCDF4")
    xarray = require("xarray")
    for values, message in ((np.array([["a"]]), "real numbers"), (np.zeros(3), "shape"), (np.zeros((2, 0)), "shape")):
        with pytest.raises(ArgumentError, match=message):
            write(tmp_path / "out.nc", xarray.DataArray(values))
    assert list(tmp_path.iterdir()) == []


def test_picture_may_become_anything(tmp_path):
    picture = Picture(scene(), np.zeros(SHAPE, dtype=bool), unit="m")
    for suffix in (".npy", ".npz", ".tif"):
        write(tmp_path / f"out{suffix}", picture)
        np.testing.assert_array_equal(read(tmp_path / f"out{suffix}").image, scene())
        picture.write(tmp_path / f"own{suffix}", scene(1))
        np.testing.assert_array_equal(read(tmp_path / f"own{suffix}").image, scene(1))
    require("astropy")
    write(tmp_path / "out.fits", picture)
    assert read(tmp_path / "out.fits").unit == "m"


@pytest.mark.parametrize(
    ("name", "image", "message"),
    [
        ("out.bmp", scene(), r"suffix of path must be one of .*'\.tif', .*'\.npz'.*, got '\.bmp'"),
        ("out.jpg", scene(), "suffix of path must be one of"),
        ("out.fits.gz", scene(), "suffix of path must be one of"),
        ("out", scene(), "suffix of path must be one of"),
        ("out.tif", np.zeros((2, 3, 4)), r"image must have shape \(H, W\) to be written as \.tif, got \(2, 3, 4\)"),
        ("out.nc", np.zeros((2, 3, 4)), r"image must have shape \(H, W\)"),
        ("out.fits", np.zeros(3), r"image must have shape \(H, W\)"),
        ("out.png", np.full((2, 3), np.nan), r"image must be finite to be written as \.png"),
        ("out.npy", np.zeros((2, 3), complex), "image must hold real numbers"),
        ("nowhere/out.npy", scene(), "path must lie in an existing directory"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is_left(tmp_path, name, image, message):
    if name.endswith(".nc"):
        require("xarray")
    if name.endswith(".fits"):
        require("astropy")
    with pytest.raises(ArgumentError, match=message):
        write(tmp_path / name, image)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk is full")])
def test_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch, error):
    write(tmp_path / "out.npy", scene())

    def fail(path, array):
        Path(path).write_bytes(b"half")
        raise error

    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(FileError if isinstance(error, OSError) else KeyboardInterrupt):
        write(tmp_path / "out.npy", scene(1))
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), scene())


def test_page_on_files_has_a_line_for_every_format():
    page = (Path(__file__).parents[1] / "docs" / "geo.md").read_text(encoding="utf-8")
    for each in FORMATS:
        (row,) = re.findall(rf"^\| {re.escape(each.name)} \|(.*)$", page, flags=re.MULTILINE)
        assert re.findall(r"`(\.[\w.]+)`", row.split("|")[0]) == list(each.suffixes)
        assert ("yes" in row.split("|")[1]) is (each.write is not None)
