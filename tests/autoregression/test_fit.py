"""Fitted models: the explicit least-squares and Yule-Walker solutions, standard errors, invariances."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegmrf.autoregression import CausalAR
from tests.autoregression.explicit import HALF_PLANE, QUARTER_PLANE, autocovariance, design, recursion

data = pytest.importorskip("skimage.data")

SUPPORTS = [[], [(0, -1)], [(-1, 0)], QUARTER_PLANE, HALF_PLANE[1], HALF_PLANE[2], [(0, -2), (-3, 1)]]


def least_squares(image, offsets, missing=None):
    """Weights, intercept, residuals and ``[1, Z]``, by numpy's lstsq on the explicit design."""
    Z, y = design(image, offsets, missing)
    X = np.column_stack([np.ones(len(y)), Z])
    solution = np.linalg.lstsq(X, y, rcond=None)[0]
    return solution[1:], solution[0], y - X @ solution, X


@given(
    shape=st.tuples(st.integers(9, 14), st.integers(9, 14)),
    offsets=st.sampled_from(SUPPORTS),
    share=st.sampled_from([0.0, 0.02]),
    level=st.sampled_from([0.0, -30.0]),
    seed=st.integers(0, 2**16),
)
def test_least_squares_is_that_of_the_explicit_design(shape, offsets, share, level, seed):
    rng = np.random.default_rng(seed)
    image, missing = level + rng.standard_normal(shape), rng.random(shape) < share
    weights, intercept, residuals, X = least_squares(image, offsets, missing)
    n, parameters = X.shape
    if n < parameters + 1:
        return
    fit = CausalAR.fit(image, support=offsets, mask=missing)
    model = fit.model
    assert fit.n_observed == n
    np.testing.assert_allclose(model.weights, weights, atol=1e-10)
    assert model.mean == pytest.approx(intercept / (1 - weights.sum()), rel=1e-9, abs=1e-9)
    assert model.sigma == pytest.approx(np.sqrt(np.mean(residuals**2)), rel=1e-10)
    loglik = -0.5 * n * np.log(2 * np.pi * model.sigma**2) - 0.5 * n
    assert fit.loglik == pytest.approx(loglik, rel=1e-10)
    assert fit.loglik_per_pixel == pytest.approx(loglik / n, rel=1e-10)
    assert fit.aic == pytest.approx(2 * (parameters + 1) - 2 * loglik, rel=1e-10)
    assert fit.bic == pytest.approx((parameters + 1) * np.log(n) - 2 * loglik, rel=1e-10)


