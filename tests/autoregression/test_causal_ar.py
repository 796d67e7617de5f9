"""The model: its support, whitening matrix, spectrum, and what it refuses."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegmrf.autoregression import CausalAR
from sparsegmrf.errors import ArgumentError, StencilError, UnstableWarning
from tests import reference
from tests.autoregression.explicit import HALF_PLANE, QUARTER_PLANE


def test_a_bare_model_is_a_quarter_plane_of_order_one():
    model = CausalAR([0.1, 0.2, 0.3])
    assert model.offsets.tolist() == [list(offset) for offset in QUARTER_PLANE]
    assert (model.sigma, model.mean) == (1.0, 0.0)


def test_quarter_plane_holds_the_rectangle_without_the_centre():
    offsets = CausalAR(np.zeros(11), support="qp", order=(2, 3)).offsets.tolist()
    assert offsets == [[-a, -b] for a in (2, 1, 0) for b in (3, 2, 1, 0) if (a, b) != (0, 0)]


def test_half_plane_of_radius_one_has_four_weights_and_of_radius_two_twelve():
    for radius in (1, 2):
        offsets = CausalAR(np.zeros(len(HALF_PLANE[radius])), support="nshp", radius=radius).offsets
        assert offsets.tolist() == [list(offset) for offset in HALF_PLANE[radius]]


def test_explicit_offsets_keep_their_order():
    model = CausalAR([0.1, 0.2], support=[(0, -1), (-1, 2)])
    assert model.offsets.tolist() == [[0, -1], [-1, 2]]


def test_model_cannot_be_changed_and_copies_its_weights():
    weights = np.array([0.1, 0.2, 0.3])
    model = CausalAR(weights)
    weights[0] = 9.0
    assert model.weights[0] == 0.1
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.sigma = 2.0
    with pytest.raises(ValueError, match="read-only"):
        model.weights[0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        model.offsets[0] = 1


@given(shape=st.tuples(st.integers(1, 5), st.integers(1, 5)), radius=st.integers(0, 2), seed=st.integers(0, 2**16))
def test_whitening_matrix_is_the_recursion_over_sigma(shape, radius, seed):
    offsets = HALF_PLANE.get(radius, [])
    weights = np.random.default_rng(seed).uniform(-0.2, 0.2, len(offsets))
    A = CausalAR(weights, sigma=0.5, mean=3.0, support="nshp", radius=radius).whitening(shape).tocsr().toarray()
    np.testing.assert_array_equal(A, reference.triangular_matrix(offsets, 2.0, list(-weights / 0.5), shape))


def test_field_has_the_model_s_mean_and_whitening():
    model = CausalAR([-0.2, 0.4, 0.5], sigma=0.3, mean=7.0)
    shape = (4, 5)
    x = np.random.default_rng(0).standard_normal(shape) + 7.0
    field = model.gmrf(shape)
    A = model.whitening(shape).tocsr().toarray()
    np.testing.assert_allclose(field.logpdf(x), reference.log_density(x, 7.0 * np.ones(20), A.T @ A), rtol=1e-12)


def test_unstable_field_warns_with_the_largest_root():
    with pytest.warns(UnstableWarning, match=r"largest root 1\.5.*sum of \|weights\| 1\.2"):
        CausalAR([0.0, 0.6, 0.6]).gmrf((3, 3))


def test_spectrum_is_the_transform_of_the_autocovariance():
    # x_p = a above + b left - a b diagonal is separable: c(d) = sigma^2 a^|i| b^|j| / ((1 - a^2)(1 - b^2))
    a, b, sigma = 0.6, -0.4, 0.5
    spectrum = CausalAR([-a * b, a, b], sigma=sigma).spectrum((128, 96))
    i, j = (np.abs(np.rint(np.fft.fftfreq(side) * side)).astype(int) for side in spectrum.shape)
    expected = sigma**2 * np.outer(np.power(a, i), np.power(b, j)) / ((1 - a**2) * (1 - b**2))
    np.testing.assert_allclose(np.fft.ifft2(spectrum).real, expected, atol=1e-12)


def test_mean_of_the_spectrum_is_the_variance_far_from_the_border():
    model = CausalAR([0.05, 0.3, 0.2, 0.3], support="nshp", sigma=1.5)
    variance = model.gmrf((60, 120)).marginal_variance()
    assert model.spectrum((256, 256)).mean() == pytest.approx(variance[-1, 60], rel=1e-6)
    assert CausalAR([], sigma=3.0, support=[]).spectrum((2, 3)).tolist() == [[9.0] * 3] * 2


def test_spectrum_at_given_frequencies_is_that_of_the_grid():
    model = CausalAR([0.1, 0.3, -0.2, 0.4], support="nshp", sigma=2.0)
    rows, columns = (2 * np.pi * np.fft.fftfreq(side) for side in (6, 5))
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    np.testing.assert_allclose(model.spectrum(frequencies=grid), model.spectrum((6, 5)), rtol=1e-13)
    assert model.spectrum(frequencies=[0.0, 0.0]) == pytest.approx(4.0 / 0.4**2)


def test_representation_names_offsets_and_weights():
    assert repr(CausalAR([0.5], 2.0, 1.0, support=[(0, -1)])) == "CausalAR({(0, -1): 0.5}, sigma=2, mean=1)"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weights": [0.1, 0.2]}, ArgumentError, r"weights must have shape \(3,\)"),
        ({"weights": [[0.1, 0.2, 0.3]]}, ArgumentError, r"weights must have shape \(3,\)"),
        ({"weights": [0.1, np.nan, 0.3]}, ArgumentError, "weights must be finite"),
        ({"weights": np.array([0.1, None, 0.3])}, ArgumentError, "weights must hold real numbers"),
        ({"sigma": 0.0}, ArgumentError, "sigma must be positive"),
        ({"sigma": -1.0}, ArgumentError, "sigma must be positive"),
        ({"sigma": np.inf}, ArgumentError, "sigma must be one finite number"),
        ({"mean": np.nan}, ArgumentError, "mean must be one finite number"),
        ({"support": "plane"}, ArgumentError, "support must be 'qp', 'nshp'"),
        ({"support": [(0, 1), (-1, 0), (0, -1)]}, StencilError, "earlier than the pixel"),
        ({"support": [(0, 0), (-1, 0), (0, -1)]}, StencilError, "earlier than the pixel"),
        ({"support": [(-1, 0), (-1, 0), (0, -1)]}, StencilError, "support must be distinct"),
        ({"support": [(0.5, -1)]}, StencilError, "support must be a list of integer pairs"),
        ({"order": 2}, ArgumentError, r"order must be \(rows, columns\)"),
        ({"order": (1, -1)}, ArgumentError, "order must be at least 0"),
        ({"support": "nshp", "radius": -1}, ArgumentError, "radius must be at least 0"),
        ({"support": "nshp", "radius": 1.5}, ArgumentError, "radius must be an integer"),
    ],
)
def test_bad_arguments_are_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        CausalAR(**{"weights": [0.1, 0.2, 0.3], **arguments})


def test_spectrum_is_refused_without_frequencies_and_without_a_stationary_field():
    model = CausalAR([0.1, 0.2, 0.3])
    with pytest.raises(ArgumentError, match="shape or frequencies"):
        model.spectrum()
    with pytest.raises(ArgumentError, match="shape or frequencies"):
        model.spectrum((2, 2), frequencies=[0.0, 0.0])
    with pytest.raises(ArgumentError, match=r"frequencies must have shape \(\.\.\., 2\)"):
        model.spectrum(frequencies=[0.0, 0.0, 0.0])
    with pytest.raises(ArgumentError, match="stable recursion"):
        CausalAR([0.0, 0.6, 0.6]).spectrum((4, 4))
