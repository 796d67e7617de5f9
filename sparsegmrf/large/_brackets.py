"""Bounds on the variance of every pixel of a core, by the two cuts of its window."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sparsegmrf.errors import TooLargeError
from sparsegmrf.factors.dissection import DissectionFactor
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._geometry import Tile
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._tiling import fitting, work_bytes
from sparsegmrf.typing import FloatArray

_GROWTH = 1.6
"""By what a halo is multiplied whose bounds are too wide."""
_LEAST = 8


@dataclass(frozen=True, eq=False)
class Bracket:
    """Bounds on the variances of the field at the pixels of a core, parameters and trend taken as known.

    Attributes
    ----------
    tile : Tile
        The tile, with the halo that it was computed with.
    lower, upper : ndarray, (h, w)
        Variances under the Dirichlet and the natural cut; the latter may be infinite.
    """

    tile: Tile
    lower: FloatArray
    upper: FloatArray

    @property
    def width(self) -> float:
        """The largest relative difference of the two as standard deviations; infinite where there is no upper one."""
        with np.errstate(invalid="ignore"):
            ratio = np.sqrt(self.upper / self.lower)
        return float(np.nanmax(ratio, initial=1.0)) - 1.0


def bracket(
    posterior: Posterior,
    tile: Tile,
    tolerance: float,
    memory: int,
    *,
    upper: bool,
    use: Callable[[Tile, DissectionFactor], None] = lambda tile, factor: None,
    most: int | None = None,
) -> Bracket:
    """Return the bounds on a core, the halo growing while they are wider than a tolerance and memory allows.

    Parameters
    ----------
    posterior : Posterior
        Of the raster.
    tile : Tile
        To start with.
    tolerance : float
        Largest relative difference of standard deviations.
    memory : int
        Bytes that the work on a tile may take.
    upper : bool
        Whether the model has natural cuts; otherwise the upper bounds are infinite and halos stay.
    use : callable
        Called with the tile and the factor of its Dirichlet cut once its halo is final, before the factor goes.
    most : int, optional
        Largest halo.
    """
    while True:
        found, factor = bounds_on(posterior, tile, upper=upper)
        larger = None if not upper or found.width <= tolerance else grown(posterior.cuts, tile, memory, most)
        if larger is None:
            use(tile, factor)
            return found
        del factor  # one at a time
        tile = larger


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


def grown(cuts: Cuts, tile: Tile, memory: int, most: int | None = None) -> Tile | None:
    """Return the tile with a larger halo; None where it has the whole raster or memory does not allow more."""
    if tile.window.shape == cuts.shape:
        return None
    halo = max(tile.halo + _LEAST, int(tile.halo * _GROWTH))
    larger = tile.with_halo(halo if most is None else min(halo, most), cuts.shape)
    if work_bytes(cuts, larger.window.shape) > memory:
        try:
            larger = fitting(cuts, larger, memory)
        except TooLargeError:
            return None
    return larger if larger.halo > tile.halo else None
