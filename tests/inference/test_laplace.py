"""Fields given counts against dense Newton, the dense Laplace formula and exact integrals."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil, condition, get_num_threads, set_num_threads
from sparsegmrf.errors import ArgumentError, ConvergenceError
from sparsegmrf.fields import IntrinsicGMRF, LaplacePosterior, covariance_between, variance_of
from sparsegmrf.likelihoods import Binomial, Gaussian, Poisson
from sparsegmrf.models import Intrinsic, Matern, TensionSpline
from tests import strategies
from tests.inference import dense_counts

KINDS = ("poisson", "binomial")
FIVE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.3, -1.0, -1.1], (5, 6))
MEMBRANE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (5, 6), boundary="neumann")


def problem(kind, shape, seed):
    """Counts, their exposures or trials, and missing pixels."""
    rng = np.random.default_rng(seed)
    eta = rng.normal(0.3, 0.8, shape)
    size = rng.uniform(0.5, 4.0, shape) if kind == "poisson" else rng.integers(1, 9, shape).astype(float)
    y = rng.poisson(size * np.exp(eta)) if kind == "poisson" else rng.binomial(size.astype(int), 1 / (1 + np.exp(-eta)))
    missing = rng.random(shape) < 0.3
    missing.flat[rng.integers(missing.size)] = False
    return y, size, missing


def given_counts(field, kind, y, size, missing=None):
    return condition(field, y, mask=missing, likelihood=LIKELIHOOD[kind](size))


LIKELIHOOD = {"poisson": Poisson, "binomial": Binomial}


def check(field, kind, seed):
    y, size, missing = problem(kind, field.shape, seed)
    posterior = given_counts(field, kind, y, size, missing)
    arguments = (field.tocsr().toarray(), field.mean.ravel(), kind, y.ravel(), size.ravel(), ~missing.ravel())
    mode, P = dense_counts.mode(*arguments)
    assert_allclose(posterior.mean.ravel(), mode, rtol=1e-8, atol=1e-8)
    assert_allclose(posterior.tocsr().toarray(), P, rtol=1e-8, atol=1e-8)
    covariance = np.linalg.inv(P)
    assert_allclose(posterior.marginal_variance().ravel(), np.diagonal(covariance), rtol=1e-8)
    expected = dense_counts.log_marginal(*arguments)
    assert posterior.log_marginal_likelihood == pytest.approx(expected, rel=1e-9, abs=1e-9)
    return posterior, covariance


@settings(max_examples=30, deadline=None)
@given(
    case=strategies.symmetric_stencils(largest=5, channels=(1,), boundaries=("dirichlet", "neumann")),
    kind=st.sampled_from(KINDS),
)
def test_mode_curvature_and_marginal_likelihood_are_those_of_the_dense_formulas(case, kind):
    check(GMRF.from_precision(case.stencil, mean=0.4), kind, case.seed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "field",
    [
        Matern(range=3.0).gmrf((5, 6), mean=np.linspace(-1.0, 1.0, 30).reshape(5, 6)),
        IntrinsicGMRF(MEMBRANE),
        Intrinsic(order=2).gmrf((5, 6)),
        TensionSpline(kappa=0.7).gmrf((4, 7)),
    ],
    ids=["matern", "membrane", "plate", "spline"],
)
def test_fields_of_models_and_intrinsic_ones_are_approximated_too(field, kind):
    posterior, covariance = check(field, kind, 11)
    a, b = field.shape[1] + 2, 3 * field.shape[1] + 4
    assert covariance_between(posterior, [(1, 2)], [(3, 4)])[0, 0] == pytest.approx(covariance[a, b], rel=1e-8)
    weights = np.full(field.shape, 1.0 / np.prod(field.shape))
    assert variance_of(posterior, weights) == pytest.approx(covariance.mean(), rel=1e-8)
    assert posterior.sample(3, rng=0).shape == (3, *field.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_vanishes_at_the_mode_to_rounding(kind):
    field = Matern(range=6.0, sigma=1.5).gmrf((24, 31))
    y, size, missing = problem(kind, field.shape, 5)
    posterior = given_counts(field, kind, y, size, missing)
    mean, W = dense_counts.weights(kind, size, posterior.mean)
    gradient = np.where(missing, 0.0, y - mean) - field.precision @ posterior.mean
    assert np.abs(gradient).max() < 1e-11 * field.precision.diagonal().max()
    assert_allclose(posterior.curvature, np.where(missing, 0.0, W), rtol=1e-12)
    assert posterior.steps < 12


@pytest.mark.parametrize(("kind", "y", "size"), [("poisson", 12, 2.0), ("poisson", 0, 1.0), ("binomial", 7, 9.0)])
def test_one_pixel_is_close_to_the_exact_integral(kind, y, size):
    Q = np.array([[1.3]])
    field = GMRF.from_precision(SymmetricStencil([(0, 0)], [1.3], (1, 1)), mean=0.2)
    exact = dense_counts.integral(Q, np.array([0.2]), kind, np.array([y]), np.array([size]))
    # The error of the approximation is of the order of the third and fourth derivatives, here below 0.03 nats.
    assert given_counts(field, kind, [[y]], size).log_marginal_likelihood == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_two_pixels_are_close_to_the_exact_integral_and_closer_with_more_information(kind):
    stencil = SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.2], (1, 2))
    field, Q, errors = GMRF.from_precision(stencil), stencil.tocsr().toarray(), []
    for factor in (1, 400):
        size, y = np.array([4.0, 6.0]) * factor, np.array([3, 4]) * factor
        exact = dense_counts.integral(Q, np.zeros(2), kind, y, size)
        errors.append(abs(given_counts(field, kind, [y], [size]).log_marginal_likelihood - exact))
    assert errors[0] < 0.03
    assert errors[1] < errors[0] / 20.0


@pytest.mark.parametrize("kind", KINDS)
def test_flipped_and_transposed_counts_give_the_flipped_and_transposed_posterior(kind):
    y, size, missing = problem(kind, (5, 6), 6)
    plain = given_counts(GMRF.from_precision(FIVE), kind, y, size, missing)
    turned_stencil = SymmetricStencil([(0, 0), (1, 0), (0, 1)], [4.3, -1.0, -1.1], (6, 5))
    for turn, stencil in ((np.fliplr, FIVE), (np.flipud, FIVE), (np.transpose, turned_stencil)):
        turned = given_counts(GMRF.from_precision(stencil), kind, turn(y), turn(size), turn(missing))
        assert_allclose(turned.mean, turn(plain.mean), atol=1e-12)
        assert_allclose(turned.marginal_variance(), turn(plain.marginal_variance()), atol=1e-12)
        assert turned.log_marginal_likelihood == pytest.approx(plain.log_marginal_likelihood, rel=1e-12)


def test_exposure_is_a_shift_of_the_mean_and_a_bernoulli_image_needs_no_trials():
    y, size, missing = problem("poisson", (5, 6), 8)
    shifted = given_counts(GMRF.from_precision(FIVE, mean=np.log(size)), "poisson", y, 1.0, missing)
    plain = given_counts(GMRF.from_precision(FIVE), "poisson", y, size, missing)
    assert_allclose(plain.mean, shifted.mean - np.log(size), atol=1e-12)
    assert plain.log_marginal_likelihood == pytest.approx(shifted.log_marginal_likelihood, rel=1e-12)
    coin = (y > 1).astype(int)
    one = condition(GMRF.from_precision(FIVE), coin, likelihood=Binomial())
    other = condition(GMRF.from_precision(FIVE), 1 - coin, likelihood=Binomial(np.ones((5, 6))))
    assert_allclose(one.mean, -other.mean, atol=1e-12)


def test_posterior_with_another_mean_is_a_plain_field_of_the_same_precision():
    y, size, _ = problem("poisson", (5, 6), 2)
    posterior = given_counts(GMRF.from_precision(FIVE), "poisson", y, size)
    moved = posterior.with_mean(1.0)
    assert type(moved) is GMRF
    assert moved.factor is posterior.factor
    assert (moved.mean == 1.0).all()
    assert np.array_equal(moved.marginal_variance(), posterior.marginal_variance())


def test_results_do_not_depend_on_the_number_of_threads():
    field = Matern(range=8.0).gmrf((70, 80))
    y, size, missing = problem("poisson", field.shape, 9)
    before = get_num_threads()
    try:
        found = []
        for threads in (1, 2):
            set_num_threads(threads)
            found.append(given_counts(field, "poisson", y, size, missing))
    finally:
        set_num_threads(before)
    assert np.array_equal(found[0].mean, found[1].mean)
    assert found[0].log_marginal_likelihood == found[1].log_marginal_likelihood


def test_a_start_far_off_is_brought_back_by_shorter_steps():
    # One count of 10^6 among zeros under a stiff field: the first Newton step overshoots by far.
    y = np.zeros((6, 7))
    y[3, 3] = 1e6
    field = Matern(range=30.0, sigma=0.3).gmrf((6, 7))
    posterior = condition(field, y, likelihood=Poisson())
    expected, _ = dense_counts.mode(
        field.tocsr().toarray(), np.zeros(42), "poisson", y.ravel(), np.ones(42), np.ones(42, dtype=bool)
    )
    assert_allclose(posterior.mean.ravel(), expected, rtol=1e-8, atol=1e-8)


def test_extreme_counts_have_a_finite_mode_under_a_proper_field():
    for kind, y in (("poisson", np.zeros((5, 6))), ("binomial", np.ones((5, 6)))):
        posterior = condition(GMRF.from_precision(FIVE), y, likelihood=LIKELIHOOD[kind]())
        assert np.isfinite(posterior.mean).all()


@pytest.mark.parametrize("count", [1e9, 1e15, 1e300])
def test_huge_counts_fix_the_field_at_their_logarithm(count):
    field = GMRF.from_precision(FIVE).with_mean(np.full((5, 6), np.log(count) + 1.0))
    posterior = condition(field, np.full((5, 6), count), likelihood=Poisson())
    assert_allclose(posterior.mean, np.log(count), rtol=1e-9)


def test_the_posterior_survives_pickling_and_leaves_its_arguments_alone():
    y, size, missing = problem("poisson", (5, 6), 10)
    copies = y.copy(), size.copy(), missing.copy()
    posterior = given_counts(GMRF.from_precision(FIVE), "poisson", y, size, missing)
    again = pickle.loads(pickle.dumps(posterior))
    assert isinstance(again, LaplacePosterior)
    assert again.log_marginal_likelihood == posterior.log_marginal_likelihood
    assert_allclose(again.marginal_variance(), posterior.marginal_variance(), rtol=1e-12)
    for array, copy in zip((y, size, missing), copies, strict=True):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.full((5, 6), -1)}, r"^y must be counts, whole numbers of zero or more, got -1 at pixel \(0, 0\)"),
        ({"y": np.full((5, 6), 0.5)}, r"^y must be counts, .* got 0.5"),
        ({"y": np.zeros((6, 5))}, r"^y must have the shape \(5, 6\)"),
        ({"y": np.full((5, 6), np.nan)}, r'^y must be finite where it is observed.*mask="nan"'),
        ({"mask": np.ones((5, 6), dtype=bool)}, r"^y must have an observed pixel"),
        (
            {"likelihood": Poisson(exposure=-2.0)},
            r"^exposure must be positive \(mask the pixels of which it is not known\), got -2",
        ),
        (
            {"likelihood": Poisson(exposure=0.0)},
            r"^y must be zero where exposure is zero, .* 30 counts are not, the first 3 at pixel \(0, 0\)",
        ),
        (
            {"y": np.zeros((5, 6)), "likelihood": Poisson(exposure=0.0)},
            r"^y must have an observed pixel, but all 30 are missing; check the mask, and what could be counted",
        ),
        ({"likelihood": Poisson(np.ones((2, 3)))}, r"^exposure must be a number or an image of shape \(5, 6\)"),
        ({"likelihood": Poisson(np.inf)}, r"^exposure must be finite"),
        ({"noise_variance": 1.0}, r"^noise_variance must be left out with likelihood="),
        ({"operator": np.ones((3, 3))}, r"^operator must be left out with a poisson likelihood"),
        ({"likelihood": Binomial(2.5)}, r"^trials must be whole numbers, got 2.5"),
        ({"likelihood": Binomial(0)}, r"^y must be zero where trials is zero, .* 30 counts are not"),
        ({"likelihood": Binomial()}, r"^y must be at most the trials .* got 3 at pixel \(0, 0\)"),
        ({"likelihood": Gaussian()}, r"^noise_variance must be given, got 'estimate'"),
        ({"likelihood": None}, r"^noise_variance must be given, got None"),
        ({"likelihood": "gamma"}, r"^likelihood must be a value such as"),
        ({"gmrf": FIVE}, r"^gmrf must be a GMRF"),
    ],
)
def test_bad_input_is_named_with_the_remedy(changes, message):
    arguments = {"gmrf": GMRF.from_precision(FIVE), "y": np.full((5, 6), 3), "likelihood": Poisson()} | changes
    with pytest.raises(ArgumentError, match=message):
        condition(arguments.pop("gmrf"), arguments.pop("y"), **arguments)


@pytest.mark.parametrize(("kind", "value"), [("poisson", 0), ("binomial", 0), ("binomial", 1)])
def test_counts_that_send_the_level_of_an_intrinsic_field_to_infinity_are_refused(kind, value):
    rows = SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (2, 4), boundary="neumann")
    y = np.array([[0, 1, 0, 1], [value] * 4])
    with pytest.raises(ArgumentError, match=r"^y must fix the level of an intrinsic field"):
        condition(IntrinsicGMRF(rows), y, likelihood=LIKELIHOOD[kind]())
    y[1, 2] = 1 - value
    assert np.isfinite(condition(IntrinsicGMRF(rows), y, likelihood=LIKELIHOOD[kind]()).mean).all()


def test_a_mode_at_infinity_along_a_plane_is_said_not_to_converge():
    # Counts along one edge only: a plane that falls away from it has no end.
    y = np.zeros((6, 5))
    y[0] = 4
    with pytest.raises(ConvergenceError, match=r"Newton steps .*may leave it at infinity.*proper field"):
        condition(Intrinsic(order=2).gmrf((6, 5)), y, likelihood=Poisson())
