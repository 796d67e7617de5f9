"""PixelGaussian: published values, layouts, streaming, masks, weights, and other libraries' Gaussians."""

import pickle

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from sparsegmrf.errors import ArgumentError, ImageLayoutError, NotFittedError, SingularCovarianceError
from sparsegmrf.pixels import PixelGaussian, PixelMixture
from tests.conftest import photograph, require

PUBLISHED = {
    "astronaut": (
        [0.555147, 0.414743, 0.378334],
        [[0.103505, 0.081274, 0.071623], [0.081274, 0.090272, 0.088151], [0.071623, 0.088151, 0.093213]],
        1.327127,
        51.8539,
        (400, 137),
    ),
    "chelsea": (
        [0.579110, 0.437037, 0.340384],
        [[0.015996, 0.015069, 0.014754], [0.015069, 0.016066, 0.017387], [0.014754, 0.017387, 0.021541]],
        4.226660,
        51.8624,
        (245, 267),
    ),
}


@pytest.fixture(scope="module", params=sorted(PUBLISHED))
def photo(request):
    return request.param, photograph(request.param) / 255.0


def colours(shape=(9, 11), channels=3, seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(channels, channels)) + 2.0 * np.eye(channels)
    return rng.normal(size=(*shape, channels)) @ mix + rng.normal(size=channels)


def test_photographs_have_the_published_moments_density_and_outlier(photo):
    name, image = photo
    mean, covariance, density, largest, where = PUBLISHED[name]
    model = PixelGaussian().fit(image)
    np.testing.assert_allclose(model.mean, mean, rtol=0, atol=6e-7)
    np.testing.assert_allclose(model.covariance, covariance, rtol=0, atol=6e-7)
    assert model.log_density_image(image).mean() == pytest.approx(density, abs=6e-7)
    distance = model.mahalanobis_image(image)[..., 0]
    assert distance.max() == pytest.approx(largest, abs=6e-5)
    assert np.unravel_index(distance.argmax(), distance.shape) == where


def test_both_invariants_hold(photo):
    _, image = photo
    model = PixelGaussian().fit(image)
    assert model.mahalanobis_image(image).mean() == pytest.approx(3.0, rel=1e-12)
    expected = -0.5 * (3.0 * np.log(2.0 * np.pi) + np.linalg.slogdet(model.covariance)[1] + 3.0)
    assert model.log_density_image(image).mean() == pytest.approx(expected, rel=1e-12)


def test_layouts_give_identical_results(photo):
    _, hwc = photo
    chw = np.ascontiguousarray(np.moveaxis(hwc, -1, 0))
    nchw = chw[np.newaxis]
    reference = PixelGaussian().fit(hwc)
    density = reference.density_image(hwc)
    assert density.shape == (*hwc.shape[:2], 1)
    for image, axis, shape in ((chw, 0, (1, *hwc.shape[:2])), (nchw, 1, (1, 1, *hwc.shape[:2]))):
        model = PixelGaussian().fit(image, channel_axis=axis)
        np.testing.assert_array_equal(model.mean, reference.mean)
        np.testing.assert_array_equal(model.cholesky, reference.cholesky)
        assert model.density_image(image).shape == shape
        for name in ("density_image", "log_density_image", "mahalanobis_image"):
            ours = getattr(model, name)(image).reshape(hwc.shape[:2])
            np.testing.assert_array_equal(ours, getattr(reference, name)(hwc)[..., 0])


