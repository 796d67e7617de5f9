#!/usr/bin/env bash
# SciPy 1.17.1, scipy.signal.wiener: an image 100 higher is smoothed as if its noise were 69 times stronger.
#
# Surprising: the noise is "estimated as the average of the local variance of the input", but the windows at the rim are
#   padded with zeros, so that their variances grow with the square of the image's level. On 64 x 64 pixels of noise 1 and a
#   step of 10 the estimate goes from 2.2 to 153 when 100 is added, and from there on all pixels off the rim are the
#   plain mean of their windows: the step is blurred away. Said to be too low an estimate in scipy#19684, open since 2023.
# Valid: "im: An N-dimensional array", noise=None is the default; nothing asks for images of mean zero.
# Costs: temperatures in kelvin are filtered otherwise than in degrees; edges and peaks of bright images are lost, rims darken.
# Here: the noise is a parameter of the likelihood beside a free level; a test adds a constant to the image of a fit.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import numpy as np
import scipy
from scipy.signal import wiener

image = np.random.default_rng(0).normal(size=(64, 64))
image[:, 32:] += 10
windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
inside = (slice(1, -1), slice(1, -1))
mean, variance = windows.mean(axis=(2, 3)), windows.var(axis=(2, 3))


def by_definition(noise):
    """Return the filter of the windows that lie within the image."""
    return np.where(variance < noise, mean, mean + (1 - noise / variance) * (image[inside] - mean))


print("SciPy", scipy.__version__)
print("expected: a constant that is added to the image is added to what is filtered, and nothing else changes")
right = by_definition(variance.mean())
error, blurred = {}, {}
for level in (0, 100, 1000):
    found = wiener(image + level, (3, 3))[inside] - level
    error[level] = float(np.abs(found - right).max())
    blurred[level] = float(np.abs(found - mean).max())
    across = found[29, 29:33].round(2)
    print(f"level {level}: across the step {across}, off by {error[level]:.2f}; from the mean of windows {blurred[level]:.2g}")
print("by the windows within:   ", right[29, 29:33].round(2))
print("the means of the windows:", mean[29, 29:33].round(2))
told = np.abs(wiener(image + 1000, (3, 3), noise=variance.mean())[inside] - 1000 - right).max()
print(f"level 1000 with the noise told: off by {told:.1e}")
seen = error[0] < 1 and min(error[100], error[1000]) > 3 and max(blurred[100], blurred[1000]) < 1e-9 < 1 < blurred[0]
raise SystemExit(0 if seen and told < 1e-6 else "no longer so")
PYTHON
