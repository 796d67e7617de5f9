#!/usr/bin/env bash
# rasterio 1.4.4 (GDAL 3.10), read(masked=True, out_shape=...): with a mask band, cubic and lanczos turn gaps into valid zeros.
#
# Surprising: near a gap, pixels without any valid neighbour of enough weight are written as 0 and called valid. With the
#   same gap told by a no-data value instead of a mask band, or by nearest, bilinear and average, they are masked.
#   rasterio 1.5.2 with GDAL 3.12 does the same.
# Valid: "If masked is True the return value will be a masked array"; out_shape with resampling=Resampling.cubic is the
#   documented way to read at a lower resolution; mask bands (write_mask) are how GDAL stores gaps without a no-data value.
# Costs: thumbnails, pyramids and decimated inputs of a fit have spurious zeros at the rim of every cloud.
# Here: files are read at full resolution, where masks are right. Fill first and resample then (docs/geo.md).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import numpy as np
import rasterio
from rasterio.enums import Resampling

image = (100 + np.random.default_rng(0).normal(size=(60, 60))).astype(np.float32)
measured = np.ones(image.shape, dtype=bool)
measured[20:30, 20:31] = False
image[~measured] = -9999
ground = {"crs": "EPSG:32633", "transform": rasterio.Affine(30, 0, 5e5, 0, -30, 5e6)}
kind = {"driver": "GTiff", "count": 1, "height": 60, "width": 60, "dtype": "float32", **ground}
with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open("mask.tif", "w", **kind) as file:
    file.write(image, 1)
    file.write_mask(measured)
with rasterio.open("nodata.tif", "w", nodata=-9999, **kind) as file:
    file.write(image, 1)


def lowest(name, method):
    with rasterio.open(name) as file:
        return float(file.read(1, masked=True, out_shape=(25, 25), resampling=Resampling[method]).min())


print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
print(f"expected: valid pixels of a masked read lie near the data, which are above {image[measured].min():.1f}")
least = {}
for method in ("nearest", "bilinear", "average", "cubic", "lanczos"):
    least[method] = lowest("nodata.tif", method), lowest("mask.tif", method)
    print(f"{method}: lowest valid pixel {least[method][0]:.1f} by no-data value, {least[method][1]:.1f} by mask band")
right = all(a > 90 and b > 90 for name, (a, b) in least.items() if name not in ("cubic", "lanczos"))
wrong = all(least[name][0] > 90 and least[name][1] == 0 for name in ("cubic", "lanczos"))
raise SystemExit(0 if right and wrong else "no longer so")
PYTHON
