"""The factor of missing pixels, against dense matrices."""

import numpy as np
import pytest

from sparsegmrf import SymmetricStencil
from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.factors import missing as module
from sparsegmrf.factors.missing import MissingFactor, diagonal_of_observed

SHAPE = (8, 9)


def problem(seed, share):
    rng = np.random.default_rng(seed)
    planes = [4.0 + rng.random(SHAPE), -rng.random(SHAPE), rng.random(SHAPE) - 0.5, -0.5 * rng.random(SHAPE)]
    Q = SymmetricStencil([(0, 0), (0, 1), (1, -2), (2, 0)], planes, SHAPE)
    return Q, rng.random(SHAPE) < share, rng


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("entries", [1, 100, 2**22])
def test_it_has_the_covariances_between_pixels_near_observed_ones(share, entries, monkeypatch):
    monkeypatch.setattr(module, "_ENTRIES", entries)
    Q, missing, rng = problem(7, share)
    dense, m = Q.tocsr().toarray(), missing.ravel()
    factor = MissingFactor(Q, missing)
    inverse, boundary = np.linalg.inv(dense[np.ix_(m, m)]), factor.boundary
    touched = (dense[np.ix_(m, ~m)] != 0.0).any(axis=1)
    np.testing.assert_array_equal(boundary.ravel()[m] >= 0, touched)
    assert (boundary[~missing] == -1).all()
    i, j = np.nonzero(boundary >= 0)
    near = (np.abs(i[:, None] - i) <= 2) & (np.abs(j[:, None] - j) <= 3)
    expected = np.where(near, inverse[np.ix_(touched, touched)], 0.0)
    np.testing.assert_allclose(factor.covariances((2, 3)).toarray(), expected, rtol=1e-10, atol=1e-13)
    x = rng.normal(size=SHAPE)
    mean = -np.linalg.solve(dense[np.ix_(m, m)], dense[np.ix_(m, ~m)] @ x.ravel()[~m])
    np.testing.assert_allclose(factor.filled(x)[missing], mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(factor.filled(x)[~missing], x[~missing])
    precision = np.diagonal(np.linalg.inv(np.linalg.inv(dense)[np.ix_(~m, ~m)]))
    np.testing.assert_allclose(diagonal_of_observed(Q, missing)[~missing], precision, rtol=1e-10)


def test_it_refuses_what_is_not_positive_definite():
    diagonal = np.full((3, 4), 4.0)
    diagonal[1, 2] = -1.0
    Q = SymmetricStencil([(0, 0), (0, 1)], [diagonal, -0.1], (3, 4))
    missing = np.zeros((3, 4), dtype=bool)
    missing[1:, 1:] = True
    with pytest.raises(NotPositiveDefiniteError, match=r"pivot -1\.\d+ at pixel \(1, 2\)") as caught:
        MissingFactor(Q, missing)
    assert caught.value.pixel == (1, 2)
