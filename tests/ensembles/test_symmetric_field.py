"""SymmetricField: the matrix it stands for, and covariance selection against its dense optimality condition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf.ensembles import CholeskyField, SymmetricField, _selection
from sparsegmrf.ensembles._ensemble import as_ensemble
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError, StencilError
from tests import reference
from tests.conftest import require
from tests.ensembles.test_ensemble_regression import LATER, ensemble

FOUR = [(0, 1), (1, 0)]
PATTERNS = {"4": FOUR, "8": LATER[1], "24": LATER[2], "far": [(0, 2), (1, -1)], "none": []}


def dense_selection(images, mean, offsets, shrinkage=0.0):
    """The shrunk sample covariance, and which of its entries are on the pattern."""
    n = images[0].size
    x = (images - mean).reshape(len(images), n)
    C = x.T @ x / len(x)
    S = (1.0 - shrinkage) * C + shrinkage * np.diag(np.diagonal(C))
    pattern = reference.symmetric_matrix([(0, 0), *offsets], [1.0] * (len(offsets) + 1), images.shape[1:]) != 0.0
    return C, S, pattern


def test_precision_has_the_entries_given():
    rng = np.random.default_rng(0)
    diagonal, weights = rng.uniform(4.0, 5.0, (4, 5)), rng.uniform(-0.5, 0.5, (2, 4, 5))
    model = SymmetricField(diagonal, weights, FOUR)
    expected = reference.symmetric_matrix([(0, 0), *FOUR], [diagonal, *weights], (4, 5))
    assert_allclose(model.stencil().tocsr().toarray(), expected, atol=1e-15)
    field = model.gmrf(mean=2.0)
    assert field.logdet == pytest.approx(reference.logdet(expected))
    assert field.mean[0, 0] == 2.0
    assert_allclose(SymmetricField().gmrf((3, 4)).marginal_variance(), 1.0, rtol=1e-14)


@settings(max_examples=12)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    name=st.sampled_from(sorted(PATTERNS)),
    known=st.booleans(),
    shrinkage=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**16),
)
def test_covariances_of_the_fit_are_the_sample_s_on_the_pattern(shape, name, known, shrinkage, seed):
    images, offsets = ensemble(shape, 40, seed), PATTERNS[name]
    mean = images.mean(axis=0) + 0.5 if known else "estimate"
    result = SymmetricField.fit(images, offsets=offsets, shrinkage=shrinkage, mean=mean, tolerance=1e-9)
    assert result.converged
    Q = result.gmrf().tocsr().toarray()
    C, S, pattern = dense_selection(images, mean if known else images.mean(axis=0), offsets, shrinkage)
    assert not Q[~pattern].any()
    covariance, scale = np.linalg.inv(Q), np.sqrt(np.outer(np.diagonal(S), np.diagonal(S)))
    error = np.abs((covariance - S) / scale)[pattern].max()
    assert error < 1e-8
    assert_allclose(result.covariance_error, error, rtol=1e-3, atol=1e-12)
    loglik = -20.0 * (len(Q) * np.log(2.0 * np.pi) - reference.logdet(Q) + np.sum(C * Q))
    assert_allclose(result.loglik, loglik, rtol=1e-10)


@pytest.mark.parametrize("homogeneous", [False, True])
@pytest.mark.parametrize("name", ["4", "8", "far"])
def test_gradient_is_that_of_finite_differences(name, homogeneous):
    # Of size 100, the values carry rounding of 1e-14: 1e-8 after division by the step.
    sample = as_ensemble(ensemble((4, 5), 30), "estimate")
    problem, guess = _selection.pose(sample, np.array(PATTERNS[name]), 0.1, homogeneous)
    on_image = problem.evaluate(guess).gradient != 0.0
    assert on_image.sum() == (1 + len(PATTERNS[name]) if homogeneous else np.count_nonzero(problem.covariances))
    rng = np.random.default_rng(0)
    for _ in range(6):
        direction = rng.standard_normal(guess.shape) * np.abs(guess).max() * on_image
        step = 2e-6
        values = [problem.evaluate(guess + sign * step * direction).value for sign in (1.0, -1.0)]
        slope = (values[0] - values[1]) / (2.0 * step)
        assert_allclose(slope, np.sum(problem.evaluate(guess).gradient * direction), rtol=1e-6, atol=1e-7)


def test_value_is_that_of_dense_matrices():
    images = ensemble((4, 5), 30)
    problem, guess = _selection.pose(as_ensemble(images, "estimate"), np.array(LATER[1]), 0.1, False)
    _, S, _ = dense_selection(images, images.mean(axis=0), LATER[1], 0.1)
    Q = problem.stencil(guess).tocsr().toarray()
    assert_allclose(problem.evaluate(guess).value, np.sum(S * Q) - reference.logdet(Q), rtol=1e-12)


@pytest.mark.parametrize("alpha", [0.01, 0.05])
def test_graphical_lasso_on_all_pairs_is_less_likely_by_at_most_its_penalty(alpha):
    # The lasso maximizes loglik(Q) - N alpha / 2 sum |Q_pq| over p != q, the fit here the likelihood alone.
    lasso = require("sklearn.covariance").graphical_lasso
    images = ensemble((2, 2), 60)
    images = (images - images.mean(axis=0)) / images.std(axis=0)
    C = images.reshape(60, 4).T @ images.reshape(60, 4) / 60.0
    ours = SymmetricField.fit(images, 1, tolerance=1e-10)

    def penalty(Q):
        return 30.0 * alpha * (np.abs(Q).sum() - np.trace(Q))

    Q = lasso(C, alpha=alpha, enet_tol=1e-12)[1]
    loglik = -30.0 * (4.0 * np.log(2.0 * np.pi) - reference.logdet(Q) + np.sum(C * Q))
    assert loglik < ours.loglik < loglik + penalty(ours.gmrf().tocsr().toarray()) - penalty(Q)


def test_pattern_of_all_pairs_gives_the_inverse_of_the_sample_covariance():
    images = ensemble((2, 2), 30)
    result = SymmetricField.fit(images, 1, tolerance=1e-10)
    assert_allclose(result.gmrf().tocsr().toarray(), np.linalg.inv(np.cov(images.reshape(30, 4).T, ddof=0)), rtol=1e-6)


def test_no_neighbour_of_the_fit_in_the_pattern_is_more_likely():
    images, rng = ensemble((4, 4), 30), np.random.default_rng(2)
    result = SymmetricField.fit(images, 1)
    model = result.model
    for size in (1e-3, 1e-2):
        for _ in range(5):
            diagonal = model.diagonal * (1.0 + size * rng.standard_normal((4, 4)))
            weights = model.weights + size * model.diagonal.mean() * rng.standard_normal((4, 4, 4))
            other = SymmetricField(diagonal, weights).gmrf(mean=result.mean)
            assert np.sum(other.logpdf(images)) < result.loglik
    assert_allclose(result.loglik, np.sum(result.gmrf().logpdf(images)), rtol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 4)])
def test_shared_coefficients_match_the_averages(shape):
    images, offsets = ensemble(shape, 12), LATER[1]
    result = SymmetricField.fit(images, homogeneous=True, tolerance=1e-10)
    assert result.converged
    assert result.gmrf().precision.is_homogeneous
    C, _, _ = dense_selection(images, images.mean(axis=0), offsets)
    for offset in [(0, 0), *offsets]:
        pairs = reference.symmetric_matrix([offset], [1.0], shape) != 0.0
        assert_allclose(np.linalg.inv(result.gmrf().tocsr().toarray())[pairs].sum(), C[pairs].sum(), atol=1e-8)
    assert_allclose(result.loglik, np.sum(result.gmrf().logpdf(images)), rtol=1e-12)


def test_shared_coefficients_are_recovered_from_one_image():
    # Within 6 standard errors from the information n/2 tr(Q^-1 dQ Q^-1 dQ): a false alarm of 3 * 2e-9.
    truth, shape = np.array([4.2, -0.9, -1.0]), (40, 40)
    image = SymmetricField(truth[0], truth[1:], FOUR).gmrf(shape).sample(1, rng=5)
    result = SymmetricField.fit(image, offsets=FOUR, homogeneous=True, mean=0.0)
    assert result.converged
    covariance = np.linalg.inv(reference.symmetric_matrix([(0, 0), *FOUR], truth, shape))
    products = [covariance @ reference.symmetric_matrix([o], [1.0], shape) for o in [(0, 0), *FOUR]]
    information = [[0.5 * np.sum(a * b.T) for a in products] for b in products]
    errors = np.sqrt(np.diagonal(np.linalg.inv(information)))
    found = np.array([result.model.diagonal, *result.model.weights])
    assert (np.abs(found - truth) < 6.0 * errors).all()


def test_shrinkage_makes_few_images_enough():
    images = ensemble((5, 5), 3)
    with pytest.raises(ArgumentError, match="at least 5 for maximum likelihood where 4 pixels are each other's neigh"):
        SymmetricField.fit(images)
    assert SymmetricField.fit(images, shrinkage=0.2).converged


def test_likelihood_without_a_maximum_is_reported():
    # Four pixels in a ring and two images: with probability above 0 the sample has no completion (Buhl 1993).
    found = [SymmetricField.fit(ensemble((2, 2), 2, seed), offsets=FOUR, mean=0.0, max_steps=25) for seed in range(6)]
    failed = [result for result in found if not result.converged]
    assert failed
    for result in failed:
        assert "shrinkage" in result.reason
        assert "NOT CONVERGED" in result.summary()


def test_too_few_steps_are_reported():
    result = SymmetricField.fit(ensemble((4, 4), 30), max_steps=1, tolerance=1e-12)
    assert not result.converged
    assert result.covariance_error > 1e-12


@pytest.mark.parametrize(
    ("offsets", "shape", "size"),
    [(LATER[1], (9, 9), 4), (LATER[2], (9, 9), 9), (FOUR, (9, 9), 2), (LATER[1], (1, 9), 2), ([], (9, 9), 1)],
)
def test_largest_number_of_mutual_neighbours(offsets, shape, size):
    assert _selection._largest_clique(np.array(offsets, dtype=np.int64).reshape(-1, 2), shape) == size


def test_more_entries_are_more_likely_and_fewer_parameters_are_counted():
    images = ensemble((5, 5), 60)
    four, eight = (SymmetricField.fit(images, offsets=offsets) for offsets in (FOUR, LATER[1]))
    shared = SymmetricField.fit(images, offsets=FOUR, homogeneous=True)
    assert shared.loglik < four.loglik < eight.loglik
    assert [result.n_parameters for result in (shared, four, eight)] == [3 + 25, 25 + 40 + 25, 25 + 72 + 25]
    assert shared.aic == pytest.approx(2 * 28 - 2 * shared.loglik)
    assert shared.bic == pytest.approx(28 * np.log(60) - 2 * shared.loglik)
    assert "n_observed=60" in repr(four)


def test_cholesky_factor_without_fill_is_the_same_field():
    # On one row a precision with two neighbours is the product of factors with one.
    images = ensemble((1, 9), 30)
    symmetric = SymmetricField.fit(images, offsets=[(0, 1)], tolerance=1e-11)
    triangular = CholeskyField.fit(images, offsets=[(0, 1)], shrinkage=None)
    assert_allclose(symmetric.gmrf().tocsr().toarray(), triangular.gmrf().tocsr().toarray(), atol=1e-6)
    assert_allclose(symmetric.loglik, triangular.loglik, rtol=1e-10)


def test_bits_do_not_depend_on_the_number_of_threads(threads):
    images, results = ensemble((9, 7), 30), []
    for number in (1, 3):
        threads(number)
        results.append(SymmetricField.fit(images))
    assert np.array_equal(results[0].model.weights, results[1].model.weights)


IMAGES = ensemble((4, 5), 8)
GONE, CONSTANT = IMAGES.copy(), IMAGES.copy()
GONE[2, 1, 3], CONSTANT[:, 2, 3] = np.inf, 7.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": GONE}, r"images must be finite, got 1 NaN.*\(2, 1, 3\); infinite values"),
        ({"images": CONSTANT}, r"got 1 constant ones, the first \(2, 3\).*homogeneous=True"),
        ({"images": np.full((8, 4, 5), 3.0), "homogeneous": True}, "constant ones.*vary somewhere"),
        ({"shrinkage": 1.0}, "from 0 to below 1, got 1"),
        ({"tolerance": 0.0}, "tolerance must be positive"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"radius": -1}, "radius must be at least 0"),
        ({"mean": np.zeros(3)}, "mean must be a number or an image"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        SymmetricField.fit(**{"images": IMAGES, **arguments})


def test_wrong_side_shape_and_sign_are_refused():
    with pytest.raises(StencilError, match="later"):
        SymmetricField(1.0, [0.1], [(0, -1)]).gmrf((3, 3))
    with pytest.raises(StencilError, match="later"):
        SymmetricField.fit(IMAGES, offsets=[(0, -1)])
    with pytest.raises(ArgumentError, match="shape"):
        SymmetricField().gmrf()
    with pytest.raises(NotPositiveDefiniteError):
        SymmetricField(1.0, [-0.9, -0.9], FOUR).gmrf((5, 5)).logdet  # noqa: B018
