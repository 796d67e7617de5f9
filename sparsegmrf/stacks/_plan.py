"""How a stack is computed, chosen by its size, and the refusal of what does not fit."""

import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sparsegmrf import _memory
from sparsegmrf._threads import get_num_threads
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.stacks._evidence import Make
from sparsegmrf.stacks._lattice import LatticeFactor
from sparsegmrf.stacks._size import Size, decay_rate
from sparsegmrf.stacks._sweep import SweepFactor
from sparsegmrf.stacks._windows import Window, best_observed, spread_over, tiles, whole
from sparsegmrf.typing import IntArray, Shape

METHODS = ("auto", "sweep", "lattice")
_FITTED = 5e10
"""Operations of a likelihood with its gradient up to which a fit takes all pixels."""
_FILLED = 1e12
"""Operations up to which all pixels are predicted at once."""
_TILED = 5e13
"""Operations that all tiles together may take."""
_FORGOTTEN = 0.02
"""Relative error of a variance at the core's border that a halo is to leave, in a gap."""
_CORE = 8
"""Least side in pixels of a core that is not asked for."""
_FIT_SIDE = 12
"""Side in pixels of the windows that a fit starts from."""
_SCORED = 4_000_000
"""Unknowns on which the score is computed."""
_A_STEP, _A_SOLUTION = 7e5, 2e6
"""Operations a dense product does while an unknown is scored, shared among the likelihoods of a fit, or solved for."""
_SHARE = 0.6
"""Of the memory available, what a factor may take."""


@dataclass(frozen=True)
class StackPlan:
    """Prediction for a stack.

    Attributes
    ----------
    method : str
        ``"sweep"``: dense blocks of pixels, date by date; ``"lattice"``: all dates of a pixel together, dissected.
    n_dates, n_coefficients, n_fields : int
        Unknowns of a pixel: fields at every date, and coefficients.
    shape : (int, int)
        Of the images.
    fit_windows : tuple of Window
        On which parameters are fitted; one that is the whole is exact.
    tiles : tuple of (Window, Window)
        Cores and windows by which variances are predicted; one that is the whole is exact.
    nbytes : int
        Memory that is foreseen beyond the stack.
    operations : float
        Of one likelihood with its gradient.
    scored : Window or None
        Pixels on which the fit goes on from that to windows, by the score; None if that is of the whole.
    halo, wanted : int
        Pixels about a core, and those which the range asks for.
    segment : int or None
        Dates whose blocks are kept at a time; None: all.
    """

    method: str
    n_dates: int
    n_coefficients: int
    shape: Shape
    fit_windows: tuple[Window, ...]
    tiles: tuple[tuple[Window, Window], ...]
    nbytes: int
    operations: float
    n_fields: int = 1
    scored: Window | None = None
    halo: int = 0
    wanted: int = 0
    segment: int | None = None

    @property
    def is_exact(self) -> bool:
        """Whether variances of every pixel come from all others; means always do."""
        return len(self.tiles) == 1

    @property
    def make(self) -> Make:
        """What makes a factor."""
        if self.method == "lattice":
            return LatticeFactor
        return SweepFactor if self.segment is None else partial(SweepFactor, segment=self.segment)

    def __str__(self) -> str:
        fields = f"{self.n_fields} fields per date, " if self.n_fields > 1 else ""
        return (
            f"{self.n_dates} dates of {_sides(self.shape)} pixels, {fields}{self.n_coefficients} coefficients per "
            f"pixel, {self._how}; {self._fitted}, {self._filled}; {self.nbytes / 1e9:.2g} GB"
        )

    @property
    def _how(self) -> str:
        if self.method == "lattice":
            return "by dissection, all dates of a pixel together"
        return "date by date" + (f", {self.segment} of them kept" if self.segment else "")

    @property
    def _fitted(self) -> str:
        if len(self.fit_windows) == 1 and self.fit_windows[0].shape == self.shape:
            return "fitted to all pixels"
        first = f"fitted to {len(self.fit_windows)} windows of {_sides(self.fit_windows[0].shape)}"
        if self.scored is None:
            return first
        then = "all pixels" if self.scored.shape == self.shape else _sides(self.scored.shape)
        return f"{first}, then by the score of {then}"

    @property
    def _filled(self) -> str:
        if self.is_exact:
            return "filled at once"
        largest = max((window for _, window in self.tiles), key=lambda window: window.n_pixels)
        less = f" of the {self.wanted} wanted" if self.halo < self.wanted else ""
        return (
            f"means of all pixels at once, deviations in {len(self.tiles)} tiles with windows of up to "
            f"{_sides(largest.shape)}, a halo of {self.halo}{less}"
        )


def _sides(shape: Shape) -> str:
    return f"{shape[0]} x {shape[1]}"


def work_of(size: Size, plan: StackPlan) -> tuple[float, float]:
    """Return the operations of one likelihood of a fit with its gradient, and of a prediction of all pixels."""
    if plan.method == "lattice":
        return plan.operations, plan.operations
    fit, filled = size.operations_of(plan.fit_windows), size.operations_of([window for _, window in plan.tiles])
    if plan.scored is not None:
        fit += _A_STEP * size.n_unknowns * plan.scored.n_pixels
    return fit, filled + (0.0 if plan.is_exact else _A_SOLUTION * size.n_unknowns * plan.shape[0] * plan.shape[1])


