"""Fits and fillings of several channels: maxima, the noise of each channel, gaps that agree and that differ."""

import dataclasses

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose

from sparsegmrf import CAR, Channels, Matern, condition, fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import ChannelsFillResult, ChannelsFit
from sparsegmrf.models import Intrinsic, TensionSpline
from tests.inference.dense import log_density

S = np.array([[1.0, 0.8, 0.3], [0.8, 2.0, 0.1], [0.3, 0.1, 0.5]])
LEVEL = np.array([10.0, -3.0, 0.0])


def drawn(shape, noise, seed=0, spatial=CAR(0.22)):  # noqa: B008 - an immutable value
    rng = np.random.default_rng(seed)
    y = Channels(spatial, S).gmrf(shape, LEVEL).sample(rng=rng)
    return y + np.sqrt(noise) * rng.standard_normal(y.shape)


def dense_loglik(model, y, o, v):
    """Profiled over a level of each channel."""
    shape, channels = y.shape[:2], y.shape[2]
    K = np.kron(np.linalg.inv(model.model.stencil(shape).tocsr().toarray()), model.covariance)
    D = np.kron(np.ones((shape[0] * shape[1], 1)), np.eye(channels))[o]
    V = K[np.ix_(o, o)] + np.diag(np.broadcast_to(v, y.shape).ravel()[o])
    solved = np.linalg.solve(V, D)
    beta = np.linalg.solve(D.T @ solved, solved.T @ y.ravel()[o])
    return log_density(y.ravel()[o] - D @ beta, V), beta


@pytest.mark.parametrize("kind", ["none", "agree", "differ"])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_fit_is_the_dense_maximum(kind, noise):
    shape = (7, 8)
    y, rng = drawn(shape, noise)[..., :2], np.random.default_rng(1)
    missing = {
        "none": np.zeros(y.shape, dtype=bool),
        "agree": np.repeat(rng.random(shape)[..., None] < 0.3, 2, axis=-1),
        "differ": rng.random(y.shape) < 0.3,
    }[kind]
    found = fit(Channels(CAR(0.1), np.eye(2)), y, mask=missing, noise_variance=noise if noise else None, tolerance=1e-4)
    assert isinstance(found, ChannelsFit)
    assert found.converged, found.reason
    loglik, beta = dense_loglik(found.model, y, ~missing.ravel(), noise)
    assert found.loglik == pytest.approx(loglik, rel=1e-9)
    assert_allclose(found.coefficients[0], beta, rtol=1e-7)
    assert found.n_parameters == 1 + 3 + 2

    def loss(u):
        L = np.array([[np.exp(u[1]), 0.0], [u[2], np.exp(u[3])]])
        return -dense_loglik(Channels(CAR(0.25 / (1.0 + np.exp(-u[0]))), L @ L.T), y, ~missing.ravel(), noise)[0]

    # A simplex from afar finds nothing better, and from the estimates nowhere to go.
    root, share = np.linalg.cholesky(found.model.covariance), found.parameters["rho"] / 0.25
    end = [np.log(abs(share) / (1.0 - share)), np.log(root[0, 0]), root[1, 0], np.log(root[1, 1])]
    for start in ([0.0, 0.0, 0.0, 0.0], end):
        options = {"maxiter": 2000, "xatol": 1e-6, "fatol": 1e-9}
        best = scipy.optimize.minimize(loss, start, method="Nelder-Mead", options=options)
        assert -best.fun <= found.loglik + 1e-5


def test_noise_of_each_channel_is_estimated_beside_the_covariance():
    noise = np.array([0.5, 0.1, 0.3])
    y = drawn((64, 64), noise)
    y[10:30, 20:40, 1] = np.nan
    y[40:50, 5:30] = np.nan
    found = fit(Channels(CAR(0.15), np.eye(3)), y)
    assert found.converged, found.reason
    # About six of the deviations of estimates from 4096 pixels: no false alarm in 10^8.
    assert_allclose(found.noise_variance, noise, atol=0.25)
    assert_allclose(found.model.covariance, S, atol=0.45)
    assert abs(found.parameters["rho"] - 0.22) < 6.0 * found.standard_errors["rho"]
    truth = Channels(CAR(0.22), S)
    at_truth = fit(truth, y, noise_variance=noise, fixed=["rho", "covariance"])
    assert found.loglik > at_truth.loglik
    assert found.aic == pytest.approx(2 * found.n_parameters - 2 * found.loglik)


