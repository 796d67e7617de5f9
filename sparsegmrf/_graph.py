"""Run tasks that depend on each other in the package's threads."""

import heapq
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial

from sparsegmrf import _threads


def run_graph(tasks: Sequence[Callable[[], object]], needs: Sequence[Sequence[int]]) -> None:
    """Run every task after those it needs; among the ready ones the lowest index goes first.

    After an exception the tasks before the one that failed still run, and no others; then the exception of the earliest
    failure is raised: the same one for any number of threads. The calling thread works too, so an interrupt reaches it
    between two tasks; then nothing new starts.

    Parameters
    ----------
    tasks : sequence of callables
        In an order in which a single thread could run them.
    needs : sequence of sequences of int
        Per task, the indices of the tasks it needs.
    """
    _Graph(tasks, needs).run()


class _Graph:
    def __init__(self, tasks: Sequence[Callable[[], object]], needs: Sequence[Sequence[int]]) -> None:
        self.tasks = tasks
        self.missing = [len(set(before)) for before in needs]
        self.dependents: list[list[int]] = [[] for _ in tasks]
        for task, before in enumerate(needs):
            for other in set(before):
                self.dependents[other].append(task)
        self.ready = [task for task, count in enumerate(self.missing) if count == 0]
        self.running = 0
        self.limit = len(tasks)
        self.changed = threading.Condition()
        self.failure: Exception | None = None
        self.interrupt: BaseException | None = None

    def run(self) -> None:
        extra = 0 if _threads.within_task() else min(_threads.get_num_threads(), len(self.tasks)) - 1
        futures: list[Future[None]] = []
        try:
            if extra > 0:
                _threads.submit(partial(_threads.as_task, self._work), extra, futures)
            _threads.as_task(self._work)
        except BaseException as interrupt:
            self._stop(interrupt)
        # One that has not started, behind another caller's tasks, has nothing left to do.
        wait([future for future in futures if not future.cancel()])
        self.tasks = ()  # the pool may hold this graph a little longer, but not what its tasks hold
        if self.interrupt is not None:
            raise self.interrupt
        if self.failure is not None:
            raise self.failure

    def _work(self) -> None:
        while (task := self._next()) is not None:
            try:
                self.tasks[task]()
            except Exception as failure:
                self._end(task, failure)
            except BaseException as interrupt:
                self._stop(interrupt)
                self._end(task, None)
            else:
                self._end(task, None)

    def _next(self) -> int | None:
        """Return the first task that is ready, waiting for one; None when none will come."""
        with self.changed:
            while True:
                if self.ready and self.ready[0] < self.limit:
                    self.running += 1
                    return heapq.heappop(self.ready)
                if self.running == 0 or self.limit == 0:
                    return None
                self.changed.wait()

    def _end(self, task: int, failure: Exception | None) -> None:
        with self.changed:
            self.running -= 1
            if failure is not None and task < self.limit:
                self.limit, self.failure = task, failure
            if failure is None:
                for other in self.dependents[task]:
                    self.missing[other] -= 1
                    if self.missing[other] == 0:
                        heapq.heappush(self.ready, other)
            self.changed.notify_all()

    def _stop(self, interrupt: BaseException) -> None:
        with self.changed:
            self.interrupt = self.interrupt or interrupt
            self.limit = 0
            self.changed.notify_all()
