"""Density and anomaly maps of a colour image against SciPy on the flattened array and against SPy."""

import numpy as np
import pytest
import scipy.stats

from sparsegmrf.pixels import PixelGaussian, rx

SIDE = 4096


@pytest.fixture(scope="module", params=[1024, SIDE])
def scene(request):
    rng = np.random.default_rng(0)
    image = rng.standard_normal((request.param, request.param, 3))
    image[..., 1] += 0.8 * image[..., 0]
    return image, PixelGaussian(ddof=1).fit(image)


@pytest.mark.parametrize("member", ["sparsegmrf", "scipy logpdf"])
def test_log_density(scene, timed, member):
    image, model = scene
    scipys = scipy.stats.multivariate_normal(model.mean, model.covariance)
    call = {
        "sparsegmrf": lambda: model.log_density_image(image)[..., 0],
        "scipy logpdf": lambda: scipys.logpdf(image.reshape(-1, 3)).reshape(image.shape[:2]),
    }[member]

    def check(answer):
        np.testing.assert_allclose(answer[:50], scipys.logpdf(image[:50]), rtol=1e-10, atol=1e-10)

    timed(f"log-density of an image, {len(image)}, 3 channels", member, call, check=check, rounds=3)


@pytest.mark.parametrize("member", ["sparsegmrf", "spectral rx"])
def test_rx(scene, timed, member):
    spectral = pytest.importorskip("spectral")
    image, model = scene
    call = {"sparsegmrf": lambda: rx(image)[..., 0], "spectral rx": lambda: spectral.rx(image)}[member]

    def check(answer):
        np.testing.assert_allclose(answer[:50], model.mahalanobis_image(image[:50])[..., 0], rtol=1e-9)

    timed(f"RX with its covariance, {len(image)}, 3 channels", member, call, check=check, rounds=3)


@pytest.mark.parametrize("member", ["sparsegmrf", "spectral rx"])
def test_rx_with_a_window(timed, member):
    spectral = pytest.importorskip("spectral")
    image = np.random.default_rng(0).standard_normal((96, 96, 3))
    expected = rx(image, window=(3, 15))[..., 0]
    call = {
        "sparsegmrf": lambda: rx(image, window=(3, 15))[..., 0],
        "spectral rx": lambda: spectral.rx(image, window=(3, 15)),
    }[member]

    def check(answer):
        np.testing.assert_allclose(answer, expected, rtol=1e-4)

    timed("RX with windows of 3 and 15, 96, 3 channels", member, call, check=check, rounds=3)
