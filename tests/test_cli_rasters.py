"""Every command reads rasters alike: what has no data is missing, what is written lies on the same ground."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest

from sparsegmrf import fill, fit
from sparsegmrf.autoregression import CausalAR
from sparsegmrf.cli import main
from sparsegmrf.io import read, read_model, write
from sparsegmrf.models import Matern
from sparsegmrf.pixels import PixelGaussian, rx
from tests.conftest import require

SHAPE = (20, 25)
HOLE = np.zeros(SHAPE, dtype=bool)
HOLE[7:11, 8:14] = True
SUFFIX = {"geotiff": ".tif", "masked": ".tif", "netcdf": ".nc", "fits": ".fits"}
GAP = -9999


def scene(seed, dtype=np.float32):
    """A field that a causal model and a smooth one both fit."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] / 5.0
    return (100.0 + 5.0 * np.sin(rows) * np.cos(columns) + rng.standard_normal(SHAPE)).astype(dtype)


@dataclass
class File:
    """A file of three channels with a hole in each, what it holds, and how its maps are looked at."""

    name: str
    bands: Any
    ground: Any = field(default=None)

    @property
    def values(self):
        return np.where(HOLE[..., np.newaxis], np.nan, np.moveaxis(self.bands, 0, -1).astype(np.float64))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=["geotiff", "masked", "netcdf", "fits"])
def kind(request):
    return request.param


@pytest.fixture
def file(kind, here):
    bands = np.stack([scene(seed) for seed in range(3)])
    gappy = np.where(HOLE, np.float32(GAP), bands)
    if kind in ("geotiff", "masked"):
        rasterio = require("rasterio")
        place = {"crs": "EPSG:32633", "transform": rasterio.Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6)}
        profile = {"count": 3, "height": SHAPE[0], "width": SHAPE[1], "dtype": "float32", "interleave": "band"}
        nodata = {"nodata": GAP} if kind == "geotiff" else {}
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open("in.tif", "w", driver="GTiff", **profile, **nodata, **place) as target,
        ):
            target.write(gappy if kind == "geotiff" else np.where(HOLE, 0, bands))
            if kind == "masked":
                target.write_mask(~HOLE)
        return File("in.tif", bands, place)
    if kind == "netcdf":
        require("netCDF4")
        xarray = require("xarray")
        place = {"lat": np.linspace(50.0, 40.0, SHAPE[0]), "lon": np.arange(25.0)}
        stack = xarray.DataArray(gappy, place, ("time", "lat", "lon"), "sst", {"units": "K"})
        stack.to_netcdf("in.nc", encoding={"sst": {"_FillValue": None}})
        with require("netCDF4").Dataset("in.nc", "a") as data:
            data["sst"].missing_value = np.float32(GAP)
        return File("in.nc", bands, place)
    fits = require("astropy.io.fits")
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 83.6, "CRVAL2": 22.0})
    fits.PrimaryHDU(np.where(HOLE, np.nan, gappy).astype(np.float32), header).writeto("in.fits")
    return File("in.fits", bands, {key: header[key] for key in header})


def assert_same_ground(path, file):
    if path.endswith(".tif"):
        with require("rasterio").open(path) as written:
            assert (written.crs.to_string(), written.transform) == (file.ground["crs"], file.ground["transform"])
    elif path.endswith(".nc"):
        with require("xarray").open_dataset(path) as written:
            for name, values in file.ground.items():
                np.testing.assert_array_equal(written[name], values)
    else:
        with require("astropy.io.fits").open(path) as written:
            assert {key: written[0].header[key] for key in file.ground} == file.ground


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    return call


def size_of(file):
    """The size of the pixels of a file, where it is placed on the ground."""
    return getattr(read(file.name, channel=0), "spacing", None)


