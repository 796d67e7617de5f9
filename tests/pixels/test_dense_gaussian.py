"""DenseGaussian against SciPy and against the formulas with explicit inverses."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from sparsegmrf import GMRF, SymmetricStencil
from sparsegmrf.errors import ArgumentError, FileError, SingularCovarianceError, TooLargeError
from sparsegmrf.pixels import DenseGaussian

KINDS = ("covariance", "precision", "factor", "precision factor")


def case(k, seed, kind="covariance"):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(k, k)) + 2.0 * np.eye(k)
    S, mean = root @ root.T, rng.normal(size=k)
    made = {
        "covariance": lambda: DenseGaussian.from_covariance(S, mean),
        "precision": lambda: DenseGaussian.from_precision(np.linalg.inv(S), mean),
        "factor": lambda: DenseGaussian.from_factor(np.linalg.cholesky(S), mean),
        "precision factor": lambda: DenseGaussian.from_factor(
            np.linalg.cholesky(np.linalg.inv(S)), mean, of_precision=True
        ),
    }[kind]()
    return made, S, mean, rng


@given(k=st.integers(1, 6), seed=st.integers(0, 2**16), kind=st.sampled_from(KINDS))
def test_density_distance_and_entropy_are_scipys(k, seed, kind):
    field, S, mean, rng = case(k, seed, kind)
    scipys = scipy.stats.multivariate_normal(mean, S)
    x = rng.normal(size=(2, 3, k))
    np.testing.assert_allclose(field.logpdf(x), scipys.logpdf(x).reshape(2, 3), rtol=1e-8, atol=1e-8)
    assert field.logpdf(x[0, 0]) == pytest.approx(float(scipys.logpdf(x[0, 0])), rel=1e-8)
    centred = (x - mean).reshape(-1, k)
    expected = np.einsum("ni,ni->n", centred, np.linalg.solve(S, centred.T).T).reshape(2, 3)
    np.testing.assert_allclose(field.mahalanobis(x), expected, rtol=1e-8)
    assert field.entropy() == pytest.approx(float(scipys.entropy()), rel=1e-8, abs=1e-8)
    np.testing.assert_allclose(field.covariance(), S, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(field.precision() @ S, np.eye(k), atol=1e-7)
    np.testing.assert_allclose(field.unwhiten(field.whiten(x)), x, rtol=1e-8, atol=1e-8)


@given(k=st.integers(2, 6), seed=st.integers(0, 2**16), kind=st.sampled_from(KINDS), data=st.data())
def test_conditional_and_marginal_are_the_formulas_with_inverses(k, seed, kind, data):
    field, S, mean, rng = case(k, seed, kind)
    observed = data.draw(st.lists(st.integers(0, k - 1), unique=True, max_size=k - 1))
    rest = [i for i in range(k) if i not in observed]
    values = rng.normal(size=len(observed))
    found = field.conditional(observed, values)
    gain = S[np.ix_(rest, observed)] @ np.linalg.inv(S[np.ix_(observed, observed)])
    np.testing.assert_allclose(found.mean, mean[rest] + gain @ (values - mean[observed]), rtol=1e-7, atol=1e-7)
    expected = S[np.ix_(rest, rest)] - gain @ S[np.ix_(observed, rest)]
    np.testing.assert_allclose(found.covariance(), expected, rtol=1e-7, atol=1e-8)
    assert (np.diagonal(found.factor) > 0.0).all()
    part = field.marginal(rest[::-1])
    np.testing.assert_allclose(part.mean, mean[rest[::-1]])
    np.testing.assert_allclose(part.covariance(), S[np.ix_(rest[::-1], rest[::-1])], rtol=1e-7, atol=1e-9)
    # log p(x_o) + log p(x_u | x_o) = log p(x)
    if observed:
        x = rng.normal(size=k)
        chain = field.marginal(observed).logpdf(x[observed]) + field.conditional(observed, x[observed]).logpdf(x[rest])
        assert chain == pytest.approx(field.logpdf(x), rel=1e-8, abs=1e-8)


def test_torch_agrees():
    from tests.conftest import require

    torch = require("torch")
    field, S, mean, rng = case(5, 0)
    x = rng.normal(size=(40, 5))
    theirs = torch.distributions.MultivariateNormal(torch.tensor(mean), torch.tensor(S)).log_prob(torch.tensor(x))
    np.testing.assert_allclose(field.logpdf(x), theirs.numpy(), rtol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_moments(kind):
    """At 40,000 draws the largest of 9 standardized errors passes 6 with probability below 1e-7."""
    field, S, mean, _ = case(3, 1, kind)
    draws = field.sample(40_000, rng=0)
    np.testing.assert_array_equal(draws, field.sample(40_000, rng=0))
    assert field.sample((2, 4), rng=0).shape == (2, 4, 3)
    assert (np.abs(draws.mean(0) - mean) < 6.0 * np.sqrt(np.diagonal(S) / 40_000)).all()
    error = np.sqrt((np.outer(np.diagonal(S), np.diagonal(S)) + S**2) / 40_000)
    assert (np.abs(np.cov(draws.T) - S) < 6.0 * error).all()


def test_it_is_the_oracle_of_a_field():
    Q = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.5, -1.0, -1.0], (3, 4))
    field, dense = GMRF.from_precision(Q, mean=2.0), DenseGaussian.from_precision(Q.tocsr().toarray(), 2.0)
    x = np.random.default_rng(0).normal(size=(3, 4))
    assert field.logpdf(x) == pytest.approx(dense.logpdf(x.ravel()), rel=1e-12)
    assert field.logdet == pytest.approx(dense.logdet, rel=1e-12)
    np.testing.assert_allclose(field.marginal_variance().ravel(), np.diagonal(dense.covariance()), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_files_keep_every_bit(tmp_path, kind):
    field, *_ = case(4, 2, kind)
    field.save(tmp_path / "field.npz")
    read = DenseGaussian.load(tmp_path / "field.npz")
    np.testing.assert_array_equal(read.mean, field.mean)
    np.testing.assert_array_equal(read.factor, field.factor)
    assert read.of_precision == field.of_precision
    assert [path.name for path in tmp_path.iterdir()] == ["field.npz"]


def test_saving_through_a_link_writes_what_it_leads_to(tmp_path):
    (tmp_path / "link.npz").symlink_to(tmp_path / "field.npz")
    case(3, 0)[0].save(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert DenseGaussian.load(tmp_path / "field.npz").size == 3


def test_a_file_that_cannot_be_written_is_a_file_error(tmp_path):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(FileError, match=r"^path must be a file, got .*folder\.npz, which is a directory"):
        case(2, 0)[0].save(tmp_path / "folder.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.npz"]


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    for name in ("text.npz", "other.npz", "nowhere.npz"):
        with pytest.raises(FileError, match="written by save"):
            DenseGaussian.load(tmp_path / name)
    with pytest.raises(FileError, match="existing directory"):
        case(2, 0)[0].save(tmp_path / "nowhere" / "field.npz")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DenseGaussian.from_covariance([[1.0, 2.0]]), ArgumentError, r"shape \(k, k\)"),
        (lambda: DenseGaussian.from_covariance([[1.0, 0.5], [0.0, 1.0]]), ArgumentError, "symmetric"),
        (lambda: DenseGaussian.from_covariance([[1.0, 2.0], [2.0, 1.0]]), SingularCovarianceError, "singular"),
        (lambda: DenseGaussian.from_covariance([[1.0, 0.0], [0.0, -1.0]]), SingularCovarianceError, "channel 1"),
        (lambda: DenseGaussian.from_precision([[1.0, 1.0], [1.0, 1.0]]), SingularCovarianceError, "prior"),
        (lambda: DenseGaussian.from_factor([[1.0, 1.0], [0.0, 1.0]]), ArgumentError, "lower triangular"),
        (lambda: DenseGaussian.from_factor([[1.0, 0.0], [1.0, 0.0]]), ArgumentError, "positive diagonal"),
        (lambda: DenseGaussian.from_covariance(np.eye(2), [1.0, 2.0, 3.0]), ArgumentError, "mean must be"),
        (lambda: DenseGaussian.from_covariance(np.eye(2), np.nan), ArgumentError, "mean must be finite"),
        (lambda: DenseGaussian.from_covariance(np.broadcast_to(0.0, (4097, 4097))), TooLargeError, "GMRF"),
        (lambda: case(3, 0)[0].logpdf([1.0, 2.0]), ArgumentError, r"shape \(..., 3\)"),
        (lambda: case(3, 0)[0].conditional([0, 0], [1.0, 2.0]), ArgumentError, "different indices"),
        (lambda: case(3, 0)[0].conditional([3], [1.0]), ArgumentError, "from 0 to 2"),
        (lambda: case(3, 0)[0].conditional([0.5], [1.0]), ArgumentError, "indices"),
        (lambda: case(3, 0)[0].conditional([0, 1, 2], [1.0, 2.0, 3.0]), ArgumentError, "leave out"),
        (lambda: case(3, 0)[0].conditional([0], [1.0, 2.0]), ArgumentError, "values must have shape"),
    ],
)
def test_bad_input_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_arrays_are_copied_and_read_only():
    S = np.eye(2)
    field = DenseGaussian.from_covariance(S)
    S[0, 0] = 5.0
    assert field.covariance()[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        field.factor[0, 0] = 2.0
