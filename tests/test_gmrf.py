"""GMRF: densities, draws and moments against dense linear algebra, and what it refuses."""

import dataclasses
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil, TriangularStencil
from sparsegmrf.errors import ArgumentError, StencilError, UnstableError, UnstableWarning
from sparsegmrf.factors import DenseFactor, TriangularFactor
from tests import reference, strategies

WHITENINGS = strategies.triangular_stencils(largest=5)
PRECISIONS = strategies.symmetric_stencils(largest=5, boundaries=("dirichlet", "neumann", "torus"))
A = TriangularStencil([(0, -1), (-1, 0)], 2.0, [-0.6, -0.8], (5, 6))
FIELD = GMRF.from_whitening(A, mean=3.0)
Q = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (5, 6))


def fields():
    """Pairs of a field with a mean image and the case it was made of."""
    return st.one_of(
        WHITENINGS.map(lambda case: (GMRF.from_whitening(case.stencil, mean=case.images()), case)),
        PRECISIONS.map(lambda case: (GMRF.from_precision(case.stencil, mean=case.images(), method="dense"), case)),
    )


@given(fields())
def test_logpdf_is_the_dense_log_density(pair):
    field, case = pair
    batch = case.images(2, 3) + 0.5
    density = field.logpdf(batch)
    assert density.shape == (2, 3)
    for item in np.ndindex(2, 3):
        expected = reference.log_density(batch[item], case.images(), case.Q)
        assert_allclose(density[item], expected, rtol=1e-9, atol=1e-9)
    single = field.logpdf(batch[0, 0])
    assert isinstance(single, float)
    assert single == pytest.approx(density[0, 0], rel=1e-12, abs=1e-12)


@given(fields())
def test_entropy_is_minus_the_mean_log_density(pair):
    field, case = pair
    n = case.Q.shape[0]
    # E |A (x - mu)|^2 = n: the entropy is minus the log-density at the mean, plus n/2.
    assert_allclose(field.entropy(), n / 2 - field.logpdf(field.mean), rtol=1e-12, atol=1e-12)
    assert_allclose(
        field.entropy(), (n * np.log(2 * np.pi * np.e) - reference.logdet(case.Q)) / 2, rtol=1e-9, atol=1e-9
    )


@given(fields())
def test_whiten_takes_the_mean_off_and_unwhiten_adds_it(pair):
    field, case = pair
    assert_allclose(field.whiten(field.mean), np.zeros(case.image_shape), atol=1e-12)
    assert_allclose(field.unwhiten(np.zeros(case.image_shape)), field.mean, rtol=1e-12, atol=1e-12)
    x = case.images(2) - 1.0
    assert_allclose(field.unwhiten(field.whiten(x)), x, rtol=1e-9, atol=1e-9)


@given(fields())
def test_matrix_and_moments_are_the_dense_ones(pair):
    field, case = pair
    covariance = reference.covariance(case.Q)
    assert_allclose(field.tocsr().toarray(), case.Q, rtol=1e-12, atol=1e-12)
    assert_allclose(field.precision.tocsr().toarray(), case.Q, rtol=1e-12, atol=1e-12)
    assert_allclose(field.logdet, reference.logdet(case.Q), rtol=1e-9, atol=1e-9)
    assert_allclose(field.marginal_variance().ravel(), np.diagonal(covariance), rtol=1e-9)
    assert_allclose(field.covariance_with((0, 0)).ravel(), covariance[0], rtol=1e-9, atol=1e-9)


@given(
    st.one_of(WHITENINGS, strategies.symmetric_stencils(largest=5, boundaries=("dirichlet", "neumann"))),
    st.tuples(st.integers(-2, 2), st.integers(-2, 2)),
)
def test_partial_correlation_is_that_of_the_dense_precision(case, offset):
    field = GMRF(case.stencil, method="dense")
    scale = np.sqrt(np.diagonal(case.Q))
    dense = np.where(np.eye(len(scale), dtype=bool), 1.0, -case.Q / np.outer(scale, scale))
    expected = reference.planes(dense, [offset], case.shape, case.channels)[0]
    result = field.partial_correlation(offset)
    assert result.shape == (*case.shape, *(() if case.channels == 1 else (case.channels,) * 2))
    assert_allclose(result.reshape(expected.shape), expected, rtol=1e-10, atol=1e-12)


