"""The evidence of complete images is the same number by frequencies as by factors of the precision."""

import dataclasses
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.inference import fit
from sparsegmrf.inference._memo import Workspace
from sparsegmrf.models import CAR, SAR, Intrinsic, Matern, Sum, TensionSpline
from tests.inference.problems import read
from tests.models.catalogue import COMPOSED, FRACTIONAL, INTRINSIC, PROPER, SHAPE

SUMS = {
    "Sum of two ranges": Sum([Matern(4.0), Matern(9.0, 0.5, 2)]),
    "Sum cut off": Sum([CAR(0.2), SAR(0.1), Matern(4.0, boundary="dirichlet")], observation=[2.0, -0.5, 1.0]),
    "Sum with a free level": Sum([Intrinsic(1, 2.0), Matern(3.0)], observation=[0.5, 1.0]),
    "Sum on a torus": Sum([Matern(3.0, anisotropy=(2.0, 0.3), boundary="torus"), TensionSpline(0.4, boundary="torus")]),
    "Sum with a negative weight": Sum([TensionSpline(0.4), Matern(3.0)], observation=[-2.0, 1.0]),
}
MODELS = {**PROPER, **FRACTIONAL, **INTRINSIC, **COMPOSED, **SUMS}
REFUSED = ("Sum of one, weighted",)
"""Models that are not fitted at all."""
SPECTRAL = [name for name, each in MODELS.items() if each.spectral_density(SHAPE) is not None and name not in REFUSED]
HELD = {"Matern stretched": ("shear",), "TensionSpline 2": ("shear",)}
"""Parameters by which derivatives are not diagonal in the basis."""
OWN = np.stack([np.ones(SHAPE), np.random.default_rng(1).standard_normal(SHAPE)])
TRENDS = {"none": None, "constant": "constant", "linear": "linear", "own": OWN}
NOISE = {"exact": None, "known": 0.3, "estimated": "estimate", "of each image": np.array([0.3, 0.5, 0.3])}


@dataclasses.dataclass(frozen=True, eq=False, init=False)
class ByFactors(Sum):
    """A sum that does not tell its variances by frequency."""

    def build_spectral_density(self, shape):
        return None


def both(objective, at, *, gradient=True):
    """The evidence by frequencies, and by factors."""
    assert objective.spectra is not None
    by_factors = dataclasses.replace(objective, spectra=None)
    return [each.evaluate(at, Workspace(), gradient=gradient).evidence for each in (objective, by_factors)]


def agree(found, expected):
    assert found.degrees == expected.degrees
    size = abs(expected.base) + expected.degrees
    assert found.loglik() == pytest.approx(expected.loglik(), rel=0.0, abs=1e-10 * size)
    assert found.base == pytest.approx(expected.base, rel=0.0, abs=1e-10 * size)
    assert found.quadratic == pytest.approx(expected.quadratic, rel=1e-10)
    assert_allclose(found.beta, expected.beta, rtol=0.0, atol=1e-10)
    assert found.left.shape == expected.left.shape
    assert_allclose(found.left, expected.left, rtol=0.0, atol=1e-10)
    for name in ("beta_covariance", "traces", "squares", "averages"):
        own, other = getattr(found, name), getattr(expected, name)
        assert_allclose(own, other, rtol=0.0, atol=1e-10 * np.abs(other).max(initial=1e-300), err_msg=name)


def images(count, seed=0):
    y = 3.0 + np.random.default_rng(seed).standard_normal((count, *SHAPE))
    return y[0] if count == 1 else y


@pytest.mark.parametrize("trend", TRENDS)
@pytest.mark.parametrize(
    ("name", "noise"),
    [(name, noise) for name in SPECTRAL for noise in NOISE if noise != "exact" or name not in SUMS],  # never exact
)
def test_evidence_by_frequencies_is_that_by_factors(name, noise, trend):
    model, given = MODELS[name], NOISE[noise]
    cases = [("ml", 1), ("reml", 3)]
    if noise == "of each image":
        cases, given = [("reml", 3)], np.broadcast_to(given[:, np.newaxis, np.newaxis], (3, *SHAPE))
    fixed = HELD.get(name, ())
    for method, count in cases:
        objective = read(model, images(count), None, given, TRENDS[trend], method, fixed).objective.with_scale()
        agree(*both(objective, objective.start(model, 0.3 if noise == "estimated" else None)))


@pytest.mark.parametrize("name", ["Matern", "TensionSpline intrinsic", "Sum with a free level"])
def test_value_alone_is_that_with_the_gradient(name):
    objective = read(MODELS[name], images(1)).objective
    at = objective.start(objective.model, None)
    alone, by_factors = both(objective, at, gradient=False)
    agree(alone, by_factors)
    assert alone.loglik() == objective.evaluate(at, Workspace()).evidence.loglik()


