"""Means over the ocean, month by month, and the change from one year to the next, from fields with land and clouds.

Two years of simulated monthly sea temperatures on a grid of 8 by 8 degrees: warm at the equator, with anomalies that a
Matern field makes on the cylinder, where 180 degrees west is next to 180 degrees east, and a second year that is warmer
by 0.25 degrees. Land has no values, and clouds hide a third of the sea. All months are fitted together, and means are
weighted by the area of the grid cells. Run with ``python examples/climate_series.py``, ten seconds; it needs xarray
and writes climate_series.png.
"""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from sparsegmrf import Matern, fit
from sparsegmrf.plot import write_figure

CYLINDER = ("neumann", "torus")  # rows end at the poles, columns go around


def ocean(count, seed=0):
    """Return the true temperatures, those that are seen, and where sea is, with coordinates."""
    rng = np.random.default_rng(seed)
    lat, lon = np.arange(84.0, -85.0, -8.0), np.arange(-176.0, 180.0, 8.0)
    grid, shape = {"lat": lat, "lon": lon}, (lat.size, lon.size)
    high = Matern(range=9.0, boundary=CYLINDER).gmrf(shape).sample(rng=rng)
    land = xr.DataArray(high > np.quantile(high, 0.7), grid)
    anomalies = Matern(range=5.0, sigma=0.8, boundary=CYLINDER).gmrf(shape).sample(count, rng=rng)
    months = np.datetime64("2024-01") + (np.arange(count) - count // 2).astype("timedelta64[M]")
    truth = xr.DataArray(anomalies, {"time": months.astype("datetime64[ns]"), **grid}, name="sst")
    truth += 28.0 * np.cos(np.deg2rad(truth.lat)) ** 2 + 0.25 * (truth["time.year"] == 2024)
    clouds = Matern(range=4.0, boundary=CYLINDER).gmrf(shape).sample(count, rng=rng) > 0.4
    seen = (truth + 0.3 * rng.standard_normal(truth.shape)).where(~land).where(~clouds)
    return truth, seen, ~land


def main(count=24, path="climate_series.png"):
    """Return monthly means and the change of the year, estimated, with their standard errors, and true ones."""
    truth, seen, sea = ocean(count)
    warmth = np.cos(np.deg2rad(seen.lat)).broadcast_like(sea) ** 2
    result = fit(Matern(boundary=CYLINDER), seen, covariates={"warmth": warmth})
    print(result)

    area = np.cos(np.deg2rad(seen.lat)) * sea
    of_month = result.functional(area / area.sum())
    year = xr.where(seen["time.year"] == 2024, 2.0, -2.0) / count
    change = result.functional(year * area / area.sum())
    means, plain = (each.weighted(area).mean(("lat", "lon")).values for each in (truth, seen))
    true_change = float(means @ year.values)
    print(f"\n{'month':>8}{'truth':>9}{'estimate':>10}{'std. error':>12}{'mean of what is seen':>22}")
    for k, month in enumerate(seen.time.dt.strftime("%Y-%m").values):
        row = f"{month:>8}{means[k]:9.3f}{of_month.estimate[k]:10.3f}{of_month.standard_error[k]:12.3f}"
        print(f"{row}{plain[k]:22.3f}")
    print(f"change of the year: {change.estimate:.3f} +- {change.standard_error:.3f} degrees, truth {true_change:.3f}")
    draw_page(path, seen, sea, result.predict(), means, of_month)
    return of_month, change, means, true_change


def draw_page(path, seen, sea, found, means, of_month, month=0):
    """Write a month as it is seen and as it is estimated, its standard deviation, and the series of means."""
    figure = Figure(figsize=(10.0, 5.6), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    ground = {"extent": (-180.0, 180.0, -88.0, 88.0), "aspect": "auto"}
    planes = {"seen": seen[month], "given all that is seen": found.mean[month], "standard deviation": found.std[month]}
    for axis, (title, plane) in zip(axes, planes.items(), strict=False):
        span = {"cmap": "magma", "vmin": 0.0} if "deviation" in title else {"vmin": -2.0, "vmax": 30.0}
        shown = axis.imshow(np.where(sea, plane, np.nan), **ground, **span)
        axis.set(title=f"{title}, month {month + 1}", xlabel="longitude", ylabel="latitude")
        figure.colorbar(shown, ax=axis, label="degrees C")
    months = np.arange(1, len(means) + 1)
    axes[3].errorbar(months, of_month.estimate, 1.96 * of_month.standard_error, fmt=".", label="estimate, 95%")
    axes[3].plot(months, means, "k-", linewidth=0.8, label="truth")
    axes[3].set(title="mean over the ocean", xlabel="month", ylabel="degrees C")
    axes[3].legend()
    write_figure(path, figure)


if __name__ == "__main__":
    main()
