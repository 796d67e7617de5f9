#!/usr/bin/env bash
# astropy 8.0.2, interpolate_replace_nans: a gap at the border of an image is drawn to zero.
#
# Surprising: what is beyond the border counts as measured zeros of full weight, although NaN pixels have none. In an image
#   that is 5 everywhere a gap inside is filled with 5 and one in a corner with 1.57. The docstring says "interpolating
#   from neighboring data points" and does not mention borders; the zeros are the default boundary="fill", fill_value=0
#   of convolve, which other keywords reach. Documented there, then, and still surprising. convolve_fft does the same.
# Valid: "Given a data set containing NaNs, replace the NaNs by interpolating from neighboring data points".
# Costs: the edges of a mosaic, of a swath or of a cloud at the border get values that depend on the level (unit, offset,
#   sky background) of the image; with temperatures in kelvin the error is as large as the temperature.
# Here: fills do not depend on the level (tests of levels, flips and units), and the border of an image is not data.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check astropy==8.0.2 numpy==2.4.6 scipy==1.17.1
venv/bin/python - <<'PYTHON'
import astropy
import numpy as np
from astropy.convolution import Gaussian2DKernel, convolve_fft, interpolate_replace_nans

kernel = Gaussian2DKernel(1.5)
gap = np.zeros((15, 15), dtype=bool)
gap[0, :2] = gap[7, 7] = True


def filled(level, **options):
    image = np.full(gap.shape, float(level))
    image[gap] = np.nan
    return interpolate_replace_nans(image, kernel, **options)[[0, 7], [0, 7]]


weights = kernel.array / kernel.array.sum()
rows, columns = (np.arange(size)[:, None] for size in weights.shape)
inside = weights[weights.shape[0] // 2 :, weights.shape[1] // 2 :].copy()
beyond = 1 - inside.sum()
inside[0, :2] = 0  # the gap itself
by_hand = 5 * inside.sum() / (inside.sum() + beyond)

print("astropy", astropy.__version__)
print("expected: a constant image is filled with the constant")
corner, centre = filled(5)
print(f"level 5: {centre:.4f} inside, {corner:.4f} in the corner ({by_hand:.4f} with zeros beyond the border)")
print(f"level 300: {filled(300)[1]:.2f} inside, {filled(300)[0]:.2f} in the corner")
extended = filled(5, boundary="extend")[0]
print(f"by convolve_fft: {filled(5, convolve=convolve_fft)[0]:.4f}; with boundary='extend': {extended:.4f}")
seen = np.isclose(centre, 5) and np.isclose(corner, by_hand) and corner < 2 and np.isclose(extended, 5)
raise SystemExit(0 if seen else "no longer so")
PYTHON
