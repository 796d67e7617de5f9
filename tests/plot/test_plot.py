import sys

import imageio.v3 as iio
import numpy as np
import pytest

from sparsegmrf import Intrinsic, Matern
from sparsegmrf.autoregression import experiment
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.inference import variogram
from sparsegmrf.plot import averaged_periodogram, experiment_figure, fit_figure, variogram_figure, write_figure


def panels(figure):
    return {ax.get_title(): ax for ax in figure.axes if ax.get_title()}


def test_fit_figure_has_the_four_panels_with_the_arrays_given():
    rng = np.random.default_rng(0)
    image, white, draw = rng.random((40, 30)), rng.standard_normal((40, 30)), rng.random((40, 30))
    figure = fit_figure(image, white, draw, title="a title", unit="kelvin")
    shown = panels(figure)
    assert [title[:3] for title in shown] == ["(a)", "(b)", "(c)", "(d)"]
    (picture,) = shown["(a) image"].get_images()
    np.testing.assert_array_equal(picture.get_array(), image)
    (drawn,) = shown["(d) draw of the model, same grey scale"].get_images()
    np.testing.assert_array_equal(drawn.get_array(), draw)
    assert drawn.get_clim() == picture.get_clim()
    (innovations,) = shown["(b) innovations"].get_images()
    np.testing.assert_array_equal(innovations.get_array(), white)
    assert innovations.get_clim() == (-4.0, 4.0)
    assert figure.get_suptitle() == "a title"
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert labels.count("kelvin") == 2
    assert "dB" in labels


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 2), (130, 70)])
def test_fit_figure_takes_any_shape(tmp_path, shape):
    image = np.random.default_rng(0).standard_normal(shape)
    write_figure(tmp_path / "figure.png", fit_figure(image, image, image), dpi=40)
    assert iio.imread(tmp_path / "figure.png").std() > 0


def test_fit_figure_takes_a_constant_image_and_missing_pixels(tmp_path):
    image = np.ones((20, 20))
    white = np.random.default_rng(0).standard_normal((20, 20))
    image[3, 4] = np.nan
    figure = fit_figure(image, white, white)
    write_figure(tmp_path / "figure.png", figure, dpi=40)
    assert panels(figure)["(a) image, amber: missing"].get_images()[0].get_array().mask.sum() == 1


def test_large_pictures_are_thinned_and_say_so():
    image = np.random.default_rng(0).random((3, 5000))
    shown = panels(fit_figure(image, image, image))
    (picture,) = shown["(a) image, every 3. pixel"].get_images()
    np.testing.assert_array_equal(picture.get_array(), image[::3, ::3])
    assert tuple(picture.get_extent()) == (-0.5, 4999.5, 2.5, -0.5)


@pytest.mark.parametrize("shape", [(256, 256), (64, 300), (1, 4000)])
def test_spectrum_of_white_pixels_is_flat_and_one(shape):
    spectrum = averaged_periodogram(3.0 * np.random.default_rng(0).standard_normal(shape))
    assert spectrum.shape == (min(64, shape[0]), min(64, shape[1]))
    # A mean of squares of n pixels, seeded; six standard errors are 6 sqrt(2/n), windows at most double the variance.
    assert abs(spectrum.mean() / 9.0 - 1.0) < 12 * np.sqrt(2.0 / np.prod(shape))


def test_spectrum_of_a_wave_peaks_at_its_frequency():
    i, j = np.mgrid[:128, :128]
    spectrum = averaged_periodogram(np.cos(2 * np.pi * (i / 8 - j / 4)), block=32)
    peak = np.unravel_index(spectrum.argmax(), spectrum.shape)
    frequency = (np.array(peak) - 16) / 32
    assert frequency.tolist() in ([1 / 8, -1 / 4], [-1 / 8, 1 / 4])


def test_spectrum_of_white_pixels_is_flat_whatever_is_missing():
    rng = np.random.default_rng(0)
    image = rng.standard_normal((256, 192))
    image[rng.random(image.shape) < 0.6] = np.nan
    image[:100, :100] = np.nan
    spectrum = averaged_periodogram(image, block=16)
    # Some 200 independent blocks' worth of pixels: one frequency scatters by 7 %, far below the 60 % that are missing.
    assert abs(spectrum.mean() - 1.0) < 0.05
    assert np.abs(spectrum - 1.0).max() < 0.5
    with pytest.raises(ArgumentError, match="got none of 64"):
        averaged_periodogram(np.full((8, 8), np.nan))


def test_spectrum_is_the_mean_of_the_periodograms_of_the_blocks():
    image = np.random.default_rng(0).standard_normal((8, 12))
    window = np.outer(np.hanning(10)[1:-1], np.hanning(10)[1:-1])
    blocks = [np.abs(np.fft.fft2(image[:, j : j + 8] * window)) ** 2 for j in (0, 4)]
    expected = np.fft.fftshift(np.mean(blocks, axis=0) / (window**2).sum())
    np.testing.assert_allclose(averaged_periodogram(image, block=8), expected, rtol=1e-12)


def test_figure_of_a_model_without_a_draw_says_why():
    assert "(d) no draw: the recursion is not stable" in panels(fit_figure(np.eye(3), np.eye(3), None))


