"""The example runs: risks are nearer the truth than raw ones, and called raised as surely as they are."""

import pytest

pytest.importorskip("matplotlib")


def test_risks_intervals_and_alarms_are_true(tmp_path, capsys):
    from examples import disease_map

    (error, raw), inside, right = disease_map.main(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 30_000
    assert error < 0.6 * raw
    assert 0.9 < inside < 0.98
    assert right > 0.9
    assert "95% intervals hold" in capsys.readouterr().out
