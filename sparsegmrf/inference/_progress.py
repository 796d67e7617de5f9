"""How far a fit is: what is evaluated tells it to whoever listens, and nothing else depends on it."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._progress_bar import bar

_FIRST = "fitting"
_SEARCH = 15
"""Likelihoods that a fit takes, before it is known how far from the maximum it is."""
_AFTER_TILE = 5
"""The same from where a tile's search has ended."""
_SHORTER = 4.0
"""By what a likelihood shortens the Newton step of a search, on average."""
_POWER = 1.25
"""Of the number of pixels, with which the time of a likelihood of an image grows."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Progress:
    """How far a fit, a filling or a comparison is.

    Attributes
    ----------
    stage : str
        What is done: ``"fitting"``, the name of a model that is compared, ``"predicting"``; with ``", on a tile"``
        where a search begins on a part of the image. A part of a stage is told after it: ``"scoring: solving"``.
    done : int
        Evaluations of the stage so far: likelihoods, or predictions of what is held out; of stacks also dates, tiles,
        steps of an iteration.
    total : int or None
        How many they will be, as far as can be told: of a search by the length of its Newton step; None: it cannot.
    seconds_left : float
        Estimate for this stage and those that are known to come; NaN where there is none.
    """

    stage: str
    done: int
    total: int | None
    seconds_left: float


ProgressLike = bool | Callable[[Progress], object]
"""Whether to show a bar, or a function that is called with each `Progress`."""


class _Stopped(BaseException):
    """What a listener raises, on its way past searches that take errors for points without a likelihood."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@dataclass
class _Stage:
    """A stage that is under way: evaluations so far, how many are to come, and of how many pixels they are."""

    name: str
    total: int | None
    begun: float
    counts: str = ""
    is_part: bool = False
    done: int = 0
    left: int | None = None
    pixels: int = 0
    since: float = 0.0
    counted: int = 0
    ahead: int = 0  # parts of it that are to come
    finished: list[float] = field(default_factory=list)  # seconds of those that are over

    @property
    def expected(self) -> int | None:
        """How many evaluations there will be."""
        if self.total is not None:
            return self.total
        return None if self.left is None else self.done + self.left

    def seconds(self, now: float) -> float:
        """Return what is left by the time that evaluations have taken, the first of a size apart: it analyses."""
        if self.counted < 2 or self.expected is None:
            return math.nan
        return self.each(now) * max(0, self.expected - self.done)

    def each(self, now: float) -> float:
        """Return the seconds of an evaluation."""
        return (now - self.since) / (self.counted - 1)


class _Listener:
    """Counts evaluations by stage, and tells them to a function."""

    def __init__(self, tell: Callable[[Progress], object]) -> None:
        self._tell = tell
        self._stages = [_Stage(_FIRST, None, time.monotonic())]
        self._whole = 0
        self._power = _POWER

    def expect(self, stages: int) -> None:
        """Take note of stages to come."""
        self._stages[-1].ahead = stages

    def of_size(self, pixels: int, power: float) -> None:
        """Take note of the pixels of what is searched: the most of any are those of the image."""
        self._whole, self._power = max(self._whole, pixels), power

    def begin(self, name: str, total: int | None, counts: str, is_part: bool) -> None:
        """Begin a stage."""
        outer = self._stages[-1]
        outer.ahead = max(0, outer.ahead - 1)
        self._stages.append(_Stage(name, total, time.monotonic(), counts, is_part))
        self._report()

    def end(self) -> None:
        """End it, and go on with the one that it is part of."""
        stage = self._stages.pop()
        self._stages[-1].finished.append(time.monotonic() - stage.begun)

    def evaluated(self, pixels: int, what: str) -> None:
        """Count an evaluation if it is what the stage counts, and tell it."""
        stage = self._stages[-1]
        if what != stage.counts:
            return
        if not stage.counted or pixels != stage.pixels:  # on another part of the image it begins anew
            begins = 0 < pixels == self._whole
            stage.left = (_AFTER_TILE if stage.pixels else _SEARCH) if begins else None
            stage.pixels, stage.since, stage.counted = pixels, time.monotonic(), 0
            stage.done = 0 if stage.total is None else stage.done
        stage.done += 1
        stage.counted += 1
        if stage.left is not None:  # beyond what was expected nothing is known
            stage.left = stage.left - 1 if stage.left > 0 else None
        self._report()

    def reached(self, done: int, what: str) -> None:
        """Count evaluations up to a number if they are what the stage counts, and tell it."""
        stage = self._stages[-1]
        if what != stage.counts or done <= stage.done:
            return
        if stage.counted:
            stage.counted += done - stage.done
        else:
            stage.counted, stage.since = 1, time.monotonic()
        stage.done = done
        self._report()

    def remaining(self, evaluations: int) -> None:
        """Take note of how many evaluations a search still needs."""
        self._stages[-1].left = evaluations

    def _is_tile(self, stage: _Stage) -> bool:
        """Whether a part of the image is searched."""
        return 0 < stage.pixels < self._whole

    def _report(self) -> None:
        stage = self._stages[-1]
        names = [each.name for each in self._stages[1:]] or [stage.name]
        part = ", on a tile" if self._is_tile(stage) else ""
        try:
            self._tell(Progress(": ".join(names) + part, stage.done, stage.expected, self._seconds_left()))
        except Exception as error:
            raise _Stopped(error) from error

    def _seconds_left(self) -> float:
        """Return what is left of the stage, of those that it is part of, and of others to come that are like these."""
        now, stage = time.monotonic(), self._stages[-1]
        left, begun = stage.seconds(now), stage.begun
        if self._is_tile(stage) and not math.isnan(left):  # then the image itself
            left += _AFTER_TILE * stage.each(now) * (self._whole / stage.pixels) ** self._power
        is_part = False
        for each in reversed(self._stages):
            like = each.finished or [left + now - begun]
            rest = each.seconds(now) if is_part else 0.0
            left += each.ahead * sum(like) / len(like) + (0.0 if math.isnan(rest) else rest)
            begun, is_part = each.begun, each.is_part
        return left


