"""A bar that shows how far a fit is, on a terminal or in a notebook."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sparsegmrf._libraries import library


@contextmanager
def bar() -> Iterator[Callable[[Any], None]]:
    """Show a bar on standard error while something is done, gone at the end; nothing where that is no terminal.

    Raises
    ------
    MissingLibraryError
        If rich is not installed.
    """
    bars, console = library("rich.progress", "progress=True"), library("rich.console", "progress=True")
    error = console.Console(stderr=True)
    shown = bars.Progress(
        bars.SpinnerColumn(),
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TextColumn("{task.fields[told]}"),
        bars.TimeElapsedColumn(),
        console=error,
        transient=True,
        disable=not (error.is_terminal or error.is_jupyter),
    )
    task = shown.add_task("", total=None, told="")

    def tell(progress: Any) -> None:
        shown.update(
            task,
            description=progress.stage,
            completed=progress.done,
            total=progress.total,
            told=described(progress),
            refresh=True,
        )

    with shown:
        yield tell


def described(progress: Any) -> str:
    """Say how many evaluations there were, and about how long the rest will take."""
    count = f"{progress.done}" if progress.total is None else f"{progress.done} of about {progress.total}"
    left = progress.seconds_left
    if left != left:
        return count
    return f"{count}, {left:.0f} s left" if left < 100.0 else f"{count}, {left / 60.0:.0f} min left"
