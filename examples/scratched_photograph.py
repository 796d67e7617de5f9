"""Mend a colour photograph whose films are scratched: each colour borrows from the other two.

The photograph is the astronaut of scikit-image, a window of 96 x 96 pixels. A negative has one film per colour, so that
a scratch goes through one colour, or through all of them. The colours are filled together, by a field whose covariance
between colours is estimated (`Channels`), and one by one. Run with ``python examples/scratched_photograph.py``; it
writes scratched_photograph.png.
"""

import time

import numpy as np
from matplotlib.figure import Figure

from sparsegmrf import Channels, Matern, fill
from sparsegmrf.plot import write_figure
from sparsegmrf.scores import coverage, crps


def photograph(size):
    """Return a window of the photograph ``(size, size, 3)`` from 0 to 1."""
    import skimage.data

    return skimage.data.astronaut()[20 : 20 + size, 150 : 150 + size] / 255.0


def scratches(shape, count, rng):
    """Return where values are lost, ``(H, W, 3)``: lines across the image, two thirds of them in one colour only."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width]
    lost = np.zeros((*shape, 3), dtype=bool)
    for k in range(count):
        angle, through = rng.uniform(0.0, np.pi), rng.uniform(0.1, 0.9, 2) * shape
        distance = np.abs((rows - through[0]) * np.cos(angle) - (columns - through[1]) * np.sin(angle))
        line = distance < rng.uniform(0.8, 2.5)
        lost[line] |= np.ones(3, dtype=bool) if k % 3 == 0 else np.arange(3) == k % 3
    return lost


def scores(name, truth, lost, mean, std):
    """Print and return RMSE and CRPS in levels of 255, and the coverage of 95% intervals."""
    y, m, s = 255.0 * truth[lost], 255.0 * mean[lost], 255.0 * std[lost]
    found = np.sqrt(np.mean((y - m) ** 2)), crps(y, m, s).mean(), coverage(y, m, s)
    print(f"{name:<14}{found[0]:8.2f}{found[1]:8.2f}{found[2]:10.3f}")
    return found


def draw(path, truth, image, filled, std):
    """Write the photograph, what is left of it, what is made of it, and how surely, the colour that is least so."""
    figure = Figure(figsize=(13.0, 3.6), layout="constrained")
    axes = figure.subplots(1, 4)
    panels = [("photograph", truth), ("scratched", np.nan_to_num(image)), ("filled together", filled.clip(0.0, 1.0))]
    for axis, (title, each) in zip(axes, panels, strict=False):
        axis.imshow(each, interpolation="nearest")
        axis.set_title(title)
    shown = axes[3].imshow(255.0 * std.max(axis=-1), interpolation="nearest", cmap="magma")
    axes[3].set_title("largest deviation of a colour")
    figure.colorbar(shown, ax=axes[3], label="levels of 255")
    for axis in axes:
        axis.set_axis_off()
    write_figure(path, figure)


def main(size=96, count=18, path="scratched_photograph.png"):
    """Return the scores of filling together and one by one."""
    truth = photograph(size)
    lost = scratches((size, size), count, np.random.default_rng(4))
    image = np.where(lost, np.nan, truth)
    print(f"{lost.mean():.0%} of the values are lost, {lost.all(axis=-1).mean():.0%} of the pixels whole")

    start = time.perf_counter()
    options = {"noise_variance": None, "covariates": "constant"}
    whole = image[~lost.any(axis=-1)]
    together = fill(image, model=Channels(Matern(range=10.0), np.cov(whole.T)), **options)
    print(f"together {time.perf_counter() - start:.1f} s")
    print(together.fit.summary())
    start = time.perf_counter()
    single = [fill(image[..., c], model=Matern(range=10.0), **options) for c in range(3)]
    print(f"one by one {time.perf_counter() - start:.1f} s")

    print("\nlost values      RMSE    CRPS   95% intervals cover")
    found = scores("together", truth, lost, together.mean, together.predictive_std)
    mean, std = (np.stack([getattr(each, name) for each in single], axis=-1) for name in ("mean", "predictive_std"))
    alone = scores("one by one", truth, lost, mean, std)
    draw(path, truth, image, together.filled, together.std)
    return found, alone


if __name__ == "__main__":
    main()
