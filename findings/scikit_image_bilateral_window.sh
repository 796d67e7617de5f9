#!/usr/bin/env bash
# scikit-image 0.26.0, restoration.denoise_bilateral: the spatial weights are those of another window, and not symmetric.
#
# Surprising: the table of spatial weights is made for one pixel more than an odd window has a side, and read by rows of the
#   window's own length, so that each row of weights is shifted against the one before. With a sigma_color so large that grey
#   values do not matter the filter should be a Gaussian one, and is a skewed smear whose centre is off by more than a pixel;
#   an image that is turned is not filtered to the turned result. All windows are odd if win_size is left out.
# Valid: "sigma_spatial: Standard deviation for range distance"; "Spatial closeness is measured by the Gaussian function of the
#   Euclidean distance between two pixels"; float image, mode="edge".
# Costs: features are moved and smeared in a direction that is the filter's, not the image's, with every use at the default window.
# Here: results turn with the image, and tests flip and transpose it.
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

options = {"win_size": 5, "sigma_spatial": 1.0, "sigma_color": 1e4, "mode": "edge"}  # grey values differ by 1e-4 sigma_color
image = np.ones((9, 9))
image[4, 4] = 2.0
found = denoise_bilateral(image, **options)[2:7, 2:7] - 1
offset = np.arange(-2.0, 3.0)
gaussian = np.exp(-(offset[:, None] ** 2 + offset**2) / 2)
gaussian /= gaussian.sum()

print("scikit-image", skimage.__version__)
print("expected: one bright pixel becomes the Gaussian window, in thousandths")
print((1000 * gaussian).round().astype(int))
print("found:")
print((1000 * found).round().astype(int))
centre = [float((found * axis).sum() / found.sum()) for axis in (offset[:, None], offset)]
print(f"its centre is moved by {centre[0]:.2f} rows and {centre[1]:.2f} columns")
noise = np.random.default_rng(0).uniform(1, 2, size=(32, 32))
there = denoise_bilateral(noise, **options)
back = denoise_bilateral(noise[::-1, ::-1], **options)[::-1, ::-1]
print(f"turned by half a turn, filtered, turned back: off by {np.abs(back - there).max():.3f} of values between 1 and 2")

wide = np.arange(-3.0, 3.0)  # a side of six for the window of five
weights = np.exp(-(wide[:, None] ** 2 + wide**2) / 2).ravel()[:25].reshape(5, 5)
skewed = np.allclose(found, (weights / weights.sum())[::-1, ::-1], atol=2e-3)
seen = skewed and np.abs(found - gaussian).max() > 0.05 and np.abs(back - there).max() > 0.05
raise SystemExit(0 if seen else "no longer so")
PYTHON
