"""``sparsegmrf fill --channels`` fills all channels of an image in one run and writes them into one file each."""

import json
import re
import warnings
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from sparsegmrf import fill
from sparsegmrf.cli import main
from sparsegmrf.errors import ArgumentError
from sparsegmrf.io import read, read_fit, read_model
from sparsegmrf.io._layers import check_layers, write_layers
from sparsegmrf.models import Channels, Matern, TensionSpline
from tests.conftest import require
from tests.kinds_of_files import HOLE, SHAPE, raster, scene, where
from tests.table_of_files import without_figures

COUNT = 3
GAP = -9999
KINDS = ("filled", "mean", "std", "predictive-std")
QUICK = ("--model", "matern", "--fixed", "range", "--fixed", "sigma", "--noise-variance", "0.1")
ALL = ("--channels", "all", *QUICK)
EACH = (*ALL, "--separately")


@pytest.fixture
def here(tmp_path, monkeypatch):
    require("rasterio")
    monkeypatch.chdir(tmp_path)
    with without_figures():
        yield tmp_path


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        assert captured.err == ""
        return captured.out

    return call


@pytest.fixture
def refused(capsys):
    def call(*arguments):
        before = sorted(Path().iterdir())
        assert main([str(argument) for argument in arguments]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert sorted(Path().iterdir()) == before
        return line

    return call


def counts(dtype=np.uint8, low=20, high=250):
    """Three channels that see the same, with noise of their own, channels first."""
    common = scene(low, high, np.float64)
    own = np.random.default_rng(4).standard_normal((COUNT, *SHAPE))
    return np.rint(common * np.array([1.0, 0.8, 0.6])[:, None, None] + 3.0 * own).astype(dtype)


def gaps():
    """A gap of every channel of its own, channels first."""
    return np.stack([np.roll(HOLE, (k, -2 * k), axis=(0, 1)) for k in range(COUNT)])


def holed():
    """Channels last, NaN where each has its gap."""
    return np.moveaxis(np.where(gaps(), np.nan, counts(np.int16)), 0, -1)


def bands(path="in.tif", scales=(1.0, 1.0, 1.0)):
    """A GeoTIFF of three bands with gaps of their own, descriptions of two of them and metadata of one."""

    def say(target):
        for k, name in enumerate(("red", "nir", ""), start=1):
            target.set_band_description(k, name)
        target.update_tags(2, WAVELENGTH="842")
        target.units = ("1", "1", "K")
        target.scales = scales

    stored = np.where(gaps(), GAP, counts(np.int16)).astype(np.int16)
    raster(Path(path), stored, nodata=GAP, after=say, **where())
    return holed() * np.array(scales)


def colours(path="in.tif"):
    """A GeoTIFF of red, green, blue and transparency: a hole without any, and a pixel with half of it."""
    opacity = np.where(HOLE, 0, 255).astype(np.uint8)
    opacity[0, 0] = 100
    names = ("red", "green", "blue")

    def say(target):
        for k, name in enumerate(names, start=1):
            target.set_band_description(k, f"band of {name}")

    stored = np.concatenate([counts(), opacity[np.newaxis]])
    raster(Path(path), stored, photometric="RGB", alpha="yes", after=say, **where())
    return np.moveaxis(counts(), 0, -1).astype(float), opacity


def series(path="in.nc", dims=("band", "lat", "lon"), **more):
    """A variable with a dimension of bands, and one with dates as well."""
    xarray = require("xarray")
    require("netCDF4")
    attributes = {"units": "1", "long_name": "reflectance", "standard_name": "surface_bidirectional_reflectance"}
    image = xarray.DataArray(
        np.moveaxis(holed(), -1, 0).astype(np.float32),
        {
            "band": ("band", [490, 560, 842], {"units": "nm"}),
            "lat": ("lat", 50.0 - 0.1 * np.arange(SHAPE[0]), {"units": "degrees_north"}),
            "lon": ("lon", 0.1 * np.arange(SHAPE[1]), {"units": "degrees_east"}),
        },
        ("band", "lat", "lon"),
        "refl",
        attributes,
    )
    for name, values in more.items():
        image = xarray.concat([image + k for k in range(len(values))], xarray.DataArray(values, dims=name, name=name))
        image.attrs = attributes
    image.transpose(*dims).to_netcdf(path)
    return holed()


def opened(path):
    rasterio = require("rasterio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        file = rasterio.open(path)
    with file:
        return {
            "values": np.moveaxis(file.read().astype(np.float64), 0, -1),
            "names": file.descriptions,
            "colours": [each.name for each in file.colorinterp],
            "nodata": file.nodatavals,
            "units": file.units,
            "place": (file.crs, file.transform),
            "tags": [file.tags(k + 1) for k in range(file.count)],
            "dtype": file.dtypes[0],
        }


def together(values, model=None, **options):
    """What the library makes of the channels by the quick options."""
    spatial = Matern() if model is None else model
    given = {"fixed": ["range", "sigma"], "noise_variance": 0.1, "covariates": "linear", **options}
    return fill(values, model=Channels(spatial, np.eye(COUNT)), **given)


@pytest.mark.parametrize("kind", ["tif", "png", "npy", "nc"])
def test_several_channels_are_refused_with_the_option_that_fills_them(here, refused, kind):
    if kind == "tif":
        bands()
    elif kind == "png":
        iio.imwrite("in.png", np.moveaxis(counts(), 0, -1))
    elif kind == "npy":
        np.save("in.npy", holed())
    else:
        series()
    said = refused("fill", f"in.{kind}", "--out", "out")
    assert "All of them are filled with --channels all." in said
    assert "3 " in said


def test_bands_are_filled_together_as_by_the_library(here, run):
    values = bands()
    printed = run("fill", "in.tif", "--out", "out", *ALL, "--samples", "2", "--seed", "5")
    source = read("in.tif", channel="all")
    expected = together(values, spacing=source.spacing, n_samples=2, rng=5)
    written = {*(f"in-{kind}.tif" for kind in KINDS), "in-samples.tif", "in-fit.json"}
    assert {path.name for path in (here / "out").iterdir()} == written
    for kind in KINDS:
        found = opened(f"out/in-{kind}.tif")
        np.testing.assert_array_equal(
            found["values"], getattr(expected, kind.replace("-", "_")).astype(np.float32).astype(float)
        )
        assert found["place"] == opened("in.tif")["place"]
        assert found["units"] == ("1", "1", "K")
        assert found["tags"][1]["WAVELENGTH"] == "842"
        assert "WAVELENGTH" not in found["tags"][0]
        assert found["nodata"] == (GAP,) * COUNT
    filled = opened("out/in-filled.tif")
    assert filled["names"] == ("red", "nir", "filled 3")
    assert opened("out/in-std.tif")["names"][0] == "standard deviation of red"
    observed = ~np.isnan(values)
    np.testing.assert_array_equal(filled["values"][observed], values[observed])
    assert np.isfinite(filled["values"]).all()
    draws = opened("out/in-samples.tif")
    assert draws["names"][4] == "draw 2 of nir"
    np.testing.assert_array_equal(draws["values"][..., 4], expected.samples[1, ..., 1].astype(np.float32))
    about = json.loads((here / "out" / "in-fit.json").read_text())["about"]
    assert about["channels"] == ["red", "nir", "2"]
    assert about["fit"]["loglik"] == expected.fit.loglik
    assert about["fit"]["covariance_errors"]["covariance"]["shape"] == [COUNT, COUNT]
    np.testing.assert_array_equal(read_model("out/in-fit.json").covariance, expected.fit.model.covariance)
    assert f"{expected.fit.loglik:.4f} nats" in printed
    assert re.search(r"observed +156 +156 +156\b", printed)
    assert re.search(r"filled +12 +12 +12\b", printed)
    assert "correlation" in printed


def test_the_fit_of_channels_is_a_model_to_start_from_and_to_hold(here, run):
    bands()
    run("fill", "in.tif", "--out", "one", *ALL)
    held = ("--fixed", "range", "--fixed", "sigma", "--fixed", "covariance", "--noise-variance", "0.1")
    run("fill", "in.tif", "--out", "two", "--channels", "all", "--model", "one/in-fit.json", *held)
    one, two = (opened(f"{folder}/in-mean.tif")["values"] for folder in ("one", "two"))
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_the_model_by_default_is_that_of_one_band_whose_level_it_has_itself(here, run):
    np.save("in.npy", holed())
    run("fill", "in.npy", "--out", "out", "--channels", "all", "--fixed", "kappa", "--noise-variance", "4")
    expected = together(holed(), TensionSpline(kappa=0.5), fixed="kappa", noise_variance=4.0)
    assert expected.fit.covariates == ("row", "column")
    for kind in KINDS:
        np.testing.assert_array_equal(np.load(f"out/in-{kind}.npy"), getattr(expected, kind.replace("-", "_")))


def test_separately_every_channel_is_what_it_is_by_itself(here, run):
    values = bands()
    printed = run("fill", "in.tif", "--out", "out", *EACH, "--samples", "1")
    for k in range(COUNT):
        run("fill", "in.tif", "--out", f"one-{k}", "--channel", k, *QUICK, "--samples", "1")
        for kind in (*KINDS, "samples"):
            alone = opened(f"one-{k}/in-{kind}.tif")["values"][..., 0]
            np.testing.assert_array_equal(opened(f"out/in-{kind}.tif")["values"][..., k], alone)
        assert read_fit(f"out/in-fit-{k}.json").loglik == read_fit(f"one-{k}/in-fit.json").loglik
        assert f"channel {('red', 'nir', '2')[k]}: Matern" in printed
    assert not (here / "out" / "in-fit.json").exists()
    filled = opened("out/in-filled.tif")["values"]
    np.testing.assert_array_equal(filled[~np.isnan(values)], values[~np.isnan(values)])


def test_transparency_is_kept_and_what_was_filled_is_opaque(here, run):
    values, opacity = colours()
    Path("alone").mkdir()
    run("fill", "in.tif", "--out", "out", *ALL)
    found = opened("out/in-filled.tif")
    assert found["colours"] == ["red", "green", "blue", "alpha"]
    assert found["names"][:COUNT] == ("band of red", "band of green", "band of blue")
    np.testing.assert_array_equal(found["values"][~HOLE, :COUNT], values[~HOLE])
    np.testing.assert_array_equal(found["values"][..., 3], np.where(HOLE, 255, opacity))
    assert np.abs(found["values"][HOLE, :COUNT] - values[HOLE]).max() < 60.0
    assert opened("out/in-mean.tif")["colours"] == ["red", "green", "blue"]
    assert opened("out/in-std.tif")["colours"] == ["gray", "undefined", "undefined"]
    assert not np.isnan(read("out/in-filled.tif", channel="all").image).any()


def test_transparency_outside_the_domain_is_left(here, run):
    colours()
    domain = np.ones(SHAPE)
    domain[:, :6] = 0.0  # cuts through the hole
    np.save("domain.npy", domain)
    run("fill", "in.tif", "--out", "out", *ALL, "--domain", "domain.npy", "--samples", "1")
    found = opened("out/in-filled.tif")["values"]
    assert np.isnan(found[:, :6, :COUNT]).all()
    assert not np.isnan(found[:, 6:]).any()
    np.testing.assert_array_equal(found[..., 3] == 0, HOLE & (domain == 0.0))
    assert np.isnan(opened("out/in-samples.tif")["values"][:, :6]).all()


def test_a_picture_becomes_a_tiff_of_its_colours_with_rasterio_and_without(here, run, monkeypatch):
    opacity = np.where(HOLE, 0, 255).astype(np.uint8)
    opacity[0, 0] = 100
    iio.imwrite("photo.png", np.moveaxis(np.concatenate([counts(), opacity[np.newaxis]]), 0, -1))
    run("fill", "photo.png", "--out", "out", *ALL, "--samples", "2")
    values = np.moveaxis(counts(), 0, -1)
    found = opened("out/photo-filled.tif")
    assert found["colours"] == ["red", "green", "blue", "alpha"]
    assert found["dtype"] == "float64"
    np.testing.assert_array_equal(found["values"][~HOLE, :COUNT], values[~HOLE])
    np.testing.assert_array_equal(found["values"][..., 3], np.where(HOLE, 255, opacity))
    assert opened("out/photo-std.tif")["values"].shape == (*SHAPE, COUNT)
    assert np.load("out/photo-samples.npy").shape == (2, *SHAPE, COUNT)
    again = read("out/photo-filled.tif", channel="all", scale="none").image
    monkeypatch.setattr("sparsegmrf.io._rasterio.has", lambda _: False)
    np.testing.assert_array_equal(read("out/photo-filled.tif", channel="all", scale="none").image, again)
    np.testing.assert_array_equal(again, found["values"][..., :COUNT])


@pytest.mark.parametrize("dims", [("band", "lat", "lon"), ("lat", "lon", "band")])
def test_netcdf_keeps_the_dimension_of_bands_where_it_is(here, run, dims):
    xarray = require("xarray")
    values = series(dims=dims)
    run("fill", "in.nc", "--out", "out", *EACH, "--samples", "1")
    with xarray.open_dataset("in.nc") as given, xarray.open_dataset("out/in-filled.nc") as found:
        image = found["refl"]
        assert image.dims == dims
        assert image.attrs == given["refl"].attrs
        assert all(image[dim].equals(given[dim]) and image[dim].attrs == given[dim].attrs for dim in dims)
        np.testing.assert_array_equal(
            image.transpose("lat", "lon", "band").values[~np.isnan(values)], values[~np.isnan(values)]
        )
        assert not np.isnan(image).any()
        assert image.dtype == np.float32
    with xarray.open_dataset("out/in-std.nc") as found:
        assert found["refl_std"].dims == dims
        assert found["refl_std"].attrs == {"units": "1", "long_name": "standard deviation of reflectance"}
    with xarray.open_dataset("out/in-samples.nc") as found:
        assert found["refl"].dims == ("sample", *dims)


def test_four_dimensions_are_filled_at_the_position_that_is_selected(here, run, refused):
    xarray = require("xarray")
    dates = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[ns]")
    values = series(dims=("time", "band", "lat", "lon"), time=dates)
    assert "--select time=2024-01-01" in refused("fill", "in.nc", "--out", "out", *EACH)
    run("fill", "in.nc", "--out", "out", *EACH, "--select", "time=2024-01-02")
    with xarray.open_dataset("out/in-filled.nc") as found:
        assert found["refl"].dims == ("band", "lat", "lon")
        assert found["time"] == dates[1]
        observed = np.moveaxis(~np.isnan(values), -1, 0)
        np.testing.assert_array_equal(
            found["refl"].values[observed], np.moveaxis(values, -1, 0)[observed].astype(np.float32) + 1
        )


def test_dates_taken_as_channels_are_no_stack(here, run):
    xarray = require("xarray")
    dates = np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[ns]")
    series(dims=("time", "band", "lat", "lon"), time=dates)
    with xarray.open_dataset("in.nc") as data:
        data.isel(band=0, drop=True).to_netcdf("dates.nc")
    run("fill", "dates.nc", "--out", "out", *EACH)
    assert (here / "out" / "dates-fit-1.json").exists()


@pytest.mark.parametrize(("out", "library"), [("all.tif", "rasterio"), ("all.nc", "netCDF4"), ("all.zarr", "zarr")])
def test_one_file_holds_all_images_of_all_bands(here, run, out, library):
    require(library)
    bands()
    run("fill", "in.tif", "--out", "parts", *EACH)
    run("fill", "in.tif", "--out", out, *EACH)
    for k, kind in enumerate(KINDS):
        part = opened(f"parts/in-{kind}.tif")["values"]
        if out == "all.tif":
            found = opened(out)["values"][..., k * COUNT : (k + 1) * COUNT]
        else:
            found = np.asarray(read(out, variable=kind.replace("-", "_"), channel="all").image)
        np.testing.assert_array_equal(found, part)
    if out == "all.tif":
        assert opened(out)["names"][:4] == ("filled red", "filled nir", "filled 3", "mean red")


def test_another_format_keeps_the_place_and_the_names_of_bands(here, run):
    xarray, rasterio = require("xarray"), require("rasterio")
    require("netCDF4")
    colours()
    run("fill", "in.tif", "--out", "out", *EACH, "--format", "nc")
    with xarray.open_dataset("out/in-filled.nc", decode_coords="all") as found:
        assert found["filled"].dims == ("band", "y", "x")
        assert found["band"].values.tolist() == ["band of red", "band of green", "band of blue"]
        assert rasterio.CRS.from_wkt(found["spatial_ref"].attrs["crs_wkt"]) == where()["crs"]
        assert found["x"].values[0] == 5e5 + 15.0
    run("fill", "out/in-filled.nc", "--variable", "filled", "--out", "back", *EACH, "--format", "tif")
    assert opened("back/in-filled-filled.tif")["names"] == ("band of red", "band of green", "band of blue")
    assert opened("back/in-filled-filled.tif")["place"][1] == where()["transform"]


def test_packed_bands_come_back_exactly_and_opaque_is_opaque(here, run, refused):
    values, _ = colours()
    run("fill", "in.tif", "--out", "out", *EACH, "--packed")
    found = read("out/in-filled.tif", channel="all")
    np.testing.assert_array_equal(found.image[~HOLE], values[~HOLE])
    assert not np.isnan(found.image).any()
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(opened("out/in-filled.tif")["values"][HOLE, 3], 255)
    bands("scaled.tif", scales=(1.0, 0.5, 1.0))
    said = refused("fill", "scaled.tif", "--out", "two", *EACH, "--packed")
    assert "packed must be left out where bands have scales of their own" in said
    run("fill", "scaled.tif", "--out", "two", *EACH)
    expected = holed() * [1.0, 0.5, 1.0]
    found = opened("two/scaled-filled.tif")["values"]
    np.testing.assert_array_equal(found[~np.isnan(expected)], expected[~np.isnan(expected)])


def test_optimized_bands_keep_their_colours(here, run):
    colours()
    run("fill", "in.tif", "--out", "out", *EACH, "--cog")
    with require("rasterio").open("out/in-filled.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert [each.name for each in file.colorinterp] == ["red", "green", "blue", "alpha"]
        assert file.descriptions[0] == "band of red"


def test_cubes_keep_their_third_axis(here, run):
    fits = require("astropy.io.fits")
    header = fits.Header({"CTYPE1": "RA---TAN", "CTYPE3": "WAVE", "CRVAL3": 5000.0, "CDELT3": 2.5, "BUNIT": "Jy"})
    fits.PrimaryHDU(np.moveaxis(holed(), -1, 0), header).writeto("in.fits")
    run("fill", "in.fits", "--out", "out", *EACH, "--samples", "2")
    with fits.open("out/in-filled.fits") as file:
        assert file[0].data.shape == (COUNT, *SHAPE)
        assert (file[0].header["CTYPE3"], file[0].header["CRVAL3"], file[0].header["BUNIT"]) == ("WAVE", 5000.0, "Jy")
        observed = ~np.isnan(holed())
        np.testing.assert_array_equal(np.moveaxis(file[0].data, 0, -1)[observed], holed()[observed])
    assert fits.getdata("out/in-samples.fits").shape == (2, COUNT, *SHAPE)
    run("fill", "in.fits", "--out", "two", *QUICK, "--channels", "0,2", "--separately")
    with fits.open("two/in-std.fits") as file:
        assert file[0].data.shape == (2, *SHAPE)
        assert "CTYPE3" not in file[0].header
        assert file[0].header["CTYPE1"] == "RA---TAN"
    run("fill", "in.fits", "--out", "all.fits", *EACH)
    assert fits.getdata("all.fits", "PREDICTIVE_STD").shape == (COUNT, *SHAPE)


def test_slices_stay_a_volume_where_they_lie(here, run, refused):
    nibabel = require("nibabel")
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(holed(), affine), "in.nii")
    run("fill", "in.nii", "--out", "out", *QUICK, "--channels", "1,2", "--separately", "--samples", "2")
    found = nibabel.load("out/in-filled.nii")
    observed = ~np.isnan(holed()[..., 1:])
    np.testing.assert_array_equal(found.get_fdata()[observed], holed()[..., 1:][observed])
    assert found.affine[2, 3] == 5.0
    assert nibabel.load("out/in-samples.nii").shape == (*SHAPE, 2, 2)
    assert "out must be a directory" in refused("fill", "in.nii", "--out", "all.nii", *EACH)
    said = refused("fill", "in.nii", "--out", "two", *QUICK, "--channels", "0,2", "--separately")
    assert "channels must be slices side by side" in said


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_arrays_have_their_channels_where_they_were(here, run, axis):
    np.save("in.npy", np.moveaxis(holed(), -1, axis))
    options = ("--channel-axis", axis, "--channels", "2,0", "--separately", "--samples", "2")
    run("fill", "in.npy", "--out", "out", *QUICK, *options)
    found = np.moveaxis(np.load("out/in-filled.npy"), axis, -1)
    expected = holed()[..., [2, 0]]
    np.testing.assert_array_equal(found[~np.isnan(expected)], expected[~np.isnan(expected)])
    assert np.moveaxis(np.load("out/in-samples.npy"), 1 + axis, -1).shape == (2, *SHAPE, 2)
    assert {path.name for path in (here / "out").glob("*.json")} == {"in-fit-0.json", "in-fit-2.json"}
    run("fill", "in.npy", "--out", "all.npz", *QUICK, *options)
    np.testing.assert_array_equal(np.load("all.npz")["filled"], np.load("out/in-filled.npy"))


def test_a_mark_is_that_of_single_channels_and_a_mask_of_all(here, run):
    stored = np.moveaxis(counts(np.int16), 0, -1).astype(float)
    stored[3, 4, 1] = stored[8, 2, 1] = 0.0
    np.save("in.npy", stored)
    np.save("mask.npy", HOLE.astype(float))
    run("fill", "in.npy", "--out", "out", *EACH, "--nodata", "0", "--mask", "mask.npy")
    found = np.load("out/in-filled.npy")
    changed = found != stored
    np.testing.assert_array_equal(changed[..., 0], HOLE)
    expected = HOLE.copy()
    expected[3, 4] = expected[8, 2] = True
    np.testing.assert_array_equal(changed[..., 1], expected)


@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 1)])
def test_an_image_of_one_channel_is_filled_as_without_the_option(here, run, shape):
    np.save("in.npy", holed()[..., 0].reshape(shape))
    run("fill", "in.npy", "--out", "out", *ALL)
    np.save("plane.npy", holed()[..., 0])
    run("fill", "plane.npy", "--out", "one", *QUICK)
    np.testing.assert_array_equal(np.load("out/in-mean.npy"), np.load("one/plane-mean.npy"))
    assert read_fit("out/in-fit.json").loglik == read_fit("one/plane-fit.json").loglik


