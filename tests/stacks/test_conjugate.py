"""Stacks by conjugate gradients: solutions, draws, scores and their errors against factorizations."""

from dataclasses import replace

import numpy as np
import pytest

from sparsegmrf.errors import ConvergenceError
from sparsegmrf.models import Matern
from sparsegmrf.stacks import _conjugate
from sparsegmrf.stacks._averaged import AveragedPrecision
from sparsegmrf.stacks._conjugate import ConjugateFactor, mean_of
from sparsegmrf.stacks._evidence import Evidence, StackModel, named, precision_of
from sparsegmrf.stacks._scoring import score
from sparsegmrf.stacks._separable import Separable
from sparsegmrf.stacks._sweep import SweepFactor
from tests.stacks.problems import stack_of
from tests.stacks.test_evidence import KINDS, problem

EACH = [KINDS[0], KINDS[1], KINDS[2], KINDS[3], KINDS[5]]


@pytest.mark.parametrize("kind", EACH, ids=str)
def test_solutions_are_those_of_a_factorization_within_the_bound(kind):
    model, data, _, _ = problem(kind)
    P = precision_of(model, data)
    b = np.random.default_rng(0).standard_normal((5, P.n_unknowns, P.n_pixels))
    exact, factor = SweepFactor(P), ConjugateFactor(P, tolerance=1e-12)
    found = factor.solve(b)
    np.testing.assert_allclose(found, exact.solve(b), atol=1e-8)
    wrong = found[0] + 0.01 * np.random.default_rng(1).standard_normal(found[0].shape)
    e = wrong - exact.solve(b[:1])[0]
    energy = np.sqrt(np.vdot(e, P.prior_times(e) + P.spread(P.weight * P.observe(e))))
    bound = factor.error_bound(b[0], wrong)
    sd = np.sqrt(exact.covariances().variance)
    assert energy < bound
    assert (np.abs(P.observe(e)) < bound * sd).all()


def test_means_of_nearly_exact_observations_are_refined_until_the_bound_is_small():
    model, data, _, _ = problem(KINDS[0])
    P = precision_of(replace(model, noise_variance=1e-8), data)
    b = P.spread(P.weight * data.values)
    factor = ConjugateFactor(P)
    x, bound = factor.certified(b, np.zeros_like(b))
    assert bound < 1e-3
    exact, sd = SweepFactor(P).solve(b[np.newaxis])[0], np.sqrt(SweepFactor(P).covariances().variance)
    hidden = data.weight == 0.0
    assert (np.abs(P.observe(x - exact)) < 2e-3 * sd)[hidden].all()


@pytest.mark.parametrize("kind", EACH, ids=str)
def test_the_preconditioner_is_symmetric_and_positive(kind):
    model, data, _, _ = problem(kind)
    P = precision_of(model, data)
    x, y = np.random.default_rng(0).standard_normal((2, P.n_unknowns, P.n_pixels))
    near = AveragedPrecision(P)
    assert np.vdot(x, near.solve(y[None])[0]) == pytest.approx(np.vdot(near.solve(x[None])[0], y), rel=1e-10)
    assert np.vdot(x, near.solve(x[None])[0]) > 0.0


def test_where_all_pixels_weigh_alike_one_step_solves():
    model, data, _, _ = problem(("two scales", 0, "constant"))
    P = precision_of(model, data)
    weight = np.repeat(P.weight.mean(axis=1, keepdims=True), P.n_pixels, axis=1)
    alike = type(P)(tuple(P.J), (_five_point(),) * 2, (_five_point(),), P.basis, weight)
    b = np.random.default_rng(0).standard_normal((1, P.n_unknowns, P.n_pixels))
    factor = ConjugateFactor(alike)
    np.testing.assert_allclose(factor.solve(b), SweepFactor(alike).solve(b), atol=1e-8)
    assert factor.steps <= 25  # the mean of a stencil differs from it at the border alone


