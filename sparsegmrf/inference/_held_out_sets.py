"""What is held out to compare fields: copies of an image's gaps, and squares of several sizes."""

import numpy as np

from sparsegmrf.inference._holdout import Blocks, gap_copies, largest_square, rectangles
from sparsegmrf.typing import BoolArray

_COPIES = 2
_SHARE = 0.15
"""Observed pixels in a set of copies."""
_OF_A_SIZE = 0.05
"""And in the squares of a size."""
_SIZES = 3
_MOST = 40
"""Squares of a size."""
_SMALLEST = 2
"""Side in pixels."""


def held_out_sets(observed: BoolArray, stream: np.random.Generator) -> list[Blocks]:
    """Return sets of blocks, each to be predicted from all that is not in it.

    First come copies of the gaps, whose pixels are as far from observations as missing ones are. The last set has
    squares as large as the largest that a gap holds, half and a quarter as large: they tell how a field predicts at
    distances of all sizes where the gaps of an image are of one.
    """
    sets = [gap_copies(observed, stream, share=_SHARE) for _ in range(_COPIES)]
    return [*sets, _squares(observed, stream)]


def _squares(observed: BoolArray, stream: np.random.Generator) -> Blocks:
    """Return squares of several sizes, largest first, those of a size on what the larger ones have left."""
    side = largest_square(observed)
    sides = [side] + [side // 2**k for k in range(1, _SIZES) if side // 2**k >= _SMALLEST]
    labels = np.zeros(observed.shape, dtype=np.int64)
    total = int(np.count_nonzero(observed))
    for each in sides:
        ground = observed & (labels == 0)
        if 2 * np.count_nonzero(ground) <= total:
            break
        count = int(np.clip(round(_OF_A_SIZE * total / each**2), 1, _MOST))
        found = rectangles(ground, stream, each, each, count)
        labels = np.where(found.held_out, found.labels + labels.max(), labels)
    return Blocks(labels, observed)
