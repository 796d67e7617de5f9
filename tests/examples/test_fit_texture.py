"""The example runs, and its numbers are the reference values' and the photograph's."""

import pytest

pytest.importorskip("skimage.data")


def test_grass_is_fitted_and_drawn(capsys):
    from examples import fit_texture

    gain, difference = fit_texture.main()
    assert gain == pytest.approx(1.0946 - 0.4694, abs=0.003)
    # The draw has the correlations of the model, which are near the photograph's within its window only.
    assert difference < 0.06
    assert "the neighbours save 0.62" in capsys.readouterr().out
