"""Fill the gaps of a land-surface temperature raster and score the filling on copies of its gaps that are held out.

The raster is the training part of the public satellite data set of Heaton et al. (2019), A case study competition among
methods for analyzing large spatial data, JABES 24: 300 x 500 pixels, a third of them missing, as the array
``temperature`` of an .npz file. What is held out is the raster's own gaps, shifted and turned over observed ground, a
set at a time, while all other gaps stay. Run with ``python examples/satellite.py satellite_train.npz``, or with
``satellite_train.npz best`` to mix several fields; it writes satellite.png.
"""

import sys
import time

import numpy as np

from sparsegmrf import fill
from sparsegmrf.inference import Mixture
from sparsegmrf.plot import fill_figure, write_figure


def held_out(observed):
    """Yield observed pixels beneath copies of the gaps: turned upside down, turned around, and shifted."""
    gaps = ~observed
    height, width = observed.shape
    yield "upside down", gaps[::-1] & observed
    yield "turned around", gaps[::-1, ::-1] & observed
    yield "shifted down", np.pad(gaps, ((height // 2, 0), (0, 0)))[:height] & observed
    yield "shifted left", np.pad(gaps, ((height // 3, 0), (0, width // 8)))[:height, width // 8 :] & observed


def predicted(holes, result, hidden):
    """Predictions of measurements under a mask, at the parameters and weights of a filling, from what is left."""
    fields = [(1.0, result.fit)] if result.comparison is None else [(c.weight, c.fit) for c in result.comparison.mixed]
    found = [
        fill(holes, model=fit.model, noise_variance=fit.noise_variance, fixed=list(fit.model.parameters))
        for _, fit in fields
    ]
    weights = [weight for weight, _ in fields]
    return Mixture(weights, [each.mean[hidden] for each in found], [each.predictive_std[hidden] for each in found])


def scores(y, mixture):
    """RMSE, CRPS and coverage of 95% intervals of measurements."""
    below = mixture.cdf(y)
    return np.sqrt(np.mean((y - mixture.mean) ** 2)), mixture.crps(y).mean(), np.mean(np.abs(below - 0.5) <= 0.475)


def main(path, model=None, largest=None, out="satellite.png"):
    """Return the mean scores over the held-out sets, at the parameters fitted to the whole raster.

    `largest` crops the raster to so many rows and columns.
    """
    temperature = np.load(path)["temperature"].astype(float)[:largest, :largest]
    observed = np.isfinite(temperature)

    start = time.perf_counter()
    result = fill(temperature, model=model, n_samples=1, rng=0)
    print(f"{(~observed).sum()} of {observed.size} pixels filled in {time.perf_counter() - start:.1f} s")
    print(result.fit.summary() if result.comparison is None else result.comparison.summary())
    title = "land-surface temperature"
    write_figure(out, fill_figure(temperature, result.filled, result.std, title=title, unit="degrees C"))

    print("\nheld out            pixels    RMSE    CRPS   95% intervals cover")
    rows = []
    for name, hidden in held_out(observed):
        again = predicted(np.where(hidden, np.nan, temperature), result, hidden)
        rows.append(scores(temperature[hidden], again))
        print(f"{name:<16}{hidden.sum():10d}{rows[-1][0]:8.3f}{rows[-1][1]:8.3f}{rows[-1][2]:10.3f}")
    rmse, mean_crps, share = np.mean(rows, axis=0)
    print(f"{'mean':<16}{'':10}{rmse:8.3f}{mean_crps:8.3f}{share:10.3f}")
    return rmse, mean_crps, share


if __name__ == "__main__":
    main(*sys.argv[1:3])
