#!/usr/bin/env bash
# scikit-gstat 1.0.26, Variogram: on a lattice the empirical variogram stands one lag too far, and its last lag is missing.
#
# Surprising: lag classes are closed below and open above. Distances on a lattice along its axes are exactly the edges of
#   classes of one pixel: the pairs one pixel apart are counted in the class whose upper edge is 2, the class up to 1 is
#   empty, and pairs at exactly maxlag are left out. Nothing is said; away from lattices no pair lies on an edge.
# Valid: "The bins are the upper edges of all calculated distance lag classes" (Variogram.bins); bin_func="even" with maxlag
#   a whole number of pixels and as many lags is the plain choice for a raster.
# Costs: ranges fitted to it are too long by about a pixel, nuggets are extrapolated from two pixels on.
# Here: models are fitted by likelihood, without an empirical variogram.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check \
    scikit-gstat==1.0.26 numpy==2.4.6 scipy==1.16.3 pandas==3.1.1
venv/bin/python - <<'PYTHON'
import warnings
from importlib.metadata import version

import numpy as np
from scipy.spatial.distance import pdist

warnings.simplefilter("ignore")
from skgstat import Variogram

rng = np.random.default_rng(0)
places = np.argwhere(np.ones((1, 200)))[:, 1:].astype(float)  # pixels of one row
walk = rng.normal(size=200).cumsum()  # semivariance h / 2 at lag h
lags = 6
found = Variogram(places, walk, n_lags=lags, maxlag=float(lags), bin_func="even", fit_method=None, normalize=False)

distance, half_square = pdist(places), pdist(walk[:, None]) ** 2 / 2
exact = np.array([half_square[distance == lag].mean() for lag in range(1, lags + 1)])
pairs = np.array([(distance == lag).sum() for lag in range(1, lags + 1)])
print("scikit-gstat", version("scikit-gstat"))
print("expected: the class with the upper edge h holds the pairs h pixels apart, up to maxlag")
print("upper edges:         ", found.bins)
print("pairs counted:       ", found.bin_count, " at these distances:", pairs)
print("semivariances:       ", np.round(found.experimental, 3))
print("at these distances:  ", np.round(exact, 3))
shifted = found.bin_count[0] == 0 and np.array_equal(found.bin_count[1:], pairs[:-1])
same = np.allclose(found.experimental[1:], exact[:-1]) and not np.allclose(found.experimental[1:], exact[1:], rtol=0.05)
raise SystemExit(0 if shifted and same else "no longer so")
PYTHON
