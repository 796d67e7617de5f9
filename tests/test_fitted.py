from dataclasses import dataclass

import numpy as np
import pytest

from sparsegmrf import GMRF, SymmetricStencil
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


def test_a_fit_that_does_not_say_how_many_parameters_it_has_cannot_be_made():
    @dataclass(frozen=True, eq=False)
    class Short(Fitted):
        model: str
        loglik: float
        n_observed: int

    with pytest.raises(TypeError, match=r"abstract.*gmrf.*n_parameters.*summary"):
        Short("white", 0.0, 1)
