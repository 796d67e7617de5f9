"""The widgets without a browser: what is moved changes what is shown, and the mouse draws holes."""

import numpy as np
import pytest

import sparsegmrf
from sparsegmrf._explorer._experiment import ExperimentView
from sparsegmrf._explorer._field import KNOBS
from sparsegmrf._explorer._hole import Filled
from tests.conftest import require

ALL_BUT_A_ROW = [(-1.0, -1.0), (30.0, -1.0), (30.0, 14.5), (-1.0, 14.5)]
"""Of the 16 rows of the image below; from one row no slope across rows can be told."""


@pytest.fixture
def widgets():
    require("ipympl")
    return require("ipywidgets")


@pytest.fixture
def experiment(widgets):
    from sparsegmrf._explorer._experiment_tab import ExperimentTab

    tab = ExperimentTab()
    tab.size.value = 4
    return tab


@pytest.fixture
def field(widgets):
    from sparsegmrf._explorer._field_tab import FieldTab

    return FieldTab()


@pytest.fixture
def hole(widgets):
    from sparsegmrf._explorer._hole_tab import HoleTab

    return HoleTab(sparsegmrf.Matern(range=8.0, nu=2.0).gmrf((16, 20)).sample(rng=0))


def described(field):
    """Return the names of the parameters that are shown."""
    return [knob.description for knob in field.box.children[0].children[1].children]


def mouse(canvas, ax, *points):
    """Press at the first point ``(column, row)``, move over the others, and let go at the last."""
    from matplotlib.backend_bases import MouseEvent

    at = [ax.transData.transform(point) for point in points]
    names = ["button_press_event", *["motion_notify_event"] * (len(at) - 1), "button_release_event"]
    for name, (x, y) in zip(names, [*at, at[-1]], strict=True):
        canvas.callbacks.process(name, MouseEvent(name, canvas, x, y, button=1))


def test_explore_has_three_tabs_of_which_the_open_one_is_computed(widgets):
    tabs = sparsegmrf.explore()
    assert isinstance(tabs, widgets.Tab)
    assert tabs.titles == ("experiment", "model", "holes")
    pictures = [next(each for each in tab.children if isinstance(each, widgets.Image)) for tab in tabs.children]
    assert [bool(each.value) for each in pictures] == [True, False, False]
    tabs.selected_index = 1
    assert [bool(each.value) for each in pictures] == [True, True, False]
    shown = pictures[1].value
    tabs.selected_index = 0
    tabs.selected_index = 1
    assert pictures[1].value is shown


def test_sliders_of_the_experiment_change_the_picture_and_the_text(experiment):
    seen = [experiment.picture.value]
    for knob, value in ((experiment.seed, 1), (experiment.convention, "LtL"), (experiment.k, 0.7)):
        assert experiment.message.box.value == f"<span>{ExperimentView.of(0.3, 4, 0, 'LLt').text()}</span>"
        knob.value = value
        seen.append(experiment.picture.value)
    assert len(set(seen)) == 4
    assert "|k| = 0.7 is not below 1/2" in experiment.message.box.value


def test_knobs_of_the_model_are_shown_and_change_the_picture(field):
    field.update()
    seen = [field.picture.value]
    assert described(field) == [knob.name for knob in KNOBS["Matern"]]
    field.knobs["Matern"]["range"].value = 5.0
    seen.append(field.picture.value)
    assert "range = 5, sigma = 1" in field.message.box.value
    field.noise.value = 1.0
    seen.append(field.picture.value)
    field.model.value = "CAR"
    seen.append(field.picture.value)
    assert described(field) == ["rho", "tau"]
    assert len(set(seen)) == 4


def test_line_drawn_with_the_mouse_is_a_hole_that_is_filled(hole):
    (ax,) = hole.canvas.figure.axes
    mouse(hole.canvas, ax, (3.4, 1.4), (7.6, 1.4), (7.6, 4.6), (3.4, 4.6))
    expected = np.zeros((16, 20), dtype=bool)
    expected[2:5, 4:8] = True
    np.testing.assert_array_equal(hole.holes, expected)
    filled = Filled.of(hole.image, expected, hole.model.value, noisy=hole.noisy.value)
    assert filled.text() in hole.message.box.value
    assert hole.picture.value == filled.picture()
    assert "Matern" in hole.fit.value
    (shown,) = ax.get_images()
    np.testing.assert_array_equal(shown.get_array().mask, expected)


def test_line_is_seen_while_it_is_drawn(hole):
    (ax,) = hole.canvas.figure.axes
    (line,) = ax.get_lines()
    seen = []
    hole.canvas.mpl_connect("motion_notify_event", lambda _: seen.append((line.get_visible(), line.get_animated())))
    mouse(hole.canvas, ax, (3.4, 1.4), (3.5, 1.4), (3.5, 1.5))
    assert seen == [(True, False)] * 2
    assert not line.get_visible()


def test_holes_add_up_and_are_closed_by_the_button(hole):
    hole.add([(1.5, 1.5), (3.5, 1.5), (3.5, 3.5), (1.5, 3.5)])
    hole.add([(9.5, 9.5), (11.5, 9.5), (11.5, 11.5), (9.5, 11.5)])
    assert hole.holes.sum() == 8
    before = hole.picture.value
    hole.model.value = "tension spline"
    assert hole.picture.value != before
    hole.clear.click()
    assert not hole.holes.any()
    assert hole.picture.layout.display == "none"
    assert "no hole yet" in hole.message.box.value


def test_line_around_no_pixel_leaves_everything_as_it_is(hole):
    hole.add([(1.1, 1.1), (1.2, 1.1), (1.2, 1.2)])
    assert not hole.holes.any()
    assert "no pixel&#x27;s centre lies within that line" in hole.message.box.value


def test_what_the_package_refuses_is_shown_with_its_remedy(hole):
    hole.add(ALL_BUT_A_ROW)
    assert "#b00020" in hole.message.box.value
    assert "covariates must be linearly independent" in hole.message.box.value


def test_line_around_all_pixels_leaves_the_other_holes_as_they_are(hole):
    hole.add([(1.5, 1.5), (3.5, 1.5), (3.5, 3.5), (1.5, 3.5)])
    picture = hole.picture.value
    hole.add([(-1.0, -1.0), (30.0, -1.0), (30.0, 30.0), (-1.0, 30.0)])
    assert "that line would leave no pixel to fill from" in hole.message.box.value
    assert hole.holes.sum() == 4
    assert (hole.picture.value, hole.picture.layout.display) == (picture, "")


def test_what_was_filled_before_is_not_shown_beside_a_refusal(hole):
    hole.add([(1.5, 1.5), (3.5, 1.5), (3.5, 3.5), (1.5, 3.5)])
    assert (hole.picture.layout.display, hole.fit.layout.display) == ("", "")
    hole.add(ALL_BUT_A_ROW)
    assert (hole.picture.layout.display, hole.fit.layout.display) == ("none", "none")
    hole.clear.click()
    hole.add([(1.5, 1.5), (3.5, 1.5), (3.5, 3.5), (1.5, 3.5)])
    assert (hole.picture.layout.display, hole.fit.layout.display) == ("", "")


def test_other_errors_are_not_hidden(field, monkeypatch):
    monkeypatch.setattr("sparsegmrf._explorer._field_tab.field_figure", lambda _: 1 / 0)
    field.picture.value = b"of other sliders"
    with pytest.raises(ZeroDivisionError):
        field.update()
    assert "a fault of this page, ZeroDivisionError: division by zero" in field.message.box.value
    assert field.picture.layout.display == "none"
