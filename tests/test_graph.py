"""Tasks that depend on each other run in order, whatever the number of threads; failures and interrupts end them."""

import threading
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegmrf import get_num_threads, set_num_threads
from sparsegmrf._graph import _Graph, run_graph


@st.composite
def graphs(draw):
    """Task ``k`` needs some of the tasks before it, perhaps one of them twice."""
    size = draw(st.integers(0, 12))
    return [draw(st.lists(st.integers(0, k - 1), max_size=4)) if k else [] for k in range(size)]


@given(graphs(), st.integers(1, 4))
def test_every_task_runs_once_and_after_what_it_needs(needs, count):
    before = get_num_threads()
    set_num_threads(count)
    finished = []
    lock = threading.Lock()

    def task(k):
        with lock:
            assert set(needs[k]) <= set(finished)
        with lock:
            finished.append(k)

    try:
        run_graph([lambda k=k: task(k) for k in range(len(needs))], needs)
    finally:
        set_num_threads(before)
    assert sorted(finished) == list(range(len(needs)))


def test_single_thread_runs_tasks_in_the_order_given(threads):
    threads(1)
    finished = []
    run_graph([lambda k=k: finished.append(k) for k in range(5)], [[], [], [0], [1], [2, 3]])
    assert finished == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("count", [1, 3])
def test_failure_or_interrupt_ends_the_run_and_is_raised(threads, error, count):
    threads(count)
    started = []

    def fail():
        raise error("stop")

    chain = [fail, *[lambda k=k: started.append(k) for k in range(1, 50)]]
    with pytest.raises(error, match="stop"):
        run_graph(chain, [[], *[[k] for k in range(49)]])
    assert started == []


@given(graphs(), st.integers(1, 4), st.sets(st.integers(0, 11)))
def test_the_earliest_failure_is_raised_whatever_the_number_of_threads(needs, count, failing):
    def task(k):
        if k in failing:
            raise ValueError(k)

    before = get_num_threads()
    set_num_threads(count)
    try:
        run_graph([lambda k=k: task(k) for k in range(len(needs))], needs)
        raised = None
    except ValueError as error:
        raised = error.args[0]
    finally:
        set_num_threads(before)
    assert raised == min((k for k in failing if k < len(needs)), default=None)


def test_a_graph_that_has_run_holds_nothing_of_its_tasks(threads):
    class Task:
        def __call__(self):
            pass

    threads(2)
    tasks = [Task(), Task()]
    alive = [weakref.ref(task) for task in tasks]
    graph = _Graph(tasks, [[], [0]])
    del tasks
    graph.run()
    assert [task() for task in alive] == [None, None]
