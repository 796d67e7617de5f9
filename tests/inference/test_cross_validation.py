"""Cross-validation: predictions against dense kriging, the scale against a search, estimates by their criterion."""

import dataclasses

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose

from sparsegmrf import CAR, Intrinsic, Matern, Sum, TensionSpline, condition, fit
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError
from sparsegmrf.fields import IntrinsicGMRF
from sparsegmrf.inference import CrossValidation
from sparsegmrf.inference._cross_validation import HeldOut, best_scale
from sparsegmrf.inference._scores import crps
from sparsegmrf.priors import PCRange
from sparsegmrf.scores import gap_copies
from tests.inference import dense
from tests.inference.problems import searched
from tests.inference.test_fit import design

SHAPE = (10, 12)
MODELS = {"matern": Matern(range=4.0, sigma=1.3), "car": CAR(rho=0.2, tau=2.0), "spline": TensionSpline(kappa=0.5)}


def problem(seed, shape=SHAPE, range=5.0, noise=0.3):
    """A trend, a field and noise, with one large and some small gaps."""
    rng = np.random.default_rng(seed)
    field = Matern(range=range, sigma=1.5).gmrf(shape).sample(rng=rng)
    image = 4.0 + field + 0.1 * np.arange(shape[0])[:, np.newaxis] + noise * rng.standard_normal(shape)
    missing = rng.random(shape) < 0.05
    missing[shape[0] // 3 : shape[0] // 3 + 3, shape[1] // 2 : shape[1] // 2 + 4] = True
    return image, missing


def alone(sets):
    """Sets of blocks of one image."""
    return [(blocks,) for blocks in sets]


def kriging(model, variance, image, rest, held, covariates):
    """Errors and standard deviations of held-out measurements by dense generalized least squares and kriging."""
    Q, shape = model.stencil(image.shape).tocsr().toarray(), image.shape
    intrinsic = isinstance(model.gmrf(shape), IntrinsicGMRF)
    C = np.linalg.pinv(Q, hermitian=True, rcond=1e-12) if intrinsic else np.linalg.inv(Q)
    X = design(covariates, shape)
    o, h, y = rest.ravel(), held.ravel(), image.ravel()
    if intrinsic:  # a level of no known size is a covariate
        X = np.column_stack([np.ones(len(X)), X[:, 1:]])
    S = C[np.ix_(o, o)] + variance * np.eye(o.sum())
    weights = np.linalg.solve(S, C[np.ix_(o, h)])
    mean, spread = weights.T @ y[o], np.diagonal(C)[h] - np.einsum("oh,oh->h", weights, C[np.ix_(o, h)])
    if X.shape[1]:
        beta, covariance = dense.generalized_least_squares(y[o], S, X[o])
        left = X[h] - weights.T @ X[o]
        mean, spread = mean + left @ beta, spread + np.einsum("hk,kl,hl->h", left, covariance, left)
    return y[h] - mean, np.sqrt(spread + variance)


@pytest.mark.parametrize("covariates", [None, "linear"])
@pytest.mark.parametrize("noise", ["estimate", None, 0.2])
@pytest.mark.parametrize("name", MODELS)
def test_held_out_pixels_are_predicted_by_dense_kriging_from_the_rest(name, noise, covariates):
    image, missing = problem(1)
    objective = searched(MODELS[name], image, missing, noise, covariates, "cv", ()).with_scale()
    sets = [gap_copies(~missing, seed, share=0.2) for seed in (0, 1)]
    at = objective.start(MODELS[name], 0.2 if noise == "estimate" else None)
    error, spread = HeldOut.of(objective.objective, alone(sets)).predictions(at)
    variance = 0.0 if noise is None else 0.2
    dense_parts = [
        kriging(MODELS[name], variance, image, ~missing & ~each.held_out, each.held_out, covariates) for each in sets
    ]
    assert_allclose(error, np.concatenate([part[0] for part in dense_parts]), rtol=1e-7, atol=1e-8)
    assert_allclose(spread, np.concatenate([part[1] for part in dense_parts]), rtol=1e-7)


def test_criterion_is_the_mean_crps_and_adds_up_over_blocks():
    image, missing = problem(2)
    objective = searched(MODELS["matern"], image, missing, "estimate", "constant", "cv", ())
    sets = [gap_copies(~missing, seed, share=0.2) for seed in (0, 1)]
    criterion = HeldOut.of(objective.objective, alone(sets))
    at = objective.start(MODELS["matern"], 0.2)
    error, spread = criterion.predictions(at)
    expected = min(crps(error, 0.0, s * spread).mean() for s in criterion.best_scale(at) * np.array([0.99, 1.0, 1.01]))
    assert criterion(at) == pytest.approx(expected, rel=1e-12)
    sums, sizes = criterion.by_block(at)
    assert len(sums) == sum(each.count for each in sets)
    assert sizes.sum() == sum(each.held_out.sum() for each in sets)
    assert sums.sum() / sizes.sum() == pytest.approx(criterion(at), rel=1e-12)
    first = sets[0].labels[sets[0].held_out] == 1
    scores = crps(error, 0.0, criterion.best_scale(at) * spread)[: first.size]
    assert sums[0] == pytest.approx(scores[first].sum(), rel=1e-12)


def test_criterion_does_not_depend_on_orientation_nor_on_the_scale_it_starts_from():
    image, missing = problem(3)
    blocks = gap_copies(~missing, 0, share=0.2)
    values = []
    for turn in (np.asarray, np.flipud, np.fliplr, np.transpose):
        for sigma in (1.3, 50.0):
            model, labels = Matern(range=4.0, sigma=sigma), turn(blocks.labels)
            objective = searched(model, turn(image), turn(missing), "estimate", "linear", "cv", ())
            turned = type(blocks)(labels, turn(~missing))
            values.append(HeldOut.of(objective.objective, [(turned,)])(objective.start(model, 0.1 * sigma**2)))
    assert_allclose(values, values[0], rtol=1e-9)


def test_best_scale_minimizes_the_crps():
    rng = np.random.default_rng(4)
    spread = rng.uniform(0.1, 3.0, 300)
    error = 7.0 * spread * rng.standard_t(4, 300)
    found = scipy.optimize.minimize_scalar(
        lambda u: crps(error, 0.0, np.exp(u) * spread).sum(),
        bounds=(-3.0, 6.0),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert best_scale(error, spread) == pytest.approx(np.exp(found.x), rel=1e-6)


@pytest.fixture(scope="module")
def outliers():
    """An image with a twentieth of its pixels far off, which ruin a likelihood, and fits of its noise and scale."""
    image, _ = problem(5, (20, 22))
    rng = np.random.default_rng(6)
    missing = rng.random(image.shape) < 0.1
    image = image + np.where(rng.random(image.shape) < 0.05, 10.0 * rng.standard_normal(image.shape), 0.0)
    options = {"mask": missing, "covariates": "linear", "fixed": "range"}
    likeliest = fit(Matern(range=5.0), image, **options)
    return image, missing, likeliest, fit(Matern(range=5.0), image, **options, method="cv", rng=3)


def test_estimates_are_a_minimum_on_their_blocks_and_compared_on_others(outliers):
    _, missing, likeliest, result = outliers
    assert result.converged
    found = result.cross_validation
    assert isinstance(found, CrossValidation)
    assert result.cv_score == found.score < found.ml_score
    rng = np.random.default_rng(3)
    sets = [gap_copies(~missing, rng) for _ in range(6)]
    objective = result.problem.objective.with_scale()
    criterion, fresh = HeldOut(objective, alone(sets[:3])), HeldOut(objective, alone(sets[3:]))
    at = objective.start(result.model, result.noise_variance)
    other = objective.start(likeliest.model, likeliest.noise_variance)
    assert criterion(at) == pytest.approx(found.score, rel=1e-9)
    assert criterion(other) == pytest.approx(found.ml_score, rel=1e-6)
    assert fresh(at) == pytest.approx(found.fresh_score, rel=1e-9)
    assert fresh(other) == pytest.approx(found.fresh_ml_score, rel=1e-6)
    for step in 0.3 * np.concatenate([np.eye(len(at)), -np.eye(len(at))]):
        assert criterion(at + step) > found.score
    assert_allclose(list(found.ml_parameters.values()), list(likeliest.parameters.values()), rtol=1e-6)
    assert list(found.ml_parameters) == list(result.parameters) == ["sigma", "noise_variance"]
    assert result.loglik < likeliest.loglik


def test_the_comparison_is_paired_by_blocks(outliers):
    _, missing, likeliest, result = outliers
    found, rng = result.cross_validation, np.random.default_rng(3)
    objective = result.problem.objective.with_scale()
    fresh = HeldOut(objective, alone([gap_copies(~missing, rng) for _ in range(6)][3:]))
    sums, sizes = fresh.by_block(objective.start(result.model, result.noise_variance))
    gain = fresh.by_block(objective.start(likeliest.model, likeliest.noise_variance))[0] - sums
    # The jackknife over blocks of a ratio of sums.
    left = (gain.sum() - gain) / (sizes.sum() - sizes)
    jackknife = np.sqrt((len(gain) - 1) * np.mean((left - left.mean()) ** 2))
    assert found.standard_error == pytest.approx(jackknife, rel=0.1)
    assert found.disagreement == pytest.approx(gain.sum() / sizes.sum() / found.standard_error, rel=1e-6)
    assert (found.blocks, found.pixels) == (len(sizes), sizes.sum())


def test_a_likelihood_ruined_by_outliers_is_told_from_predictions(outliers):
    _, _, likeliest, result = outliers
    assert result.noise_variance < 0.7 * likeliest.noise_variance
    assert result.cross_validation.disagrees
    assert "DISAGREES with maximum likelihood, and predicts better" in result.reason
    assert "DISAGREES" in result.summary()


def test_what_a_fit_by_cross_validation_has_not_says_so(outliers):
    _, _, likeliest, result = outliers
    assert result.method == "cv"
    assert np.isnan(list(result.standard_errors.values())).all()
    for name in ("aic", "bic"):
        with pytest.raises(ArgumentError, match=rf"^{name} compares maxima of the likelihood, but .* cross-validation"):
            getattr(result, name)
    text = result.summary()
    for word in ("Matern, cv", "CRPS of held-out blocks", "by maximum likelihood", "nan"):
        assert word in text
    assert np.isnan(likeliest.cv_score)


def test_coefficients_and_posterior_are_those_of_all_observations_at_the_estimates(outliers):
    image, missing, _, result = outliers
    o = ~missing.ravel()
    C = np.linalg.inv(result.model.stencil(image.shape).tocsr().toarray())[np.ix_(o, o)]
    C += result.noise_variance * np.eye(o.sum())
    beta, covariance = dense.generalized_least_squares(image.ravel()[o], C, design("linear", image.shape)[o])
    assert_allclose(list(result.coefficients.values()), beta, rtol=1e-7, atol=1e-9)
    assert_allclose(list(result.coefficient_errors.values()), np.sqrt(np.diagonal(covariance)), rtol=1e-7)
    expected = condition(
        result.model.gmrf(image.shape, mean=result.trend), image, mask=missing, noise_variance=result.noise_variance
    )
    assert_allclose(result.posterior().mean, expected.mean, rtol=1e-12)


def test_the_seed_decides():
    image, missing = problem(7, (12, 14))
    options = {"mask": missing, "fixed": "range", "noise_variance": None, "method": "cv"}
    results = [fit(Matern(range=5.0), image, **options, rng=seed).parameters for seed in (1, 1, 2)]
    assert results[0] == results[1]
    assert results[0] != results[2]


@pytest.mark.parametrize(("gain", "words"), [(0.5, "predicts better"), (-0.5, "predicts WORSE"), (0.2, "within noise")])
def test_the_verdict_follows_from_the_comparison(gain, words):
    found = CrossValidation(1.0, 1.1, 2.0, 2.0 + gain, 0.1, 50, 900, 20.0, 0.1, {}, 9)
    assert found.disagreement == pytest.approx(10.0 * gain)
    assert words in found.verdict
    # Of two effective blocks a difference of five standard errors says nothing.
    assert "within noise" in dataclasses.replace(found, effective_blocks=2.0).verdict


@pytest.mark.slow
def test_a_true_model_agrees_and_its_parameters_are_found():
    image, missing = problem(8, (56, 60), range=8.0, noise=0.5)
    result = fit(Matern(range=8.0), image, mask=missing, covariates="linear", method="cv", rng=0)
    assert result.converged
    assert not result.cross_validation.disagrees
    assert result.cross_validation.score <= result.cross_validation.ml_score
    assert result.noise_variance == pytest.approx(0.25, rel=0.3)


def test_nothing_to_search_has_a_closed_form():
    image, missing = problem(10, (16, 18))
    result = fit(CAR(rho=0.2), image, mask=missing, noise_variance=None, fixed="rho", method="cv", rng=0)
    assert result.converged
    assert "closed form" in result.reason
    rng = np.random.default_rng(0)
    objective = result.problem.objective.with_scale()
    criterion = HeldOut(objective, alone([gap_copies(~missing, rng) for _ in range(3)]))
    at = objective.start(result.model, None)
    assert criterion(at) < min(criterion(at + 0.02), criterion(at - 0.02))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"priors": {"range": PCRange(5.0, 0.05)}}, r"^priors must be None with method='cv'"),
        ({"rng": -1}, r"^rng must be None, a non-negative seed"),
        ({"method": "loo"}, r"^method must be one of 'ml', 'reml', 'cv'"),
    ],
)
def test_bad_input_is_named(changes, message):
    image, missing = problem(0)
    with pytest.raises(ArgumentError, match=message):
        fit(Matern(), image, **{"mask": missing, "method": "cv", "rng": 0, **changes})


