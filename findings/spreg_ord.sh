#!/usr/bin/env bash
# spreg 1.9.0, ML_Lag and ML_Error with method="ord": binary weights give wrong estimates and come back changed.
#
# Surprising: for symmetric weights the eigenvalues of the Ord method are those of the row-standardized matrix whatever
#   the transform of w is, while the spatial lags before used w as given. The likelihood mixes two matrices; its maximum
#   is no estimate of anything. On the way w itself is row-standardized, so that the next fit with it is another model.
# Valid: the docstrings take any W object and offer 'full' and 'ord' as two ways to compute the same estimate. A queen or
#   rook lattice has transform "O" (binary) unless the user changes it.
# Costs: a spatial parameter of a SAR model on a lattice nearly doubled, with a log-likelihood that no parameter reaches.
# Here: the matrix of SAR and CAR is stated and never changed; their log-likelihoods are held against dense ones.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check \
    spreg==1.9.0 libpysal==4.14.1 numpy==2.2.0 scipy==1.17.1
venv/bin/python - <<'PYTHON'
import contextlib
import io
import warnings
from importlib.metadata import version

import numpy as np
from scipy.optimize import minimize_scalar

warnings.simplefilter("ignore")
import spreg
from libpysal.weights import lat2W

rows, columns, true = 6, 7, 0.12
n = rows * columns
rng = np.random.default_rng(0)
W = lat2W(rows, columns).full()[0]
X = rng.normal(size=(n, 1))
y = 1 + 2 * X + np.linalg.solve(np.eye(n) - true * W, 0.5 * rng.normal(size=(n, 1)))
Z = np.c_[np.ones(n), X]


def loglik(value, matrix):
    """Return the profile log-likelihood of y = Z b + u, u = value W u + e."""
    A = np.eye(n) - value * matrix
    residual = A @ y - A @ Z @ np.linalg.lstsq(A @ Z, A @ y, rcond=None)[0]
    return np.linalg.slogdet(A)[1] - n / 2 * (np.log(2 * np.pi * (residual**2).mean()) + 1)


def fitted(method, transform):
    weights = lat2W(rows, columns)
    weights.transform = transform
    before = weights.full()[0]
    with contextlib.redirect_stdout(io.StringIO()):
        model = spreg.ML_Error(y, X, weights, method=method)
    return model.lam, float(model.logll), not np.array_equal(weights.full()[0], before)


def dense(matrix):
    end = 0.999 / np.linalg.eigvals(matrix).real.max()
    best = minimize_scalar(lambda v: -loglik(v, matrix), bounds=(-end, end), method="bounded", options={"xatol": 1e-9})
    return best.x, -best.fun


print("spreg", version("spreg"))
print("expected: method 'ord' finds what 'full' and a dense likelihood find, and leaves the weights alone")
near = {}
for transform, name, matrix in (("O", "binary", W), ("R", "row-standardized", W / W.sum(1, keepdims=True))):
    exact, full, ord_ = dense(matrix), fitted("full", transform), fitted("ord", transform)
    near[name] = [np.allclose(each[:2], exact, atol=1e-3) for each in (full, ord_)]
    print(f"{name}: lambda {exact[0]:.4f} dense, {full[0]:.4f} full, {ord_[0]:.4f} ord;", end=" ")
    print(f"log-likelihood {exact[1]:.3f}, {full[1]:.3f}, {ord_[1]:.3f}; weights changed by ord: {ord_[2]}")
    if name == "binary":
        changed = ord_[2]
seen = near == {"binary": [True, False], "row-standardized": [True, True]} and changed
raise SystemExit(0 if seen else "no longer so")
PYTHON
