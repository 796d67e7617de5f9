"""Measure the fluxes of stars behind bad columns, on a sky whose neighbouring pixels are alike.

A simulated exposure of 224 x 224 pixels: sixty stars as the optics spread them, on a clouded sky, with bad columns and
hot pixels, which are masked. The sky is fitted with the bright pixels left out; then the template of a star is tried
on every pixel, those next to bad columns too, by the exact precision of the observed pixels. Run with ``python
examples/star_background.py``, five seconds; it prints how far fluxes are from the true ones in standard errors, beside
those of the image with its gaps filled first, and writes star_background.png.
"""

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import binary_dilation

from sparsegmrf import Matern, condition, fit
from sparsegmrf.pixels import matched_filter
from sparsegmrf.plot import write_figure

SHAPE, STARS = (224, 224), 60
offsets = np.arange(-5, 6)
STAR = np.exp(-(offsets[:, np.newaxis] ** 2 + offsets**2) / (2.0 * 1.5**2))
STAR /= STAR.sum()  # a flux of one


def exposure(seed=0):
    """Return the image, where it is bad, and position and flux of the stars, a third of them on bad columns."""
    rng = np.random.default_rng(seed)
    image = Matern(range=5.0, sigma=3.0).gmrf(SHAPE, mean=100.0).sample(rng=rng)
    bad = rng.random(SHAPE) < 0.002
    columns = 14 + 28 * np.arange(8)
    bad[:, columns] = bad[:, columns[::3] + 1] = True
    cells = np.stack(divmod(rng.permutation(64)[:STARS], 8), axis=1)  # no two stars in a square of 28 x 28 pixels
    at = 28 * cells + rng.integers(10, 20, (STARS, 2))
    at[: STARS // 3, 1] = columns[cells[: STARS // 3, 1]]
    flux = np.exp(rng.uniform(np.log(150.0), np.log(3000.0), STARS))
    for (i, j), f in zip(at, flux, strict=True):
        image[i - 5 : i + 6, j - 5 : j + 6] += f * STAR
    image[bad] = rng.choice([0.0, 65535.0], bad.sum())
    return image, bad, at, flux


def main(path="star_background.png"):
    """Return mean ratio and errors in standard errors of fluxes, behind bad columns and not, exact and filled first."""
    image, bad, at, flux = exposure()
    good = np.where(bad, np.nan, image)
    level, spread = np.nanmedian(good), 1.4826 * np.nanmedian(np.abs(good - np.nanmedian(good)))
    bright = binary_dilation(good > level + 4.0 * spread, iterations=4)
    result = fit(Matern(), good, mask=bad | bright, noise_variance=None)
    print(result.summary())

    sky = result.gmrf()
    exact = matched_filter(image, STAR, sky, mask=bad)
    filled = condition(sky, image, mask=bad, noise_variance=0.0).mean
    wrong = matched_filter(filled, STAR, sky)
    rows, columns = at.T
    behind = bad[rows, columns]
    print("\nfluxes behind bad columns      mean of estimate / truth    errors in standard errors")
    scores = {}
    for name, maps in {"exact": exact, "gaps filled first": wrong}.items():
        found, error = maps.amplitude[rows, columns], maps.standard_error[rows, columns]
        for where, of in {"yes": behind, "no": ~behind}.items():
            z = ((found - flux) / error)[of]
            scores[name, where] = (found / flux)[of].mean(), np.sqrt(np.mean(z**2))
            print(f"{name:>20}, {where:<9}{scores[name, where][0]:22.3f}{scores[name, where][1]:27.2f}")

    figure = Figure(figsize=(11.0, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    axes[0].imshow(good[:112, :112], vmin=level - 3.0 * spread, vmax=level + 10.0 * spread, cmap="gray")
    ratio = axes[1].imshow(exact.signal_to_noise[:112, :112], vmin=-3.0, vmax=20.0, cmap="magma")
    figure.colorbar(ratio, ax=axes[1])
    bars = {"fmt": ".", "elinewidth": 0.8, "label": "exact"}
    axes[2].errorbar(flux, exact.amplitude[rows, columns] / flux, exact.standard_error[rows, columns] / flux, **bars)
    axes[2].plot(flux[behind], wrong.amplitude[rows, columns][behind] / flux[behind], "rx", label="gaps filled first")
    axes[2].set(xscale="log", xlim=(90.0, 11000.0), xlabel="true flux", title="estimate / truth")
    axes[2].legend()
    for axis, title in zip(axes, ("a corner of the exposure", "signal to noise of a star"), strict=False):
        axis.set(title=title, facecolor="tab:blue")
    write_figure(path, figure)
    return scores


if __name__ == "__main__":
    main()
