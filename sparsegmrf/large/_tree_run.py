"""A Schur tree as calls of its tasks, and what their results make together."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from sparsegmrf.large._brackets import Bracket
from sparsegmrf.large._geometry import Tile, windows_of
from sparsegmrf.large._images import Allocate, allocator
from sparsegmrf.large._loglik import closed_form
from sparsegmrf.large._posterior import Posterior
from sparsegmrf.large._tree_plan import Node, TreePlan
from sparsegmrf.large._tree_prior import Prior, closed_prior
from sparsegmrf.large._tree_tasks import (
    Kept,
    Setting,
    Slopes,
    Sums,
    eliminate_leaf,
    finish_leaf,
    merge,
    root_down,
    split_down,
)
from sparsegmrf.large._trend import held_by
from sparsegmrf.large._work import Coefficients, Products, images_of
from sparsegmrf.models import Model
from sparsegmrf.typing import FloatArray, Shape

Call: TypeAlias = Callable[..., Any]
"""Runs a task, or returns one: of its name, the number of its node, the function and its arguments."""
Sink: TypeAlias = Callable[[Node, Any], None]
"""Takes what a node has found."""

_LOG_2PI = float(np.log(2.0 * np.pi))
_BLOCK = 1024
_LARGE = 2**17
"""Numbers from which on an array that waits stands in a file, where there is a folder for it."""
_FILE = 2**29


@dataclass(frozen=True, eq=False)
class TreeResult:
    """A field given observations, exactly.

    Attributes
    ----------
    loglik : float or None
        Log-density of the observations at the parameters used, in nats; None of an intrinsic field whose determinant no
        transform knows.
    logdet : float
        Log-determinant of the precision given the observations.
    mean, std : ndarray, (H, W)
        Expectation and standard deviation of the field with its trend, in intensity; NaN where the model has no value.
    samples : ndarray, (k, H, W)
        Draws of the field with its trend given the observations.
    gradient : dict of float or None
        Derivatives of `loglik` by the parameters of `model`, and by ``noise_variance``, or by ``noise_factor`` on a map
        of noise variances; None where it was not asked for.
    coefficients, coefficient_errors : dict of float
        Of the trend, in intensity and intensity per pixel from the middle; generalized least squares.
    model : Model
        The field.
    noise_variance : float or None
        None where it differs between pixels.
    n_observed, n_tiles : int
        Number of observed pixels, and of tiles.
    """

    loglik: float | None
    logdet: float
    mean: FloatArray
    std: FloatArray
    samples: FloatArray
    gradient: dict[str, float] | None
    coefficients: dict[str, float]
    coefficient_errors: dict[str, float]
    model: Model
    noise_variance: float | None
    n_observed: int
    n_tiles: int

    @property
    def variance(self) -> FloatArray:
        """Squares of `std`."""
        return self.std**2

    def __repr__(self) -> str:
        height, width = self.mean.shape
        return f"TreeResult(shape=({height}, {width}), {self.n_tiles} tiles, loglik={self.loglik})"


class End(NamedTuple):
    """What is kept of a node besides its images."""

    products: tuple[Any, ...]
    slopes: Slopes | None


def up(
    plan: TreePlan, setting: Any, call: Call, seen: Sequence[Any], *, keep: bool
) -> tuple[list[Any], dict[int, Any]]:
    """Eliminate the tree; return the sums of all nodes, and what the way back needs of separators."""
    waiting: dict[int, Any] = {}
    sums, kept = [], {}
    for node in plan.nodes:
        if node.halves:
            halves = [waiting.pop(half) for half in node.halves]
            made = call("merge", node.number, merge, setting, node, *halves, seen[node.number])
            if keep:
                kept[node.number] = made[2]
        else:
            made = call("leaf", node.number, eliminate_leaf, setting, node, seen[node.number])
        waiting[node.number] = made[0]
        sums.append(made[1])
        del made
    return sums, kept


def down(plan: TreePlan, setting: Any, call: Call, seen: Sequence[Any], kept: dict[int, Any], sink: Sink) -> None:
    """Go back from the root to the leaves."""
    waiting = {len(plan.nodes) - 1: call("root", 0, root_down, setting)}
    for node in plan.nodes[::-1]:
        given = waiting.pop(node.number)
        if node.halves:
            panel = kept.pop(node.number)
            made = call("split", node.number, split_down, setting, node, panel, given, seen[node.number])
            waiting[node.halves[0]], waiting[node.halves[1]] = made[0], made[1]
            sink(node, made[2])
            del made, panel
        else:
            sink(node, call("finish", node.number, finish_leaf, setting, node, given, seen[node.number]))


class Here:
    """Runs tasks at once, one after another, with threads within; what waits stands in memory or a folder's files.

    Separators' columns, of which there may be more than a process may have files, share files of at most `_FILE`
    numbers; `kept` is how many numbers there will be.
    """

    def __init__(self, scratch: str | os.PathLike[str] | None, kept: int = 0) -> None:
        self._allocate = None if scratch is None else allocator(scratch)
        self._file, self._size = np.zeros(0), min(kept, _FILE)

    def __call__(self, name: str, number: int, function: Callable[..., Any], *arguments: Any) -> Any:
        found = function(*arguments)
        return found if self._allocate is None else self._stored(found, self._allocate)

    def _stored(self, value: Any, allocate: Allocate) -> Any:
        if isinstance(value, Kept):
            return Kept(self._in_shared_file(value.panel, allocate), self._stored(value.y, allocate))
        if isinstance(value, tuple):
            parts = [self._stored(each, allocate) for each in value]
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        if not isinstance(value, np.ndarray) or value.size < _LARGE:
            return value
        stored = allocate(value.shape)
        stored[...] = value
        return np.asarray(stored)

    def _in_shared_file(self, panel: FloatArray, allocate: Allocate) -> FloatArray:
        if len(self._file) < panel.size:
            self._file = np.asarray(allocate((max(panel.size, self._size),)))
        stored, self._file = self._file[: panel.size], self._file[panel.size :]
        stored[...] = panel
        return stored


class Images:
    """Solutions and variances of the raster, filled in node by node."""

    def __init__(self, setting: Setting, scratch: str | os.PathLike[str] | None) -> None:
        posterior, allocate = setting.posterior, allocator(scratch)
        self.solution = allocate((setting.n_right, *posterior.image_shape))
        self.variance = allocate(posterior.shape)
        self.ends: dict[int, End] = {}

    def take(self, node: Node, found: Any) -> None:
        """Take what a node has found."""
        solution, variance, products, slopes = found
        self.solution[(slice(None), *node.own.slices)] = solution
        self.variance[node.own.slices] = variance
        self.ends[node.number] = End(products, slopes)


def loglik_of(setting: Setting, sums: Sequence[Any], explained: float, prior: Prior) -> float:
    """Return the log-density of the observations; see `loglik_interval`."""
    parts = [Sums(*each) for each in sums]
    observed = sum(each.observed for each in parts)
    posterior = setting.posterior
    null = len(held_by(posterior.cuts.model))
    of_null = float(np.log(observed / (posterior.shape[0] * posterior.shape[1]))) * null
    rest = sum(each.log_weights - each.squares for each in parts) + explained - (observed - null) * _LOG_2PI + of_null
    return 0.5 * (prior.logdet - sum(each.logdet for each in parts) + rest)


def result_of(
    plan: TreePlan,
    setting: Setting,
    sums: Sequence[Any],
    images: Images,
    prior: Prior | None,
    scratch: str | os.PathLike[str] | None = None,
) -> TreeResult:
    """Return the result of a tree."""
    posterior, trend = setting.posterior, setting.trend
    ends = [images.ends[node.number] for node in plan.nodes]
    total = sum((Products(*each.products) for each in ends), Products.zero(len(trend.names)))
    own = total.coefficients(np.zeros(setting.n_right))
    parts = [Sums(*each) for each in sums]
    loglik = None if prior is None else loglik_of(setting, sums, own.explained, prior)
    mean, std, samples = _images(setting, images, own, scratch)
    variance = posterior.raster.variance
    return TreeResult(
        loglik=loglik,
        logdet=sum(each.logdet for each in parts),
        mean=mean,
        std=std,
        samples=samples,
        gradient=_gradient(plan, setting, ends, own, prior, parts) if setting.derivatives else None,
        coefficients=trend.coefficients(own.beta),
        coefficient_errors=trend.errors(own.covariance),
        model=posterior.cuts.model,
        noise_variance=None if callable(variance) else variance,
        n_observed=sum(each.observed for each in parts),
        n_tiles=len(plan.leaves),
    )


def prior_by_tree(setting: Setting, sums: Sequence[Any], ends: Sequence[Any]) -> Prior:
    """Return what a tree of the field's own precision says of it."""
    n_pixels = setting.posterior.shape[0] * setting.posterior.shape[1]
    logdet = sum(Sums(*each).logdet for each in sums) + (0.0 if setting.pinned is None else float(np.log(n_pixels)))
    traces = [Slopes(*each.slopes).traces for each in ends if each.slopes is not None]
    return Prior(logdet, np.sum(traces, axis=0) if traces else np.zeros(0))