def test_fill_keeps_observed_pixels_to_the_last_bit_and_their_place(file, kind, run):
    run("fill", file.name, "--channel", "1", "--out", "out", "--noise-variance", "1", "--mask", "nan")
    expected = fill(file.values[..., 1], noise_variance=1.0, spacing=size_of(file))
    for name in ("filled", "mean", "std"):
        path = f"out/in-{name}{SUFFIX[kind]}"
        np.testing.assert_array_equal(read(path).image, getattr(expected, name).astype(np.float32))
        assert_same_ground(path, file)
    observed = np.asarray(read(f"out/in-filled{SUFFIX[kind]}").image)[~HOLE]
    np.testing.assert_array_equal(observed, file.bands[1][~HOLE])


def test_rx_and_density_leave_out_what_has_no_data_and_write_maps_on_the_ground(file, kind, run):
    assert "mean score" in run("rx", file.name, "--values", f"rx{SUFFIX[kind]}")
    assert "pixels  476 of 500" in run("density", file.name, "--values", f"density{SUFFIX[kind]}")
    model = PixelGaussian.fit(file.values, mask=HOLE)
    for name, expected in (
        ("rx", rx(file.values, mask=HOLE)[..., 0]),
        ("density", model.log_density_image(file.values, mask=HOLE)[..., 0]),
    ):
        written = np.asarray(read(f"{name}{SUFFIX[kind]}").image)
        np.testing.assert_array_equal(written, expected)
        np.testing.assert_array_equal(np.isnan(written), HOLE)
        assert_same_ground(f"{name}{SUFFIX[kind]}", file)
    run("rx", file.name, "--channels", "2,0", "--values", "two.npy", "--overwrite")
    np.testing.assert_array_equal(np.load("two.npy"), rx(file.values[..., [2, 0]], mask=HOLE)[..., 0])


def test_fit_takes_every_format_and_what_has_no_data_is_missing(file, run):
    words = ["--channel", "2", "--fixed", "range", "--noise-variance", "1"]
    printed = run("fit", file.name, *words, "--out", "fit.json")
    options = {"mask": HOLE, "fixed": "range", "spacing": size_of(file)}
    expected = fit(Matern(), file.values[..., 2], noise_variance=1.0, **options)
    assert expected.summary() in printed
    assert json.loads(Path("fit.json").read_text())["parameters"] == expected.parameters


def test_variances_of_a_file_must_lie_on_the_ground_of_the_image(file, kind, here, capsys):
    source = read(file.name, channel=0)
    variances = np.full(SHAPE, 0.5)
    write(f"variances{SUFFIX[kind]}", variances, like=source)
    words = ["--channel", "0", "--fixed", "range", "--noise-variance", f"variances{SUFFIX[kind]}"]
    assert main(["fit", file.name, *words]) == 0
    options = {"mask": HOLE, "fixed": "range", "spacing": size_of(file)}
    expected = fit(Matern(), file.values[..., 0], noise_variance=variances, **options)
    assert expected.summary() in capsys.readouterr().out
    if kind == "netcdf":
        source.image.coords["lat"] = source.image["lat"] + 1.0
    elif kind == "fits":
        source.header["CRVAL1"] = 10.0
    else:
        source.georeference["transform"] = require("rasterio").Affine(30.0, 0.0, 5e5 + 90.0, 0.0, -30.0, 5e6)
    write(f"variances{SUFFIX[kind]}", variances, like=source)
    assert main(["fit", file.name, *words]) == 2
    assert "noise-variance must lie on the ground of the image" in capsys.readouterr().err


def test_fit_whiten_and_sample_leave_out_what_has_no_data(file, kind, run):
    image = file.values[..., 0]
    run("ar", "fit", file.name, "--channel", "0", "--radius", "1", "--model", "model.json")
    model = CausalAR.fit(image, "nshp", radius=1, mask=HOLE).model
    np.testing.assert_array_equal(read_model("model.json").weights, model.weights)
    run("ar", "whiten", file.name, "--channel", "0", "--radius", "1")
    written = np.asarray(read(f"in-innovations{SUFFIX[kind]}").image)
    touched = HOLE.copy()
    for i, j in np.argwhere(HOLE):
        for di, dj in model.offsets:
            touched[i - di, j - dj] = True
    np.testing.assert_array_equal(np.isnan(written), touched)
    whole = model.gmrf(SHAPE).whiten(np.where(HOLE, model.mean, image))
    np.testing.assert_array_equal(written[~touched], whole[~touched])
    assert_same_ground(f"in-innovations{SUFFIX[kind]}", file)
    run("ar", "sample", file.name, "--channel", "0", "--radius", "1", "--out", "draw.npy")
    np.testing.assert_array_equal(np.load("draw.npy"), model.gmrf(SHAPE).sample(rng=0, burn_in=64))


