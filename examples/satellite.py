"""Fill the gaps of a land-surface temperature raster and score the filling on rectangles that are held out.

The raster is the training part of the public satellite data set of Heaton et al. (2019), A case study competition among
methods for analyzing large spatial data, JABES 24: 300 x 500 pixels, a third of them missing, as the array
``temperature`` of an .npz file. Run with ``python examples/satellite.py satellite_train.npz``.
"""

import sys
import time

import numpy as np

from sparsegmrf import fill
from sparsegmrf.inference import coverage, crps


def held_out(observed, rng, count=8, sides=(20, 60)):
    """Rectangles of observed ground, a tenth of the raster at most, to hide and to predict."""
    hidden = np.zeros(observed.shape, dtype=bool)
    while count:
        height, width = rng.integers(*sides, size=2)
        i, j = rng.integers(observed.shape[0] - height), rng.integers(observed.shape[1] - width)
        there = observed[i : i + height, j : j + width]
        if there.mean() > 0.8:
            hidden[i : i + height, j : j + width] |= there
            count -= 1
    return hidden


def scores(truth, result, where):
    """RMSE, CRPS and coverage of 95% intervals of measurements."""
    y, mean, std = truth[where], result.mean[where], result.predictive_std[where]
    return np.sqrt(np.mean((y - mean) ** 2)), crps(y, mean, std).mean(), coverage(y, mean, std)


def main(path, largest=None):
    """Return the scores on the held-out rectangles; `largest` crops the raster to so many rows and columns."""
    temperature = np.load(path)["temperature"].astype(float)[:largest, :largest]
    hidden = held_out(np.isfinite(temperature), np.random.default_rng(0), *((2, (10, 20)) if largest else ()))

    start = time.perf_counter()
    result = fill(np.where(hidden, np.nan, temperature), samples=1, rng=0)
    seconds = time.perf_counter() - start
    print(result.fit.summary())

    rmse, mean_crps, share = scores(temperature, result, hidden)
    print(f"\n{hidden.sum()} pixels in held-out rectangles, filled with all other gaps in {seconds:.1f} s:")
    print(f"RMSE {rmse:.3f}, CRPS {mean_crps:.3f} degrees, 95% intervals cover {share:.3f}")
    return rmse, mean_crps, share


if __name__ == "__main__":
    main(sys.argv[1])
