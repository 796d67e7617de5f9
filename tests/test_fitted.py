from dataclasses import dataclass

import numpy as np
import pytest

from sparsegmrf import GMRF, SymmetricStencil
from sparsegmrf.autoregression import CausalAR, select_order
from sparsegmrf.ensembles import CholeskyField, SymmetricField
from sparsegmrf.fitted import Fitted


@dataclass(frozen=True, eq=False)
class WhiteFit(Fitted):
    model: str
    loglik: float
    n_observed: int

    @property
    def n_parameters(self):
        return 2

    def gmrf(self, shape=None):
        return GMRF.from_precision(SymmetricStencil([(0, 0)], [1.0], shape or (2, 3)))

    def summary(self):
        return "white"


def test_criteria_weigh_parameters_against_the_likelihood():
    fit = WhiteFit("white", -10.0, 7)
    assert fit.aic == 2 * 2 + 20.0
    assert fit.bic == 2 * np.log(7) + 20.0
    assert fit.standard_errors == {}


@pytest.mark.parametrize(
    "fitted",
    [
        lambda images: CausalAR.fit(images[0]),
        lambda images: CausalAR.fit(images[0], method="yule_walker"),
        lambda images: select_order(images[0], [("qp", (1, 1))]).best,
        lambda images: CholeskyField.fit(images, shrinkage=None),
        lambda images: SymmetricField.fit(images, homogeneous=True),
    ],
    ids=["least squares", "Yule-Walker", "order", "Cholesky", "symmetric"],
)
def test_every_fit_of_a_field_tells_the_same(fitted):
    images = np.random.default_rng(0).standard_normal((20, 5, 6))
    fit = fitted(images)
    assert isinstance(fit, Fitted)
    assert fit.aic == 2 * fit.n_parameters - 2 * fit.loglik
    assert fit.bic == fit.n_parameters * np.log(fit.n_observed) - 2 * fit.loglik
    assert fit.gmrf().shape == (5, 6)
    assert fit.gmrf((5, 6)).logdet == fit.gmrf().logdet
    assert "log-likelihood per" in fit.summary()


def test_a_fit_that_does_not_say_how_many_parameters_it_has_cannot_be_made():
    @dataclass(frozen=True, eq=False)
    class Short(Fitted):
        model: str
        loglik: float
        n_observed: int

    with pytest.raises(TypeError, match=r"abstract.*gmrf.*n_parameters.*summary"):
        Short("white", 0.0, 1)
