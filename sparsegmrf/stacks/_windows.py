"""Windows of the images of a stack: all dates of some rows and columns."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np

from sparsegmrf import _threads
from sparsegmrf.inference._progress import reached
from sparsegmrf.typing import BoolArray, IntArray, Shape

_In = TypeVar("_In")
_Out = TypeVar("_Out")


class Window(NamedTuple):
    """Rows and columns."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> Shape:
        """Height and width in pixels."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @property
    def n_pixels(self) -> int:
        """Rows times columns."""
        return self.shape[0] * self.shape[1]


def whole(shape: Shape) -> Window:
    """Return all rows and columns."""
    return Window(slice(0, shape[0]), slice(0, shape[1]))


def best_observed(seen: IntArray | BoolArray, side: int) -> Window:
    """Return the square with the most observations, ``seen`` ``(H, W)`` counting them."""
    height, width = (min(side, each) for each in seen.shape)
    total = np.pad(seen, ((1, 0), (1, 0))).cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
    count = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    i, j = np.unravel_index(np.argmax(count), count.shape)
    return Window(slice(int(i), int(i) + height), slice(int(j), int(j) + width))


def spread_over(seen: IntArray | BoolArray, side: int, most: int) -> list[Window]:
    """Return disjoint squares spread over an image, the best observed first, as many as `most`."""
    height, width = seen.shape
    found = []
    for i in range(0, height - min(side, height) + 1, side):
        for j in range(0, width - min(side, width) + 1, side):
            window = Window(slice(i, min(i + side, height)), slice(j, min(j + side, width)))
            found.append((int(seen[window.rows, window.columns].sum()), window))
    step = max(1, len(found) // most)
    best = sorted(found, key=lambda each: -each[0])[: max(most, len(found) // 2)]
    chosen = best[:: max(1, len(best) // most)][:most] if step > 1 else best
    return [window for count, window in chosen if count]


def tiles(shape: Shape, core: int, halo: int) -> list[tuple[Window, Window]]:
    """Return cores that cover an image, each with the window that is its core with a halo, cut off at the border."""
    found = []
    for i in range(0, shape[0], core):
        for j in range(0, shape[1], core):
            ends = min(i + core, shape[0]), min(j + core, shape[1])
            around = Window(
                slice(max(0, i - halo), min(ends[0] + halo, shape[0])),
                slice(max(0, j - halo), min(ends[1] + halo, shape[1])),
            )
            found.append((Window(slice(i, ends[0]), slice(j, ends[1])), around))
    return found


def each(work: Callable[[_In], _Out], items: Sequence[_In], what: str = "") -> list[_Out]:
    """Return what is made of each of some windows or other items, which are worked on in threads.

    A stage that counts `what` they are is told how many are done.
    """
    found: list[_Out | None] = [None] * len(items)
    done: list[int] = []

    def put(k: int) -> None:
        found[k] = work(items[k])
        done.append(k)
        if what:
            reached(len(done), what)

    _threads.run([partial(put, k) for k in range(len(items))])
    return [one for one in found if one is not None]
