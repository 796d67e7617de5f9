"""The tab of a model."""

import ipywidgets

from sparsegmrf._explorer._controls import Message, choice, picture, slider, whole
from sparsegmrf._explorer._field import KNOBS, NOISE, FieldView, model_of
from sparsegmrf._explorer._field_figure import field_figure
from sparsegmrf._explorer._picture import png


class FieldTab:
    """A model, its parameters, noise and seed, and the picture that they move.

    Attributes
    ----------
    model, noise, seed : ipywidgets.Widget
        What is moved whatever the model.
    knobs : dict
        Sliders by model and name of the parameter; those of the model are shown.
    picture : ipywidgets.Image
        Draw, measurement, correlation and spectrum.
    message : Message
        The model.
    box : ipywidgets.Widget
        All of it.
    """

    def __init__(self) -> None:
        self.model = choice("model", tuple(KNOBS))
        self.noise, self.seed = slider(NOISE), whole("seed", 0, 10)
        self.knobs = {name: {knob.name: slider(knob) for knob in knobs} for name, knobs in KNOBS.items()}
        self.picture, self.message = picture(), Message()
        self._parameters = ipywidgets.VBox()
        self.model.observe(self._change_model, names="value")
        for each in (self.noise, self.seed, *(knob for knobs in self.knobs.values() for knob in knobs.values())):
            each.observe(self.update, names="value")
        self._show_knobs()
        common = ipywidgets.VBox([self.model, self.noise, self.seed])
        self.box = ipywidgets.VBox([ipywidgets.HBox([common, self._parameters]), self.message.box, self.picture])

    def update(self, _: object = None) -> None:
        """Compute and show what the sliders say."""
        with self.message.working(self.picture):
            name = self.model.value
            model = model_of(name, {key: knob.value for key, knob in self.knobs[name].items()})
            self.picture.value = png(field_figure(FieldView.of(model, self.noise.value, self.seed.value)))
            self.message.say(f"{name}: {', '.join(f'{key} = {value:.4g}' for key, value in model.parameters.items())}")

    def _change_model(self, _: object) -> None:
        self._show_knobs()
        self.update()

    def _show_knobs(self) -> None:
        self._parameters.children = tuple(self.knobs[self.model.value].values())
