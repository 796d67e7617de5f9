"""Axes of pictures are the coordinates of an image where these are even numbers, else rows and columns."""

import numpy as np
import pytest

from sparsegmrf.plot import fill_figure, write_figure
from sparsegmrf.plot._placement import Placement
from tests.conftest import require


def labelled(rows, columns, names=("y", "x"), **attributes):
    xr = require("xarray")
    units = attributes.pop("units", ({}, {}))
    coordinates = {name: (name, each, said) for name, each, said in zip(names, (rows, columns), units, strict=True)}
    return xr.DataArray(np.zeros((len(rows), len(columns))), dims=names, coords=coordinates, attrs=attributes)


def test_a_plain_array_is_counted_in_rows_that_go_down():
    found = Placement.of(np.zeros((3, 5)), (3, 5))
    assert found == Placement((-0.5, 4.5, 2.5, -0.5))
    assert found.names == ("row", "column")
    assert not found.upward


def test_coordinates_are_drawn_between_the_edges_of_pixels_with_their_unit():
    image = labelled(np.arange(6.0) * 10.0, 100.0 + 20.0 * np.arange(4.0), units=({"units": "m"}, {"units": "metres"}))
    found = Placement.of(image, image.shape)
    assert found.extent == (90.0, 170.0, 55.0, -5.0)
    assert found.names == ("y (m)", "x (m)")
    assert found.height == 1.0
    assert found.upward
    assert found.proportion == 60.0 / 80.0


def test_depths_go_down():
    image = labelled(np.arange(3.0), np.arange(4.0), units=({"positive": "down"}, {}))
    assert not Placement.of(image, image.shape).upward


def test_degrees_are_in_proportion_to_their_lengths_on_the_ground():
    degrees = ({"units": "degrees_north"}, {"units": "degrees_east", "long_name": "longitude"})
    image = labelled(np.linspace(61.0, 59.0, 21), np.linspace(5.0, 7.0, 11), ("lat", "lon"), units=degrees)
    found = Placement.of(image, image.shape)
    assert found.names == ("lat (°N)", "longitude (°E)")
    assert found.height == pytest.approx(2.0, rel=1e-3)  # one over the cosine of 60 degrees


@pytest.mark.parametrize(
    "rows", [np.array([0.0, 1.0, 4.0]), np.array(["a", "b", "c"]), np.arange("2020-01-01", 3, dtype="datetime64[D]")]
)
def test_what_is_no_even_numbers_is_counted(rows):
    image = labelled(rows, np.arange(4.0) * 2.0)
    found = Placement.of(image, image.shape)
    assert found.extent == (-1.0, 7.0, 2.5, -0.5)
    assert found.names == ("y (position)", "x")
    assert not found.upward


def test_pixels_of_unlike_units_are_square():
    image = labelled(np.arange(6.0) * 5.0, np.arange(4.0), units=({"units": "m"}, {"units": "h"}))
    found = Placement.of(image, image.shape)
    assert found.proportion == pytest.approx(6.0 / 4.0)


def test_a_raster_of_a_projection_has_northing_and_easting(tmp_path):
    rasterio = require("rasterio")
    from sparsegmrf.geo import read_geotiff

    path = tmp_path / "raster.tif"
    transform = rasterio.Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6)
    profile = {"driver": "GTiff", "height": 4, "width": 6, "count": 1, "dtype": "float32"}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=transform, **profile) as file:
        file.write(np.arange(24, dtype=np.float32).reshape(1, 4, 6))
    found = Placement.of(read_geotiff(path), (4, 6))
    assert found.extent == (5e5, 5e5 + 180.0, 5e6 - 120.0, 5e6)
    assert found.names == ("northing (m)", "easting (m)")
    assert found.upward


def test_a_turned_raster_is_counted(tmp_path):
    rasterio = require("rasterio")
    from sparsegmrf.geo import read_geotiff

    path = tmp_path / "raster.tif"
    profile = {"driver": "GTiff", "height": 4, "width": 6, "count": 1, "dtype": "float32"}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=rasterio.Affine(3, 1, 0, 1, -3, 0), **profile) as file:
        file.write(np.zeros((1, 4, 6), dtype=np.float32))
    assert Placement.of(read_geotiff(path), (4, 6)).names == ("row", "column")


def test_pixels_stand_where_their_coordinates_say(tmp_path):
    image = labelled(np.arange(5.0) * 10.0, np.arange(7.0) + 100.0)
    image.values[:] = np.arange(35.0).reshape(5, 7)
    figure = fill_figure(image, image, image)
    ax = figure.axes[0]
    (picture,) = ax.get_images()
    # The pixel of the first row lies at y = 0, the lowest of an axis that goes up.
    assert ax.get_ylim() == (-5.0, 45.0)
    assert ax.get_xlim() == (99.5, 106.5)
    left, right, lower, upper = picture.get_extent()
    assert (left, right, lower, upper) == (99.5, 106.5, 45.0, -5.0)
    assert ax.get_ylabel() == "y"
    write_figure(tmp_path / "figure.png", figure, dpi=40)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 300)])
def test_images_of_any_shape_are_drawn(tmp_path, shape):
    image = np.random.default_rng(0).standard_normal(shape)
    write_figure(tmp_path / "figure.png", fill_figure(image, image, np.abs(image)), dpi=40)
