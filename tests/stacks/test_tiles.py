import logging
import math
import tracemalloc

import numpy as np
import pytest

from sparsegmrf import _memory
from sparsegmrf.errors import TooLargeError
from sparsegmrf.models import Matern
from sparsegmrf.stacks import Separable, _conjugate, _plan, fill
from sparsegmrf.stacks._evidence import StackModel
from sparsegmrf.stacks._plan import plan_stack
from sparsegmrf.stacks._read import Stack, problem_of
from sparsegmrf.stacks._search import Likelihood
from sparsegmrf.stacks._size import Size, decay_rate
from sparsegmrf.stacks._sweep import SweepFactor
from sparsegmrf.stacks._windows import Window, best_observed, spread_over, tiles

DAYS = np.array([0.0, 10.0, 25.0])
KNOWN = {"harmonics": 0, "fixed": ["range", "sigma", "ell", "range_mean", "sd_level"], "noise_variance": 0.05,
         "start": {"range": 3.0, "sigma": 1.0, "ell": 20.0, "range_mean": 3.0, "sd_level": 1.0}}  # fmt: skip


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(3)
    found = Matern(range=3.0).gmrf((24, 26)).sample(3, rng=rng) + 0.2 * rng.standard_normal((3, 24, 26))
    found[1, 8:14, 9:15] = np.nan
    return found


def test_tiles_have_the_means_of_the_whole_and_deviations_that_come_near_as_halos_grow(values):
    whole = fill(values, dates=DAYS, at=[5.0], **KNOWN)
    away, seams = [], []
    for halo in (1, 4):
        found = fill(values, dates=DAYS, at=[5.0], core=12, halo=halo, **KNOWN)
        error = np.abs(found.mean - whole.mean) / whole.std
        assert error.max() <= found.mean_error < 1e-3
        assert (np.abs(found.at.mean - whole.at.mean) <= 1e-3 * whole.at.std).all()
        away.append(float(np.abs(found.std / whole.std - 1.0).max()))
        seams.append(found.seam)
    assert away[1] < 0.3 * away[0]
    assert seams[1] < 0.3 * seams[0]
    assert away[1] < 0.02
    assert whole.seam == whole.mean_error == 0.0
    for name, value in whole.fit.coefficients.items():
        assert found.fit.coefficients[name] == pytest.approx(value, rel=1e-4)
        assert found.fit.coefficient_errors[name] == pytest.approx(whole.fit.coefficient_errors[name], rel=1e-6)
    assert "in 6 tiles" in found.summary()
    assert "where they meet" in found.summary()


def test_draws_of_tiles_are_those_of_all_pixels_together(values):
    found = fill(values, dates=DAYS, core=12, halo=4, n_samples=60, rng=0, **KNOWN)
    scores = (found.samples - found.mean) / found.std
    # Means of squares over 60 draws; over all pixels they average out, neighbours being alike: 1 within a tenth.
    assert np.mean(scores**2) == pytest.approx(1.0, abs=0.1)
    whole = fill(values, dates=DAYS, n_samples=60, rng=0, **KNOWN)
    hidden, lasting = np.isnan(values[1]), (found.samples, whole.samples)
    alike, expected = (np.corrcoef(each[:, 1, hidden].T)[0, 1:4] for each in lasting)
    np.testing.assert_allclose(alike, expected, atol=0.6)  # 60 draws: a deviation of sqrt(2) (1 - r^2) / sqrt(60)


def test_halos_follow_from_the_range():
    wide, narrow = (StackModel((Separable(Matern(range=range_), 20.0),), Matern(), (), 0.1) for range_ in (12.0, 4.0))
    assert decay_rate(narrow, (40, 40)) == pytest.approx(math.sqrt(8.0) / 4.0, rel=0.1)
    seen = np.full((300, 300), 3)
    plans = [plan_stack(Size(40, 0, model), seen.shape, seen, "auto", None, None, 0) for model in (wide, narrow)]
    assert plans[1].halo == plans[1].wanted == 3
    assert plans[0].wanted == 9
    assert plans[0].scored is not None
    assert "deviations in" in str(plans[0])


@pytest.mark.parametrize(("side", "dates", "core", "halo"), [(40, 6, 12, 4), (40, 12, 12, 2)])
def test_memory_that_is_foreseen_is_what_is_taken(side, dates, core, halo):
    rng, days = np.random.default_rng(0), 8.0 * np.arange(dates)
    stack = rng.standard_normal((dates, side, side))
    stack[rng.random(stack.shape) < 0.3] = np.nan
    fill(stack[:, :14, :14], dates=days, core=7, halo=2, **KNOWN)  # what is loaded once
    tracemalloc.start()
    found = fill(stack, dates=days, core=core, halo=halo, **KNOWN)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.6 * peak < found.fit.plan.nbytes < 1.7 * peak


