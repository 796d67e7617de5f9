"""Covariance descriptors against np.cov, and the distances' invariances."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from sparsegmrf.errors import ArgumentError, SingularCovarianceError
from sparsegmrf.pixels import RegionMoments, affine_invariant_distance, log_euclidean_distance, region_covariance


def features(shape=(20, 25), count=3, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, count)) + 1000.0


def spd(count, seed, batch=()):
    root = np.random.default_rng(seed).normal(size=(*batch, count, count)) + 2.0 * np.eye(count)
    return root @ np.swapaxes(root, -1, -2)


@given(top=st.integers(0, 17), left=st.integers(0, 22), tall=st.integers(2, 20), wide=st.integers(2, 25))
def test_every_rectangle_has_its_sample_covariance(top, left, tall, wide):
    image = features()
    region = (top, left, min(top + tall, 20), min(left + wide, 25))
    rows = image[top : region[2], left : region[3]].reshape(-1, 3)
    moments = RegionMoments(image)
    np.testing.assert_allclose(moments.covariance([region])[0], np.cov(rows.T), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(moments.covariance([region], ddof=0)[0], np.cov(rows.T, ddof=0), rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(moments.mean([region])[0], rows.mean(0), rtol=1e-13)


def test_layout_and_number_of_regions_do_not_matter():
    image = features()
    regions = np.array([(0, 0, 20, 25), (3, 4, 9, 20), (3, 4, 9, 20)])
    found = region_covariance(image, regions)
    assert found.shape == (3, 3, 3)
    np.testing.assert_array_equal(found[1], found[2])
    np.testing.assert_array_equal(region_covariance(np.moveaxis(image, -1, 0), regions, channel_axis=0), found)


@pytest.mark.parametrize("distance", [affine_invariant_distance, log_euclidean_distance])
@given(count=st.integers(1, 4), seed=st.integers(0, 2**16))
def test_distances_are_metrics(distance, count, seed):
    A, B, C = (spd(count, seed + k) for k in range(3))
    assert distance(A, A) == pytest.approx(0.0, abs=1e-6)
    assert distance(A, B) == pytest.approx(distance(B, A), rel=1e-8, abs=1e-9)
    assert distance(A, C) <= distance(A, B) + distance(B, C) + 1e-9
    assert distance(np.linalg.inv(A), np.linalg.inv(B)) == pytest.approx(distance(A, B), rel=1e-6, abs=1e-7)
    assert distance(3.0 * A, 3.0 * B) == pytest.approx(distance(A, B), rel=1e-8, abs=1e-9)


def test_distances_are_their_definitions():
    A, B = spd(4, 0), spd(4, 1)
    eigenvalues = scipy.linalg.eigh(A, B, eigvals_only=True)
    assert affine_invariant_distance(A, B) == pytest.approx(np.sqrt((np.log(eigenvalues) ** 2).sum()), rel=1e-10)
    gap = scipy.linalg.logm(A) - scipy.linalg.logm(B)
    assert log_euclidean_distance(A, B) == pytest.approx(np.linalg.norm(gap), rel=1e-9)
    W = np.random.default_rng(2).normal(size=(4, 4))
    assert affine_invariant_distance(W @ A @ W.T, W @ B @ W.T) == pytest.approx(
        affine_invariant_distance(A, B), rel=1e-7
    )


def test_distances_broadcast():
    many, one = spd(3, 0, (5, 2)), spd(3, 1)
    for distance in (affine_invariant_distance, log_euclidean_distance):
        found = distance(many, one)
        assert found.shape == (5, 2)
        assert found[3, 1] == pytest.approx(distance(many[3, 1], one), rel=1e-10)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: region_covariance(features(), [(0, 0, 21, 5)]), ArgumentError, r"\(0, 0, 21, 5\) as region 0"),
        (lambda: region_covariance(features(), [(-1, 0, 2, 5)]), ArgumentError, "lie on the image"),
        (lambda: region_covariance(features(), [(3, 3, 4, 4)]), ArgumentError, "at least 2 pixels"),
        (lambda: region_covariance(features(), [(5, 5, 3, 9)]), ArgumentError, "at least 2 pixels"),
        (lambda: region_covariance(features(), [(0.0, 0.0, 2.0, 5.0)]), ArgumentError, "integers of shape"),
        (lambda: region_covariance(features()[0], [(0, 0, 2, 5)]), ArgumentError, "two image axes"),
        (lambda: affine_invariant_distance(np.ones((2, 3)), np.eye(2)), ArgumentError, r"\(\.\.\., F, F\)"),
        (lambda: affine_invariant_distance(np.eye(3), np.eye(2)), ArgumentError, "as many features"),
        (lambda: log_euclidean_distance(np.eye(2), [[1.0, 0.2], [0.0, 1.0]]), ArgumentError, "symmetric"),
        (lambda: log_euclidean_distance(np.eye(2), np.ones((2, 2))), SingularCovarianceError, "larger region"),
        (lambda: affine_invariant_distance(np.ones((2, 2)), np.eye(2)), SingularCovarianceError, "larger region"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
