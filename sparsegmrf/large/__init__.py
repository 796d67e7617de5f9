"""Rasters beyond memory: fields given observations tile by tile, with bounds on what the tiles do not see."""

from sparsegmrf.large._fill import condition, fill
from sparsegmrf.large._geometry import Tile, Window
from sparsegmrf.large._lazy import LazyResult
from sparsegmrf.large._result import TiledResult

__all__ = ["LazyResult", "Tile", "TiledResult", "Window", "condition", "fill"]
