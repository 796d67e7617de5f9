"""The tab in which holes are drawn on an image with the mouse."""

import html
import warnings

import ipywidgets
import numpy as np
from ipympl.backend_nbagg import Canvas, FigureManager
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.widgets import LassoSelector

from sparsegmrf._explorer._controls import Message, choice, picture
from sparsegmrf._explorer._hole import MODELS, Filled, enclosed, image_of
from sparsegmrf.typing import ArrayLike

_SAID = "Draw a line around a hole with the mouse; when the button is let go, it is closed and filled from the rest."
_LONGER_SIDE = 6.0
"""Inches."""
_TABLE = "line-height: 1.3; font-family: monospace; white-space: pre-wrap; word-break: normal; max-width: 46em"
_COLOURS = colormaps["viridis"].with_extremes(bad="white")


class HoleTab:
    """An image to draw on, the model by which holes are filled, and what is filled in.

    Attributes
    ----------
    image : ndarray, (H, W)
        What is drawn on.
    holes : ndarray of bool, (H, W)
        The holes.
    canvas : ipympl.backend_nbagg.Canvas
        Takes the mouse.
    model, noisy, clear : ipywidgets.Widget
        Model, whether the image has noise, and a button that closes all holes.
    picture : ipywidgets.Image
        Image with holes, filled image, standard deviation.
    message, fit : Message, ipywidgets.HTML
        How well the holes were filled, and the parameters found.
    box : ipywidgets.Widget
        All of it.
    """

    def __init__(self, image: ArrayLike | None = None) -> None:
        self.image = image_of(image)
        self.holes = np.zeros(self.image.shape, dtype=bool)
        self.model = choice("model", tuple(MODELS))
        self.noisy = ipywidgets.Checkbox(description="with noise, estimated", value=image is not None)
        self.clear = ipywidgets.Button(description="no holes", icon="eraser")
        self.picture, self.message, self.fit = picture(), Message(), ipywidgets.HTML()
        self._drawn_on()
        self.model.observe(self.update, names="value")
        self.noisy.observe(self.update, names="value")
        self.clear.on_click(self._close)
        beside = ipywidgets.VBox([self.model, self.noisy, self.clear, self.fit], layout={"margin": "0 0 0 12px"})
        drawing = ipywidgets.HBox([self.canvas, beside])
        self.box = ipywidgets.VBox([ipywidgets.HTML(_SAID), drawing, self.message.box, self.picture])

    def update(self, _: object = None) -> None:
        """Fill the holes, and show what came of it."""
        self._shown.set_data(np.where(self.holes, np.nan, self.image))
        self.canvas.draw_idle()
        if not self.holes.any():
            self.picture.layout.display, self.fit.value = "none", ""
            self.message.say("no hole yet")
            return
        with self.message.working(self.picture, self.fit):
            filled = Filled.of(self.image, self.holes, self.model.value, noisy=self.noisy.value)
            self.picture.value = filled.picture()
            self.fit.value = f'<pre style="{_TABLE}">{html.escape(filled.result.fit.summary())}</pre>'
            self.message.say(filled.text())

    def add(self, vertices: ArrayLike) -> None:
        """Take out what lies within a closed line of points ``(column, row)``, and fill it."""
        hole = enclosed(vertices, (self.image.shape[0], self.image.shape[1]))
        if not hole.any():
            self.message.say("no pixel's centre lies within that line; draw it around some")
            return
        if not np.isfinite(self.image[~(self.holes | hole)]).any():
            self.message.say("that line would leave no pixel to fill from; draw a smaller one")
            return
        self.holes = self.holes | hole
        self.update()

    def _close(self, _: object) -> None:
        self.holes = np.zeros_like(self.holes)
        self.update()

    def _drawn_on(self) -> None:
        """Put the image on a canvas that takes a closed line."""
        height, width = self.image.shape
        inch = _LONGER_SIDE / max(height, width)
        figure = Figure(figsize=(max(width * inch, 1.0), max(height * inch, 1.0)))
        self.canvas = Canvas(figure)
        for part in ("header_visible", "footer_visible", "toolbar_visible", "resizable"):
            setattr(self.canvas, part, False)
        self.canvas.layout.flex = "0 0 auto"
        with warnings.catch_warnings():  # of how ipympl makes a toolbar, which is not shown
            warnings.simplefilter("ignore", DeprecationWarning)
            FigureManager(self.canvas, 0)  # the canvas keeps it
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        ax.set_axis_off()
        self._shown = ax.imshow(self.image, cmap=_COLOURS, interpolation="nearest", aspect="auto")
        # Blitting, which this canvas has not, would leave the line undrawn.
        self._lasso = LassoSelector(ax, self.add, useblit=False, props={"color": "crimson", "linewidth": 2.0})