def test_every_command_takes_masks_of_every_format(file, kind, run):
    bad = np.zeros(SHAPE, dtype=bool)
    bad[2, 3:6] = True
    if kind in ("geotiff", "masked"):
        rasterio = require("rasterio")
        profile = {"count": 1, "height": SHAPE[0], "width": SHAPE[1], "dtype": "uint8", "nodata": 0}
        with rasterio.open("mask.tif", "w", driver="GTiff", **profile, **file.ground) as target:
            target.write(bad.astype(np.uint8), 1)
    elif kind == "netcdf":
        require("xarray").DataArray(bad.astype(np.int8), file.ground, ("lat", "lon"), "m").to_netcdf("mask.nc")
    else:
        require("astropy.io.fits").PrimaryHDU(bad.astype(np.int16) * 64).writeto("mask.fits")
    mask, missing = f"mask{SUFFIX[kind]}", HOLE | bad
    run("rx", file.name, "--mask", mask, "--values", "rx.npy")
    np.testing.assert_array_equal(np.load("rx.npy"), rx(file.values, mask=missing)[..., 0])
    assert "pixels  473 of 500" in run("density", file.name, "--mask", mask)
    run("ar", "fit", file.name, "--channel", "2", "--radius", "1", "--mask", mask, "--model", "model.json")
    expected = CausalAR.fit(file.values[..., 2], "nshp", radius=1, mask=missing).model
    np.testing.assert_array_equal(read_model("model.json").weights, expected.weights)
    run("fill", file.name, "--channel", "2", "--mask", mask, "--out", "out", "--noise-variance", "1")
    filled = fill(file.values[..., 2], mask=missing, noise_variance=1.0, spacing=size_of(file)).filled
    np.testing.assert_array_equal(read(f"out/in-filled{SUFFIX[kind]}").image, filled.astype(np.float32))


