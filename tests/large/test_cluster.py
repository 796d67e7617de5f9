"""Tiles on the workers of dask: the same numbers however many there are and whatever becomes of them."""

import logging
import os
import signal
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from sparsegmrf import large
from sparsegmrf.cli import main
from sparsegmrf.errors import ArgumentError, TooLargeError, WorkersLostError
from sparsegmrf.geo import read_geotiff
from sparsegmrf.large import _cluster
from sparsegmrf.large._cluster import OnCluster, check_workers, event_loop, room_of
from sparsegmrf.large._raster import Raster
from sparsegmrf.large._run import Options, Run
from sparsegmrf.models import CAR, Matern, Sum, TensionSpline
from tests.conftest import require
from tests.large.test_fill import NOISE
from tests.large.test_fill import raster as observed
from tests.test_cli_fill_tiles import TILES, raster  # noqa: F401  (a fixture)

MODEL = TensionSpline(0.4, 2.0)
OPTIONS = {"n_samples": 1, "rng": 3, "tolerance": 9.0, "core": 12, "halo": 10}
# What dask and its event loop leave behind as a cluster ends is none of ours.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@contextmanager
def cluster(workers, *, processes=True):
    options = {"threads_per_worker": 1, "dashboard_address": None, "silence_logs": logging.CRITICAL}
    with (
        event_loop() as loop,
        require("distributed").LocalCluster(n_workers=workers, processes=processes, loop=loop, **options) as own,
    ):
        yield own


def joined(own):
    return require("distributed").Client(own, set_as_default=False)


@pytest.fixture(scope="module")
def client():
    """Two workers that are processes."""
    with cluster(2) as own, joined(own) as found:
        yield found


def run_of(values, model=MODEL, **more):
    return Run.of(Raster.of(values, None, "nan", NOISE), model, "linear", Options(**(OPTIONS | more)))


def assert_same(found, expected):
    scale = np.abs(expected.std).max()
    for name in ("mean", "std", "std_lower", "std_upper", "samples"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-8 * scale, err_msg=name)
    assert found.mean_error <= 1e-6


@pytest.mark.parametrize("model", [MODEL, Sum([Matern(8.0), CAR(0.1)])], ids=["spline", "sum"])
def test_workers_make_of_tiles_what_this_process_makes(client, model):
    run = run_of(observed(), model, loglik=True, halo=6, tolerance=0.3)
    expected, told = run.result(), []
    found = run.result(engine=OnCluster(client, run.cuts, run.raster), progress=lambda *each: told.append(each))
    assert_same(found, expected)
    np.testing.assert_allclose(found.loglik_interval, expected.loglik_interval, atol=1e-8)
    assert [tile.halo for tile in found.tiles] == [tile.halo for tile in expected.tiles]
    assert ("bounds", 12, 12) in told
    assert ("likelihood", 12, 12) in told


def test_a_draw_is_the_same_for_chunks_workers_threads_and_processes(client):
    dask, values = require("dask"), observed()
    expected = large.fill(values, model=MODEL, noise_variance=NOISE, **OPTIONS)

    def drawn(chunks, core, **scheduler):
        image = require("dask.array").from_array(values, chunks=chunks)
        result = large.fill(image, model=MODEL, noise_variance=NOISE, **(OPTIONS | {"core": core}))
        return dask.compute(result.samples, result.mean, **scheduler)

    # Chunks smaller than the halo, along one axis alone, and one; tiles of two sizes.
    found = [drawn(chunks, core, scheduler=client) for chunks, core in [((5, 7), 12), ((4, 44), 22)]]
    found += [drawn((36, 44), 12, scheduler="threads", num_workers=number) for number in (1, 2)]
    for workers, processes in ((1, False), (2, False)):
        with cluster(workers, processes=processes) as own, joined(own) as other:
            found.append(drawn((36, 9), 12, scheduler=other))
    for samples, mean in found:
        # Draws are promised to 1e-6 standard deviations.
        assert np.abs((samples - expected.samples) / expected.std).max() < 1e-6
        assert np.abs((mean - expected.mean) / expected.std).max() < 1e-6


