"""What the commands write where: one file or several, in another format, as integers, and never over what is there."""

import contextlib
import json
import os
import resource
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sparsegmrf._files import replacing
from sparsegmrf.cli import main
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.io import read, write, write_several
from tests.conftest import require
from tests.kinds_of_files import HOLE, SHAPE, gappy, grid, scene, where
from tests.kinds_of_files import raster as raster_of

FIELD = ("--model", "matern", "--fixed", "range", "--fixed", "sigma", "--noise-variance", "0.1")
KINDS = ("filled", "mean", "std", "predictive_std")


@pytest.fixture
def here(here):
    """The folder of the commands, where NetCDF can be written as well."""
    require("netCDF4")
    return here


def tif(path="in.tif"):
    raster_of(Path(path), np.where(HOLE, np.float32(-9999.0), scene()), nodata=-9999.0, **where())
    return gappy(scene())


def nc(path="in.nc"):
    xarray = require("xarray")
    dataset = xarray.Dataset(
        {
            "t": (("time", "lat", "lon"), np.stack([gappy(scene()), gappy(scene(seed=1))]).astype(np.float32)),
            "cloud": (("time", "lat", "lon"), np.stack([np.zeros(SHAPE), np.eye(*SHAPE)]).astype(np.int8)),
            "land": (("lat", "lon"), (np.arange(SHAPE[1]) < 3) * np.ones(SHAPE, np.int8)),
        },
        coords=grid() | {"time": np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[ns]")},
    )
    dataset.to_netcdf(path)
    return gappy(scene(seed=1))


def test_what_exists_is_replaced_when_asked_to_and_not_before(here, run, refused):
    tif()
    run("rx", "in.tif", "--values", "map.tif")
    before = Path("map.tif").read_bytes()
    for words in (["rx", "in.tif", "--values", "map.tif"], ["fill", "in.tif", "--out", ".", *FIELD]):
        Path("in-mean.tif").write_text("old")
        assert "exists already; choose another name, or --overwrite replaces it" in refused(*words)
    assert Path("map.tif").read_bytes() == before
    run("rx", "in.tif", "--values", "map.tif", "--overwrite", "--window", "1", "5", "--shrinkage", "0.1")
    assert Path("map.tif").read_bytes() != before
    run("fill", "in.tif", "--out", ".", "--overwrite", *FIELD)
    assert read("in-mean.tif").image.shape == SHAPE


def test_folder_that_cannot_be_written_is_told_before_the_work(here, refused, monkeypatch):
    tif()

    def refuse(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr("sparsegmrf.cli._fill_options.fill_gaps", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path).is_dir() and mode & os.W_OK))
    assert "cannot be written: permission denied" in refused("fill", "in.tif", "--out", "out", *FIELD)
    assert "cannot be written: permission denied" in refused("rx", "in.tif", "--values", "map.tif")


@pytest.mark.parametrize("suffix", [".tif", ".nc", ".fits", ".npy", ".png", ".zarr"])
def test_full_disk_names_path_and_cause_and_leaves_nothing(here, suffix):
    require("astropy")
    require("zarr")
    image = np.random.default_rng(0).standard_normal((200, 300))
    like = None
    if suffix in (".tif", ".nc", ".zarr"):
        raster_of(Path("in.tif"), scene(), **where(), height=SHAPE[0])
        like = read("in.tif")
        image = np.random.default_rng(0).standard_normal(SHAPE)
    before = sorted(here.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # a file that cannot grow, as on a full disk
    try:
        with pytest.raises(FileError, match=rf"out\{suffix} cannot be written: \S+") as caught:
            write(f"out{suffix}", image, like=like)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert sorted(here.iterdir()) == before


def test_what_threads_write_after_a_failure_is_removed(tmp_path):
    def go_on(directory):
        for k in range(20):
            with contextlib.suppress(FileNotFoundError):
                directory.mkdir(exist_ok=True)
                (directory / str(k)).write_text("late")
            time.sleep(0.01)

    def fail(path):
        with replacing(path) as directory:
            directory.mkdir()
            threads.append(threading.Thread(target=go_on, args=(directory,)))
            threads[0].start()
            raise OSError(27, "File too large")

    threads = []
    with pytest.raises(FileError, match=r"out\.zarr cannot be written"):
        fail(tmp_path / "out.zarr")
    threads[0].join()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "out"), [("in.tif", "all.tif"), ("in.tif", "all.nc"), ("in.nc", "all.nc"), ("in.nc", "all.tif")]
)
def test_one_file_holds_all_images_on_the_ground(here, run, name, out):
    values = tif() if name == "in.tif" else nc()
    options = [] if name == "in.tif" else ["--variable", "t", "--channel", "1"]
    run("fill", name, "--out", "parts", *FIELD, *options)
    run("fill", name, "--out", out, *FIELD, *options, "--samples", "2")
    assert json.loads(Path("all-fit.json").read_text())["kind"]
    for k, kind in enumerate(KINDS):
        part = read(f"parts/in-{kind.replace('_', '-')}{name[2:]}")
        found = read(out, **({"channel": k} if out == "all.tif" else {"variable": kind}))
        np.testing.assert_array_equal(np.asarray(found.image), np.asarray(part.image))
        if name[-3:] == out[-3:]:
            assert found.same_ground(part)
    filled = read(out, **({"channel": 0} if out == "all.tif" else {"variable": "filled"})).image
    np.testing.assert_array_equal(np.asarray(filled)[~HOLE], values[~HOLE])
    if out == "all.tif":
        with require("rasterio").open(out) as file:
            assert file.descriptions == KINDS
    assert read(f"all-samples{out[3:]}", channel="all").image.shape == (*SHAPE, 2)


