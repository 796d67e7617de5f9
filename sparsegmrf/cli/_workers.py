"""Workers of dask for the work on tiles."""

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any

import typer

from sparsegmrf import _memory
from sparsegmrf._libraries import library
from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.large._cluster import OnCluster, check_workers, event_loop, room_of, threads_of
from sparsegmrf.large._run import Run

_TIMEOUT = 10.0
"""Seconds in which a scheduler must answer."""
_SHARE = 0.5
"""Of the memory that is available, for tiles."""


@dataclass(frozen=True, eq=False)
class Workers:
    """Where the work on tiles is done.

    Attributes
    ----------
    client : distributed.Client or None
        Of a cluster; None for this process.
    room : int or None
        Bytes that each of its threads may take for a tile, where there is a limit.
    """

    client: Any = None
    room: int | None = None

    @property
    def count(self) -> int | None:
        """Tiles that are worked on at once by workers, None here."""
        return None if self.client is None else max(1, threads_of(self.client))

    def engine(self, run: Run) -> OnCluster | None:
        """Return where a run is to be done, None for here."""
        return None if self.client is None else OnCluster(self.client, run.cuts, run.raster)


@dataclass(frozen=True)
class WorkersOptions:
    """Where the work on tiles is done, as the command line has it."""

    workers: Annotated[
        int | None, typer.Option(help="Processes of this machine that work on tiles side by side, with dask.")
    ] = None
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a running dask scheduler, such as tcp://host:8786, for its workers.")
    ] = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.scheduler is not None:
            raise ArgumentError("workers must be left out with a scheduler, which has its own.")
        if self.workers is not None:
            integer_at_least("workers", self.workers, 1)

    def start(self, opened: ExitStack) -> Workers:
        """Start workers, or meet those of a scheduler, until the stack is closed."""
        if self.workers is None and self.scheduler is None:
            return Workers()
        client = self._client(library("distributed"), opened)
        _wait(client)
        check_workers(client, version("sparsegmrf"))
        rooms = [room_of(client)]
        if self.workers is not None:
            rooms.append(int(_SHARE * _memory.available_bytes() / self.workers))
        return Workers(client, min((room for room in rooms if room is not None), default=None))

    def _client(self, distributed: Any, opened: ExitStack) -> Any:
        if self.scheduler is None:
            options = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": logging.CRITICAL}
            options["loop"] = opened.enter_context(event_loop())
            cluster = opened.enter_context(distributed.LocalCluster(n_workers=self.workers, **options))
            return opened.enter_context(distributed.Client(cluster, set_as_default=False))
        try:
            return opened.enter_context(distributed.Client(self.scheduler, timeout=_TIMEOUT, set_as_default=False))
        except (OSError, ValueError, TimeoutError) as error:
            raise ArgumentError(
                f"scheduler must be the address of a running dask scheduler, such as tcp://host:8786, got "
                f"{self.scheduler}, where none answers: {error or type(error).__name__}"
            ) from error


def _wait(client: Any) -> None:
    """Wait for a first worker, as long as a scheduler may take to answer."""
    try:
        client.wait_for_workers(1, timeout=_TIMEOUT)
    except TimeoutError as error:
        raise ArgumentError(
            f"workers must be there to work on tiles, got none within {_TIMEOUT:g} s; start some for the scheduler."
        ) from error
