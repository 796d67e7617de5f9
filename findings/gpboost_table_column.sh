#!/usr/bin/env bash
# GPBoost 1.8.0, GPModel: y taken as a column of a table (or one band of an image cube) is read as its first n numbers.
#
# Surprising: y reaches the compiled library by the address of its first element, without regard to strides. For a column
#   of a table in row order it reads the first rows of all columns. fit, predict and neg_log_likelihood all do so, with
#   plausible results and no message. Coordinates given the same way are copied first and right.
# Valid: y is a "list, numpy 1-D array, pandas Series / one-column DataFrame" (docstrings of GPModel); table[:, 0] is a
#   numpy 1-D array.
# Costs: fits and kriging of one variable of many, or of one band of an image stored pixel by pixel, are of other numbers.
# Here: what comes in is brought into order once, at the entry, before a kernel sees it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check gpboost==1.8.0 numpy==2.2.0 scipy==1.17.1
venv/bin/python - <<'PYTHON'
from importlib.metadata import version

import gpboost
import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

rng = np.random.default_rng(0)
n, noise, variance, length = 60, 0.1, 1.3, 0.4
places, there = rng.uniform(size=(n, 2)), rng.uniform(size=(5, 2))
table = rng.normal(size=(n, 2))
y = table[:, 0]


def covariance(a, b):
    return variance * np.exp(-cdist(a, b) / length)


S = covariance(places, places) + noise * np.eye(n)
kriged = covariance(there, places) @ np.linalg.solve(S, y)
exact = -multivariate_normal(np.zeros(n), S).logpdf(y)

model = gpboost.GPModel(gp_coords=places, cov_function="exponential", likelihood="gaussian")
parameters = np.array([noise, variance, length])


def errors(values):
    """Return how far the kriged mean and the negative log-likelihood are from the dense ones."""
    mean = model.predict(y=values, gp_coords_pred=there, cov_pars=parameters, predict_var=True)["mu"]
    return np.abs(mean - kriged).max(), abs(model.neg_log_likelihood(cov_pars=parameters, y=values) - exact)


copied, column, first = errors(y.copy()), errors(y), errors(table.ravel()[:n].copy())
print("GPBoost", version("gpboost"))
print("expected: y = table[:, 0] gives what a copy of it gives")
print(f"a copy:      mean off by {copied[0]:.1e}, negative log-likelihood by {copied[1]:.1e}")
print(f"the column:  mean off by {column[0]:.3f}, negative log-likelihood by {column[1]:.3f}")
print(f"the first {n} numbers of the table: {first[0]:.3f}, {first[1]:.3f}")
seen = max(copied) < 1e-8 and min(column) > 0.1 and np.allclose(column, first)
raise SystemExit(0 if seen else "no longer so")
PYTHON
