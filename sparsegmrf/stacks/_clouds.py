"""Clouds of some dates laid over clear ones: what is held out to see how gaps of a stack are filled."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegmrf._validate import boolean_mask, generator, integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks._dates import Calendar
from sparsegmrf.typing import ArrayLike, BoolArray, FloatArray, IntArray, Seed

_CLOUDS = 12
_CLEAR = 0.5
"""Share of the pixels of the clearest date of which as many must be seen of a clear one."""
_TOGETHER = 6
"""Of how many dates one at most has a cloud moved to it in the same fold."""


@dataclass(frozen=True, eq=False)
class MovedClouds:
    """Gaps of some dates, laid over what is seen at others.

    Attributes
    ----------
    labels : ndarray of int, (T, H, W)
        Number of the cloud that hides an observation, from 1; 0 where it is not hidden.
    targets, sources : ndarray of int, (count,)
        Positions of an image of the date that a cloud was moved to, and of one of the date that it is of; -1 of a whole
        date that is hidden, of a stack without gaps.
    folds : ndarray of int, (count,)
        From 0: clouds of one fold are laid together.
    observed : ndarray of bool, (T, H, W)
        Where the stack is observed; what is hidden lies within.
    """

    labels: IntArray
    targets: IntArray
    sources: IntArray
    folds: IntArray
    observed: BoolArray = field(repr=False)

    @property
    def held_out(self) -> BoolArray:
        """True where an observation is hidden in some fold."""
        return np.asarray(self.labels > 0)

    @property
    def count(self) -> int:
        """Number of clouds."""
        return len(self.targets)

    @property
    def n_folds(self) -> int:
        """Number of folds."""
        return int(self.folds.max()) + 1

    @property
    def share(self) -> float:
        """Hidden observations over all."""
        return float(np.count_nonzero(self.labels) / np.count_nonzero(self.observed))

    def hidden(self, fold: int) -> BoolArray:
        """Return where observations are hidden in a fold, ``(T, H, W)``."""
        return np.isin(self.labels, 1 + np.flatnonzero(self.folds == fold))


def moved_clouds(
    observed: ArrayLike, dates: Any, rng: Seed = None, *, clouds: int | None = None, folds: int | None = None
) -> MovedClouds:
    """Lay the gaps of some dates over the clearest others.

    The clearest dates are taken season by season in turn, the clearest of each first. Gaps are drawn from those of all
    other dates by systematic sampling in the order of their size, so that what is hidden is as large as what is
    missing; where a gap hides nothing the next one is taken. Pixels that are never seen belong to no gap, and dates of
    which nothing is seen have none, unless no others have one. Of a stack without gaps whole dates are hidden. All
    images of a date are hidden alike. Folds take dates in turn, so that those hidden together lie far apart in time.

    Parameters
    ----------
    observed : array_like of bool, (T, H, W)
        **True where a pixel is observed**, for instance ``np.isfinite(stack)``.
    dates : sequence, (T,)
        As for `fill`.
    rng : int, Generator or None
        Seed of the choice of gaps.
    clouds : int, optional
        How many are moved at most; by default 12, and never to a date with less than half of the clearest one's pixels.
    folds : int, optional
        In how many sets they are hidden; by default so many that no more than one date in six has one.

    Returns
    -------
    MovedClouds

    Raises
    ------
    ArgumentError
        If `observed` is no boolean stack with a date for each image, there are fewer than two dates with an
        observation, or `clouds` or `folds` are less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> observed = np.ones((4, 5, 5), dtype=bool)
    >>> observed[2, 1:3, 1:4] = False
    >>> found = moved_clouds(observed, [0.0, 10.0, 20.0, 30.0], rng=0)
    >>> found.targets.tolist(), found.sources.tolist(), found.share
    ([0, 1, 3], [2, 2, 2], 0.19148936170212766)
    """
    seen = np.asarray(observed)
    if seen.ndim != 3 or not seen.size:
        raise ArgumentError(f"observed must have shape (T, H, W), got {seen.shape}.")
    seen = boolean_mask("observed", seen, seen.shape)
    calendar = Calendar.of(dates)
    days = calendar.days(dates)
    if len(days) != len(seen):
        raise ArgumentError(f"dates must have one date per image, got {len(days)} dates and {len(seen)} images.")
    return moved(seen, days, calendar.seasons(calendar.dates(dates)), generator(rng), clouds, folds)


def moved(
    observed: BoolArray,
    days: FloatArray,
    seasons: npt.NDArray[np.str_],
    stream: np.random.Generator,
    clouds: int | None,
    folds: int | None,
) -> MovedClouds:
    """Return clouds moved between the days of a stack; see `moved_clouds`."""
    most = _CLOUDS if clouds is None else integer_at_least("clouds", clouds, 1)
    apart = None if folds is None else integer_at_least("folds", folds, 1)
    _, first, index = np.unique(days, return_index=True, return_inverse=True)
    seen = np.zeros((len(first), *observed.shape[1:]), dtype=bool)
    np.logical_or.at(seen, index, observed)
    sizes = seen.sum(axis=(1, 2))
    if np.count_nonzero(sizes) < 2:
        raise ArgumentError(
            f"dates must have two or more with an observation to move clouds between, got {np.count_nonzero(sizes)}; "
            "hold out parts of a single image by sparsegmrf.scores.gap_copies."
        )
    targets = _clearest(sizes, seasons[first], most)
    gaps = seen.any(axis=0) & ~seen
    laid = _laid(seen, gaps, targets, stream)
    at_once = max(1, int(np.count_nonzero(sizes)) // _TOGETHER)
    count = min(len(laid), -(-len(laid) // at_once) if apart is None else apart)
    labels = np.zeros(observed.shape, dtype=np.int64)
    for number, (u, _, hidden) in enumerate(laid, 1):
        labels[(index == u)[:, np.newaxis, np.newaxis] & hidden & observed] = number
    return MovedClouds(
        labels,
        first[[u for u, _, _ in laid]],
        np.array([-1 if source < 0 else first[source] for _, source, _ in laid], dtype=np.int64),
        np.arange(len(laid)) % count,
        observed,
    )


def _clearest(sizes: IntArray, seasons: npt.NDArray[np.str_], most: int) -> IntArray:
    """Return the clearest dates in order of time, those of each season in turn."""
    order = np.argsort(-sizes, kind="stable")
    clear = [u for u in order if sizes[u] >= _CLEAR * sizes.max()]
    rank: dict[Any, int] = {}
    turns = []
    for u in clear:
        rank[seasons[u]] = rank.get(seasons[u], 0) + 1
        turns.append(rank[seasons[u]])
    chosen = np.array(clear)[np.argsort(turns, kind="stable")][:most]
    return np.sort(chosen)


def _laid(
    seen: BoolArray, gaps: BoolArray, targets: IntArray, stream: np.random.Generator
) -> list[tuple[int, int, BoolArray]]:
    """Return by target the date whose gap is laid there, and what it hides; a whole date where there are no gaps."""
    sizes = gaps.sum(axis=(1, 2))
    partial = (sizes > 0) & seen.any(axis=(1, 2))
    donors = np.flatnonzero(partial if partial.any() else sizes > 0)
    if not len(donors):
        return [(int(u), -1, seen[u]) for u in targets]
    donors = donors[np.argsort(sizes[donors], kind="stable")]
    places = (stream.permutation(len(targets)) + stream.random()) / len(targets)
    found = []
    for u, place in zip(targets, places, strict=True):
        begin = int(place * len(donors))
        for source in np.roll(donors, -begin):
            hidden = gaps[source] & seen[u]
            if hidden.any():
                found.append((int(u), int(source), hidden))
                break
    return found
