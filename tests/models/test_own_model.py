"""A model that a user writes: 20 lines, and everything that models can do."""

import copy
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from sparsegmrf import CAR, Channels, Sum, SymmetricStencil, diagnose, fill, fit
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.models import Model

SHAPE = (20, 25)


@dataclass(frozen=True, eq=False)
class Membrane(Model):
    """``Q = tau (kappa^2 I + G)`` with the five-point ``G``."""

    kappa: float = 0.5
    tau: float = 1.0
    boundary: str = "dirichlet"

    @property
    def parameters(self):
        return {"kappa": self.kappa, "tau": self.tau}

    def limits(self, shape):
        return {"kappa": (0.0, float("inf")), "tau": (0.0, float("inf"))}

    def build_stencil(self, shape):
        weights = [self.tau * (self.kappa**2 + 4.0), -self.tau, -self.tau]
        return SymmetricStencil([(0, 0), (0, 1), (1, 0)], weights, shape, boundary=self.boundary)

    def build_derivatives(self, shape):
        by_kappa = SymmetricStencil([(0, 0)], [2.0 * self.kappa * self.tau], shape, boundary=self.boundary)
        return {"kappa": by_kappa, "tau": self.build_stencil(shape) * (1.0 / self.tau)}

    def scaled(self, factor):
        return self.replace(tau=self.tau / factor**2)


def as_car(model):
    """The same field: ``tau_car (I - rho W)``."""
    centre = model.kappa**2 + 4.0
    return CAR(1.0 / centre, tau=model.tau * centre)


@pytest.fixture(scope="module")
def image():
    return 3.0 + Membrane(0.4, 2.0).gmrf(SHAPE).sample(rng=0)


def test_field_is_that_of_the_dense_precision():
    model = Membrane(0.4, 2.0)
    field, Q = model.gmrf((4, 5)), model.stencil((4, 5)).tocsr().toarray()
    x = field.sample(rng=1)
    assert field.logpdf(x) == pytest.approx(multivariate_normal(np.zeros(20), np.linalg.inv(Q)).logpdf(x.ravel()))
    assert field.method == "spectral"  # read off the stencil
    assert model.gmrf((4, 5), method="dissection").logdet == pytest.approx(np.linalg.slogdet(Q)[1])


def test_fit_is_that_of_the_model_of_the_package_that_is_the_same_field(image):
    own, known = fit(Membrane(), image, noise_variance=None), fit(CAR(), image, noise_variance=None)
    assert own.converged
    assert own.loglik == pytest.approx(known.loglik, abs=1e-5)
    assert as_car(own.model).parameters == pytest.approx(known.model.parameters, rel=1e-2)
    assert set(own.standard_errors) == {"kappa", "tau"}


def test_fit_with_noise_finds_what_was_drawn():
    truth = Membrane(0.4, 2.0)
    noisy = truth.gmrf((40, 50)).sample(rng=2) + 0.3 * np.random.default_rng(3).standard_normal((40, 50))
    found = fit(Membrane(), noisy)
    assert found.converged
    for name, true in {**truth.parameters, "noise_variance": 0.09}.items():
        # Five standard errors on the logarithms: false alarm below 1e-6 a number.
        error = found.standard_errors[name] / found.parameters[name]
        assert abs(np.log(found.parameters[name] / true)) < 5.0 * error


def test_gaps_are_filled_and_the_fit_diagnosed(image):
    gap = np.zeros(SHAPE, dtype=bool)
    gap[5:10, 5:12] = True
    result = fill(np.where(gap, np.nan, image), model=Membrane(), mask=gap, noise_variance=None)
    other = fill(np.where(gap, np.nan, image), model=CAR(), mask=gap, noise_variance=None)
    np.testing.assert_array_equal(result.mean[~gap], image[~gap])
    # Both searches end near the maximum, not at the same place.
    np.testing.assert_allclose(result.mean[gap], other.mean[gap], atol=5e-3)
    assert diagnose(result.fit).residual < 1e-10


