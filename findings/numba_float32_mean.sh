#!/usr/bin/env bash
# numba 0.68.1: np.sum and np.mean of a float32 image stop growing at 2^24 when compiled; the mean of ones becomes 0.67.
#
# Surprising: NumPy adds pairwise, numba one element after the other into one float32, as it does for np.mean, np.var and
#   np.std. From 16 million pixels on small values are lost altogether; long before, digits are: of 4 million values of
#   mean 300 and variance 1 the mean is off by 0.5 and the variance by a quarter.
# Valid: sum, mean, var and std of arrays of any float type are listed under "Supported NumPy features", and no deviation
#   is named there; a 5000 x 5000 float32 raster is an ordinary one.
# Costs: means, variances and sums of squares of large float32 rasters wrong without a word as soon as a function is jitted.
# Here: images become float64 at the entry; fits and fills know no other type (docs/extending.md).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check numba==0.68.1 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import numba
import numpy as np


@numba.njit
def mean(image):
    return np.mean(image)


@numba.njit
def variance(image):
    return np.var(image)


ones = np.ones((5000, 5000), dtype=np.float32)
image = (300 + np.random.default_rng(0).normal(size=(2000, 2000))).astype(np.float32)
exact = image.astype(np.float64)
print("numba", numba.__version__)
print("expected: a compiled mean or variance has about the accuracy of NumPy's")
print(f"mean of 5000 x 5000 ones: {ones.mean():.4f} NumPy, {mean(ones):.4f} compiled")
print(f"mean of 2000 x 2000: {exact.mean():.4f} in float64, {image.mean():.4f} NumPy, {mean(image):.4f} compiled")
print(f"variance of the same: {exact.var():.4f} in float64, {image.var():.4f} NumPy, {variance(image):.4f} compiled")
numpy_right = abs(ones.mean() - 1) < 1e-6 and abs(image.mean() - exact.mean()) < 1e-3
wrong = mean(ones) < 0.7 and abs(mean(image) - exact.mean()) > 0.1 and variance(image) / exact.var() > 1.1
raise SystemExit(0 if numpy_right and wrong else "no longer so")
PYTHON
