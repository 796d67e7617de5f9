import os
import re
import subprocess
import sys

import imageio.v3 as iio
import numpy as np
import pytest
import scipy.ndimage

import sparsegmrf
from sparsegmrf import CAR
from sparsegmrf.autoregression import CausalAR
from sparsegmrf.cli import main
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.io import read_image, read_model, write_model

CAUSAL = '"format": "sparsegmrf", "version": 1, "kind": "CausalAR"'


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def grass(here):
    """A texture of 96 x 80 pixels as grass.png."""
    rng = np.random.default_rng(0)
    waves = scipy.ndimage.gaussian_filter(rng.standard_normal((96, 80)), (2.0, 0.8))
    grey = 128.0 + 40.0 * waves / waves.std() + 12.0 * rng.standard_normal((96, 80))
    image = np.clip(grey, 0.0, 255.0).astype(np.uint8)
    iio.imwrite(here / "grass.png", image)
    return image / 255.0


def colours():
    """Return red, green and blue of 40 x 50 pixels."""
    return np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.fixture
def run(capsys):
    """Run a command that must end well and return what it prints."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    return call


@pytest.fixture
def refused(capsys):
    """Run a command that must end with code 2 and one line on standard error, and return the line."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert code == 2
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        assert captured.err.endswith("\n")
        assert captured.err.startswith("sparsegmrf: ")
        return captured.err

    return call


def test_fit_prints_weights_errors_likelihood_and_margin_and_writes_figure_and_model(grass, here, run):
    printed = run("ar", "fit", "grass.png", "--support", "qp", "--order", "2", "1", "--model", "model.json")
    fitted = CausalAR.fit(grass, "qp", order=(2, 1))
    model = fitted.model
    for weight, error in zip(model.weights, fitted.weight_errors, strict=True):
        assert re.search(rf" {weight:.6f} +{error:.6f} ", printed)
    assert f"{fitted.loglik_per_pixel:.6f} nats" in printed
    assert f"{model.sigma:.6g} +- {fitted.standard_errors['sigma']:.2g}" in printed
    assert f"{model.stability().margin:.6g}, stable" in printed
    assert "intensity (counts / 255)" in printed
    assert iio.imread("grass-fit.png").std() > 10
    written = read_model("model.json")
    np.testing.assert_array_equal(written.weights, model.weights)
    np.testing.assert_array_equal(written.offsets, model.offsets)
    assert (written.sigma, written.mean) == (model.sigma, model.mean)


def test_fit_compares_supports_and_takes_the_best(grass, here, run):
    printed = run("ar", "fit", "grass.png", "--compare", "--model", "model.json", "--out", "figure.svg")
    selection = sparsegmrf.autoregression.select_order(grass)
    assert selection.summary() in printed
    np.testing.assert_array_equal(read_model("model.json").weights, selection.best.model.weights)
    assert (here / "figure.svg").stat().st_size > 1000


def test_raw_keeps_counts(grass, here, run):
    printed = run("ar", "fit", "grass.png", "--raw", "--model", "model.json")
    assert read_model("model.json").sigma == pytest.approx(255 * CausalAR.fit(grass, "nshp", radius=2).model.sigma)
    assert "counts / 255" not in printed


@pytest.mark.parametrize("suffix", [".tif", ".npy"])
def test_whiten_writes_the_innovations_to_the_last_digit(grass, here, run, suffix):
    printed = run("ar", "whiten", "grass.png", "--radius", "1", "--out", f"white{suffix}")
    model = CausalAR.fit(grass, "nshp", radius=1).model
    field = model.gmrf(grass.shape)
    np.testing.assert_array_equal(read_image(f"white{suffix}").pixels, field.whiten(grass))
    assert f"{field.logpdf(grass) / grass.size:.6f} nats" in printed


def test_whiten_takes_the_model_of_another_image(grass, here, run):
    model = CausalAR([0.4, 0.5], 0.2, 0.3, support=[(0, -1), (-1, 0)])
    write_model("model.json", model)
    run("ar", "whiten", "grass.png", "--model", "model.json")
    white = model.gmrf(grass.shape).whiten(grass)
    np.testing.assert_array_equal(read_image("grass-innovations.tif").pixels, white)


