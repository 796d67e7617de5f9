"""``sparsegmrf fill --channels`` fills all channels of an image in one run and writes them into one file each."""

import json
import re
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

from sparsegmrf.cli import main
from sparsegmrf.io import read, read_fit, read_model
from sparsegmrf.io._layers import write_layers
from sparsegmrf.models import TensionSpline
from tests.files_of_channels import (
    ALL,
    COUNT,
    EACH,
    GAP,
    QUICK,
    bands,
    counts,
    holed,
    opened,
    series,
    together,
)
from tests.kinds_of_files import HOLE, SHAPE

KINDS = ("filled", "mean", "std", "predictive-std")


@pytest.mark.parametrize("kind", ["tif", "png", "npy", "nc"])
def test_several_channels_are_refused_with_the_option_that_fills_them(here, refused, kind):
    if kind == "tif":
        bands()
    elif kind == "png":
        iio.imwrite("in.png", np.moveaxis(counts(), 0, -1))
    elif kind == "npy":
        np.save("in.npy", holed())
    else:
        series()
    said = refused("fill", f"in.{kind}", "--out", "out")
    assert "All of them are filled with --channels all." in said
    assert "3 " in said


def test_bands_are_filled_together_as_by_the_library(here, run):
    values = bands()
    printed = run("fill", "in.tif", "--out", "out", *ALL, "--samples", "2", "--seed", "5")
    source = read("in.tif", channel="all")
    expected = together(values, spacing=source.spacing, n_samples=2, rng=5)
    written = {*(f"in-{kind}.tif" for kind in KINDS), "in-samples.tif", "in-fit.json"}
    assert {path.name for path in (here / "out").iterdir()} == written
    for kind in KINDS:
        found = opened(f"out/in-{kind}.tif")
        np.testing.assert_array_equal(
            found["values"], getattr(expected, kind.replace("-", "_")).astype(np.float32).astype(float)
        )
        assert found["place"] == opened("in.tif")["place"]
        assert found["units"] == ("1", "1", "K")
        assert found["tags"][1]["WAVELENGTH"] == "842"
        assert "WAVELENGTH" not in found["tags"][0]
        assert found["nodata"] == (GAP,) * COUNT
    filled = opened("out/in-filled.tif")
    assert filled["names"] == ("red", "nir", "filled 3")
    assert opened("out/in-std.tif")["names"][0] == "standard deviation of red"
    observed = ~np.isnan(values)
    np.testing.assert_array_equal(filled["values"][observed], values[observed])
    assert np.isfinite(filled["values"]).all()
    draws = opened("out/in-samples.tif")
    assert draws["names"][4] == "draw 2 of nir"
    np.testing.assert_array_equal(draws["values"][..., 4], expected.samples[1, ..., 1].astype(np.float32))
    about = json.loads((here / "out" / "in-fit.json").read_text())["about"]
    assert about["channels"] == ["red", "nir", "2"]
    assert about["fit"]["loglik"] == expected.fit.loglik
    assert about["fit"]["covariance_errors"]["covariance"]["shape"] == [COUNT, COUNT]
    np.testing.assert_array_equal(read_model("out/in-fit.json").covariance, expected.fit.model.covariance)
    assert f"{expected.fit.loglik:.4f} nats" in printed
    assert re.search(r"observed +156 +156 +156\b", printed)
    assert re.search(r"filled +12 +12 +12\b", printed)
    assert "correlation" in printed


def test_the_fit_of_channels_is_a_model_to_start_from_and_to_hold(here, run):
    bands()
    run("fill", "in.tif", "--out", "one", *ALL)
    held = ("--fixed", "range", "--fixed", "sigma", "--fixed", "covariance", "--noise-variance", "0.1")
    run("fill", "in.tif", "--out", "two", "--channels", "all", "--model", "one/in-fit.json", *held)
    one, two = (opened(f"{folder}/in-mean.tif")["values"] for folder in ("one", "two"))
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_the_model_by_default_is_that_of_one_band_whose_level_it_has_itself(here, run):
    np.save("in.npy", holed())
    run("fill", "in.npy", "--out", "out", "--channels", "all", "--fixed", "kappa", "--noise-variance", "4")
    expected = together(holed(), TensionSpline(kappa=0.5), fixed="kappa", noise_variance=4.0)
    assert expected.fit.covariates == ("row", "column")
    for kind in KINDS:
        np.testing.assert_array_equal(np.load(f"out/in-{kind}.npy"), getattr(expected, kind.replace("-", "_")))


