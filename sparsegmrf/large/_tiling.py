"""How a raster is cut: cores that are worked on fastest and fit into memory, and the halos that its fields need."""

import os
from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from sparsegmrf import _memory
from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.factors.dissection import Plan, plan
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._decay import halo_for
from sparsegmrf.large._geometry import Tile, Window, cores_of
from sparsegmrf.large._raster import Raster
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, Offset, Shape

_SHARE = 0.5
"""Of the memory that is available, for the work on one tile."""
_IMAGES = 24
"""Images of a window, and one for each pair of neighbours twice, beside its factor."""
_PROBES = 9
"""Cores, spread over the raster, by which a halo is chosen before there are tiles."""
_SHRINK = 0.85
_FIRST = 64
"""Side in pixels of the windows by which a first halo is chosen."""
_SECONDS = 0.02
"""Of a tile, whatever its size."""
_SMALL = 512
"""Side of a core below which none is chosen for speed."""
_LEAST = 8
"""Pixels of the smallest core a side."""


@dataclass(frozen=True)
class Tiling:
    """Tiles that make up a raster, and how large their windows may be.

    Attributes
    ----------
    tiles : tuple of Tile
        In raster order.
    memory : int
        Bytes that the work on one tile may take.
    """

    tiles: tuple[Tile, ...]
    memory: int

    @classmethod
    def of(
        cls,
        cuts: Cuts,
        raster: Raster,
        tolerance: float,
        *,
        core: int | None = None,
        halo: int | None = None,
        memory: float | None = None,
    ) -> "Tiling":
        """Return a tiling; what is not given is chosen.

        Parameters
        ----------
        core, halo : int, optional
            Side of the cores, and pixels around them.
        memory : float, optional
            Bytes; by default half of what is available.

        Raises
        ------
        TooLargeError
            If the smallest cores with the halos that the field needs do not fit into the memory.
        """
        budget = int(_memory.available_bytes() * _SHARE if memory is None else _bytes(memory))
        shape, most = raster.shape, max(raster.shape)
        if core is None and halo is None and work_bytes(cuts, shape) <= budget:
            return cls((Tile.of(0, Window(0, shape[0], 0, shape[1]), 0, shape),), budget)
        if halo is not None:
            given = integer_at_least("halo", halo, 0)
            least = cuts.reach_on(Window(0, min(shape[0], _FIRST), 0, min(shape[1], _FIRST)))
            if given < least:
                raise ArgumentError(
                    f"halo must be at least {least}, how far neighbours are that the model couples, got {given}."
                )
        if core is None:
            halos = [halo] if halo is not None else _first_halos(cuts, raster, tolerance, most)
            side = _fastest(cuts, shape, halos, _side_for(cuts, shape, int(np.median(halos)), budget))
        else:
            side = integer_at_least("core", core, 1)
        tiles = []
        for number, each in enumerate(cores_of(shape, side)):
            own = halo if halo is not None else halo_for(cuts, raster, each, tolerance, most)
            tiles.append(fitting(cuts, Tile.of(number, each, own, shape), budget))
        return cls(tuple(tiles), budget)

    def table(self) -> FloatArray:
        """Return the tiles as rows of numbers, with the memory."""
        rows = [(*astuple(tile.core), tile.halo, self.memory) for tile in self.tiles]
        return np.array(rows, dtype=np.float64)

    @classmethod
    def from_table(cls, table: FloatArray, shape: Shape) -> "Tiling":
        """Return the tiling of such rows."""
        rows = table.astype(np.int64).tolist()
        tiles = [Tile.of(number, Window(*row[:4]), row[4], shape) for number, row in enumerate(rows)]
        return cls(tuple(tiles), rows[0][5])


def on_probes(
    cuts: Cuts, raster: Raster, tolerance: float, *, core: int | None, halo: int | None, memory: float | None
) -> Tiling:
    """Return a tiling whose halos are all that of some places of the raster, of which nothing else is read."""
    budget = int(_memory.available_bytes() * _SHARE / (os.cpu_count() or 1) if memory is None else _bytes(memory))
    around = int(np.median(_first_halos(cuts, raster, tolerance, max(raster.shape)))) if halo is None else halo
    if core is None and halo is None and work_bytes(cuts, raster.shape) <= budget:
        core = max(raster.shape)
    side = _side_for(cuts, raster.shape, around, budget) if core is None else core
    return Tiling.of(cuts, raster, tolerance, core=side, halo=around, memory=budget)


