from itertools import combinations_with_replacement

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sparsegmrf.inference._central_composite import central_composite

SIZES = range(1, 11)


@pytest.mark.parametrize("count", SIZES)
def test_shares_are_positive_and_of_sum_one(count):
    shares = central_composite(count).shares
    assert (shares > 0.0).all()
    assert shares.sum() == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("count", SIZES)
def test_first_and_second_moments_are_those_of_a_normal_density(count):
    points, shares = central_composite(count)
    assert_allclose(shares @ points, 0.0, atol=1e-14)
    assert_allclose((points * shares[:, np.newaxis]).T @ points, np.eye(count), atol=1e-13)


@pytest.mark.parametrize("count", SIZES)
def test_all_points_but_the_centre_lie_on_one_sphere(count):
    points = central_composite(count).points
    assert (points[0] == 0.0).all()
    assert_allclose(np.linalg.norm(points[1:], axis=1), 1.1 * np.sqrt(count), rtol=1e-14)


@pytest.mark.parametrize("count", range(2, 11))
def test_products_of_up_to_two_coordinates_are_orthogonal_on_the_corners(count):
    corners = np.sign(central_composite(count).points[1 + 2 * count :])
    terms = [np.ones(len(corners)), *corners.T]
    terms += [corners[:, i] * corners[:, j] for i, j in combinations_with_replacement(range(count), 2) if i < j]
    gram = np.array(terms) @ np.array(terms).T
    assert_allclose(gram, len(corners) * np.eye(len(terms)), atol=0.0)


@pytest.mark.parametrize(("count", "points"), [(2, 9), (3, 15), (4, 25), (5, 27), (6, 45)])
def test_designs_are_the_small_ones_of_the_literature(count, points):
    assert len(central_composite(count).points) == points
