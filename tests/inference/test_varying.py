"""Maps of range and deviation from tiles: the derivatives, a field that varies, and one that does not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import _varying
from sparsegmrf.inference._varying import TilesTogether, varying
from sparsegmrf.models import Matern
from tests.inference import problems

SHAPE = (96, 128)
START = Matern(range=6.0, sigma=1.0)


def read(model, image):
    return problems.read(model, image, np.isnan(image))


def image_of(sigma, seed=0):
    rng = np.random.default_rng(seed)
    image = Matern(range=6.0, sigma=sigma).gmrf(SHAPE).sample(rng=rng) + 0.2 * rng.standard_normal(SHAPE)
    image[30:50, 60:90] = np.nan
    return image


@pytest.fixture
def tiles(monkeypatch):
    """The function that is searched, and where the search starts."""
    seen = []
    search = _varying.maximize
    monkeypatch.setattr(_varying, "maximize", lambda *given: seen.append(given) or search(*given))
    varying(read(START, image_of(1.0)), START, 0.04)
    return seen[0]


def test_gradient_is_the_derivative_of_the_sum(tiles):
    together, start, _ = tiles
    assert isinstance(together, TilesTogether)
    assert len(together.names) == len(start) == 13
    at = start + 0.05 * np.random.default_rng(0).standard_normal(len(start))
    steps = 1e-4 * np.eye(len(at))
    slopes = [(together(at + step).value - together(at - step).value) / 2e-4 for step in steps]
    assert_allclose(together(at).gradient, slopes, rtol=1e-4, atol=1e-3)
    assert np.linalg.eigvalsh(together(at).information).min() > 0.0


def test_deviation_that_grows_across_the_image_is_found_and_one_that_does_not_stays():
    slope = np.broadcast_to(np.linspace(-0.7, 0.7, SHAPE[1]), SHAPE)
    model, noise = varying(read(START, image_of(np.exp(slope))), START, 0.04)
    away = np.log(model.sigma) - slope
    assert np.std(away) < 0.25, "of a function whose own deviation is 0.41"
    assert noise == pytest.approx(0.04, rel=0.2)
    assert np.exp(np.std(np.log(model.range))) < 1.3
    model, _ = varying(read(START, image_of(1.0)), START, 0.04)
    assert np.std(np.log(model.sigma)) < 0.15


def test_small_images_tell_no_function_of_the_place():
    image = image_of(1.0)[:40, :50]
    with pytest.raises(ArgumentError, match=r"^image must have 6 tiles of 32 pixels a side"):
        varying(read(START, image), START, 0.04)
