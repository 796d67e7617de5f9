"""``sparsegmrf fill`` and ``demo`` write what the library computes, in the format of the image, or nothing."""

import json
import re
import sys

import imageio.v3 as iio
import numpy as np
import pytest

from sparsegmrf import fill, fit
from sparsegmrf.cli import _demo, main
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import spacing_of
from sparsegmrf.io import read_fit, read_image, write_model
from sparsegmrf.likelihoods import Poisson
from sparsegmrf.models import BYM, Intrinsic, Matern, TensionSpline
from sparsegmrf.plot import fill_figure, truth_figure
from sparsegmrf.scores import coverage, crps
from tests.conftest import require

SHAPE = (14, 17)
KINDS = ("filled", "mean", "std", "predictive-std")
FAST = ("--noise-variance", "0.1")
DISEASE = ("--likelihood", "poisson", "--model", "bym", "--fixed", "sigma", "--fixed", "phi")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def holes(here):
    """A smooth image with noise and a gap, as holes.npy."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]] / 5.0
    image = 20.0 + 3.0 * np.sin(rows) * np.cos(columns) + 0.3 * np.random.default_rng(0).standard_normal(SHAPE)
    image[4:9, 6:11] = np.nan
    np.save(here / "holes.npy", image)
    return image


def written(stem, suffix, samples=False, stack=None):
    draws = [f"{stem}-samples{stack or suffix}"] if samples else []
    return {*(f"{stem}-{kind}{suffix}" for kind in KINDS), *draws, f"{stem}-fit.json", f"{stem}-fill.png"}


def test_counts_are_filled_with_risks_and_new_counts(here, run):
    rng = np.random.default_rng(0)
    exposure = rng.uniform(2.0, 6.0, SHAPE)
    cases = rng.poisson(exposure * np.exp(Matern(range=5.0, sigma=0.8).gmrf(SHAPE).sample(rng=1))).astype(float)
    cases[4:9, 6:11] = np.nan
    np.save("cases.npy", cases)
    np.save("exposure.npy", exposure)
    more = ("--exposure", "exposure.npy", "--samples", "2", "--seed", "5", "--exceedance", "1.5")
    printed = run("fill", "cases.npy", "--out", "out", *DISEASE, *more)
    options = {"model": BYM(), "fixed": ["sigma", "phi"], "n_samples": 2, "rng": 5}
    result = fill(cases, likelihood=Poisson(exposure), **options)
    risk = result.relative_risk(0.95)
    expected = {name: getattr(result, name) for name in ("filled", "mean", "std", "predictive_mean", "predictive_std")}
    expected |= {"samples": result.samples, "lower": risk.lower, "upper": risk.upper}
    expected |= {"exceedance": result.exceedance(1.5)}
    for name, values in expected.items():
        np.testing.assert_array_equal(np.load(f"out/cases-{name.replace('_', '-')}.npy"), values)
    assert {path.name for path in (here / "out").iterdir()} == {
        *(f"cases-{name.replace('_', '-')}.npy" for name in expected),
        "cases-fit.json",
        "cases-fill.png",
    }
    assert "213 observed, 25 filled" in printed
    assert "standard deviation of the risk" in printed
    assert read_fit("out/cases-fit.json").likelihood == "poisson"


def test_counts_without_a_threshold_have_no_exceedance(here, run):
    np.save("cases.npy", np.random.default_rng(0).poisson(3.0, SHAPE).astype(float))
    run("fill", "cases.npy", "--out", "out", *DISEASE)
    assert not list((here / "out").glob("*exceedance*"))


def test_fill_prints_the_fit_and_writes_what_the_library_returns(holes, here, run):
    printed = run("fill", "holes.npy", "--out", "out", "--samples", "2", "--seed", "5")
    result = fill(holes, n_samples=2, rng=5)
    assert {path.name for path in (here / "out").iterdir()} == written("holes", ".npy", samples=True)
    for kind in (*KINDS, "samples"):
        expected = getattr(result, kind.replace("-", "_"))
        np.testing.assert_array_equal(np.load(f"out/holes-{kind}.npy"), expected)
        assert f"wrote out/holes-{kind}.npy" in printed
    for name, value in result.fit.parameters.items():
        assert re.search(rf" {name} +{value:.6g} +{result.fit.standard_errors[name]:.2g} ", printed)
    for name, value in result.fit.coefficients.items():
        assert re.search(rf" {name} +{value:.6g} +{result.fit.coefficient_errors[name]:.2g} ", printed)
    assert f"{result.fit.loglik:.4f} nats" in printed
    assert "213 observed, 25 filled" in printed
    fields = json.loads((here / "out" / "holes-fit.json").read_text())
    assert fields["parameters"] == result.fit.parameters
    errors = result.fit.standard_errors
    assert fields["standard_errors"] == {
        name: {"float": "nan"} if np.isnan(errors[name]) else errors[name] for name in errors
    }
    assert fields["undetermined"] == list(result.fit.undetermined) == ["kappa"]  # a thin plate is as good
    assert fields["loglik"] == result.fit.loglik
    assert (fields["model"]["kind"], fields["converged"], fields["shape"]) == ("TensionSpline", False, list(SHAPE))
    assert iio.imread("out/holes-fill.png").std() > 10


def test_model_noise_and_trend_are_those_asked_for(holes, run):
    run(
        "fill", "holes.npy", "--out", "out", "--model", "matern", "--noise-variance", "0.09", "--covariates", "constant"
    )
    expected = fill(holes, model=Matern(), noise_variance=0.09, covariates="constant")
    np.testing.assert_array_equal(np.load("out/holes-mean.npy"), expected.mean)
    run("fill", "holes.npy", "--out", "two", "--model", "matern2", "--noise-variance", "none", "--covariates", "none")
    expected = fill(holes, model=Matern(nu=2.0), noise_variance=None, covariates=None)
    np.testing.assert_array_equal(np.load("two/holes-std.npy"), expected.std)


@pytest.mark.parametrize("command", [("fill", "--out", "out", "--overwrite"), ("fit",)])
def test_what_a_fit_advises_is_told_by_options(here, run, command):
    rough = np.random.default_rng(0).standard_normal((20, 22)).cumsum(axis=0).cumsum(axis=1)
    np.save("rough.npy", np.where(np.eye(20, 22) > 0, np.nan, rough))
    command = (*command, "rough.npy", "--model", "intrinsic")
    printed = " ".join(run(*command).split())
    assert "no independent noise; fit with --noise-variance none" in printed
    assert "noise_variance=" not in printed
    assert "no independent noise" not in run(*command, "--noise-variance", "none")


def test_what_cannot_be_given_by_an_option_is_not_advised():
    from sparsegmrf.cli._report import in_options

    assert in_options("tau ran away from the start; hold it by fixed=, or give it a prior") == (
        "tau ran away from the start; hold it by --fixed"
    )
    assert in_options("hold others by fixed=") == "hold others by --fixed"


def test_model_may_be_a_file_of_a_fit(holes, here, run):
    found = fit(Matern(), holes, noise_variance=0.09)
    write_model("fit.json", found)
    run("fill", "holes.npy", "--out", "out", "--model", "fit.json", "--fixed", "range", "--fixed", "sigma")
    expected = fill(holes, model=found.model, fixed=("range", "sigma"))
    np.testing.assert_array_equal(np.load("out/holes-mean.npy"), expected.mean)
    assert read_fit("out/holes-fit.json").model.parameters == found.model.parameters


def test_best_prints_and_keeps_what_it_chose_from(holes, here, run):
    printed = run("fill", "holes.npy", "--out", "out", "--model", "best", "--seed", "3")
    expected = fill(holes, model="best", rng=3).comparison
    assert expected.summary() in printed
    kept = json.loads((here / "out" / "holes-fit.json").read_text())["about"]["comparison"]
    assert kept["chosen"] == expected.chosen.name
    assert {name: (each["weight"], each["crps"]) for name, each in kept["candidates"].items()} == {
        each.name: (each.weight, each.scores.crps) for each in expected.candidates
    }
    assert (kept["left_out"], kept["verdict"]) == (dict(expected.left_out), expected.verdict)


def test_mask_counts_besides_nan(holes, here, run):
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[10:12, 2:4] = 255
    iio.imwrite("mask.png", mask)
    run("fill", "holes.npy", "--out", "out", "--mask", "mask.png", *FAST)
    expected = fill(holes, mask=(mask > 0) | np.isnan(holes), noise_variance=0.1)
    np.testing.assert_array_equal(np.load("out/holes-filled.npy"), expected.filled)


def test_png_is_filled_in_its_counts_and_written_as_tiff(holes, here, run):
    counts = np.nan_to_num(holes * 8.0).round().astype(np.uint8)
    iio.imwrite("image.png", counts)
    iio.imwrite("mask.png", np.isnan(holes).astype(np.uint8))
    run("fill", "image.png", "--out", "out", "--mask", "mask.png", "--samples", "1", "--noise-variance", "6.5")
    assert {path.name for path in (here / "out").iterdir()} == written("image", ".tif", samples=True, stack=".npy")
    expected = fill(counts.astype(float), mask=np.isnan(holes), noise_variance=6.5)
    filled = read_image("out/image-filled.tif").pixels
    np.testing.assert_array_equal(filled, expected.filled)
    np.testing.assert_array_equal(filled[~np.isnan(holes)], counts[~np.isnan(holes)])


def test_array_of_an_npz_file_is_chosen_by_name(holes, here, run):
    np.savez("arrays.npz", holes=holes, line=np.zeros(3))
    run("fill", "arrays.npz", "--out", "out", *FAST)
    np.savez("arrays.npz", holes=holes, other=np.zeros((2, 2)))
    run("fill", "arrays.npz", "--out", "named", "--variable", "holes", *FAST)
    for folder in ("out", "named"):
        np.testing.assert_array_equal(np.load(f"{folder}/arrays-mean.npy"), fill(holes, noise_variance=0.1).mean)


def test_geotiff_stays_one(holes, here, run):
    rasterio = require("rasterio")
    transform = rasterio.Affine(30.0, 0.0, 5e5, 0.0, -30.0, 5e6)
    profile = {"driver": "GTiff", "height": SHAPE[0], "width": SHAPE[1], "crs": "EPSG:32633", "transform": transform}
    with rasterio.open("in.tif", "w", count=2, dtype="float32", nodata=-9999.0, **profile) as target:
        target.write(np.where(np.isnan(holes), -9999.0, holes).astype(np.float32), 2)
        target.units = ("", "m")
    printed = run("fill", "in.tif", "--out", "out", "--channel", "1", "--samples", "2", *FAST)
    assert re.search(r"unit +m *\n", printed)
    assert {path.name for path in (here / "out").iterdir()} == written("in", ".tif", samples=True)
    result = fill(holes.astype(np.float32), noise_variance=0.1, n_samples=2, rng=0)
    for name in (*KINDS, "samples"):
        with rasterio.open(f"out/in-{name}.tif") as file:
            assert (file.crs.to_epsg(), file.transform, file.nodata) == (32633, transform, -9999.0)
            stored = getattr(result, name.replace("-", "_")).astype(np.float32)
            np.testing.assert_array_equal(file.read(), stored if name == "samples" else stored[np.newaxis])


def test_netcdf_stays_one(holes, here, run):
    require("netCDF4")
    xarray = require("xarray")
    stack = xarray.DataArray(
        np.stack([holes, holes[::-1]]),
        dims=("time", "lat", "lon"),
        coords={"lat": np.linspace(50.0, 40.0, SHAPE[0]), "lon": np.arange(17.0)},
        attrs={"units": "degC"},
    )
    xarray.Dataset({"sst": stack, "ice": stack}, attrs={"title": "sea"}).to_netcdf("in.nc")
    printed = run("fill", "in.nc", "--variable", "sst", "--channel", "1", "--out", "out", "--samples", "2", *FAST)
    assert re.search(r"unit +degC *\n", printed)
    assert {path.name for path in (here / "out").iterdir()} == written("in", ".nc", samples=True)
    result = fill(holes[::-1], noise_variance=0.1, n_samples=2, rng=0, spacing=spacing_of(stack))
    names = {"filled": "sst", "mean": "sst", "std": "sst_std", "predictive-std": "sst_predictive_std", "samples": "sst"}
    for kind, name in names.items():
        with xarray.open_dataset(f"out/in-{kind}.nc") as file:
            assert file.attrs["title"] == "sea"
            np.testing.assert_array_equal(file[name], getattr(result, kind.replace("-", "_")))
            np.testing.assert_array_equal(file["lat"], stack["lat"])
            assert file[name].attrs["units"] == "degC"


def test_globe_is_offered_its_boundary_and_joined_where_it_is_asked_for(holes, here, run):
    require("netCDF4")
    xarray = require("xarray")
    lon = np.arange(holes.shape[1]) * 360.0 / holes.shape[1]
    grid = {"lat": np.linspace(50.0, 40.0, SHAPE[0]), "lon": lon}
    xarray.DataArray(holes, dims=("lat", "lon"), coords=grid, name="sst").to_netcdf("globe.nc")
    held = ("--model", "matern", "--fixed", "range", "--fixed", "sigma", "--noise-variance", "0.1")
    offered = 'boundary=("neumann", "torus") joins'
    for command in (("fit", "globe.nc"), ("fill", "globe.nc", "--out", "open")):
        assert offered in " ".join(run(*command, *held).split())
    joined = ("--boundary", "neumann,torus")
    assert "joins" not in run("fit", "globe.nc", *held, *joined, "--out", "fit.json")
    assert read_fit("fit.json").model.boundary == ("neumann", "torus")
    assert "joins" not in run("fill", "globe.nc", "--out", "out", *held, *joined)
    model = Matern(boundary=("neumann", "torus"))
    size = spacing_of(xarray.DataArray(holes, dims=("lat", "lon"), coords=grid))
    expected = fill(holes, model=model, fixed=["range", "sigma"], noise_variance=0.1, covariates="linear", spacing=size)
    with xarray.open_dataset("out/globe-std.nc") as file:
        np.testing.assert_array_equal(file["sst_std"], expected.std)


@pytest.mark.parametrize("library", ["rasterio", "xarray"])
def test_missing_extra_is_one_line_with_the_remedy(holes, here, capsys, monkeypatch, library):
    if library == "rasterio":
        iio.imwrite("in.tif", holes, plugin="tifffile", extratags=[(42113, "s", 0, "-9999", True)])
    (here / "in.nc").write_bytes(b"CDF")
    monkeypatch.setitem(sys.modules, library, None)
    assert main(["fill", "in.tif" if library == "rasterio" else "in.nc", "--out", "out"]) == 2
    expected = f'sparsegmrf: this format needs {library}; install it with: pip install "sparsegmrf[geo]"\n'
    assert capsys.readouterr().err == expected
    assert not (here / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.npy"], "nowhere.npy, which is none"),
        (["nowhere.nc"], "nowhere.nc"),
        (["text.tif"], "cannot be read"),
        (["text.npz"], "cannot be read"),
        (["empty.npy"], "image must have an observed pixel"),
        (["constant.npy"], "image must vary"),
        (["infinite.npy"], "image must be finite"),
        (["one.npy"], "image must vary over its observed pixels, got 1 of them"),
        (["two.npz"], "variable must be one of a, b of two.npz, got none"),
        (["two.npz", "--variable", "c"], "got c"),
        (["holes.npy", "--variable", "c"], "variable is for NetCDF, Zarr and .npz"),
        (["two.npz", "--grey"], "grey is for colour images"),
        (["holes.npy", "--mask", "two.npz"], "cannot be read"),
        (
            ["holes.npy", "--mask", "small.npy"],
            "mask must have the shape of the image (14, 17), got small.npy",
        ),
        (
            ["holes.npy", "--noise-variance", "much"],
            "must be a number, estimate, none or an existing image file, got much",
        ),
        (["holes.npy", "--noise-variance=-1"], "noise"),
        (["holes.npy", "--model", "disc"], "'thin-plate', 'best', got 'disc'"),
        (["holes.npy", "--exceedance", "2"], "exceedance must be left out with likelihood gaussian"),
        (["holes.npy", "--exceedance", "0", "--likelihood", "poisson"], "exceedance must be positive"),
        (["holes.npy", "--exceedance", "nan", "--likelihood", "poisson"], "exceedance must be positive"),
        (["holes.npy", "--exceedance", "1", "--likelihood", "binomial"], "exceedance must be between 0 and 1"),
        (["holes.npy", "--samples", "-1"], "samples must be at least 0"),
        (["holes.npy", "--seed", "-1"], "rng must be"),
        (["holes.npy", "--out", "nowhere/out"], "existing directory"),
        (["holes.npy", "--out", "holes.npy"], "out must be a directory"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_nothing_is_written(holes, here, capsys, arguments, message):
    (here / "text.tif").write_text("no image\nat all\n")
    (here / "text.npz").write_text("no image\nat all\n")
    np.save("empty.npy", np.full(SHAPE, np.nan))
    np.save("constant.npy", np.where(np.isnan(holes), np.nan, 3.0))
    np.save("infinite.npy", np.where(np.isnan(holes), np.inf, holes))
    np.save("one.npy", np.where(np.arange(holes.size).reshape(SHAPE) == 0, holes, np.nan))
    np.save("small.npy", np.zeros((3, 3)))
    np.savez("two.npz", a=np.eye(3), b=np.eye(3))
    before = sorted(here.rglob("*"))
    assert main(["fill", *(["--out", "out"] if "--out" not in arguments else []), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("sparsegmrf: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert sorted(here.rglob("*")) == before


def test_inputs_are_not_overwritten(holes, here, capsys):
    (here / "holes-filled.npy").write_bytes((here / "holes.npy").read_bytes())
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    assert main(["fill", "holes.npy", "--mask", "holes-filled.npy", "--out", "."]) == 2
    assert "is an input or another output already" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_place_of_the_outputs_is_checked_before_the_fit(holes, capsys, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the fit began")

    monkeypatch.setattr("sparsegmrf.cli._fill_options.fill_gaps", refuse)
    for out in ("nowhere/out", "holes.npy"):
        assert main(["fill", "holes.npy", "--out", out]) == 2
    np.save("holes-mean.npy", holes)
    assert main(["fill", "holes.npy", "--mask", "holes-mean.npy", "--out", "."]) == 2
    assert capsys.readouterr().err.count("sparsegmrf: out") == 3  # out must ..., out must ..., output ... is an input
    for figure in ("nowhere/demo.png", "demo.gif"):
        assert main(["demo", "--figure", figure]) == 2
    assert capsys.readouterr().err.count("sparsegmrf: ") == 2


@pytest.mark.parametrize("exists", [False, True])
def test_interrupt_while_writing_leaves_nothing(holes, here, capsys, monkeypatch, exists):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    if exists:
        (here / "out").mkdir()
        (here / "out" / "holes-filled.npy").write_text("old")
    before = sorted(here.rglob("*"))
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", interrupt)
    assert main(["fill", "holes.npy", "--out", "out", "--overwrite", *FAST]) == 130
    assert sorted(here.rglob("*")) == before
    if exists:
        assert (here / "out" / "holes-filled.npy").read_text() == "old"


def test_fit_that_does_not_converge_says_so_and_its_json_is_valid(here, run):
    rows, columns = np.mgrid[:20, :20] / 4.0
    smooth = np.sin(rows) * np.cos(columns)
    smooth[5:8, 5:8] = np.nan
    np.save("smooth.npy", smooth)
    printed = run("fill", "smooth.npy", "--out", "out", "--covariates", "constant")
    assert "NOT CONVERGED" in printed

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    fields = json.loads((here / "out" / "smooth-fit.json").read_text(), parse_constant=refuse)
    assert fields["converged"] is False


def test_demo_fills_real_gaps_prints_scores_and_writes_figure_and_images(here, run, monkeypatch):
    monkeypatch.setattr(_demo, "ROWS", slice(140, 190))
    monkeypatch.setattr(_demo, "COLUMNS", slice(100, 155))
    printed = run("demo")
    scene = _demo.scene(0)
    assert scene.truth.shape == (50, 55)
    assert 0.15 < scene.gaps.mean() < 0.4
    assert abs((scene.measured - scene.truth)[~scene.gaps].std() - _demo.NOISE) < 0.5
    np.testing.assert_array_equal(read_image("sparsegmrf-demo/elevation.tif").pixels, scene.measured)
    mean, std = (read_image(f"sparsegmrf-demo/elevation-{name}.tif").pixels for name in ("mean", "std"))
    y, m, s = (image[scene.gaps] for image in (scene.truth, mean, std))
    assert re.search(rf" RMSE  {np.sqrt(np.mean((y - m) ** 2)):.1f} m *\n", printed)
    assert re.search(rf"cubic interpolation  {scene.interpolation_error():.1f} m *\n", printed)
    assert f"{crps(y, m, s).mean():.1f} m" in printed
    assert f"{coverage(y, m, s):.1%}" in printed
    assert np.sqrt(np.mean((y - m) ** 2)) < 0.5 * y.std()
    assert 0.9 < coverage(y, m, s) < 0.99
    assert iio.imread("sparsegmrf-demo.png").std() > 10
    assert {path.name for path in here.iterdir()} == {"sparsegmrf-demo", "sparsegmrf-demo.png"}


def test_figures_hold_the_arrays_and_one_colour_scale(holes):
    filled = np.nan_to_num(holes, nan=20.0)
    std = np.where(np.isnan(holes), 2.0, 0.1)

    def pictures(figure):
        return {ax.get_title()[:3]: ax.get_images()[0] for ax in figure.axes if ax.get_images() and ax.get_title()}

    shown = pictures(fill_figure(holes, filled, std, title="a title", unit="m"))
    np.testing.assert_array_equal(shown["(a)"].get_array().filled(np.nan), holes)
    np.testing.assert_array_equal(shown["(b)"].get_array(), filled)
    assert shown["(a)"].get_clim() == shown["(b)"].get_clim()
    assert shown["(c)"].get_clim()[0] == 0.0
    shown = pictures(truth_figure(filled, holes, filled, std, filled))
    assert shown["(a)"].get_clim() == shown["(b)"].get_clim() == shown["(c)"].get_clim() == shown["(e)"].get_clim()
    with pytest.raises(ArgumentError, match="one shape"):
        fill_figure(holes, filled[1:], std)
    with pytest.raises(ArgumentError, match="an observed pixel"):
        fill_figure(np.full(SHAPE, np.nan), filled, std)
    with pytest.raises(ArgumentError, match="missing pixels"):
        truth_figure(filled, filled, filled, std, filled)


@pytest.mark.parametrize("make", [lambda land: Intrinsic(mask=land), lambda land: TensionSpline(0.5, barrier=land)])
def test_model_of_a_file_with_a_mask_leaves_what_it_masks_missing(holes, here, run, make):
    land = np.zeros(SHAPE, dtype=bool)
    land[:, 12:14] = True
    np.save(here / "sea.npy", np.where(land, np.nan, holes))
    write_model(here / "coast.json", make(land))
    told = run("fill", "sea.npy", "--out", "out", "--model", "coast.json", "--samples", "2", *FAST)
    result = fill(np.where(land, np.nan, holes), model=make(land), noise_variance=0.1, n_samples=2, rng=0)
    assert re.search(rf"{result.fit.n_observed} observed, 25 filled", told)
    for kind, expected in (("filled", result.filled), ("std", result.std)):
        np.testing.assert_allclose(np.load(here / "out" / f"sea-{kind}.npy"), expected, rtol=1e-6)
        assert np.array_equal(np.isnan(expected), land)
    assert np.isnan(np.load(here / "out" / "sea-samples.npy")).sum() == 2 * land.sum()
    assert type(make(land)).__name__ in run("fit", "sea.npy", "--model", "coast.json", *FAST)


def test_integrated_parameters_are_those_of_the_library(here, holes, run):
    options = ("--model", "matern", "--set", "range=4", "--fixed", "range", *FAST)
    printed = run("fill", "holes.npy", "--out", "out", *options, "--parameters", "integrate")
    model = Matern(range=4.0)
    result = fill(holes, model=model, fixed="range", noise_variance=0.1, parameters="integrate")
    np.testing.assert_array_equal(np.load("out/holes-std.npy"), result.std)
    assert {path.name for path in (here / "out").iterdir()} == written("holes", ".npy")
    density = result.integrated.densities["sigma"]
    for number in (density.median, *density.interval(0.95)):
        assert f"{number:.4g}" in printed
    assert f"over {len(result.integrated.weights)} points (grid)" in printed


def test_integrated_parameters_of_counts_are_those_of_the_library(here, run):
    counts = np.random.default_rng(0).poisson(3.0 * np.exp(0.6 * Matern(range=4.0).gmrf((10, 12)).sample(rng=1)))
    np.save("cases.npy", counts.astype(float))
    options = ("--model", "matern", "--set", "range=4", "--fixed", "range", "--likelihood", "poisson")
    printed = run("fill", "cases.npy", "--out", "out", *options, "--parameters", "integrate")
    given = {"fixed": "range", "likelihood": Poisson(), "parameters": "integrate"}
    result = fill(counts.astype(float), model=Matern(range=4.0), **given)
    np.testing.assert_allclose(np.load("out/cases-std.npy"), result.std, rtol=1e-12)
    np.testing.assert_allclose(np.load("out/cases-upper.npy"), result.relative_risk().upper, rtol=1e-12)
    assert f"{result.integrated.densities['sigma'].median:.4g}" in printed
