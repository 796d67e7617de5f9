"""``sparsegmrf fill-tiles`` and the windows of a raster: what the library computes, on its ground, or nothing."""

import json
import re

import numpy as np
import pytest

from sparsegmrf import large
from sparsegmrf.cli import main
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.geo import open_windows, read_geotiff, write_windows
from sparsegmrf.models import TensionSpline
from tests.conftest import require
from tests.served import served

rasterio = require("rasterio")

SHAPE = (52, 60)
TILES = ("--set", "kappa=0.5", "--set", "tau=1.0", "--noise-variance", "0.25", "--core", "30", "--halo", "14")
NAMES = ("filled", "mean", "std", "std_lower", "std_upper")


def picture(dtype="int16"):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] / 8.0
    image = np.round(100.0 + 20.0 * np.sin(rows) * np.cos(columns) + 2.0 * rng.standard_normal(SHAPE)).astype(dtype)
    image[rng.random(SHAPE) < 0.2] = -99
    image[10:16, 20:29] = -99
    return image


@pytest.fixture
def raster(tmp_path, monkeypatch):
    """A GeoTIFF of 52 x 60 pixels with gaps, as band 2 of ground.tif."""
    monkeypatch.chdir(tmp_path)
    profile = {"driver": "GTiff", "height": SHAPE[0], "width": SHAPE[1], "dtype": "int16", "nodata": -99, "count": 2}
    ground = {"crs": "EPSG:32633", "transform": rasterio.Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6)}
    with rasterio.open("ground.tif", "w", **profile, **ground) as target:
        target.write(np.array([np.zeros(SHAPE, dtype="int16"), picture()]))
        target.set_band_description(2, "reflectance")
        target.units = ["", "percent"]
        target.update_tags(PLATFORM="SENTINEL")
    return tmp_path


