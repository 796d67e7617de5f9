"""Fits against maximum likelihood on the dense density, gradients against differences of it."""

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose

from sparsegmrf import condition
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fields import IntrinsicGMRF
from sparsegmrf.inference import fit
from sparsegmrf.models import CAR, SAR, Matern, TensionSpline
from tests.inference import dense
from tests.inference.problems import searched

SHAPE = (9, 11)
MODELS = {
    "car": CAR(rho=0.2, tau=2.0),
    "sar": SAR(rho=0.15, tau=1.5),
    "matern": Matern(range=4.0, sigma=1.3),
    "anisotropic": Matern(range=4.0, sigma=1.3, anisotropy=(1.5, 0.4)),
    "spline": TensionSpline(kappa=0.5, tau=2.0),
    "proper spline": TensionSpline(kappa=0.5, tau=2.0, proper=0.05),
}


def problem(seed, shape=SHAPE, range=5.0):
    """An image with a trend, noise and gaps."""
    rng = np.random.default_rng(seed)
    field = Matern(range=range, sigma=1.5).gmrf(shape).sample(rng=rng)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    image = 4.0 + field + 0.1 * rows - 0.05 * columns + 0.3 * rng.standard_normal(shape)
    return image, rng.random(shape) < 0.25


def design(kind, shape=SHAPE):
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(float)
    images = [np.ones(shape), rows - (shape[0] - 1) / 2, columns - (shape[1] - 1) / 2]
    count = {None: 0, "constant": 1, "linear": 3}[kind]
    return np.array(images[:count]).reshape(count, shape[0] * shape[1]).T


def dense_loglik(model, variance, image, missing, covariates, method="ml"):
    """Log-density with the trend profiled, from the dense covariance; an intrinsic one by its contrasts."""
    shape, o = image.shape, ~missing.ravel()
    Q, X = model.stencil(shape).tocsr().toarray(), design(covariates, image.shape)[o]
    intrinsic = isinstance(model.gmrf(shape), IntrinsicGMRF)
    covariance = np.linalg.pinv(Q, hermitian=True, rcond=1e-12) if intrinsic else np.linalg.inv(Q)
    C, y = covariance[np.ix_(o, o)] + variance * np.eye(o.sum()), image.ravel()[o]
    if method == "reml":
        return dense.restricted(y, C, X)
    K = dense.contrasts(np.ones((o.sum(), 1))) if intrinsic else np.eye(o.sum())
    X = K.T @ (X[:, 1:] if intrinsic else X)
    y, C = K.T @ y, K.T @ C @ K
    beta = dense.generalized_least_squares(y, C, X)[0] if X.shape[1] else np.zeros(0)
    return dense.log_density(y - X @ beta, C)


@pytest.mark.parametrize("noise", ["estimate", None, 0.2])
@pytest.mark.parametrize("name", MODELS)
def test_likelihood_is_that_of_the_dense_density(name, noise):
    image, missing = problem(1)
    for covariates in (None, "constant", "linear"):
        for method in ("ml", "reml") if covariates == "linear" else ("ml",):
            objective = searched(MODELS[name], image, missing, noise, covariates, method, ()).with_scale()
            at = objective.start(MODELS[name], 0.2 if noise == "estimate" else None)
            expected = dense_loglik(MODELS[name], 0.0 if noise is None else 0.2, image, missing, covariates, method)
            assert objective(at)[0] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("noise", ["estimate", None])
@pytest.mark.parametrize("name", MODELS)
def test_gradient_is_that_of_finite_differences(name, noise, method):
    image, missing = problem(2)
    profiled = searched(MODELS[name], image, missing, noise, "linear", method, ())
    for objective in (profiled, profiled.with_scale()):
        at = objective.start(MODELS[name], 0.2 if noise == "estimate" else None)
        value, gradient, *_ = objective(at)
        assert len(gradient) == len(objective.names)
        for k in range(len(at)):
            step = 1e-4 * (np.arange(len(at)) == k)
            sides = [objective(at + j * step)[0] for j in (1, -1, 2, -2)]
            slope = (8.0 * (sides[0] - sides[1]) - (sides[2] - sides[3])) / 12e-4
            assert gradient[k] == pytest.approx(slope, rel=1e-6, abs=1e-6 * abs(value))


