"""A place in the words of another format: GeoTIFF as NetCDF or Zarr, and these as GeoTIFF."""

from typing import Any

import numpy as np

from sparsegmrf._libraries import library
from sparsegmrf.errors import ArgumentError
from sparsegmrf.geo._bands import BandNotes
from sparsegmrf.geo._geotiff import GeoTiff
from sparsegmrf.geo._netcdf import NetCdf
from sparsegmrf.inference._around import is_latitude, is_longitude, longitude_steps
from sparsegmrf.inference._spacing import mappings

_EVEN = 0.01
"""Largest difference of a coordinate from even spacing, in steps, as of the size of pixels."""


def as_netcdf(raster: GeoTiff, path: object, argument: str = "path") -> NetCdf:
    """Return a raster with coordinates for its rows and columns.

    Raises
    ------
    ArgumentError
        If the raster is turned, or placed by ground control points or polynomials.
    """
    place = raster.georeference
    transform, points = place["transform"], place["gcps"][0]
    if transform.b != 0.0 or transform.d != 0.0 or points or place.get("rpcs") is not None:
        raise ArgumentError(
            f"{argument} must end in .tif for a raster that is turned or placed by control points, got {path}: NetCDF "
            "has a coordinate per row and column."
        )
    height, width = raster.image.shape[:2]
    coordinates = coordinates_of(transform, place["crs"], (height, width))
    dims: tuple[str, ...] = ("y", "x")
    if raster.image.ndim == 3:
        dims, coordinates["band"] = ("y", "x", "band"), ("band", band_names(raster))
    name = "image" if raster.image.ndim == 2 else None
    image = library("xarray").DataArray(raster.image, coordinates, dims, name)
    image.encoding = {"grid_mapping": "spatial_ref", "dtype": raster.dtype}
    if raster.unit:
        image.attrs["units"] = raster.unit
    if raster.scaling != (1.0, 0.0):
        image.encoding |= {"scale_factor": raster.scaling[0], "add_offset": raster.scaling[1]}
    if raster.nodata is not None:
        image.encoding["_FillValue"] = raster.nodata
    return NetCdf(image, dict(raster.tags), dims=dims[2:] + dims[:2])


def band_names(raster: GeoTiff) -> list[Any]:
    """Return what a coordinate calls the bands: their descriptions if each has one of its own, or numbers from 1."""
    names: list[Any] = [each.name for each in raster.notes]
    count = raster.image.shape[2]
    return names if all(names) and len(set(names)) == count else list(range(1, count + 1))


def as_geotiff(raster: NetCdf, path: object, argument: str = "path") -> GeoTiff:
    """Return a variable with the transform that its coordinates stand for.

    Raises
    ------
    ArgumentError
        If coordinates are missing, uneven or no numbers, or the grid mapping is no well-known text.
    """
    image = raster.image
    rows, columns = image.dims[:2]
    row, column = (_line(image, dim, path, argument) for dim in (rows, columns))
    affine = library("rasterio").Affine
    turned = is_longitude(rows, image.coords[rows]) or str(rows).lower() == "x"
    if turned:
        transform = affine(0.0, row[1], row[0], column[1], 0.0, column[0])
    else:
        transform = affine(column[1], 0.0, column[0], 0.0, row[1], row[0])
    encoding = image.encoding
    dtype = np.dtype(encoding.get("dtype", image.dtype))
    fill = encoding.get("_FillValue")
    scaling = (float(encoding.get("scale_factor", 1.0)), float(encoding.get("add_offset", 0.0)))
    along = image.dims[2] if image.ndim == 3 else None
    names = [""] if along is None else [str(each) for each in np.asarray(image[along])]
    return GeoTiff(
        image=np.asarray(image, dtype=np.float64),
        band=0 if image.ndim == 2 else None,
        name=str(image.attrs.get("long_name", image.name or "")),
        unit=raster.unit,
        nodata=float(fill) if fill is not None and np.size(fill) == 1 else None,
        dtype=dtype,
        georeference={
            "crs": _crs(image, rows, columns, path, argument),
            "transform": transform,
            "gcps": ([], None),
            "rpcs": None,
            "area_or_point": "Area",
        },
        tags={str(key): str(value) for key, value in raster.attributes.items()},
        scaling=scaling,
        notes=tuple(BandNotes(name, raster.unit, scaling=scaling) for name in names),
    )


def coordinates_of(transform: Any, crs: Any, shape: tuple[int, int]) -> dict[str, Any]:
    """Return centres of rows and columns, and the reference system as rioxarray has it."""
    y = transform.f + transform.e * (np.arange(shape[0]) + 0.5)
    x = transform.c + transform.a * (np.arange(shape[1]) + 0.5)
    degrees = crs is not None and crs.is_geographic
    names = ("latitude", "longitude") if degrees else ("projection_y_coordinate", "projection_x_coordinate")
    unit = {} if crs is None else {"units": "degrees"} if degrees else {"units": crs.linear_units}
    system = {"GeoTransform": " ".join(repr(float(each)) for each in transform.to_gdal())}
    if crs is not None:
        system |= {"crs_wkt": crs.to_wkt(), "spatial_ref": crs.to_wkt()}
    along = {
        axis: {"axis": axis.upper(), **({"standard_name": name} if crs else {}), **unit}
        for axis, name in zip("yx", names, strict=True)
    }
    return {"y": ("y", y, along["y"]), "x": ("x", x, along["x"]), "spatial_ref": ((), 0, system)}


def _line(image: Any, dim: Any, path: object, argument: str) -> tuple[float, float]:
    """Return the edge of the first pixel along a dimension, and the step."""
    reason = "has no coordinate"
    if dim in image.coords:
        values = np.asarray(image.coords[dim])
        reason = "holds no numbers" if values.dtype.kind not in "iuf" else "has one value only"
        if values.dtype.kind in "iuf" and len(values) > 1:
            numbers = values.astype(np.float64)
            if is_longitude(dim, image.coords[dim]):
                numbers = longitude_steps(numbers)
            step = float((numbers[-1] - numbers[0]) / (len(numbers) - 1))
            if np.abs(np.diff(numbers) - step).max() <= _EVEN * abs(step):
                return float(numbers[0]) - 0.5 * step, step
            reason = "is not evenly spaced"
    raise ArgumentError(
        f"{argument} must end in .nc or .zarr for this image, got {path}: a GeoTIFF has rows and columns of one size, "
        f"and the dimension {dim} {reason}."
    )


def _crs(image: Any, rows: Any, columns: Any, path: object, argument: str) -> Any:
    crs = library("rasterio").CRS
    for attributes in mappings(image):
        text = str(attributes.get("crs_wkt", attributes.get("spatial_ref", "")))
        if text:
            return crs.from_wkt(text)
        if attributes.get("grid_mapping_name") == "latitude_longitude":
            return crs.from_epsg(4326)
        raise ArgumentError(
            f"{argument} must end in .nc or .zarr for this image, got {path}: its grid mapping "
            f"{attributes.get('grid_mapping_name', '')} has no well-known text (crs_wkt), which a GeoTIFF needs."
        )
    pairs = ((rows, columns), (columns, rows))
    if any(is_latitude(y, image.coords[y]) and is_longitude(x, image.coords[x]) for y, x in pairs):
        return crs.from_epsg(4326)
    return None