def test_a_covariate_that_only_varies_in_the_blocks_is_named():
    image, missing = problem(0)
    blocks = gap_copies(~missing, 0)
    covariates = np.stack([np.ones(SHAPE), blocks.held_out.astype(float)])
    objective = searched(MODELS["matern"], image, missing, None, covariates, "cv", ())
    with pytest.raises(ArgumentError, match=r"^covariates must vary where nothing is held out"):
        HeldOut.of(objective.objective, [(blocks,)])


@pytest.mark.parametrize("model", [Matern(), CAR(), Intrinsic(), TensionSpline()])
def test_white_noise_is_called_noise_and_never_told_to_have_none(model):
    image = np.random.default_rng(0).normal(size=(20, 25))
    found = fit(model, image, method="cv", rng=0)
    assert "noise_variance=None" not in found.reason
    assert "the field cannot be told from noise" in found.reason
    if "noise_variance" in found.reason:
        likeliest = found.cross_validation.ml_parameters["noise_variance"]
        assert f"give a noise_variance, by maximum likelihood {likeliest:.4g}" in found.reason


def test_field_that_predicts_is_not_called_noise():
    image = Matern(range=6.0).gmrf((20, 25)).sample(rng=3) + 0.3 * np.random.default_rng(0).normal(size=(20, 25))
    for model in (Matern(), CAR(), Intrinsic()):
        found = fit(model, image, method="cv", rng=0)
        assert "cannot be told from noise" not in found.reason
        assert "noise_variance=None" not in found.reason


