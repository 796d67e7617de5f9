"""Models with maps are cut to the tiles on which fits start, and lead to the maximum of the whole image."""

import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose
from threadpoolctl import threadpool_limits

from sparsegmrf import fill, fit
from sparsegmrf.inference import _start
from sparsegmrf.inference._start import search_tile
from sparsegmrf.models import Matern, Sum, TensionSpline
from tests.inference.problems import read
from tests.inference.test_dense_maximum import gradient_of

SHAPE = (20, 25)
LARGER = (60, 64)


def maps(shape):
    """Models with a map each, on a lattice."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] / np.array(shape).reshape(2, 1, 1)
    barrier = np.zeros(shape, dtype=bool)
    barrier[shape[0] // 2, shape[1] // 4 :] = True
    ratio, angle = 1.0 + columns, np.pi * rows
    sigma = np.exp(columns)
    return {
        "barrier": Matern(range=5.0, barrier=barrier),
        "range": Matern(range=3.0 + 4.0 * rows),
        "sigma": Matern(range=5.0, sigma=sigma),
        "range and sigma": Matern(range=3.0 + 4.0 * rows, sigma=sigma),
        "ratio and angle": Matern(range=5.0, anisotropy=(ratio, angle)),
        "ratio": Matern(range=5.0, anisotropy=(ratio, 0.3)),
        "range, ratio and angle": Matern(range=3.0 + 4.0 * rows, anisotropy=(ratio, angle)),
        "sigma and barrier": Matern(range=5.0, sigma=sigma, barrier=barrier),
        "smoother": Matern(range=3.0 + 4.0 * rows, nu=2.0),
        "spline": TensionSpline(kappa=0.5, anisotropy=(ratio, angle)),
        "proper spline": TensionSpline(kappa=0.5, proper=0.02, barrier=barrier),
        "sum": Sum([Matern(range=2.5), Matern(range=10.0, sigma=2.0, barrier=barrier)], ["fine", "coarse"]),
    }


def observed(model, shape, seed=1):
    """A draw with noise of variance 0.09 and gaps."""
    rng = np.random.default_rng(seed)
    field = model.gmrf(shape).sample(rng=rng)
    image = (model.observe(field) if isinstance(model, Sum) else field) + 0.3 * rng.standard_normal(shape)
    missing = rng.random(shape) < 0.1
    missing[shape[0] // 5 : shape[0] // 3, shape[1] // 2 : 2 * shape[1] // 3] = True
    return 4.0 + image, missing


def tiles_of(monkeypatch, tile, probe):
    monkeypatch.setattr(_start, "_TILE", tile)
    monkeypatch.setattr(_start, "_PROBE", probe)


@pytest.mark.parametrize("name", [name for name in maps(SHAPE) if name != "sum"])  # too small an image for two fields
def test_maximum_does_not_depend_on_the_tiles(name, monkeypatch):
    model = maps(SHAPE)[name]
    image, missing = observed(model, SHAPE)
    found = []
    for tile, probe in ((10, 8), (1000, 8), (1000, 1000)):
        tiles_of(monkeypatch, tile, probe)
        found.append(fit(model, image, mask=missing, tolerance=1e-6))
    assert found[0].converged, found[0].reason
    for other in found[1:]:
        assert other.converged, other.reason
        assert other.loglik == pytest.approx(found[0].loglik, abs=1e-8)
        assert_allclose(list(other.parameters.values()), list(found[0].parameters.values()), rtol=1e-5)


@pytest.mark.parametrize("name", ["barrier", "range", "ratio and angle"])
def test_estimates_are_those_of_the_dense_density(name, monkeypatch):
    tiles_of(monkeypatch, 10, 8)
    model = maps(SHAPE)[name]
    image, missing = observed(model, SHAPE)
    result = fit(model, image, mask=missing, tolerance=1e-7)
    names, o = list(model.parameters), ~missing.ravel()
    y, one = image.ravel()[o], np.ones(o.sum())

    def dense(u):
        moved = model.replace(**dict(zip(names, np.exp(u[:-1]).tolist(), strict=True)))
        C = np.linalg.inv(moved.stencil(SHAPE).tocsr().toarray())[np.ix_(o, o)] + np.exp(u[-1]) * np.eye(o.sum())
        root = np.linalg.cholesky(C)
        z = scipy.linalg.solve_triangular(root, np.stack([y, one], axis=1), lower=True)
        rest = z[:, 0] - (z[:, 1] @ z[:, 0]) / (z[:, 1] @ z[:, 1]) * z[:, 1]
        return -np.log(np.diagonal(root)).sum() - 0.5 * (rest @ rest + len(y) * np.log(2.0 * np.pi))

    at = np.log(list(result.parameters.values()))
    with threadpool_limits(1, user_api="blas"):
        assert result.loglik == pytest.approx(dense(at), abs=1e-8)
        slopes = gradient_of(dense, at)
    # In standard errors of the logarithms the slopes are those of a maximum.
    errors = np.array(list(result.standard_errors.values())) / list(result.parameters.values())
    assert np.abs(slopes * errors).max() < 1e-5


@pytest.mark.parametrize("name", maps(LARGER))
def test_images_larger_than_the_tiles_are_fitted_and_filled(name, monkeypatch):
    tiles_of(monkeypatch, 26, 24)
    model = maps(LARGER)[name]
    image, missing = observed(model, LARGER)
    image[missing] = np.nan
    result = fill(image, model=model)
    assert result.fit.converged, result.fit.reason
    assert np.isfinite(result.mean).all()
    assert np.isfinite(result.std).all()
    assert np.array_equal(result.filled[~missing], image[~missing])
    assert result.fit.parameters["noise_variance"] == pytest.approx(0.09, rel=0.5)


@pytest.mark.parametrize("name", ["barrier", "range and sigma"])
def test_images_larger_than_the_usual_tiles_are_fitted(name):
    shape = (98, 100)
    model = maps(shape)[name]
    image, missing = observed(model, shape)
    result = fit(model, image, mask=missing)
    assert result.converged, result.reason
    for key, value in {**model.parameters, "noise_variance": 0.09}.items():
        if key in result.parameters:  # five standard errors are passed with a probability of 6e-7
            assert abs(result.parameters[key] - value) < 5.0 * result.standard_errors[key]


@pytest.mark.parametrize("name", maps(LARGER))
def test_nothing_is_searched_where_everything_is_held(name, monkeypatch):
    tiles_of(monkeypatch, 26, 24)
    model = maps(LARGER)[name]
    image, missing = observed(model, LARGER)
    result = fit(model, image, mask=missing, noise_variance=0.09, fixed=list(model.parameters))
    assert result.evaluations == 1
    assert result.converged
    assert result.parameters == {}
    assert result.model.parameters == model.parameters
    filled = fill(
        image, mask=missing, model=model, noise_variance=0.09, covariates="constant", fixed=list(model.parameters)
    )
    assert filled.fit.evaluations == 1
    assert filled.fit.loglik == pytest.approx(result.loglik, rel=1e-12)


def test_tile_has_the_maps_of_its_window(monkeypatch):
    tiles_of(monkeypatch, 26, 24)
    model = maps(LARGER)["range and sigma"]
    image, missing = observed(model, LARGER)
    missing[:, :34] = True
    problem = read(model, image, missing, "estimate", "constant", "ml", ())
    assert problem.objective.names == ["noise_variance"]
    tile = search_tile(problem, 0.05).memo.objective
    assert tile.shape == (26, 26)
    given = tile.frame.given[0].values
    places = [(i, j) for i in range(35) for j in range(39) if np.array_equal(given, image_at(image, missing, i, j))]
    assert len(places) == 1
    rows, columns = slice(places[0][0], places[0][0] + 26), slice(places[0][1], places[0][1] + 26)
    assert np.array_equal(tile.model.range, model.range[rows, columns])
    assert_allclose(tile.model.sigma * tile.frame.unit, model.sigma[rows, columns], rtol=1e-15)


def image_at(image, missing, i, j):
    """Observed values of a tile, zero where missing."""
    return np.where(missing, 0.0, image)[i : i + 26, j : j + 26]
