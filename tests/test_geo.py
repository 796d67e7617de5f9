"""GeoTIFF, NetCDF and DataArrays: pixels, gaps and what places them on the ground survive reading, filling, writing."""

import subprocess
import sys

import numpy as np
import pytest

from sparsegmrf import fill
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.geo import GeoTiff, read_geotiff, read_netcdf
from sparsegmrf.inference import spacing_of
from tests.conftest import require

SHAPE = (12, 15)


@pytest.fixture
def rasterio():
    return require("rasterio")


@pytest.fixture
def xarray():
    require("netCDF4")
    return require("xarray")


@pytest.fixture
def ground(rasterio):
    return {"crs": rasterio.CRS.from_epsg(32633), "transform": rasterio.Affine(30.0, 0.0, 5e5, 0.0, -20.0, 5e6)}


def scene(seed=0):
    """A smooth image with noise, and where it is missing."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] / 4.0
    missing = rng.random(SHAPE) < 0.1
    missing[4:8, 5:9] = True
    return 280.0 + 5.0 * np.sin(rows) * np.cos(columns) + 0.3 * rng.standard_normal(SHAPE), missing


def write(rasterio, path, bands, **profile):
    bands = np.asarray(bands)
    count, height, width = bands.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=bands.dtype, **profile
    ) as target:
        target.write(bands)
        yield target


@pytest.fixture
def packed(rasterio, ground, tmp_path):
    """Two bands of int16 in tenths of a kelvin above 250, -9999 where there are none; their values, gaps as NaN."""
    image, missing = scene()
    stored = np.where(missing, -9999, np.rint((image - 250.0) / 0.1)).astype(np.int16)
    for target in write(rasterio, tmp_path / "in.tif", [stored, stored[::-1]], nodata=-9999, **ground):
        target.scales, target.offsets, target.units = (0.1, 0.1), (250.0, 250.0), ("K", "K")
        target.set_band_description(1, "surface")
        target.update_tags(AREA_OR_POINT="Point")
    return tmp_path / "in.tif", np.where(missing, np.nan, stored * 0.1 + 250.0)


def test_band_is_read_in_its_unit_with_nan_for_no_data(packed):
    path, values = packed
    for band, expected in ((0, values), (1, values[::-1])):
        read = read_geotiff(path, band=band)
        np.testing.assert_array_equal(read.image, expected)
        assert (read.band, read.unit, read.nodata, read.dtype) == (band, "K", -9999.0, np.int16)
    assert read_geotiff(path, band=0).name == "surface"


def test_filled_geotiff_stands_where_the_gappy_one_stood(rasterio, packed, ground, tmp_path):
    source = read_geotiff(packed[0], band=0)
    result = fill(source.image, n_samples=3, rng=0)
    source.write(tmp_path / "filled.tif", result.filled, "filled surface")
    with rasterio.open(tmp_path / "filled.tif") as file:
        assert (file.crs, file.transform) == (ground["crs"], ground["transform"])
        assert (file.nodata, file.units, file.descriptions) == (-9999.0, ("K",), ("filled surface",))
        assert (file.scales, file.offsets, file.dtypes) == ((1.0,), (0.0,), ("float64",))
        assert file.tags()["AREA_OR_POINT"] == "Point"
    np.testing.assert_array_equal(read_geotiff(tmp_path / "filled.tif").image, result.filled)
    source.write(tmp_path / "draws.tif", result.samples, "draw")
    with rasterio.open(tmp_path / "draws.tif") as file:
        assert file.descriptions == ("draw 1", "draw 2", "draw 3")
        np.testing.assert_array_equal(file.read(), result.samples)


def test_no_data_value_survives_unless_an_image_takes_it(rasterio, ground, tmp_path):
    stored = np.array([[[0, 3, 7], [2, 5, 0]]], dtype=np.uint8)
    for _ in write(rasterio, tmp_path / "in.tif", stored, nodata=0, **ground):
        pass
    source = read_geotiff(tmp_path / "in.tif")
    np.testing.assert_array_equal(source.image, [[np.nan, 3, 7], [2, 5, np.nan]])
    for image, nodata in (([[np.nan, 1, 2], [3, 4, 5]], 0.0), ([[np.nan, 0, 2], [3, 4, 5]], np.nan)):
        source.write(tmp_path / "out.tif", image)
        with rasterio.open(tmp_path / "out.tif") as file:
            np.testing.assert_equal(file.nodata, nodata)
        np.testing.assert_array_equal(read_geotiff(tmp_path / "out.tif").image, image)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_type_written_holds_the_values_read(rasterio, ground, tmp_path, dtype):
    values = (np.array([[[123456789.125, -1.0]]]) if dtype == np.float64 else np.array([[[16777217, -1]]])).astype(
        dtype
    )
    for _ in write(rasterio, tmp_path / "in.tif", values, **ground):
        pass
    source = read_geotiff(tmp_path / "in.tif")
    source.write(tmp_path / "out.tif", source.image)
    np.testing.assert_array_equal(read_geotiff(tmp_path / "out.tif").image, values[0])


def test_float32_is_kept_where_it_holds_what_was_read_and_left_where_it_does_not(rasterio, ground, tmp_path):
    for values, written, dtype in (
        (np.array([[0.1, 1e-3]], dtype=np.float32), [[0.1, 2.0]], "float32"),
        (np.array([[3, 7]], dtype=np.int16), [[0.1, 2.0]], "float32"),
        (np.array([[3, 7]], dtype=np.float64), [[0.1, 2.0]], "float64"),
        (np.array([[3, 7]], dtype=np.float32), [[1e39, 2.0]], "float64"),
        (np.array([[3, 7]], dtype=np.float32), [[1e-50, 2.0]], "float64"),
    ):
        for _ in write(rasterio, tmp_path / "in.tif", values[np.newaxis], **ground):
            pass
        source = read_geotiff(tmp_path / "in.tif")
        source.write(tmp_path / "out.tif", written)
        with rasterio.open(tmp_path / "out.tif") as file:
            assert file.dtypes == (dtype,)
            np.testing.assert_array_equal(file.read(1), np.array(written).astype(dtype))
        source.write(tmp_path / "out.tif", written, exact=True)
        np.testing.assert_array_equal(read_geotiff(tmp_path / "out.tif").image, written)


def test_no_data_value_beyond_float32_gives_way_to_nan(rasterio, ground, tmp_path):
    source = GeoTiff(
        image=np.array([[1.0, np.nan]]),
        band=0,
        name="",
        unit="",
        nodata=-1e300,
        dtype=np.dtype(np.float32),
        georeference={**ground, "gcps": ([], None), "area_or_point": "Area"},
    )
    source.write(tmp_path / "out.tif", source.image)
    np.testing.assert_array_equal(read_geotiff(tmp_path / "out.tif").image, source.image)


def test_rational_polynomials_and_metadata_survive(rasterio, tmp_path):
    terms = [0.0] * 20
    rpcs = rasterio.rpc.RPC(
        100.0, 500.0, 10.0, 1.0, [1.0, *terms[1:]], terms, 6.0, 10.0, 50.0, 1.0, [1.0, *terms[1:]], terms, 5.0, 8.0
    )

    def prepare():
        for target in write(rasterio, tmp_path / "in.tif", np.ones((2, 4, 5), dtype=np.float32)):
            target.rpcs = rpcs
            target.update_tags(SENSOR="one")
            target.update_tags(2, wavelength="665 nm", STATISTICS_MEAN="1")

    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        prepare()
    source = read_geotiff(tmp_path / "in.tif", band=1)
    source.write(tmp_path / "out.tif", source.image)
    written = read_geotiff(tmp_path / "out.tif")
    assert written.georeference["rpcs"].to_gdal() == source.georeference["rpcs"].to_gdal()
    assert written.tags["SENSOR"] == "one"
    assert written.band_tags == {"wavelength": "665 nm"}


def test_raster_without_georeference_and_ground_control_points_stay_what_they_are(rasterio, tmp_path):
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        for _ in write(rasterio, tmp_path / "in.tif", np.array([[[1.0, np.nan]]])):
            pass
    source = read_geotiff(tmp_path / "in.tif")
    np.testing.assert_array_equal(source.image, [[1.0, np.nan]])
    source.write(tmp_path / "out.tif", [[1.0, 2.0]])
    assert read_geotiff(tmp_path / "out.tif").georeference["crs"] is None
    points = [
        rasterio.control.GroundControlPoint(row=r, col=c, x=10.0 + c, y=50.0 - r) for r, c in ((0, 0), (0, 2), (1, 0))
    ]
    for target in write(rasterio, tmp_path / "points.tif", np.ones((1, 1, 2)), gcps=points, crs="EPSG:4326"):
        del target
    source = read_geotiff(tmp_path / "points.tif")
    source.write(tmp_path / "out.tif", source.image)
    kept, crs = read_geotiff(tmp_path / "out.tif").georeference["gcps"]
    assert crs.to_epsg() == 4326
    assert [(p.row, p.col, p.x, p.y) for p in kept] == [(p.row, p.col, p.x, p.y) for p in points]


def test_what_is_no_raster_or_no_band_is_refused_and_nothing_is_left(packed, tmp_path):
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(FileError, match=r"must be a raster, got .*text\.tif, which cannot be read"):
        read_geotiff(tmp_path / "text.tif")
    with pytest.raises(FileError, match=r"nowhere\.tif, which is none"):
        read_geotiff(tmp_path / "nowhere.tif")
    with pytest.raises(ArgumentError, match=r"in\.tif has 2 bands; choose one with channel \(--channel\) 0 to 1"):
        read_geotiff(packed[0])
    with pytest.raises(ArgumentError, match=r"channel must be 0 to 1"):
        read_geotiff(packed[0], band=2)
    source = read_geotiff(packed[0], band=0)
    with pytest.raises(ArgumentError, match=r"image must have the pixels of the file read, \(12, 15\), got \(3, 4\)"):
        source.write(tmp_path / "out.tif", np.zeros((3, 4)))
    with pytest.raises(FileError, match="existing directory"):
        source.write(tmp_path / "nowhere" / "out.tif", source.image)
    assert {path.name for path in tmp_path.iterdir()} == {"in.tif", "text.tif"}


@pytest.fixture
def stack(xarray):
    """Two dates of sea-surface temperature on a grid with a mapping, packed in int16 when written."""
    image, missing = scene()
    values = np.stack([np.where(missing, np.nan, image), np.where(missing, np.nan, image[::-1])])
    array = xarray.DataArray(
        values,
        dims=("time", "lat", "lon"),
        coords={
            "time": np.array(["2020-01-01", "2020-01-02"], dtype="datetime64[ns]"),
            "lat": ("lat", np.linspace(50.0, 40.0, SHAPE[0]), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(5.0, 20.0, SHAPE[1]), {"units": "degrees_east"}),
        },
        name="sst",
        attrs={"units": "K", "long_name": "sea temperature", "standard_name": "sea_surface_temperature"},
    )
    array.encoding = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32768, "zlib": True}
    data = xarray.Dataset({"sst": array, "count": ("time", [3, 4])}, attrs={"title": "a test"})
    data["crs"] = xarray.DataArray(0, attrs={"grid_mapping_name": "latitude_longitude"})
    data["sst"].attrs["grid_mapping"] = "crs"
    return data


def test_filled_netcdf_keeps_grid_attributes_and_unit(xarray, stack, tmp_path):
    stack.to_netcdf(tmp_path / "in.nc")
    source = read_netcdf(tmp_path / "in.nc", index=1)
    np.testing.assert_allclose(source.image, stack["sst"][1], atol=0.0051)
    result = fill(source.image, n_samples=2, rng=0)
    for name, array in (("mean", result.mean), ("std", result.std), ("samples", result.samples)):
        source.write(tmp_path / f"{name}.nc", array)
    with xarray.open_dataset(tmp_path / "mean.nc", decode_coords="all") as written:
        assert written.attrs["title"] == "a test"
        assert written["sst"].attrs == {key: stack["sst"].attrs[key] for key in ("units", "long_name", "standard_name")}
        assert written["sst"].encoding["grid_mapping"] == "crs"
        assert written["sst"].encoding["zlib"]
        assert written["crs"].attrs["grid_mapping_name"] == "latitude_longitude"
        assert written["time"].values == stack["time"].values[1]
        for dim in ("lat", "lon"):
            assert written[dim].variable.identical(stack[dim].variable)
        np.testing.assert_array_equal(written["sst"], result.mean)
    with xarray.open_dataset(tmp_path / "std.nc") as written:
        assert written["sst_std"].attrs["long_name"] == "standard deviation of sea temperature"
        assert "standard_name" not in written["sst_std"].attrs
        np.testing.assert_array_equal(written["sst_std"], result.std)
    with xarray.open_dataset(tmp_path / "samples.nc") as written:
        assert written["sst"].dims == ("sample", "lat", "lon")
        np.testing.assert_array_equal(written["sst"], result.samples)


def test_fill_value_of_floats_survives_unless_an_image_takes_it(xarray, tmp_path):
    array = xarray.DataArray([[1.0, np.nan]], dims=("y", "x"))
    array.encoding["_FillValue"] = -1.0
    array.to_netcdf(tmp_path / "in.nc")
    source = read_netcdf(tmp_path / "in.nc")
    for values, fill_value in (([[1.0, np.nan]], -1.0), ([[-1.0, np.nan]], np.nan)):
        source.write(tmp_path / "out.nc", source.image.copy(data=values))
        read = read_netcdf(tmp_path / "out.nc").image
        np.testing.assert_equal(read.encoding["_FillValue"], fill_value)
        np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_netcdf_of_floats_stays_in_their_type(xarray, tmp_path, dtype):
    values = scene()[0].astype(dtype)
    values[2:5, 3:9] = np.nan
    xarray.DataArray(values, dims=("y", "x"), name="z").to_netcdf(tmp_path / "in.nc")
    source = read_netcdf(tmp_path / "in.nc")
    result = fill(source.image, noise_variance=0.1)
    source.write(tmp_path / "out.nc", result.filled)
    source.write(tmp_path / "std.nc", result.std)
    for name, array in (("out", result.filled), ("std", result.std)):
        written = read_netcdf(tmp_path / f"{name}.nc").image
        assert written.dtype == dtype
        np.testing.assert_array_equal(written, array.values.astype(dtype))
    observed = ~np.isnan(values)
    np.testing.assert_array_equal(read_netcdf(tmp_path / "out.nc").image.values[observed], values[observed])
    source.write(tmp_path / "big.nc", result.filled * 1e40)
    assert read_netcdf(tmp_path / "big.nc").image.dtype == "float64"


def test_bounds_of_cells_are_written_along_and_nothing_is_referred_to_that_is_not_there(xarray, stack, tmp_path):
    netcdf = require("netCDF4")
    stack.to_netcdf(tmp_path / "in.nc")
    with netcdf.Dataset(tmp_path / "in.nc", "a") as file:
        file.createDimension("nv", 2)
        for name, shape in (("lat", SHAPE[0]), ("time", 2)):
            file[name].bounds = f"{name}_bnds"
            bounds = file.createVariable(f"{name}_bnds", "f8", (name, "nv"))
            bounds[:] = np.arange(2.0 * shape).reshape(shape, 2)
        file["sst"].ancillary_variables = "quality"
    source = read_netcdf(tmp_path / "in.nc", index=1)
    source.write(tmp_path / "out.nc", source.image)
    with netcdf.Dataset(tmp_path / "out.nc") as file:
        np.testing.assert_array_equal(file[file["lat"].bounds][:], np.arange(2.0 * SHAPE[0]).reshape(-1, 2))
        np.testing.assert_array_equal(file[file["time"].bounds][:], [2.0, 3.0])
        assert "ancillary_variables" not in file["sst"].ncattrs()


def test_what_is_no_netcdf_image_is_refused(xarray, stack, tmp_path):
    stack.to_netcdf(tmp_path / "in.nc")
    (tmp_path / "text.nc").write_text("no data")
    with pytest.raises(FileError, match=r"must be a NetCDF file, got .*text\.nc, which cannot be read"):
        read_netcdf(tmp_path / "text.nc")
    with pytest.raises(FileError, match=r"nowhere\.nc, which is none"):
        read_netcdf(tmp_path / "nowhere.nc")
    with pytest.raises(
        ArgumentError, match=r"sst of in\.nc has 2 positions along time; choose one with channel \(--channel\) 0"
    ):
        read_netcdf(tmp_path / "in.nc")
    with pytest.raises(ArgumentError, match=r"channel must be 0 to 1"):
        read_netcdf(tmp_path / "in.nc", index=2)
    with pytest.raises(ArgumentError, match=r"variable must be one of sst of in\.nc, got count"):
        read_netcdf(tmp_path / "in.nc", variable="count")
    del stack["sst"].attrs["grid_mapping"]
    xarray.concat([stack["sst"], stack["sst"]], "depth").to_netcdf(tmp_path / "deep.nc")
    with pytest.raises(ArgumentError, match=r"sst of deep\.nc must have two dimensions and at most one more"):
        read_netcdf(tmp_path / "deep.nc", index=0)
    xarray.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "line.nc")
    with pytest.raises(ArgumentError, match=r"line\.nc has none that does"):
        read_netcdf(tmp_path / "line.nc")


def test_leading_dimensions_of_length_one_need_no_choice(xarray, stack, tmp_path):
    del stack["sst"].attrs["grid_mapping"]
    stack["sst"][:1].expand_dims("depth").to_netcdf(tmp_path / "one.nc")
    image = read_netcdf(tmp_path / "one.nc").image
    assert image.dims == ("lat", "lon")
    assert image.coords["time"].values == stack["time"].values[0]


def test_data_array_in_data_arrays_out_with_the_numbers_of_arrays(stack):
    image = stack["sst"][0]
    before = image.copy(deep=True)
    result = fill(image, n_samples=2, rng=5)
    plain = fill(image.values, n_samples=2, rng=5, spacing=spacing_of(image))
    assert image.identical(before)
    for name in ("mean", "std", "predictive_std", "filled", "samples"):
        array = getattr(result, name)
        np.testing.assert_array_equal(array, getattr(plain, name))
        assert array.dims[-2:] == image.dims
        assert array.attrs["units"] == "K"
        assert not array.encoding
        for dim in image.dims:
            assert array[dim].variable.identical(image[dim].variable)
    assert [result.mean.name, result.std.name, result.predictive_std.name] == ["sst", "sst_std", "sst_predictive_std"]
    assert result.mean.attrs == image.attrs
    assert result.predictive_std.attrs["long_name"] == "standard deviation of a new measurement of sea temperature"
    assert fill(image).samples.shape == (0, *SHAPE)
    assert repr(result).startswith("FillResult(shape=(12, 15)")


def test_mask_noise_and_covariates_with_labels_are_laid_on_the_image(xarray, stack):
    image = stack["sst"][0]
    mask = image.isnull()
    whole = image.fillna(0.0)
    size = spacing_of(whole)
    plain = fill(whole.values, mask=mask.values, spacing=size).mean
    np.testing.assert_array_equal(fill(whole, mask=mask.transpose()).mean, plain)
    np.testing.assert_array_equal(fill(whole, mask=mask.values).mean, plain)
    height = xarray.ones_like(image) * np.arange(15.0)
    covariates = xarray.concat([xarray.ones_like(image), height], "k")
    np.testing.assert_array_equal(
        fill(image, covariates=covariates.transpose("lon", "lat", "k")).mean,
        fill(image.values, covariates=covariates.values, spacing=size).mean,
    )
    with pytest.raises(ArgumentError, match=r"^mask must have the image's coordinates along lat, got others"):
        fill(whole, mask=mask[::-1])
    with pytest.raises(ArgumentError, match=r"^noise_variance must have the dimensions of the image .*got \('lat',\)"):
        fill(image, noise_variance=xarray.ones_like(image)[:, 0])


def test_mask_and_covariates_on_the_grid_of_a_slice_are_those_of_the_slice(xarray, stack):
    image = stack["sst"].isel(time=1)
    land = (stack["sst"].isel(time=0, drop=True) > 284.0).rename("land")
    assert "time" in image["lat"].coords
    slope = land + image["lat"].drop_vars("time")
    result = fill(image.fillna(0.0), mask=land, covariates=slope.expand_dims("k"), noise_variance=0.1)
    plain = fill(
        image.fillna(0.0).values,
        mask=land.values,
        covariates=slope.values[np.newaxis],
        noise_variance=0.1,
        spacing=spacing_of(image),
    )
    np.testing.assert_array_equal(result.mean, plain.mean)


def test_other_than_two_dimensions_are_refused_with_the_remedy(stack):
    levels = stack["sst"].drop_vars("time").rename(time="level")  # a dimension of dates would make it a series
    with pytest.raises(ArgumentError, match=r"'level': 2, .*fill one slice at a time, such as image\.isel\(level=0\)"):
        fill(levels)
    with pytest.raises(ArgumentError, match=r"""must be one variable, got a data set .*data\["sst"\]"""):
        fill(stack)
    with pytest.raises(ArgumentError, match="called sample"):
        fill(stack["sst"][0].rename(lat="sample"))


@pytest.mark.parametrize(
    ("library", "call"), [("rasterio", "read_geotiff('a.tif')"), ("xarray", "read_netcdf('a.nc')")]
)
def test_missing_extra_is_named_with_the_remedy(library, call):
    code = f"import sys; sys.modules['{library}'] = None\nimport sparsegmrf.geo as geo\n"
    code += f"try:\n    geo.{call}\nexcept ModuleNotFoundError as error:\n    print(error)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == f'this format needs {library}; install it with: pip install "sparsegmrf[geo]"\n'
