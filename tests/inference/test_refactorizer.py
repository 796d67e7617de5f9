"""Loops of inference analyse a pattern once, and drop a factor before they make the next in its memory."""

import weakref

import numpy as np
import pytest

from sparsegmrf import SymmetricStencil
from sparsegmrf.factors import DissectionFactor
from sparsegmrf.inference._count_objective import CountObjective
from sparsegmrf.inference._memo import Memo, Workspace
from sparsegmrf.inference._problem import Problem
from sparsegmrf.inference._refactorizer import Refactorizer
from sparsegmrf.likelihoods import Gaussian, Poisson
from sparsegmrf.models import Matern

SHAPE = (24, 20)


def stencil(seed, shape=SHAPE):
    centre = 4.2 + np.random.default_rng(seed).uniform(0.0, 1.0, shape)
    return SymmetricStencil([(0, 0), (0, 1), (1, 0)], [centre, -1.0, -1.0], shape)


def counts():
    rng = np.random.default_rng(1)
    image = rng.poisson(np.exp(1.0 + Matern(5.0).gmrf(SHAPE).sample(rng=2))).astype(float)
    image[rng.uniform(size=SHAPE) < 0.2] = np.nan
    return image


class Watched(Refactorizer):
    """A refactorizer that tells how many of its factors live whenever it is asked for another."""

    def __init__(self):
        super().__init__()
        self._made, self.living = [], []

    def __call__(self, precision):
        self.living.append(sum(made() is not None for made in self._made))
        found = super().__call__(precision)
        self._made.append(weakref.ref(found))
        return found


def watched():
    workspace = Workspace()
    workspace.prior, workspace.posterior = Watched(), Watched()
    return workspace


def test_factor_that_was_dropped_leaves_its_memory_and_analysis():
    again = Refactorizer()
    places, analyses = set(), set()
    for seed in range(4):
        factor = again(stencil(seed))
        assert factor.logdet == DissectionFactor(stencil(seed)).logdet
        places.add(factor._blocks.tiles.ctypes.data)
        analyses.add(id(factor._analysis))
        del factor
    assert len(places) == len(analyses) == 1


def test_other_pattern_is_analysed_anew():
    again, other = Refactorizer(), (15, 31)
    assert again(stencil(1)).logdet == DissectionFactor(stencil(1)).logdet
    assert again(stencil(2, other)).logdet == DissectionFactor(stencil(2, other)).logdet
    assert again(stencil(3)).logdet == DissectionFactor(stencil(3)).logdet


@pytest.mark.parametrize("likelihood", [Gaussian(), Poisson()])
def test_evaluations_hold_one_factor_of_a_kind_at_a_time(likelihood):
    problem, workspace = Problem.read(Matern(), counts(), likelihood=likelihood), watched()
    memo = Memo(problem.objective, workspace)
    at = memo.objective.origin
    for shift in (0.0, 0.1, 0.2):
        memo(at + shift)
    assert len(workspace.posterior.living) >= 3
    assert set(workspace.prior.living) <= {0}
    assert set(workspace.posterior.living) == {0}
    assert isinstance(memo.objective, CountObjective) == isinstance(likelihood, Poisson)
