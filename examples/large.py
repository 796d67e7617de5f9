"""Fill a raster with clouds tile by tile, and look at what the tiles do not see.

A raster is simulated, pixels and clouds are taken out of it, and it is written as a GeoTIFF. It is then filled by
windows of that file, as one too large for memory would be, once with narrow halos and once with halos that grow until
the bounds of every standard deviation are within 1% of each other. Run with ``python examples/large.py [side]``; it
writes large.tif and large.png.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
import rasterio

from sparsegmrf import large
from sparsegmrf.geo import open_windows
from sparsegmrf.models import Matern
from sparsegmrf.plot import write_figure

MODEL = Matern(range=24.0, sigma=2.0)
NOISE = 0.05


def clouded(side, seed=0):
    """Return a draw of the field with noise, a fifth of the pixels missing, and clouds."""
    rng = np.random.default_rng(seed)
    image = 15.0 + MODEL.gmrf((side, side)).sample(rng=seed) + np.sqrt(NOISE) * rng.standard_normal((side, side))
    clouds = Matern(range=side / 6.0).gmrf((side, side)).sample(rng=seed + 1)
    image[(clouds > np.quantile(clouds, 0.82)) | (rng.random(image.shape) < 0.2)] = np.nan
    return image


def write(path, image):
    """Write an image as a GeoTIFF of 10 m pixels."""
    profile = {"driver": "GTiff", "height": image.shape[0], "width": image.shape[1], "count": 1, "dtype": "float32"}
    ground = {"crs": "EPSG:32633", "transform": rasterio.Affine(10.0, 0.0, 5e5, 0.0, -10.0, 5e6), "nodata": np.nan}
    with rasterio.open(path, "w", tiled=True, blockxsize=256, blockysize=256, **profile, **ground) as target:
        target.write(image.astype(np.float32), 1)


def figure(image, wide, narrow):
    """Image, mean and standard deviation; the width of its bounds with both halos, and along one row."""
    panels, axes = plt.subplots(2, 3, figsize=(13.0, 8.0), layout="constrained")
    low, high = np.nanquantile(image, (0.01, 0.99))
    pictures = [
        (image, "observed", {"vmin": low, "vmax": high}),
        (narrow.mean, "mean", {"vmin": low, "vmax": high}),
        (narrow.std, "standard deviation", {"vmin": 0.0, "cmap": "magma"}),
    ]
    for axis, (values, title, options) in zip(axes[0], pictures, strict=True):
        panels.colorbar(axis.imshow(values, interpolation="nearest", **options), ax=axis, shrink=0.8)
        axis.set_title(title)
    scale = {"vmin": -6.0, "vmax": 0.0, "cmap": "viridis"}
    for axis, result, title in ((axes[1, 0], wide, "halo of 8"), (axes[1, 1], narrow, "halos that grow")):
        width = np.log10(np.maximum(result.std_upper / result.std_lower - 1.0, 1e-6))
        panels.colorbar(axis.imshow(width, interpolation="nearest", **scale), ax=axis, shrink=0.8)
        axis.set_title(f"width of bounds, log10: {title}")
    axis, core = axes[1, 2], wide.tiles[0].core
    row = int(np.argmax(np.max(wide.std_upper / wide.std_lower, axis=1)))
    columns = np.arange(image.shape[1])
    axis.fill_between(columns, wide.std_lower[row], wide.std_upper[row], alpha=0.4, label="bounds, halo of 8")
    axis.plot(columns, narrow.std[row], color="black", linewidth=1.0, label="within 1%")
    for border in range(core.shape[1], image.shape[1], core.shape[1]):
        axis.axvline(border, color="grey", linewidth=0.8, linestyle=":")
    axis.set(title=f"standard deviation along row {row}", xlabel="column; dotted: borders of cores", ylim=(0.0, None))
    axis.legend()
    return panels


def main(side=384, core=128, path="large.tif", out="large.png"):
    """Return the largest relative width of the bounds and the bound of the mean's error, with halos that grow."""
    write(path, clouded(side))
    options = {"model": MODEL, "noise_variance": NOISE, "covariates": "constant", "core": core}
    with open_windows(path) as raster:
        wide = large.fill(raster.read, shape=raster.shape, halo=8, tolerance=100.0, **options)
        narrow = large.fill(raster.read, shape=raster.shape, tolerance=0.01, **options)
        image = raster.read(slice(0, side), slice(0, side))
    for result in (wide, narrow):
        halos = sorted({tile.halo for tile in result.tiles})
        print(f"halos of {halos}: {result}")
    write_figure(out, figure(image, wide, narrow))
    return narrow.largest_width, narrow.mean_error


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
