"""What fill(model="best") mixes: held-out densities against dense ones, what is refused, and what is predicted."""

import contextlib
import io

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import _comparison as comparison
from sparsegmrf.inference._candidates import MATERN, OTHERS, SPLINE, SUM, TURNED, VARYING
from sparsegmrf.inference._held_out_sets import held_out_sets
from sparsegmrf.models import Matern, Sum, TensionSpline
from tests.inference.dense import generalized_least_squares
from tests.inference.test_fit import design, problem

SHAPE = (24, 26)
CHEAP = (TURNED, MATERN)


def two_scales(seed, shape=SHAPE):
    """An image of a fine field and a coarse one, noise, and a gap."""
    rng = np.random.default_rng(seed)
    model = Sum([Matern(range=3.0, sigma=0.7), Matern(range=25.0, sigma=2.0)])
    image = 10.0 + model.observe(model.gmrf(shape).sample(rng=rng)) + 0.1 * rng.standard_normal(shape)
    image[10:17, 12:19] = np.nan
    return image


def only(monkeypatch, *names):
    """Compare the default with some candidates alone."""
    monkeypatch.setattr(comparison, "OTHERS", {name: OTHERS[name] for name in names})


def recorded(monkeypatch):
    """What is held out, as it is asked for."""
    sets = []
    function = comparison.held_out_sets

    def call(*arguments):
        sets.append(function(*arguments))
        return sets[-1]

    monkeypatch.setattr(comparison, "held_out_sets", call)
    return sets


@pytest.fixture(scope="module")
def compared():
    with contextlib.redirect_stdout(io.StringIO()) as out:
        result = fill(two_scales(0), model="best", rng=3)
    assert not out.getvalue(), "nothing is printed"
    return result


@pytest.fixture
def mixed(monkeypatch):
    """A filling by three fields of given weights."""

    def call(*weights, **options):
        only(monkeypatch, *CHEAP)
        monkeypatch.setattr(comparison, "_no_part", lambda own, others: None)
        monkeypatch.setattr(comparison, "_pruned", lambda logs: np.array(weights))
        rows = lambda logs, blocks: np.tile(np.array(weights)[np.array(weights) > 0.0], (len(logs), 1))  # noqa: E731
        monkeypatch.setattr(comparison, "held_out_mixture", rows)
        monkeypatch.setattr(comparison.HeldOutScores, "is_worse", False)
        return fill(two_scales(0), model="best", **options)

    return call


def test_every_candidate_is_in_the_table_or_left_out_with_a_reason(compared):
    found = compared.comparison
    names = {each.name for each in found.candidates}
    assert names | found.left_out.keys() == {SPLINE, *OTHERS}
    assert not names & found.left_out.keys()
    assert all(found.left_out.values())
    assert found.default.name == SPLINE
    table = found.summary()
    for each in found.candidates:
        assert f"\n{each.name} " in table
        assert f"{each.weight:.3f}" in table
    for name, reason in found.left_out.items():
        assert f"\n{name}, left out: {reason}" in table
    assert table.endswith(found.verdict)
    assert "image must have 6 tiles" in found.left_out[VARYING]


def test_weights_add_up_to_one_and_the_default_is_not_better_by_more_than_a_standard_error(compared):
    found = compared.comparison
    assert sum(found.weights.values()) == pytest.approx(1.0, abs=1e-12)
    assert not found.scores.is_worse or found.weights[SPLINE] == 1.0
    assert found.chosen.weight == max(found.weights.values())
    assert (found.default.scores.gain, found.default.scores.excess_error) == (0.0, 0.0)


def test_filling_does_not_depend_on_the_number_of_threads(monkeypatch, threads):
    only(monkeypatch, *CHEAP)
    image = two_scales(0)
    one = fill(image, model="best", n_samples=2, rng=3)
    threads(1)
    two = fill(image, model="best", n_samples=2, rng=3)
    assert one.comparison.summary() == two.comparison.summary()
    assert_array_equal(one.samples, two.samples)


