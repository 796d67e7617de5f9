"""Fillings of stacks tell how far they are by stage; no number depends on it, and what a listener raises comes out."""

import math
import threading

import numpy as np
import pytest

from sparsegmrf import _memory, fill, get_num_threads, set_num_threads
from sparsegmrf.inference import Progress
from sparsegmrf.inference._progress import listening, stage
from sparsegmrf.models import Matern
from sparsegmrf.stacks import _conjugate, _plan, cross_validate
from sparsegmrf.stacks._size import Size
from tests.stacks.test_modes import simulated

DAYS = np.array([0.0, 10.0, 25.0, 31.0])
HELD = {"harmonics": None, "fixed": ["range", "sigma", "ell"], "noise_variance": 0.05,
        "start": {"range": 3.0, "sigma": 1.0, "ell": 20.0}}  # fmt: skip
TILES = {**HELD, "core": 6, "halo": 2}


def values(shape=(12, 11), seed=3):
    rng = np.random.default_rng(seed)
    found = Matern(range=3.0).gmrf(shape).sample(len(DAYS), rng=rng) + 0.2 * rng.standard_normal((len(DAYS), *shape))
    found[1, 3:8, 4:9] = np.nan
    return found


def stages(seen):
    return list(dict.fromkeys(each.stage for each in seen))


def told(stack, days=DAYS, **options):
    """Return what is told of a filling that is, to the bit, the same without a listener."""
    seen = []
    found, silent = (fill(stack, dates=days, rng=0, n_samples=1, progress=p, **options) for p in (seen.append, False))
    for name in ("mean", "std", "samples"):
        np.testing.assert_array_equal(getattr(found, name), getattr(silent, name))
    assert found.parameters == silent.parameters
    assert all(isinstance(each, Progress) for each in seen)
    return seen, found


@pytest.mark.parametrize("options", [{}, {"model": [Matern(range=2.0), Matern(range=6.0)], "harmonics": 0}])
def test_a_fit_is_told_by_its_likelihoods_and_a_sweep_by_its_dates(options):
    seen, found = told(values((9, 10)), harmonics=options.pop("harmonics", None), method="sweep", **options)
    assert stages(seen) == ["fitting, on a tile", "fitting", "predicting"]
    likelihoods = [each for each in seen if each.stage == "fitting"]
    assert [each.done for each in likelihoods] == list(range(1, len(likelihoods) + 1))
    assert len(likelihoods) == found.fit.evaluations
    dates = [each for each in seen if each.stage == "predicting"]
    assert [each.done for each in dates] == list(range(2 * len(DAYS) + 1))
    assert {each.total for each in dates} == {2 * len(DAYS)}
    assert dates[-1].seconds_left == 0.0


def test_sweeps_by_segments_and_lattices_are_told_too(monkeypatch):
    assert "predicting" in stages(told(values(), method="lattice", **HELD)[0])
    stack, days, seen = np.concatenate([values()[:, :6, :7]] * 3), 8.0 * np.arange(12), []
    room = int(1.5 * Size(12, 0, fill(stack, dates=days, **HELD).fit.model).sweep_bytes(42))
    monkeypatch.setattr(_memory, "available_bytes", lambda: room)
    found = fill(stack, dates=days, method="sweep", progress=seen.append, **HELD)
    assert found.fit.plan.segment is not None
    assert [each.done for each in seen if each.stage == "predicting"] == list(range(25))


@pytest.mark.parametrize("threads", [1, 3])
def test_tiles_are_told_by_the_thread_that_asked_for_all_of_them(threads):
    before = get_num_threads()
    set_num_threads(threads)
    try:
        seen, callers = [], set()
        fill(values(), dates=DAYS, progress=lambda now: (seen.append(now), callers.add(threading.get_ident())), **TILES)
    finally:
        set_num_threads(before)
    assert callers == {threading.get_ident()}
    tiles = [each for each in seen if each.stage == "predicting: tiles"]
    assert {each.total for each in tiles} == {4}
    done = [each.done for each in tiles]
    assert done == sorted(set(done))
    assert done[-1] <= 4
    if threads == 1:
        assert done == [0, 1, 2, 3, 4]


def test_conjugate_gradients_are_told_by_their_steps_and_how_their_error_falls():
    seen, _ = told(values(), **TILES)
    assert "predicting: solving" in stages(seen)
    steps = [each for each in seen if each.stage == "predicting: solving"]
    assert sum(each.done == 0 for each in steps) >= 3  # of the trend, the mean and the draw
    expected = [each for each in steps if each.total is not None]
    assert len(expected) > len(steps) / 3
    assert all(each.total >= each.done for each in expected)


def test_steps_to_come_are_those_of_an_error_that_goes_on_falling():
    seen = []
    with listening(seen.append), stage("solving", counts="steps"):
        for taken, square in enumerate(10.0 ** -np.arange(0.0, 9.0, 2.0)):
            _conjugate._tell(taken, 1.0, square, 1e-8)
    assert [each.total for each in seen] == [None, None, None, 5, 5, 5]