def fitting(cuts: Cuts, tile: Tile, budget: int) -> Tile:
    """Return the tile, with a smaller halo where its window is too large for the memory."""
    least, shape = cuts.reach_on(tile.core), cuts.shape
    while work_bytes(cuts, tile.window.shape) > budget:
        if tile.halo <= least:
            raise TooLargeError(
                f"a tile of {tile.window.shape[0]} x {tile.window.shape[1]} pixels would need about "
                f"{work_bytes(cuts, tile.window.shape) / 1e9:.3g} GB, and memory is {budget / 1e9:.3g} GB; give a "
                "smaller core, or more memory."
            )
        tile = tile.with_halo(max(least, int(tile.halo * _SHRINK)), shape)
    return tile


def work_bytes(cuts: Cuts, shape: Shape) -> int:
    """Return the bytes that factor, selected inverse and images of a window take at once."""
    side = min(_FIRST // 4, shape[0]), min(_FIRST // 4, shape[1])
    corner = cuts.model.cropped(slice(0, side[0]), slice(0, side[1]))
    Q = corner.build_stencil(side)
    images = _IMAGES * Q.channels + 2 * len(Q.offsets) * Q.channels**2
    offsets = tuple((int(di), int(dj)) for di, dj in Q.offsets)
    return int(_plan(shape, offsets, Q.channels).peak_bytes) + 8 * images * shape[0] * shape[1]


def factor_plan(cuts: Cuts, shape: Shape) -> Plan:
    """Return the prediction for one factorization of a window."""
    side = min(_FIRST // 4, shape[0]), min(_FIRST // 4, shape[1])
    Q = cuts.model.cropped(slice(0, side[0]), slice(0, side[1])).build_stencil(side)
    return _plan(shape, tuple((int(di), int(dj)) for di, dj in Q.offsets), Q.channels)


@lru_cache(maxsize=256)
def _plan(shape: Shape, offsets: tuple[Offset, ...], channels: int) -> Plan:
    """Return the plan of a factorization with coefficients per pixel, as observations make them."""
    planes = [np.zeros((1, 1, channels, channels) if channels > 1 else (1, 1)) for _ in offsets]
    return plan(shape, SymmetricStencil(offsets, planes, (1, 1), channels=channels))


def _first_halos(cuts: Cuts, raster: Raster, tolerance: float, most: int) -> list[int]:
    """Return the halos of small cores spread over the raster."""
    per_side = int(np.sqrt(_PROBES))
    found = []
    for i in range(per_side):
        for j in range(per_side):
            centre = (raster.shape[0] * (2 * i + 1) // (2 * per_side), raster.shape[1] * (2 * j + 1) // (2 * per_side))
            window = Window(centre[0], centre[0] + 1, centre[1], centre[1] + 1).grown(_FIRST // 2, raster.shape)
            found.append(halo_for(cuts, raster, window, tolerance, most))
    return found


def _side_for(cuts: Cuts, shape: Shape, halo: int, budget: int) -> int:
    """Return the largest side of a core whose window fits into the memory with some room for halos to grow."""
    low, high = 0, max(shape)
    while low < high:
        side = (low + high + 1) // 2
        window = tuple(min(length, side + 2 * halo) for length in shape)
        if work_bytes(cuts, (window[0], window[1])) <= _SHRINK * budget:
            low = side
        else:
            high = side - 1
    if low < min(_LEAST, *shape):
        window = tuple(min(length, _LEAST + 2 * halo) for length in shape)
        needed = work_bytes(cuts, (window[0], window[1]))
        raise TooLargeError(
            f"a core of {_LEAST} pixels with the halo of {halo} that this field needs would take about "
            f"{needed / 1e9:.3g} GB, and memory is {budget / 1e9:.3g} GB; give more memory, or a halo, with which "
            "bounds are wider."
        )
    return low


def _fastest(cuts: Cuts, shape: Shape, halos: list[int], largest: int) -> int:
    """Return the side of a core, at most the largest one, that takes least time a pixel of the raster.

    Work on a window grows faster than its pixels, and halos are worked on twice: neither small cores nor large ones.
    Halos that have to grow later are not known yet; they cost small cores most, so that none below 512 is chosen.
    """
    best, least, side = largest, np.inf, largest
    while side >= min(_SMALL, largest):
        count = int(np.prod([-(-length // side) for length in shape]))
        windows = [tuple(min(length, side + 2 * halo) for length in shape) for halo in halos]
        each = np.mean([factor_plan(cuts, (window[0], window[1])).seconds for window in windows])
        seconds = count * (float(each) + _SECONDS)
        if seconds < least:
            best, least = side, seconds
        side = max(int(side * _SHRINK), _SMALL) if side > _SMALL else 0
    return best


def _bytes(value: Any) -> float:
    found = float(value)
    if not found > 0.0:
        raise ArgumentError(f"memory must be positive, in bytes, got {value!r}.")
    return found
