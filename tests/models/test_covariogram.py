"""Correlations and variograms of models are those of their fields, far from borders or around a pixel."""

import dataclasses

import numpy as np
import pytest
from scipy.special import kv

from sparsegmrf import CAR, SAR, Channels, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.errors import ArgumentError, StencilError, TooLargeError

LAGS = [(0, 0), (0, 1), (1, 0), (1, 1), (1, -1), (-1, 1), (3, 2), (0, 5)]
SHAPE = (101, 103)
MIDDLE = (50, 51)
PROPER = {
    "CAR": CAR(0.23, tau=3.0),
    "CAR pair": CAR((0.3, 0.1)),
    "CAR 8": CAR(0.1, neighbourhood=8),
    "CAR degree": CAR(0.9, form="degree"),
    "CAR torus": CAR(0.23, boundary="torus"),
    "SAR": SAR((0.2, 0.15)),
    "SAR standardized": SAR(0.8, row_standardized=True),
    "Matern": Matern(range=8.0, sigma=2.0),
    "Matern rough": Matern(range=8.0, nu=0.5),
    "Matern smooth": Matern(range=8.0, nu=2.0),
    "Matern oblique": Matern(range=6.0, anisotropy=(2.0, 0.7)),
    "Matern cut off": Matern(range=8.0, boundary="dirichlet"),
    "TensionSpline": TensionSpline(kappa=0.6, proper=0.2),
    "Sum": Sum([Matern(range=8.0, sigma=2.0), CAR(0.2, tau=0.5)], observation=[0.5, -2.0]),
}


