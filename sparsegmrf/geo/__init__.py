"""GeoTIFF through rasterio, NetCDF and Zarr through xarray, FITS through astropy, NIfTI through nibabel.

What places the pixels is kept. The libraries are optional: the extras ``geo``, ``large`` (Zarr), ``fits`` and ``nifti``
install them, as in ``pip install "sparsegmrf[geo]"``.
"""

from sparsegmrf.geo._fits import Fits, read_fits, write_fits
from sparsegmrf.geo._geotiff import GeoTiff, read_geotiff
from sparsegmrf.geo._netcdf import NetCdf, read_netcdf, write_netcdf, write_zarr
from sparsegmrf.geo._nifti import Nifti, read_nifti, write_nifti
from sparsegmrf.geo._windows import RasterWindows, open_windows, write_windows
from sparsegmrf.geo._zarr_in import read_zarr

__all__ = [
    "Fits",
    "GeoTiff",
    "NetCdf",
    "Nifti",
    "RasterWindows",
    "open_windows",
    "read_fits",
    "read_geotiff",
    "read_netcdf",
    "read_nifti",
    "read_zarr",
    "write_fits",
    "write_netcdf",
    "write_nifti",
    "write_windows",
    "write_zarr",
]
