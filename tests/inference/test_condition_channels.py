"""Posteriors of several channels against the dense conditional distribution."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import CAR, GMRF, SAR, Channels, Intrinsic, Matern, SymmetricStencil, condition
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.congruent import CongruentForm
from sparsegmrf.factors.separable import SeparableForm
from sparsegmrf.likelihoods import Poisson
from tests.inference import dense

S = np.array([[1.0, 0.8, 0.3], [0.8, 2.0, 0.1], [0.3, 0.1, 0.5]])
SHAPE = (5, 4)
MODELS = {"CAR": CAR(0.2), "SAR": SAR(0.1, tau=2.0), "Matern": Matern(4.0, 2.0)}


def gaps(kind, seed=0):
    rng = np.random.default_rng(seed)
    if kind == "agree":
        return np.repeat((rng.random(SHAPE) < 0.4)[..., None], 3, axis=-1)
    if kind == "one band":
        missing = np.zeros((*SHAPE, 3), dtype=bool)
        missing[1:4, 1:, 1] = True
        return missing
    return rng.random((*SHAPE, 3)) < 0.4


def noise_of(kind):
    rng = np.random.default_rng(3)
    return {
        "exact": 0.0,
        "one": 0.3,
        "per channel": np.array([0.3, 0.1, 2.0]),
        "per pixel": rng.uniform(0.1, 2.0, SHAPE),
        "map": rng.uniform(0.1, 2.0, (*SHAPE, 3)),
        "some exact": np.where(rng.random((*SHAPE, 3)) < 0.4, 0.0, 0.5),
    }[kind]


NOISE = ["exact", "one", "per channel", "per pixel", "map", "some exact"]


def spread(noise):
    noise = np.asarray(noise)
    return np.broadcast_to(noise[..., None] if noise.ndim == 2 else noise, (*SHAPE, 3))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["agree", "one band", "differ"])
@pytest.mark.parametrize("noise", NOISE)
def test_posterior_is_the_dense_conditional_distribution(name, kind, noise):
    level = np.array([1.0, -2.0, 0.5])
    field, missing, v = Channels(MODELS[name], S).gmrf(SHAPE, level), gaps(kind), noise_of(noise)
    y = np.random.default_rng(1).normal(size=(*SHAPE, 3))
    covariance = np.kron(np.linalg.inv(MODELS[name].stencil(SHAPE).tocsr().toarray()), S)
    mean, expected = dense.conditional(field.mean.ravel(), covariance, y.ravel(), ~missing.ravel(), spread(v).ravel())
    posterior = condition(field, np.where(missing, np.nan, y), mask="nan", noise_variance=v)
    assert posterior.mean.shape == (*SHAPE, 3)
    assert_allclose(posterior.mean.ravel(), mean, rtol=1e-8, atol=1e-9)
    assert_allclose(posterior.marginal_variance().ravel(), np.diagonal(expected), rtol=1e-8, atol=1e-9)
    assert_allclose(posterior.covariance_with((2, 1), 1).ravel(), expected[2 * 12 + 1 * 3 + 1], rtol=1e-8, atol=1e-9)
    free = ~(~missing.ravel() & (spread(v).ravel() == 0.0))
    assert posterior.rank == np.count_nonzero(free)
    assert_allclose(posterior.logdet, -np.linalg.slogdet(expected[np.ix_(free, free)])[1], rtol=1e-9, atol=1e-8)
    # Draws are L e: their covariance is that of the columns of the linear map from white numbers.
    n = posterior.lattice.size
    root = posterior.factor.unwhiten(np.eye(n).reshape(n, *SHAPE, 3)).reshape(n, n)
    assert_allclose(root.T @ root, expected, rtol=1e-8, atol=1e-9)
    kinds = {"exact": SeparableForm, "one": CongruentForm, "per channel": CongruentForm, "per pixel": CongruentForm}
    fast = kind == "agree" and noise in kinds
    assert isinstance(posterior.given, (SeparableForm, CongruentForm)) == fast
    if fast:
        assert isinstance(posterior.given, kinds[noise])


def test_what_is_not_separable_and_channels_that_are_known_in_part_are_conditioned_too():
    rng = np.random.default_rng(5)
    block = rng.normal(size=(2, 2)) * 0.3
    Q = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [3.0 * np.eye(2) + 0.5, block, -0.4 * np.eye(2)], (4, 3), channels=2)
    field, y = GMRF.from_precision(Q, mean=1.0), rng.normal(size=(4, 3, 2))
    covariance, missing = np.linalg.inv(Q.tocsr().toarray()), rng.random((4, 3, 2)) < 0.5
    mean, expected = dense.conditional(np.ones(24), covariance, y.ravel(), ~missing.ravel(), np.zeros(24))
    first = condition(field, y, mask=missing, noise_variance=0.0)
    assert_allclose(first.mean.ravel(), mean, rtol=1e-9)
    assert_allclose(first.marginal_variance().ravel(), np.diagonal(expected), rtol=1e-8, atol=1e-12)
    # Then the rest, with noise: what was known stays known.
    then = condition(first, y, mask=~missing, noise_variance=0.2)
    noise = np.where(missing, 0.2, 0.0)
    mean, expected = dense.conditional(np.ones(24), covariance, y.ravel(), np.ones(24, dtype=bool), noise.ravel())
    assert_allclose(then.mean.ravel(), mean, rtol=1e-9)
    assert_allclose(then.marginal_variance().ravel(), np.diagonal(expected), rtol=1e-8, atol=1e-12)
    with pytest.raises(ArgumentError, match=r"pixel \(\d, \d, \d\) is held"):
        condition(first, y + 1.0, noise_variance=0.0)


def test_conditioning_twice_keeps_the_kronecker_product():
    field, y = Channels(CAR(0.2), S).gmrf(SHAPE), np.random.default_rng(0).normal(size=(*SHAPE, 3))
    first, second = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    first[:3], second[2:4, 1] = True, True
    twice = condition(condition(field, y, mask=first, noise_variance=0.0), y, mask=second, noise_variance=0.0)
    once = condition(field, y, mask=first & second, noise_variance=0.0)
    assert isinstance(twice.given, SeparableForm)
    assert_allclose(twice.mean, once.mean, rtol=1e-10, atol=1e-12)
    assert_allclose(twice.marginal_variance(), once.marginal_variance(), rtol=1e-10, atol=1e-12)


def test_a_band_with_a_gap_borrows_from_the_others():
    field = Channels(Matern(4.0, 1.0), [[1.0, 0.95], [0.95, 1.0]]).gmrf((12, 12))
    truth = field.sample(rng=0)
    missing = np.zeros(truth.shape, dtype=bool)
    missing[2:10, 2:10, 0] = True
    together = condition(field, truth, mask=missing, noise_variance=0.0)
    alone = condition(Matern(4.0, 1.0).gmrf((12, 12)), truth[..., 0], mask=missing[..., 0], noise_variance=0.0)
    at = missing[..., 0]
    assert (together.marginal_variance()[..., 0][at] < 0.1 * alone.marginal_variance()[at] + 0.01).all()
    # The other band exactly known, the gap has the variance 1 - 0.95^2 of what is the band's own.
    own = (1.0 - 0.95**2) * alone.marginal_variance()
    assert_allclose(together.marginal_variance()[..., 0][at], own[at], rtol=1e-9)


@pytest.mark.parametrize("model", [Intrinsic(), Intrinsic(order=2)])
@pytest.mark.parametrize("kind", ["agree", "differ"])
@pytest.mark.parametrize("noise", ["exact", "one", "map"])
def test_intrinsic_spatial_fields_get_their_level_from_the_observations(model, kind, noise):
    field, missing, v = Channels(model, S).gmrf(SHAPE), gaps(kind), spread(noise_of(noise))
    y = np.random.default_rng(1).normal(size=(*SHAPE, 3))
    Q, seen = np.kron(model.stencil(SHAPE).tocsr().toarray(), np.linalg.inv(S)), ~missing.ravel()
    posterior = condition(field, y, mask=missing, noise_variance=v)
    exact = seen & (v.ravel() == 0.0)
    w = np.divide(1.0, v.ravel(), out=np.zeros(60), where=seen & ~exact)
    P, known = Q + np.diag(w), np.where(exact, y.ravel(), 0.0)
    mean = known.copy()
    mean[~exact] = np.linalg.solve(P[np.ix_(~exact, ~exact)], (w * y.ravel() - Q @ known)[~exact])
    assert_allclose(posterior.mean.ravel(), mean, rtol=1e-8, atol=1e-9)
    variance = np.zeros(60)
    variance[~exact] = np.diagonal(np.linalg.inv(P[np.ix_(~exact, ~exact)]))
    assert_allclose(posterior.marginal_variance().ravel(), variance, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": np.zeros(SHAPE)}, "y must have the shape"),
        ({"mask": np.zeros((2, 2), dtype=bool)}, "mask must be boolean with the shape"),
        ({"mask": np.ones(SHAPE, dtype=bool)}, "y must have an observed value"),
        ({"y": np.full((*SHAPE, 3), np.nan)}, r"got nan at pixel \(0, 0\), channel 0"),
        ({"noise_variance": np.zeros((4, 3))}, "noise_variance must be one number"),
        ({"noise_variance": -1.0}, "noise_variance must not be negative"),
        ({"noise_variance": 0.0}, "must leave something unknown"),
        ({"operator": np.ones((3, 3))}, "gmrf must have one channel here, got 3"),
        ({"noise_variance": None, "likelihood": Poisson()}, "gmrf must have one channel here, got 3"),
    ],
)
def test_bad_input_is_named(arguments, message):
    given = {"y": np.zeros((*SHAPE, 3)), "noise_variance": 0.1, **arguments}
    with pytest.raises(ArgumentError, match=message):
        condition(Channels(CAR(0.2), S).gmrf(SHAPE), given.pop("y"), **given)
