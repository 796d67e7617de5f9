"""IntrinsicGMRF: the density of the identified space, draws under the constraint, scaling."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil, TriangularStencil
from sparsegmrf.errors import ArgumentError, NotPositiveDefiniteError, StencilError
from sparsegmrf.fields import IntrinsicGMRF
from tests import reference
from tests.conftest import require
from tests.intrinsic_cases import all_cases, differences, read

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def membrane(shape):
    return SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], shape, boundary="neumann")


def field_of(case, mean=0.0):
    return IntrinsicGMRF(case.stencil, case.null_space, mean, case.method, domain=case.domain)


@given(all_cases())
def test_logpdf_is_the_density_over_the_positive_eigenvalues(case):
    mean = case.images()
    field, x = field_of(case, mean), case.images(3) * 2.0 + 5.0
    r = (x - mean).reshape(3, -1)
    rank = len(case.positive)
    expected = 0.5 * (np.log(case.positive).sum() - rank * np.log(2 * np.pi) - np.einsum("bp,pq,bq->b", r, case.Q, r))
    assert_allclose(field.logpdf(x), expected, rtol=1e-9, atol=1e-8)
    assert field.rank == rank
    assert field.rank_deficiency == case.deficiency
    assert_allclose(field.entropy(), (rank * (1 + np.log(2 * np.pi)) - np.log(case.positive).sum()) / 2, **CLOSE)


@given(all_cases())
def test_draws_are_the_mean_plus_an_image_orthogonal_to_the_null_space(case):
    mean = case.images()
    field = field_of(case, mean)
    draw = field.sample(4, rng=case.seed)
    assert np.array_equal(draw, field.sample(4, rng=case.seed))
    assert_allclose(field.project(draw - mean), draw - mean, **CLOSE)
    assert_allclose(field.logpdf(draw), field.logpdf(mean) - np.square(field.whiten(draw)).reshape(4, -1).sum(1) / 2)


@given(all_cases())
def test_moments_are_those_of_the_pseudo_inverse(case):
    field = field_of(case)
    assert_allclose(field.marginal_variance().ravel(), np.diagonal(case.pinv), **CLOSE)
    assert_allclose(field.covariance_with((0, 0)).ravel(), case.pinv[:, 0], **CLOSE)


def test_sample_variance_is_the_marginal_variance():
    # 4000 draws: a relative error of 0.2 is nine standard errors of a variance; false alarm below 1e-15.
    field = IntrinsicGMRF(membrane((6, 7)), mean=2.0)
    draws = field.sample(4000, rng=1)
    assert_allclose(draws.var(axis=0), field.marginal_variance(), rtol=0.2)


def test_logdet_of_the_4_by_4_membrane_counts_spanning_trees():
    # Kirchhoff: the 4 x 4 grid has 100352 spanning trees, and pdet is 16 times that.
    assert IntrinsicGMRF(membrane((4, 4))).logdet == pytest.approx(14.289028006509808, abs=1e-12)


def test_density_does_not_see_the_null_space():
    D = differences((6, 5), 2)
    field = IntrinsicGMRF(read(D.T @ D, (6, 5)), "planes")
    i, j = np.mgrid[:6, :5]
    x = np.random.default_rng(0).standard_normal((6, 5))
    assert field.logpdf(x + 7.0 - 3.0 * i + 0.5 * j) == pytest.approx(field.logpdf(x), rel=1e-11)


def test_every_method_gives_the_same_field():
    require("sksparse.cholmod")
    dense, cholmod = (IntrinsicGMRF(membrane((11, 8)), method=method) for method in ("dense", "cholmod"))
    x = np.random.default_rng(0).standard_normal((11, 8))
    assert dense.logpdf(x) == pytest.approx(cholmod.logpdf(x), rel=1e-11)
    assert_allclose(dense.marginal_variance(), cholmod.marginal_variance(), rtol=1e-9)


def test_scaled_field_has_typical_variance_one():
    field = IntrinsicGMRF(membrane((9, 4)) * 7.0, mean=3.0)
    scaled = field.scaled()
    assert scaled.geometric_mean_variance() == pytest.approx(1.0, rel=1e-12)
    ratio = field.geometric_mean_variance()
    assert_allclose(scaled.tocsr().toarray(), ratio * field.tocsr().toarray())
    assert np.array_equal(scaled.mean, field.mean)
    variance = np.diagonal(reference.pseudo_inverse(field.tocsr().toarray(), 1))
    assert ratio == pytest.approx(np.exp(np.log(variance).mean()), rel=1e-9)


def test_pixels_without_variance_do_not_count_in_the_typical_one():
    # The last column is apart from the rest and its pixels from each other.
    D = differences((3, 4), 1, cut=np.array([[0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 0, 1]]))
    field = IntrinsicGMRF(read(D.T @ D, (3, 4)))
    assert field.rank_deficiency == 4
    assert field.geometric_mean_variance() == pytest.approx(
        IntrinsicGMRF(membrane((3, 3))).geometric_mean_variance(), rel=1e-9
    )
    with pytest.raises(ArgumentError, match="no pixel left free"):
        IntrinsicGMRF(membrane((1, 1))).geometric_mean_variance()


def test_it_is_a_gmrf_and_pickles():
    field = IntrinsicGMRF(membrane((3, 4)), mean=1.0)
    assert isinstance(field, GMRF)
    copy = pickle.loads(pickle.dumps(field))
    assert copy.logdet == field.logdet
    assert "rank_deficiency=1" in repr(copy)


def test_pixels_outside_the_domain_stay_at_the_mean():
    domain = np.ones((3, 4), bool)
    domain[:, 2] = False
    D = differences((3, 4), 1, cut=np.where(domain, np.array([0, 0, 0, 1]), np.arange(2, 14).reshape(3, 4)))
    field = IntrinsicGMRF(read(D.T @ D, (3, 4)), mean=4.0, domain=domain)
    assert np.array_equal(field.domain, domain)
    assert (field.rank_deficiency, field.rank) == (2, 7)
    assert np.all(field.sample(rng=0)[:, 2] == 4.0)
    assert np.all(field.marginal_variance()[:, 2] == 0.0)


def test_other_precisions_and_bad_values_are_refused():
    with pytest.raises(StencilError, match=r"^precision must be a SymmetricStencil"):
        IntrinsicGMRF(TriangularStencil([(0, -1)], 1.0, [-0.5], (3, 4)))
    with pytest.raises(ArgumentError, match=r"^mean must"):
        IntrinsicGMRF(membrane((3, 4)), mean=np.zeros(3))
    with pytest.raises(ArgumentError, match=r"^method must"):
        IntrinsicGMRF(membrane((3, 4)), method="magic")
    with pytest.raises(ArgumentError, match=r"^burn_in must be 0"):
        IntrinsicGMRF(membrane((3, 4))).sample(burn_in=3)
    with pytest.raises(NotPositiveDefiniteError):
        _ = IntrinsicGMRF(membrane((3, 4)) * -1.0).logdet
