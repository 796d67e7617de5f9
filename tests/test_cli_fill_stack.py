"""``sparsegmrf fill-stack``: what the library computes of images of several dates, or nothing."""

import json
import re

import numpy as np
import pytest

from sparsegmrf.cli import main
from sparsegmrf.geo import read_geotiff
from sparsegmrf.models import Matern
from sparsegmrf.stacks import _best, cross_validate, fill
from tests.conftest import require

rasterio = require("rasterio")
xarray = require("xarray")

DATES = ["2020-05-01", "2020-05-17", "2020-06-20"]
OPTIONS = ["--harmonics", "none", "--noise-variance", "0.04", "--set", "range=120"]
KNOWN = {"harmonics": None, "noise_variance": 0.04}
TRANSFORM = rasterio.Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6)


def values():
    rng = np.random.default_rng(0)
    found = 3.0 + Matern(range=4.0).gmrf((8, 9)).sample(rng=rng) + 0.2 * rng.standard_normal((3, 8, 9))
    found[1, 2:6, 3:7] = np.nan
    return found.astype(np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A NetCDF file series.nc, and the same images as GeoTIFFs with dates in their names."""
    monkeypatch.chdir(tmp_path)
    y, x = 5e6 - 30.0 * np.arange(8), 5e5 + 30.0 * np.arange(9)
    units = {"units": "m"}
    coords = {"time": np.array(DATES, "datetime64[ns]"), "y": ("y", y, units), "x": ("x", x, units)}
    stack = xarray.DataArray(values(), dims=("time", "y", "x"), coords=coords, name="ndvi", attrs={"units": "1"})
    stack.to_netcdf("series.nc")
    profile = {"driver": "GTiff", "height": 8, "width": 9, "dtype": "float32", "count": 1, "nodata": np.nan}
    for date, image in zip(DATES, values(), strict=True):
        with rasterio.open(
            f"ndvi_{date.replace('-', '')}.tif", "w", crs="EPSG:32633", transform=TRANSFORM, **profile
        ) as to:
            to.write(image[np.newaxis])
    return tmp_path


def expected(**options):
    return fill(values(), dates=DATES, model=Matern(range=120.0, spacing=(30.0, 30.0)), **KNOWN, **options)


def test_a_series_is_filled_as_by_the_library(folder, capsys):
    command = ["fill-stack", "series.nc", "--out", "out", "--at", "2020-06-01", "--samples", "2", *OPTIONS]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "3 dates" not in printed.err
    assert "4 dates of 8 x 9 pixels" in printed.out
    found = expected(at=["2020-06-01"], n_samples=2, rng=0)
    for name in ("filled", "mean", "std", "predictive_std"):
        with xarray.open_dataset(f"out/series-{name.replace('_', '-')}.nc") as written:
            (variable,) = written.data_vars.values()
            np.testing.assert_allclose(variable.transpose("time", "y", "x"), getattr(found, name), rtol=1e-5)
            assert written.time.dt.strftime("%Y-%m-%d").values.tolist() == DATES
    with xarray.open_dataset("out/series-at-mean.nc") as written:
        np.testing.assert_allclose(written["ndvi"].transpose("time", "y", "x"), found.at.mean, rtol=1e-5)
    with xarray.open_dataset("out/series-samples.nc") as written:
        np.testing.assert_allclose(written["ndvi"].transpose("sample", "time", "y", "x"), found.samples, rtol=1e-5)
    said = json.loads((folder / "out/series-fit.json").read_text())
    assert said["parameters"]["ell"] == pytest.approx(found.parameters["ell"], rel=0.01)  # it runs to infinity
    assert said["units"]["range"] == "m"
    assert said["loglik"] == pytest.approx(found.fit.loglik)


def test_rasters_are_filled_on_their_ground_by_the_dates_in_their_names(folder, capsys):
    rasters = [f"ndvi_{date.replace('-', '')}.tif" for date in DATES]
    assert main(["fill-stack", *rasters, "--out", "out", "--at", "2020-06-01", "--samples", "2", *OPTIONS]) == 0
    found = expected(at=["2020-06-01"], n_samples=2, rng=0)
    assert "wrote" in capsys.readouterr().out
    for k, date in enumerate(DATES):
        written = read_geotiff(f"out/ndvi_{date.replace('-', '')}-mean.tif")
        np.testing.assert_allclose(written.image, found.mean[k], rtol=1e-5)
        assert written.georeference["transform"] == TRANSFORM
        draws = read_geotiff(f"out/ndvi_{date.replace('-', '')}-samples.tif", band="all").image
        np.testing.assert_allclose(np.moveaxis(draws, -1, 0), found.samples[:, k], rtol=1e-5)
    written = read_geotiff("out/ndvi_20200501-at-2020-06-01-std.tif")
    np.testing.assert_allclose(written.image, found.at.std[0], rtol=1e-5)


def test_rasters_are_cloud_optimized_or_packed_on_request(folder):
    rasters = [f"ndvi_{date.replace('-', '')}.tif" for date in DATES]
    found = expected()
    for option in ("--cog", "--packed"):
        assert main(["fill-stack", *rasters, "--out", option, *OPTIONS, option]) == 0
        with rasterio.open(f"{option}/ndvi_20200517-mean.tif") as written:
            assert (written.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG") == (option == "--cog")
            assert (written.dtypes[0] == "float32") == (option == "--cog")
        np.testing.assert_allclose(
            read_geotiff(f"{option}/ndvi_20200517-mean.tif").image, found.mean[1], atol=1e-4 * np.ptp(found.mean[1])
        )
    assert main(["fill-stack", "series.nc", "--out", "out", *OPTIONS, "--packed"]) == 0
    with xarray.open_dataset("out/series-mean.nc") as written:
        assert written["ndvi"].encoding["dtype"].kind == "i"
        np.testing.assert_allclose(
            written["ndvi"].transpose("time", "y", "x"), found.mean, atol=1e-4 * np.ptp(found.mean)
        )


def test_moved_clouds_are_scored_as_by_the_library(folder, capsys):
    assert main(["fill-stack", "series.nc", "--out", "out", "--hold-out", "2", *OPTIONS]) == 0
    found = cross_validate(values(), dates=DATES, model=Matern(range=120.0, spacing=(30.0, 30.0)), clouds=2,
                           refit=False, **KNOWN)  # fmt: skip
    said = json.loads((folder / "out/series-fit.json").read_text())["held_out"]
    assert said["clouds"] == 2
    assert said["all"]["crps"] == pytest.approx(found.scores.crps, rel=1e-4)
    assert said["Mar-May"]["observations"] == found.by_season["Mar-May"].count
    printed = capsys.readouterr().out
    assert "2 clouds moved" in printed
    assert "Mar-May" in printed


def test_models_are_compared_on_the_command_line(folder, capsys, monkeypatch):
    monkeypatch.setattr(_best, "_WORTH", 1.0)  # the default alone
    assert main(["fill-stack", "series.nc", "--out", "out", "--model", "best", "--noise-variance", "0.04"]) == 0
    said = json.loads((folder / "out/series-fit.json").read_text())["comparison"]
    assert said["chosen"] == said["default"] == "field, no maps"
    assert set(said["left_out"]) == {"field, level maps", "field, level of each pixel by itself", "modes"}
    assert "<- chosen" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["fill", "fill-stack"])
def test_a_terminal_is_told_how_far_a_stack_is(folder, capsys, monkeypatch, command):
    for name in ("TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "FORCE_COLOR": "1", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    assert main([command, "series.nc", "--out", "out", "--hold-out", "2", *OPTIONS]) == 0
    err = capsys.readouterr().err
    assert re.search(r"fitting, \d+ of about \d+", err)
    assert re.search(r"predicting, \d of about 6", err)
    assert "fold 1 of 2" in err


def test_modes_are_written_with_what_they_have(folder):
    assert main(["fill-stack", "series.nc", "--out", "out", "--model", "modes"]) == 0
    said = json.loads((folder / "out/series-fit.json").read_text())
    assert said["parameters"]["rank"] == fill(values(), dates=DATES, model="modes").parameters["rank"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ndvi_20200501.tif"], "dimension of dates"),
        (["ndvi_20200501.tif", "ndvi_20200517.tif", "--dates", "2020-05-01"], "one date per image"),
        (["ndvi_20200501.tif", "plain.tif"], "the name plain.tif has no dates"),
        (["series.nc", "--model", "best", "--set", "range=3"], "set must be left out with model best"),
        (["series.nc", "--model", "best", "--hold-out", "2"], "hold-out must be left out"),
        (["series.nc", "--model", "best", "--harmonics", "none"], "harmonics must be left out"),
        (["series.nc", "--hold-out", "-1"], "hold-out must be at least 0"),
        (["series.nc", "--harmonics", "many"], "harmonics must be auto or a number"),
        (["series.nc", "--at", "tomorrow"], "'tomorrow'"),
        (["series.nc", "--cog"], "cog is for GeoTIFF on the ground, got out/series-filled.nc"),
    ],
    ids=str,
)
def test_bad_input_leaves_nothing(folder, capsys, arguments, said):
    (folder / "plain.tif").write_bytes((folder / "ndvi_20200517.tif").read_bytes())
    assert main(["fill-stack", *arguments, "--out", "out"]) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_rasters_of_another_ground_are_refused(folder, capsys):
    moved = rasterio.Affine(30.0, 0.0, 5e5 + 30.0, 0.0, -30.0, 5e6)
    profile = {"driver": "GTiff", "height": 8, "width": 9, "dtype": "float32", "count": 1}
    with rasterio.open("ndvi_20200701.tif", "w", crs="EPSG:32633", transform=moved, **profile) as to:
        to.write(values()[:1])
    assert main(["fill-stack", "ndvi_20200501.tif", "ndvi_20200701.tif", "--out", "out"]) == 2
    assert "same ground" in capsys.readouterr().err


def test_fill_of_a_series_and_of_several_rasters_is_fill_stack(folder):
    rasters = [f"ndvi_{date.replace('-', '')}.tif" for date in DATES]
    for inputs, name in ((["series.nc"], "series-mean.nc"), (rasters, "ndvi_20200517-mean.tif")):
        said = []
        for command in ("fill", "fill-stack"):
            assert main([command, "--out", command, "--noise-variance=0.04", *inputs, *OPTIONS[:2]]) == 0
            said.append((folder / command / name).read_bytes() if name.endswith("tif") else _values(command, name))
        assert np.array_equal(*said) if name.endswith("nc") else said[0] == said[1]


def _values(directory, name):
    with xarray.open_dataset(f"{directory}/{name}") as written:
        return written["ndvi_mean" if "ndvi_mean" in written else "ndvi"].values


def test_fill_of_one_image_of_a_series_is_that_image(folder):
    assert main(["fill", "series.nc", "--channel", "1", "--out", "one", "--model", "matern"]) == 0
    assert (folder / "one" / "series-fill.png").exists()


def test_several_fields_are_added(folder):
    parts = ["--field", "matern,range=120,ell=40,label=slow", "--field", "matern,range=60,ell=0,label=day"]
    command = ["fill-stack", "series.nc", "--out", "out", "--harmonics", "none", "--noise-variance", "0.04", *parts]
    assert main(command) == 0
    said = json.loads((folder / "out" / "series-fit.json").read_text())
    assert said["model"] == "Matern + Matern"
    expected = {"range_slow", "sigma_slow", "ell_slow", "range_day", "sigma_day", "noise_variance"}
    assert set(said["parameters"]) == expected


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--field", "matern", "--model", "matern"], "model and set must be left out with field"),
        (["--field", "best"], "field must begin with the name of a field"),
        (["--field", "matern,ell=soon"], "ell must be"),
    ],
)
def test_fields_that_are_none_are_refused(folder, capsys, more, said):
    assert main(["fill-stack", "series.nc", "--out", "out", *more]) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fill", "series.nc", "ndvi_20200501.tif", "--channels", "all"], "--channels is for one image, got 2 files"),
        (["fill", "ndvi_20200501.tif", "ndvi_20200517.tif", "--separately"], "fill them one by one, or leave it out"),
        (
            ["fill", "series.nc", "--mask=clouds.nc"],
            "--mask is for one image, got series.nc, which is filled as a stack",
        ),
        (["fill-stack", "series.nc", "--format", "tif"], "take one date by fill with --select time=DATE"),
    ],
)
def test_options_of_one_image_say_that_dates_are_a_stack(folder, capsys, words, said):
    assert main([*words, "--out", "out"]) == 2
    line = capsys.readouterr().err
    assert said in line
    assert line.count("\n") == 1
    assert not (folder / "out").exists()


def test_draws_are_stored_as_the_other_images_are(folder):
    rasters = [f"ndvi_{date.replace('-', '')}.tif" for date in DATES]
    found = expected(n_samples=2, rng=0).samples
    assert main(["fill-stack", *rasters, "--out", "out", *OPTIONS, "--samples", "2", "--cog", "--packed"]) == 0
    with rasterio.open("out/ndvi_20200517-samples.tif") as written:
        assert written.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
        assert written.dtypes == ("int16", "int16")
    draws = np.moveaxis(read_geotiff("out/ndvi_20200517-samples.tif", band="all").image, -1, 0)
    np.testing.assert_allclose(draws, found[:, 1], atol=1e-4 * np.ptp(found))
    assert main(["fill-stack", "series.nc", "--out", "out", *OPTIONS, "--samples", "2", "--packed"]) == 0
    with xarray.open_dataset("out/series-samples.nc") as written:
        assert written["ndvi"].encoding["dtype"].kind == "i"
        np.testing.assert_allclose(
            written["ndvi"].transpose("sample", "time", "y", "x"), found, atol=1e-4 * np.ptp(found)
        )
