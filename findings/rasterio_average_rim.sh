#!/usr/bin/env bash
# rasterio 1.4.4 (GDAL 3.10), warp.reproject with Resampling.average: the last pixels count for the ground beyond them.
#
# Surprising: where a target pixel reaches out of the source, the outermost row or column is weighted by its overlap and by all
#   that lies outside. A target pixel of 2 x 2 that covers half of one column, the whole of the last and half a column of
#   nothing weights the two as 1 to 3 and not as 1 to 2. Resampling.sum of the same pixels has the right weights, so that sum
#   and average contradict each other. With missing pixels (no data) in place of the ground outside the average is right.
# Valid: "average" is documented by GDAL as "the weighted average of all non-NODATA contributing pixels", weighted by "the
#   approximate fraction of the source pixel that is covered"; grids that are not multiples of each other are what warping is for.
# Costs: rims of coarse images are off by up to a pixel's slope without a word, where a seam to the next tile is looked for.
# Here: images stay on the grid of their file. Pad by no data before averaging to another grid (docs/geo.md).
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
from rasterio.transform import from_origin
from rasterio.warp import reproject

side, size, start, count = 6, 2.0, 0.5, 3  # pixels of the source; of the target: pixels of the source, and how many
image = np.arange(36.0).reshape(side, side)
low = start + size * np.arange(count)[:, None]
pixel = np.arange(side)
covered = np.clip(np.minimum(low + size, pixel + 1) - np.maximum(low, pixel), 0, None)  # of pixels by target pixels
total = covered @ image @ covered.T
mean = total / np.outer(covered.sum(1), covered.sum(1))


def warped(method, pad=0):
    source = np.pad(image, pad, constant_values=np.nan)
    target = np.full((count, count), np.nan)
    ground = {"src_transform": from_origin(-pad, side + pad, 1, 1), "dst_transform": from_origin(start, side - start, size, size)}
    system = {"src_crs": "EPSG:32633", "dst_crs": "EPSG:32633", "src_nodata": np.nan, "dst_nodata": np.nan}
    reproject(source, target, resampling=Resampling[method], **ground, **system)
    return target


print("rasterio", rasterio.__version__, "GDAL", rasterio.__gdal_version__)
print("expected: means weighted by areas, last row", mean[-1].round(3))
average, padded, sums = warped("average"), warped("average", pad=1), warped("sum")
print("average, last row:                         ", average[-1].round(3))
print("average, of the image padded by no data:   ", padded[-1].round(3))
print("sum divided by the areas:                  ", (sums * mean / total)[-1].round(3))
off = np.abs(average - mean)
right = max(off[:-1, :-1].max(), np.abs(padded - mean).max(), np.abs(sums - total).max()) < 1e-6
wrong = np.allclose(off[-1, :-1], 0.5, atol=1e-4) and np.allclose(off[:-1, -1], 1 / 12, atol=1e-4)
raise SystemExit(0 if right and wrong else "no longer so")
PYTHON
