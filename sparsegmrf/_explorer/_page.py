"""The three tabs as one widget."""

from collections.abc import Mapping
from typing import Protocol

import ipywidgets

from sparsegmrf._explorer._experiment_tab import ExperimentTab
from sparsegmrf._explorer._field_tab import FieldTab
from sparsegmrf._explorer._hole_tab import HoleTab
from sparsegmrf.typing import ArrayLike


class _Tab(Protocol):
    box: ipywidgets.Widget

    def update(self) -> None: ...


def page(image: ArrayLike | None) -> ipywidgets.Tab:
    """Return the tabs; those that are not open are computed when they are opened."""
    tabs: Mapping[str, _Tab] = {"experiment": ExperimentTab(), "model": FieldTab(), "holes": HoleTab(image)}
    widget = ipywidgets.Tab([tab.box for tab in tabs.values()], titles=tuple(tabs), selected_index=0)
    waiting = dict(enumerate(tabs.values()))

    def open_tab(index: int | None) -> None:
        tab = waiting.pop(index, None) if index is not None else None
        if tab is not None:
            tab.update()

    widget.observe(lambda change: open_tab(change["new"]), names="selected_index")
    open_tab(0)
    return widget
