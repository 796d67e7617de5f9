"""A raster of any size to fill, as GeoTIFF: ``python -m bench.clouded_raster SIDE FILE [--first-order]``.

A field of a range of 30 pixels and a deviation of 2 by its spectrum (Matern of smoothness 1; ``--first-order``: of
the square root of its density), a slope, noise of a deviation of 0.3, and 30% of the pixels beneath discs with a radius
of 15 to 150. The side is the seed. Then

sparsegmrf fill-tiles FILE --out FOLDER --memory 2.5
"""

import argparse

import numpy as np
import rasterio
import scipy

RANGE, SIGMA, NOISE, MISSING = 30.0, 2.0, 0.3, 0.3
RADII = (15.0, 150.0)


def field(side, rng, *, first_order):
    """Return a draw of the field, float32, by cosines."""
    eigenvalues = 2.0 - 2.0 * np.cos(np.pi * np.arange(side) / side)
    density = 8.0 / RANGE**2 + eigenvalues[:, None] + eigenvalues
    root = (1.0 / (np.sqrt(density) if first_order else density)).astype(np.float32)
    root *= SIGMA / np.sqrt(np.mean(np.square(root, dtype=np.float64)))
    waves = rng.standard_normal((side, side), dtype=np.float32) * root
    return scipy.fft.idctn(waves, norm="ortho", overwrite_x=True)


def beneath_clouds(side, rng):
    """Return where discs lie."""
    found = np.zeros((side, side), dtype=bool)
    while found.mean() < MISSING:
        for _ in range(max(1, side * side // 400_000)):
            i, j = rng.uniform(0.0, side, 2)
            radius = rng.uniform(*RADII)
            top, left = (max(0, int(each - radius)) for each in (i, j))
            window = found[top : int(i + radius) + 1, left : int(j + radius) + 1]
            rows, columns = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]
            window |= (rows - i) ** 2 + (columns - j) ** 2 <= radius**2
            if found.mean() >= MISSING:
                break
    return found


def main():
    """Write the raster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", type=int)
    parser.add_argument("file")
    parser.add_argument("--first-order", action="store_true")
    given = parser.parse_args()
    side, rng = given.side, np.random.default_rng(given.side)
    image = field(side, rng, first_order=given.first_order)
    rows, columns = np.ogrid[:side, :side]
    image += (280.0 + 4.0 * rows / side - 3.0 * columns / side).astype(np.float32)
    image += NOISE * rng.standard_normal((side, side), dtype=np.float32)
    image[beneath_clouds(side, rng)] = np.nan
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": "float32", "nodata": np.nan}
    storage = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 3}
    ground = {"crs": "EPSG:32633", "transform": rasterio.transform.from_origin(400000.0, 5300000.0, 10.0, 10.0)}
    with rasterio.open(given.file, "w", **profile, **storage, **ground) as file:
        file.write(image, 1)


if __name__ == "__main__":
    main()
