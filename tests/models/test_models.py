"""What holds for every model: symmetric positive definite, derivatives, limits, factors that agree."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import sparsegmrf
from sparsegmrf import GMRF
from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors import CholmodFactor, DenseFactor, SpectralFactor
from sparsegmrf.models import CAR, SAR, Intrinsic, Matern, Model, TensionSpline
from tests.conftest import require
from tests.models.catalogue import FRACTIONAL, INTRINSIC, PROPER, SHAPE

ALL = {**PROPER, **FRACTIONAL, **INTRINSIC}


def every(models):
    return pytest.mark.parametrize("model", list(models.values()), ids=list(models))


def dense(stencil):
    return stencil.tocsr().toarray()


@every(ALL)
def test_precision_is_symmetric_and_has_no_negative_eigenvalue(model):
    Q = dense(model.stencil(SHAPE))
    assert isinstance(model, Model)
    assert np.array_equal(Q, Q.T)
    least = np.linalg.eigvalsh(Q)[0]
    assert least > (1e-6 if model in PROPER.values() or model in FRACTIONAL.values() else -1e-12 * np.abs(Q).max())


@every(ALL)
def test_derivatives_are_those_of_central_differences(model):
    found = model.derivatives(SHAPE)
    assert list(found) == list(model.parameters)
    for name, value in model.parameters.items():
        if name == "shear" and value == 0.0:
            continue
        step = 1e-5 * max(1.0, abs(value))
        ahead, behind = (dense(model.replace(**{name: value + sign * step}).stencil(SHAPE)) for sign in (1, -1))
        expected = (ahead - behind) / (2.0 * step)
        assert_allclose(dense(found[name]), expected, atol=2e-8 * np.abs(expected).max())


def test_derivative_by_a_shear_of_zero_is_that_of_one_side():
    # The conductance across a diagonal is |shear| to first order: which diagonal is a matter of its sign.
    model = PROPER["Matern stretched"]
    here, found = dense(model.stencil(SHAPE)), dense(model.derivatives(SHAPE)["shear"])
    sides = [(dense(model.replace(shear=step).stencil(SHAPE)) - here) / step for step in (1e-6, -1e-6)]
    assert min(np.abs(found - side).max() for side in sides) < 1e-4 * np.abs(found).max()


@every(ALL)
def test_offsets_of_derivatives_are_among_those_of_the_precision(model):
    own = set(map(tuple, model.stencil(SHAPE).offsets.tolist()))
    for derivative in model.derivatives(SHAPE).values():
        assert set(map(tuple, derivative.offsets.tolist())) <= own


@every({**PROPER, **FRACTIONAL})
def test_all_factors_that_apply_agree(model):
    stencil, form = model.stencil(SHAPE), model.spectral(SHAPE)
    oracle = DenseFactor(stencil)
    x = np.random.default_rng(1).standard_normal((2, *stencil.lattice.image_shape))
    factors = [sparsegmrf.factorize(stencil)]
    if form is not None:
        factors.append(SpectralFactor(form))
    for factor in factors:
        assert_allclose(factor.logdet, oracle.logdet, rtol=1e-10, atol=1e-10)
        assert_allclose(factor.solve(x), oracle.solve(x), rtol=1e-9, atol=1e-9)
        assert_allclose(factor.marginal_variance(), oracle.marginal_variance(), rtol=1e-9)
        selected, expected = factor.selected_inverse(), oracle.selected_inverse()
        place = {tuple(offset): k for k, offset in enumerate(selected.offsets.tolist())}
        for k, offset in enumerate(expected.offsets.tolist()):
            assert_allclose(selected.plane(place[tuple(offset)]), expected.plane(k), rtol=1e-9, atol=1e-9)


@every({**PROPER, **FRACTIONAL})
def test_cholmod_agrees(model):
    require("sksparse")
    stencil = model.stencil(SHAPE)
    assert_allclose(CholmodFactor(stencil).logdet, DenseFactor(stencil).logdet, rtol=1e-10, atol=1e-10)


@every(PROPER)
def test_field_has_the_precision_and_its_density(model):
    field = model.gmrf(SHAPE, mean=3.0)
    assert isinstance(field, GMRF)
    Q = dense(model.stencil(SHAPE))
    assert_allclose(field.tocsr().toarray(), Q, rtol=1e-12, atol=1e-12)
    x = np.random.default_rng(2).standard_normal(SHAPE)
    r = x.ravel() - 3.0
    expected = 0.5 * (np.linalg.slogdet(Q)[1] - len(r) * np.log(2.0 * np.pi) - r @ Q @ r)
    assert field.logpdf(x) == pytest.approx(expected, rel=1e-9)
    assert np.array_equal(field.sample(rng=3), field.sample(rng=3))


@every({**PROPER, **FRACTIONAL})
def test_limits_are_open_intervals_around_the_parameters(model):
    for name, (low, high) in model.limits(SHAPE).items():
        assert low < model.parameters[name] < high
        for end in (low, high):
            if np.isfinite(end) and name != "tau" and name.startswith("rho"):
                with pytest.raises(ArgumentError, match=r"rho.* must lie in \("):
                    model.replace(**{name: end}).gmrf(SHAPE)


@pytest.mark.parametrize("bare", [CAR, SAR, Matern, TensionSpline, Intrinsic])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (5, 1), (2, 3), (9, 8)])
def test_bare_models_stand_on_any_lattice(bare, shape):
    model = bare()
    draw = model.gmrf(shape).sample(rng=0)
    assert draw.shape == shape
    assert np.isfinite(draw).all()
    assert model.replace(**model.parameters).parameters == pytest.approx(model.parameters)


@every(ALL)
def test_replace_changes_one_parameter_and_keeps_the_rest(model):
    for name, value in model.parameters.items():
        changed = model.replace(**{name: value * 1.01 + 1e-3})
        expected = {**model.parameters, name: value * 1.01 + 1e-3}
        assert changed.parameters == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert type(changed) is type(model)
    with pytest.raises(ArgumentError, match="field or a parameter"):
        model.replace(nothing=1.0)


@pytest.mark.parametrize("shape", [(0, 3), (3,), "x", (2.5, 3)])
def test_shapes_that_are_none_are_refused(shape):
    with pytest.raises(ArgumentError, match="shape"):
        CAR().stencil(shape)


@pytest.mark.parametrize(
    ("model", "flip"),
    [(Matern(5.0, anisotropy=(3.0, 0.4)), Matern(5.0, anisotropy=(3.0, -0.4))), (Matern(5.0, nu=2), Matern(5.0, nu=2))],
)
def test_flipped_image_has_the_flipped_field(model, flip):
    Q, flipped = dense(model.stencil(SHAPE)), dense(flip.stencil(SHAPE))
    order = np.arange(42).reshape(SHAPE)[::-1].ravel()
    assert_allclose(flipped[np.ix_(order, order)], Q, rtol=1e-9, atol=1e-12)


def test_transposed_image_has_the_transposed_field():
    model, other = Matern(5.0, anisotropy=(3.0, 0.4)), Matern(5.0, anisotropy=(3.0, np.pi / 2 - 0.4))
    order = np.arange(42).reshape(SHAPE).T.ravel()
    Q = dense(model.stencil(SHAPE))[np.ix_(order, order)]
    assert_allclose(dense(other.stencil(SHAPE[::-1])), Q, rtol=1e-9, atol=1e-12)


def test_nothing_passed_in_is_changed_or_kept():
    given = np.full(SHAPE, 4.0)
    mask = np.zeros(SHAPE, dtype=bool)
    model = Matern(given, barrier=mask)
    before = dense(model.stencil(SHAPE))
    given[:] = 9.0
    mask[:] = True
    assert np.array_equal(dense(model.stencil(SHAPE)), before)


@pytest.mark.parametrize(
    "model",
    [
        Matern(4.0, 2.0, 1),
        Matern(3.0, nu=2, anisotropy=(1.5, 0.4)),
        CAR(0.24),
        SAR(0.2),
        TensionSpline(1.0, proper=1.0),
    ],
    ids=["Matern", "Matern 2", "CAR", "SAR", "TensionSpline"],
)
def test_field_with_stationary_edges_has_the_covariances_of_a_large_torus(model):
    field = model.stationary((6, 7), tolerance=1e-6)
    wide = model.replace(boundary="torus").gmrf((128, 128)).covariance_with((60, 60))
    assert_allclose(field.marginal_variance(), wide[60, 60], rtol=2e-6)
    assert_allclose(field.covariance_with((0, 0)), wide[60:66, 60:67], atol=2e-6 * wide[60, 60])


def test_fields_without_a_stationary_version_are_refused():
    for model in (Matern(np.full((6, 7), 4.0)), Intrinsic(1), CAR(0.26), TensionSpline()):
        with pytest.raises(ArgumentError):
            model.stationary((6, 7))