def test_place_is_told_in_the_words_of_the_other_format(here):
    rasterio, xarray = require("rasterio"), require("xarray")
    tif()
    source = read("in.tif")
    write("out.nc", source)
    with xarray.open_dataset("out.nc", decode_coords="all") as data:
        assert data["x"].values[0] == 5e5 + 15.0
        assert data["y"].values[0] == 5e6 - 15.0
        assert rasterio.CRS.from_wkt(data["spatial_ref"].attrs["crs_wkt"]) == source.georeference["crs"]
    back = read("out.nc")
    write("back.tif", back)
    assert read("back.tif").same_ground(source)
    assert read("back.tif").georeference["crs"] == source.georeference["crs"]
    np.testing.assert_array_equal(read("back.tif").image, source.image)
    raster_of(Path("turned.tif"), scene(), **where(turned=True))
    with pytest.raises(ArgumentError, match=r"path must end in \.tif for a raster that is turned"):
        write("out2.nc", read("turned.tif"))
    uneven = xarray.DataArray(scene(), {"lat": np.arange(12.0) ** 1.5, "lon": np.arange(14.0)}, ("lat", "lon"), "z")
    uneven.to_netcdf("uneven.nc")
    with pytest.warns(match="lat is not evenly spaced"):
        source = read("uneven.nc")
    with pytest.raises(ArgumentError, match="the dimension lat is not evenly spaced"):
        write("out.tif", source)


