"""The commands density and rx write what the library computes."""

import imageio.v3 as iio
import numpy as np
import pytest

from sparsegmrf.cli import main
from sparsegmrf.errors import ArgumentError
from sparsegmrf.io import read_channels
from sparsegmrf.pixels import PixelGaussian, rx
from sparsegmrf.plot import pixel_figure
from tests.conftest import photograph


@pytest.fixture
def cat(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    iio.imwrite("cat.png", photograph("chelsea")[100:160, 200:270])
    return photograph("chelsea")[100:160, 200:270] / 255.0


def test_density_prints_the_gaussian_and_writes_figure_and_map(cat, tmp_path, capsys):
    assert main(["density", "cat.png", "--values", "density.npy"]) == 0
    printed = capsys.readouterr().out
    model = PixelGaussian.fit(cat)
    assert "  ".join(f"{value:.6f}" for value in model.mean) in printed
    assert f"{model.log_density_image(cat).mean():.6f} nats" in printed
    assert "mean squared distance  3.000000" in printed
    np.testing.assert_array_equal(np.load("density.npy"), model.log_density_image(cat)[..., 0])
    assert iio.imread("cat-density.png").std() > 10
    assert {path.name for path in tmp_path.iterdir()} == {"cat.png", "cat-density.png", "density.npy"}


def test_density_takes_robust_weights_and_channels(cat):
    assert main(["density", "cat.png", "--robust", "student", "--channels", "2,0", "--values", "d.npy"]) == 0
    part = np.ascontiguousarray(cat[..., [2, 0]])
    expected = PixelGaussian.fit_robust(part, "student").log_density_image(part)[..., 0]
    np.testing.assert_array_equal(np.load("d.npy"), expected)


def test_rx_prints_the_largest_score_and_writes_the_map(cat, capsys):
    assert main(["rx", "cat.png", "--window", "3", "15", "--values", "score.npy", "--out", "rx.svg"]) == 0
    score = rx(cat, window=(3, 15))[..., 0]
    np.testing.assert_array_equal(np.load("score.npy"), score)
    row, column = np.unravel_index(score.argmax(), score.shape)
    assert f"{score.max():.6g} at pixel ({row}, {column})" in capsys.readouterr().out
    assert main(["rx", "cat.png", "--shrinkage", "oas", "--values", "score.npy", "--overwrite"]) == 0
    np.testing.assert_array_equal(np.load("score.npy"), rx(cat, shrinkage="oas")[..., 0])


def test_missing_pixels_and_channels_first(cat):
    moved = np.moveaxis(cat, -1, 0).copy()
    moved[1, 5:9, 7] = np.nan
    np.save("first.npy", moved)
    assert main(["rx", "first.npy", "--channel-axis", "0", "--mask", "nan", "--values", "score.npy"]) == 0
    missing = np.isnan(moved).any(axis=0)
    np.testing.assert_array_equal(np.isnan(np.load("score.npy")), missing)
    np.testing.assert_array_equal(read_channels("first.npy", channel_axis=0), np.moveaxis(moved, 0, -1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["density", "nowhere.png"], "nowhere.png"),
        (["density", "cat.png", "--out", "cat.png"], "is an input"),
        (["density", "cat.png", "--channels", "0,3"], "channels must be numbers from 0 to 2"),
        (["density", "cat.png", "--shrinkage", "much"], "shrinkage must be"),
        (["density", "cat.png", "--robust", "huber", "--shrinkage", "0.1"], "drop one"),
        (["density", "cat.png", "--channels", "0,0"], "channels must be different numbers, got 0,0"),
        (["rx", "cat.png", "--window", "3", "4"], "two odd sides"),
        (["rx", "cat.png", "--false-alarms", "0"], "false-alarms must lie"),
        (["rx", "cat.png", "--mask", "small.npy"], "mask must have the shape"),
        (["rx", "cat.png", "--channel-axis", "5"], "channel_axis 5"),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_exit_code_2(cat, capsys, arguments, message):
    np.save("small.npy", np.zeros((3, 3)))
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_figures_refuse_what_does_not_belong_together():
    with pytest.raises(ArgumentError, match="squeeze the map"):
        pixel_figure(np.zeros((3, 4, 3)), np.zeros((3, 4, 1)))
    with pytest.raises(ArgumentError, match="finite one"):
        pixel_figure(np.zeros((3, 4, 3)), np.full((3, 4), np.nan))
