"""What the tasks of a Schur tree do: each with its arguments alone, so that it may run anywhere, and again.

Upwards a leaf or separator is eliminated and leaves what it adds to its boundary; downwards it is given the solution
and the covariance there. The sums of all nodes make up log-determinant, likelihood, and gradient.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sparsegmrf.errors import NotPositiveDefiniteError
from sparsegmrf.factors.dissection._subtree import Panel, Separator, Subtree
from sparsegmrf.large._geometry import Window
from sparsegmrf.large._noise import Normals
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._raster import Raster
from sparsegmrf.large._tasks import Patches
from sparsegmrf.large._tree_plan import Node
from sparsegmrf.large._trend import Trend
from sparsegmrf.large._work import Products, right_hand_side
from sparsegmrf.lattice import Lattice, at_neighbours
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil._decoupled import decoupled
from sparsegmrf.typing import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Setting:
    """What every task knows.

    Attributes
    ----------
    posterior : Posterior
    offsets : ndarray (K, 2)
        Of the precision, on any window.
    leaf_pixels : int
        Of the tree.
    trend : Trend
        Whose covariates are right-hand sides.
    normals : Normals or None
        Of the draws.
    count : int
        Number of draws.
    given : bool
        Whether the observations are; else it is the tree of the field's own precision, without right-hand sides.
    derivatives : bool
        Whether the gradient is wanted.
    pinned : (int, int) or None
        A pixel at which the field's own precision is that of a field whose value is known there.
    """

    posterior: Posterior
    offsets: IntArray
    leaf_pixels: int
    trend: Trend
    normals: Normals
    count: int
    given: bool = True
    derivatives: bool = False
    pinned: tuple[int, int] | None = None

    @property
    def n_right(self) -> int:
        """Number of right-hand sides."""
        return 1 + len(self.trend.names) + self.count if self.given else 0

    def seeing(self, window: Window, seen: Any) -> "Setting":
        """Return the setting with what a window shows of the raster; itself where the raster is read by the task."""
        if seen is None:
            return self
        own = self.posterior.raster
        part = Patches([(window, np.asarray(seen, dtype=np.float64)[np.newaxis])])
        raster = Raster(own.shape, part.reader(0), None, own.variance)
        return replace(self, posterior=replace(self.posterior, raster=raster))

    def precision(self, window: Window) -> SymmetricStencil:
        """Return the precision on a window, on all offsets."""
        if self.given:
            return on_offsets(self.posterior.precision(window), self.offsets)
        Q, outside = self.posterior.cuts.dirichlet(window), self._without(window)
        return on_offsets(Q if outside is None else decoupled(Q, outside), self.offsets)

    def derivatives_on(self, window: Window) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision on a window; zero where the model has no value."""
        outside = self.posterior.outside(window) if self.given else self._without(window)
        found = self.posterior.cuts.derivatives(window)
        return found if outside is None else {name: decoupled(dQ, outside, 0.0) for name, dQ in found.items()}

    def right(self, own: Window) -> FloatArray:
        """Return the right-hand sides on some pixels, ``(R, h, w[, C])``."""
        if not self.given:
            return np.zeros((0, *own.shape))
        return right_hand_side(self.posterior, own, self.trend, self.normals, self.count)

    def _without(self, window: Window) -> BoolArray | None:
        """Return the unknowns of a window that the field's own precision is without."""
        outside, at = self.posterior.outside(window), self.pinned
        if at is None or not (window.top <= at[0] < window.bottom and window.left <= at[1] < window.right):
            return outside
        found = np.zeros(window.shape, dtype=bool)
        found[at[0] - window.top, at[1] - window.left] = True
        return found if outside is None else found | outside

    def separator(self, node: Node) -> Separator:
        """Return the structure of a node above the leaves."""
        lattice = Lattice(node.window.shape, self.posterior.cuts.channels)
        return Separator(lattice, self.offsets, node.key, node.first, self.leaf_pixels)


class Up(NamedTuple):
    """What a node hands to its parent: what it adds to the precision of its boundary, and to right-hand sides there."""

    update: FloatArray
    right: FloatArray


class Sums(NamedTuple):
    """What a node adds to the log-determinant, to ``b^T P^-1 b``, and of the observations."""

    logdet: float
    explained: float
    log_weights: float
    squares: float
    observed: int


class Kept(NamedTuple):
    """What the way back needs of a separator: its columns of the factor, and its right-hand sides eliminated."""

    panel: FloatArray
    y: FloatArray


class Down(NamedTuple):
    """What a node is handed by its parent: covariance (packed) and solutions on its boundary."""

    covariance: FloatArray
    solution: FloatArray


class Slopes(NamedTuple):
    """What a node adds to the gradient.

    Attributes
    ----------
    traces : ndarray, (K,)
        Of ``P^-1 dQ``.
    squares : ndarray, (K, 1 + p, 1 + p)
        ``Z^T dQ Z`` of what the field makes of the observations, and of the covariates in their place.
    noise_trace : float
        Of ``P^-1 W``.
    noise_squares : ndarray, (1 + p, 1 + p)
        ``R^T W R`` of what it leaves of them.
    """

    traces: FloatArray
    squares: FloatArray
    noise_trace: float
    noise_squares: FloatArray

    def __add__(self, other: "Slopes") -> "Slopes":  # type: ignore[override]
        return Slopes(
            self.traces + other.traces,
            self.squares + other.squares,
            self.noise_trace + other.noise_trace,
            self.noise_squares + other.noise_squares,
        )