def test_partial_correlation_wraps_on_a_torus():
    stencil = SymmetricStencil(
        [(0, 0), (0, 1)], [np.arange(1.0, 6.0)[np.newaxis] + 3.0, -1.0], (1, 5), boundary="torus"
    )
    field = GMRF.from_precision(stencil)
    with pytest.raises(ArgumentError, match="torus"):  # one row above and one below are the same
        GMRF.from_precision(
            SymmetricStencil([(0, 0), (1, 0)], [4.0, -1.0], (2, 5), boundary="torus")
        ).partial_correlation((1, 0))
    d = np.arange(1.0, 6.0) + 3.0
    assert_allclose(field.partial_correlation((0, 1))[0], 1.0 / np.sqrt(d * np.roll(d, -1)))
    assert_allclose(field.partial_correlation((0, -1))[0], 1.0 / np.sqrt(d * np.roll(d, 1)))


@pytest.mark.parametrize("convention", ["LLt", "LtL"])
@pytest.mark.parametrize("channels", [1, 2])
def test_cholesky_field_has_the_precision_of_its_convention(convention, channels):
    rng = np.random.default_rng(1)
    height, width = shape = (3, 4)
    block = () if channels == 1 else (channels, channels)
    diagonal = rng.uniform(1.0, 2.0, (*shape, *block))
    if channels > 1:
        diagonal = np.tril(diagonal)
    weights = rng.uniform(-0.5, 0.5, (2, *shape, *block))
    later = [(0, 1), (1, -1)]
    L = np.zeros((12, 12, channels, channels))
    for i, j in reference.pixels(shape):
        p = i * width + j
        L[p, p] = diagonal[i, j]
        for (di, dj), weight in zip(later, weights, strict=True):
            sign = 1 if convention == "LLt" else -1
            a, b = i + sign * di, j + sign * dj
            if 0 <= a < height and 0 <= b < width:
                place = (a * width + b, p) if convention == "LLt" else (p, a * width + b)
                L[place] = weight[i, j]
    L = reference.from_blocks(L)
    assert np.array_equal(L, np.tril(L))
    offsets = later if convention == "LLt" else [(-di, -dj) for di, dj in later]
    field = GMRF.from_cholesky(diagonal, weights, offsets, channels=channels, convention=convention)
    assert_allclose(field.tocsr().toarray(), L @ L.T if convention == "LLt" else L.T @ L, rtol=1e-12, atol=1e-12)


def test_cholesky_offsets_on_the_wrong_side_are_refused_with_the_remedy():
    with pytest.raises(StencilError, match=r'offsets must be later .* pass convention="LtL"'):
        GMRF.from_cholesky(1.0, [0.3], [(0, -1)], shape=(2, 2))
    with pytest.raises(StencilError, match=r'offsets must be earlier .* pass convention="LLt"'):
        GMRF.from_cholesky(1.0, [0.3], [(0, 1)], shape=(2, 2), convention="LtL")
    with pytest.raises(ArgumentError, match=r"^shape must be given, got None"):
        GMRF.from_cholesky(1.0, [0.3], [(0, 1)])
    with pytest.raises(ArgumentError, match=r"^convention must be one of 'LLt', 'LtL'"):
        GMRF.from_cholesky(1.0, [0.3], [(0, 1)], shape=(2, 2), convention="LDLt")


