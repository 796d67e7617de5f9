#!/usr/bin/env bash
# rasterio 1.4.4 (GDAL 3.10): the no-data value of a 64-bit integer raster is written such that it reads back as -9.
#
# Surprising: rasterio hands the no-data value on as a floating point number; from 17 digits on it stands in the file as
#   "-9.22...e+18", of which GDAL, for integers, reads what is before the point. So -2^63 becomes -9 and 10^18 becomes 1:
#   gaps are data, and measured values 1 are gaps. The data set that is being written still shows the right value.
#   rasterio 1.5.2 with GDAL 3.12 does the same.
# Valid: dtype="int64" is supported, nodata may be any value of the type; -2^63 is what missing times
#   (NaT) and missing integers are called in NumPy, pandas and GRIB tools.
# Costs: cells of -9.2e18 in means, fits and fills.
# Here: nothing in the file tells that it was meant otherwise: cells that should be missing are data. Write another
#   no-data value of at most 16 digits, or a mask (docs/geo.md). What this package writes is floating point.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import numpy as np
import rasterio

ground = {"crs": "EPSG:32633", "transform": rasterio.Affine(30, 0, 5e5, 0, -30, 5e6)}
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
print("expected: a file has the no-data value that it was written with, and those cells are masked")
found = []
for dtype, nodata in (("int64", -9999), ("int64", -(2**63)), ("int64", 10**18)):
    image = np.arange(12, dtype=dtype).reshape(3, 4)
    image[2, 2] = nodata
    with rasterio.open("image.tif", "w", "GTiff", 4, 3, 1, dtype=dtype, nodata=nodata, **ground) as file:
        file.write(image, 1)
    with rasterio.open("image.tif") as file:
        masked = file.read(1, masked=True)
        found.append((file.nodata, masked[masked.mask].data.tolist()))
    print(f"{dtype}, nodata {nodata}: read back as {found[-1][0]:g}, cells masked: {found[-1][1]}")
raise SystemExit(0 if found == [(-9999, [-9999]), (-9, []), (1, [1])] else "no longer so")
PYTHON
