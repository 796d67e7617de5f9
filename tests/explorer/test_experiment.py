import io

import imageio.v3 as iio
import numpy as np
import pytest

from sparsegmrf._explorer._experiment import ExperimentView
from sparsegmrf.autoregression import experiment


def pixels(png):
    return iio.imread(io.BytesIO(png), extension=".png")


def test_view_holds_the_experiment_of_the_sliders():
    view = ExperimentView.of(-0.4, 5, 3, "LtL")
    expected = experiment(-0.4, 5, 3, "LtL")
    np.testing.assert_array_equal(view.result.sample, expected.sample)
    np.testing.assert_array_equal(view.result.precision, expected.precision)
    assert view.text() == (
        f"condition number of Q: {expected.condition:.4g}, largest marginal variance: {expected.largest_variance:.4g}."
    )


def test_weight_beyond_its_limit_is_told_in_the_text_and_gives_no_warning():
    view = ExperimentView.of(0.6, 4, 0, "LLt")
    assert "|k| = 0.6 is not below 1/2" in view.text()
    assert ExperimentView.of(0.49, 4, 0, "LLt").warning == ""


def test_several_warnings_are_sentences_one_after_the_other():
    text = ExperimentView.of(1.0, 24, 0, "LLt").text()
    assert "|k| = 1 is not below 1/2" in text
    assert ". The draw has values up to" in text


def test_picture_moves_with_the_weight_and_with_the_seed():
    first, weight, seed = (pixels(ExperimentView.of(k, 4, s, "LLt").picture()) for k, s in ((0, 0), (0.3, 0), (0, 1)))
    assert first.shape == weight.shape == seed.shape
    assert (first != weight).any()
    assert (first != seed).any()


@pytest.mark.parametrize("size", [3, 6])
def test_curves_of_a_size_are_computed_once_and_cannot_be_written(size):
    first, second = (experiment(k, size).limit for k in (0.1, 0.2))
    assert first is second
    with pytest.raises(ValueError, match="read-only"):
        first.condition[0] = 0.0