def test_separately_every_channel_is_what_it_is_by_itself(here, run):
    values = bands()
    printed = run("fill", "in.tif", "--out", "out", *EACH, "--samples", "1")
    for k in range(COUNT):
        run("fill", "in.tif", "--out", f"one-{k}", "--channel", k, *QUICK, "--samples", "1")
        for kind in (*KINDS, "samples"):
            alone = opened(f"one-{k}/in-{kind}.tif")["values"][..., 0]
            np.testing.assert_array_equal(opened(f"out/in-{kind}.tif")["values"][..., k], alone)
        assert read_fit(f"out/in-fit-{k}.json").loglik == read_fit(f"one-{k}/in-fit.json").loglik
        assert f"channel {('red', 'nir', '2')[k]}: Matern" in printed
    assert not (here / "out" / "in-fit.json").exists()
    filled = opened("out/in-filled.tif")["values"]
    np.testing.assert_array_equal(filled[~np.isnan(values)], values[~np.isnan(values)])


def test_a_mark_is_that_of_single_channels_and_a_mask_of_all(here, run):
    stored = np.moveaxis(counts(np.int16), 0, -1).astype(float)
    stored[3, 4, 1] = stored[8, 2, 1] = 0.0
    np.save("in.npy", stored)
    np.save("mask.npy", HOLE.astype(float))
    run("fill", "in.npy", "--out", "out", *EACH, "--nodata", "0", "--mask", "mask.npy")
    found = np.load("out/in-filled.npy")
    changed = found != stored
    np.testing.assert_array_equal(changed[..., 0], HOLE)
    expected = HOLE.copy()
    expected[3, 4] = expected[8, 2] = True
    np.testing.assert_array_equal(changed[..., 1], expected)


@pytest.mark.parametrize("shape", [SHAPE, (*SHAPE, 1)])
def test_an_image_of_one_channel_is_filled_as_without_the_option(here, run, shape):
    np.save("in.npy", holed()[..., 0].reshape(shape))
    run("fill", "in.npy", "--out", "out", *ALL)
    np.save("plane.npy", holed()[..., 0])
    run("fill", "plane.npy", "--out", "one", *QUICK)
    np.testing.assert_array_equal(np.load("out/in-mean.npy"), np.load("one/plane-mean.npy"))
    assert read_fit("out/in-fit.json").loglik == read_fit("one/plane-fit.json").loglik


def test_counts_of_each_channel_have_their_risks(here, run):
    np.save("cases.npy", np.random.default_rng(0).poisson(4.0, (*SHAPE, 2)).astype(float))
    model = ("--model", "matern", "--fixed", "range", "--fixed", "sigma", "--likelihood", "poisson")
    options = ("--channels", "all", "--separately", "--exceedance", "5", *model)
    run("fill", "cases.npy", "--out", "out", *options)
    run("fill", "cases.npy", "--out", "one", "--channel", "1", "--exceedance", "5", *model)
    for name in ("predictive-mean", "lower", "exceedance"):
        np.testing.assert_array_equal(np.load(f"out/cases-{name}.npy")[..., 1], np.load(f"one/cases-{name}.npy"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--channels", "all", "--model", "best"], "model must be one field for channels that are filled together"),
        (["--channels", "all", "--likelihood", "poisson"], "with --separately each is filled by itself"),
        (["--channels", "all", "--parameters", "integrate"], "parameters must be plug-in for channels"),
        (["--channels", "all", "--precision", "single"], "precision must be double for channels"),
        (["--channels", "all", "--fixed", "covariance"], "fixed must not name covariance with model tension-spline"),
        (["--channels", "all", "--channel", "1"], "channel and channels exclude each other, got 1 and all"),
        (["--channels", "all", "--grey"], "grey and channels exclude each other"),
        (["--channels", "0,3"], "channels must be numbers from 0 to 2 for in.tif, got 3"),
        (["--channels", "0,0"], "channels must be different numbers, got 0,0"),
        (["--channels", "red"], "channels must be all, or numbers from 0 with commas, got red"),
        (["--channels", "all", "--format", "png"], "format must end in .tif, .tiff"),
        (["--channels", "all", "--out", "all.fits"], "out must end in"),
        (["--channels", "all", "--out", "in.tif"], "is an input"),
        (["--channels", "all", "--mask", "small.npy"], "mask must have the shape of the image"),
    ],
)
def test_what_does_not_go_is_refused_before_the_work(here, refused, monkeypatch, arguments, message):
    bands()
    np.save("small.npy", np.zeros((3, 3)))

    def refuse(*_, **__):
        raise AssertionError("the work began")

    monkeypatch.setattr("sparsegmrf.cli._fill_options.fill_gaps", refuse)
    monkeypatch.setattr("sparsegmrf.cli._fill_channels.fill_gaps", refuse)
    out = [] if "--out" in arguments else ["--out", "out"]
    assert message in refused("fill", "in.tif", *out, *arguments)


