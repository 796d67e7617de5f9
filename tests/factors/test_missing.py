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
    monkeypatch.setattr(module, "_SOLVED", -1)
    np.testing.assert_allclose(diagonal_of_observed(Q, missing)[~missing], precision, rtol=1e-10)


def test_gaps_with_an_interior_have_the_same_covariances_between_pixels_of_their_rims(monkeypatch):
    rng = np.random.default_rng(3)
    planes = [4.2 + rng.random((16, 30)), -rng.random((16, 30)), -rng.random((16, 30))]
    Q = SymmetricStencil([(0, 0), (0, 1), (1, 0)], planes, (16, 30))
    missing = rng.random((16, 30)) < 0.1
    missing[2:13, 1:14] = missing[3:14, 17:28] = True
    missing[6, 5] = False
    missing[:, 15] = False
    factor = MissingFactor(Q, missing)
    by_solves = factor.covariances((4, 5))
    monkeypatch.setattr(module, "_FEW", 4)
    assert len(factor._with_interior(factor._component[factor._boundary])) == 2
    found = factor.covariances((4, 5))
    assert found.nnz == by_solves.nnz
    np.testing.assert_allclose(found.toarray(), by_solves.toarray(), rtol=1e-10, atol=1e-14)
    inverse = np.linalg.inv(Q.tocsr().toarray()[np.ix_(missing.ravel(), missing.ravel())])
    at = np.flatnonzero(factor.boundary.ravel()[missing.ravel()] >= 0)
    some = found.toarray() != 0.0
    np.testing.assert_allclose(found.toarray()[some], inverse[np.ix_(at, at)][some], rtol=1e-10)


def test_it_refuses_what_is_not_positive_definite():
    diagonal = np.full((3, 4), 4.0)
    diagonal[1, 2] = -1.0
    Q = SymmetricStencil([(0, 0), (0, 1)], [diagonal, -0.1], (3, 4))
    missing = np.zeros((3, 4), dtype=bool)
    missing[1:, 1:] = True
    with pytest.raises(NotPositiveDefiniteError, match=r"pivot -1\.\d+ at pixel \(1, 2\)") as caught:
        MissingFactor(Q, missing)
    assert caught.value.pixel == (1, 2)