@pytest.mark.parametrize("noise", ["estimate", None])
@pytest.mark.parametrize("name", ["car", "sar", "matern", "anisotropic", "proper spline"])
def test_average_information_is_that_of_the_dense_covariance(name, noise):
    """``(dC S y)^T S (dC S y) / 2`` with the covariance ``C`` of the measurements, ``S = C^-1``."""
    image, missing = problem(2)
    model, o = MODELS[name], ~missing.ravel()
    objective = searched(model, image, missing, noise, None, "ml", ())
    covariance = np.linalg.inv(model.stencil(SHAPE).tocsr().toarray())
    moved = [
        -(covariance @ dQ.tocsr().toarray() @ covariance)[np.ix_(o, o)] for dQ in model.derivatives(SHAPE).values()
    ]
    if noise:
        moved.append(0.2 * np.eye(o.sum()))
    y = image.ravel()[o]
    S = np.linalg.inv(covariance[np.ix_(o, o)] + (0.2 if noise else 0.0) * np.eye(o.sum()))
    directions = np.array([dC @ S @ y for dC in moved])
    full = objective.with_scale()
    at = full.start(model, 0.2 if noise else None)
    slopes = np.diagonal(full.jacobian(at)).copy()
    if noise:
        slopes[-1] = 1.0
    expected = directions @ S @ directions.T / 2 * np.outer(slopes, slopes)
    assert_allclose(full(at).information, expected, rtol=1e-8)
    # Profiled, the scale takes its part: a Schur complement at the best scale.
    own = [full.names.index(name) for name in objective.names]
    scale = next(k for k in range(len(full.names)) if k not in own)
    at = objective.start(model, 0.2 if noise else None)
    best, variance, _, _ = objective.solution(at)
    whole = full(full.start(best, variance if noise else None)).information
    column = whole[np.ix_(own, [scale])]
    expected = whole[np.ix_(own, own)] - column @ column.T / whole[scale, scale]
    if noise is None:  # with noise the numbers searched are others: the noise relative to the field
        assert_allclose(objective(at).information, expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("model", "free"),
    [
        (CAR(), ["rho", "tau"]),
        (SAR(), ["rho", "tau"]),
        (Matern(range=6.0), ["range", "sigma"]),
        (TensionSpline(), ["kappa", "tau"]),
    ],
    ids=["car", "sar", "matern", "spline"],
)
@pytest.mark.parametrize("noise", ["estimate", None])
def test_estimates_errors_and_coefficients_are_those_of_dense_maximum_likelihood(model, free, noise):
    image, missing = problem(7, (13, 14))
    result = fit(model, image, mask=missing, noise_variance=noise, covariates="linear", tolerance=1e-7)
    if not result.converged:  # this model explains the noise itself
        assert "noise_variance ran to zero" in result.reason
        return
    names = [*free, *(["noise_variance"] if noise else [])]
    assert list(result.parameters) == names
    at = np.array(list(result.parameters.values()))

    def loglik(values):
        changed = result.model.replace(**dict(zip(free, values.tolist(), strict=False)))
        return dense_loglik(changed, values[-1] if noise else 0.0, image, missing, "linear")

    assert result.loglik == pytest.approx(loglik(at), rel=1e-9)
    # At the maximum a Newton step of the dense likelihood moves no parameter by more than 1e-6 of itself.
    unit = np.diag(at)
    h = 1e-4
    slope = np.array([(loglik(at + h * e) - loglik(at - h * e)) / (2 * h) for e in unit])
    hessian = np.array(
        [
            [
                (
                    loglik(at + h * (d + e))
                    - loglik(at + h * (d - e))
                    - loglik(at - h * (d - e))
                    + loglik(at - h * (d + e))
                )
                / (4 * h * h)
                for e in unit
            ]
            for d in unit
        ]
    )
    assert np.abs(np.linalg.solve(hessian, slope)).max() < 2e-6
    errors = np.sqrt(np.diagonal(np.linalg.inv(-hessian))) * at
    # At the maximum the information does not depend on the scale on which it is taken.
    assert_allclose(list(result.standard_errors.values()), np.abs(errors), rtol=2e-4)
    assert result.aic == 2 * result.n_parameters - 2 * result.loglik
    assert result.bic == pytest.approx(result.n_parameters * np.log(result.n_observed) - 2 * result.loglik)


@pytest.mark.parametrize("noise", ["estimate", None])
def test_coefficients_are_the_generalized_least_squares_ones_with_their_errors(noise):
    image, missing = problem(3)
    result = fit(Matern(), image, mask=missing, noise_variance=noise, covariates="linear")
    o = ~missing.ravel()
    C = np.linalg.inv(result.model.stencil(SHAPE).tocsr().toarray())[np.ix_(o, o)] + result.noise_variance * np.eye(
        o.sum()
    )
    beta, covariance = dense.generalized_least_squares(image.ravel()[o], C, design("linear")[o])
    assert list(result.coefficients) == ["constant", "row", "column"]
    assert_allclose(list(result.coefficients.values()), beta, rtol=1e-8, atol=1e-10)
    assert_allclose(list(result.coefficient_errors.values()), np.sqrt(np.diagonal(covariance)), rtol=1e-8)
    assert_allclose(result.trend.ravel(), design("linear") @ beta, rtol=1e-8, atol=1e-10)


def test_posterior_is_the_field_given_the_observations():
    image, missing = problem(4)
    result = fit(Matern(), image, mask=missing)
    prior = result.model.gmrf(SHAPE, mean=result.trend)
    expected = condition(prior, image, mask=missing, noise_variance=result.noise_variance)
    assert_allclose(result.posterior().mean, expected.mean, rtol=1e-12)
    assert_allclose(result.posterior().marginal_variance(), expected.marginal_variance(), rtol=1e-12)