def test_optimized_geotiff_stays_one_and_others_become_one_when_asked_to(here, run):
    rasterio = require("rasterio")
    values = np.random.default_rng(0).standard_normal((600, 520)).astype(np.float32)
    raster_of(Path("in.tif"), values, height=600, width=520, tiled=True, blockxsize=64, blockysize=32, **where())
    source = read("in.tif")
    write("plain.tif", source)
    write("cog.tif", source, tiled=True)
    write("again.tif", read("cog.tif"))
    for name, layout in (("plain.tif", None), ("cog.tif", "COG"), ("again.tif", "COG")):
        with rasterio.open(name) as file:
            assert file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == layout
            assert file.block_shapes == ([(32, 64)] if layout is None else [(512, 512)])
            assert bool(file.overviews(1)) is (layout is not None)
            np.testing.assert_array_equal(file.read(1), values)
    tif("small.tif")
    run("rx", "small.tif", "--values", "map.tif", "--cog")
    with rasterio.open("map.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fill", "in.tif", "--out", "out", "--format", "fits"], "format must end in"),
        (["fill", "in.tif", "--out", "all.fits"], "out must end in"),
        (
            ["fill", "turned.tif", "--out", "out", "--format", "nc"],
            "format must end in .tif for a raster",
        ),
        (["fill", "turned.tif", "--out", "all.nc"], "out must end in .tif for a raster that is turned"),
        (["fill", "in.tif", "--out", "all.tif", "--format", "nc"], "format must be left out where out is a file"),
        (["fill", "in.npy", "--out", "all.npz", "--packed"], "packed is for GeoTIFF, NetCDF and Zarr"),
        (["fill", "in.npy", "--out", "all.npz", "--cog"], "cog is for GeoTIFF"),
        (
            ["fill", "in.nc", "--variable", "t", "--channel", "0", "--out", "o", "--cog"],
            "cog is for GeoTIFF on the ground",
        ),
        (["rx", "in.npy", "--values", "map.npy", "--packed"], "packed is for GeoTIFF, NetCDF and Zarr"),
        (["rx", "in.tif", "--values", "map.xyz"], "values must end in .tif, .tiff, .nc, .nc4, .cdf, .zarr, .npy, .npz"),
        (["fill", "in.tif", "--out", "o", "--select", "a=1"], "select is for NetCDF, Zarr and NIfTI"),
        (["fill", "in.nc", "--variable", "t", "--out", "o", "--select", "time=2025-01-01"], "select must have one of"),
        (["fill", "in.nc", "--variable", "t", "--out", "o", "--select", "lev=2"], "select must name one of time"),
        (["fill", "in.nc", "--variable", "t", "--out", "o", "--select", "time"], "select must be DIMENSION=VALUE"),
    ],
)
def test_what_cannot_be_written_or_chosen_is_refused_before_the_work(here, refused, monkeypatch, words, message):
    tif()
    nc()
    np.save("in.npy", scene())
    raster_of(Path("turned.tif"), scene(), **where(turned=True))

    def refuse(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr("sparsegmrf.cli._fill_options.fill_gaps", refuse)
    monkeypatch.setattr("sparsegmrf.cli._pixels.rx", refuse)
    before = sorted(here.iterdir())
    assert message in refused(*words)
    assert sorted(here.iterdir()) == before


def test_masks_are_variables_of_the_same_file_at_the_same_date(here, run, capsys):
    values = nc()
    words = ["--variable", "t", "--select", "time=2024-01-02"]
    run("rx", "in.nc", "--variable", "t", "--channels", "1", "--mask", ":cloud", "--values", "rx.npy")
    np.testing.assert_array_equal(np.isnan(np.load("rx.npy")), np.isnan(values) | (np.eye(*SHAPE) > 0))
    whiten = ["ar", "whiten", "in.nc", *words, "--radius", "1", "--mask", ":cloud", "--out", "white.npy"]
    assert main(whiten) == 0
    assert "the recursion is not stable" in capsys.readouterr().err
    missing = np.isnan(values) | (np.eye(*SHAPE) > 0)
    assert np.isnan(np.load("white.npy"))[missing].all()
    run("fill", "in.nc", *words, "--out", "out", "--domain", ":land", *FIELD)
    filled = np.asarray(read("out/in-filled.nc").image)
    np.testing.assert_array_equal(np.isnan(filled), np.arange(SHAPE[1]) >= np.full((SHAPE[0], 1), 3))
    np.testing.assert_array_equal(filled[:, :3][~HOLE[:, :3]], values[:, :3][~HOLE[:, :3]])


def test_valid_is_the_other_way_round(here, run):
    tif("in.tif")
    bad = np.zeros(SHAPE, dtype=np.uint8)
    bad[0, :5] = 1
    raster_of(Path("bad.tif"), bad, **where())
    raster_of(Path("good.tif"), 1 - bad, nodata=0, **where())
    run("rx", "in.tif", "--mask", "bad.tif", "--values", "one.npy")
    run("rx", "in.tif", "--valid", "good.tif", "--values", "two.npy", "--overwrite")
    np.testing.assert_array_equal(np.load("one.npy"), np.load("two.npy"))
    assert np.isnan(np.load("two.npy"))[0, :5].all()


def test_several_images_are_extensions_volumes_and_arrays(here):
    require("astropy")
    require("nibabel")
    images = {"mean": scene(), "std": scene(seed=1)}
    for suffix, options in (
        (".fits", {"mean": {"variable": "MEAN"}, "std": {"variable": "STD"}}),
        (".nii", {"mean": {"select": {"t": 0}}, "std": {"select": {"t": 1}}}),
    ):
        write(f"in{suffix}", scene())
        write_several(f"out{suffix}", images, like=read(f"in{suffix}"))
        for name, image in images.items():
            np.testing.assert_array_equal(read(f"out{suffix}", **options[name]).image, image)
    for suffix in (".npz", ".nc"):
        write_several(f"out{suffix}", images)
        np.testing.assert_array_equal(np.asarray(read(f"out{suffix}", variable="std").image), images["std"])
    with pytest.raises(ArgumentError, match="to hold several images"):
        write_several("out.png", images)
    with pytest.raises(ArgumentError, match="images must be one at least"):
        write_several("out.npz", {})


@pytest.mark.parametrize(
    ("words", "directory"),
    [
        (["fill", "in.tif", "--out", "maps/filled.png"], "maps/filled"),
        (["fill", "in.tif", "--out", "in.nii.gz"], "in"),
        (["fill", "in.tif", "--out", "fit.json"], "fit"),
        (["fill-stack", "in_20200101.tif", "--out", "all.tif"], "all"),
        (["fill-stack", "in_20200101.tif", "--out", "all.zarr"], "all"),
        (["fill-tiles", "in.tif", "--out", "all.TIF", "--noise-variance", "1"], "all"),
        (["demo", "--out", "demo.nc"], "demo"),
    ],
)
def test_a_name_with_the_suffix_of_a_file_is_no_directory(here, refused, words, directory):
    Path("maps").mkdir()
    said = refused(*words)  # there is no image: nothing is read before
    assert f"out must be a directory, got {words[words.index('--out') + 1]}, which has the suffix of a file" in said
    assert f"give a directory such as {directory}, in which" in said
    assert ("or a file that holds all images: .tif, " in said) is (words[0] == "fill")
    assert [path.name for path in here.rglob("*")] == ["maps"]


def test_a_directory_that_is_there_may_have_the_name_of_a_file(here, run):
    values = tif()
    Path("maps.png").mkdir()
    run("fill", "in.tif", "--out", "maps.png", *FIELD)
    np.testing.assert_array_equal(read("maps.png/in-filled.tif").image[~HOLE], values[~HOLE])
