"""GeoTIFF through rasterio, NetCDF through xarray, FITS through astropy: what places the pixels is kept.

The libraries are optional: ``pip install "sparsegmrf[geo]"`` for the first two, ``pip install "sparsegmrf[fits]"`` for
astropy.
"""

from sparsegmrf.geo._fits import Fits, read_fits, write_fits
from sparsegmrf.geo._geotiff import GeoTiff, read_geotiff
from sparsegmrf.geo._netcdf import NetCdf, read_netcdf, write_netcdf
from sparsegmrf.geo._windows import RasterWindows, open_windows, write_windows

__all__ = [
    "Fits",
    "GeoTiff",
    "NetCdf",
    "RasterWindows",
    "open_windows",
    "read_fits",
    "read_geotiff",
    "read_netcdf",
    "write_fits",
    "write_netcdf",
    "write_windows",
]