def test_scores_are_a_stage_with_the_solutions_of_each_within(monkeypatch):
    monkeypatch.setattr(_plan, "_FITTED", 1e3)
    monkeypatch.setattr(_plan, "_FILLED", 1e3)
    seen, found = told(values((26, 27)), harmonics=None, noise_variance=0.04, fixed="sigma")
    assert found.fit.plan.scored is not None
    names = stages(seen)
    assert names.index("scoring: solving") < names.index("predicting: solving") < names.index("predicting: tiles")
    scores = [each.done for each in seen if each.stage == "scoring"]
    assert scores == list(range(len(scores)))
    assert len(scores) > 2


def test_screening_is_told():
    stack = values()
    stack[2, 5, 5] += 40.0
    seen, found = told(stack, outliers="screen", **HELD)
    assert found.outliers[2, 5, 5]
    assert "screening" in stages(seen)


@pytest.mark.parametrize(("rank", "expected"), [(None, 2), (0, 1)])
def test_learning_modes_is_told_by_rounds_and_filling_by_dates(rank, expected, monkeypatch):
    stack, days, _, _ = simulated(count=60, shape=(5, 6), rank=2)
    if rank == 0:
        monkeypatch.setattr("sparsegmrf.stacks._modes_plan._RANK", 0)
    seen, found = told(stack, days, model="modes")
    assert (found.parameters["rank"] > 0) == (expected == 2)
    learning = ["learning seasons", "learning modes"][:expected]
    assert stages(seen) == [*learning, "predicting"]
    for name in stages(seen):
        own = [each for each in seen if each.stage == name]
        assert [each.done for each in own] == list(range(own[0].total + 1))
        assert math.isfinite(own[-1].seconds_left)
    assert own[-1].total == expected * len(days)


def test_modes_are_refined_beside_a_local_field_date_by_date():
    days, seen = 16.0 * np.arange(60), []
    stack = Matern(range=4.0).gmrf((7, 8)).sample(60, rng=0) + 0.2 * np.random.default_rng(0).standard_normal(
        (60, 7, 8)
    )
    stack[::3, 2:5, 2:5] = np.nan
    found = fill(stack, dates=days, model="modes", progress=seen.append)
    assert found.parameters["share"] > 0.0
    assert stages(seen) == ["learning seasons", "learning modes", "refining modes", "predicting"]
    own = [each for each in seen if each.stage == "refining modes"]
    assert [each.done for each in own] == list(range(own[0].total + 1))


def test_a_comparison_tells_its_candidates_and_folds():
    seen, found = told(values((5, 6)), model="best", noise_variance=0.04)
    names = stages(seen)
    for candidate in found.comparison.candidates:
        assert any(name.startswith(f"{candidate.name}: fold 1 of ") for name in names)
    assert names[-1] == "predicting"
    assert any(math.isfinite(each.seconds_left) for each in seen)


@pytest.mark.parametrize("refit", [True, False])
def test_cross_validation_tells_its_folds(refit):
    seen = []
    options = {"dates": DAYS, "refit": refit, "harmonics": None, "noise_variance": 0.04}
    found = cross_validate(values((6, 7)), progress=seen.append, **options)
    assert found.scores == cross_validate(values((6, 7)), **options).scores
    names, folds = stages(seen), found.clouds.n_folds
    assert names[0] == (f"fold 1 of {folds}" if refit else "all folds")
    assert [f"fold {k + 1} of {folds}: predicting" for k in range(folds)] == [
        name for name in names if name.startswith("fold") and name.endswith(": predicting")
    ]
    likelihoods = [
        each for each in seen if each.stage.startswith(f"fold {folds} of {folds}") and "pred" not in each.stage
    ]
    assert (len(likelihoods) > 3) == refit


@pytest.mark.parametrize(
    ("stack", "days", "options"),
    [
        (values((6, 7)), DAYS, {"harmonics": None}),
        (values(), DAYS, TILES),
        (values((6, 7)), DAYS, {"model": "best", "noise_variance": 0.04}),
        (*simulated(count=60, shape=(4, 5), rank=1)[:2], {"model": "modes"}),
    ],
    ids=["field", "tiles", "best", "modes"],
)
@pytest.mark.parametrize("after", [1, 12])
def test_what_a_listener_raises_comes_out_as_it_is(stack, days, options, after):
    calls, error = [], ValueError("stop")

    def tell(progress):
        calls.append(progress)
        if len(calls) == after:
            raise error

    with pytest.raises(ValueError, match="stop") as raised:
        fill(stack, dates=days, progress=tell, **options)
    assert raised.value is error
    assert len(calls) == after
    fill(stack, dates=days, **options)  # nobody listens any more
    assert len(calls) == after