def test_held_out_densities_are_those_of_dense_gaussian_predictions(monkeypatch):
    only(monkeypatch, MATERN)
    monkeypatch.setattr(comparison, "_no_part", lambda own, others: None)
    sets = recorded(monkeypatch)
    image = two_scales(2, (13, 14))
    found = fill(image, model="best", rng=0).comparison
    own = next(each for each in found.candidates if each.name == MATERN)
    o = np.isfinite(image).ravel()
    y, X = image.ravel(), design("linear", image.shape)
    S = np.linalg.inv(own.fit.model.stencil(image.shape).tocsr().toarray())
    logs, errors = [], []
    for blocks in sets[0]:
        held = blocks.held_out.ravel()
        rest = o & ~held
        C = S[np.ix_(rest, rest)] + own.fit.noise_variance * np.eye(rest.sum())
        beta, covariance = generalized_least_squares(y[rest], C, X[rest])
        gain = np.linalg.solve(C, S[np.ix_(rest, held)]).T
        left = X[held] - gain @ X[rest]
        mean = X[held] @ beta + gain @ (y[rest] - X[rest] @ beta)
        variance = np.diag(S[np.ix_(held, held)] - gain @ S[np.ix_(rest, held)] + left @ covariance @ left.T)
        variance = variance + own.fit.noise_variance
        errors.append(y[held] - mean)
        logs.append(-0.5 * (y[held] - mean) ** 2 / variance - 0.5 * np.log(2.0 * np.pi * variance))
    assert own.scores.log_score == pytest.approx(np.concatenate(logs).mean(), rel=1e-8)
    assert own.scores.rmse == pytest.approx(np.sqrt(np.mean(np.concatenate(errors) ** 2)), rel=1e-8)
    assert found.pixels == sum(np.count_nonzero(each.labels) for each in sets[0])
    assert found.blocks == sum(each.count for each in sets[0])


def test_mixture_of_one_is_that_field_to_the_bit(mixed):
    for weights in ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)):
        result = mixed(*weights)
        alone = result.fit.predict()
        assert result.comparison.chosen.weight == 1.0
        assert_array_equal(result.mean, alone.mean)
        assert_array_equal(result.std, alone.std)
        assert_array_equal(result.predictive_std, alone.predictive_std)
        assert result.mixture is None


def test_moments_and_quantiles_are_those_of_the_mixture(mixed):
    result = mixed(0.25, 0.0, 0.75)
    candidates = result.comparison.mixed
    assert [each.name for each in candidates] == [SPLINE, MATERN]
    one, two = (each.fit.predict() for each in candidates)
    assert_allclose(result.mean, 0.25 * one.mean + 0.75 * two.mean, rtol=1e-12)
    between = 0.25 * 0.75 * (one.mean - two.mean) ** 2
    assert_allclose(result.std**2, 0.25 * one.variance + 0.75 * two.variance + between, rtol=1e-12)
    new = 0.25 * one.predictive_variance + 0.75 * two.predictive_variance + between
    assert_allclose(result.predictive_std**2, new, rtol=1e-12)
    image = two_scales(0)
    assert_array_equal(result.filled, np.where(np.isnan(image), result.mean, image))
    low, high = result.quantile([0.05, 0.8])
    assert_allclose(result.mixture.cdf(low), 0.05, atol=1e-9)
    assert_allclose(result.mixture.cdf(high), 0.8, atol=1e-9)
    noises = np.array([each.fit.noise_variance for each in candidates])
    wide = result.quantile(0.95, predictive=True)
    assert_allclose(result.mixture.with_noise(noises).cdf(wide), 0.95, atol=1e-9)
    assert (wide > result.quantile(0.95)).all()


def test_draws_are_whole_fields_of_one_candidate_each_by_the_weights(mixed):
    result, again = (mixed(0.5, 0.0, 0.5, n_samples=400, rng=5) for _ in range(2))
    assert_array_equal(result.samples, again.samples)
    pixel = (13, 15)
    values, law = result.samples[:, *pixel], result.mixture
    # Dvoretzky-Kiefer-Wolfowitz: false alarm 2 exp(-2 n d^2) < 1e-6 with d = 0.14.
    ranks = np.array([law.cdf(np.full(SHAPE, value))[pixel] for value in np.sort(values)])
    assert np.abs(ranks - (np.arange(400) + 0.5) / 400).max() < 0.14
    # Which field a draw is of shows in its energy under the precision of the spline.
    means = [each.fit.predict().mean for each in result.comparison.mixed]
    assert np.abs(result.samples.mean(axis=0) - 0.5 * (means[0] + means[1])).max() < 6.0 * result.std.max() / 20.0