def test_large_lattices_are_summed_block_by_block():
    model, shape = Matern(6.0, 2.0), (150, 170)
    y = model.gmrf(shape, mean=7.0).sample(rng=0) + 0.5 * np.random.default_rng(1).standard_normal(shape)
    dense = np.stack([np.ones(shape), np.random.default_rng(2).standard_normal(shape)])
    for trend in ("linear", dense):
        objective = read(model, y, covariates=trend, method="reml").objective
        agree(*both(objective, objective.start(model, 0.25)))


@pytest.mark.parametrize("shape", [(1, 9), (7, 1), (2, 2), (1, 2)])
@pytest.mark.parametrize("name", ["CAR", "CAR torus", "Matern", "TensionSpline intrinsic"])
def test_thin_lattices_are_no_exception(name, shape):
    y = np.random.default_rng(0).standard_normal(shape)
    problem = read(MODELS[name], y, noise=0.3, fixed=tuple(MODELS[name].parameters))
    full = dataclasses.replace(problem.objective, free=tuple(MODELS[name].parameters))
    agree(*both(full, full.start(MODELS[name], None)))


@pytest.mark.parametrize(
    "model", [*(MODELS[name] for name in HELD), MODELS["Matern smooth"], Sum([CAR(0.2), Matern(4.0)])]
)
def test_factors_are_taken_where_frequencies_are_not_independent(model):
    assert read(model, images(1)).objective.spectra is None


def test_factors_are_taken_where_images_are_not_complete_or_noise_varies():
    y, noise = images(1), np.full(SHAPE, 0.3)
    assert read(Matern(4.0), y, noise=noise).objective.spectra is not None
    noise[2, 3] = 0.4
    assert read(Matern(4.0), y, noise=noise).objective.spectra is None
    y[0, 0] = np.nan
    assert read(Matern(4.0), y, "nan").objective.spectra is None


def test_transforms_are_taken_once_and_serve_the_standard_errors():
    objective = read(Matern(4.0), images(3)).objective
    assert objective.with_scale().spectra is objective.spectra
    assert objective.spectra.groups is objective.spectra.groups


def test_results_are_pickled_without_transforms():
    found = fit(Matern(4.0), Matern(4.0).gmrf((20, 25)).sample(rng=0), noise_variance=None)
    copy = pickle.loads(pickle.dumps(found))
    assert "groups" in vars(found.problem.objective.spectra)
    assert set(vars(copy.problem.objective.spectra)) == {"basis", "images", "is_intrinsic"}
    assert copy.standard_errors == found.standard_errors
    assert np.isfinite(list(found.standard_errors.values())).all()


def test_level_and_unit_of_the_image_cost_no_digits():
    y = images(1)
    unit, level = 2.0**20, 2.0**30
    plain = read(Matern(4.0), y, noise=0.25).objective, Matern(4.0)
    moved = read(Matern(4.0, unit), unit * y + level, noise=0.25 * unit**2).objective, Matern(4.0, unit)
    one, other = (each.evaluate(each.start(model, None), Workspace()).evidence for each, model in (plain, moved))
    assert other.quadratic == pytest.approx(one.quadratic, rel=1e-10)
    assert_allclose(other.squares, one.squares, rtol=1e-9)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", SUMS)
def test_sums_are_predicted_by_frequency_as_by_factors(name, count):
    model, y, draws = SUMS[name], images(count), 4000
    other = ByFactors(model.models, observation=model.observation)
    options = {"noise_variance": 0.3, "covariates": "linear", "fixed": list(model.parameters)}
    found, expected = (fit(each, y, **options) for each in (model, other))
    assert found.problem.objective.spectra is not None
    assert expected.problem.objective.spectra is None
    own, by_factors = found.predict(n_samples=draws, rng=0), expected.predict()
    assert_allclose(own.mean, by_factors.mean, rtol=0.0, atol=1e-9)
    assert_allclose(own.variance, by_factors.variance, rtol=1e-9)
    assert_allclose(own.predictive_variance, by_factors.predictive_variance, rtol=1e-9)
    assert own.samples.shape == (draws, *y.shape)
    deviations = (own.samples - own.mean) / own.std
    # Means and squares of 42 normals an image: false alarms below 1e-6.
    assert np.abs(deviations.mean(axis=0)).max() * np.sqrt(draws) < 6.5
    assert np.abs((deviations**2).mean(axis=0) - 1.0).max() * np.sqrt(draws / 2.0) < 7.5
    left_out = np.zeros(y.shape, dtype=bool)
    left_out[..., 2, 3] = True
    assert_allclose(found.predict(left_out).mean, expected.predict(left_out).mean, rtol=0.0, atol=1e-9)
