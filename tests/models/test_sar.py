"""SAR: its matrix against the definition, and its limits."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import CAR, SAR
from tests.models.catalogue import WIDE, adjacency

SHAPE = (5, 6)


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "torus"])
@pytest.mark.parametrize(
    ("neighbourhood", "rho", "offsets"),
    [(4, (0.1, 0.2), [(1, 0), (0, 1)]), (WIDE, (0.1, 0.02, 0.03, -0.04), WIDE)],
)
def test_precision_is_its_definition(boundary, neighbourhood, rho, offsets):
    root = np.eye(30) - adjacency(offsets, rho, SHAPE, boundary)
    found = SAR(rho, 2.0, neighbourhood, boundary=boundary).stencil(SHAPE).tocsr().toarray()
    assert_allclose(found, 2.0 * root.T @ root, atol=1e-13)


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "torus"])
def test_standardized_rows_sum_up_to_one(boundary):
    rule = "torus" if boundary == "torus" else "dirichlet"
    weights = (0.7, -0.3, 0.2, 0.1)
    D = adjacency(WIDE, np.ones(4), SHAPE, rule).sum(axis=1)
    root = np.eye(30) - adjacency(WIDE, weights, SHAPE, rule) / D[:, np.newaxis]
    found = SAR(weights, 2.0, WIDE, row_standardized=True, boundary=boundary).stencil(SHAPE).tocsr().toarray()
    assert_allclose(found, 2.0 * root.T @ root, atol=1e-13)


def test_pixel_without_neighbours_has_the_precision_of_its_innovation():
    assert SAR(row_standardized=True, tau=3.0).stencil((1, 1)).tocsr().toarray().tolist() == [[3.0]]


@pytest.mark.parametrize("model", [SAR(0.1), SAR(0.1, boundary="neumann"), SAR(0.5, row_standardized=True)], ids=str)
def test_root_is_singular_at_the_limits(model):
    for end in model.limits(SHAPE)["rho"]:
        assert np.linalg.eigvalsh(model.replace(rho=end).build_stencil(SHAPE).tocsr().toarray())[0] < 1e-12


def test_limits_are_those_of_the_conditional_model():
    assert SAR(neighbourhood=8).limits(SHAPE)["rho"] == CAR(neighbourhood=8).limits(SHAPE)["rho"]


def test_outside_is_refused_with_the_interval():
    with pytest.raises(ArgumentError, match=r"rho must lie in \("):
        SAR(0.3).stencil((20, 20))