@pytest.mark.parametrize("seed", range(3))
def test_sum_with_a_walk_on_a_strip_ends_in_a_reason(seed):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(1, 40)).cumsum(1) + 0.1 * rng.normal(size=(1, 40))
    found = fit(Sum([Matern(2.0), Intrinsic()]), image, method="cv", rng=0)
    assert found.reason
    assert np.isfinite(found.cv_score)


def test_point_whose_precision_is_singular_counts_as_worse(monkeypatch):
    image = Matern(range=6.0).gmrf((20, 25)).sample(rng=3)
    start = fit(Matern(), image, method="cv", rng=0, noise_variance=0.1)
    predict, calls = HeldOut.predictions, []

    def fails_far_away(self, at):
        calls.append(at)
        if abs(at[0] - calls[0][0]) > 0.45:  # the first other corner of the simplex
            raise NotPositiveDefiniteError("the precision is not positive definite", (0, 0), -1.0)
        return predict(self, at)

    monkeypatch.setattr(HeldOut, "predictions", fails_far_away)
    found = fit(Matern(), image, method="cv", rng=0, noise_variance=0.1)
    assert any(abs(at[0] - calls[0][0]) > 0.45 for at in calls)
    assert np.isfinite(found.cv_score)
    assert found.cv_score >= start.cv_score - 1e-9
