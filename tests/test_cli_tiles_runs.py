"""``sparsegmrf fill-tiles`` that is interrupted and taken up, writes Zarr, and meets faults: all of it or nothing."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from sparsegmrf.cli import main
from sparsegmrf.geo import open_windows, read_geotiff
from sparsegmrf.geo._zarr import write_zarr
from sparsegmrf.large._journal import Journal
from sparsegmrf.large._stages import Here
from tests.conftest import require
from tests.test_cli_fill_tiles import NAMES, SHAPE, TILES, raster  # noqa: F401  (a fixture)

rasterio = require("rasterio")
COMMAND = ["fill-tiles", "ground.tif", "--channel", "1", "--out", "out", *TILES, "--samples", "1", "--loglik"]


@pytest.fixture
def worked(monkeypatch):
    """Names of stages and numbers of tiles as they are worked on, and when the work is cut off."""
    done, cut = [], []
    plain = Here.over

    def over(self, name, task, tiles, inputs):
        for tile, made in plain(self, name, task, tiles, inputs):
            if cut and (name, tile.number) == cut[0]:
                raise cut[1]
            done.append((name, tile.number))
            yield tile, made

    monkeypatch.setattr(Here, "over", over)
    return done, cut


def images():
    return {name: read_geotiff(f"out/ground-{name.replace('_', '-')}.tif").image for name in (*NAMES, "samples")}


@pytest.mark.parametrize("place", [("bounds", 2), ("pass 2", 1), ("certificate", 3), ("likelihood", 0)])
def test_an_interrupted_run_goes_on_where_it_was(raster, worked, capsys, place):  # noqa: F811
    done, cut = worked
    assert main(COMMAND) == 0
    expected, stages = images(), list(done)
    assert place in stages
    for path in (raster / "out").iterdir():
        path.unlink()
    (raster / "out").rmdir()
    capsys.readouterr()

    done.clear()
    cut[:] = [place, KeyboardInterrupt()]
    assert main(COMMAND) == 130
    told = capsys.readouterr().err
    assert "out-ground.journal; the same command with --resume goes on with it" in told
    assert "interrupted; nothing half-written is left" in told
    assert {each.name for each in raster.iterdir()} == {"ground.tif", "out-ground.journal"}
    assert main(COMMAND) == 2
    assert "an interrupted run is kept in" in capsys.readouterr().err

    first, cut[:] = list(done), []
    done.clear()
    assert main([*COMMAND, "--resume"]) == 0
    # Of the stage that was cut off nothing is done again, nor of those before.
    assert done[0] == place
    assert not set(done) & set(first)
    for name, image in images().items():
        np.testing.assert_allclose(image, expected[name], rtol=3e-7, err_msg=name)
    assert {each.name for each in raster.iterdir()} == {"ground.tif", "out"}


def test_another_input_or_option_is_refused_with_what_differs(raster, worked, capsys):  # noqa: F811
    _, cut = worked
    assert main([*COMMAND, "--resume"]) == 2
    assert "resume must be left out, as there is no interrupted run in" in capsys.readouterr().err
    cut[:] = [("bounds", 2), KeyboardInterrupt()]
    assert main(COMMAND) == 130
    cut.clear()
    capsys.readouterr()
    assert main([*COMMAND, "--resume", "--tolerance", "0.02", "--seed", "4"]) == 2
    told = capsys.readouterr().err
    assert "options seed 4 instead of 0" in told
    assert "options tolerance 0.02 instead of 0.01" in told
    state = (raster / "ground.tif").stat()
    os.utime("ground.tif", ns=(state.st_atime_ns, state.st_mtime_ns + 10**9))
    assert main([*COMMAND, "--resume"]) == 2
    assert f"input modified {state.st_mtime_ns + 10**9} instead of {state.st_mtime_ns}" in capsys.readouterr().err
    os.utime("ground.tif", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert main([*COMMAND, "--resume"]) == 0


def test_fitted_parameters_are_taken_up(raster, worked, monkeypatch, capsys):  # noqa: F811
    _, cut = worked
    command = ["fill-tiles", "ground.tif", "--channel", "1", "--out", "out"]
    cut[:] = [("bounds", 0), KeyboardInterrupt()]
    assert main(command) == 130
    cut.clear()
    kept = json.loads((raster / "out-ground.journal" / "fit.json").read_text())
    monkeypatch.setattr("sparsegmrf.cli._fill_tiles.fit_on_tiles", None)
    assert main([*command, "--resume"]) == 0
    assert json.loads((raster / "out/ground-fit.json").read_text()) == kept
    assert "1 tiles of 128 pixels" in capsys.readouterr().out


def test_a_full_disk_is_told_and_the_run_goes_on_once_there_is_room(raster, monkeypatch, capsys):  # noqa: F811
    put = Journal.put

    def full(self, name, made):
        if name.startswith("bounds-2"):
            with monkeypatch.context() as at_once:
                at_once.setattr(np, "savez", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "no space left")))
                put(self, name, made)
        put(self, name, made)

    monkeypatch.setattr(Journal, "put", full)
    assert main(COMMAND) == 2
    told = capsys.readouterr().err
    assert "no space left on device" in told
    assert not (raster / "out").exists()
    assert not list(raster.glob("**/.*"))
    monkeypatch.setattr(Journal, "put", put)
    assert main([*COMMAND, "--resume"]) == 0


def test_scratch_without_room_is_told_before_any_work(raster, monkeypatch, capsys):  # noqa: F811
    def full(*_):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 70000, 70000))
    assert main(COMMAND) == 2
    told = capsys.readouterr().err
    assert "warning: 7e-05 GB of disk are free in" in told
    assert "scratch must have room for images of" in told
    assert not (raster / "out").exists()


def test_a_record_that_was_damaged_is_named(tmp_path):
    journal = Journal(tmp_path / "run", {"options": {"a": 1}})
    journal.put("bounds-0-8", (np.ones(3), np.zeros((2, 2))))
    one, two = journal.get("bounds-0-8")
    np.testing.assert_array_equal(one, np.ones(3))
    assert two.shape == (2, 2)
    assert journal.get("bounds-1-8") is None
    (tmp_path / "run" / "bounds-0-8.npz").write_bytes(b"PK half")
    with pytest.raises(OSError, match=r"bounds-0-8\.npz cannot be read as a record of a run; remove it"):
        journal.get("bounds-0-8")


def test_a_zarr_group_has_the_same_on_the_same_ground(raster, capsys):  # noqa: F811
    xarray = require("xarray")
    require("zarr")
    assert main(COMMAND) == 0
    assert main([*COMMAND, "--out", "all.zarr"]) == 0
    assert "wrote all.zarr" in capsys.readouterr().out
    with xarray.open_zarr("all.zarr", consolidated=False, decode_coords="all") as found:
        assert set(found.data_vars) == {*NAMES, "samples"}
        for name, image in images().items():
            values = found[name].values
            np.testing.assert_array_equal(values[0] if name == "samples" else values, image)
        assert found["mean"].encoding["grid_mapping"] == "spatial_ref"
        assert found["mean"].dims == ("y", "x")
        assert found["mean"].attrs["units"] == "percent"
        assert found["x"].values[:2].tolist() == [500015.0, 500045.0]
        assert found["y"].values[:2].tolist() == [4999985.0, 4999955.0]
        system = found["spatial_ref"].attrs
        assert rasterio.crs.CRS.from_wkt(system["crs_wkt"]) == rasterio.crs.CRS.from_epsg(32633)
        gdal = [float(each) for each in system["GeoTransform"].split()]
        assert rasterio.Affine.from_gdal(*gdal) == rasterio.Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6)
        said = json.loads(found.attrs["sparsegmrf"])
    assert said["n_observed"] == json.loads((raster / "out/ground-tiles.json").read_text())["n_observed"]
    assert (raster / "all.zarr" / "zarr.json").is_file()
    assert "consolidated_metadata" not in json.loads((raster / "all.zarr" / "zarr.json").read_text())
    assert main([*COMMAND, "--out", "all.zarr"]) == 2
    assert "does not exist yet, got all.zarr" in capsys.readouterr().err
    with rasterio.open("ground.tif") as file:
        profile = {**file.profile, "transform": rasterio.Affine.rotation(20.0)}
    with rasterio.open("turned.tif", "w", **profile) as target:
        target.write(np.ones((2, *SHAPE), "int16"))
    assert main(["fill-tiles", "turned.tif", "--channel", "1", "--out", "turned.zarr", *TILES]) == 2
    assert "out must be a directory of GeoTIFFs for a raster that is turned" in capsys.readouterr().err


def test_a_damaged_block_is_told_before_any_tile_and_repaired_it_is_another_input(raster, capsys):  # noqa: F811
    with rasterio.open("ground.tif") as file:
        profile, values = {**file.profile, "compress": "deflate", "count": 1}, file.read(2)
    with rasterio.open("packed.tif", "w", **profile) as target:
        target.write(values, 1)
    whole = (raster / "packed.tif").read_bytes()
    middle = len(whole) // 2
    (raster / "packed.tif").write_bytes(whole[:middle] + bytes(200) + whole[middle + 200 :])
    command = ["fill-tiles", "packed.tif", "--out", "out", *TILES]
    assert main(command) == 2
    assert "in rows 0 to 51 and columns 0 to 59" in capsys.readouterr().err
    assert {each.name for each in raster.iterdir()} == {"ground.tif", "packed.tif"}
    (raster / "packed.tif").write_bytes(whole)
    assert main(command) == 0


@pytest.mark.slow
def test_control_c_ends_the_command_and_a_second_run_goes_on(raster):  # noqa: F811
    profile = {"driver": "GTiff", "height": 240, "width": 240, "dtype": "float64", "count": 1}
    rng = np.random.default_rng(0)
    values = np.where(rng.random((240, 240)) < 0.3, np.nan, rng.standard_normal((240, 240)).cumsum(axis=0))
    with rasterio.open("wide.tif", "w", transform=rasterio.Affine.scale(10.0), **profile) as target:
        target.write(values, 1)
    # A program that a shell started in the background is deaf to it, and so are its children.
    hears = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{hears}; from sparsegmrf.cli import main; sys.exit(main(sys.argv[1:]))"]
    command += ["fill-tiles", "wide.tif", "--out", "wide", *TILES, "--core", "24", "--halo", "12"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal, until = raster / "wide-wide.journal", time.monotonic() + 120.0
    while len(list(journal.glob("bounds-*"))) < 5:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60.0)
    assert running.returncode == 130, told
    assert "interrupted; nothing half-written is left" in told
    assert not (raster / "wide").exists()
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=120.0)
    assert again.returncode == 0, again.stderr
    assert (raster / "wide" / "wide-mean.tif").is_file()
    assert not journal.exists()


def test_zarr_groups_of_several_blocks_hold_what_was_written_or_never_appear(raster):  # noqa: F811
    xarray = require("xarray")
    require("zarr")
    profile = {"driver": "GTiff", "height": 700, "width": 1100, "dtype": "float64", "count": 1}
    with rasterio.open("wide.tif", "w", transform=rasterio.Affine.scale(10.0), **profile) as target:
        target.write(np.arange(770000.0).reshape(1, 700, 1100) / 3.0)
    calls = []

    def changing(rows, columns):
        calls.append(rows)
        return np.full((rows.stop - rows.start, columns.stop - columns.start), float(len(calls)))

    with open_windows("wide.tif") as windows:
        write_zarr("wide.zarr", {"copy": (windows.read, "copy")}, [windows.read], windows, "{}")
        expected = windows.read(slice(0, 700), slice(0, 1100))
        with pytest.raises(OSError, match=r"what stands in rows 0 to 699 is not what was written"):
            write_zarr("other.zarr", {"changing": (changing, "changing")}, [], windows, "{}")
    with xarray.open_zarr("wide.zarr", consolidated=False) as found:
        np.testing.assert_array_equal(found["copy"].values, expected)
        np.testing.assert_array_equal(found["samples"].values[0], expected)
        assert found["copy"].encoding["chunks"] == (512, 512)
    assert {each.name for each in raster.iterdir()} == {"ground.tif", "wide.tif", "wide.zarr"}