@given(offsets=st.sampled_from(SUPPORTS), seed=st.integers(0, 2**16))
def test_standard_errors_are_the_textbook_ones(offsets, seed):
    image = 5.0 + np.random.default_rng(seed).standard_normal((14, 13))
    weights, intercept, residuals, X = least_squares(image, offsets)
    n, parameters = X.shape
    covariance = residuals @ residuals / (n - parameters) * np.linalg.inv(X.T @ X)
    fit = CausalAR.fit(image, support=offsets)
    np.testing.assert_allclose(fit.covariance, covariance[1:, 1:], rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(fit.weight_errors, np.sqrt(np.diagonal(covariance)[1:]), rtol=1e-9)
    # mean = c / (1 - sum w)
    gain = 1 - weights.sum()
    gradient = np.array([1.0, *np.full(len(weights), intercept / gain)]) / gain
    assert fit.mean_error == pytest.approx(np.sqrt(gradient @ covariance @ gradient), rel=1e-8)
    assert fit.standard_errors["sigma"] == pytest.approx(np.sqrt(np.mean(residuals**2) / (2 * n)), rel=1e-9)


@given(offsets=st.sampled_from(SUPPORTS[1:]), seed=st.integers(0, 2**16))
def test_yule_walker_is_the_solution_with_dense_autocovariances(offsets, seed):
    image = -2.0 + np.random.default_rng(seed).standard_normal((9, 8))
    fit = CausalAR.fit(image, support=offsets, method="yule_walker")
    model = fit.model
    matrix = np.array([[autocovariance(image, np.subtract(a, b)) for b in offsets] for a in offsets])
    right = np.array([autocovariance(image, a) for a in offsets])
    weights = np.linalg.solve(matrix, right)
    sigma = np.sqrt(image.var() - weights @ right)
    np.testing.assert_allclose(model.weights, weights, atol=1e-10)
    assert model.sigma == pytest.approx(sigma, rel=1e-10)
    assert model.mean == pytest.approx(image.mean(), rel=1e-12)
    Z, y = design(image, offsets)
    residuals = (y - model.mean) - (Z - model.mean) @ weights
    loglik = -0.5 * len(y) * np.log(2 * np.pi * sigma**2) - 0.5 * residuals @ residuals / sigma**2
    assert fit.loglik == pytest.approx(loglik, rel=1e-10)
    np.testing.assert_allclose(fit.covariance, sigma**2 / len(y) * np.linalg.inv(matrix), rtol=1e-8)
    assert fit.mean_error == pytest.approx(sigma / np.sqrt(len(y)) / abs(1 - weights.sum()), rel=1e-9)
    assert fit.loglik <= CausalAR.fit(image, support=offsets).loglik


def test_yule_walker_with_a_mask_averages_over_the_observed_pairs():
    rng = np.random.default_rng(4)
    image, missing = rng.standard_normal((20, 17)), rng.random((20, 17)) < 0.1
    model = CausalAR.fit(image, support=[(-1, 0)], method="yule_walker", mask=missing).model
    centred = np.where(missing, 0.0, image - image[~missing].mean())
    pairs = np.count_nonzero(~missing[1:] & ~missing[:-1])
    lagged = (centred[1:] * centred[:-1]).sum() / pairs * (1 - 1 / 20)
    variance = image[~missing].var()
    np.testing.assert_allclose(model.weights, [lagged / variance], rtol=1e-12)
    assert model.sigma == pytest.approx(np.sqrt(variance - lagged**2 / variance), rel=1e-12)


@given(shape=st.tuples(st.integers(3, 8), st.integers(6, 9)), seed=st.integers(0, 2**16))
def test_yule_walker_is_never_singular_on_a_complete_image(shape, seed):
    image = np.random.default_rng(seed).integers(0, 2, shape)
    image[0, 0] = 1 - image[1, 1]
    model = CausalAR.fit(image, support="nshp", method="yule_walker").model
    assert model.sigma > 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("offsets", "weights"), [(QUARTER_PLANE, [-0.3, 0.7, 0.5]), (HALF_PLANE[1], [0.1, 0.3, 0.25, 0.3])]
)
def test_weights_sigma_and_mean_of_a_drawn_field_are_recovered(offsets, weights, seed):
    # Six standard errors: false alarm 2e-9 per number, 36 numbers.
    image = recursion(offsets, weights, (96, 96), seed, sigma=0.5, mean=3.0)
    fit = CausalAR.fit(image, support=offsets)
    model = fit.model
    assert (np.abs(model.weights - weights) < 6 * fit.weight_errors).all()
    assert abs(model.sigma - 0.5) < 6 * fit.standard_errors["sigma"]
    assert abs(model.mean - 3.0) < 6 * fit.mean_error
    assert fit.weight_errors.max() < 0.02
    by_covariances = CausalAR.fit(image, support=offsets, method="yule_walker").model
    # Its bias is the share of pairs beyond the border, times the condition of the system.
    np.testing.assert_allclose(by_covariances.weights, weights, atol=0.12)


def test_model_of_a_drawn_gmrf_is_recovered():
    # Six standard errors: false alarm 2e-9 per number, 6 numbers.
    truth = CausalAR([0.1, 0.3, 0.25, 0.3], sigma=2.0, mean=-1.0, support="nshp")
    fit = CausalAR.fit(truth.gmrf((256, 256)).sample(rng=3, burn_in=32), support="nshp")
    model = fit.model
    assert (np.abs(model.weights - truth.weights) < 6 * fit.weight_errors).all()
    assert abs(model.sigma - 2.0) < 6 * fit.standard_errors["sigma"]
    assert abs(model.mean + 1.0) < 6 * fit.mean_error


