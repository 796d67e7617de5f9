"""The size of pixels in files: what a transform or coordinates say, and what the commands make of it."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import sparsegmrf
from sparsegmrf.cli import main
from sparsegmrf.geo import read_geotiff, read_netcdf
from sparsegmrf.inference import spacing_on_sphere
from sparsegmrf.models import Matern

rasterio = pytest.importorskip("rasterio")
xr = pytest.importorskip("xarray")

IMAGE = Matern(9.0, spacing=(2.0, 1.0)).gmrf((16, 18)).sample(rng=0)
AFFINE = rasterio.Affine


def geotiff(path, transform, crs):
    profile = {"driver": "GTiff", "count": 1, "height": 16, "width": 18, "dtype": "float64"}
    with rasterio.open(path, "w", crs=crs, transform=transform, **profile) as file:
        file.write(IMAGE, 1)
    return path


@pytest.mark.parametrize(
    ("transform", "crs", "size", "unit"),
    [
        (AFFINE(30.0, 0.0, 5e5, 0.0, -60.0, 5e6), "EPSG:32633", (60.0, 30.0), "m"),
        (AFFINE(30.0, 0.0, 5e5, 0.0, 60.0, 5e6), "EPSG:32633", (60.0, 30.0), "m"),
        (AFFINE(0.0, 60.0, 5e5, 30.0, 0.0, 5e6), "EPSG:32633", (60.0, 30.0), "m"),
        (AFFINE(24.0, -36.0, 5e5, 18.0, 48.0, 5e6), "EPSG:32633", (60.0, 30.0), "m"),
        (AFFINE(5.0, 0.0, 0.0, 0.0, -2.5, 0.0), "EPSG:2263", (2.5, 5.0), "US survey foot"),
        (AFFINE(5.0, 0.0, 0.0, 0.0, -2.5, 0.0), None, (2.5, 5.0), ""),
        (AFFINE(30.0, 10.0, 5e5, 0.0, -60.0, 5e6), "EPSG:32633", (1.0, 1.0), "pixels"),
        (AFFINE(0.1, 0.02, 5.0, 0.02, -0.1, 50.0), "EPSG:4326", (1.0, 1.0), "pixels"),
        (AFFINE(0.1, 0.0, 5.0, 0.0, -0.1, 91.0), "EPSG:4326", (1.0, 1.0), "pixels"),
    ],
)
def test_transforms_are_sizes(tmp_path, transform, crs, size, unit):
    found = read_geotiff(geotiff(tmp_path / "a.tif", transform, crs)).spacing
    assert (found.height, found.width) == pytest.approx(size, rel=1e-12)
    assert found.unit == unit
    assert bool(found.note) == (unit == "pixels")


def test_degrees_are_kilometres_row_by_row(tmp_path):
    found = read_geotiff(geotiff(tmp_path / "a.tif", AFFINE(0.5, 0.0, 5.0, 0.0, -0.25, 60.0), "EPSG:4326")).spacing
    expected = spacing_on_sphere(60.0 - 0.25 * (np.arange(16) + 0.5), 0.25, 0.5)
    assert found.unit == "km"
    assert found.height == pytest.approx(expected.height)
    assert_allclose(found.width, expected.width, rtol=1e-12)


def test_netcdf_is_that_of_its_coordinates(tmp_path):
    rows, columns = ("y", np.arange(16) * 2.0, {"units": "km"}), ("x", np.arange(18) * 1.0, {"units": "km"})
    xr.DataArray(np.stack([IMAGE, IMAGE]), {"y": rows, "x": columns}, ("time", "y", "x"), "z").to_netcdf(
        tmp_path / "a.nc"
    )
    for index in (0, "all"):
        found = read_netcdf(tmp_path / "a.nc", index=index).spacing
        assert (found.height, found.width, found.unit) == (2.0, 1.0, "km")


def told(tmp_path, capsys, *arguments):
    """What ``fit`` prints and writes."""
    out = tmp_path / "fit.json"
    assert main(["fit", *map(str, arguments), "--noise-variance", "none", "--out", str(out)]) == 0
    text = json.loads(out.read_text())
    out.unlink()
    return capsys.readouterr().out, text


def test_fit_takes_the_size_of_the_file_or_the_one_given(tmp_path, capsys):
    path = geotiff(tmp_path / "a.tif", AFFINE(30.0, 0.0, 5e5, 0.0, -60.0, 5e6), "EPSG:32633")
    expected = sparsegmrf.fit(Matern(), IMAGE, noise_variance=None, spacing=(60.0, 30.0))
    said, written = told(tmp_path, capsys, path)
    assert written["parameters"] == pytest.approx(expected.parameters, rel=1e-6)
    assert written["units"] == {"range": "m"}
    assert written["model"]["spacing"] == [60.0, 30.0]
    assert "a pixel is 60 x 30 m" in said
    said, written = told(tmp_path, capsys, path, "--spacing", "0.06,0.03")
    assert written["parameters"]["range"] == pytest.approx(expected.parameters["range"] / 1000.0, rel=1e-4)
    said, written = told(tmp_path, capsys, path, "--spacing", "none")
    assert written["parameters"] == sparsegmrf.fit(Matern(), IMAGE, noise_variance=None).parameters
    assert written["units"] == {"range": "pixels"}
    assert " pixels" in said
    said, written = told(tmp_path, capsys, path, "--set", "spacing=6,3", "--set", "range=50")
    assert written["parameters"]["range"] == pytest.approx(expected.parameters["range"] / 10.0, rel=1e-4)
    for given in ("30", "a,b", "1,2,3"):
        assert main(["fit", str(path), "--spacing", given]) == 2
        assert f"spacing must be HEIGHT,WIDTH such as 30,30, or none, or coordinates, got {given}" in (
            " ".join(capsys.readouterr().err.split())
        )


def test_fill_takes_the_size_of_the_file(tmp_path, capsys):
    path = geotiff(tmp_path / "a.tif", AFFINE(0.5, 0.0, 5.0, 0.0, -0.25, 60.0), "EPSG:4326")
    source = read_geotiff(path)
    expected = sparsegmrf.fill(IMAGE, model=Matern(), spacing=source.spacing)
    assert main(["fill", str(path), "--out", str(tmp_path / "out"), "--model", "matern"]) == 0
    assert_array_equal(read_geotiff(tmp_path / "out" / "a-mean.tif").image, expected.mean)
    said = capsys.readouterr().out
    assert "km" in said
    assert "a pixel is 27.799 x" in said
