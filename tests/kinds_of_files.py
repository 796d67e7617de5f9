"""Small files of many kinds with gaps, made by the libraries of their formats."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import require

SHAPE = (12, 14)
HOLE = np.zeros(SHAPE, dtype=bool)
HOLE[4:7, 5:9] = True


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    `make` writes it and returns its values, NaN where they are missing; `marks` is what says so, in words.
    """

    name: str
    file: str
    marks: str
    make: Callable[[Path], Any]
    options: tuple[str, ...] = ()
    suffix: str = ".tif"
    needs: tuple[str, ...] = ("rasterio",)
    observed: dict[str, Any] = field(default_factory=dict)


def scene(low=100.0, high=1000.0, dtype=np.float32, seed=0):
    """A smooth image with noise."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] / 4.0
    noise = 0.1 * np.random.default_rng(seed).standard_normal(SHAPE)
    unit = 0.5 + 0.2 * (np.sin(rows) * np.cos(columns) + noise)
    return (low + (high - low) * unit).astype(dtype)


def gappy(values):
    return np.where(HOLE, np.nan, np.asarray(values, dtype=np.float64))


def where(turned=False):
    rasterio = require("rasterio")
    place = rasterio.Affine(24.0, -18.0, 5e5, 18.0, 24.0, 5e6) if turned else rasterio.Affine(30, 0, 5e5, 0, -30, 5e6)
    return {"crs": "EPSG:32633", "transform": place}


def raster(path, bands, *, mask=None, internal=True, after=None, **profile):
    rasterio = require("rasterio")
    bands = np.asarray(bands)
    bands = bands if bands.ndim == 3 else bands[np.newaxis]
    given = {"driver": "GTiff", "count": len(bands), "height": SHAPE[0], "width": SHAPE[1], "dtype": bands.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal), rasterio.open(path, "w", **given | profile) as target:
            target.write(bands)
            if mask is not None:
                target.write_mask(mask)
            if after is not None:
                after(target)


def copied(path, driver, values, **options):
    base = path.with_name("base.tif")
    raster(base, values, **options)
    require("rasterio.shutil").copy(base, path, driver=driver)
    if driver != "VRT":
        base.unlink()


def float_nodata(path):
    raster(path, np.where(HOLE, np.float32(-9999.0), scene()), nodata=-9999.0, **where())
    return gappy(scene())


def packed(path):
    counts = scene(-2000, 2000, np.int16)

    def say(target):
        target.scales, target.offsets, target.units = (0.001,), (273.15,), ("K",)
        target.update_tags(AREA_OR_POINT="Point", SENSOR="one")

    raster(path, np.where(HOLE, -32768, counts).astype(np.int16), nodata=-32768, after=say, **where())
    return gappy(counts * 0.001 + 273.15)


def masked(path, internal=True):
    counts = scene(20, 250, np.uint8)
    raster(path, np.where(HOLE, 0, counts).astype(np.uint8), mask=~HOLE, internal=internal, **where())
    return gappy(counts)


def alpha(path):
    bands = [scene(20, 250, np.uint8, seed) for seed in range(3)]
    bands.append(np.where(HOLE, 0, 255).astype(np.uint8))
    raster(path, bands, photometric="RGB", alpha="yes", **where())
    return gappy(bands[1])


def planes(path):
    bands = np.stack([scene(seed=seed) for seed in range(3)])
    raster(path, np.where(HOLE, np.float32(np.nan), bands), interleave="band", nodata=np.nan, **where())
    return gappy(bands[2])


def several_marks(path):
    values = scene(dtype=np.float64) + 1e-7
    stored = np.where(HOLE, np.nan, values)
    stored[0, 0] = -1.5e300
    raster(path, stored, nodata=-1.5e300, **where())
    values[0, 0] = np.nan
    return gappy(values)


def control_points(path):
    point = require("rasterio").control.GroundControlPoint
    corners = [(0, 0), (0, SHAPE[1]), (SHAPE[0], 0), (SHAPE[0], SHAPE[1])]
    points = [point(row=r, col=c, x=10.0 + 0.1 * c, y=50.0 - 0.1 * r) for r, c in corners]
    raster(path, np.where(HOLE, 0, scene(dtype=np.uint16)).astype(np.uint16), gcps=points, crs="EPSG:4326", nodata=0)
    return gappy(scene(dtype=np.uint16))


def polynomials(path):
    terms = [1.0] + [0.0] * 19
    rpcs = require("rasterio.rpc").RPC(
        100.0, 500.0, 10.0, 1.0, terms, terms, 6.0, 10.0, 50.0, 1.0, terms, terms, 5.0, 8.0
    )
    raster(path, np.where(HOLE, np.float32(-1.0), scene()), rpcs=rpcs, nodata=-1.0)
    return gappy(scene())


def world_file(path):
    raster(path, np.where(HOLE, 0, scene(20, 250, np.uint8)).astype(np.uint8))
    path.with_suffix(".tfw").write_text("30\n0\n0\n-30\n500015\n4999985\n")
    return gappy(scene(20, 250, np.uint8))


def turned(path):
    raster(path, np.where(HOLE, 0, scene(dtype=np.int32)).astype(np.int32), nodata=0, **where(turned=True))
    return gappy(scene(dtype=np.int32))


def tiled(path):
    options = {"tiled": True, "blockxsize": 16, "blockysize": 16, "BIGTIFF": "YES", "compress": "lzw"}
    raster(path, np.where(HOLE, 65535, scene(dtype=np.uint16)).astype(np.uint16), nodata=65535, **options, **where())
    return gappy(scene(dtype=np.uint16))


def optimized(path):
    copied(path, "COG", np.where(HOLE, np.float32(-9999.0), scene()), nodata=-9999.0, **where())
    return gappy(scene())


def by_driver(driver, dtype=np.float32):
    def make(path):
        values = scene(20, 250, dtype)
        copied(path, driver, np.where(HOLE, dtype(1), values).astype(dtype), nodata=1, **where())
        return gappy(values)

    return make


def nitf(path):
    rasterio = require("rasterio")
    place = {"crs": "EPSG:4326", "transform": rasterio.Affine(0.1, 0.0, 5.0, 0.0, -0.1, 50.0)}
    copied(path, "NITF", np.where(HOLE, 0, scene(20, 250, np.uint8)).astype(np.uint8), **place)
    return gappy(scene(20, 250, np.uint8))


def jpeg2000(path):
    base = path.with_name("base.tif")
    raster(base, scene(20, 250, np.uint8), **where())
    require("rasterio.shutil").copy(base, path, driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES")
    base.unlink()
    np.save(path.with_name("mask.npy"), HOLE)
    return gappy(scene(20, 250, np.uint8))


def grid():
    lat, lon = np.linspace(50.0, 44.5, SHAPE[0]), np.linspace(5.0, 11.5, SHAPE[1])
    return {"lat": ("lat", lat, {"units": "degrees_north"}), "lon": ("lon", lon, {"units": "degrees_east"})}


def variable(values, dims=("lat", "lon"), **more):
    attributes = {"units": "K", "long_name": "temperature"}
    return require("xarray").DataArray(values, {**grid(), **more}, dims, "t", attributes)


def netcdf(path):
    array = variable(gappy(scene()).astype(np.float32))
    array.encoding["_FillValue"] = np.float32(-1e30)
    array.to_netcdf(path)
    return gappy(scene())


def netcdf_packed(path):
    counts = scene(1000, 20000, np.int16)
    array = variable(np.where(HOLE, 30000, counts).astype(np.int16))
    array.attrs |= {"scale_factor": 0.01, "add_offset": 200.0, "valid_range": np.array([0, 25000], np.int16)}
    array.to_netcdf(path)
    return gappy(counts * 0.01 + 200.0)


def netcdf_deep(path):
    values = np.stack([[scene(seed=2 * t + k) for k in range(2)] for t in range(3)])
    dates = np.array(["2024-01-01", "2024-01-02", "2024-01-03"], dtype="datetime64[ns]")
    levels = ("level", [850.0, 500.0], {"units": "hPa", "positive": "down"})
    dims = ("time", "level", "lat", "lon")
    variable(np.where(HOLE, np.nan, values).astype(np.float32), dims, time=dates, level=levels).to_netcdf(path)
    return gappy(values[1, 0])


def netcdf_group(path):
    array = variable(gappy(scene())).expand_dims(band=2).transpose("lon", "lat", "band")
    array.to_netcdf(path, group="level2/product")
    return gappy(scene()).T


def netcdf_unmarked(path):
    values = scene(dtype=np.int32)
    with require("netCDF4").Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
        for name, size in zip("yx", SHAPE, strict=True):
            file.createDimension(name, size)
            file.createVariable(name, "f8", (name,))[:] = np.arange(size) * 10.0
        file.createVariable("z", "i4", ("y", "x"))[:] = np.ma.masked_array(values, HOLE)
    return gappy(values)


def zarr(path, version=3):
    array = variable(gappy(scene()).astype(np.float32))
    if version == 2:
        array.encoding = {"dtype": "int16", "scale_factor": 0.5, "add_offset": 100.0, "_FillValue": np.int16(-1)}
    array.to_dataset().to_zarr(path, zarr_format=version, consolidated=False)
    if version == 2:
        return gappy(np.rint((scene() - 100.0) / 0.5) * 0.5 + 100.0)
    return gappy(scene())


def sky():
    header = require("astropy.io.fits").Header()
    for number, (kind, value, step) in enumerate((("RA---TAN", 83.6, -0.01), ("DEC--TAN", 22.0, 0.01)), start=1):
        header[f"CTYPE{number}"], header[f"CRVAL{number}"] = kind, value
        header[f"CRPIX{number}"], header[f"CDELT{number}"] = 4.0 + number, step
    header["BUNIT"], header["OBJECT"] = "Jy", "M1"
    return header


def fits(path):
    require("astropy.io.fits").PrimaryHDU(gappy(scene()).astype(np.float32), sky()).writeto(path)
    return gappy(scene())


def fits_blank(path):
    counts = scene(-2000, 2000, np.int16)
    unit = require("astropy.io.fits").PrimaryHDU(
        np.where(HOLE, -32768, counts).astype(np.int16), do_not_scale_image_data=True
    )
    unit.header.update(sky())
    unit.header["BLANK"], unit.header["BSCALE"], unit.header["BZERO"] = -32768, 0.5, 7.0
    unit.writeto(path)
    return gappy(counts * 0.5 + 7.0)


def fits_compressed(path):
    module = require("astropy.io.fits")
    module.CompImageHDU(
        gappy(scene()).astype(np.float32), sky(), compression_type="GZIP_2", quantize_level=0.0
    ).writeto(path)
    return gappy(scene())


def nifti(path):
    nibabel = require("nibabel")
    affine = np.array([[-2.0, 0, 0, 90.0], [0, 0.8, -1.0, 70.0], [0, 0.6, 2.0, -50.0], [0, 0, 0, 1.0]])
    volume = np.stack([gappy(scene(seed=seed)) for seed in range(3)], axis=-1).astype(np.float32)
    image = nibabel.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return gappy(scene(seed=1))


def png(path):
    counts = np.stack([scene(20, 250, np.uint8), np.where(HOLE, 0, 255).astype(np.uint8)], axis=-1)
    require("PIL.Image").fromarray(counts, "LA").save(path)
    return gappy(counts[..., 0])


def jpeg(path):
    image = require("PIL.Image")
    image.fromarray(scene(20, 250, np.uint8)).save(path)
    np.save(path.with_name("mask.npy"), HOLE)
    with image.open(path) as file:
        return gappy(np.asarray(file))


def tiff(path):
    require("tifffile").imwrite(path, gappy(scene()).astype(np.float32))
    return gappy(scene())


def npy(path):
    np.save(path, gappy(scene(dtype=np.float64)))
    return gappy(scene(dtype=np.float64))


def npz(path):
    np.savez(path, z=gappy(scene()), count=np.arange(3))
    return gappy(scene())


NC = ("netCDF4", "xarray")
ZARR = ("xarray", "zarr")
KINDS = (
    Kind("GeoTIFF, float32", "in.tif", "no-data value", float_nodata),
    Kind("GeoTIFF, int16 with scale and offset", "in.tif", "no-data value", packed),
    Kind("GeoTIFF, uint8", "in.tif", "mask in the file", masked),
    Kind(
        "GeoTIFF, uint8, named .gtiff", "in.gtiff", "mask beside it (.msk)", lambda path: masked(path, internal=False)
    ),
    Kind("GeoTIFF, RGBA", "in.tif", "transparency", alpha, ("--channel", "1")),
    Kind("GeoTIFF, plane by plane", "in.tif", "NaN", planes, ("--channel", "2")),
    Kind("GeoTIFF, float64", "in.tif", "NaN and no-data value", several_marks),
    Kind("GeoTIFF, ground control points", "in.tif", "no-data value", control_points),
    Kind("GeoTIFF, rational polynomials", "in.tif", "no-data value", polynomials),
    Kind("GeoTIFF, turned", "in.tif", "no-data value", turned),
    Kind("BigTIFF, tiles", "in.tif", "no-data value", tiled),
    Kind("cloud-optimized GeoTIFF", "in.tif", "no-data value", optimized),
    Kind("TIFF and world file", "in.tif", "`--nodata`", world_file, ("--nodata", "0")),
    Kind("ESRI ASCII grid, float32", "in.asc", "no-data value", by_driver("AAIGrid")),
    Kind("ENVI, int16", "in.bsq", "no-data value", by_driver("ENVI", np.int16)),
    Kind("HFA, uint16", "in.img", "no-data value", by_driver("HFA", np.uint16)),
    Kind("VRT of a GeoTIFF", "in.vrt", "no-data value", by_driver("VRT")),
    Kind("NITF, uint8", "in.ntf", "`--nodata`", nitf, ("--nodata", "0")),
    Kind("JPEG 2000, uint8", "in.jp2", "`--mask`", jpeg2000, ("--mask", "mask.npy")),
    Kind("NetCDF, float32", "in.nc", "`_FillValue`", netcdf, suffix=".nc", needs=NC),
    Kind("NetCDF, packed int16", "in.nc", "`valid_range`", netcdf_packed, suffix=".nc", needs=NC),
    Kind(
        *("NetCDF, four dimensions", "in.nc", "NaN", netcdf_deep),
        *(("--select", "level=850", "--channel", "1"), ".nc", NC),
    ),
    Kind(
        *("NetCDF, group, (lon, lat, band)", "in.nc", "NaN", netcdf_group, ("--channel", "0")),
        *(".nc", NC),
    ),
    Kind("NetCDF classic, int32", "in.nc", "fill value of the format", netcdf_unmarked, suffix=".nc", needs=NC),
    Kind("Zarr, format 3", "in.zarr", "NaN", zarr, suffix=".zarr", needs=ZARR),
    Kind(
        *("Zarr, format 2, packed int16", "in.zarr", "fill value", lambda path: zarr(path, 2), (), ".zarr", ZARR),
    ),
    Kind("FITS, float32", "in.fits", "NaN", fits, suffix=".fits", needs=("astropy",)),
    Kind("FITS, scaled int16", "in.fits", "`BLANK`", fits_blank, suffix=".fits", needs=("astropy",)),
    Kind("FITS, compressed", "in.fits.fz", "NaN", fits_compressed, suffix=".fits", needs=("astropy",)),
    Kind("NIfTI, float32, a slice", "in.nii.gz", "NaN", nifti, ("--channel", "1"), ".nii", ("nibabel",)),
    Kind("PNG, grey with opacity", "in.png", "transparency", png),
    Kind("JPEG, uint8", "in.jpg", "`--mask`", jpeg, ("--mask", "mask.npy")),
    Kind("TIFF, float32", "in.tif", "NaN", tiff),
    Kind("NumPy, float64", "in.npy", "NaN", npy, ("--mask", "nan"), ".npy"),
    Kind("NumPy archive, float64", "in.npz", "NaN", npz, ("--mask", "nan"), ".npy"),
)
