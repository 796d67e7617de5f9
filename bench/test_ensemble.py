"""Fits to ensembles of images: the triangular one against a regression per pixel, the symmetric one against the lasso.

The graphical lasso minimizes a likelihood with a penalty on all pairs and finds the pattern by itself; the fit of this
package is told the pattern. What is compared is the time to a precision of as many pixels from the same images, the
lasso at the one penalty given, without the search for it. The tolerance of its inner solver is below the default, with
which it does not converge on 16 x 16.
"""

import warnings

import numpy as np
import pytest

from sparsegmrf.ensembles import CholeskyField, SymmetricField

COUNT = 200
LATER = [(0, 1), (0, 2), *[(di, dj) for di in (1, 2) for dj in range(-2, 3)]]
FOUR = [(0, 1), (1, 0)]


def triangular_images(side):
    return CholeskyField(1.0, [-0.4, 0.1, -0.3, 0.05]).gmrf((side, side), mean=5.0).sample(COUNT, rng=0)


def symmetric_images(side):
    return SymmetricField(4.2, [-1.0, -0.9], FOUR).gmrf((side, side)).sample(COUNT, rng=0)


def regressions(images):
    """Return ``L[p, p]`` and the coefficients of every pixel's least squares on its later neighbours."""
    r = images - images.mean(axis=0)
    height, width = r.shape[1:]
    diagonal, coefficients = np.empty((height, width)), np.zeros((len(LATER), height, width))
    for i in range(height):
        for j in range(width):
            kept = [k for k, (a, b) in enumerate(LATER) if i + a < height and 0 <= j + b < width]
            columns = np.array([r[:, i + LATER[k][0], j + LATER[k][1]] for k in kept]).reshape(len(kept), len(r)).T
            beta = np.linalg.lstsq(columns, r[:, i, j], rcond=None)[0]
            diagonal[i, j] = 1.0 / np.sqrt(np.mean((r[:, i, j] - columns @ beta) ** 2))
            coefficients[kept, i, j] = beta
    return diagonal, coefficients


@pytest.mark.parametrize("side", [64, 256])
@pytest.mark.parametrize("member", ["sparsegmrf", "sparsegmrf, shrinkage by leave-one-out", "numpy lstsq per pixel"])
def test_triangular(timed, side, member):
    images = triangular_images(side)
    fitted = CholeskyField.fit(images, 2, shrinkage=None).model
    expected = fitted.diagonal, -np.asarray(fitted.weights) / fitted.diagonal

    def check(answer):
        for found, wanted in zip(answer, expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)

    call, check, rounds = {
        "sparsegmrf": (lambda: CholeskyField.fit(images, 2, shrinkage=None), None, 5),
        "sparsegmrf, shrinkage by leave-one-out": (lambda: CholeskyField.fit(images, 2), None, 3),
        "numpy lstsq per pixel": (lambda: regressions(images), check, 1),
    }[member]
    timed(f"sparse factor, 12 neighbours, {COUNT} images of {side}", member, call, check=check, rounds=rounds)


@pytest.mark.parametrize("side", [8, 16, 32, 64])
@pytest.mark.parametrize("member", ["sparsegmrf", "graphical lasso"])
def test_symmetric(timed, side, member):
    covariance = pytest.importorskip("sklearn.covariance")
    if member == "graphical lasso" and side > 32:
        pytest.skip("a regression per pixel on a dense 4096 x 4096 covariance, again and again")
    images = symmetric_images(side)
    rows = images.reshape(COUNT, -1)

    def lasso():
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a lasso that has not converged is not timed
            return covariance.GraphicalLasso(alpha=0.05, enet_tol=1e-6, tol=1e-3).fit(rows).get_precision()

    def converged(fit):
        assert fit.converged

    call, check = {
        "sparsegmrf": (lambda: SymmetricField.fit(images, offsets=FOUR), converged),
        "graphical lasso": (lasso, None),
    }[member]
    timed(f"sparse precision, {COUNT} images of {side}", member, call, check=check, rounds=3)
