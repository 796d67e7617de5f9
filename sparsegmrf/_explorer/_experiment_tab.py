"""The tab of the Cholesky experiment."""

import ipywidgets

from sparsegmrf._explorer._controls import Message, choice, picture, slider, whole
from sparsegmrf._explorer._experiment import ExperimentView
from sparsegmrf._explorer._field import Knob

_SAID = (
    "Column p of L holds 1 at pixel p and k at the pixels to its right and below; rows do not wrap. Both products are "
    "precisions, of different fields: L L<sup>T</sup> is drawn by x = L<sup>&minus;T</sup> e, and L<sup>T</sup> L by "
    "x = L<sup>&minus;1</sup> e. In (b) a negative entry lets two pixels attract each other given all others, a "
    "positive one lets them repel."
)
_CONVENTIONS = (("Q = L L^T", "LLt"), ("Q = L^T L", "LtL"))


class ExperimentTab:
    """Weight, seed, size and convention, and the panels that they move.

    Attributes
    ----------
    k, seed, size, convention : ipywidgets.Widget
        What is moved.
    picture : ipywidgets.Image
        The panels.
    message : Message
        Condition number and variance.
    box : ipywidgets.Widget
        All of it.
    """

    def __init__(self) -> None:
        self.k = slider(Knob("k", 0.3, -1.0, 1.0, 0.01))
        self.seed = whole("seed", 0, 10)
        self.size = whole("size", 8, 24, low=2)
        self.convention = choice("convention", _CONVENTIONS)
        self.picture, self.message = picture(), Message()
        moved = (self.k, self.seed, self.size, self.convention)
        for each in moved:
            each.observe(self.update, names="value")
        self.box = ipywidgets.VBox(
            [
                ipywidgets.HTML(_SAID),
                ipywidgets.HBox([ipywidgets.VBox(moved[:2]), ipywidgets.VBox(moved[2:])]),
                self.message.box,
                self.picture,
            ]
        )

    def update(self, _: object = None) -> None:
        """Compute and show what the sliders say."""
        with self.message.working(self.picture):
            view = ExperimentView.of(self.k.value, self.size.value, self.seed.value, self.convention.value)
            self.picture.value = view.picture()
            self.message.say(view.text())