@pytest.mark.parametrize("how", [(), ("--separately",)])
def test_the_figure_has_a_row_for_each_of_the_first_channels(tmp_path, monkeypatch, how):
    drawn = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sparsegmrf.cli._fill.write_figure", lambda path, figure: drawn.append((path.name, figure)))
    image = np.concatenate([holed(), holed() + np.arange(12.0)[:, None, None], holed()[..., ::-1]], axis=-1)[..., :7]
    np.save("in.npy", image + np.random.default_rng(0).standard_normal(image.shape))
    held = ("--noise-variance", "1", "--model", "car", "--fixed", "rho", "--fixed", "tau")
    numbers = "all" if how else "5,4"
    assert main(["fill", "in.npy", "--out", "out", "--channels", numbers, *held, *how]) == 0
    ((name, figure),) = drawn
    titles = [each.get_title() for each in figure.axes if each.get_title()]
    assert name == "in-fill.png"
    assert titles[:2] == (["channel 0, 7.1% missing (white)", "mean of 0"] if how else [titles[0], "mean of 5"])
    assert len(titles) == (18 if how else 6)


@pytest.mark.parametrize("how", [ALL, EACH])
def test_bands_keep_their_own_units_in_figure_table_and_fits(here, run, monkeypatch, how):
    drawn = []
    bands()
    with monkeypatch.context() as drawing:  # undone before the figures that `here` leaves out come back
        drawing.setattr("sparsegmrf.cli._fill.write_figure", lambda path, figure: drawn.append(figure))
        printed = run("fill", "in.tif", "--out", "out", *how)
    labels = [bar.get_ylabel() for each in drawn[0].axes for bar in each.child_axes]
    assert labels == ["1"] * 6 + ["K"] * 3
    kept = ["1", "1", "K"] if how is EACH else ["1, 1, K"]
    assert [line.split(maxsplit=1)[1].strip() for line in printed.splitlines() if line.split()[:1] == ["unit"]] == kept
    fits = sorted((here / "out").glob("in-fit*.json"))
    assert [json.loads(each.read_text())["about"]["unit"] for each in fits] == kept


def test_files_that_are_there_are_told_before_the_work(here, refused):
    bands()
    Path("in-fit-1.json").write_text("old")
    assert "in-fit-1.json exists already" in refused("fill", "in.tif", "--out", ".", *EACH)
    assert Path("in-fit-1.json").read_text() == "old"


def test_channels_beyond_memory_are_refused_and_nothing_is_written(here, refused, monkeypatch):
    bands()
    monkeypatch.setattr("sparsegmrf._memory.available_bytes", lambda *_: 50_000)
    said = refused("fill", "in.tif", "--out", "out", *ALL)
    assert "GB are available" in said
    assert "--separately takes the memory of one channel at a time" in said
    assert not Path("out").exists()


def test_interrupt_while_writing_leaves_nothing(here, capsys, monkeypatch):
    bands()
    written = []

    def interrupted(path, *arguments, **options):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write_layers(path, *arguments, **options)

    monkeypatch.setattr("sparsegmrf.cli._channels_out.write_layers", interrupted)
    assert main(["fill", "in.tif", "--out", "out", *EACH]) == 130
    assert len(written) == 1
    assert [path.name for path in here.iterdir()] == ["in.tif"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "separately is for several channels, got no channels; add --channels all"),
        (["--channel", "1"], "separately is for several channels, got no channels"),
        (["--channels", "1"], "separately is for several channels, got one of in.tif; leave it out"),
    ],
)
def test_one_channel_is_not_filled_separately(here, refused, words, message):
    bands()
    assert message in refused("fill", "in.tif", "--out", "out", *QUICK, "--separately", *words)
    assert not (here / "out").exists()
