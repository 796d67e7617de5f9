"""The example runs on the corner of the raster, where that is at hand."""

from pathlib import Path

import pytest

RASTER = Path(__file__).parents[3] / "shared" / "data" / "satellite_train.npz"


@pytest.mark.skipif(not RASTER.exists(), reason="the raster is not part of the project")
@pytest.mark.parametrize("model", [None, "best"])
def test_held_out_gaps_are_predicted(capsys, tmp_path, model):
    from examples import satellite

    rmse, crps, coverage = satellite.main(RASTER, model, largest=60 if model else 100, out=tmp_path / "page.png")
    assert "RMSE" in capsys.readouterr().out
    assert (tmp_path / "page.png").stat().st_size > 10_000
    # The temperatures vary by several degrees; these bounds are far from what a trend alone reaches.
    assert rmse < 2.0
    assert crps < 1.2
    assert 0.8 < coverage <= 1.0