def test_spectrum_follows_flips_and_transposes():
    image = np.random.default_rng(0).standard_normal((96, 80))
    spectrum = averaged_periodogram(image, block=16)
    np.testing.assert_allclose(averaged_periodogram(image.T, block=16), spectrum.T, rtol=1e-12)
    flipped = averaged_periodogram(image[:, ::-1], block=16)
    np.testing.assert_allclose(flipped[:, 1:], spectrum[:, :0:-1], rtol=1e-12)


@pytest.mark.parametrize("convention", ["LLt", "LtL"])
def test_experiment_figure_has_the_five_panels_and_marks_one_half(tmp_path, convention):
    result = experiment(0.3, 8, convention=convention)
    figure = experiment_figure(result)
    shown = panels(figure)
    assert [title[:3] for title in shown] == ["(a)", "(b)", "(c)", "(d)", "(e)"]
    matrices = list(shown.values())
    for ax, matrix in zip(matrices, (result.cholesky, result.precision, result.covariance), strict=False):
        (picture,) = ax.get_images()
        np.testing.assert_array_equal(picture.get_array(), matrix[:36, :36])
        low, high = picture.get_clim()
        assert low == -high
    np.testing.assert_array_equal(matrices[3].get_images()[0].get_array(), result.sample)
    limit = matrices[4]
    assert limit.get_yscale() == "log"
    lines = {line.get_label(): line for line in limit.get_lines()}
    np.testing.assert_array_equal(lines["condition number of $Q$, $8 \\times 8$"].get_ydata(), result.limit.condition)
    np.testing.assert_array_equal(lines["largest marginal variance, $8 \\times 8$"].get_ydata(), result.limit.variance)
    assert any(np.array_equal(line.get_xdata(), [0.5, 0.5]) for line in limit.get_lines())
    write_figure(tmp_path / "experiment.png", figure, dpi=40)
    assert iio.imread(tmp_path / "experiment.png").std() > 0


@pytest.mark.parametrize(("k", "size"), [(0.0, 1), (1.0, 2), (-1.0, 16)])
@pytest.mark.filterwarnings("ignore::sparsegmrf.errors.UnstableWarning")
def test_experiment_figure_takes_the_extremes(tmp_path, k, size):
    write_figure(tmp_path / "experiment.png", experiment_figure(experiment(k, size)), dpi=40)
    assert iio.imread(tmp_path / "experiment.png").std() > 0


def test_figures_are_written_whole_in_the_format_of_the_suffix(tmp_path):
    image = np.zeros((4, 4))
    figure = fit_figure(image, image + 1.0, image)
    starts = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
    for suffix, start in starts.items():
        write_figure(tmp_path / f"figure{suffix}", figure, dpi=30)
        assert (tmp_path / f"figure{suffix}").read_bytes().startswith(start)
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(ArgumentError, match=r"suffix of path must be one of '\.png', '\.pdf', '\.svg', got '\.gif'"):
        write_figure(tmp_path / "figure.gif", figure)
    with pytest.raises(FileError, match="existing directory"):
        write_figure(tmp_path / "nowhere" / "figure.png", figure)


def test_pyplot_is_never_loaded(tmp_path):
    write_figure(tmp_path / "figure.png", fit_figure(np.eye(3), np.eye(3), np.eye(3)), dpi=30)
    assert "matplotlib.pyplot" not in sys.modules


def test_pictures_that_are_no_images_are_refused():
    good = np.eye(3)
    with pytest.raises(ArgumentError, match=r"innovations must have shape \(H, W\)"):
        fit_figure(good, np.zeros(3), good)
    with pytest.raises(ArgumentError, match="draw must hold real numbers"):
        fit_figure(good, good, good.astype(complex))


def test_variogram_figure_shows_points_of_the_image_and_the_line_of_the_model():
    model = Matern(range=6.0, sigma=2.0)
    image = model.gmrf((40, 50)).sample(rng=0)
    found = variogram(image, max_lag=12)
    figure = variogram_figure(image, model, noise_variance=0.25, max_lag=12, unit="K", title="a title")
    left, right = figure.axes
    np.testing.assert_array_equal(left.collections[0].get_offsets(), np.stack([found.lags, found.semivariances], 1))
    line = next(each for each in left.lines if each.get_label() == "Matern")
    np.testing.assert_allclose(line.get_ydata(), found.expected(model, 0.25))
    (correlations,) = (each for each in right.lines if each.get_label() == "Matern")
    np.testing.assert_allclose(correlations.get_ydata(), 1.0 - found.expected(model) / 4.0, rtol=1e-9)
    assert "K" in left.get_ylabel()
    assert figure.get_suptitle() == "a title"


def test_variogram_figure_of_an_intrinsic_model_or_none_has_one_panel_and_directions_their_colours():
    image = Matern(range=6.0).gmrf((20, 25)).sample(rng=0)
    assert len(variogram_figure(image, Intrinsic(), max_lag=4).axes) == 1
    (ax,) = variogram_figure(image, directions=[0.0, np.pi / 2], max_lag=4).axes
    assert [each.get_label() for each in ax.collections] == ["image, 0°", "image, 90°"]
    noise = np.full(image.shape, 0.5)
    (ax,) = variogram_figure(image, Intrinsic(), noise_variance=noise, max_lag=4).axes
    expected = variogram(image, max_lag=4).expected(Intrinsic(), 0.5)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), expected)
    for wrong in ({"directions": []}, {"directions": [np.nan]}, {"noise_variance": np.ones(3)}):
        with pytest.raises(ArgumentError, match=next(iter(wrong))):
            variogram_figure(image, Intrinsic(), **wrong)
