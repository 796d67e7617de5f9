"""Counts of fields with masks and barriers: Laplace's approximation on the domain, densely, and NaN outside."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import condition, fill, fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import diagnose
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._problem import Problem
from sparsegmrf.likelihoods import Binomial, Poisson
from sparsegmrf.models import BYM, Independent, Intrinsic, Sum, TensionSpline
from tests.inference import dense_counts
from tests.inference.law import seen_of, turned
from tests.models.catalogue import BARRIER, PARTS, SHAPE

MODELS = {
    "order 1": Intrinsic(1, 3.0, mask=PARTS),
    "order 1, scaled": Intrinsic(1, 2.0, scale=True, mask=BARRIER),
    "order 2": Intrinsic(2, 2.0, mask=PARTS),
    "spline": TensionSpline(0.4, 2.0, barrier=PARTS),
    "bym": BYM(0.7, 0.6, mask=PARTS),
    "sum": Sum([Intrinsic(mask=BARRIER), Independent(0.4)], observation=[0.5, 1.0]),
}
KINDS = ("poisson", "binomial")


def domain_of(model):
    return model.gmrf(SHAPE).lattice.domain.reshape(*SHAPE, -1).all(axis=-1)


def counts_of(kind, seed=0):
    """Counts with the exposures or trials, and pixels that are missing."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(4.0, 9.0, SHAPE) if kind == "poisson" else rng.integers(8, 20, SHAPE).astype(float)
    eta = 0.5 * rng.standard_normal(SHAPE)
    y = rng.poisson(size * np.exp(eta)) if kind == "poisson" else rng.binomial(size.astype(int), 1 / (1 + np.exp(-eta)))
    missing = rng.random(SHAPE) < 0.15
    missing[5, 0] = False
    y[5, 0] = 3
    return y.astype(float), size, missing


def likelihood_of(kind, size):
    return Poisson(size) if kind == "poisson" else Binomial(size)


def dense_problem(model):
    """Precision of the unknowns in the domain, and what is seen of these."""
    inside = ~model.gmrf(SHAPE).lattice.outside
    return model.stencil(SHAPE).tocsr().toarray()[np.ix_(inside, inside)], seen_of(model, SHAPE)[:, inside]


