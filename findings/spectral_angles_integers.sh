#!/usr/bin/env bash
# spectral 0.24, spectral_angles: of images of 16-bit integers every angle is 0 or NaN.
#
# Surprising: the length of a pixel's spectrum is the root of a sum of squares that is taken in the type of the image. Squares
#   of int16 wrap around beyond 181, sums of uint8 beyond 255: the length is too short, or the root of a negative number; the
#   quotient is clipped to 1, so that the angle comes out as 0, the best match there is.
# Valid: data is "an MxNxB image"; reflectances and radiances are stored as int16 by most imaging spectrometers, and neither
#   type nor range is restricted. The members are floating point, as the function makes them anyway.
# Costs: classification by the smallest angle takes the first member everywhere, with numbers that look like perfect matches.
# Here: functions of pixels convert block by block to double precision, whatever the type (docs/pixels.md).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check spectral==0.24 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import warnings
from importlib.metadata import version

import numpy as np
import spectral

warnings.simplefilter("ignore")
image = np.random.default_rng(0).integers(200, 6000, size=(20, 20, 30))  # reflectance, in 1/10000
members = image[[3, 7], [4, 9]].astype(float)
true = spectral.spectral_angles(image.astype(float), members)
print("spectral", version("spectral"), "numpy", np.__version__)
print(f"expected: angles from {true.min():.3f} to {true.max():.3f} whatever the type of the image")
wrong = {}
for kind in ("int16", "uint16", "int32", "float32"):
    found = spectral.spectral_angles(image.astype(kind), members)
    wrong[kind] = not np.allclose(found, true, atol=1e-3)
    print(f"{kind}: {np.isnan(found).mean():.0%} NaN, largest angle {np.nanmax(found):.3f}", "(wrong)" if wrong[kind] else "")
print("first pixel of the two members itself, int16:", spectral.spectral_angles(image.astype("int16"), members)[3, 4])
expected = {"int16": True, "uint16": True, "int32": False, "float32": False}
raise SystemExit(0 if wrong == expected else "no longer so")
PYTHON
