"""What a model becomes at the ends of its parameters: the models that the phrases name are the limits."""

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import CAR, SAR, Channels, Intrinsic, Matern, Sum, TensionSpline
from tests.models.catalogue import BARRIER, COMPOSED, FRACTIONAL, INTRINSIC, PROPER, SHAPE

ALL = {**PROPER, **FRACTIONAL, **INTRINSIC, **COMPOSED}


def dense(model):
    return model.stencil(SHAPE).tocsr().toarray()


@pytest.mark.parametrize("model", list(ALL.values()), ids=list(ALL))
def test_every_end_of_every_parameter_has_a_phrase(model):
    for name in model.parameters:
        for high in (False, True):
            phrase = model.end_of(name, high)
            assert re.fullmatch(r"[^\n]*[^\s.]", phrase)
    assert model.end_of("noise_variance", True) is None


def named(phrase):
    """The model that a phrase names."""
    call = re.search(r"(?:Intrinsic|CAR)\(.*?\)(?= is this model)", phrase).group()
    return eval(call, {"Intrinsic": Intrinsic, "CAR": CAR, "barrier": BARRIER})


@pytest.mark.parametrize(
    "model",
    [
        TensionSpline(),
        TensionSpline(boundary="torus"),
        TensionSpline(barrier=BARRIER),
        TensionSpline(proper=0.3),
        TensionSpline(proper=0.3, boundary="torus"),
        TensionSpline(boundary="dirichlet"),
        TensionSpline(proper=0.1, boundary="dirichlet"),
    ],
)
def test_tension_spline_of_a_large_kappa_is_the_model_that_its_end_names(model):
    limit = dense(named(model.end_of("kappa", high=True)))
    found = dense(model.replace(kappa=1e4, tau=1e-8))
    assert_allclose(found * (limit[0, 0] / found[0, 0]), limit, atol=1e-6)


def test_tension_spline_of_a_small_kappa_is_nearly_the_thin_plate():
    assert TensionSpline().end_of("kappa", high=False).endswith("Intrinsic(order=2) is close to this model")
    found, limit = (each.stencil((12, 13)) for each in (TensionSpline(1e-6), Intrinsic(order=2)))
    place = {tuple(offset): k for k, offset in enumerate(found.offsets.tolist())}
    for k, offset in enumerate(limit.offsets.tolist()):
        assert_allclose(found.plane(place[tuple(offset)])[3:-3, 3:-3], limit.plane(k)[3:-3, 3:-3], atol=1e-9)
    for changes in ({"barrier": BARRIER}, {"boundary": "torus"}, {"anisotropy": (2.0, 0.3)}):
        for model, name, high in ((TensionSpline(**changes), "kappa", False), (Matern(**changes), "range", True)):
            assert "thin plate" in model.end_of(name, high)
            assert "Intrinsic" not in model.end_of(name, high)


@pytest.mark.parametrize("boundary", ["neumann", "dirichlet", "torus"])
def test_tension_spline_of_a_small_kappa_is_the_one_with_its_roles_exchanged(boundary):
    model = TensionSpline(proper=0.09, boundary=boundary)
    assert "replace(kappa=0.3, proper=0.0) is this model" in model.end_of("kappa", high=False)
    assert_allclose(dense(model.replace(kappa=1e-6)), dense(model.replace(kappa=0.3, proper=0.0)), atol=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        CAR(0.2, boundary="neumann"),
        CAR(0.2, boundary="torus"),
        CAR(0.2, form="degree"),
        CAR(0.2, form="degree", boundary="torus"),
    ],
)
def test_tied_autoregression_is_the_model_that_its_end_names(model):
    upper = model.limits((6, 8))["rho"][1]  # sides of even length, where a torus has no frustrated pair
    found = model.replace(rho=upper * (1.0 - 1e-10)).stencil((6, 8)).tocsr().toarray()
    limit = named(model.end_of("rho", high=True)).stencil((6, 8)).tocsr().toarray()
    assert_allclose(found * (limit[0, 0] / found[0, 0]), limit, atol=1e-8)


def test_tied_cut_off_autoregression_is_the_intrinsic_one_away_from_the_border():
    model, shape = CAR(0.2), (60, 61)
    assert model.end_of("rho", high=True).endswith("away from the border Intrinsic() is close to this model")
    upper = model.limits(shape)["rho"][1]
    found, limit = (each.stencil(shape) for each in (model.replace(rho=upper * (1 - 1e-9), tau=4.0), Intrinsic()))
    for k in range(3):
        assert_allclose(found.plane(k)[2:-2, 2:-2], limit.plane(k)[2:-2, 2:-2], atol=0.005)


