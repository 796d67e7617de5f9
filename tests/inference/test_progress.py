"""Progress is told by stage, changes no result, and what a listener raises ends the work as it is."""

import math

import numpy as np
import pytest

from sparsegmrf import Channels, Matern, fill, fit
from sparsegmrf.errors import ArgumentError, MissingLibraryError
from sparsegmrf.inference import Progress
from sparsegmrf.inference._progress import approaching, evaluated, expect, listening, of_size, reached, stage
from sparsegmrf.inference._progress_bar import described
from tests.conftest import require


def noisy(shape=(14, 16), seed=0):
    rng = np.random.default_rng(seed)
    image = Matern(range=4.0).gmrf(shape).sample(rng=rng) + 0.3 * rng.standard_normal(shape)
    image[4:8, 5:9] = np.nan
    return image


def test_a_fit_tells_every_likelihood_and_its_result_does_not_depend_on_it():
    image, seen = noisy(), []
    told, silent = fit(Matern(), image, progress=seen.append), fit(Matern(), image)
    assert told.parameters == silent.parameters
    assert told.loglik == silent.loglik
    assert [each.done for each in seen] == list(range(1, told.evaluations + 1))
    assert {each.stage for each in seen} == {"fitting"}
    assert all(isinstance(each, Progress) for each in seen)


def test_a_large_image_begins_on_a_tile():
    seen = []
    image = Matern(range=4.0).gmrf((96, 100)).sample(rng=0)
    image[0, 0] = np.nan
    fit(Matern(), image, progress=seen.append)
    stages = list(dict.fromkeys(each.stage for each in seen))
    assert stages == ["fitting, on a tile", "fitting"]


def test_a_filling_tells_the_fit_and_the_prediction():
    seen = []
    image = noisy()
    told = fill(image, n_samples=2, rng=1, progress=seen.append)
    np.testing.assert_array_equal(told.samples, fill(image, n_samples=2, rng=1).samples)
    assert list(dict.fromkeys(each.stage for each in seen)) == ["fitting", "predicting"]


def test_a_comparison_tells_its_fields_and_what_is_held_out():
    seen = []
    image = noisy((20, 24))
    told = fill(image, model="best", rng=0, progress=seen.append)
    np.testing.assert_array_equal(told.mean, fill(image, model="best", rng=0).mean)
    stages = [name.removesuffix(", on a tile") for name in dict.fromkeys(each.stage for each in seen)]
    for candidate in told.comparison.candidates:
        assert candidate.name in stages
    assert sum(each.total is not None for each in seen) > len(seen) / 2
    finite = [each.seconds_left for each in seen if math.isfinite(each.seconds_left)]
    assert len(finite) > len(seen) / 4
    assert min(finite) >= 0.0


def test_cross_validation_and_channels_tell_theirs():
    seen = []
    fit(Matern(), noisy(), method="cv", fixed="sigma", noise_variance=0.09, rng=0, progress=seen.append)
    assert {each.stage for each in seen} == {"fitting", "cross-validating"}
    seen.clear()
    image = np.random.default_rng(0).standard_normal((10, 12, 2))
    found = fit(Channels(Matern(range=3.0), np.eye(2)), image, progress=seen.append)
    assert len(seen) >= found.evaluations - 1 > 0


@pytest.mark.parametrize("error", [ValueError("stop"), ZeroDivisionError(), ArgumentError("mine")])
@pytest.mark.parametrize("after", [1, 11])
def test_what_a_listener_raises_goes_through_whatever_it_is(error, after):
    calls = []

    def tell(progress):
        calls.append(progress)
        if len(calls) == after:
            raise error

    with pytest.raises(type(error)) as raised:
        fit(Matern(), noisy(), progress=tell)
    assert raised.value is error
    assert len(calls) == after
    before = len(calls)
    fit(Matern(), noisy())  # nobody listens any more
    assert len(calls) == before


def test_an_interrupt_goes_through():
    def tell(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill(noisy(), progress=tell)


def test_progress_that_is_no_function_is_refused():
    for function in (lambda p: fit(Matern(), noisy(), progress=p), lambda p: fill(noisy(), progress=p)):
        with pytest.raises(ArgumentError, match="progress must be True, False or a function"):
            function("yes")


def test_a_bar_on_what_is_no_terminal_shows_nothing(capsys):
    require("rich")
    fit(Matern(), noisy(), progress=True)
    assert capsys.readouterr() == ("", "")


def test_a_bar_needs_its_library(monkeypatch):
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] == "rich"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(MissingLibraryError, match=r"progress=True needs rich; install it with"):
        fit(Matern(), noisy(), progress=True)


