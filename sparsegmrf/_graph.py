"""Run tasks that depend on each other in the package's threads."""

import heapq
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait

from sparsegmrf import _threads


def run_graph(tasks: Sequence[Callable[[], None]], needs: Sequence[Sequence[int]]) -> None:
    """Run every task after those it needs; among the ready ones the lowest index goes first.

    The calling thread works too, so an interrupt reaches it between two tasks; then, and after an exception, no further
    task starts, those under way end, and the exception is raised.

    Parameters
    ----------
    tasks : sequence of callables
        In an order in which a single thread could run them.
    needs : sequence of sequences of int
        Per task, the indices of the tasks it needs.
    """
    _Graph(tasks, needs).run()


class _Graph:
    def __init__(self, tasks: Sequence[Callable[[], None]], needs: Sequence[Sequence[int]]) -> None:
        self.tasks = tasks
        self.missing = [len(set(before)) for before in needs]
        self.dependents: list[list[int]] = [[] for _ in tasks]
        for task, before in enumerate(needs):
            for other in set(before):
                self.dependents[other].append(task)
        self.ready = [task for task, count in enumerate(self.missing) if count == 0]
        self.left = len(tasks)
        self.changed = threading.Condition()
        self.error: BaseException | None = None

    def run(self) -> None:
        extra = min(_threads.get_num_threads(), len(self.tasks)) - 1
        futures: list[Future[None]] = []
        if extra > 0:
            _threads._submit(self._work, extra, futures)
        self._work()
        wait(futures)
        if self.error is not None:
            raise self.error

    def _work(self) -> None:
        try:
            while (task := self._next()) is not None:
                self.tasks[task]()
                self._done(task)
        except BaseException as error:
            with self.changed:
                self.error = self.error or error
                self.changed.notify_all()

    def _next(self) -> int | None:
        with self.changed:
            while not self.ready and self.left and self.error is None:
                self.changed.wait()
            if self.error is not None or not self.ready:
                return None
            return heapq.heappop(self.ready)

    def _done(self, task: int) -> None:
        with self.changed:
            self.left -= 1
            for other in self.dependents[task]:
                self.missing[other] -= 1
                if self.missing[other] == 0:
                    heapq.heappush(self.ready, other)
            self.changed.notify_all()