def test_sample_is_the_draw_of_the_library_and_png_tells_its_stretch(here, run):
    model = CausalAR([0.4, 0.5], 0.2, 0.3, support=[(0, -1), (-1, 0)])
    write_model("model.json", model)
    run("ar", "sample", "model.json", "--shape", "20", "30", "--seed", "7", "--burn-in", "9", "--out", "draw.npy")
    draw = model.gmrf((20, 30)).sample(rng=7, burn_in=9)
    np.testing.assert_array_equal(np.load("draw.npy"), draw)
    printed = run("ar", "sample", "model.json", "--shape", "20", "30", "--seed", "7", "--burn-in", "9")
    assert f"black is {draw.min():.6g}, white {draw.max():.6g}" in printed
    shown = draw.min() + read_image("sample.png").pixels * (draw.max() - draw.min())
    np.testing.assert_allclose(shown, draw, atol=1e-4)
    run("ar", "sample", "model.json", "--shape", "5", "6", "--count", "3", "--burn-in", "0", "--out", "stack.npy")
    np.testing.assert_array_equal(np.load("stack.npy"), model.gmrf((5, 6)).sample(size=3, rng=0))


def test_sample_of_an_image_has_its_shape_and_its_fit(grass, here, run):
    run("ar", "sample", "grass.png", "--out", "draw.npy")
    model = CausalAR.fit(grass, "nshp", radius=2).model
    np.testing.assert_array_equal(np.load("draw.npy"), model.gmrf(grass.shape).sample(rng=0, burn_in=64))


def test_experiment_prints_the_limit_and_writes_the_figure(here, run):
    printed = run("experiment", "--k", "0.3", "--size", "8", "--out", "figure.png")
    result = sparsegmrf.autoregression.experiment(0.3, 8)
    assert f"{result.condition:.6g}" in printed
    assert f"{result.largest_variance:.6g}" in printed
    assert iio.imread("figure.png").std() > 10


def test_unstable_weight_is_warned_about_on_standard_error(here, capsys):
    assert main(["experiment", "--k", "-0.8", "--size", "4"]) == 0
    captured = capsys.readouterr()
    assert "sparsegmrf: warning: |k| = 0.8 is not below 1/2" in captured.err
    assert (here / "experiment.png").exists()


def test_fit_that_is_not_stable_says_so_and_draws_nothing(here, capsys):
    rows = np.random.default_rng(0).standard_normal((30, 40)).cumsum(axis=0)
    np.save("walk.npy", 1.05 ** np.arange(30)[:, np.newaxis] * rows)
    assert main(["ar", "fit", "walk.npy", "--support", "qp", "--order", "1", "0"]) == 0
    captured = capsys.readouterr()
    assert "NOT stable (by quarter plane)" in captured.out
    assert "sparsegmrf: warning: the recursion is not stable" in captured.err
    assert (here / "walk-fit.png").exists()


@pytest.mark.parametrize("how", ["nan", "file"])
def test_missing_pixels_drop_what_touches_them(grass, here, run, how):
    missing = np.zeros(grass.shape, dtype=bool)
    missing[40:50, 30:45] = True
    image = grass.copy()
    if how == "nan":
        image[missing] = np.nan
        mask = "nan"
    else:
        image[missing] = 1e6
        iio.imwrite("mask.png", missing.astype(np.uint8) * 255)
        mask = "mask.png"
    np.save("image.npy", image)
    printed = run("ar", "fit", "image.npy", "--mask", mask, "--radius", "1", "--model", "model.json")
    model = CausalAR.fit(grass, "nshp", radius=1, mask=missing).model
    np.testing.assert_array_equal(read_model("model.json").weights, model.weights)
    run("ar", "whiten", "image.npy", "--mask", mask, "--model", "model.json", "--out", "white.npy")
    white = np.load("white.npy")
    touched = missing.copy()
    for i, j in np.argwhere(missing):
        for di, dj in model.offsets:
            touched[i - di, j - dj] = True
    np.testing.assert_array_equal(np.isnan(white), touched)
    whole = model.gmrf(grass.shape).whiten(grass)
    np.testing.assert_allclose(white[~touched], whole[~touched], rtol=0, atol=1e-10)
    assert f"{white[~touched].var():.6g} (1 if the model fits)" in printed