@pytest.mark.parametrize("model", [SAR(0.2), SAR(0.2, boundary="neumann"), SAR(row_standardized=True)])
def test_tied_simultaneous_autoregression_is_nearly_the_thin_plate(model):
    assert "thin plate; Intrinsic(order=2) is close" in model.end_of("rho", high=True)
    shape = (60, 61)
    found = model.replace(rho=model.limits(shape)["rho"][1] * (1 - 1e-9), tau=16.0).stencil(shape)
    limit = Intrinsic(order=2).stencil(shape)
    place = {tuple(offset): k for k, offset in enumerate(found.offsets.tolist())}
    for k, offset in enumerate(limit.offsets.tolist()):
        found_here = found.plane(place[tuple(offset)])
        assert_allclose(found_here[3:-3, 3:-3], limit.plane(k)[3:-3, 3:-3], atol=0.05)


def test_matern_of_no_range_is_white_and_without_an_end_to_it_a_thin_plate():
    assert "independent" in Matern().end_of("range", high=False)
    assert_allclose(dense(Matern(1e-5, 2.0)), np.eye(42) / 4.0, atol=1e-8)
    model = Matern(1e6, 1.0)
    assert "Intrinsic(order=2) is close" in model.end_of("range", high=True)
    Q = model.stencil((12, 13))
    limit = Intrinsic(order=2).stencil((12, 13))
    place = {tuple(offset): k for k, offset in enumerate(Q.offsets.tolist())}
    size = Q.plane(0)[6, 6] / 20.0
    for k, offset in enumerate(limit.offsets.tolist()):
        inner = Q.plane(place[tuple(offset)])[3:-3, 3:-3] / size
        assert_allclose(inner, limit.plane(k)[3:-3, 3:-3], atol=1e-4)
    for nu in (0.5, 2):
        assert "Intrinsic" not in Matern(nu=nu).end_of("range", high=True)


@pytest.mark.parametrize(
    ("name", "high", "step", "phrase"),
    [
        ("stretch", True, (0, 3), "along rows"),
        ("stretch", False, (3, 0), "along columns"),
        ("shear", True, (3, 3), "from upper left to lower right"),
        ("shear", False, (-3, 3), "from lower left to upper right"),
    ],
)
def test_field_is_constant_along_the_lines_that_its_end_names(name, high, step, phrase):
    model = Matern(6.0, anisotropy=(1.5, 0.2), boundary="torus")
    assert phrase in model.end_of(name, high)
    end = model.replace(**{"stretch": 0.0, "shear": 0.0, name: 10.0 if high else -10.0})
    covariance = end.gmrf((20, 20)).covariance_with((10, 10))
    along = covariance[10 + step[0], 10 + step[1]] / covariance[10, 10]
    across = covariance[10 + step[1], 10 - step[0]] / covariance[10, 10]
    assert along > 0.99
    assert abs(across) < 0.1


def test_vanishing_and_unbound_fields_are_told_apart():
    for model, name, high in ((CAR(0.2), "tau", True), (SAR(), "tau", True), (Matern(), "sigma", False)):
        assert model.end_of(name, high).startswith("the field vanishes")
        assert "follows the image exactly" in model.end_of(name, not high)
    assert Intrinsic().end_of("tau", high=True).startswith("the field is constant")
    assert Intrinsic(order=2).end_of("tau", high=True).startswith("the field is a plane")
    assert TensionSpline().end_of("tau", high=True).startswith("the field is constant")
    assert TensionSpline(proper=0.1).end_of("tau", high=True).startswith("the field vanishes")


def test_sums_and_channels_say_what_their_models_say():
    model = Sum([TensionSpline(), CAR((0.1, 0.2))], labels=["wide", "rho_wide"])
    assert model.end_of("kappa_wide", high=True) == TensionSpline().end_of("kappa", high=True)
    assert model.end_of("rho_vertical_rho_wide", high=True) == CAR((0.1, 0.2)).end_of("rho_vertical", high=True)
    assert model.end_of("kappa", high=True) is None
    assert Channels(CAR(0.2), np.eye(2)).end_of("rho", high=False) == CAR(0.2).end_of("rho", high=False)
