"""StationaryEdgeField: density and moments of the borderless field against the covariance of a much larger torus."""

import itertools
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil
from sparsegmrf.errors import ArgumentError, StencilError, TooLargeError
from sparsegmrf.fields import StationaryEdgeField

SHAPE = (5, 7)
STENCILS = {
    "five-point": ([(0, 0), (0, 1), (1, 0)], [4.4, -1.0, -1.0]),
    "anisotropic": ([(0, 0), (0, 1), (1, 0), (1, 1), (1, -1)], [7.0, -1.5, -0.5, -1.0, 0.2]),
    "squared": (
        [(0, 0), (0, 1), (1, 0), (0, 2), (2, 0), (1, 1), (1, -1)],
        [5.0**2 + 4.0, -10.0, -10.0, 1.0, 1.0, 2.0, 2.0],
    ),
    "repelling": ([(0, 0), (0, 1), (1, 0)], [4.4, 1.0, -1.0]),
    "white": ([(0, 0)], [2.0]),
}


def stencil_of(name, shape=SHAPE):
    return SymmetricStencil(*STENCILS[name], shape)


def covariance_without_borders(name, shape, side=256):
    """Dense covariance of an image on a torus so large that it does not feel it."""
    offsets, weights = STENCILS[name]
    w = 2 * np.pi * np.fft.fftfreq(side)
    symbol = np.full((side, side), float(weights[0]))
    for (di, dj), weight in zip(offsets[1:], weights[1:], strict=True):
        symbol += 2 * weight * np.cos(di * w[:, None] + dj * w[None, :])
    table = np.fft.ifft2(1.0 / symbol).real
    i, j = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    return table[(i[:, None] - i[None, :]) % side, (j[:, None] - j[None, :]) % side]


def dense_logpdf(x, covariance):
    r = np.ravel(x)
    _, logdet = np.linalg.slogdet(covariance)
    return -0.5 * (logdet + len(r) * np.log(2 * np.pi) + r @ np.linalg.solve(covariance, r))


@pytest.mark.parametrize("name", STENCILS)
def test_variance_is_that_of_a_large_torus(name):
    field = StationaryEdgeField(stencil_of(name))
    assert_allclose(field.variance, covariance_without_borders(name, (1, 1))[0, 0], rtol=1e-10)


