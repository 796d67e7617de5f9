"""edge='stationary': every homogeneous proper model goes on beyond the image."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import CAR, SAR, Intrinsic, Matern, TensionSpline
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.fields import StationaryEdgeField

SHAPE = (6, 9)
MODELS = {
    "CAR": CAR(0.2),
    "CAR neumann": CAR(0.2, boundary="neumann"),
    "CAR degree": CAR(0.9, form="degree"),
    "SAR": SAR(0.2),
    "Matern": Matern(5.0, 2.0),
    "Matern 2, dirichlet": Matern(4.0, 2.0, 2, boundary="dirichlet"),
    "Matern anisotropic": Matern(4.0, 1.0, anisotropy=(2.0, 0.4)),
    "TensionSpline": TensionSpline(0.5, proper=0.1),
}


@pytest.mark.parametrize("name", MODELS)
def test_variance_is_constant_and_that_of_the_middle_of_a_large_lattice(name):
    field = MODELS[name].gmrf(SHAPE, edge="stationary")
    assert isinstance(field, StationaryEdgeField)
    assert 0.0 <= field.error <= field.tolerance
    assert np.ptp(field.marginal_variance()) <= field.tolerance * field.variance
    middle = MODELS[name].gmrf((71, 71)).marginal_variance()[35, 35]
    assert_allclose(field.variance, middle, rtol=1e-3)


def test_matern_has_the_variance_it_is_asked_for_up_to_the_border():
    field = Matern(8.0, 3.0, 2).gmrf((12, 20), mean=5.0, edge="stationary")
    assert_allclose(np.sqrt(field.marginal_variance()), 3.0, rtol=1e-3)
    assert np.array_equal(field.mean, np.full((12, 20), 5.0))


def test_models_that_do_not_go_on_are_refused():
    with pytest.raises(ArgumentError, match=r"^stencil must have a positive symbol"):
        Intrinsic().gmrf(SHAPE, edge="stationary")
    with pytest.raises(StencilError, match=r"coefficient per pixel"):
        Matern(np.full(SHAPE, 5.0)).gmrf(SHAPE, edge="stationary")
    with pytest.raises(ArgumentError, match=r"^edge must be one of"):
        CAR(0.2).gmrf(SHAPE, edge="soft")
