"""Weighted moments of pixels in one pass: fixed blocks, each centred by itself, merged pairwise in fixed order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sparsegmrf import _threads
from sparsegmrf._validate import read_only
from sparsegmrf.errors import ArgumentError, ImageLayoutError
from sparsegmrf.kernels import pixel_moments
from sparsegmrf.pixels._layout import BLOCK, Pixels, pixels
from sparsegmrf.typing import BoolArray, FloatArray

_UNWEIGHTED = read_only(np.empty(0))
_BLOCKS_AT_ONCE = 16
LEAST_SQUARE = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)
"""Mean square below which squares have fewer digits than numbers: they are below the smallest normal number."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of ``u = x - mean`` over pixels of weight ``w``.

    Attributes
    ----------
    weight : float
        ``sum w``; the number of pixels where none is weighted.
    mean : ndarray, (C,)
        ``sum w x / sum w``.
    scatter : ndarray, (C, C)
        ``sum w u u^T``.
    skew : ndarray, (C,)
        ``sum w |u|^2 u``.
    fourth : float
        ``sum w |u|^4``.
    """

    weight: float
    mean: FloatArray
    scatter: FloatArray
    skew: FloatArray
    fourth: float

    def merged(self, other: "Moments") -> "Moments":
        """Return the moments of both sets of pixels together.

        ``S = S_a + S_b + (w_a w_b / w) d d^T``, ``d = m_b - m_a`` (Chan, Golub & LeVeque 1983), and alike for the rest.
        """
        if self.weight == 0.0:
            return other
        if other.weight == 0.0:
            return self
        weight = self.weight + other.weight
        share = other.weight / weight
        gap = other.mean - self.mean
        one, two = self._about(-share * gap), other._about((1.0 - share) * gap)
        scatter = self.scatter + other.scatter + (self.weight * share) * np.outer(gap, gap)
        return Moments(weight, self.mean + share * gap, scatter, one[0] + two[0], one[1] + two[1])

    def _about(self, shift: FloatArray) -> tuple[FloatArray, float]:
        """Return ``sum w |u + d|^2 (u + d)`` and ``sum w |u + d|^4``, the higher moments about ``mean - d``."""
        with np.errstate(over="ignore", invalid="ignore"):  # only one rule of shrinkage needs these: it refuses them
            square, trace, turned = float(shift @ shift), float(np.trace(self.scatter)), self.scatter @ shift
            skew = self.skew + trace * shift + 2.0 * turned + self.weight * square * shift
            fourth = (
                self.fourth
                + 4.0 * float(shift @ self.skew)
                + 4.0 * float(shift @ turned)
                + 2.0 * trace * square
                + self.weight * square * square
            )
        return skew, fourth


_NOTHING = Moments(0.0, np.zeros(1), np.zeros((1, 1)), np.zeros(1), 0.0)


class Merger:
    """Merges moments in the order they come, in pairs of equally many, so that rounding grows with the logarithm."""

    def __init__(self) -> None:
        self._stack: list[tuple[int, Moments]] = []

    def add(self, moments: Moments) -> None:
        """Add the moments of the next block."""
        level = 0
        while self._stack and self._stack[-1][0] == level:
            moments = self._stack.pop()[1].merged(moments)
            level += 1
        self._stack.append((level, moments))

    def add_all(self, results: Sequence[Moments]) -> None:
        """Add the moments of the next blocks."""
        for moments in results:
            self.add(moments)

    def total(self, pivot: FloatArray) -> Moments:
        """Return the moments of all blocks added, the mean no longer relative to `pivot`."""
        result = self._stack[-1][1]
        for _, earlier in self._stack[-2::-1]:
            result = earlier.merged(result)
        return replace(result, mean=pivot + result.mean)


def moments_of_image(image: Pixels, weights: FloatArray | None = None) -> Moments:
    """Return the moments of the observed pixels; `weights` is flat, one non-negative number per pixel."""
    blocks, pivot = _threads.ranges(image.size, BLOCK), image.pivot()
    results: list[Moments] = [_NOTHING] * len(blocks)

    def task(k: int) -> None:
        first, last = blocks[k]
        block, usable = image.block(first, last), image.usable(first, last)
        part = None if weights is None else weights[first:last] if usable is None else weights[first:last][usable]
        with np.errstate(invalid="ignore"):  # a NaN that signals; any is refused below
            relative = _kept(block, usable) - pivot[:, np.newaxis]
        result = moments_of_block(relative, part)
        if not np.isfinite(result.fourth) and not (
            np.isfinite(result.mean).all() and np.isfinite(result.scatter).all()
        ):
            image.refuse_infinite(first, block)
        results[k] = result

    _threads.run([partial(task, k) for k in range(len(blocks))])
    merger = Merger()
    merger.add_all(results)
    total = merger.total(pivot)
    _refuse_tiny(image, total)
    return total


def moments_of_tiles(tiles: Iterable[object], channel_axis: object, nan_is_missing: bool) -> tuple[Moments, Pixels]:
    """Return the moments of a stream of tiles, and the first tile.

    Tiles are joined and cut again into blocks, so that bands of rows in raster order give the image's moments bit by
    bit.
    """
    merger, pending = Merger(), _Pending()
    first: Pixels | None = None
    for index, tile in enumerate(tiles):
        part = pixels(tile, channel_axis, "nan" if nan_is_missing else None, name=f"tile {index}", stated=index > 0)
        first = first or part
        if part.channels != first.channels:
            raise ImageLayoutError(
                f"tile {index} must have {first.channels} channels like the first, got {part.channels}; "
                "check channel_axis."
            )
        for low, high in _threads.ranges(part.size, BLOCK):
            block, usable = part.block(low, high), part.usable(low, high)
            if not np.isfinite(block if usable is None else block[:, usable]).all():
                part.refuse_infinite(low, block)
            pending.append(block, usable)
            if pending.full and pending.pivot.size:
                pending.flush(merger)
    if first is None:
        raise ArgumentError("image must yield at least one tile, got an empty iterator.")
    if not pending.pivot.size:
        raise ArgumentError("image must have an observed pixel, got none in any tile; mask less.")
    pending.flush(merger, everything=True)
    return merger.total(pending.pivot), first


def _refuse_tiny(image: Pixels, moments: Moments) -> None:
    """Raise for a channel that varies, by so little that its squares have lost digits or are zero."""
    small = np.flatnonzero(np.diagonal(moments.scatter) < LEAST_SQUARE * moments.weight)
    if not len(small):
        return
    pivot, largest = image.pivot()[small], np.zeros(len(small))
    for first, last in _threads.ranges(image.size, BLOCK):
        gaps = np.abs(_kept(image.block(first, last), image.usable(first, last))[small] - pivot[:, np.newaxis])
        largest = np.maximum(largest, gaps.max(axis=1, initial=0.0))
    for channel, deviation in zip(small.tolist(), largest.tolist(), strict=True):
        if deviation > 0.0:
            raise ArgumentError(
                f"{image.name} values must have squares that double precision can tell from zero, but channel "
                f"{channel} varies by {deviation:.3g} at most; multiply the image by a power of ten."
            )


class _Pending:
    """Pixels that came and are not summed yet, with the blocks they will be summed in."""

    def __init__(self) -> None:
        self._blocks: list[FloatArray] = []
        self._usable: list[BoolArray] = []
        self._count = 0
        self.pivot = np.empty(0)

    @property
    def full(self) -> bool:
        """Whether there are as many as are summed at once."""
        return self._count >= _BLOCKS_AT_ONCE * BLOCK

    def append(self, block: FloatArray, usable: BoolArray | None) -> None:
        """Add pixels at the end; the first observed one is the pivot."""
        keep = np.ones(block.shape[1], dtype=np.bool_) if usable is None else usable
        if not self.pivot.size and keep.any():
            self.pivot = block[:, np.argmax(keep)].copy()
        self._blocks.append(block)
        self._usable.append(keep)
        self._count += block.shape[1]

    def flush(self, merger: Merger, everything: bool = False) -> None:
        """Sum all whole blocks, and the rest too at the end."""
        joined, usable = np.concatenate(self._blocks, axis=1), np.concatenate(self._usable)
        count = self._count if everything else self._count - self._count % BLOCK
        cuts = _threads.ranges(count, BLOCK)
        results: list[Moments] = [_NOTHING] * len(cuts)

        def task(k: int) -> None:
            part = slice(*cuts[k])
            results[k] = moments_of_block(_kept(joined[:, part], usable[part]) - self.pivot[:, np.newaxis])

        _threads.run([partial(task, k) for k in range(len(cuts))])
        merger.add_all(results)
        self._blocks, self._usable = [joined[:, count:]], [usable[count:]]
        self._count -= count


def moments_of_block(x: FloatArray, weights: FloatArray | None = None) -> Moments:
    """Return the moments of one block (C, m), whose pixels are relative to a pivot near them."""
    channels = x.shape[0]
    mean, skew, sums = np.empty(channels), np.empty(channels), np.empty(2)
    scatter, centred = np.empty((channels, channels)), np.empty((channels + 2, pixel_moments.CHUNK))
    given = _UNWEIGHTED if weights is None else read_only(weights)
    pixel_moments.block_moments(read_only(x), given, weights is not None, mean, scatter, skew, sums, centred)
    lower = np.tril(scatter)
    return Moments(float(sums[0]), mean, lower + np.tril(scatter, -1).T, skew, float(sums[1]))


def _kept(block: FloatArray, usable: BoolArray | None) -> FloatArray:
    return np.ascontiguousarray(block if usable is None or usable.all() else block[:, usable])
