"""What NetCDF and CF call missing is missing, in a file and in a DataArray, decoded or not."""

import numpy as np
import pytest

from sparsegmrf import fill
from sparsegmrf._cf import missing_in
from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo import read_netcdf
from tests.conftest import require

SHAPE = (12, 15)
HOLE = (slice(3, 6), slice(4, 9))


@pytest.fixture
def xarray():
    require("netCDF4")
    return require("xarray")


@pytest.fixture
def hole():
    missing = np.zeros(SHAPE, dtype=bool)
    missing[HOLE] = True
    return missing


def scene():
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] / 4.0
    return 280.0 + 5.0 * np.sin(rows) * np.cos(columns) + 0.3 * np.random.default_rng(0).standard_normal(SHAPE)


def variable(path, stored, fill_value=None, **attributes):
    """Write one variable as it is stored."""
    netcdf = require("netCDF4")
    with netcdf.Dataset(path, "w") as file:
        for name, size in zip("yx", stored.shape, strict=True):
            file.createDimension(name, size)
        written = file.createVariable("z", stored.dtype, ("y", "x"), fill_value=fill_value)
        written.set_auto_maskandscale(False)
        written.setncatts(attributes)
        written[:] = stored


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("i2", -32767),
        ("u2", 65535),
        ("i4", -2147483647),
        ("i8", -9223372036854775806),
        ("f4", 9.969209968386869e36),
        ("f8", 9.969209968386869e36),
    ],
)
def test_value_of_the_format_itself_is_missing_where_the_variable_names_none(xarray, hole, tmp_path, dtype, value):
    stored = np.where(hole, np.array(value, dtype), scene().astype(dtype))
    variable(tmp_path / "in.nc", stored)
    image = read_netcdf(tmp_path / "in.nc").image
    np.testing.assert_array_equal(np.isnan(image), hole)
    np.testing.assert_array_equal(image.values[~hole], stored[~hole])
    with xarray.open_dataset(tmp_path / "in.nc") as data:
        assert fill(data["z"], noise_variance=0.1).fit.n_observed == np.count_nonzero(~hole)
    variable(tmp_path / "named.nc", stored, fill_value=np.array(1, dtype))
    assert not np.isnan(read_netcdf(tmp_path / "named.nc").image).any()


def test_bytes_have_no_fill_value_of_the_format(xarray, tmp_path):
    stored = np.array([[-127, 5, 7], [1, 2, -128]], dtype=np.int8)
    variable(tmp_path / "in.nc", stored)
    np.testing.assert_array_equal(read_netcdf(tmp_path / "in.nc").image, stored)


@pytest.mark.parametrize(
    "attributes",
    [
        {"valid_range": np.array([0, 30000], "i2")},
        {"valid_min": np.int16(0), "valid_max": np.int16(30000)},
        {"valid_range": np.array([280.0, 580.0])},
    ],
)
def test_valid_range_is_that_of_stored_values_unless_its_type_says_otherwise(xarray, hole, tmp_path, attributes):
    stored = np.random.default_rng(0).integers(10, 3000, SHAPE).astype(np.int16)
    stored[hole] = -7
    stored[0, :3] = 30001
    missing = hole | (stored == 30001)
    variable(tmp_path / "in.nc", stored, fill_value=-32768, scale_factor=0.01, add_offset=280.0, **attributes)
    source = read_netcdf(tmp_path / "in.nc")
    np.testing.assert_array_equal(np.isnan(source.image), missing)
    assert not set(attributes) & set(source.image.attrs)
    with xarray.open_dataset(tmp_path / "in.nc") as data:
        result = fill(data["z"], noise_variance=0.1)
        assert result.fit.n_observed == np.count_nonzero(~missing)
        assert not set(attributes) & set(result.filled.attrs)
    source.write(tmp_path / "out.nc", result.filled)
    with require("netCDF4").Dataset(tmp_path / "out.nc") as file:
        assert not set(attributes) & set(file["z"].ncattrs())
        written = file["z"][:]
    assert np.ma.count_masked(written) == 0
    np.testing.assert_array_equal(written[~missing], (stored * 0.01 + 280.0)[~missing])


