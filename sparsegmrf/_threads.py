"""The one thread pool: kernels are serial and release the GIL, so a task is a call over a range."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from sparsegmrf._validate import integer_at_least

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
    """
    global _threads, _pool
    value = integer_at_least("threads", threads, 1)
    with _lock:
        _threads = value
        old, _pool = _pool, None
    if old is not None:
        old.shutdown(wait=False)


def get_num_threads() -> int:
    """Return how many threads the package uses."""
    global _threads
    if _threads is None:
        named = os.environ.get("NUMBA_NUM_THREADS")
        _threads = integer_at_least("NUMBA_NUM_THREADS", int(named), 1) if named else _usable_cores()
    return _threads


def run(tasks: Sequence[Callable[[], None]]) -> None:
    """Run independent tasks to the end; an exception is raised once nothing runs any more."""
    if len(tasks) <= 1 or get_num_threads() == 1 or getattr(_inside, "task", False):
        for task in tasks:
            task()
        return
    executor = _executor()
    futures = [executor.submit(_marked, task) for task in tasks]
    try:
        for future in futures:
            future.result()
    except BaseException:  # an interrupt too: nothing new starts, what runs ends, then it goes on its way
        for future in futures:
            future.cancel()
        wait(futures)
        raise


def ranges(count: int, block: int) -> list[tuple[int, int]]:
    """Cut ``range(count)`` into blocks; the cut never depends on the number of threads."""
    return [(start, min(start + block, count)) for start in range(0, count, block)]


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(get_num_threads(), thread_name_prefix="sparsegmrf")
        return _pool


def _forget_pool() -> None:
    # A forked child inherits the pool object but none of its threads.
    global _pool, _lock
    _pool = None
    _lock = threading.Lock()


def _marked(task: Callable[[], None]) -> None:
    _inside.task = True
    try:
        task()
    finally:
        _inside.task = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