@pytest.mark.parametrize(
    "field",
    [
        GMRF.from_whitening(TriangularStencil([(-1, 1), (-1, 0), (0, -1)], 1.0, [-0.2, -0.3, -0.4], (3, 4))),
        GMRF.from_whitening(TriangularStencil([(0, 1), (1, 0)], 1.5, [0.5, -0.7], (3, 4)), mean=2.0),
        GMRF.from_precision(SymmetricStencil([(0, 0), (0, 1), (1, 0)], [3.0, -0.8, -0.6], (3, 4))),
    ],
    ids=["causal", "anticausal", "precision"],
)
def test_draws_have_the_covariance_of_the_field_and_not_its_square(field):
    # Entry (p, q) of the sample covariance of N draws has standard error sqrt((S_pp S_qq + S_pq^2)/N). One of the 78
    # entries is beyond 6.5 of them with probability 78 * 8e-11 < 1e-8; the seed is fixed.
    draws = field.sample(size=40_000, rng=11).reshape(40_000, -1) - np.ravel(field.mean)
    sample = draws.T @ draws / len(draws)
    right = reference.covariance(field.tocsr().toarray())
    wrong = right @ right

    def worst(covariance):
        variances = np.diagonal(covariance)
        return np.abs(
            (sample - covariance) / np.sqrt((np.outer(variances, variances) + covariance**2) / len(draws))
        ).max()

    assert worst(right) < 6.5
    assert worst(wrong) > 20.0
    # The mean of each pixel: 12 means beyond 6.5 standard errors, probability below 1e-9.
    assert np.abs(draws.mean(axis=0) / np.sqrt(np.diagonal(right) / len(draws))).max() < 6.5


@pytest.mark.parametrize("field", [GMRF.from_whitening(A.__class__(A.offsets, 1.0, [-0.4, -0.3], (700, 500)))])
def test_draw_is_bitwise_the_same_for_any_number_of_threads(field, threads):
    draws = []
    for count in (1, 2, 3):
        threads(count)
        draws.append(field.sample(rng=5))
    assert np.array_equal(draws[0], draws[1])
    assert np.array_equal(draws[0], draws[2])


def test_sizes_follow_numpy():
    assert FIELD.sample(rng=1).shape == (5, 6)
    assert FIELD.sample(4, rng=1).shape == (4, 5, 6)
    assert FIELD.sample((2, 3), rng=1).shape == (2, 3, 5, 6)
    assert FIELD.sample((), rng=1).shape == (5, 6)
    assert FIELD.sample((2, 0), rng=1).shape == (2, 0, 5, 6)
    with pytest.raises(ArgumentError, match="size"):
        FIELD.sample(-1)
    with pytest.raises(ArgumentError, match="rng"):
        FIELD.sample(rng="seed")


def test_a_generator_moves_on_and_can_be_put_back():
    rng = np.random.default_rng(3)
    state = rng.bit_generator.state
    first, second = FIELD.sample(rng=rng), FIELD.sample(rng=rng)
    assert not np.array_equal(first, second)
    rng.bit_generator.state = state
    assert np.array_equal(FIELD.sample(rng=rng), first)
    assert np.array_equal(FIELD.sample(rng=3), first)


def test_innovations_of_a_draw_are_the_normals_it_was_made_of():
    white = FIELD.whiten(FIELD.sample(size=2000, rng=9))
    assert scipy.stats.kstest(white.ravel(), "norm").pvalue > 1e-7  # false alarm 1e-7, fixed seed


@pytest.mark.parametrize("sign", [-1, 1])
def test_burn_in_makes_the_draw_stationary(sign):
    # Stationary AR(1) along rows: variance 1 / (1 - phi^2), which a start from the mean reaches only after some pixels.
    phi = 0.9
    field = GMRF.from_whitening(TriangularStencil([(0, sign)], 1.0, [-phi], (1, 3)), mean=1.0)
    first = 0 if sign < 0 else 2
    without = field.sample(50_000, rng=1)[:, 0, first] - 1.0
    with_margin = field.sample(50_000, rng=1, burn_in=100)[:, 0, first] - 1.0
    # A sample variance of 50000 normals has relative standard error 0.0063; 6 of them: false alarm 2e-9 each.
    assert without.var() == pytest.approx(1.0, rel=0.038)
    assert with_margin.var() == pytest.approx(1.0 / (1.0 - phi**2), rel=0.038)


