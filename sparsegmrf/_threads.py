"""The one thread pool: kernels are serial and release the GIL, so a task is a call over a range."""

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError

Task = Callable[[], object]

_lock = threading.Lock()
_threads: int | None = None
_pool: ThreadPoolExecutor | None = None
_inside = threading.local()


def set_num_threads(threads: int) -> None:
    """Set how many threads the package uses; results do not depend on it.

    Parameters
    ----------
    threads : int
        At least 1. The initial value is ``NUMBA_NUM_THREADS`` where that is set, else the number of usable cores.

    Raises
    ------
    ArgumentError
        If `threads` is not a positive integer.

    Examples
    --------
    >>> import sparsegmrf
    >>> before = sparsegmrf.get_num_threads()
    >>> sparsegmrf.set_num_threads(2)
    >>> sparsegmrf.get_num_threads()
    2
    >>> sparsegmrf.set_num_threads(before)
    """
    global _threads, _pool
    value = integer_at_least("threads", threads, 1)
    with _lock:
        _threads = value
        old, _pool = _pool, None
    if old is not None:
        old.shutdown(wait=False)


def get_num_threads() -> int:
    """Return how many threads the package uses: the caller's own and those of the pool."""
    global _threads
    if _threads is None:
        _threads = _initial_threads()
    return _threads


def run(tasks: Sequence[Task]) -> None:
    """Run independent tasks to the end, in threads unless called from within a task.

    Tasks start in the order given and the caller's thread takes its share. After a failure nothing new starts, and the
    exception of the earliest task that failed is raised once nothing runs any more: every earlier task had started, so
    it is the same one for any number of threads.
    """
    helpers = min(get_num_threads(), len(tasks)) - 1
    if helpers < 1 or within_task():
        for task in tasks:
            task()
        return
    waiting = deque(enumerate(tasks))
    failures: list[tuple[int, Exception]] = []
    futures: list[Future[None]] = []
    try:
        work = partial(as_task, partial(_work, waiting, failures))
        submit(work, helpers, futures)
        work()
        for future in futures:
            if not future.cancel():  # one that has not started, behind another caller's tasks, has nothing left to do
                future.result()
    except BaseException:  # an interrupt of this thread: nothing new starts, what runs ends, then it goes on its way
        waiting.clear()
        wait([future for future in futures if not future.cancel()])
        raise
    if failures:
        raise min(failures, key=lambda failure: failure[0])[1]


def run_over(task: Callable[[int, int], object], count: int, block: int) -> None:
    """Run ``task(first, last)`` over all blocks of ``range(count)``."""
    run([partial(task, first, last) for first, last in ranges(count, block)])


def ranges(count: int, block: int) -> list[tuple[int, int]]:
    """Cut ``range(count)`` into blocks; the cut never depends on the number of threads."""
    return [(start, min(start + block, count)) for start in range(0, count, block)]


def rows_per_task(width: int) -> int:
    """Return how many image rows of `width` pixels make a task: worth its dispatch, and many on a large image."""
    return max(32, 2**16 // width)


def within_task() -> bool:
    """Tell whether the caller is a task of the pool's: what it starts runs in its own thread."""
    return getattr(_inside, "task", False)


def as_task(work: Callable[[], None]) -> None:
    """Run `work` as a task."""
    outer = within_task()
    _inside.task = True
    try:
        work()
    finally:
        _inside.task = outer


def _work(waiting: deque[tuple[int, Task]], failures: list[tuple[int, Exception]]) -> None:
    """Take tasks until none is left; collect what they raise."""
    while waiting:
        try:
            position, task = waiting.popleft()
        except IndexError:  # another thread took the last one
            return
        try:
            task()
        except Exception as error:
            waiting.clear()
            failures.append((position, error))


def submit(work: Callable[[], None], helpers: int, futures: list[Future[None]]) -> None:
    """Hand `work` to the pool `helpers` times; under the lock, so that no other thread retires the pool meanwhile."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, get_num_threads() - 1), thread_name_prefix="sparsegmrf")
        for _ in range(helpers):
            futures.append(_pool.submit(work))


def _initial_threads() -> int:
    named = os.environ.get("NUMBA_NUM_THREADS")
    if named is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not named.strip().isdecimal() or int(named) < 1:
        raise ArgumentError(
            f"the environment variable NUMBA_NUM_THREADS must be a positive integer, got {named!r}; correct it."
        )
    return int(named)


def _forget_pool() -> None:
    # A forked child inherits the pool object but none of its threads, and may have been forked within a task.
    global _pool, _lock, _inside
    _pool = None
    _lock = threading.Lock()
    _inside = threading.local()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
