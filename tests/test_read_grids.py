"""Grids with names: groups, further dimensions, coordinates in no order, categories, Zarr, and files behind a URL."""

import warnings

import numpy as np
import pytest

from sparsegmrf import fill
from sparsegmrf.errors import ArgumentError, DataWarning, FileError
from sparsegmrf.geo import NetCdf, read_netcdf, read_nifti, read_zarr
from sparsegmrf.inference._around import offer_around
from sparsegmrf.inference._labels import Labels
from sparsegmrf.io import read, write
from sparsegmrf.models import Matern
from tests.conftest import require
from tests.kinds_of_files import HOLE, SHAPE, gappy, scene, variable, where
from tests.kinds_of_files import raster as raster_of
from tests.served import served


@pytest.fixture
def xarray():
    require("netCDF4")
    return require("xarray")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.random.default_rng(0).permutation(14) * 1.0, "values out of order"),
        ((5417729.78 + 0.3 * np.arange(14)).astype(np.float32), "a value twice in a row"),
        (np.where(np.arange(14) == 5, np.nan, np.arange(14.0)), "NaN or infinity at position 5"),
    ],
)
def test_coordinates_in_no_order_are_refused_in_memory_and_in_files(xarray, tmp_path, values, message):
    image = xarray.DataArray(scene(), {"y": np.arange(12.0), "x": values}, ("y", "x"), "z")
    with pytest.raises(ArgumentError, match=rf"in order along x, got {message}.*sortby\('x'\)"):
        fill(image, model=Matern(), fixed=("range", "sigma"), noise_variance=1.0)
    image.to_netcdf(tmp_path / "in.nc")
    with pytest.raises(ArgumentError, match=f"in order along x, got {message}"):
        read(tmp_path / "in.nc")


@pytest.mark.parametrize(
    "values",
    [np.round(np.arange(14) / 3, 4), (np.arange(14) * 10.0 + 240.0) % 360.0, np.arange(14)[::-1], np.arange(14)],
)
def test_coordinates_in_order_pass_rounded_or_around_the_globe(xarray, values):
    image = xarray.DataArray(scene(), {"lat": np.arange(12.0), "lon": values}, ("lat", "lon"), "z")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Labels.of(image) is not None


def test_uneven_coordinates_are_told(xarray, tmp_path):
    jump = np.arange(12.0) + 88.0 * (np.arange(12) > 6)
    image = xarray.DataArray(scene(), {"y": jump, "x": np.arange(14.0)}, ("y", "x"), "z")
    image.to_netcdf(tmp_path / "in.nc")
    with pytest.warns(
        DataWarning, match="coordinate y is not evenly spaced: 89 after position 6 where most steps are 1"
    ):
        read(tmp_path / "in.nc")


def test_meridian_that_is_there_twice_is_told(xarray):
    image = xarray.DataArray(np.zeros((12, 37)), {"lon": np.arange(37) * 10.0}, ("lat", "lon"))
    assert "lon has its first meridian twice" in offer_around(Matern(), Labels(image))[0]
    assert "lon goes around 360 degrees" in offer_around(Matern(), Labels(image[:, :-1]))[0]


def test_categories_are_told(xarray, tmp_path):
    array = variable(scene(0, 5, np.int8))
    array.attrs |= {"flag_values": np.arange(6, dtype=np.int8), "flag_meanings": "sea land ice"}
    array.to_netcdf(tmp_path / "in.nc")
    with pytest.warns(DataWarning, match=r"t of in\.nc holds categories \(sea land ice\)"):
        read(tmp_path / "in.nc")
    require("rasterio")
    raster_of(
        tmp_path / "in.tif",
        scene(0, 5, np.uint8),
        after=lambda file: file.write_colormap(1, {0: (255, 0, 0)}),
        **where(),
    )
    with pytest.warns(DataWarning, match=r"band 0 of in\.tif has a table of colours"):
        read(tmp_path / "in.tif")


def test_one_of_four_dimensions_is_a_channel_and_the_others_are_selected(xarray, tmp_path):
    values = np.random.default_rng(0).standard_normal((3, 2, *SHAPE))
    dates = np.array(["2024-01-01T06", "2024-01-01T18", "2024-01-02T06"], dtype="datetime64[ns]")
    dims = ("time", "level", "lat", "lon")
    array = variable(values, dims, time=dates, level=[850.0, 500.0])
    for order in (dims, ("lon", "time", "lat", "level")):
        array.transpose(*order).to_netcdf(tmp_path / "in.nc")
        expected = values if order == dims else np.swapaxes(values, 2, 3)
        found = read_netcdf(tmp_path / "in.nc", index="all", select={"level": 500})
        np.testing.assert_array_equal(found.image, np.moveaxis(expected[:, 1], 0, -1))
        found = read_netcdf(tmp_path / "in.nc", select={"level": "850", "time": "2024-01-02"})
        np.testing.assert_array_equal(found.image, expected[2, 0])
        assert found.place == {"level": 0, "time": 2}
    with pytest.raises(ArgumentError, match="choose a position along the others by select, such as --select"):
        read_netcdf(tmp_path / "in.nc", index=0)
    with pytest.raises(ArgumentError, match=r"for time, got 2024-01-01, which 2 positions have"):
        read_netcdf(tmp_path / "in.nc", index=0, select={"time": "2024-01-01"})