def test_workers_that_are_killed_change_nothing():
    values, run, killed = observed(), run_of(observed()), []
    expected = run.result()
    with cluster(3) as own, joined(own) as client:
        workers = list(client.run(os.getpid).values())

        def told(stage, done, total):
            if stage == "bounds" and done == 2 and not killed:
                killed.append(workers.pop())
                os.kill(killed[0], signal.SIGKILL)

        assert_same(run.result(engine=OnCluster(client, run.cuts, run.raster), progress=told), expected)
        assert len(killed) == 1
        image = require("dask.array").from_array(values, chunks=(9, 30))
        result = large.fill(image, model=MODEL, noise_variance=NOISE, **OPTIONS)
        futures = client.compute([result.mean, result.samples])
        time.sleep(0.3)
        os.kill(workers.pop(), signal.SIGKILL)
        mean, samples = client.gather(futures)
    assert np.abs((mean - expected.mean) / expected.std).max() < 1e-6
    assert np.abs((samples - expected.samples) / expected.std).max() < 1e-6


def test_without_workers_the_run_ends_with_the_truth(monkeypatch):
    monkeypatch.setattr(_cluster, "_PATIENCE", 1.0)
    monkeypatch.setattr(_cluster, "_LOOK", 0.2)
    run = run_of(observed())
    with cluster(1, processes=False) as own, joined(own) as client:

        def told(stage, done, total):
            if stage == "bounds" and done == 1:
                own.scale(0)
                own.sync(own._correct_state)

        with pytest.raises(WorkersLostError, match="none is left"):
            run.result(engine=OnCluster(client, run.cuts, run.raster), progress=told)


def greedy(factors, tile):
    raise TooLargeError("a tile would need more memory than there is.")


def test_what_a_worker_refuses_is_told_as_it_is(client):
    run = run_of(observed())
    engine = OnCluster(client, run.cuts, run.raster)
    with pytest.raises(TooLargeError, match="more memory than there is"):
        list(engine.over("bounds", greedy, run.tiling.tiles[:3], lambda tile: ()))
    with pytest.raises(ArgumentError, match=r"must have sparsegmrf 99\.0, as is here, got"):
        check_workers(client, "99.0")
    limits = [each["memory_limit"] for each in client.scheduler_info(n_workers=-1)["workers"].values()]
    assert room_of(client) == min(limits) // 2
    with pytest.raises(TooLargeError, match="give more memory"):
        run_of(observed(), core=None, halo=None, memory=1e4)


def test_the_command_with_workers_writes_what_it_writes_without(client, raster, capsys):  # noqa: F811
    command = ["fill-tiles", "ground.tif", "--channel", "1", *TILES, "--samples", "1", "--out"]
    assert main([*command, "alone"]) == 0
    assert main([*command, "own", "--workers", "1"]) == 0
    there = [*command, "there", "--scheduler", client.scheduler.address]
    assert main([*there, "--memory", "1000"]) == 2
    assert "half of what a thread of the smallest worker has, got 1000" in capsys.readouterr().err
    assert main(there) == 0
    for name in ("mean", "std", "std-upper", "filled", "samples"):
        expected = read_geotiff(f"alone/ground-{name}.tif").image
        for folder in ("own", "there"):
            np.testing.assert_allclose(read_geotiff(f"{folder}/ground-{name}.tif").image, expected, rtol=3e-7)


def test_a_scheduler_that_is_not_there_is_told(raster, monkeypatch, capsys):  # noqa: F811
    require("distributed")
    monkeypatch.setattr("sparsegmrf.cli._workers._TIMEOUT", 0.5)
    command = ["fill-tiles", "ground.tif", "--channel", "1", *TILES, "--out", "out"]
    for address in ("tcp://127.0.0.1:9", "nowhere", "quic://host"):
        assert main([*command, "--scheduler", address]) == 2
        assert "scheduler must be the address of a running dask scheduler" in capsys.readouterr().err
    assert main([*command, "--scheduler", "tcp://127.0.0.1:9", "--workers", "2"]) == 2
    assert "workers must be left out with a scheduler" in capsys.readouterr().err
    assert {each.name for each in raster.iterdir()} == {"ground.tif"}
    assert threading.active_count() < 60


def deadly(factors, tile):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_tile_that_kills_every_worker_ends_the_run(monkeypatch):
    monkeypatch.setattr(_cluster, "_PATIENCE", 20.0)
    run = run_of(observed())
    with cluster(1) as own, joined(own) as client:
        engine = OnCluster(client, run.cuts, run.raster)
        # It has died too often, or nobody starts it again.
        with pytest.raises(WorkersLostError, match=r"several died of one|none is left"):
            list(engine.over("bounds", deadly, run.tiling.tiles[:1], lambda tile: ()))