@pytest.mark.parametrize(
    ("offsets", "margins"),
    [
        ([(-1, 0), (0, -1)], ((7, 0), (7, 0))),
        ([(1, 0), (0, 1)], ((0, 7), (0, 7))),
        ([(-1, 1), (0, -1)], ((7, 0), (7, 7))),
        ([(0, 1)], ((0, 0), (0, 7))),
    ],
)
def test_burn_in_margin_lies_where_neighbours_are_off_the_image(offsets, margins):
    field = GMRF.from_whitening(TriangularStencil(offsets, 1.0, [-0.3] * len(offsets), (4, 5)))
    larger = (4 + sum(margins[0]), 5 + sum(margins[1]))
    whole = GMRF.from_whitening(TriangularStencil(offsets, 1.0, [-0.3] * len(offsets), larger)).sample(rng=2)
    (top, _), (left, _) = margins
    assert np.array_equal(field.sample(rng=2, burn_in=7), whole[top : top + 4, left : left + 5])


def test_burn_in_needs_a_homogeneous_whitening_matrix():
    plane = TriangularStencil([(0, -1)], np.ones((2, 3)), [0.1], (2, 3))
    with pytest.raises(ArgumentError, match=r"^burn_in must be 0 for a field given by weights that differ"):
        GMRF.from_whitening(plane).sample(burn_in=1)
    with pytest.raises(ArgumentError, match=r"^burn_in must be 0 for a field given by a precision"):
        GMRF.from_precision(Q).sample(burn_in=1)
    with pytest.raises(ArgumentError, match="burn_in"):
        FIELD.sample(burn_in=-1)


def test_overflow_is_an_error_with_the_number_and_lost_digits_a_warning():
    def field(side):
        return GMRF.from_whitening(TriangularStencil([(0, 1), (1, 0)], 1.0, [0.9, 0.9], (side, side)))

    with pytest.raises(UnstableError, match=r"sum up to 1\.8 times its diagonal"):
        field(1500).sample(rng=0)
    with pytest.warns(UnstableWarning, match=r"sum up to 1\.8 times its diagonal"):
        field(60).sample(rng=0)
    with pytest.warns(UnstableWarning, match="standard deviations up to"):
        field(60).marginal_variance()
    assert np.isfinite(field(6).sample(rng=0)).all()  # no warning: filterwarnings makes it an error


def test_mean_is_kept_as_an_image_and_copied():
    image = np.arange(30.0).reshape(5, 6)
    field = GMRF.from_whitening(A, mean=image)
    image[:] = 0.0
    assert np.array_equal(field.mean, np.arange(30.0).reshape(5, 6))
    assert not field.mean.flags.writeable
    assert np.array_equal(FIELD.mean, np.full((5, 6), 3.0))


@pytest.mark.parametrize("mean", [7.0, np.arange(30.0).reshape(5, 6)])
def test_a_field_with_another_mean_is_that_of_its_constructor_and_shares_the_factor(mean):
    FIELD.factor  # noqa: B018
    moved, made = FIELD.with_mean(mean), GMRF.from_whitening(A, mean=mean)
    x = np.random.default_rng(1).standard_normal((2, 5, 6))
    assert np.array_equal(moved.mean, made.mean)
    assert np.array_equal(moved.logpdf(x), made.logpdf(x))
    assert np.array_equal(moved.sample(3, rng=2), made.sample(3, rng=2))
    assert moved.factor is FIELD.factor
    assert (FIELD.mean == 3.0).all()


def test_another_mean_is_checked_and_copied():
    image = np.zeros((5, 6))
    moved = FIELD.with_mean(image)
    image[0, 0] = 9.0
    assert not moved.mean.any()
    with pytest.raises(ArgumentError, match=r"^mean must be a number or an image of shape \(5, 6\), got shape"):
        FIELD.with_mean(np.zeros((6, 5)))
    with pytest.raises(ArgumentError, match=r"^mean must be finite"):
        FIELD.with_mean(np.nan)