def test_variables_of_groups_have_the_coordinates_above_them(xarray, tmp_path):
    with require("netCDF4").Dataset(tmp_path / "in.nc", "w") as file:
        for name, size in zip(("lat", "lon"), SHAPE, strict=True):
            file.createDimension(name, size)
            file.createVariable(name, "f8", (name,))[:] = np.arange(size) + 0.5
        for name in ("a", "b"):
            file.createGroup(name).createVariable("z", "f8", ("lat", "lon"))[:] = scene(seed=len(name))
    with pytest.raises(ArgumentError, match=r"variable must be one of a/z, b/z of in\.nc, got none"):
        read(tmp_path / "in.nc")
    found = read(tmp_path / "in.nc", variable="b/z")
    assert found.image["lon"].values[1] == 1.5
    assert found.spacing.unit == "km"


def test_zeros_of_zarr_format_2_are_measured_and_told(xarray, tmp_path):
    zarr = require("zarr")
    rain = np.where(HOLE, 0, scene(1, 9, np.int16)).astype(np.int16)
    group = zarr.open_group(tmp_path / "in.zarr", mode="w", zarr_format=2)
    attributes = {"_ARRAY_DIMENSIONS": ["y", "x"]}
    group.create_array("rain", shape=SHAPE, dtype="int16", fill_value=0, attributes=attributes)[:] = rain
    with pytest.warns(DataWarning, match=f"{HOLE.sum()} values of rain in in.zarr are 0.*pass --nodata=0"):
        found = read(tmp_path / "in.zarr")
    np.testing.assert_array_equal(found.image, rain)
    array = zarr.create_array(tmp_path / "alone.zarr", shape=SHAPE, dtype="f8", fill_value=-1.0)
    array[:] = scene()
    assert isinstance(read(tmp_path / "alone.zarr"), NetCdf)
    np.testing.assert_array_equal(read_zarr(tmp_path / "alone.zarr").image, scene().astype(float))
    with pytest.raises(FileError, match=r"must be an existing Zarr store, got .*nowhere\.zarr"):
        read_zarr(tmp_path / "nowhere.zarr")


def test_slices_and_volumes_of_nifti_are_chosen(tmp_path):
    nibabel = require("nibabel")
    values = np.random.default_rng(0).standard_normal((*SHAPE, 3, 2))
    nibabel.save(nibabel.Nifti1Image(values, np.diag([2.0, 1.5, 4.0, 1.0])), tmp_path / "in.nii")
    source = read(tmp_path / "in.nii", channel=2, select={"t": 1})
    np.testing.assert_array_equal(source.image, values[:, :, 2, 1])
    assert source.affine[2, 3] == 8.0
    assert (source.spacing.height, source.spacing.width) == (2.0, 1.5)
    assert not source.same_ground(read(tmp_path / "in.nii", channel=1, select={"t": 1}))
    with pytest.raises(ArgumentError, match="has 2 volumes; choose one by select"):
        read_nifti(tmp_path / "in.nii", plane=0)
    with pytest.raises(ArgumentError, match="select must be t=0 to t=1"):
        read_nifti(tmp_path / "in.nii", plane=0, select={"t": 2})
    (tmp_path / "text.nii").write_text("no brain")
    with pytest.raises(FileError, match=r"must be a NIfTI file, got .*text\.nii, which cannot be read"):
        read(tmp_path / "text.nii")


def test_rasters_behind_a_url_are_read(tmp_path, monkeypatch):
    require("rasterio")
    raster_of(tmp_path / "in.tif", np.where(HOLE, np.float32(-1.0), scene()), nodata=-1.0, **where())
    with served(tmp_path, monkeypatch) as address:
        for slashes in ("//", "/"):  # a pathlib.Path has one
            found = read(f"http:{slashes}{address}/in.tif")
            np.testing.assert_array_equal(found.image, gappy(scene()))
        with pytest.raises(FileError, match=r"must be a raster, got http.*nowhere\.tif, which cannot be read"):
            read(f"http://{address}/nowhere.tif")
    write(tmp_path / "out.tif", found)
    assert read(tmp_path / "out.tif").same_ground(found)