def test_rasters_are_filled_as_by_the_library_and_written_on_their_ground(raster, capsys):
    command = ["fill-tiles", "ground.tif", "--channel", "1", "--out", "out", *TILES]
    assert main([*command, "--samples", "2", "--seed", "3", "--loglik"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("sparsegmrf: 4 tiles with cores of up to 26 x 30 pixels and halos of 14; ")
    assert re.search(r"of memory a tile, \S+ MB of disk for images, roughly \d+ s\n$", printed.err)
    image = read_geotiff("ground.tif", band=1).image
    options = {"noise_variance": 0.25, "core": 30, "halo": 14, "n_samples": 2, "rng": 3, "loglik": True}
    expected = large.fill(image, model=TensionSpline(0.5, tau=1.0), **options)
    for name in NAMES:
        found = read_geotiff(f"out/ground-{name.replace('_', '-')}.tif")
        values = np.where(np.isnan(image), expected.mean, image) if name == "filled" else getattr(expected, name)
        np.testing.assert_array_equal(found.image, values.astype(np.float32))
        assert found.georeference["transform"] == rasterio.Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6)
        assert (found.unit, found.tags["PLATFORM"]) == ("percent", "SENTINEL")
    draws = read_geotiff("out/ground-samples.tif", band="all").image
    np.testing.assert_array_equal(np.moveaxis(draws, -1, 0), expected.samples.astype(np.float32))
    filled = read_geotiff("out/ground-filled.tif").image
    np.testing.assert_array_equal(filled[~np.isnan(image)], image[~np.isnan(image)])
    said = json.loads((raster / "out/ground-tiles.json").read_text())
    assert said["n_observed"] == np.isfinite(image).sum()
    assert tuple(said["loglik_interval"]) == expected.loglik_interval
    assert len(said["tiles"]) == len(expected.tiles) == 4
    assert f"{expected.mean_error:.2g} standard deviations" in printed.out
    with rasterio.open("out/ground-mean.tif") as file:
        assert file.profile["tiled"]
        assert file.profile["compress"] == "deflate"
    assert not list(raster.glob("**/.*"))


def test_means_are_as_near_as_is_asked(raster):
    """Passes end earlier, at a mean that is farther from the whole raster's and still as near as it says."""
    image = read_geotiff("ground.tif", band=1).image
    command = ["fill-tiles", "ground.tif", "--channel", "1", *TILES[:-1], "4"]  # by narrow halos
    assert main([*command, "--out", "near"]) == 0
    assert main([*command, "--out", "far", "--mean-tolerance", "0.03"]) == 0
    near, far = (json.loads((raster / out / "ground-tiles.json").read_text())["mean_error"] for out in ("near", "far"))
    assert near <= 1e-6 < far <= 0.03
    options = {"noise_variance": 0.25, "core": 30, "halo": 4, "mean_tolerance": 0.03}
    expected = large.fill(image, model=TensionSpline(0.5, tau=1.0), **options)
    np.testing.assert_array_equal(read_geotiff("far/ground-mean.tif").image, expected.mean.astype(np.float32))


def test_parameters_are_fitted_to_tiles_if_noise_is_to_be_estimated(raster, capsys):
    assert main(["fill-tiles", "ground.tif", "--channel", "1", "--out", "out"]) == 0
    result = large.fill(read_geotiff("ground.tif", band=1).image)
    said = json.loads((raster / "out/ground-tiles.json").read_text())
    assert said["parameters"] == result.model.parameters
    assert said["noise_variance"] == result.noise_variance
    assert json.loads((raster / "out/ground-fit.json").read_text())
    assert "fitted to" in capsys.readouterr().out


def test_noise_variances_may_be_a_raster(raster, capsys):
    with rasterio.open("ground.tif") as file:
        profile = {**file.profile, "dtype": "float64", "count": 1}
    noise = np.random.default_rng(1).uniform(0.1, 0.5, SHAPE)
    with rasterio.open("noise.tif", "w", **profile) as target:
        target.write(noise, 1)
    with rasterio.open("small.tif", "w", **{**profile, "height": 20}) as target:
        target.write(noise[:20], 1)
    command = ["fill-tiles", "ground.tif", "--channel", "1", "--out", "out", *TILES, "--noise-variance"]
    assert main([*command, "noise.tif"]) == 0
    image = read_geotiff("ground.tif", band=1).image
    expected = large.fill(image, model=TensionSpline(0.5, tau=1.0), noise_variance=noise, core=30, halo=14)
    np.testing.assert_array_equal(read_geotiff("out/ground-mean.tif").image, expected.mean.astype(np.float32))
    capsys.readouterr()
    assert main([*command, "small.tif", "--overwrite"]) == 2
    assert "noise-variance must have the pixels of the image, (52, 60), got (20, 60)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "best"], "model must be one field with tiles"),
        (["--noise-variance", "none"], "noise-variance must be estimate, a number or an existing raster, got none"),
        (["--noise-variance", "0"], "noise_variance must be positive"),
        (["--covariates", "linear", "--tolerance", "-1"], "tolerance must be positive"),
        (["--mean-tolerance", "0"], "mean_tolerance must be positive"),
        (["--set", "boundary=torus"], "which wraps"),
    ],
)
def test_bad_arguments_are_told_and_nothing_is_written(raster, capsys, arguments, message):
    assert main(["fill-tiles", "ground.tif", "--channel", "1", "--out", "out", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert {each.name for each in raster.iterdir()} == {"ground.tif"}


def test_bands_must_be_chosen_and_inputs_are_no_outputs(raster, capsys):
    assert main(["fill-tiles", "ground.tif", "--out", "out"]) == 2
    assert "ground.tif has 2 bands; choose one with channel (--channel) 0 to 1" in capsys.readouterr().err
    assert main(["fill-tiles", "nothing.tif", "--out", "out"]) == 2
    assert "nothing.tif" in capsys.readouterr().err


def test_rasters_behind_a_url_are_filled_as_those_here_and_a_run_of_one_can_be_resumed(raster, monkeypatch, capsys):
    assert main(["fill-tiles", "ground.tif", "--channel", "1", "--out", "here", *TILES]) == 0
    with served(raster, monkeypatch) as address:
        command = ["fill-tiles", f"http://{address}/ground.tif", "--channel", "1", "--out", "away", *TILES]
        with monkeypatch.context() as broken:
            broken.setattr("sparsegmrf.cli._tiles_out.Destination.write", interrupted)
            assert main(command) == 130
        assert main([*command, "--resume"]) == 0
        assert main(["fill-tiles", f"http://{address}/none.tif", "--out", "none"]) == 2
    assert re.search(r"a raster, got http://.*/none\.tif, which cannot be read", capsys.readouterr().err)
    for name in NAMES:
        name = f"ground-{name.replace('_', '-')}.tif"
        np.testing.assert_array_equal(read_geotiff(f"away/{name}").image, read_geotiff(f"here/{name}").image)


def interrupted(*_):
    raise KeyboardInterrupt


def test_windows_have_the_values_of_the_whole(raster):
    whole = read_geotiff("ground.tif", band=1).image
    with open_windows("ground.tif", band=1) as windows:
        assert (windows.shape, windows.unit, windows.name) == (SHAPE, "percent", "reflectance")
        assert windows.dtype == np.float32
        for rows, columns in (
            (slice(0, 52), slice(0, 60)),
            (slice(7, 20), slice(19, 33)),
            (slice(51, 52), slice(0, 1)),
        ):
            np.testing.assert_array_equal(windows.read(rows, columns), whole[rows, columns])


def test_a_damaged_block_is_told_with_its_rows(raster):
    with rasterio.open("ground.tif") as file:
        profile, values = {**file.profile, "compress": "deflate", "count": 1}, file.read(2)
    with rasterio.open("packed.tif", "w", **profile) as target:
        target.write(values, 1)
    size = (raster / "packed.tif").stat().st_size
    with open(raster / "packed.tif", "r+b") as file:
        file.seek(size // 2)
        file.write(bytes(200))
    with open_windows("packed.tif") as windows, pytest.raises(FileError, match=r"in rows 0 to 51 and columns 0 to 59"):
        windows.read(slice(0, 52), slice(0, 60))
    assert main(["fill-tiles", "packed.tif", "--out", "out", *TILES]) == 2
    assert not (raster / "out").exists()


def test_a_file_that_does_not_hold_what_was_written_never_appears(raster):
    calls: list[slice] = []

    def changing(rows, columns):
        calls.append(rows)
        return np.full((rows.stop - rows.start, columns.stop - columns.start), float(len(calls)))

    with open_windows("ground.tif", band=1) as windows:
        with pytest.raises(FileError, match=r"other\.tif cannot be written: what stands in rows 0 to 51"):
            write_windows("other.tif", [changing], ["changing"], windows)
        with pytest.raises(ArgumentError, match="got 0 names and 0 bands"):
            write_windows("other.tif", [], [], windows)
    assert {each.name for each in raster.iterdir()} == {"ground.tif"}


def test_large_files_have_overviews(raster):
    profile = {"driver": "GTiff", "height": 700, "width": 1100, "dtype": "float64", "count": 1}
    with rasterio.open("wide.tif", "w", transform=rasterio.Affine.scale(10.0), **profile) as target:
        target.write(np.arange(770000.0).reshape(1, 700, 1100) / 3.0)
    with open_windows("wide.tif") as windows:
        write_windows("copy.tif", [windows.read], ["copy"], windows)
        expected = windows.read(slice(0, 700), slice(0, 1100))
    with rasterio.open("copy.tif") as file:
        assert file.overviews(1) == [2, 4]
        np.testing.assert_array_equal(file.read(1), expected)