def test_colour_needs_channel_or_grey(here, run, refused):
    iio.imwrite("cat.png", colours())
    assert "cat.png has 3 channels, shape (40, 50, 3); choose one with channel (--channel) 0 to 2, or grey" in refused(
        "ar", "fit", "cat.png"
    )
    run("ar", "whiten", "cat.png", "--channel", "2", "--radius", "1", "--out", "white.npy")
    blue = colours()[..., 2] / 255.0
    model = CausalAR.fit(blue, "nshp", radius=1).model
    expected = sparsegmrf.GMRF.from_whitening(model.whitening(blue.shape), model.mean).whiten(blue)
    np.testing.assert_array_equal(np.load("white.npy"), expected)
    run("ar", "whiten", "cat.png", "--grey", "--out", "grey.npy")
    assert np.load("grey.npy").shape == (40, 50)


def test_inputs_are_never_modified_or_overwritten(grass, here, run, refused):
    write_model("model.json", CausalAR([0.5], support=[(0, -1)]))
    np.save("mask.npy", np.zeros(grass.shape, dtype=bool))
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    os.link("grass.png", "other.png")
    for arguments in (
        ("ar", "fit", "grass.png", "--out", "grass.png"),
        ("ar", "fit", "grass.png", "--out", "./other.png"),
        ("ar", "fit", "grass.png", "--mask", "mask.npy", "--model", "mask.npy"),
        ("ar", "fit", "grass.png", "--out", "same.png", "--model", "same.png"),
        ("ar", "whiten", "grass.png", "--out", "grass.png"),
        ("ar", "whiten", "grass.png", "--model", "model.json", "--out", "model.json"),
        ("ar", "sample", "grass.png", "--out", "grass.png"),
        ("ar", "sample", "model.json", "--out", "model.json"),
    ):
        assert "is an input or another output already" in refused(*arguments)
    (here / "other.png").unlink()
    run("ar", "fit", "grass.png", "--mask", "mask.npy", "--out", "figure.png")
    run("ar", "whiten", "grass.png", "--model", "model.json", "--out", "white.npy")
    for name, content in before.items():
        assert (here / name).read_bytes() == content
    assert {path.name for path in here.iterdir()} == {*before, "figure.png", "white.npy"}


