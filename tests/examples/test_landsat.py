"""The example runs on a simulated series of the same form, and fills what it hides."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")


def test_hidden_pixels_are_filled(tmp_path):
    from examples import landsat

    rng = np.random.default_rng(0)
    count, side = 80, 8
    days = 12 * np.arange(count)
    pattern = rng.standard_normal(side * side)
    season = 300.0 * np.sin(2.0 * np.pi * days / 365.25)
    values = 2000.0 + season[:, None] + 150.0 * rng.standard_normal(count)[:, None] * pattern
    values += 20.0 * rng.standard_normal(values.shape)
    values[rng.random(values.shape) < rng.random(count)[:, None]] = landsat.MISSING
    path = tmp_path / "series.npz"
    np.savez(path, values=values.astype(np.int16), year=2000 + days // 365, doy=1 + days % 365)
    rmse, covered = landsat.main(path, out=tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 30_000
    assert rmse < 60.0  # of some 260 about the mean
    assert 0.6 < covered <= 1.0
