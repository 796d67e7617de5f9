"""Every model with every factor that takes its precision: the contract on small images, each other on larger ones."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
from hypothesis import Phase, example, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from sparsegmrf import CAR, GMRF, SAR, Channels, Matern, Sum, TensionSpline, factorize
from sparsegmrf._edges import cut_off
from sparsegmrf.ensembles import CholeskyField
from sparsegmrf.factors.total import TotalForm
from sparsegmrf.models import Model
from tests.conftest import require
from tests.contracts import factor_contract
from tests.models.catalogue import FRACTIONAL, PROPER, SHAPE

RTOL = 1e-9
S = np.array([[1.0, 0.8, 0.3], [0.8, 2.0, 0.1], [0.3, 0.1, 0.5]])
WEIGHTS = np.random.default_rng(3).uniform(-0.3, 0.3, (4, *SHAPE))
DIAGONAL = np.random.default_rng(4).uniform(1.0, 2.0, SHAPE)
COMPOSED = {
    "Channels CAR": Channels(CAR(0.2), S),
    "Channels Matern anisotropic": Channels(PROPER["Matern anisotropic"], S[:2, :2]),
    "Channels Matern torus": Channels(PROPER["Matern torus"], S[:2, :2]),
    "Sum of diagonal ones": Sum([Matern(5.0), SAR(0.2), CAR(neighbourhood=8)]),
    "Sum of others": Sum([PROPER["Matern maps"], PROPER["CAR wide"]]),
    "Sum of both": Sum([PROPER["Matern barrier"], TensionSpline(0.4, proper=0.1)]),
    "Sum torus": Sum([PROPER["CAR torus"], PROPER["SAR rows, torus"]]),
}
CHOLESKY = {
    "CholeskyField": CholeskyField(1.5, [-0.3, 0.1, -0.3, 0.2]),
    "CholeskyField, planes": CholeskyField(DIAGONAL, WEIGHTS),
    "CholeskyField, LtL": CholeskyField(DIAGONAL, WEIGHTS[:2], [(0, -1), (-1, 1)], convention="LtL"),
}


@dataclass(frozen=True)
class Claim:
    """A model and a method that claims to be exact for it; stands where the contract has a case and its stencil."""

    name: str
    model: object
    method: str

    @property
    def stencil(self):
        return self

    @property
    def shape(self):
        return SHAPE

    @cached_property
    def precision(self):
        return self.model.stencil(SHAPE)

    @property
    def channels(self):
        return self.precision.channels

    @property
    def boundary(self):
        return cut_off(self.precision.boundary)

    @property
    def offsets(self):
        return [tuple(offset) for offset in self.precision.offsets.tolist()]

    @cached_property
    def Q(self):
        return self.precision.tocsr().toarray()

    @property
    def image_shape(self):
        return self.precision.lattice.image_shape

    def tocsr(self):
        return self.precision.tocsr()

    def images(self, *batch):
        return np.random.default_rng(7).standard_normal((*batch, *self.image_shape))

    def factor(self):
        if self.method == "triangular":
            return self.model.gmrf(SHAPE).factor
        if self.method.startswith("blocks, "):
            return GMRF(self.precision, method=self.method.removeprefix("blocks, ")).factor
        if not isinstance(self.model, Model):
            return GMRF(self.precision, method=self.method).factor
        given = self.model.gmrf(SHAPE, method=self.method).given
        return factorize(given.inner if isinstance(given, TotalForm) else given, self.method)


def is_diagonal(model, shape):
    if isinstance(model, Channels):
        return is_diagonal(model.model, shape)
    if isinstance(model.gmrf(shape).given, TotalForm):
        return model.gmrf(shape).given.spectral is not None
    if isinstance(model, Sum):
        return all(is_diagonal(member, shape) for member in model.models)
    return model.spectral(shape) is not None


def takes(method, model, shape=SHAPE):
    """Whether a method claims to be exact for a model's precision."""
    if isinstance(model, CholeskyField):
        return method in ("triangular", "dissection", "cholmod", "dense")
    if method == "triangular" or (method.startswith("blocks, ") and not isinstance(model, Channels | Sum)):
        return False
    if method == "spectral":
        return is_diagonal(model, shape)
    return True


def contract(method):
    """Return the factor contract whose every test runs once for every model that the method takes."""
    claims = [Claim(name, model, method) for name, model in MODELS.items() if takes(method, model)]
    suite = factor_contract(Claim.factor, st.sampled_from(claims))
    for name in dir(suite):
        if name.startswith("test_"):
            test = settings(phases=[Phase.explicit])(getattr(suite, name))
            for claim in reversed(claims):
                test = example(claim)(test)
    return suite


