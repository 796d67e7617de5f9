#!/usr/bin/env bash
# spectral 0.25, noise_from_diffs: of an image of unsigned integers it measures integer overflow, not noise.
#
# Surprising: differences of neighbouring pixels are taken in the type of the image, so that every negative one of uint8 or
#   uint16 wraps around to a large positive one. The noise variance is then that of the wrap: thousands (uint8) or hundreds
#   of millions (uint16) instead of some units; and minimum noise fraction transforms (mnf), which divide by it, order their components by it.
# Valid: X is an ndarray of shape (rows, columns, bands), of no stated type; hyperspectral scenes are stored as integers.
# Costs: noise levels, MNF components and the number of bands kept.
# Here: images become float64 at the entry, before anything is subtracted.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check spectral==0.25 numpy==2.4.6
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import spectral

rng = np.random.default_rng(0)
rows, columns = np.mgrid[:60, :70]
scene = 100 + 40 * np.sin(rows / 20)[..., None] * np.array([1.0, 0.5, -0.8]) + 3 * rng.normal(size=(60, 70, 3))
image = np.rint(scene).astype(np.uint8)
differences = (image[:-1, :-1].astype(float) - image[1:, 1:]).reshape(-1, 3)
exact = np.cov(differences.T) / 2
print("spectral", version("spectral"))
print("expected: noise variances are half those of differences of diagonal neighbours, about 9 here")
types = ("float64", "int16", "uint8", "uint16")
found = {dtype: np.diag(spectral.noise_from_diffs(image.astype(dtype)).cov) for dtype in types}
for dtype, variances in found.items():
    print(f"{dtype}: {variances.round(1)} (exact {np.diag(exact).round(1)})")
right = all(np.allclose(found[dtype], np.diag(exact)) for dtype in ("float64", "int16"))
wrong = all((found[dtype] > 100 * np.diag(exact)).all() for dtype in ("uint8", "uint16"))
raise SystemExit(0 if right and wrong else "no longer so")
PYTHON
