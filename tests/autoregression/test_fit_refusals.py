"""What a fit refuses, by name, with the number and the remedy."""

import numpy as np
import pytest

from sparsegmrf.autoregression import CausalAR, select_order
from sparsegmrf.errors import ArgumentError

IMAGE = np.random.default_rng(0).standard_normal((12, 12))


def with_value(value):
    image = IMAGE.copy()
    image[7, 3] = value
    return image


@pytest.mark.parametrize("method", ["least_squares", "yule_walker"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": IMAGE[0]}, r"image must have shape \(H, W\), got \(12,\)"),
        ({"image": np.zeros((3, 12, 12))}, r"image must have shape \(H, W\), got \(3, 12, 12\)"),
        ({"image": np.zeros((0, 12))}, r"image must have at least one pixel, got shape \(0, 12\)"),
        ({"image": IMAGE > 0}, "image must hold real numbers, got dtype bool"),
        ({"image": IMAGE.astype(object)}, "image must hold real numbers, got dtype object"),
        ({"image": IMAGE + 0j}, "image must hold real numbers, got dtype complex128"),
        ({"image": [[1.0, 2.0], [3.0]]}, "image must be a rectangular array"),
        ({"image": with_value(np.nan)}, r'got nan at pixel \(7, 3\).*mask="nan"'),
        ({"image": with_value(np.inf)}, r"got inf at pixel \(7, 3\)"),
        ({"image": with_value(np.inf), "mask": "nan"}, r"got inf at pixel \(7, 3\)"),
        ({"image": with_value(np.nan), "mask": IMAGE > 1.5}, r"got nan at pixel \(7, 3\); mask it, too"),
        ({"image": with_value(1e200)}, "image values must have squares"),
        ({"mask": np.zeros((12, 11), dtype=bool)}, r"mask must have the shape of the image \(12, 12\), got \(12, 11\)"),
        ({"mask": np.zeros((12, 12))}, "mask must be boolean, got dtype float64"),
        ({"mask": "missing"}, 'mask must be None, "nan" or a boolean image'),
        ({"mask": np.ones((12, 12), dtype=bool)}, "image has 0 usable pixels"),
        ({"image": IMAGE[:1]}, "image has 0 usable pixels.*need at least 5"),
        ({"image": IMAGE[:3, :3]}, "image has 4 usable pixels.*need at least 5"),
        ({"image": np.full((12, 12), 0.1)}, r"image is constant \(variance .* mean of 0.1\)"),
        ({"image": np.full((12, 12), 7, dtype=np.uint8)}, "image is constant"),
        ({"method": "burg"}, "method must be one of 'least_squares', 'yule_walker'"),
        ({"support": [(0, 1)]}, "earlier than the pixel"),
        ({"order": (-1, 1)}, "order must be at least 0"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, message, method):
    with pytest.raises(ArgumentError, match=message):
        CausalAR.fit(**{"image": IMAGE, "method": method, **arguments})


def test_neighbours_that_predict_each_other_are_refused_with_the_eigenvalues():
    checkerboard = np.indices((12, 12)).sum(axis=0) % 2
    with pytest.raises(ArgumentError, match=r"singular: eigenvalues from .* take fewer"):
        CausalAR.fit(checkerboard)


def test_an_image_that_varies_beyond_its_neighbours_only_is_refused():
    image = np.zeros((12, 12))
    image[-1] = np.random.default_rng(1).standard_normal(12)
    with pytest.raises(ArgumentError, match="does not vary where its neighbours lie"):
        CausalAR.fit(image, support=[(-1, 0)])


def test_an_image_without_innovations_is_refused_with_its_residual():
    rows = 0.5 ** np.arange(12.0)
    image = np.repeat(rows[:, None], 12, axis=1)
    with pytest.raises(ArgumentError, match="predicted by its neighbours to rounding error"):
        CausalAR.fit(image, support=[(-1, 0)])


def test_weights_that_leave_no_mean_are_refused():
    # Values 0, 1, 1, 2 beside 0, 0, 1, 1: cov / var of the neighbour is exactly 1.
    image = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 2.0]])
    with pytest.raises(ArgumentError, match="weights that sum to 1"):
        CausalAR.fit(image, support=[(-1, 0)])


def test_masked_autocovariances_that_are_not_positive_definite_are_refused():
    # Lag one is seen on equal pairs only, lag two on opposite ones.
    image = np.array([[5.0, 5.0, 0.0, -5.0, -5.0, 0.0, 5.0, 0.0, -5.0, 0.0, 1.0, 1.0, -1.0, 1.0]] * 2)
    mask = image == 0.0
    with pytest.raises(ArgumentError, match=r"not positive definite \(innovation variance -.*least_squares"):
        CausalAR.fit(image, support=[(0, -1), (0, -2)], method="yule_walker", mask=mask)


def test_select_order_refuses_what_it_cannot_compare():
    with pytest.raises(ArgumentError, match="supports must name at least one"):
        select_order(IMAGE, supports=[])
    with pytest.raises(ArgumentError, match=r"supports must hold .* got 'qp'"):
        select_order(IMAGE, supports=["qp"])
    with pytest.raises(ArgumentError, match="criterion must be one of 'bic', 'aic'"):
        select_order(IMAGE, criterion="hq")
    with pytest.raises(ArgumentError, match="radius must be an integer"):
        select_order(IMAGE, supports=[("nshp", 1.5)])
    with pytest.raises(ArgumentError, match="usable pixels"):
        select_order(IMAGE[:4, :4])