@pytest.mark.parametrize("covariates", [None, "linear"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_likelihood_and_prediction_are_those_of_the_dense_approximation(name, kind, covariates):
    model, (y, size, missing) = MODELS[name], counts_of(kind)
    domain = domain_of(model)
    observed = ~missing & domain
    fixed = list(model.parameters)
    given = np.where(observed, y, np.nan)
    result = fit(model, given, likelihood=likelihood_of(kind, size), covariates=covariates, fixed=fixed)
    (Q, A), at = dense_problem(model), (kind, y.ravel(), size.ravel(), observed.ravel())
    mean = np.where(domain, result.trend, 0.0).ravel()
    assert result.loglik == pytest.approx(dense_counts.log_marginal_of_sum(Q, A, mean, *at), rel=1e-9, abs=1e-9)
    if covariates is not None:  # the maximum by the coefficients
        for name_of, error in result.coefficient_errors.items():
            image = dict(zip(("constant", "row", "column"), trend_images(), strict=True))[name_of]
            for step in (-1e-2, 1e-2):
                other = dense_counts.log_marginal_of_sum(Q, A, mean + step * error * image.ravel(), *at)
                assert other < result.loglik
    found = result.predict(n_samples=5, rng=0)
    u, P = dense_counts.mode_of_sum(Q, A, mean, *at)
    assert_allclose(found.mean[domain], (mean + A @ u)[domain.ravel()], rtol=0.0, atol=1e-8)
    if covariates is None:
        variance = np.einsum("ij,jk,ik->i", A, np.linalg.inv(P), A).reshape(SHAPE)
        assert_allclose(found.variance[domain], variance[domain], rtol=1e-8)
    for image in (found.mean, found.variance, found.samples[3]):
        assert_array_equal(np.isnan(image), ~domain)
    posterior = result.posterior()
    assert not posterior.marginal_variance()[~posterior.lattice.domain].any()
    eigenvalues = np.linalg.eigvalsh(P)
    assert posterior.logdet == pytest.approx(np.log(eigenvalues).sum(), rel=1e-9)


def trend_images():
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    return np.ones(SHAPE), rows - (SHAPE[0] - 1) / 2, columns - (SHAPE[1] - 1) / 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MODELS)
def test_gradient_is_that_of_the_dense_approximation(name, kind):
    model, (y, size, missing) = MODELS[name], counts_of(kind, 1)
    observed, likelihood = ~missing & domain_of(model), likelihood_of(kind, size)
    problem = Problem.read(model, np.where(observed, y, np.nan), "nan", likelihood, None)
    objective = problem.objective
    at = objective.gaussian.start(model, None)
    gradient, h = Memo(objective)(at).gradient, 1e-4

    def loglik(point):
        Q, A = dense_problem(objective.gaussian.parameters_at(point)[0])
        return dense_counts.log_marginal_of_sum(Q, A, np.zeros(y.size), kind, y.ravel(), size.ravel(), observed.ravel())

    for k, step in enumerate(np.eye(len(at))):
        ends = [loglik(at + j * h * step) for j in (1, -1, 2, -2)]
        expected = (8.0 * (ends[0] - ends[1]) - (ends[2] - ends[3])) / (12.0 * h)
        assert gradient[k] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_filled_risks_and_counts_are_missing_outside_the_domain(name):
    model, (y, size, missing) = MODELS[name], counts_of("poisson")
    domain = domain_of(model)
    given = np.where(~missing & domain, y, np.nan)
    exposure = np.where(domain, size, np.nan)
    options = {"likelihood": Poisson(exposure), "fixed": list(model.parameters), "covariates": None}
    found = fill(given, model=model, n_samples=2, rng=0, **options)
    risk = found.relative_risk()
    for image in (found.mean, found.std, found.predictive_mean, found.samples[1], risk.lower, found.exceedance(1.0)):
        assert_array_equal(np.isnan(image), ~domain)
    assert_array_equal(np.isnan(found.filled), ~domain)
    assert (found.filled[~missing & domain] == y[~missing & domain]).all()
    assert np.isfinite(found.functional(np.where(domain, 0.1, 0.0)).standard_error)
    assert np.isnan(found.functional(np.full(SHAPE, 0.1)).estimate)
    assert diagnose(found, n_samples=8).residual < 1e-10


@pytest.mark.parametrize("turn", [np.flipud, np.fliplr, np.transpose])
@pytest.mark.parametrize("name", MODELS)
def test_turned_counts_have_the_turned_approximation(name, turn):
    model, (y, size, missing) = MODELS[name], counts_of("poisson")
    given = np.where(~missing & domain_of(model), y, np.nan)
    other = model.replace(mask=turn(model.mask)) if name == "bym" else turned(model, turn)
    plain = fit(model, given, likelihood=Poisson(size), fixed=list(model.parameters)).predict()
    found = fit(other, turn(given), likelihood=Poisson(turn(size)), fixed=list(other.parameters)).predict()
    assert_allclose(found.mean, turn(plain.mean), rtol=1e-8, atol=1e-9)
    assert_allclose(found.variance, turn(plain.variance), rtol=1e-8)


def test_single_pixels_have_the_gamma_integrals_of_their_levels():
    mask = np.array([[False, True, False]])
    y = np.array([[400.0, np.nan, 900.0]])
    found = fit(Intrinsic(mask=mask), y, likelihood=Poisson(), fixed="tau")
    # The integral of exp(y l - e^l) / y! over a flat level l is 1 / y; Laplace's is less by 1 / (12 y) of it.
    assert found.loglik == pytest.approx(-np.log(400.0) - np.log(900.0), abs=2e-3 / 6.0)
    assert found.loglik != pytest.approx(-np.log(400.0) - np.log(900.0), abs=1e-5)
    assert_allclose(found.predict().mean[0, ::2], np.log([400.0, 900.0]), rtol=1e-9)


def test_parts_that_fix_no_level_are_refused():
    y, size, _ = counts_of("poisson")
    model, domain = MODELS["order 1"], ~PARTS
    alone = np.where(domain, y, np.nan)
    alone[5, 0] = np.nan
    with pytest.raises(ArgumentError, match=r"^image must have enough observed .* got 0 on the part of 1 pixels with"):
        fit(model, alone, likelihood=Poisson(size))
    alone[5, 0] = 0.0
    with pytest.raises(ArgumentError, match=r"^image must fix the level .* every count on a connected part of it is"):
        fit(model, alone, likelihood=Poisson(size))
    with pytest.raises(ArgumentError, match=r"^image must be missing where the model has no value"):
        fit(model, y, likelihood=Poisson(size))
    with pytest.raises(ArgumentError, match=r"^y must be missing where the field is known or has no value"):
        condition(model.gmrf(SHAPE), y, likelihood=Poisson(size))


@pytest.mark.parametrize("kind", KINDS)
def test_field_with_a_mask_given_counts_is_the_dense_approximation(kind):
    model, (y, size, missing) = MODELS["order 1"], counts_of(kind)
    observed = ~missing & ~PARTS
    given = np.where(observed, y, np.nan)
    posterior = condition(model.gmrf(SHAPE, mean=0.3), given, mask="nan", likelihood=likelihood_of(kind, size))
    (Q, A), at = dense_problem(model), (kind, y.ravel(), size.ravel(), observed.ravel())
    mean = np.full(y.size, 0.3)
    assert posterior.log_marginal_likelihood == pytest.approx(
        dense_counts.log_marginal_of_sum(Q, A, mean, *at), rel=1e-9
    )
    u, P = dense_counts.mode_of_sum(Q, A, mean, *at)
    assert_allclose(posterior.mean.ravel(), mean + A @ u, rtol=0.0, atol=1e-8)
    C = A @ np.linalg.inv(P) @ A.T
    assert_allclose(posterior.marginal_variance().ravel(), np.diagonal(C), rtol=1e-8, atol=1e-14)
    assert (posterior.sample(rng=0)[PARTS] == 0.3).all()