def test_likelihood_is_that_of_the_field_s_innovations_where_the_neighbourhood_is_whole():
    image = recursion(QUARTER_PLANE, [-0.3, 0.7, 0.5], (30, 40), seed=21, mean=4.0)
    for method in ("least_squares", "yule_walker"):
        fit = CausalAR.fit(image, support="nshp", radius=2, method=method)
        model = fit.model
        white = model.gmrf(image.shape).whiten(image)[2:, 2:-2]
        loglik = -0.5 * white.size * np.log(2 * np.pi * model.sigma**2) - 0.5 * (white**2).sum()
        assert fit.loglik == pytest.approx(loglik, rel=1e-10)


def test_standard_errors_are_those_of_repeated_draws():
    fits = [CausalAR.fit(recursion(QUARTER_PLANE, [-0.2, 0.5, 0.4], (24, 24), seed, margin=12)) for seed in range(120)]
    scores = np.array([(fit.model.weights - [-0.2, 0.5, 0.4]) / fit.weight_errors for fit in fits])
    # The mean square of the scores has standard deviation sqrt(2/120) at most; false alarm below 1e-6 at 5 of them.
    assert abs(np.mean(scores**2) - 1) < 5 * np.sqrt(2 / 120)
    assert (np.abs(scores.mean(axis=0)) < 5 * scores.std(axis=0) / np.sqrt(120) + 0.2).all()


@pytest.mark.parametrize(
    ("name", "radius", "nats"),
    [
        ("brick", 0, -0.8622),
        ("brick", 1, -3.0883),
        ("brick", 2, -3.1777),
        ("grass", 0, -0.4694),
        ("grass", 1, -1.0623),
        ("grass", 2, -1.0946),
    ],
)
def test_reference_values_of_sample_images(name, radius, nats):
    fit = CausalAR.fit(getattr(data, name)() / 255, support="nshp", radius=radius)
    model = fit.model
    assert -fit.loglik_per_pixel == pytest.approx(nats, abs=0.003)
    assert model.sigma == pytest.approx(np.exp(nats) / np.sqrt(2 * np.pi * np.e), rel=0.003)


def test_equations_are_the_pixels_with_their_whole_neighbourhood_on_the_image():
    image = np.random.default_rng(0).standard_normal((20, 30))
    assert CausalAR.fit(image, order=(1, 1)).n_observed == 19 * 29
    assert CausalAR.fit(image, support="nshp", radius=2).n_observed == 18 * 26


@pytest.mark.parametrize("method", ["least_squares", "yule_walker"])
def test_a_large_mean_costs_no_digits(method):
    image = np.random.default_rng(1).integers(-500, 500, (40, 40)) / 256
    plain = CausalAR.fit(image, support="nshp", method=method).model
    lifted = CausalAR.fit(image + 1e6, support="nshp", method=method).model
    np.testing.assert_allclose(lifted.weights, plain.weights, rtol=1e-10, atol=1e-13)
    assert lifted.sigma == pytest.approx(plain.sigma, rel=1e-12)
    assert lifted.mean - 1e6 == pytest.approx(plain.mean, abs=1e-9)


@pytest.mark.parametrize("method", ["least_squares", "yule_walker"])
def test_one_outlying_row_as_first_guess_of_the_mean_costs_few_digits(method):
    image = np.random.default_rng(1).standard_normal((41, 40))
    image[20] += 1e4
    model = CausalAR.fit(image, support=[(-1, 0)], method=method).model
    shifted = CausalAR.fit(image - image.mean(), support=[(-1, 0)], method=method).model
    np.testing.assert_allclose(model.weights, shifted.weights, rtol=1e-11)


@pytest.mark.parametrize("method", ["least_squares", "yule_walker"])
def test_transposed_image_with_transposed_support_gives_the_same_weights(method):
    # A causal model is not invariant under flips: they turn its past into its future.
    image = recursion(QUARTER_PLANE, [-0.3, 0.7, 0.5], (30, 40), seed=5)
    missing = np.random.default_rng(6).random(image.shape) < 0.01
    offsets = [(-1, -2), (-1, 0), (0, -1), (-2, 0)]
    one = CausalAR.fit(image, support=offsets, method=method, mask=missing)
    other = CausalAR.fit(image.T, support=[(b, a) for a, b in offsets], method=method, mask=missing.T)
    np.testing.assert_allclose(other.model.weights, one.model.weights, rtol=1e-10)
    assert other.model.sigma == pytest.approx(one.model.sigma, rel=1e-12)
    assert other.n_observed == one.n_observed


