"""Factors of small domains, whose parts are packed together, against dense matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import Matern, condition, factorize
from sparsegmrf.factors import PackedFactor
from sparsegmrf.factors.packed import packings
from sparsegmrf.factors.restricted import RestrictedForm
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil._decoupled import decoupled
from tests import reference

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
SHAPE = (24, 31)


@st.composite
def sparse_domains(draw):
    """A domain of scattered pixels, blocks and lines, few of them long."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    domain = rng.random(SHAPE) < draw(st.sampled_from([0.0, 0.01, 0.08]))
    for _ in range(draw(st.integers(0, 3))):
        i, j = rng.integers(SHAPE[0]), rng.integers(SHAPE[1])
        h, w = draw(st.sampled_from([(1, 1), (4, 3), (20, 1), (1, 25), (24, 2)]))
        domain[i : i + h, j : j + w] = True
    domain[0, 0] = True
    return domain


def case(domain, sigma=1.0):
    """A precision, different at every pixel, cut apart on a domain, its lattice, the pixels in it, and their matrix."""
    model = Matern(range=np.linspace(3.0, 9.0, SHAPE[1]) * np.ones(SHAPE), sigma=sigma)
    Q = decoupled(model.stencil(SHAPE), ~domain)
    inside = np.flatnonzero(domain)
    dense = Q.tocsr().toarray()[np.ix_(inside, inside)]
    return Q, Lattice(SHAPE, domain=domain), inside, dense


@given(sparse_domains())
def test_parts_lie_apart_and_nothing_is_lost(domain):
    Q, lattice, inside, _ = case(domain)
    found = packings(Q, lattice)
    if found is None:
        assert domain.sum() > 40
        return
    assert_allclose(np.sort(np.concatenate([each.pixels for each in found])), inside)
    for each in found:
        assert len(np.unique(each.places)) == len(each.places)
        assert each.places.min() >= 0
        assert each.places.max() < each.shape[0] * each.shape[1]
    assert 3 * sum(each.shape[0] * each.shape[1] for each in found) <= domain.size


@given(sparse_domains())
def test_factor_is_that_of_the_unknowns_in_the_domain(domain):
    Q, lattice, inside, dense = case(domain)
    factor = factorize(RestrictedForm(Q, lattice))
    covariance = np.linalg.inv(dense)
    images = np.zeros((len(inside), *SHAPE))
    images.reshape(len(inside), -1)[np.arange(len(inside)), inside] = 1.0
    assert_allclose(factor.logdet, np.linalg.slogdet(dense)[1], **CLOSE)
    A = factor.whiten(images).reshape(len(inside), -1)[:, inside].T
    assert_allclose(A.T @ A, dense, rtol=0, atol=1e-10 * np.abs(dense).max())
    assert_allclose(factor.solve(images).reshape(len(inside), -1)[:, inside], covariance, rtol=0, atol=1e-11)
    assert_allclose(factor.unwhiten(factor.whiten(images)), images, rtol=0, atol=1e-11)
    variance = factor.marginal_variance()
    assert_allclose(variance.ravel()[inside], np.diagonal(covariance), **CLOSE)
    assert not variance[~domain].any()
    whole = np.zeros((domain.size, domain.size))
    whole[np.ix_(inside, inside)] = covariance
    selected = factor.selected_inverse()
    expected = reference.planes(whole, selected.offsets.tolist(), SHAPE, 1, "dirichlet")
    for k in range(len(selected.offsets)):
        assert_allclose(selected.plane(k), expected[k].reshape(SHAPE), rtol=0, atol=1e-11)


@pytest.mark.parametrize("sigma", [1e-60, 1e60])
def test_unit_is_free(sigma):
    domain = np.zeros(SHAPE, dtype=bool)
    domain[3:6, 7:9], domain[20, 20] = True, True
    one, other = (factorize(RestrictedForm(*case(domain, each)[:2])) for each in (1.0, sigma))
    assert_allclose(other.marginal_variance() / sigma / sigma, one.marginal_variance(), rtol=1e-12)
    assert_allclose(other.logdet, one.logdet - 14.0 * np.log(sigma), rtol=1e-12)


def test_few_unknown_pixels_are_packed_and_many_are_not():
    domain = np.zeros(SHAPE, dtype=bool)
    domain[:, 7], domain[3, 20], domain[9, 12:30] = True, True, True
    Q, lattice, _, _ = case(domain)
    factor = factorize(RestrictedForm(Q, lattice))
    assert isinstance(factor, PackedFactor)
    assert sum(h * w for h, w in factor.packed_shapes) < 2 * domain.sum()
    domain[:, ::2] = True
    Q, lattice, _, _ = case(domain)
    assert not isinstance(factorize(RestrictedForm(Q, lattice)), PackedFactor)
    domain[:] = False
    domain[5, :], domain[:, 5] = True, True  # one part as large as the image
    Q, lattice, _, _ = case(domain)
    assert packings(Q, lattice) is None


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet", "torus"])
def test_exact_pixels_leave_the_same_field_by_either_factor(boundary):
    rng = np.random.default_rng(3)
    field = Matern(6.0, boundary=boundary).gmrf((40, 37))
    y = field.sample(rng=1)
    missing = rng.random(y.shape) < 0.05
    missing[10:14, 20:26] = True
    packed = condition(field, y, mask=missing, noise_variance=0.0)
    Q = field.precision.tocsr()
    m, o = missing.ravel(), ~missing.ravel()
    mean, covariance = y.ravel().copy(), np.linalg.inv(Q[m][:, m].toarray())
    mean[m] = -covariance @ (Q[m][:, o] @ y.ravel()[o])
    assert isinstance(packed.factor, PackedFactor) == (boundary != "torus")
    assert_allclose(packed.mean.ravel(), mean, rtol=0, atol=1e-11)
    assert_allclose(packed.marginal_variance().ravel()[m], np.diagonal(covariance), rtol=1e-10)
    draws = packed.sample(4000, rng=5).reshape(4000, -1)[:, m] - mean[m]
    spread = (draws.T @ draws / 4000 - covariance) / np.sqrt(np.outer(np.diagonal(covariance), np.diagonal(covariance)))
    assert np.abs(spread).max() < 0.12  # false alarms below 1e-6: 0.12 is 5.4 deviations of the largest


def test_nothing_unknown_has_nothing_to_pack():
    stencil = Matern(4.0).stencil((5, 6))
    assert packings(stencil, Lattice((5, 6), domain=np.zeros((5, 6), dtype=bool))) is None
