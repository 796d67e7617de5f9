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
from sparsegmrf.large._cluster import OnCluster, check_workers, room_of, threads_of
from sparsegmrf.large._run import Run

_TIMEOUT = 10.0
"""Seconds in which a scheduler must answer."""
_SHARE = 0.5
"""Of the memory that is available, for tiles."""


@dataclass
class WorkersOptions:
    """Where the work on tiles is done, as the command line has it."""

    workers: Annotated[
        int | None, typer.Option(help="Processes of this machine that work on tiles side by side, with dask.")
    ] = None
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a running dask scheduler, such as tcp://host:8786, for its workers.")
    ] = None

    def __post_init__(self) -> None:
        self._client: Any = None
        if self.workers is not None and self.scheduler is not None:
            raise ArgumentError("workers must be left out with a scheduler, which has its own.")
        if self.workers is not None:
            integer_at_least("workers", self.workers, 1)

    def start(self, opened: ExitStack) -> int | None:
        """Start workers, or meet those of a scheduler; return the bytes that each may take for a tile, if so."""
        if self.workers is None and self.scheduler is None:
            return None
        distributed = library("distributed")
        if self.scheduler is None:
            cluster = opened.enter_context(
                distributed.LocalCluster(
                    n_workers=self.workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            )
            self._client = opened.enter_context(distributed.Client(cluster, set_as_default=False))
        else:
            try:
                self._client = opened.enter_context(
                    distributed.Client(self.scheduler, timeout=_TIMEOUT, set_as_default=False)
                )
            except (OSError, ValueError, TimeoutError) as error:
                raise ArgumentError(
                    f"scheduler must be the address of a running dask scheduler, such as tcp://host:8786, got "
                    f"{self.scheduler}, where none answers: {error or type(error).__name__}"
                ) from error
        _wait(self._client)
        check_workers(self._client, version("sparsegmrf"))
        rooms = [room_of(self._client)]
        if self.workers is not None:
            rooms.append(int(_SHARE * _memory.available_bytes() / self.workers))
        return min((room for room in rooms if room is not None), default=None)

    @property
    def count(self) -> int | None:
        """Tiles that are worked on at once by workers, None here."""
        return None if self._client is None else max(1, threads_of(self._client))

    def engine(self, run: Run) -> OnCluster | None:
        """Return where a run is to be done, None for here."""
        return None if self._client is None else OnCluster(self._client, run.cuts, run.raster)


def _wait(client: Any) -> None:
    """Wait for a first worker, as long as a scheduler may take to answer."""
    try:
        client.wait_for_workers(1, timeout=_TIMEOUT)
    except TimeoutError as error:
        raise ArgumentError(
            f"workers must be there to work on tiles, got none within {_TIMEOUT:g} s; start some for the scheduler."
        ) from error