class Found(NamedTuple):
    """What is known in the end of a node's own pixels.

    Attributes
    ----------
    solution : ndarray, (R, h, w[, C])
    variance : ndarray, (h, w)
        Of what is observed.
    products : tuple
        What they add to the equations of the trend, see `Products`.
    slopes : Slopes or None
    """

    solution: FloatArray
    variance: FloatArray
    products: tuple[Any, ...]
    slopes: Slopes | None


def eliminate_leaf(setting: Setting, node: Node, seen: Any = None) -> tuple[Up, Sums]:
    """Factorize a tile, and forget the factor."""
    setting = setting.seeing(node.window, seen)
    tree, y, added = _leaf(setting, node, setting.right(node.own))
    return Up(tree.update, added), _sums(setting, node, tree.logdet, y)


def merge(setting: Setting, node: Node, first: Up, second: Up, seen: Any = None) -> tuple[Up, Sums, Kept]:
    """Eliminate the separator between two halves."""
    setting = setting.seeing(node.window, seen)
    separator = setting.separator(node)
    with _placed(node.window):
        panel, update = separator.eliminate(setting.precision(node.window), (_own(first[0]), _own(second[0])))
    y = added = np.zeros((0, 0))
    if setting.n_right:
        b = setting.right(node.own).reshape(setting.n_right, *node.own.shape, -1)
        corner = node.own.top - node.window.top, node.own.left - node.window.left
        rows, columns = (separator.front[: node.own.n_pixels] - corner).T
        y, added = separator.forward(panel, b[:, rows, columns].reshape(len(b), -1), (first[1], second[1]))
    return Up(update, added), _sums(setting, node, panel.logdet, y), Kept(panel.numbers, y)


def root_down(setting: Setting) -> Down:
    """Return what is handed to the root: nothing lies beyond."""
    return Down(np.zeros(0), np.zeros((setting.n_right, 0)))


def split_down(setting: Setting, node: Node, kept: Kept, down: Down, seen: Any = None) -> tuple[Down, Down, Found]:
    """Return what the halves of a separator are handed, and what is known of its pixels."""
    setting = setting.seeing(node.window, seen)
    separator, panel = setting.separator(node), Panel(_own(kept[0]), 0.0)
    Z = separator.invert(panel, _own(down[0]))
    x = separator.backward(panel, kept[1], down[1]) if setting.n_right else np.zeros((0, separator.m))
    halves = [Down(separator.hand_down(Z, half), x[:, separator.positions(half)]) for half in range(2)]
    planes = separator.covariances(Z)
    del Z
    channels, shape = setting.posterior.cuts.channels, node.window.shape
    image, front = np.zeros((len(x), *shape, channels)), np.zeros(shape, dtype=bool)
    pixels = separator.front
    inside = np.flatnonzero(((pixels >= 0) & (pixels < shape)).all(axis=1))
    rows, columns = pixels[inside].T
    image[:, rows, columns] = x.reshape(len(x), len(pixels), channels)[:, inside]
    front[rows, columns] = True
    return halves[0], halves[1], _found(setting, node, setting.right(node.own), image, planes, front)


def finish_leaf(setting: Setting, node: Node, down: Down, seen: Any = None) -> Found:
    """Factorize a tile again, and return what is known of its pixels."""
    setting = setting.seeing(node.window, seen)
    right = setting.right(node.own)
    tree, y, _ = _leaf(setting, node, right)
    shape, channels = node.window.shape, setting.posterior.cuts.channels
    image = np.zeros((0, *shape, channels))
    if len(y):
        image = tree.backward(y, down[1]).reshape(-1, *shape, channels)
    front = np.zeros(shape, dtype=bool)
    front[node.own.within(node.window)] = True
    rows, columns = tree.boundary.T
    front[rows, columns] = True
    return _found(setting, node, right, image, tree.covariances(_own(down[0])), front)


def _leaf(setting: Setting, node: Node, own: FloatArray) -> tuple[Subtree, FloatArray, FloatArray]:
    """Return a tile's factor, and its right-hand sides eliminated, with what they add to its boundary."""
    P = setting.precision(node.window)
    with _placed(node.window):
        tree = Subtree(P, node.beyond)
    y = added = np.zeros((0, 0))
    if len(own):
        b = np.zeros((len(own), *node.window.shape, P.channels))
        b[(slice(None), *node.own.within(node.window))] = own.reshape(*own.shape[:3], -1)
        y, added = tree.forward(b.reshape(len(b), -1))
    return tree, y, added


