"""What modes of a series will take, from its size, and the refusal of what does not fit."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sparsegmrf import _memory
from sparsegmrf._threads import get_num_threads
from sparsegmrf.factors.dissection import plan as plan_dissection
from sparsegmrf.stacks import _modes_local
from sparsegmrf.stacks._modes_local import KAPPA2, LocalField
from sparsegmrf.stacks._modes_spread import NUMBERS, PARTS
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import BoolArray, Shape

_RANK = 50
_SPREAD_NUMBERS = 2**25
"""Of the modes' covariances at all pixels together, whose triangles are an eighth of a gigabyte."""
_BLOCKS = 8
"""Arrays of a block's size that a thread works in at once."""


@dataclass(frozen=True)
class ModesPlan:
    """Sizes of a series and of its modes, and the memory they take.

    Attributes
    ----------
    shape : (int, int)
        Of the images.
    n_images, n_dates : int
        Images of which something is seen, and all dates of the result.
    fullest : int
        Images that the search for modes starts from.
    harmonics, rank : int
        Waves of the year, and modes at most.
    n_samples : int
        Draws.
    """

    shape: Shape
    n_images: int
    n_dates: int
    fullest: int
    harmonics: int
    rank: int
    n_samples: int

    @cached_property
    def nbytes(self) -> int:
        """Most memory that is taken at one time, beyond the images given: while learning, filling, or at the end."""
        n, T, U, r, s = self._pixels, self.n_images, self.n_dates, self.rank, self.size
        triangle, seen = s * (s + 1) // 2, 1 / 8
        kept = T * n * (2 + seen) + n * (triangle + 2 * s)  # values, weights, coefficients and their covariances
        sums = min(PARTS, n) * T * (triangle + r * (r + 1) // 2 + r) + 4 * T * (s * s + 4 * r * r)
        start = T * n * (2 + seen) + 4 * self.fullest * n * (r > 0)
        learning = kept + T * n + n * (triangle + 2 * s) + sums
        estimating = kept + 3 * len(KAPPA2) * _modes_local.TORUS**2  # correlations of the local field by transforms
        more = 0 if U == T else U * n * (2 + seen)  # the series once more, with dates of which nothing is seen
        results = U * n * (2 + self.n_samples)
        filling = kept + more + results + n * (7 * r + 12) + 3 * max(NUMBERS, n) + self._factor_numbers
        ordered = U * n * max(1, self.n_samples)  # a copy in the order of the images
        end = kept + more + results + U * n + ordered
        deviations = U * n * (7 + seen + self.n_samples)
        work = get_num_threads() * _BLOCKS * max(NUMBERS, s * s)
        return math.ceil(8 * (max(start, learning, estimating, filling, end, deviations) + work))

    @property
    def size(self) -> int:
        """Coefficients of a pixel."""
        return 1 + 2 * self.harmonics + self.rank

    @property
    def _pixels(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def _factor_numbers(self) -> float:
        """Of a date's factor and of its selected inverse."""
        smooth = LocalField((4, 4), 1.0, 0.5, order=2).precision  # of second order, which has the larger factor
        planes = [smooth.plane(k).copy() for k in range(len(smooth.offsets))]
        planes[0][0, 0] += 1.0
        found = plan_dissection(self.shape, SymmetricStencil(smooth.offsets, planes, (4, 4)))
        return max(found.peak_bytes, found.inverse_bytes) / 8

    def refuse_if_too_large(self) -> None:
        """Raise `TooLargeError` if there is not as much memory."""
        height, width = self.shape
        _memory.refuse_if_too_large(
            self.nbytes,
            f"modes of {self.n_images} images of {height} x {width} pixels, {self.n_dates} dates to fill and "
            f"{self.n_samples} draws",
            "take a window of the images, fewer dates or draws, or fewer modes",
        )

    def __str__(self) -> str:
        height, width = self.shape
        return (
            f"{self.n_images} images of {height} x {width} pixels, {self.n_dates} dates to fill; {self.harmonics} "
            f"harmonics and at most {self.rank} modes; {self.nbytes / 1e9:.2g} GB"
        )


def plan_modes(seen: BoolArray, shape: Shape, more: int = 0, rank: int | None = None, n_samples: int = 0) -> ModesPlan:
    """Return the sizes that a series can tell, of which pixels ``(T, n)`` are seen, with dates asked for besides."""
    counts, known = seen.sum(axis=1), int(np.count_nonzero(seen.any(axis=0)))
    useful = int((counts / known >= 0.2).sum())
    harmonics = int(np.searchsorted([6, 12, 24], useful, side="right"))
    memory = int(np.sqrt(_SPREAD_NUMBERS / seen.shape[1])) - (1 + 2 * harmonics)
    most = min((useful - 1 - 2 * harmonics) // 2, known // 4, memory)
    found = max(0, min(_RANK if rank is None else rank, most))
    images = int(np.count_nonzero(counts))
    fullest = max(min(images, found + 5), int((counts / seen.shape[1] > 0.6).sum()))
    return ModesPlan(shape, images, len(seen) + more, fullest, harmonics, found, n_samples)
