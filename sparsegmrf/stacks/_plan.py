"""How a stack is computed, chosen by its size, and the refusal of what does not fit."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sparsegmrf import _memory
from sparsegmrf._threads import get_num_threads
from sparsegmrf.errors import ArgumentError, SparseGMRFError, TooLargeError
from sparsegmrf.factors.dissection import plan as plan_dissection
from sparsegmrf.stacks._chain import Tridiagonal
from sparsegmrf.stacks._evidence import Make, StackModel
from sparsegmrf.stacks._lattice import LatticeFactor, stencil_of
from sparsegmrf.stacks._precision import StackPrecision
from sparsegmrf.stacks._sweep import SweepFactor
from sparsegmrf.stacks._windows import Window, best_observed, spread_over, tiles, whole
from sparsegmrf.typing import IntArray, Shape

METHODS = ("auto", "sweep", "lattice")
_FITTED = 5e10
"""Operations of a likelihood with its gradient up to which a fit takes all pixels."""
_FILLED = 1e12
"""Operations up to which all pixels are predicted at once."""
_TILE = 24
"""Side in pixels of the windows of tiles, halos included."""
_HALO = 6
_FIT_SIDE = 12
"""Side in pixels of the windows of a fit."""
_SLOWER = 10.0
"""How many times longer an operation of the dissection takes, whose fronts are small."""
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
        Cores and windows by which pixels are predicted; one that is the whole is exact.
    nbytes : int
        Largest memory of a factor.
    operations : float
        Of one likelihood with its gradient.
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

    @property
    def is_exact(self) -> bool:
        """Whether every pixel is predicted from all others."""
        return len(self.tiles) == 1

    @property
    def make(self) -> Make:
        """What makes a factor."""
        return SweepFactor if self.method == "sweep" else LatticeFactor

    def __str__(self) -> str:
        height, width = self.shape
        how = "date by date" if self.method == "sweep" else "by dissection, all dates of a pixel together"
        fit = (
            "all pixels"
            if len(self.fit_windows) == 1 and self.fit_windows[0].shape == self.shape
            else (f"{len(self.fit_windows)} windows of {_sides(self.fit_windows[0])}")
        )
        fields = f"{self.n_fields} fields per date, " if self.n_fields > 1 else ""
        filled = "at once" if self.is_exact else f"in {len(self.tiles)} tiles with windows of up to {_largest(self)}"
        return (
            f"{self.n_dates} dates of {height} x {width} pixels, {fields}{self.n_coefficients} coefficients per pixel, "
            f"{how}; "
            f"fitted to {fit}, filled {filled}; {self.nbytes / 1e9:.2g} GB"
        )


def _sides(window: Window) -> str:
    return f"{window.shape[0]} x {window.shape[1]}"


def _largest(plan: StackPlan) -> str:
    return _sides(max((window for _, window in plan.tiles), key=lambda each: each.shape[0] * each.shape[1]))


@dataclass(frozen=True)
class Size:
    """Unknowns of a pixel, and the model whose reach counts.

    Attributes
    ----------
    n_dates : int
    n_maps : int
        Coefficients of the season.
    model : StackModel
    """

    n_dates: int
    n_maps: int
    model: StackModel

    @property
    def n_fields(self) -> int:
        """Fields at every date."""
        return len(self.model.moving)

    @property
    def n_coefficients(self) -> int:
        """Maps that all dates have: of the season, and fields of the model."""
        return self.n_maps + len(self.model.static)

    def sweep_operations(self, pixels: int) -> float:
        """Return the operations of a likelihood with its gradient by the sweep."""
        R, K = self.n_fields, self.n_coefficients
        a_date = 8.0 * R**3 + 5.0 * R * K**2 + 12.0 * R**2 * K
        return float(self.n_dates) * float(pixels) ** 3 * a_date + 2.0 * (K * pixels) ** 3

    def sweep_bytes(self, pixels: int) -> int:
        """Return the memory of the sweep."""
        R, K = self.n_fields, self.n_coefficients
        return 8 * pixels**2 * (self.n_dates * R * (R + K) + 8 * R**2 + 3 * R * K + 3 * K**2)

    def lattice(self, shape: Shape) -> tuple[float, int]:
        """Return operations, in those of the sweep, and memory of the dissection; infinite where it cannot be."""
        U, C = self.n_dates, self.n_fields * self.n_dates + self.n_coefficients
        small = min(shape[0], 8), min(shape[1], 8)
        try:
            corner = slice(0, small[0]), slice(0, small[1])
            of_c = self.model.coefficients.cropped(*corner).stencil(small)
            own = [part.model.cropped(*corner).stencil(small) for _, part in self.model.moving]
            static = [part.model.cropped(*corner).stencil(small) for _, part in self.model.static]
            weight = np.ones((U, small[0] * small[1]))
            weight[:, ::2] = 2.0
            J = Tridiagonal(np.full(U, 3.0), np.full(U - 1, -1.0))
            maps, basis = (of_c,) * self.n_maps + tuple(static), np.ones((U, self.n_coefficients))
            like = stencil_of(StackPrecision((J,) * len(own), tuple(own), maps, basis, weight))
            found = plan_dissection(shape, like)
        except SparseGMRFError:
            return math.inf, 2**62
        stencils = 8 * shape[0] * shape[1] * C**2 * len(like.offsets) * 4
        return _SLOWER * 6.0 * found.operations, found.peak_bytes + stencils


def work_of(size: Size, plan: StackPlan) -> tuple[float, float]:
    """Return the operations of one likelihood of a fit with its gradient, and of a prediction of all pixels."""
    if plan.method == "lattice":
        return plan.operations, plan.operations

    def of(windows: Sequence[Window]) -> float:
        return sum(size.sweep_operations(window.shape[0] * window.shape[1]) for window in windows)

    return of(plan.fit_windows), of([window for _, window in plan.tiles])


def plan_stack(
    size: Size, shape: Shape, seen: IntArray, method: str, core: int | None, halo: int | None, n_samples: int
) -> StackPlan:
    """Return how a stack is computed.

    Raises
    ------
    TooLargeError
        If what is asked for does not fit: draws of tiles, or a single date by the sweep.
    """
    free = _SHARE * _memory.available_bytes()
    pixels = shape[0] * shape[1]
    ways = {}
    if method in ("auto", "sweep"):
        ways["sweep"] = size.sweep_operations(pixels), size.sweep_bytes(pixels)
    if method in ("auto", "lattice") and (method == "lattice" or ways["sweep"][0] > _FITTED / 100.0):
        ways["lattice"] = size.lattice(shape)
    best = min(ways, key=lambda name: (ways[name][1] > free, ways[name][0]))
    operations, needed = ways[best]
    if math.isinf(operations):
        raise ArgumentError("method must suit the model, got lattice with a field that wraps; take sweep.")
    fits = core is None and needed <= free and (operations <= _FILLED or method != "auto")
    if fits:
        windows = [whole(shape)] if operations <= _FITTED or method != "auto" else _fit_windows(size, seen)
        return StackPlan(
            best,
            size.n_dates,
            size.n_coefficients,
            shape,
            tuple(windows),
            ((whole(shape),) * 2,),
            needed,
            operations,
            size.n_fields,
        )
    margin, free = _HALO if halo is None else halo, free / get_num_threads()
    side = _tile_side(size, free) if core is None else core + 2 * margin
    inner = max(1, side - 2 * margin) if core is None else core
    needed = size.sweep_bytes(min(side, shape[0]) * min(side, shape[1]))
    if needed > free or side <= 2 * margin:
        raise TooLargeError(
            f"a tile of a stack of {size.n_dates} dates would need about {needed / 1e9:.3g} GB, and "
            f"{free / 1e9:.3g} GB may be taken; give a smaller core= and halo=, fewer harmonics, or a part of the "
            "dates."
        )
    if n_samples:
        raise TooLargeError(
            f"draws of a stack of {size.n_dates} dates of {shape[0]} x {shape[1]} pixels would need about "
            f"{ways[best][1] / 1e9:.3g} GB and {operations:.2g} operations, since they need all pixels at once; take a "
            'window of it, fewer dates, n_samples=0, or give method="sweep" if there is time and memory.'
        )
    cut = tuple(tiles(shape, inner, margin))
    return StackPlan(
        "sweep",
        size.n_dates,
        size.n_coefficients,
        shape,
        tuple(_fit_windows(size, seen)),
        cut,
        needed,
        operations,
        size.n_fields,
    )


def _tile_side(size: Size, free: float) -> int:
    side = _TILE
    while side > 2 * _HALO + 2 and (size.sweep_bytes(side**2) > free or size.sweep_operations(side**2) > _FILLED):
        side -= 2
    return side


def _fit_windows(size: Size, seen: IntArray) -> list[Window]:
    """Return windows that together cost what a fit may."""
    side = _FIT_SIDE
    while side > 4 and size.sweep_operations(side**2) > _FITTED:
        side -= 1
    count = int(np.clip(_FITTED / size.sweep_operations(side**2), 1, 9))
    found = spread_over(seen, side, count)
    return found or [best_observed(seen, side)]