def test_dates_that_do_not_fit_are_eliminated_again_with_the_same_numbers(values, monkeypatch):
    days = np.arange(12.0) * 8.0
    stack = np.concatenate([values[:, :6, :7]] * 4)
    whole = fill(stack, dates=days, **KNOWN)
    room = int(1.5 * Size(12, 1, whole.fit.model).sweep_bytes(42))
    monkeypatch.setattr(_memory, "available_bytes", lambda: room)  # of which a share may be taken
    found = fill(stack, dates=days, method="sweep", **KNOWN)
    assert found.fit.plan.segment == 4
    assert found.fit.plan.is_exact
    assert "4 of them kept" in found.summary()
    np.testing.assert_array_equal(found.std, whole.std)
    assert found.fit.loglik == whole.fit.loglik


def test_scoring_goes_on_from_windows_to_the_estimates_of_all_pixels(monkeypatch):
    rng, days = np.random.default_rng(1), 8.0 * np.arange(6)
    field, rho = Matern(range=4.0).gmrf((20, 20)), np.exp(-8.0 / 30.0)
    truth = [field.sample(rng=rng)]
    for _ in days[1:]:
        truth.append(rho * truth[-1] + np.sqrt(1.0 - rho**2) * field.sample(rng=rng))
    stack = np.array(truth) + 0.3 * rng.standard_normal((6, 20, 20))
    stack[rng.random(stack.shape) < 0.3] = np.nan
    whole = fill(stack, dates=days, harmonics=None)
    monkeypatch.setattr(_plan, "_FITTED", 5e7)
    found = fill(stack, dates=days, harmonics=None)
    assert found.fit.converged
    assert "by the score of all pixels" in str(found.fit.plan)
    for name, value in whole.parameters.items():
        error = found.standard_errors[name]
        assert abs(found.parameters[name] - value) < 4.0 * error, name
        assert 0.8 * whole.standard_errors[name] < error < 2.5 * whole.standard_errors[name], name


def test_where_scoring_cannot_solve_the_estimates_are_those_of_the_windows(values, monkeypatch, caplog):
    monkeypatch.setattr(_plan, "_FITTED", 5e7)
    monkeypatch.setattr(_conjugate, "_MOST", 1)
    free = KNOWN | {"noise_variance": "estimate"}
    with caplog.at_level(logging.WARNING, "sparsegmrf.stacks"):
        found = fill(values, dates=DAYS, **free)
    assert "parameters are those of the windows alone: a stack of 3 dates of (24, 26) pixels was not" in caplog.text
    assert found.fit.plan.scored is None
    assert "by the score" not in found.summary()
    assert found.fit.reason == "a maximum of the likelihood"
    at = found.fit._likelihood(found.fit._at)
    assert abs(float(at.gradient[0])) < 0.1 * math.sqrt(float(at.information[0, 0]))
    assert found.standard_errors["noise_variance"] > 0.0


def test_cores_cover_an_image_once_within_their_windows():
    covered = np.zeros((10, 13), dtype=int)
    for core, window in tiles((10, 13), 4, 2):
        covered[core] += 1
        assert window.rows.start <= core.rows.start
        assert core.columns.stop <= window.columns.stop <= 13
    assert (covered == 1).all()


def test_windows_of_a_fit_are_disjoint_and_observed():
    seen = np.ones((30, 31), dtype=int)
    seen[:10, :10] = 0
    found = spread_over(seen, 10, 4)
    covered = np.zeros(seen.shape, dtype=int)
    for window in found:
        covered[window] += 1
    assert len(found) == 4
    assert covered.max() == 1
    assert (seen[covered > 0] > 0).all()
    assert best_observed(seen, 50) == Window(slice(0, 30), slice(0, 31))


def test_what_does_not_fit_is_refused_with_remedies(values, monkeypatch):
    monkeypatch.setattr(_memory, "available_bytes", lambda: 100_000)
    with pytest.raises(TooLargeError, match="a smaller core="):
        fill(values, dates=DAYS, **KNOWN)


def test_means_and_draws_beyond_memory_are_refused_with_the_numbers(monkeypatch):
    seen = np.full((400, 400), 30)
    size = Size(30, 0, StackModel((Separable(Matern(range=3.0), 20.0),), Matern(), (), 0.1))
    monkeypatch.setattr(_memory, "available_bytes", lambda: 1_500_000_000)
    with pytest.raises(TooLargeError, match=r"means and draws of a stack of 30 dates .* n_samples=0"):
        plan_stack(size, seen.shape, seen, "auto", None, None, 20)
    assert plan_stack(size, seen.shape, seen, "auto", None, None, 0).nbytes < 0.6 * 1_500_000_000


def test_likelihood_of_windows_with_a_trend_in_common_has_the_gradient_of_differences(values):
    stack = Stack.read(values, DAYS, "nan")
    nothing = np.zeros(values.shape, dtype=bool)
    problem, _ = problem_of(stack, None, None, 0, "constant", "estimate", (), None, None, nothing)
    windows = [Window(slice(0, 5), slice(0, 6)), Window(slice(8, 14), slice(9, 14))]
    likelihood = Likelihood(problem, windows, SweepFactor)
    at, step = likelihood.start, 1e-5
    gradient = likelihood(at).gradient
    for k in range(len(at)):
        side = step * (np.arange(len(at)) == k)
        slope = (likelihood.value(at + side) - likelihood.value(at - side)) / (2.0 * step)
        assert gradient[k] == pytest.approx(slope, rel=1e-5, abs=1e-5), likelihood.names[k]
