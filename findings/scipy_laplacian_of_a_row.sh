#!/usr/bin/env bash
# SciPy 1.17.1, scipy.sparse.linalg.LaplacianNd: on a grid with an axis of one pixel the matrix is not the operator.
#
# Surprising: with boundary conditions "neumann" or "periodic" toarray() and tosparse() have an extra -1 on their diagonal
#   for each axis of length 1, so that constants are no longer in the null space and all eigenvalues are moved by one.
#   matvec, eigenvalues() and eigenvectors() of the same object are right, and differ from it.
# Valid: grid_shape is "a tuple of integers [...], where each entry gives the size of that dimension", and toarray "converts
#   the Laplacian data to a dense array". A single row of an image, a profile, or one slice of a volume has such a shape.
# Costs: a random walk (an intrinsic field) made of it is a proper one that shrinks to zero, with a log-determinant that
#   fits neither field, as soon as the raster is one pixel high.
# Here: models are tested from one pixel on, rows and columns included, against dense matrices with their rank.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import numpy as np
import scipy
from scipy.sparse.linalg import LaplacianNd


def differences(shape, boundary):
    """Return how far the matrix is from the operator, its eigenvalues, and a null space with the constant."""
    operator = LaplacianNd(shape, boundary_conditions=boundary)
    matrix = operator.tosparse().toarray().astype(float)
    applied = operator @ np.eye(len(matrix))
    eigenvalues = np.sort(operator.eigenvalues())
    return (
        np.abs(matrix - applied).max(),
        np.abs(np.linalg.eigvalsh(matrix) - eigenvalues).max(),
        np.abs(matrix.sum(axis=1)).max(),
    )


print("SciPy", scipy.__version__)
print("expected: matrix, operator and eigenvalues of one object agree; rows add up to zero without Dirichlet boundaries")
found = {}
for boundary in ("neumann", "periodic"):
    for shape in ((3, 4), (1, 12), (12, 1), (12,)):
        found[boundary, shape] = differences(shape, boundary)
        numbers = ", ".join(f"{each:.0e}" if 0 < each < 1e-9 else f"{each:g}" for each in found[boundary, shape])
        print(f"{boundary} {shape}: matrix - operator, eigenvalues, sums of rows: {numbers}")
wrong = [max(found[key]) > 1e-9 for key in found]
raise SystemExit(0 if wrong == [False, True, True, False] * 2 else "no longer so")
PYTHON
