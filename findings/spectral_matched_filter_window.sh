#!/usr/bin/env bash
# spectral 0.24, matched_filter with a window: it does not run beside numpy 2.4, where rx and ace with a window do.
#
# Surprising: the filter of one pixel returns an array of one number, which is assigned to a pixel of the result. numpy called
#   that deprecated from 1.25 on and has refused it since 2.4. Beside numpy 2.3 the numbers are right. The package asks for numpy
#   of any version, so that an installation from scratch has the newest of both, and this is the only detector that fails.
# Valid: window is documented, "a 2-tuple of odd integers", with the example (5, 21); background is then "not required".
# Costs: an upgrade of numpy takes the windowed filter away; the message, on sequences, says nothing of it.
# Here: rx has windows of its own; to compare a windowed matched filter with spectral's keep numpy below 2.4 there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat >filters.py <<'PYTHON'
import warnings
from importlib.metadata import version

import numpy as np
import spectral

warnings.simplefilter("ignore")
image = np.random.default_rng(0).normal(size=(30, 26, 4))
target, (row, column) = image[5, 5], (15, 13)
outer = image[row - 5 : row + 6, column - 5 : column + 6]
keep = np.ones((11, 11), bool)
keep[4:7, 4:7] = False
mean, inverse = outer[keep].mean(0), np.linalg.inv(np.cov(outer[keep].T))
expected = (target - mean) @ inverse @ (image[row, column] - mean) / ((target - mean) @ inverse @ (target - mean))
outcomes = []
for detector in (spectral.matched_filter, spectral.ace):
    try:
        found = detector(image, target, window=(3, 11))
        outcomes.append(f"{found[row, column]:.5f}")
    except ValueError as error:
        outcomes.append(f"ValueError ({error})")
print(f"numpy {np.__version__}, spectral {version('spectral')}: matched_filter {outcomes[0]}, ace {outcomes[1]}")
right = [f"{expected:.5f}" == outcomes[0], not outcomes[1].startswith("ValueError")]
raise SystemExit(0 if right == [np.lib.NumpyVersion(np.__version__) < "2.4.0", True] else "no longer so")
PYTHON
echo "expected: both detectors run with a window"
for numpy in 2.3.5 2.4.6; do
    python3 -m venv --clear venv
    venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check spectral==0.24 numpy==$numpy
    venv/bin/python filters.py
done
