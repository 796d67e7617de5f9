"""Gaps filled by what users take today, beside tiles: ``python -m bench.fill_peers [--side 2000]``.

A raster of a Matern field with noise and clouds; other clouds are held out of it. Each way fills both in a process of
its own: seconds, growth of anonymous memory, root mean square error beneath the clouds that were held out, and whether
it says how sure it is. Ways whose library is not installed are passed over.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time

import numpy as np

from bench.tiles import AnonymousPeak
from sparsegmrf import large
from sparsegmrf.models import Matern
from sparsegmrf.scores import coverage

NOISE = 0.05


def clouded(side):
    """Return truth, observations with clouds, and where clouds were held out besides."""
    rng = np.random.default_rng(0)
    truth = 20.0 + Matern(range=40.0, sigma=2.0, nu=1).gmrf((side, side)).sample(rng=1)
    clouds, others = (Matern(range=60.0).gmrf((side, side)).sample(rng=seed) for seed in (2, 3))
    observed = truth + np.sqrt(NOISE) * rng.standard_normal(truth.shape)
    observed[clouds > np.quantile(clouds, 0.8)] = np.nan
    held_out = (others > np.quantile(others, 0.9)) & ~np.isnan(observed)
    return truth, np.where(held_out, np.nan, observed), held_out


def tiles(image):
    """Parameters fitted to tiles, then the raster."""
    found = large.fill(image, model=Matern(), covariates="constant")
    return found.mean, found.std


def fillnodata(image):
    """Inverse distances along rays, as GDAL has it."""
    from rasterio.fill import fillnodata

    found = np.where(np.isnan(image), 0.0, image).astype(np.float32)
    return fillnodata(found, mask=~np.isnan(image), max_search_distance=float(max(image.shape))), None


def interpolate_na(image):
    """Linear interpolation in a triangulation, as rioxarray has it."""
    import rioxarray  # noqa: F401
    import xarray

    rows, columns = (np.arange(float(length)) for length in image.shape)
    array = xarray.DataArray(image, dims=("y", "x"), coords={"y": rows, "x": columns})
    return array.rio.write_crs(32633).rio.write_nodata(np.nan).rio.interpolate_na(method="linear").values, None


def griddata(image):
    """Linear interpolation in a triangulation of all observed pixels; nearest ones outside."""
    from scipy.interpolate import griddata

    gaps = np.isnan(image)
    found = image.copy()
    for method in ("linear", "nearest"):
        left = np.isnan(found)
        if left.any():
            found[left] = griddata(np.argwhere(~gaps), image[~gaps], np.argwhere(left), method=method)
    return found, None


WAYS = {
    "sparsegmrf tiles": (tiles, "sparsegmrf"),
    "rasterio fillnodata": (fillnodata, "rasterio"),
    "rioxarray interpolate_na": (interpolate_na, "rioxarray"),
    "scipy griddata": (griddata, "scipy"),
}


def measure(name, side):
    """Return what one way takes and how far off it is."""
    way, _ = WAYS[name]
    way(clouded(160)[1])
    truth, image, held_out = clouded(side)
    with AnonymousPeak() as peak:
        start, processor = time.perf_counter(), time.process_time()
        mean, std = way(image)
        seconds, used = time.perf_counter() - start, time.process_time() - processor
    error = np.sqrt(np.nanmean((mean - truth)[held_out] ** 2))
    left = int(np.isnan(mean[held_out]).sum())
    share = None if std is None else float(coverage(truth[held_out], mean[held_out], std[held_out]))
    found = {"seconds": seconds, "processor_seconds": used, "bytes": peak.bytes, "rmse": float(error)}
    return found | {"left": left, "coverage": share}


def main():
    """Print a table; with ``--here`` measure one way and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=2000)
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=tuple(WAYS))
    parser.add_argument("--here", choices=tuple(WAYS))
    given = parser.parse_args()
    if given.here:
        print(json.dumps(measure(given.here, given.side)))
        return
    print("| way | s | s of processor | GB | RMSE held out | not filled | 95% intervals cover |")
    print("|---|---|---|---|---|---|---|")
    for name in given.ways:
        if importlib.util.find_spec(WAYS[name][1]) is None:
            print(f"| {name} | not installed | | | | | |")
            continue
        command = [sys.executable, "-m", "bench.fill_peers", "--here", name, "--side", str(given.side)]
        row = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()[-1])
        sure = "no uncertainty" if row["coverage"] is None else f"{row['coverage']:.3f}"
        print(
            f"| {name} | {row['seconds']:.1f} | {row['processor_seconds']:.1f} | {row['bytes'] / 1e9:.2f} | "
            f"{row['rmse']:.3f} | {row['left']} | {sure} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
