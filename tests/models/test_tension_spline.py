"""TensionSpline: its matrix against the definition, and what lies in its null space."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.errors import ArgumentError
from sparsegmrf.fields import IntrinsicGMRF
from sparsegmrf.models import TensionSpline
from tests.models.catalogue import BARRIER, SHAPE, diffusion_matrix


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "torus"])
@pytest.mark.parametrize("proper", [0.0, 0.01])
@pytest.mark.parametrize("nu", [1, 2, 3])
def test_precision_is_its_definition(boundary, proper, nu):
    G = diffusion_matrix(SHAPE, lambda pixel, offset: 1.0, [(0, 1), (1, 0)], boundary)
    expected = 2.0 * (proper * np.eye(42) + G) @ np.linalg.matrix_power(0.09 * np.eye(42) + G, nu)
    found = TensionSpline(0.3, 2.0, proper=proper, boundary=boundary, nu=nu).stencil(SHAPE).tocsr().toarray()
    assert_allclose(found, expected, atol=1e-11)


@pytest.mark.parametrize("nu", [2, 3])
def test_unit_of_length_moves_tau_by_its_power(nu):
    model = TensionSpline(0.3, 2.0, nu=nu)
    wide = model.spaced((10.0, 10.0))
    assert wide.parameters == pytest.approx({"kappa": 0.03, "tau": 2.0 * 10.0 ** (2 * nu)})
    expected = model.stencil(SHAPE).tocsr().toarray()
    assert_allclose(wide.stencil(SHAPE).tocsr().toarray(), expected, rtol=1e-9, atol=1e-12)


def test_anisotropy_has_the_conductances_of_the_exponential_on_nine_points():
    # H = exp [[a, b], [b, -a]], G = (hx - |h|) Dx + (hy - |h|) Dy + |h| D_diag for |h| < min(hx, hy)
    import scipy.linalg

    a, b = 0.3, -0.4
    H = scipy.linalg.expm(np.array([[a, b], [b, -a]]))
    hx, hy, h = H[0, 0], H[1, 1], H[0, 1]
    rho = {(0, 1): hx - abs(h), (1, 0): hy - abs(h), (1, -1): abs(h)}
    G = diffusion_matrix(SHAPE, lambda pixel, offset: rho[offset], list(rho), "neumann")
    model = TensionSpline(1.0, anisotropy=(1.0, 0.0), proper=0.1).replace(stretch=a, shear=b)
    expected = (0.1 * np.eye(42) + G) @ (np.eye(42) + G)
    assert_allclose(model.stencil(SHAPE).tocsr().toarray(), expected, atol=1e-12)


def test_without_proper_the_field_is_intrinsic_with_a_level_per_part():
    assert isinstance(TensionSpline().gmrf(SHAPE), IntrinsicGMRF)
    assert not isinstance(TensionSpline(proper=1e-3).gmrf(SHAPE), IntrinsicGMRF)
    assert not isinstance(TensionSpline(boundary="dirichlet").gmrf(SHAPE), IntrinsicGMRF)
    wall = np.zeros(SHAPE, dtype=bool)
    wall[3] = True
    assert TensionSpline(barrier=wall).gmrf(SHAPE).rank_deficiency == 2
    assert TensionSpline(barrier=BARRIER).gmrf(SHAPE).rank_deficiency == 1


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"nu": 4}, "nu must be 1, 2 or 3"),
        ({"nu": 0}, "nu"),
        ({"nu": 1.5}, "nu"),
        ({"kappa": 0.0}, "kappa"),
        ({"tau": -1.0}, "tau"),
        ({"proper": -1e-3}, "proper"),
        ({"boundary": "x"}, "boundary"),
    ],
)
def test_bad_arguments_are_named(arguments, match):
    with pytest.raises(ArgumentError, match=match):
        TensionSpline(**arguments)


@pytest.mark.parametrize("diffusion", ["monotone", "smooth"])
@pytest.mark.parametrize("anisotropy", [(2.0, 0.4), (1.7, 1.1)])
def test_field_on_a_single_pixel_or_line_has_a_free_level(anisotropy, diffusion):
    model = TensionSpline(0.3, 2.0, anisotropy=anisotropy, diffusion=diffusion)
    assert model.stencil((1, 1)).tocsr().toarray().item() == 0.0
    for shape in ((1, 1), (1, 2), (2, 1), (1, 7), (6, 1)):
        field = model.gmrf(shape)
        assert field.rank_deficiency == 1
        assert abs(field.sample(rng=0).sum()) < 1e-12 * max(1.0, field.marginal_variance().max())
