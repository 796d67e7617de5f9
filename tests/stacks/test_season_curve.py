"""The season of a pixel: what a dense Gaussian says of it, and what modes do."""

import numpy as np
import pytest

from sparsegmrf import fill
from sparsegmrf.models import Matern
from sparsegmrf.stacks import Separable
from sparsegmrf.stacks._modes_em import season_of

DAYS = np.array([20.0, 80.0, 81.0, 140.0, 260.0, 300.0])
START = {"range": 3.0, "sigma": 1.0, "ell": 30.0, "range_mean": 4.0, "sd_level": 0.8, "sd_harmonic_1": 0.5}
SHAPE = (4, 5)


def stack_with_gaps():
    rng = np.random.default_rng(5)
    values = 7.0 + rng.standard_normal((len(DAYS), *SHAPE)).cumsum(axis=2)
    values[rng.random(values.shape) < 0.3] = np.nan
    return values


def dense(values, place, days, season, in_time, trend):
    """Mean and deviation of trend and season of a pixel given all observations, the trend's coefficients flat.

    ``season(s, t)`` and ``in_time(s, t)`` are covariances ``(n, n)`` between the images of two days.
    """
    seen = np.isfinite(values).reshape(-1)
    day = np.repeat(DAYS, values[0].size)[seen]
    whole = np.block([[season(s, t) + in_time(s, t) for t in DAYS] for s in DAYS])
    S = whole[np.ix_(seen, seen)] + 0.2 * np.eye(len(day))
    K = np.array([np.concatenate([season(d, t)[place] for t in DAYS])[seen] for d in days])
    prior = np.array([season(d, d)[place, place] for d in days])
    X, x = trend(day), trend(days)
    inner = np.linalg.inv(X.T @ np.linalg.solve(S, X))
    beta = inner @ X.T @ np.linalg.solve(S, values.reshape(-1)[seen])
    gain = np.linalg.solve(S, K.T).T
    left = x - gain @ X
    mean = x @ beta + gain @ (values.reshape(-1)[seen] - X @ beta)
    variance = prior - np.einsum("dk,dk->d", gain, K) + np.einsum("di,ij,dj->d", left, inner, left)
    return mean, np.sqrt(variance)


def covariance(model):
    return np.linalg.inv(model.stencil(SHAPE).tocsr().toarray())


def waves(days):
    angle = 2.0 * np.pi * np.asarray(days) / 365.25
    return np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)], axis=-1)


@pytest.mark.parametrize("options", [{}, {"core": 2, "halo": 1}], ids=["at once", "tiles"])
def test_it_is_that_of_a_dense_gaussian(options):
    values, pixel = stack_with_gaps(), (2, 3)
    held = {"harmonics": 1, "noise_variance": 0.2, "start": START, "fixed": list(START)}
    fit = fill(values, dates=DAYS, model=Matern(range=3.0, sigma=1.0), **held, **options).fit
    field, maps = covariance(Matern(range=3.0, sigma=1.0)), covariance(Matern(range=4.0))
    scales = np.array([0.8, 0.5, 0.5]) ** 2

    def season(s, t):
        return float(np.sum(scales * waves(s) * waves(t))) * maps

    def in_time(s, t):
        return np.exp(-abs(s - t) / 30.0) * field

    curve = fit.season(pixel)
    assert curve.pixel == pixel
    some = slice(None, None, 12)
    mean, std = dense(values, 2 * SHAPE[1] + 3, curve.days[some], season, in_time, waves)
    tolerance = 1e-4 if options else 1e-8
    np.testing.assert_allclose(curve.mean[some], mean, rtol=tolerance)
    np.testing.assert_allclose(curve.std[some], std, rtol=tolerance)
    on = np.isfinite(values[:, 2, 3])
    np.testing.assert_array_equal(curve.seen, DAYS[on])
    np.testing.assert_allclose(curve.values, values[on, 2, 3])


def test_without_maps_it_is_the_trend_with_fields_that_stay():
    values, pixel = stack_with_gaps(), (1, 1)
    parts = [Separable(Matern(range=5.0, sigma=2.0), np.inf, "map"), Separable(Matern(range=3.0), 0.0, "day")]
    start = {"range_map": 5.0, "sigma_map": 2.0, "range_day": 3.0, "sigma_day": 1.0}
    known = {"dates": DAYS, "harmonics": None, "noise_variance": 0.2}
    fit = fill(values, model=parts, start=start, fixed=list(start), **known).fit
    lasting, day = covariance(Matern(range=5.0, sigma=2.0)), covariance(Matern(range=3.0))
    curve = fit.season(pixel)

    def constant(days):
        return np.ones((len(days), 1))

    place = SHAPE[1] + 1
    mean, std = dense(values, place, curve.days[:2], lambda s, t: lasting, lambda s, t: float(s == t) * day, constant)
    np.testing.assert_allclose(curve.mean, mean[0], rtol=1e-8)
    np.testing.assert_allclose(curve.std, std[0], rtol=1e-8)
    start = {"ell": 30.0, "range": 3.0, "sigma": 1.0}
    plain = fill(values, start=start, fixed=list(start), **known).fit
    np.testing.assert_allclose(plain.season().mean, plain.coefficients["constant"])
    np.testing.assert_allclose(plain.season().std, plain.coefficient_errors["constant"])


def test_of_modes_it_has_their_coefficients_and_covariance():
    rng, days = np.random.default_rng(0), 10.0 * np.arange(30)
    values = 50.0 + 3.0 * rng.standard_normal((30, *SHAPE))
    values[rng.random(values.shape) < 0.2] = np.nan
    fit = fill(values, dates=days, model="modes").fit
    curve, model = fit.season((3, 2)), fit._learnt.model
    x = season_of(curve.days, model.modes.harmonics)
    k = model.modes.fixed
    np.testing.assert_allclose(curve.mean, model.centre + model.unit * (x @ model.modes.mean[17, :k]))
    spread = model.modes.spread
    whole = spread.turned(spread.packed)[17][:k, :k]
    np.testing.assert_allclose(curve.std, model.unit * np.sqrt(np.diagonal(x @ whole @ x.T)))
    np.testing.assert_allclose(curve.values, values[np.isfinite(values[:, 3, 2]), 3, 2])
