"""The dissection tree of an image: instances of classes level by level, and which of them are identical."""

import math
from dataclasses import dataclass

import numpy as np

from sparsegmrf.factors.dissection._classes import NodeClass
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._coefficients import Pool
from sparsegmrf.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Level:
    """Nodes at one depth, in depth-first order.

    Attributes
    ----------
    cls : ndarray (nodes,)
        Class of each node.
    pixel : ndarray (nodes, 2)
        First row and column of each node.
    child : ndarray (nodes, 2)
        Positions of the two halves in the next level; meaningless at the last level.
    distinct : ndarray (nodes,)
        Which distinct node this is: nodes of one class with the same coefficients share one.
    first : ndarray (distinct,)
        A representative of each distinct node.
    """

    cls: IntArray
    pixel: IntArray
    child: IntArray
    distinct: IntArray
    first: IntArray


def tile_depth(classes: list[NodeClass], largest: int) -> int:
    """Return the smallest depth at which no node has more than ``largest^2`` pixels, or at which a leaf occurs."""
    depth = 0
    level = {len(classes) - 1}
    while max(math.prod(classes[cls].key[:2]) for cls in level) > largest**2 and all(
        classes[cls].children for cls in level
    ):
        level = {child for cls in level for child in classes[cls].children}
        depth += 1
    return depth


def unfold(
    classes: list[NodeClass], depth: int, origin: tuple[int, int] = (0, 0)
) -> list[tuple[IntArray, IntArray, IntArray]]:
    """Return class, first pixel and children of every node, for the levels ``0 ... depth``; the root's is `origin`."""
    halves = np.array([each.children or (-1, -1) for each in classes], dtype=np.int64)
    origins = np.array([each.origins if each.children else np.zeros((2, 2)) for each in classes], dtype=np.int64)
    cls = np.array([len(classes) - 1], dtype=np.int64)
    pixel = np.array([origin], dtype=np.int64)
    levels = []
    for _ in range(depth + 1):
        child = np.arange(2 * len(cls), dtype=np.int64).reshape(-1, 2)
        levels.append((cls, pixel, child))
        pixel = (pixel[:, np.newaxis] + origins[cls]).reshape(-1, 2)
        cls = halves[cls].ravel()
    return levels


def build(
    classes: list[NodeClass], depth: int, stencil: SymmetricStencil, origin: tuple[int, int] = (0, 0)
) -> list[Level]:
    """Unfold the classes for an image, or a part of it that begins at `origin`, and find identical nodes."""
    raw = unfold(classes, depth, origin)
    levels: list[Level] = []
    below: IntArray = np.zeros(0, dtype=np.int64)
    for at in range(depth, -1, -1):
        cls, pixel, child = raw[at]
        keys = cls[:, np.newaxis] if at == depth else np.column_stack([cls, below[child]])
        suspects = _groups(keys)
        if not stencil.is_homogeneous:
            content = _TileContent(classes, stencil) if at == depth else _SeparatorContent(classes, stencil)
            suspects = _refine(suspects, cls, pixel, content)
        _, first, distinct = np.unique(suspects, return_index=True, return_inverse=True)
        below = distinct.astype(np.int64).reshape(-1)
        levels.append(Level(cls, pixel, child, below, first.astype(np.int64)))
    return levels[::-1]


def _groups(keys: IntArray) -> IntArray:
    _, group = np.unique(keys, axis=0, return_inverse=True)
    result: IntArray = group.reshape(-1).astype(np.int64)
    return result


def _refine(group: IntArray, cls: IntArray, pixel: IntArray, content: "_TileContent | _SeparatorContent") -> IntArray:
    """Split groups until their members have equal coefficients: first by one cheap probe, then by all of them."""
    for look in (content.probe, content.all):
        size = np.bincount(group)
        seen: dict[tuple[int, bytes], int] = {}
        refined = np.empty_like(group)
        for node, members in enumerate(group):
            what = look(int(cls[node]), pixel[node]) if size[members] > 1 else b""
            refined[node] = seen.setdefault((int(members), what), len(seen))
        group = refined
    return group


class _TileContent:
    """All coefficients that a tile may read: its rectangle and a margin of the stencil's reach, cut at the image."""

    def __init__(self, classes: list[NodeClass], stencil: SymmetricStencil) -> None:
        self.classes, self.stencil = classes, stencil
        self.planes = [stencil.pool.coefficient(int(k), stencil.lattice) for k in np.flatnonzero(stencil.pool.step)]

    def probe(self, cls: int, pixel: IntArray) -> bytes:
        height, width = self.classes[cls].key[:2]
        row, column = int(pixel[0]) + height // 2, int(pixel[1]) + width // 2
        return b"".join(plane[row, column].tobytes() for plane in self.planes)

    def all(self, cls: int, pixel: IntArray) -> bytes:
        (height, width), (rows, columns) = self.classes[cls].key[:2], self.stencil.reach
        window = (
            slice(max(0, int(pixel[0]) - rows), int(pixel[0]) + height),
            slice(max(0, int(pixel[1]) - columns), int(pixel[1]) + width + columns),
        )
        return b"".join(plane[window].tobytes() for plane in self.planes)


class _SeparatorContent:
    """The coefficients that a node assembles itself."""

    def __init__(self, classes: list[NodeClass], stencil: SymmetricStencil) -> None:
        self.classes, self.pool, self.lattice = classes, stencil.pool, stencil.lattice
        self.block = stencil.channels**2

    def probe(self, cls: int, pixel: IntArray) -> bytes:
        return self._read(cls, pixel, slice(0, 1))

    def all(self, cls: int, pixel: IntArray) -> bytes:
        return self._read(cls, pixel, slice(None))

    def _read(self, cls: int, pixel: IntArray, entries: slice) -> bytes:
        table = self.classes[cls].assembly[entries]
        owner = (table[:, 3] + pixel[0]) * self.lattice.shape[1] + table[:, 4] + pixel[1]
        pool: Pool = self.pool
        place = pool.start[table[:, 2]] + pool.step[table[:, 2]] * owner
        blocks: FloatArray = pool.values[place[:, np.newaxis] + np.arange(self.block)]
        return blocks.tobytes()


def unfold_classes(classes: list[NodeClass], depth: int) -> IntArray:
    """Return which classes occur at one depth."""
    level = {len(classes) - 1}
    for _ in range(depth):
        level = {child for cls in level for child in classes[cls].children}
    return np.array(sorted(level), dtype=np.int64)
