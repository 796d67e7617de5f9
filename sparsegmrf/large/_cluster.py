"""Work on tiles by the workers of a dask cluster, which need nothing but the package."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from sparsegmrf import _libraries, _threads
from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf.errors import ArgumentError, WorkersLostError
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Tile, Window
from sparsegmrf.large._journal import Made
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._raster import Raster
from sparsegmrf.large._solver import Factors
from sparsegmrf.large._stages import Inputs, Task
from sparsegmrf.typing import FloatArray

_PATIENCE = 60.0
"""Seconds to wait for workers when none is left."""
_LOOK = 2.0
"""Seconds after which it is seen to that there are workers."""
_AHEAD = 2
"""Tiles that are handed out per thread: one to work on and one to go on with."""
_SHARE = 0.5
"""Of the memory of a worker, for its tiles."""


class OnCluster:
    """Tiles on the workers of a cluster, whatever they are and however long they live.

    Each is handed what its window shows of the raster and of the residual, and gives back arrays on its core, so that
    workers need no files, and what one has lost another does again. No more is handed out than keeps all threads at
    work.

    Parameters
    ----------
    client : distributed.Client
        Of the cluster.
    cuts : Cuts
    raster : Raster
    """

    def __init__(self, client: Any, cuts: Cuts, raster: Raster) -> None:
        self.client, self.cuts, self.raster = client, cuts, raster
        self._numbers = itertools.count()

    def over(self, name: str, task: Task, tiles: Sequence[Tile], inputs: Inputs) -> Iterator[tuple[Tile, Made]]:
        """Yield what a task makes of each tile, as they come."""
        waiting = list(reversed(tiles))
        running: dict[Any, Tile] = {}
        config = _libraries.library("dask").config
        try:
            while waiting or running:
                most = _AHEAD * max(1, threads_of(self.client))
                with config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
                    while waiting and len(running) < most:
                        tile = waiting.pop()
                        running[self._submitted(name, task, tile, inputs(tile))] = tile
                for future in self._first(list(running)):
                    yield running.pop(future), _result(future)
        finally:
            self.client.cancel(list(running), force=True)

    def _submitted(self, name: str, task: Task, tile: Tile, given: tuple[Any, ...]) -> Any:
        window, variance = tile.window, self.raster.variance
        seen = self.raster.read(*window.slices), variance(*window.slices) if callable(variance) else variance
        missing = None if self.raster.missing is None else self.raster.missing(*window.slices)
        key = f"gmrf-{name.replace(' ', '-')}-{id(self)}-{next(self._numbers)}"
        return self.client.submit(_there, task, self.cuts, tile, seen, missing, given, key=key, pure=False)

    def _first(self, futures: list[Any]) -> list[Any]:
        """Return those that are done first, after making sure from time to time that somebody works on them."""
        wait, alone = _libraries.library("distributed").wait, None
        while True:
            try:
                with self.client.as_current():
                    return list(wait(futures, timeout=_LOOK, return_when="FIRST_COMPLETED").done)
            except TimeoutError:
                pass  # nothing is done yet
            if self.client.status == "running" and threads_of(self.client):
                alone = None
                continue
            alone = time.monotonic() if alone is None else alone
            if self.client.status != "running" or time.monotonic() - alone > _PATIENCE:
                raise WorkersLostError(
                    "workers must stay to work on the tiles, but none is left; start new ones and go on with --resume."
                )


@contextmanager
def event_loop() -> Iterator[Any]:
    """Run an event loop in a thread of its own, for a cluster of this machine.

    The loop that `distributed` starts by itself must be up within 10 seconds, which a busy machine may take.

    Yields
    ------
    tornado.ioloop.IOLoop
    """
    from tornado.ioloop import IOLoop  # comes with distributed

    started: Future[tuple[IOLoop, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def wait() -> None:
        stop = asyncio.Event()
        started.set_result((IOLoop.current(), asyncio.get_running_loop(), stop))
        await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(wait(),), name="event loop of workers", daemon=True)
    thread.start()
    loop, running, stop = started.result()
    try:
        yield loop
    finally:
        running.call_soon_threadsafe(stop.set)
        thread.join()


def threads_of(client: Any) -> int:
    """Return the threads of all workers of a cluster."""
    return sum(client.nthreads().values()) if client.status == "running" else 0


def room_of(client: Any) -> int | None:
    """Return the bytes that the work on one tile may take on any worker; None if no worker has a limit."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    limits = [each["memory_limit"] / max(1, each["nthreads"]) for each in workers if each["memory_limit"]]
    return int(_SHARE * min(limits)) if limits else None


def check_workers(client: Any, version: str) -> None:
    """Refuse workers that have not this version of the package.

    Raises
    ------
    ArgumentError
        With the versions found.
    """
    found = set(client.run(_version).values())
    if not found or found - {version}:
        raise ArgumentError(
            f"workers must have sparsegmrf {version}, as is here, got "
            f"{', '.join(sorted(map(str, found))) or 'no worker'}; install it there, or start workers."
        )


def _version() -> str:
    import importlib.metadata

    try:
        return importlib.metadata.version("sparsegmrf")
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _result(future: Any) -> Made:
    distributed = _libraries.library("distributed")
    try:
        made: Made = future.result()
    except distributed.KilledWorker as error:
        raise WorkersLostError(
            "workers must live through the work on a tile, but several died of one; give less --memory, so that tiles "
            "are smaller, or workers with more, and go on with --resume."
        ) from error
    except (distributed.client.CancelledError, distributed.comm.CommClosedError) as error:
        raise WorkersLostError(
            f"the scheduler must stay until all tiles are done, but: {error}; start it again and go on with --resume."
        ) from error
    return made


def _there(task: Task, cuts: Cuts, tile: Tile, seen: tuple[Any, Any], missing: Any, given: tuple[Any, ...]) -> Made:
    """Do a task on a worker, in the one thread that it gives."""
    window, (values, variance) = tile.window, seen
    raster = Raster(
        cuts.shape,
        _on(window, values),
        None if missing is None else _on(window, missing),
        _on(window, variance) if getattr(variance, "shape", ()) else variance,
    )
    made: list[Made] = []
    with one_blas_thread():
        _threads.as_task(lambda: made.append(task(Factors(Posterior(cuts, raster), 0), tile, *given)))
    return made[0]


def _on(window: Window, values: FloatArray) -> Any:
    """Return what reads windows within one."""

    def read(rows: slice, columns: slice) -> FloatArray:
        return values[Window(rows.start, rows.stop, columns.start, columns.stop).within(window)]

    return read
