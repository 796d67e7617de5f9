"""Observed pixels to hold out for a test of gap filling: copies of the image's own gaps, and rectangles."""

from dataclasses import dataclass, field

import numpy as np
import scipy

from sparsegmrf._validate import boolean_mask, finite_number, generator, integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._placement import Gap, Layer
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, IntArray, Seed

_MOST = 1000
"""Copies laid in one set, about; with gaps so small that more would be needed less is held out."""
_REMNANT = 8
"""How many times smaller than the first piece of a gap another one is no longer laid."""
_SIDE = 16
"""Side in pixels of the squares that stand for the gaps of an image without any; an eighth of a smaller image's."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Disjoint sets of observed pixels to hold out.

    Attributes
    ----------
    labels : ndarray of int, (H, W)
        Number of the block a pixel belongs to, from 1; 0 where it is not held out.
    observed : ndarray of bool, (H, W)
        Where the image is observed; blocks lie within.
    """

    labels: IntArray
    observed: BoolArray = field(repr=False)

    @property
    def held_out(self) -> BoolArray:
        """True where a pixel is held out."""
        return np.asarray(self.labels > 0)

    @property
    def count(self) -> int:
        """Number of blocks."""
        return int(self.labels.max())

    @property
    def share(self) -> float:
        """Held-out pixels over observed ones."""
        return float(np.count_nonzero(self.labels) / np.count_nonzero(self.observed))

    def distances(self) -> tuple[FloatArray, FloatArray]:
        """Return the distances in pixels to the nearest observation: of the gaps' pixels, and of those held out.

        Each held-out pixel is measured with all blocks held out. The two should be distributed alike for the test to
        say something about the gaps.
        """
        gaps = scipy.ndimage.distance_transform_edt(~self.observed)
        held = scipy.ndimage.distance_transform_edt(~self.observed | self.held_out)
        return np.asarray(gaps[~self.observed]), np.asarray(held[self.held_out])


def gap_copies(observed: ArrayLike, rng: Seed = None, *, share: float = 0.1, overlap: float = 0.7) -> Blocks:
    """Lay translated copies of an image's gaps over its observed pixels.

    Gaps are connected by edges. From the largest to the smallest each is copied in proportion to its pixels
    (systematic sampling), so that a held-out pixel belongs to a gap of a given size as often as a missing pixel does.
    Positions are uniform among those where the copy lies within the image, a share `overlap` of it on observed pixels,
    and on no other copy. A gap that fits nowhere, or alone would exceed the `share`, is cut: to what is connected
    within the largest square that fits around one of its pixels, drawn anew for every copy.

    Parameters
    ----------
    observed : array_like of bool, (H, W)
        **True where a pixel is observed**, for instance ``np.isfinite(image)``. Without gaps the copies are squares of
        16 x 16 pixels, or an eighth of the image's shorter side where that is less.
    rng : int, Generator or None
        Seed of the choice of gaps and positions.
    share : float
        Observed pixels to hold out, as a share of all, above 0 up to 0.5; less if that took more than 1000 copies or
        so. `Blocks.share` is what it came to.
    overlap : float
        Least share of a copy that lies on observed pixels, above 0 up to 1.

    Returns
    -------
    Blocks

    Raises
    ------
    ArgumentError
        If `observed` is no boolean image, fewer than two pixels are observed, or a share is out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> observed = np.ones((30, 40), dtype=bool)
    >>> observed[5:12, 8:15] = False
    >>> blocks = gap_copies(observed, rng=0)
    >>> blocks.count, round(blocks.share, 3), bool(observed[blocks.held_out].all())
    (2, 0.085, True)
    """
    ground = _checked(observed)
    gaps = _gaps(ground)
    missing = sum(gap.size for gap in gaps)
    part = _share("share", share, 0.5)
    budget = max(1, int(min(part * np.count_nonzero(ground), _MOST * missing / len(gaps))))
    layer = Layer(ground, _share("overlap", overlap, 1.0), budget, generator(rng))
    threshold, due = layer.stream.random(), 0.0
    for gap in gaps:
        due = _copy(layer, gap, budget * gap.size / missing, due, threshold)
    if not layer.count:
        layer.lay(layer.place(gaps[0]))
    return Blocks(layer.labels, ground)


