"""The example runs: bounds are wide with a narrow halo, and as narrow as asked for with halos that grow."""

from tests.conftest import require


def test_bounds_close_as_halos_grow(tmp_path, capsys):
    require("matplotlib")
    require("rasterio")
    from examples import large

    width, error = large.main(96, 48, tmp_path / "raster.tif", tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 30_000
    assert width <= 0.01
    assert error <= 1e-6
    narrow, grown = capsys.readouterr().out.splitlines()
    assert narrow.startswith("halos of [8]: TiledResult(shape=(96, 96), 4 tiles")
    assert grown.startswith("halos of [")
