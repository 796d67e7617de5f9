"""One reader: the format is known by content, missing by every rule of the file, bands as the file has them."""

import sys

import imageio.v3 as iio
import numpy as np
import pytest

from sparsegmrf.errors import ArgumentError, FileError, ImageLayoutError
from sparsegmrf.geo import GeoTiff, read_geotiff
from sparsegmrf.io import Picture, read, read_channels, read_mask
from tests.conftest import require

SHAPE = (20, 25)


@pytest.fixture
def rasterio():
    return require("rasterio")


@pytest.fixture
def ground(rasterio):
    return {"crs": "EPSG:32633", "transform": rasterio.Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6)}


def write(path, bands, *, mask=None, internal=True, **profile):
    rasterio = require("rasterio")
    bands = np.asarray(bands)
    bands = bands if bands.ndim == 3 else bands[np.newaxis]
    profile = {"driver": "GTiff", "count": len(bands), "height": SHAPE[0], "width": SHAPE[1], **profile}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        options = {"dtype": bands.dtype, **profile}
        if "crs" in profile:
            target = rasterio.open(path, "w", **options)
        else:
            with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
                target = rasterio.open(path, "w", **options)
        with target:
            target.write(bands)
            if mask is not None:
                target.write_mask(mask)


def counts(seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(10, 200, SHAPE).astype(dtype)


def rectangle(rows, columns):
    inside = np.zeros(SHAPE, dtype=bool)
    inside[rows, columns] = True
    return inside


HOLE, CORNER = rectangle(slice(8, 12), slice(5, 11)), rectangle(slice(0, 3), slice(0, 4))


@pytest.mark.parametrize("name", ["in.tif", "in.gtiff", "in.geotiff", "in", "in.dat"])
def test_no_data_value_counts_whatever_the_file_is_called(ground, tmp_path, name):
    image = counts(dtype=np.float32)
    write(tmp_path / name, np.where(HOLE, np.float32(-9999.0), image), nodata=-9999.0, **ground)
    source = read(tmp_path / name)
    assert isinstance(source, GeoTiff)
    np.testing.assert_array_equal(source.image, np.where(HOLE, np.nan, image))
    np.testing.assert_array_equal(source.missing, HOLE)


def test_content_decides_before_the_name_does(ground, tmp_path):
    write(tmp_path / "in.nc", np.where(HOLE, 0, counts()).astype(np.uint8), nodata=0, **ground)
    np.testing.assert_array_equal(read(tmp_path / "in.nc").missing, HOLE)
    iio.imwrite(tmp_path / "in.png", counts())
    (tmp_path / "in.png").rename(tmp_path / "in.npy")
    np.testing.assert_array_equal(read(tmp_path / "in.npy", scale="none").image, counts())
    with (tmp_path / "array.tif").open("wb") as file:
        np.save(file, counts())
    np.testing.assert_array_equal(read(tmp_path / "array.tif", scale="none").image, counts())


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("internal", [True, False])
def test_mask_no_data_value_and_nan_count_all_together(ground, tmp_path, placed, internal):
    image = counts(dtype=np.float32)
    image[5, 5] = np.nan
    stored = np.where(CORNER & placed, np.float32(-9999.0), image)
    profile = {"nodata": -9999.0, **ground} if placed else {}
    write(tmp_path / "in.tif", stored, mask=~HOLE, internal=internal, **profile)
    assert (tmp_path / "in.tif.msk").exists() is not internal
    missing = HOLE | np.isnan(image) | (CORNER & placed)
    source = read(tmp_path / "in.tif")
    np.testing.assert_array_equal(np.isnan(source.image), missing)
    np.testing.assert_array_equal(source.missing, missing)
    np.testing.assert_array_equal(source.image[~missing], image[~missing])


@pytest.mark.parametrize("nodata", [None, 5])
def test_transparency_is_missing_besides_the_no_data_value_and_no_band(ground, tmp_path, nodata):
    bands = np.stack([counts(0), counts(1), counts(2), np.where(HOLE, 0, 255).astype(np.uint8)])
    bands[:3, CORNER] = 5
    write(tmp_path / "in.tif", bands, photometric="RGB", alpha="yes", nodata=nodata, **ground)
    missing = HOLE | CORNER if nodata is not None else HOLE
    source = read(tmp_path / "in.tif", channel="all")
    np.testing.assert_array_equal(
        source.image, np.where(missing[..., np.newaxis], np.nan, np.moveaxis(bands[:3], 0, -1))
    )
    np.testing.assert_array_equal(read(tmp_path / "in.tif", channel=1).missing, missing)
    with pytest.raises(ArgumentError, match=r"channel must be 0 to 2 .*Transparency \(alpha\) is no band"):
        read(tmp_path / "in.tif", channel=3)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("without", [False, True])
def test_transparent_pixels_of_pictures_are_missing_with_rasterio_and_without(tmp_path, monkeypatch, suffix, without):
    colour = np.stack([counts(0), counts(1), counts(2), np.where(HOLE, 0, 255)], axis=-1).astype(np.uint8)
    if suffix == "png":
        iio.imwrite(tmp_path / "in.png", colour)
    else:
        iio.imwrite(tmp_path / "in.tif", colour, plugin="tifffile", extrasamples=["unassalpha"], photometric="rgb")
    if without:
        monkeypatch.setitem(sys.modules, "rasterio", None)
    read_back = read_channels(tmp_path / f"in.{suffix}")
    np.testing.assert_array_equal(read_back, np.where(HOLE[..., np.newaxis], np.nan, colour[..., :3] / 255.0))
    grey = read(tmp_path / f"in.{suffix}", grey=True)
    np.testing.assert_array_equal(grey.missing, HOLE)


@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize("placed", [True, False])
def test_a_band_is_a_band_whatever_the_interleaving(ground, tmp_path, interleave, placed):
    bands = np.random.default_rng(0).standard_normal((5, *SHAPE)).astype(np.float32)
    write(tmp_path / "in.tif", bands, interleave=interleave, **(ground if placed else {}))
    np.testing.assert_array_equal(read_channels(tmp_path / "in.tif"), np.moveaxis(bands, 0, -1))
    for band in (0, 4):
        np.testing.assert_array_equal(read(tmp_path / "in.tif", channel=band).image, bands[band])
    np.testing.assert_array_equal(read(tmp_path / "in.tif", channel=[3, 1]).image, np.moveaxis(bands[[3, 1]], 0, -1))


@pytest.mark.parametrize("placed", [True, False])
def test_a_page_is_a_band(tmp_path, placed):
    require("rasterio")
    tifffile = require("tifffile")
    pages = np.random.default_rng(0).standard_normal((5, *SHAPE)).astype(np.float32)
    tags = [(42113, "s", 0, "-9999", True)] if placed else []
    with tifffile.TiffWriter(tmp_path / "in.tif") as file:
        for page in pages:
            file.write(page, metadata=None, extratags=tags)
    source = read(tmp_path / "in.tif", channel="all")
    assert isinstance(source, GeoTiff if placed else Picture)
    np.testing.assert_array_equal(source.image, np.moveaxis(pages, 0, -1))
    np.testing.assert_array_equal(read(tmp_path / "in.tif", channel=2).image, pages[2])


def test_layout_that_cannot_be_known_is_refused_until_it_is_told(tmp_path):
    first = np.random.default_rng(0).standard_normal((5, *SHAPE))
    np.save(tmp_path / "first.npy", first)
    with pytest.raises(ImageLayoutError, match=r"ambiguous for first\.npy of shape \(5, 20, 25\).*--channel-axis 0"):
        read(tmp_path / "first.npy", channel="all")
    np.testing.assert_array_equal(
        read(tmp_path / "first.npy", channel="all", channel_axis=0).image, np.moveaxis(first, 0, -1)
    )
    np.testing.assert_array_equal(read(tmp_path / "first.npy", channel="all", channel_axis=2).image, first)
    iio.imwrite(tmp_path / "pages.tif", np.moveaxis(first, 0, -1), plugin="tifffile")
    with pytest.raises(ImageLayoutError, match=r"stored as 20 pages of 25 x 5 pixels; pass channel_axis 2"):
        read(tmp_path / "pages.tif", channel="all")
    np.testing.assert_array_equal(
        read(tmp_path / "pages.tif", channel="all", channel_axis=2).image, np.moveaxis(first, 0, -1)
    )
    iio.imwrite(tmp_path / "colour.png", np.zeros((4, 5, 3), dtype=np.uint8))
    with pytest.raises(ArgumentError, match=r"whose format says where its channels are, got channel_axis 0"):
        read(tmp_path / "colour.png", channel="all", channel_axis=0)


def test_pictures_without_ground_are_scaled_and_those_on_the_ground_are_not(ground, tmp_path):
    image = counts()
    write(tmp_path / "picture.tif", image)
    write(tmp_path / "placed.tif", image, **ground)
    iio.imwrite(tmp_path / "picture.png", image)
    for name in ("picture.tif", "picture.png"):
        np.testing.assert_array_equal(read(tmp_path / name).image, image / 255.0)
        np.testing.assert_array_equal(read(tmp_path / name, scale="none").image, image)
    np.testing.assert_array_equal(read(tmp_path / "placed.tif").image, image)


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_world_file_places_a_picture(rasterio, tmp_path, suffix):
    write(tmp_path / f"in.{suffix}", counts(), driver={"tif": "GTiff", "png": "PNG"}[suffix])
    (tmp_path / f"in.{suffix[0]}{suffix[-1]}w").write_text("30\n0\n0\n-30\n500015\n4999985\n")
    source = read(tmp_path / f"in.{suffix}")
    np.testing.assert_array_equal(source.image, counts())
    source.write(tmp_path / "out.tif", source.image)
    assert read_geotiff(tmp_path / "out.tif").georeference["transform"] == rasterio.Affine(30, 0, 5e5, 0, -30, 5e6)


@pytest.mark.parametrize(("driver", "name"), [("AAIGrid", "in.asc"), ("ENVI", "in.img"), ("HFA", "in.img")])
def test_other_rasters_that_rasterio_opens_are_read(rasterio, ground, tmp_path, driver, name):
    shutil = require("rasterio.shutil")
    image = counts(dtype=np.float32)
    write(tmp_path / "base.tif", np.where(HOLE, np.float32(-9999.0), image), nodata=-9999.0, **ground)
    shutil.copy(tmp_path / "base.tif", tmp_path / name, driver=driver)
    np.testing.assert_array_equal(read(tmp_path / name).image, np.where(HOLE, np.nan, image))


def test_colours_of_16_bits_and_compressed_pages_keep_every_count(rasterio, tmp_path):
    bands = np.arange(3 * SHAPE[0] * SHAPE[1], dtype=np.uint16).reshape(3, *SHAPE) * 40
    write(tmp_path / "in.png", bands, driver="PNG")
    write(tmp_path / "in.tif", bands, compress="lzw")
    for name in ("in.png", "in.tif"):
        np.testing.assert_array_equal(read_channels(tmp_path / name, scale="none"), np.moveaxis(bands, 0, -1))
        np.testing.assert_array_equal(read_channels(tmp_path / name), np.moveaxis(bands, 0, -1) / 65535.0)


@pytest.mark.parametrize("nodata", [None, 0, 255])
def test_mask_is_what_is_not_zero_whatever_its_own_no_data_value(ground, tmp_path, nodata):
    write(tmp_path / "mask.tif", np.where(HOLE, 255, 0).astype(np.uint8), nodata=nodata, **ground)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.tif"), HOLE)


def test_mask_that_lies_elsewhere_is_refused_and_one_that_lies_nowhere_is_not(rasterio, ground, tmp_path):
    write(tmp_path / "in.tif", counts(), **ground)
    image = read(tmp_path / "in.tif")
    there = {"crs": "EPSG:32610", "transform": ground["transform"]}
    moved = {"crs": ground["crs"], "transform": rasterio.Affine(30.0, 0.0, 5e5 + 30.0, 0.0, -30.0, 5e6)}
    bare = {"crs": None, "transform": rasterio.Affine.identity()}
    for name, place in (("same", ground), ("crs", there), ("moved", moved), ("bare", bare)):
        if name == "bare":
            iio.imwrite(tmp_path / "bare.png", HOLE.astype(np.uint8))
        else:
            write(tmp_path / f"{name}.tif", HOLE.astype(np.uint8), **place)
    np.testing.assert_array_equal(read_mask(tmp_path / "same.tif", like=image), HOLE)
    np.testing.assert_array_equal(read_mask(tmp_path / "bare.png", like=image), HOLE)
    for name in ("crs", "moved"):
        with pytest.raises(ArgumentError, match=rf"mask must lie on the ground of the image, got .*{name}\.tif"):
            read_mask(tmp_path / f"{name}.tif", like=image)
    np.savez(tmp_path / "two.npz", a=HOLE, b=HOLE)
    with pytest.raises(ArgumentError, match=r"mask must be one image, got .*two\.npz"):
        read_mask(tmp_path / "two.npz")


def test_netcdf_mask_is_laid_along_the_dimensions_and_refused_on_other_coordinates(tmp_path):
    require("netCDF4")
    xarray = require("xarray")
    lat = np.linspace(50.0, 40.0, SHAPE[0])
    image = xarray.DataArray(counts().astype(float), {"lat": lat}, ("lat", "lon"), "z")
    mask = xarray.DataArray(HOLE.astype(np.int8), {"lat": lat}, ("lat", "lon"), "m")
    for name, array in (("in", image), ("mask", mask.T), ("moved", mask.assign_coords(lat=lat + 1.0))):
        array.to_netcdf(tmp_path / f"{name}.nc")
    like = read(tmp_path / "in.nc")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nc", like=like), HOLE)
    with pytest.raises(ArgumentError, match="ground of the image"):
        read_mask(tmp_path / "moved.nc", like=like)


def test_unreadable_and_truncated_files_and_directories_say_what_is_wrong(ground, tmp_path):
    write(tmp_path / "whole.tif", counts(), nodata=0, **ground)
    (tmp_path / "cut.tif").write_bytes((tmp_path / "whole.tif").read_bytes()[:300])
    (tmp_path / "store.zarr").mkdir()
    with pytest.raises(FileError, match=r"cut\.tif, which cannot be read: \S+"):
        read(tmp_path / "cut.tif")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "whole.tif").read_bytes()[:-20])
    with pytest.raises(FileError, match=r"cannot be read: Read failed: .*TIFFReadEncodedStrip.* expected \d+$"):
        read(tmp_path / "cut.tif")
    with pytest.raises(FileError, match=r"store\.zarr, which is a directory"):
        read(tmp_path / "store.zarr")
    (tmp_path / "text.txt").write_text("hello")
    with pytest.raises(FileError, match=r"must be a raster \(GeoTIFF .*got .*text\.txt, which cannot be read"):
        read(tmp_path / "text.txt")
    with pytest.raises(ArgumentError, match="scale must be one of"):
        read(tmp_path / "whole.tif", scale="half")