_LISTENER: ContextVar[_Listener | None] = ContextVar("listener", default=None)


def with_progress(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return a function whose argument ``progress`` is told how far it is; the function itself leaves it alone."""

    @wraps(function)
    def call(*args: _P.args, **options: _P.kwargs) -> _T:
        progress: Any = options.get("progress", False)
        with listening(progress):
            return function(*args, **options)

    return call


@contextmanager
def listening(progress: ProgressLike) -> Iterator[None]:
    """Tell what is evaluated meanwhile to a function, or show it as a bar; what a function raises goes through."""
    if not callable(progress) and not isinstance(progress, bool):
        raise ArgumentError(f"progress must be True, False or a function of a Progress, got {progress!r}.")
    if callable(progress):
        token = _LISTENER.set(_Listener(progress))
        try:
            yield
        except _Stopped as stopped:
            raise stopped.error from None
        finally:
            _LISTENER.reset(token)
    elif progress:
        with bar() as tell, listening(tell):
            yield
    else:
        yield


@contextmanager
def stage(name: str, total: int | None = None, counts: str = "", *, is_part: bool = False) -> Iterator[None]:
    """Name what is evaluated meanwhile, and of how many evaluations it is, if that is known.

    With `counts` only what is called so is counted. It may be a part of one evaluation of the stage around it.
    """
    listener = _LISTENER.get()
    if listener is None:
        yield
        return
    listener.begin(name, total, counts, is_part)
    try:
        yield
    finally:
        listener.end()


def expect(stages: int) -> None:
    """Tell that so many stages are to come, each about as long as those before."""
    listener = _LISTENER.get()
    if listener is not None:
        listener.expect(stages)


def of_size(pixels: int, power: float = _POWER) -> None:
    """Tell of how many pixels a function is that will be searched, and with which power of them its time grows."""
    listener = _LISTENER.get()
    if listener is not None:
        listener.of_size(pixels, power)


def evaluated(pixels: int = 0, what: str = "") -> None:
    """Tell that something was evaluated, a likelihood of so many pixels, or what only some stages count."""
    listener = _LISTENER.get()
    if listener is not None:
        listener.evaluated(pixels, what)


def reached(done: int, what: str = "") -> None:
    """Tell how many are done of what threads evaluate: it is told by the one that has begun the stage, for all."""
    listener = _LISTENER.get()
    if listener is not None:
        listener.reached(done, what)


def remaining(evaluations: int) -> None:
    """Tell how many evaluations a stage still needs."""
    listener = _LISTENER.get()
    if listener is not None:
        listener.remaining(evaluations)


def approaching(decrement: float, tolerance: float) -> None:
    """Tell how long the Newton step of a search is, in standard errors, and the tolerance that it is to reach."""
    listener = _LISTENER.get()
    if listener is not None and tolerance > 0.0 and math.isfinite(decrement):
        ratio = max(1.0, decrement / tolerance)
        listener.remaining(1 + math.ceil(math.log(ratio) / math.log(_SHORTER)))
