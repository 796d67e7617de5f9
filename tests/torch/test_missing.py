"""Solves on missing pixels: the banded factorization, and where the dissection takes over."""

import numpy as np
import pytest

from sparsegmrf.factors import cholesky_covariances
from tests.cholesky_factors import dense, random_factors
from tests.conftest import require

torch = require("torch")

from sparsegmrf.torch import CholeskyGMRF, _missing  # noqa: E402
from tests.torch.fields import dense_normal, field, images, rows  # noqa: E402

KINDS = pytest.mark.parametrize(
    ("channels", "radius", "coupled", "shape"),
    [
        (1, 1, False, (5, 6)),
        (1, 2, False, (2, 11)),
        (1, 2, False, (11, 2)),
        (3, 1, True, (4, 4)),
        (2, 2, False, (2, 7)),
        (2, 1, True, (1, 9)),
        (1, 2, False, (1, 1)),
    ],
)
SHARES = pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])


def missing_part(channels, radius, coupled, shape, share):
    rng = np.random.default_rng(1)
    factors = random_factors(2, channels, radius, shape, coupled=coupled)
    missing = rng.random((6, channels, *shape)) < share
    missing[4] = missing[2]  # one mask of one factor twice
    return factors, missing, rng.standard_normal((6, channels, *shape))


@KINDS
@SHARES
def test_band_solves_on_the_missing_unknowns(channels, radius, coupled, shape, share):
    factors, missing, b = missing_part(channels, radius, coupled, shape, share)
    result = _missing.solve_missing(*factors, missing, b)
    assert not result[~missing].any()
    for n in range(6):
        L = dense(*(np.nan_to_num(part[n % 2]) for part in factors))
        u, right, solution = (np.moveaxis(part[n], 0, -1).ravel() for part in (missing, b, result))
        np.testing.assert_allclose(solution[u], np.linalg.solve((L @ L.T)[u][:, u], right[u]), rtol=1e-9, atol=1e-9)


@KINDS
@SHARES
def test_dissection_solves_what_is_too_large_for_a_band(monkeypatch, channels, radius, coupled, shape, share):
    factors, missing, b = missing_part(channels, radius, coupled, shape, share)
    banded = _missing.solve_missing(*factors, missing, b)
    monkeypatch.setattr(_missing, "_LARGEST_BAND", -1)
    np.testing.assert_allclose(_missing.solve_missing(*factors, missing, b), banded, rtol=1e-10, atol=1e-10)


def test_small_images_are_solved_by_bands_and_large_ones_are_not(monkeypatch):
    dissected = []
    monkeypatch.setattr(cholesky_covariances, "solve_missing", lambda *a: dissected.append(a) or np.zeros_like(a[-1]))
    for side, is_dissected in ((28, False), (160, True)):
        p = CholeskyGMRF(*torch.zeros(2, 1, side, side), torch.full((1, 4, side, side), -0.2))
        p.conditional_mean(p.loc, torch.ones(side, side, dtype=torch.bool))
        assert bool(dissected) == is_dissected


def test_observed_right_hand_sides_are_not_read():
    factors, missing, b = missing_part(2, 1, True, (4, 5), 0.5)
    result = _missing.solve_missing(*factors, missing, b)
    b[~missing] = np.nan
    np.testing.assert_array_equal(_missing.solve_missing(*factors, missing, b), result)


@pytest.mark.parametrize("reach", [1, 2])
def test_gradients_of_the_conditional_mean_are_those_of_dense_algebra(reach):
    p = field((2,), 2, (3, 4), reach)
    mask = torch.rand(2, 2, 3, 4, generator=torch.Generator().manual_seed(2)) < 0.5
    value = p.loc + 1.0
    Q = dense_normal(p).precision_matrix
    for b in range(2):
        u = rows(mask[b])
        loc, observed = p.loc.clone().requires_grad_(), value.clone().requires_grad_()
        q = CholeskyGMRF(loc, p.log_diag, p.off_diag, p.cross, radius=reach)
        weights = torch.linspace(-1.0, 1.0, 24, dtype=torch.float64)
        (rows(q.conditional_mean(observed, mask)[b]) * weights).sum().backward()
        back = torch.linalg.solve(Q[b][u][:, u], weights[u]) @ Q[b][u][:, ~u]
        expected = torch.zeros(24, dtype=torch.float64)
        expected[u], expected[~u] = weights[u], back
        torch.testing.assert_close(loc.grad[b], images(expected, p))
        expected[u], expected[~u] = 0.0, weights[~u] - back
        torch.testing.assert_close(observed.grad[b], images(expected, p))


def test_pivots_that_are_rounding_name_their_pixel():
    p = CholeskyGMRF(*torch.zeros(2, 1, 12, 12).double(), torch.full((1, 4, 12, 12), -1e9 / 3.0).double())
    with pytest.raises(np.linalg.LinAlgError, match=r"pivot .* at pixel"):
        p.conditional_mean(p.loc, torch.ones(12, 12, dtype=torch.bool))
