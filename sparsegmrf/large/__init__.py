"""Rasters beyond memory: fields given observations tile by tile, with bounds on what tiles do not see, or exactly."""

from sparsegmrf.large._fill import condition, fill
from sparsegmrf.large._geometry import Tile, Window
from sparsegmrf.large._lazy import LazyResult
from sparsegmrf.large._result import TiledResult
from sparsegmrf.large._tree import SchurTree
from sparsegmrf.large._tree_fit import RasterFit, ScoringStep, fit
from sparsegmrf.large._tree_run import TreeResult

__all__ = [
    "LazyResult",
    "RasterFit",
    "SchurTree",
    "ScoringStep",
    "Tile",
    "TiledResult",
    "TreeResult",
    "Window",
    "condition",
    "fill",
    "fit",
]
