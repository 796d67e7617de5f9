"""Anomaly and target maps against SPy, against loops over windows, and against dense generalized least squares."""

import numpy as np
import pytest
import scipy.stats

from sparsegmrf import GMRF, SymmetricStencil
from sparsegmrf.autoregression import CausalAR
from sparsegmrf.errors import ArgumentError, ImageLayoutError, SingularCovarianceError
from sparsegmrf.pixels import (
    DenseGaussian,
    PixelGaussian,
    PixelMixture,
    RegionMoments,
    ace,
    matched_filter,
    rx,
    whitened_residuals,
)
from tests.conftest import require


def scene(shape=(23, 31), channels=3, seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(channels, channels)) + 2.0 * np.eye(channels)
    return rng.normal(size=(*shape, channels)) @ mix + 5.0


def by_loops(image, inner, outer, missing=None):
    height, width, channels = image.shape
    seen = np.ones((height, width), bool) if missing is None else ~missing
    out = np.empty((height, width))
    for i in range(height):
        for j in range(width):
            keep = np.zeros((height, width), bool)
            top, left = min(max(i - outer // 2, 0), height - outer), min(max(j - outer // 2, 0), width - outer)
            keep[top : top + outer, left : left + outer] = True
            top, left = min(max(i - inner // 2, 0), height - inner), min(max(j - inner // 2, 0), width - inner)
            keep[top : top + inner, left : left + inner] = False
            rows = image[keep & seen]
            gap = image[i, j] - rows.mean(0)
            out[i, j] = gap @ np.linalg.solve(np.cov(rows.T).reshape(channels, channels), gap)
    return out


def test_spy_agrees_globally():
    spectral = require("spectral")
    image = scene(channels=4)
    np.testing.assert_allclose(rx(image)[..., 0], spectral.rx(image), rtol=1e-10)
    np.testing.assert_allclose(
        rx(image, background=image[:10])[..., 0], spectral.rx(image, spectral.calc_stats(image[:10])), rtol=1e-10
    )


@pytest.mark.parametrize("window", [(1, 5), (3, 9), (5, 17)])
def test_spy_agrees_with_a_window(window):
    spectral = require("spectral")
    image = scene()
    ours = rx(image, window=window)[..., 0]
    np.testing.assert_allclose(ours, spectral.rx(image, window=window), rtol=2e-5)  # which keeps float32

    def distance(background, x):
        return (x - background.mean).dot(background.inv_cov).dot(x - background.mean)

    theirs = require("spectral.algorithms.spatial").WindowedGaussianBackgroundMapper(
        *window, distance, dtype=np.float64
    )(image)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_windows_are_loops_over_windows(channels):
    image = scene((70, 12), channels, seed=1)
    missing = np.random.default_rng(2).random((70, 12)) < 0.2
    ours = rx(image, window=(3, 7), mask=missing)[..., 0]
    assert np.isnan(ours[missing]).all()
    np.testing.assert_allclose(ours[~missing], by_loops(image, 3, 7, missing)[~missing], rtol=1e-9)


def test_windows_far_from_zero_lose_no_digits():
    ramp = np.mgrid[:40, :30][0][..., None] * np.array([10.0, 20.0, -30.0])
    image = scene((40, 30)) + ramp + 1e6
    np.testing.assert_allclose(rx(image, window=(1, 9))[..., 0], by_loops(image, 1, 9), rtol=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"shrinkage": "oas"}, {"window": (3, 9)}, {"window": (3, 9), "shrinkage": "oas"}]
)
def test_scores_do_not_depend_on_the_unit_where_squares_can_be_held(options):
    image = scene()
    for scale in (1e-145, 1e-100, 1e-60, 1e60, 1e100, 1e145):
        np.testing.assert_allclose(rx(scale * image, **options), rx(image, **options), rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-158, 1e-161, 1e-200, 1e-305])
def test_intensities_whose_squares_vanish_are_refused_with_their_size(scale):
    image = scene()
    for call in (rx, PixelGaussian.fit, PixelGaussian.fit_robust, PixelMixture(2).fit, RegionMoments):
        with pytest.raises(ArgumentError, match=r"tell from zero, but channel 0 varies by .*e-.* multiply the image"):
            call(scale * image)
    with pytest.raises(ArgumentError, match="channel 1 varies by"):
        rx(image * [1.0, scale, 1.0], window=(3, 9))
    constant = image.copy()
    constant[..., 2] = 7.0
    with pytest.raises(SingularCovarianceError, match="1 channel 2"):
        rx(constant)


@pytest.mark.parametrize("scale", [1e-100, 1e-80, 1e80, 1e100])
def test_fourth_powers_that_cannot_be_held_are_refused_by_the_rule_that_needs_them(scale):
    with pytest.raises(ArgumentError, match=r"fourth powers .* take 'oas'"):
        rx(scale * scene(), shrinkage="ledoit-wolf")


def test_bands_first_are_refused_by_default_however_many_there_are():
    for shape in ((5, 40, 45), (13, 30, 26), (3, 40, 50), (2, 6, 40, 45)):
        with pytest.raises(ImageLayoutError, match="ambiguous"):
            rx(np.random.default_rng(0).normal(size=shape))
    long = np.random.default_rng(0).normal(size=(20, 21, 12))
    assert rx(long).shape == (20, 21, 1)


def test_maps_follow_flips_transposes_layouts_and_threads(threads):
    image = scene((150, 20))
    for options in ({}, {"window": (3, 9)}):
        score = rx(image, **options)
        assert score.shape == (150, 20, 1)
        chw = rx(np.moveaxis(image, -1, 0), channel_axis=0, **options)
        np.testing.assert_array_equal(chw[0], score[..., 0])
        nchw = rx(np.moveaxis(image, -1, 0)[np.newaxis], channel_axis=1, **options)
        np.testing.assert_array_equal(nchw[0, 0], score[..., 0])
        np.testing.assert_allclose(rx(image[::-1], **options), score[::-1], rtol=1e-9)
        np.testing.assert_allclose(rx(image.transpose(1, 0, 2), **options), score.transpose(1, 0, 2), rtol=1e-9)
        for count in (1, 3):
            threads(count)
            np.testing.assert_array_equal(rx(image, **options), score)


def test_shrinkage_works_where_windows_have_too_few_pixels():
    image = scene((12, 13), 9)
    with pytest.raises(
        SingularCovarianceError, match=r"around pixel \(0, 0\) is singular.*8 background pixels"
    ) as caught:
        rx(image, window=(1, 3))
    assert caught.value.pixel == (0, 0)
    for rule in (0.3, "oas"):
        score = rx(image, window=(1, 3), shrinkage=rule)[5, 6, 0]
        rows = np.delete(image[4:7, 5:8].reshape(-1, 9), 4, axis=0)
        model = PixelGaussian(shrinkage=rule, ddof=1).fit(rows)
        assert score == pytest.approx(float(model.mahalanobis_image(image[5, 6][None])[0, 0]), rel=1e-9)


def test_a_singular_background_names_the_direction():
    image = scene()
    image[..., 1] = image[..., 0]
    for options in ({}, {"window": (3, 9)}):
        with pytest.raises(SingularCovarianceError, match=r"0.7071 channel 0 -0.7071 channel 1"):
            rx(image, **options)
        assert np.isfinite(rx(image, shrinkage=0.1, **options)).all()


def test_fewer_pixels_than_channels_are_told_with_a_remedy_that_helps():
    image = scene((2, 2), 9)
    rows, few = image.reshape(4, 9), "4 pixels are too few for 9 channels"
    for call in (lambda: rx(image, channel_axis=2), lambda: PixelGaussian().fit(rows)):
        with pytest.raises(SingularCovarianceError, match=f"{few}: pass shrinkage") as caught:
            call()
        assert "leave such channels out" not in str(caught.value)
    with pytest.raises(SingularCovarianceError, match=f"{few}: take a larger image"):
        PixelGaussian.fit_robust(rows, "student")
    assert np.isfinite(rx(image, channel_axis=2, shrinkage=0.1)).all()


def test_backgrounds_may_be_fitted():
    image = scene()
    model = PixelGaussian(ddof=1).fit(image[:9])
    for background in (model, model.gaussian, DenseGaussian.from_precision(model.gaussian.precision(), model.mean)):
        np.testing.assert_allclose(rx(image, background=background), rx(image, background=image[:9]), rtol=1e-9)


def test_matched_filter_is_generalized_least_squares_and_spys():
    spectral = require("spectral")
    image, target = scene(), np.array([9.0, 1.0, 4.0])
    maps = matched_filter(image, target)
    np.testing.assert_allclose(maps.amplitude[..., 0], spectral.matched_filter(image, target), rtol=1e-9, atol=1e-12)
    rows = image.reshape(-1, 3)
    P, s = np.linalg.inv(np.cov(rows.T)), target - rows.mean(0)
    np.testing.assert_allclose(maps.standard_error, (s @ P @ s) ** -0.5, rtol=1e-10)
    np.testing.assert_allclose(maps.signal_to_noise, maps.amplitude / maps.standard_error, rtol=1e-12)
    added = matched_filter(image, target, additive=True, channel_axis=2)
    expected = (rows - rows.mean(0)) @ P @ target / (target @ P @ target)
    np.testing.assert_allclose(added.amplitude.ravel(), expected, rtol=1e-9, atol=1e-12)


def test_ace_is_spys_and_its_ratio_is_students_t():
    spectral = require("spectral")
    image, target = scene((60, 70), 4), np.array([9.0, 1.0, 4.0, 2.0])
    maps = ace(image, target)
    # SPy's score is the cosine of a whitened pixel with the target, squared or with its sign, by version.
    theirs = spectral.ace(image, target)
    cosine = np.sign(maps.amplitude) * np.sqrt(maps.score)
    close = [np.allclose(theirs, ours[..., 0], rtol=1e-8, atol=1e-10) for ours in (cosine, maps.score)]
    assert any(close)
    t = maps.signal_to_noise
    np.testing.assert_allclose(maps.score, t**2 / (t**2 + 3.0), rtol=1e-9)
    np.testing.assert_allclose(t, maps.amplitude / maps.standard_error, rtol=1e-12)
    np.testing.assert_allclose(maps.amplitude, matched_filter(image, target).amplitude, rtol=1e-12)
    # False alarm below 1e-6: the Kolmogorov-Smirnov p-value is uniform where there is no target.
    assert scipy.stats.kstest(t.ravel(), scipy.stats.t(3).cdf).pvalue > 1e-6


FIELDS = {
    "homogeneous": lambda: GMRF.from_precision(
        SymmetricStencil([(0, 0), (0, 1), (1, 0), (1, -1)], [5.0, -1.0, -0.8, -0.3], (7, 9)), mean=2.0
    ),
    "per pixel": lambda: GMRF.from_precision(
        SymmetricStencil(
            [(0, 0), (0, 1), (2, 0)],
            [4.0 + np.random.default_rng(0).random((7, 9)), -np.random.default_rng(1).random((7, 9)), -0.5],
            (7, 9),
        )
    ),
    "neumann": lambda: GMRF.from_precision(
        SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.1, -1.0, -1.0], (7, 9), boundary="neumann")
    ),
    "causal": lambda: CausalAR([0.5, 0.3], 0.7, 1.0, support=[(-1, 0), (0, -1)]).gmrf((7, 9)),
}


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 4), (7, 9)])
def test_a_template_in_correlated_noise_is_dense_generalized_least_squares(kind, shape):
    field, rng = FIELDS[kind](), np.random.default_rng(3)
    image, t = field.sample(rng=1), rng.uniform(0.5, 1.5, shape)
    maps = matched_filter(image, t, field)
    Q, r = field.tocsr().toarray(), (image - field.mean).ravel()
    for i in range(7):
        for j in range(9):
            placed = np.zeros((7, 9))
            for a in range(shape[0]):
                for b in range(shape[1]):
                    y, x = i + a - shape[0] // 2, j + b - shape[1] // 2
                    if 0 <= y < 7 and 0 <= x < 9:
                        placed[y, x] = t[a, b]
            t_p = placed.ravel()
            norm = t_p @ Q @ t_p
            assert maps.amplitude[i, j] == pytest.approx(t_p @ Q @ r / norm, rel=1e-9, abs=1e-10)
            assert maps.standard_error[i, j] == pytest.approx(norm**-0.5, rel=1e-10)
            assert maps.signal_to_noise[i, j] == pytest.approx(t_p @ Q @ r / norm**0.5, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("kind", FIELDS)
def test_residuals_are_whitened_generalized_least_squares(kind):
    field = FIELDS[kind]()
    rows, columns = np.mgrid[:7, :9]
    X = np.stack([np.ones((7, 9)), rows / 7.0, columns / 9.0])
    image = field.sample(rng=1) + 3.0 * X[0] - 2.0 * X[2]
    found = whitened_residuals(image, field, list(X))
    Q, r, flat = field.tocsr().toarray(), (image - field.mean).ravel(), X.reshape(3, -1)
    covariance = np.linalg.inv(flat @ Q @ flat.T)
    np.testing.assert_allclose(found.coefficients, covariance @ flat @ Q @ r, rtol=1e-9)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.standard_errors**2, np.diagonal(covariance), rtol=1e-9)
    rest = r - found.coefficients @ flat
    np.testing.assert_allclose(found.residual.ravel(), rest, rtol=1e-9, atol=1e-10)
    assert (found.whitened**2).sum() == pytest.approx(rest @ Q @ rest, rel=1e-9)
    np.testing.assert_array_equal(whitened_residuals(image, field).whitened, field.whiten(image))
    with pytest.raises(SingularCovarianceError, match="linearly dependent"):
        whitened_residuals(image, field, [X[0], X[1], X[0] + X[1]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: rx(x, window=(2, 5)), ArgumentError, "two odd sides"),
        (lambda x: rx(x, window=(5, 5)), ArgumentError, "inner < outer"),
        (lambda x: rx(x, window=7), ArgumentError, r"\(inner, outer\)"),
        (lambda x: rx(x, window=(3, 25)), ArgumentError, "fit on the image"),
        (lambda x: rx(x, window=(3, 9), shrinkage="ledoit-wolf"), ArgumentError, "take 'oas'"),
        (lambda x: rx(x, window=(3, 9), background=x), ArgumentError, "background must be left out"),
        (
            lambda x: rx(x, background=PixelGaussian().fit(x), shrinkage=0.1),
            ArgumentError,
            "shrinkage must be left out",
        ),
        (lambda x: rx(x, background=x[..., :2]), ImageLayoutError, "3 channels of image, got 2"),
        (lambda x: rx(np.full_like(x, np.nan), window=(3, 9)), ArgumentError, "finite"),
        (lambda x: rx(np.moveaxis(x, -1, 0)), ImageLayoutError, "ambiguous"),
        (lambda x: matched_filter(x, [1.0, 2.0]), ArgumentError, r"target must have shape \(3,\)"),
        (lambda x: matched_filter(x, [0.0, 0.0, 0.0], additive=True), ArgumentError, "target must differ"),
        (lambda x: ace(x[..., :1], [9.0]), ArgumentError, "at least 2 channels"),
        (lambda x: matched_filter(x[:7, :9, 0], np.zeros((3, 3)), FIELDS["causal"]()), ArgumentError, "not zero"),
        (lambda x: matched_filter(x[..., 0], np.ones((3, 3)), FIELDS["causal"]()), ArgumentError, "field's shape"),
        (
            lambda x: matched_filter(x[:7, :9, 0], np.ones((3, 3)), FIELDS["causal"](), additive=True),
            ArgumentError,
            "left out with a field",
        ),
        (
            lambda x: matched_filter(x[:7, :9, 0], np.eye(3) * [1.0, 0.0, 0.0], FIELDS["causal"]()),
            ArgumentError,
            "must not vanish",
        ),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call(scene())
