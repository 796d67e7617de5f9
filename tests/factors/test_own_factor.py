"""A factor that a user writes: the methods it supplies, and the door by which fields take it."""

import pickle
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from sparsegmrf import GMRF, SymmetricStencil, TriangularStencil, condition, constrain, factorize
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import DenseFactor, DissectionFactor, Factor, SpectralForm
from sparsegmrf.factors.choose import method_for
from sparsegmrf.factors.independent import IndependentForm
from sparsegmrf.factors.separable import SeparableForm
from sparsegmrf.fields import IntrinsicGMRF, StationaryEdgeField
from sparsegmrf.models import Matern
from tests import strategies
from tests.contracts import symmetric_factor_contract

FIVE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.3, -1.0, -1.1], (4, 5))
MEMBRANE = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], (4, 5), boundary="neumann")
S = np.array([[1.0, 0.5], [0.5, 2.0]])


class RootFactor(Factor):
    """The symmetric root of a dense precision: no more than what a factor has to supply."""

    method = "root"

    def __init__(self, precision):
        self._precision = precision
        self._values, self._vectors = np.linalg.eigh(precision.tocsr().toarray())

    @property
    def lattice(self):
        return self._precision.lattice

    @property
    def logdet(self):
        return float(np.log(self._values).sum())

    @property
    def nbytes(self):
        return self._vectors.nbytes

    def selected_inverse(self):
        return DenseFactor(self._precision).selected_inverse()

    def whiten_vectors(self, x):
        return self._power(x, 0.5)

    def unwhiten_vectors(self, e):
        return self._power(e, -0.5)

    def solve_vectors(self, b):
        return self._power(b, -1.0)

    def _power(self, x, exponent):
        return np.array([self._vectors @ (self._values**exponent * (self._vectors.T @ each)) for each in x]).reshape(
            x.shape
        )


TestContract = symmetric_factor_contract(RootFactor, strategies.symmetric_stencils(largest=3))


def test_a_field_takes_the_class_of_a_factor_as_its_method():
    field, usual = GMRF(FIVE, 2.0, RootFactor), GMRF(FIVE, 2.0)
    assert isinstance(field.factor, RootFactor)
    assert field.method is RootFactor
    draw = field.sample(3, rng=0)
    assert_allclose(field.logpdf(draw), usual.logpdf(draw), rtol=1e-10)
    assert_allclose(field.unwhiten(field.whiten(draw)), draw, rtol=1e-10)
    assert_allclose(field.marginal_variance(), usual.marginal_variance(), rtol=1e-10)
    assert_allclose(field.covariance_with((1, 2)), usual.covariance_with((1, 2)), rtol=1e-9, atol=1e-12)
    again = pickle.loads(pickle.dumps(field.with_mean(0.0)))
    assert isinstance(again.factor, RootFactor)
    assert_allclose(again.logdet, usual.logdet, rtol=1e-12)
    posterior = condition(field, np.ones((4, 5)), noise_variance=1.0)
    assert_allclose(posterior.mean, condition(usual, np.ones((4, 5)), noise_variance=1.0).mean, rtol=1e-12)


def test_fields_made_of_others_take_it_for_their_parts():
    level = IntrinsicGMRF(MEMBRANE, method=RootFactor)
    assert_allclose(level.logdet, IntrinsicGMRF(MEMBRANE).logdet, rtol=1e-10)
    assert_allclose(level.marginal_variance(), IntrinsicGMRF(MEMBRANE).marginal_variance(), rtol=1e-9)
    domain = np.zeros((4, 5), bool)
    domain[:, 3:] = True
    parted = SymmetricStencil([(0, 0), (1, 0)], [4.3, -1.1], (4, 5))
    restricted = GMRF(parted, method=RootFactor, domain=domain)
    assert isinstance(restricted.factor.inner, RootFactor)
    assert_allclose(restricted.logdet, GMRF(parted, domain=domain).logdet, rtol=1e-10)
    total = np.ones((4, 5))
    ours, usual = (constrain(GMRF(FIVE, method=method), total, 1.0) for method in (RootFactor, "auto"))
    assert_allclose(ours.marginal_variance(), usual.marginal_variance(), rtol=1e-9)
    assert isinstance(factorize(SeparableForm(FIVE, S), RootFactor).spatial, RootFactor)
    stack = GMRF(IndependentForm([FIVE, MEMBRANE.plus_diagonal(1.0)]), method=RootFactor)
    assert [type(part) for part in stack.factor.factors] == [RootFactor, RootFactor]
    assert stack.method is RootFactor
    assert isinstance(StationaryEdgeField(FIVE, method=RootFactor, margin=2).factor, RootFactor)
    model = Matern(range=3.0)
    assert isinstance(model.gmrf((4, 5), method=RootFactor).factor, RootFactor)  # known by its eigenvalues at first


def test_a_method_that_is_called_may_carry_arguments():
    factor = factorize(FIVE, partial(DissectionFactor, tile=2))
    assert isinstance(factor, DissectionFactor)
    assert_allclose(factor.logdet, factorize(FIVE).logdet, rtol=1e-12)
    far = 4.0 * np.eye(20)
    far[0, -1] = far[-1, 0] = 1.0
    assert_allclose(GMRF(sp.csr_array(far), method=DenseFactor, shape=(1, 20)).logdet, np.linalg.slogdet(far)[1])


def test_it_is_told_what_was_given():
    A = TriangularStencil([(0, -1)], 1.0, [-0.5], (4, 5))
    assert isinstance(factorize(A, lambda given: DenseFactor(given.gram())), DenseFactor)
    assert method_for(A, DenseFactor) is DenseFactor
    assert method_for(SpectralForm.of_stencil(FIVE), RootFactor) is RootFactor


@pytest.mark.parametrize("made", [None, 3.0, DenseFactor(SymmetricStencil([(0, 0)], [1.0], (5, 4)))])
def test_what_makes_no_factor_of_the_precision_is_refused(made):
    with pytest.raises(ArgumentError, match=r"^method must make a Factor on Lattice\(shape=\(4, 5\)"):
        factorize(FIVE, lambda precision: made)


def test_factors_without_an_analysis_to_keep_are_not_made_again():
    assert RootFactor(FIVE).refactorized(FIVE) is None


def test_a_dissection_serves_the_same_pattern_and_no_other():
    factor, other = DissectionFactor(FIVE), FIVE.plus_diagonal(np.ones((4, 5)))
    again = factor.refactorized(other)
    assert isinstance(again, DissectionFactor)
    assert again.logdet == DissectionFactor(other).logdet
    for precision in (
        SymmetricStencil([(0, 0), (0, 1)], [4.3, -1.0], (4, 5)),
        SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.3, -1.0, -1.1], (5, 4)),
        SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.3, -1.0, -1.1], (4, 5), boundary="torus"),
    ):
        assert factor.refactorized(precision) is None
