"""What a factorization will take, from the classes alone."""

import math
from dataclasses import dataclass

import numpy as np

from sparsegmrf import _memory
from sparsegmrf._threads import get_num_threads
from sparsegmrf._validate import image_shape, one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors._fold import Fold
from sparsegmrf.factors.dissection import _classes, _tree
from sparsegmrf.factors.dissection._analysis import LANES
from sparsegmrf.lattice import Lattice
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray, IntArray, Shape

_AT_ONCE = 2.0
"""Large nodes that are worked on at the same time, on average."""

_ROUNDED, _MOST_ROUNDED = 0.3, 100_000_000
"""What rounding of smaller workspaces, and keeping them, adds: a share of their bytes, and as much as it ever is."""

_RATE = 3.0e10
"""Operations a second of one core, for the rough time."""


@dataclass(frozen=True)
class Plan:
    """Prediction for one factorization.

    Attributes
    ----------
    nonzeros : int
        Entries of the factor that are stored.
    operations : float
        Floating-point operations, a multiplication and an addition counted as two.
    factor_bytes, peak_bytes, inverse_bytes : int
        Bytes of the factor, of the factor with all workspace of its factorization at its largest, and with that of a
        selected inverse, whose covariances come on top.
    seconds : float
        Rough time on the present number of threads; machines differ by a factor of several.
    classes, nodes : int
        Structures that occur, and nodes of the tree down to the leaves.
    """

    nonzeros: int
    operations: float
    factor_bytes: int
    peak_bytes: int
    inverse_bytes: int
    seconds: float
    classes: int
    nodes: int

    def __str__(self) -> str:
        return (
            f"{self.nonzeros:.3g} non-zeros, {self.operations:.3g} operations, {self.factor_bytes / 1e9:.3g} GB for "
            f"the factor and {self.peak_bytes / 1e9:.3g} GB at the peak, roughly {self.seconds:.2g} s"
        )


def plan(shape: Shape, stencil: SymmetricStencil, *, precision: str = "double") -> Plan:
    """Predict the size, arithmetic, memory and rough time of a dissection factorization without allocating it.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels; need not be the stencil's own.
    stencil : SymmetricStencil
        Its offsets and channels count, and whether it is homogeneous: then identical nodes are stored once.
        (Sharing among per-pixel coefficients, and on lattices that wrap, is not foreseen.) One that wraps is that of
        the lattice folded flat, as `FoldedFactor` has it.
    precision : {"double", "single"}
        In which the factor is kept.

    Returns
    -------
    Plan

    Examples
    --------
    >>> stencil = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (8, 8))
    >>> plan((1024, 1024), stencil).classes
    163
    """
    if not isinstance(stencil, SymmetricStencil):
        raise ArgumentError(f"stencil must be a SymmetricStencil, got {type(stencil).__name__}.")
    one_of("precision", precision, ("double", "single"))
    lattice, offsets = Lattice(image_shape(shape), stencil.channels), stencil.offsets
    shared = stencil.is_homogeneous and not stencil.is_wrapped
    if stencil.is_wrapped:
        fold = Fold.of(stencil, lattice.shape)
        lattice, offsets = fold.lattice, fold.offsets
    classes = _classes.node_classes(lattice.shape, offsets, leaf_pixels(offsets))
    return predict(lattice, classes, tile_side(lattice, offsets, shared), shared, single=precision == "single")


def predict(
    lattice: Lattice, classes: list[_classes.NodeClass], tile: int, shared: bool, *, single: bool = False
) -> Plan:
    """Predict the factorization of an analysed lattice with tiles of at most `tile` pixels a side."""
    s = np.array([each.eliminated for each in classes], dtype=np.float64) * lattice.channels
    m = np.array([len(each.front) for each in classes], dtype=np.float64) * lattice.channels
    b = m - s
    count = _instances(classes)
    nodes = int(count.sum())
    if shared:
        count = np.minimum(count, 1)
    entries = s * (s + 1) / 2 + s * b
    operations = float(count @ (s**3 / 3 + s * s * b + s * b * b))
    depth = _tree.tile_depth(classes, tile)
    above = _above(classes, depth)
    # Above the tiles the square corner of a panel is stored whole; tiles stand in full groups of lanes.
    tiles = _tree.unfold_classes(classes, depth)
    lanes = np.ceil(count[tiles] / LANES) * LANES
    width = 4 if single else 8
    factor = width * int((count * above) @ (s * m) + lanes @ _with_halves(classes, entries)[tiles])
    # A group of tiles is factorized when the first of them is asked for: the others of each class wait.
    updates = 8 * int((np.minimum(count[tiles], LANES) * (b[tiles] * (b[tiles] + 1) / 2)).sum())
    # Panels that are rounded stand beside the factor while they are worked on.
    panels = 8 * int(_AT_ONCE * float((s * m * above).max())) if single else 0
    peak = factor + _kept(updates + panels + 8 * int(_live(classes, b * above, shared)))
    inverse = factor + _kept(8 * int(_inverting(classes, s, b, above, tiles)))
    seconds = operations / (_RATE * get_num_threads()) + 1e-7 * lattice.size
    return Plan(int(count @ entries), operations, factor, peak, inverse, seconds, len(classes), nodes)


