"""Exact likelihoods of a Matern field seen with noise and gaps, and its whole fit, against factorizations.

``pytest bench/test_inference.py --benchmark-json=out.json``; three tenths of the pixels and a block are missing.

An evaluation is the log-likelihood with its gradient and the average information, at a point not seen before; beside it
stands one factorization of the same posterior precision, analysed before.

The fit stands beside the same search with CHOLMOD's factors, analysed once per fit. CHOLMOD has no selected inverse,
and Takahashi's recursion on its factor takes several times as long as the factorization (``selected_inverse`` of
`bench.test_dissection`), so its user differentiates by central differences: two more likelihoods per parameter. All
else is the same: the start on a tile, the determinant of the prior by a transform, scale and level profiled out, the
average information by two solves per parameter. Both fits must agree to a fiftieth of a standard error.
"""

import dataclasses
import itertools

import numpy as np
import pytest

import sparsegmrf
from bench.peers import libraries
from sparsegmrf import CholmodFactor, Matern, SymmetricStencil
from sparsegmrf.inference._observations import posterior_precision
from sparsegmrf.inference._problem import make_objective, make_result
from sparsegmrf.inference._search import maximize
from sparsegmrf.inference._start import search_tile, start_of
from sparsegmrf.linalg import DissectionFactor

SIDE = 512
START = Matern(range=10.0)
STEP = 1e-3
TOLERANCE = 1e-3
ROUGH = 0.05
AGREEMENT = 0.02


@pytest.fixture(scope="module")
def observed():
    """An image with noise, and the mask of its gaps."""
    rng = np.random.default_rng(0)
    field = Matern(range=20.0, sigma=2.0).gmrf((SIDE, SIDE), mean=5.0).sample(rng=rng)
    mask = rng.random(field.shape) < 0.3
    mask[100:180, 200:300] = True
    return field + 0.5 * rng.standard_normal(field.shape), mask


class FactorAlone(CholmodFactor):
    """CHOLMOD's factor; it has no selected inverse, so that the traces of analytic gradients are void."""

    def selected_inverse(self):
        return SymmetricStencil(self._offsets, np.zeros(len(self._offsets)), self.shape)

    def refactorize(self, precision):
        factor = super().refactorize(precision)
        factor.__class__ = FactorAlone
        return factor


class AnalysedOnce:
    """Factors by CHOLMOD of precisions of one pattern."""

    def __init__(self):
        self._last = None

    def __call__(self, precision):
        self._last = FactorAlone(precision) if self._last is None else self._last.refactorize(precision)
        return self._last


class CentralDifferences:
    """The objective of `fit` on CHOLMOD: its values and average information, gradients by central differences."""

    def __init__(self, objective):
        self._objective = dataclasses.replace(objective, count=[0], _points={}, _posterior=AnalysedOnce())
        self._points = {}
        self.names, self.estimated, self.count = objective.names, objective.estimated, self._objective.count

    def __call__(self, at):
        return self._point(at)[:2]

    def information(self, at):
        return self._point(at)[2]

    def _point(self, at):
        if at.tobytes() not in self._points:
            value, _, information = self._objective._evaluate_point(at)
            self._points[at.tobytes()] = (value, central_differences(self._objective, at), information)
        return self._points[at.tobytes()]


def central_differences(objective, at):
    """Return the gradient by two likelihoods per unconstrained number."""

    def value(at):
        found = objective._evaluate(at, gradient=False)[2]
        return found.loglik(found.best_scale)

    return np.array([(value(at + step) - value(at - step)) / (2.0 * STEP) for step in STEP * np.eye(len(at))])


def objective_of(observed):
    return make_objective(START, *observed, "estimate", "constant", "ml", (), (SIDE, SIDE))


@pytest.mark.parametrize("member", ["sparsegmrf", "one factorization"])
def test_evaluation(timed, observed, member):
    objective = objective_of(observed)
    start = objective.start(START, None)
    fresh = (start + STEP * k for k in itertools.count())

    def check(answer):
        if member == "sparsegmrf":
            errors = 1.0 / np.sqrt(np.diagonal(objective.information(start)))
            assert np.abs((answer[1] - central_differences(objective, start)) * errors).max() < AGREEMENT

    call = {"sparsegmrf": lambda: objective(next(fresh)), "one factorization": factorization(objective, start)}[member]
    timed(f"log-likelihood and gradient, Matern with noise and gaps, {SIDE} x {SIDE}", member, call, check=check)


def factorization(objective, at):
    """Return the factorization of the posterior precision at a point, its analysis done."""
    model, variance = objective.parameters_at(at)
    data = dataclasses.replace(objective.data, weight=objective.data.weight / variance)
    precision, _ = posterior_precision(model.stencil((SIDE, SIDE)), data)
    analysed = DissectionFactor(precision)
    return lambda: analysed.refactorize(precision)


@pytest.mark.parametrize("member", ["sparsegmrf", "CHOLMOD in the same optimizer"])
def test_fit(timed, observed, member):
    image, mask = observed
    if member == "sparsegmrf":
        call, check, rounds, recorded = lambda: ours(image, mask), lambda found: agree(found, found), 3, {}
    else:
        pytest.importorskip("sksparse.cholmod", reason="scikit-sparse is not installed")
        expected = ours(image, mask)
        call, check, rounds = lambda: by_cholmod(observed), lambda found: agree(found, expected), 1
        recorded = libraries()
    timed(f"fit of Matern with noise, {SIDE} x {SIDE}", member, call, check=check, rounds=rounds, **recorded)


def ours(image, mask):
    return sparsegmrf.fit(START, image, mask=mask, tolerance=TOLERANCE)


def by_cholmod(observed):
    objective = objective_of(observed)
    search = CentralDifferences(objective)
    start = start_of(objective, search_tile(objective, ROUGH))
    return make_result(search._objective, *maximize(search, start, TOLERANCE))


def agree(found, expected):
    assert found.converged, found.reason
    for name, error in expected.standard_errors.items():
        assert abs(found.parameters[name] - expected.parameters[name]) < AGREEMENT * error, name
