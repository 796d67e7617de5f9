"""What is drawn of a filled stack: the images of some dates, and the series of a pixel."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sparsegmrf._libraries import plotting
from sparsegmrf._validate import integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.stacks._dates import Calendar
from sparsegmrf.stacks._labels import StackLabels, unit_of
from sparsegmrf.stacks._season_curve import pixel_of
from sparsegmrf.typing import FloatArray, IntArray

_SHOWN = 5
"""Dates that are drawn unless some are asked for."""


def draw_stack(result: Any, dates: Sequence[int] | None, pixel: Any, title: str | None, unit: str | None) -> Any:
    """Draw a filled stack; see `StackResult.plot`."""
    labels = StackLabels.of(result.mean, None)

    def images(values: Any) -> npt.NDArray[Any]:
        return np.asarray(values if labels is None else values.transpose(labels.time, ...))

    seen, mean, std = images(result.observed), images(result.mean), images(result.std)
    calendar = Calendar.of(result.dates)
    days = calendar.days(result.dates)
    shown = _positions(dates, days)
    i, j = pixel_of(pixel, seen)
    observed = np.where(seen, images(result.filled), np.nan)
    series = [days, observed[:, i, j], mean[:, i, j], std[:, i, j]]
    written = list(result.dates)
    if result.at is not None:
        more = [images(each)[:, i, j] for each in (result.at.mean, result.at.std)]
        nothing = np.full(len(result.at.dates), np.nan)
        own = (calendar.days(result.at.dates), nothing, *more)
        series = [np.concatenate(pair) for pair in zip(series, own, strict=True)]
        written += list(result.at.dates)
    order = np.argsort(series[0], kind="stable")
    return plotting().stack_figure(
        observed[shown],
        mean[shown],
        std[shown],
        [result.dates[k] for k in shown],
        [written[k] for k in order],
        *(each[order] for each in series),
        pixel=(i, j),
        title=result.fit.title if title is None else title,
        unit=unit_of(result.mean) if unit is None else unit,
        like=None if labels is None else labels.stack[0],
    )


def _positions(dates: Sequence[int] | None, days: FloatArray) -> IntArray:
    """Return positions of the dates to be drawn; those by default are in order of time."""
    count = len(days)
    if dates is None:
        order = np.argsort(days, kind="stable")
        return order[np.unique(np.linspace(0, count - 1, min(_SHOWN, count)).round().astype(np.int64))]
    try:
        found = [integer_at_least(f"dates[{k}]", each, 0) for k, each in enumerate(dates)]
    except TypeError:
        raise ArgumentError(f"dates must be positions of images from 0, such as [0, 2], got {dates!r}.") from None
    wrong = [each for each in found if each >= count]
    if wrong or not found:
        raise ArgumentError(f"dates must be positions of images between 0 and {count - 1}, got {list(dates)!r}.")
    return np.array(found, dtype=np.int64)
