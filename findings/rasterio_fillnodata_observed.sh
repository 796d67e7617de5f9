#!/usr/bin/env bash
# rasterio 1.4.4 (GDAL 3.10), rasterio.fill.fillnodata: pixels that are not to be filled change, too.
#
# Surprising: GDALFillNodata works in float32 and writes whole rows back, so that every measured value of an int32 or
#   float64 raster is rounded to 24 bits, in rows with and without a gap; besides, fillnodata writes into the array that
#   it is given as well as returning it. rasterio 1.5.2 with GDAL 3.12 does the same.
# Valid: "This algorithm will interpolate values for all designated nodata pixels (marked by zeros in mask)"; smoothing, not
#   used here, is of "interpolated pixels" (docstring of fillnodata). int32 and float64 images are accepted.
# Costs: counts, times, identifiers and heights in millimetres above 16 million come back moved by up to 32 at 1e9, and the
#   array before filling, which a comparison would need, is gone.
# Here: observed pixels of `filled` are those that were read, to the last bit, no argument changes (docs/geo.md).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check rasterio==1.4.4 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import numpy as np
import rasterio
from rasterio.fill import fillnodata

measured = np.ones((12, 12), dtype=bool)
measured[4:6, 4:7] = False
values = 1_000_000_000 + np.random.default_rng(0).integers(0, 1000, measured.shape)
print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
print("expected: pixels where the mask is 1 stay, and so does the array that was given")
moved, overwritten = {}, {}
for dtype in ("uint16", "int32", "float64"):
    image = (values - 1_000_000_000 if dtype == "uint16" else values).astype(dtype)
    given = image.copy()
    filled = fillnodata(given, mask=measured)
    moved[dtype] = float(np.abs(filled.astype(float) - image.astype(float))[measured].max())
    overwritten[dtype] = not np.array_equal(given, image)
    print(f"{dtype}: measured pixels moved by up to {moved[dtype]:g}; the array given changed: {overwritten[dtype]}")
seen = moved["uint16"] == 0 and min(moved["int32"], moved["float64"]) >= 16 and all(overwritten.values())
raise SystemExit(0 if seen else "no longer so")
PYTHON
