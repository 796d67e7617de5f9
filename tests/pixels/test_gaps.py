"""Templates in images with missing pixels, against the dense covariance of the observed ones."""

import numpy as np
import pytest

from sparsegmrf import CAR, GMRF, Matern, SymmetricStencil, condition, constrain
from sparsegmrf.autoregression import CausalAR
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.fields import IntrinsicGMRF
from sparsegmrf.pixels import matched_filter

SHAPE = (9, 11)
FIELDS = {
    "car": lambda: CAR(0.2).gmrf(SHAPE, mean=0.3),
    "matern": lambda: Matern(4.0, 2.0).gmrf(SHAPE),
    "per pixel": lambda: GMRF.from_precision(
        SymmetricStencil(
            [(0, 0), (0, 1), (1, -2), (2, 0)],
            [4.0 + np.random.default_rng(0).random(SHAPE), -np.random.default_rng(1).random(SHAPE), 0.6, -0.5],
            SHAPE,
        )
    ),
    "causal": lambda: CausalAR([0.5, 0.3], 0.7, 1.0, support=[(-1, 0), (0, -1)]).gmrf(SHAPE),
}


def mask_of(kind, shape=SHAPE, seed=0):
    missing = np.zeros(shape, dtype=bool)
    if kind == "columns":
        missing[:, 4:6] = missing[:, 8] = True
    elif kind == "part of a column":
        missing[2:7, 3] = True
    elif kind == "row":
        missing[4] = True
    elif kind == "corner":
        missing[:3, :2] = True
    elif kind == "random":
        missing = np.random.default_rng(seed).random(shape) < 0.4
    elif kind == "one observed":
        missing[...] = True
        missing[5, 6] = False
    return missing


MASKS = ["columns", "part of a column", "row", "corner", "random", "one observed"]


def placed(t, pixel, shape):
    result = np.zeros(shape)
    for a in range(t.shape[0]):
        for b in range(t.shape[1]):
            y, x = pixel[0] + a - t.shape[0] // 2, pixel[1] + b - t.shape[1] // 2
            if 0 <= y < shape[0] and 0 <= x < shape[1]:
                result[y, x] = t[a, b]
    return result


