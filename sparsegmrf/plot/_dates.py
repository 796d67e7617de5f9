"""Dates on axes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from sparsegmrf.typing import FloatArray

_DATES = 6
"""Dates that are written on an axis at most."""


def date_text(value: Any) -> str:
    """Return a date to the day; a number of days as it is."""
    return f"{float(value):g}" if isinstance(value, int | float | np.number) else str(value)[:10]


def mark_dates(ax: Axes, dates: Sequence[Any], at: FloatArray) -> None:
    """Write some dates on an axis, at places in ascending order, as far from each other as can be."""
    wanted = np.linspace(at[0], at[-1], min(_DATES, len(at)))
    shown = np.unique([int(np.argmin(np.abs(at - each))) for each in wanted])
    ax.set_xticks(at[shown], [date_text(dates[k]) for k in shown], rotation=30, ha="right")
