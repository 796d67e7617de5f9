"""Starts of large images' fits from their best-observed tile."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import fill, fit
from sparsegmrf.inference import _start
from sparsegmrf.inference._memo import Memo
from sparsegmrf.inference._start import best_tile, search_tile, start_of
from sparsegmrf.models import CAR, Intrinsic, Matern, TensionSpline
from sparsegmrf.priors import PCSigma
from tests.inference.problems import read, searched
from tests.inference.test_fit import problem


@pytest.mark.parametrize("noise", ["estimate", None, 0.09])
def test_start_from_a_tile_leads_to_the_same_maximum(noise, monkeypatch):
    monkeypatch.setattr(_start, "_TILE", 26)
    image, missing = problem(9, (60, 64), range=12.0)
    result = fill(image, mask=missing, noise_variance=noise)
    asked = read(TensionSpline(kappa=0.5), image, missing, noise, "linear")
    memo = Memo(asked.objective)
    own = memo.objective.start(memo.objective.model, None)
    assert not np.array_equal(start_of(asked, memo, search_tile(asked, 0.02)), own)
    plain = fit(
        TensionSpline(kappa=0.5), image, mask=missing, noise_variance=noise, covariates="linear", tolerance=1e-4
    )
    assert result.fit.converged
    assert result.fit.loglik == pytest.approx(plain.loglik, abs=2e-3)  # half the square of a step of 0.05
    assert_allclose(list(result.fit.parameters.values()), list(plain.parameters.values()), rtol=1e-2)


def test_best_tile_is_where_most_is_observed():
    observed = np.zeros((9, 11), dtype=bool)
    observed[3:8, 4:9] = True
    assert best_tile(observed, 5) == (slice(3, 8), slice(4, 9))
    assert best_tile(observed, 20) == (slice(0, 9), slice(0, 11))


def test_value_is_that_of_the_evaluation_with_gradient():
    image, missing = problem(3, (12, 13))
    for model in (Matern(range=4.0), TensionSpline(kappa=0.5)):
        objective = searched(model, image, missing, "estimate", "linear", "ml", ())
        at = objective.start(model, 0.2)
        assert objective.value(at) == pytest.approx(objective(at)[0], rel=1e-13)


@pytest.mark.parametrize("range", [0.7, 4.0, 60.0])
@pytest.mark.parametrize("side", [24, 60])
def test_poor_starts_lead_to_the_same_maximum_in_few_likelihoods(range, side, monkeypatch):
    monkeypatch.setattr(_start, "_PROBE", 24)
    image, missing = problem(11, (side, side + 2), range=6.0)
    image = 1000.0 * image  # far from the model's unit of intensity
    plain = fit(Matern(range=6.0, sigma=1500.0), image, mask=missing, tolerance=1e-6)
    poor = fit(Matern(range=range), image, mask=missing, tolerance=1e-6)
    assert poor.converged
    assert_allclose(list(poor.parameters.values()), list(plain.parameters.values()), rtol=1e-6)
    assert poor.evaluations < 30


@pytest.mark.parametrize("truth", [3.0, 40.0])
def test_short_and_long_ranges_are_found_from_the_same_start(truth):
    image, missing = problem(12, (50, 52), range=truth)
    found = [fit(Matern(range=start), image, mask=missing, tolerance=1e-6) for start in (truth, 10.0)]
    assert found[1].converged
    expected, values = (list(each.parameters.values()) for each in found)
    assert_allclose(values, expected, rtol=1e-5)


def test_starts_are_likelier_than_the_model_given():
    image, missing = problem(11, (60, 62), range=6.0)
    asked = read(Matern(range=60.0), image, missing)
    memo = Memo(asked.objective)
    own = memo.objective.start(memo.objective.model, None)
    assert memo.value(start_of(asked, memo, None)) > memo.value(own) + 10.0


def test_tile_has_the_fixed_parameters_and_the_priors_of_the_whole(monkeypatch):
    monkeypatch.setattr(_start, "_TILE", 26)
    image, missing = problem(9, (60, 64), range=12.0)
    priors = {"sigma": PCSigma(1.0, 0.05)}
    asked = read(Matern(range=9.0), image, missing, "estimate", "linear", "reml", ["range"], priors)
    tile = search_tile(asked, 0.01).memo.objective
    assert tile.names == asked.objective.names == ["sigma", "noise_variance"]
    assert tile.priors == priors
    assert tile.restricted
    assert tile.model.range == 9.0
    result = fit(
        Matern(range=9.0), image, mask=missing, covariates="linear", method="reml", fixed="range", priors=priors
    )
    assert result.converged


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1e3])
@pytest.mark.parametrize("model", [TensionSpline(), Matern(), CAR(), Intrinsic()])
def test_noise_of_a_field_whose_scale_is_held_starts_with_what_that_leaves(model, size):
    image = np.random.default_rng(0).normal(size=(20, 25))
    scale = "sigma" if "sigma" in model.parameters else "tau"
    held = model.replace(**{scale: size if scale == "sigma" else size**-2})
    found = fit(held, image, fixed=scale)
    alone = found.problem.objective.without_field()[0]
    if size < 1.0:  # the field is nothing, and all of the data noise
        assert found.loglik == pytest.approx(alone, abs=0.2)
        assert found.parameters["noise_variance"] == pytest.approx(image.var(), rel=0.02)
    elif found.loglik < alone - 2.0:
        assert "cannot be told from noise" not in found.reason


def test_a_long_range_that_a_tile_cannot_see_is_found_on_the_whole(monkeypatch):
    monkeypatch.setattr(_start, "_TILE", 20)
    image = Matern(range=60.0, nu=0.5).gmrf((72, 76)).sample(rng=3)
    missing = np.random.default_rng(0).random(image.shape) < 0.2
    asked = read(Matern(nu="estimate"), image, missing, None, "constant")
    memo, tile = Memo(asked.objective), search_tile(asked, 0.02)
    start = start_of(asked, memo, tile)
    models = [memo.objective.model_at(each) for each in (tile.ended.at, start)]
    rivals = models[0].alike_nearby()
    assert rivals
    assert models[1].range >= models[0].range
    values = [memo.value(memo.objective.start(each, None)) for each in rivals]
    assert memo.value(start) == pytest.approx(max(memo.value(tile.ended.at), *values), abs=1e-9)
    assert Matern(nu=0.5).alike_nearby() == []


def test_tiles_searched_together_start_within_few_standard_errors_of_the_whole(monkeypatch):
    monkeypatch.setattr(_start, "_TILE", 32)
    image, missing = problem(5, (160, 192), range=5.0)
    image = image + 0.3 * np.arange(160)[:, np.newaxis]  # the trend is taken off before tiles have a level each
    asked = read(TensionSpline(kappa=0.5), image, missing, "estimate", "linear")
    found = search_tile(asked, 0.05)
    assert len(found.memo.objective.images) > 5
    whole = Memo(asked.objective)
    point = whole(found.ended.at)
    assert np.sqrt(point.gradient @ np.linalg.solve(point.information, point.gradient)) < 5.0


def test_tiles_are_spread_and_the_better_observed_ones_of_their_neighbours():
    image, missing = problem(5, (65, 98), range=5.0)
    missing[:] = False
    missing[1:17, 1:17] = True
    asked = read(Matern(), image, missing, "estimate", "constant")
    tiles = asked.on_tiles(16, 0.25, np.zeros((1, *image.shape)))
    assert [each.values.shape for each in tiles.images] == [(16, 16)] * 6
    assert all(each.observed.all() for each in tiles.images)
    assert asked.on_tiles(64, 0.25, np.zeros((1, *image.shape))) is None
    model = Matern(range=np.linspace(3.0, 5.0, 98) * np.ones((65, 1)))
    assert read(model, image, missing, "estimate", None).on_tiles(16, 0.25, np.zeros((1, *image.shape))) is None
