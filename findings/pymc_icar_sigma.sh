#!/usr/bin/env bash
# PyMC 5.28.5, pymc.ICAR with a prior on sigma: the log-density lacks -(n - 1) log sigma, so that sigma has no likelihood.
#
# Surprising: sigma enters by the sum of squared differences alone. The density is no density of the field for two sigmas at
#   once (its integral over the field grows as sigma^(n - 1)): the larger sigma is, the better any field fits, and the
#   maximum over sigma of a known field is at infinity. Drawn as sigma times a field of sigma 1 (not centred) the same model
#   has a likelihood of sigma as it should.
# Valid: sigma is "Standard deviation of the vector of phi's. Putting a prior on sigma will result in a centered
#   parameterization"; centred and not centred are the same model. The formula of the docstring lacks the term as well.
# Costs: posteriors of sigma are the prior times a power of sigma of the number of pixels: with most priors far too large.
# Here: the log-density of Intrinsic has its rank as power of the precision, and a test compares it with a dense one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check pymc==5.28.5 numpy==2.4.6 scipy==1.17.1
PYTENSOR_FLAGS=cxx=,mode=FAST_COMPILE venv/bin/python - <<'PYTHON'
import numpy as np
import pymc

shape = (3, 4)
n = shape[0] * shape[1]
pixel = np.arange(n).reshape(shape)
W = np.zeros((n, n))
for first, second in ((pixel[:, :-1], pixel[:, 1:]), (pixel[:-1], pixel[1:])):
    W[first, second] = W[second, first] = 1
laplacian = np.diag(W.sum(1)) - W
rng = np.random.default_rng(0)
values, vectors = np.linalg.eigh(laplacian)
field = vectors[:, 1:] @ (rng.normal(size=n - 1) / np.sqrt(values[1:]))  # a draw with sigma 1, its mean is 0
best = np.sqrt(field @ laplacian @ field / (n - 1))  # the maximum of the likelihood


def exact(sigma):
    """Return the log-density of the normal distribution that ICAR's quadratic form belongs to."""
    precision = laplacian / sigma**2 + np.ones((n, n)) / (0.001 * n) ** 2
    return (np.linalg.slogdet(precision)[1] - n * np.log(2 * np.pi) - field @ precision @ field) / 2


print("PyMC", pymc.__version__)
print(f"expected: of a field that was drawn with sigma 1 the density is highest at sigma = {best:.3f}")
sigmas = np.array([0.25, 0.5, best, 2.0, 8.0, 64.0])
found = np.array([pymc.logp(pymc.ICAR.dist(W=W, sigma=sigma), field).eval().item() for sigma in sigmas])
right = np.array([exact(sigma) for sigma in sigmas])
print("sigma:                    ", sigmas.round(3))
print("log-density by PyMC:      ", found.round(3))
print("of the normal distribution:", right.round(3))
gap = found - right
print("difference:               ", gap.round(3), f" {n - 1} log sigma and a constant")
lacks = np.allclose(np.diff(gap), (n - 1) * np.diff(np.log(sigmas)), atol=1e-3)
seen = lacks and np.all(np.diff(found) > 0) and right.argmax() == 2
raise SystemExit(0 if seen else "no longer so")
PYTHON
