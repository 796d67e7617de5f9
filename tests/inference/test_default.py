import numpy as np
import pytest

from sparsegmrf import Matern, TensionSpline, fill, fit
from sparsegmrf.inference import _default, _start

SHAPE = (24, 26)


def with_gap(image):
    image = image.copy()
    image[8:14, 9:16] = np.nan
    return image


def draw(nu, seed=0, shape=SHAPE):
    return with_gap(TensionSpline(kappa=0.5, proper=1e-3, nu=nu).gmrf(shape).sample(rng=seed))


def test_images_with_noise_are_filled_by_a_spline_of_smoothness_one():
    image = draw(1) + 0.5 * np.random.default_rng(1).standard_normal(SHAPE)
    found, plain = fill(image), fill(image, model=TensionSpline(kappa=0.5))
    assert found.fit.model.nu == 1
    np.testing.assert_array_equal(found.mean, plain.mean)
    np.testing.assert_array_equal(found.std, plain.std)


@pytest.mark.parametrize("nu", [2, 3])
def test_smooth_images_without_noise_are_filled_by_smoother_splines_that_are_likelier(nu):
    image = draw(nu)
    found = fill(image)
    assert found.fit.model.nu > 1
    for rougher in range(1, found.fit.model.nu):
        other = fit(TensionSpline(kappa=0.5, nu=rougher), image, noise_variance="estimate")
        assert found.fit.loglik > other.loglik


def test_rough_images_without_noise_keep_smoothness_one():
    image = with_gap(Matern(range=8.0, nu=0.5).gmrf(SHAPE).sample(rng=2))
    found = fill(image)
    assert found.fit.model.nu == 1
    np.testing.assert_array_equal(found.mean, fill(image, model=TensionSpline(kappa=0.5)).mean)


def test_what_is_given_is_kept():
    image = draw(3)
    assert fill(image, model=TensionSpline(kappa=0.5)).fit.model.nu == 1
    assert fill(image, fixed=["kappa"]).fit.model.nu == 1
    assert fill(image, priors={}).fit.model.nu == 1
    assert fill(image, noise_variance=1e-4).fit.model.nu == 1


def test_flipped_and_scaled_images_have_the_same_smoothness():
    image = draw(3, seed=4)
    found, other = fill(image), fill(50.0 - 1e3 * image[::-1, ::-1])
    assert other.fit.model.nu == found.fit.model.nu > 1
    np.testing.assert_allclose(other.mean[::-1, ::-1], 50.0 - 1e3 * found.mean, rtol=1e-4)


def test_of_a_large_image_a_tile_decides(monkeypatch):
    monkeypatch.setattr(_start, "_TILE", 24)
    searched = []
    whole = _default._whole
    monkeypatch.setattr(_default, "_whole", lambda problem, *rest: searched.append(problem) or whole(problem, *rest))
    found = fill(draw(3, shape=(64, 60)))
    assert [problem.model.nu for problem in searched] == [found.fit.model.nu]
    assert found.fit.model.nu > 1


def test_images_of_too_many_pixels_keep_smoothness_one(monkeypatch):
    monkeypatch.setattr(_default, "_MOST_PIXELS", {2: SHAPE[0] * SHAPE[1], 3: SHAPE[0] * SHAPE[1] - 1})
    assert fill(draw(3)).fit.model.nu == 2
    monkeypatch.setattr(_default, "_MOST_PIXELS", {2: 10, 3: 10})
    assert fill(draw(3)).fit.model.nu == 1
