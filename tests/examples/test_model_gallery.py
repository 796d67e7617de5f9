"""The page of pictures is made, and the draws look as their titles say."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")


def correlation(draw, di, dj):
    height, width = draw.shape
    here = draw[: height - di, max(0, -dj) : width - max(0, dj)]
    there = draw[di:, max(0, dj) : width - max(0, -dj)]
    return np.corrcoef(here.ravel(), there.ravel())[0, 1]


def test_gallery_shows_every_model(tmp_path, capsys):
    from examples import model_gallery

    path = tmp_path / "models.png"
    draws = model_gallery.main(path)
    assert path.stat().st_size > 50_000
    assert f"{len(draws)} draws" in capsys.readouterr().out
    assert all(np.isfinite(draw).all() for draw in draws.values())
    # Far from what chance allows on 128 x 128 pixels with a fixed seed.
    assert correlation(draws["CAR, rho = -0.2499"], 0, 1) < -0.3
    pair = draws["CAR, rho = (0.45, 0.04)"]
    assert correlation(pair, 1, 0) > correlation(pair, 0, 1) + 0.2
    tilted = draws["Matern, ratio 4 at 45 degrees"]
    assert correlation(tilted, 8, 8) > correlation(tilted, 8, -8) + 0.2
    smooth = [correlation(draws[f"Matern, nu = {nu}"], 0, 1) for nu in ("0.5", "1", "2")]
    assert smooth == sorted(smooth)