def test_fit_does_not_depend_on_where_it_starts_nor_on_units_nor_on_orientation():
    image, missing = problem(5, (16, 17))
    plain = fit(Matern(range=4.0), image, mask=missing, tolerance=1e-7)
    far = fit(Matern(range=30.0, sigma=50.0), image, mask=missing, tolerance=1e-7)
    assert_allclose(list(far.parameters.values()), list(plain.parameters.values()), rtol=1e-5)
    scaled = fit(Matern(range=4.0), 273.15 + 10.0 * image, mask=missing, tolerance=1e-7)
    expected = np.array(list(plain.parameters.values())) * [1.0, 10.0, 100.0]
    assert_allclose(list(scaled.parameters.values()), expected, rtol=1e-5)
    for turn in (np.flipud, np.fliplr, np.transpose):
        turned = fit(Matern(range=4.0), turn(image), mask=turn(missing), tolerance=1e-7)
        assert_allclose(list(turned.parameters.values()), list(plain.parameters.values()), rtol=1e-5)


def test_estimates_are_near_the_truth_within_their_errors():
    truth = Matern(range=8.0, sigma=2.0)
    rng = np.random.default_rng(11)
    image = truth.gmrf((48, 50), mean=5.0).sample(rng=rng) + 0.5 * rng.standard_normal((48, 50))
    result = fit(Matern(), image)
    assert result.converged
    for name, value in {"range": 8.0, "sigma": 2.0, "noise_variance": 0.25}.items():
        # Beyond 5.5 standard errors with probability 4e-8 each; the seed is fixed.
        assert abs(result.parameters[name] - value) < 5.5 * result.standard_errors[name]
    assert result.standard_errors["noise_variance"] < 0.05


def test_fixed_parameters_stay_and_the_others_are_the_conditional_optimum():
    image, missing = problem(6)
    result = fit(Matern(range=5.0), image, mask=missing, fixed="range", tolerance=1e-7)
    assert list(result.parameters) == ["sigma", "noise_variance"]
    assert result.model.range == 5.0
    found = scipy.optimize.minimize(
        lambda u: -dense_loglik(Matern(range=5.0, sigma=np.exp(u[0])), np.exp(u[1]), image, missing, "constant"),
        [0.0, -2.0],
        method="BFGS",
        options={"gtol": 1e-6},
    )
    # By differences the minimizer knows gradients to 1e-6 or so, and the logarithm of the noise to a few 1e-5.
    assert_allclose(np.log(list(result.parameters.values())), found.x, atol=2e-4)


def test_nothing_to_search_has_a_closed_form():
    image, missing = problem(6)
    result = fit(CAR(rho=0.2), image, mask=missing, noise_variance=None, fixed="rho")
    assert result.converged
    assert "closed form" in result.reason
    tau = result.parameters["tau"]
    best = dense_loglik(result.model, 0.0, image, missing, "constant")
    for other in (0.99 * tau, 1.01 * tau):
        assert dense_loglik(result.model.replace(tau=other), 0.0, image, missing, "constant") < best


def test_a_model_that_leaves_no_noise_says_so():
    truth = Matern(range=8.0).gmrf((24, 24)).sample(rng=0)
    result = fit(Matern(), truth)
    assert not result.converged
    assert "noise_variance ran to zero" in result.reason
    assert "NOT CONVERGED" in result.summary()


def test_summary_has_every_estimate():
    image, missing = problem(8)
    text = fit(Matern(), image, mask=missing, covariates="linear").summary()
    for word in ("Matern, ml", "range", "sigma", "noise_variance", "constant", "row", "column", "AIC", "converged"):
        assert word in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.full(SHAPE, 2.0)}, r"^image must vary over its observed pixels, got 99"),
        ({"image": np.zeros(5)}, r"^image must have shape \(H, W\)"),
        ({"mask": np.ones(SHAPE, dtype=bool)}, r"^image must have an observed pixel"),
        ({"mask": np.arange(99).reshape(SHAPE) > 2}, r"^image must have more observed pixels than .* got 3"),
        ({"noise_variance": "none"}, r'^noise_variance must be "estimate"'),
        ({"noise_variance": -1.0}, r"^noise_variance must not be negative"),
        ({"covariates": np.ones((2, *SHAPE))}, r"^covariates must be linearly independent"),
        ({"covariates": np.ones(SHAPE)}, r"^covariates must have shape \(K, 9, 11\)"),
        ({"covariates": "quadratic"}, r"^covariates must be one of"),
        ({"method": "bayes"}, r"^method must be one of"),
        ({"fixed": ["nugget"]}, r"^fixed must name parameters of the model, which has range, sigma, got 'nugget'"),
        ({"tolerance": 0.0}, r"^tolerance must be positive"),
    ],
)
def test_bad_input_is_named_with_the_remedy(changes, message):
    arguments = {"image": problem(0)[0], **changes}
    with pytest.raises(ArgumentError, match=message):
        fit(Matern(), arguments.pop("image"), **arguments)