def plan_stack(
    size: Size, shape: Shape, seen: IntArray, method: str, core: int | None, halo: int | None, n_samples: int
) -> StackPlan:
    """Return how a stack is computed.

    Raises
    ------
    TooLargeError
        If what is asked for does not fit.
    """
    free = _SHARE * _memory.available_bytes()
    pixels = shape[0] * shape[1]
    ways: dict[str, tuple[float, int, int | None]] = {}
    if method in ("auto", "sweep"):
        segment = _segment(size, pixels, free)
        ways["sweep"] = size.sweep_operations(pixels), size.sweep_bytes(pixels, segment), segment
    if method in ("auto", "lattice") and (method == "lattice" or ways["sweep"][0] > _FITTED / 100.0):
        ways["lattice"] = (*size.lattice(shape), None)
    best = min(ways, key=lambda name: (ways[name][1] > free, ways[name][0]))
    operations, needed, segment = ways[best]
    if math.isinf(operations):
        raise ArgumentError("method must suit the model, got lattice with a field that wraps; take sweep.")
    exact = core is None and needed <= free and (operations <= _FILLED or method != "auto")
    fitted = exact and (operations <= _FITTED or method != "auto")
    plan = StackPlan(
        best if exact else "sweep",
        size.n_dates,
        size.n_coefficients,
        shape,
        (whole(shape),) if fitted else tuple(_fit_windows(size, seen)),
        ((whole(shape),) * 2,),
        needed,
        operations,
        size.n_fields,
        None if fitted else _scored(size, seen, free),
        segment=segment if exact else None,
    )
    return plan if exact else tiled(plan, size, core, halo, n_samples)


def tiled(plan: StackPlan, size: Size, core: int | None, halo: int | None, n_samples: int) -> StackPlan:
    """Return a plan with the tiles that suit the range of a model, as large as time and memory allow.

    In a gap the error of a variance falls as ``exp(-2 mu h)`` with the halo ``h``, ``mu`` being the rate at which the
    field forgets. Cores as large as their halo cost least.

    Raises
    ------
    TooLargeError
        If no tile fits into memory, or the means of all pixels do not.
    """
    free, shape = _SHARE * _memory.available_bytes(), plan.shape
    at_once = size.whole_bytes(shape[0] * shape[1], n_samples)
    share = (free - _results(size, shape)) / get_num_threads()
    wanted = halo if halo is not None else min(_halo(size, shape), max(shape))
    for margin in range(wanted, (wanted if halo is not None else 1) - 1, -1):
        inner = max(_CORE, margin) if core is None else core
        cut = tuple(tiles(shape, inner, margin))
        largest = max(window.n_pixels for _, window in cut)
        segment = _segment(size, largest, share)
        needed = size.sweep_bytes(largest, segment)
        if needed <= share and (halo is not None or size.operations_of([window for _, window in cut]) <= _TILED):
            break
    if needed > share:
        raise TooLargeError(
            f"a tile of a stack of {size.n_dates} dates would need about {needed / 1e9:.3g} GB, and "
            f"{max(share, 0.0) / 1e9:.3g} GB may be taken; give a smaller core= and halo=, fewer harmonics, or a part "
            "of the dates."
        )
    if at_once > free:
        raise TooLargeError(
            f"means{' and draws' if n_samples else ''} of a stack of {size.n_dates} dates of {_sides(shape)} pixels "
            f"would need about {at_once / 1e9:.3g} GB, and {free / 1e9:.3g} GB may be taken; take a window of it, or a "
            f"part of the dates{', or n_samples=0' if n_samples else ''}."
        )
    in_tiles = _results(size, shape) + min(get_num_threads(), len(cut)) * needed
    scored = 0 if plan.scored is None else size.score_bytes(plan.scored.n_pixels)
    nbytes = math.ceil(max(in_tiles, at_once, scored, size.fit_bytes(plan.fit_windows)))
    return replace(plan, tiles=cut, halo=margin, wanted=wanted, segment=segment, nbytes=nbytes)


def _halo(size: Size, shape: Shape) -> int:
    rate = decay_rate(size.model, shape)
    return max(1, math.ceil(math.log(1.0 / _FORGOTTEN) / (2.0 * rate))) if rate > 0.0 else max(shape)


def _results(size: Size, shape: Shape) -> float:
    """Return the memory of mean and variance, and of what the trend adds to it."""
    return 8.0 * size.n_dates * shape[0] * shape[1] * (2 + size.n_covariates)


def _segment(size: Size, pixels: int, free: float) -> int | None:
    """Return the dates to be kept at a time: all if they fit, else about the root of their number."""
    if size.sweep_bytes(pixels) <= free:
        return None
    return math.ceil(math.sqrt(size.n_dates))


def _scored(size: Size, seen: IntArray, free: float) -> Window:
    """Return the pixels whose score is computed: all if they are not too many, else the best observed square."""
    pixels = min(_SCORED // size.n_unknowns, int(free / size.score_bytes(1)))
    if seen.size <= pixels:
        return whole((seen.shape[0], seen.shape[1]))
    return best_observed(seen, max(_FIT_SIDE, math.isqrt(pixels)))


def _fit_windows(size: Size, seen: IntArray) -> list[Window]:
    """Return windows that together cost what a fit may."""
    side = _FIT_SIDE
    while side > 4 and size.sweep_operations(side**2) > _FITTED:
        side -= 1
    count = int(np.clip(_FITTED / size.sweep_operations(side**2), 1, 9))
    found = spread_over(seen, side, count)
    return found or [best_observed(seen, side)]
