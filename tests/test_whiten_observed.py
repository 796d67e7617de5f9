"""Whitening of what is observed of an image with gaps, against the covariance of the observed pixels."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import CAR, GMRF, Channels, Matern, SymmetricStencil, TriangularStencil, condition, constrain
from sparsegmrf.autoregression import CausalAR
from sparsegmrf.cli._causal import innovations
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError, TooLargeError
from sparsegmrf.factors._ordered_cholesky import dissection_rank
from sparsegmrf.fields import IntrinsicGMRF
from sparsegmrf.lattice import Lattice
from tests.pixels.test_gaps import MASKS, SHAPE, mask_of

CAUSAL = CausalAR([0.5, 0.3, -0.1], 0.7, 1.0, support=[(-1, 0), (0, -1), (-1, 1)])


def later_neighbours():
    rng = np.random.default_rng(0)
    weights = [0.3 * rng.normal(size=SHAPE) for _ in range(2)]
    return GMRF.from_whitening(TriangularStencil([(0, 1), (1, -1)], 1.0 + rng.random(SHAPE), weights, SHAPE))


FIELDS = {
    "car": lambda: CAR(0.2).gmrf(SHAPE, mean=0.3),
    "matern": lambda: Matern(4.0, 2.0).gmrf(SHAPE),
    "torus": lambda: Matern(4.0, 2.0, boundary="torus").gmrf(SHAPE),
    "causal": lambda: CAUSAL.gmrf(SHAPE),
    "later neighbours": later_neighbours,
}


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("gaps", MASKS)
def test_it_is_a_linear_map_that_makes_observed_pixels_white(kind, gaps):
    field, missing = FIELDS[kind](), mask_of(gaps)
    seen = ~missing.ravel()
    n = int(seen.sum())
    units = np.zeros((n, missing.size))
    units[np.arange(n), np.flatnonzero(seen)] = 1.0
    white = field.whiten(units.reshape(n, *SHAPE) + field.mean, missing).reshape(n, -1)
    assert np.isnan(white[:, ~seen]).all()
    W = white[:, seen].T
    S = np.linalg.inv(field.tocsr().toarray())[np.ix_(seen, seen)]
    assert_allclose(W @ S @ W.T, np.eye(n), atol=1e-9)
    assert_allclose(W.T @ W, np.linalg.inv(S), rtol=1e-8, atol=1e-9)
    image = field.sample(rng=1)
    marked = np.where(missing, np.nan, image)
    expected = W @ (image - field.mean).ravel()[seen]
    assert_allclose(field.whiten(marked, "nan").ravel()[seen], expected, rtol=1e-8, atol=1e-10)
    assert_allclose(field.whiten(np.stack([image, marked]), missing)[1].ravel()[seen], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("gaps", MASKS[:-1])
def test_innovations_that_touch_nothing_missing_are_those_of_the_autoregression(gaps):
    missing, field = mask_of(gaps), CAUSAL.gmrf(SHAPE)
    image = field.sample(rng=2)
    known = innovations(CAUSAL, image, missing).image
    white = field.whiten(image, missing)
    at = np.isfinite(known)
    assert np.isfinite(white).sum() == (~missing).sum() > at.sum()
    assert_allclose(white[at], known[at], rtol=1e-12, atol=1e-13)


def test_channels_have_gaps_of_their_own():
    S = np.array([[1.0, 0.8], [0.8, 2.0]])
    field, rng = Channels(CAR(0.2), S).gmrf((6, 5), [1.0, -1.0]), np.random.default_rng(0)
    x, missing = field.sample(rng=1), rng.random((6, 5, 2)) < 0.4
    covariance = np.linalg.inv(field.tocsr().toarray())
    for mask in (missing, missing[..., 0]):
        seen = ~np.broadcast_to(mask if mask.ndim == 3 else mask[..., None], x.shape).ravel()
        r = (x - field.mean).ravel()[seen]
        white = field.whiten(x, mask).ravel()
        assert_array_equal(np.isnan(white), ~seen)
        assert (white[seen] ** 2).sum() == pytest.approx(
            r @ np.linalg.solve(covariance[np.ix_(seen, seen)], r), rel=1e-9
        )


def test_pixels_that_are_known_have_no_white_number():
    field, image = CAR(0.2).gmrf(SHAPE), np.random.default_rng(0).normal(size=SHAPE)
    known, missing = mask_of("corner"), mask_of("random")
    given = condition(field, image, mask=~known, noise_variance=0.0)
    draw = given.sample(rng=1)
    white = given.whiten(draw, missing)
    assert_array_equal(white[known & ~missing], 0.0)
    seen = (~missing & ~known).ravel()
    free = (~known).ravel()
    Q = field.tocsr().toarray()
    S = np.zeros(Q.shape)
    S[np.ix_(free, free)] = np.linalg.inv(Q[np.ix_(free, free)])
    r = (draw - given.mean).ravel()[seen]
    assert np.nansum(white**2) == pytest.approx(r @ np.linalg.solve(S[np.ix_(seen, seen)], r), rel=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (1, 200), (37, 23), (64, 64)])
@pytest.mark.parametrize("reach", [1, 2, 7])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_unknown_has_a_rank_of_its_own(shape, reach, channels):
    lattice = Lattice(shape, channels)
    assert_array_equal(np.sort(dissection_rank(lattice, reach)), np.arange(lattice.size))


MEMBRANE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], SHAPE, boundary="neumann")


@pytest.mark.parametrize(
    ("field", "x", "mask", "message"),
    [
        (FIELDS["car"](), np.zeros(SHAPE), np.ones(SHAPE, dtype=bool), "mask must leave a pixel observed"),
        (FIELDS["car"](), np.full(SHAPE, np.inf), mask_of("row"), "x must be finite"),
        (FIELDS["car"](), np.zeros(SHAPE), np.zeros((2, 2), dtype=bool), "mask must have the shape"),
        (FIELDS["car"](), np.zeros(SHAPE), "row", "mask must be one of 'nan'"),
        (FIELDS["car"](), np.stack([np.zeros(SHAPE), np.where(mask_of("row"), np.nan, 0.0)]), "nan", "one by one"),
        (IntrinsicGMRF(MEMBRANE), np.zeros(SHAPE), mask_of("row"), "intrinsic or under constraints"),
        (constrain(FIELDS["car"](), np.ones((1, 99)), [0.0]), np.zeros(SHAPE), mask_of("row"), "under constraints"),
    ],
)
def test_bad_input_is_named(field, x, mask, message):
    with pytest.raises(ArgumentError, match=message):
        field.whiten(x, mask)


def test_gaps_around_which_too_much_hangs_together_are_refused_beforehand(monkeypatch):
    monkeypatch.setattr("sparsegmrf._memory.available_bytes", lambda: 1_000)
    for kind in ("car", "causal"):
        with pytest.raises(TooLargeError, match="around one connected gap"):
            FIELDS[kind]().whiten(np.zeros(SHAPE), mask_of("random"))


def test_a_precision_that_is_not_positive_definite_is_named():
    diagonal = np.full(SHAPE, 4.0)
    diagonal[3, 4] = -1.0
    field = GMRF.from_precision(SymmetricStencil([(0, 0), (0, 1)], [diagonal, -0.1], SHAPE))
    with pytest.raises(NotPositiveDefiniteError, match=r"at pixel \(3, 4\)"):
        field.whiten(np.zeros(SHAPE), mask_of("row"))
