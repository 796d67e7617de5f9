"""Fields under linear constraints against dense conditional distributions."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, Intrinsic, SymmetricStencil, TriangularStencil, condition, constrain, factorize
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.fields import BlockAverage, ConstrainedGMRF, IntrinsicGMRF, covariance_between, variance_of
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.scores import leave_block_out, leave_one_out
from tests import intrinsic_cases, reference, strategies
from tests.inference import dense

CLOSE = {"rtol": 1e-8, "atol": 1e-9}
SHAPE = (4, 5)
FIVE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.3, -1.0, -1.1], SHAPE)
MEMBRANE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], SHAPE, boundary="neumann")
FIELD = GMRF.from_precision(FIVE, mean=np.arange(20.0).reshape(SHAPE))
ONES = np.ones(SHAPE)


def rows_and_values(count, image_shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, *image_shape)), rng.standard_normal(count)


def check(field, prior_mean, Q, C, c):
    """Every answer of a constrained field against the dense ones; `Q` and `prior_mean` flat."""
    flat = C.reshape(len(C), -1)
    covariance, gain = dense.constrained(Q, flat)
    mean = prior_mean + gain @ (c - flat @ prior_mean)
    shape, size = field.lattice.image_shape, field.lattice.size
    assert_allclose(field.mean.ravel(), mean, **CLOSE)
    assert_allclose(field.residual(), 0.0, atol=1e-10)
    assert_allclose(field.marginal_variance().ravel(), np.diagonal(covariance), **CLOSE)
    assert_allclose(field.covariance_with((0, 0)).ravel(), covariance[0], **CLOSE)
    rng = np.random.default_rng(9)
    w = rng.standard_normal((2, *shape))
    expected = np.einsum("bp,pq,bq->b", w.reshape(2, -1), covariance, w.reshape(2, -1))
    assert_allclose(variance_of(field, w), expected, **CLOSE)
    known = np.asarray(variance_of(field, C))
    assert known.min() >= 0.0
    assert_allclose(known, 0.0, atol=1e-18)
    if field.channels == 1:
        last = (shape[0] - 1, shape[1] - 1)
        between = covariance_between(field, [(0, 0), last], [last])
        assert_allclose(between.ravel(), covariance[[0, size - 1], size - 1], **CLOSE)
    x = field.sample(3, rng=4)
    assert_allclose(field.residual(x), 0.0, atol=1e-9)
    for image in x:
        density = dense.constrained_density(image.ravel(), mean, Q, flat)
        assert field.logpdf(image) == pytest.approx(density, rel=1e-8, abs=1e-7)
    assert_allclose(field.logpdf(x), [field.logpdf(image) for image in x], rtol=1e-12)


@settings(max_examples=30)
@given(
    strategies.symmetric_stencils(largest=5, channels=(1, 2), boundaries=("dirichlet", "neumann")), st.integers(1, 4)
)
def test_constrained_prior_is_the_dense_conditional_distribution(case, count):
    assume(np.prod(case.image_shape) > count)
    C, c = rows_and_values(count, case.image_shape, case.seed)
    mean = case.images()
    check(constrain(GMRF(case.stencil, mean), C, c), mean.ravel(), case.Q, C, c)


@settings(max_examples=30)
@given(
    st.one_of(intrinsic_cases.first_order(5), intrinsic_cases.homogeneous(5), intrinsic_cases.second_order(5)),
    st.integers(0, 2),
)
def test_constraints_that_fix_the_null_space_make_an_intrinsic_field_proper(case, more):
    assume(case.stencil.boundary != "torus")
    count = case.deficiency + more
    assume(np.prod(case.image_shape) > count)
    C, c = rows_and_values(count, case.image_shape, case.seed)
    mean = case.images()
    prior = IntrinsicGMRF(case.stencil, case.null_space, mean)
    null = np.linalg.svd(prior.null_vectors.T @ C.reshape(count, -1).T, compute_uv=False)
    assume(null.min(initial=1.0) > 0.1)
    field = constrain(prior, C, c)
    assert field.rank == np.prod(case.image_shape) - count
    check(field, mean.ravel(), case.Q, C, c)


def test_another_mean_moves_the_values_of_the_constraints_along():
    C = np.random.default_rng(3).standard_normal((2, *SHAPE))
    field = constrain(FIELD, C, [1.0, -2.0])
    shift = np.random.default_rng(4).standard_normal(SHAPE)
    moved = field.with_mean(field.mean + shift)
    made = constrain(FIELD.with_mean(FIELD.mean + shift), C, field.values + np.tensordot(C, shift, 2))
    x = made.sample(rng=5)
    assert_allclose(moved.mean, made.mean, **CLOSE)
    assert_allclose(moved.values, made.values, **CLOSE)
    assert_allclose(moved.logpdf(x), made.logpdf(x), **CLOSE)
    assert_allclose(moved.unconstrained.mean, made.unconstrained.mean, **CLOSE)
    assert np.abs(field.residual()).max() < 1e-9


def test_sum_to_zero_makes_of_the_intrinsic_field_itself():
    intrinsic = IntrinsicGMRF(MEMBRANE)
    field = constrain(intrinsic, ONES)
    assert_allclose(field.mean, 0.0, atol=1e-15)
    assert_allclose(field.marginal_variance(), intrinsic.marginal_variance(), rtol=1e-12)
    assert field.logdet == pytest.approx(intrinsic.logdet, rel=1e-12)
    assert_allclose(field.sample(rng=1), intrinsic.sample(rng=1), rtol=1e-12, atol=1e-14)


def test_planes_are_fixed_by_three_constraints():
    prior = Intrinsic(order=2).gmrf((6, 5))
    C, c = rows_and_values(5, (6, 5))
    check(constrain(prior, C, c), np.zeros(30), prior.tocsr().toarray(), C, c)


def test_density_is_that_of_the_field_over_that_of_the_constraints_with_their_jacobian():
    C, c = rows_and_values(3, SHAPE)
    C *= np.array([1.0, 40.0, 0.01])[:, np.newaxis, np.newaxis]
    field = constrain(FIELD, C, c)
    flat, x = C.reshape(3, -1), field.sample(rng=2)
    totals = flat @ reference.covariance(FIVE.tocsr().toarray()) @ flat.T
    expected = FIELD.logpdf(x) - dense.log_density(c - flat @ FIELD.mean.ravel(), totals)
    expected -= 0.5 * np.linalg.slogdet(flat @ flat.T)[1]
    assert field.logpdf(x) == pytest.approx(expected, rel=1e-10)
    assert field.logpdf(x + 1e-3) == -np.inf
    assert field.logpdf(np.stack([x, x + 1.0])).tolist() == [field.logpdf(x), -np.inf]


def test_entropy_is_minus_the_mean_log_density():
    field = constrain(FIELD, *rows_and_values(2, SHAPE))
    at_mean = field.logpdf(field.mean)
    assert field.entropy() == pytest.approx(field.rank / 2 - at_mean, rel=1e-12)


@pytest.mark.parametrize("kind", ["noisy", "exact", "operator"])
@pytest.mark.parametrize("prior", [FIELD, IntrinsicGMRF(MEMBRANE, mean=1.0)])
def test_posteriors_under_constraints_are_dense_conditional_distributions_in_either_order(kind, prior):
    rng = np.random.default_rng(3)
    missing = rng.random(SHAPE) < 0.5
    y = rng.standard_normal((2, 5) if kind == "operator" else SHAPE)
    C, c = rows_and_values(3, SHAPE, 1)
    options = {"noise_variance": 0.0 if kind == "exact" else 0.4, "mask": missing}
    B, seen = np.eye(20)[~missing.ravel()], y[~missing] if kind != "operator" else y.ravel()
    if kind == "operator":
        options |= {"operator": BlockAverage(2, 1), "mask": None}
        B = dense.block_average((2, 1), SHAPE)
    Q = prior.tocsr().toarray()
    noise = np.concatenate([np.full(len(B), options["noise_variance"]), np.zeros(3)])
    # A level variance of 1e7 stands for the flat one of the intrinsic field.
    flat = isinstance(prior, IntrinsicGMRF)
    covariance = reference.pseudo_inverse(Q, 1) + 1e7 / 20.0 if flat else reference.covariance(Q)
    mean, expected = dense.conditional_on(
        prior.mean.ravel(), covariance, np.concatenate([seen, c]), np.concatenate([B, C.reshape(3, -1)]), noise
    )
    for field in (constrain(condition(prior, y, **options), C, c), condition(constrain(prior, C, c), y, **options)):
        assert isinstance(field, ConstrainedGMRF)
        assert_allclose(field.mean.ravel(), mean, rtol=1e-6, atol=1e-6)
        assert_allclose(field.marginal_variance().ravel(), np.diagonal(expected), rtol=1e-5, atol=1e-6)
        assert_allclose(field.residual(field.sample(2, rng=0)), 0.0, atol=1e-10)
        if kind == "exact":
            assert np.array_equal(field.sample(rng=0)[~missing], y[~missing])
            assert np.array_equal(field.marginal_variance()[~missing], np.zeros(len(seen)))


def test_prior_under_constraints_times_likelihood_is_posterior_times_evidence():
    C, c = rows_and_values(2, SHAPE)
    prior = constrain(FIELD, C, c)
    y = np.random.default_rng(1).standard_normal(SHAPE)
    posterior = condition(prior, y, noise_variance=0.5)
    x = posterior.sample(rng=3)
    likelihood = dense.log_density((y - x).ravel(), 0.5 * np.eye(20))
    S = dense.constrained(FIVE.tocsr().toarray(), C.reshape(2, -1))[0]
    evidence = dense.log_density((y - prior.mean).ravel(), S + 0.5 * np.eye(20))
    assert prior.logpdf(x) + likelihood == pytest.approx(posterior.logpdf(x) + evidence, rel=1e-9)


def test_constraints_that_also_touch_exact_pixels_use_their_values():
    y = np.full(SHAPE, np.nan)
    y[0, :3] = [3.0, -1.0, 2.0]
    exact = condition(FIELD, y, mask="nan", noise_variance=0.0)
    row = np.zeros(SHAPE)
    row[0] = 1.0
    field = constrain(exact, row, 10.0)
    assert field.mean[0, 3:].sum() == pytest.approx(6.0, rel=1e-12)
    assert_allclose(field.sample(4, rng=0)[:, 0].sum(axis=1), 10.0, rtol=1e-12)
    row[0, 3:] = 0.0
    with pytest.raises(ArgumentError, match=r"^C must touch .* row 1 has weights only .* make it 4 \(c: 10\); leave"):
        constrain(exact, [ONES, row], 10.0)


def test_dozens_of_region_totals_hold_to_rounding():
    shape = (24, 30)
    Q = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0 + 1e-5, -1.0, -1.0], shape, boundary="neumann")
    C = BlockAverage(4, 5).tocsr(shape)
    c = 1e3 * np.random.default_rng(0).standard_normal(36)
    field = constrain(GMRF.from_precision(Q), C, c)
    assert np.abs(field.residual()).max() < 1e-10
    assert np.abs(field.residual(field.sample(rng=1))).max() < 1e-10
    covariance, gain = dense.constrained(Q.tocsr().toarray(), C.toarray())
    assert_allclose(field.mean.ravel(), gain @ c, rtol=1e-6, atol=1e-6)
    assert_allclose(field.marginal_variance().ravel(), np.diagonal(covariance), rtol=1e-7)


def test_draws_have_the_moments_of_the_constrained_field():
    C, c = rows_and_values(3, SHAPE)
    field = constrain(FIELD, C, c)
    draws = field.sample(20_000, rng=3)
    std = np.sqrt(field.marginal_variance())
    # 20 means of 20000 draws beyond 6 standard errors: probability below 1e-7; a variance has relative error 0.01.
    assert np.abs((draws.mean(axis=0) - field.mean) / std).max() < 6.0 / np.sqrt(20_000)
    assert_allclose(draws.std(axis=0), std, rtol=0.031)
    white = field.whiten(draws)[:, ~field.factor.pinned]
    # 17 variances of white numbers, each with standard error 0.01; false alarm below 1e-7.
    assert_allclose(white.var(axis=0), 1.0, atol=0.06)


def test_same_seed_gives_the_same_draw_for_any_number_of_threads(threads):
    C, c = rows_and_values(3, SHAPE)
    draws = []
    for count in (1, 3):
        threads(count)
        draws.append(constrain(condition(FIELD, ONES, noise_variance=0.1), C, c).sample(2, rng=4))
    assert np.array_equal(*draws)


@pytest.mark.parametrize("turn", [np.fliplr, np.flipud, np.transpose])
def test_flipped_and_transposed_images_give_the_flipped_and_transposed_field(turn):
    C, c = rows_and_values(2, SHAPE)
    stencil = FIVE
    if turn is np.transpose:
        stencil = SymmetricStencil([(0, 0), (1, 0), (0, 1)], [4.3, -1.0, -1.1], SHAPE[::-1])
    plain = constrain(FIELD, C, c)
    turned = constrain(GMRF.from_precision(stencil, mean=turn(FIELD.mean)), [turn(row) for row in C], c)
    assert_allclose(turned.mean, turn(plain.mean), atol=1e-12)
    assert_allclose(turned.marginal_variance(), turn(plain.marginal_variance()), atol=1e-12)
    assert turned.logdet == pytest.approx(plain.logdet, rel=1e-12)


def test_constraints_may_be_images_flat_rows_or_sparse():
    C, c = rows_and_values(2, SHAPE)
    expected = constrain(FIELD, C, c)
    for form in (C.tolist(), C.reshape(2, -1), sp.csr_array(C.reshape(2, -1)), sp.coo_matrix(C.reshape(2, -1))):
        assert np.array_equal(constrain(FIELD, form, c).mean, expected.mean)
    assert np.array_equal(constrain(FIELD, C[0], c[0]).mean, constrain(FIELD, C[:1], c[:1]).mean)
    assert np.array_equal(constrain(FIELD, C, [2.0, 2.0]).mean, constrain(FIELD, C, 2.0).mean)


def test_constraints_one_after_the_other_are_constraints_together():
    C, c = rows_and_values(4, SHAPE)
    together, after = constrain(FIELD, C, c), constrain(constrain(FIELD, C[:1], c[:1]), C[1:], c[1:])
    assert_allclose(after.mean, together.mean, rtol=1e-9)
    assert after.logdet == pytest.approx(together.logdet, rel=1e-12)
    assert np.array_equal(after.constraints, C)
    assert np.array_equal(after.values, c)
    assert after.unconstrained is FIELD


def test_fields_given_by_other_precisions_are_constrained_too():
    A = TriangularStencil([(-1, 0), (0, -1)], 1.0, [-0.4, -0.5], SHAPE)
    C, c = rows_and_values(3, SHAPE)
    Q = (A.tocsr().T @ A.tocsr()).toarray()
    field = constrain(GMRF.from_whitening(A, 2.0), C, c)
    check(field, np.full(20, 2.0), Q, C, c)
    assert field.whitening is None
    assert_allclose(field.tocsr().toarray(), Q, atol=1e-12)
    for prior in (FIELD, IntrinsicGMRF(MEMBRANE), GMRF(FIVE, method="dense")):
        constrained = constrain(prior, C, c)
        assert factorize(constrained.given).logdet == pytest.approx(constrained.logdet, rel=1e-12)


def test_leave_one_out_with_noise_knows_the_constraints():
    C, c = rows_and_values(2, SHAPE)
    prior, y = constrain(FIELD, C, c), np.random.default_rng(0).standard_normal(SHAPE)
    left_out = leave_one_out(prior, y, noise_variance=0.5)
    missing = np.zeros(SHAPE, dtype=bool)
    missing[1, 2] = True
    rest = condition(prior, y, mask=missing, noise_variance=0.5)
    assert left_out.mean[1, 2] == pytest.approx(rest.mean[1, 2], rel=1e-9)
    assert left_out.std[1, 2] == pytest.approx(np.sqrt(rest.marginal_variance()[1, 2] + 0.5), rel=1e-9)


def test_it_pickles_and_says_what_it_is():
    field = constrain(IntrinsicGMRF(MEMBRANE), ONES, 3.0)
    copy = pickle.loads(pickle.dumps(field))
    assert np.array_equal(copy.sample(rng=0), field.sample(rng=0))
    assert repr(field).startswith("ConstrainedGMRF(1 constraints, residual=")


def test_arguments_are_copied():
    C, c = rows_and_values(2, SHAPE)
    field = constrain(FIELD, C, c)
    x, mean = field.sample(rng=0), field.mean.copy()
    C[:], c[:] = 0.0, 0.0
    assert np.isfinite(field.logpdf(x))
    assert np.array_equal(field.mean, mean)
    for array in (field.mean, field.constraints, field.values):
        assert not array.flags.writeable


TWO = np.zeros((3, *SHAPE))
TWO[0, :2], TWO[1, 2:], TWO[2] = 1.0, 2.0, 3.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FIVE, ONES), r"^gmrf must be a GMRF, got SymmetricStencil"),
        (
            (FIELD, np.ones((5, 4))),
            r"^C must hold images of weights, \(k, 4, 5\) or flattened \(k, 20\), got .*\(5, 4\)",
        ),
        ((FIELD, np.ones((0, *SHAPE))), r"^C must hold a constraint, got none"),
        ((FIELD, np.full(SHAPE, np.nan)), r"^C must be finite"),
        ((FIELD, [["a"]]), r"^C must hold real numbers"),
        (
            (FIELD, ONES, [1.0, 2.0]),
            r"^c must be a number or hold one value per constraint, shape \(1,\), got .*\(2,\)",
        ),
        ((FIELD, ONES, np.inf), r"^c must be finite"),
        ((FIELD, [ONES, 0.0 * ONES]), r"^C must have a weight that is not zero in every row, got none in row 1"),
        (
            (FIELD, [ONES, TWO[0], 2.0 * ONES], [1.0, 5.0, 2.0]),
            r"^C must have linearly independent rows, got 2 independent ones of 3: row [02] is a combination of [02] "
            r"and says the same; leave it out",
        ),
        (
            (FIELD, TWO, [1.0, 2.0, 7.0]),
            r"^C must have linearly independent rows, got 2 .*: row 2 is a combination of 0, 1, which make its "
            r"value 6, but c says 7: no image",
        ),
        ((FIELD, np.eye(20)), r"^C must leave something unknown, got 20 independent rows for 20 unknowns"),
        ((FIELD, np.ones((21, 20))), r"^C must have linearly independent rows|^C must have fewer rows"),
        ((FIELD, np.random.default_rng(0).random((21, 20))), r"^C must have fewer rows than .*, got 21 rows for 20"),
        (
            (IntrinsicGMRF(MEMBRANE), TWO[0] - 0.5 * TWO[1]),
            r"^C must fix the 1 null vectors",
        ),
        ((Intrinsic(order=2).gmrf(SHAPE), ONES), r"^C must fix the 3 null vectors of the field.*value of 0"),
    ],
)
def test_bad_input_is_named_with_the_remedy(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        constrain(*arguments)


def test_what_a_constrained_field_does_not_have_is_refused():
    field = constrain(FIELD, ONES)
    with pytest.raises(ArgumentError, match=r"^partial_correlation .* not defined under constraints"):
        field.partial_correlation((0, 1))
    with pytest.raises(ArgumentError, match=r"^covariance_object is for proper fields"):
        field.covariance_object()
    with pytest.raises(ArgumentError, match=r"^gmrf must not be constrained with a poisson likelihood"):
        condition(field, ONES, likelihood=Poisson())
    with pytest.raises(ArgumentError, match=r"^gmrf must be a field without constraints here"):
        leave_one_out(field, ONES, noise_variance=0.0)
    with pytest.raises(ArgumentError, match=r"^gmrf must be a field without constraints here"):
        leave_block_out(field, ONES, np.eye(4, 5) > 0.0, noise_variance=1.0)
    with pytest.raises(ArgumentError, match=r"^x must have shape"):
        field.residual(np.ones(3))
    with pytest.raises(ArgumentError, match=r"^burn_in must be 0"):
        field.sample(burn_in=2)


def test_more_constraints_than_fit_into_memory_are_refused_before_they_are_made():
    large = GMRF.from_precision(SymmetricStencil([(0, 0)], [1.0], (2000, 2000)))
    with pytest.raises(TooLargeError, match=r"^4000000 constraints on 4000000 unknowns would need about .*operator="):
        constrain(large, sp.eye_array(4_000_000, format="csr"))