@pytest.mark.parametrize("name", STENCILS)
@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-8])
def test_error_is_below_the_tolerance_and_bounds_every_covariance(name, tolerance):
    field = StationaryEdgeField(stencil_of(name), tolerance=tolerance)
    exact = covariance_without_borders(name, SHAPE)
    columns = [field.covariance_with((p // 7, p % 7)).ravel() for p in range(35)]
    lost = exact - np.array(columns)
    assert 0.0 - 1e-12 <= field.error <= tolerance
    assert np.abs(lost).max() <= (field.error + 1e-11) * field.variance
    assert_allclose(np.diagonal(lost).max(), field.error * field.variance, rtol=1e-6, atol=1e-11)
    assert np.linalg.eigvalsh(lost).min() > -1e-11


@pytest.mark.parametrize("name", STENCILS)
def test_logpdf_is_the_dense_density_of_the_borderless_field(name):
    field = StationaryEdgeField(stencil_of(name), 0.5, tolerance=1e-9)
    x = np.random.default_rng(0).standard_normal((2, 3, *SHAPE))
    density = field.logpdf(x)
    assert density.shape == (2, 3)
    expected = dense_logpdf(x[1, 2] - 0.5, covariance_without_borders(name, SHAPE))
    assert_allclose(density[1, 2], expected, rtol=1e-6)
    single = field.logpdf(x[1, 2])
    assert isinstance(single, float)
    assert_allclose(single, density[1, 2], rtol=1e-12)


@pytest.mark.parametrize("margin", [0, 1, 3])
def test_margin_is_marginalized_out_exactly(margin):
    # Whatever the margin: the density of the image is that under the covariance of the padded field, cropped.
    field = StationaryEdgeField(stencil_of("squared"), margin=margin)
    height, width = SHAPE[0] + 2 * margin, SHAPE[1] + 2 * margin
    assert field.margin == margin
    padded = np.linalg.inv(stencil_of("squared", (height, width)).tocsr().toarray()).reshape((height, width) * 2)
    window = (slice(margin, margin + 5), slice(margin, margin + 7))
    covariance = padded[(*window, *window)].reshape(35, 35)
    x = np.random.default_rng(1).standard_normal(SHAPE)
    assert_allclose(field.logpdf(x), dense_logpdf(x, covariance), rtol=1e-10)
    assert_allclose(field.logdet, -np.linalg.slogdet(covariance)[1], rtol=1e-10)
    assert_allclose(field.marginal_variance().ravel(), np.diagonal(covariance), rtol=1e-10)
    assert_allclose(field.entropy(), 35 / 2 - field.logpdf(field.mean), rtol=1e-12)
    assert_allclose(field.quadratic_form(x), x.ravel() @ np.linalg.solve(covariance, x.ravel()), rtol=1e-9)


def test_wider_margin_loses_less_variance():
    errors = [StationaryEdgeField(stencil_of("five-point"), margin=margin).error for margin in (0, 2, 4, 8)]
    assert all(after < before / 2 for before, after in itertools.pairwise(errors))


def test_draws_have_the_stationary_variance_up_to_the_border():
    # 6000 draws: a relative error of 0.15 is eight standard errors of a variance; false alarm below 1e-13.
    field = StationaryEdgeField(stencil_of("five-point"), mean=2.0)
    draws = field.sample(6000, rng=3)
    assert draws.shape == (6000, *SHAPE)
    assert_allclose(draws.var(axis=0), field.variance, rtol=0.15)
    assert_allclose(draws.mean(axis=0), 2.0, atol=8 * np.sqrt(field.variance / 6000))
    assert np.array_equal(draws[:1], field.sample(6000, rng=3)[:1])


def test_boundary_of_the_stencil_plays_no_part():
    x = np.random.default_rng(2).standard_normal(SHAPE)
    offsets, weights = STENCILS["five-point"]
    values = {
        boundary: StationaryEdgeField(SymmetricStencil(offsets, weights, SHAPE, boundary=boundary)).logpdf(x)
        for boundary in ("dirichlet", "neumann", "torus")
    }
    assert len(set(values.values())) == 1


@pytest.mark.parametrize("method", ["dissection", "spectral", "dense"])
def test_every_method_gives_the_same_density(method):
    x = np.random.default_rng(3).standard_normal(SHAPE)
    field = StationaryEdgeField(stencil_of("five-point"), method=method, margin=6)
    assert_allclose(field.logpdf(x), StationaryEdgeField(stencil_of("five-point"), margin=6).logpdf(x), rtol=1e-10)


def test_flipped_and_transposed_images_have_the_density_of_the_flipped_and_transposed_field():
    x = np.random.default_rng(4).standard_normal(SHAPE)
    density = StationaryEdgeField(stencil_of("anisotropic")).logpdf(x)
    swapped = SymmetricStencil([(0, 0), (0, 1), (1, 0), (1, 1), (1, -1)], [7.0, -1.5, -0.5, 0.2, -1.0], SHAPE)
    assert_allclose(StationaryEdgeField(swapped).logpdf(x[::-1]), density, rtol=1e-10)
    turned = SymmetricStencil([(0, 0), (0, 1), (1, 0), (1, 1), (1, -1)], [7.0, -0.5, -1.5, -1.0, 0.2], (7, 5))
    assert_allclose(StationaryEdgeField(turned).logpdf(x.T), density, rtol=1e-10)


def test_it_pickles():
    field = StationaryEdgeField(stencil_of("five-point"), tolerance=1e-2)
    x = np.ones(SHAPE)
    assert pickle.loads(pickle.dumps(field)).logpdf(x) == field.logpdf(x)
    assert "tolerance=0.01" in repr(field)


def test_fields_without_a_variance_are_refused():
    intrinsic = SymmetricStencil([(0, 0), (0, 1), (1, 0)], [4.0, -1.0, -1.0], SHAPE, boundary="neumann")
    with pytest.raises(ArgumentError, match=r"^stencil must have a positive symbol"):
        StationaryEdgeField(intrinsic)
    with pytest.raises(TooLargeError, match=r"torus of 8192 pixels"):
        _ = StationaryEdgeField(SymmetricStencil([(0, 0), (0, 1)], [2.0 + 1e-9, -1.0], SHAPE)).variance


def test_bad_arguments_are_refused():
    stencil = stencil_of("five-point")
    plane = SymmetricStencil([(0, 0)], [np.ones(SHAPE)], SHAPE)
    with pytest.raises(StencilError, match=r"per pixel"):
        StationaryEdgeField(plane)
    with pytest.raises(StencilError, match=r"unknowns per pixel"):
        StationaryEdgeField(SymmetricStencil([(0, 0)], [np.eye(2)], SHAPE, channels=2))
    with pytest.raises(StencilError, match=r"^stencil must be a SymmetricStencil"):
        StationaryEdgeField(np.ones(SHAPE))
    with pytest.raises(ArgumentError, match=r"^mean must"):
        StationaryEdgeField(stencil, np.zeros(3))
    with pytest.raises(ArgumentError, match=r"^tolerance must"):
        StationaryEdgeField(stencil, tolerance=0.0)
    with pytest.raises(ArgumentError, match=r"^tolerance must be at least"):
        StationaryEdgeField(stencil, tolerance=1e-14)
    with pytest.raises(ArgumentError, match=r"^margin must"):
        StationaryEdgeField(stencil, margin=-1)
    field = StationaryEdgeField(stencil, margin=1)
    with pytest.raises(ArgumentError, match=r"^x must have shape"):
        field.logpdf(np.zeros((7, 5)))
    with pytest.raises(ArgumentError, match=r"^x must be finite"):
        field.logpdf(np.full(SHAPE, np.nan))
    with pytest.raises(ArgumentError, match=r"pixel"):
        field.covariance_with((5, 0))
