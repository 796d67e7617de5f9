"""The numbers of a factor, where they stand, and what is summed over all nodes."""

from dataclasses import dataclass

import numpy as np

from sparsegmrf.factors.dissection._analysis import Analysis
from sparsegmrf.factors.dissection._buffers import Stored
from sparsegmrf.factors.dissection._tree import Level
from sparsegmrf.typing import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class FactorNumbers:
    """The numbers of a factor, in double precision or rounded to single.

    Attributes
    ----------
    tiles : ndarray
        Lane factors, group after group (`Groups.start`, in vectors).
    fronts : ndarray
        Panels of the distinct nodes above the tiles, column-major ``m x S`` each.
    front_start : list of ndarray
        Per level, where the panel of each distinct node starts.
    log_pivots : list of ndarray
        Per level (the tiles last), the sum of the logarithms of each distinct node's pivots.
    rounded_log_pivots : list of ndarray
        The same of the pivots that are stored; those of double precision are `log_pivots`.
    """

    tiles: Stored
    fronts: Stored
    front_start: list[IntArray]
    log_pivots: list[FloatArray]
    rounded_log_pivots: list[FloatArray]

    @property
    def is_single(self) -> bool:
        """Whether the numbers are in single precision."""
        return bool(self.tiles.dtype == np.float32)

    def logdet(self, levels: list[Level]) -> float:
        """Return the log-determinant of what was eliminated."""
        return sum_over_nodes(levels, self.log_pivots)


def sum_over_nodes(levels: list[Level], logs: list[FloatArray]) -> float:
    """Sum what distinct nodes have of the logarithms of squared pivots over all nodes."""
    return 2.0 * sum(
        float(np.bincount(level.distinct, minlength=len(own)) @ own) for level, own in zip(levels, logs, strict=True)
    )


def front_starts(analysis: Analysis, levels: list[Level]) -> tuple[list[IntArray], int]:
    """Lay the panels out level by level from the deepest up, in the order in which they are made."""
    starts: list[IntArray] = []
    total = 0
    for level in levels[-2::-1]:
        cls = level.cls[level.first]
        sizes = analysis.order[cls] * analysis.eliminated[cls]
        ends = total + np.cumsum(sizes)
        starts.append(ends - sizes)
        total = int(ends[-1])
    return starts[::-1], total
