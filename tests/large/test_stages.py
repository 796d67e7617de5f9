"""What is told of the work on tiles: before it begins, as it goes, and how much of it is left."""

import numpy as np
import pytest

from sparsegmrf import get_num_threads, large
from sparsegmrf.large._raster import Raster
from sparsegmrf.large._run import Options, Run
from sparsegmrf.large._tiling import work_bytes
from sparsegmrf.models import TensionSpline
from tests.conftest import require
from tests.large.test_fill import NOISE, raster

MODEL = TensionSpline(0.4, 2.0)
OPTIONS = {"core": 22, "halo": 10, "tolerance": 9.0}


def run_of(**more):
    return Run.of(Raster.of(raster(), None, "nan", NOISE), MODEL, "linear", Options(**(OPTIONS | more)))


def test_stages_are_told_from_nothing_to_all():
    told = []
    options = OPTIONS | {"progress": lambda *each: told.append(each), "loglik": True}
    result = large.fill(raster(), model=MODEL, noise_variance=NOISE, **options)
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    passes = [f"pass {number}" for number in range(2, result.passes + 1)]
    assert stages == ["reading", "bounds", *passes, "certificate", "likelihood", "images"]
    for stage in stages:
        counts = [(done, total) for name, done, total in told if name == stage]
        assert counts == [(done, counts[0][1]) for done in range(counts[0][1] + 1)]
    assert ("bounds", 4, 4) in told
    told.clear()
    large.condition(MODEL, raster(), noise_variance=NOISE, **options)
    assert told[-1] == ("images", 4, 4)


def test_a_fit_is_told_too():
    told = []
    values = np.random.default_rng(0).standard_normal((40, 40)).cumsum(axis=0)
    large.fill(values, core=40, halo=4, progress=lambda *each: told.append(each))
    assert told[:2] == [("fit", 0, 1), ("fit", 1, 1)]


def test_a_forecast_has_tiles_memory_and_time():
    run = run_of(n_samples=2)
    found = run.forecast()
    assert (found.tiles, found.core, found.halos) == (4, (18, 22), (10, 10))
    assert found.tile_bytes == max(work_bytes(run.cuts, tile.window.shape) for tile in run.tiling.tiles)
    assert found.image_bytes > 8 * 36 * 44 * (5 + 2)
    assert found.total == pytest.approx(sum(seconds for _, seconds in found.stages))
    assert run.forecast(3).total == pytest.approx(found.total * get_num_threads() / 3)
    assert run_of(loglik=True).forecast().total > found.total
    assert str(found).startswith("4 tiles with cores of up to 18 x 22 pixels and halos of 10; ")
    whole = Run.of(Raster.of(raster(), None, "nan", NOISE), MODEL, "linear", Options())
    assert str(whole.forecast()).startswith("1 tile with a core of 36 x 44 pixels and halos of 0; ")


def test_the_share_that_is_done_hardly_ever_falls_and_ends_at_all():
    require("rich")
    from sparsegmrf.cli._tiles_progress import TilesProgress

    run, shares = run_of(loglik=True, halo=6, tolerance=0.2), []
    with TilesProgress() as bar:
        bar.expect(run.forecast())

        def told(stage, done, total):
            bar(stage, done, total)
            shares.append(bar.share)

        run.result(progress=told)
        told("writing", 0, 1)
        told("writing", 1, 1)
    assert shares[0] == 0.0
    assert min(np.diff(shares)) > -0.2  # what comes in addition, such as a pass more, sets it back
    assert shares[-1] == pytest.approx(1.0)
