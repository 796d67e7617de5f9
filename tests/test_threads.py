"""The thread pool: every task once, the earliest failure raised, nothing left running, safe in forks."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import pytest

import sparsegmrf
from sparsegmrf import _threads
from sparsegmrf.errors import ArgumentError

COUNTS = pytest.mark.parametrize("count", [1, 2, 5])


@COUNTS
def test_every_task_runs_exactly_once(threads, count):
    threads(count)
    done = []
    _threads.run([lambda k=k: done.append(k) for k in range(50)])
    assert sorted(done) == list(range(50))


@COUNTS
def test_no_tasks_are_no_work(threads, count):
    threads(count)
    _threads.run([])


@pytest.mark.parametrize("count", [2, 3])
def test_as_many_tasks_run_at_once_as_there_are_threads(threads, count):
    threads(count)
    meeting = threading.Barrier(count, timeout=30)
    _threads.run([meeting.wait] * count)
    assert not meeting.broken


def test_one_thread_is_the_callers_own(threads):
    threads(1)
    names = set()
    _threads.run([lambda: names.add(threading.current_thread())] * 5)
    assert names == {threading.current_thread()}


@COUNTS
def test_the_earliest_failure_is_raised_whatever_the_number_of_threads(threads, count):
    threads(count)

    def task(k):
        if k in (3, 4, 30):
            raise ArithmeticError(k)

    for _ in range(20):
        with pytest.raises(ArithmeticError) as caught:
            _threads.run([lambda k=k: task(k) for k in range(40)])
        assert caught.value.args == (3,)


def test_after_a_failure_nothing_new_starts_and_what_runs_ends_first(threads):
    threads(2)
    started, ended = [], []
    both = threading.Barrier(2, timeout=30)
    failed = threading.Event()

    def fails():
        both.wait()
        failed.set()
        raise ArithmeticError

    def runs():
        both.wait()
        assert failed.wait(30)
        ended.append(True)

    def never(k):
        started.append(k)
        time.sleep(0.001)

    # The survivor may still take a task or two before the failure is known, but not all that wait.
    with pytest.raises(ArithmeticError):
        _threads.run([fails, runs, *[lambda k=k: never(k) for k in range(2000)]])
    assert ended == [True]
    count = len(started)
    assert count < 2000
    _threads.run([lambda: None] * 4)
    assert len(started) == count


def test_the_pool_works_after_a_failure(threads):
    threads(2)
    with pytest.raises(ZeroDivisionError):
        _threads.run([lambda: 1 / 0] * 4)
    done = []
    _threads.run([lambda: done.append(1)] * 4)
    assert len(done) == 4


def test_an_interrupt_leaves_after_running_tasks_have_ended(threads):
    threads(2)
    main = threading.current_thread()
    both = threading.Barrier(2, timeout=30)
    ended = []

    def task():
        both.wait()
        if threading.current_thread() is main:
            raise KeyboardInterrupt
        ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        _threads.run([task, task, *[lambda: None] * 10])
    assert ended == [True]


def test_an_interrupt_is_never_hidden_by_a_failure(threads):
    threads(2)
    main = threading.current_thread()
    both = threading.Barrier(2, timeout=30)

    def task():
        both.wait()
        raise KeyboardInterrupt if threading.current_thread() is main else ArithmeticError

    with pytest.raises(KeyboardInterrupt):
        _threads.run([task, task])


def test_calls_within_a_task_run_in_that_task(threads):
    threads(2)
    pairs = []

    def inner(outer_thread):
        pairs.append(threading.current_thread() is outer_thread)

    def outer():
        here = threading.current_thread()
        _threads.run([lambda: inner(here)] * 3)

    _threads.run([outer] * 4)
    assert pairs == [True] * 12


def test_calls_from_several_threads_at_once_all_finish(threads):
    threads(3)
    done = []
    callers = [
        threading.Thread(target=lambda: _threads.run([lambda: done.append(1)] * 200), daemon=True) for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for count in (1, 2, 3):
        sparsegmrf.set_num_threads(count)  # the pool is retired under their feet
    for caller in callers:
        caller.join(60)
    assert len(done) == 800


def test_a_call_does_not_wait_for_the_tasks_of_another(threads):
    threads(2)
    busy, release, done = threading.Barrier(3, timeout=30), threading.Event(), []

    def blocks():
        busy.wait()
        done.append(release.wait(30))

    other = threading.Thread(target=lambda: _threads.run([blocks, blocks]))
    other.start()
    busy.wait()
    _threads.run([lambda: done.append("mine")] * 4)
    release.set()
    other.join(30)
    assert done == ["mine"] * 4 + [True] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_of_a_task_has_a_pool_of_its_own(threads):
    threads(2)
    _threads.run([lambda: None] * 4)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_meet_in_child, args=(queue,))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert queue.get() == 2


def _meet_in_child(queue):
    meeting = threading.Barrier(2, timeout=30)
    names = []

    def task():
        meeting.wait()
        names.append(threading.current_thread().name)

    _threads.run([task, task])
    queue.put(len(set(names)))


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", None])
def test_number_of_threads_must_be_a_positive_integer(value):
    with pytest.raises(ArgumentError, match=r"^threads must be"):
        sparsegmrf.set_num_threads(value)


def test_number_of_threads_is_kept(threads):
    threads(3)
    assert sparsegmrf.get_num_threads() == 3


@pytest.mark.parametrize(("value", "expected"), [("3", "3"), ("zero", "ArgumentError"), ("0", "ArgumentError")])
def test_initial_number_of_threads_is_numbas(value, expected):
    program = """
from sparsegmrf import _threads
from sparsegmrf.errors import ArgumentError
try:
    print(_threads.get_num_threads())
except ArgumentError as error:
    assert "NUMBA_NUM_THREADS" in str(error)
    print("ArgumentError")
"""
    # numba reads the variable itself at import and has its own idea of what is too many
    code = program.replace(
        "_threads.get", f"__import__('os').environ.update(NUMBA_NUM_THREADS={value!r}) or _threads.get"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == expected


@pytest.mark.parametrize(("count", "block"), [(0, 4), (1, 4), (8, 4), (9, 4)])
def test_ranges_cover_everything_once_in_order(count, block):
    cut = _threads.ranges(count, block)
    assert [k for first, last in cut for k in range(first, last)] == list(range(count))
    assert all(0 < last - first <= block for first, last in cut)


def test_run_over_hands_out_all_blocks(threads):
    threads(2)
    seen = []
    _threads.run_over(lambda first, last: seen.extend(range(first, last)), 103, 10)
    assert sorted(seen) == list(range(103))


@pytest.mark.parametrize("width", [1, 100, 10**4, 10**7])
def test_tasks_have_at_least_one_row_and_do_not_depend_on_threads(threads, width):
    threads(1)
    rows = _threads.rows_per_task(width)
    threads(4)
    assert _threads.rows_per_task(width) == rows >= 1
