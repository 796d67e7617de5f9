#!/usr/bin/env bash
# CUQIpy 1.5.1, cuqi.distribution.GMRF: the neighbours of an image that is not square are wrong, without a word.
#
# Surprising: GMRF takes the number of rows and of columns to be the root of the number of pixels and does not look at the
#   shape of its geometry. On Image2D((4, 9)) it is the field of a 6 x 6 image: pixels that are no neighbours are joined,
#   neighbours are not, and log-densities and draws are those of another field.
# Valid: "For 2D (physical_dim=2), order 0, 1, and 2 are also supported in which the differences are defined in both
#   horizontal and vertical directions" (docstring of GMRF); Image2D takes any im_shape. Boundary "zero" is not one of
#   those called experimental.
# Costs: a prior for inverse problems on rasters that couples pixels across the image and cuts it into strips.
# Here: shapes are arguments everywhere, and every model is held against a dense precision on images that are not square.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check cuqipy==1.5.1 numpy==2.2.0 scipy==1.17.1
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import numpy as np
from cuqi.distribution import GMRF
from cuqi.geometry import Image2D


def path(n):
    return 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)


def differences(shape):
    """Return log-density of GMRF minus that of the dense precision, and how many entries of the precision differ."""
    rows, columns = shape
    Q = np.kron(path(rows), np.eye(columns)) + np.kron(np.eye(rows), path(columns))
    x = np.random.default_rng(0).normal(size=rows * columns)
    dense = (np.linalg.slogdet(Q)[1] - x.size * np.log(2 * np.pi) - x @ Q @ x) / 2
    field = GMRF(np.zeros(x.size), 1.0, bc_type="zero", order=1, geometry=Image2D(shape))
    gradients = np.array([np.ravel(field.gradient(unit)) for unit in np.eye(x.size)])  # of log-densities: -Q
    return float(field.logpdf(x)) - dense, int((np.abs(gradients + Q) > 1e-9).sum())


square, oblong = differences((6, 6)), differences((4, 9))
print("CUQIpy", version("cuqipy"))
print("expected: GMRF on Image2D(shape) has the precision of the first differences along rows and columns of shape")
print(f"6 x 6: log-density off by {square[0]:.1e}, {square[1]} entries of the precision differ")
print(f"4 x 9: log-density off by {oblong[0]:.1f}, {oblong[1]} entries of the precision differ")
seen = abs(square[0]) < 1e-9 and square[1] == 0 and abs(oblong[0]) > 1 and oblong[1] > 0
raise SystemExit(0 if seen else "no longer so")
PYTHON
