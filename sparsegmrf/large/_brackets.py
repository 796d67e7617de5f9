"""Bounds on the variance of every pixel of a core, by the two cuts of its window."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sparsegmrf.factors.dissection import DissectionFactor
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Tile, Window, windows_of
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._tiling import work_bytes
from sparsegmrf.typing import BoolArray, FloatArray, Shape

_GROWTH = 1.6
"""By what a halo is multiplied whose bounds are too wide."""
_LEAST = 8
_CELL = 64
"""Side in pixels of the cells of a core by which pixels that are too wide are put into rectangles."""
_OVERHEAD, _POWER = 2000.0, 1.25
"""Of the work on a window: pixels that it is worth to have one less, and the power of its pixels."""


@dataclass(frozen=True, eq=False)
class Bracket:
    """Bounds on the variances of the field at the pixels of a core, parameters and trend taken as known.

    Attributes
    ----------
    tile : Tile
        The tile; parts of its core may have been computed with larger halos.
    lower, upper : ndarray, (h, w)
        Variances under the Dirichlet and the natural cut; the latter may be infinite.
    """

    tile: Tile
    lower: FloatArray
    upper: FloatArray

    @property
    def width(self) -> float:
        """The largest relative difference of the two as standard deviations; infinite where there is no upper one."""
        return float(np.nanmax(self._ratio, initial=1.0)) - 1.0

    def wide(self, tolerance: float) -> BoolArray:
        """Return the pixels whose bounds are wider than a tolerance."""
        return np.asarray(self._ratio - 1.0 > tolerance)

    @property
    def _ratio(self) -> FloatArray:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(self.upper / self.lower))


def bracket(
    posterior: Posterior,
    tile: Tile,
    tolerance: float,
    memory: int,
    *,
    upper: bool,
    use: Callable[[DissectionFactor], None] = lambda factor: None,
    most: int | None = None,
) -> Bracket:
    """Return the bounds on a core, made anew where they are wider than a tolerance as far as memory allows.

    Parameters
    ----------
    posterior : Posterior
        Of the raster.
    tile : Tile
        To start with.
    tolerance : float
        Largest relative difference of standard deviations.
    memory : int
        Bytes that the work on a window may take.
    upper : bool
        Whether the model has natural cuts; otherwise the upper bounds are infinite and stay.
    use : callable
        Called with the factor of the Dirichlet cut of the tile before it goes.
    most : int, optional
        Largest halo.
    """
    found, factor = bounds_on(posterior, tile, upper=upper)
    use(factor)
    del factor  # one at a time
    view = wider(posterior.cuts, tile, most) if upper else None
    while view is not None and (parts := parts_of(posterior.cuts, view, found, tolerance, memory)):
        found = narrowed(posterior, found, parts)
        view = wider(posterior.cuts, view, most)
    return found


def bounds_on(posterior: Posterior, tile: Tile, *, upper: bool) -> tuple[Bracket, DissectionFactor]:
    """Return the bounds on a core with the halo that its tile has, and the factor of the Dirichlet cut."""
    above = np.full(tile.core.shape, np.inf)
    whole = tile.window.shape == posterior.shape
    if upper and not whole:
        natural = posterior.upper_factor(tile.window)
        if natural is not None:
            above = posterior.upper_variance(natural)[tile.place]
        del natural  # one factor at a time
    factor = posterior.lower_factor(tile.window)
    below = posterior.variance(factor)[tile.place]
    # Where the cuts are far away the two are one number, and differ by its rounding.
    return Bracket(tile, below, below if whole else np.maximum(above, below)), factor


def narrowed(posterior: Posterior, bounds: Bracket, parts: Sequence[Tile]) -> Bracket:
    """Return bounds that are those of some parts of the core as well, each by itself in a window of its own."""
    lower, upper = bounds.lower.copy(), bounds.upper.copy()
    for part in parts:
        found, _ = bounds_on(posterior, part, upper=True)
        at = part.core.within(bounds.tile.core)
        lower[at] = np.maximum(lower[at], found.lower)
        upper[at] = np.maximum(np.minimum(upper[at], found.upper), lower[at])
    return Bracket(bounds.tile, lower, upper)


def wider(cuts: Cuts, tile: Tile, most: int | None = None) -> Tile | None:
    """Return the tile with a larger halo; None where it has the whole raster or the largest halo."""
    if tile.window.shape == cuts.shape:
        return None
    halo = max(tile.halo + _LEAST, int(tile.halo * _GROWTH))
    larger = tile.with_halo(halo if most is None else min(halo, most), cuts.shape)
    return larger if larger.halo > tile.halo else None


def parts_of(cuts: Cuts, view: Tile, bounds: Bracket, tolerance: float, memory: int) -> list[Tile]:
    """Return the parts of a core whose bounds are too wide, with the halo of a larger window around the core.

    Pixels that are too wide lie along the cuts, where gaps cross them. They are put into rectangles, and rectangles
    into larger ones where that is no more work. A part that does not fit into the memory with a halo larger than that
    of the tile is left out.
    """
    wide = bounds.wide(tolerance)
    boxes = []
    for cell in windows_of(wide.shape, _CELL):
        rows, columns = np.nonzero(wide[cell.slices])
        if len(rows):
            top, left = view.core.top + cell.top, view.core.left + cell.left
            ends = int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1
            boxes.append(Window(top + ends[0], top + ends[1], left + ends[2], left + ends[3]))
    found = []
    for box in _merged(boxes, view.halo, cuts.shape):
        part = Tile.of(view.number, box, view.halo, cuts.shape)
        if work_bytes(cuts, part.window.shape) <= memory:
            found.append(part)
    return found


def _merged(boxes: list[Window], halo: int, shape: Shape) -> list[Window]:
    """Return rectangles that hold the given ones, joined where one window is less work than two."""
    found = list(boxes)
    while len(found) > 1:
        work = [_work(box, halo, shape) for box in found]
        gain, first, second = max(
            (work[i] + work[j] - _work(found[i].joined(found[j]), halo, shape), i, j)
            for i, j in itertools.combinations(range(len(found)), 2)
        )
        if gain < 0.0:
            break
        both = found[first].joined(found[second])
        found = [box for k, box in enumerate(found) if k not in (first, second)] + [both]
    return found


def _work(box: Window, halo: int, shape: Shape) -> float:
    """Return about how much work a window is: somewhat more than its pixels, and some more however small it is."""
    return float((box.grown(halo, shape).n_pixels + _OVERHEAD) ** _POWER)
