"""Images of several channels however they stand: first, last, or on a dimension of any place."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sparsegmrf import CAR, Channels, fill, fit
from sparsegmrf.errors import ArgumentError
from tests.inference.test_channels_fit import LEVEL, S, drawn

xarray = pytest.importorskip("xarray")

MODEL = Channels(CAR(0.2), S)
HELD = {"model": MODEL, "noise_variance": 0.3, "fixed": ["rho", "covariance"], "covariates": "constant"}


def gappy():
    y = drawn((6, 9), 0.3)
    return np.where(np.random.default_rng(3).random(y.shape) < 0.25, np.nan, y)


def named(y, dims):
    own = xarray.DataArray(
        y,
        dims=("y", "x", "band"),
        coords={"y": np.arange(6.0), "x": 10.0 + np.arange(9.0), "band": ["red", "green", "blue"]},
        attrs={"units": "counts"},
        name="light",
    )
    return own.transpose(*dims)


def test_channels_first_give_channels_first():
    y = gappy()
    last = fill(y, n_samples=2, rng=0, **HELD)
    first = fill(np.moveaxis(y, -1, 0), n_samples=2, rng=0, **HELD)
    for name in ("mean", "std", "predictive_std", "filled"):
        assert getattr(first, name).shape == (3, 6, 9)
        assert_array_equal(np.moveaxis(getattr(first, name), 0, -1), getattr(last, name))
    assert_array_equal(np.moveaxis(first.samples, 1, -1), last.samples)
    assert first.fit.loglik == last.fit.loglik


def test_masks_and_noise_stand_as_the_image_does():
    y = gappy()
    missing, variance = np.isnan(y), np.random.default_rng(4).uniform(0.2, 0.4, y.shape)
    y = np.where(missing, 1e6, y)
    options = {**HELD, "noise_variance": variance, "mask": missing}
    turned = {**HELD, "noise_variance": np.moveaxis(variance, -1, 0), "mask": np.moveaxis(missing, -1, 0)}
    last, first = fit(image=y, **options), fit(image=np.moveaxis(y, -1, 0), **turned)
    assert first.loglik == last.loglik
    plane = {**HELD, "noise_variance": variance[..., 0], "mask": missing[..., 0]}  # of every channel
    assert fit(image=y, **plane).loglik == fit(image=np.moveaxis(y, -1, 0), **plane).loglik


@pytest.mark.parametrize("dims", [("band", "y", "x"), ("y", "x", "band"), ("y", "band", "x")])
def test_labelled_images_give_labelled_ones_as_they_stand(dims):
    y = gappy()
    plain, image = fill(y, n_samples=2, rng=0, spacing=None, **HELD), named(y, dims)
    before = image.copy(deep=True)
    found = fill(image, n_samples=2, rng=0, spacing=None, **HELD)
    xarray.testing.assert_identical(image, before)
    assert found.mean.dims == found.std.dims == dims
    assert found.samples.dims == ("sample", *dims)
    assert found.filled.attrs == {"units": "counts"}
    assert found.std.name == "light_std"
    assert_array_equal(found.std.coords["band"], ["red", "green", "blue"])
    assert_allclose(found.mean.transpose("y", "x", "band"), plain.mean, rtol=1e-12)
    assert_allclose(found.predictive_std.transpose("y", "x", "band"), plain.predictive_std, rtol=1e-12)
    assert_allclose(found.samples.transpose("sample", "y", "x", "band"), plain.samples, rtol=1e-9)
    missing = image.isnull().transpose("x", "band", "y")  # in an order of its own
    again = fill(image.fillna(0.0), mask=missing, spacing=None, **HELD)
    assert_array_equal(again.mean, found.mean)
    bare = fill(image.fillna(0.0), mask=image.isnull().values, spacing=None, **HELD)  # laid out as the image is
    assert_array_equal(bare.mean, found.mean)


def test_a_band_with_a_gap_borrows_from_the_others():
    """With channels that are nearly copies, what one of them misses is seen by the others."""
    rng = np.random.default_rng(5)
    alike = Channels(CAR(0.24), np.full((3, 3), 1.0) + 0.01 * np.eye(3))
    truth = alike.gmrf((12, 12), LEVEL).sample(rng=rng)
    y = truth.copy()
    y[3:9, 3:9, 0] = np.nan
    options = {"noise_variance": 1e-4, "covariates": "constant"}
    joint = fill(y, model=alike, fixed=["rho", "covariance"], **options)
    alone = fill(y[..., 0], model=CAR(0.24, tau=1.0), fixed=["rho", "tau"], **options)
    gap = np.isnan(y[..., 0])
    assert joint.std[..., 0][gap].max() < 0.3 * alone.std[gap].min()
    assert np.abs((joint.mean - truth)[..., 0][gap] / joint.std[..., 0][gap]).max() < 4.5


@pytest.mark.parametrize("shape", [(6, 9), (2, 6, 9), (6, 3, 9), (4, 6, 9, 3)])
def test_images_without_the_channels_are_refused(shape):
    with pytest.raises(ArgumentError, match=r"image must have shape \(H, W, 3\) or \(3, H, W\)"):
        fill(np.zeros(shape), **HELD)
