#!/usr/bin/env bash
# scikit-image 0.26.0, restoration.denoise_bilateral: with negative values in the image the filter no longer keeps edges.
#
# Surprising: images with negative values are raised to zero before they are filtered, but the table of grey-value weights was
#   made for the maximum before. If that is 3 and the values span 22, differences are looked up as if sigma_color were 22 / 3
#   times as large. Only images that are centred, differences or below zero are concerned; a constant added brings the edge back.
# Valid: negative values are supported since scikit-image#5527, which brought this; float images are taken as they are, and
#   "sigma_color: Standard deviation for grayvalue/color distance" is in their unit.
# Costs: anomalies, residuals, decibels and degrees are blurred across edges that the same image in another zero would keep.
# Here: results do not depend on the level of an image; a test adds one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check scikit-image==0.26.0 numpy==2.4.6 scipy==1.17.1
venv/bin/python - <<'PYTHON'
import numpy as np
import skimage
from skimage.restoration import denoise_bilateral

image = np.random.default_rng(0).uniform(-1, 1, size=(32, 32))
image[:, 16:] += 20
sigma, options = 2.0, {"win_size": 5, "sigma_spatial": 3.0, "mode": "edge"}


def step(level, sigma=sigma):
    """Return the height of the edge after the filter."""
    found = denoise_bilateral(image + level, sigma_color=sigma, **options)
    return float((found[:, 16] - found[:, 15]).mean())


true = float((image[:, 16] - image[:, 15]).mean())
print("scikit-image", skimage.__version__)
print(f"expected: an edge of {true:.1f}, ten sigma_color high, is kept wherever the zero is: weights across it are exp(-50)")
found = {}
for level in (101.0, 1.01, -9.5, -18.0, -20.9):
    found[level] = step(level)
    low, high = (image + level).min(), (image + level).max()
    print(f"values from {low:.1f} to {high:.1f}: an edge of {found[level]:.2f}")
# What is looked up at level -18 is the weight of (max / span) times the difference.
span = np.ptp(image)
wider = [step(101.0, sigma * span / (image.max() + level)) for level in (-18.0, -20.9)]
print(f"at level 101 with sigma_color as wide as was used at the last two levels: {wider[0]:.2f}, {wider[1]:.2f}")
kept = all(abs(found[level] - true) < 1.5 for level in (101.0, 1.01))
lost = found[-18.0] < 13 and found[-20.9] < 6
told = np.allclose([found[-18.0], found[-20.9]], wider, atol=0.2)
raise SystemExit(0 if kept and lost and told else "no longer so")
PYTHON