def _five_point():
    return Matern(range=2.0, nu=1.0).stencil((4, 5))


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[2]], ids=str)
def test_draws_have_the_posterior_covariance(kind):
    model, data, _, _ = problem(kind)
    P = precision_of(model, data)
    exact = SweepFactor(P).covariances().variance
    count = 1000
    found = (P.observe(ConjugateFactor(P, tolerance=1e-6).draw(count, np.random.default_rng(0))) ** 2).mean(axis=0)
    # A mean of squares has the relative deviation sqrt(2 / count); 6 of these among 100 numbers: below 1e-6.
    np.testing.assert_allclose(found, exact, rtol=6.0 * np.sqrt(2.0 / count))


@pytest.mark.parametrize("kind", [KINDS[0], KINDS[1], KINDS[2], KINDS[5]], ids=str)
def test_scores_are_the_gradient_within_the_noise_that_they_state(kind):
    model, data, _, _ = problem(kind)
    exact = Evidence.of(model, data, SweepFactor)
    names = list(exact.gradient())
    found = Evidence.of(model, data, lambda P: ConjugateFactor(P, 60, 1e-8))
    slopes, noise = score(found, names, np.eye(len(names)))
    away = slopes - named(exact.gradient(), names)
    assert (np.abs(away) < 6.0 * np.sqrt(np.diagonal(noise)) + 1e-8).all()


def test_draws_without_observations_lessen_the_noise_of_what_is_hardly_told():
    data, _, _ = stack_of(np.arange(4.0), (0, 1, 2, 3), 0, "constant", 0, (6, 6))
    model = StackModel((Separable(Matern(range=2.0), 5.0),), Matern(range=3.0), (0.01,), 0.2)
    found = Evidence.of(model, data, lambda P: ConjugateFactor(P, 40, 1e-8))
    names = ["log deviations.0"]
    _, noise = score(found, names, np.eye(1))
    plain = [found.slopes(given)[names[0]] for given, _ in found.factor.probed(found.in_time)]
    assert noise[0, 0] < 1e-2 * np.var(plain) / len(plain)


def test_means_of_squares_are_linear():
    model, data, _, _ = problem(KINDS[2])
    found = Evidence.of(model, data, lambda P: ConjugateFactor(P, 3, 1e-6))
    parts = [given for given, _ in found.factor.probed(found.in_time)]
    together = found.slopes(mean_of(parts))
    for name, value in together.items():
        assert value == pytest.approx(np.mean([found.slopes(each)[name] for each in parts]), rel=1e-8, abs=1e-8)


def test_what_is_not_solved_is_refused_with_the_error(monkeypatch):
    monkeypatch.setattr(_conjugate, "_MOST", 1)
    model, data, _, _ = problem(KINDS[0])
    P = precision_of(model, data)
    with pytest.raises(ConvergenceError, match=r"not solved in 1 steps.*shorter range"):
        ConjugateFactor(P).solve(np.ones((1, P.n_unknowns, P.n_pixels)))


@pytest.mark.parametrize("name", ["two scales", "all kinds"])
@pytest.mark.parametrize("segment", [1, 2, 3])
def test_segments_of_a_series_change_no_number(name, segment):
    model, data, _, _ = problem((name, 1, "constant"))
    P = precision_of(model, data)
    whole, cut = SweepFactor(P), SweepFactor(P, segment=segment)
    b = np.random.default_rng(0).standard_normal((2, P.n_unknowns, P.n_pixels))
    assert cut.logdet == whole.logdet
    np.testing.assert_array_equal(cut.solve(b), whole.solve(b))
    np.testing.assert_array_equal(cut.unwhiten(b), whole.unwhiten(b))
    np.testing.assert_array_equal(cut.covariances().variance, whole.covariances().variance)
    dates = zip(cut.of_dates(), whole.of_dates(), strict=True)
    assert all(u == v and np.array_equal(C, D) for (u, C), (v, D) in dates)