def test_one_mean_per_channel():
    stencil = TriangularStencil([(0, -1)], 1.0, [-0.3], (2, 3), channels=3)
    field = GMRF.from_whitening(stencil, mean=[1.0, 2.0, 3.0])
    assert np.array_equal(field.mean[1, 2], [1.0, 2.0, 3.0])
    assert_allclose(field.whiten(field.mean), 0.0, atol=1e-15)


@pytest.mark.parametrize("mean", [np.zeros((6, 5)), np.zeros(6), np.nan, "zero", np.zeros((1, 5, 6))])
def test_a_mean_that_does_not_fit_is_refused(mean):
    with pytest.raises(ArgumentError, match=r"^mean must"):
        GMRF.from_whitening(A, mean=mean)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_pixels_are_refused_with_the_remedy(value):
    image = np.zeros((2, 5, 6))
    image[1, 2, 3] = value
    for operation in (FIELD.logpdf, FIELD.whiten):
        with pytest.raises(ArgumentError, match=r"^x must be finite.*\(1, 2, 3\).*condition"):
            operation(image)


def test_constructors_refuse_the_other_kind_of_stencil():
    with pytest.raises(StencilError, match=r"A must be a TriangularStencil.*from_precision"):
        GMRF.from_whitening(Q)
    with pytest.raises(StencilError, match=r"Q must be symmetric.*from_whitening"):
        GMRF.from_precision(A)


def test_sparse_precision_is_read_as_its_stencil():
    field = GMRF.from_precision(Q.tocsr(), (5, 6), mean=1.0)
    assert isinstance(field.precision, SymmetricStencil)
    assert field.precision.is_homogeneous
    assert field.logpdf(np.zeros((5, 6))) == pytest.approx(GMRF.from_precision(Q, mean=1.0).logpdf(np.zeros((5, 6))))


def test_sparse_precision_with_far_links_works_but_has_no_stencil():
    dense = 4.0 * np.eye(30)
    dense[0, 29] = dense[29, 0] = 1.0
    field = GMRF.from_precision(sp.csr_array(dense), (1, 30), method="dense")
    assert_allclose(field.tocsr().toarray(), dense)
    assert field.marginal_variance()[0, 0] == pytest.approx(4.0 / 15.0)
    with pytest.raises(StencilError, match=r"couples pixels \(0, 0\) and \(0, 29\)"):
        _ = field.precision


def test_factor_is_built_at_first_use_and_kept(monkeypatch):
    field = GMRF.from_precision(Q, method="dense")
    assert "factor" not in vars(field)
    assert field.method == "dense"
    assert "factor" not in vars(field)
    assert isinstance(field.factor, DenseFactor)
    assert field.factor is field.factor
    assert isinstance(FIELD.factor, TriangularFactor)


def test_field_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FIELD.lattice = None
    with pytest.raises(AttributeError):
        FIELD.mean = 0.0


def test_pickled_field_is_the_same_field():
    copy = pickle.loads(pickle.dumps(FIELD))
    assert np.array_equal(copy.sample(rng=1), FIELD.sample(rng=1))


def test_scipy_sees_the_same_distribution():
    x = FIELD.sample(3, rng=1)
    theirs = scipy.stats.multivariate_normal(np.ravel(FIELD.mean), FIELD.covariance_object())
    assert_allclose(theirs.logpdf(x.reshape(3, -1)), FIELD.logpdf(x), rtol=1e-10)


def test_inputs_of_other_dtypes_and_layouts_are_the_same_images():
    image = np.arange(60).reshape(2, 5, 6)
    expected = FIELD.logpdf(image.astype(float))
    assert np.array_equal(FIELD.logpdf(image), expected)
    assert np.array_equal(FIELD.logpdf(image.astype(np.float32)), expected)
    assert np.array_equal(FIELD.logpdf(np.asfortranarray(image.astype(float))), expected)
    assert np.array_equal(FIELD.logpdf(image.tolist()), expected)


def test_repr_names_what_the_field_is():
    assert repr(FIELD) == "GMRF(TriangularStencil, shape=(5, 6), channels=1, method='triangular')"
