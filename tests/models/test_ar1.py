"""AR1xAR1: its covariance and all of its factor are the formula's, on sides of any length."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import factorize
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.models import AR1xAR1
from tests import reference

SHAPES = [(1, 1), (1, 6), (5, 1), (2, 3), (6, 7)]
MODELS = [AR1xAR1(0.6, 0.85, 1.5), AR1xAR1(-0.4, 0.7), AR1xAR1(0.0, -0.9, 0.2)]


def covariance(model, shape):
    """``sigma^2 rho_row^|i - k| rho_column^|j - l|``."""
    sides = [
        float(rho) ** np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
        for rho, side in zip((model.rho_row, model.rho_column), shape, strict=True)
    ]
    return model.sigma**2 * np.kron(*sides)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_field_has_the_covariance_of_the_formula_by_every_method(model, shape):
    C = covariance(model, shape)
    n = len(C)
    for method in ("auto", "triangular", "dissection", "dense"):
        field = model.gmrf(shape, method=method)
        assert field.method == ("triangular" if method == "auto" else method)
        columns = field.factor.solve(np.eye(n).reshape(n, *shape)).reshape(n, n)
        assert_allclose(columns, C, rtol=0.0, atol=1e-12)
        assert field.logdet == pytest.approx(-np.linalg.slogdet(C)[1], rel=1e-12, abs=1e-12)
        assert_allclose(field.marginal_variance(), np.full(shape, model.sigma**2), rtol=1e-12)
        assert_allclose(field.covariance_with((0, shape[1] - 1)).ravel(), C[shape[1] - 1], rtol=0.0, atol=1e-12)
    assert_allclose(model.stencil(shape).tocsr().toarray() @ C, np.eye(n), rtol=0.0, atol=1e-12)


def test_covariances_in_closed_form_are_those_of_any_offsets():
    model, shape = MODELS[0], (6, 7)
    form = model.gmrf(shape).given.with_offsets([(0, 0), (0, 3), (2, -1)])
    found = factorize(form).selected_inverse()
    expected = reference.planes(covariance(model, shape), found.offsets.tolist(), shape)
    for k in range(3):
        assert_allclose(found.plane(k), expected[k].reshape(shape), rtol=0.0, atol=1e-13)


def test_window_of_the_field_is_the_field_on_the_window():
    model = MODELS[0]
    assert model.cropped(slice(1, 4), slice(2, 6)) is model
    inner = np.ix_(range(1, 4), range(2, 6))
    window = covariance(model, (6, 7)).reshape(6, 7, 6, 7)[inner][:, :, 1:4, 2:6].reshape(12, 12)
    assert_allclose(np.linalg.inv(model.stencil((3, 4)).tocsr().toarray()), window, rtol=0.0, atol=1e-12)


def test_correlations_are_products_of_powers():
    lags = [(0, 0), (0, 1), (1, 0), (2, -3), (5, 4)]
    model = AR1xAR1(0.8, -0.5, 3.0)
    expected = [0.8 ** abs(di) * (-0.5) ** abs(dj) for di, dj in lags]
    assert_allclose(model.correlation(lags), expected, rtol=0.0, atol=1e-8)
    assert_allclose(model.correlation(lags, pixel=(3, 3), shape=(10, 10)), expected, rtol=0.0, atol=1e-12)
    assert_allclose(model.variogram(lags[1:]), 9.0 * (1.0 - np.array(expected[1:])), rtol=0.0, atol=1e-7)


def test_on_a_torus_the_covariance_goes_around():
    # With N pixels around, rho^h + rho^(N - h) over 1 - rho^N.
    found = AR1xAR1(0.6, 0.5, 2.0, boundary="torus").gmrf((5, 4), method="spectral").covariance_with((0, 0))
    sides = [(rho ** np.arange(n) + rho ** (n - np.arange(n))) / (1.0 - rho**n) for rho, n in ((0.6, 5.0), (0.5, 4.0))]
    assert_allclose(found, 4.0 * np.outer(*sides), rtol=1e-12)


def test_near_its_ends_digits_are_kept():
    model, shape = AR1xAR1(1.0 - 1e-9, -1.0 + 1e-7, 2.0), (30, 40)
    expected = -29 * 40 * np.log(2e-9 - 1e-18) - 30 * 39 * np.log(2e-7 - 1e-14) - 2400.0 * np.log(2.0)
    assert model.gmrf(shape).logdet == pytest.approx(expected, rel=1e-9)
    rough = model.gmrf(shape).sample(rng=0)
    assert np.abs(np.diff(rough, axis=0)).max() < 1e-3
    assert np.abs(rough[:, 1:] + rough[:, :-1]).max() < 1e-2


def test_phrases_at_the_ends_are_what_draws_show():
    assert "rows of the field are alike" in AR1xAR1().end_of("rho_row", high=True)
    assert "columns of the field alternate in sign" in AR1xAR1().end_of("rho_column", high=False)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: AR1xAR1(np.nan), ArgumentError, r"^rho_row must be one finite number"),
        (lambda: AR1xAR1(0.5, "x"), ArgumentError, r"^rho_column must"),
        (lambda: AR1xAR1(sigma=0.0), ArgumentError, r"^sigma must be positive"),
        (lambda: AR1xAR1(boundary="neumann"), ArgumentError, r"^boundary must be one of"),
        (lambda: AR1xAR1(1.0).gmrf((4, 5)), ArgumentError, r"^rho_row must lie in \(-1, 1\)"),
        (lambda: AR1xAR1(rho_column=-1.5).stencil((4, 5)), ArgumentError, r"^rho_column must lie in \(-1, 1\)"),
        (lambda: AR1xAR1().gmrf((4, 5), method="spectral").logdet, (ArgumentError, StencilError), "spectral|diagonal"),
    ],
)
def test_what_it_cannot_be_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
