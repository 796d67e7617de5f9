"""What is done for each tile, by name: wherever it runs, kept once it is done, and told as it goes."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

from sparsegmrf.large._geometry import Tile
from sparsegmrf.large._journal import Journal, Made
from sparsegmrf.large._solver import Factors

Task: TypeAlias = Callable[..., Made]
"""Called with factors of tiles, a tile and its inputs; reads no more of the raster than the window of the tile."""
Inputs: TypeAlias = Callable[[Tile], tuple[Any, ...]]
Progress: TypeAlias = Callable[[str, int, int], object]
"""Called with the name of a stage, what is done of it, and what there is to do."""


class Engine(Protocol):
    """Where the work on tiles is done."""

    def over(self, name: str, task: Task, tiles: Sequence[Tile], inputs: Inputs) -> Iterator[tuple[Tile, Made]]:
        """Yield what a task makes of each tile, in any order; inputs are asked for when a tile's turn comes."""
        ...


class Here:
    """One tile after the other in this process, which keeps what factors it has room for."""

    def __init__(self, factors: Factors) -> None:
        self.factors = factors

    def over(self, name: str, task: Task, tiles: Sequence[Tile], inputs: Inputs) -> Iterator[tuple[Tile, Made]]:
        """Yield what a task makes of each tile."""
        for tile in tiles:
            yield tile, task(self.factors, tile, *inputs(tile))


class Stages:
    """Stages of the work on a raster: what a journal has of one is not done again."""

    def __init__(self, engine: Engine, journal: Journal, progress: Progress) -> None:
        self.engine, self.journal, self.progress = engine, journal, progress

    def each(
        self, stage: str, task: Task, tiles: Sequence[Tile], inputs: Inputs = lambda tile: ()
    ) -> Iterator[tuple[Tile, Made]]:
        """Yield what a task makes of each tile, those in the journal first, and put the others there."""
        done, total, left = 0, len(tiles), []
        self.progress(stage, done, total)
        for tile in tiles:
            known = self.journal.get(_name(stage, tile))
            if known is None:
                left.append(tile)
                continue
            done += 1
            self.progress(stage, done, total)
            yield tile, known
        for tile, made in self.engine.over(stage, task, left, inputs):
            self.journal.put(_name(stage, tile), made)
            done += 1
            self.progress(stage, done, total)
            yield tile, made


def _name(stage: str, tile: Tile) -> str:
    return f"{stage.replace(' ', '-')}-{tile.number}-{tile.halo}"