@pytest.mark.parametrize("method", ["least_squares", "yule_walker"])
def test_scaled_image_scales_sigma_and_mean_only(method):
    image = recursion(QUARTER_PLANE, [-0.3, 0.7, 0.5], (20, 20), seed=7)
    one, other = (CausalAR.fit(scale * image, method=method) for scale in (1.0, 8.0))
    np.testing.assert_array_equal(other.model.weights, one.model.weights)
    assert (other.model.sigma, other.model.mean) == (8 * one.model.sigma, 8 * one.model.mean)
    assert other.loglik == pytest.approx(one.loglik - one.n_observed * np.log(8))


@pytest.mark.parametrize("method", ["least_squares", "yule_walker"])
def test_result_is_bitwise_the_same_for_any_number_of_threads(threads, method):
    rng = np.random.default_rng(2)
    image = rng.standard_normal((1100, 300))
    for mask in (None, rng.random(image.shape) < 0.01):
        fits = []
        for count in (1, 2, 5):
            threads(count)
            fits.append(CausalAR.fit(image, support="nshp", radius=2, method=method, mask=mask))
        for fit in fits[1:]:
            assert fit.model.weights.tobytes() == fits[0].model.weights.tobytes()
            assert (fit.parameters, fit.loglik) == (fits[0].parameters, fits[0].loglik)


def test_blocks_of_rows_leave_no_seam():
    image = np.random.default_rng(8).standard_normal((70, 3000))
    model = CausalAR.fit(image, support="nshp").model
    Z = np.stack([image[1 + a : 70 + a, 1 + b : 2999 + b].ravel() for a, b in HALF_PLANE[1]], axis=1)
    X = np.column_stack([np.ones(len(Z)), Z])
    solution = np.linalg.lstsq(X, image[1:, 1:-1].ravel(), rcond=None)[0]
    np.testing.assert_allclose(model.weights, solution[1:], atol=1e-12)


@pytest.mark.parametrize("method", ["least_squares", "yule_walker"])
def test_values_under_the_mask_do_not_matter_and_true_means_missing(method):
    rng = np.random.default_rng(9)
    image, missing = rng.standard_normal((25, 25)), rng.random((25, 25)) < 0.03
    model = CausalAR.fit(image, method=method, mask=missing).model
    for value in (np.nan, np.inf, 1e300):
        changed = np.where(missing, value, image)
        assert CausalAR.fit(changed, method=method, mask=missing).model.weights.tobytes() == model.weights.tobytes()
    holes = np.where(missing, np.nan, image)
    assert CausalAR.fit(holes, method=method, mask="nan").model.weights.tobytes() == model.weights.tobytes()
    masked = np.ma.masked_array(image, missing)
    assert CausalAR.fit(masked, method=method).model.weights.tobytes() == model.weights.tobytes()
    half = missing & (np.arange(25) < 12)
    both = CausalAR.fit(np.ma.masked_array(image, half), method=method, mask=missing & ~half)
    assert both.model.weights.tobytes() == model.weights.tobytes()


def test_an_empty_mask_is_no_mask():
    image = np.random.default_rng(10).standard_normal((12, 12))
    empty = np.zeros(image.shape, dtype=bool)
    assert CausalAR.fit(image, mask=empty).model.weights.tobytes() == CausalAR.fit(image).model.weights.tobytes()


@pytest.mark.parametrize("method", ["least_squares", "yule_walker"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "<f4", ">f4", ">f8", "<u8"])
def test_any_real_dtype_and_layout_gives_the_fit_of_the_float64_image(method, dtype):
    image = np.random.default_rng(11).integers(0, 100, (30, 31))
    expected = CausalAR.fit(image.astype(np.float64), method=method).model.weights.tobytes()
    given_image = image.astype(dtype)
    assert CausalAR.fit(given_image, method=method).model.weights.tobytes() == expected
    assert CausalAR.fit(np.asfortranarray(given_image), method=method).model.weights.tobytes() == expected
    assert CausalAR.fit(np.repeat(given_image, 2, axis=1)[:, ::2], method=method).model.weights.tobytes() == expected