def test_functionals_of_a_mixture_have_its_deviation_at_a_pixel(mixed):
    result = mixed(0.3, 0.7, 0.0)
    weights = np.zeros((2, *SHAPE))
    weights[0, 13, 15], weights[1, 10:17, 12:19] = 1.0, 1.0 / 49.0
    found = result.functional(weights)
    assert_allclose(found.estimate, [result.mean[13, 15], result.mean[10:17, 12:19].mean()], rtol=1e-10)
    assert found.standard_error[0] == pytest.approx(result.std[13, 15], rel=1e-9)
    assert result.functional(weights[0]).standard_error == pytest.approx(result.std[13, 15], rel=1e-9)


def test_quantiles_of_a_single_fit_are_those_of_the_normal_law():
    result = fill(two_scales(0))
    assert_allclose(result.quantile(0.975), result.mean + 1.959963984540054 * result.std, rtol=1e-12)
    assert_allclose(result.quantile(0.5), result.mean)
    wide = result.quantile([0.025], predictive=True)
    assert_allclose(wide[0], result.mean - 1.959963984540054 * result.predictive_std, rtol=1e-12)
    for wrong in (0.0, 1.0, np.nan, [[0.5]]):
        with pytest.raises(ArgumentError, match="probability must be"):
            result.quantile(wrong)


def test_quantiles_of_labelled_images_have_labels():
    xr = pytest.importorskip("xarray")
    image = two_scales(0)
    result = fill(xr.DataArray(image, dims=("y", "x"), name="height"), spacing=None)
    found = result.quantile([0.1, 0.9])
    assert found.dims == ("quantile", "y", "x")
    assert found["quantile"].values.tolist() == [0.1, 0.9]
    assert_array_equal(result.quantile(0.9).values, found.sel(quantile=0.9).values)


def test_default_alone_fills_the_gaps_where_the_mixture_is_worse(monkeypatch):
    only(monkeypatch, MATERN)
    image = two_scales(0)
    monkeypatch.setattr(comparison, "_no_part", lambda own, others: None)
    monkeypatch.setattr(comparison, "_pruned", lambda logs: np.array([0.0, 1.0]))
    predictions = comparison._predictions

    def spoilt(fit, sets):
        found = predictions(fit, sets)
        return found if isinstance(fit.model, TensionSpline) else found._replace(error=3.0 * found.error)

    monkeypatch.setattr(comparison, "_predictions", spoilt)
    result = fill(image, model="best", rng=0)
    assert result.comparison.scores.is_worse
    assert result.comparison.weights == {SPLINE: 1.0, MATERN: 0.0}
    assert "worse by more than a standard error" in result.comparison.verdict
    plain = fill(image)
    assert_array_equal(result.fit.parameters, plain.fit.parameters)
    assert_allclose(result.mean, plain.mean, rtol=1e-9)
    assert_allclose(result.std, plain.std, rtol=1e-7)


def test_degenerate_candidates_are_refused_with_the_reason(monkeypatch):
    rng = np.random.default_rng(0)
    stretched = TensionSpline(0.5, anisotropy=(9.0, 0.0), proper=1e-3).gmrf((30, 32)).sample(rng=rng)
    only(monkeypatch, TURNED)
    found = fill(stretched + 0.05 * rng.standard_normal((30, 32)), model="best", rng=0).comparison
    assert found.left_out[TURNED].startswith("the anisotropy is beyond the reach of the stencil: a ratio of ")
    assert found.weights == {SPLINE: 1.0}


