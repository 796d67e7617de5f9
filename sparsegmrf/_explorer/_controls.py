"""What the tabs have in common: sliders, and a line that says what came of them, errors included."""

import html
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ipywidgets

from sparsegmrf._explorer._field import Knob
from sparsegmrf.errors import SparseGMRFError

_STYLE = {"description_width": "90px"}
_LAYOUT = {"width": "380px"}
_FACTORS = 100
"""Steps by factors from end to end."""


def slider(knob: Knob) -> Any:
    """Return the slider of a knob, which speaks when it is let go."""
    named = {"description": knob.name, "continuous_update": False, "style": _STYLE, "layout": _LAYOUT}
    if knob.choices:
        options = [(f"{value:g}", value) for value in knob.choices]
        return ipywidgets.SelectionSlider(options=options, value=knob.start, **named)
    if knob.by_factors:
        low, high = math.log10(knob.low), math.log10(knob.high)
        ends = {"min": low, "max": high, "step": (high - low) / _FACTORS}
        return ipywidgets.FloatLogSlider(value=knob.start, readout_format=".3g", **ends, **named)
    ends = {"min": knob.low, "max": knob.high, "step": knob.step}
    digits = max(0, -math.floor(math.log10(knob.step)))
    return ipywidgets.FloatSlider(value=knob.start, readout_format=f".{digits}f", **ends, **named)


def whole(name: str, start: int, high: int, low: int = 0) -> Any:
    """Return the slider of a whole number."""
    return ipywidgets.IntSlider(
        value=start, min=low, max=high, description=name, continuous_update=False, style=_STYLE, layout=_LAYOUT
    )


def choice(name: str, options: object) -> Any:
    """Return a list of which one is taken, the first to begin with."""
    return ipywidgets.Dropdown(options=options, description=name, style=_STYLE, layout=_LAYOUT)


def picture() -> Any:
    """Return an empty picture, which will have the size that it is given."""
    return ipywidgets.Image(format="png", layout={"align_self": "flex-start"})


class Message:
    """A line below a picture.

    Attributes
    ----------
    box : ipywidgets.HTML
        The line as widget.
    """

    def __init__(self) -> None:
        self.box = ipywidgets.HTML()

    def say(self, text: str) -> None:
        """Show a text, which is no markup."""
        self.box.value = f"<span>{html.escape(text)}</span>"

    @contextmanager
    def working(self, *shown: Any) -> Iterator[None]:
        """Say so while something is computed; what the package refuses is shown here, with its remedy.

        Other errors are shown and raised. Widgets with what was `shown` of earlier answers are hidden by either.
        """
        self.say("computing ...")
        try:
            yield
        except Exception as error:
            for each in shown:
                each.layout.display = "none"
            if not isinstance(error, SparseGMRFError):
                self._warn(f"a fault of this page, {type(error).__name__}: {error}")
                raise
            self._warn(str(error))
        else:
            for each in shown:
                each.layout.display = ""

    def _warn(self, text: str) -> None:
        self.box.value = f'<span style="color: #b00020">{html.escape(text)}</span>'
