import numpy as np
import pytest

from sparsegmrf import _memory
from sparsegmrf.errors import TooLargeError
from sparsegmrf.models import Matern
from sparsegmrf.stacks import fill
from sparsegmrf.stacks._read import Stack, problem_of
from sparsegmrf.stacks._search import Likelihood
from sparsegmrf.stacks._sweep import SweepFactor
from sparsegmrf.stacks._windows import Window, best_observed, spread_over, tiles

DAYS = np.array([0.0, 10.0, 25.0])
KNOWN = {"harmonics": 0, "fixed": ["range", "sigma", "ell", "range_mean", "sd_level"], "noise_variance": 0.05,
         "start": {"range": 3.0, "sigma": 1.0, "ell": 20.0, "range_mean": 3.0, "sd_level": 1.0}}  # fmt: skip


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(3)
    found = Matern(range=3.0).gmrf((24, 26)).sample(3, rng=rng) + 0.2 * rng.standard_normal((3, 24, 26))
    found[1, 8:14, 9:15] = np.nan
    return found


def test_tiles_come_near_the_whole_as_halos_grow_and_say_how_near(values):
    whole = fill(values, dates=DAYS, covariates=None, **KNOWN)
    away, seams = [], []
    for halo in (1, 4):
        found = fill(values, dates=DAYS, covariates=None, core=12, halo=halo, **KNOWN)
        away.append(float((np.abs(found.mean - whole.mean) / whole.std).max()))
        seams.append(found.seam)
        np.testing.assert_allclose(found.std, whole.std, rtol=0.2 if halo == 1 else 0.02)
    assert away[1] < 0.3 * away[0]
    assert seams[1] < 0.3 * seams[0]
    assert away[1] < 0.1
    assert whole.seam == 0.0
    assert "in 6 tiles" in found.summary()
    assert "where they meet" in found.summary()


def test_cores_cover_an_image_once_within_their_windows():
    covered = np.zeros((10, 13), dtype=int)
    for core, window in tiles((10, 13), 4, 2):
        covered[core] += 1
        assert window.rows.start <= core.rows.start
        assert core.columns.stop <= window.columns.stop <= 13
    assert (covered == 1).all()


def test_windows_of_a_fit_are_disjoint_and_observed():
    seen = np.ones((30, 31), dtype=int)
    seen[:10, :10] = 0
    found = spread_over(seen, 10, 4)
    covered = np.zeros(seen.shape, dtype=int)
    for window in found:
        covered[window] += 1
    assert len(found) == 4
    assert covered.max() == 1
    assert (seen[covered > 0] > 0).all()
    assert best_observed(seen, 50) == Window(slice(0, 30), slice(0, 31))


def test_what_does_not_fit_is_refused_with_remedies(values, monkeypatch):
    monkeypatch.setattr(_memory, "available_bytes", lambda: 100_000)
    with pytest.raises(TooLargeError, match="a smaller core="):
        fill(values, dates=DAYS, **KNOWN)


def test_likelihood_of_windows_with_a_trend_in_common_has_the_gradient_of_differences(values):
    stack = Stack.read(values, DAYS, "nan")
    nothing = np.zeros(values.shape, dtype=bool)
    problem, _ = problem_of(stack, None, None, 0, "constant", "estimate", (), None, None, nothing)
    windows = [Window(slice(0, 5), slice(0, 6)), Window(slice(8, 14), slice(9, 14))]
    likelihood = Likelihood(problem, windows, SweepFactor)
    at, step = likelihood.start, 1e-5
    gradient = likelihood(at).gradient
    for k in range(len(at)):
        side = step * (np.arange(len(at)) == k)
        slope = (likelihood.value(at + side) - likelihood.value(at - side)) / (2.0 * step)
        assert gradient[k] == pytest.approx(slope, rel=1e-5, abs=1e-5), likelihood.names[k]
