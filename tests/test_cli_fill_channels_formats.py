"""``sparsegmrf fill --channels`` by format: bands, colours, transparency and places stay what they are."""

import re
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from sparsegmrf.errors import ArgumentError
from sparsegmrf.io import read, write
from sparsegmrf.io._layers import check_layers
from tests.conftest import require
from tests.files_of_channels import (
    ALL,
    COUNT,
    EACH,
    QUICK,
    bands,
    colours,
    counts,
    holed,
    opened,
    series,
)
from tests.kinds_of_files import HOLE, SHAPE, where

KINDS = ("filled", "mean", "std", "predictive-std")


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


def test_packed_bands_come_back_exactly_and_opaque_is_opaque(here, run):
    values, _ = colours()
    run("fill", "in.tif", "--out", "out", *EACH, "--packed")
    found = read("out/in-filled.tif", channel="all")
    np.testing.assert_array_equal(found.image[~HOLE], values[~HOLE])
    assert not np.isnan(found.image).any()
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(opened("out/in-filled.tif")["values"][HOLE, 3], 255)


def test_bands_of_different_scales_are_packed_each_by_its_own(here, run, refused):
    scales = (1.0, 0.5, 0.013)
    expected = bands("scaled.tif", scales=scales)
    observed = ~np.isnan(expected)
    run("fill", "scaled.tif", "--out", "plain", *EACH)
    np.testing.assert_allclose(opened("plain/scaled-filled.tif")["values"][observed], expected[observed])
    run("fill", "scaled.tif", "--out", "out", *EACH, "--packed", "--samples", "2", "--cog")
    found = read("out/scaled-filled.tif", channel="all")
    np.testing.assert_array_equal(found.image[observed], expected[observed])
    assert tuple(each.scaling[0] for each in found.notes) == scales
    assert found.dtype == np.int16
    assert not np.isnan(found.image).any()
    for kind in ("std", "mean"):
        plain, packed = (read(f"{each}/scaled-{kind}.tif", channel="all").image for each in ("plain", "out"))
        steps = np.ptp(plain, axis=(0, 1)) / 60000 if kind == "std" else np.array(scales)
        assert (np.abs(packed - plain) <= 0.51 * steps + 1e-6 * np.abs(plain)).all()
    with require("rasterio").open("out/scaled-samples.tif") as file:
        assert file.scales == 2 * scales
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    run("fill", "scaled.tif", "--out", "all.tif", *EACH, "--packed")
    np.testing.assert_array_equal(read("all.tif", channel=[0, 1, 2]).image[observed], expected[observed])
    said = refused("fill", "scaled.tif", "--out", "two", *EACH, "--packed", "--format", "nc")
    assert "packed must be left out where bands have scales of their own" in said
    assert "let format end in .tif, which has a scale for each band" in said
    source = read("scaled.tif", channel="all")
    write("again.tif", source, packed=True)
    np.testing.assert_array_equal(read("again.tif", channel="all").image, source.image)
    with pytest.raises(ArgumentError, match=r"let path end in \.tif"):
        write("again.nc", source, packed=True)


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
