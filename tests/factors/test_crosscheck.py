"""Dissection against CHOLMOD on images too large for dense matrices, and both against published values."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import SymmetricStencil
from sparsegmrf.factors import CholmodFactor, DissectionFactor
from tests.conftest import require

require("sksparse.cholmod")

FIVE = [(0, 0), (0, 1), (1, 0)]
NINE = [(0, 0), (0, 1), (1, -1), (1, 0), (1, 1)]
RTOL = 1e-10

# G + 0.1 I with the five-point Neumann Laplacian G; the square's log-determinant is twice that.
LOGDET = {256: 79567.850391, 512: 319023.928379, 1024: 1277598.492626}


def dominant(offsets, shape, channels=1, seed=0):
    """Return a per-pixel stencil with random couplings, positive definite by diagonal dominance."""
    rng = np.random.default_rng(seed)
    block = () if channels == 1 else (channels, channels)
    planes = [rng.uniform(-1.0, 0.5, (*shape, *block)) for _ in offsets[1:]]
    centre = rng.uniform(0.1, 1.0, shape) + 2.0 * channels * len(planes)
    if channels > 1:
        centre = centre[..., None, None] * np.eye(channels)
    return SymmetricStencil(offsets, [centre, *planes], shape, channels=channels)


def membrane(shape, conductance=1.0, kappa2=0.1, seed=None):
    """Return ``kappa^2 + G`` with the given conductance, times a random factor per edge where a seed is given."""
    right, below = np.broadcast_to(np.array(conductance), (2, *shape)).copy()
    if seed is not None:
        right, below = (right, below) * np.random.default_rng(seed).uniform(0.5, 1.5, (2, *shape))
    right[:, -1] = 0.0
    below[-1] = 0.0
    centre = kappa2 + right + below
    centre[:, 1:] += right[:, :-1]
    centre[1:] += below[:-1]
    return SymmetricStencil(FIVE, [centre, -right, -below], shape)


def squared(stencil):
    """Return ``Q^2``: 13 points from five."""
    Q = stencil.tocsr()
    return SymmetricStencil.from_csr(Q @ Q, stencil.shape)


def with_mask(stencil, seed=0):
    """Replace the rows and columns of a disc and of scattered pixels by those of the identity."""
    height, width = stencil.shape
    i, j = np.mgrid[:height, :width]
    fixed = np.hypot(i - 0.4 * height, j - 0.6 * width) < 0.2 * min(height, width)
    fixed |= np.random.default_rng(seed).random(stencil.shape) < 0.02
    planes = []
    for k, offset in enumerate(stencil.offsets.tolist()):
        rows, columns = stencil.lattice.with_neighbour(offset)
        target = np.zeros(stencil.shape, dtype=bool)
        target[rows, columns] = np.roll(fixed, (-offset[0], -offset[1]), (0, 1))[rows, columns]
        plane = stencil.plane(k)
        plane[fixed | target] = 1.0 if k == 0 else 0.0
        planes.append(plane)
    return SymmetricStencil(stencil.offsets, planes, stencil.shape)


def with_patch(shape):
    """Return a homogeneous membrane that is stiffer in a rectangle."""
    conductance = np.ones(shape)
    conductance[shape[0] // 3 : shape[0] // 2, 5 : shape[1] // 2] = 2.5
    return membrane(shape, conductance)


STENCILS = {
    "five-point, homogeneous": SymmetricStencil(FIVE, [4.1, -1.0, -1.0], (200, 171)),
    "five-point, homogeneous, Neumann": SymmetricStencil(FIVE, [4.1, -1.0, -1.0], (64, 200), boundary="neumann"),
    "five-point, per pixel": membrane((131, 200), seed=1),
    "five-point, per pixel, masked": with_mask(membrane((150, 97), seed=2)),
    "five-point, homogeneous, masked": with_mask(SymmetricStencil(FIVE, [4.1, -1.0, -1.0], (128, 128))),
    "five-point, patch": with_patch((180, 160)),
    "nine-point, homogeneous": SymmetricStencil(NINE, [8.1, -1.0, -0.9, -1.0, -0.8], (111, 140)),
    "nine-point, per pixel": dominant(NINE, (129, 100), seed=3),
    "nine-point, per pixel, masked": with_mask(dominant(NINE, (77, 130), seed=4)),
    "13-point, Neumann": squared(membrane((120, 101))),
    "13-point, per pixel": squared(membrane((96, 128), seed=5)),
    "13-point, per pixel, masked": with_mask(squared(membrane((110, 90), seed=6))),
    "13-point, patch": squared(with_patch((100, 100))),
    "five-point, two channels": dominant(FIVE, (64, 81), channels=2, seed=7),
    "nine-point, three channels": dominant(NINE, (64, 67), channels=3, seed=8),
}


@pytest.fixture(scope="module", params=STENCILS)
def pair(request):
    stencil = STENCILS[request.param]
    return stencil, DissectionFactor(stencil), CholmodFactor(stencil)


def fields(stencil, count):
    return np.random.default_rng(11).standard_normal((count, *stencil.lattice.image_shape))


def test_log_determinants_agree(pair):
    _, ours, cholmod = pair
    assert ours.logdet == pytest.approx(cholmod.logdet, rel=RTOL)


def test_solves_agree_for_one_and_many_right_hand_sides(pair):
    stencil, ours, cholmod = pair
    for count in (1, 17):
        b = fields(stencil, count)
        expected = cholmod.solve(b)
        assert_allclose(ours.solve(b), expected, rtol=0.0, atol=RTOL * np.abs(expected).max())


def test_whitened_squares_are_the_quadratic_form_of_either(pair):
    stencil, ours, cholmod = pair
    x = fields(stencil, 3)
    axes = tuple(range(1, x.ndim))
    form = np.sum(x * (stencil @ x), axis=axes)
    assert_allclose(np.sum(ours.whiten(x) ** 2, axis=axes), form, rtol=RTOL)
    assert_allclose(np.sum(cholmod.whiten(x) ** 2, axis=axes), form, rtol=RTOL)


def test_draws_from_either_factor_whiten_back_in_both(pair):
    stencil, ours, cholmod = pair
    e = fields(stencil, 2)
    for factor in (ours, cholmod):
        assert_allclose(factor.whiten(factor.unwhiten(e)), e, rtol=0.0, atol=1e-9)
    assert_allclose(np.sum(ours.whiten(cholmod.unwhiten(e)) ** 2), np.sum(e**2), rtol=RTOL)


def test_selected_inverses_agree_on_every_offset(pair):
    stencil, ours, cholmod = pair
    ours, cholmod = ours.selected_inverse(), cholmod.selected_inverse()
    assert np.array_equal(ours.offsets, stencil.offsets)
    for k in range(len(stencil.offsets)):
        assert_allclose(ours.plane(k), cholmod.plane(k), rtol=0.0, atol=RTOL * np.abs(cholmod.plane(0)).max())


def test_columns_of_the_covariance_agree(pair):
    stencil, ours, cholmod = pair
    for pixel in ((0, 0), (33, 40), (stencil.shape[0] - 1, 5)):
        expected = cholmod.covariance_with(pixel, stencil.channels - 1)
        column = ours.covariance_with(pixel, stencil.channels - 1)
        assert_allclose(column, expected, rtol=0.0, atol=RTOL * np.abs(expected).max())


@pytest.mark.parametrize("side", [256, 512, pytest.param(1024, marks=pytest.mark.slow)])
@pytest.mark.parametrize("make", [DissectionFactor, CholmodFactor])
def test_log_determinant_of_the_neumann_membrane_has_its_published_value(make, side):
    stencil = SymmetricStencil(FIVE, [4.1, -1.0, -1.0], (side, side), boundary="neumann")
    # Nine digits, of which the published value has at least ten.
    assert make(stencil).logdet == pytest.approx(LOGDET[side], rel=5e-10)


@pytest.mark.parametrize("side", [256, pytest.param(512, marks=pytest.mark.slow)])
def test_log_determinant_of_the_squared_membrane_is_twice_that(side):
    stencil = squared(SymmetricStencil(FIVE, [4.1, -1.0, -1.0], (side, side), boundary="neumann"))
    assert DissectionFactor(stencil).logdet == pytest.approx(2.0 * LOGDET[side], rel=5e-10)
