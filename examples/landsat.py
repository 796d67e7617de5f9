"""Fill a long series of satellite images under clouds, and look at what is made of it.

The series is an .npz file with ``values``, images ``(T, H * W)`` of whole numbers with -32768 where missing, and
``year`` and ``doy``, day of the year, of each image, as of the Landsat study of STFIT. One fairly clear image is given
a cloud of another date, which tells how good the filling is. Run with ``python examples/landsat.py landsat_a.npz``; it
writes landsat.png.
"""

import sys
import time

import numpy as np
from matplotlib.figure import Figure

from sparsegmrf import fill
from sparsegmrf.plot import write_figure

MISSING = -32768


def read(path, since):
    """Return images ``(T, H, W)``, NaN where missing, and their dates."""
    data = np.load(path)
    kept = data["year"] >= since
    values = data["values"][kept].astype(float)
    side = round(values.shape[1] ** 0.5)
    years = (data["year"][kept] - 1970).astype("datetime64[Y]").astype("datetime64[D]")
    return np.where(values == MISSING, np.nan, values).reshape(-1, side, side), years + (data["doy"][kept] - 1)


def hide(stack):
    """Return the clearest image, and where a cloud of another one hides about half of it."""
    seen = np.isfinite(stack)
    shares = seen.mean(axis=(1, 2))
    date = int(np.argmax(shares))
    cloud = ~seen[int(np.argmin(np.abs(shares - 0.5)))]
    return date, cloud & seen[date]


def patterns(mean, count):
    """Return the leading patterns of a filled series about its mean image, ``(count, H, W)``, and their shares."""
    deviations = (mean - mean.mean(axis=0)).reshape(len(mean), -1)
    _, values, rows = np.linalg.svd(deviations, full_matrices=False)
    return rows[:count].reshape(count, *mean.shape[1:]), values[:count] ** 2 / np.sum(values**2)


def draw(path, stack, dates, result, date):
    """Write a strip of dates before and after, a pixel's series with its band, and patterns."""
    figure = Figure(figsize=(12.0, 9.0), layout="constrained")
    rows = figure.subfigures(3, 1, height_ratios=[2.0, 1.3, 1.0])
    shown = range(max(0, date - 2), min(len(stack), date + 3))
    axes = rows[0].subplots(3, len(shown))
    low, high = np.nanpercentile(stack[shown.start : shown.stop], [2, 98])
    for column, k in enumerate(shown):
        panels = (stack[k], result.filled[k], result.std[k])
        for axis, image, name in zip(axes[:, column], panels, ("seen", "filled", "deviation"), strict=True):
            limits = {"cmap": "magma", "vmin": 0.0} if name == "deviation" else {"vmin": low, "vmax": high}
            axis.imshow(image, interpolation="nearest", **limits)
            axis.set(xticks=[], yticks=[], ylabel=name if not column else "")
        axes[0, column].set_title(str(dates[k]))
    axis = rows[1].subplots()
    pixel = (slice(None), stack.shape[1] // 2, stack.shape[2] // 2)
    last = dates >= dates[-1] - np.timedelta64(3 * 366, "D")
    middle, band = result.mean[pixel][last], 1.645 * result.predictive_std[pixel][last]
    axis.fill_between(dates[last], middle - band, middle + band, alpha=0.3, label="90% of measurements")
    axis.plot(dates[last], middle, linewidth=1.0, label="mean")
    axis.plot(dates[last], stack[pixel][last], "k.", markersize=3, label="seen")
    axis.set(title="a pixel in the last three years", ylim=(middle.min() - band.max(), middle.max() + band.max()))
    axis.legend(ncols=3, fontsize="small")
    images, shares = patterns(result.mean, 5)
    for axis, image, share in zip(rows[2].subplots(1, len(images)), images, shares, strict=True):
        size = np.abs(image).max()
        axis.imshow(image, cmap="RdBu_r", vmin=-size, vmax=size)
        axis.set(xticks=[], yticks=[], title=f"pattern, {share:.0%}")
    write_figure(path, figure)


def main(path, since=2000, out="landsat.png"):
    """Return RMSE beneath a cloud laid over a clear image, and the share of 90% intervals that hold the truth."""
    stack, dates = read(path, since)
    date, hidden = hide(stack)
    truth = stack[date][hidden]
    stack[date][hidden] = np.nan
    start = time.perf_counter()
    result = fill(stack, dates=dates)
    print(f"{len(stack)} images, {np.isnan(stack).mean():.0%} missing: {time.perf_counter() - start:.1f} s")
    print(result.summary())
    error, deviation = result.mean[date][hidden] - truth, result.predictive_std[date][hidden]
    rmse, covered = np.sqrt(np.mean(error**2)), np.mean(np.abs(error) < 1.645 * deviation)
    print(f"{dates[date]}, {hidden.mean():.0%} hidden: RMSE {rmse:.1f}, 90% intervals hold {covered:.2f}")
    draw(out, stack, dates, result, date)
    return rmse, covered


if __name__ == "__main__":
    main(sys.argv[1])