def rectangles(
    observed: ArrayLike,
    rng: Seed = None,
    height: int | None = None,
    width: int | None = None,
    count: int = 4,
    *,
    overlap: float = 0.7,
) -> Blocks:
    """Lay rectangles over observed pixels, by default as large as the largest square within a gap.

    Positions are as for `gap_copies`. Both sides shrink together, by sixteenths, until one fits; where no position is
    left, or half of the observed pixels would be exceeded, fewer are laid.

    Parameters
    ----------
    observed : array_like of bool, (H, W)
        **True where a pixel is observed.**
    rng : int, Generator or None
        Seed of the positions.
    height, width : int, optional
        Sides in pixels; by default those of the largest square that a gap holds, or as for `gap_copies` without gaps.
    count : int
        Number of rectangles.
    overlap : float
        Least share of a rectangle that lies on observed pixels, above 0 up to 1.

    Returns
    -------
    Blocks

    Raises
    ------
    ArgumentError
        As for `gap_copies`, or if a side or the count is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> blocks = rectangles(np.ones((30, 40), dtype=bool), rng=0, height=5, width=6, count=3)
    >>> np.bincount(blocks.labels.ravel()).tolist()
    [1110, 30, 30, 30]
    """
    ground = _checked(observed)
    half = int(np.count_nonzero(ground)) // 2
    layer = Layer(ground, _share("overlap", overlap, 1.0), half, generator(rng))
    side = largest_square(ground)
    full = [
        min(side if given is None else integer_at_least(name, given, 1), most)
        for name, given, most in zip(("height", "width"), (height, width), ground.shape, strict=True)
    ]
    number = integer_at_least("count", count, 1)
    sizes = [(-(-full[0] * k // 16), -(-full[1] * k // 16)) for k in range(16, 0, -1)]
    pieces = [np.argwhere(np.ones(size)) for size in [*sizes, (1, 1)]]
    piece = next(each for each in pieces if len(each) <= half and len(layer.find(each)))
    left = half
    for _ in range(number):
        pixels = layer.find(piece)
        if not 0 < len(pixels) <= left:
            break
        layer.lay(pixels)
        left -= len(pixels)
    return Blocks(layer.labels, ground)


def largest_square(ground: BoolArray) -> int:
    """Return the side of the largest square within a gap, what is off the image being no gap."""
    if ground.all():
        return _default_side(ground.shape)
    depth = scipy.ndimage.distance_transform_cdt(np.pad(~ground, 1), metric="chessboard")
    return 2 * int(depth.max()) - 1


def _copy(layer: Layer, gap: Gap, owed: float, due: float, threshold: float) -> float:
    """Lay copies of a gap for the pixels owed to it, and return what share of a copy is due to the next gap.

    A copy is laid where more than a share `threshold` of one is due.
    """
    if due + owed / (layer.least * gap.size) < threshold and gap.size <= layer.most:
        return due + owed / gap.size
    first = 0
    while True:
        pixels = layer.place(gap)
        if not len(pixels):
            return 0.0
        first = first or len(pixels)
        due += owed / len(pixels)
        if due < threshold or len(pixels) * _REMNANT < first:
            return min(due, 1.0)
        layer.lay(pixels)
        owed, due = (due - 1.0) * len(pixels), 0.0


def _checked(observed: ArrayLike) -> BoolArray:
    array = np.asarray(observed)
    if array.ndim != 2:
        raise ArgumentError(f"observed must have shape (H, W), got {array.shape}.")
    ground = boolean_mask("observed", array, array.shape)
    if np.count_nonzero(ground) < 2:
        raise ArgumentError(
            f"observed must have two true pixels or more, got {np.count_nonzero(ground)}; what is held out needs "
            "something to be predicted from."
        )
    return ground


def _share(name: str, value: float, most: float) -> float:
    number = finite_number(name, value)
    if not 0.0 < number <= most:
        raise ArgumentError(f"{name} must be above 0 and at most {most:g}, got {number:g}.")
    return number


def _gaps(ground: BoolArray) -> list[Gap]:
    """Return the connected gaps, largest first; a square if there are none."""
    labels, _ = scipy.ndimage.label(~ground)
    windows = scipy.ndimage.find_objects(labels)
    gaps = [Gap(labels[window] == k + 1) for k, window in enumerate(windows)]
    if not gaps:
        side = _default_side(ground.shape)
        gaps = [Gap(np.ones((side, side), dtype=bool))]
    return sorted(gaps, key=lambda gap: -gap.size)


def _default_side(shape: tuple[int, ...]) -> int:
    return max(1, min(_SIDE, min(shape) // 8))