def oracle(Q, residual, missing, t):
    """``t_o^T S_oo^-1 r_o / t_o^T S_oo^-1 t_o`` and its standard error, by the covariance of the observed pixels."""
    seen = ~missing.ravel()
    S = np.linalg.inv(Q)[np.ix_(seen, seen)]
    amplitude, error = np.full(missing.shape, np.nan), np.full(missing.shape, np.inf)
    for pixel in np.ndindex(missing.shape):
        t_o = placed(t, pixel, missing.shape).ravel()[seen]
        if t_o.any():
            solved = np.linalg.solve(S, t_o)
            amplitude[pixel], error[pixel] = solved @ residual.ravel()[seen] / (solved @ t_o), (solved @ t_o) ** -0.5
    return amplitude, error


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("gaps", MASKS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 2)])
def test_a_template_on_observed_pixels_is_dense_generalized_least_squares(kind, gaps, shape):
    field, missing = FIELDS[kind](), mask_of(gaps)
    image, t = field.sample(rng=1), np.random.default_rng(3).uniform(0.5, 1.5, shape)
    amplitude, error = oracle(field.tocsr().toarray(), image - field.mean, missing, t)
    maps = matched_filter(np.where(missing, np.nan, image), t, field, mask="nan")
    np.testing.assert_allclose(maps.amplitude, amplitude, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(maps.standard_error, error, rtol=1e-9)
    np.testing.assert_allclose(maps.signal_to_noise, amplitude / error, rtol=1e-9, atol=1e-10)
    # What stands at missing pixels is not read, and a masked array is its mask.
    again = matched_filter(np.ma.array(np.where(missing, 99.0, image), mask=missing), t, field)
    np.testing.assert_array_equal(maps.amplitude, again.amplitude)


def test_wings_that_are_all_that_is_observed_keep_their_digits():
    field, missing = FIELDS["car"](), mask_of("one observed")
    offsets = np.mgrid[-3:4, -3:4]
    t = np.exp(-2.0 * (offsets**2).sum(axis=0))
    image = field.sample(rng=4)
    amplitude, error = oracle(field.tocsr().toarray(), image - field.mean, missing, t)
    maps = matched_filter(image, t, field, mask=missing)
    assert error[np.isfinite(error)].max() > 1e7 * error.min()
    np.testing.assert_allclose(maps.standard_error, error, rtol=1e-9)
    np.testing.assert_allclose(maps.amplitude, amplitude, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("bad", [1, 2, 3])
def test_a_star_behind_bad_columns_keeps_its_flux_and_loses_certainty(bad):
    field = Matern(8.0, 5.0).gmrf((41, 41))
    offsets = np.mgrid[-4:5, -4:5]
    t = np.exp(-0.5 * (offsets**2).sum(axis=0) / 1.5**2)
    star = 30.0 * placed(t, (20, 20), (41, 41))
    missing = np.zeros((41, 41), dtype=bool)
    missing[:, 20 - bad // 2 : 20 - bad // 2 + bad] = True
    with_star = matched_filter(np.where(missing, np.nan, star), t, field, mask="nan")
    assert with_star.amplitude[20, 20] == pytest.approx(30.0, rel=1e-10)
    complete = matched_filter(star, t, field)
    # Filling first and then filtering finds less, by the ratio of the variances.
    filled = condition(field, star, mask=missing, noise_variance=0.0).mean
    part = matched_filter(filled, t, field).amplitude[20, 20] / 30.0
    assert part == pytest.approx((complete.standard_error / with_star.standard_error)[20, 20] ** 2, rel=1e-8)
    assert part < (0.95, 0.75, 0.45)[bad - 1]
    far = np.abs(np.arange(41) - 20) > 8
    np.testing.assert_array_equal(with_star.standard_error[:, far], complete.standard_error[:, far])


def test_flips_transposes_and_units_change_nothing_else():
    planes = [4.0 + np.random.default_rng(0).random(SHAPE), -np.random.default_rng(1).random(SHAPE)]
    offsets = [(0, 0), (0, 1), (1, 0)]
    image, missing = np.random.default_rng(2).normal(size=SHAPE), mask_of("random", seed=5)
    t = np.random.default_rng(3).uniform(0.5, 1.5, (3, 5))
    Q = SymmetricStencil(offsets, [*planes, -0.7], SHAPE)
    maps = matched_filter(image, t, GMRF.from_precision(Q), mask=missing)
    turned = SymmetricStencil(offsets, [planes[0].T, -0.7, planes[1].T], SHAPE[::-1])
    found = matched_filter(image.T, t.T, GMRF.from_precision(turned), mask=missing.T)
    np.testing.assert_allclose(found.amplitude, maps.amplitude.T, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.standard_error, maps.standard_error.T, rtol=1e-11)
    upside_down = SymmetricStencil(offsets, [planes[0][::-1], planes[1][::-1], -0.7], SHAPE)
    found = matched_filter(image[::-1], t[::-1], GMRF.from_precision(upside_down), mask=missing[::-1])
    np.testing.assert_allclose(found.amplitude, maps.amplitude[::-1], rtol=1e-10, atol=1e-12)
    unit = GMRF.from_precision(Q * 1e-8, mean=7.0)  # values are 10^4 times as large, and stand on a level
    found = matched_filter(1e4 * image + 7.0, t, unit, mask=missing)
    np.testing.assert_allclose(found.amplitude, 1e4 * maps.amplitude, rtol=1e-8, atol=1e-6)
    np.testing.assert_allclose(found.standard_error, 1e4 * maps.standard_error, rtol=1e-10)


def test_an_intrinsic_field_tells_nothing_of_one_pixel_alone():
    membrane = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], SHAPE, boundary="neumann")
    field, missing = IntrinsicGMRF(membrane), mask_of("random", seed=1)
    image = np.random.default_rng(2).normal(size=SHAPE)
    Q, seen, t = membrane.tocsr().toarray(), ~missing.ravel(), np.ones((2, 2))
    P = Q[np.ix_(seen, seen)] - Q[np.ix_(seen, ~seen)] @ np.linalg.solve(
        Q[np.ix_(~seen, ~seen)], Q[np.ix_(~seen, seen)]
    )
    maps = matched_filter(image, t, field, mask=missing)
    for pixel in np.ndindex(SHAPE):
        t_o = placed(t, pixel, SHAPE).ravel()[seen]
        norm = t_o @ P @ t_o
        if t_o.any():
            assert maps.amplitude[pixel] == pytest.approx(t_o @ P @ image.ravel()[seen] / norm, rel=1e-9, abs=1e-10)
            assert maps.standard_error[pixel] == pytest.approx(norm**-0.5, rel=1e-9)
    alone = matched_filter(image, t, field, mask=mask_of("one observed"))
    assert np.isnan(alone.amplitude).all()
    assert np.isinf(alone.standard_error).all()


def test_a_long_bad_column_under_a_large_template_is_feasible():
    field = CAR(0.24).gmrf((1000, 60))
    missing = np.zeros((1000, 60), dtype=bool)
    missing[:, 30] = True
    offsets = np.mgrid[-7:8, -7:8]
    t = np.exp(-0.5 * (offsets**2).sum(axis=0) / 2.0**2)
    maps = matched_filter(field.sample(rng=0), t, field, mask=missing)
    # Far from the ends a part of the image says the same.
    part = matched_filter(np.zeros((101, 60)), t, CAR(0.24).gmrf((101, 60)), mask=missing[:101])
    np.testing.assert_allclose(maps.standard_error[500], part.standard_error[50], rtol=1e-6)
    assert (maps.standard_error[500, 24:37] > maps.standard_error[500, 10]).all()


def test_too_many_covariances_are_refused_beforehand(monkeypatch):
    monkeypatch.setattr("sparsegmrf._memory.available_bytes", lambda: 10_000)
    with pytest.raises(TooLargeError, match="covariances of missing pixels"):
        matched_filter(np.zeros(SHAPE), np.ones((5, 5)), FIELDS["car"](), mask=mask_of("random"))


@pytest.mark.parametrize(
    ("field", "image", "mask", "message"),
    [
        (FIELDS["car"](), np.zeros(SHAPE), np.ones(SHAPE, dtype=bool), "^mask must leave a pixel observed"),
        (FIELDS["car"](), np.full(SHAPE, np.nan), None, 'pass mask="nan"'),
        (FIELDS["car"](), np.zeros(SHAPE), np.zeros((2, 2), dtype=bool), "mask must have the shape"),
        (constrain(FIELDS["car"](), np.ones((1, 99)), [0.0]), np.zeros(SHAPE), mask_of("row"), "constraints"),
    ],
)
def test_bad_gaps_are_named(field, image, mask, message):
    with pytest.raises(ArgumentError, match=message):
        matched_filter(image, np.ones((3, 3)), field, mask=mask)
