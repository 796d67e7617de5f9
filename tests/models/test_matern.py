"""Matern: its matrix against the definition, its standard deviation and correlation, and what it refuses."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import gamma, kv

from sparsegmrf import fit
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import DenseFactor
from sparsegmrf.models import Matern
from sparsegmrf.models._anisotropy import diffusion, smooth_diffusion
from sparsegmrf.models._laplacian import laplacian, passed
from sparsegmrf.models._lattice_variance import lattice_variance
from tests.models.catalogue import ANGLE, BARRIER, RANGE, RATIO, SHAPE, SIGMA, diffusion_matrix

ISOTROPIC = np.array([1.0, 1.0, 0.0, 0.0])


def blocked(pixel, offset):
    di, dj = offset
    return any(
        BARRIER[pixel[0] + a, pixel[1] + b]
        for a in range(min(0, di), max(0, di) + 1)
        for b in range(min(0, dj), max(0, dj) + 1)
        if (a, b) in passed(offset)
    )


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "torus"])
@pytest.mark.parametrize("nu", [1, 2, 3])
def test_integer_smoothness_is_a_power_of_the_diffusion_matrix(boundary, nu):
    model = Matern(5.0, 2.0, nu, boundary=boundary)
    G = diffusion_matrix(SHAPE, lambda pixel, offset: 1.0, [(0, 1), (1, 0)], boundary)
    kappa2 = 8.0 * nu / 25.0
    v = float(lattice_variance(np.array(kappa2), ISOTROPIC, nu + 1.0))
    expected = v / 4.0 * np.linalg.matrix_power(kappa2 * np.eye(42) + G, nu + 1)
    assert_allclose(model.stencil(SHAPE).tocsr().toarray(), expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann"])
def test_maps_and_barrier_are_their_definition_pair_by_pair(boundary):
    model = Matern(RANGE, SIGMA, 2, anisotropy=(RATIO, ANGLE), boundary=boundary, barrier=BARRIER)
    found = diffusion(RATIO, ANGLE)
    G = diffusion_matrix(SHAPE, lambda p, e: found.conductances[e][p], list(found.conductances), boundary, blocked)
    K = np.diag(model.kappa2.ravel()) + G
    T = np.diag(np.sqrt(lattice_variance(model.kappa2, found.weights, 3.0) / SIGMA**2).ravel())
    expected = T @ K @ K @ K @ T
    assert_allclose(model.stencil(SHAPE).tocsr().toarray(), expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "torus"])
@pytest.mark.parametrize("nu", [1, 2])
def test_constant_maps_are_numbers(boundary, nu):
    one = np.ones(SHAPE)
    plain = Matern(5.0, 2.0, nu, (2.5, 0.4), boundary).stencil(SHAPE).tocsr().toarray()
    maps = Matern(5.0 * one, 2.0 * one, nu, (2.5 * one, 0.4 * one), boundary, one < 0.0).stencil(SHAPE)
    assert_allclose(maps.tocsr().toarray(), plain, rtol=1e-11, atol=1e-13 * np.abs(plain).max())


@pytest.mark.parametrize("reach", [5.0, 10.0, 30.0, 100.0])
@pytest.mark.parametrize("nu", [0.5, 1, 2, 3])
def test_standard_deviation_in_the_interior_is_sigma(reach, nu):
    # Four ranges from the border the no-flux images add less than 1e-4 of the variance.
    side = int(8 * reach) + 1
    field = Matern(reach, 3.0, nu).gmrf((side, side))
    assert field.method == "spectral"
    assert np.sqrt(field.marginal_variance()[side // 2, side // 2]) == pytest.approx(3.0, rel=1e-4)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_variance_on_a_strip_is_that_of_its_width_and_stationary_edges_have_sigma(width):
    model = Matern(10.0, 2.0)
    middle = model.gmrf((width, 200)).marginal_variance()[width // 2, 100]
    assert middle / 4.0 == pytest.approx(1.1 * 10.0 / width, rel=0.03)
    assert_allclose(model.stationary((width, 20)).marginal_variance(), 4.0, rtol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 3)])
def test_variance_on_few_pixels_is_that_of_their_number(shape):
    found = Matern(10.0, 2.0).gmrf(shape).marginal_variance().mean() / 4.0
    assert found == pytest.approx(1.6 * 100.0 / (shape[0] * shape[1]), rel=0.06)


def test_sigma_over_the_deviations_of_ponds_and_channels_makes_the_variance_even():
    barrier = np.ones((20, 25), dtype=bool)
    barrier[2:5, 2:5] = barrier[10] = barrier[:, 18:] = False
    model = Matern(10.0, barrier=barrier)
    deviation = np.sqrt(model.gmrf((20, 25)).marginal_variance())
    assert deviation[3, 3] > 3.0
    even = model.replace(sigma=1.0 / deviation).gmrf((20, 25)).marginal_variance()
    assert_allclose(even, 1.0, rtol=1e-9)


@pytest.mark.parametrize("reach", [10, 40, 100])
@pytest.mark.parametrize("nu", [1, 2])
def test_correlation_is_that_of_the_matern_family(reach, nu):
    side = 8 * reach + 1
    field = Matern(float(reach), 1.0, nu).gmrf((side, side))
    row = field.covariance_with((side // 2, side // 2))[side // 2, side // 2 :]
    h = np.sqrt(8.0 * nu) * np.arange(reach // 4, 2 * reach) / reach
    expected = 2.0 ** (1.0 - nu) / gamma(nu) * h**nu * kv(nu, h)
    assert_allclose(row[reach // 4 : 2 * reach], expected, atol=0.02 if reach > 10 else 0.04)
    if nu == 1:
        assert row[reach] == pytest.approx(0.14, abs=0.006)


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.0, 4.0])
@pytest.mark.parametrize("triple", [(1.0, 1.0, 0.0), (0.3, 2.0, 0.4), (0.0, 1.5, 0.667)])
def test_lattice_variance_is_the_mean_over_frequencies(alpha, triple):
    w = 2.0 * np.pi * np.arange(512) / 512
    x, y = w[:, np.newaxis], w[np.newaxis]
    s = [4.0 * np.sin(each / 2.0) ** 2 for each in (x, y, x + y)]
    for kappa2 in (0.1, 3.0):
        expected = np.mean((kappa2 + sum(r * each for r, each in zip(triple, s, strict=True))) ** -alpha)
        assert lattice_variance(np.array(kappa2), np.array([*triple, 0.0]), alpha) == pytest.approx(expected, rel=1e-12)


def test_lattice_variance_does_not_divide_by_a_determinant_that_is_rounding():
    rho = [3962539.77280644, 65490160.87081367, 28289761.51440896, -12180529.15597266]  # of determinant 1 by design
    x = 2.0 * np.pi * np.arange(512) / 512
    g = sum(
        r * 4.0 * np.sin(t / 2.0) ** 2
        for r, t in zip(rho, (x, x[:, None], x + x[:, None], x - x[:, None]), strict=True)
    )
    expected = np.mean((43497875.72892263 + g) ** -3.0)
    assert lattice_variance(np.array(43497875.72892263), np.array(rho), 3.0) == pytest.approx(expected, rel=1e-12)


def test_lattice_variance_approaches_the_continuous_one():
    kappa2 = 8.0 / 1e4**2
    assert lattice_variance(np.array(kappa2), ISOTROPIC, 2.0) * 4.0 * np.pi * kappa2 == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("ratio", [0.2, 1.0, 2.0, 5.0, 9.0])
@pytest.mark.parametrize("angle", [0.0, 0.3, 0.785, 1.2, 2.9])
def test_conductances_are_never_negative_and_make_the_tensor(ratio, angle):
    conductances = diffusion(np.array(ratio), np.array(angle)).conductances
    assert all(rho >= -1e-12 for rho in conductances.values())
    H = sum(rho * np.outer(e, e) for e, rho in conductances.items())
    along, across = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])
    assert along @ H @ along == pytest.approx(ratio)
    assert across @ H @ across == pytest.approx(1.0 / ratio)
    assert abs(along @ H @ across) < 1e-12 * ratio


@pytest.mark.parametrize("ratio", [0.4, 1.0, 1.5, 4.0, 9.0])
@pytest.mark.parametrize("angle", [0.0, 0.4, 0.785, -1.2])
def test_smooth_diffusion_makes_the_tensor_and_is_positive_semi_definite(ratio, angle):
    found, other = (each(np.array(ratio), np.array(angle)) for each in (smooth_diffusion, diffusion))
    tensors = [sum(rho * np.outer(e, e) for e, rho in each.conductances.items()) for each in (found, other)]
    assert_allclose(*tensors, atol=1e-13 * np.abs(tensors[0]).max())
    for shape in ((1, 7), (5, 1), (6, 7)):
        for boundary in ("neumann", "dirichlet"):
            G = laplacian(shape, found.conductances, boundary).tocsr().toarray()
            assert np.linalg.eigvalsh(G)[0] > -1e-13 * np.abs(G).max()
    w = 2.0 * np.pi * np.arange(512) / 512
    x, y = w[:, np.newaxis], w[np.newaxis]
    g = sum(4.0 * rho * np.sin((di * x + dj * y) / 2.0) ** 2 for (di, dj), rho in found.conductances.items())
    assert g.min() > -1e-12
    for alpha in (1.0, 2.0, 3.0):
        assert lattice_variance(np.array(0.5), found.weights, alpha) == pytest.approx(np.mean((0.5 + g) ** -alpha))


def test_smooth_diffusion_has_derivatives_everywhere_and_the_plain_stencil_without_anisotropy():
    plain = Matern(5.0).stencil(SHAPE).tocsr().toarray()
    none = Matern(5.0, anisotropy=(1.0, 0.0), diffusion="smooth")
    assert_allclose(none.stencil(SHAPE).tocsr().toarray(), plain, rtol=1e-12, atol=1e-14)
    for model in (none, none.replace(stretch=0.5, shear=-0.76), Matern(5.0, nu=1.5, anisotropy=(2.0, 0.6))):
        smooth = model.replace(diffusion="smooth")
        for name, derivative in smooth.derivatives(SHAPE).items():
            at, step = smooth.parameters[name], 1e-5
            up, down = (smooth.replace(**{name: at + s}).stencil(SHAPE).tocsr().toarray() for s in (step, -step))
            slope = (up - down) / (2.0 * step)
            assert_allclose(derivative.tocsr().toarray(), slope, atol=1e-8 * np.abs(slope).max())


def test_smooth_diffusion_is_refused_where_pixels_differ():
    ratio = np.full(SHAPE, 2.0)
    for changes in ({"anisotropy": (ratio, 0.3)}, {"anisotropy": (2.0, 0.3), "barrier": ratio > 3.0}):
        with pytest.raises(ArgumentError, match=r'^diffusion must be "monotone" with maps'):
            Matern(5.0, diffusion="smooth", **changes)
    with pytest.raises(ArgumentError, match=r"^diffusion must be one of"):
        Matern(5.0, anisotropy=(2.0, 0.3), diffusion="selling")


def test_draws_correlate_along_and_across_as_the_ratio_says():
    # 30 draws of 160 x 160 with effective ranges 40 and 10: some 500 independent patches, so that a correlation has a
    # standard error below 0.05 and 0.3 is six of them: a false-alarm probability below 1e-8.
    field = Matern(20.0, 1.0, 1, anisotropy=(4.0, np.pi / 4.0), boundary="torus").gmrf((160, 160))
    draws = field.sample(30, rng=0)
    along = np.corrcoef(draws[:, :-14, :-14].ravel(), draws[:, 14:, 14:].ravel())[0, 1]  # 19.8 pixels
    across = np.corrcoef(draws[:, :-14, 14:].ravel(), draws[:, 14:, :-14].ravel())[0, 1]
    exact = field.covariance_with((80, 80))
    assert along == pytest.approx(exact[94, 94] / exact[80, 80], abs=0.1)
    assert across == pytest.approx(exact[94, 66] / exact[80, 80], abs=0.1)
    assert along - across > 0.3


def test_no_correlation_passes_a_barrier():
    wall = np.zeros((12, 15), dtype=bool)
    wall[:, 7] = True
    covariance = DenseFactor(Matern(8.0, barrier=wall).stencil((12, 15))).covariance_with((5, 6))
    assert np.abs(covariance[:, 7:]).max() < 1e-15
    assert covariance[:, :7].min() > 0.1
    stairs = np.eye(12, dtype=bool)  # pixels that touch at corners only: nothing slips through, along diagonals either
    corner = DenseFactor(Matern(8.0, anisotropy=(2.0, 0.4), barrier=stairs).stencil((12, 12))).covariance_with((2, 8))
    assert np.abs(corner[np.tril_indices(12)]).max() < 1e-15


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"range": 0.0}, "range must be positive"),
        ({"range": -np.ones((2, 2))}, "range must be positive"),
        ({"range": np.nan}, "range"),
        ({"range": np.ones(3)}, "range"),
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"nu": 0.0}, "nu must be positive"),
        ({"nu": "fit"}, "nu must be one of 'estimate', got 'fit'"),
        ({"nu": 0.5, "terms": 0}, "terms must be at least 1"),
        ({"nu": 0.5, "terms": 5}, "terms must be at most 4"),
        ({"nu": 4.5, "nu_is_free": True}, "nu must be below 4 to be estimated"),
        ({"nu": "estimate", "range": np.ones((2, 2))}, "range must be a number for nu to be estimated"),
        ({"anisotropy": 2.0}, "anisotropy must be"),
        ({"anisotropy": (0.0, 1.0)}, r"anisotropy\[0\]"),
        ({"anisotropy": (1.0, np.inf)}, r"anisotropy\[1\]"),
        ({"anisotropy": (np.ones(3), 1.0)}, "anisotropy"),
        ({"boundary": "free"}, "boundary"),
        ({"barrier": np.ones((2, 2))}, "barrier must be boolean"),
        ({"barrier": np.ones(2, dtype=bool)}, "barrier"),
    ],
)
def test_bad_arguments_are_named(arguments, match):
    with pytest.raises(ArgumentError, match=match):
        Matern(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"range": np.ones((2, 2))},
        {"sigma": np.ones((2, 2))},
        {"anisotropy": (np.ones((2, 2)), 0.0)},
        {"barrier": np.zeros((2, 2), dtype=bool)},
    ],
)
def test_maps_of_another_shape_are_refused(arguments):
    name = next(iter(arguments))
    with pytest.raises(ArgumentError, match=rf"{name} must .*shape \(3, 4\).*\(2, 2\)"):
        Matern(**arguments).gmrf((3, 4))


@pytest.mark.parametrize("sigma", [5e-324, 1e-300, 1e-146, 1e146, 1e300, np.full((4, 5), 1e-300)])
def test_sigma_whose_precision_is_no_number_is_refused_with_the_range(sigma):
    model = Matern(sigma=sigma)
    for call in (model.gmrf, model.stencil, model.derivatives):
        with pytest.raises(ArgumentError, match=r"^sigma must make a precision between 1e-290 and 1e\+290"):
            call((4, 5))


@pytest.mark.parametrize("sigma", [1e-140, 1e140])
def test_logdet_goes_with_a_tiny_and_a_large_sigma(sigma):
    shift = -2.0 * 20 * np.log(sigma)
    assert Matern(sigma=sigma).gmrf((4, 5)).logdet == pytest.approx(Matern().gmrf((4, 5)).logdet + shift, rel=1e-13)


def test_a_tiny_sigma_held_fixed_is_refused_by_fits():
    image = np.random.default_rng(0).normal(size=(6, 7))
    with pytest.raises(ArgumentError, match="sigma must make a precision"):
        fit(Matern(sigma=1e-300), image, fixed="sigma")
