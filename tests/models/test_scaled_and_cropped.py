"""A field times a number, and a field on a window, for every model."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import CAR, Channels, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.errors import ArgumentError
from tests.models.catalogue import ANGLE, BARRIER, COMPOSED, FRACTIONAL, INTRINSIC, PROPER, RANGE, RATIO, SHAPE, SIGMA

ALL = {**PROPER, **FRACTIONAL, **INTRINSIC, **COMPOSED}
WIDE_SHAPE = (20, 25)
_RNG = np.random.default_rng(1)
_RANGE, _SIGMA, _RATIO, _ANGLE = (
    _RNG.uniform(low, high, WIDE_SHAPE) for low, high in ((3.0, 9.0), (1.0, 2.0), (0.5, 4.0), (0.0, 3.0))
)
_MASK = _RNG.uniform(size=WIDE_SHAPE) < 0.1
MAPS = {
    "range": Matern(_RANGE),
    "range and number": Matern(_RANGE, 2.0, 2, boundary="dirichlet"),
    "sigma": Matern(5.0, _SIGMA, anisotropy=(2.0, 0.3)),
    "anisotropy": Matern(5.0, anisotropy=(_RATIO, _ANGLE)),
    "ratio": Matern(5.0, anisotropy=(_RATIO, 0.3), boundary="torus"),
    "all, fractional": Matern(_RANGE, _SIGMA, 0.7, anisotropy=(_RATIO, _ANGLE), barrier=_MASK),
    "barrier": TensionSpline(0.3, barrier=_MASK),
    "spline anisotropy": TensionSpline(0.3, anisotropy=(2.0, _ANGLE), proper=0.1),
    "mask": Intrinsic(1, 2.0, mask=_MASK),
    "mask, order 2": Intrinsic(2, 2.0, mask=_RNG.uniform(size=WIDE_SHAPE) < 0.02),
    "sum": Sum([CAR(0.2), Matern(_RANGE)], labels=["a", "b"]),
    "channels": Channels(Matern(_RANGE), [[1.0, 0.5], [0.5, 3.0]]),
}


def every(models):
    return pytest.mark.parametrize("model", list(models.values()), ids=list(models))


def dense(model, shape=SHAPE):
    return model.stencil(shape).tocsr().toarray()


@every(ALL)
@pytest.mark.parametrize("factor", [2.5, 1e-3])
def test_scaled_model_has_the_precision_over_the_square_of_the_factor(model, factor):
    expected = dense(model) / factor**2
    assert_allclose(dense(model.scaled(factor)), expected, rtol=1e-12, atol=1e-13 * np.abs(expected).max())
    assert type(model.scaled(factor)) is type(model)


@every(ALL)
@pytest.mark.parametrize("exponent", [-300, 300])
def test_scaling_by_a_power_of_two_is_exact_and_comes_back_to_the_same_model(model, exponent):
    factor = 2.0**exponent
    scaled = model.scaled(factor)
    assert np.array_equal(dense(scaled), dense(model) / factor / factor)
    assert scaled.scaled(1.0 / factor).parameters == model.parameters
    assert np.array_equal(dense(scaled.scaled(1.0 / factor)), dense(model))


@pytest.mark.parametrize("model", [CAR(0.2), Matern(5.0, 2.0), Matern(5.0, SIGMA)], ids=["tau", "sigma", "map"])
def test_draws_of_a_scaled_model_are_the_draws_times_the_factor(model):
    draw = model.gmrf(SHAPE).sample(rng=0)
    assert_allclose(model.scaled(3.0).gmrf(SHAPE).sample(rng=0), 3.0 * draw, rtol=1e-10, atol=1e-12)


@every({name: ALL[name] for name in ("CAR", "Matern maps", "Intrinsic 1", "Sum", "Channels")})
@pytest.mark.parametrize("factor", [0.0, -1.0, np.nan, np.inf, "2", [1.0, 2.0]])
def test_factors_that_are_no_positive_number_are_refused(model, factor):
    with pytest.raises(ArgumentError, match=r"^factor must"):
        model.scaled(factor)


@every({name: ALL[name] for name in ("CAR", "SAR", "Matern maps", "Intrinsic 1", "TensionSpline", "Sum", "Channels")})
@pytest.mark.parametrize("factor", [1e-320, 1e308])
def test_factors_that_overflow_a_parameter_are_refused(model, factor):
    with pytest.raises(ArgumentError, match=r"^factor must leave .* within the numbers of double precision"):
        model.scaled(factor).scaled(factor).scaled(factor)


@every(MAPS)
@pytest.mark.parametrize("window", [(slice(3, 17), slice(5, 24)), (slice(None, -4), slice(-20, None))])
def test_cropped_model_has_the_coefficients_of_the_whole_in_its_interior(model, window):
    rows, columns = window
    whole = model.stencil(WIDE_SHAPE)
    shape = np.empty(WIDE_SHAPE)[rows, columns].shape
    part = model.cropped(rows, columns).stencil(shape)
    place = {tuple(offset): k for k, offset in enumerate(part.offsets.tolist())}
    at_row, at_column = (range(side)[each].start for side, each in zip(WIDE_SHAPE, window, strict=True))
    margin = max(part.reach)
    inner = slice(margin, shape[0] - margin), slice(margin, shape[1] - margin)
    checked = 0
    for k, offset in enumerate(whole.offsets.tolist()):
        expected = whole.plane(k)[at_row : at_row + shape[0], at_column : at_column + shape[1]][inner]
        # An offset may be that of pixels off the window only.
        found = part.plane(place[tuple(offset)])[inner] if tuple(offset) in place else np.zeros_like(expected)
        assert_allclose(found, expected, rtol=1e-11, atol=1e-12 * np.abs(whole.plane(0)).max())
        checked += expected.size
    assert checked > 0


@every({name: model for name, model in ALL.items() if name in ("CAR", "SAR rows", "Matern", "TensionSpline")})
def test_cropped_model_without_maps_is_the_model_itself(model):
    for each in (model, Sum([model, CAR(0.1)]), Channels(model, np.eye(2))):
        assert each.cropped(slice(2, 4), slice(None)) is each


def test_cropped_maps_are_those_of_the_window_and_the_model_is_left_as_it_was():
    model = Matern(RANGE, SIGMA, 2, anisotropy=(RATIO, ANGLE), barrier=BARRIER)
    cropped = model.cropped(slice(1, 5), slice(2, 6))
    for name, whole in (("range", RANGE), ("sigma", SIGMA), ("barrier", BARRIER)):
        assert np.array_equal(getattr(cropped, name), whole[1:5, 2:6])
        assert np.array_equal(getattr(model, name), whole)
    for found, whole in zip(cropped.anisotropy, (RATIO, ANGLE), strict=True):
        assert np.array_equal(found, whole[1:5, 2:6])
    with pytest.raises(ValueError, match="read-only"):
        cropped.range[0, 0] = 1.0


@pytest.mark.parametrize(
    ("rows", "columns", "match"),
    [
        (3, slice(None), r"^rows must be a slice such as"),
        (slice(0, 4, 2), slice(None), r"^rows must be a slice of neighbouring pixels"),
        (slice(None), slice(0, 9), r"^columns must be a window of at least one of the 7"),
        (slice(4, 4), slice(None), r"^rows must be a window of at least one of the 6"),
        (slice(-9, None), slice(None), r"^rows must be a window"),
        (slice(0.5, 3), slice(None), r"^rows must be a slice between integers"),
    ],
)
def test_windows_that_are_none_are_refused(rows, columns, match):
    with pytest.raises(ArgumentError, match=match):
        Matern(RANGE).cropped(rows, columns)