def test_reshaping_without_moving_the_axis_would_be_caught():
    nchw = np.random.default_rng(0).normal(size=(1, 3, 8, 10)) * np.array([1.0, 5.0, 25.0])[:, None, None]
    model = PixelGaussian().fit(nchw, channel_axis=1)
    moved = np.moveaxis(nchw, 1, -1).reshape(-1, 3)
    interleaved = nchw.reshape(-1, 3)
    np.testing.assert_allclose(model.mean, moved.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(model.covariance, np.cov(moved.T, ddof=0), rtol=1e-12)
    assert np.abs(model.covariance - np.cov(interleaved.T, ddof=0)).max() > 100.0
    right = model.gaussian.logpdf(moved).reshape(1, 1, 8, 10)
    wrong = np.asarray(model.gaussian.logpdf(interleaved)).reshape(1, 1, 8, 10)
    np.testing.assert_allclose(model.log_density_image(nchw), right, rtol=1e-12)
    assert np.abs(model.log_density_image(nchw) - wrong).max() > 1.0


@given(
    sites=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    channels=st.integers(1, 5),
    data=st.data(),
    seed=st.integers(0, 2**16),
)
def test_any_layout_and_any_strides_are_the_flat_pixels(sites, channels, data, seed):
    if np.prod(sites) <= channels + 1:
        sites = [*sites, channels + 8]
    image = colours(tuple(sites), channels, seed)
    axis = data.draw(st.integers(0, len(sites)))
    moved = np.moveaxis(image, -1, axis)
    flat = image.reshape(-1, channels)
    model = PixelGaussian().fit(moved, channel_axis=axis)
    np.testing.assert_allclose(model.mean, flat.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(model.covariance, np.cov(flat.T, ddof=0).reshape(channels, channels), rtol=1e-10)
    density = model.log_density_image(moved)
    expected = scipy.stats.multivariate_normal(model.mean, model.covariance).logpdf(flat).reshape(sites)
    np.testing.assert_allclose(np.squeeze(density, axis), expected, rtol=1e-9, atol=1e-9)


def test_flips_and_transposes_move_the_maps_along():
    image = colours((12, 17))
    model = PixelGaussian().fit(image)
    maps = model.log_density_image(image)
    np.testing.assert_array_equal(model.log_density_image(image[::-1]), maps[::-1])
    np.testing.assert_array_equal(model.log_density_image(image.transpose(1, 0, 2)), maps.transpose(1, 0, 2))
    np.testing.assert_allclose(PixelGaussian().fit(image[:, ::-1]).covariance, model.covariance, rtol=1e-13)


def test_scipy_agrees(photo):
    _, image = photo
    model = PixelGaussian().fit(image)
    theirs = scipy.stats.multivariate_normal(model.mean, model.covariance).logpdf(image)
    np.testing.assert_allclose(model.log_density_image(image)[..., 0], theirs, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(model.density_image(image)[..., 0], np.exp(theirs), rtol=1e-9)


def test_torch_agrees(photo):
    torch = require("torch")
    _, image = photo
    model = PixelGaussian().fit(torch.from_numpy(image))
    normal = torch.distributions.MultivariateNormal(torch.tensor(model.mean), torch.tensor(model.covariance))
    theirs = normal.log_prob(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(model.log_density_image(torch.from_numpy(image))[..., 0], theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rule", ["ledoit-wolf", "oas"])
def test_shrinkage_rules_are_those_of_scikit_learn(rule):
    sklearn_covariance = require("sklearn.covariance")
    image = colours((5, 6), 8, seed=3)
    theirs = {"ledoit-wolf": sklearn_covariance.ledoit_wolf, "oas": sklearn_covariance.oas}[rule]
    covariance, amount = theirs(image.reshape(-1, 8))
    model = PixelGaussian(shrinkage=rule).fit(image)
    assert model.shrinkage_ == pytest.approx(amount, rel=1e-10)
    np.testing.assert_allclose(model.covariance, covariance, rtol=1e-10)


def test_fourth_moments_of_many_blocks_make_the_ledoit_wolf_amount_of_the_whole():
    sklearn_covariance = require("sklearn.covariance")
    image = 1e3 + colours((300, 200), 3, seed=3) ** 3  # several blocks, far from zero mean
    amount = sklearn_covariance.ledoit_wolf(image.reshape(-1, 3))[1]
    assert PixelGaussian(shrinkage="ledoit-wolf").fit(image).shrinkage_ == pytest.approx(amount, rel=1e-8)


def test_constant_shrinkage_mixes_in_the_mean_variance():
    image = colours()
    plain = PixelGaussian().fit(image).covariance
    mixed = PixelGaussian.fit(image, shrinkage=0.25)
    np.testing.assert_allclose(mixed.covariance, 0.75 * plain + 0.25 * np.trace(plain) / 3 * np.eye(3), rtol=1e-13)


def test_ddof_divides_by_fewer():
    image = colours()
    np.testing.assert_allclose(PixelGaussian(ddof=1).fit(image).covariance, np.cov(image.reshape(-1, 3).T), rtol=1e-12)


@pytest.mark.parametrize("rows", [1, 7, 64, 500])
def test_a_stream_of_bands_gives_the_image_bit_by_bit(rows):
    image = colours((500, 200), seed=1)
    whole = PixelGaussian().fit(image)
    stream = PixelGaussian().fit((image[k : k + rows] for k in range(0, 500, rows)), channel_axis=2)
    np.testing.assert_array_equal(stream.mean, whole.mean)
    np.testing.assert_array_equal(stream.covariance, whole.covariance)
    np.testing.assert_array_equal(stream.density_image(image), whole.density_image(image))


def test_a_memory_map_gives_the_same_and_stays_unread_as_a_whole(tmp_path):
    image = (np.random.default_rng(0).random((60, 50, 3)) * 255).astype(np.uint8)
    np.save(tmp_path / "image.npy", image)
    mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
    np.testing.assert_array_equal(PixelGaussian().fit(mapped).covariance, PixelGaussian().fit(image).covariance)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_other_types_are_read_as_they_are(dtype):
    image = (np.random.default_rng(0).random((30, 20, 3)) * 250).astype(dtype)
    model, exact = PixelGaussian().fit(image), PixelGaussian().fit(image.astype(np.float64))
    np.testing.assert_array_equal(model.covariance, exact.covariance)
    np.testing.assert_array_equal(model.density_image(image), exact.density_image(image.astype(float)))


def test_large_means_cost_no_digits():
    image = np.random.default_rng(0).integers(-8, 8, (400, 300, 3)).astype(float)
    near = PixelGaussian().fit(image)
    np.testing.assert_allclose(PixelGaussian().fit(image + 2.0**40).covariance, near.covariance, rtol=1e-12, atol=1e-12)
    far = PixelGaussian().fit(image + 2.0**30)
    np.testing.assert_allclose(far.mahalanobis_image(image + 2.0**30), near.mahalanobis_image(image), rtol=0, atol=1e-5)


def test_masked_pixels_do_not_count_and_get_nan():
    image = colours((40, 30))
    missing = np.random.default_rng(1).random((40, 30)) < 0.3
    spoilt = image.copy()
    spoilt[missing, 1] = np.nan
    reference = PixelGaussian().fit(image[~missing])
    masked = np.ma.MaskedArray(image, np.broadcast_to(missing[..., None], image.shape))
    for given_image, mask in ((spoilt, "nan"), (spoilt, missing), (spoilt, missing[..., None]), (masked, None)):
        model = PixelGaussian().fit(given_image, mask=mask)
        np.testing.assert_allclose(model.covariance, reference.covariance, rtol=1e-12)
        density = model.log_density_image(given_image, mask=mask)
        np.testing.assert_array_equal(np.isnan(density[..., 0]), missing)
        np.testing.assert_allclose(density[~missing][:, 0], reference.score_samples(image[~missing]), rtol=1e-10)
    tiles = PixelGaussian().fit(iter([spoilt[:13], spoilt[13:]]), mask="nan")
    np.testing.assert_array_equal(tiles.covariance, PixelGaussian().fit(spoilt, mask="nan").covariance)


def test_integer_weights_are_repetitions():
    image = colours((8, 9))
    times = np.random.default_rng(2).integers(0, 4, (8, 9))
    repeated = np.repeat(image.reshape(-1, 3), times.ravel(), axis=0)
    for ddof, rule in ((0, 0.0), (1, 0.0), (0, "ledoit-wolf"), (0, "oas")):
        weighted = PixelGaussian(ddof=ddof, shrinkage=rule).fit(image, weights=times)
        np.testing.assert_allclose(weighted.mean, repeated.mean(axis=0), rtol=1e-12)
        expected = PixelGaussian(ddof=ddof, shrinkage=rule).fit(repeated).covariance
        np.testing.assert_allclose(weighted.covariance, expected, rtol=1e-11)


def test_the_thread_count_changes_no_bit(threads):
    image = colours((300, 257), seed=4)
    results = []
    for count in (1, 2, 5):
        threads(count)
        model = PixelGaussian().fit(image)
        results.append((model.covariance, model.density_image(image)))
    for covariance, density in results[1:]:
        np.testing.assert_array_equal(covariance, results[0][0])
        np.testing.assert_array_equal(density, results[0][1])


def test_grey_images_have_one_channel_without_an_axis():
    grey = np.random.default_rng(0).normal(3.0, 2.0, (20, 30))
    model = PixelGaussian(channel_axis=None).fit(grey)
    assert model.log_density_image(grey).shape == (20, 30)
    expected = scipy.stats.norm(grey.mean(), grey.std()).logpdf(grey)
    np.testing.assert_allclose(model.log_density_image(grey), expected, rtol=1e-11)


def test_the_layout_is_remembered_and_can_be_overridden():
    hwc = colours((6, 7))
    model = PixelGaussian().fit(np.moveaxis(hwc, -1, 0), channel_axis=0)
    assert model.density_image(np.moveaxis(hwc, -1, 0)).shape == (1, 6, 7)
    np.testing.assert_array_equal(
        model.density_image(hwc, channel_axis=-1)[..., 0], model.density_image(np.moveaxis(hwc, -1, 0))[0]
    )
    with pytest.raises(ImageLayoutError, match=r"3 channels like the fit, got 6 on axis 0 .* pass channel_axis=2"):
        model.density_image(hwc)
    with pytest.raises(ImageLayoutError, match="ambiguous: the fit had it at 0 of 3 axes, image has 4"):
        model.density_image(hwc[np.newaxis])


def test_an_ambiguous_layout_is_refused_and_a_stated_one_is_not():
    nchw = np.random.default_rng(0).normal(size=(2, 3, 16, 12))
    with pytest.raises(ImageLayoutError, match=r"ambiguous for image of shape \(2, 3, 16, 12\).*pass channel_axis=1"):
        PixelGaussian().fit(nchw)
    assert PixelGaussian().fit(nchw, channel_axis=1).n_features_in_ == 3
    assert PixelGaussian().fit(nchw, channel_axis=3).n_features_in_ == 12


@pytest.mark.parametrize(
    ("image", "options", "error", "message"),
    [
        (np.zeros(5), {}, ImageLayoutError, "axis of channels"),
        (np.zeros((0, 3)), {}, ImageLayoutError, "at least one pixel"),
        (np.zeros((4, 5, 3)), {"channel_axis": 3}, ImageLayoutError, "which has 3, got 3"),
        (np.zeros((4, 5, 3)), {"channel_axis": 0.5}, ImageLayoutError, "integer or None"),
        (np.zeros((4, 5, 3), complex), {}, ArgumentError, "Complex"),
        (np.zeros((4, 5, 3), bool), {}, ArgumentError, "dtype bool"),
        (colours(), {"shrinkage": 1.5}, ArgumentError, r"lie in \[0, 1\]"),
        (colours(), {"shrinkage": "lw"}, ArgumentError, "'ledoit-wolf' or 'oas'"),
        (colours(), {"ddof": -1}, ArgumentError, "ddof must be"),
        (colours(), {"ddof": 99}, ArgumentError, "more than ddof = 99 pixels"),
        (colours(), {"mask": np.zeros((9, 11))}, ArgumentError, "mask must be boolean"),
        (colours(), {"mask": np.zeros((9, 10), bool)}, ArgumentError, "mask must have the shape"),
        (colours(), {"mask": np.ones((9, 11), bool)}, ArgumentError, "an observed pixel"),
        (colours(), {"mask": "zero"}, ArgumentError, 'None, "nan" or a boolean'),
        (colours(), {"weights": -np.ones((9, 11))}, ArgumentError, "must not be negative"),
        (colours(), {"weights": np.ones(9)}, ArgumentError, "weights must have the shape"),
        (colours(), {"weights": np.zeros((9, 11))}, ArgumentError, "positive weight"),
        (iter([]), {}, ArgumentError, "at least one tile"),
        (iter([colours(), colours(channels=4)]), {}, ImageLayoutError, "tile 1 must have 3 channels"),
        (iter([colours()]), {"weights": np.ones((9, 11))}, ArgumentError, "iterator of tiles"),
        (colours()[:1, :1], {}, SingularCovarianceError, "n_samples = 1"),
        (1e300 * colours(), {}, ArgumentError, "squares that double precision can sum"),
    ],
)
def test_bad_input_is_named(image, options, error, message):
    with pytest.raises(error, match=message):
        PixelGaussian().fit(image, **options)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_first_pixel_that_is_not_finite_is_named(value):
    image = colours((200, 200))
    image[170, 31, 2] = value
    for call in (PixelGaussian().fit, PixelGaussian().fit(colours()).density_image):
        with pytest.raises(ArgumentError, match=r"at pixel \(170, 31\).*mask=\"nan\""):
            call(image)
    with pytest.raises(ArgumentError, match=r"tile 1 must be finite, .* at pixel \(70, 31\)"):
        PixelGaussian().fit(iter([image[:100], image[100:]]))


def test_a_singular_covariance_names_the_null_direction():
    image = colours((20, 20), 4)
    image[..., 2] = 2.0 * image[..., 0] - 7.0
    with pytest.raises(SingularCovarianceError, match=r"0.7071 channel 0 -0.7071 channel 2 .*shrinkage") as caught:
        PixelGaussian().fit(image)
    np.testing.assert_allclose(np.abs(caught.value.direction), [0.5**0.5, 0.0, 0.5**0.5, 0.0], atol=1e-7)
    image[..., 1] = 3.0
    with pytest.raises(SingularCovarianceError, match=r"1 channel 1 .*shrinkage"):
        PixelGaussian().fit(image)
    assert np.isfinite(PixelGaussian(shrinkage="oas").fit(image).density_image(image)).all()
    error = pickle.loads(pickle.dumps(caught.value))
    np.testing.assert_array_equal(error.direction, caught.value.direction)


def test_channels_in_very_different_units_are_not_singular():
    image = colours() * np.array([1e-9, 1.0, 1e9])
    model = PixelGaussian().fit(image)
    assert model.mahalanobis_image(image).mean() == pytest.approx(3.0, rel=1e-11)


def test_nothing_passed_in_is_changed():
    image, weights, mask = colours(), np.ones((9, 11)), np.eye(9, 11) > 0
    copies = image.copy(), weights.copy(), mask.copy()
    PixelGaussian().fit(image, weights=weights, mask=mask).density_image(image, mask=mask)
    for now, before in zip((image, weights, mask), copies, strict=True):
        np.testing.assert_array_equal(now, before)
    image.flags.writeable = False
    PixelGaussian().fit(image).density_image(image)


def test_an_estimator_that_is_not_fitted_says_so():
    for name in ("mean", "covariance", "cholesky", "logdet", "gaussian"):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(PixelGaussian(), name)
    with pytest.raises(NotFittedError):
        PixelGaussian().density_image(colours())


def test_a_fit_called_on_the_class_makes_a_new_estimator():
    image = colours()
    np.testing.assert_array_equal(PixelGaussian.fit(image).covariance, PixelGaussian().fit(image).covariance)
    assert PixelGaussian.fit(image) is not PixelGaussian.fit(image)
    model = PixelGaussian(ddof=1)
    assert model.fit(image) is model
    assert repr(model) == "PixelGaussian(ddof=1)"


def test_likelihood_is_the_sum_of_the_densities_of_the_pixels():
    image = 3.0 + np.random.default_rng(0).normal(size=(20, 25, 3)) @ np.diag([1.0, 20.0, 0.1])
    mask = np.arange(500).reshape(20, 25) % 7 == 0
    model = PixelGaussian().fit(image, mask=mask)
    density = model.log_density_image(image, mask=mask)
    loglik = float(np.nansum(density))
    assert model.loglik == pytest.approx(loglik, rel=1e-12)
    assert (model.n_observed, model.n_parameters) == (428, 9)
    assert model.aic == pytest.approx(18 - 2 * loglik, rel=1e-12)
    assert model.bic == pytest.approx(9 * np.log(428) - 2 * loglik, rel=1e-12)
    shrunk = PixelGaussian(shrinkage=0.3, ddof=1).fit(image)
    assert shrunk.loglik == pytest.approx(float(shrunk.log_density_image(image).sum()), rel=1e-12)


def test_weights_count_pixels_as_often_as_they_say():
    image = np.random.default_rng(1).normal(size=(20, 25, 2))
    weights = np.random.default_rng(2).integers(0, 4, (20, 25))
    repeated = PixelGaussian().fit(np.repeat(image.reshape(-1, 2), weights.ravel(), axis=0))
    model = PixelGaussian().fit(image, weights=weights)
    assert model.n_observed == repeated.n_observed == weights.sum()
    assert model.bic == pytest.approx(repeated.bic, rel=1e-12)


@pytest.mark.parametrize("criterion", ["aic", "bic"])
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (PixelGaussian(shrinkage=0.3), r"shrunk by 0\.3; fit with shrinkage=0"),
        (PixelGaussian(ddof=1), "by 1 less than the number of pixels; fit with ddof=0"),
        (PixelMixture(2, prior=2.0), r"posterior mode with prior=2; fit with prior=0"),
    ],
    ids=["shrinkage", "ddof", "prior"],
)
def test_criteria_of_what_is_no_maximum_are_refused(model, criterion, message):
    image = np.random.default_rng(0).normal(size=(20, 25, 2))
    fitted = model.fit(image)
    assert "no criteria" in fitted.summary()
    with pytest.raises(ArgumentError, match=f"{criterion} compares maxima of the likelihood, but .*{message}"):
        getattr(fitted, criterion)


def test_a_robust_fit_has_no_likelihood_and_says_so():
    image = np.random.default_rng(0).normal(size=(20, 25, 2))
    model = PixelGaussian.fit_robust(image)
    for figure in ("loglik", "aic", "bic"):
        with pytest.raises(ArgumentError, match=f"{figure} .*a robust fit minimizes another objective, objective_"):
            getattr(model, figure)
    assert model.fit(image).loglik < 0.0  # a later fit is not held to the earlier one


def test_summary_has_every_channel():
    image = np.random.default_rng(0).normal(size=(20, 25, 2))
    model = PixelGaussian().fit(image)
    text = model.summary()
    assert "500 pixels of 2 channels" in text
    assert f"{model.mean[1]:14.6g}{np.sqrt(model.covariance[1, 1]):14.6g}" in text
    assert f"{model.loglik / 500:.6f} nats, AIC {model.aic:.2f}, BIC {model.bic:.2f}" in text


@pytest.mark.filterwarnings("ignore:Estimator PixelGaussian does not inherit:UserWarning")
@pytest.mark.filterwarnings("ignore:Skipping check check_array_api_input")
def test_scikit_learn_accepts_it_as_an_estimator():
    checks = require("sklearn.utils.estimator_checks")
    results = checks.check_estimator(PixelGaussian())
    assert sum(result["status"] == "passed" for result in results) > 30
    assert {result["check_name"] for result in results if result["status"] != "passed"} <= {"check_array_api_input"}


def test_scikit_learn_clones_it_and_searches_over_it():
    base, search = require("sklearn.base"), require("sklearn.model_selection")
    rows = colours((12, 10)).reshape(-1, 3)
    assert base.clone(PixelGaussian(shrinkage=0.1)).shrinkage == 0.1
    found = search.GridSearchCV(PixelGaussian(), {"shrinkage": [0.0, 0.9]}, cv=3).fit(rows)
    assert found.best_params_ == {"shrinkage": 0.0}
