"""Posteriors against the dense conditional distribution."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil, TriangularStencil, condition
from sparsegmrf.errors import ArgumentError
from sparsegmrf.fields import IntrinsicGMRF
from sparsegmrf.inference import diagnose
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import CAR, Intrinsic, Matern
from tests import reference, strategies
from tests.inference import dense

FIVE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.3, -1.0, -1.1], (5, 6))
MEMBRANE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (5, 6), boundary="neumann")


def problem(shape, seed, kind):
    """Values, missing pixels and noise variances: all noisy, all exact, or mixed."""
    rng = np.random.default_rng(seed)
    y, missing = rng.standard_normal(shape), rng.random(shape) < 0.4
    missing.flat[rng.integers(missing.size)] = False
    if missing.size > 1 and not missing.any():
        missing.flat[np.argmax(~missing.ravel())] = True
    noise = rng.uniform(0.2, 2.0, shape)
    if kind == "exact":
        noise = np.zeros(shape)
    if kind == "mixed":
        noise[rng.random(shape) < 0.5] = 0.0
    return y, missing, noise


def check(field, covariance, y, missing, noise):
    mean, expected = dense.conditional(field.mean.ravel(), covariance, y.ravel(), ~missing.ravel(), noise.ravel())
    posterior = condition(field, y, mask=missing, noise_variance=noise)
    assert_allclose(posterior.mean.ravel(), mean, rtol=1e-8, atol=1e-9)
    assert_allclose(posterior.marginal_variance().ravel(), np.diagonal(expected), rtol=1e-8, atol=1e-9)
    column = posterior.covariance_with((0, 0)).ravel()
    assert_allclose(column, expected[0], rtol=1e-8, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    case=strategies.symmetric_stencils(largest=5, channels=(1,), boundaries=("dirichlet", "neumann")),
    kind=st.sampled_from(["noisy", "exact", "mixed"]),
)
def test_posterior_is_the_dense_conditional_distribution(case, kind):
    y, missing, noise = problem(case.shape, case.seed, kind)
    if kind != "noisy" and not missing.any() and not noise.any():
        return  # everything is known: refused, see below
    check(GMRF.from_precision(case.stencil, mean=0.7), reference.covariance(case.Q), y, missing, noise)


@pytest.mark.parametrize("kind", ["noisy", "exact", "mixed"])
def test_posterior_of_an_intrinsic_field_has_its_level_from_the_data(kind):
    y, missing, noise = problem((5, 6), 3, kind)
    Q = MEMBRANE.tocsr().toarray()
    w = 1e9  # the limit of a flat level
    covariance = reference.pseudo_inverse(Q, 1) + w * np.ones((30, 30)) / 30
    mean, expected = dense.conditional(np.zeros(30), covariance, y.ravel(), ~missing.ravel(), noise.ravel())
    posterior = condition(IntrinsicGMRF(MEMBRANE), y, mask=missing, noise_variance=noise)
    assert_allclose(posterior.mean.ravel(), mean, atol=1e-5)
    assert_allclose(posterior.marginal_variance().ravel(), np.diagonal(expected), atol=1e-4)
    shifted = condition(IntrinsicGMRF(MEMBRANE), y + 10.0, mask=missing, noise_variance=noise)
    assert_allclose(shifted.mean, posterior.mean + 10.0, rtol=1e-9)


def test_field_given_by_its_whitening_matrix_is_conditioned_too():
    A = TriangularStencil([(-1, 0), (0, -1)], 1.0, [-0.4, -0.5], (4, 5))
    y, missing, noise = problem((4, 5), 1, "mixed")
    dense_A = A.tocsr().toarray()
    check(GMRF.from_whitening(A, mean=2.0), np.linalg.inv(dense_A.T @ dense_A), y, missing, noise)


def test_exact_pixels_keep_their_values_in_mean_and_draws_and_have_no_variance():
    y, missing, _ = problem((5, 6), 2, "exact")
    posterior = condition(GMRF.from_precision(FIVE), y, mask=missing, noise_variance=0.0)
    assert np.array_equal(posterior.mean[~missing], y[~missing])
    assert np.array_equal(posterior.marginal_variance()[~missing], np.zeros(np.count_nonzero(~missing)))
    draws = posterior.sample(3, rng=0)
    assert np.array_equal(draws[:, ~missing], np.broadcast_to(y[~missing], (3, np.count_nonzero(~missing))))
    assert np.abs(np.diff(draws[:, missing], axis=0)).min() > 0.0


@pytest.mark.parametrize("prior", [GMRF.from_precision(FIVE, mean=0.3), IntrinsicGMRF(MEMBRANE, mean=0.3)])
@pytest.mark.parametrize("operator", [None, np.full((3, 3), 1.0 / 9.0)])
def test_exact_pixels_stay_known_when_more_is_observed(prior, operator):
    y, missing, _ = problem((5, 6), 9, "exact")
    first = condition(prior, y, mask=missing, noise_variance=0.0)
    more = np.random.default_rng(2).standard_normal((5, 6))
    posterior = condition(first, more, noise_variance=0.5, operator=operator)
    assert np.array_equal(posterior.mean[~missing], y[~missing])
    assert np.array_equal(posterior.marginal_variance()[~missing], np.zeros(np.count_nonzero(~missing)))
    # The other way round: noisy measurements first.
    other = condition(
        condition(prior, more, noise_variance=0.5, operator=operator), y, mask=missing, noise_variance=0.0
    )
    assert_allclose(posterior.mean, other.mean, rtol=1e-9, atol=1e-12)
    assert_allclose(posterior.marginal_variance(), other.marginal_variance(), rtol=1e-9, atol=1e-15)
    x = posterior.sample(rng=0)
    assert posterior.logpdf(x) == pytest.approx(other.logpdf(x), rel=1e-9)
    pixel = tuple(int(k) for k in np.argwhere(~missing)[0])
    with pytest.raises(ArgumentError, match=r"^y must agree with what is known exactly, but pixel"):
        condition(first, more, noise_variance=0.0)
    assert condition(first, np.where(missing, more, y), mask=~missing, noise_variance=0.5).mean[pixel] == y[pixel]


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_prior_times_likelihood_is_posterior_times_evidence(noise):
    y, missing, _ = problem((5, 6), 4, "noisy")
    prior = GMRF.from_precision(FIVE, mean=0.3)
    posterior = condition(prior, y, mask=missing, noise_variance=noise)
    C = reference.covariance(FIVE.tocsr().toarray())[np.ix_(~missing.ravel(), ~missing.ravel())]
    C += noise * np.eye(len(C))
    evidence = dense.log_density(y[~missing] - 0.3, C)
    x = posterior.sample(rng=1)
    likelihood = dense.log_density((y - x)[~missing], noise * np.eye(len(C))) if noise else 0.0
    assert prior.logpdf(x) + likelihood == pytest.approx(posterior.logpdf(x) + evidence, rel=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_draws_have_the_moments_of_the_posterior(noise):
    y, missing, _ = problem((5, 6), 5, "noisy")
    posterior = condition(GMRF.from_precision(FIVE), y, mask=missing, noise_variance=noise)
    free = posterior.marginal_variance() > 0.0
    draws = posterior.sample(20_000, rng=3)[:, free]
    std = np.sqrt(posterior.marginal_variance()[free])
    # 30 means of 20000 draws beyond 6 standard errors: probability below 1e-7; a variance has relative error 0.01.
    assert np.abs((draws.mean(axis=0) - posterior.mean[free]) / std).max() < 6.0 / np.sqrt(20_000)
    assert_allclose(draws.std(axis=0), std, rtol=0.031)


@pytest.mark.parametrize("kind", ["noisy", "exact"])
def test_flipped_and_transposed_images_give_the_flipped_and_transposed_posterior(kind):
    y, missing, noise = problem((5, 6), 6, kind)
    plain = condition(GMRF.from_precision(FIVE), y, mask=missing, noise_variance=noise)
    for turn, stencil in (
        (np.fliplr, FIVE),
        (np.flipud, FIVE),
        (np.transpose, SymmetricStencil([(0, 0), (1, 0), (0, 1)], [4.3, -1.0, -1.1], (6, 5))),
    ):
        turned = condition(GMRF.from_precision(stencil), turn(y), mask=turn(missing), noise_variance=turn(noise))
        assert_allclose(turned.mean, turn(plain.mean), atol=1e-12)
        assert_allclose(turned.marginal_variance(), turn(plain.marginal_variance()), atol=1e-12)


def test_masks_by_nan_by_array_and_by_masked_array_are_the_same():
    y, missing, _ = problem((5, 6), 7, "noisy")
    field = GMRF.from_precision(FIVE)
    expected = condition(field, y, mask=missing, noise_variance=0.3).mean
    holes = np.where(missing, np.nan, y)
    assert np.array_equal(condition(field, holes, mask="nan", noise_variance=0.3).mean, expected)
    assert np.array_equal(condition(field, np.ma.array(y, mask=missing), noise_variance=0.3).mean, expected)
    assert np.array_equal(condition(field, holes, mask=missing, noise_variance=0.3).mean, expected)
    noise = np.where(missing, np.nan, 0.3)
    assert np.array_equal(condition(field, y, mask=missing, noise_variance=noise).mean, expected)


def test_arguments_are_not_changed():
    y, missing, noise = problem((5, 6), 8, "mixed")
    copies = y.copy(), missing.copy(), noise.copy()
    condition(GMRF.from_precision(FIVE), y, mask=missing, noise_variance=noise)
    for array, copy in zip((y, missing, noise), copies, strict=True):
        assert np.array_equal(array, copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.zeros((6, 5))}, r"^y must have the shape \(5, 6\)"),
        ({"y": np.full((5, 6), np.nan)}, r'^y must be finite where it is observed.*mask="nan"'),
        ({"y": np.full((5, 6), np.inf)}, r"^y must be finite"),
        ({"mask": np.ones((5, 6), dtype=bool)}, r"^y must have an observed pixel, but all 30"),
        ({"mask": np.zeros((5, 5), dtype=bool)}, r"^mask must have the shape"),
        ({"noise_variance": -1.0}, r"^noise_variance must not be negative, got -1"),
        ({"noise_variance": np.nan}, r"^noise_variance must be finite"),
        ({"noise_variance": np.ones((2, 2))}, r"^noise_variance must be a number or an image"),
        ({"noise_variance": 1e-320}, r"^1 / noise_variance must be finite.*use 0"),
        ({"noise_variance": 0.0}, r"^noise_variance must leave something unknown"),
        ({"gmrf": FIVE}, r"^gmrf must be a GMRF, got SymmetricStencil"),
        (
            {"gmrf": GMRF.from_precision(SymmetricStencil([(0, 0)], [1.0], (5, 6), channels=2))},
            r"^y must have the shape \(5, 6, 2\) of the field, channels last",
        ),
    ],
)
def test_bad_input_is_named_with_the_remedy(changes, message):
    arguments = {"gmrf": GMRF.from_precision(FIVE), "y": np.zeros((5, 6)), "mask": None, "noise_variance": 1.0}
    arguments |= changes
    with pytest.raises(ArgumentError, match=message):
        condition(arguments.pop("gmrf"), arguments.pop("y"), **arguments)


def test_intrinsic_parts_without_observations_are_refused():
    # Two rows that are not coupled: each has its own level.
    rows = SymmetricStencil([(0, 0), (0, 1)], [2.0, -1.0], (2, 4), boundary="neumann")
    missing = np.zeros((2, 4), dtype=bool)
    missing[1] = True
    with pytest.raises(ArgumentError, match=r"^mask must leave enough observed pixels to fix the 2 null vectors"):
        condition(IntrinsicGMRF(rows), np.zeros((2, 4)), mask=missing, noise_variance=1.0)


@pytest.mark.parametrize("model", [CAR(0.2), Matern(range=5.0), Intrinsic()], ids=["car", "matern", "intrinsic"])
@pytest.mark.parametrize("unit", [2.0**-200, 2.0**-30, 2.0**40, 2.0**200])
def test_exact_observations_in_other_units_give_the_same_field_in_these(model, unit):
    y = np.random.default_rng(0).normal(size=(8, 9))
    y[2:5, 3:6] = np.nan
    expected = condition(model.gmrf((8, 9)), y, mask="nan", noise_variance=0.0)
    found = condition(model.scaled(unit).gmrf((8, 9)), unit * y, mask="nan", noise_variance=0.0)
    assert_allclose(found.mean / unit, expected.mean, rtol=1e-12, atol=1e-12)
    assert_allclose(found.marginal_variance() / unit**2, expected.marginal_variance(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("prior", [GMRF.from_precision(FIVE, mean=0.3), IntrinsicGMRF(MEMBRANE, mean=0.3)])
def test_a_field_with_exact_pixels_is_a_plain_field_on_the_other_pixels(prior):
    y, missing, noise = problem((5, 6), 4, "mixed")
    posterior = condition(prior, y, mask=missing, noise_variance=noise)
    held = ~missing & (noise == 0.0)
    assert type(posterior) is GMRF
    assert np.array_equal(posterior.domain, ~held)
    assert (posterior.rank, posterior.rank_deficiency) == (np.count_nonzero(~held), 0)
    free = ~held.ravel()
    P = posterior.precision.tocsr().toarray()[np.ix_(free, free)]
    assert posterior.logdet == pytest.approx(np.linalg.slogdet(P)[1], rel=1e-12)
    x = posterior.sample(rng=0)
    expected = dense.log_density((x - posterior.mean).ravel()[free], np.linalg.inv(P))
    assert posterior.logpdf(x) == pytest.approx(expected, rel=1e-10)
    assert posterior.entropy() == pytest.approx(0.5 * (len(P) * (1.0 + np.log(2.0 * np.pi)) - posterior.logdet))
    moved = posterior.with_mean(posterior.mean + 1.0)
    assert np.array_equal(moved.domain, posterior.domain)
    assert np.array_equal(pickle.loads(pickle.dumps(posterior)).sample(rng=0), x)
    found = diagnose(posterior, n_samples=200)
    assert found.residual < 1e-11
    assert found.worst_p_value > 1e-6


def test_a_field_on_a_domain_is_conditioned_on_pixels_in_it_and_outside():
    domain = np.ones((5, 6), bool)
    domain[:, 3] = False
    left, right = np.arange(6) < 3, np.arange(6) > 3
    stencil = SymmetricStencil(
        [(0, 0), (0, 1), (1, 0)],
        [4.3, -1.0 * ((left & ~np.isin(np.arange(6), [2])) | right) * np.ones((5, 1)), -1.1],
        (5, 6),
    )
    field = GMRF(stencil, mean=0.4, domain=domain)
    y, missing, noise = problem((5, 6), 9, "mixed")
    noise[~domain] = 1.0  # measurements of what is at its mean say nothing
    inside = np.ix_(domain.ravel(), domain.ravel())
    C = np.zeros((30, 30))
    C[inside] = np.linalg.inv(stencil.tocsr().toarray()[inside])
    seen = ~missing & domain
    mean, covariance = dense.conditional(np.full(30, 0.4), C, y.ravel(), seen.ravel(), noise.ravel())
    posterior = condition(field, y, mask=missing, noise_variance=noise)
    assert_allclose(posterior.mean.ravel(), mean, rtol=1e-9, atol=1e-10)
    assert_allclose(posterior.marginal_variance().ravel(), np.diagonal(covariance), rtol=1e-9, atol=1e-10)
    with pytest.raises(ArgumentError, match=r"^y must agree with what is known exactly, but pixel \(0, 3\)"):
        condition(field, np.ones((5, 6)), noise_variance=0.0)
    with pytest.raises(ArgumentError, match=r"^y must be missing where the field is known .* got 5 counts there, the"):
        condition(field, np.ones((5, 6)), likelihood=Poisson())


COMPLETE = {
    "no flux": Matern(4.0),
    "cut off": CAR(0.24),
    "wrapped": Matern(3.0, 2.0, 2, anisotropy=(1.5, 0.4), boundary="torus"),
    "a free level": Intrinsic(1, 2.0),
    "a free level, wrapped": Intrinsic(1, boundary="torus"),
}


@pytest.mark.parametrize("name", COMPLETE)
def test_complete_images_with_noise_of_one_variance_are_conditioned_on_by_transforms(name):
    shape, mean, noise = (5, 6), 0.7, 0.3
    field = COMPLETE[name].gmrf(shape, mean=mean)
    y = 1e3 + np.random.default_rng(0).standard_normal(shape)
    found = condition(field, y, noise_variance=noise)
    P = COMPLETE[name].stencil(shape).tocsr().toarray() + np.eye(30) / noise
    S = np.linalg.inv(P)
    assert found.method == "spectral"
    assert found.rank == 30
    assert found.logdet == pytest.approx(np.linalg.slogdet(P)[1], rel=1e-12)
    assert_allclose(found.mean.ravel(), mean + S @ (y - mean).ravel() / noise, rtol=1e-11)
    assert_allclose(found.marginal_variance().ravel(), np.diagonal(S), rtol=1e-11)
    assert_allclose(found.factor.selected_inverse().tocsr().toarray()[0, 1], S[0, 1], rtol=1e-11)
    draws = found.factor.unwhiten(np.eye(30).reshape(30, *shape)).reshape(30, 30)
    assert_allclose(draws.T @ draws, S, rtol=0.0, atol=1e-11 * S.max())
    assert_allclose(found.precision.tocsr().toarray(), P, rtol=0.0, atol=1e-12 * P.max())
    again = condition(found, y, noise_variance=1.0)
    assert again.method == "spectral"
    assert_allclose(again.marginal_variance().ravel(), np.diagonal(np.linalg.inv(P + np.eye(30))), rtol=1e-11)
    assert_allclose(pickle.loads(pickle.dumps(found)).sample(rng=0), found.sample(rng=0))


def test_gaps_and_noise_that_varies_are_not_conditioned_on_by_transforms():
    y, noise = np.random.default_rng(0).standard_normal((5, 6)), np.full((5, 6), 0.3)
    field = Matern(4.0).gmrf((5, 6))
    missing = np.zeros((5, 6), dtype=bool)
    missing[2, 3] = True
    assert condition(field, y, mask=missing, noise_variance=0.3).method == "dissection"
    noise[2, 3] = 0.4
    assert condition(field, y, noise_variance=noise).method == "dissection"


def test_a_homogeneous_precision_stays_one_given_a_complete_image():
    wide = CAR(neighbourhood=[(0, 1), (0, 2), (1, 0), (2, 1)])
    found = condition(wide.gmrf((9, 10)), np.ones((9, 10)), noise_variance=0.5)
    assert found.precision.is_homogeneous
    P = wide.stencil((9, 10)).tocsr().toarray() + 2.0 * np.eye(90)
    assert_allclose(found.marginal_variance().ravel(), np.diagonal(np.linalg.inv(P)), rtol=1e-11)
