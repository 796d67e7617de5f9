"""Laying pieces of gaps over observed ground so that they do not overlap."""

import numpy as np
import scipy

from sparsegmrf.typing import BoolArray, FloatArray, IntArray, Shape

_GATHERED = 200_000
"""Pixels looked up in one batch of random positions."""
_POSITIONS = (8, 64)
"""Fewest and most random positions tried before all positions are."""
_EXHAUSTIVE = 40
"""How many times per layer all positions are tried, by fast transforms; after that a piece must fit at random."""

_NOWHERE: IntArray = np.zeros(0, dtype=np.int64)


class Gap:
    """A connected gap.

    Attributes
    ----------
    inside : ndarray of bool, (h, w)
        Its pixels within its bounding box.
    pixels : ndarray of int, (a, 2)
        Their rows and columns there.
    limit : int
        Half the side in pixels of a square to which it would have to be cut: twice that of the last cut.
    """

    def __init__(self, inside: BoolArray) -> None:
        self.inside = inside
        self.pixels: IntArray = np.argwhere(inside)
        self.limit = max(inside.shape)

    @property
    def size(self) -> int:
        """Number of pixels ``a``."""
        return len(self.pixels)

    def within(self, centre: IntArray, radius: int) -> IntArray:
        """Return the pixels connected to `centre` within a square around it, ``(a, 2)``, from row and column 0."""
        first = np.maximum(centre - radius, 0)
        window = self.inside[first[0] : centre[0] + radius + 1, first[1] : centre[1] + radius + 1]
        labels, _ = scipy.ndimage.label(window)
        pixels = np.argwhere(labels == labels[tuple(centre - first)])
        return np.asarray(pixels - pixels.min(axis=0))


class Layer:
    """Pieces lie within the image, a share `least` of each on observed ground, and on no other piece.

    Attributes
    ----------
    labels : ndarray of int, (H, W)
        Observed pixels under the pieces laid so far, numbered from 1.
    count : int
        Pieces laid so far.
    """

    def __init__(self, ground: BoolArray, least: float, most: int, stream: np.random.Generator) -> None:
        self.least, self.most, self.stream = least, most, stream
        self.labels: IntArray = np.zeros(ground.shape, dtype=np.int64)
        self.count = 0
        self._shape: Shape = (ground.shape[0], ground.shape[1])
        self._ground = ground
        # 1 where a pixel may be held out, 0 where it is missing; where a piece lies, what no other piece outweighs.
        self._worth: IntArray = ground.astype(np.int64).ravel()
        self._transform: FloatArray | None = None
        self._searches = 0

    def place(self, gap: Gap) -> IntArray:
        """Return flat indices of the observed pixels under a copy of the gap, cut to what fits; empty if nothing does.

        A piece has no more than `most` pixels. Of a gap that is cut, a pixel is drawn, and the half side of the square
        around it bisected.
        """
        whole = max(gap.inside.shape)
        if gap.size <= self.most and gap.limit == whole:
            found = self.find(gap.pixels)
            if len(found):
                return found
        centre = gap.pixels[self.stream.integers(gap.size)]
        best = _NOWHERE
        low, high = 0, gap.limit
        while high - low > 1:
            middle = (low + high) // 2
            piece = gap.within(centre, middle)
            found = self.find(piece) if len(piece) <= self.most else _NOWHERE
            low, high, best = (middle, high, found) if len(found) else (low, middle, best)
        gap.limit = min(whole, 2 * low + 2)
        return best if len(best) else self.find(np.zeros((1, 2), dtype=np.int64))

    def lay(self, pixels: IntArray) -> None:
        """Hold out the pixels at flat indices as the next block."""
        self.count += 1
        self.labels.ravel()[pixels] = self.count
        self._worth[pixels] = -self._worth.size
        self._transform = None

    def find(self, piece: IntArray) -> IntArray:
        """Return flat indices of the observed pixels under a piece at a random position where it fits, or none."""
        room = np.array(self._shape) - piece.max(axis=0)
        if room.min() < 1:
            return _NOWHERE
        flat = piece[:, 0] * self._shape[1] + piece[:, 1]
        tries = int(np.clip(_GATHERED // len(piece), *_POSITIONS))
        at: IntArray = self.stream.integers(room, size=(tries, 2)) @ np.array([self._shape[1], 1])
        fits = np.flatnonzero(self._worth[at[:, np.newaxis] + flat].sum(axis=1) >= self._needed(piece))
        if not len(fits):
            at = self._everywhere(piece, room)
            fits = self.stream.integers(len(at), size=min(1, len(at)))
        if not len(fits):
            return _NOWHERE
        under = at[fits[0]] + flat
        return np.asarray(under[self._worth[under] == 1])

    def _needed(self, piece: IntArray) -> float:
        return self.least * len(piece) - 1e-6

    def _everywhere(self, piece: IntArray, room: IntArray) -> IntArray:
        """Return all positions where a piece fits, by the correlation of the ground with it."""
        if len(piece) == 1:
            return np.flatnonzero(self._worth == 1)
        if self._searches == _EXHAUSTIVE:
            return _NOWHERE
        self._searches += 1
        size = [scipy.fft.next_fast_len(side, real=True) for side in self._shape]
        if self._transform is None:
            # Observed and taken pixels are counted apart, which keeps the sums small and exact.
            worth = np.stack([self._worth > 0, self._worth < 0]).reshape(2, *self._shape)
            self._transform = scipy.fft.rfft2(worth, s=size)
        image = np.zeros(self._shape)
        image[piece[:, 0], piece[:, 1]] = 1.0
        # The correlation is periodic, but a piece that starts where there is room does not wrap around.
        sums = scipy.fft.irfft2(self._transform * np.conj(scipy.fft.rfft2(image, s=size)), s=size)
        seen, taken = np.rint(sums[:, : room[0], : room[1]])
        rows, columns = np.nonzero((seen >= self._needed(piece)) & (taken == 0.0))
        return np.asarray(rows * self._shape[1] + columns)
