"""Figures of results show the arrays that the results hold."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import ndtr

from sparsegmrf import CAR, Channels, Matern, Sum, diagnose, fill, fit
from sparsegmrf.errors import ArgumentError, MissingLibraryError, SparseGMRFError
from sparsegmrf.inference import variogram
from sparsegmrf.inference._scores import half_width
from sparsegmrf.likelihoods import Binomial, Poisson
from sparsegmrf.plot import densities_figure, write_figure
from sparsegmrf.priors import PCRange, PCSigma
from tests.conftest import require
from tests.stacks.test_modes import simulated


def noisy(shape=(24, 30), seed=0):
    rng = np.random.default_rng(seed)
    image = 5.0 + Matern(range=5.0).gmrf(shape).sample(rng=rng) + 0.3 * rng.standard_normal(shape)
    image[6:12, 8:14] = np.nan
    return image


def panels(figure):
    return {ax.get_title(): ax for ax in figure.axes if ax.get_title()}


def units(figure):
    return [bar.get_ylabel() for ax in figure.axes for bar in ax.child_axes]


def shown(ax):
    (picture,) = ax.get_images()
    return np.ma.filled(picture.get_array(), np.nan)


@pytest.fixture(scope="module")
def fitted():
    return fit(Matern(), noisy())


def test_plot_of_a_filled_image_shows_image_mean_deviation_and_a_draw_on_one_scale(tmp_path):
    image = noisy()
    result = fill(image, n_samples=2, rng=3)
    figure = result.plot(unit="K")
    drawn = list(panels(figure).values())
    for ax, expected in zip(drawn, (image, result.mean, result.std, result.samples[0]), strict=True):
        np.testing.assert_array_equal(shown(ax), expected)
    limits = [ax.get_images()[0].get_clim() for ax in drawn]
    assert limits[0] == limits[1] == limits[3]
    assert limits[2][0] == 0.0
    assert figure.get_suptitle().startswith("TensionSpline, kappa = ")
    assert units(figure) == ["K"] * 4
    write_figure(tmp_path / "figure.png", figure, dpi=40)
    assert "matplotlib.pyplot" not in sys.modules


def test_without_samples_the_draw_is_one_of_the_fit():
    result = fill(noisy(), model=Matern())
    *_, last = panels(result.plot()).values()
    np.testing.assert_array_equal(shown(last), result.fit.predict(n_samples=1, rng=0).samples[0])


def test_axes_and_unit_of_a_labelled_image_are_its_own():
    xr = require("xarray")
    coordinates = {"y": ("y", 30.0 * np.arange(24.0), {"units": "m"}), "x": ("x", 30.0 * np.arange(30.0))}
    image = xr.DataArray(noisy(), dims=("y", "x"), coords=coordinates, attrs={"units": "K"})
    figure = fill(image).plot(title="a title")
    ax = figure.axes[0]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("y (m)", "x")
    assert ax.get_xlim() == (-15.0, 885.0)
    assert units(figure) == ["K"] * 4
    assert figure.get_suptitle() == "a title"


@pytest.mark.parametrize(("likelihood", "risk"), [(Poisson(4.0), "relative risk"), (Binomial(9.0), "probability")])
def test_plot_of_filled_counts_shows_counts_and_risks(likelihood, risk):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, (12, 14)).astype(float)
    counts[3:5, 3:6] = np.nan
    result = fill(counts, model=Matern(range=4.0, sigma=0.5), likelihood=likelihood, n_samples=1, rng=0)
    drawn = panels(result.plot())
    expected = (counts, result.mean, result.std, result.samples[0])
    for ax, image in zip(drawn.values(), expected, strict=True):
        np.testing.assert_array_equal(shown(ax), image)
    assert f"(b) mean of the {risk}" in drawn


def test_plot_of_a_fit_has_a_panel_per_parameter_and_the_variogram_of_the_residuals(fitted, tmp_path):
    figure = fitted.plot(unit="K")
    drawn = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title().split(" ")[0] for ax in drawn[:-1]] == list(fitted.parameters)
    assert drawn[0].get_xlabel() == "range (pixels)"
    assert drawn[1].get_xlabel() == "sigma (K)"
    profile = fitted.profile("range")["range"]
    lines = {line.get_label(): line for line in drawn[0].lines}
    np.testing.assert_allclose(lines["profile"].get_ydata(), profile.curve()[1])
    low, high = fitted.confidence_intervals(float(2.0 * ndtr(3.0) - 1.0))["range"]
    np.testing.assert_allclose(lines["normal"].get_xdata()[[0, -1]], [low, high])
    found = variogram(noisy() - fitted.trend)
    np.testing.assert_array_equal(drawn[-1].collections[0].get_offsets(), np.c_[found.lags, found.semivariances])
    (line,) = (each for each in drawn[-1].lines if each.get_label() == "Matern")
    np.testing.assert_allclose(line.get_ydata(), found.expected(fitted.model, fitted.noise_variance))
    write_figure(tmp_path / "figure.png", figure, dpi=40)


def test_plot_of_a_fit_to_counts_has_its_profiles_and_the_variogram_of_working_responses():
    rng = np.random.default_rng(3)
    cases = rng.poisson(8.0 * np.exp(0.3 + 0.6 * Matern(range=4.0).gmrf((16, 18)).sample(rng=rng))).astype(float)
    cases[4:7, 5:9] = np.nan
    found = fit(Matern(range=4.0), cases, likelihood=Poisson(8.0), fixed="range")
    figure = found.plot(title="cases")
    assert figure.get_suptitle() == "cases"
    drawn = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title().split(" ")[0] for ax in drawn] == ["sigma", "variogram"]
    assert drawn[0].get_xlabel() == "sigma"
    profile = found.profile()["sigma"]
    lines = {line.get_label(): line for line in drawn[0].lines}
    np.testing.assert_allclose(lines["profile"].get_ydata(), profile.curve()[1])
    for value, drop in zip(profile.values[[1, -2]], profile.drops[[1, -2]], strict=True):  # refitted, with the trend
        again = fit(Matern(range=4.0, sigma=value), cases, likelihood=Poisson(8.0), fixed=["range", "sigma"])
        assert again.loglik - found.loglik == pytest.approx(drop, abs=0.01)
    residuals, noise = found.less_trend()
    eta = np.log(8.0) + found.posterior().mean  # the mode of the logarithm of what is expected
    np.testing.assert_allclose(noise[~np.isnan(cases)], np.exp(-eta)[~np.isnan(cases)], rtol=1e-6)
    np.testing.assert_allclose(residuals, eta - np.log(8.0) + cases * np.exp(-eta) - 1.0 - found.trend, atol=1e-6)
    expected = variogram(residuals)
    np.testing.assert_array_equal(drawn[-1].collections[0].get_offsets(), np.c_[expected.lags, expected.semivariances])
    (line,) = (each for each in drawn[-1].lines if each.get_label() == "Matern")
    np.testing.assert_allclose(line.get_ydata(), expected.expected(found.model, noise[~np.isnan(cases)].mean()))


def test_densities_stand_in_the_panels_of_their_parameters(fitted):
    values = np.linspace(1.0, 30.0, 60)
    density = SimpleNamespace(values=values, density=4.0 * np.exp(-0.1 * (values - values[15]) ** 2))
    figure = fitted.plot(profile=False, densities={"range": density})
    (filled,) = figure.axes[0].collections
    assert filled.get_label() == "posterior density"
    heights = filled.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(1.0)
    assert not figure.axes[1].collections


def test_a_parameter_without_a_standard_error_is_told():
    rng = np.random.default_rng(2)
    found = fit(Matern(), Matern(range=6.0).gmrf((20, 24)).sample(rng=rng))
    assert found.undetermined == ("noise_variance",)
    figure = found.plot()
    said = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert said == ["not determined by the image"]


def test_densities_of_integrated_parameters_are_drawn_with_intervals_and_priors():
    priors = {"range": PCRange(3.0, 0.05), "sigma": PCSigma(3.0, 0.05)}
    found = fit(Matern(), noisy((12, 14)), noise_variance=0.1, priors=priors).integrate(strategy="ccd")
    figure = found.plot(unit="K")
    assert [ax.get_xlabel() for ax in figure.axes] == ["range (pixels)", "sigma (K)"]
    for ax, own, prior in zip(figure.axes, found.densities.values(), priors.values(), strict=True):
        posterior, median, dashed = ax.get_lines()
        values, heights = posterior.get_data()
        np.testing.assert_allclose(heights, own.pdf(values))
        np.testing.assert_allclose(dashed.get_ydata(), np.exp([prior.log_density(v) for v in values]))
        assert median.get_xdata()[0] == own.median
        (filled,) = ax.collections
        ends = filled.get_paths()[0].vertices[:, 0]
        np.testing.assert_allclose((ends.min(), ends.max()), own.interval(0.95))
    again = type(found).from_json(found.to_json()).plot(title="a title", unit="K")
    assert again.get_suptitle() == "a title"
    assert [ax.get_xlabel() for ax in again.axes] == ["range (pixels)", "sigma (K)"]
    assert [len(ax.get_lines()) for ax in again.axes] == [2, 2]  # priors are not in a file
    with pytest.raises(ArgumentError, match="densities"):
        densities_figure({})


def test_a_fit_by_cross_validation_has_no_likelihood_to_draw():
    found = fit(Matern(), noisy((16, 18)), method="cv", fixed="sigma", noise_variance=0.09, rng=0)
    figure = found.plot()
    assert [text.get_text() for text in figure.axes[0].texts] == ["no standard error by cross-validation"]
    with pytest.raises(ArgumentError, match="cross-validation"):
        found.profile()


def test_a_model_beyond_the_plane_has_no_variogram_and_that_is_said():
    image = Matern(range=8.0).gmrf((24, 24)).sample(rng=0)
    figure = fit(CAR(), image, noise_variance=None).plot(profile=False)
    assert "CAR at these parameters has none without borders" in figure.axes[2].get_title()


def test_plot_of_a_diagnosis_shows_residuals_their_histogram_and_correlations(fitted, tmp_path):
    found = diagnose(fitted, n_samples=2)
    figure = found.plot(title="a title")
    axes = [ax for ax in figure.axes if ax.get_title()]
    np.testing.assert_array_equal(shown(axes[0]), found.z)
    histogram = found.pit_histogram()
    bars = [patch.get_height() for patch in axes[1].patches if patch.get_width() < 1.0]
    np.testing.assert_allclose(bars, histogram.counts / histogram.expected)
    assert histogram.level == 0.99
    lines = {line.get_label(): line for line in axes[2].lines}
    expected = [value / error for value, error in found.innovations.correlations.values()]
    np.testing.assert_allclose(lines["innovations"].get_ydata(), expected)
    write_figure(tmp_path / "figure.png", figure, dpi=40)


def test_a_diagnosis_of_a_field_alone_has_nothing_to_draw():
    found = diagnose(Matern(range=4.0).gmrf((8, 8)), n_samples=2)
    with pytest.raises(ArgumentError, match="none"):
        found.plot()


def test_without_matplotlib_the_error_is_the_packages_own_and_says_what_to_install(fitted, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingLibraryError, match=r'a figure needs matplotlib; install it with: .*"sparsegmrf\[cli\]"'):
        fitted.plot()
    assert issubclass(MissingLibraryError, SparseGMRFError)


def test_sums_are_drawn():
    model = Sum([Matern(range=2.0), Matern(range=8.0)], labels=["fine", "coarse"])
    found = fit(model, noisy((16, 20)), fixed=["range_fine", "range_coarse"])
    assert len(found.plot(profile=False).axes) >= len(found.parameters) + 1


def test_channels_have_a_row_each_with_their_names_and_axes(tmp_path):
    xr = require("xarray")
    image = np.random.default_rng(0).standard_normal((3, 9, 12)).cumsum(axis=2)
    image[0, 3:5, 3:6] = np.nan
    coordinates = {"band": ["red", "green", "nir"], "y": 10.0 * np.arange(9.0)}
    labelled = xr.DataArray(image, dims=("band", "y", "x"), coords=coordinates, attrs={"units": "K"})
    result = fill(labelled.transpose("y", "band", "x"), model=Channels(Matern(range=3.0), np.eye(3)))
    figure = result.plot([0, 2])
    drawn = panels(figure)
    assert [title.split(",")[0] for title in drawn][::3] == ["channel red", "channel nir"]
    shown_images = [shown(ax) for ax in drawn.values()]
    np.testing.assert_array_equal(shown_images[0], image[0])
    np.testing.assert_array_equal(shown_images[4], result.mean.isel(band=2))
    np.testing.assert_array_equal(shown_images[5], result.std.isel(band=2))
    assert figure.axes[0].get_ylabel() == "y"
    assert units(figure) == ["K"] * 6
    write_figure(tmp_path / "figure.png", figure, dpi=40)
    with pytest.raises(ArgumentError, match="channels must lie between 0 and 2, got 3"):
        result.plot([3])


def test_plot_of_a_stacks_diagnosis_shows_pixels_their_histogram_and_dates(tmp_path):
    rng = np.random.default_rng(0)
    stack = Matern(range=4.0).gmrf((6, 7)).sample(5, rng=rng) + 0.3 * rng.standard_normal((5, 6, 7))
    stack[2] += 4.0
    held = {"fixed": ["ell", "range", "sigma"], "start": {"ell": 5.0, "range": 4.0, "sigma": 1.0}}
    found = diagnose(fill(stack, dates=np.arange(5.0), harmonics=None, noise_variance=0.09, **held))
    figure = found.plot()
    axes = [ax for ax in figure.axes if ax.get_title()]
    np.testing.assert_allclose(shown(axes[0]), found.mean_z * np.sqrt(5.0))
    histogram = found.pit_histogram(20, 0.99)
    bars = [patch.get_height() for patch in axes[1].patches if patch.get_width() < 1.0]
    np.testing.assert_allclose(bars, histogram.counts / histogram.expected)
    right, wrong = axes[2].lines[:2]
    np.testing.assert_array_equal(wrong.get_xdata(), [2])
    offsets = [each.offset / each.offset_error for each in found.by_date]
    np.testing.assert_allclose(wrong.get_ydata(), [offsets[2]])
    np.testing.assert_allclose(right.get_ydata(), np.delete(offsets, 2))
    write_figure(tmp_path / "figure.png", figure, dpi=40)


STACK_DAYS = np.array([40.0, 10.0, 200.0, 100.0, 300.0, 330.0])
STACK_HELD = {
    "fixed": ["ell", "range", "sigma", "range_mean", "sd_level", "sd_harmonic_1"],
    "start": {"ell": 5.0, "range": 4.0, "sigma": 1.0, "range_mean": 3.0, "sd_level": 1.0, "sd_harmonic_1": 0.5},
    "harmonics": 1,
    "noise_variance": 0.09,
}


def stack_with_gaps():
    rng = np.random.default_rng(0)
    stack = Matern(range=4.0).gmrf((6, 7)).sample(6, rng=rng) + 0.3 * rng.standard_normal((6, 6, 7))
    stack[2, 1:4, 2:5] = stack[0] = np.nan
    stack[:, 0, 0] = np.nan
    stack[0, 5, 6] = 1.0
    return stack


@pytest.fixture(scope="module")
def filled():
    return fill(stack_with_gaps(), dates=STACK_DAYS, at=[150.0], **STACK_HELD)


def images_of(figure):
    return [ax for ax in figure.axes if ax.get_images()]


def test_plot_of_a_filled_stack_shows_dates_in_columns_and_the_series_of_a_pixel(filled, tmp_path):
    stack = stack_with_gaps()
    figure = filled.plot(dates=[2, 0], unit="K")
    images = images_of(figure)
    expected = [each[k] for each in (stack, filled.mean, filled.std) for k in (2, 0)]
    for ax, image in zip(images, expected, strict=True):
        np.testing.assert_array_equal(shown(ax), image)
    assert images[0].get_title().startswith("200\n")
    limits = [ax.get_images()[0].get_clim() for ax in images]
    assert limits[0] == limits[1] == limits[2] == limits[3]
    assert units(figure) == ["K"] * 3
    (series,) = (ax for ax in figure.axes if ax.get_title().startswith("pixel"))
    assert series.get_title() == "pixel in row 5, column 6"  # the only one that is seen at all dates
    order = np.argsort([*STACK_DAYS, 150.0])
    mean, observed = (line.get_xydata() for line in series.lines)
    np.testing.assert_array_equal(mean[:, 0], np.append(STACK_DAYS, 150.0)[order])
    np.testing.assert_array_equal(mean[:, 1], np.append(filled.mean[:, 5, 6], filled.at.mean[:, 5, 6])[order])
    np.testing.assert_array_equal(observed[:, 1], np.append(stack[:, 5, 6], np.nan)[order])
    (band,) = series.collections
    low = filled.at.mean[0, 5, 6] - half_width(0.9) * filled.at.std[0, 5, 6]
    assert np.isclose(band.get_paths()[0].vertices, [150.0, low]).all(axis=1).any()
    assert figure.get_suptitle().startswith("Matern, range = 4")
    write_figure(tmp_path / "figure.png", figure, dpi=40)
    assert "matplotlib.pyplot" not in sys.modules


def test_a_labelled_stack_is_drawn_on_its_coordinates_whatever_the_order_of_its_dimensions():
    xr = require("xarray")
    stack = stack_with_gaps()
    time = (np.datetime64("2020-01-01") + STACK_DAYS.astype("timedelta64[D]")).astype("datetime64[ns]")
    coordinates = {"time": time, "y": ("y", 30.0 * np.arange(6.0), {"units": "m"})}
    cube = xr.DataArray(stack, dims=("time", "y", "x"), coords=coordinates, attrs={"units": "K"})
    found = fill(cube.transpose("y", "x", "time"), spacing=None, **STACK_HELD)
    assert found.observed.dims == ("y", "x", "time")
    np.testing.assert_array_equal(found.observed.transpose("time", ...), np.isfinite(stack))
    figure = found.plot(pixel=(2, 3), title="a title")
    images = images_of(figure)
    assert len(images) == 15
    np.testing.assert_array_equal(shown(images[5]), found.mean.transpose("time", ...)[1])  # the earliest
    assert images[0].get_title().startswith("2020-01-11")
    assert images[0].get_ylabel() == "y (m)"
    assert units(figure) == ["K"] * 3
    assert figure.get_suptitle() == "a title"
    assert found.fit.plot().axes[0].get_ylabel() == "K"
    assert found.fit.plot(unit="mK").axes[0].get_ylabel() == "mK"


def test_modes_of_a_labelled_stack_are_drawn_on_its_coordinates_in_its_unit():
    xr = require("xarray")
    stack, days, _, _ = simulated(count=60, shape=(6, 7), rank=2)
    coordinates = {"time": days, "y": ("y", 30.0 * np.arange(6.0)[::-1], {"units": "m"})}
    cube = xr.DataArray(stack, dims=("time", "y", "x"), coords=coordinates, attrs={"units": "K"})
    fitted = fill(cube.transpose("y", "x", "time"), dates=days, model="modes").fit
    figure = fitted.plot(n_modes=1)
    (mode,) = images_of(figure)
    np.testing.assert_array_equal(shown(mode), fitted.modes[0])
    assert mode.get_ylabel() == "y (m)"
    assert mode.get_images()[0].get_extent()[2:] == [-15.0, 165.0]
    assert figure.axes[0].get_ylabel() == "K"
    assert units(figure) == ["K"]


def test_plot_of_a_fitted_stack_shows_the_season_of_a_pixel(filled):
    stack, curve = stack_with_gaps(), filled.fit.season((3, 4))
    (ax,) = filled.fit.plot(pixel=(3, 4)).axes
    mean, observed = ax.lines
    np.testing.assert_array_equal(mean.get_xydata(), np.c_[curve.days, curve.mean])
    seen = np.isfinite(stack[:, 3, 4])
    np.testing.assert_allclose(observed.get_xydata(), np.c_[STACK_DAYS, stack[:, 3, 4]][seen])
    assert ax.get_title() == "season of the pixel in row 3, column 4"


def test_modes_are_drawn_as_images_the_largest_first(tmp_path):
    stack, days, _, _ = simulated(count=60, shape=(6, 7), rank=2)
    result = fill(stack, dates=days, model="modes")
    modes = result.fit.modes
    assert len(modes) == result.parameters["rank"] > 1
    assert (np.diff((modes**2).mean(axis=(1, 2))) <= 0.0).all()
    figure = result.fit.plot(n_modes=2, unit="K")
    images = images_of(figure)
    for ax, mode in zip(images, modes[:2], strict=True):
        np.testing.assert_array_equal(shown(ax), mode)
    low, high = images[0].get_images()[0].get_clim()
    assert low == -high
    curve = result.fit.season()
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xydata(), np.c_[curve.days, curve.mean])
    write_figure(tmp_path / "figure.png", figure, dpi=40)
    assert len(images_of(result.plot())) == 15


def test_a_model_of_ones_own_has_images_but_no_season():
    def mean_of_all(values, days, at, *, n_samples, rng):
        images = np.broadcast_to(np.nanmean(values, axis=0), values.shape)
        return SimpleNamespace(
            mean=images,
            variance=1.0 + 0.0 * images,
            noise_variance=0.0 * images,
            samples=np.zeros((0, *images.shape)),
            parameters={"level": 2.0, "name": "x"},
        )

    stack = np.random.default_rng(0).standard_normal((3, 4, 5))
    result = fill(stack, dates=[1.0, 2.0, 3.0], model=mean_of_all)
    assert result.plot().get_suptitle() == "mean_of_all, level = 2"
    for ask in (result.fit.season, result.fit.plot, lambda: result.fit.modes):
        with pytest.raises(ArgumentError, match='model must be "modes"'):
            ask()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dates": [6]}, "positions of images between 0 and 5, got"),
        ({"dates": []}, "positions of images between 0 and 5, got"),
        ({"dates": [0.5]}, r"dates\[0\]"),
        ({"dates": 5}, r"positions of images from 0, such as \[0, 2\], got 5"),
        ({"pixel": (6, 0)}, "pixel must lie in the image of shape"),
        ({"pixel": 3}, "pixel must be a pair"),
        ({"pixel": (-1, 0)}, r"pixel\[0\] must be at least 0"),
    ],
)
def test_dates_and_pixels_that_are_none_are_refused(filled, options, said):
    with pytest.raises(ArgumentError, match=said):
        filled.plot(**options)
