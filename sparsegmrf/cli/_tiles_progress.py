"""How far the work on tiles is, and about how long it will take."""

from types import TracebackType

from rich import progress as bars
from rich.console import Console

from sparsegmrf.large._forecast import Forecast

_SMALL = 0.01
"""Share of stages that read and write, of all."""
_LATE = ("likelihood", "images", "writing")
"""Stages once means are known."""


class TilesProgress:
    """A bar over all stages on terminals, gone at the end; called with a stage, what is done of it, and its size."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bar = bars.Progress(
            bars.SpinnerColumn(),
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.TaskProgressColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            speed_estimate_period=3600.0,
        )
        self._task = self._bar.add_task("reading", total=None)
        self._forecast: Forecast | None = None
        self._expected: list[tuple[str, float]] = []
        self._finished = self._size = self._done = 0.0

    def __enter__(self) -> "TilesProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def expect(self, forecast: Forecast) -> None:
        """Take a forecast for what is to come."""
        self._forecast = forecast
        self._expected = [
            *forecast.stages,
            *((name, _SMALL * forecast.total) for name in ("reading", "images", "writing")),
        ]

    @property
    def total(self) -> float:
        """Seconds of all stages, by the forecast and by what has turned out."""
        return self._finished + self._size + sum(seconds for _, seconds in self._expected)

    @property
    def share(self) -> float:
        """Share of these that is done."""
        return self._done / self.total if self.total else 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Tell what is done of a stage; with nothing done it begins."""
        kind = stage.split(" ", maxsplit=1)[0]
        if done == 0:
            self._begin(kind, total)
        self._done = self._finished + self._size * (done / total if total else 1.0)
        if done >= total:
            self._finished, self._size = self._done, 0.0
        words = stage if total == 1 else f"{stage} {done}/{total}"
        known = self.total if self._forecast is not None else None
        self._bar.update(self._task, description=words, completed=self._done, total=known, refresh=True)

    def _begin(self, kind: str, total: int) -> None:
        """Begin a stage: one that was expected, or what has come in addition."""
        position = next((k for k, (name, _) in enumerate(self._expected) if name == kind), None)
        known = None if position is None else self._expected.pop(position)[1]
        if self._forecast is not None and kind in self._forecast.seconds:
            known = self._forecast.seconds[kind] * total / self._forecast.tiles
        self._size = known or 0.0
        if kind in _LATE:  # what was expected and not needed before comes no more
            self._expected = [(name, seconds) for name, seconds in self._expected if name in _LATE]
