"""The correlation of a model is drawn at the lags it is told for."""

import numpy as np
import pytest

from sparsegmrf import CAR, Intrinsic, Matern
from sparsegmrf.errors import ArgumentError
from sparsegmrf.plot import correlation_figure, write_figure


def test_map_and_lines_are_the_correlations_of_the_model(tmp_path):
    model = Matern(range=6.0, anisotropy=(0.5, 0.3))
    figure = correlation_figure(model, 9)
    left, right = figure.axes
    shown = np.asarray(left.get_images()[0].get_array())
    assert shown.shape == (19, 19)
    assert shown[9, 9] == 1.0
    assert shown[12, 5] == pytest.approx(model.correlation((3, -4)))
    row, column, *_ = right.lines
    np.testing.assert_allclose(row.get_ydata(), model.correlation([(0, k) for k in range(10)]))
    np.testing.assert_allclose(column.get_ydata(), model.correlation([(k, 0) for k in range(10)]))
    assert figure.get_suptitle().startswith("Matern, range = 6, sigma = 1")
    write_figure(tmp_path / "figure.png", figure, dpi=40)


def test_lags_end_where_the_correlation_is_small():
    (left, _) = correlation_figure(CAR(0.2), title="a title").axes
    reach = int(left.get_xlim()[1])
    assert abs(CAR(0.2).correlation((0, reach))) > 0.05 > abs(CAR(0.2).correlation((0, reach + 1)))


def test_a_field_without_a_variance_has_none():
    with pytest.raises(ArgumentError):
        correlation_figure(Intrinsic())
    with pytest.raises(ArgumentError, match="max_lag"):
        correlation_figure(Matern(), 0)
