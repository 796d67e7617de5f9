"""Small files of several channels with gaps of their own, and options with which they are filled quickly."""

import warnings
from pathlib import Path

import numpy as np

from sparsegmrf import fill
from sparsegmrf.models import Channels, Matern
from tests.conftest import require
from tests.kinds_of_files import HOLE, SHAPE, raster, scene, where

COUNT = 3
GAP = -9999
QUICK = ("--model", "matern", "--fixed", "range", "--fixed", "sigma", "--noise-variance", "0.1")
ALL = ("--channels", "all", *QUICK)
EACH = (*ALL, "--separately")


def counts(dtype=np.uint8, low=20, high=250):
    """Three channels that see the same, with noise of their own, channels first."""
    common = scene(low, high, np.float64)
    own = np.random.default_rng(4).standard_normal((COUNT, *SHAPE))
    return np.rint(common * np.array([1.0, 0.8, 0.6])[:, None, None] + 3.0 * own).astype(dtype)


def gaps():
    """A gap of every channel of its own, channels first."""
    return np.stack([np.roll(HOLE, (k, -2 * k), axis=(0, 1)) for k in range(COUNT)])


def holed():
    """Channels last, NaN where each has its gap."""
    return np.moveaxis(np.where(gaps(), np.nan, counts(np.int16)), 0, -1)


def bands(path="in.tif", scales=(1.0, 1.0, 1.0)):
    """A GeoTIFF of three bands with gaps of their own, descriptions of two of them and metadata of one."""

    def say(target):
        for k, name in enumerate(("red", "nir", ""), start=1):
            target.set_band_description(k, name)
        target.update_tags(2, WAVELENGTH="842")
        target.units = ("1", "1", "K")
        target.scales = scales

    stored = np.where(gaps(), GAP, counts(np.int16)).astype(np.int16)
    raster(Path(path), stored, nodata=GAP, after=say, **where())
    return holed() * np.array(scales)


def colours(path="in.tif"):
    """A GeoTIFF of red, green, blue and transparency: a hole without any, and a pixel with half of it."""
    opacity = np.where(HOLE, 0, 255).astype(np.uint8)
    opacity[0, 0] = 100
    names = ("red", "green", "blue")

    def say(target):
        for k, name in enumerate(names, start=1):
            target.set_band_description(k, f"band of {name}")

    stored = np.concatenate([counts(), opacity[np.newaxis]])
    raster(Path(path), stored, photometric="RGB", alpha="yes", after=say, **where())
    return np.moveaxis(counts(), 0, -1).astype(float), opacity


def series(path="in.nc", dims=("band", "lat", "lon"), **more):
    """A variable with a dimension of bands, and one with dates as well."""
    xarray = require("xarray")
    require("netCDF4")
    attributes = {"units": "1", "long_name": "reflectance", "standard_name": "surface_bidirectional_reflectance"}
    image = xarray.DataArray(
        np.moveaxis(holed(), -1, 0).astype(np.float32),
        {
            "band": ("band", [490, 560, 842], {"units": "nm"}),
            "lat": ("lat", 50.0 - 0.1 * np.arange(SHAPE[0]), {"units": "degrees_north"}),
            "lon": ("lon", 0.1 * np.arange(SHAPE[1]), {"units": "degrees_east"}),
        },
        ("band", "lat", "lon"),
        "refl",
        attributes,
    )
    for name, values in more.items():
        image = xarray.concat([image + k for k in range(len(values))], xarray.DataArray(values, dims=name, name=name))
        image.attrs = attributes
    image.transpose(*dims).to_netcdf(path)
    return holed()


def opened(path):
    rasterio = require("rasterio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        file = rasterio.open(path)
    with file:
        return {
            "values": np.moveaxis(file.read().astype(np.float64), 0, -1),
            "names": file.descriptions,
            "colours": [each.name for each in file.colorinterp],
            "nodata": file.nodatavals,
            "units": file.units,
            "place": (file.crs, file.transform),
            "tags": [file.tags(k + 1) for k in range(file.count)],
            "dtype": file.dtypes[0],
        }


def together(values, model=None, **options):
    """What the library makes of the channels by the quick options."""
    spatial = Matern() if model is None else model
    given = {"fixed": ["range", "sigma"], "noise_variance": 0.1, "covariates": "linear", **options}
    return fill(values, model=Channels(spatial, np.eye(COUNT)), **given)