def _sums(setting: Setting, node: Node, logdet: float, y: FloatArray) -> Sums:
    if not setting.given:
        return Sums(logdet, 0.0, 0.0, 0.0, 0)
    if not node.halves:
        channels = setting.posterior.cuts.channels
        y = y.reshape(len(y), *node.window.shape, channels)[(slice(None), *node.own.within(node.window))]
    seen = setting.posterior.raster.seen(node.own)
    w = seen.weight[seen.observed]
    left = (seen.values - setting.trend.removed(node.own))[seen.observed]
    return Sums(logdet, float(np.vdot(y[0], y[0])), float(np.log(w).sum()), float(w @ (left * left)), len(w))


def _found(
    setting: Setting, node: Node, right: FloatArray, image: FloatArray, planes: FloatArray, front: BoolArray
) -> Found:
    """Return what solutions and covariances on a node's window say."""
    posterior, own = setting.posterior, node.own.within(node.window)
    variance = _variance(posterior, planes[(0, *own)])
    x = image if posterior.combination is not None else image[..., 0]
    solution = x[(slice(None), *own)]
    products: tuple[Any, ...] = ()
    if setting.given:
        products = tuple(Products.of(posterior, node.own, setting.trend, solution, np.zeros_like(right), right))
    slopes = _slopes(setting, node, x, planes, front, variance) if setting.derivatives else None
    return Found(solution, variance, products, slopes)


def _variance(posterior: Posterior, centre: FloatArray) -> FloatArray:
    a = posterior.combination
    return np.array(centre) if a is None else np.asarray(np.einsum("...cd,c,d->...", centre, a, a))


def _slopes(
    setting: Setting, node: Node, x: FloatArray, planes: FloatArray, front: BoolArray, variance: FloatArray
) -> Slopes:
    posterior, trend, window = setting.posterior, setting.trend, node.window
    own = np.zeros(window.shape, dtype=bool)
    own[node.own.within(window)] = True
    derivatives = setting.derivatives_on(window)
    p = len(trend.names)
    size = 1 + p if setting.given else 0
    fields = x[:size]
    if p and setting.given:
        fields = np.concatenate([x[:1], posterior.lifted(trend.columns(window)) - x[1 : 1 + p]])
    traces, squares = np.zeros(len(derivatives)), np.zeros((len(derivatives), size, size))
    for k, dQ in enumerate(derivatives.values()):
        mine = _assembled_here(dQ, front, own)
        S = SymmetricStencil._from_planes(setting.offsets, planes, dQ.lattice)
        traces[k] = mine.inner(S)
        if size:
            axes = tuple(range(1, fields.ndim))
            squares[k] = np.tensordot(fields, mine @ fields, (axes, axes))
    if not setting.given:
        return Slopes(traces, squares, 0.0, np.zeros((0, 0)))
    seen = posterior.raster.seen(node.own)
    left = np.where(seen.observed, seen.values - trend.removed(node.own), 0.0)
    at = (slice(None), *node.own.within(window))
    rest = np.concatenate([left[np.newaxis], trend.columns(node.own)]) - posterior.total(fields[at])
    weighted = np.where(seen.observed, seen.weight, 0.0) * rest
    return Slopes(
        traces, squares, float(np.vdot(seen.weight, variance)), np.tensordot(weighted, rest, ((1, 2), (1, 2)))
    )


def _assembled_here(dQ: SymmetricStencil, front: BoolArray, own: BoolArray) -> SymmetricStencil:
    """Return the entries of a matrix between pixels of a front, one of which at least is eliminated there."""
    planes = np.array([dQ.plane(k) for k in range(len(dQ.offsets))])
    for plane, offset in zip(planes, dQ.offsets.tolist(), strict=True):
        there = front & at_neighbours(front, offset) & (own | at_neighbours(own, offset))
        plane[~there] = 0.0
    return SymmetricStencil._from_planes(dQ.offsets, planes, dQ.lattice)


def on_offsets(P: SymmetricStencil, offsets: IntArray) -> SymmetricStencil:
    """Return a stencil with planes, zero ones too, on offsets of which it has some."""
    if np.array_equal(P.offsets, offsets):
        return P
    planes = np.zeros((len(offsets), *P.plane(0).shape))
    for k, offset in enumerate(P.offsets):
        place = np.flatnonzero((offsets == offset).all(axis=1))
        if len(place):  # the others are those on which no window has anything
            planes[place[0]] = P.plane(k)
    return SymmetricStencil._from_planes(offsets, planes, P.lattice)


@contextmanager
def _placed(window: Window) -> Iterator[None]:
    """Say of a pivot that is not positive where it is in the raster."""
    try:
        yield
    except NotPositiveDefiniteError as error:
        pixel = (error.pixel[0] + window.top, error.pixel[1] + window.left, *error.pixel[2:])
        raise NotPositiveDefiniteError(
            f"the precision given the observations is not positive definite: pivot {error.pivot:g} at pixel {pixel}. "
            "Check that the observations fix the field there, and the model's parameters.",
            pixel,
            error.pivot,
        ) from None


def _own(array: FloatArray) -> FloatArray:
    """Return an array as kernels take it: what comes from a file or another process may be read-only."""
    return np.require(np.asarray(array), requirements=["C", "A", "W"])