@pytest.mark.parametrize("noise", [None, "estimate"])
def test_units_levels_and_order_of_channels_do_not_matter(noise):
    y = drawn((24, 20), 0.0 if noise is None else 0.2)
    y[5:9, 3:12] = np.nan
    model = Channels(CAR(0.15), np.eye(3))
    found = fit(model, y, noise_variance=noise)
    unit, order = np.array([1e3, 1e-4, 1.0]), [2, 0, 1]
    moved = fit(model, (y * unit + [5.0, 1.0, -1e3])[..., order], noise_variance=noise)
    jacobian = np.isfinite(y[..., 0]).sum() * np.log(unit).sum()
    assert moved.loglik == pytest.approx(found.loglik - jacobian, abs=2e-3)
    scaled = (found.model.covariance * np.outer(unit, unit))[np.ix_(order, order)]
    root = np.sqrt(np.diagonal(scaled))
    assert_allclose(moved.model.covariance / np.outer(root, root), scaled / np.outer(root, root), atol=0.02)
    flipped = fit(model, y[::-1].transpose(1, 0, 2), noise_variance=noise)
    assert flipped.loglik == pytest.approx(found.loglik, abs=2e-3)


@pytest.mark.parametrize("covariates", ["linear", None])
def test_a_start_on_a_tile_ends_at_the_same_maximum(covariates, monkeypatch):
    y = drawn((40, 36), 0.2)[..., :2] - LEVEL[:2]
    y[3:9, 5:30, 0] = np.nan
    model = Channels(CAR(0.15), np.eye(2))
    found = fit(model, y, covariates=covariates)
    monkeypatch.setattr("sparsegmrf.inference._channel_search._TILE", 18)
    monkeypatch.setattr("sparsegmrf.inference._channel_search._LEAST", 100)
    by_tile = fit(model, y, covariates=covariates)
    assert by_tile.converged, by_tile.reason
    assert by_tile.loglik == pytest.approx(found.loglik, abs=1e-3)
    assert_allclose(by_tile.model.covariance, found.model.covariance, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("kind", ["agree", "differ"])
def test_filling_with_everything_known_is_conditioning_with_a_trend(kind):
    shape, v = (9, 8), np.array([0.2, 0.4, 0.1])
    y, rng = drawn(shape, v), np.random.default_rng(2)
    missing = rng.random(y.shape) < 0.3
    missing = np.repeat(missing[..., :1], 3, axis=-1) if kind == "agree" else missing
    model = Channels(CAR(0.22), S)
    known = {"noise_variance": v, "fixed": ["rho", "tau", "covariance"]}
    found = fill(np.where(missing, np.nan, y), model=model, covariates=None, n_samples=3, rng=0, **known)
    assert isinstance(found, ChannelsFillResult)
    posterior = condition(model.gmrf(shape), y, mask=missing, noise_variance=v)
    assert_allclose(found.mean, posterior.mean, rtol=1e-10, atol=1e-11)
    assert_allclose(found.std, np.sqrt(posterior.marginal_variance()), rtol=1e-10)
    assert_allclose(found.predictive_std, np.sqrt(posterior.marginal_variance() + v), rtol=1e-10)
    assert_allclose(found.filled, np.where(missing, posterior.mean, y), rtol=1e-10, atol=1e-11)
    assert found.samples.shape == (3, *shape, 3)
    assert_allclose(found.fit.posterior().mean, posterior.mean, rtol=1e-10, atol=1e-11)
    with_level = fill(np.where(missing, np.nan, y + 1e4), model=model, covariates="constant", **known)
    assert_allclose(
        with_level.mean - 1e4, fill(y, mask=missing, model=model, covariates="constant", **known).mean, atol=1e-7
    )
    assert (with_level.std > found.std).all()


def test_a_gap_of_one_channel_is_filled_from_the_others():
    model = Channels(Matern(6.0, 1.0), np.array([[1.0, 0.95], [0.95, 1.0]]))
    truth = model.gmrf((40, 40), [3.0, -2.0]).sample(rng=3)
    image = truth.copy()
    image[10:30, 10:30, 0] = np.nan
    found = fill(image, model=Channels(Matern(4.0, 1.0), np.eye(2)), noise_variance=None, covariates="constant")
    assert found.fit.converged, found.fit.reason
    alone = fill(image[..., 0], model=Matern(6.0, 1.0), noise_variance=None, covariates="constant")
    at = np.isnan(image[..., 0])
    assert np.sqrt(np.mean((found.mean[..., 0] - truth[..., 0])[at] ** 2)) < 0.5 * np.sqrt(
        np.mean((alone.mean - truth[..., 0])[at] ** 2)
    )
    assert_allclose(found.mean[~np.isnan(image)], image[~np.isnan(image)])


def test_what_is_predicted_where_a_covariate_is_not_known_is_nan():
    y, z = drawn((10, 9), 0.1), np.random.default_rng(0).normal(size=(10, 9))
    y[2:4, 3], z[2:4, 3] = np.nan, np.nan
    known = {"noise_variance": 0.1, "fixed": ["rho", "tau", "covariance"]}
    found = fill(y, model=Channels(CAR(0.22), S), covariates={"z": z}, **known)
    assert found.fit.covariates == ("constant", "z")
    assert np.array_equal(np.isnan(found.mean), np.isnan(y))
    assert found.fit.coefficients.shape == found.fit.coefficient_errors.shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": np.zeros((2, 8, 9))}, r"image must have shape \(H, W, 3\).*moveaxis"),
        ({"image": np.zeros((8, 9))}, r"image must have shape \(H, W, 3\)"),
        ({"image": np.zeros((8, 9, 3))}, "image must vary about its trend in every channel, got channel 0"),
        ({"fixed": ["sigma"]}, "fixed must name parameters among rho, tau, covariance"),
        ({"noise_variance": "best"}, "noise_variance"),
        ({"method": "reml"}, "method must be"),
        ({"covariates": {"a": np.zeros((8, 9)), "b": np.ones((8, 9))}}, "covariates must not vanish"),
    ],
)
def test_bad_input_is_named(arguments, message):
    given = {"image": np.random.default_rng(0).normal(size=(8, 9, 3)), **arguments}
    with pytest.raises(ArgumentError, match=message):
        fit(Channels(CAR(0.2), S), given.pop("image"), **given)


