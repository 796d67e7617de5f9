"""Images are read whatever their dtype; what is missing may hold any number, or none."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sparsegmrf import condition, fill, fit
from sparsegmrf.autoregression import CausalAR
from sparsegmrf.errors import ArgumentError
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import Matern
from sparsegmrf.pixels import PixelGaussian, rx

SHAPE = (12, 13)
IMAGE = Matern(range=5.0).gmrf(SHAPE).sample(rng=0).astype(np.float32)
GAPS = np.random.default_rng(0).random(SHAPE) < 0.2
SIGNALLING = {  # with the payload by which R tells what is not available from other NaNs
    "float64": np.array([0x7FF00000000007A2], dtype=np.uint64).view(np.float64),
    "float32": np.array([0x7F8007A2], dtype=np.uint32).view(np.float32),
}


def with_gaps(image, dtype):
    image = image.astype(dtype)
    image[GAPS] = SIGNALLING[dtype]
    return image


@pytest.mark.parametrize("mask", ["nan", GAPS], ids=["nan", "mask"])
@pytest.mark.parametrize("dtype", SIGNALLING)
def test_what_is_not_available_in_r_is_missing_without_a_warning(dtype, mask):
    image, quiet = with_gaps(IMAGE, dtype), np.where(GAPS, np.nan, IMAGE.astype(float))
    assert_array_equal(fill(image, mask=mask).mean, fill(quiet).mean)
    known = {"mask": mask, "noise_variance": 0.1}
    assert_array_equal(
        condition(Matern(range=5.0).gmrf(SHAPE), image, **known).mean,
        condition(Matern(range=5.0).gmrf(SHAPE), quiet, mask=GAPS, noise_variance=0.1).mean,
    )
    assert CausalAR.fit(image, order=(1, 1), mask=mask).loglik == CausalAR.fit(quiet, order=(1, 1), mask="nan").loglik
    counts = with_gaps(np.round(np.exp(IMAGE)), dtype)
    exposure = with_gaps(np.ones(SHAPE), dtype)
    held = {"mask": GAPS, "fixed": ["range", "sigma"]}
    plain = fit(Matern(range=5.0), np.round(np.exp(IMAGE)), likelihood=Poisson(), **held)
    assert fit(Matern(range=5.0), counts, likelihood=Poisson(exposure), **held).loglik == plain.loglik


@pytest.mark.parametrize("dtype", SIGNALLING)
def test_pixels_that_are_not_available_in_r_are_left_out_without_a_warning(dtype):
    colours = np.stack([with_gaps(image, dtype) for image in (IMAGE, IMAGE**2, np.sin(9.0 * IMAGE))], axis=-1)
    quiet = np.where(GAPS[..., np.newaxis], np.nan, colours)
    assert_array_equal(rx(colours, mask=GAPS), rx(quiet, mask=GAPS))
    assert_array_equal(
        PixelGaussian().fit(colours, mask="nan").covariance, PixelGaussian().fit(quiet, mask="nan").covariance
    )
    with pytest.raises(ArgumentError, match=r"^image must be finite, got a NaN"):
        rx(colours)


@pytest.mark.parametrize("dtype", SIGNALLING)
def test_an_observed_nan_that_signals_is_refused_like_any_other(dtype):
    for run in (lambda image: fit(Matern(), image, mask=None), lambda image: CausalAR.fit(image, order=(1, 1))):
        with pytest.raises(ArgumentError, match=r"^image must be finite where it is observed, got nan at pixel"):
            run(with_gaps(IMAGE, dtype))


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="long doubles are doubles here")
def test_numbers_wider_than_float64_are_refused_where_they_are_observed():
    image = IMAGE.astype(np.longdouble)
    image[GAPS] = np.longdouble("1e400")
    with pytest.raises(ArgumentError, match=r"^image must be finite where it is observed, got inf at pixel"):
        fit(Matern(), image)
    assert_array_equal(fill(image, mask=GAPS).mean, fill(IMAGE, mask=GAPS).mean)
