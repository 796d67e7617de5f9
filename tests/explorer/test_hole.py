import io

import imageio.v3 as iio
import numpy as np
import pytest

from sparsegmrf import fill
from sparsegmrf._explorer._hole import MODELS, Filled, elevations, enclosed, image_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import Matern

SQUARE = [(3.5, 1.5), (7.5, 1.5), (7.5, 4.5), (3.5, 4.5)]


@pytest.fixture(scope="module")
def filled():
    image = Matern(range=8.0, nu=2.0).gmrf((16, 20)).sample(rng=0)
    image[0, 0] = np.nan
    return Filled.of(image, enclosed(SQUARE, image.shape), "Matern, nu = 2", noisy=False)


def test_enclosed_pixels_are_those_whose_centre_is_within_the_line():
    inside = enclosed(SQUARE, (10, 12))
    expected = np.zeros((10, 12), dtype=bool)
    expected[2:5, 4:8] = True
    np.testing.assert_array_equal(inside, expected)
    np.testing.assert_array_equal(enclosed(SQUARE[::-1], (10, 12)), expected)


def test_line_that_leaves_the_image_encloses_what_is_on_it():
    assert enclosed([(-5, -5), (50, -5), (50, 50), (-5, 50)], (3, 4)).all()


@pytest.mark.parametrize("vertices", [[], [(1.0, 1.0)], [(0.0, 0.0), (5.0, 5.0)], [(0.1, 0.1), (0.2, 0.1), (0.2, 0.3)]])
def test_line_around_no_centre_encloses_nothing(vertices):
    assert not enclosed(vertices, (6, 6)).any()


def test_holes_are_filled_from_the_rest_alone(filled):
    other = np.where(filled.holes, 1e6, filled.image)
    again = Filled.of(other, filled.holes, "Matern, nu = 2", noisy=False)
    np.testing.assert_array_equal(again.result.mean, filled.result.mean)
    expected = fill(np.where(filled.holes, np.nan, filled.image), model=Matern(nu=2.0), noise_variance=None)
    np.testing.assert_array_equal(filled.result.mean, expected.mean)
    np.testing.assert_array_equal(filled.result.std, expected.std)


def test_text_scores_the_holes_where_the_truth_is_known(filled):
    truth, mean = filled.image[filled.holes], filled.result.mean[filled.holes]
    error = np.sqrt(np.mean((truth - mean) ** 2))
    assert filled.text().startswith(f"12 pixels in holes: RMSE {error:.3g}, ")
    unknown = Filled(np.where(filled.holes, np.nan, filled.image), filled.holes, filled.result)
    assert unknown.text() == "no pixel is in a hole whose value is known"


def test_picture_is_a_png(filled):
    assert iio.imread(io.BytesIO(filled.picture()), extension=".png").std() > 0


def test_noise_is_estimated_where_the_image_has_some(filled):
    noisy = Filled.of(filled.image, filled.holes, "Matern, nu = 1", noisy=True)
    assert "noise_variance" in noisy.result.fit.parameters
    assert "noise_variance" not in filled.result.fit.parameters


def test_holes_that_leave_nothing_and_other_models_are_refused():
    image = np.zeros((5, 5))
    with pytest.raises(ArgumentError, match="observed"):
        Filled.of(image, np.ones((5, 5), dtype=bool), next(iter(MODELS)), noisy=False)
    with pytest.raises(ArgumentError, match="model must be one of"):
        Filled.of(image, np.zeros((5, 5), dtype=bool), "kriging", noisy=False)


def test_elevations_are_shown_unless_an_image_is_given():
    np.testing.assert_array_equal(image_of(None), elevations())
    assert image_of(None).shape == (64, 80)
    np.testing.assert_array_equal(image_of([[1, 2], [3, 4]]), [[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize("image", [np.zeros((3, 4, 3)), np.zeros(4), np.full((3, 3), np.nan)])
def test_what_is_no_image_is_refused(image):
    with pytest.raises(ArgumentError, match=r"image must have shape \(H, W\) and observed pixels"):
        image_of(image)