@pytest.mark.parametrize("name", PROPER)
def test_without_borders_is_that_of_the_middle_of_a_large_image(name):
    model = PROPER[name]
    around = model.correlation(LAGS, pixel=MIDDLE, shape=SHAPE)
    np.testing.assert_allclose(model.correlation(LAGS), around, atol=2e-6)
    of_image = model.variogram(LAGS, pixel=MIDDLE, shape=SHAPE)
    np.testing.assert_allclose(model.variogram(LAGS), of_image, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("name", ["CAR", "Matern oblique", "Sum"])
def test_around_a_pixel_is_the_dense_covariance(name):
    model, shape, pixel = PROPER[name], (9, 8), (2, 6)
    Q = model.stencil(shape).tocsr().toarray()
    weights = getattr(model, "observation", np.ones(1))
    A = np.kron(np.eye(72), weights)
    covariance = (A @ np.linalg.inv(Q) @ A.T).reshape(*shape, *shape)
    variance = np.einsum("ijij->ij", covariance)
    expected = covariance[pixel] / np.sqrt(variance[pixel] * variance)
    lags = np.stack(np.mgrid[0:9, 0:8], axis=-1) - np.array(pixel)
    np.testing.assert_allclose(model.correlation(lags, pixel=pixel, shape=shape), expected, rtol=1e-10)
    semivariance = (variance[pixel] + variance) / 2.0 - covariance[pixel]
    np.testing.assert_allclose(model.variogram(lags, pixel=pixel, shape=shape), semivariance, rtol=1e-9, atol=1e-12)


def test_of_matern_is_about_the_one_of_the_plane():
    model = Matern(range=60.0, sigma=3.0)
    distance = np.arange(5.0, 100.0, 10.0)
    scaled = np.sqrt(8.0) / 60.0 * distance
    found = model.correlation(np.stack([np.zeros(10), distance], axis=-1))
    np.testing.assert_allclose(found, scaled * kv(1, scaled), atol=2e-3)


def test_variogram_is_the_variance_less_the_covariance():
    model = Matern(range=12.0, sigma=3.0)
    np.testing.assert_allclose(model.variogram(LAGS), 9.0 * (1.0 - model.correlation(LAGS)), rtol=1e-9, atol=1e-12)
    assert model.variogram((0, 0)) == 0.0


def test_variogram_of_a_random_walk_is_the_potential_kernel_of_the_lattice():
    found = Intrinsic(tau=2.0).variogram([(0, 1), (1, 1), (0, 2), (2, 1), (2, 2)])
    kernel = [1.0, 4.0 / np.pi, 4.0 - 8.0 / np.pi, -1.0 + 8.0 / np.pi, 16.0 / (3.0 * np.pi)]
    np.testing.assert_allclose(found, np.array(kernel) / 8.0, rtol=1e-9)


def test_variogram_of_a_tension_spline_is_that_of_its_two_parts():
    # 1 / (g (k + g)) = (1 / g - 1 / (k + g)) / k
    kappa = 0.3
    part = CAR(1.0 / (4.0 + kappa**2), tau=4.0 + kappa**2)
    expected = (Intrinsic().variogram(LAGS) - part.variogram(LAGS)) / kappa**2
    np.testing.assert_allclose(TensionSpline(kappa=kappa).variogram(LAGS), expected, rtol=1e-7, atol=1e-12)


def test_variogram_of_a_stretched_tension_spline_is_the_integral_of_its_density():
    model, lags = TensionSpline(0.2, 2.0, anisotropy=(8.0, 0.5)), [(0, 1), (1, 0), (7, -4), (0, 40), (30, 30)]
    row = model.replace(boundary="torus").stencil((32, 32)).tocsr()[[0]].toarray().reshape(32, 32)
    steps = np.argwhere(row)
    coefficients, steps = row[tuple(steps.T)], (steps + 16) % 32 - 16
    # Along rays from frequency zero, where the density is infinite, what is integrated is smooth: Gauss's rule.
    nodes, weights = np.polynomial.legendre.leggauss(160)
    u, t = np.pi * (nodes[:, np.newaxis] + 1.0) / 2.0, nodes
    area = np.pi / 2.0 * weights[:, np.newaxis] * weights * u
    expected = np.zeros(len(lags))
    for rows, columns in ((u + 0.0 * t, u * t), (u * t, u + 0.0 * t)):
        # Rows of the precision sum to zero: a half angle loses no digits.
        angles = [np.sin((di * rows + dj * columns) / 2.0) ** 2 for di, dj in steps]
        q = -2.0 * np.tensordot(coefficients, angles, 1)
        for k, (di, dj) in enumerate(lags):
            expected[k] += np.sum(area * 2.0 * np.sin((di * rows + dj * columns) / 2.0) ** 2 / q)
    np.testing.assert_allclose(model.variogram(lags), 2.0 * expected / (2.0 * np.pi) ** 2, rtol=1e-8)


def test_variogram_of_an_intrinsic_field_around_a_pixel_is_by_the_pseudoinverse():
    shape, pixel = (5, 6), (1, 2)
    Q = Intrinsic().stencil(shape).tocsr().toarray()
    Z = np.linalg.pinv(Q, hermitian=True, rcond=1e-12).reshape(*shape, *shape)
    found = Intrinsic().variogram([(0, 1), (2, -1), (9, 0)], pixel=pixel, shape=shape)
    expected = [(Z[1, 2, 1, 2] + Z[q][q]) / 2.0 - Z[1, 2][q] for q in ((1, 3), (3, 1))]
    np.testing.assert_allclose(found[:2], expected, rtol=1e-9)
    assert np.isnan(found[2])


def test_variogram_is_infinite_where_the_difference_is_free():
    wall = np.zeros((6, 7), dtype=bool)
    wall[:, 3] = True
    found = TensionSpline(barrier=wall).variogram([(0, 1), (0, 4)], pixel=(2, 1))
    assert np.isfinite(found[0])
    assert found[1] == np.inf
    assert Intrinsic(order=2).variogram((0, 1), pixel=(2, 1), shape=(6, 7)) == np.inf


def test_of_channels_is_that_of_any_one_channel():
    model = Channels(Matern(range=6.0), [[2.0, 0.5], [0.5, 1.0]])
    np.testing.assert_array_equal(model.correlation(LAGS), Matern(range=6.0).correlation(LAGS))


def test_of_a_model_with_maps_is_on_their_shape():
    spread = np.full((20, 25), 2.0)
    spread[:, 12:] = 4.0
    even, model = Matern(range=5.0), Matern(range=5.0, sigma=spread)
    lags = [(0, 0), (0, 4), (3, -1)]
    expected = even.correlation(lags, pixel=(8, 10), shape=(20, 25))
    np.testing.assert_allclose(model.correlation(lags, pixel=(8, 10)), expected, rtol=1e-10)


def test_one_lag_gives_a_number_and_many_keep_their_shape():
    model = CAR(0.2)
    assert isinstance(model.correlation((0, 1)), float)
    assert isinstance(model.variogram((0, 1)), float)
    assert model.correlation(np.zeros((2, 3, 2))).shape == (2, 3)
    assert model.correlation(np.zeros((0, 2))).shape == (0,)


def test_long_lags_are_those_of_a_larger_torus():
    assert abs(Matern(range=5.0).correlation((0, 400))) < 1e-12
    assert Matern(range=5.0, sigma=2.0).variogram((700, 0)) == pytest.approx(4.0, rel=1e-12)


def test_what_has_no_variance_or_no_variogram_is_refused():
    for model in (Intrinsic(), TensionSpline(), TensionSpline(boundary="dirichlet"), Sum([Matern(), Intrinsic()])):
        with pytest.raises(ArgumentError, match="variance"):
            model.correlation((0, 1))
    with pytest.raises(ArgumentError, match="variance"):
        Intrinsic().correlation((0, 1), pixel=(1, 1), shape=(4, 4))
    with pytest.raises(ArgumentError, match="planes do not wrap"):
        Intrinsic(order=2).variogram((0, 1))
    with pytest.raises(ArgumentError, match=r"without borders.*rho must lie in"):
        CAR(0.2501).correlation((0, 1))
    assert CAR(0.2501).correlation((0, 1), pixel=(9, 9), shape=(20, 20)) > 0.6


def test_what_differs_between_pixels_needs_one():
    wall = np.zeros((6, 7), dtype=bool)
    wall[:, 3] = True
    maps = [Matern(range=np.full((6, 7), 4.0)), TensionSpline(barrier=wall), Intrinsic(mask=wall)]
    for model in [*maps, Sum([Matern(), maps[0]]), Channels(maps[0], np.eye(2))]:
        with pytest.raises(StencilError, match="pixel must be given"):
            model.variogram((0, 1))


def test_model_of_ones_own_without_a_boundary_is_told_of_pixels():
    @dataclasses.dataclass(frozen=True, eq=False)
    class Held(CAR):
        rho: float = 0.2
        boundary: str = dataclasses.field(default="dirichlet", init=False)

    with pytest.raises(StencilError, match="pixel="):
        Held().correlation((0, 1))
    assert Held().correlation((0, 1), pixel=(3, 3), shape=(7, 7)) > 0.2


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"lags": 3}, "lags"),
        ({"lags": [1, 2, 3]}, "lags"),
        ({"lags": (0.5, 0.0)}, "lags"),
        ({"lags": (np.nan, 0.0)}, "lags"),
        ({"lags": (0, 100_000)}, "lags"),
        ({"lags": (0, 1), "shape": (4, 4)}, "shape"),
        ({"lags": (0, 1), "pixel": (0, 0)}, "shape"),
        ({"lags": (0, 1), "pixel": (0, 4), "shape": (4, 4)}, "pixel"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, word):
    for method in (CAR(0.2).correlation, CAR(0.2).variogram):
        with pytest.raises(ArgumentError, match=word):
            method(**arguments)


def test_range_beyond_every_torus_is_refused(monkeypatch):
    monkeypatch.setattr("sparsegmrf.models._covariogram._SIDES", (32, 256))
    with pytest.raises(TooLargeError, match="range"):
        Matern(range=400.0).correlation((0, 1))