def tile_side(lattice: Lattice, offsets: IntArray, shared: bool) -> int:
    """Return the side of the largest square tile in pixels.

    Fronts in lanes should not go far beyond the second-level cache, and lanes should be full: some 256 tiles are enough
    for every class of tiles (inner ones, those at each side and corner) to fill most of its lanes. An image of at most
    1024 pixels, whose numbers cost less than handing them around, is one tile.
    """
    if not shared and lattice.n_pixels <= 2**10:
        return 32
    reach = max(1, int(np.abs(offsets).max(initial=1)))
    largest = 48 if reach == 1 and not shared else (32 if shared else 64) // reach
    return max(8, min(largest, math.isqrt(lattice.n_pixels) // 16))


def leaf_pixels(offsets: IntArray) -> int:
    """Return the most pixels of a leaf.

    Small leaves save entries; below some 20 pixels wide separators save nothing more and only add nodes.
    """
    return 6 if int(np.abs(offsets).max(initial=1)) == 1 else 20


def refuse_beyond_memory(predicted: Plan) -> None:
    """Raise `TooLargeError` if the predicted peak exceeds the memory available now."""
    _memory.refuse_if_too_large(
        predicted.peak_bytes,
        f"the factorization ({predicted})",
        "use a homogeneous stencil (stored once per class of nodes), fewer or nearer neighbours, a smaller or coarser "
        "image, or tiles of it; sparsegmrf.plan(shape, stencil) predicts each",
    )


def _kept(workspace: int) -> int:
    """Return the bytes that workspaces take which need so many at once."""
    return workspace + int(min(_ROUNDED * workspace, _MOST_ROUNDED))


def _instances(classes: list[_classes.NodeClass]) -> FloatArray:
    """Count the nodes of each class."""
    count = np.zeros(len(classes))
    count[-1] = 1.0
    for cls in range(len(classes) - 1, -1, -1):
        for child in classes[cls].children:
            count[child] += count[cls]
    return count


def _with_halves(classes: list[_classes.NodeClass], own: FloatArray) -> FloatArray:
    """Add to each class what its halves have, and theirs."""
    total = own.copy()
    for cls, each in enumerate(classes):
        for child in each.children:
            total[cls] += total[child]
    return total


def _above(classes: list[_classes.NodeClass], depth: int) -> FloatArray:
    """Mark the classes of nodes above the tiles."""
    mark = np.zeros(len(classes))
    level = {len(classes) - 1}
    for _ in range(depth):
        mark[list(level)] = 1.0
        level = {child for cls in level for child in classes[cls].children}
    return mark


def _live(classes: list[_classes.NodeClass], b: FloatArray, shared: bool) -> float:
    """Bound the numbers in update matrices that live at once."""
    own = b * b
    if shared:
        # Any of two neighbouring levels may wait for its last use.
        return float(own.sum())
    peak = np.zeros(len(classes))
    for cls, each in enumerate(classes):
        if each.children:
            first, second = each.children
            peak[cls] = max(peak[first], own[first] + peak[second], own[first] + own[second] + own[cls])
    return _AT_ONCE * float(peak[-1])


def _inverting(
    classes: list[_classes.NodeClass], s: FloatArray, b: FloatArray, above: FloatArray, tiles: IntArray
) -> float:
    """Return the numbers that a selected inverse works in: fronts, gains, and the boundaries of halves that wait.

    Above a node one half waits on every level; of `tiles` a group of each class.
    """
    packed = b * (b + 1) / 2
    waiting = np.zeros(len(classes))
    for cls in np.flatnonzero(above):
        first, second = classes[cls].children
        waiting[cls] = max(packed[first], packed[second]) + max(waiting[first], waiting[second])
    at_once = waiting[-1] + ((s + b) ** 2 * above).max() + (s * b * above).max()
    return _AT_ONCE * float(at_once) + LANES * float(packed[tiles].sum())
