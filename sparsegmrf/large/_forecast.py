"""What a run over tiles will take: memory, disk and time, before it begins."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf._threads import get_num_threads
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._tiling import Tiling, factor_plan, work_bytes

COSTS = {"bounds": 7.0, "pass": 1.8, "certificate": 2.2, "likelihood": 5.0}
"""Times of one factorization that a stage takes for a tile: solutions and selected inverses are more than these."""
_PASSES = 3
"""Over the tiles, as most rasters need; the first is that of the bounds."""


@dataclass(frozen=True)
class Forecast:
    """What a run will take, roughly.

    Attributes
    ----------
    tiles : int
    core : (int, int)
        Height and width of the largest core in pixels.
    halos : (int, int)
        The smallest and the largest to begin with.
    tile_bytes : int
        Memory that the work on the largest tile takes.
    image_bytes : int
        What images of the raster take, in memory or, with a folder for them, on disk.
    seconds : dict of float
        By stage, on this machine if nobody else works there; of passes that of one.
    """

    tiles: int
    core: tuple[int, int]
    halos: tuple[int, int]
    tile_bytes: int
    image_bytes: int
    seconds: dict[str, float]

    @classmethod
    def of(
        cls, cuts: Cuts, tiling: Tiling, *, solutions: int, samples: int, upper: bool, loglik: bool, workers: int | None
    ) -> "Forecast":
        """Return the forecast for a tiling, `solutions` right-hand sides and so many workers of one thread at once."""
        tiles, pixels = tiling.tiles, cuts.shape[0] * cuts.shape[1]
        one = sum(factor_plan(cuts, tile.window.shape).seconds for tile in tiles)
        one *= 1.0 if workers is None else get_num_threads() / workers
        stages = ["bounds", "pass", *(["certificate"] if upper else []), *(["likelihood"] if loglik else [])]
        sides = np.array([tile.core.shape for tile in tiles]).max(axis=0)
        halos = [tile.halo for tile in tiles]
        # Right-hand side, solution, residual and two images a direction of each solution; bounds; what is returned.
        images = solutions * cuts.channels * (3 + 2 * _PASSES) + 2 + 4 + samples
        return cls(
            tiles=len(tiles),
            core=(int(sides[0]), int(sides[1])),
            halos=(min(halos), max(halos)),
            tile_bytes=max(work_bytes(cuts, tile.window.shape) for tile in tiles),
            image_bytes=8 * images * pixels,
            seconds={stage: COSTS[stage] * one * (1.0 if upper else 0.5) for stage in stages},
        )

    @property
    def stages(self) -> list[tuple[str, float]]:
        """Stages that are expected, with their seconds."""
        return [*self.seconds.items(), *[("pass", self.seconds["pass"])] * (_PASSES - 2)]

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(seconds for _, seconds in self.stages)

    def __str__(self) -> str:
        halos = " to ".join(str(halo) for halo in dict.fromkeys(self.halos))
        tiles = "1 tile with a core of" if self.tiles == 1 else f"{self.tiles} tiles with cores of up to"
        return (
            f"{tiles} {self.core[0]} x {self.core[1]} pixels and halos of {halos}; {_bytes(self.tile_bytes)} of memory "
            f"a tile, {_bytes(self.image_bytes)} of disk for images, roughly {_time(self.total)}"
        )


def _bytes(count: float) -> str:
    return f"{count / 1e9:.2g} GB" if count >= 1e8 else f"{count / 1e6:.2g} MB"


def _time(seconds: float) -> str:
    if seconds < 90.0:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 5400.0 else f"{seconds / 3600.0:.1f} h"
