"""Fits of sums of fields: likelihood, gradient, information and filling against dense normals."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import Matern, Sum, TensionSpline
from tests.inference import dense
from tests.inference.problems import searched
from tests.inference.test_fit import design, problem

SHAPE = (7, 8)
MODELS = {
    "weighted": Sum([Matern(range=4.0), Matern(range=12.0, sigma=2.0)], ["fine", "coarse"], [1.0, 0.7]),
    "intrinsic": Sum([Matern(range=4.0), TensionSpline(kappa=0.3, tau=2.0)], ["fine", "coarse"]),
}


def covariance(model, shape):
    """Dense covariance of the sum; of an intrinsic member that of the contrasts."""
    parts = [np.linalg.pinv(m.stencil(shape).tocsr().toarray(), hermitian=True, rcond=1e-12) for m in model.models]
    return sum(w * w * part for w, part in zip(model.observation, parts, strict=True))


@pytest.mark.parametrize("covariates", [None, "linear"])
@pytest.mark.parametrize("name", MODELS)
def test_likelihood_and_gradient_are_those_of_the_dense_density(name, covariates):
    image, missing = problem(2, SHAPE)
    o = ~missing.ravel()
    objective = searched(MODELS[name], image, missing, "estimate", covariates, "ml", ())
    at = objective.start(MODELS[name], 0.2)
    value, gradient, *_ = objective(at)
    C = covariance(MODELS[name], SHAPE)[np.ix_(o, o)] + 0.2 * np.eye(o.sum())
    y, X = image.ravel()[o], design(covariates, SHAPE)[o]
    if name == "intrinsic":  # the level belongs to the field: contrasts do not see it
        K, X = dense.contrasts(np.ones((o.sum(), 1))), X[:, 1:]
        y, C, X = K.T @ y, K.T @ C @ K, K.T @ X
    beta = dense.generalized_least_squares(y, C, X)[0] if X.shape[1] else np.zeros(0)
    assert value == pytest.approx(dense.log_density(y - X @ beta, C), rel=1e-9)
    assert len(gradient) == len(objective.names) == 5
    for k in range(len(at)):
        step = 1e-4 * (np.arange(len(at)) == k)
        sides = [objective(at + j * step)[0] for j in (1, -1, 2, -2)]
        slope = (8.0 * (sides[0] - sides[1]) - (sides[2] - sides[3])) / 12e-4
        assert gradient[k] == pytest.approx(slope, rel=1e-6, abs=1e-7 * abs(value))


def test_average_information_is_that_of_the_dense_covariance():
    image, missing = problem(2, SHAPE)
    model, o = MODELS["weighted"], ~missing.ravel()
    objective = searched(model, image, missing, "estimate", None, "ml", ())
    moved = []
    for c, member in enumerate(model.models):
        V = np.linalg.inv(member.stencil(SHAPE).tocsr().toarray())
        for name, dQ in member.derivatives(SHAPE).items():
            slope = model.observation[c] ** 2 * -V @ dQ.tocsr().toarray() @ V * member.parameters[name]
            moved.append(slope[np.ix_(o, o)])
    moved.append(0.2 * np.eye(o.sum()))
    S = np.linalg.inv(covariance(model, SHAPE)[np.ix_(o, o)] + 0.2 * np.eye(o.sum()))
    directions = np.array([dC @ S @ image.ravel()[o] for dC in moved])
    expected = directions @ S @ directions.T / 2.0
    assert_allclose(objective(objective.start(model, 0.2)).information, expected, rtol=1e-8)


def test_filling_has_the_conditional_moments_of_the_sum():
    image, missing = problem(3, SHAPE)
    result = fill(
        np.where(missing, np.nan, image), model=MODELS["weighted"], noise_variance=0.2, covariates=None, n_samples=400
    )
    o = ~missing.ravel()
    noise = np.full(o.size, 0.2)
    mean, C = dense.conditional(np.zeros(o.size), covariance(result.fit.model, SHAPE), image.ravel(), o, noise)
    assert_allclose(result.mean.ravel(), mean, rtol=1e-8, atol=1e-10)
    assert_allclose(result.std.ravel(), np.sqrt(np.diagonal(C)), rtol=1e-8)
    # 400 draws: the mean of each pixel within 6 standard errors, a false alarm below 2e-9 per pixel.
    assert (np.abs(result.samples.mean(axis=0) - result.mean) < 6.0 * result.std / 20.0).all()
    fields = result.fit.posterior()
    assert fields.channels == 2
    assert_allclose(MODELS["weighted"].observe(fields.mean), result.mean, rtol=1e-10)


def test_sum_of_fine_and_coarse_is_estimated():
    truth = Sum([Matern(range=4.0, sigma=1.0), Matern(range=40.0, sigma=2.0)], ["fine", "coarse"])
    rng = np.random.default_rng(3)
    image = truth.observe(truth.gmrf((64, 64)).sample(rng=rng)) + 0.3 * rng.standard_normal((64, 64))
    result = fit(truth, image)
    assert result.converged
    # Beyond 5.5 standard errors with probability 4e-8 each; the seed is fixed.
    for name in ("range_fine", "sigma_fine", "noise_variance"):
        value = {**truth.parameters, "noise_variance": 0.09}[name]
        assert abs(result.parameters[name] - value) < 5.5 * result.standard_errors[name]


def test_what_a_sum_cannot_do_is_refused():
    image, missing = problem(2, SHAPE)
    with pytest.raises(ArgumentError, match="no two that are intrinsic"):
        fit(Sum([TensionSpline(), TensionSpline(kappa=1.0)]), image, mask=missing)
