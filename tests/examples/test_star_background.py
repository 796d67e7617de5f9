"""The example runs: fluxes behind bad columns are right by the exact precision, and too small in filled gaps."""

import pytest

pytest.importorskip("matplotlib")


def test_fluxes_behind_bad_columns_have_their_errors(tmp_path, capsys):
    from examples import star_background

    scores = star_background.main(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 30_000
    for where in ("yes", "no"):
        mean, spread = scores["exact", where]
        assert 0.93 < mean < 1.07
        # 20 or 40 standard normals: their root mean square is between 0.5 and 1.6 but with a probability below 1e-4.
        assert 0.5 < spread < 1.6
    assert scores["gaps filled first", "yes"][0] < 0.9
    assert scores["gaps filled first", "yes"][1] > 3.0
    assert "bad columns" in capsys.readouterr().out
