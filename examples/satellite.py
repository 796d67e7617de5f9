"""Fill the gaps of a land-surface temperature raster and score the filling on copies of its gaps that are held out.

The raster is the training part of the public satellite data set of Heaton et al. (2019), A case study competition among
methods for analyzing large spatial data, JABES 24: 300 x 500 pixels, a third of them missing, as the array
``temperature`` of an .npz file. What is held out is the raster's own gaps, shifted and turned over observed ground, a
set at a time, while all other gaps stay. Run with ``python examples/satellite.py satellite_train.npz``, or with
``satellite_train.npz best`` to compare several fields; it writes satellite.png.
"""

import sys
import time

import numpy as np

from sparsegmrf import fill
from sparsegmrf.plot import fill_figure, write_figure
from sparsegmrf.scores import coverage, crps


def held_out(observed):
    """Yield observed pixels beneath copies of the gaps: turned upside down, turned around, and shifted."""
    gaps = ~observed
    height, width = observed.shape
    yield "upside down", gaps[::-1] & observed
    yield "turned around", gaps[::-1, ::-1] & observed
    yield "shifted down", np.pad(gaps, ((height // 2, 0), (0, 0)))[:height] & observed
    yield "shifted left", np.pad(gaps, ((height // 3, 0), (0, width // 8)))[:height, width // 8 :] & observed


def scores(truth, result, where):
    """RMSE, CRPS and coverage of 95% intervals of measurements."""
    y, mean, std = truth[where], result.mean[where], result.predictive_std[where]
    return np.sqrt(np.mean((y - mean) ** 2)), crps(y, mean, std).mean(), coverage(y, mean, std)


def main(path, model=None, largest=None, out="satellite.png"):
    """Return the mean scores over the held-out sets, at the parameters fitted to the whole raster.

    `largest` crops the raster to so many rows and columns.
    """
    temperature = np.load(path)["temperature"].astype(float)[:largest, :largest]
    observed = np.isfinite(temperature)

    start = time.perf_counter()
    result = fill(temperature, model=model, n_samples=1, rng=0)
    print(f"{(~observed).sum()} of {observed.size} pixels filled in {time.perf_counter() - start:.1f} s")
    print(result.fit.summary())
    title = "land-surface temperature"
    write_figure(out, fill_figure(temperature, result.filled, result.std, title=title, unit="degrees C"))

    print("\nheld out            pixels    RMSE    CRPS   95% intervals cover")
    rows = []
    for name, hidden in held_out(observed):
        holes, field = np.where(hidden, np.nan, temperature), result.fit.model
        again = fill(holes, model=field, noise_variance=result.fit.noise_variance, fixed=list(field.parameters))
        rows.append(scores(temperature, again, hidden))
        print(f"{name:<16}{hidden.sum():10d}{rows[-1][0]:8.3f}{rows[-1][1]:8.3f}{rows[-1][2]:10.3f}")
    rmse, mean_crps, share = np.mean(rows, axis=0)
    print(f"{'mean':<16}{'':10}{rmse:8.3f}{mean_crps:8.3f}{share:10.3f}")
    return rmse, mean_crps, share


if __name__ == "__main__":
    main(*sys.argv[1:3])