def test_what_the_class_gives_works_for_it():
    model = Membrane(0.4, 2.0)
    assert model.scaled(2.0).parameters == {"kappa": 0.4, "tau": 0.5}
    assert model.cropped(slice(0, 5), slice(0, 5)) is model
    assert model.end_of("kappa", high=False) is None
    assert model.joint_limits(SHAPE) is None
    assert model.is_inside(SHAPE)
    assert not model.replace(kappa=-1.0).is_inside(SHAPE)
    with pytest.raises(ArgumentError, match=r"kappa must lie in \(0, inf\).*got -1; limits"):
        model.replace(kappa=-1.0).stencil(SHAPE)
    for value in ((0.1, 0.2), "0.4", np.array([0.4]), None):
        for call in (Membrane(value).stencil, Membrane(value).gmrf, Membrane(value).is_inside):
            with pytest.raises(ArgumentError, match="kappa of Membrane must be a number, got "):
                call(SHAPE)
    assert Membrane(np.float32(0.5), np.int64(2)).stencil(SHAPE).diagonal()[0, 0] == 8.5
    variance = model.stationary(SHAPE).marginal_variance()
    np.testing.assert_allclose(variance, as_car(model).stationary(SHAPE).marginal_variance(), rtol=1e-10)
    assert Sum([model, CAR()]).gmrf((4, 5)).sample(rng=0).shape == (4, 5, 2)
    assert Channels(model, np.eye(3)).gmrf((4, 5)).sample(rng=0).shape == (4, 5, 3)
    for each in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert each.parameters == model.parameters


def test_a_class_that_is_no_frozen_dataclass_is_refused_when_a_model_is_made():
    class Plain(Model):
        parameters, limits, scaled = Membrane.parameters, Membrane.limits, Membrane.scaled
        build_stencil, build_derivatives = Membrane.build_stencil, Membrane.build_derivatives

    thawed = dataclass(type("Thawed", (Plain,), {}))
    for cls, what in ((Plain, "a plain class"), (thawed, "a dataclass that is not frozen")):
        with pytest.raises(ArgumentError, match=rf"{cls.__name__} must be a frozen dataclass.*got {what}; decorate it"):
            cls()


def test_a_subclass_that_adds_no_field_needs_no_decoration():
    class Named(Membrane):
        def describe_end(self, name, high):
            return f"{name} is {'high' if high else 'low'}"

    model = Named(0.4)
    assert model.end_of("kappa", high=True) == "kappa is high"
    assert model.end_of("range", high=True) is None
    assert type(model.replace(tau=2.0)) is Named


def test_a_class_that_leaves_something_out_cannot_be_made():
    @dataclass(frozen=True, eq=False)
    class Short(Model):
        tau: float = 1.0

    with pytest.raises(TypeError, match=r"build_derivatives.*build_stencil.*limits.*parameters.*scaled"):
        Short()


def test_a_model_without_a_boundary_has_no_field_without_borders():
    @dataclass(frozen=True, eq=False)
    class White(Model):
        tau: float = 1.0
        parameters = property(lambda self: {"tau": self.tau})
        scaled = Membrane.scaled

        def limits(self, shape):
            return {"tau": (0.0, float("inf"))}

        def build_stencil(self, shape):
            return SymmetricStencil([(0, 0)], [self.tau], shape)

        def build_derivatives(self, shape):
            return {"tau": SymmetricStencil([(0, 0)], [1.0], shape)}

    assert White(4.0).gmrf((3, 4)).marginal_variance() == pytest.approx(np.full((3, 4), 0.25))
    with pytest.raises(StencilError, match="White has no field without borders"):
        White().stationary((3, 4))


def test_parameters_that_are_not_possible_together_are_refused_by_their_own_rule():
    class Bounded(Membrane):
        def is_inside(self, shape):
            return self.kappa * self.tau < 1.0

    assert Bounded(0.4, 2.0).stencil((3, 4)).shape == (3, 4)
    with pytest.raises(ArgumentError, match=r"possible together on 3 x 4 pixels, got kappa=2, tau=2.*not is_inside"):
        Bounded(2.0, 2.0).stencil((3, 4))


def test_parameters_of_other_names_than_fields_need_the_fields_that_hold_them():
    class Ranged(Membrane):
        @property
        def parameters(self):
            return {"range": 1.0 / self.kappa, "tau": self.tau}

    with pytest.raises(ArgumentError, match="range cannot be replaced: fields_of must return the fields of Ranged"):
        Ranged().replace(range=4.0)

    class Held(Ranged):
        def fields_of(self, parameters):
            return {"kappa": 1.0 / parameters["range"]}

    assert Held().replace(range=4.0, tau=2.0).parameters == {"range": 4.0, "tau": 2.0}
    with pytest.raises(ArgumentError, match="limits of Held must have the parameters range, tau, got kappa, tau; name"):
        Held().stencil((3, 4))

    class Limited(Held):
        def limits(self, shape):
            return dict.fromkeys(self.parameters, (0.0, float("inf")))

    assert Limited().stencil((3, 4)).shape == (3, 4)
    with pytest.raises(ArgumentError, match="build_derivatives of Limited must have the parameters range, tau, got k"):
        Limited().derivatives((3, 4))
