"""Starts of large images' fits from their best-observed tile."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf import fill, fit
from sparsegmrf.inference import _start
from sparsegmrf.inference._start import best_tile, search_tile, start_of
from sparsegmrf.inference.fit import make_objective
from sparsegmrf.models import TensionSpline
from tests.inference.test_fit import problem


@pytest.mark.parametrize("noise", ["estimate", None, 0.09])
def test_start_from_a_tile_leads_to_the_same_maximum(noise, monkeypatch):
    monkeypatch.setattr(_start, "_TILE", 26)
    image, missing = problem(9, (60, 64), range=12.0)
    result = fill(image, mask=missing, noise=noise)
    objective = make_objective(TensionSpline(kappa=0.5), image, missing, noise, "linear", "ml", (), image.shape)
    assert not np.array_equal(start_of(objective, search_tile(objective, 0.02)), objective.start(objective.model, None))
    plain = fit(TensionSpline(kappa=0.5), image, mask=missing, noise=noise, covariates="linear", tolerance=1e-4)
    assert result.fit.converged
    assert result.fit.loglik == pytest.approx(plain.loglik, abs=1e-3)
    assert_allclose(list(result.fit.parameters.values()), list(plain.parameters.values()), rtol=1e-2)


def test_best_tile_is_where_most_is_observed():
    observed = np.zeros((9, 11), dtype=bool)
    observed[3:8, 4:9] = True
    assert best_tile(observed, 5) == (slice(3, 8), slice(4, 9))
    assert best_tile(observed, 20) == (slice(0, 9), slice(0, 11))