def test_counts_of_each_channel_have_their_risks(here, run):
    np.save("cases.npy", np.random.default_rng(0).poisson(4.0, (*SHAPE, 2)).astype(float))
    model = ("--model", "matern", "--fixed", "range", "--fixed", "sigma", "--likelihood", "poisson")
    options = ("--channels", "all", "--separately", "--exceedance", "5", *model)
    run("fill", "cases.npy", "--out", "out", *options)
    run("fill", "cases.npy", "--out", "one", "--channel", "1", "--exceedance", "5", *model)
    for name in ("predictive-mean", "lower", "exceedance"):
        np.testing.assert_array_equal(np.load(f"out/cases-{name}.npy")[..., 1], np.load(f"one/cases-{name}.npy"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--channels", "all", "--model", "best"], "model must be one field for channels that are filled together"),
        (["--channels", "all", "--likelihood", "poisson"], "with --separately each is filled by itself"),
        (["--channels", "all", "--parameters", "integrate"], "parameters must be plug-in for channels"),
        (["--channels", "all", "--precision", "single"], "precision must be double for channels"),
        (["--channels", "all", "--fixed", "covariance"], "fixed must not name covariance with model tension-spline"),
        (["--channels", "all", "--channel", "1"], "channel and channels exclude each other, got 1 and all"),
        (["--channels", "all", "--grey"], "grey and channels exclude each other"),
        (["--channels", "0,3"], "channels must be numbers from 0 to 2 for in.tif, got 3"),
        (["--channels", "0,0"], "channels must be different numbers, got 0,0"),
        (["--channels", "red"], "channels must be all, or numbers from 0 with commas, got red"),
        (["--channels", "all", "--format", "png"], "format must end in .tif, .tiff"),
        (["--channels", "all", "--out", "all.fits"], "out must end in"),
        (["--channels", "all", "--out", "all.tif", "--packed"], "packed must be left out of a GeoTIFF"),
        (["--channels", "all", "--out", "in.tif"], "is an input"),
        (["--channels", "all", "--mask", "small.npy"], "mask must have the shape of the image"),
    ],
)
def test_what_does_not_go_is_refused_before_the_work(here, refused, monkeypatch, arguments, message):
    bands()
    np.save("small.npy", np.zeros((3, 3)))

    def refuse(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr("sparsegmrf.cli._fill_options.fill_gaps", refuse)
    monkeypatch.setattr("sparsegmrf.cli._fill_channels.fill_gaps", refuse)
    out = [] if "--out" in arguments else ["--out", "out"]
    assert message in refused("fill", "in.tif", *out, *arguments)


@pytest.mark.parametrize("how", [(), ("--separately",)])
def test_the_figure_has_a_row_for_each_of_the_first_channels(tmp_path, monkeypatch, how):
    drawn = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sparsegmrf.cli._fill.write_figure", lambda path, figure: drawn.append((path.name, figure)))
    image = np.concatenate([holed(), holed() + np.arange(12.0)[:, None, None], holed()[..., ::-1]], axis=-1)[..., :7]
    np.save("in.npy", image + np.random.default_rng(0).standard_normal(image.shape))
    held = ("--noise-variance", "1", "--model", "car", "--fixed", "rho", "--fixed", "tau")
    numbers = "all" if how else "5,4"
    assert main(["fill", "in.npy", "--out", "out", "--channels", numbers, *held, *how]) == 0
    ((name, figure),) = drawn
    titles = [each.get_title() for each in figure.axes if each.get_title()]
    assert name == "in-fill.png"
    assert titles[:2] == (["channel 0, 7.1% missing (white)", "mean of 0"] if how else [titles[0], "mean of 5"])
    assert len(titles) == (18 if how else 6)


@pytest.mark.parametrize("how", [ALL, EACH])
def test_bands_keep_their_own_units_in_figure_table_and_fits(here, run, monkeypatch, how):
    drawn = []
    monkeypatch.setattr("sparsegmrf.cli._fill.write_figure", lambda path, figure: drawn.append(figure))
    bands()
    printed = run("fill", "in.tif", "--out", "out", *how)
    labels = [bar.get_ylabel() for each in drawn[0].axes for bar in each.child_axes]
    assert labels == ["1"] * 6 + ["K"] * 3
    kept = ["1", "1", "K"] if how is EACH else ["1, 1, K"]
    assert [line.split(maxsplit=1)[1].strip() for line in printed.splitlines() if line.split()[:1] == ["unit"]] == kept
    fits = sorted((here / "out").glob("in-fit*.json"))
    assert [json.loads(each.read_text())["about"]["unit"] for each in fits] == kept


@pytest.mark.parametrize(
    ("make", "image", "count", "suffixes"),
    [
        (bands, "in.tif", 1, ".tif, .tiff, .nc, .nc4, .cdf, .zarr, .npy, .npz"),
        (bands, "in.tif", 4, ".tif, .tiff, .nc, .nc4, .cdf, .zarr, .npz"),
        (series, "in.nc", 4, ".nc, .nc4, .cdf, .zarr, .tif, .tiff, .npz"),
    ],
)
def test_formats_that_do_not_hold_channels_are_refused_with_all_that_do(here, make, image, count, suffixes):
    make()
    raster = read(image, channel="all")
    with pytest.raises(ArgumentError, match=re.escape(f"must end in {suffixes} to hold")):
        check_layers("all.png", raster, count)
    for suffix in suffixes.split(", "):
        check_layers(f"all{suffix}", raster, count)


def test_files_that_are_there_are_told_before_the_work(here, refused):
    bands()
    Path("in-fit-1.json").write_text("old")
    assert "in-fit-1.json exists already" in refused("fill", "in.tif", "--out", ".", *EACH)
    assert Path("in-fit-1.json").read_text() == "old"


def test_channels_beyond_memory_are_refused_and_nothing_is_written(here, refused, monkeypatch):
    bands()
    monkeypatch.setattr("sparsegmrf._memory.available_bytes", lambda *_: 50_000)
    said = refused("fill", "in.tif", "--out", "out", *ALL)
    assert "GB are available" in said
    assert "--separately takes the memory of one channel at a time" in said
    assert not Path("out").exists()


def test_interrupt_while_writing_leaves_nothing(here, capsys, monkeypatch):
    bands()
    written = []

    def interrupted(path, *arguments, **options):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write_layers(path, *arguments, **options)

    monkeypatch.setattr("sparsegmrf.cli._channels_out.write_layers", interrupted)
    assert main(["fill", "in.tif", "--out", "out", *EACH]) == 130
    assert len(written) == 1
    assert [path.name for path in here.iterdir()] == ["in.tif"]
