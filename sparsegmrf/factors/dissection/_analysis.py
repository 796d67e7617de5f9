"""Everything about a factorization that does not depend on the numbers."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsegmrf.factors.dissection import _classes, _programs, _tree
from sparsegmrf.lattice import Lattice
from sparsegmrf.typing import IntArray

LANES = 8


@dataclass(frozen=True, eq=False)
class Analysis:
    """Classes, tile programs and the depth of the tiles for one lattice and pattern.

    What is eliminated is the lattice, or the part of it that begins at `origin` and has the size of the last class.
    """

    lattice: Lattice
    offsets: IntArray
    classes: list[_classes.NodeClass]
    tables: _programs.Tables
    depth: int
    tile: int
    leaf: int
    programs: dict[int, _programs.TileProgram]
    origin: tuple[int, int] = (0, 0)

    @cached_property
    def eliminated(self) -> IntArray:
        """Unknowns eliminated by each class."""
        return np.array([each.eliminated for each in self.classes], dtype=np.int64) * self.lattice.channels

    @cached_property
    def order(self) -> IntArray:
        """Unknowns in the front of each class."""
        return np.array([len(each.front) for each in self.classes], dtype=np.int64) * self.lattice.channels


def analyse(
    lattice: Lattice, offsets: IntArray, *, tile: int, leaf: int, beyond: _classes.Beyond = (0, 0, 0, 0)
) -> Analysis:
    """Analyse a pattern: `tile` is the largest side of a tile in pixels, `leaf` the most pixels of a leaf.

    The outermost pixels of the lattice that are `beyond`, above, left, below and right, are not eliminated.
    """
    top, left, bottom, right = beyond
    shape = lattice.shape[0] - top - bottom, lattice.shape[1] - left - right
    classes = _classes.node_classes(shape, offsets, leaf, beyond)
    width, channels = lattice.shape[1], lattice.channels
    tables = _programs.tables(classes, width, channels)
    reach = int(np.abs(offsets).max(initial=0))
    depth = _tree.tile_depth(classes, max(tile, 2 * reach + 2))
    tiles = {int(cls) for cls in np.unique(_tree.unfold_classes(classes, depth))}
    programs = {cls: _programs.tile_program(classes, cls, tables, width, channels) for cls in sorted(tiles)}
    return Analysis(lattice, offsets, classes, tables, depth, tile, leaf, programs, (top, left))


@dataclass(frozen=True, eq=False)
class Groups:
    """Distinct tiles in groups of eight congruent ones; lane ``l`` of group ``g`` is distinct tile ``member[g, l]``.

    A lane without a tile of its own repeats the group's first; a tile that occurs more than once has a group to itself.
    """

    cls: IntArray
    member: IntArray
    filled: IntArray
    start: IntArray
    size: int


def group_tiles(analysis: Analysis, tiles: _tree.Level) -> Groups:
    """Put the distinct tiles into lanes."""
    count = np.bincount(tiles.distinct, minlength=len(tiles.first))
    cls_of = tiles.cls[tiles.first]
    cls, member, filled = [], [], []
    for each in analysis.programs:
        mine = np.flatnonzero(cls_of == each)
        single = mine[count[mine] == 1]
        parts = [single[at : at + LANES] for at in range(0, len(single), LANES)]
        parts += [np.array([tile]) for tile in mine[count[mine] > 1]]
        for part in parts:
            cls.append(each)
            filled.append(len(part))
            member.append(np.concatenate([part, np.full(LANES - len(part), part[0])]))
    sizes = np.array([analysis.programs[each].factor_size for each in cls], dtype=np.int64)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    as_int = [np.array(each, dtype=np.int64) for each in (cls, member, filled)]
    return Groups(as_int[0], as_int[1], as_int[2], start[:-1], int(start[-1]))