def test_range_and_fill_value_of_unsigned_bytes_are_unsigned(xarray, tmp_path):
    stored = np.tile(np.array([[0, 12], [130, 200], [201, 255]], dtype=np.uint8), (4, 6))
    attributes = {"_Unsigned": "true", "valid_range": np.array([0, -56], dtype=np.int8)}
    variable(tmp_path / "in.nc", stored.view(np.int8), fill_value=np.int8(-126), **attributes)
    expected = np.tile([[False, False], [True, False], [True, True]], (4, 6))
    np.testing.assert_array_equal(np.isnan(read_netcdf(tmp_path / "in.nc").image), expected)
    with xarray.open_dataset(tmp_path / "in.nc") as data:
        assert np.isnan(data["z"].values).sum() == 24  # the range is left to us
        assert fill(data["z"], noise_variance=1.0).fit.n_observed == 72
    with (
        xarray.open_dataset(tmp_path / "in.nc", mask_and_scale=False) as data,
        pytest.raises(ArgumentError, match=r"_Unsigned.*decode first"),
    ):
        fill(data["z"])
    source = read_netcdf(tmp_path / "in.nc")
    source.write(tmp_path / "packed.nc", source.image, packed=True)
    with require("netCDF4").Dataset(tmp_path / "packed.nc") as file:
        file.set_auto_maskandscale(False)
        assert (file["z"].dtype, file["z"].getncattr("_FillValue")) == (np.uint8, 130)  # -126
        np.testing.assert_array_equal(file["z"][:], np.where(expected, 130, stored))


def test_several_missing_values_are_all_missing(xarray, hole, tmp_path):
    stored = np.where(hole, -1, scene()).astype(np.int16)
    stored[0, 0] = -2
    variable(tmp_path / "in.nc", stored, missing_value=np.array([-1, -2], dtype=np.int16))
    np.testing.assert_array_equal(np.isnan(read_netcdf(tmp_path / "in.nc").image), stored < 0)


def test_number_told_in_more_digits_than_are_stored_is_meant_as_it_is_stored():
    stored = np.array([-9999.9, 40.1, 40.2], dtype=np.float32)
    found = missing_in(stored, {"_FillValue": -9999.9, "valid_max": 40.1}, netcdf=False)
    np.testing.assert_array_equal(found, [True, False, True])


@pytest.mark.parametrize(
    "attributes",
    [
        {"_FillValue": -9999.0},
        {"missing_value": [-1.0, -9999.0]},
        {"_FillValue": np.float32(-9999.0), "scale_factor": 1.0, "add_offset": 0.0},
        {"valid_range": (0, 1000)},
        {"valid_min": 0.0},
    ],
)
@pytest.mark.parametrize("dtype", ["f8", "f4", "i2"])
def test_attributes_of_a_data_array_mark_its_missing_pixels(xarray, hole, attributes, dtype):
    values = np.where(hole, -9999.0, scene()).astype(dtype)
    image = xarray.DataArray(values, dims=("y", "x"), attrs={"units": "K", **attributes})
    before = image.copy(deep=True)
    result = fill(image, noise_variance=0.1)
    assert image.identical(before)
    expected = fill(np.where(hole, np.nan, values), noise_variance=0.1)
    np.testing.assert_array_equal(result.filled, expected.filled)
    np.testing.assert_array_equal(result.filled.values[~hole], values[~hole])
    assert result.filled.attrs == {"units": "K"}
    corner = np.zeros(SHAPE, dtype=bool)
    corner[0, 0] = True
    for mask, count in ((corner, 1), (None, 0)):
        assert fill(image, mask=mask, noise_variance=0.1).fit.n_observed == values.size - hole.sum() - count


def test_range_that_was_that_of_packed_values_says_nothing_of_values_computed_from_them(xarray):
    image = xarray.DataArray(scene(), dims=("y", "x"), attrs={"valid_range": np.array([1000, 30000], dtype=np.int16)})
    assert fill(image, noise_variance=0.1).fit.n_observed == image.size


@pytest.mark.parametrize("attributes", [{"scale_factor": 0.1}, {"add_offset": 273.15}])
def test_values_that_are_not_decoded_are_refused_with_the_remedy(xarray, attributes):
    with pytest.raises(ArgumentError, match=rf"be decoded, got the attribute {next(iter(attributes))}.*first"):
        fill(xarray.DataArray(scene(), dims=("y", "x"), attrs=attributes))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"_FillValue": "none"}, "_FillValue of the image must be a number, got 'none'"),
        ({"valid_range": [1.0]}, "valid_range of the image must be two numbers, got 1"),
        ({"valid_min": [1.0, 2.0]}, "valid_min of the image must be one number, got 2"),
    ],
)
def test_attribute_that_is_no_number_is_named(xarray, attributes, message):
    with pytest.raises(ArgumentError, match=message):
        fill(xarray.DataArray(scene(), dims=("y", "x"), attrs=attributes))
