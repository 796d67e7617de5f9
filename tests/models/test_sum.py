"""Sum: fields stacked per pixel against dense blocks, names of parameters, observation."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import CAR, SAR, Intrinsic, Matern, Sum, TensionSpline
from sparsegmrf.errors import ArgumentError
from tests import reference

SHAPE = (5, 4)
MODELS = {
    "two scales": [Matern(8.0, 2.0), Matern(2.0, 0.5, 2)],
    "one": [CAR(0.2)],
    "three kinds": [CAR(0.2), SAR(0.1), Matern(3.0, 1.0, 2, boundary="dirichlet")],
    "torus": [CAR(0.2, boundary="torus"), Matern(3.0, boundary="torus")],
}


def dense(models):
    channels = len(models)
    Q = np.zeros((20, channels, 20, channels))
    for c, model in enumerate(models):
        Q[:, c, :, c] = model.stencil(SHAPE).tocsr().toarray()
    return Q.reshape(20 * channels, 20 * channels)


@pytest.mark.parametrize("name", MODELS)
def test_field_is_that_of_diagonal_blocks(name):
    models = MODELS[name]
    model, Q = Sum(models), dense(models)
    assert_allclose(model.stencil(SHAPE).tocsr().toarray(), Q, rtol=1e-12, atol=1e-12)
    field = model.gmrf(SHAPE, mean=1.5)
    x = np.random.default_rng(0).standard_normal(field.lattice.image_shape)
    assert_allclose(field.logpdf(x), reference.log_density(x, np.full(x.shape, 1.5), Q), rtol=1e-9)
    assert_allclose(field.marginal_variance().ravel(), np.diagonal(np.linalg.inv(Q)), rtol=1e-9)
    assert_allclose(field.precision.tocsr().toarray(), Q, rtol=1e-12, atol=1e-12)
    assert field.sample(2, rng=0).shape == (2, *field.lattice.image_shape)


@pytest.mark.parametrize("name", ["two scales", "three kinds", "torus"])
def test_derivatives_are_differences_of_the_blocks_and_known_to_the_selected_inverse(name):
    model, step = Sum(MODELS[name]), 1e-6
    derivatives = model.derivatives(SHAPE)
    selected = model.gmrf(SHAPE).factor.selected_inverse()
    covariance = np.linalg.inv(dense(MODELS[name]))
    assert set(derivatives) == set(model.parameters) == set(model.limits(SHAPE))
    for parameter, value in model.parameters.items():
        moved = [model.replace(**{parameter: value * (1 + sign * step)}).stencil(SHAPE).tocsr() for sign in (-1, 1)]
        difference = (moved[1] - moved[0]).toarray() / (2 * step * value)
        found = derivatives[parameter].tocsr().toarray()
        assert_allclose(found, difference, rtol=1e-6, atol=1e-6 * np.abs(difference).max())
        assert_allclose(derivatives[parameter].inner(selected), np.sum(found * covariance), rtol=1e-8)


def test_intrinsic_members_keep_their_constraint():
    model = Sum([Intrinsic(), TensionSpline(0.5), CAR(0.2)], labels=["rough", "smooth", "near"])
    field = model.gmrf(SHAPE)
    assert field.factor.rank == 19 + 19 + 20
    draw = field.sample(rng=0)
    assert_allclose(draw[..., :2].sum(axis=(0, 1)), 0.0, atol=1e-10)
    pinv = np.linalg.pinv(dense(model.models), hermitian=True, rcond=1e-12)
    assert_allclose(field.marginal_variance().ravel(), np.diagonal(pinv), rtol=1e-8)


def test_observation_adds_the_fields_up_with_its_weights():
    x = np.random.default_rng(0).standard_normal((3, *SHAPE, 2))
    assert_allclose(Sum(MODELS["two scales"]).observe(x), x.sum(axis=-1))
    weighted = Sum(MODELS["two scales"], observation=[2.0, -1.0])
    assert_allclose(weighted.observe(x), 2 * x[..., 0] - x[..., 1])
    assert_allclose(Sum([CAR(0.2)], observation=[3.0]).observe(x[..., 0]), 3 * x[..., 0])
    with pytest.raises(ArgumentError, match=r"^x must have shape"):
        weighted.observe(np.ones((5, 4, 3)))


def test_parameters_are_named_by_label_and_can_be_replaced():
    model = Sum([CAR(0.2), CAR(0.1, tau=4.0)], labels=["coarse", "fine"])
    assert model.parameters == {"rho_coarse": 0.2, "tau_coarse": 1.0, "rho_fine": 0.1, "tau_fine": 4.0}
    changed = model.replace(tau_fine=9.0)
    assert changed.parameters["tau_fine"] == 9.0
    assert changed.labels == ("coarse", "fine")
    assert changed.models[0].parameters == CAR(0.2).parameters
    assert set(Sum([CAR(0.2), CAR(0.1)]).parameters) == {"rho_0", "tau_0", "rho_1", "tau_1"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), r"^models must hold"),
        ((["CAR"],), r"^models must hold"),
        (([CAR(0.2)], ["a", "b"]), r"^labels must be 1 distinct"),
        (([CAR(0.2), CAR(0.1)], ["a", "a"]), r"^labels must be 2 distinct"),
        (([CAR(0.2)], None, [1.0, 2.0]), r"^observation must have one weight"),
        (([CAR(0.2)], None, [np.inf]), r"^observation must be finite"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        Sum(*arguments)


def test_members_on_a_torus_and_off_it_are_refused():
    with pytest.raises(ArgumentError, match=r"^members must wrap along the same axes"):
        Sum([CAR(0.2), CAR(0.2, boundary="torus")]).gmrf(SHAPE)
