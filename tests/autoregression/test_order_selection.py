"""Supports compared on the same equations."""

import numpy as np
import pytest

from sparsegmrf.autoregression import CausalAR, select_order
from tests.autoregression.explicit import HALF_PLANE, QUARTER_PLANE, design, recursion


@pytest.fixture(scope="module")
def image():
    return recursion(QUARTER_PLANE, [-0.4, 0.6, 0.6], (64, 64), seed=0)


def test_true_support_is_chosen_by_bic(image):
    # Superfluous weights gain about a chi-square each, against log(3600) = 8.2 per weight; missing ones lose hundreds.
    selection = select_order(image)
    assert selection.best.support == "quarter plane 1 x 1"
    assert selection.best is selection.fits[0]
    assert (np.abs(selection.best.model.weights - [-0.4, 0.6, 0.6]) < 6 * selection.best.weight_errors).all()


@pytest.mark.parametrize("criterion", ["bic", "aic"])
def test_fits_are_sorted_by_the_criterion(image, criterion):
    fits = select_order(image, criterion=criterion).fits
    assert len(fits) == 7
    values = [getattr(fit, criterion) for fit in fits]
    assert values == sorted(values)


def test_every_support_is_fitted_on_the_equations_of_the_union(image):
    missing = np.random.default_rng(1).random(image.shape) < 0.01
    supports = [("qp", (1, 1)), ("nshp", 2), [(0, -1)]]
    selection = select_order(image, supports, mask=missing)
    Z, y = design(image, HALF_PLANE[2], missing)
    assert selection.n_observed == len(y)
    for fit in selection.fits:
        columns = [HALF_PLANE[2].index(tuple(offset)) for offset in fit.model.offsets.tolist()]
        X = np.column_stack([np.ones(len(y)), Z[:, columns]])
        solution, squares, *_ = np.linalg.lstsq(X, y, rcond=None)
        np.testing.assert_allclose(fit.model.weights, solution[1:], atol=1e-10)
        loglik = -0.5 * len(y) * (np.log(2 * np.pi * squares[0] / len(y)) + 1)
        assert fit.loglik_per_pixel == pytest.approx(loglik / len(y), rel=1e-10)
        assert fit.bic == pytest.approx((len(columns) + 2) * np.log(len(y)) - 2 * loglik, rel=1e-10)
        assert fit.aic == pytest.approx((len(columns) + 2) * 2 - 2 * loglik, rel=1e-10)


def test_a_single_support_is_the_plain_fit(image):
    best = select_order(image, [("nshp", 1)]).best
    np.testing.assert_array_equal(best.model.weights, CausalAR.fit(image, support="nshp").model.weights)


def test_larger_support_never_fits_worse(image):
    fits = select_order(image, [("nshp", r) for r in range(4)]).fits
    nats = [fit.loglik_per_pixel for fit in sorted(fits, key=lambda fit: fit.n_parameters)]
    assert nats == sorted(nats)


def test_summary_names_every_support_and_the_best(image):
    text = select_order(image).summary()
    assert "half plane 3" in text
    assert text.splitlines()[-1].endswith("quarter plane 1 x 1")