MODELS = {**PROPER, **FRACTIONAL, **COMPOSED, **CHOLESKY}
TestSpectral = contract("spectral")
TestTriangular = contract("triangular")
TestDense = contract("dense")
TestDissection = contract("dissection")
TestDissectionOfBlocks = contract("blocks, dissection")


class TestCholmod(contract("cholmod")):
    @pytest.fixture(autouse=True)
    def installed(self):
        require("sksparse")


class TestCholmodOfBlocks(contract("blocks, cholmod")):
    @pytest.fixture(autouse=True)
    def installed(self):
        require("sksparse")


def larger_models(shape):
    """Models of every kind, border and mask that fit the shape."""
    rng, size = np.random.default_rng(5), shape[0] * shape[1]
    barrier = rng.random(shape) < 0.05
    barrier[shape[0] // 3, : shape[1] // 2] = barrier[:, shape[1] // 2] = True
    maps = {
        "range": rng.uniform(4.0, 12.0, shape),
        "sigma": rng.uniform(1.0, 2.0, shape),
        "anisotropy": (np.linspace(0.7, 1.6, size).reshape(shape), np.linspace(0.1, 1.4, size).reshape(shape)),
    }
    plain = {}
    for boundary in ("dirichlet", "neumann", "torus"):
        plain |= {
            f"CAR, {boundary}": CAR((0.3, 0.15), 2.0, boundary=boundary),
            f"CAR 8, {boundary}": CAR(neighbourhood=8, boundary=boundary),
            f"CAR degree, {boundary}": CAR(0.95, form="degree", boundary=boundary),
            f"SAR, {boundary}": SAR(0.22, boundary=boundary),
            f"SAR rows, {boundary}": SAR(0.9, row_standardized=True, boundary=boundary),
            f"TensionSpline, {boundary}": TensionSpline(0.4, 2.0, proper=0.05, boundary=boundary),
            f"Matern 1, {boundary}": Matern(15.0, 2.0, 1, boundary=boundary),
            f"Matern 2, {boundary}": Matern(10.0, 2.0, 2, boundary=boundary),
            f"Matern 3, {boundary}": Matern(10.0, 2.0, 3, boundary=boundary),
            f"Matern stretched, {boundary}": Matern(10.0, 1.0, 1, anisotropy=(3.0, 0.0), boundary=boundary),
            f"Matern anisotropic, {boundary}": Matern(8.0, 1.0, 1, anisotropy=(3.0, 0.5), boundary=boundary),
        }
    masked = {
        "Matern maps, barrier, dirichlet": Matern(**maps, boundary="dirichlet", barrier=barrier),
        "Matern maps, barrier, neumann": Matern(**maps, barrier=barrier),
        "Matern 2, barrier": Matern(10.0, 1.0, 2, barrier=barrier),
        "TensionSpline, barrier": TensionSpline(0.4, proper=0.05, anisotropy=(2.0, 1.0), barrier=barrier),
        "Channels": Channels(plain["Matern 1, neumann"], S),
        "Sum": Sum([plain["Matern 2, neumann"], plain["CAR, dirichlet"]]),
    }
    return {**plain, **masked}


LARGER = [(shape, name) for shape in ((60, 75), (101, 90)) for name in larger_models((2, 2))]


@pytest.mark.parametrize(("shape", "name"), LARGER)
def test_spectral_dissection_and_cholmod_agree_on_larger_images(shape, name):
    require("sksparse")
    model = larger_models(shape)[name]
    expected = model.gmrf(shape, method="cholmod").factor
    others = [method for method in ("spectral", "dissection") if takes(method, model, shape)]
    assert others
    b = np.random.default_rng(6).standard_normal((2, *expected.lattice.image_shape))
    solved, variance, selected = expected.solve(b), expected.marginal_variance(), expected.selected_inverse()
    for method in others:
        factor = model.gmrf(shape, method=method).factor
        assert factor.logdet == pytest.approx(expected.logdet, rel=RTOL)
        assert_allclose(factor.solve(b), solved, rtol=0.0, atol=RTOL * np.abs(solved).max())
        assert_allclose(factor.marginal_variance(), variance, rtol=RTOL)
        inverse = factor.selected_inverse()
        place = {tuple(offset): k for k, offset in enumerate(inverse.offsets.tolist())}
        for k, offset in enumerate(selected.offsets.tolist()):
            found = inverse.plane(place[tuple(offset)])
            assert_allclose(found, selected.plane(k), rtol=0.0, atol=RTOL * variance.max())