def test_memory_map_is_fitted(tmp_path):
    image = np.random.default_rng(12).standard_normal((40, 50)).astype(np.float32)
    np.save(tmp_path / "image.npy", image)
    mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
    assert CausalAR.fit(mapped).model.weights.tobytes() == CausalAR.fit(image).model.weights.tobytes()


@pytest.mark.parametrize("method", ["least_squares", "yule_walker"])
def test_nothing_passed_in_is_changed(method):
    image = np.random.default_rng(13).standard_normal((20, 20))
    image[3, 4] = np.nan
    mask, offsets = np.isnan(image), np.array(QUARTER_PLANE)
    copies = image.copy(), mask.copy(), offsets.copy()
    CausalAR.fit(image, support=offsets, method=method, mask=mask)
    for array, copy in zip((image, mask, offsets), copies, strict=True):
        np.testing.assert_array_equal(array, copy)
        assert array.flags.writeable


def test_read_only_image_and_mask_are_accepted():
    image, mask = np.random.default_rng(14).standard_normal((20, 20)), np.zeros((20, 20), dtype=bool)
    mask[5, 5] = True
    expected = CausalAR.fit(image, mask=mask).model.weights
    image.flags.writeable = mask.flags.writeable = False
    np.testing.assert_array_equal(CausalAR.fit(image, mask=mask).model.weights, expected)


def test_white_model_is_mean_and_standard_deviation():
    image = np.random.default_rng(15).standard_normal((9, 9))
    fit = CausalAR.fit(image, support="nshp", radius=0)
    model = fit.model
    assert (model.mean, model.sigma) == (pytest.approx(image.mean()), pytest.approx(image.std()))
    assert fit.mean_error == pytest.approx(image.std(ddof=1) / 9)


def test_condition_number_is_that_of_the_neighbours_correlations():
    image = recursion([(0, -1)], [0.9], (30, 30), seed=16)
    Z, _ = design(image, QUARTER_PLANE)
    assert CausalAR.fit(image).condition_number == pytest.approx(np.linalg.cond(np.corrcoef(Z.T)))


def test_summary_holds_every_estimate_and_its_error():
    fit = CausalAR.fit(np.random.default_rng(17).standard_normal((20, 20)))
    text = fit.summary()
    for name, value in fit.parameters.items():
        assert f"{name:>10}{value:14.6g}{fit.standard_errors[name]:14.3g}" in text
    assert "(-1, -1)" in text
    assert "361 equations" in text
    assert f"{fit.loglik_per_pixel:.6f} nats" in text


def test_estimates_and_errors_go_by_the_offset_they_belong_to():
    offsets = [(-1, 2), (0, -1)]
    fit = CausalAR.fit(np.random.default_rng(19).standard_normal((20, 25)), support=offsets)
    model = fit.model
    assert fit.parameters == {
        "(-1, 2)": model.weights[0],
        "(0, -1)": model.weights[1],
        "sigma": model.sigma,
        "mean": model.mean,
    }
    assert list(fit.standard_errors) == list(fit.parameters)
    assert fit.standard_errors["(0, -1)"] == fit.weight_errors[1]
    assert fit.standard_errors["mean"] == fit.mean_error
    assert fit.n_parameters == len(fit.parameters)


def test_field_of_a_fit_is_that_of_its_model_on_the_image_or_elsewhere():
    fit = CausalAR.fit(recursion(QUARTER_PLANE, [-0.3, 0.7, 0.5], (20, 25), seed=20, mean=4.0))
    for shape, field in (((20, 25), fit.gmrf()), ((6, 7), fit.gmrf((6, 7)))):
        assert field.shape == shape
        np.testing.assert_array_equal(field.sample(rng=0), fit.model.gmrf(shape).sample(rng=0))


def test_fit_survives_pickling():
    fit = CausalAR.fit(np.random.default_rng(18).standard_normal((20, 20)))
    copy = pickle.loads(pickle.dumps(fit))
    np.testing.assert_array_equal(copy.model.weights, fit.model.weights)
    assert copy.loglik == fit.loglik
