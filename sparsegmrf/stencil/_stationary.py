"""Covariances of a homogeneous stencil on the lattice without borders, from its symbol."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from sparsegmrf import _threads
from sparsegmrf.errors import TooLargeError
from sparsegmrf.stencil.symbol import symbol_at
from sparsegmrf.stencil.symmetric import SymmetricStencil
from sparsegmrf.typing import FloatArray, IntArray

LARGEST = 2**13
_SMALLEST = 2**6
_SETTLED = 1e-12


@dataclass(frozen=True, eq=False)
class AxisCovariances:
    """Covariances of the borderless field along the axes, lags 0 to half the torus on which they were computed.

    Attributes
    ----------
    rows, columns : ndarray
        Covariance with the pixel so many rows below, or columns to the right, in intensity^2.
    """

    rows: FloatArray
    columns: FloatArray

    @property
    def variance(self) -> float:
        """Marginal variance of every pixel, in intensity^2."""
        return float(self.rows[0])


def axis_covariances(Q: SymmetricStencil, share: float) -> AxisCovariances:
    """Return the mean of ``cos(h w) / q(w)`` over frequencies, with the symbol ``q``, positive everywhere.

    A torus of side ``N`` sums the covariances at all multiples of ``N``, so doubling ``N`` until the variance settles
    to 1e-12, and the covariance at half the side is below `share` of it, gives that of the lattice without borders.

    Raises
    ------
    TooLargeError
        If a torus of 8192 pixels is still too small.
    """
    offsets, weights = Q._homogeneous_terms()
    side = max(_SMALLEST, 1 << int(np.abs(offsets).max(initial=1) * 4).bit_length())
    before = np.inf
    while side <= LARGEST:
        found = _on_torus(offsets, weights, side)
        half = max(abs(found.rows[-1]), abs(found.columns[-1]))
        if abs(found.variance - before) <= _SETTLED * found.variance and half <= share * found.variance:
            return found
        before, side = found.variance, 2 * side
    raise TooLargeError(
        f"the field is correlated over such distances that a torus of {LARGEST} pixels does not hold it; use a shorter "
        "range, or the model with its own boundary."
    )


def _on_torus(offsets: IntArray, weights: FloatArray, side: int) -> AxisCovariances:
    angles = 2.0 * np.pi * np.arange(side) / side
    half = side // 2 + 1  # the symbol is even, so that the other rows repeat these
    weight = np.full(half, 2.0)
    weight[[0, -1]] = 1.0
    blocks = _threads.ranges(half, _threads.rows_per_task(side))
    by_row = np.empty(half)
    by_column = np.empty((len(blocks), side))

    def fill(block: int, first: int, last: int) -> None:
        density = 1.0 / symbol_at(offsets, weights, angles[first:last, np.newaxis], angles[np.newaxis])
        by_row[first:last] = density.mean(axis=1)
        by_column[block] = weight[first:last] @ density

    _threads.run([partial(fill, block, *ends) for block, ends in enumerate(blocks)])
    total = by_column.sum(axis=0) / side
    columns = (total + np.roll(total[::-1], 1)) / 2.0  # row -i at column j is row i at column -j
    return AxisCovariances(np.fft.irfft(by_row, side)[:half], np.fft.irfft(columns[:half], side)[:half])
