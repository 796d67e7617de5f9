"""Images that the commands write as integers with a scale and an offset: every kind, exactly or to half a step."""

from pathlib import Path

import numpy as np
import pytest

from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo._packing import Packing, pack
from sparsegmrf.io import read, write
from tests.conftest import require
from tests.kinds_of_files import HOLE, SHAPE, control_points, gappy, scene, where
from tests.kinds_of_files import packed as packed_tif
from tests.kinds_of_files import raster as raster_of

FIELD = ("--model", "matern", "--fixed", "range", "--fixed", "sigma", "--noise-variance", "0.1")
KINDS = ("filled", "mean", "std", "predictive_std")


@pytest.fixture
def here(here):
    """The folder of the commands, where NetCDF can be written as well."""
    require("netCDF4")
    return here


def test_packed_images_have_their_scale_back_and_observed_pixels_exactly(here, run):
    values = packed_tif(Path("in.tif"))
    run("fill", "in.tif", "--out", "out", "--packed", *FIELD)
    with require("rasterio").open("out/in-filled.tif") as file:
        assert (file.dtypes, file.scales, file.offsets) == (("int16",), (0.001,), (273.15,))
        assert file.nodata == -32768
    found = read("out/in-filled.tif").image
    np.testing.assert_array_equal(found[~HOLE], values[~HOLE])
    assert np.isfinite(found).all()
    run("fill", "in.tif", "--out", "plain", *FIELD)
    std = read("plain/in-std.tif").image
    np.testing.assert_allclose(read("out/in-std.tif").image, std, atol=np.ptp(std) / 60000)
    run("fill", "in.tif", "--out", "nc", "--packed", "--format", "nc", *FIELD)
    found = read("nc/in-filled.nc").image
    np.testing.assert_array_equal(np.asarray(found)[~HOLE], values[~HOLE])


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4"])
def test_no_value_is_packed_onto_the_one_for_none(dtype):
    values = np.array([0.2, 3.0, np.nan, 200.4])
    stored, packing = pack(values, Packing(np.dtype(dtype), 1.0, 0.0, 0))  # 0.2 is rounded onto the no-data value
    assert packing.nodata not in (0, 3, 200)
    np.testing.assert_array_equal(stored, [0, 3, packing.nodata, 200])
    stored, packing = pack(np.array([-5.0, 70000.0, np.nan]), Packing(np.dtype(dtype), 1.0, 0.0, 0))
    assert stored[:2].tolist() == [-5, 70000]
    with pytest.raises(ArgumentError, match="must be finite to be packed"):
        pack(np.array([np.inf]))
    with pytest.raises(ArgumentError, match="must fit in integers of the scale 1"):
        pack(np.array([1e19]), Packing(np.dtype(dtype)))


def test_draws_are_stored_as_the_other_images_are(here, run):
    values = packed_tif(Path("in.tif"))
    run("fill", "in.tif", "--out", "out", "--packed", "--cog", "--samples", "2", *FIELD)
    run("fill", "in.tif", "--out", "plain", "--samples", "2", *FIELD)
    with require("rasterio").open("out/in-samples.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (file.dtypes, file.scales, file.offsets) == (("int16",) * 2, (0.001,) * 2, (273.15,) * 2)
    plain = read("plain/in-samples.tif", channel="all").image
    np.testing.assert_allclose(read("out/in-samples.tif", channel="all").image, plain, rtol=0.0, atol=0.00051)
    run("fill", "in.tif", "--out", "all.nc", "--packed", "--samples", "2", *FIELD)
    with require("netCDF4").Dataset("all-samples.nc") as file:
        assert next(each for each in file.variables.values() if each.ndim == 3).dtype == np.int16
    np.testing.assert_array_equal(read("out/in-filled.tif").image[~HOLE], values[~HOLE])


def masked_and_scaled(path):
    """A cloud-optimized GeoTIFF of scaled integers whose gaps only a mask tells."""
    counts = scene(-2000, 2000, np.int16)

    def say(target):
        target.scales, target.offsets = (0.1,), (20.0,)

    raster_of(Path("base.tif"), np.where(HOLE, 5, counts).astype(np.int16), mask=~HOLE, after=say, **where())
    require("rasterio.shutil").copy("base.tif", path, driver="COG")
    return gappy(counts * 0.1 + 20.0)


@pytest.mark.parametrize(("make", "points"), [(masked_and_scaled, 0), (control_points, 4)])
def test_packed_and_cloud_optimized_files_keep_what_masks_hide_and_where_they_lie(here, run, make, points):
    values = make(Path("in.tif"))
    run("fill", "in.tif", "--out", "out", "--packed", "--cog", *FIELD)
    found, source = read("out/in-filled.tif"), read("in.tif")
    np.testing.assert_array_equal(found.image[~HOLE], values[~HOLE])
    assert not np.isnan(found.image).any()
    assert (found.dtype, found.scaling, found.is_optimized) == (source.dtype, source.scaling, True)
    assert len(found.georeference["gcps"][0]) == points
    assert found.same_ground(source)


def test_images_of_one_file_are_packed_by_scales_of_their_own(here, run):
    values = packed_tif(Path("in.tif"))
    run("fill", "in.tif", "--out", "all.tif", "--packed", *FIELD)
    run("fill", "in.tif", "--out", "plain", *FIELD)
    found = read("all.tif", channel="all")
    assert found.dtype == np.int16
    np.testing.assert_array_equal(found.image[~HOLE, 0], values[~HOLE])
    for k, kind in enumerate(KINDS):
        plain = read(f"plain/in-{kind.replace('_', '-')}.tif").image
        step = found.notes[k].scaling[0]
        assert step == 0.001 if kind == "filled" else step < np.ptp(plain) / 60000
        np.testing.assert_allclose(found.image[..., k], plain, rtol=0.0, atol=0.51 * step)


@pytest.mark.parametrize("suffix", [".tif", ".nc"])
def test_risks_are_not_packed_in_steps_of_counts(here, run, suffix):
    stored = np.where(HOLE, -1, np.random.default_rng(0).poisson(3.0, SHAPE)).astype(np.int16)
    raster_of(Path("cases.tif"), stored, nodata=-1, **where())
    write("cases.nc", read("cases.tif"), packed=True)
    options = ("--model", "matern", "--fixed", "range", "--fixed", "sigma", "--likelihood", "poisson")
    words = ("fill", f"cases{suffix}", *options, "--exposure", "9", "--samples", "1", "--exceedance", "0.3")
    run(*words, "--out", "plain")
    run(*words, "--out", "out", "--packed")
    for kind in ("mean", "std", "lower", "upper", "exceedance", "samples"):
        channel = 0 if kind == "samples" else None
        plain, found = (
            np.asarray(read(f"{each}/cases-{kind}{suffix}", channel=channel).image) for each in ("plain", "out")
        )
        assert np.ptp(plain) > 0.0
        np.testing.assert_allclose(found, plain, rtol=0.0, atol=1e-4 * np.ptp(plain))
    filled = np.asarray(read(f"out/cases-filled{suffix}").image)
    np.testing.assert_array_equal(filled[~HOLE], stored[~HOLE])