def test_the_summary_has_covariance_noise_and_trend():
    found = fit(Channels(CAR(0.2), S), drawn((12, 12), 0.1), fixed=["rho", "tau", "covariance"], noise_variance=0.1)
    text = found.summary()
    assert "Channels of CAR, 432 observed values" in text
    assert "constant" in text
    assert "noise variance 0.1" in text
    assert dataclasses.is_dataclass(found)
    assert found.gmrf().mean.shape == (12, 12, 3)


@pytest.mark.parametrize(
    ("model", "covariates", "kept"),
    [
        (TensionSpline(kappa=0.5), "linear", {"row", "column"}),
        (Intrinsic(order=2), "linear", set()),
        (
            Intrinsic(order=2),
            {"row": np.arange(12.0)[:, None] * np.ones(9), "square": np.arange(108.0).reshape(12, 9) ** 2},
            {"square"},
        ),
        (Intrinsic(), "constant", set()),
        (CAR(0.2), "linear", {"constant", "row", "column"}),
    ],
)
def test_covariates_that_an_intrinsic_field_has_itself_are_left_out(model, covariates, kept):
    y = drawn((12, 9), 0.1)
    held = [*model.parameters, "covariance"]
    given = {"noise_variance": 0.1, "fixed": held}
    found = fill(y, model=Channels(model, S), covariates=covariates, **given)
    assert set(found.fit.covariates) == kept
    assert found.fit.coefficients.shape == (len(kept), 3)
    whole = fit(Channels(model, S), y, covariates=covariates, **given)
    assert whole.loglik == found.fit.loglik
    if not isinstance(model, CAR):
        again = fill(y, model=Channels(model, S), covariates=list(found.fit._covariates.images) or None, **given)
        assert_allclose(again.mean, found.mean, rtol=0.0, atol=1e-12)
        assert again.fit.loglik == pytest.approx(found.fit.loglik, rel=1e-12)
