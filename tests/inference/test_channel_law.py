"""Every model of channels, and every sum of such: its likelihood, gradient and predictions are those of its dense law.

A new one joins the catalogue, and inherits all of this.
"""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import condition, factorize, fill, fit
from sparsegmrf.fields import variance_of
from sparsegmrf.inference._channel_data import channel_observations
from sparsegmrf.inference._channel_members import in_sum, members_of, with_covariances
from sparsegmrf.inference._channel_search import ChannelObjective
from tests.inference import dense
from tests.inference.channel_law import CHANNELS, SHAPE, SUMS, ChannelLaw

LAWS = {name: ChannelLaw(model) for name, model in {**CHANNELS, **SUMS}.items()}
ROWS = np.mgrid[: SHAPE[0], : SHAPE[1]][0] - 2.0
TRENDS = {None: np.zeros((0, *SHAPE)), "rows": np.stack([np.ones(SHAPE), ROWS])}
NOISE = ("exact", "one", "per channel", "per pixel", "some exact")
MISSING = ("complete", "agree", "one band", "differ")


def noise_of(kind, channels, seed=3):
    rng = np.random.default_rng(seed)
    return {
        "exact": 0.0,
        "one": 0.3,
        "per channel": np.array([0.3, 0.1, 0.6])[:channels],
        "per pixel": np.repeat(rng.uniform(0.1, 0.6, (*SHAPE, 1)), channels, axis=-1),
        "some exact": np.where(rng.random((*SHAPE, channels)) < 0.4, 0.0, 0.5),
    }[kind]


def missing_of(kind, channels, seed=4):
    rng = np.random.default_rng(seed)
    shape = (*SHAPE, channels)
    if kind == "differ":
        return rng.random(shape) < 0.35
    if kind == "agree":
        return np.repeat(rng.random(SHAPE)[..., None] < 0.3, channels, axis=-1)
    missing = np.zeros(shape, dtype=bool)
    if kind == "one band":
        missing[1:4, 1:5, 1] = True
    return missing


def image_of(law, seed=1):
    return np.random.default_rng(seed).normal([10.0, -3.0, 0.0][: law.channels], size=(*SHAPE, law.channels))


def evidence_of(model, data, covariates):
    """The evidence as a fit makes it, everything held."""
    held = [*model.parameters, *(in_sum(model, k, "covariance") for k in range(len(members_of(model))))]
    return ChannelObjective.of(model, data, covariates, held, False).evidence(np.zeros(0))


CASES = [
    *(("two scales", noise, missing, "rows") for noise in NOISE for missing in MISSING),
    *((name, noise, "differ", "rows") for name in list(SUMS)[1:] for noise in NOISE),
    *((name, noise, "differ", "rows") for name in CHANNELS for noise in ("exact", "per channel", "some exact")),
    *((name, "per channel", "one band", None) for name in LAWS),
]