def test_candidate_without_a_part_in_the_first_set_is_not_scored_on_the_others(monkeypatch):
    only(monkeypatch, MATERN)
    calls = []
    predictions = comparison._predictions
    monkeypatch.setattr(comparison, "_predictions", lambda fit, sets: calls.append(len(sets)) or predictions(fit, sets))
    monkeypatch.setattr(comparison, "stacking_weights", lambda logs: np.eye(logs.shape[1])[0])
    found = fill(two_scales(0), model="best", rng=0).comparison
    assert calls == [3, 1]
    assert found.left_out[MATERN] == "beside the others it has a weight of 0 on the first set of blocks"


@pytest.mark.parametrize("turn", [lambda a: a[::-1], lambda a: a[:, ::-1], np.transpose], ids=["up", "left", "over"])
def test_turned_image_with_turned_blocks_has_the_turned_mixture(monkeypatch, turn):
    only(monkeypatch, *CHEAP)
    image = two_scales(4, (22, 22))
    sets = held_out_sets(np.isfinite(image), np.random.default_rng(0))
    monkeypatch.setattr(comparison, "held_out_sets", lambda observed, stream: sets)
    plain = fill(image, model="best", rng=0)
    sets = [type(each)(np.ascontiguousarray(turn(each.labels)), turn(each.observed)) for each in sets]
    monkeypatch.setattr(comparison, "held_out_sets", lambda observed, stream: sets)
    turned = fill(np.ascontiguousarray(turn(image)), model="best", rng=0)
    assert_allclose([*turned.comparison.weights.values()], [*plain.comparison.weights.values()], atol=0.02)
    assert_allclose(turned.mean, turn(plain.mean), atol=0.02 * plain.std.max())
    assert_allclose(turned.std, turn(plain.std), rtol=0.03)


@pytest.mark.parametrize("covariates", [None, "constant", "linear"])
@pytest.mark.parametrize("model", [TensionSpline(kappa=0.6, tau=0.5), Matern(range=4.0)], ids=["spline", "matern"])
def test_restricted_loglik_is_the_dense_density_of_contrasts(model, covariates):
    image, missing = problem(3, (11, 12))
    result = fit(model, image, mask=missing, covariates=covariates)
    o = ~missing.ravel()
    Q = result.model.stencil(image.shape).tocsr().toarray()
    intrinsic = isinstance(model, TensionSpline)
    X = design("constant" if intrinsic and covariates is None else covariates, image.shape)[o]
    # Orthonormal contrasts of the observed pixels; a flat level is in the covariates.
    K = np.linalg.svd(X, full_matrices=True)[0][:, X.shape[1] :] if X.shape[1] else np.eye(o.sum())
    prior = np.linalg.pinv(Q, hermitian=True, rcond=1e-12) if intrinsic else np.linalg.inv(Q)
    C = K.T @ (prior[np.ix_(o, o)] + result.noise_variance * np.eye(o.sum())) @ K
    y = K.T @ image.ravel()[o]
    expected = -0.5 * (np.linalg.slogdet(2.0 * np.pi * C)[1] + y @ np.linalg.solve(C, y))
    assert result.restricted_loglik == pytest.approx(expected, rel=1e-9)


def test_reml_fit_has_no_smaller_restricted_loglik():
    image, missing = problem(3, (11, 12))
    plain, restricted = (fit(Matern(range=4.0), image, mask=missing, method=method) for method in ("ml", "reml"))
    assert plain.restricted_loglik <= restricted.loglik
    assert plain.restricted_loglik == pytest.approx(restricted.loglik, abs=0.5)


def test_exact_images_are_compared_under_the_sum_too(monkeypatch):
    only(monkeypatch, MATERN, SUM)
    image = two_scales(1, (18, 20))
    found = fill(image, model="best", noise_variance=None, rng=0)
    assert {each.name for each in found.comparison.candidates} | found.comparison.left_out.keys() == {
        SPLINE,
        MATERN,
        SUM,
    }
    observed = np.isfinite(image)
    assert_array_equal(found.mean[observed], image[observed])
    assert found.std[observed].max() == 0.0


def test_other_words_are_refused():
    with pytest.raises(ArgumentError, match=r"^model must be one of 'best', got 'good'"):
        fill(two_scales(0), model="good")
    with pytest.raises(ArgumentError, match=r"^fixed must be empty with model=\"best\""):
        fill(two_scales(0), model="best", fixed=["range"])