def needs_tree_of_prior(posterior: Posterior) -> bool:
    """Return whether the field's own determinant is that of a tree."""
    model = posterior.cuts.model
    if closed_form(posterior.cuts) is not None:
        return False
    return not held_by(model) or _has_one_level(model, posterior.shape)


def _has_one_level(model: Model, shape: Shape) -> bool:
    """Return whether all that a field does not say is its level, by maps or directions of one connected lattice."""
    if model.combination is not None or held_by(model) != ("constant",):
        return False
    whole = all(getattr(model, name, None) is None for name in ("mask", "barrier"))
    return whole and model.gmrf(shape).rank_deficiency == 1


def known_prior(posterior: Posterior, *, derivatives: bool) -> Prior | None:
    """Return the field's own determinant where it is known without a tree."""
    closed = closed_form(posterior.cuts)
    return None if closed is None else closed_prior(posterior.cuts, closed, derivatives=derivatives)


def of_prior(setting: Setting) -> Setting:
    """Return the setting of the field's own precision.

    Of an intrinsic one of ``n`` pixels with a free level the product of the non-zero eigenvalues is ``n`` times the
    determinant without the row and column of any one pixel (the matrix-tree theorem).
    """
    shape = setting.posterior.shape
    intrinsic = bool(held_by(setting.posterior.cuts.model))
    return replace(setting, given=False, pinned=(shape[0] // 2, shape[1] // 2) if intrinsic else None)


def _gradient(
    plan: TreePlan,
    setting: Setting,
    ends: Sequence[End],
    own: Coefficients,
    prior: Prior | None,
    parts: Sequence[Sums],
) -> dict[str, float]:
    """Return ``[tr(Q^-1 dQ) - tr(P^-1 dQ) - z^T dQ z] / 2``, and ``-[m - tr(P^-1 W) - r^T W r] / 2`` for the noise."""
    assert prior is not None
    slopes = [Slopes(*each.slopes) for each in ends if each.slopes is not None]
    total = slopes[0]
    for each in slopes[1:]:
        total = total + each
    mix = np.concatenate([[1.0], -own.beta])
    of_field = 0.5 * (prior.traces - total.traces - np.einsum("kij,i,j->k", total.squares, mix, mix))
    observed = sum(each.observed for each in parts)
    of_noise = -0.5 * (observed - total.noise_trace - float(mix @ total.noise_squares @ mix))
    names = list(setting.derivatives_on(plan.nodes[0].window))
    variance = setting.posterior.raster.variance
    gradient = dict(zip(names, of_field.tolist(), strict=True))
    return gradient | ({"noise_factor": of_noise} if callable(variance) else {"noise_variance": of_noise / variance})


def _images(
    setting: Setting, images: Images, own: Coefficients, scratch: str | os.PathLike[str] | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    posterior, allocate = setting.posterior, allocator(scratch)
    mean, std = allocate(posterior.shape), allocate(posterior.shape)
    samples = allocate((setting.count, *posterior.shape))
    for core in windows_of(posterior.shape, _BLOCK):
        variance = images.variance[core.slices]
        bounds = Bracket(Tile.of(0, core, 0, posterior.shape), variance, variance)
        solution = images.solution[(slice(None), *core.slices)]
        found = images_of(posterior, bounds, solution, own, setting.trend, setting.normals, setting.count)
        mean[core.slices], std[core.slices], samples[(slice(None), *core.slices)] = found[0], found[1], found[4:]
    return mean, std, samples
