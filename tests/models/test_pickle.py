"""Models and their fields go through pickle and deepcopy unchanged, before and after a factor is built."""

import copy
import pickle

import numpy as np
import pytest

from sparsegmrf import Channels, Sum
from sparsegmrf.autoregression import CausalAR
from sparsegmrf.ensembles import CholeskyField, SymmetricField
from tests.conftest import require
from tests.models.catalogue import FRACTIONAL, INTRINSIC, PROPER, SHAPE

MODELS = {
    **PROPER,
    **FRACTIONAL,
    **INTRINSIC,
    "Channels": Channels(PROPER["Matern"], [[1.0, 0.5], [0.5, 2.0]]),
    "Channels intrinsic": Channels(INTRINSIC["Intrinsic 1"], [[1.0, 0.5], [0.5, 2.0]]),
    "Sum": Sum([PROPER["Matern"], PROPER["CAR wide"], PROPER["SAR"]]),
    "Sum intrinsic": Sum([PROPER["Matern"], INTRINSIC["TensionSpline intrinsic"]], labels=["a", "b"]),
    "CholeskyField": CholeskyField(1.5, [-0.3, -0.3], [(0, 1), (1, 0)]),
    "SymmetricField": SymmetricField(4.1, [-1.0, -1.0], [(0, 1), (1, 0)]),
    "CausalAR": CausalAR([0.4, 0.3], support=[(0, -1), (-1, 0)]),
}
COPIES = {"pickle": lambda value: pickle.loads(pickle.dumps(value)), "deepcopy": copy.deepcopy}


def field_of(name):
    """Field of a model; what only CHOLMOD factorizes is skipped where that is missing."""
    field = MODELS[name].gmrf(SHAPE)
    if field.method == "cholmod":
        require("sksparse")
    return field


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("way", COPIES)
def test_copied_model_has_the_same_field(name, way):
    model = MODELS[name]
    field, copied = field_of(name), COPIES[way](model)
    assert type(copied) is type(model)
    assert copied.gmrf(SHAPE).logdet == field.logdet


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("way", COPIES)
def test_copied_field_is_the_same_field(name, way):
    field = field_of(name)
    fresh, logdet, draw = COPIES[way](field), field.logdet, field.sample(rng=1)
    for copied in (fresh, COPIES[way](field)):  # before its factor was built, and after
        assert type(copied) is type(field)
        assert copied.logdet == logdet
        assert np.array_equal(copied.sample(rng=1), draw)
        assert np.array_equal(copied.marginal_variance(), field.marginal_variance())


@pytest.mark.parametrize("name", ["Matern", "SAR", "TensionSpline", "CAR torus", "Channels", "Sum"])
def test_stencil_of_a_copied_spectral_field_is_that_of_the_field(name):
    field = MODELS[name].gmrf(SHAPE)
    copied = pickle.loads(pickle.dumps(field))
    assert np.array_equal(copied.tocsr().toarray(), field.tocsr().toarray())


@pytest.mark.parametrize("method", ["auto", "cholmod"])
def test_field_with_stationary_edges_is_copied_before_and_after_its_factors_are_built(method):
    if method == "cholmod":
        require("sksparse")
    field = PROPER["Matern"].gmrf(SHAPE, method=method, edge="stationary")
    fresh, logdet = pickle.loads(pickle.dumps(field)), field.logdet
    field.marginal_variance()
    assert fresh.logdet == pickle.loads(pickle.dumps(field)).logdet == logdet


@pytest.mark.parametrize("method", ["dense", "dissection", "cholmod"])
def test_copied_field_keeps_its_method(method):
    if method == "cholmod":
        require("sksparse")
    field = PROPER["Matern"].gmrf(SHAPE, method=method)
    expected = field.logdet
    copied = pickle.loads(pickle.dumps(field))
    assert copied.method == method == copied.factor.method
    assert copied.logdet == expected
