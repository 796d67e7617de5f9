"""The fields that are compared: their priors, and how they are fitted to large images."""

import numpy as np
import pytest

from sparsegmrf.inference import _candidates, _start
from sparsegmrf.inference._candidates import MATERN, SPLINE, fit_default, fit_matern, fit_rough, fit_sum, weak_priors
from sparsegmrf.inference._fill import fill
from sparsegmrf.models import Matern, Sum
from sparsegmrf.priors import NOISE
from tests.inference.problems import read

SHAPE = (40, 44)


def image_of(seed=0):
    rng = np.random.default_rng(seed)
    model = Sum([Matern(range=3.0, sigma=1.0), Matern(range=20.0, sigma=1.0)])
    return 5.0 + model.observe(model.gmrf(SHAPE).sample(rng=rng)) + 0.3 * rng.standard_normal(SHAPE)


def test_priors_go_with_the_unit_of_the_image():
    image = image_of()
    model = Sum([Matern(3.0, anisotropy=(1.5, 0.2)), Matern(12.0)], labels=["fine", "coarse"])
    plain, scaled = (weak_priors(model, read(model, a * image)) for a in (1.0, 8.0))
    assert set(plain) == {*model.parameters, NOISE}
    assert scaled["sigma_fine"].s0 == pytest.approx(8.0 * plain["sigma_fine"].s0)
    assert scaled[NOISE].median == pytest.approx(64.0 * plain[NOISE].median)
    assert plain["range_coarse"] == scaled["range_coarse"]
    assert (plain["range_fine"].r0, plain["range_coarse"].r0) == (1.0, 2.0)
    assert plain["sigma_coarse"].s0 < plain["sigma_fine"].s0, "the coarse field towards nothing"


def test_noise_that_is_given_has_no_prior():
    assert NOISE not in weak_priors(Matern(), read(Matern(), image_of(), noise=0.1))


def test_default_is_the_fit_of_fill():
    image = image_of()
    model = fit_default(read(Matern(), image, covariates="linear"))
    assert model.parameters == fill(image).fit.parameters


def test_image_without_noise_has_a_noise_variance_at_which_the_posterior_is_largest():
    image = Matern(range=8.0).gmrf(SHAPE).sample(rng=0)
    found = fit_matern(read(Matern(), image), {})
    assert found.converged
    assert 0.0 < found.noise_variance < 5e-3


def test_candidates_are_fitted_to_tiles_of_large_images(monkeypatch):
    problem = read(Matern(), image_of(), covariates="linear")
    single = fit_matern(problem, {})
    monkeypatch.setattr(_start, "_TILE", 18)
    monkeypatch.setattr(_candidates, "_LARGE", 1000)
    for fitting in (fit_matern, fit_sum, fit_rough):
        found = fitting(problem, {MATERN: single, SPLINE: single})
        assert found.reason == "at a maximum on tiles of the image" or not found.converged
        assert np.isfinite(found.loglik)
        assert found.n_observed == SHAPE[0] * SHAPE[1], "the fit is one of the whole image"
        assert found.loglik > single.loglik - 60.0
    assert found.model.nu in (0.5, 2.0, 3.0)
    assert "nu" not in found.parameters


def test_smoothness_of_a_large_image_is_the_nearest_to_that_of_a_tile(monkeypatch):
    monkeypatch.setattr(_candidates, "_LARGE", 1000)
    monkeypatch.setattr(_candidates, "_TILE", 30)
    for nu in (0.5, 2.0):
        smooth = Matern(range=8.0, nu=nu).gmrf(SHAPE).sample(rng=0)
        problem = read(Matern(), smooth + 1e-3 * np.random.default_rng(1).standard_normal(SHAPE))
        assert fit_rough(problem, {MATERN: fit_matern(problem, {})}).model.nu == nu
