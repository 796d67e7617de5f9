"""Pixels of a size: the law of the ground, in its unit, whatever pixels it is put on."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import gamma, kv

from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import spacing_on_sphere
from sparsegmrf.models import CAR, Channels, Intrinsic, Matern, Sum, TensionSpline
from tests.models.catalogue import FRACTIONAL, INTRINSIC, PROPER, RANGE, SHAPE, WIDTHS

LENGTHS = {
    "Matern": Matern(5.0, 2.0),
    "Matern 2, turned": Matern(5.0, 2.0, 2, anisotropy=(2.0, 0.4)),
    "Matern smooth": Matern(5.0, anisotropy=(2.0, 0.4), diffusion="smooth"),
    "Matern of maps": Matern(RANGE, 2.0, boundary="dirichlet"),
    "Matern 0.5": Matern(5.0, nu=0.5),
    "TensionSpline": TensionSpline(0.3, 2.0, proper=0.01, boundary="torus"),
    "TensionSpline, turned": TensionSpline(0.3, 2.0, anisotropy=(2.0, 0.4)),
    "Intrinsic 1": Intrinsic(1, 2.0),
    "Intrinsic 2": Intrinsic(2, 2.0),
    "Intrinsic 2, scaled": Intrinsic(2, 2.0, scale=True),
    "Sum": Sum([Matern(5.0), CAR(0.2)]),
}


def dense(model, shape=SHAPE):
    return model.stencil(shape).tocsr().toarray()


def assert_same_law(found, expected, rtol=1e-12):
    Q = dense(expected)
    assert_allclose(dense(found), Q, rtol=0.0, atol=rtol * np.abs(Q).max())


@pytest.mark.parametrize("name", LENGTHS)
def test_square_pixels_are_another_unit(name):
    model = LENGTHS[name]
    assert_same_law(model.spaced((1.0, 1.0)), model, 1e-14)
    for side in (1e-3, 0.5, 30.0, 1e6):
        spaced = model.spaced((side, side))
        assert_same_law(spaced, model)
        assert spaced.gmrf(SHAPE).method == model.gmrf(SHAPE).method
        for key, power in model.lengths().items():
            assert spaced.parameters[key] == pytest.approx(model.parameters[key] * side**power, rel=1e-14)


def test_pixels_of_one_by_one_are_today_s_law_bit_by_bit():
    for model in (Matern(5.0, 2.0), Matern(5.0, nu=0.5), TensionSpline(0.3), Intrinsic(1), Intrinsic(2)):
        assert_array_equal(dense(model.replace(spacing=(1, 1))), dense(model))


@pytest.mark.parametrize(
    "model",
    [Matern(5.0, 2.0), Matern(5.0, 1.0, 3), Matern(4.0, 1.0, 2, boundary="torus"), TensionSpline(0.3), Intrinsic(1)],
)
def test_a_map_of_one_size_is_that_size(model):
    size = (1.5, 4.0)
    for spacing in ((1.5, np.full(SHAPE[0], 4.0)), (np.full(SHAPE, 1.5), 4.0), (np.full(SHAPE, 1.5), np.full(6, 4.0))):
        assert_same_law(model.replace(spacing=spacing), model.replace(spacing=size))


@pytest.mark.parametrize("nu", [1, 2, 0.5, 1.5])
@pytest.mark.parametrize("size", [(1.0, 2.0), (3.0, 0.75), (20.0, 40.0)])
def test_isotropic_ground_is_anisotropic_on_pixels(nu, size):
    height, width = size
    spaced = Matern(6.0 * np.sqrt(height * width), 1.5, nu, spacing=size)
    # The range in pixels is longer along the direction in which pixels are short.
    assert_same_law(spaced, Matern(6.0, 1.5, nu, anisotropy=(height / width, 0.0)))
    assert spaced.gmrf(SHAPE).method == "spectral"


@pytest.mark.parametrize("size", [(1.0, 2.0), (2.0, 0.5)])
def test_turned_ground_is_the_tensor_of_the_pixels(size):
    height, width = size
    ratio, angle = 3.0, 0.4
    along = np.array([np.sin(angle), np.cos(angle)])  # rows first
    across = np.array([along[1], -along[0]])
    H = ratio * np.outer(along, along) + np.outer(across, across) / ratio
    pixel = H / np.outer(size, size) * height * width
    values, vectors = np.linalg.eigh(pixel)
    main = vectors[:, 1]
    expected = Matern(6.0, anisotropy=(values[1], float(np.arctan2(main[0], main[1]))))
    assert_same_law(Matern(6.0 * np.sqrt(height * width), anisotropy=(ratio, angle), spacing=size), expected, 1e-10)


def matern_correlation(distance, reach, nu):
    z = np.maximum(np.sqrt(8.0 * nu) * distance / reach, 1e-300)
    return np.where(distance > 0.0, 2.0 ** (1.0 - nu) / gamma(nu) * z**nu * kv(nu, z), 1.0)


@pytest.mark.parametrize("nu", [1.0, 2.0, 0.5])
def test_correlations_at_lags_on_the_ground_approach_the_continuous_ones_in_all_directions(nu):
    lags = np.array([(12, 0), (0, 4), (30, 0), (0, 10), (9, 4), (60, 0), (0, 20)])
    distance = np.hypot(lags[:, 0] * 1.0, lags[:, 1] * 3.0)
    errors = []
    for finer in (1, 2):
        model = Matern(60.0 * finer, nu=nu, spacing=(1.0, 3.0))
        found = model.correlation(lags * finer)
        errors.append(np.abs(found - matern_correlation(distance, 60.0, nu)).max())
    assert errors[0] < 0.02
    assert errors[1] < max(0.6 * errors[0], 2e-3)  # a fractional power is a sum to three digits


def sphere_precision(latitudes, step, reach, nu, columns):
    """``V^-1/2 A^1/2 (kappa^2 + A^-1/2 F A^-1/2)^(nu + 1) A^1/2 V^-1/2`` pair by pair, without variances."""
    R, rows = 6371.0088, len(latitudes)
    high, wide = R * np.radians(step), R * np.radians(step) * np.cos(np.radians(latitudes))
    F, n = np.zeros((rows * columns,) * 2), rows * columns
    for p in range(n):
        i, j = divmod(p, columns)
        for di, dj in ((1, 0), (0, 1)):
            if i + di < rows and j + dj < columns:
                c = 0.5 * (wide[i] + wide[i + 1]) / high if di else high / wide[i]
                q = (i + di) * columns + j + dj
                F[[p, q], [p, q]] += c
                F[[p, q], [q, p]] -= c
    area = np.repeat(high * wide, columns)
    K = 8.0 * nu / reach**2 * np.eye(n) + F / np.sqrt(np.outer(area, area))
    power = np.linalg.matrix_power(K, nu + 1)
    return np.sqrt(np.outer(area, area)) * power


@pytest.mark.parametrize("nu", [1, 2])
def test_latitudes_are_a_grid_on_the_sphere(nu):
    latitudes, step, columns, reach, sigma = np.linspace(72.0, 48.0, 9), 3.0, 8, 1500.0, 2.0
    spacing = spacing_on_sphere(latitudes, step, step)
    model = Matern(reach, sigma, nu, spacing=(spacing.height, spacing.width))
    rough = sphere_precision(latitudes, step, reach, nu, columns)
    found = dense(model, (9, columns))
    # Up to the variances of the lattice, numbers by row that tend to those of the continuous field.
    scale = np.sqrt(np.diagonal(found) / np.diagonal(rough))
    assert_allclose(found, rough * np.outer(scale, scale), rtol=0.0, atol=1e-12 * np.abs(found).max())
    assert_allclose(scale.reshape(9, columns), np.repeat(scale[::columns, np.newaxis], columns, axis=1), rtol=1e-12)
    v = 1.0 / (4.0 * np.pi * nu * (8.0 * nu / reach**2) ** nu)
    assert_allclose(scale**2 * sigma**2 / v, 1.0, atol=0.15)


def test_fields_on_the_sphere_are_alike_at_all_latitudes_and_at_the_pole():
    latitudes = np.arange(90.0, -91.0, -4.0)
    spacing = spacing_on_sphere(latitudes, 4.0, 4.0)
    model = Matern(3000.0, spacing=(spacing.height, spacing.width), boundary=("neumann", "torus"))
    shape = (len(latitudes), 90)
    field = model.gmrf(shape)
    deviation = np.sqrt(field.marginal_variance())
    assert_allclose(deviation, 1.0, atol=0.03)
    # Pixels of the last row are one point, the pole; and equal distances have equal correlations.
    assert field.covariance_with((0, 0))[0].min() > 0.97 * deviation[0, 0] ** 2
    for row in (0, 15, 22):
        near = field.covariance_with((row, 0))
        down = near[row + 5, 0] / deviation[row, 0] / deviation[row + 5, 0]
        assert down == pytest.approx(float(matern_correlation(np.array(5 * spacing.height), 3000.0, 1.0)), abs=0.03)


def test_area_of_a_row_at_the_pole_is_that_of_its_cell():
    found = spacing_on_sphere([90.0, 86.0], 4.0, 5.0)
    R = 6371.0088
    cap = R**2 * np.radians(5.0) * (1.0 - np.sin(np.radians(88.0)))
    assert found.height * found.width[0] == pytest.approx(cap, rel=1e-12)
    assert found.width[1] == pytest.approx(R * np.radians(5.0) * np.cos(np.radians(86.0)), rel=1e-14)
    with pytest.raises(ArgumentError, match="latitudes must be between -90 and 90, got 91"):
        spacing_on_sphere([91.0], 1.0, 1.0)


def test_thin_plates_and_walks_have_the_energy_of_the_ground():
    height, width = 0.5, 2.0
    y, x = np.mgrid[:12, :15] * np.array([height, width])[:, np.newaxis, np.newaxis]
    area = height * width
    plane, bowl, saddle = 2.0 * y - 3.0 * x, y * y + 0.25 * x * x, x * y
    walk, plate = (Intrinsic(order, spacing=(height, width)).stencil((12, 15)) for order in (1, 2))
    rows, columns = 11 * 15, 12 * 14  # pairs
    assert float((plane * (walk @ plane)).sum()) == pytest.approx(area * (4.0 * rows + 9.0 * columns), rel=1e-12)
    inner = (10 * 15, 12 * 13, 11 * 14)  # second differences along columns, along rows, and mixed ones
    assert float((bowl * (plate @ bowl)).sum()) == pytest.approx(area * (4.0 * inner[0] + 0.25 * inner[1]), rel=1e-10)
    assert float((saddle * (plate @ saddle)).sum()) == pytest.approx(2.0 * area * inner[2], rel=1e-10)
    assert np.abs(plate @ plane).max() < 1e-10


def test_spline_by_latitude_is_its_energy():
    widths = np.linspace(1.0, 3.0, 6)
    model = TensionSpline(0.3, 2.0, spacing=(2.0, widths))
    R = dense(Intrinsic(1, spacing=(2.0, widths)))  # the integral of the squared gradient
    area = np.repeat(2.0 * widths, 7)
    expected = 2.0 * (R @ np.diag(1.0 / area) @ R + 0.09 * R)
    assert_allclose(dense(model), expected, atol=1e-12 * np.abs(expected).max())


def test_windows_have_their_part_of_the_sizes():
    heights = np.random.default_rng(0).uniform(1.0, 2.0, SHAPE)
    rows, columns = slice(1, 5), slice(2, 7)
    for model in (Matern(5.0), TensionSpline(0.3), Intrinsic(1), Sum([Matern(5.0), CAR(0.2)])):
        found = model.spaced((heights, WIDTHS)).cropped(rows, columns)
        inner = found.models[0] if isinstance(found, Sum) else found
        assert_array_equal(inner.spacing[0], heights[rows, columns])
        assert_array_equal(inner.spacing[1], WIDTHS[rows])
        assert found.is_inside((4, 5))


def test_models_without_lengths_stay_and_those_with_a_size_keep_it():
    for model in (CAR(0.2), Channels(CAR(0.2), np.eye(2)), Sum([CAR(0.2), CAR(0.1)])):
        assert model.spaced((2.0, 3.0)) is model
        assert not model.lengths()
    for model in (Matern(5.0), TensionSpline(0.3), Intrinsic(2)):
        spaced = model.spaced((2.0, 3.0))
        assert spaced.spaced((1.0, 1.0)) is spaced
        assert spaced.scaled(2.0).spacing == spaced.spacing
    assert Intrinsic(2).spaced((1.0, WIDTHS)).spacing is None
    assert Sum([Matern(5.0), CAR(0.2)], labels=["a", "b"]).lengths() == {"range_a": 1}
    assert Channels(Matern(5.0), np.eye(2)).spaced((2.0, 2.0)).model.range == 10.0
    assert Matern(5.0, anisotropy=(2.0, 0.1), diffusion="smooth").spaced((1.0, WIDTHS)).diffusion == "monotone"


@pytest.mark.parametrize("name", [name for name in (*PROPER, *FRACTIONAL, *INTRINSIC) if "latitude" in name])
def test_what_differs_by_row_is_saved_with_every_digit(name):
    model = {**PROPER, **FRACTIONAL, **INTRINSIC}[name]
    again = type(model).from_json(model.to_json())
    assert_array_equal(again.spacing[1], WIDTHS)
    assert_array_equal(dense(again), dense(model))


@pytest.mark.parametrize(
    ("spacing", "message"),
    [
        (3.0, r"spacing must be \(height, width\) of a pixel, or None"),
        ((1.0, 2.0, 3.0), r"spacing must be \(height, width\)"),
        ((0.0, 1.0), r"spacing\[0\], the height, must be positive, got 0.0"),
        ((1.0, -30.0), r"spacing\[1\], the width, must be positive, got -30.0; leave its sign out"),
        ((1.0, np.nan), r"spacing\[1\], the width, must be finite"),
        ((1.0, np.ones((2, 2, 2))), r"spacing\[1\], the width, must be a number, one per row"),
    ],
)
def test_sizes_that_are_none_are_refused(spacing, message):
    for model in (Matern, TensionSpline, Intrinsic):
        with pytest.raises(ArgumentError, match=message):
            model(spacing=spacing)


def test_sizes_of_other_lattices_and_planes_on_maps_are_refused():
    for model in (
        Matern(spacing=(1.0, WIDTHS)),
        TensionSpline(spacing=(1.0, WIDTHS)),
        Intrinsic(spacing=(1.0, WIDTHS)),
    ):
        with pytest.raises(ArgumentError, match=r"spacing\[1\], the width, must be a number, or have the shape \(7,\)"):
            model.stencil((7, 7))
    with pytest.raises(ArgumentError, match="spacing must be two numbers with order 2"):
        Intrinsic(2, spacing=(1.0, WIDTHS))
    with pytest.raises(ArgumentError, match="pixel must be given for Matern"):
        Matern(spacing=(1.0, WIDTHS)).correlation((0, 1))
    with pytest.raises(ArgumentError, match='diffusion must be "monotone" with maps of anisotropy or spacing'):
        Matern(anisotropy=(2.0, 0.1), diffusion="smooth", spacing=(1.0, WIDTHS))