@pytest.mark.parametrize(("name", "noise", "missing", "trend"), CASES)
def test_density_trend_and_prediction_are_those_of_the_dense_law(name, noise, missing, trend):
    law = LAWS[name]
    v, gaps, y = noise_of(noise, law.channels), missing_of(missing, law.channels), image_of(law)
    data = channel_observations(y, gaps, v, y.shape)
    found = evidence_of(law.model, data, TRENDS[trend])
    loglik, mean, covariance, beta = law.given(y, ~gaps, v, TRENDS[trend])
    assert found.loglik == pytest.approx(loglik, rel=1e-9)
    assert_allclose(found.estimate[0], beta, rtol=1e-7, atol=1e-9)
    got_mean, got_variance = found.mean_and_variance()
    assert_allclose(got_mean.ravel(), mean, rtol=1e-7, atol=1e-8)
    assert_allclose(got_variance.ravel(), np.diagonal(covariance), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize(("noise", "missing"), [("exact", "differ"), ("per channel", "differ"), ("one", "complete")])
def test_gradient_is_that_of_differences_of_the_dense_likelihood(name, noise, missing):
    law, X, step = LAWS[name], TRENDS["rows"], 1e-5
    v, gaps, y = noise_of(noise, law.channels), missing_of(missing, law.channels), image_of(law)
    found = evidence_of(law.model, channel_observations(y, gaps, v, y.shape), X).gradient()

    def slope(model_at, noise_at=lambda h: v):
        ends = [ChannelLaw(model_at(h)).given(y, ~gaps, noise_at(h), X)[0] for h in (step, -step)]
        return (ends[0] - ends[1]) / (2.0 * step)

    spatial = (
        found.spatial
        if len(members_of(law.model)) > 1
        else {in_sum(law.model, 0, n): s for n, s in found.spatial.items()}
    )
    assert set(spatial) == set(law.model.parameters)
    for parameter, value in law.model.parameters.items():
        expected = slope(lambda h, n=parameter, a=value: law.model.replace(**{n: a + h}))
        assert spatial[parameter] == pytest.approx(expected, rel=2e-5, abs=1e-5), parameter
    for k, member in enumerate(members_of(law.model)):
        for a, b in ((0, 0), (1, 0), (1, 1)):
            unit = np.zeros(member.covariance.shape)
            unit[a, b] = unit[b, a] = 1.0
            others = [None] * len(members_of(law.model))

            def moved(h, k=k, member=member, unit=unit, others=others):
                return with_covariances(law.model, [*others[:k], member.covariance + h * unit, *others[k + 1 :]])

            assert (found.covariances[k] * unit).sum() == pytest.approx(slope(moved), rel=2e-5, abs=1e-5), (k, a, b)
    if noise != "exact":
        for c in range(law.channels):
            expected = slope(lambda h: law.model, lambda h, c=c: v + h * np.eye(law.channels)[c])
            assert found.noise[c] == pytest.approx(expected, rel=2e-5, abs=1e-5)


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("noise", ["exact", "per pixel", "some exact"])
def test_the_field_given_observations_is_that_of_the_dense_law(name, noise):
    law = LAWS[name]
    level = np.array([1.0, -2.0, 0.5])[: law.channels]
    v, gaps, y = noise_of(noise, law.channels), missing_of("differ", law.channels), image_of(law)
    field = law.model.gmrf(SHAPE, level)
    mean, expected = dense.conditional(
        field.mean.ravel(), law.covariance, y.ravel(), ~gaps.ravel(), np.broadcast_to(v, y.shape).ravel()
    )
    found = condition(field, np.where(gaps, np.nan, y), mask="nan", noise_variance=v)
    assert_allclose(found.mean.ravel(), mean, rtol=1e-8, atol=1e-9)
    assert_allclose(found.marginal_variance().ravel(), np.diagonal(expected), rtol=1e-8, atol=1e-9)
    place = (2 * SHAPE[1] + 1) * law.channels + 1
    assert_allclose(found.covariance_with((2, 1), 1).ravel(), expected[place], rtol=1e-8, atol=1e-9)
    free = ~(~gaps.ravel() & (np.broadcast_to(v, y.shape).ravel() == 0.0))
    assert found.rank == np.count_nonzero(free)
    inside = expected[np.ix_(free, free)]
    assert_allclose(found.logdet, -np.linalg.slogdet(inside)[1], rtol=1e-9)
    x = found.sample(2, rng=0)
    assert_allclose(x.reshape(2, -1)[:, ~free], np.broadcast_to(mean[~free], (2, np.count_nonzero(~free))), rtol=1e-12)
    expected_density = [dense.log_density((each.ravel() - mean)[free], inside) for each in x]
    assert_allclose(found.logpdf(x), expected_density, rtol=1e-9)


@pytest.mark.parametrize("name", SUMS)
def test_the_field_is_that_of_its_dense_law(name):
    law = LAWS[name]
    field, x = law.model.gmrf(SHAPE, 1.5), image_of(law)
    assert_allclose(field.marginal_variance().ravel(), np.diagonal(law.covariance), rtol=1e-9)
    assert_allclose(field.logpdf(x), dense.log_density(x.ravel() - 1.5, law.covariance), rtol=1e-9)
    assert_allclose(field.factor.solve(x).ravel(), law.covariance @ x.ravel(), rtol=1e-9)
    Q, n = law.model.stencil(SHAPE).tocsr().toarray(), SHAPE[0] * SHAPE[1]
    seen = np.kron(np.eye(n), np.kron(law.weights, np.eye(law.channels)))
    assert_allclose(seen @ np.linalg.inv(Q) @ seen.T, law.covariance, rtol=1e-8, atol=1e-10)
    unknowns = np.random.default_rng(0).normal(size=(2, *SHAPE, len(law.members) * law.channels))
    assert_allclose(law.model.observe(unknowns).reshape(2, -1), unknowns.reshape(2, -1) @ seen.T, rtol=1e-12)
    selected = field.factor.selected_inverse()
    assert_allclose(selected.diagonal().ravel(), np.diagonal(law.covariance), rtol=1e-9)
    beside = {tuple(o): selected.plane(k) for k, o in enumerate(selected.offsets.tolist())}[0, 1]
    blocks = law.covariance.reshape(*SHAPE, law.channels, *SHAPE, law.channels)
    assert_allclose(beside[1, 2], blocks[1, 2, :, 1, 3], rtol=1e-9)


@pytest.mark.parametrize("name", SUMS)
@pytest.mark.parametrize("noise", [None, "exact", "per pixel", "some exact"])
def test_variances_of_weighted_sums_are_those_of_the_dense_law(name, noise):
    law, y, expected = LAWS[name], image_of(LAWS[name]), LAWS[name].covariance
    field = law.model.gmrf(SHAPE)
    if noise is not None:
        v, gaps = noise_of(noise, law.channels), missing_of("differ", law.channels)
        noise_image = np.broadcast_to(v, y.shape).ravel()
        _, expected = dense.conditional(np.zeros(y.size), expected, y.ravel(), ~gaps.ravel(), noise_image)
        field = condition(field, y, mask=gaps, noise_variance=v)
    w = np.random.default_rng(2).standard_normal((3, *y.shape))
    flat = w.reshape(3, -1)
    assert_allclose(variance_of(field, w), np.einsum("bp,pq,bq->b", flat, expected, flat), rtol=1e-9, atol=1e-12)


def test_variances_in_single_precision_state_their_error():
    law = LAWS["two scales"]
    field, gaps, v = law.model.gmrf(SHAPE), missing_of("differ", 2), noise_of("per pixel", 2)
    given, single = (
        condition(field, image_of(law), mask=gaps, noise_variance=v, precision=name) for name in ("double", "single")
    )
    prior = factorize(field.given, method="dissection", precision="single")
    for exact, found in ((given.factor, single.factor), (field.factor, prior)):
        assert exact.relative_error == 0.0
        assert 0.0 < found.relative_error < 1e-4
        away = np.abs(found.marginal_variance() / exact.marginal_variance() - 1.0)
        assert (away <= found.relative_error).all()


def test_draws_have_the_covariance_of_the_law():
    """With noise at some values, and others known."""
    law = LAWS["two scales"]
    count, v, gaps = 20000, noise_of("some exact", 2), missing_of("differ", 2)
    found = condition(law.model.gmrf(SHAPE), image_of(law), mask=gaps, noise_variance=v)
    _, expected = dense.conditional(np.zeros(60), law.covariance, image_of(law).ravel(), ~gaps.ravel(), v.ravel())
    for field, covariance in ((law.model.gmrf(SHAPE), law.covariance), (found, expected)):
        free = np.diagonal(covariance) > 1e-9
        draws = (field.sample(count, rng=0) - field.mean).reshape(count, -1)[:, free]
        white = np.linalg.solve(np.linalg.cholesky(covariance[np.ix_(free, free)]), draws.T)
        # Products of 60 standard normals over 20000 draws, 6.5 deviations: below 1e-7 of false alarms.
        away = white @ white.T / count - np.eye(len(white))
        assert np.abs(away).max() < 6.5 * np.sqrt(2.0 / count)


@pytest.mark.parametrize("name", ["two scales", "three channels", "weights"])
def test_filling_with_everything_known_is_conditioning(name):
    law = LAWS[name]
    v, gaps, y = noise_of("per channel", law.channels), missing_of("differ", law.channels), image_of(law)
    held = [*law.model.parameters, *(in_sum(law.model, k, "covariance") for k in range(len(law.members)))]
    found = fill(np.where(gaps, np.nan, y), model=law.model, covariates=None, noise_variance=v, fixed=held, n_samples=2)
    posterior = condition(law.model.gmrf(SHAPE), y, mask=gaps, noise_variance=v)
    assert_allclose(found.mean, posterior.mean, rtol=1e-10, atol=1e-11)
    assert_allclose(found.std, np.sqrt(posterior.marginal_variance()), rtol=1e-10)
    assert_allclose(found.filled, np.where(gaps, posterior.mean, y), rtol=1e-10, atol=1e-11)
    assert_allclose(found.fit.posterior().mean, posterior.mean, rtol=1e-10, atol=1e-11)
    assert found.samples.shape == (2, *y.shape)
    assert found.fit.loglik == pytest.approx(law.given(y, ~gaps, v, TRENDS[None])[0], rel=1e-9)


def test_conditioning_twice_is_conditioning_once():
    law, rng = LAWS["three fields"], np.random.default_rng(0)
    y = image_of(law)
    first, second = rng.random((2, *y.shape)) < 0.5
    v = np.where(rng.random(y.shape) < 0.5, 0.0, 0.4)
    field = law.model.gmrf(SHAPE)
    one = condition(field, y, mask=~first, noise_variance=v)
    twice = condition(one, y, mask=~second | first, noise_variance=v)
    once = condition(field, y, mask=~(first | second), noise_variance=v)
    assert_allclose(twice.mean, once.mean, rtol=1e-9, atol=1e-10)
    assert_allclose(twice.marginal_variance(), once.marginal_variance(), rtol=1e-9, atol=1e-12)
    assert twice.logdet == pytest.approx(once.logdet, rel=1e-9)


def test_flips_and_orders_change_nothing():
    law = LAWS["two scales"]
    v, gaps, y = 0.2, missing_of("differ", 2), image_of(law)
    options = {"covariates": "constant", "fixed": ["range_coarse", "rho_fine", "covariance_coarse", "covariance_fine",
                                                   "sigma_coarse", "tau_fine"], "noise_variance": v}  # fmt: skip
    found = fit(law.model, y, mask=gaps, **options)
    flipped = fit(law.model, y[::-1, ::-1], mask=gaps[::-1, ::-1], **options)
    assert flipped.loglik == pytest.approx(found.loglik, rel=1e-12)
    turned = dataclasses.replace(law.model, models=law.model.models[::-1], labels=law.model.labels[::-1])
    assert fit(turned, y, mask=gaps, **options).loglik == pytest.approx(found.loglik, rel=1e-12)
    swapped = with_covariances(law.model, [each.covariance[::-1, ::-1] for each in law.members])
    other = fit(swapped, y[..., ::-1], mask=gaps[..., ::-1], **options)
    assert other.loglik == pytest.approx(found.loglik, rel=1e-12)
    assert_allclose(other.coefficients[:, ::-1], found.coefficients, rtol=1e-10)