def test_map_in_a_format_that_would_lose_the_ground_is_refused_before_the_work(file, kind, here, capsys, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr("sparsegmrf.cli._pixels.rx", refuse)
    other = ".tif" if SUFFIX[kind] == ".fits" else ".fits"
    before = sorted(here.iterdir())
    assert main(["rx", file.name, "--values", f"map{other}"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"values must end in {SUFFIX[kind]}" in message
    assert sorted(here.iterdir()) == before


def test_scaled_counts_come_back_to_the_last_bit(here, run):
    rasterio = require("rasterio")
    counts = np.random.default_rng(0).integers(-2000, 2000, SHAPE).astype(np.int16)
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6)}
    profile = {"count": 1, "height": SHAPE[0], "width": SHAPE[1], "dtype": "int16", "nodata": -32768}
    with rasterio.open("in.tif", "w", driver="GTiff", **profile, **place) as target:
        target.write(np.where(HOLE, -32768, counts).astype(np.int16), 1)
        target.scales, target.offsets = (1e-3,), (1e5,)
    run("fill", "in.tif", "--out", "out", "--noise-variance", "none")
    np.testing.assert_array_equal(read("out/in-filled.tif").image[~HOLE], (counts * 1e-3 + 1e5)[~HOLE])


def test_transparency_is_no_channel_and_hides_pixels(here, run):
    colour = np.random.default_rng(0).integers(0, 256, (*SHAPE, 4)).astype(np.uint8)
    colour[..., 3] = np.where(HOLE, 0, 255)
    iio.imwrite("in.png", colour)
    run("rx", "in.png", "--values", "rx.npy")
    visible = np.where(HOLE[..., np.newaxis], np.nan, colour[..., :3] / 255.0)
    np.testing.assert_array_equal(np.load("rx.npy"), rx(visible, mask=HOLE)[..., 0])
    assert main(["rx", "in.png", "--channels", "0,3"]) == 2


@pytest.mark.parametrize(
    "command",
    [
        ["fill", "IN", "--out", "out", "--channel", "0"],
        ["fit", "IN", "--channel", "0", "--noise-variance", "none"],
        ["ar", "fit", "IN", "--channel", "0"],
        ["rx", "IN"],
        ["density", "IN"],
    ],
)
def test_array_whose_layout_is_unclear_needs_the_axis(here, capsys, command):
    np.save("in.npy", np.random.default_rng(0).standard_normal((3, *SHAPE)))
    words = ["in.npy" if word == "IN" else word for word in command]
    assert main(words) == 2
    assert "pass channel_axis 0 (--channel-axis 0)" in capsys.readouterr().err
    assert main([*words, "--channel-axis", "0"]) == 0


def test_nan_of_a_tiff_is_missing_in_every_command_with_rasterio_and_without(here, run, monkeypatch):
    image = np.where(HOLE, np.nan, scene(0))
    iio.imwrite("in.tif", image, plugin="tifffile")
    for _ in range(2):
        run("ar", "fit", "in.tif", "--radius", "1", "--model", "model.json", "--overwrite")
        model = CausalAR.fit(image, "nshp", radius=1, mask=HOLE).model
        np.testing.assert_array_equal(read_model("model.json").weights, model.weights)
        monkeypatch.setitem(sys.modules, "rasterio", None)


@pytest.mark.parametrize("mark", [np.finfo(np.float32).min, np.float32(2147483647.0)])
def test_number_that_looks_like_a_mark_is_told_with_the_option_that_takes_it(here, capsys, mark):
    iio.imwrite("in.tif", np.where(HOLE, mark, scene(0)).astype(np.float32), plugin="tifffile")
    assert main(["rx", "in.tif", "--values", "marked.npy"]) == 0
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert f"occurs 24 times; if it marks missing pixels, pass --nodata={float(mark)!r}".removesuffix(".0") in told
    option = told.split("pass ")[1].strip()
    assert main(["rx", "in.tif", option, "--values", "rx.npy", "--overwrite"]) == 0
    assert capsys.readouterr().err == ""
    expected = rx(np.where(HOLE, np.nan, scene(0))[..., np.newaxis].astype(np.float64), mask=HOLE)[..., 0]
    np.testing.assert_array_equal(np.load("rx.npy"), expected)
    assert main(["ar", "fit", "in.tif", option, "--radius", "1", "--model", "model.json"]) == 0
    model = CausalAR.fit(scene(0), "nshp", radius=1, mask=HOLE).model
    np.testing.assert_array_equal(read_model("model.json").weights, model.weights)


def test_mark_is_a_count_of_pictures_and_one_that_no_pixel_has_is_told(here, run, capsys):
    counts = np.random.default_rng(0).integers(1, 255, (*SHAPE, 3)).astype(np.uint8)
    counts[HOLE, 1] = 0
    iio.imwrite("in.png", counts)
    run("rx", "in.png", "--nodata", "0", "--values", "rx.npy")
    np.testing.assert_array_equal(np.load("rx.npy"), rx(counts / 255.0, mask=HOLE)[..., 0])
    assert main(["rx", "in.png", "--nodata", "-9999", "--overwrite"]) == 0
    assert "warning: no pixel has the value -9999 of --nodata" in capsys.readouterr().err


def test_heavy_tails_and_images_of_two_values_are_not_told_of(here, run, capsys):
    heavy = np.exp(3.0 * np.random.default_rng(0).standard_normal(SHAPE))
    iio.imwrite("in.tif", heavy, plugin="tifffile")
    iio.imwrite("two.tif", HOLE * 1e9, plugin="tifffile")
    for name in ("in.tif", "two.tif"):
        assert main(["rx", name]) == 0
        assert capsys.readouterr().err == ""