@pytest.mark.parametrize(
    "command",
    [
        ["fit", "grass.png", "--out", "nowhere/fit.json"],
        ["fit", "grass.png", "--out", "folder.json"],
        ["fit", "grass.png", "--out", "fit.txt"],
        ["ar", "fit", "grass.png", "--out", "nowhere/fit.png"],
        ["ar", "fit", "grass.png", "--out", "fit.gif"],
        ["ar", "fit", "grass.png", "--model", "nowhere/model.json"],
        ["ar", "whiten", "grass.png", "--out", "nowhere/white.npy"],
        ["ar", "whiten", "grass.png", "--out", "white.gif"],
        ["ar", "sample", "grass.png", "--out", "nowhere/draw.npy"],
        ["ar", "sample", "grass.png", "--out", "draw.gif"],
        ["rx", "grass.png", "--out", "rx.gif"],
        ["rx", "grass.png", "--values", "nowhere/rx.npy"],
        ["density", "grass.png", "--out", "nowhere/density.png"],
        ["density", "grass.png", "--values", "density.gif"],
    ],
)
def test_place_and_format_of_outputs_are_checked_before_the_work(grass, here, refused, monkeypatch, command):
    def refuse(*_, **__):
        raise AssertionError("the work began")

    for work in ("inference.fit", "cli._causal.CausalAR.fit", "cli._pixels.rx", "cli._pixels.PixelGaussian.fit"):
        monkeypatch.setattr(f"sparsegmrf.{work}", refuse)
    (here / "folder.json").mkdir()
    line = refused(*command)
    assert any(word in line for word in ("existing directory", "suffix of", "which is a directory", "end in .json"))
    assert {path.name for path in here.iterdir()} == {"grass.png", "folder.json"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ar", "fit", "nowhere.png"], "nowhere.png, which is none"),
        (["ar", "fit", "."], "existing image file"),
        (["ar", "fit", "text.png"], "cannot be read"),
        (["ar", "fit", "complex.npy"], "real numbers, got dtype complex128"),
        (["ar", "fit", "gap.npy"], 'got nan at pixel (3, 4); if it is missing, pass mask="nan"'),
        (["ar", "fit", "grass.png", "--channel", "0"], "has one channel only"),
        (["ar", "fit", "grass.png", "--grey", "--channel", "0"], "exclude each other"),
        (["ar", "fit", "grass.png", "--radius", "40"], "image has 0 usable pixels"),
        (["ar", "fit", "grass.png", "--radius", "-1"], "radius must be at least 0"),
        (["ar", "fit", "grass.png", "--support", "disc"], "'disc' is not one of"),
        (["ar", "fit", "grass.png", "--mask", "gap.npy"], "mask must have the shape of the image (96, 80)"),
        (["ar", "fit", "grass.png", "--out", "figure.gif"], "suffix of path must be one of"),
        (["ar", "fit", "grass.png", "--out", "nowhere/figure.png"], "existing directory"),
        (["ar", "fit", "constant.npy"], "image"),
        (["ar", "fit", "grass.png", "--seed", "-1"], "rng must be"),
        (["ar", "fit"], "Missing argument"),
        (["ar", "fit", "grass.png", "--colour"], "No such option: --colour"),
        (["ar", "whiten", "grass.png", "--model", "nowhere.json"], "nowhere.json"),
        (["ar", "whiten", "grass.png", "--model", "text.png"], "cannot be read"),
        (["ar", "whiten", "grass.png", "--model", "lacking.json"], "lacks mean, sigma"),
        (["ar", "whiten", "grass.png", "--model", "list.json"], '"format": "sparsegmrf"'),
        (
            ["ar", "whiten", "grass.png", "--model", "field.json"],
            "model must hold a CausalAR, got field.json with a CAR",
        ),
        (["ar", "sample", "strange.json"], "kind must be one that is known here, got 'os.system'"),
        (["ar", "whiten", "grass.png", "--model", "later.json"], "earlier"),
        (["ar", "sample", "later.json"], "earlier"),
        (["ar", "sample", "grass.png", "--out", "draw.bmp"], "suffix of path must be one of"),
        (["ar", "sample", "grass.png", "--shape", "0", "5"], "shape must be (height, width)"),
        (["ar", "sample", "grass.png", "--count", "2"], "out must end in .npy"),
        (["experiment", "--k", "2"], "k must lie in [-1, 1]"),
        (["experiment", "--k", "much"], "Invalid value for '--k'"),
        (["experiment", "--size", "65"], "size must be at most 64, got 65"),
        (["paint"], "No such command 'paint'"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(grass, here, refused, arguments, message):
    (here / "text.png").write_text("no image\nat all\n")
    (here / "lacking.json").write_text(f'{{{CAUSAL}, "offsets": [], "weights": []}}')
    (here / "list.json").write_text("[1, 2]")
    write_model("field.json", CAR(0.2))
    (here / "strange.json").write_text('{"format": "sparsegmrf", "version": 1, "kind": "os.system"}')
    later = f'{{{CAUSAL}, "offsets": [[0, 1]], "weights": [0.5], "sigma": 1, "mean": 0}}'
    (here / "later.json").write_text(later)
    np.save("complex.npy", np.zeros((9, 9), complex))
    np.save("constant.npy", np.ones((20, 20)))
    gap = np.random.default_rng(0).random((9, 9))
    gap[3, 4] = np.nan
    np.save("gap.npy", gap)
    before = sorted(path.name for path in here.iterdir())
    assert message in refused(*arguments)
    assert sorted(path.name for path in here.iterdir()) == before


def test_model_files_keep_every_digit_and_refuse_what_is_none(here):
    model = CausalAR([1 / 3, -0.1], 1e-7, np.pi * 1e5, support=[(-1, 2), (0, -1)])
    write_model("model.json", model)
    read = read_model("model.json")
    for name in ("weights", "offsets", "sigma", "mean"):
        np.testing.assert_array_equal(getattr(read, name), getattr(model, name))
    with pytest.raises(FileError, match="cannot be read"):
        read_model("nowhere.json")
    (here / "model.json").write_text(f'{{{CAUSAL}, "offsets": [[0, -1]], "weights": ["x"], "sigma": 1, "mean": 0}}')
    with pytest.raises(ArgumentError, match="weights must hold real numbers"):
        read_model("model.json")


def test_help_and_version(run):
    for arguments in ([], ["--help"]):
        printed = run(*arguments)
        for command in ("demo", "fill", "fit", "ar", "experiment"):
            assert command in printed
    for command in ("fit", "whiten", "sample"):
        assert command in run("ar", "--help")


def test_help_begins_with_how_to_fill_and_no_summary_is_cut(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    printed = run("--help")
    assert "sparsegmrf fill raster.tif --out filled  " in printed.partition("Options:")[0]
    listed = re.findall(r"^  ([a-z-]+)  +(.+)$", printed.partition("Commands:")[2], flags=re.MULTILINE)
    assert [name for name, _ in listed][:5] == ["fill", "fill-stack", "fill-tiles", "fit", "demo"]
    listed += re.findall(r"^  ([a-z-]+)  +(.+)$", run("ar", "--help").partition("Commands:")[2], flags=re.MULTILINE)
    assert len(listed) == 14
    for name, summary in listed:
        assert summary.endswith("."), name
        assert not summary.endswith("..."), name


@pytest.mark.parametrize(
    "command", [["fill"], ["fit"], ["ar", "fit"], ["ar", "whiten"], ["ar", "sample"], ["rx"], ["density"]]
)
def test_commands_that_read_images_have_the_same_options_for_it(run, command):
    printed = run(*command, "--help")
    one = ("channel", "grey") if command[0] not in ("rx", "density") else ("channels",)
    for option in ("mask", "nodata", "channel-axis", "raw", "variable", *one):
        assert re.search(rf"^ +--{option}\b", printed, flags=re.MULTILINE)
    assert "[required]" in printed


def test_version_is_printed(run):
    assert run("--version").split(".")[0].isdigit()


def test_interrupt_ends_with_130_and_leaves_nothing(grass, here, capsys, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", interrupt)
    assert main(["ar", "fit", "grass.png"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["grass.png"]


def test_progress_is_shown_on_a_terminal_and_only_there(here, capsys, monkeypatch):
    arguments = ["experiment", "--size", "4"]
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert main(arguments) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    assert main([*arguments, "--overwrite"]) == 0
    assert "building the matrices" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["fit"], ["fill", "--out", "filled", "--model", "matern"]])
def test_a_terminal_is_told_how_far_a_fit_is(here, capsys, monkeypatch, command):
    for name in ("TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "FORCE_COLOR": "1", "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    image = np.random.default_rng(0).standard_normal((8, 9))
    np.save(here / "image.npy", image.cumsum(axis=0).cumsum(axis=1))
    assert main([command[0], "image.npy", *command[1:]]) == 0
    assert re.search(r"fitting, \d+ of about \d+", capsys.readouterr().err)


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_process_ends_with_the_exit_code(here):
    start = "import sys; from sparsegmrf.cli import main; sys.exit(main(%r))"
    failed = python(start % ["ar", "fit", "nowhere.png"])
    assert (failed.returncode, failed.stdout) == (2, "")
    assert failed.stderr.count("\n") == 1
    assert python(start % ["--version"]).returncode == 0


def test_missing_extra_is_named_with_the_remedy():
    result = python("import sys; sys.modules['typer'] = None; from sparsegmrf.cli import main; sys.exit(main([]))")
    assert result.returncode == 2
    assert result.stderr == (
        "sparsegmrf: the command line needs typer; install it with: pip install 'sparsegmrf[cli]'\n"
    )