def test_what_is_left_is_by_the_time_evaluations_take_and_by_the_newton_step(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("sparsegmrf.inference._progress.time.monotonic", lambda: now[0])
    seen = []
    with listening(seen.append):
        of_size(100)
        for second in (5.0, 6.0, 7.0):  # the first one analyses
            now[0] = second
            evaluated(100)
        approaching(4.0**3, 1.0)  # four likelihoods: three quarter the step each, one sees it
        now[0] = 8.0
        evaluated(100)
    assert [each.total for each in seen] == [15, 15, 15, 7]
    assert math.isnan(seen[0].seconds_left)
    assert seen[1].seconds_left == pytest.approx(13.0)
    assert seen[3].seconds_left == pytest.approx(3.0)


def test_stages_to_come_take_as_long_as_those_before(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("sparsegmrf.inference._progress.time.monotonic", lambda: now[0])
    seen = []
    with listening(seen.append):
        expect(3)
        with stage("first", 2):
            for second in (5.0, 10.0):
                now[0] = second
                evaluated()
        with stage("second", 4):
            for second in (11.0, 12.0):
                now[0] = second
                evaluated()
    assert [(each.stage, each.done, each.total) for each in seen] == [
        *(("first", done, 2) for done in range(3)),
        *(("second", done, 4) for done in range(3)),
    ]
    assert seen[-1].seconds_left == pytest.approx(2.0 + 10.0)  # two of a second, and a stage of ten


def test_a_stage_that_fails_is_over():
    seen = []
    with listening(seen.append):
        with pytest.raises(ValueError, match="no field"), stage("first", 1):
            raise ValueError("no field")
        evaluated()
    assert [each.stage for each in seen] == ["first", "fitting"]


def test_beyond_what_was_expected_nothing_is_told_of_the_rest():
    seen = []
    with listening(seen.append):
        evaluated()
        approaching(1.0, 1.0)
        for _ in range(3):
            evaluated()
    assert [each.total for each in seen] == [None, 2, None, None]


def test_a_listener_within_another_is_told_instead():
    outer, inner = [], []
    with listening(outer.append):
        evaluated()
        with listening(inner.append):
            evaluated()
        evaluated()
    assert (len(outer), len(inner)) == (2, 1)


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (Progress("fitting", 3, None, math.nan), "3"),
        (Progress("fitting", 3, 9, math.nan), "3 of about 9"),
        (Progress("fitting", 3, 9, 12.4), "3 of about 9, 12 s left"),
        (Progress("fitting", 3, 9, 600.0), "3 of about 9, 10 min left"),
    ],
)
def test_progress_in_words(progress, words):
    assert described(progress) == words


def test_parts_are_named_within_their_stage_and_what_that_still_needs_is_added(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("sparsegmrf.inference._progress.time.monotonic", lambda: now[0])
    seen = []
    with listening(seen.append), stage("scoring", 4):
        for second in (1.0, 3.0):  # two seconds each
            now[0] = second
            evaluated()
        with stage("solving", 3, counts="steps", is_part=True):
            evaluated()  # none of its steps
            for second in (4.0, 4.5):
                now[0] = second
                evaluated(what="steps")
    assert [(each.stage, each.done) for each in seen] == [
        *(("scoring", done) for done in range(3)),
        *(("scoring: solving", done) for done in range(3)),
    ]
    assert seen[2].seconds_left == pytest.approx(2 * 2.0)
    assert seen[-1].seconds_left == pytest.approx(0.5 + 2 * 3.5)  # a step, and two scores as slow as this one by now


def test_stages_within_a_stage_are_expected_apart(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("sparsegmrf.inference._progress.time.monotonic", lambda: now[0])
    seen = []
    with listening(seen.append):
        expect(2)
        with stage("model"):
            expect(3)
            with stage("fold", 2):
                for second in (1.0, 2.0):
                    now[0] = second
                    evaluated()
    # two more folds of two seconds each, then another model that takes as long as the six of this one
    assert seen[-1].stage == "model: fold"
    assert seen[-1].seconds_left == pytest.approx(2 * 2.0 + 6.0)


def test_what_threads_have_done_is_told_up_to_a_number_and_never_back():
    seen = []
    with listening(seen.append), stage("tiles", 5, counts="tiles"):
        for done in (2, 1, 4, 5):
            reached(done, "tiles")
        reached(9, "dates")
    assert [each.done for each in seen] == [0, 2, 4, 5]
