import numpy as np
import pytest

from sparsegmrf.models import Matern
from sparsegmrf.stacks import fill


@pytest.fixture(scope="module")
def clouded():
    """A quiet stack, and the same with a cloud at one date that nobody has marked."""
    rng = np.random.default_rng(4)
    days, field = np.arange(10.0) * 16.0, Matern(range=4.0).gmrf((8, 8))
    level, values = field.sample(rng=rng), [field.sample(rng=rng)]
    for _ in days[1:]:
        values.append(0.7 * values[-1] + np.sqrt(0.51) * field.sample(rng=rng))
    clear = 100.0 + 5.0 * level + np.array(values) + 0.2 * rng.standard_normal((10, 8, 8))
    clear[4, 5:, :3] = np.nan
    cloud = np.zeros(clear.shape, dtype=bool)
    cloud[5, 1:6, 2:7] = True
    return days, clear, cloud


def test_a_cloud_is_screened_and_its_neighbours_are_as_without_it(clouded):
    days, clear, cloud = clouded
    options = {"dates": days, "harmonics": 0, "fixed": ["range_mean"]}
    found = fill(np.where(cloud, clear + 60.0, clear), outliers="screen", **options)
    assert found.outliers[cloud].all()
    assert np.count_nonzero(found.outliers & ~cloud) <= 2
    without = fill(np.where(cloud, np.nan, clear), **options)
    away = np.abs(found.mean - without.mean) / without.std
    assert away.max() < 0.5
    spoiled = fill(np.where(cloud, clear + 60.0, clear), **options)
    assert np.abs(spoiled.mean - without.mean)[4].max() > 5.0 * np.abs(found.mean - without.mean)[4].max()
    assert f"{np.count_nonzero(found.outliers)} observations screened out" in found.summary()
    np.testing.assert_array_equal(found.filled[cloud], found.mean[cloud])


def test_a_stack_without_outliers_loses_next_to_nothing(clouded):
    days, clear, _ = clouded
    found = fill(clear, dates=days, harmonics=0, fixed=["range_mean"], outliers="screen")
    assert np.count_nonzero(found.outliers) <= 3
    assert not fill(clear, dates=days, harmonics=0, fixed=["range_mean"]).outliers.any()
